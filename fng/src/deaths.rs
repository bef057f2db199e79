//! A peer's life is over: what becomes of the groups shared with it.
//!
//! Two peers may share a hundred thousand groups, and each that fails takes a signature. So the groups are worked off in batches of [`BATCH`], the
//! first at once, each further one by a timer that is due at once: between two of them the peer reads what has come, answers pings, and stays
//! alive itself. Groups that come after the proof of death belong to a new life and are left alone.

use std::collections::VecDeque;

use fatebound_overlay::{Bounded, DeathProof, PeerId, Rule};

use crate::fate::{Fate, Loss};
use crate::group::Key;
use crate::shared::{Shared, Timer};

/// Groups worked off at a time: 256, some 5 ms of signatures.
const BATCH: usize = 256;

/// Deaths that wait for their turn: 1024. When there are more, all of them are worked off at once.
const MAX_DEATHS: usize = 1024;

/// A death that is being worked off. There is at most one per peer and kind of proof: a repetition replaces it.
#[derive(Clone, Debug, Hash)]
struct Death {
    peer: PeerId,
    restarted: bool,
    /// The newest group at that time.
    newest: u64,
    /// What is left, the last first.
    ends: Vec<Key>,
}

/// Peers that have died, as far as their groups have not been told.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Deaths {
    queue: VecDeque<Death>,
}

impl Deaths {
    /// "A refused dial is proof for roots about members and for members about roots as well" (protocol.md §4); so is a goodbye. A new
    /// incarnation proves only that the old life is over: a member that accepted in its new one would be wronged, so it is asked at once, and
    /// *unknown* is the proof. Who has not accepted yet may have restarted at another address: its invitation may still find it, until
    /// `create_timeout`.
    pub(crate) fn on_peer_dead(&mut self, shared: &mut Shared, peer: PeerId, proof: DeathProof) {
        let ix = shared.table.peers.find(&peer);
        let ends = ix.map(|ix| shared.table.peers.ends(ix)).unwrap_or_default();
        let ends = ends.iter().rev().copied();
        let death = Death {
            peer,
            restarted: proof == DeathProof::Restarted && Rule::RestartIsNoProof.holds(),
            newest: shared.table.newest(),
            ends: ends.filter(|key| shared.table.is_in(*key)).collect(),
        };
        let restarted = death.restarted;
        let same = |known: &&mut Death| (known.peer, known.restarted) == (peer, restarted);
        match self.queue.iter_mut().find(same) {
            Some(known) => *known = death,
            None => self.queue.push_back(death),
        }
        self.work_off(shared);
        if !restarted {
            shared.fate(Fate::Died(peer));
        }
    }

    /// This far end has come in since: no death that is still being worked off concerns it.
    pub(crate) fn spare(&mut self, key: Key) {
        for death in &mut self.queue {
            death.ends.retain(|other| *other != key);
        }
    }

    /// One batch.
    pub(crate) fn work_off(&mut self, shared: &mut Shared) {
        let mut left = match self.queue.len() > MAX_DEATHS {
            true => usize::MAX,
            false => BATCH,
        };
        while left > 0
            && let Some(death) = self.queue.front_mut()
        {
            let (restarted, newest) = (death.restarted, death.newest);
            match death.ends.pop() {
                Some(key) => {
                    left -= 1;
                    bereave(shared, key, restarted, newest);
                }
                None => drop(self.queue.pop_front()),
            }
        }
        if self.queue.is_empty() {
            shared.timers.cancel(Timer::Deaths);
        } else {
            shared.timers.set(Timer::Deaths, shared.now);
        }
    }

    pub(crate) fn bounds(&self) -> Bounded {
        Bounded::new("deaths", self.queue.len(), MAX_DEATHS)
    }
}

fn bereave(shared: &mut Shared, key: Key, restarted: bool, newest: u64) {
    let same = shared.table.group(key.slot).is_some_and(|group| group.born <= newest);
    if !same || !shared.table.is_in(key) {
        return;
    }
    shared.fate(match restarted {
        true => Fate::Suspected(key),
        false => Fate::Lost(key, Loss::Died),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use fatebound_overlay::{Identity, Keypair};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn peer(n: u8) -> PeerId {
        Keypair::ed25519_from_bytes([n; 32]).unwrap().public().to_peer_id()
    }

    /// Whether the deaths are worked off when, besides one of twice a batch, there are so many others.
    fn worked_off(others: usize) -> bool {
        let keypair = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let mut shared = Shared::new(&Config::lan(), &Identity::new(&keypair), 1, StdRng::seed_from_u64(1));
        let mut deaths = Deaths::default();
        let gone = Key {
            slot: u32::MAX,
            index: 0,
        };
        let death = |ends| Death {
            peer: peer(2),
            restarted: true,
            newest: 0,
            ends: vec![gone; ends],
        };
        deaths.queue.push_back(death(2 * BATCH));
        deaths.queue.extend((0..others).map(|_| death(0)));
        deaths.on_peer_dead(&mut shared, peer(3), DeathProof::Goodbye);
        deaths.queue.is_empty()
    }

    #[test]
    fn deaths_wait_for_their_turn_until_there_are_too_many() {
        assert!(!worked_off(0) && !worked_off(MAX_DEATHS - 2));
        assert!(worked_off(MAX_DEATHS));
    }
}
