//! What a node knows of its group, as values.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_tree::GroupId;

use super::message::GuardRequest;
use crate::log::Log;
use crate::numbers::{Ballot, Node, Seq, ViewNumber};
use crate::view::{View, Voter};

/// How a node stands to its group.
#[derive(Clone, Debug, Hash)]
pub(super) enum Standing {
    /// In no view yet.
    Joining {
        /// It comes in with a view behind this one.
        behind: Option<ViewNumber>,
        /// The last view in which it was, if it was put out: it may be the only one that can tell the others how that ended.
        past: Option<Box<Past>>,
    },
    /// In a view.
    Member(Box<Member>),
    /// The group goes on without it.
    Gone(Box<Gone>),
}

/// A node in a view.
#[derive(Clone, Debug, Hash)]
pub(super) struct Member {
    pub view: View,
    /// Its own place among the voters.
    pub place: usize,
    pub log: Log,
    /// Takes part in no earlier attempt than this.
    pub promised: Ballot,
    /// What it has accepted, and in which attempt.
    pub accepted: Option<(Ballot, View)>,
    /// The largest round it has heard of.
    pub highest: u32,
    pub stage: Stage,
    /// Guards that this node has ordered in this view.
    pub ordered: u32,
    /// A guard that is being created here, for this node or another coordinator.
    pub making: Option<Making>,
    /// Decided, but entries before its cut are missing here.
    pub pending: Option<View>,
    pub past: Option<Past>,
}

/// What a node does in its view.
#[derive(Clone, Debug, Hash)]
pub(super) enum Stage {
    /// The stream goes on; at the leader, perhaps with a change under way.
    Normal(Option<Attempt>),
    /// The stream has stopped; somebody will coordinate.
    Wedged,
    /// This node coordinates.
    Coordinating(Attempt),
}

/// One attempt to decide the next view, at its coordinator.
#[derive(Clone, Debug, Hash)]
pub(super) struct Attempt {
    pub ballot: Ballot,
    /// Who has promised, by place.
    pub promises: BTreeMap<usize, Promised>,
    /// Patience with the others is over.
    pub patient: bool,
    /// The number of the guard that it has ordered last.
    pub guard: u32,
    pub repetitions: u32,
    pub phase: Phase,
}

/// What a promise says.
#[derive(Clone, Debug, Hash)]
pub(super) struct Promised {
    pub accepted: Option<(Ballot, View)>,
    pub have: Seq,
}

/// How far an attempt is.
#[derive(Clone, Debug, Hash)]
pub(super) enum Phase {
    /// Promises come in.
    Promises,
    /// The guard is being created; a planned change has its cut only when that is there.
    Guarding { voters: Vec<Voter>, cut: Option<Seq> },
    /// A value is proposed; the places of those who have accepted it.
    Accepting { next: View, accepted: BTreeSet<usize> },
}

/// A guard under construction.
#[derive(Clone, Debug, Hash)]
pub(super) struct Making {
    pub request: GuardRequest,
    pub coordinator: Node,
    /// Once known: the guard, or who refused.
    pub answer: Option<Result<GroupId, Vec<Node>>>,
}

/// The view before: over here, and perhaps not everywhere.
#[derive(Clone, Debug, Hash)]
pub(super) struct Past {
    pub number: ViewNumber,
    pub guard: GroupId,
    pub log: Log,
    /// Its successor.
    pub next: View,
    /// Who has not said yet that the successor is installed; of interest to its leader and to whoever decided it.
    pub waiting: BTreeSet<Node>,
    pub tellings: u32,
}

/// A node that is in the group no more.
#[derive(Clone, Debug, Hash)]
pub(super) struct Gone {
    /// In this view, or a later one.
    pub view: ViewNumber,
    /// Its leader.
    pub leader: Node,
    /// The last view in which it was, if its successor is known here.
    pub past: Option<Past>,
}

impl Member {
    /// A node that begins in a view.
    pub fn new(view: View, place: usize, past: Option<Past>) -> Member {
        let log = Log::new(view.cut);
        Member {
            view,
            place,
            log,
            promised: Ballot::PLANNED,
            accepted: None,
            highest: 0,
            stage: Stage::Wedged,
            ordered: 0,
            making: None,
            pending: None,
            past,
        }
    }

    /// Whose attempt this is.
    pub fn owner(&self, ballot: Ballot) -> Option<Node> {
        let place = usize::try_from(ballot.place).ok()?;
        self.view.voters.get(place).map(|voter| voter.node)
    }

    /// Remembers that a round exists, so that the own next one is larger.
    pub fn saw(&mut self, ballot: Ballot) {
        self.highest = self.highest.max(ballot.round);
    }

    pub fn is_normal(&self) -> bool {
        matches!(self.stage, Stage::Normal(_))
    }

    /// The attempt that this node coordinates.
    pub fn attempt(&mut self) -> Option<&mut Attempt> {
        match &mut self.stage {
            Stage::Normal(attempt) => attempt.as_mut(),
            Stage::Wedged => None,
            Stage::Coordinating(attempt) => Some(attempt),
        }
    }

    /// The same, for reading.
    pub fn attempt_ref(&self) -> Option<&Attempt> {
        match &self.stage {
            Stage::Normal(attempt) => attempt.as_ref(),
            Stage::Wedged => None,
            Stage::Coordinating(attempt) => Some(attempt),
        }
    }

    /// Everybody in the view but this node.
    pub fn others(&self) -> impl Iterator<Item = Node> + '_ {
        let nodes = self.view.voters.iter().map(|voter| voter.node).enumerate();
        nodes.filter(|(place, _)| *place != self.place).map(|(_, node)| node)
    }
}

impl Past {
    /// Everybody in the successor has said that it is there.
    pub fn all_here(&self) -> bool {
        !self.waiting.iter().any(|node| self.next.contains(*node))
    }
}
