//! The demo's temporary directory: it disappears with the demo, and what a dead demo has left behind disappears with the next one.
//!
//! Nobody can clean up after being killed. So a demo holds a lock on its directory for as long as it runs, which ends with its process, however
//! that ends; and whoever makes a directory of this kind removes those of the same user that nobody holds.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::exit::Failure;

/// What the names of such directories begin with.
const PREFIX: &str = "fatebound-demo-";
/// A Unix socket's path has room for this.
const MAX_SOCKET_PATH: usize = 100;
/// Attempts at making a directory that another demo has not cleaned up in the same moment.
const ATTEMPTS: usize = 10;
/// Attempts at removing it, and the pause between them: a process that was killed may still be about to write its last line.
const REMOVALS: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// A directory of our own, for as long as this value lives.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    _lock: File,
}

impl Place {
    /// Makes one, and removes what dead demos have left.
    pub fn new() -> Result<Place, Failure> {
        Place::within(&std::env::temp_dir())
    }

    fn within(parent: &Path) -> Result<Place, Failure> {
        sweep(parent);
        let place = (0..ATTEMPTS).find_map(|_| make(parent).transpose());
        let place = place.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()));
        let place = place.map_err(|error| {
            let parent = parent.display();
            Failure::error(format!(
                "cannot make a temporary directory in {parent}: {}",
                error.kind()
            ))
        })?;
        if place.path().as_os_str().len() + 10 > MAX_SOCKET_PATH {
            let path = place.path().display();
            return Err(Failure::error(format!(
                "{path} is too long for Unix sockets: set TMPDIR to a shorter path"
            )));
        }
        Ok(place)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes it; every process in it has ended.
    pub async fn remove(self) {
        let path = self.path().to_owned();
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(&path) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        if let Err(error) = self.directory.close() {
            tracing::warn!(%error, "the temporary directory could not be removed");
        }
    }
}

/// A directory that is ours and locked; `None` if somebody took it for a dead demo's before it was.
fn make(parent: &Path) -> io::Result<Option<Place>> {
    let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
    let Ok(lock) = File::open(directory.path()) else {
        return Ok(None);
    };
    let ours = lock.try_lock().is_ok() && same(&lock, directory.path());
    Ok(ours.then_some(Place { directory, _lock: lock }))
}

fn same(open: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, there) = (open.metadata().map(identity), fs::symlink_metadata(path).map(identity));
    open.is_ok_and(|open| there.is_ok_and(|there| there == open))
}

/// Removes this user's directories of this kind that nobody holds.
fn sweep(parent: &Path) {
    let user = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        let ours = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
        let Some(dead) = File::open(&path).ok().filter(|_| ours) else {
            continue;
        };
        if dead.try_lock().is_ok() && same(&dead, &path) {
            // If it cannot be removed, the next demo tries again.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> usize {
        fs::read_dir(parent).unwrap().count()
    }

    #[test]
    fn what_a_dead_demo_left_is_removed_and_what_lives_stays() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("fatebound-demo-left");
        fs::create_dir_all(left.join("3/state")).unwrap();
        fs::write(left.join("3/log"), "x").unwrap();
        let other = parent.path().join("fatebound-other");
        fs::create_dir(&other).unwrap();
        fs::write(parent.path().join("fatebound-demo-file"), "precious").unwrap();
        std::os::unix::fs::symlink(&other, parent.path().join("fatebound-demo-link")).unwrap();
        let one = Place::within(parent.path()).unwrap();
        assert!(!left.exists() && other.exists());
        let two = Place::within(parent.path()).unwrap();
        assert!(one.path().exists() && two.path().exists());
        assert_eq!(names(parent.path()), 5, "both, and what is none of our business");
        drop((one, two));
        assert_eq!(names(parent.path()), 3);
    }

    #[tokio::test]
    async fn it_disappears_with_all_that_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let place = Place::within(parent.path()).unwrap();
        fs::create_dir_all(place.path().join("0/state")).unwrap();
        place.remove().await;
        assert_eq!(names(parent.path()), 0);
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_and_not_left_behind() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("x".repeat(MAX_SOCKET_PATH));
        fs::create_dir(&long).unwrap();
        assert!(Place::within(&long).unwrap_err().message.contains("TMPDIR"));
        assert_eq!(names(&long), 0);
    }
}
