//! How things of a process group are named (cluster.md §2). None of these numbers is ever used for two things.

use std::fmt;

use fatebound_base::PeerId;
use serde::{Deserialize, Serialize};

/// One life of a peer. A peer that starts again is another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Who.
    pub peer: PeerId,
    /// In which life: the random number that it drew at its start.
    pub incarnation: u64,
}

/// 0, 1, 2 … within one group; consecutive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ViewNumber(pub u64);

impl ViewNumber {
    /// The number of the predecessor; of the first view its own.
    pub fn before(self) -> ViewNumber {
        ViewNumber(self.0.saturating_sub(1))
    }

    /// The number of the successor.
    pub fn next(self) -> ViewNumber {
        ViewNumber(self.0.saturating_add(1))
    }

    /// Whether this is the successor of the view of that number.
    pub fn follows(self, earlier: ViewNumber) -> bool {
        self.0.checked_sub(1) == Some(earlier.0)
    }
}

impl fmt::Display for ViewNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An attempt to decide the successor of a view: a round, and the place in the view of the voter who coordinates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// 0 for what the leader has planned, 1, 2, 3 … for everything else.
    pub round: u32,
    /// The coordinator's place; 0 is the leader's.
    pub place: u32,
}

impl Ballot {
    /// The ballot of what a view's leader plans. Everybody in the view has promised it from the start.
    pub const PLANNED: Ballot = Ballot { round: 0, place: 0 };
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.round, self.place)
    }
}

/// The number of an entry: 1, 2, 3 … over all views of a group; 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
