//! The leaf set: the nearest peers on both sides of one's own key.
//!
//! Greedy routing ends well only if everybody knows who stands next to it. So each peer keeps the nearest peers below and above its key
//! (protocol.md §3: "a **leaf set** of the nearest keys on both sides"). It is a pure function of the peers that are known to be on the ring:
//! whenever these change it is computed anew, so it cannot drift from them.

use std::collections::BTreeMap;
use std::ops::Bound;

use libp2p_identity::PeerId;

use crate::Key;

/// The nearest peers on both sides, nearest first. In a ring of fewer than twice as many peers some stand on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeafSet {
    below: Vec<PeerId>,
    above: Vec<PeerId>,
}

/// A side of the leaf set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// Towards smaller keys.
    Below,
    /// Towards larger keys.
    Above,
}

impl LeafSet {
    /// The leaf set of `own` among `candidates`, which do not contain `own` itself.
    pub(crate) fn nearest(own: &Key, per_side: usize, candidates: &BTreeMap<Key, PeerId>) -> LeafSet {
        let after = (Bound::Excluded(own), Bound::Unbounded);
        let up = candidates.range(after).chain(candidates.range(..own));
        let down = candidates.range(..own).rev().chain(candidates.range(after).rev());
        LeafSet {
            below: down.take(per_side).map(|(_, peer)| *peer).collect(),
            above: up.take(per_side).map(|(_, peer)| *peer).collect(),
        }
    }

    /// The lower side, nearest first.
    pub(crate) fn below(&self) -> &[PeerId] {
        &self.below
    }

    /// The upper side, nearest first.
    pub(crate) fn above(&self) -> &[PeerId] {
        &self.above
    }

    /// One side, nearest first.
    pub(crate) fn side(&self, side: Side) -> &[PeerId] {
        match side {
            Side::Below => &self.below,
            Side::Above => &self.above,
        }
    }

    /// Everybody in it, the nearest of both sides first; who stands on both sides comes twice.
    pub(crate) fn members(&self) -> impl Iterator<Item = &PeerId> {
        let longest = self.below.len().max(self.above.len());
        (0..longest).flat_map(|at| [self.below.get(at), self.above.get(at)].into_iter().flatten())
    }

    /// On which side a peer stands, if it is a leaf; the nearer one if on both.
    pub(crate) fn side_of(&self, peer: &PeerId) -> Option<Side> {
        let below = self.below.iter().position(|leaf| leaf == peer);
        let above = self.above.iter().position(|leaf| leaf == peer);
        match (below, above) {
            (Some(below), Some(above)) if above < below => Some(Side::Above),
            (Some(_), _) => Some(Side::Below),
            (None, Some(_)) => Some(Side::Above),
            (None, None) => None,
        }
    }

    /// Whether a peer is a leaf.
    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.side_of(peer).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8) -> Key {
        let mut bytes = [0; 32];
        bytes[0] = first;
        Key::from_bytes(bytes)
    }

    fn peer(n: u8) -> PeerId {
        let mut seed = [0; 32];
        seed[0] = n;
        seed[1] = 1;
        crate::Keypair::ed25519_from_bytes(seed).unwrap().public().to_peer_id()
    }

    fn ring(keys: &[u8]) -> BTreeMap<Key, PeerId> {
        keys.iter().map(|&n| (key(n), peer(n))).collect()
    }

    #[test]
    fn the_nearest_on_both_sides_across_the_edge() {
        let leaves = LeafSet::nearest(&key(2), 2, &ring(&[1, 10, 20, 100, 200, 250]));
        assert_eq!(leaves.above(), [peer(10), peer(20)]);
        assert_eq!(leaves.below(), [peer(1), peer(250)]);
        let order: Vec<_> = leaves.members().copied().collect();
        assert_eq!(order, [peer(1), peer(10), peer(250), peer(20)]);
    }

    #[test]
    fn in_a_small_ring_a_peer_stands_on_both_sides() {
        let leaves = LeafSet::nearest(&key(50), 4, &ring(&[10, 60, 200]));
        assert_eq!(leaves.above(), [peer(60), peer(200), peer(10)]);
        assert_eq!(leaves.below(), [peer(10), peer(200), peer(60)]);
        assert_eq!(leaves.side_of(&peer(60)), Some(Side::Above));
        assert_eq!(leaves.side_of(&peer(10)), Some(Side::Below));
        assert_eq!(leaves.side(Side::Above).last(), Some(&peer(10)));
        assert_eq!(
            leaves.side_of(&peer(200)),
            Some(Side::Below),
            "as near on both: it has to be one"
        );
        assert!(leaves.contains(&peer(60)) && leaves.contains(&peer(200)));
        assert!(!leaves.contains(&peer(50)));
    }

    #[test]
    fn nobody_else_leaves_it_empty() {
        assert_eq!(LeafSet::nearest(&key(1), 4, &BTreeMap::new()), LeafSet::default());
    }
}
