//! Requests that wait at a provider: for a primary, or for their turn. Bounded, and none is forgotten: each is served, sent on, or refused.

use std::collections::VecDeque;
use std::time::Duration;

use super::message::{Call, Refused};

/// Requests that may wait.
pub(crate) const MAX_HELD: usize = 1024;
/// Bytes of them.
pub(crate) const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker<P> {
    pub(crate) peer: P,
    pub(crate) ticket: u64,
}

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Waiting<P> {
    pub(crate) asker: Asker<P>,
    pub(crate) call: Call,
    since: Duration,
}

/// All that wait, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Held<P> {
    queue: VecDeque<Waiting<P>>,
    bytes: usize,
}

impl<P> Default for Held<P> {
    fn default() -> Held<P> {
        Held {
            queue: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<P> Held<P> {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Holds it. One that is held already is answered to whoever asks last.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn hold(&mut self, now: Duration, asker: Asker<P>, call: Call) -> Result<(), Refused> {
        if let Some(before) = self.queue.iter_mut().find(|waiting| waiting.call.id == call.id) {
            before.asker = asker;
            return Ok(());
        }
        if self.queue.len() >= MAX_HELD || self.bytes + call.body.len() > MAX_HELD_BYTES {
            return Err(Refused::Full);
        }
        self.bytes += call.body.len();
        self.queue.push_back(Waiting {
            asker,
            call,
            since: now,
        });
        Ok(())
    }

    /// The next ones, at most so many.
    pub(crate) fn take(&mut self, count: usize) -> Vec<Waiting<P>> {
        let taken: Vec<Waiting<P>> = self.queue.drain(..count.min(self.queue.len())).collect();
        self.bytes -= taken.iter().map(|waiting| waiting.call.body.len()).sum::<usize>();
        taken
    }

    /// Those that have waited for so long.
    pub(crate) fn overdue(&mut self, now: Duration, limit: Duration) -> Vec<Waiting<P>> {
        let count = self
            .queue
            .iter()
            .take_while(|waiting| now.saturating_sub(waiting.since) >= limit)
            .count();
        self.take(count)
    }

    /// When the first one has waited for so long.
    pub(crate) fn deadline(&self, limit: Duration) -> Option<Duration> {
        self.queue.front().map(|waiting| waiting.since + limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::done::RequestId;

    fn call(number: u64, length: usize) -> Call {
        let id = RequestId { client: 1, number };
        let body = vec![0; length];
        Call {
            id,
            low: 1,
            again: false,
            body,
        }
    }

    fn hold(held: &mut Held<u8>, at: u64, number: u64, length: usize) -> Result<(), Refused> {
        held.hold(
            Duration::from_secs(at),
            Asker {
                peer: 1,
                ticket: number,
            },
            call(number, length),
        )
    }

    #[test]
    fn no_more_are_held_than_may_be() {
        let mut held = Held::default();
        for number in 0..MAX_HELD as u64 {
            assert_eq!(hold(&mut held, 0, number, 1), Ok(()));
        }
        assert_eq!(hold(&mut held, 0, MAX_HELD as u64, 1), Err(Refused::Full));
        assert_eq!(hold(&mut held, 0, 0, 1), Ok(()), "it is held already");
        assert_eq!(held.take(2).len(), 2);
        assert_eq!(hold(&mut held, 0, 0, 1), Ok(()));
        assert_eq!(held.len(), MAX_HELD - 1);
        let mut held = Held::default();
        assert_eq!(hold(&mut held, 0, 0, MAX_HELD_BYTES), Ok(()));
        assert_eq!(hold(&mut held, 0, 1, 1), Err(Refused::Full));
        assert_eq!(held.take(9).len(), 1);
        assert_eq!(held.bytes, 0);
    }

    #[test]
    fn those_are_refused_that_have_waited_too_long_and_no_others() {
        let (mut held, limit) = (Held::default(), Duration::from_secs(30));
        for at in [0, 10, 20] {
            hold(&mut held, at, at, 1).expect("there is room");
        }
        assert_eq!(held.deadline(limit), Some(Duration::from_secs(30)));
        assert!(held.overdue(Duration::from_secs(29), limit).is_empty());
        let overdue = held.overdue(Duration::from_secs(41), limit);
        let tickets: Vec<u64> = overdue.iter().map(|waiting| waiting.asker.ticket).collect();
        assert_eq!((tickets, held.len()), (vec![0, 10], 1));
    }
}
