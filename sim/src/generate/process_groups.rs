//! Processes come into process groups, speak, vote, and go, at all moments: besides the faults of any family, in a fifth of all seeds.
//!
//! All of it is drawn from a generator of its own, so that nothing else is drawn otherwise.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::Draw;
use crate::PeerIndex;
use crate::adversary::{Adversary, MessageKind, Reaction};
use crate::deed::{Deed, ProcessGroup};
use crate::fault::Fault;

/// One seed in so many.
const SHARE: u32 = 5;
/// The fewest and the most episodes of a scenario.
const EPISODES: std::ops::RangeInclusive<usize> = 5..=25;

impl Draw {
    /// What processes do, if they are wanted, or drawn.
    pub(super) fn processes(&self, seed: u64, wish: Option<bool>) -> Vec<(Duration, Fault)> {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x9c05_e55e_5910_0000);
        let drawn = rng.random_ratio(1, SHARE);
        if !wish.unwrap_or(drawn) {
            return Vec::new();
        }
        let troubles = self.faults.iter().map(|(at, _)| *at).filter(|at| *at < self.span);
        let mut processes = Processes {
            rng,
            peers: self.peers,
            span: self.span,
            troubles: troubles.collect(),
            all: Vec::new(),
        };
        processes.draw();
        processes.all
    }
}

struct Processes {
    rng: StdRng,
    peers: usize,
    span: Duration,
    /// When something else happens.
    troubles: Vec<Duration>,
    all: Vec<(Duration, Fault)>,
}

impl Processes {
    fn draw(&mut self) {
        let groups = self.rng.random_range(1..=2);
        for group in (0..groups).map(ProcessGroup) {
            self.first(group);
        }
        for _ in 0..self.rng.random_range(EPISODES) {
            let group = ProcessGroup(self.rng.random_range(0..groups));
            self.episode(group);
        }
        if self.rng.random_bool(0.15) {
            self.reader();
        }
    }

    fn push(&mut self, at: Duration, peer: PeerIndex, group: ProcessGroup, deed: Deed) {
        let at = Duration::from_millis(at.as_millis() as u64);
        self.all.push((at, Fault::Process(peer, group, deed)));
    }

    fn before(&mut self, latest: Duration) -> Duration {
        Duration::from_millis(self.rng.random_range(0..=latest.as_millis() as u64))
    }

    fn one(&mut self) -> PeerIndex {
        PeerIndex(self.rng.random_range(0..self.peers))
    }

    /// Some come at once, one after the other, or at any time.
    fn first(&mut self, group: ProcessGroup) {
        let latest = match self.rng.random_range(0..3) {
            0 => Duration::ZERO,
            1 => self.span / 20,
            _ => self.span / 3,
        };
        for _ in 0..self.rng.random_range(2..=self.peers) {
            let (at, peer) = (self.before(latest), self.one());
            self.push(at, peer, group, Deed::Enter);
        }
    }

    /// Any moment, or one when something else happens.
    fn moment(&mut self) -> Duration {
        match self.troubles.choose(&mut self.rng).copied() {
            Some(trouble) if self.rng.random() => {
                let around = trouble + self.before(Duration::from_millis(800));
                around.saturating_sub(Duration::from_millis(300)).min(self.span)
            }
            _ => self.before(self.span),
        }
    }

    fn episode(&mut self, group: ProcessGroup) {
        let (at, peer) = (self.moment(), self.one());
        let later = (at + self.before(Duration::from_secs(3))).min(self.span);
        let deed = match self.rng.random_range(0..20) {
            0..=3 => Deed::Enter,
            4..=7 => return self.chatter(at, group),
            8 | 9 => Deed::Propose,
            10 => Deed::Put,
            11 => Deed::Barrier,
            12 => Deed::Retire,
            13 => Deed::Farewell,
            14 => Deed::Lose,
            15 | 16 => {
                let goes = [Deed::Retire, Deed::Farewell, Deed::Lose];
                let goes = *goes.choose(&mut self.rng).unwrap_or(&Deed::Lose);
                self.push(at, peer, group, goes);
                return self.push(later, peer, group, Deed::Enter);
            }
            17 => return self.all_go(at, group),
            _ => Deed::Say(self.rng.random_range(1..=20)),
        };
        self.push(at, peer, group, deed);
    }

    /// Everybody speaks, again and again.
    fn chatter(&mut self, at: Duration, group: ProcessGroup) {
        for round in 0..self.rng.random_range(1..=4) {
            let at = at + Duration::from_millis(300) * round;
            for peer in 0..self.peers {
                let count = self.rng.random_range(1..=3);
                self.push(at, PeerIndex(peer), group, Deed::Say(count));
            }
        }
    }

    fn all_go(&mut self, at: Duration, group: ProcessGroup) {
        for peer in 0..self.peers {
            let at = at + self.before(Duration::from_millis(200));
            self.push(at, PeerIndex(peer), group, Deed::Farewell);
        }
        for _ in 0..self.rng.random_range(0..=3) {
            let (later, peer) = (at + self.before(Duration::from_secs(5)), self.one());
            self.push(later.min(self.span), peer, group, Deed::Enter);
        }
    }

    /// An adversary who reads what is said about process groups.
    fn reader(&mut self) {
        let share = if self.rng.random() {
            1.0
        } else {
            f64::from(self.rng.random_range(1..=100)) / 100.0
        };
        let reaction = match self.rng.random_range(0..4) {
            0 => Reaction::BreakSession,
            1 => Reaction::BreakSilently,
            2 => Reaction::Delay(self.before(Duration::from_secs(3))),
            _ => Reaction::CutLink(self.before(Duration::from_secs(5))),
        };
        let at = self.before(self.span);
        let kind = MessageKind::Views;
        self.all
            .push((at, Fault::Adversary(Adversary { kind, share, reaction })));
    }
}
