//! The network between the peers: how long things take, and what does not get through.
//!
//! From each host to each other host runs one wire, first in first out. A cut wire keeps what is put on it, as TCP does by sending it
//! again, and hands it over when it is mended.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use fatebound_machine::overlay::Time;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::PeerIndex;

/// One-way delays: each pair of hosts draws its own from this range, the same in both directions, and each message adds up to `jitter`.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The nearest pair.
    pub least: Duration,
    /// The farthest pair.
    pub most: Duration,
    /// Added to each message, uniformly from zero.
    pub jitter: Duration,
}

impl Latency {
    /// One machine or one rack: 50 to 300 µs, a guess from loopback and switched Ethernet.
    pub const RACK: Latency = Latency {
        least: Duration::from_micros(50),
        most: Duration::from_micros(300),
        jitter: Duration::from_micros(50),
    };

    /// The open Internet: 5 to 120 ms, the span between one city and opposite sides of the globe.
    pub const INTERNET: Latency = Latency {
        least: Duration::from_millis(5),
        most: Duration::from_millis(120),
        jitter: Duration::from_millis(5),
    };
}

/// From one host to another.
type Wire = (PeerIndex, PeerIndex);

/// Delays and cuts. `T` is whatever is carried.
#[derive(Debug)]
pub struct Network<T> {
    latency: Latency,
    seed: u64,
    rng: StdRng,
    cut: BTreeSet<Wire>,
    held: BTreeMap<Wire, VecDeque<T>>,
    /// When the last thing on a wire arrives: nothing overtakes it. Whatever has arrived is forgotten now and then.
    last: HashMap<Wire, Time>,
    /// At this size `last` is tidied next.
    tidy_at: usize,
}

/// Wires that are remembered before it is worth a look which of them are empty.
const TIDY_AT_LEAST: usize = 4096;

impl<T> Network<T> {
    /// A network in which everything works.
    pub fn new(seed: u64, latency: Latency) -> Network<T> {
        Network {
            latency,
            seed,
            rng: StdRng::seed_from_u64(seed),
            cut: BTreeSet::new(),
            held: BTreeMap::new(),
            last: HashMap::new(),
            tidy_at: TIDY_AT_LEAST,
        }
    }

    /// The delay of a pair without jitter: a function of the seed and the pair, so that it needs no table.
    pub fn delay(&self, a: PeerIndex, b: PeerIndex) -> Duration {
        let (low, high) = (a.0.min(b.0) as u64, a.0.max(b.0) as u64);
        let spread = self.latency.most.saturating_sub(self.latency.least);
        let share = mixed(self.seed ^ (low << 32 | high)) >> 32;
        self.latency.least + Duration::from_nanos(((u128::from(share) * spread.as_nanos()) >> 32) as u64)
    }

    /// When something put on the wire now arrives; `None` if the wire is cut, and then `thing` is kept.
    pub(crate) fn put(&mut self, now: Time, from: PeerIndex, to: PeerIndex, thing: T) -> Option<(Time, T)> {
        if self.cut.contains(&(from, to)) {
            self.held.entry((from, to)).or_default().push_back(thing);
            return None;
        }
        Some((self.arrival(now, from, to), thing))
    }

    fn arrival(&mut self, now: Time, from: PeerIndex, to: PeerIndex) -> Time {
        let jitter = self.latency.jitter.mul_f64(self.rng.random::<f64>());
        let earliest = now + self.delay(from, to) + jitter;
        if self.last.len() >= self.tidy_at {
            self.last.retain(|_, last| *last > now);
            self.tidy_at = TIDY_AT_LEAST.max(2 * self.last.len());
        }
        let last = self.last.entry((from, to)).or_default();
        *last = earliest.max(*last);
        *last
    }

    /// Whether anything gets from one host to the other.
    pub fn is_cut(&self, from: PeerIndex, to: PeerIndex) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: PeerIndex, to: PeerIndex) {
        self.cut.insert((from, to));
    }

    /// Mends one direction; returns what had been kept, with the times of its arrival.
    pub(crate) fn mend(&mut self, now: Time, from: PeerIndex, to: PeerIndex) -> Vec<(Time, T)> {
        self.cut.remove(&(from, to));
        let held = self.held.remove(&(from, to)).unwrap_or_default();
        held.into_iter()
            .map(|thing| (self.arrival(now, from, to), thing))
            .collect()
    }

    /// All cut wires.
    pub(crate) fn cuts(&self) -> Vec<Wire> {
        self.cut.iter().copied().collect()
    }
}

/// Spreads a number over all numbers (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerIndex = PeerIndex(0);
    const B: PeerIndex = PeerIndex(1);

    #[test]
    fn nothing_overtakes_on_a_wire() {
        let mut network = Network::new(1, Latency::INTERNET);
        let times: Vec<_> = (0..100)
            .map(|n| network.put(Time::from_millis(n), A, B, n).expect("not cut").0)
            .collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn a_cut_wire_keeps_and_a_mended_one_delivers_in_order() {
        let mut network = Network::new(1, Latency::RACK);
        network.cut(A, B);
        assert!(network.put(Time::ZERO, A, B, 'x').is_none());
        assert!(network.put(Time::ZERO, A, B, 'y').is_none());
        assert!(network.put(Time::ZERO, B, A, 'z').is_some());
        let kept: Vec<_> = network
            .mend(Time::from_millis(5), A, B)
            .into_iter()
            .map(|(_, thing)| thing)
            .collect();
        assert_eq!(kept, ['x', 'y']);
    }

    #[test]
    fn both_directions_of_a_pair_take_equally_long() {
        let network = Network::<()>::new(9, Latency::INTERNET);
        assert_eq!(network.delay(A, B), network.delay(B, A));
    }
}
