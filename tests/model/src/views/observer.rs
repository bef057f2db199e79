//! What an observer notes of all nodes, and what of it must not be (cluster.md §1).

use std::collections::{BTreeMap, BTreeSet};

use fatebound_cluster::{Node, View};

/// G1: "per number at most one view is ever installed".
pub const ONE_VIEW: &str = "G1: one view per number";
/// G2: "each node's views follow one another".
pub const CONSECUTIVE: &str = "G2: a node's views follow one another";
/// G3: "consecutive views share a quorum of the earlier one", not counting whom the leader let go.
pub const SHARED_QUORUM: &str = "G3: consecutive views share a quorum of the earlier one";
/// G4: "nobody installs a view that it is not in".
pub const IN_IT: &str = "G4: nobody installs a view that it is not in";
/// G5: "whoever is in two views that follow each other has delivered the same entries in the first".
pub const SAME_ENTRIES: &str = "G5: members of two consecutive views delivered the same in the first";
/// G7: "the leader is the oldest voter".
pub const OLDEST_LEADS: &str = "G7: voters stay in order, and the oldest is the guard's root";
/// G9: "what was delivered as safe is delivered by every member of the next view".
pub const SAFE_STAYS: &str = "G9: what is safe is before the cut";
/// G21: "a connected quorum in which nothing happens any more ends in one view".
pub const ENDS_IN_ONE_VIEW: &str = "G21: a quiet connected quorum ends in one view";

/// All of them.
pub const PROMISES: [&str; 8] = [
    ONE_VIEW,
    CONSECUTIVE,
    SHARED_QUORUM,
    IN_IT,
    SAME_ENTRIES,
    OLDEST_LEADS,
    SAFE_STAYS,
    ENDS_IN_ONE_VIEW,
];

/// What was seen.
#[derive(Clone, Debug, Default, Hash)]
pub struct Observer {
    /// The first view of each number that was installed anywhere.
    pub installed: BTreeMap<u64, View>,
    /// What those who went on from a view had delivered in it.
    delivered: BTreeMap<u64, Vec<u8>>,
    /// The last entry that a leader held for safe.
    safe: BTreeMap<u64, u64>,
    /// Whom leaders were told to let go.
    pub let_go: BTreeSet<Node>,
    /// What was broken.
    pub broken: BTreeSet<&'static str>,
}

impl Observer {
    fn check(&mut self, holds: bool, promise: &'static str) {
        if !holds {
            self.broken.insert(promise);
        }
    }

    /// A node has installed a view; `before` is the number of the one in which it was.
    pub fn installs(&mut self, node: Node, before: Option<u64>, view: &View) {
        let number = view.number.0;
        self.check(view.contains(node), IN_IT);
        self.check(before.is_none_or(|before| number == before + 1), CONSECUTIVE);
        let leader = view.leader().map(|leader| leader.peer);
        self.check(leader == Some(view.guard.root), OLDEST_LEADS);
        match self.installed.get(&number) {
            Some(other) => self.check(*other == *view, ONE_VIEW),
            None => {
                self.installed.insert(number, view.clone());
                self.compare(number);
            }
        }
    }

    /// A view of this number against the one before it.
    fn compare(&mut self, number: u64) {
        let before = number.checked_sub(1).and_then(|before| self.installed.get(&before));
        let (Some(before), Some(view)) = (before, self.installed.get(&number)) else {
            return;
        };
        let stays = |node: Node| view.contains(node) || self.let_go.contains(&node);
        let shared = before.voters.iter().enumerate().filter(|(_, voter)| stays(voter.node));
        let shared = shared.map(|(place, _)| place).collect();
        let quorum = before.policy.is_quorum(&before.voters, &shared, &BTreeSet::new());
        let places: Vec<_> = view
            .voters
            .iter()
            .filter_map(|voter| before.place(voter.node))
            .collect();
        let known = view.voters.iter().map(|voter| before.contains(voter.node));
        let in_order = places.is_sorted() && known.is_sorted_by(|a, b| a >= b);
        let safe = self.safe.get(&(number - 1)).is_none_or(|safe| *safe <= view.cut.0);
        let priced = !before.policy.is_safe();
        self.check(quorum || priced, SHARED_QUORUM);
        self.check(in_order, OLDEST_LEADS);
        self.check(safe, SAFE_STAYS);
    }

    /// A node that goes on from a view has delivered all of it; `early` is what it had delivered before it knew the cut.
    pub fn delivers(&mut self, view: u64, early: &[u8], all: Vec<u8>) {
        self.check(all.starts_with(early), SAME_ENTRIES);
        match self.delivered.get(&view) {
            Some(other) => self.check(*other == all, SAME_ENTRIES),
            None => {
                self.delivered.insert(view, all);
            }
        }
    }

    /// A leader knows that everybody in its view has this entry.
    pub fn safe(&mut self, view: u64, seq: u64) {
        let safe = self.safe.entry(view).or_default();
        *safe = seq.max(*safe);
        let kept = self.installed.get(&(view + 1)).is_none_or(|next| next.cut.0 >= seq);
        self.check(kept, SAFE_STAYS);
    }
}
