//! One group, as a row of the table: what this peer is in it, who else is, and how far each of them has come.

use fatebound_overlay::{PeerId, Time};
use fatebound_tree::GroupId;

use crate::config::Timings;
use crate::lives::LifeIx;
use crate::peers::PeerIx;
use crate::same_timings::TimingsIx;

/// Names one far end of one group: at the root, the path's member; at a member (index 0), the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// The group's place in the table.
    pub(crate) slot: u32,
    /// The far end's place in the group.
    pub(crate) index: u32,
}

/// How far a far end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Neither a member nor an observer: it said no, nobody has its address, or it has left.
    Out,
    /// Invited, not answered.
    Asked,
    /// A member or an observer, or the root; its first path is not up yet.
    Accepted,
    /// In the group, and the path of the current epoch is up.
    Live {
        /// Since when.
        since: Time,
        /// Root: the path's hops.
        hops: u8,
    },
    /// In the group, and its path is being repaired.
    Broken,
}

impl Phase {
    /// Whether it counts: it has accepted, and has not left.
    pub(crate) fn is_in(self) -> bool {
        !matches!(self, Phase::Out | Phase::Asked)
    }

    /// Whether its path is up.
    pub(crate) fn is_live(self) -> bool {
        self.hops().is_some()
    }

    /// The hops of its path, if that is up.
    pub(crate) fn hops(self) -> Option<u8> {
        match self {
            Phase::Live { hops, .. } => Some(hops),
            _ => None,
        }
    }
}

/// What this peer is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Created it.
    Root,
    /// Its failure fails the group.
    Member,
    /// Is told, and its failure is nobody's.
    Observer,
}

/// How far a group has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Root: not every member has accepted yet.
    Creating,
    /// Its members are in it.
    Complete,
    /// Member or observer: this peer wants to go.
    Leaving,
}

/// The far end of a path of ours.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Far {
    pub(crate) peer: PeerIx,
    /// In the peer's list of far ends.
    pub(crate) position: u32,
    /// Root: newest epoch constructed. Member: newest epoch confirmed. 0: none.
    pub(crate) epoch: u32,
    pub(crate) phase: Phase,
    /// Root: whether it only observes.
    pub(crate) observer: bool,
}

/// One group.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Group {
    pub(crate) sequence: u64,
    /// For the order in which groups came.
    pub(crate) born: u64,
    pub(crate) life: LifeIx,
    /// Shared with others: see `same_timings`.
    pub(crate) timings: TimingsIx,
    pub(crate) tag: Option<Box<str>>,
    /// Root: one per member. Member: the root.
    pub(crate) far: Box<[Far]>,
    /// Member: all members but the root, as far as listed.
    pub(crate) listed: Box<[PeerIx]>,
    /// Number of the newest list of members: made at the root, known at a member.
    pub(crate) list: u32,
    pub(crate) role: Role,
    pub(crate) stage: Stage,
    /// Root: whether it has ever had more members than a list holds.
    pub(crate) large: bool,
}

impl Group {
    /// Whether this peer is its root.
    pub(crate) fn is_root(&self) -> bool {
        self.role == Role::Root
    }

    /// Root: the far ends that count, or may soon: all but those that are out.
    pub(crate) fn parties(&self) -> impl Iterator<Item = &Far> {
        self.far.iter().filter(|far| far.phase != Phase::Out)
    }

    /// Root: the other members.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Far> {
        self.parties().filter(|far| !far.observer)
    }
}

/// What a new group is made of.
#[derive(Debug)]
pub(crate) struct NewGroup<'a> {
    pub(crate) id: GroupId,
    pub(crate) role: Role,
    pub(crate) timings: Timings,
    pub(crate) tag: Option<&'a str>,
    pub(crate) far: &'a [PeerId],
    pub(crate) listed: &'a [PeerId],
    pub(crate) list: u32,
    pub(crate) phase: Phase,
}
