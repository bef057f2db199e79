//! Keys: where a peer stands on the ring.
//!
//! A peer's key is BLAKE3 of its `PeerId`, read as a 256-bit number on a ring (protocol.md §2). Routing walks towards a
//! key by **ring distance**, the shorter way round; the routing table reads the same key as digits.

use std::cmp::Ordering;
use std::fmt;

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

/// A place on the ring of 2²⁵⁶, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key([u8; 32]);

/// The first eight bytes of a key: enough to recognise a peer in a list of visited ones. A collision costs a route, never
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag(pub u64);

impl Key {
    /// The key of a peer.
    pub fn of(peer: &PeerId) -> Key {
        Key(*blake3::hash(&peer.to_bytes()).as_bytes())
    }

    /// A key from its bytes, for tests and drawn keys.
    pub const fn from_bytes(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }

    /// The key's bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The short form that lists of visited peers carry.
    pub fn tag(&self) -> Tag {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        Tag(u64::from_be_bytes(head))
    }

    /// The digit at `row` (0 is the most significant) when digits have `bits` bits; `bits` divides 8.
    pub fn digit(&self, row: usize, bits: u32) -> u8 {
        let per_byte = 8 / bits as usize;
        let byte = self.0[row / per_byte];
        let shift = 8 - bits as usize * (row % per_byte + 1);
        (byte >> shift) & ((1u16 << bits) - 1) as u8
    }

    /// How many leading digits of `bits` bits the two keys share.
    pub fn shared_digits(&self, other: &Key, bits: u32) -> usize {
        let mut shared = 0;
        for (a, b) in self.0.iter().zip(&other.0) {
            let differing = (a ^ b).leading_zeros() as usize;
            shared += differing;
            if differing < 8 {
                break;
            }
        }
        shared / bits as usize
    }

    /// The way from this key to `other` going up (clockwise): `other − self` modulo 2²⁵⁶.
    pub fn clockwise_to(&self, other: &Key) -> Distance {
        let (high_a, low_a) = self.halves();
        let (high_b, low_b) = other.halves();
        let (low, borrow) = low_b.overflowing_sub(low_a);
        let high = high_b.wrapping_sub(high_a).wrapping_sub(u128::from(borrow));
        Distance { high, low }
    }

    /// The shorter way round between the two keys.
    pub fn ring_distance(&self, other: &Key) -> Distance {
        self.clockwise_to(other).min(other.clockwise_to(self))
    }

    fn halves(&self) -> (u128, u128) {
        let mut high = [0; 16];
        let mut low = [0; 16];
        high.copy_from_slice(&self.0[..16]);
        low.copy_from_slice(&self.0[16..]);
        (u128::from_be_bytes(high), u128::from_be_bytes(low))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// The first eight hexadecimal digits, enough to tell peers apart in a listing.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A distance on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distance {
    high: u128,
    low: u128,
}

impl Ord for Distance {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.high, self.low).cmp(&(other.high, other.low))
    }
}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8, last: u8) -> Key {
        let mut bytes = [0; 32];
        bytes[0] = first;
        bytes[31] = last;
        Key::from_bytes(bytes)
    }

    #[test]
    fn digits_are_read_from_the_most_significant_end() {
        let key = key(0b11_01_00_10, 0);
        let digits: Vec<_> = (0..5).map(|row| key.digit(row, 2)).collect();
        assert_eq!(digits, [3, 1, 0, 2, 0]);
        assert_eq!(key.digit(0, 4), 0b1101);
    }

    #[test]
    fn shared_digits_counts_whole_digits_only() {
        assert_eq!(key(0b1101_0000, 0).shared_digits(&key(0b1100_0000, 0), 2), 1);
        assert_eq!(key(0b1101_0000, 0).shared_digits(&key(0b1101_0000, 1), 2), 127);
        assert_eq!(key(0, 0).shared_digits(&key(0, 0), 2), 128);
    }

    #[test]
    fn the_ring_has_no_edge() {
        let (top, bottom) = (Key::from_bytes([0xff; 32]), key(0, 1));
        assert_eq!(top.ring_distance(&bottom), key(0, 0).clockwise_to(&key(0, 2)));
        assert_eq!(top.ring_distance(&bottom), bottom.ring_distance(&top));
        assert!(top.ring_distance(&bottom) < top.ring_distance(&key(0x80, 0)));
    }
}
