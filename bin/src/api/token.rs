//! The secret that opens the API over TCP: a text in a file that only its owner can read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// Characters of a token at least: what is shorter can be tried out.
const MIN: usize = 16;
/// … and at most.
const MAX: usize = 1024;

/// The secret. It is never shown.
#[derive(Clone)]
pub struct Token(String);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system refused.
    #[error("cannot read the API token {path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others may read it.
    #[error("the API token {path} is open to others: its mode is {mode:03o} (chmod 600 {path})")]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error("the API token {path} is none: one line of {MIN} to {MAX} letters, digits and -._~+/= is expected")]
    Malformed {
        /// Which.
        path: PathBuf,
    },
}

impl Token {
    /// Reads the token of this file. White space around it does not count.
    ///
    /// # Errors
    /// As [`TokenError`] says.
    pub fn read(path: &Path) -> Result<Token, TokenError> {
        let path = || path.to_owned();
        let io = |error| TokenError::Io { path: path(), error };
        let file = File::open(path()).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Open { path: path(), mode });
        }
        let mut text = String::new();
        let read = file.take(2 * MAX as u64).read_to_string(&mut text);
        match read {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return Err(io(error)),
            Ok(_) if is_token(text.trim()) => return Ok(Token(text.trim().to_owned())),
            Ok(_) => {}
        }
        Err(TokenError::Malformed { path: path() })
    }

    /// Whether this is it. How long that takes says nothing but whether the lengths are alike.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }

    /// The value of the header `Authorization`.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

/// What RFC 6750 allows.
fn is_token(text: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    (MIN..=MAX).contains(&text.len()) && text.chars().all(sound)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &[u8], mode: u32) -> Result<Token, TokenError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Token::read(&path)
    }

    #[test]
    fn a_token_is_one_line_that_nobody_else_can_read() {
        let token = read(b"0123456789abcdef\n", 0o600).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        assert!(!token.is(b"0123456789abcdeF") && !token.is(b"") && !token.is(b"0123456789abcdef\n"));
        assert_eq!(token.bearer(), "Bearer 0123456789abcdef");
        assert_eq!(format!("{token:?}"), "Token");
        for mode in [0o640, 0o604, 0o610, 0o602] {
            let error = read(b"0123456789abcdef", mode).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let long = [b'x'; MAX + 1];
        for text in [&b""[..], b"short", b"0123456789 abcdef", b"\xff123456789abcdef", &long] {
            assert!(matches!(read(text, 0o600), Err(TokenError::Malformed { .. })));
        }
        let missing = Token::read(Path::new("/nowhere/token"));
        assert!(matches!(missing, Err(TokenError::Io { .. })));
    }
}
