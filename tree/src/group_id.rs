//! The name of a group, and its final text form.
//!
//! A `GroupId` alone is enough to find its group, because it contains the root (protocol.md §2). Its text form is what people copy and
//! paste, so it carries a checksum, and it starts with it: any few characters already tell two groups of one root apart.

use std::fmt;
use std::str::FromStr;

use fatebound_overlay::PeerId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Names a group for ever: a root never uses an id twice, for it draws a new incarnation with each life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId {
    /// The member that created the group.
    pub root: PeerId,
    /// The root's incarnation when it did.
    pub incarnation: u64,
    /// 1, 2, 3 … within that incarnation.
    pub sequence: u64,
}

/// Bytes of checksum in the text form: a mistyped id passes once in 2³².
pub(crate) const CHECKSUM: usize = 4;
/// Characters of the text form at most: base58 takes time that grows with the square, so longer texts are not even looked at.
pub(crate) const MAX_TEXT: usize = 160;

impl GroupId {
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(16 + 40);
        body.extend(self.incarnation.to_be_bytes());
        body.extend(self.sequence.to_be_bytes());
        body.extend(self.root.to_bytes());
        body
    }
}

pub(crate) fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    let hash = blake3::derive_key("fatebound group id text 1", body);
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}

/// Base58 (Bitcoin's alphabet) of checksum, incarnation, sequence number and the root's `PeerId`: some 80 characters.
impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        let bytes = [checksum(&body).as_slice(), &body].concat();
        f.write_str(&bs58::encode(bytes).into_string())
    }
}

/// A text that is no group id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseGroupIdError {
    /// Longer than any group id.
    #[error("too long for a group id")]
    TooLong,
    /// A character that base58 does not have.
    #[error("not a group id: it contains a character outside of base58")]
    Alphabet,
    /// Too short, or no peer id inside.
    #[error("not a group id: it is incomplete")]
    Incomplete,
    /// Mistyped.
    #[error("not a group id: its checksum is wrong, so a character is")]
    Checksum,
}

impl FromStr for GroupId {
    type Err = ParseGroupIdError;

    fn from_str(text: &str) -> Result<GroupId, ParseGroupIdError> {
        if text.len() > MAX_TEXT {
            return Err(ParseGroupIdError::TooLong);
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| ParseGroupIdError::Alphabet)?;
        let (sum, body) = bytes
            .split_first_chunk::<CHECKSUM>()
            .ok_or(ParseGroupIdError::Incomplete)?;
        let (incarnation, rest) = body.split_first_chunk::<8>().ok_or(ParseGroupIdError::Incomplete)?;
        let (sequence, root) = rest.split_first_chunk::<8>().ok_or(ParseGroupIdError::Incomplete)?;
        if *sum != checksum(body) {
            return Err(ParseGroupIdError::Checksum);
        }
        Ok(GroupId {
            root: PeerId::from_bytes(root).map_err(|_| ParseGroupIdError::Incomplete)?,
            incarnation: u64::from_be_bytes(*incarnation),
            sequence: u64::from_be_bytes(*sequence),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupId {
        let keypair = fatebound_overlay::Keypair::ed25519_from_bytes([7; 32]).expect("32 bytes");
        GroupId {
            root: keypair.public().to_peer_id(),
            incarnation: 0x0123_4567_89ab_cdef,
            sequence: 42,
        }
    }

    #[test]
    fn the_text_form_comes_back() {
        assert_eq!(group().to_string().parse(), Ok(group()));
    }

    #[test]
    fn the_text_form_is_final() {
        assert_eq!(group().to_string(), include_str!("group_id.golden").trim());
    }

    #[test]
    fn ids_of_one_root_part_within_a_few_characters() {
        let next = GroupId {
            sequence: 43,
            ..group()
        };
        assert_ne!(group().to_string()[..6], next.to_string()[..6]);
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let text = group().to_string();
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'z' { b'y' } else { b'z' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(wrong.parse::<GroupId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_id_says_why() {
        assert_eq!("".parse::<GroupId>(), Err(ParseGroupIdError::Incomplete));
        assert_eq!("0OIl".parse::<GroupId>(), Err(ParseGroupIdError::Alphabet));
        assert_eq!("z".repeat(200).parse::<GroupId>(), Err(ParseGroupIdError::TooLong));
    }
}
