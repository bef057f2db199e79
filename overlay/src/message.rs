//! What two peers of the overlay say to each other: the glossary of protocol.md §3 and §4.
//!
//! [`Message`]s travel on the session of a link, in order. [`OneShot`]s and their [`Answer`]s travel over a direct connection without a
//! link, or inside [`Routed`] and [`RoutedAnswer`] over links.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, Serialize};

use crate::io::JointSet;
use crate::record::SignedRecord;
use crate::{Key, LinkId, Port, Tag, Versions, directory};

/// A frame on the session of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The first frame in each direction; nothing else is taken before it.
    Hello(Box<Hello>),
    /// "Are you there?" Overtakes everything else in the send queue.
    Ping(Ping),
    /// "I am", at once. Overtakes everything else in the send queue.
    Pong(Pong),
    /// A change of the joint set: numbered, replayed after a break until acknowledged.
    Operation {
        /// 1, 2, 3 … per link and direction.
        number: u64,
        /// Opaque to the overlay.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// Operations received, sent when many came and no ping is near.
    Acknowledge {
        /// All up to this number have arrived.
        received: u64,
    },
    /// Unnumbered words of the layer above, lost when the session breaks.
    Tell(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The sender's neighbours, whenever they change: so that suspicions can be shared and common neighbours are known.
    Neighbours(Vec<PeerId>),
    /// A one-shot message on its way through the overlay.
    Routed(Box<Routed>),
    /// The answer to one, on its way back along the trail.
    RoutedAnswer(Box<RoutedAnswer>),
    /// The last frame of a link.
    Goodbye(Farewell),
}

/// Opens a session of a link, and says what its sender remembers. The same in all versions of the wire format, but for what they add at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions that its sender speaks. Whatever follows on this session is in the newest that both ends share.
    pub versions: Versions,
    /// Overlays of different names part here.
    pub network: String,
    /// The sender's life: drawn at random when its process started.
    pub incarnation: u64,
    /// The sender's number for this session: grows with each session of its life.
    pub number: u64,
    /// The numbers of the sender's other sessions with this peer that it still holds open: a session that a later `Hello` does not list is
    /// closed, whatever the receiver's own socket says (scenario 31).
    pub open: Vec<u64>,
    /// The link that the sender would resume, if it remembers one.
    pub resume: Option<LinkInstance>,
    /// Operations of the remembered link that the sender has received.
    pub received: u64,
    /// The sender's share of the link key.
    pub share: [u8; 16],
    /// Whether the sender's overlay wants this link as a neighbour.
    pub wanted: bool,
    /// Whether the sender has joined; who has not is no next hop.
    pub joined: bool,
    /// How the sender's links keep time: the same for all peers of an overlay.
    pub times: LinkTimes,
    /// Where the sender can be dialled.
    pub record: SignedRecord,
    /// The sender's neighbours.
    pub neighbours: Vec<PeerId>,
    /// What later versions say besides; whoever does not know it leaves it unread.
    #[serde(with = "serde_bytes")]
    pub more: Vec<u8>,
}

/// How links keep time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkTimes {
    /// `peer_interval`.
    pub peer_interval: u32,
    /// `link_interval`.
    pub link_interval: u32,
    /// `ping_timeout`.
    pub ping_timeout: u32,
}

/// Names the life of a link: the session numbers that founded it, the smaller `PeerId`'s first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkInstance {
    /// The number that the end with the smaller `PeerId` gave the founding session.
    pub smaller: u64,
    /// The number that the other end gave it.
    pub larger: u64,
}

/// A ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Numbers of one end grow; only the answer to a known number counts.
    pub number: u32,
    /// Milliseconds until the sender means to ping this link again; when that passes, the receiver pings at once.
    pub next: u32,
    /// Whether the sender's overlay wants this link.
    pub wanted: bool,
    /// Whether the sender has joined.
    pub joined: bool,
    /// Acknowledges operations, whatever the joint set's owner has seen of them.
    pub acknowledged: u64,
    /// The sender's joint set.
    pub joint: JointSet,
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The ping's number.
    pub number: u32,
    /// Acknowledges operations.
    pub acknowledged: u64,
    /// The sender's joint set.
    pub joint: JointSet,
}

/// Why a link ends: on the wire a number, so that later versions can have others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum Farewell {
    /// The sender stops; nothing of its life goes on.
    Shutdown,
    /// Neither overlay needs this link and no path runs over it.
    Unneeded,
    /// The sender has as many links as it can bear.
    Busy,
    /// The receiver belongs to another network.
    WrongNetwork,
    /// The sender received what the protocol does not allow.
    Violation,
    /// The sender gave this link up (silent, or too much waiting).
    GaveUp,
    /// Two living processes use the receiver's identity, and take turns: the sender lets in neither for a while.
    Twin,
    /// The two share no version of the wire format.
    NoSharedVersion,
    /// What only a later version knows.
    Newer(u8),
}

/// In the order of their numbers, from 0.
const FAREWELLS: [Farewell; 8] = [
    Farewell::Shutdown,
    Farewell::Unneeded,
    Farewell::Busy,
    Farewell::WrongNetwork,
    Farewell::Violation,
    Farewell::GaveUp,
    Farewell::Twin,
    Farewell::NoSharedVersion,
];

impl From<u8> for Farewell {
    fn from(number: u8) -> Farewell {
        let known = FAREWELLS.get(usize::from(number)).copied();
        known.unwrap_or(Farewell::Newer(number))
    }
}

impl From<Farewell> for u8 {
    fn from(farewell: Farewell) -> u8 {
        match farewell {
            Farewell::Newer(number) => number,
            known => FAREWELLS
                .iter()
                .position(|one| *one == known)
                .unwrap_or(FAREWELLS.len()) as u8,
        }
    }
}

/// A one-shot message: asked once, answered at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OneShot {
    /// "I want a place on the ring": routed to the joiner's own key; every peer on the way adds what it knows.
    Join {
        /// Who joins.
        joiner: SignedRecord,
        /// What was gathered on the way, at most [`MAX_RECORDS`].
        gathered: Vec<SignedRecord>,
    },
    /// "Where does this peer live?": routed to its key.
    Locate(PeerId),
    /// "Who stands next to you?": to a neighbour, for the repair and the audit of the leaf set.
    Leaves(SignedRecord),
    /// "Whom do you know in this row of my table?": to a neighbour of that row.
    Row(u8),
    /// "This neighbour of yours did not answer me": the receiver pings at once and believes its own evidence only.
    Suspect(PeerId),
    /// Of a layer above.
    Above {
        /// Which.
        port: Port,
        /// What it says, for that layer to read.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// To whoever stands nearest to a key, which the question is routed to.
    Nearest {
        /// Where it goes.
        key: Key,
        /// What is asked there.
        question: Box<directory::message::Question>,
    },
    /// To this very peer, of the directory.
    Directory(Box<directory::message::Question>),
}

/// The answer to a [`OneShot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The first in every version: the asker wrote in a version that is not spoken here; these are.
    Versions(Versions),
    /// To `Join`, `Locate`, `Leaves`, `Row`: at most [`MAX_RECORDS`].
    Records(Vec<SignedRecord>),
    /// To `Suspect`: nothing to say.
    Nothing,
    /// Of the layer that was asked.
    Above(#[serde(with = "serde_bytes")] Vec<u8>),
    /// To `Above`: nobody stands at that port here, or nobody there can read what was asked.
    Unread,
    /// To `Nearest`.
    Nearest {
        /// Its sender's own record and those of its leaf set.
        around: Vec<SignedRecord>,
        /// What it says.
        reply: Box<directory::message::Reply>,
    },
    /// To `Directory`.
    Directory(Box<directory::message::Reply>),
}

/// Bytes of a frame or a one-shot body at most, without the length prefix (protocol.md §7).
pub const MAX_FRAME: usize = 64 * 1024;

/// Records in one answer at most: 64, some 16 KiB.
pub const MAX_RECORDS: usize = 64;

/// A one-shot message on its way through the overlay (protocol.md §3): greedy, with visited list and detours, signed by its
/// originator because peers carry it that nobody has to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    /// Whom it is for; routed to this peer's key. A `Join` is for whoever stands nearest to the joiner; a `Nearest`, which is routed to a key of its
    /// own, names its asker.
    pub target: PeerId,
    /// The peers that it has been with, the originator first; the way back for the answer.
    pub visited: Vec<Tag>,
    /// Detour credits left.
    pub detours: u8,
    /// What it says.
    pub body: Signed<OneShot>,
}

/// The answer to a [`Routed`], source-routed: each peer pops itself off the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedAnswer {
    /// The peers still to go, the originator of the question first.
    pub trail: Vec<Tag>,
    /// What it says.
    pub body: Signed<Answer>,
}

/// Something said by a peer that others may carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// Who says it.
    pub from: PeerId,
    /// To whom.
    pub to: PeerId,
    /// The asker's number of the question; an answer repeats it.
    pub number: u64,
    /// What is said.
    pub body: T,
    /// Ed25519 over all of the above, with a context that tells questions from answers.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
}

/// What is needed to send an answer back over the way a routed question came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// The link that brought the question.
    pub link: LinkId,
    /// The trail of the answer.
    pub trail: Vec<Tag>,
    /// Who asked.
    pub asker: PeerId,
    /// The asker's number.
    pub number: u64,
}

/// Where a peer can be dialled, as it says itself; see [`SignedRecord`] for the form that others carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Who.
    pub peer: PeerId,
    /// Where; at most `Config::max_addresses`.
    pub addresses: Vec<Multiaddr>,
    /// The newest record of a peer counts: milliseconds since 1970 at best, but only its growth matters.
    pub sequence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_farewell_has_a_number_and_so_has_one_that_is_not_known() {
        for number in 0..=u8::MAX {
            let farewell = Farewell::from(number);
            assert_eq!(u8::from(farewell), number);
            let known = usize::from(number) < FAREWELLS.len();
            assert_eq!(!matches!(farewell, Farewell::Newer(_)), known);
        }
    }
}
