//! The API's socket file: nobody else's is taken away, nobody else can use ours.
//!
//! A socket that nobody listens on any more is what a killed node leaves behind; it is replaced. One that somebody answers on, and any
//! file that is no socket, is left alone. The socket is bound inside a directory that only its owner can enter, gets its mode there, and
//! only then its name: at no moment could another user connect.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why there is no socket; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A node serves there.
    #[error("the API socket {0} is in use by a running node (choose another with --api)")]
    InUse(PathBuf),
    /// Something else lives there.
    #[error("the API socket {0} is an existing file that is no socket: it is left alone")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot make the API socket {path}: {error} (choose another place with --api)")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A listening socket whose file disappears with it.
#[derive(Debug)]
pub struct Socket {
    /// Accepts connections.
    pub listener: UnixListener,
    /// Removes the file.
    pub file: SocketFile,
}

/// The name of a listening socket; dropping it removes the file, if it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// What tells a file from a later one of the same name: file systems use inode numbers again at once, so its birth belongs to it.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Binds a socket that only its owner can use, ready for a runtime to take it over.
///
/// # Errors
/// As [`SocketError`] says.
pub fn bind(path: &Path) -> Result<Socket, SocketError> {
    clear(path)?;
    bind_fresh(path).map_err(|error| match error.kind() {
        // Another node was faster just now.
        io::ErrorKind::AlreadyExists => SocketError::InUse(path.to_owned()),
        _ => SocketError::Io {
            path: path.to_owned(),
            error,
        },
    })
}

fn bind_fresh(path: &Path) -> io::Result<Socket> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let private = tempfile::Builder::new()
        .prefix(".fb")
        .rand_bytes(4)
        .tempdir_in(parent)
        .map_err(|error| nameless(&error))?;
    let inside = private.path().join("s");
    let listener = UnixListener::bind(&inside)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
    fs::hard_link(&inside, path)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
    };
    Ok(Socket { listener, file })
}

/// What the system said, without the name of a temporary directory that nobody has heard of.
fn nameless(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let cause = text.split(" at path ").next().unwrap_or(&text);
    io::Error::new(error.kind(), cause)
}

/// Removes what a dead node left behind.
fn clear(path: &Path) -> Result<(), SocketError> {
    let io_error = |error| SocketError::Io {
        path: path.to_owned(),
        error,
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(error)),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(io_error),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Anything else may be a node that is merely busy, or another user's.
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SocketError::InUse(path.to_owned())),
        Err(error) => Err(io_error(error)),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_can_use_it_and_it_disappears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api");
        let socket = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_live_socket_is_refused_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api");
        let first = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::InUse(_))));
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _socket = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "text").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[test]
    fn a_newer_socket_of_the_same_name_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api");
        let old = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let new = bind(&path).unwrap();
        drop(old);
        assert!(UnixStream::connect(&path).is_ok());
        drop(new);
    }

    #[test]
    fn a_missing_directory_is_one_clear_line() {
        let error = bind(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "cannot make the API socket /nowhere/at/all: No such file or directory (os error 2) (choose"
            ),
            "{error}"
        );
        assert!(!error.contains('\n'));
    }
}
