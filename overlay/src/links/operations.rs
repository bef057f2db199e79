//! Numbered operations: each is delivered once and in order, however often the session under the link breaks.
//!
//! The sender numbers operations from 1 in a link's life and keeps each until it is acknowledged; the receiver counts. When a session is
//! made anew, the sender starts over behind what the other end has received, and the receiver drops what it has already ("each side
//! replays its unacknowledged operations", protocol.md §4). A window keeps a storm from filling the send queue; the rest waits here.

use std::collections::VecDeque;

use crate::{Bounded, Time};

/// Bytes in the log of one link at most.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The operations of one link, both directions.
///
/// Invariants: `acknowledged ≤ sent ≤ highest_sent ≤ acknowledged + log.len()`; `told ≤ received`.
#[derive(Debug)]
pub(crate) struct Operations {
    /// In flight at most.
    window: usize,
    /// In the log at most.
    limit: usize,
    /// What the other end has acknowledged: the log begins right behind.
    acknowledged: u64,
    /// What has been sent on the session of now (or needs not be).
    sent: u64,
    /// What was ever sent: nothing beyond can be acknowledged.
    highest_sent: u64,
    log: VecDeque<Logged>,
    /// Bytes of all bodies in the log.
    bytes: usize,
    /// What has arrived here, without gaps.
    received: u64,
    /// How much of it the other end has been told of.
    told: u64,
}

/// One operation of ours that is not acknowledged.
#[derive(Debug)]
struct Logged {
    body: Vec<u8>,
    /// When it was sent last, on whatever session.
    sent: Option<Time>,
}

/// What an arriving operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one: deliver it.
    Next,
    /// It was delivered already; replayed.
    Known,
    /// Others are missing before it, which no order of sessions explains: a violation.
    Gap,
}

/// The other end acknowledges what was never sent: a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeverSent;

impl Operations {
    pub(crate) fn new(window: usize, limit: usize) -> Operations {
        Operations {
            window,
            limit,
            acknowledged: 0,
            sent: 0,
            highest_sent: 0,
            log: VecDeque::new(),
            bytes: 0,
            received: 0,
            told: 0,
        }
    }

    /// Puts one at the end of the log. `false`: the log is full, and nothing was changed.
    pub(crate) fn push(&mut self, body: Vec<u8>) -> bool {
        let fits = self.log.len() < self.limit && self.bytes + body.len() <= MAX_BYTES;
        if fits {
            self.bytes += body.len();
            self.log.push_back(Logged { body, sent: None });
        }
        fits
    }

    /// The next one that may be sent now, with its number; `None` when all were sent or the window is full.
    pub(crate) fn next_to_send(&mut self, now: Time) -> Option<(u64, Vec<u8>)> {
        let in_flight = (self.sent - self.acknowledged) as usize;
        if in_flight >= self.window {
            return None;
        }
        let logged = self.log.get_mut(in_flight)?;
        logged.sent = Some(now);
        let body = logged.body.clone();
        self.sent += 1;
        self.highest_sent = self.highest_sent.max(self.sent);
        Some((self.sent, body))
    }

    /// The other end has received all up to `number`.
    pub(crate) fn acknowledge(&mut self, number: u64) -> Result<(), NeverSent> {
        if number > self.highest_sent {
            return Err(NeverSent);
        }
        if number > self.acknowledged {
            let received = self.log.drain(..(number - self.acknowledged) as usize);
            self.bytes -= received.map(|logged| logged.body.len()).sum::<usize>();
            self.acknowledged = number;
            self.sent = self.sent.max(number);
        }
        Ok(())
    }

    /// A new session carries the link: start over behind what the other end has received.
    pub(crate) fn resume(&mut self, received: u64) -> Result<(), NeverSent> {
        self.acknowledge(received)?;
        self.sent = self.acknowledged;
        Ok(())
    }

    /// One arrived.
    pub(crate) fn arrived(&mut self, number: u64) -> Arrival {
        if number <= self.received {
            return Arrival::Known;
        }
        if number > self.received + 1 {
            return Arrival::Gap;
        }
        self.received = number;
        Arrival::Next
    }

    /// What has arrived, about to be told to the other end.
    pub(crate) fn tell_received(&mut self) -> u64 {
        self.told = self.received;
        self.received
    }

    /// What has arrived.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether a quarter of the window has arrived since the other end was last told: then it is told without waiting for a ping, or a
    /// sender whose window is full would wait for one.
    pub(crate) fn wants_telling(&self) -> bool {
        self.received - self.told >= (self.window as u64 / 4).max(1)
    }

    /// When the oldest one that is not acknowledged was sent; `None` if it was not, or there is none.
    pub(crate) fn oldest_sent(&self) -> Option<Time> {
        self.log.front()?.sent
    }

    /// Those that are not acknowledged, the newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &[u8]> {
        self.log.iter().rev().map(|logged| &*logged.body)
    }

    /// How many are waiting or unacknowledged.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }
}

impl Operations {
    pub(crate) fn bounds(&self) -> [Bounded; 3] {
        let in_flight = (self.sent - self.acknowledged) as usize;
        [
            Bounded::new("operations of a link", self.log.len(), self.limit),
            Bounded::new("bytes of operations of a link", self.bytes, MAX_BYTES),
            Bounded::new("operations in flight on a link", in_flight, self.window),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(operations: &mut Operations) -> Vec<u64> {
        std::iter::from_fn(|| operations.next_to_send(Time::ZERO))
            .map(|(number, _)| number)
            .collect()
    }

    #[test]
    fn the_window_holds_back_what_is_too_much() {
        let mut operations = Operations::new(2, 10);
        for byte in 0..5 {
            assert!(operations.push(vec![byte]));
        }
        assert_eq!(sent(&mut operations), [1, 2]);
        operations.acknowledge(1).unwrap();
        assert_eq!(sent(&mut operations), [3]);
        operations.acknowledge(3).unwrap();
        assert_eq!(operations.next_to_send(Time::ZERO), Some((4, vec![3])));
    }

    #[test]
    fn a_resume_replays_what_did_not_arrive_and_no_more() {
        let mut operations = Operations::new(10, 10);
        for byte in 0..4 {
            operations.push(vec![byte]);
        }
        assert_eq!(sent(&mut operations), [1, 2, 3, 4]);
        operations.resume(2).unwrap();
        assert_eq!(sent(&mut operations), [3, 4]);
        // An acknowledgement that was on its way on the old session.
        operations.resume(2).unwrap();
        operations.acknowledge(3).unwrap();
        assert_eq!(sent(&mut operations), [4]);
    }

    #[test]
    fn the_receiver_takes_each_once_and_no_gap() {
        let mut operations = Operations::new(8, 10);
        assert_eq!(operations.arrived(1), Arrival::Next);
        assert_eq!(operations.arrived(1), Arrival::Known);
        assert_eq!(operations.arrived(3), Arrival::Gap);
        assert!(!operations.wants_telling());
        assert_eq!(operations.arrived(2), Arrival::Next);
        assert!(operations.wants_telling());
        assert_eq!(operations.tell_received(), 2);
        assert!(!operations.wants_telling());
    }

    #[test]
    fn the_log_is_bounded_in_bytes_too() {
        let mut operations = Operations::new(2, 10);
        assert_eq!(MAX_BYTES, 67_108_864);
        assert!(operations.push(vec![0; MAX_BYTES]));
        assert!(!operations.push(vec![0]));
        assert_eq!(operations.oldest_sent(), None);
        operations.next_to_send(Time::from_millis(7));
        assert_eq!(operations.oldest_sent(), Some(Time::from_millis(7)));
        operations.acknowledge(1).unwrap();
        assert_eq!(operations.oldest_sent(), None);
        assert!(operations.push(vec![0]));
    }

    #[test]
    fn acknowledged_bytes_no_longer_count() {
        let mut operations = Operations::new(3, 3);
        for length in [3, 0, 5] {
            assert!(operations.push(vec![0; length]));
        }
        sent(&mut operations);
        for (number, rest) in [(0, 8), (1, 5), (2, 5), (3, 0)] {
            operations.acknowledge(number).unwrap();
            let [_, bytes, _] = operations.bounds();
            assert_eq!((bytes.what, bytes.size), ("bytes of operations of a link", rest));
        }
    }

    #[test]
    fn what_was_never_sent_cannot_be_acknowledged_and_a_full_log_says_so() {
        let mut operations = Operations::new(2, 3);
        for byte in 0..3 {
            assert!(operations.push(vec![byte]));
        }
        assert!(!operations.push(vec![9]));
        assert_eq!(operations.len(), 3);
        sent(&mut operations);
        assert_eq!(operations.acknowledge(3), Err(NeverSent));
        assert_eq!(operations.resume(2), Ok(()));
        assert_eq!(operations.len(), 1);
    }
}
