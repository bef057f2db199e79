//! Two living processes with one identity: a data directory that was copied.
//!
//! Each life's number is drawn at random, so a life that gave way to another does not come back. One that does had not ended: two processes
//! use the same key, and each takes the other's place at every neighbour again and again, a storm that costs strangers their links. "◆ Who
//! sees two lives of a peer take turns keeps both away", for longer each time (protocol.md §4).

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexMap;
use libp2p_identity::PeerId;

use crate::{Bounded, Rule, Time};

/// Peers of whom a change of lives is remembered, and lives of each that gave way; at either bound the oldest is forgotten.
const REMEMBERED: usize = 256;
const LIVES: usize = 4;

/// A life may seem to come back once: its last words and the first ones of the next may arrive in the wrong order.
const TURNS: u32 = 2;

/// Which lives of each peer gave way to others.
#[derive(Debug, Default)]
pub(super) struct Twins {
    by_peer: IndexMap<PeerId, Changes>,
}

#[derive(Debug, Default)]
struct Changes {
    gave_way: VecDeque<u64>,
    /// How often one of them has come back.
    turns: u32,
    /// Since when nobody of this name is let in, and until when.
    barred: Option<(Time, Time)>,
}

impl Twins {
    /// A life takes the place of another one. Says until when both are kept away, if they take turns.
    pub(super) fn takes_over(
        &mut self,
        now: Time,
        peer: PeerId,
        (old, new): (u64, u64),
        pauses: (Duration, Duration),
    ) -> Option<Time> {
        if self.by_peer.len() >= REMEMBERED && !self.by_peer.contains_key(&peer) {
            self.by_peer.shift_remove_index(0);
        }
        let changes = self.by_peer.entry(peer).or_default();
        let returns = changes.gave_way.contains(&new);
        changes.gave_way.retain(|life| *life != new && *life != old);
        if changes.gave_way.len() == LIVES {
            changes.gave_way.pop_front();
        }
        changes.gave_way.push_back(old);
        if !returns || !Rule::Twins.holds() {
            return None;
        }
        changes.turns += 1;
        let doublings = changes.turns.checked_sub(TURNS)?;
        let (first, last) = pauses;
        let until = now + first.saturating_mul(1 << doublings.min(16)).min(last);
        changes.barred = Some((now, until));
        Some(until)
    }

    /// Until when nobody of this name is let in.
    pub(super) fn barred(&self, now: Time, peer: &PeerId) -> Option<Time> {
        let (_, until) = self.by_peer.get(peer)?.barred?;
        (now < until).then_some(until)
    }

    pub(super) fn bounds(&self) -> [Bounded; 2] {
        let lives = self.by_peer.values().map(|changes| changes.gave_way.len());
        [
            Bounded::new("peers whose life has changed", self.by_peer.len(), REMEMBERED),
            Bounded::fullest("lives of a peer that gave way", lives, LIVES),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PAUSES: (Duration, Duration) = (SECOND, Duration::from_secs(3));

    fn peer(number: u8) -> PeerId {
        let keypair = crate::Keypair::ed25519_from_bytes([number; 32]).unwrap();
        keypair.public().to_peer_id()
    }

    #[test]
    fn two_lives_that_take_turns_are_kept_away_for_longer_each_time() {
        let mut twins = Twins::default();
        let mut now = Time::ZERO;
        let mut take = |twins: &mut Twins, old, new| {
            now += SECOND;
            let until = twins.takes_over(now, peer(1), (old, new), PAUSES);
            assert_eq!(twins.barred(now, &peer(1)), until);
            assert_eq!(twins.barred(now, &peer(2)), None);
            until.map(|until| until.since(now).as_secs())
        };
        let turns = [(1, 2), (2, 1), (1, 2), (2, 1), (1, 2), (2, 1)];
        let barred = turns.map(|(old, new)| take(&mut twins, old, new));
        assert_eq!(barred, [None, None, Some(1), Some(2), Some(3), Some(3)]);
    }

    #[test]
    fn who_restarts_as_often_as_it_likes_has_no_twin() {
        let mut twins = Twins::default();
        for life in 0..100 {
            assert_eq!(twins.takes_over(Time::ZERO, peer(1), (life, life + 1), PAUSES), None);
        }
        for number in 0..=255 {
            twins.takes_over(Time::ZERO, peer(number), (1, 2), PAUSES);
        }
        assert!(twins.bounds().iter().all(|bounded| bounded.size <= bounded.limit));
    }
}
