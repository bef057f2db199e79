//! One link: everything that survives the sessions under it.

use std::time::Duration;

use libp2p_identity::PeerId;

use super::operations::Operations;
use super::peer_list::PeerList;
use super::pings::Pings;
use super::round_trip::RoundTrip;
use crate::message::LinkInstance;
use crate::{JointSet, Key, LinkId, Rule, Session, Tag, Time};

/// The monitored stream to one neighbour, as this end sees it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) id: LinkId,
    pub(super) peer: PeerId,
    key: Key,
    /// Names this life of the link in every `Hello`.
    pub(super) instance: LinkInstance,
    /// The other end's life.
    pub(super) incarnation: u64,
    /// What carries the link now; none between a break and the next `Hello`.
    pub(super) session: Option<Session>,
    pub(super) doubtful: bool,
    /// Whether somebody else told us of a missed answer since the last one that we got: then we do not tell others.
    pub(super) told: bool,
    /// Whether we have told the others since the last answer.
    pub(super) shared: bool,
    /// When we last told the others, whatever was answered since.
    pub(super) shared_at: Option<Time>,
    /// Pings sent since the link became doubtful.
    pub(super) retries: u32,
    /// When a session was last dialled beside a silent one.
    pub(super) beside: Option<Time>,
    pub(super) joined: bool,
    pub(super) wanted_by_us: bool,
    pub(super) wanted_by_them: bool,
    /// The other end's neighbours, as it told us.
    pub(super) neighbours: PeerList,
    /// Which version of our own neighbours the other end was told.
    pub(super) neighbours_told: u64,
    pub(super) joint: JointSet,
    /// Paths on this link as the other end counts them.
    pub(super) their_paths: u32,
    pub(super) operations: Operations,
    pub(super) pings: Pings,
    pub(super) round_trip: RoundTrip,
    /// When the newest ping that was answered had been sent; when the link was founded, before that.
    pub(super) proven: Time,
}

/// What is fixed when a link is founded.
pub(super) struct Founding {
    pub(super) id: LinkId,
    pub(super) peer: PeerId,
    pub(super) instance: LinkInstance,
    pub(super) incarnation: u64,
    pub(super) wanted_by_us: bool,
    pub(super) operations: Operations,
}

impl Link {
    pub(super) fn new(now: Time, founding: Founding) -> Link {
        Link {
            id: founding.id,
            peer: founding.peer,
            key: Key::of(&founding.peer),
            instance: founding.instance,
            incarnation: founding.incarnation,
            session: None,
            doubtful: false,
            told: false,
            shared: false,
            shared_at: None,
            retries: 0,
            beside: None,
            joined: false,
            wanted_by_us: founding.wanted_by_us,
            wanted_by_them: false,
            neighbours: PeerList::default(),
            neighbours_told: 0,
            joint: JointSet::default(),
            their_paths: 0,
            operations: founding.operations,
            pings: Pings::default(),
            round_trip: RoundTrip::default(),
            proven: now,
        }
    }

    /// Names the link to the layers above.
    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    /// The other end.
    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    /// The other end's key, computed once.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// The short form of the key.
    pub(crate) fn tag(&self) -> Tag {
        self.key.tag()
    }

    /// Whether something new may be sent over it: it has a session and is not doubtful ("new paths and routed messages avoid it",
    /// protocol.md §4).
    pub(crate) fn usable(&self) -> bool {
        self.session.is_some() && !self.doubtful
    }

    /// Whether an answer is missing or the session is broken.
    pub(crate) fn doubtful(&self) -> bool {
        self.doubtful
    }

    /// Whether the other end has joined; who has not is no next hop.
    pub(crate) fn joined(&self) -> bool {
        self.joined
    }

    /// Whether either end's ring wants the link.
    pub(crate) fn wanted(&self) -> bool {
        self.wanted_by_us || self.wanted_by_them
    }

    /// The other end's neighbours, at most [`super::MAX_NEIGHBOURS`], as it told last.
    pub(crate) fn neighbours(&self) -> &PeerList {
        &self.neighbours
    }

    /// How many paths run over it, as this end counts them.
    pub(crate) fn paths(&self) -> u32 {
        self.joint.paths
    }

    /// The smoothed round trip; `None` before the first answer.
    pub(crate) fn smoothed_round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }

    /// The other end's life.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether its session has missed an answer, and is doubted: it may be dead although nobody was told.
    pub(super) fn stuck(&self) -> bool {
        let missed = if !Rule::SilentAtFirstMiss.holds() { 2 } else { 1 };
        self.session.is_some() && self.doubtful && self.retries >= missed
    }

    /// Whether nothing holds the link: no ring wants it, no path runs over it, nothing waits on it.
    pub(super) fn idle(&self) -> bool {
        !self.wanted() && self.joint.paths == 0 && self.their_paths == 0 && self.operations.len() == 0
    }
}
