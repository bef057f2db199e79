//! How providers, proposals and decisions of a group are named (cluster.md §7). No name is ever used for two things.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::numbers::Node;

/// One life of a process in a group. A process that joins again is another provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProviderId {
    /// Where it runs.
    pub node: Node,
    /// 1, 2, 3 … of all that ever asked to join at that node.
    pub serial: u32,
}

/// One proposal; however often it is repeated, it is begun once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProposalId {
    /// Whose.
    pub provider: ProviderId,
    /// 1, 2, 3 … of its provider; its join is the first.
    pub number: u32,
}

/// What an application calls something that it has ordered. Chosen by whoever orders, and never looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The number of a decision, which only grows, also over groups of one name that follow each other: whoever guards something outside of the
/// group refuses who comes with an older one.
///
/// The group's incarnation, times 2³², plus how many protocols were approved in it. A count that overflows carries into the incarnation: that
/// is in seconds, and the next group of the name takes one larger than any known, so it stays ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(u64);

impl Epoch {
    /// The one before anything was approved.
    pub fn of(incarnation: u32) -> Epoch {
        Epoch(u64::from(incarnation) << 32)
    }

    /// As one number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The group's incarnation.
    pub fn incarnation(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }

    /// How many protocols were approved in this incarnation.
    pub fn count(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }

    /// The next one.
    pub(super) fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation(), self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_grow_through_counts_and_incarnations() {
        let first = Epoch::of(7);
        assert_eq!((first.incarnation(), first.count()), (7, 0));
        assert_eq!((first.next().incarnation(), first.next().count()), (7, 1));
        assert!(first < first.next() && first.next() < Epoch::of(8));
        let last = Epoch(Epoch::of(8).number() - 1);
        assert_eq!(last.next(), Epoch::of(8));
        assert_eq!(first.next().to_string(), "7.1");
    }
}
