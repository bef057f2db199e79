//! A peer's life is over: what becomes of the groups shared with it.
//!
//! Two peers may share a hundred thousand groups, and each that fails takes a signature. So the groups are worked off in batches of [`BATCH`], the
//! first at once, each further one by a timer that is due at once: between two of them the peer reads what has come, answers pings, and stays
//! alive itself. Groups that come after the proof of death belong to a new life and are left alone.

use fatebound_overlay::{DeathProof, PeerId, Rule};

use crate::groups::Groups;
use crate::reason::Reason;
use crate::shared::Timer;
use crate::table::{Key, Standing};

/// Groups worked off at a time: 256, some 5 ms of signatures.
const BATCH: usize = 256;

/// Deaths that wait for their turn: 1024. When there are more, all of them are worked off at once.
pub(crate) const MAX_DEATHS: usize = 1024;

/// A death that is being worked off. There is at most one per peer and kind of proof: a repetition replaces it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Death {
    peer: PeerId,
    restarted: bool,
    /// The newest group at that time.
    newest: u64,
    /// What is left, the last first.
    ends: Vec<Key>,
}

impl Groups {
    /// "A refused dial is proof for roots about members and for members about roots as well" (protocol.md §4); so is a goodbye. A new
    /// incarnation proves only that the old life is over: a member that accepted in its new one would be wronged, so it is asked at once, and
    /// *unknown* is the proof. Who has not accepted yet may have restarted at another address: its invitation may still find it, until
    /// `create_timeout`.
    pub(crate) fn on_peer_dead(&mut self, peer: PeerId, proof: DeathProof) {
        let ix = self.shared.table.peers.find(&peer);
        let ends = ix.map(|ix| self.shared.table.peers.ends(ix)).unwrap_or_default();
        let death = Death {
            peer,
            restarted: proof == DeathProof::Restarted && Rule::RestartIsNoProof.holds(),
            newest: self.shared.table.newest(),
            ends: ends
                .iter()
                .rev()
                .copied()
                .filter(|key| self.has_accepted(*key))
                .collect(),
        };
        let restarted = death.restarted;
        let same = |known: &&mut Death| (known.peer, known.restarted) == (peer, restarted);
        match self.deaths.iter_mut().find(same) {
            Some(known) => *known = death,
            None => self.deaths.push_back(death),
        }
        self.work_off_deaths();
        if !restarted {
            self.withdraw_all_of(peer);
        }
    }

    /// This far end has come in since: no death that is still being worked off concerns it.
    pub(crate) fn spare(&mut self, key: Key) {
        for death in &mut self.deaths {
            death.ends.retain(|other| *other != key);
        }
    }

    /// One batch.
    pub(crate) fn work_off_deaths(&mut self) {
        let mut left = match self.deaths.len() > MAX_DEATHS {
            true => usize::MAX,
            false => BATCH,
        };
        while left > 0
            && let Some(death) = self.deaths.front_mut()
        {
            let (restarted, newest) = (death.restarted, death.newest);
            match death.ends.pop() {
                Some(key) => {
                    left -= 1;
                    self.bereave(key, restarted, newest);
                }
                None => drop(self.deaths.pop_front()),
            }
        }
        if self.deaths.is_empty() {
            self.shared.timers.cancel(Timer::Deaths);
        } else {
            self.shared.timers.set(Timer::Deaths, self.shared.now);
        }
    }

    fn bereave(&mut self, key: Key, restarted: bool, newest: u64) {
        let same = self
            .shared
            .table
            .group(key.slot)
            .is_some_and(|group| group.born <= newest);
        if !same || !self.has_accepted(key) {
            return;
        }
        if restarted {
            return self.suspect(key);
        }
        self.end_with(
            key,
            |peer| Reason::MemberDied { peer },
            |peer| Reason::RootDied { peer },
        );
    }

    fn has_accepted(&self, key: Key) -> bool {
        self.shared
            .table
            .far(key)
            .is_some_and(|far| far.standing == Standing::Accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Context, Input};
    use fatebound_overlay::{Identity, Keypair, Time};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn peer(n: u8) -> PeerId {
        Keypair::ed25519_from_bytes([n; 32]).unwrap().public().to_peer_id()
    }

    /// Whether the deaths are worked off when, besides one of twice a batch, there are so many others.
    fn worked_off(others: usize) -> bool {
        let keypair = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let mut groups = Groups::new(&Config::lan(), &Identity::new(&keypair), 1, StdRng::seed_from_u64(1));
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
        groups.deaths.push_back(death(2 * BATCH));
        groups.deaths.extend((0..others).map(|_| death(0)));
        let input = Input::PeerDead {
            peer: peer(3),
            proof: DeathProof::Goodbye,
        };
        groups.handle(Time::ZERO, input, Context::default(), &mut Vec::new());
        groups.deaths.is_empty()
    }

    #[test]
    fn deaths_wait_for_their_turn_until_there_are_too_many() {
        assert!(!worked_off(0) && !worked_off(MAX_DEATHS - 2));
        assert!(worked_off(MAX_DEATHS));
    }
}
