//! Who this peer is: a key file, and a lock so that no two processes are the same peer.
//!
//! The key file `key` holds an Ed25519 key pair in libp2p's protobuf encoding. It is created once, readable by its owner only, and never
//! overwritten: whoever loses it is another peer afterwards, so a file that cannot be read is an error and not an invitation to make
//! a new one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use libp2p::identity::{KeyType, Keypair};
use thiserror::Error;

/// Bytes of a key file at most; an Ed25519 key pair takes 68.
const MAX_KEY_FILE: u64 = 4096;

/// A data directory of ours, for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    keypair: Keypair,
    _lock: File,
}

/// A data directory that cannot be used. Nothing in it was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// It could not be created or entered.
    #[error("data directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process holds its lock.
    #[error("data directory {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Its key file could not be read or created.
    #[error("key file {}: {source}", path.display())]
    File {
        /// The key file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its key file holds something else, or only a part of a key.
    #[error("key file {} holds no Ed25519 key pair: {what}", path.display())]
    NoKey {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl DataDir {
    /// Enters the directory, creating it and its key if they are missing, and locks it until the value is dropped.
    ///
    /// # Errors
    /// See [`IdentityError`]. A directory or key that was there is never changed.
    pub fn open(path: &Path) -> Result<DataDir, IdentityError> {
        let in_directory = |source| IdentityError::Directory {
            path: path.into(),
            source,
        };
        fs::create_dir_all(path).map_err(in_directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path.join("lock"))
            .map_err(in_directory)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(IdentityError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => return Err(in_directory(source)),
        }
        let keypair = read_or_create(&path.join("key"))?;
        Ok(DataDir { keypair, _lock: lock })
    }

    /// The peer's key pair.
    pub fn keypair(&self) -> &Keypair {
        &self.keypair
    }
}

fn read_or_create(path: &Path) -> Result<Keypair, IdentityError> {
    match File::open(path) {
        Ok(file) => read(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(source) => Err(IdentityError::File {
            path: path.into(),
            source,
        }),
    }
}

fn read(path: &Path, file: File) -> Result<Keypair, IdentityError> {
    warn_if_public(path, &file);
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_KEY_FILE), &mut bytes).map_err(|source| {
        IdentityError::File {
            path: path.into(),
            source,
        }
    })?;
    let no_key = |what: String| IdentityError::NoKey {
        path: path.into(),
        what,
    };
    let keypair = Keypair::from_protobuf_encoding(&bytes).map_err(|error| no_key(error.to_string()))?;
    if keypair.key_type() != KeyType::Ed25519 {
        return Err(no_key(format!("it holds a key pair of type {:?}", keypair.key_type())));
    }
    Ok(keypair)
}

#[cfg(unix)]
fn warn_if_public(path: &Path, file: &File) {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others can read this peer's key");
    }
}

#[cfg(not(unix))]
fn warn_if_public(_: &Path, _: &File) {}

fn create(path: &Path) -> Result<Keypair, IdentityError> {
    let keypair = Keypair::generate_ed25519();
    let bytes = keypair.to_protobuf_encoding().map_err(|error| IdentityError::NoKey {
        path: path.into(),
        what: error.to_string(),
    })?;
    write_new(path, &bytes).map_err(|source| IdentityError::File {
        path: path.into(),
        source,
    })?;
    Ok(keypair)
}

/// Writes beside and links into place, so that the key file is whole or not there, and never replaces another.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::hard_link(&beside, path)?;
    fs::remove_file(&beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_peer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/inside");
        let first = DataDir::open(&path).unwrap().keypair().public();
        assert_eq!(DataDir::open(&path).unwrap().keypair().public(), first);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        DataDir::open(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_second_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _first = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::InUse { .. }), "{error}");
        assert!(error.to_string().ends_with("is in use by another process"));
    }

    #[test]
    fn what_is_no_key_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let whole = Keypair::generate_ed25519().to_protobuf_encoding().unwrap();
        for wrong in [&b""[..], b"-----BEGIN PRIVATE KEY-----", &whole[..30], &[0xff; 100]] {
            fs::write(&path, wrong).unwrap();
            let error = DataDir::open(dir.path()).unwrap_err();
            assert!(matches!(error, IdentityError::NoKey { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()));
            assert_eq!(fs::read(&path).unwrap(), wrong);
        }
    }

    #[test]
    fn a_directory_in_the_place_of_the_key_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("key")).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::File { .. }), "{error}");
    }

    #[test]
    fn a_key_half_written_by_a_crash_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key.new"), b"half").unwrap();
        DataDir::open(dir.path()).unwrap();
        assert!(!dir.path().join("key.new").exists());
    }
}
