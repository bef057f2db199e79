//! The queue of a tunnel: words always wait, datagrams only so long and so many (M9).
//!
//! A tunnel that is slower than what comes would make every datagram late. So the oldest go first: beyond 4 MiB, and when they have waited for longer than
//! may be. What a take-over sends again is another matter: it is late already, and it waits as long as it must. There is no more of it than the rings of the
//! other networks, because a conversation that begins anew throws away what waits of the last one: its receiver would.

use std::collections::VecDeque;
use std::time::Duration;

use fatebound_base::Time;

use crate::message::{Frame, MAX_FRAME};
use crate::network::NetworkId;

/// Bytes of live datagrams that wait at most.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The queue.
#[derive(Debug)]
pub struct Backlog {
    waiting: VecDeque<Waiting>,
    /// Bytes of live datagrams.
    live: usize,
    /// So long a live datagram waits.
    patience: Duration,
    /// When the last one went that may wait for ever: those behind it could not go before.
    calm: Time,
    dropped: Vec<NetworkId>,
}

#[derive(Debug)]
struct Waiting {
    since: Time,
    /// Of which network's conversation it is.
    network: NetworkId,
    /// Of live datagrams: of which network.
    live: Option<NetworkId>,
    bytes: Vec<u8>,
}

impl Backlog {
    /// An empty queue.
    pub fn new(patience: Duration) -> Backlog {
        Backlog {
            waiting: VecDeque::new(),
            live: 0,
            patience,
            calm: Time::ZERO,
            dropped: Vec::new(),
        }
    }

    /// Appends a word.
    pub fn push(&mut self, now: Time, frame: &Frame) {
        let live = match frame {
            Frame::Up {
                network, age_ms: None, ..
            }
            | Frame::Down {
                network, again: false, ..
            } => Some(*network),
            _ => None,
        };
        let Some(bytes) = frame.encode() else {
            self.dropped.extend(live);
            return;
        };
        let network = network(frame);
        if matches!(frame, Frame::Welcome { .. } | Frame::Hello { part: 0, .. }) {
            self.begin_anew(network);
        }
        if live.is_some() {
            self.live += bytes.len();
        }
        self.waiting.push_back(Waiting {
            since: now,
            network,
            live,
            bytes,
        });
        while self.live > MAX_BYTES
            && let Some(at) = self.waiting.iter().position(|waiting| waiting.live.is_some())
            && let Some(waiting) = self.waiting.remove(at)
        {
            self.live -= waiting.bytes.len();
            self.dropped.extend(waiting.live);
        }
    }

    /// What waits of the last conversation means nothing in the next one, which begins with all that is missing.
    fn begin_anew(&mut self, network: NetworkId) {
        self.waiting.retain(|waiting| waiting.network != network);
        let live = self.waiting.iter().filter(|waiting| waiting.live.is_some());
        self.live = live.map(|waiting| waiting.bytes.len()).sum();
    }

    /// As much as fits one body of a pipe; `None` if nothing waits.
    pub fn next_body(&mut self, now: Time) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(waiting) = self.waiting.front() {
            let late = waiting.live.is_some() && now.since(waiting.since.max(self.calm)) > self.patience;
            if !late && !body.is_empty() && body.len() + waiting.bytes.len() > MAX_FRAME {
                break;
            }
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            match waiting.live {
                Some(_) => self.live -= waiting.bytes.len(),
                None => self.calm = now,
            }
            if late {
                self.dropped.extend(waiting.live);
            } else if body.is_empty() {
                body = waiting.bytes;
            } else {
                body.extend_from_slice(&waiting.bytes);
            }
        }
        (!body.is_empty()).then_some(body)
    }

    /// What was given up since the last time, by network.
    pub fn take_dropped(&mut self) -> Vec<NetworkId> {
        std::mem::take(&mut self.dropped)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn network(frame: &Frame) -> NetworkId {
    match frame {
        Frame::Hello { network, .. }
        | Frame::Welcome { network, .. }
        | Frame::Up { network, .. }
        | Frame::Down { network, .. }
        | Frame::Beat { network, .. }
        | Frame::Again { network } => *network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Session;
    use serde_bytes::ByteBuf;

    fn network() -> NetworkId {
        "10.1.0.0/24".parse().unwrap()
    }

    fn data(number: u64, again: bool, size: usize) -> Frame {
        Frame::Down {
            network: network(),
            session: Session(1),
            number,
            origin: network(),
            again,
            packet: ByteBuf::from(vec![0; size]),
        }
    }

    fn frames(mut body: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !body.is_empty() {
            let (frame, rest) = Frame::decode(body).unwrap();
            frames.push(frame);
            body = rest;
        }
        frames
    }

    #[test]
    fn what_waits_goes_in_one_body() {
        let mut backlog = Backlog::new(Duration::from_millis(200));
        for number in 0..3 {
            backlog.push(Time::ZERO, &data(number, false, 1000));
        }
        let body = backlog.next_body(Time::ZERO).unwrap();
        assert_eq!(frames(&body).len(), 3);
        assert_eq!(backlog.next_body(Time::ZERO), None);
        for number in 0..3 {
            backlog.push(Time::ZERO, &data(number, false, 30_000));
        }
        assert_eq!(frames(&backlog.next_body(Time::ZERO).unwrap()).len(), 2);
        assert_eq!(frames(&backlog.next_body(Time::ZERO).unwrap()).len(), 1);
    }

    #[test]
    fn the_oldest_go_when_they_are_too_many() {
        let mut backlog = Backlog::new(Duration::from_secs(9));
        for number in 0..100 {
            backlog.push(Time::ZERO, &data(number, false, 60_000));
        }
        assert!(backlog.live <= MAX_BYTES);
        let dropped = backlog.take_dropped().len() as u64;
        assert!(dropped > 25, "{dropped}");
        let first = frames(&backlog.next_body(Time::ZERO).unwrap());
        assert!(matches!(first[0], Frame::Down { number, .. } if number == dropped));
    }

    #[test]
    fn a_datagram_waits_only_so_long_and_a_word_for_ever() {
        let mut backlog = Backlog::new(Duration::from_millis(200));
        let word = Frame::Again { network: network() };
        backlog.push(Time::ZERO, &data(1, false, 10));
        backlog.push(Time::ZERO, &word);
        backlog.push(Time::from_millis(900), &data(2, false, 10));
        let body = backlog.next_body(Time::from_millis(1000)).unwrap();
        assert_eq!(frames(&body), [word, data(2, false, 10)]);
        assert_eq!(backlog.take_dropped(), [network()]);
    }

    #[test]
    fn a_conversation_that_begins_anew_throws_away_what_waits_of_the_last_one() {
        let mut backlog = Backlog::new(Duration::from_millis(200));
        let welcome = Frame::Welcome {
            network: network(),
            session: Session(2),
            wanted: Vec::new(),
        };
        let other = Frame::Again {
            network: "10.2.0.0/24".parse().unwrap(),
        };
        for _ in 0..100 {
            backlog.push(Time::ZERO, &data(1, false, 60_000));
            backlog.push(Time::ZERO, &data(2, true, 60_000));
            backlog.push(Time::ZERO, &welcome);
        }
        backlog.push(Time::ZERO, &other);
        assert_eq!((backlog.live, backlog.waiting.len()), (0, 2));
        assert_eq!(frames(&backlog.next_body(Time::ZERO).unwrap()), [welcome, other]);
        assert_eq!(backlog.take_dropped(), [], "it is not lost: what is missing follows");
    }

    #[test]
    fn what_waits_behind_a_take_over_is_not_late() {
        let mut backlog = Backlog::new(Duration::from_millis(200));
        backlog.push(Time::ZERO, &data(1, true, 10));
        backlog.push(Time::ZERO, &data(2, false, 10));
        let body = backlog.next_body(Time::from_millis(1000)).unwrap();
        assert_eq!(frames(&body).len(), 2);
    }
}
