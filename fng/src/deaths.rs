//! A peer's life is over: what becomes of the groups shared with it.
//!
//! Two peers may share a hundred thousand groups, and each that fails takes a signature. So the groups are worked off in batches of [`BATCH`], the
//! first at once, each further one by a timer that is due at once: between two of them the peer reads what has come, answers pings, and stays
//! alive itself. Groups that come after the proof of death belong to a new life and are left alone.

use fatebound_overlay::{DeathProof, PeerId, undone};

use crate::groups::{Groups, Step, Timer};
use crate::reason::Reason;
use crate::table::{Key, Standing};

/// Groups worked off at a time: 256, some 5 ms of signatures.
const BATCH: usize = 256;

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
    pub(crate) fn on_peer_dead(&mut self, step: &mut Step<'_>, peer: PeerId, proof: DeathProof) {
        let ix = self.table.peers.find(&peer);
        let ends = ix.map(|ix| self.table.peers.ends(ix)).unwrap_or_default();
        let death = Death {
            peer,
            restarted: proof == DeathProof::Restarted && !undone("restart-is-no-proof"),
            newest: self.table.newest(),
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
        self.work_off_deaths(step);
        if !restarted {
            self.withdraw_all_of(step, peer);
        }
    }

    /// One batch.
    pub(crate) fn work_off_deaths(&mut self, step: &mut Step<'_>) {
        let mut left = BATCH;
        while left > 0
            && let Some(death) = self.deaths.front_mut()
        {
            let (restarted, newest) = (death.restarted, death.newest);
            match death.ends.pop() {
                Some(key) => {
                    left -= 1;
                    self.bereave(step, key, restarted, newest);
                }
                None => drop(self.deaths.pop_front()),
            }
        }
        if self.deaths.is_empty() {
            self.timers.cancel(Timer::Deaths);
        } else {
            self.timers.set(Timer::Deaths, step.now);
        }
    }

    fn bereave(&mut self, step: &mut Step<'_>, key: Key, restarted: bool, newest: u64) {
        let same = self.table.group(key.slot).is_some_and(|group| group.born <= newest);
        if !same || !self.has_accepted(key) {
            return;
        }
        if restarted {
            return self.suspect(step, key);
        }
        self.end_with(
            step,
            key,
            |peer| Reason::MemberDied { peer },
            |peer| Reason::RootDied { peer },
        );
    }

    fn has_accepted(&self, key: Key) -> bool {
        self.table
            .far(key)
            .is_some_and(|far| far.standing == Standing::Accepted)
    }
}
