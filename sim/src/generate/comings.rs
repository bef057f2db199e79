//! Peers come into groups and go out of them, at all moments: besides the faults of any family.
//!
//! All of it is drawn from a generator of its own, after the faults: so a seed means the same faults with comings and without.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::{Draw, Family, whole};
use crate::PeerIndex;
use crate::adversary::{Adversary, Reaction};
use crate::fault::{self, Admission, Fault, GroupNumber};

/// The fewest and the most episodes of a scenario.
const EPISODES: std::ops::RangeInclusive<usize> = 2..=9;

impl Draw {
    /// Who may come into each group; `None`: nobody comes and nobody goes.
    pub(super) fn comings(
        &mut self,
        seed: u64,
        family: Family,
        wish: Option<bool>,
        calm: Duration,
    ) -> Option<Vec<Admission>> {
        self.rng = StdRng::seed_from_u64(seed ^ 0xc0f1_6500_0907_0000);
        let drawn = self.rng.random();
        if !wish.unwrap_or(drawn || family == Family::Comings) || self.groups.is_empty() {
            return None;
        }
        let latest = match family {
            Family::Hunted => calm,
            _ => self.span,
        };
        let troubles: Vec<Duration> = self
            .faults
            .iter()
            .map(|(at, _)| *at)
            .filter(|at| *at < latest)
            .collect();
        for _ in 0..self.rng.random_range(EPISODES) {
            let at = self.moment(latest, &troubles);
            self.coming(at, latest);
        }
        if self.rng.random_bool(0.2) {
            self.reader(latest);
        }
        Some((0..self.groups.len()).map(|_| self.door()).collect())
    }

    fn door(&mut self) -> Admission {
        match self.rng.random_range(0..10) {
            0 | 1 => Admission::Ask,
            2 => Admission::Members,
            3 => {
                let count = self.rng.random_range(1..=3.min(self.peers));
                Admission::Listed(self.some(count))
            }
            _ => Admission::Open,
        }
    }

    /// Any moment, an early one, when most groups still live, or one when something else happens.
    fn moment(&mut self, latest: Duration, troubles: &[Duration]) -> Duration {
        let trouble = troubles.choose(&mut self.rng).copied();
        match (self.rng.random_range(0..3), trouble) {
            (0, _) => self.before(latest),
            (1, Some(trouble)) => (trouble + self.before(Duration::from_millis(400)))
                .saturating_sub(Duration::from_millis(200))
                .min(latest),
            _ => self.before(latest / 3),
        }
    }

    /// One peer or many come or go, and perhaps come back, end, or say something.
    fn coming(&mut self, at: Duration, latest: Duration) {
        let group = GroupNumber(self.rng.random_range(0..self.groups.len()) as u32);
        let root = self.groups[group.0 as usize].root;
        let later = (at + self.a_while()).min(latest);
        match self.rng.random_range(0..12) {
            0..=4 => self.guest(at, later, latest, group),
            5 => self.crowd(at, group),
            6..=8 => {
                let member = self.one_of(group);
                self.push(at, Fault::Leave(member, group));
                match self.rng.random_range(0..4) {
                    0 => self.push(later, Fault::Join(member, group)),
                    1 => self.push(later, Fault::Leave(member, group)),
                    _ => {}
                }
            }
            9 => {
                for member in self.groups[group.0 as usize].members.clone() {
                    self.push(at, Fault::Leave(member, group));
                }
                let peer = self.one();
                self.push(later, Fault::Join(peer, group));
            }
            _ => {
                self.push(at, Fault::Close(root, group));
                let peer = self.one();
                self.push(later, Fault::Join(peer, group));
            }
        }
    }

    /// One peer comes, and something becomes of it.
    fn guest(&mut self, at: Duration, later: Duration, latest: Duration, group: GroupNumber) {
        let (peer, observes) = (self.one(), self.rng.random_bool(0.4));
        let come = match observes {
            true => Fault::Observe(peer, group),
            false => Fault::Join(peer, group),
        };
        self.push(at, come.clone());
        let last = (later + self.a_while()).min(latest);
        match self.rng.random_range(0..12) {
            0 | 1 => {
                let death = self.death(peer);
                self.push(later, death);
                self.push(last, Fault::Restart(peer));
                self.push((last + Duration::from_secs(1)).min(latest), come);
            }
            2 | 3 => {
                self.push(later, Fault::Leave(peer, group));
                self.push(last, come);
            }
            4 => self.push(later, Fault::Leave(peer, group)),
            5 => self.push(later, Fault::Signal(peer, group)),
            6 => self.push(later, Fault::Stop(peer)),
            7 => {
                let again = at + self.before(Duration::from_millis(100));
                self.push(again, come);
            }
            8 => self.push(later, Fault::Silent(peer, group)),
            9 => {
                let death = self.death(peer);
                self.push(later, death);
            }
            _ => {}
        }
    }

    /// All peers want to come in at once.
    fn crowd(&mut self, at: Duration, group: GroupNumber) {
        for peer in 0..self.peers {
            let peer = PeerIndex(peer);
            let come = match self.rng.random_bool(0.2) {
                true => Fault::Observe(peer, group),
                false => Fault::Join(peer, group),
            };
            self.push(at, come);
        }
    }

    /// One of those who create this group, mostly not its root.
    fn one_of(&mut self, group: GroupNumber) -> PeerIndex {
        let planned = &self.groups[group.0 as usize];
        let member = planned.members.choose(&mut self.rng).copied();
        member.filter(|_| self.rng.random_bool(0.9)).unwrap_or(planned.root)
    }

    /// An adversary who reads what is said about coming and going.
    fn reader(&mut self, latest: Duration) {
        let kinds = &fault::MESSAGES[fault::OLD_MESSAGES..];
        let (_, kind) = kinds[self.rng.random_range(0..kinds.len())];
        let share = if self.rng.random() { 1.0 } else { self.share(1.0) };
        let reaction = match self.rng.random_range(0..4) {
            0 => Reaction::BreakSession,
            1 => Reaction::BreakSilently,
            2 => Reaction::Delay(whole(self.before(self.link_lifetime))),
            _ => Reaction::CutLink(whole(self.a_while())),
        };
        let at = self.before(latest / 3);
        self.push(at, Fault::Adversary(Adversary { kind, share, reaction }));
    }
}
