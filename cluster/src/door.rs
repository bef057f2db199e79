//! The door of a group, at its leader: who wants in, who wants out, and what becomes of it in the next view.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_base::{Bounded, PeerId, Time};

use crate::numbers::Node;
use crate::view::{MAX_VOTERS, View, Voter};

/// Who waits. What it says is lost with the leader, and said again to the next one.
#[derive(Debug, Default)]
pub(crate) struct Door {
    inward: BTreeMap<PeerId, Voter>,
    outward: BTreeSet<Node>,
    /// No change is planned before this time: the last one has come to nothing.
    not_before: Option<Time>,
}

/// What the next view is to change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub insert: Vec<Voter>,
    pub remove: Vec<Node>,
}

impl Door {
    /// A node wants in. The last life of a peer counts. Says whether it is noted: not if there is no room.
    pub(crate) fn wants_in(&mut self, voter: Voter, limit: usize) -> bool {
        let room = self.inward.len() < limit || self.inward.contains_key(&voter.node.peer);
        if room {
            self.inward.insert(voter.node.peer, voter);
        }
        room
    }

    /// A node wants out. Says whether it is noted: not if there is no room.
    pub(crate) fn wants_out(&mut self, node: Node, limit: usize) -> bool {
        let room = self.outward.len() < limit || self.outward.contains(&node);
        if room {
            self.outward.insert(node);
        }
        room
    }

    /// A change has come to nothing; these did not accept its guard, and have to ask again.
    pub(crate) fn refused(&mut self, nodes: &[Node], again: Time) {
        self.inward.retain(|_, voter| !nodes.contains(&voter.node));
        self.not_before = Some(again);
    }

    /// A view begins here; those who are in it are inside. Those who are not any more may wait for another leader.
    pub(crate) fn installed(&mut self, view: &View, leads: bool) {
        self.not_before = None;
        if leads {
            self.inward.retain(|_, voter| !view.contains(voter.node));
            self.outward.retain(|node| view.contains(*node));
        } else {
            *self = Door::default();
        }
    }

    /// When there may be something to plan again.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.not_before
    }

    pub(crate) fn on_wake(&mut self, now: Time) {
        self.not_before.take_if(|at| *at <= now);
    }

    /// What the next view is to change, if anything is; as many newcomers as it may have (V8), in the order of their names.
    pub(crate) fn plan(&self, view: &View) -> Option<Change> {
        if self.not_before.is_some() {
            return None;
        }
        let mut remove: Vec<Node> = self
            .outward
            .iter()
            .copied()
            .filter(|node| view.contains(*node))
            .collect();
        let room = MAX_VOTERS
            .saturating_sub(view.voters.len().saturating_sub(remove.len()))
            .min(view.voters.len());
        let newcomers = self.inward.values().filter(|voter| !view.contains(voter.node));
        let insert: Vec<Voter> = newcomers.take(room).cloned().collect();
        if remove.len() == view.voters.len() {
            // Somebody has to know the group when the next view begins: if all want to go the leader goes last, and alone it takes the group with it.
            remove.retain(|node| view.leader() != Some(*node));
        }
        (!insert.is_empty() || !remove.is_empty()).then_some(Change { insert, remove })
    }

    pub(crate) fn bounds(&self, limit: usize) -> [Bounded; 2] {
        [
            Bounded::new("nodes that want into a group", self.inward.len(), limit),
            Bounded::new("nodes that want out of a group", self.outward.len(), limit),
        ]
    }
}

#[cfg(test)]
mod tests {
    use fatebound_base::Keypair;
    use fatebound_tree::GroupId;

    use super::*;
    use crate::numbers::{Seq, ViewNumber};
    use crate::quorum::Policy;

    fn node(number: u8) -> Node {
        let keypair = Keypair::ed25519_from_bytes([number; 32]).unwrap();
        Node {
            peer: keypair.public().to_peer_id(),
            incarnation: u64::from(number),
        }
    }

    fn view(numbers: &[u8]) -> View {
        let guard = GroupId {
            root: node(numbers[0]).peer,
            incarnation: 0,
            sequence: 0,
        };
        View {
            number: ViewNumber(3),
            voters: numbers.iter().map(|number| Voter::new(node(*number))).collect(),
            policy: Policy::Majority,
            cut: Seq(0),
            guard,
        }
    }

    #[test]
    fn if_all_want_to_go_the_leader_goes_last() {
        let mut door = Door::default();
        for number in [1, 2] {
            assert!(door.wants_out(node(number), 10));
        }
        let change = door.plan(&view(&[1, 2])).unwrap();
        assert_eq!(change.remove, [node(2)]);
        assert_eq!(door.plan(&view(&[1])), None, "alone it takes the group with it");
        // Nor can it leave the group to a newcomer that has yet to come.
        assert!(door.wants_in(Voter::new(node(3)), 10));
        let change = door.plan(&view(&[1, 2])).unwrap();
        assert_eq!((change.remove, change.insert.len()), (vec![node(2)], 1));
    }
}
