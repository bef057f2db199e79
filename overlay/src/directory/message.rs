//! What peers say to each other about the directory (protocol.md §3.1): questions, and the answers to them.

use libp2p_identity::PeerId;
use serde::{Deserialize, Serialize};

use super::record::{Entry, Name};
use crate::Key;

/// Digests in one offer at most.
pub(crate) const MAX_OFFERED: usize = 512;
/// Bytes of records in one message at most: a message has room for what surrounds them.
pub(crate) const MAX_HANDED: usize = 40 * 1024;

/// A question to a keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Who stands near? Nothing else.
    Near,
    /// What stands under this name?
    Find(Name),
    /// May I be the first of this name?
    Claim {
        /// Which.
        name: Name,
        /// The claimant's.
        nonce: u64,
    },
    /// The claim of this nonce is given back.
    Unclaim {
        /// Of which name.
        name: Name,
        /// The claimant's.
        nonce: u64,
    },
    /// Keep this; from its publisher.
    Publish(Box<Entry>),
    /// What you are a keeper of now: keys of names, and digests of their records.
    Offer(Vec<(Key, u64)>),
    /// The records that you wanted.
    Handover(Vec<Aged>),
}

/// A record on its way from keeper to keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aged {
    /// The record.
    pub entry: Entry,
    /// Milliseconds since its publisher said so.
    pub age: u32,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Nothing to say.
    Noted,
    /// This stands under the name.
    Record(Box<Entry>),
    /// Nothing does; it counts if the keeper is settled.
    Nobody {
        /// Whether it is.
        settled: bool,
    },
    /// Nothing does yet, and this peer is about to be the first.
    Claimed {
        /// Who.
        by: PeerId,
    },
    /// The claim is granted.
    Granted {
        /// The last incarnation that is remembered here.
        incarnation: Option<u32>,
    },
    /// Not known yet: the keeper is not settled.
    Unsettled,
    /// The record is kept.
    Stored,
    /// It is not: this one is there.
    Other(Box<Entry>),
    /// It is not done.
    Refused(Refusal),
    /// What becomes of what was offered. The rest is here already.
    Want {
        /// This is to be handed over.
        wanted: Vec<Key>,
        /// Of this the receiver is no keeper, as far as it knows: it will not have it.
        declined: Vec<Key>,
    },
    /// What is kept here instead of some that were handed over.
    Handed(Vec<Aged>),
}

/// Why a keeper does not do it. Nothing has changed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Beyond a limit, or not signed by its publisher.
    #[error("the record breaks a rule")]
    Malformed,
    /// The keeper has no room.
    #[error("the peers that would keep it have no room")]
    Full,
    /// The keeper has as much of this peer as it takes of one.
    #[error("the peers that would keep it keep as many of one publisher as they may")]
    TooMany,
    /// The receiver is none of the keepers, as far as it knows.
    #[error("the peer that was asked does not stand near the name")]
    NotNear,
    /// Somebody else is about to be the first.
    #[error("somebody else has claimed the name")]
    Claimed,
}
