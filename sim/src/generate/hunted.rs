//! The family `hunted`: no collection of episodes but a plan.
//!
//! Random faults mostly leave some quick way, so a failure is known everywhere after a tenth of the bound. Here every quick way is stopped,
//! in a network with few wires, and what is left are the time limits that the bound adds up.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Draw, Wishes, whole};
use crate::PeerIndex;
use crate::adversary::{Adversary, MessageKind, Reaction};
use crate::fault::{Fault, GroupNumber};
use crate::setting::Setting;

/// What `hunted` wishes besides: peers for long paths, few groups, so that they do not help each other, and the nearest of all bounds.
pub(super) fn wishes(rng: &mut StdRng, wishes: &Wishes) -> Wishes {
    let (peers, groups) = (rng.random_range(12..=20), rng.random_range(1..=3));
    Wishes {
        peers: wishes.peers.or(Some(peers)),
        groups: wishes.groups.or(Some(groups)),
        setting: wishes.setting.or(Some(Setting::Tight)),
        family: wishes.family,
        comings: wishes.comings,
        processes: wishes.processes,
    }
}

/// Words that take a failure on, each along a link: without them it is noticed when that link has been silent for `L`.
const RUNNERS: [MessageKind; 2] = [MessageKind::Release, MessageKind::Fail];

/// Words that would overtake the silence.
const SCOUTS: [MessageKind; 4] = [
    MessageKind::Suspected,
    MessageKind::Probe,
    MessageKind::NeedRepair,
    MessageKind::Status,
];

impl Draw {
    /// First the network becomes thin, so that paths are long; then groups are created; then the adversaries come, and each group has something
    /// to say. Returns when all of it begins.
    pub(super) fn hunt(&mut self) -> Duration {
        let share = self.rng.random_range(0.4..0.8);
        self.thin(share);
        let creation = self.link_lifetime * 4;
        for number in 0..self.groups.len() {
            self.groups[number].at = creation + self.before(self.link_lifetime / 4);
        }
        let begin = creation + self.link_lifetime;
        for kind in RUNNERS {
            let how_long = whole(self.link_lifetime.mul_f64(self.rng.random_range(1.02..1.5)));
            self.meet(begin, kind, Reaction::CutLink(how_long));
        }
        for kind in SCOUTS {
            let reaction = match self.rng.random_range(0..6) {
                0 => Reaction::CutLink(whole(self.before(self.link_lifetime * 2))),
                1 => Reaction::BreakSilently,
                _ => Reaction::BreakSession,
            };
            self.meet(begin, kind, reaction);
        }
        for number in 0..self.groups.len() {
            let at = begin + self.before(self.link_lifetime * 2);
            self.prey(at, number);
        }
        begin
    }

    /// This share of the wires is cut from the start.
    fn thin(&mut self, share: f64) {
        for peer in 0..self.peers {
            let others: Vec<PeerIndex> = (peer + 1..self.peers).map(PeerIndex).collect();
            let cut: Vec<PeerIndex> = others.into_iter().filter(|_| self.rng.random_bool(share)).collect();
            if !cut.is_empty() {
                self.push(Duration::ZERO, Fault::Partition(vec![PeerIndex(peer)], cut));
            }
        }
    }

    /// An adversary that lets hardly any word of this kind pass.
    fn meet(&mut self, at: Duration, kind: MessageKind, reaction: Reaction) {
        let share = match self.rng.random_bool(0.7) {
            true => 1.0,
            false => f64::from(self.rng.random_range(80..100)) / 100.0,
        };
        self.push(at, Fault::Adversary(Adversary { kind, share, reaction }));
    }

    /// A member of this group signals, or its host vanishes or its process ends.
    fn prey(&mut self, at: Duration, number: usize) {
        let planned = &self.groups[number];
        let all: Vec<PeerIndex> = planned.members.iter().copied().chain([planned.root]).collect();
        let Some(peer) = all.choose(&mut self.rng).copied() else {
            return;
        };
        let fault = match self.rng.random_range(0..6) {
            0 => Fault::Vanish(peer),
            1 => Fault::Crash(peer),
            2 => Fault::Stop(peer),
            _ => Fault::Signal(peer, GroupNumber(number as u32)),
        };
        self.push(at, fault);
    }
}
