//! Where things live unless the user says otherwise. Nodes and clients ask the same functions, so they agree.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// Where the API socket is unless somebody says otherwise: `$XDG_RUNTIME_DIR/fatebound.sock`; without that variable `/run/fatebound.sock` for
/// root, and for others a place of their own: in the state directory, or without a home in `/tmp/fatebound-UID`.
///
/// # Errors
/// The directory in `/tmp` is somebody else's, or others can enter it.
pub fn default_socket() -> Result<PathBuf, Failure> {
    let user = rustix::process::geteuid().as_raw();
    let place = socket_in(
        variable("XDG_RUNTIME_DIR"),
        user,
        data_dir_in(variable("XDG_STATE_HOME"), variable("HOME")),
    );
    if let Place::Shared(directory) = &place {
        private(directory, user)?;
    }
    Ok(place.socket())
}

/// The same for the node, which makes the directory if it is its user's own.
///
/// # Errors
/// As [`default_socket`], or it cannot be made.
pub fn room_for_default_socket() -> Result<PathBuf, Failure> {
    let socket = default_socket()?;
    let parent = socket.parent().unwrap_or(Path::new("/"));
    make_private(parent).map_err(|error| {
        let parent = parent.display();
        Failure::error(format!(
            "cannot make the directory {parent} for the API socket: {error} (choose another place with --api)"
        ))
    })?;
    // Somebody may have made it just now.
    default_socket()
}

/// `$XDG_STATE_HOME/fatebound`, else `~/.local/state/fatebound`.
///
/// # Errors
/// Neither `XDG_STATE_HOME` nor `HOME` is set.
pub fn default_data_dir() -> Result<PathBuf, Failure> {
    data_dir_in(variable("XDG_STATE_HOME"), variable("HOME"))
        .ok_or_else(|| Failure::error("no home directory is known: name a data directory with --data-dir"))
}

/// Makes this directory and those above it, for their owner alone; one that is there stays as it is.
pub fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// The XDG rules ignore what is empty or not absolute.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// Where the socket is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In a directory that the system or the user's home protects.
    Own(PathBuf),
    /// In this directory, whose place anybody may take first.
    Shared(PathBuf),
}

impl Place {
    fn socket(&self) -> PathBuf {
        match self {
            Place::Own(socket) => socket.clone(),
            Place::Shared(directory) => directory.join("api.sock"),
        }
    }
}

fn socket_in(runtime: Option<PathBuf>, user: u32, state: Option<PathBuf>) -> Place {
    match (runtime, user, state) {
        (Some(runtime), _, _) => Place::Own(runtime.join("fatebound.sock")),
        (None, 0, _) => Place::Own(PathBuf::from("/run/fatebound.sock")),
        (None, _, Some(state)) => Place::Own(state.join("api.sock")),
        (None, user, None) => Place::Shared(PathBuf::from(format!("/tmp/fatebound-{user}"))),
    }
}

/// Whether this directory, if it is there, is this user's own and nobody else can enter it: in a place where all may write, another user
/// could wait there for our clients.
fn private(directory: &Path, user: u32) -> Result<(), Failure> {
    let Ok(metadata) = fs::symlink_metadata(directory) else {
        return Ok(());
    };
    if metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let directory = directory.display();
    Err(Failure::error(format!(
        "{directory} is not a directory of this user alone: name the API socket with --api"
    )))
}

fn data_dir_in(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let state = state.or_else(|| home.map(|home| home.join(".local/state")));
    state.map(|state| state.join("fatebound"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_defaults_are_the_contract() {
        let path = |text: &str| Some(PathBuf::from(text));
        let socket = |runtime, user, state| socket_in(runtime, user, state).socket();
        assert_eq!(
            socket(path("/run/user/7"), 7, path("/s/fatebound")),
            PathBuf::from("/run/user/7/fatebound.sock")
        );
        assert_eq!(
            socket(None, 0, path("/s/fatebound")),
            PathBuf::from("/run/fatebound.sock")
        );
        assert_eq!(
            socket(None, 7, path("/s/fatebound")),
            PathBuf::from("/s/fatebound/api.sock")
        );
        assert_eq!(socket(None, 7, None), PathBuf::from("/tmp/fatebound-7/api.sock"));
        assert_eq!(data_dir_in(path("/s"), path("/h")), path("/s/fatebound"));
        assert_eq!(data_dir_in(None, path("/h")), path("/h/.local/state/fatebound"));
        assert_eq!(data_dir_in(None, None), None);
    }

    #[test]
    fn a_place_that_others_can_enter_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let user = fs::metadata(dir.path()).unwrap().uid();
        let mode = |mode| fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        mode(0o700);
        assert!(private(&dir.path().join("missing"), user).is_ok());
        assert!(private(dir.path(), user).is_ok());
        assert!(private(dir.path(), user + 1).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(private(&link, user).is_err());
        mode(0o750);
        let failure = private(dir.path(), user).unwrap_err();
        assert!(failure.message.contains("--api"), "{}", failure.message);
    }
}
