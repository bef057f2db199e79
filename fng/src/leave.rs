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
use crate::groups::{Groups, Step, Timer};
use crate::io::{Event, LeaveError, Output, Ticket};
use crate::join::MAX_TICKETS;
use crate::member::release;
use crate::message::{Answer, Request};
use crate::patience::backoff;
use crate::reason::Reason;
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
    pub(crate) fn on_leave(&mut self, step: &mut Step<'_>, ticket: Ticket, group: GroupId) {
        let ended = |error| Event::LeaveEnded { ticket, group, error };
        let Some(slot) = self.table.find(&group) else {
            return step.event(ended(Some(LeaveError::Over(Reason::NotKnown))));
        };
        if self.table.group(slot).is_some_and(|group| group.role == Role::Root) {
            // "A root that leaves closes."
            self.fail(step, slot, Reason::Closed { by: self.us });
            return step.event(ended(None));
        }
        if let Some(departure) = self.departures.groups.get_mut(&slot) {
            return match departure.tickets.len() < MAX_TICKETS {
                true => departure.tickets.push(ticket),
                false => step.event(ended(Some(LeaveError::TooMany { max: MAX_TICKETS }))),
            };
        }
        let departure = Departure {
            tickets: vec![ticket],
            posts: Vec::new(),
            sent: 0,
            since: step.now,
        };
        self.departures.groups.insert(slot, departure);
        self.ask_to_go(step, slot);
    }

    pub(crate) fn is_leaving(&self, slot: u32) -> bool {
        self.departures.groups.contains_key(&slot)
    }

    /// "◆ A leaver has no word any more: it cannot signal, what it would fail it leaves in silence." Nor has an observer ever.
    pub(crate) fn has_word(&self, slot: u32) -> bool {
        let role = self.table.group(slot).map(|group| group.role);
        let leaves = self.is_leaving(slot) && Rule::LeaverIsMute.holds();
        let observes = role == Some(Role::Observer) && Rule::ObserverIsNobody.holds();
        !leaves && !observes
    }

    /// Asks the root, and again after a pause that doubles, for one patience.
    fn ask_to_go(&mut self, step: &mut Step<'_>, slot: u32) {
        let (Some(group), Some(timings)) = (self.table.group(slot), self.table.timings_at(slot)) else {
            return;
        };
        let group = self.table.id(group);
        let patience = self.patience(step, slot);
        let Some(departure) = self.departures.groups.get_mut(&slot) else {
            return;
        };
        let over = departure.since + patience;
        if step.now >= over {
            return self.has_left(step, slot, false);
        }
        departure.sent += 1;
        let sent = departure.sent;
        let ways = match sent {
            1 => Ways::Direct,
            _ => Ways::Every { round: sent },
        };
        let came = self.joins.came_by(slot);
        let post = self.post(step, group.root, Request::Leave { group, came }, ways);
        self.departures.posted(slot, post);
        let pause = backoff(&mut self.rng, timings.patience_floor / 8, timings.path_timeout, sent);
        self.timers.set(Timer::Leave(slot), (step.now + pause).min(over));
    }

    pub(crate) fn on_leave_timer(&mut self, step: &mut Step<'_>, slot: u32) {
        self.ask_to_go(step, slot);
    }

    /// The root's word on a departure, if this posting was one.
    pub(crate) fn on_leave_answered(&mut self, step: &mut Step<'_>, post: u64, from: PeerId, answer: &Answer) {
        let Some(slot) = self.departures.posts.get(&post).copied() else {
            return;
        };
        if self.table.peer(Key { slot, index: 0 }) != Some(from) {
            return;
        }
        match answer {
            Answer::Left => self.has_left(step, slot, true),
            Answer::Status(status) if !status.closed.is_empty() => self.bury(step, slot, Reason::Closed { by: from }),
            Answer::Status(status) if !status.unknown.is_empty() => {
                self.fail(step, slot, Reason::FailedAtRoot { peer: from });
            }
            _ => {}
        }
    }

    /// This peer is out. "◆ Whoever has left unacknowledged remembers the group for its bound, and answers the root's questions about it
    /// *parted*, which is no failure."
    pub(crate) fn has_left(&mut self, step: &mut Step<'_>, slot: u32, acknowledged: bool) {
        let Some(tickets) = self.end_departure(slot) else {
            return;
        };
        let Some(group) = self.table.group(slot) else {
            return;
        };
        let (id, bound) = (self.table.id(group), self.bound(group));
        if !acknowledged && Rule::LeftIsNoFailure.holds() {
            self.left.add(step.now, id, step.now + bound);
        }
        self.drop_path(step, slot);
        self.forget(step, slot);
        self.counters.left += 1;
        step.event(Event::Left { group: id });
        for ticket in tickets {
            let (group, error) = (id, None);
            step.event(Event::LeaveEnded { ticket, group, error });
        }
    }

    /// Releases this member's own path: its root need not find out.
    pub(crate) fn drop_path(&mut self, step: &mut Step<'_>, slot: u32) {
        let key = Key { slot, index: 0 };
        let live = self.table.far(key).is_some_and(|far| far.live);
        if let Some(path) = self.table.path(key, self.us).filter(|_| live) {
            release(step, path, Cause::Abandoned);
        }
    }

    /// The group ends before this peer has left it: whoever waits is told.
    pub(crate) fn overtake_departure(&mut self, step: &mut Step<'_>, slot: u32, group: GroupId, reason: &Reason) {
        for ticket in self.end_departure(slot).unwrap_or_default() {
            let error = Some(LeaveError::Over(reason.clone()));
            step.event(Event::LeaveEnded { ticket, group, error });
        }
    }

    fn end_departure(&mut self, slot: u32) -> Option<Vec<Ticket>> {
        let departure = self.departures.end(slot)?;
        self.timers.cancel(Timer::Leave(slot));
        Some(departure.tickets)
    }

    /// Root: "The root lets go whoever asks, member or not (a repetition must be acknowledged again), releases the path, and goes on without it."
    /// "◆ It names the `Join` by which the asker came in: one that came late does not put out somebody who has come back."
    pub(crate) fn on_asked_out(&mut self, step: &mut Step<'_>, from: PeerId, way: Way, group: GroupId, came: u64) {
        if group.root != self.us || self.silent.contains(&group) {
            return;
        }
        let Some(slot) = self.table.find(&group) else {
            return self.say_over(step, from, way, &group);
        };
        let answer = Answer::Left;
        step.push(Output::Reply { way, answer });
        let same = |key: &Key| self.admissions.came_by(*key) == came || !Rule::LeaveNamesItsJoin.holds();
        if let Some(key) = self.table.end_of(slot, &from).filter(same) {
            self.take_for_accepted(step, key);
            self.part_with(step, key);
        }
    }

    /// Root: goes on without this far end, which is no failure.
    pub(crate) fn part_with(&mut self, step: &mut Step<'_>, key: Key) {
        let (Some(path), Some(far)) = (self.table.path(key, self.us), self.table.far(key)) else {
            return;
        };
        let building = far.work.as_ref().is_some_and(|work| work.building);
        let (counted, observer) = (far.standing == Standing::Accepted, far.observer);
        if far.live || building {
            release(step, path, Cause::Abandoned);
        }
        if self.end_admission(key) || !counted {
            return;
        }
        self.end_work(key);
        self.put_out(key);
        self.unchecked(step, key);
        let (group, peer) = (path.group, path.member);
        step.event(Event::WentOut { group, peer, observer });
        if !observer {
            self.list_changed(step, key.slot);
        }
    }
}
