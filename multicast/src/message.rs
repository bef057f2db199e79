//! The words between the leaders of networks and the system leader, in pipes: the glossary of `docs/multicast.md` §4.
//!
//! ```text
//!  leader of a network                     system leader
//!      Hello (in parts)          ──►       compares with what it has
//!      takes back, opens         ◄──       Welcome (in parts): what it lacks
//!      Up, Up, …                 ──►       relays
//!      injects                   ◄──       Down, Down, …
//!      Beat                      ──►       Again, if it knows nothing of this session
//! ```

use fatebound::process_group::ProviderId;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::network::NetworkId;
use crate::packet::Key;

/// A seat of a node on a network: its provider in the group. No name is ever used for two.
pub type Seat = ProviderId;

/// Keys in one part of a hello at most.
pub const KEYS_IN_PART: usize = 6_000;
/// Parts of one hello at most.
pub const MAX_PARTS: usize = 40;
/// Ranges in one welcome at most; what is beyond is not asked for, and lost.
pub const MAX_RANGES: usize = 4_000;
/// Bytes of an encoded frame at most: what fits a body of a pipe.
pub const MAX_FRAME: usize = fatebound::MAX_BODY;

/// Which conversation a word belongs to. A leader begins a new one whenever it cannot be sure of the last, and a word of an earlier one means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session(pub u64);

/// A word.
#[allow(
    clippy::large_enum_variant,
    reason = "hellos are rare, and datagrams many: none needs a box of its own"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// A leader greets the system leader, and says what it has seen.
    Hello {
        /// For which network.
        network: NetworkId,
        /// By which right: it is this seat's.
        seat: Seat,
        /// Whom it greets.
        hub: Seat,
        /// The conversation that begins.
        session: Session,
        /// For how long it has overheard its network, in milliseconds. Of what came earlier it does not know what was delivered.
        overheard_ms: u32,
        /// Which part this is, from 0.
        part: u16,
        /// Whether it is the last one.
        last: bool,
        /// What was captured lately, oldest first, and can be sent.
        captured: Keys,
        /// What was delivered here lately, whoever did it.
        delivered: Keys,
    },
    /// The system leader takes the leader in, and says what it lacks of what was captured: ranges of places in the list of the hello. What is lacking
    /// here, too, follows as [`Frame::Down`].
    Welcome {
        /// For which network.
        network: NetworkId,
        /// The conversation that was begun.
        session: Session,
        /// First place, and how many.
        wanted: Vec<(u32, u32)>,
    },
    /// A datagram from its network.
    Up {
        /// Of which network.
        network: NetworkId,
        /// In which conversation.
        session: Session,
        /// 1, 2, 3 … in it.
        number: u64,
        /// `None` for one that has just been captured; else how long ago it was, in milliseconds: somebody may have delivered it.
        age_ms: Option<u32>,
        /// The packet.
        packet: ByteBuf,
    },
    /// A datagram for a network.
    Down {
        /// For which network.
        network: NetworkId,
        /// In which conversation.
        session: Session,
        /// 1, 2, 3 … in it.
        number: u64,
        /// Where it is from.
        origin: NetworkId,
        /// Whether somebody else may have delivered it.
        again: bool,
        /// The packet.
        packet: ByteBuf,
    },
    /// "I take us to be in this conversation."
    Beat {
        /// For which network.
        network: NetworkId,
        /// Which.
        session: Session,
    },
    /// "We are in none: greet me."
    Again {
        /// For which network.
        network: NetworkId,
    },
}

/// Keys as bytes, eight for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys(ByteBuf);

impl Keys {
    /// These.
    pub fn of(keys: &[Key]) -> Keys {
        Keys(ByteBuf::from(
            keys.iter().flat_map(|key| key.0.to_be_bytes()).collect::<Vec<u8>>(),
        ))
    }

    /// Each of them; a rest of less than eight bytes is none.
    pub fn iter(&self) -> impl Iterator<Item = Key> + '_ {
        self.0.chunks_exact(8).map(|bytes| {
            let mut whole = [0; 8];
            whole.copy_from_slice(bytes);
            Key(u64::from_be_bytes(whole))
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len() / 8
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes that are no word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes are no word of multicast routing")]
pub struct Garbage;

impl Frame {
    /// As bytes; `None` if it is longer than a body of a pipe, which none is that this crate makes.
    pub fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(self).ok().filter(|bytes| bytes.len() <= MAX_FRAME)
    }

    /// From the front of some bytes, and what is left of them: a body carries as many words as fit.
    ///
    /// # Errors
    /// They are no word, or break a bound.
    pub fn decode(bytes: &[u8]) -> Result<(Frame, &[u8]), Garbage> {
        let (frame, rest): (Frame, &[u8]) = postcard::take_from_bytes(bytes).map_err(|_| Garbage)?;
        let within = match &frame {
            Frame::Hello {
                part,
                captured,
                delivered,
                ..
            } => usize::from(*part) < MAX_PARTS && captured.len() <= KEYS_IN_PART && delivered.len() <= KEYS_IN_PART,
            Frame::Welcome { wanted, .. } => wanted.len() <= MAX_RANGES,
            _ => true,
        };
        within.then_some((frame, rest)).ok_or(Garbage)
    }

    /// Whether it carries a datagram: those may be given up when there are too many.
    pub fn is_data(&self) -> bool {
        matches!(self, Frame::Up { .. } | Frame::Down { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::MAX_PACKET;
    use proptest::prelude::*;

    fn network() -> NetworkId {
        "255.255.255.255/32".parse().unwrap()
    }

    #[test]
    fn the_longest_words_fit_a_body() {
        let data = Frame::Down {
            network: network(),
            session: Session(u64::MAX),
            number: u64::MAX,
            origin: network(),
            again: true,
            packet: ByteBuf::from(vec![0; MAX_PACKET]),
        };
        assert!(data.encode().is_some());
        let welcome = Frame::Welcome {
            network: network(),
            session: Session(u64::MAX),
            wanted: vec![(u32::MAX, u32::MAX); MAX_RANGES],
        };
        let bytes = welcome.encode().unwrap();
        assert_eq!(Frame::decode(&bytes), Ok((welcome, &[][..])));
    }

    #[test]
    fn words_follow_each_other_in_a_body() {
        let beat = |session| Frame::Beat {
            network: network(),
            session: Session(session),
        };
        let bytes = [beat(1).encode().unwrap(), beat(2).encode().unwrap()].concat();
        let (first, rest) = Frame::decode(&bytes).unwrap();
        let (second, rest) = Frame::decode(rest).unwrap();
        assert_eq!((first, second, rest.len()), (beat(1), beat(2), 0));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Frame::decode(&bytes);
        }
    }
}
