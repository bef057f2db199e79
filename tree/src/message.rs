//! What two ends of a link say to each other about paths: the glossary of protocol.md §5.
//!
//! [`Operation`]s change the joint set; the overlay numbers, acknowledges and replays them. [`Tell`]s are advice, lost with a session.

use fatebound_overlay::{PeerId, Tag};
use serde::{Deserialize, Serialize};

use crate::GroupId;

/// One attempt of a root to reach one member: `(group, member, epoch)`. A newer epoch replaces an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PathId {
    /// The group.
    pub group: GroupId,
    /// The member where the path ends.
    pub member: PeerId,
    /// 1, 2, 3 … per group and member.
    pub epoch: u32,
}

/// A change of the joint set of the link that carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// "I hand this path on to you": adds it to the joint set. Travels from the root towards the member.
    Construct {
        /// The path.
        path: PathId,
        /// The peers that it has been with, the root first.
        visited: Vec<Tag>,
        /// Detour credits left.
        detours: u8,
    },
    /// "The member has it": travels back along the path. Changes no set, but must not be lost.
    Confirm {
        /// The path.
        path: PathId,
        /// Links between the sender and the member.
        hops: u8,
    },
    /// "These paths are no more": removes each of them, by path, never by group. Batched.
    Release {
        /// What is released and why.
        paths: Vec<(PathId, Cause)>,
    },
    /// "This group has failed": removes these paths of it, and is forwarded on the receiver's other segments of the group.
    Fail {
        /// The paths on this link, all of one group.
        paths: Vec<PathId>,
        /// Signed by its originator; opaque to delegates.
        #[serde(with = "serde_bytes")]
        notice: Vec<u8>,
    },
}

/// Why a path is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// The member does not know the group (it restarted, or the group failed there).
    Unknown,
    /// The member has a newer epoch.
    Old,
    /// No next hop.
    NoRoute,
    /// Too many hops.
    HopLimit,
    /// A peer on the way is overloaded or at a limit; costs the root no attempt.
    Busy,
    /// A link on the way went down or lost its state.
    LinkDown,
    /// The link to the member, or to the root, went down with proof that this peer is dead. Hearsay for whoever hears it.
    Gone,
    /// The root, or the member, gave the path up for a newer epoch or because the group is over.
    Abandoned,
    /// The two ends of a link disagreed about it.
    Disagreed,
    /// A peer on the way stops in an orderly manner.
    Shutdown,
}

/// Unnumbered words about paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// The far end of these paths did not answer its neighbour: forwarded to the near end, root or member. No path is rebuilt for it.
    Suspected {
        /// The paths.
        paths: Vec<PathId>,
    },
    /// The whole joint set of this link as its sender sees it, in parts; sent when digests differ.
    List {
        /// Operations of the sender that the list contains.
        sent: u64,
        /// Operations of the receiver that the list contains.
        received: u64,
        /// This part's number, from 0.
        part: u32,
        /// How many parts there are.
        parts: u32,
        /// The paths of this part.
        paths: Vec<PathId>,
    },
}
