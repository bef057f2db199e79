//! A pipe that is up: what may be sent on it, what the other end has to be told, and what the driver holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::flight::Flight;
use super::io::{PipeId, Port};
use super::message::Frame;
use crate::Time;

/// Frames that the driver holds unwritten at most, before it gets another part.
const HELD_PARTS: usize = 2;
/// The same for other frames, which are small.
const HELD: usize = 8;

/// What the other end has granted for one port.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credit {
    pub(crate) bytes: u64,
    /// Nobody is there any more.
    pub(crate) deaf: bool,
}

/// A pipe that is up.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) pipe: PipeId,
    /// The other end's life.
    pub(crate) incarnation: u64,
    /// Openings of that life up to this number mean nothing any more.
    pub(crate) seen: u64,
    pub(crate) credit: BTreeMap<Port, Credit>,
    pub(crate) flight: Flight,
    /// Bytes of parts that have come.
    pub(crate) received: u64,
    /// Frames that the driver has not written.
    pub(crate) unwritten: usize,
    /// Still to be told, each as soon as the driver has room.
    pub(crate) owes_taken: bool,
    pub(crate) owes_credit: BTreeSet<Port>,
    pub(crate) owes_refusal: BTreeSet<Port>,
    /// `Rest` was our last word.
    pub(crate) resting: bool,
    /// When something was heard last, or the first part of a new flight sent.
    pub(crate) last: Time,
    /// The port whose turn was last.
    pub(crate) turn: Port,
}

impl Line {
    pub(crate) fn new(now: Time, pipe: PipeId, (incarnation, seen): (u64, u64), target: Duration) -> Line {
        Line {
            pipe,
            incarnation,
            seen,
            credit: BTreeMap::new(),
            flight: Flight::new(now, target),
            received: 0,
            unwritten: 0,
            owes_taken: false,
            owes_credit: BTreeSet::new(),
            owes_refusal: BTreeSet::new(),
            resting: false,
            last: now,
            turn: Port(0),
        }
    }

    /// Takes a grant.
    pub(crate) fn granted(&mut self, port: Port, bytes: u32) {
        let credit = self.credit.entry(port).or_default();
        credit.bytes = credit.bytes.saturating_add(u64::from(bytes));
        credit.deaf = false;
    }

    /// What may be sent to this port; `None`: nobody is there.
    pub(crate) fn credit(&self, port: Port) -> Option<u64> {
        let credit = self.credit.get(&port)?;
        (!credit.deaf).then_some(credit.bytes)
    }

    /// How large a part the wire, the driver and the other end's rest allow now.
    pub(crate) fn room(&self) -> usize {
        match self.resting || self.unwritten >= HELD_PARTS {
            true => 0,
            false => self.flight.room(),
        }
    }

    /// The next thing that the other end has to be told, apart from bodies and grants, if the driver has room for it.
    pub(crate) fn next_word(&mut self) -> Option<Frame> {
        if !self.may_say() || self.resting {
            return None;
        }
        if let Some(port) = self.owes_refusal.pop_first() {
            return Some(Frame::Refused { port });
        }
        let bytes = self.received;
        std::mem::take(&mut self.owes_taken).then_some(Frame::Taken { bytes })
    }

    /// Whether the driver has room for a small frame.
    pub(crate) fn may_say(&self) -> bool {
        self.unwritten < HELD
    }

    /// Frames that the driver holds, and how many it may.
    pub(crate) fn held(&self) -> (usize, usize) {
        // An opening, a farewell and a word of rest do not wait.
        (self.unwritten, HELD + 4)
    }
}
