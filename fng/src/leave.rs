//! Leaving without failing anybody: the leaver's side and the root's. A root that leaves closes.
//!
//! "A member or an observer asks its root to let it go, `Leave { group }`, and stays what it is until that is acknowledged, `Left`: a failure that
//! comes first reaches it, and nothing after." (protocol.md §6) The question is repeated like others, over every way; patience without any answer
//! means that it has left. Bound: one departure per group, [`MAX_TICKETS`] callers each.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use fatebound_overlay::{PeerId, Rule, Time, Way, Ways};
use fatebound_tree::{Cause, GroupId};

use crate::branch::hash_map;
use crate::groups::Groups;
use crate::io::{Event, LeaveError, Ticket};
use crate::join::MAX_TICKETS;
use crate::message::{Answer, Request};
use crate::reason::Reason;
use crate::shared::Timer;
use crate::table::{Key, Role, Standing};

/// Postings of one departure whose answers still count: the newest 16.
const MAX_POSTS: usize = 16;

/// This peer is about to leave a group.
#[derive(Clone, Debug, Hash)]
struct Departure {
    tickets: Vec<Ticket>,
    posts: Vec<u64>,
    sent: u32,
    since: Time,
}

/// The groups that this peer is about to leave, by their places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departures {
    groups: BTreeMap<u32, Departure>,
    /// Postings whose answers count.
    posts: HashMap<u64, u32>,
}

/// For `branch`.
impl Hash for Departures {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Departures { groups, posts } = self;
        groups.hash(hasher);
        hash_map(posts, hasher);
    }
}

impl Departures {
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Callers that wait for the departure that most wait for.
    pub(crate) fn most_tickets(&self) -> usize {
        self.groups
            .values()
            .map(|departure| departure.tickets.len())
            .max()
            .unwrap_or_default()
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

    fn end(&mut self, slot: u32) -> Option<Departure> {
        let departure = self.groups.remove(&slot)?;
        for post in &departure.posts {
            self.posts.remove(post);
        }
        Some(departure)
    }
}

impl Groups {
    /// The application wants to leave a group.
    pub(crate) fn on_leave(&mut self, ticket: Ticket, group: GroupId) {
        let ended = |error| Event::LeaveEnded { ticket, group, error };
        let Some(slot) = self.shared.table.find(&group) else {
            return self.shared.event(ended(Some(LeaveError::Over(Reason::NotKnown))));
        };
        if self
            .shared
            .table
            .group(slot)
            .is_some_and(|group| group.role == Role::Root)
        {
            // "A root that leaves closes."
            self.fail(slot, Reason::Closed { by: self.shared.us });
            return self.shared.event(ended(None));
        }
        if let Some(departure) = self.departures.groups.get_mut(&slot) {
            return match departure.tickets.len() < MAX_TICKETS {
                true => departure.tickets.push(ticket),
                false => self.shared.event(ended(Some(LeaveError::TooMany { max: MAX_TICKETS }))),
            };
        }
        let departure = Departure {
            tickets: vec![ticket],
            posts: Vec::new(),
            sent: 0,
            since: self.shared.now,
        };
        self.departures.groups.insert(slot, departure);
        self.ask_to_go(slot);
    }

    pub(crate) fn is_leaving(&self, slot: u32) -> bool {
        self.departures.groups.contains_key(&slot)
    }

    /// "◆ A leaver has no word any more: it cannot signal, what it would fail it leaves in silence." Nor has an observer ever.
    pub(crate) fn has_word(&self, slot: u32) -> bool {
        let role = self.shared.table.group(slot).map(|group| group.role);
        let leaves = self.is_leaving(slot) && Rule::LeaverIsMute.holds();
        let observes = role == Some(Role::Observer) && Rule::ObserverIsNobody.holds();
        !leaves && !observes
    }

    /// Asks the root, and again after a pause that doubles, for one patience.
    fn ask_to_go(&mut self, slot: u32) {
        let (Some(group), Some(timings)) = (self.shared.table.group(slot), self.shared.table.timings_at(slot)) else {
            return;
        };
        let group = self.shared.table.id(group);
        let patience = self.shared.patience(slot);
        let Some(departure) = self.departures.groups.get_mut(&slot) else {
            return;
        };
        let over = departure.since + patience;
        if self.shared.now >= over {
            return self.has_left(slot, false);
        }
        departure.sent += 1;
        let sent = departure.sent;
        let ways = match sent {
            1 => Ways::Direct,
            _ => Ways::Every { round: sent },
        };
        let came = self.joins.came_by(slot);
        let post = self.shared.post(group.root, Request::Leave { group, came }, ways);
        self.departures.posted(slot, post);
        let pause = self
            .shared
            .pause(timings.patience_floor / 8, timings.path_timeout, sent);
        self.shared
            .timers
            .set(Timer::Leave(slot), (self.shared.now + pause).min(over));
    }

    pub(crate) fn on_leave_timer(&mut self, slot: u32) {
        self.ask_to_go(slot);
    }

    /// The root's word on a departure, if this posting was one.
    pub(crate) fn on_leave_answered(&mut self, post: u64, from: PeerId, answer: &Answer) {
        let Some(slot) = self.departures.posts.get(&post).copied() else {
            return;
        };
        if self.shared.table.peer(Key { slot, index: 0 }) != Some(from) {
            return;
        }
        match answer {
            Answer::Left => self.has_left(slot, true),
            Answer::Status(status) if !status.closed.is_empty() => self.bury(slot, Reason::Closed { by: from }),
            Answer::Status(status) if !status.unknown.is_empty() => {
                self.fail(slot, Reason::FailedAtRoot { peer: from });
            }
            _ => {}
        }
    }

    /// This peer is out. "◆ Whoever has left unacknowledged remembers the group for its bound, and answers the root's questions about it
    /// *parted*, which is no failure."
    pub(crate) fn has_left(&mut self, slot: u32, acknowledged: bool) {
        let Some(tickets) = self.end_departure(slot) else {
            return;
        };
        let Some(group) = self.shared.table.group(slot) else {
            return;
        };
        let (id, bound) = (self.shared.table.id(group), self.shared.bound(group));
        if !acknowledged && Rule::LeftIsNoFailure.holds() {
            self.left.add(self.shared.now, id, self.shared.now + bound);
        }
        self.drop_path(slot);
        self.forget(slot);
        self.shared.counters.left += 1;
        self.shared.event(Event::Left { group: id });
        for ticket in tickets {
            let (group, error) = (id, None);
            self.shared.event(Event::LeaveEnded { ticket, group, error });
        }
    }

    /// Releases this member's own path: its root need not find out.
    pub(crate) fn drop_path(&mut self, slot: u32) {
        let key = Key { slot, index: 0 };
        let live = self.shared.table.far(key).is_some_and(|far| far.live);
        if let Some(path) = self.shared.path(key).filter(|_| live) {
            self.shared.release(path, Cause::Abandoned);
        }
    }

    /// The group ends before this peer has left it: whoever waits is told.
    pub(crate) fn overtake_departure(&mut self, slot: u32, group: GroupId, reason: &Reason) {
        for ticket in self.end_departure(slot).unwrap_or_default() {
            let error = Some(LeaveError::Over(reason.clone()));
            self.shared.event(Event::LeaveEnded { ticket, group, error });
        }
    }

    fn end_departure(&mut self, slot: u32) -> Option<Vec<Ticket>> {
        let departure = self.departures.end(slot)?;
        self.shared.timers.cancel(Timer::Leave(slot));
        Some(departure.tickets)
    }

    /// Root: "The root lets go whoever asks, member or not (a repetition must be acknowledged again), releases the path, and goes on without it."
    /// "◆ It names the `Join` by which the asker came in: one that came late does not put out somebody who has come back."
    pub(crate) fn on_asked_out(&mut self, from: PeerId, way: Way, group: GroupId, came: u64) {
        if group.root != self.shared.us || self.silent.contains(&group) {
            return;
        }
        let Some(slot) = self.shared.table.find(&group) else {
            return self.say_over(from, way, &group);
        };
        self.shared.reply(way, Answer::Left);
        let same = |key: &Key| self.admissions.came_by(*key) == came || !Rule::LeaveNamesItsJoin.holds();
        if let Some(key) = self.shared.table.end_of(slot, &from).filter(same) {
            self.take_for_accepted(key);
            self.part_with(key);
        }
    }

    /// Root: goes on without this far end, which is no failure.
    pub(crate) fn part_with(&mut self, key: Key) {
        let (Some(path), Some(far)) = (self.shared.path(key), self.shared.table.far(key)) else {
            return;
        };
        let building = far.work.as_ref().is_some_and(|work| work.building);
        let (counted, observer) = (far.standing == Standing::Accepted, far.observer);
        if far.live || building {
            self.shared.release(path, Cause::Abandoned);
        }
        if self.end_admission(key) || !counted {
            return;
        }
        self.end_work(key);
        self.put_out(key);
        self.unchecked(key);
        let (group, peer) = (path.group, path.member);
        self.shared.event(Event::WentOut { group, peer, observer });
        if !observer {
            self.list_changed(key.slot);
        }
    }
}
