//! Versions of the wire format.
//!
//! Each peer says which it speaks, in the first bytes of whatever it says first; two peers speak the newest that both know, and who shares none with
//! another is refused in words that every version can read.

use std::fmt;

use serde::{Deserialize, Serialize};

/// All versions from `oldest` to `newest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest that is still spoken.
    pub oldest: u8,
    /// The newest.
    pub newest: u8,
}

impl Versions {
    /// What this code speaks.
    pub const OURS: Versions = Versions { oldest: 1, newest: 1 };

    /// The newest version that both speak.
    pub fn shared(self, other: Versions) -> Option<u8> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Whether this version is spoken.
    pub fn contains(self, version: u8) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest == self.newest {
            true => write!(f, "version {}", self.newest),
            false => write!(f, "versions {} to {}", self.oldest, self.newest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_peers_speak_the_newest_that_both_know() {
        let versions = |oldest, newest| Versions { oldest, newest };
        for (ours, theirs, shared) in [
            ((1, 1), (1, 1), Some(1)),
            ((1, 3), (2, 5), Some(3)),
            ((1, 1), (1, 9), Some(1)),
            ((1, 2), (3, 4), None),
            ((3, 3), (1, 2), None),
            // Said by a liar: an empty range shares nothing.
            ((1, 3), (3, 1), None),
        ] {
            let (ours, theirs) = (versions(ours.0, ours.1), versions(theirs.0, theirs.1));
            assert_eq!(ours.shared(theirs), shared, "{ours} and {theirs}");
            assert_eq!(theirs.shared(ours), shared, "{theirs} and {ours}");
        }
    }
}
