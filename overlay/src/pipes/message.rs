//! What the two ends of a pipe say to each other (protocol.md §3.2).

use serde::{Deserialize, Serialize};

use super::io::Port;
use crate::Versions;
use crate::message::MAX_FRAME;

/// Bytes of one body at most: with what surrounds it, it would still fit a frame.
pub const MAX_BODY: usize = MAX_FRAME - 64;
/// Bytes of a body in one frame at most: what takes its turn is a part, not a body.
pub(crate) const MAX_PART: usize = 16 * 1024;
/// What a body counts in windows and queues beyond its bytes, so that empty ones are bounded too.
pub(crate) const OVERHEAD: usize = 32;

/// A frame of a pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The first frame, in either direction.
    Opening(Box<Opening>),
    /// A part of a body; bodies of one port follow each other, parts of different ports take turns.
    Part(Part),
    /// So much more may be sent to this port, where somebody is.
    Credit {
        /// Which.
        port: Port,
        /// How much more.
        bytes: u32,
    },
    /// Nobody is at this port, what is sent there is thrown away.
    Refused {
        /// Which.
        port: Port,
    },
    /// All parts up to this byte of the pipe have been taken.
    Taken {
        /// Bytes of parts since the pipe was opened.
        bytes: u64,
    },
    /// I have nothing to send: let us close.
    Rest,
    /// I close, and why.
    Farewell(Farewell),
}

/// Who opens, and what for. The same in all versions of the wire format, but for what they add at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The versions that the sender speaks.
    pub versions: Versions,
    /// What the sender's network is called.
    pub network: String,
    /// The sender's life.
    pub incarnation: u64,
    /// The life of the receiver that is meant, where the sender knows it.
    pub to: Option<u64>,
    /// Counts the pipes that the sender has opened; whoever answers says the last one, and those up to it mean nothing any more.
    pub number: u64,
    /// Where somebody is at the sender's end, and how much may be sent there.
    pub ports: Vec<(Port, u32)>,
    /// What later versions say besides; whoever does not know it leaves it unread.
    #[serde(with = "serde_bytes")]
    pub more: Vec<u8>,
}

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// For whom.
    pub port: Port,
    /// A body begins here.
    pub first: bool,
    /// It ends here.
    pub last: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Part {
    /// What it counts.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + if self.first { OVERHEAD } else { 0 }
    }
}

/// Why an end closes, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Farewell {
    /// It belongs to another network, which is called so.
    OtherNetwork(String),
    /// Another life of it was meant.
    OldLife,
    /// It bears no more pipes.
    Busy,
    /// It stops.
    Stopping,
    /// A rule was broken.
    Violation,
    /// It speaks these versions of the wire format, none of the other end's.
    NoSharedVersion(Versions),
}

/// What a body counts in windows and queues.
pub fn cost(body: &[u8]) -> usize {
    body.len() + OVERHEAD
}
