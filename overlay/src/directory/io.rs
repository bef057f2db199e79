//! What goes into the directory and what comes out of it.

use libp2p_identity::PeerId;

use super::message::{Question, Refusal};
use super::record::{Entry, Name, Order};
use crate::Key;

/// Names an order to the directory in the event that answers it; numbered by the layer above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A question of ours to a keeper, or to whoever stands nearest; numbered by the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AskId(pub(crate) u64);

/// Orders to the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Publish, and go on publishing: replaces what this peer has published under the name. Ends in [`Event::Published`] or
    /// [`Event::NotPublished`].
    Publish {
        /// Of the event.
        ticket: Ticket,
        /// What.
        publication: Publication,
    },
    /// Publish no more: the record expires.
    Forget {
        /// Which.
        name: Name,
    },
    /// What stands under this name? Answered by [`Event::Found`].
    Find {
        /// Of the event.
        ticket: Ticket,
        /// Which.
        name: Name,
    },
    /// Be the first of this name. Answered by [`Event::Claimed`].
    Claim {
        /// Of the event.
        ticket: Ticket,
        /// Which.
        name: Name,
    },
    /// Who stands nearest to this key? Answered by [`Event::Nearest`].
    Nearest {
        /// Of the event.
        ticket: Ticket,
        /// Which.
        key: Key,
    },
}

/// What is to stand under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The name.
    pub name: Name,
    /// A later one replaces an earlier one.
    pub order: Order,
    /// Who may replace it besides this peer.
    pub signers: Vec<PeerId>,
    /// What the name named is dissolved: published once, and kept for an hour.
    pub tombstone: bool,
    /// For whoever finds it.
    pub body: Vec<u8>,
}

/// What the layer above is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The greater half of the keepers have it. From now on it is refreshed.
    Published {
        /// Of the order.
        ticket: Ticket,
        /// Under which name.
        name: Name,
    },
    /// They do not; it is given up, and what some keep of it expires.
    NotPublished {
        /// Of the order.
        ticket: Ticket,
        /// Under which name.
        name: Name,
        /// Why.
        why: NotPublished,
    },
    /// A record of ours was replaced by one of its signers: it is not published any more.
    Superseded {
        /// The other one.
        theirs: Entry,
    },
    /// Some keep another record of a name that we publish, and neither may replace the other. Ours is published on.
    Conflict {
        /// The other one.
        theirs: Entry,
    },
    /// The end of a search.
    Found {
        /// Of the order.
        ticket: Ticket,
        /// Which name.
        name: Name,
        /// What it came to.
        outcome: Found,
    },
    /// The end of a claim.
    Claimed {
        /// Of the order.
        ticket: Ticket,
        /// Which name.
        name: Name,
        /// What it came to.
        outcome: Claimed,
    },
    /// Who stands nearest, as the nearest sees it; empty if nobody answered.
    Nearest {
        /// Of the order.
        ticket: Ticket,
        /// The nearest first.
        peers: Vec<PeerId>,
    },
}

impl Event {
    /// Of the order that it answers, if it answers one.
    pub fn ticket(&self) -> Option<Ticket> {
        match self {
            Event::Published { ticket, .. }
            | Event::NotPublished { ticket, .. }
            | Event::Found { ticket, .. }
            | Event::Claimed { ticket, .. }
            | Event::Nearest { ticket, .. } => Some(*ticket),
            Event::Superseded { .. } | Event::Conflict { .. } => None,
        }
    }
}

/// Why a record was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPublished {
    /// Another one is there.
    Taken(Box<Entry>),
    /// The keepers refuse.
    Refused(Refusal),
    /// This peer publishes as many as it may.
    TooMany,
    /// Too few keepers have answered.
    Silence,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This stands there; a tombstone perhaps.
    Record(Entry),
    /// Nothing: enough keepers say so who would know.
    Nobody,
    /// Nothing yet, and this peer is about to be the first.
    Claimed(PeerId),
    /// It is not known yet: to be asked again.
    Unsettled,
}

/// What a claim came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// This peer may be the first, for as long as a claim lasts: what it publishes has to have a larger incarnation than this.
    Granted {
        /// The last one that is remembered.
        incarnation: Option<u32>,
    },
    /// There is a record.
    Exists(Entry),
    /// Somebody else has claimed the name.
    Taken(PeerId),
    /// It is not known yet: to be asked again.
    Unsettled,
}

/// What the overlay has to do for the directory.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Ask whoever stands nearest to this key, through the overlay.
    AskNearest { ask: AskId, key: Key, question: Question },
    /// Ask this peer, directly.
    Ask {
        ask: AskId,
        peer: PeerId,
        question: Question,
    },
    /// Ask this peer through the overlay: there is no direct way.
    AskRouted {
        ask: AskId,
        peer: PeerId,
        question: Question,
    },
    /// For the layer above.
    Event(Event),
}
