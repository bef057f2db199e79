//! The wires between hosts: what is wrong with each, and when a packet put on it arrives.
//!
//! A wire is one direction between two hosts. Nothing is stored for one that has nothing wrong with it. Packets on it are lost, take longer,
//! or queue for a narrow place; what TCP makes of that is [`crate::pipe`]'s matter.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::overlay::Time;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::PeerIndex;
use crate::latency::Latency;

/// From one host to another.
pub(crate) type Wire = (PeerIndex, PeerIndex);

/// What becomes of new dials over a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dials {
    #[default]
    Pass,
    /// A firewall says no.
    Refused,
    /// A firewall says nothing.
    Unanswered,
}

/// What is wrong with a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Condition {
    cut: bool,
    dials: Dials,
    /// The share of packets that are lost; `None`: as everywhere.
    loss: Option<f64>,
    delay: Duration,
    /// Bytes per second.
    rate: Option<u64>,
    /// Until when the narrow place has something to send.
    busy: Time,
}

impl Condition {
    fn is_well(&self) -> bool {
        Condition {
            busy: Time::ZERO,
            ..*self
        } == Condition::default()
    }
}

/// Delays and whatever else is wrong.
#[derive(Debug)]
pub(crate) struct Network {
    latency: Latency,
    seed: u64,
    rng: StdRng,
    conditions: BTreeMap<Wire, Condition>,
    /// The share of packets that are lost on every wire without its own.
    loss: f64,
}

impl Network {
    /// A network in which everything works.
    pub(crate) fn new(seed: u64, latency: Latency) -> Network {
        Network {
            latency,
            seed,
            rng: StdRng::seed_from_u64(seed),
            conditions: BTreeMap::new(),
            loss: 0.0,
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether nothing is wrong between two hosts, in either direction.
    pub(crate) fn is_well(&self, a: PeerIndex, b: PeerIndex) -> bool {
        let none = |wire| !self.conditions.contains_key(&wire);
        self.loss == 0.0 && (self.conditions.is_empty() || (none((a, b)) && none((b, a))))
    }

    /// Whether nothing is wrong anywhere.
    pub(crate) fn is_well_everywhere(&self) -> bool {
        self.loss == 0.0 && self.conditions.is_empty()
    }

    /// The delay of a packet without jitter and queueing.
    pub(crate) fn delay(&self, from: PeerIndex, to: PeerIndex) -> Duration {
        let extra = self.conditions.get(&(from, to)).map(|condition| condition.delay);
        self.latency.delay(self.seed, from, to) + extra.unwrap_or_default()
    }

    /// There and back.
    pub(crate) fn round_trip(&self, a: PeerIndex, b: PeerIndex) -> Duration {
        self.delay(a, b) + self.delay(b, a)
    }

    /// When a packet that is put on the wire now arrives, if it is not lost.
    pub(crate) fn arrival(&mut self, now: Time, from: PeerIndex, to: PeerIndex, bytes: usize) -> Time {
        let jitter = self.latency.jitter().mul_f64(self.rng.random::<f64>());
        self.departure(now, from, to, bytes) + self.delay(from, to) + jitter
    }

    /// When its last byte is through the narrow place.
    fn departure(&mut self, now: Time, from: PeerIndex, to: PeerIndex, bytes: usize) -> Time {
        let Some(condition) = self.conditions.get_mut(&(from, to)) else {
            return now;
        };
        let Some(rate) = condition.rate else { return now };
        let takes = Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate.max(1));
        condition.busy = condition.busy.max(now) + takes;
        condition.busy
    }

    /// Whether the next packet on the wire is lost: draws only where packets are.
    pub(crate) fn loses(&mut self, from: PeerIndex, to: PeerIndex) -> bool {
        let condition = self.conditions.get(&(from, to));
        if condition.is_some_and(|condition| condition.cut) {
            return true;
        }
        let loss = condition.and_then(|condition| condition.loss).unwrap_or(self.loss);
        loss > 0.0 && self.rng.random::<f64>() < loss
    }

    /// A draw for whoever else needs chance about messages.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share >= 1.0 || self.rng.random::<f64>() < share
    }

    /// What becomes of a new dial.
    pub(crate) fn dials(&self, from: PeerIndex, to: PeerIndex) -> Dials {
        self.conditions
            .get(&(from, to))
            .map_or(Dials::Pass, |condition| condition.dials)
    }

    fn change(&mut self, from: PeerIndex, to: PeerIndex, change: impl FnOnce(&mut Condition)) {
        let condition = self.conditions.entry((from, to)).or_default();
        change(condition);
        if condition.is_well() {
            self.conditions.remove(&(from, to));
        }
    }

    pub(crate) fn set_cut(&mut self, from: PeerIndex, to: PeerIndex, cut: bool) {
        self.change(from, to, |condition| condition.cut = cut);
    }

    pub(crate) fn is_cut(&self, from: PeerIndex, to: PeerIndex) -> bool {
        self.conditions.get(&(from, to)).is_some_and(|condition| condition.cut)
    }

    pub(crate) fn set_dials(&mut self, from: PeerIndex, to: PeerIndex, dials: Dials) {
        self.change(from, to, |condition| condition.dials = dials);
    }

    pub(crate) fn set_loss(&mut self, from: PeerIndex, to: PeerIndex, loss: f64) {
        let everywhere = self.loss;
        self.change(from, to, |condition| {
            condition.loss = (loss != everywhere).then_some(loss);
        });
    }

    /// Every wire loses so much from now on, whatever was said of it before.
    pub(crate) fn set_loss_everywhere(&mut self, loss: f64) {
        self.loss = loss;
        self.retain(|condition| condition.loss = None);
    }

    pub(crate) fn set_delay(&mut self, from: PeerIndex, to: PeerIndex, delay: Duration) {
        self.change(from, to, |condition| condition.delay = delay);
    }

    pub(crate) fn set_rate(&mut self, from: PeerIndex, to: PeerIndex, rate: Option<u64>) {
        self.change(from, to, |condition| condition.rate = rate);
    }

    /// Mends every cut, and lets dials pass again.
    pub(crate) fn mend(&mut self) {
        self.retain(|condition| {
            condition.cut = false;
            condition.dials = Dials::Pass;
        });
    }

    /// Everything works again.
    pub(crate) fn calm(&mut self) {
        self.loss = 0.0;
        self.conditions.clear();
    }

    fn retain(&mut self, change: impl Fn(&mut Condition)) {
        self.conditions.retain(|_, condition| {
            change(condition);
            !condition.is_well()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerIndex = PeerIndex(0);
    const B: PeerIndex = PeerIndex(1);

    #[test]
    fn nothing_is_kept_of_a_wire_that_is_well_again() {
        let mut network = Network::new(1, Latency::RACK);
        network.set_cut(A, B, true);
        network.set_loss(A, B, 0.5);
        network.set_delay(B, A, Duration::from_secs(1));
        assert!(!network.is_well(A, B) && network.is_cut(A, B) && !network.is_cut(B, A));
        network.mend();
        network.set_delay(B, A, Duration::ZERO);
        assert!(!network.is_well(B, A));
        network.set_loss_everywhere(0.0);
        assert!(network.is_well(A, B) && network.conditions.is_empty());
    }

    #[test]
    fn a_cut_wire_loses_all_and_a_lossy_one_its_share() {
        let mut network = Network::new(1, Latency::RACK);
        network.set_loss_everywhere(0.25);
        let lost = (0..10_000).filter(|_| network.loses(A, B)).count();
        assert!((2_300..2_700).contains(&lost), "{lost}");
        network.set_cut(A, B, true);
        assert!((0..100).all(|_| network.loses(A, B)));
        network.set_loss(B, A, 0.0);
        assert!((0..100).all(|_| !network.loses(B, A)));
    }

    #[test]
    fn a_narrow_wire_takes_one_packet_after_the_other() {
        let mut network = Network::new(1, Latency::RACK);
        network.set_rate(A, B, Some(1000));
        let arrivals: Vec<_> = (0..3).map(|_| network.arrival(Time::ZERO, A, B, 500)).collect();
        for (n, at) in arrivals.iter().enumerate() {
            let queued = Duration::from_millis(500 * (n as u64 + 1));
            assert!(
                at.elapsed() >= queued && at.elapsed() < queued + Duration::from_millis(1),
                "{at}"
            );
        }
    }
}
