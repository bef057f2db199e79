//! What was counted on a network.

use std::collections::BTreeMap;

use crate::packet::Reject;

/// Why a datagram went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the text says it")]
pub enum Drop {
    NoRule,
    Ttl,
    Rate,
    NotUdp,
    Options,
    Damaged,
    TooLong,
    /// From a leader or a system leader that is none, or in a conversation that is over.
    Stale,
    /// Somebody else has delivered it.
    Duplicate,
    /// While this node was not sure of its place.
    Fenced,
    /// A leader sends what does not come from its network.
    ForeignSource,
    /// It was given up on the way, where a tunnel was too slow.
    Backlog,
    /// It could not be put on the wire.
    NotSent,
}

impl Drop {
    /// As in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Drop::NoRule => "no_rule",
            Drop::Ttl => "ttl",
            Drop::Rate => "rate",
            Drop::NotUdp => "not_udp",
            Drop::Options => "options",
            Drop::Damaged => "damaged",
            Drop::TooLong => "too_long",
            Drop::Stale => "stale",
            Drop::Duplicate => "duplicate",
            Drop::Fenced => "fenced",
            Drop::ForeignSource => "foreign_source",
            Drop::Backlog => "backlog",
            Drop::NotSent => "not_sent",
        }
    }
}

impl From<Reject> for Drop {
    fn from(reject: Reject) -> Drop {
        match reject {
            Reject::NotUdp => Drop::NotUdp,
            Reject::Options => Drop::Options,
            Reject::Damaged => Drop::Damaged,
            Reject::TooLong => Drop::TooLong,
        }
    }
}

/// Since this node has been on the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Captured as its leader.
    pub captured: u64,
    /// Sent to the system leader.
    pub sent: u64,
    /// Of these, such as were captured earlier and were missing.
    pub sent_again: u64,
    /// Put on the wire.
    pub injected: u64,
    /// Of these, such as may have been missing.
    pub injected_again: u64,
    /// Overheard: put on the wire by somebody else.
    pub overheard: u64,
    /// Lost in a tunnel on the way here.
    pub lost: u64,
    /// What went no further.
    pub dropped: BTreeMap<Drop, u64>,
}

impl Counts {
    /// One more went no further.
    pub fn drop(&mut self, why: impl Into<Drop>) {
        *self.dropped.entry(why.into()).or_default() += 1;
    }
}
