//! The pings of one link that are not answered yet.

use std::collections::VecDeque;

use crate::{Bounded, Time};

/// Unanswered pings remembered per link. More than a link that is pinged at its quickest has within `L`; beyond it the oldest is
/// forgotten, and its late answer proves nothing.
const REMEMBERED: usize = 32;

/// Numbers pings and remembers when each was sent, so that an answer proves life as of the *sending* and not of its arrival.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    last: u32,
    unanswered: VecDeque<(u32, Time)>,
}

impl Pings {
    /// Numbers one more ping.
    pub(crate) fn send(&mut self, now: Time) -> u32 {
        self.last = self.last.wrapping_add(1);
        if self.unanswered.len() == REMEMBERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((self.last, now));
        self.last
    }

    /// When the ping of this number was sent, if it still waits for its answer. It and all before it wait no longer.
    pub(crate) fn answered(&mut self, number: u32) -> Option<Time> {
        let place = self.unanswered.iter().position(|&(waiting, _)| waiting == number)?;
        let (_, sent) = self.unanswered[place];
        self.unanswered.drain(..=place);
        Some(sent)
    }

    /// When the oldest one that waits for its answer was sent.
    pub(crate) fn oldest(&self) -> Option<Time> {
        self.unanswered.front().map(|&(_, sent)| sent)
    }

    /// The session that carried them is gone: no answer can come.
    pub(crate) fn forget(&mut self) {
        self.unanswered.clear();
    }
}

impl Pings {
    pub(crate) fn bounds(&self) -> Bounded {
        Bounded::new("unanswered pings of a link", self.unanswered.len(), REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_and_settles_older_pings() {
        let mut pings = Pings::default();
        let first = pings.send(Time::from_millis(1));
        let second = pings.send(Time::from_millis(2));
        let third = pings.send(Time::from_millis(3));
        assert_eq!(pings.answered(second), Some(Time::from_millis(2)));
        assert_eq!(pings.answered(second), None);
        assert_eq!(pings.answered(first), None);
        assert_eq!(pings.oldest(), Some(Time::from_millis(3)));
        assert_eq!(pings.answered(third + 1), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut pings = Pings::default();
        let first = pings.send(Time::ZERO);
        for _ in 0..REMEMBERED {
            pings.send(Time::ZERO);
        }
        assert_eq!(pings.answered(first), None);
        assert_eq!(pings.unanswered.len(), REMEMBERED);
    }
}
