//! Leaving without failing anybody: the leaver's side. What follows when it is out, and the root's side, are in `part`: all parts
//! have to let go.
//!
//! "A member or an observer asks its root to let it go, `Leave { group }`, and stays what it is until that is acknowledged, `Left`: a failure that
//! comes first reaches it, and nothing after." (protocol.md §6) The question is repeated like others, over every way; patience without any answer
//! means that it has left. Bound: one departure per group, [`MAX_TICKETS`] callers each.

use std::collections::BTreeMap;

use fatebound_overlay::{Bounded, PeerId, Time, Ways};
use fatebound_tree::GroupId;

use crate::fate::Fate;
use crate::group::{Key, Stage};
use crate::io::{Event, LeaveError, Ticket};
use crate::join::MAX_TICKETS;
use crate::message::{Answer, Request};
use crate::reason::Reason;
use crate::shared::{Shared, Timer};

/// Postings of one departure whose answers still count: the newest 16.
const MAX_POSTS: usize = 16;

/// This peer is about to leave a group.
#[derive(Clone, Debug, Hash)]
struct Departure {
    tickets: Vec<Ticket>,
    /// The join by which it is in.
    came: u64,
    posts: Vec<u64>,
    sent: u32,
    since: Time,
}

/// The groups that this peer is about to leave, by their places.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Departures {
    groups: BTreeMap<u32, Departure>,
    /// Postings whose answers count.
    posts: BTreeMap<u64, u32>,
}

impl Departures {
    /// How many; each has a timer.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The application wants to leave the group in this place, which is another peer's; this one came into it by the join `came`.
    pub(crate) fn on_leave(&mut self, shared: &mut Shared, ticket: Ticket, slot: u32, group: GroupId, came: u64) {
        if let Some(departure) = self.groups.get_mut(&slot) {
            if departure.tickets.len() < MAX_TICKETS {
                return departure.tickets.push(ticket);
            }
            let error = Some(LeaveError::TooMany { max: MAX_TICKETS });
            return shared.event(Event::LeaveEnded { ticket, group, error });
        }
        let departure = Departure {
            tickets: vec![ticket],
            came,
            posts: Vec::new(),
            sent: 0,
            since: shared.now,
        };
        self.groups.insert(slot, departure);
        if let Some(group) = shared.table.group_mut(slot) {
            group.stage = Stage::Leaving;
        }
        self.ask(shared, slot);
    }

    /// Asks the root, and again after a pause that doubles, for one patience.
    pub(crate) fn ask(&mut self, shared: &mut Shared, slot: u32) {
        let (Some(group), Some(timings)) = (shared.table.group(slot), shared.table.timings_at(slot)) else {
            return;
        };
        let group = shared.table.id(group);
        let Some(departure) = self.groups.get_mut(&slot) else {
            return;
        };
        let over = departure.since + shared.patience(slot);
        if shared.now >= over {
            return shared.fate(Fate::Left {
                slot,
                acknowledged: false,
            });
        }
        departure.sent += 1;
        let (sent, came) = (departure.sent, departure.came);
        let ways = match sent {
            1 => Ways::Direct,
            _ => Ways::Every { round: sent },
        };
        let post = shared.post(group.root, Request::Leave { group, came }, ways);
        self.posted(slot, post);
        let pause = shared.pause(timings.patience_floor / 8, timings.path_timeout, sent);
        shared.timers.set(Timer::Leave(slot), (shared.now + pause).min(over));
    }

    fn posted(&mut self, slot: u32, post: u64) {
        let Some(departure) = self.groups.get_mut(&slot) else {
            return;
        };
        if departure.posts.len() >= MAX_POSTS {
            self.posts.remove(&departure.posts.remove(0));
        }
        departure.posts.push(post);
        self.posts.insert(post, slot);
    }

    /// The root's word on a departure, if this posting was one.
    pub(crate) fn on_answered(&self, shared: &mut Shared, post: u64, from: PeerId, answer: &Answer) {
        let Some(slot) = self.posts.get(&post).copied() else {
            return;
        };
        if shared.table.peer(Key { slot, index: 0 }) != Some(from) {
            return;
        }
        let acknowledged = true;
        let fate = match answer {
            Answer::Left => Fate::Left { slot, acknowledged },
            Answer::Status(status) if !status.closed.is_empty() => Fate::Over(slot, Reason::Closed { by: from }),
            Answer::Status(status) if !status.unknown.is_empty() => {
                Fate::Failed(slot, Reason::FailedAtRoot { peer: from })
            }
            _ => return,
        };
        shared.fate(fate);
    }

    /// This peer leaves nothing any more in this place; returns who waited for it, if it did.
    pub(crate) fn end(&mut self, shared: &mut Shared, slot: u32) -> Option<Vec<Ticket>> {
        let departure = self.groups.remove(&slot)?;
        for post in &departure.posts {
            self.posts.remove(post);
        }
        shared.timers.cancel(Timer::Leave(slot));
        Some(departure.tickets)
    }

    /// The group ends before this peer has left it: whoever waits is told.
    pub(crate) fn overtake(&mut self, shared: &mut Shared, slot: u32, group: GroupId, reason: &Reason) {
        for ticket in self.end(shared, slot).unwrap_or_default() {
            let error = Some(LeaveError::Over(reason.clone()));
            shared.event(Event::LeaveEnded { ticket, group, error });
        }
    }

    /// Whether this peer wants to leave the group in this place.
    pub(crate) fn is_under_way(&self, slot: u32) -> bool {
        self.groups.contains_key(&slot)
    }

    /// Departures are of so many groups at most.
    pub(crate) fn bounds(&self, groups: usize) -> [Bounded; 2] {
        let tickets = self.groups.values().map(|departure| departure.tickets.len());
        [
            Bounded::fullest("callers of a departure", tickets, MAX_TICKETS),
            Bounded::new("departures", self.groups.len(), groups),
        ]
    }
}
