//! Names of process groups, and which founding of a name is meant.

use std::fmt;
use std::sync::Arc;

use fatebound_base::PeerId;
use fatebound_overlay::directory::{self, Kind};
use serde::{Deserialize, Serialize};

/// Bytes of a name at most.
pub const MAX_NAME: usize = directory::MAX_TEXT;

/// What the hash of a [`GroupRef`] begins with, so that it is no other hash.
const CONTEXT: &str = "fatebound process group 1";

/// The name of a process group: 1 to [`MAX_NAME`] bytes, no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(Arc<str>);

/// A text that names no process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no bytes, or too many.
    #[error("the name of a process group has 1 to {MAX_NAME} bytes, not {0}")]
    Length(usize),
    /// Nobody could type or read it.
    #[error("the name of a process group has no control characters")]
    Control,
}

impl GroupName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the directory knows it.
    pub(crate) fn in_directory(&self) -> directory::Name {
        directory::Name::new(Kind::PROCESS_GROUP, self.as_str())
    }
}

impl TryFrom<&str> for GroupName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<GroupName, NameError> {
        if !(1..=MAX_NAME).contains(&text.len()) {
            Err(NameError::Length(text.len()))
        } else if text.chars().any(char::is_control) {
            Err(NameError::Control)
        } else {
            Ok(GroupName(text.into()))
        }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// One founding of a name. The smaller one is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Founding {
    /// Seconds since the beginning of 2020, and larger than those of every founding before that was known.
    pub incarnation: u32,
    /// By whom.
    pub founder: PeerId,
}

/// One founding of one name, as messages name it: two foundings never share their messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupRef([u8; 16]);

impl GroupRef {
    /// Of this founding of this name.
    pub fn new(name: &GroupName, founding: &Founding) -> GroupRef {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&founding.incarnation.to_be_bytes());
        for part in [name.as_str().as_bytes(), &founding.founder.to_bytes()] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut head = [0; 16];
        head.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        GroupRef(head)
    }
}

impl fmt::Display for GroupRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GroupRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use fatebound_base::Keypair;

    use super::*;

    fn founding(incarnation: u32, founder: u8) -> Founding {
        let keypair = Keypair::ed25519_from_bytes([founder; 32]).unwrap();
        let founder = keypair.public().to_peer_id();
        Founding { incarnation, founder }
    }

    #[test]
    fn a_name_can_be_typed_and_read() {
        assert!(GroupName::try_from("db").is_ok() && GroupName::try_from("Käse 1").is_ok());
        assert_eq!(GroupName::try_from(""), Err(NameError::Length(0)));
        assert!(GroupName::try_from("x".repeat(128).as_str()).is_ok());
        assert_eq!(
            GroupName::try_from("x".repeat(129).as_str()),
            Err(NameError::Length(129))
        );
        assert_eq!(GroupName::try_from("a\nb"), Err(NameError::Control));
    }

    #[test]
    fn each_founding_of_each_name_has_a_reference_of_its_own() {
        let name = |text| GroupName::try_from(text).unwrap();
        let db = GroupRef::new(&name("db"), &founding(1, 1));
        assert_eq!(db, GroupRef::new(&name("db"), &founding(1, 1)));
        assert_ne!(db, GroupRef::new(&name("dc"), &founding(1, 1)));
        assert_ne!(db, GroupRef::new(&name("db"), &founding(2, 1)));
        assert_ne!(db, GroupRef::new(&name("db"), &founding(1, 2)));
        assert!(founding(1, 1) < founding(2, 1), "the earlier one is older");
    }
}
