//! What goes into the tree and what comes out of it.

use fatebound_overlay::{JointSet, LinkId, PeerId};

use crate::GroupId;
use crate::message::{Cause, Operation, PathId, Tell};

/// What the overlay reports and the groups order.
#[derive(Clone, Debug)]
pub enum Input {
    /// A link is up, with nothing on it.
    LinkUp {
        /// The link.
        link: LinkId,
        /// Its other end.
        peer: PeerId,
        /// For the keyed digest.
        key: [u8; 32],
    },
    /// A link is down, and with it everything on it.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Whether its other end is proven dead.
        dead: bool,
    },
    /// A link missed an answer, on our own evidence: the far ends of the paths that end or begin at its peer are told.
    LinkDoubtful {
        /// The link.
        link: LinkId,
        /// Operations that it was handed and that its other end has not acknowledged, the newest first: at most [`crate::LOOKED_THROUGH`] are read.
        unacknowledged: Vec<Operation>,
    },
    /// An operation of the other end.
    Operation {
        /// On which link.
        link: LinkId,
        /// What.
        operation: Operation,
    },
    /// Words of the other end.
    Told {
        /// On which link.
        link: LinkId,
        /// What.
        tell: Tell,
    },
    /// The joint set as the other end sees it.
    JointSetSeen {
        /// On which link.
        link: LinkId,
        /// As in its ping.
        joint: JointSet,
    },
    /// Root: start a path. Answered by `Live` or `Broken`.
    Construct {
        /// The path, of a new epoch.
        path: PathId,
        /// Where its first hop goes.
        via: Via,
    },
    /// Member: it knows the group and takes the path that arrived.
    Confirm {
        /// The path.
        path: PathId,
    },
    /// Root or member: end this path. Member, for one that arrived: refuse it.
    Release {
        /// The path.
        path: PathId,
        /// Why.
        cause: Cause,
    },
    /// Root or member: the group has failed here. Drops all paths of the group that this peer is an end of or carries, and sends `Fail` along
    /// them.
    Fail {
        /// The group.
        group: GroupId,
        /// The signed notice.
        notice: Vec<u8>,
    },
    /// Root or member: take the group's paths out of the joint sets and say nothing (protocol.md §4, "silence for one group
    /// only"). Later words about the group are swallowed for as long as the group layer says so.
    Silence {
        /// The group.
        group: GroupId,
    },
    /// The group layer no longer remembers that it keeps silent about this group.
    Unsilence {
        /// The group.
        group: GroupId,
    },
    /// Release every path that this peer merely carries: it stops.
    Shutdown,
}

/// Where the first hop of a path goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Where routing says.
    Overlay,
    /// The n-th neighbour (modulo their number) that the root shares with the member; where routing says if there is none.
    CommonNeighbour(u32),
    /// The link to the member itself; no delegate.
    Direct,
}

/// What the tree wants sent, or tells the groups.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a numbered operation.
    Operate {
        /// On which link.
        link: LinkId,
        /// What.
        operation: Operation,
    },
    /// Send words.
    Tell {
        /// On which link.
        link: LinkId,
        /// What.
        tell: Tell,
    },
    /// The joint set of a link has changed.
    JointSet {
        /// Which link.
        link: LinkId,
        /// The set now.
        joint: JointSet,
    },
    /// The other end broke the protocol; end the link.
    Violation {
        /// Which link.
        link: LinkId,
        /// For the log.
        what: &'static str,
    },
    /// The two ends do not agree about their paths, and nothing settles it; end the link as if it were silent.
    GiveUp {
        /// Which link.
        link: LinkId,
    },
    /// The word that a group has failed was handed to a doubtful link, and should go around it.
    FailStuck {
        /// The paths that it speaks of.
        paths: Vec<PathId>,
        /// The signed notice.
        notice: Vec<u8>,
    },
    /// For the groups.
    Event(Event),
}

/// What the groups are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Root: the path is confirmed.
    Live {
        /// The path.
        path: PathId,
        /// Links from the root to the member.
        hops: u8,
    },
    /// Member: a path to us has arrived; answer with `Confirm` or `Release`.
    Arrived {
        /// The path.
        path: PathId,
    },
    /// Root or member: a path of ours broke (soft failure).
    Broken {
        /// The path.
        path: PathId,
        /// Why.
        cause: Cause,
    },
    /// Root or member: a `Fail` came along a path of ours, which is dropped. To be verified; if it is false, this was a `Release`.
    Failed {
        /// The path, or one of them per event.
        path: PathId,
        /// The notice.
        notice: Vec<u8>,
    },
    /// Root or member: the far end of this path is suspected by its neighbour. The path stays.
    Suspected {
        /// The path.
        path: PathId,
    },
}
