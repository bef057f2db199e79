//! What this node has submitted, until it is committed.
//!
//! A submission waits here with its body until it is delivered here: an entry that is only in a log may be lost with its view. Then only its
//! place is remembered, until it is known to be committed.

use std::collections::VecDeque;

use fatebound_base::Rule;

use super::Config;
use super::io::Refused;
use super::message::{Class, MAX_BODY};
use crate::numbers::Seq;

/// A submission that waits.
#[derive(Clone, Debug, Hash)]
pub(super) struct Waiting {
    pub class: Class,
    pub body: Vec<u8>,
}

/// All of this node's.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Submissions {
    /// Those not delivered here; the last of them is number `last`.
    waiting: VecDeque<Waiting>,
    bytes: usize,
    last: u64,
    /// The last one that has its place in this view; those up to it are not sent again.
    logged: u64,
    /// The last one that is on its way to the leader; at least `logged`.
    sent: u64,
    /// Bytes of those on their way.
    flight: usize,
    /// Those delivered here that are not known to be committed: at most a window.
    uncommitted: VecDeque<(u64, Seq)>,
}

impl Submissions {
    /// Why one of so many bytes would not be taken now, if it would not.
    pub fn obstacle(&self, config: &Config, body: usize) -> Option<Refused> {
        if body > MAX_BODY {
            return Some(Refused::TooLong);
        }
        let bytes = self.bytes.saturating_add(body);
        let full = self.waiting.len() >= config.queue_submissions || bytes > config.queue_bytes;
        full.then_some(Refused::QueueFull)
    }

    /// Takes one more; says which number it has.
    pub fn push(&mut self, config: &Config, class: Class, body: Vec<u8>) -> Result<u64, Refused> {
        if let Some(why) = self.obstacle(config, body.len()) {
            return Err(why);
        }
        self.bytes = self.bytes.saturating_add(body.len());
        self.last = self.last.saturating_add(1);
        self.waiting.push_back(Waiting { class, body });
        Ok(self.last)
    }

    /// One that is not delivered here says nothing any more. It keeps its number, so that those behind it keep theirs.
    pub fn void(&mut self, number: u64) {
        let before = self.last.saturating_sub(self.waiting.len() as u64);
        let index = number.checked_sub(before).and_then(|place| place.checked_sub(1));
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(waiting) = index.and_then(|index| self.waiting.get_mut(index)) {
            self.bytes = self.bytes.saturating_sub(waiting.body.len());
            waiting.body = Vec::new();
        }
    }

    /// The last one that has its place in this view, with all before it.
    pub fn placed(&self) -> u64 {
        self.logged
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Those that are delivered here and not known to be committed.
    pub fn uncommitted(&self) -> usize {
        self.uncommitted.len()
    }

    /// Whether some have no place in this view yet.
    pub fn unlogged(&self) -> bool {
        self.logged < self.last
    }

    /// Whether nothing is on its way that has no place yet.
    pub fn none_under_way(&self) -> bool {
        self.sent == self.logged
    }

    /// Bytes on their way to the leader.
    pub fn flight(&self) -> usize {
        self.flight
    }

    fn get(&self, number: u64) -> Option<&Waiting> {
        let before = self.last.checked_sub(self.waiting.len() as u64)?;
        let index = number.checked_sub(before)?.checked_sub(1)?;
        self.waiting.get(usize::try_from(index).ok()?)
    }

    /// The next one to be sent or numbered.
    pub fn next(&self) -> Option<(u64, &Waiting)> {
        let number = self.sent.saturating_add(1);
        self.get(number).map(|waiting| (number, waiting))
    }

    /// The next one is on its way.
    pub fn went(&mut self) {
        if let Some((number, waiting)) = self.next() {
            let bytes = waiting.body.len();
            self.flight = self.flight.saturating_add(bytes);
            self.sent = number;
        }
    }

    /// Those behind this one have to be sent again, but for those that have their place.
    pub fn back_to(&mut self, number: u64) {
        self.sent = self.sent.min(number).max(self.logged);
        self.count_flight();
    }

    /// One has its place in this view, and so have all before it; says whether that is new.
    pub fn log(&mut self, number: u64) -> bool {
        let new = number > self.logged;
        if new {
            self.logged = number;
            self.sent = self.sent.max(number);
            self.count_flight();
        }
        new
    }

    /// One was delivered here, in this place.
    pub fn delivered(&mut self, number: u64, seq: Seq) {
        while self.get(number).is_some() {
            let first = self.waiting.pop_front();
            self.bytes = self.bytes.saturating_sub(first.map_or(0, |first| first.body.len()));
        }
        self.uncommitted.push_back((number, seq));
    }

    /// The next one of those up to this place that were not known to be committed.
    pub fn next_committed(&mut self, up_to: Seq) -> Option<(u64, Seq)> {
        self.uncommitted.pop_front_if(|(_, seq)| *seq <= up_to)
    }

    /// A view begins, before which this one was delivered as the last.
    ///
    /// S6 ◆ "Whatever is not before the cut is submitted again, in order."
    pub fn restart(&mut self, delivered: u64) {
        self.last = self.last.max(delivered);
        self.logged = if Rule::StreamSubmittedAgain.holds() {
            delivered
        } else {
            self.last
        };
        self.sent = self.logged;
        self.flight = 0;
    }

    /// This node is out. Those of which it cannot know what has become of them.
    pub fn clear(&mut self) -> Vec<u64> {
        let uncommitted = self.uncommitted.iter().map(|(number, _)| *number);
        let first = self.last.saturating_sub(self.waiting.len() as u64).saturating_add(1);
        let unknown = uncommitted.chain(first..=self.last).collect();
        *self = Submissions::default();
        unknown
    }

    fn count_flight(&mut self) {
        let under_way = self.logged.saturating_add(1)..=self.sent;
        let bytes = under_way
            .filter_map(|number| self.get(number))
            .map(|waiting| waiting.body.len());
        self.flight = bytes.sum();
    }
}
