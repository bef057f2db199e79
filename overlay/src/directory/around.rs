//! Who stands around this peer: which names it keeps, and what its "nobody" is worth.

use std::collections::VecDeque;
use std::time::Duration;

use libp2p_identity::PeerId;

use crate::{Config, Distance, Key, Rule, Time};

/// This peer's leaf set, and when it changed.
#[derive(Clone, Debug)]
pub(super) struct Around {
    own: (Key, PeerId),
    joined: bool,
    leaves: Vec<(Key, PeerId)>,
    /// Of the last change.
    since: Time,
    /// Of leaves that were lost lately; at most as many as make us unsure.
    losses: VecDeque<Time>,
    /// Until then all keepers of a record may be gone whose publisher has not noticed.
    unsure_until: Time,
    keepers: usize,
    per_side: usize,
    settle: Duration,
    refresh: Duration,
}

/// The nearest of these peers, the nearest first.
pub(super) fn nearest(key: &Key, peers: impl IntoIterator<Item = (Key, PeerId)>, count: usize) -> Vec<PeerId> {
    let mut peers: Vec<(Key, PeerId)> = peers.into_iter().collect();
    peers.sort_unstable_by_key(|(own, peer)| (own.ring_distance(key), *peer));
    peers.dedup();
    peers.truncate(count);
    peers.into_iter().map(|(_, peer)| peer).collect()
}

impl Around {
    /// Nobody is there yet.
    pub(super) fn new(own: PeerId, config: &Config, settle: Duration) -> Around {
        Around {
            own: (Key::of(&own), own),
            joined: false,
            leaves: Vec::new(),
            since: Time::ZERO,
            losses: VecDeque::new(),
            unsure_until: Time::ZERO,
            // Peers next to one another see each other only within their leaf sets.
            keepers: config.directory.keepers.min(config.leaves_per_side + 1),
            per_side: config.leaves_per_side,
            settle,
            refresh: config.directory.refresh,
        }
    }

    /// Who they are now; says whether anything has changed.
    pub(super) fn update(&mut self, now: Time, joined: bool, leaves: impl IntoIterator<Item = PeerId>) -> bool {
        let mut leaves: Vec<(Key, PeerId)> = leaves.into_iter().map(|peer| (Key::of(&peer), peer)).collect();
        leaves.sort_unstable();
        leaves.dedup();
        let changed = joined != self.joined || leaves != self.leaves;
        if changed {
            self.since = now;
        }
        (self.joined, self.leaves) = (joined, leaves);
        changed
    }

    /// A leaf is gone. "◆ and it has not within that time lost four leaves or more, for with them all five keepers of a record may have gone"
    /// (protocol.md §3.1, D6).
    pub(super) fn lost(&mut self, now: Time) {
        self.losses.push_back(now);
        while self.losses.front().is_some_and(|at| now.since(*at) >= self.settle) {
            self.losses.pop_front();
        }
        if self.losses.len() + 1 >= self.keepers && Rule::DirectoryAllKeepersLost.holds() {
            self.unsure_until = now + self.refresh + self.settle;
            self.losses.pop_front();
        }
    }

    /// Whether this peer would know: hand-overs have come, and so has whoever still publishes.
    pub(super) fn is_settled(&self, now: Time) -> bool {
        let stood = now.since(self.since) >= self.settle && now >= self.unsure_until;
        self.joined && (stood || !Rule::DirectorySettled.holds())
    }

    pub(super) fn joined(&self) -> bool {
        self.joined
    }

    /// The keepers of this key, as this peer sees it, the nearest first.
    pub(super) fn keepers(&self, key: &Key) -> Vec<PeerId> {
        let own = self.joined.then_some(self.own);
        nearest(key, self.leaves.iter().copied().chain(own), self.keepers)
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.keepers
    }

    /// Whether this peer is one of them. "◆ who does not see the key between its leaves is none" (protocol.md §3.1, D1).
    pub(super) fn keeps(&self, key: &Key) -> bool {
        let sees = self.surrounds(key) || !Rule::DirectoryBetweenTheLeaves.holds();
        self.joined && sees && self.keepers(key).contains(&self.own.1)
    }

    /// Whether the key lies between the farthest leaves, or these are all there is.
    fn surrounds(&self, key: &Key) -> bool {
        let own = &self.own.0;
        let mut above: Vec<Distance> = self.leaves.iter().map(|(leaf, _)| own.clockwise_to(leaf)).collect();
        let mut below: Vec<Distance> = self.leaves.iter().map(|(leaf, _)| leaf.clockwise_to(own)).collect();
        above.sort_unstable();
        below.sort_unstable();
        let within = |side: &[Distance], way| side.get(self.per_side - 1).is_none_or(|farthest| way <= *farthest);
        let whole = self.leaves.len() < 2 * self.per_side;
        whole || within(&above, own.clockwise_to(key)) || within(&below, key.clockwise_to(own))
    }

    pub(super) fn is_leaf(&self, peer: &PeerId) -> bool {
        self.leaves.iter().any(|(_, leaf)| leaf == peer)
    }

    /// How many leaves there are.
    pub(super) fn leaves(&self) -> usize {
        self.leaves.len()
    }

    pub(super) fn losses(&self) -> usize {
        self.losses.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::peer;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Peer 0 among the others, five keepers, settled after 4 s, refreshed every 60 s.
    fn around(others: std::ops::Range<u8>) -> Around {
        let mut config = Config::local();
        config.directory.refresh = SECOND * 60;
        let mut around = Around::new(peer(0), &config, SECOND * 4);
        around.update(Time::ZERO, true, others.map(peer));
        around
    }

    #[test]
    fn the_nearest_come_first_and_once() {
        let key = Key::of(&peer(3));
        let peers = [1, 2, 3, 3, 4].map(|n| (Key::of(&peer(n)), peer(n)));
        let found = nearest(&key, peers, 3);
        assert_eq!((found.len(), found[0]), (3, peer(3)));
        assert_eq!(nearest(&key, peers, 9).len(), 4);
    }

    #[test]
    fn a_peer_keeps_what_it_stands_nearest_to() {
        let own = Key::of(&peer(0));
        let around = around(1..9);
        assert_eq!(around.keepers(&own).len(), 5);
        assert!(around.keeps(&own));
        let mut outside = around.clone();
        outside.update(Time::ZERO, false, (1..9).map(peer));
        assert!(!outside.keeps(&own) && !outside.keepers(&own).contains(&peer(0)));
    }

    /// Rule `directory-between-the-leaves`: whoever stands far from a key sees four nearer ones at most, and would be the fifth everywhere. So at most four on either side of a key.
    #[test]
    fn a_name_has_few_keepers_among_many_peers() {
        let all: Vec<(Key, PeerId)> = (0..60).map(|n| (Key::of(&peer(n)), peer(n))).collect();
        let ring: std::collections::BTreeMap<Key, PeerId> = all.iter().copied().collect();
        let keepers_of = |key: &Key| {
            let keeps = |own: &&(Key, PeerId)| {
                let mut others = ring.clone();
                others.remove(&own.0);
                let leaves = crate::leaf_set::LeafSet::nearest(&own.0, 4, &others);
                let mut around = Around::new(own.1, &Config::local(), SECOND);
                around.update(Time::ZERO, true, leaves.members().copied());
                around.keeps(key)
            };
            let found: Vec<PeerId> = all.iter().filter(keeps).map(|(_, peer)| *peer).collect();
            found
        };
        for n in 100..140 {
            let key = Key::of(&peer(n));
            let nearest = nearest(&key, all.iter().copied(), 5);
            let keepers = keepers_of(&key);
            let of_five = nearest.iter().filter(|peer| keepers.contains(peer)).count();
            assert!(
                of_five >= 4 && keepers.len() <= 8,
                "{n}: {of_five} of 5, {} in all",
                keepers.len()
            );
        }
    }

    #[test]
    fn a_peer_is_settled_when_nothing_has_changed_for_a_while() {
        let mut around = around(1..4);
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        assert!(!around.is_settled(at(3)) && around.is_settled(at(4)));
        assert!(!around.update(at(5), true, (1..4).rev().map(peer)), "the same");
        assert!(around.is_settled(at(5)));
        assert!(around.update(at(5), true, (1..5).map(peer)));
        assert!(!around.is_settled(at(8)) && around.is_settled(at(9)));
        around.update(at(20), false, []);
        assert!(!around.is_settled(at(90)), "without a place");
    }

    /// Rule `directory-all-keepers-lost`.
    #[test]
    fn who_has_lost_four_leaves_at_once_does_not_know_for_a_refresh() {
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        let mut around = around(1..9);
        for seconds in [10, 11, 12] {
            around.lost(at(seconds));
        }
        assert!(around.is_settled(at(20)), "three leave two keepers");
        around.lost(at(15));
        assert!(around.is_settled(at(20)), "the first of four is long ago");
        for seconds in [100, 101, 102, 103] {
            around.lost(at(seconds));
        }
        assert!(!around.is_settled(at(166)) && around.is_settled(at(167)));
        assert!(around.losses() < 4);
    }
}
