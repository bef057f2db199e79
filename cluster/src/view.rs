//! A view: which nodes are in a group, in which order, and who watches over them.

use std::collections::BTreeSet;

use fatebound_base::{PeerId, Rule};
use fatebound_tree::GroupId;
use serde::{Deserialize, Serialize};

use crate::numbers::{Node, Seq, ViewNumber};
use crate::quorum::Policy;

/// Voters in one view at most: everybody knows everybody, and the leader talks to each.
pub const MAX_VOTERS: usize = 64;

/// A node with a vote on what the next view is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Voter {
    /// Who.
    pub node: Node,
    /// For the policy `Weights`; 0 has no say and still is in the view.
    pub weight: u8,
    /// Whether it has a provider of the group's role, for the policy `Roles`.
    pub in_role: bool,
    /// Whether it is here for its vote alone, for the policy `Witness`.
    pub witness: bool,
}

impl Voter {
    /// With a weight of one, in the role, and no witness.
    pub fn new(node: Node) -> Voter {
        Voter {
            node,
            weight: 1,
            in_role: true,
            witness: false,
        }
    }
}

/// A view. Two nodes that know a view of one number know the same view (cluster.md §1, G1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct View {
    /// Its number.
    pub number: ViewNumber,
    /// Its voters by age, the oldest first: that is the leader.
    pub voters: Vec<Voter>,
    /// What counts as a quorum of it.
    pub policy: Policy,
    /// The cut: the last entry that belongs to the view before.
    pub cut: Seq,
    /// The failure notification group over its voters that raises the alarm.
    pub guard: GroupId,
}

impl View {
    /// The oldest voter.
    pub fn leader(&self) -> Option<Node> {
        self.voters.first().map(|voter| voter.node)
    }

    /// The place of a node among the voters.
    ///
    /// V10 ◆ "A node is a voter only in the life that the view names": a peer that has started again is a stranger.
    pub fn place(&self, node: Node) -> Option<usize> {
        self.voters.iter().position(|voter| {
            let same_life = voter.node.incarnation == node.incarnation || !Rule::ViewsOneLife.holds();
            voter.node.peer == node.peer && same_life
        })
    }

    /// Whether this node is a voter.
    pub fn contains(&self, node: Node) -> bool {
        self.place(node).is_some()
    }

    /// The place of a peer, in whichever life.
    pub fn place_of_peer(&self, peer: PeerId) -> Option<usize> {
        self.voters.iter().position(|voter| voter.node.peer == peer)
    }

    /// Whether this can be a view at all.
    ///
    /// V12 ◆ "The root of a view's guard is its leader".
    pub fn is_sound(&self) -> bool {
        let peers: BTreeSet<PeerId> = self.voters.iter().map(|voter| voter.node.peer).collect();
        let rooted = self.leader().is_some_and(|leader| leader.peer == self.guard.root);
        peers.len() == self.voters.len() && peers.len() <= MAX_VOTERS && (rooted || !Rule::ViewsGuardRoot.holds())
    }
}
