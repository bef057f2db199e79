//! What was seen lately on a network: so that whoever takes over can send what is missing, and say what is not (M6).

use std::collections::VecDeque;
use std::time::Duration;

use fatebound_base::Time;

use crate::packet::{Key, Packet};

/// What was captured is offered for so long: longer than any death takes to be known.
pub const OFFERED: Duration = Duration::from_secs(8);
/// What was seen is remembered for so long: longer than anybody offers it.
pub const REMEMBERED: Duration = Duration::from_secs(10);
/// Bytes of packets in one ring at most; beyond them the oldest go.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Entries in one ring at most.
pub const MAX_ENTRIES: usize = 200_000;

/// So long before; the beginning of time at the earliest.
pub(crate) fn earlier(time: Time, by: Duration) -> Time {
    let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
    Time::from_nanos(time.as_nanos().saturating_sub(by))
}

/// What was captured, oldest first; each has a number that never changes.
#[derive(Debug, Default)]
pub struct Captured {
    entries: VecDeque<(Time, Key, Packet)>,
    bytes: usize,
    /// The number of the first entry.
    first: u64,
}

impl Captured {
    /// Adds a packet.
    pub fn push(&mut self, now: Time, packet: Packet) {
        self.bytes += packet.bytes().len();
        self.entries.push_back((now, packet.key(), packet));
        self.trim(now);
    }

    fn trim(&mut self, now: Time) {
        while let Some((at, _, packet)) = self.entries.front() {
            let old = now.since(*at) > OFFERED;
            if !old && self.bytes <= MAX_BYTES && self.entries.len() <= MAX_ENTRIES {
                break;
            }
            self.bytes -= packet.bytes().len();
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// The number that the next one gets.
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The number of the oldest that can be offered, and the keys of all from there on.
    pub fn offer(&mut self, now: Time) -> (u64, Vec<Key>) {
        self.trim(now);
        (self.first, self.entries.iter().map(|(_, key, _)| *key).collect())
    }

    /// Those from this number on that are still there, each with its number and when it was captured.
    pub fn from(&self, number: u64) -> impl Iterator<Item = (u64, Time, &Packet)> {
        let skipped = number.saturating_sub(self.first).min(self.entries.len() as u64);
        let entries = self.entries.iter().skip(skipped as usize).enumerate();
        entries.map(move |(at, (time, _, packet))| (self.first + skipped + at as u64, *time, packet))
    }
}

/// The keys of what was delivered, oldest first, and since when it has been watched.
#[derive(Debug)]
pub struct Seen {
    entries: VecDeque<(Time, Key)>,
    since: Time,
}

impl Seen {
    /// Nothing has been watched yet.
    pub fn new(now: Time) -> Seen {
        Seen {
            entries: VecDeque::new(),
            since: now,
        }
    }

    /// One was delivered.
    pub fn push(&mut self, now: Time, key: Key) {
        self.entries.push_back((now, key));
        while let Some((at, _)) = self.entries.front() {
            let old = now.since(*at) > REMEMBERED;
            if !old && self.entries.len() <= MAX_ENTRIES {
                break;
            }
            if !old {
                self.since = *at;
            }
            self.entries.pop_front();
        }
    }

    /// What may be asked about, and for how long all of it has been watched.
    pub fn recent(&self, now: Time) -> (Duration, Vec<Key>) {
        let recent = self.entries.iter().filter(|(at, _)| now.since(*at) <= OFFERED);
        (now.since(self.since), recent.map(|(_, key)| *key).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::raw;
    use std::net::Ipv4Addr;

    fn packet(number: u32, size: usize) -> Packet {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(size.max(4), 0);
        let to = (Ipv4Addr::new(239, 5, 5, 5), 5000);
        Packet::parse(raw((Ipv4Addr::new(10, 1, 0, 1), 1), to, 3, &payload)).unwrap()
    }

    #[test]
    fn numbers_stay_while_the_oldest_go() {
        let mut ring = Captured::default();
        for second in 0..10 {
            ring.push(Time::from_millis(second * 1000), packet(second as u32, 10));
        }
        let (first, keys) = ring.offer(Time::from_millis(9500));
        assert_eq!((first, keys.len(), ring.next()), (2, 8, 10));
        let numbers: Vec<u64> = ring.from(8).map(|(number, ..)| number).collect();
        assert_eq!(numbers, [8, 9]);
        assert_eq!(ring.from(0).next().unwrap().2, &packet(2, 10));
        assert_eq!(ring.from(99).count(), 0);
    }

    #[test]
    fn bytes_are_bounded() {
        let mut ring = Captured::default();
        for number in 0..600 {
            ring.push(Time::ZERO, packet(number, 64_000));
        }
        assert!(ring.bytes <= MAX_BYTES);
        assert!(ring.from(0).count() > 500);
        assert_eq!(ring.next(), 600);
    }

    #[test]
    fn who_has_forgotten_says_so() {
        let mut seen = Seen::new(Time::ZERO);
        for number in 0..=MAX_ENTRIES as u64 {
            seen.push(Time::from_millis(1 + number / 1000), Key(number));
        }
        let (watched, keys) = seen.recent(Time::from_millis(300));
        assert_eq!(keys.len(), MAX_ENTRIES);
        assert_eq!(watched, Duration::from_millis(299));
    }
}
