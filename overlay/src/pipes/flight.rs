//! How much of a pipe may be on its way, so that it fills no queue on a slow wire: pings wait in the same queue.
//!
//! What is on its way and not taken yet is bounded by an allowance that follows the delay, after LEDBAT (RFC 6817): each part that is taken
//! says how long it was on its way; what exceeds the least delay is the queue that this pipe, or somebody else, has built on the way. While that
//! is below the target the allowance grows, first as fast as parts are taken, later by one part each round trip; beyond it it shrinks. Every ten
//! seconds it falls to its least for a round trip, the queue drains, and the least delay is measured anew: or it would creep up with the queue,
//! and a wire that has become longer would look like a full one for ever.

use std::collections::VecDeque;
use std::time::Duration;

use super::message::{MAX_PART, OVERHEAD};
use crate::{Rule, Time};

/// The least that may be on its way: a packet's worth.
const LEAST: usize = 1024;
/// The first allowance: ten packets' worth would be TCP's (RFC 6928); a pipe may be the smaller part of what its wire carries.
const FIRST: usize = 4 * 1024;
/// The most.
const MOST: usize = 1024 * 1024;
/// The smallest part worth a frame.
const LEAST_PART: usize = 512;
/// How often the least delay is measured anew.
const DRAIN: Duration = Duration::from_secs(10);

/// The allowance of one direction of a pipe.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    target: Duration,
    allowance: usize,
    /// It has never shrunk: it grows as fast as parts are taken.
    young: bool,
    /// The least delay, once known.
    least: Option<Duration>,
    sent: u64,
    taken: u64,
    /// Parts on their way: where each ends, and when it left.
    parts: VecDeque<(u64, Time)>,
    /// Parts that end up to here were sent before the last change for the worse, and say nothing about it.
    deaf_until: u64,
    /// What the allowance was before the draining, while it drains; and the next time to begin.
    drained: Option<usize>,
    drain_at: Time,
}

impl Flight {
    /// `target`: the longest queue that this pipe should build.
    pub(crate) fn new(now: Time, target: Duration) -> Flight {
        Flight {
            target,
            allowance: FIRST,
            young: true,
            least: None,
            sent: 0,
            taken: 0,
            parts: VecDeque::new(),
            deaf_until: 0,
            drained: None,
            drain_at: now + DRAIN,
        }
    }

    /// How much may be sent now: a part of this size.
    pub(crate) fn room(&self) -> usize {
        let allowance = if Rule::PipeFollowsTheDelay.holds() {
            self.allowance
        } else {
            MOST
        };
        let part = (allowance / 4).clamp(LEAST_PART, MAX_PART);
        let on_its_way = (self.sent - self.taken) as usize;
        if on_its_way + part <= allowance { part } else { 0 }
    }

    /// A part leaves.
    pub(crate) fn sent(&mut self, now: Time, cost: usize) {
        self.sent += cost as u64;
        self.parts.push_back((self.sent, now));
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.taken
    }

    /// All before this byte is known to have arrived.
    pub(crate) fn taken_up_to(&self) -> u64 {
        self.taken
    }

    /// Where the last part that was sent ends.
    pub(crate) fn sent_up_to(&self) -> u64 {
        self.sent
    }

    /// All up to `bytes` has been taken. Says whether that can be.
    pub(crate) fn on_taken(&mut self, now: Time, bytes: u64) -> bool {
        if bytes < self.taken || bytes > self.sent {
            return false;
        }
        let fresh = (bytes - self.taken) as usize;
        self.taken = bytes;
        let mut newest = None;
        while let Some(&(end, at)) = self.parts.front().filter(|(end, _)| *end <= bytes) {
            newest = Some((end, now.since(at)));
            self.parts.pop_front();
        }
        if let Some((end, delay)) = newest.filter(|(end, _)| *end > self.deaf_until) {
            self.learn(now, end, delay, fresh);
        }
        true
    }

    fn learn(&mut self, now: Time, end: u64, delay: Duration, fresh: usize) {
        if let Some(before) = self.drained.take() {
            // Measured on an empty queue, as far as it is ours.
            self.least = Some(delay);
            self.allowance = (before / 4 * 3).max(LEAST);
            self.drain_at = now + DRAIN;
            return;
        }
        let least = self.least.map_or(delay, |least| least.min(delay));
        self.least = Some(least);
        if delay - least > self.target {
            self.young = false;
            self.allowance = (self.allowance / 2).max(LEAST);
            self.deaf_until = self.sent;
        } else if now >= self.drain_at {
            self.drained = Some(self.allowance);
            self.allowance = LEAST;
            self.deaf_until = self.sent;
        } else {
            self.grow(end, delay - least, fresh);
        }
    }

    /// An allowance that is not used has nothing to grow for.
    fn grow(&mut self, end: u64, queue: Duration, fresh: usize) {
        let used = (self.sent - end) as usize + fresh;
        if used < self.allowance / 2 {
            return;
        }
        let more = match self.young && queue * 2 <= self.target {
            true => fresh,
            false => (LEAST * fresh / self.allowance).max(1),
        };
        self.allowance = (self.allowance + more).min(MOST);
    }

    /// Parts on their way, and how many there may be.
    pub(crate) fn bound(&self) -> (usize, usize) {
        (self.parts.len(), MOST / OVERHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(50);

    /// A wire of this rate (bytes per second) and length, always kept full; returns the longest delay of a part after the first two seconds, and the bytes that got
    /// through each second.
    fn run(rate: u64, length: Duration, seconds: u64) -> (Duration, u64) {
        let mut flight = Flight::new(Time::ZERO, TARGET);
        let mut wire: VecDeque<(Time, u64)> = VecDeque::new();
        let mut busy = Time::ZERO;
        let (mut now, mut longest) = (Time::ZERO, Duration::ZERO);
        while now.elapsed() < Duration::from_secs(seconds) {
            while flight.room() > 0 {
                let part = flight.room();
                flight.sent(now, part);
                busy = busy.max(now) + Duration::from_nanos(part as u64 * 1_000_000_000 / rate);
                wire.push_back((busy + length, flight.sent_up_to()));
                if now.elapsed() > Duration::from_secs(2) {
                    longest = longest.max((busy + length).since(now));
                }
            }
            let (at, end) = wire.pop_front().expect("something is on its way");
            now = at;
            assert!(flight.on_taken(now, end));
        }
        (longest, flight.taken_up_to() / seconds)
    }

    #[test]
    fn a_narrow_wire_is_used_and_its_queue_stays_short() {
        for (rate, length) in [(125_000, 1), (125_000, 50), (1_250_000, 1), (1_250_000, 100)] {
            let length = Duration::from_millis(length);
            let (longest, through) = run(rate, length, 60);
            assert!(longest < length + 2 * TARGET, "{rate}, {length:?}: {longest:?}");
            assert!(through > rate / 2, "{rate}, {length:?}: {through} bytes/s");
        }
    }

    #[test]
    fn a_wide_wire_is_filled() {
        let (_, through) = run(1_000_000_000, Duration::from_millis(10), 20);
        assert!(through > 20_000_000, "{through} bytes/s");
    }

    #[test]
    fn what_was_never_sent_cannot_have_been_taken() {
        let mut flight = Flight::new(Time::ZERO, TARGET);
        flight.sent(Time::ZERO, 100);
        assert!(!flight.on_taken(Time::ZERO, 101));
        assert!(flight.on_taken(Time::ZERO, 100) && flight.is_empty());
        assert!(!flight.on_taken(Time::ZERO, 99));
    }
}
