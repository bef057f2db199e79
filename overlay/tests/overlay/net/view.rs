//! What a test looks at: who lives, whether they are one ring, what they were told.

use std::collections::HashSet;

use fatebound_overlay::{Event, Key};

use super::{Net, Node};

impl Net {
    pub fn live(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.alive)
    }

    pub fn all_joined(&self) -> bool {
        self.live().all(|node| node.overlay.joined())
    }

    /// Everybody alive, or those of `group`, has the leaf set that it should have, with links.
    pub fn is_ring(&self, group: &[usize]) -> bool {
        let mut ring: Vec<_> = group
            .iter()
            .filter(|at| self.nodes[**at].alive)
            .map(|at| self.nodes[*at].peer)
            .collect();
        ring.sort_by_key(Key::of);
        let count = ring.len();
        let side = self.config.leaves_per_side.min(count - 1);
        group.iter().filter(|at| self.nodes[**at].alive).all(|at| {
            let node = &self.nodes[*at];
            let own = ring.iter().position(|peer| *peer == node.peer).expect("a live node");
            let above: Vec<_> = (1..=side).map(|step| ring[(own + step) % count]).collect();
            let below: Vec<_> = (1..=side).map(|step| ring[(own + count - step) % count]).collect();
            let linked: HashSet<_> = node
                .overlay
                .neighbours()
                .iter()
                .map(|neighbour| neighbour.peer)
                .collect();
            let linked = above.iter().chain(&below).all(|peer| linked.contains(peer));
            node.overlay.leaf_set() == (&below[..], &above[..]) && linked
        })
    }

    pub fn everybody(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    /// What is missing, for a failed assertion.
    pub fn describe(&self) -> String {
        let mut lines = vec![format!("at {}", self.now)];
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.alive) {
            let links = node.overlay.neighbours().len();
            lines.push(format!("{at} {} links {links} {:?}", Key::of(&node.peer), node.overlay));
        }
        lines.join("\n")
    }

    pub fn events(&self, at: usize) -> impl Iterator<Item = &Event> {
        self.nodes[at].events.iter().map(|(_, event)| event)
    }
}
