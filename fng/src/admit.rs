//! Somebody wants to come into a group of ours: the root's side of `join`.
//!
//! "The root's policy decides, set by `create`: *open*, *members*, *listed*, or *ask*, the default: the application says." "An admitted peer is
//! invited like any other", and "counts from the arrival of its `Accept` on: until then its silence costs nobody anything" (protocol.md §6).
//! Bounds: [`MAX_ASKING`] peers wait for the application's word, and the words on as many are remembered for repetitions; a group has so many
//! places as it may have members, and those of former members are used again when all are taken; application state for those who come later is
//! kept up to `max_kept_state`.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fatebound_overlay::{Bounded, PeerId, Rule, Time, Way};
use fatebound_tree::GroupId;
use indexmap::IndexMap;

use crate::config::Config;
use crate::fate::Fate;
use crate::group::{Key, Phase, Stage};
use crate::io::{Admit, Event};
use crate::lists::member_list;
use crate::message::{Answer, Asked, Invitation, MAX_LISTED};
use crate::notice::cut_refusal;
use crate::reason::Refusal;
use crate::shared::{Shared, Timer};

/// Peers that wait for the application's word: 1024. Further ones are declined as `Busy`.
pub(crate) const MAX_ASKING: usize = 1024;
/// Words on such peers that are remembered: 1024, then the oldest is forgotten, and its repetition is asked about again.
const MAX_ANSWERED: usize = 1024;

/// Who may come into one group, and what they are given.
#[derive(Clone, Debug, Hash)]
struct Door {
    admit: Admit,
    state: Box<[u8]>,
}

/// A peer that waits for the application's word.
#[derive(Clone, Debug)]
struct Asking {
    /// For its timer.
    number: u64,
    /// How the latest repetition came.
    way: Way,
    asked: Asked,
}

/// Ways back are the overlay's own, and told apart by their words.
impl Hash for Asking {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Asking { number, way, asked } = self;
        (number, asked, format!("{way:?}")).hash(hasher);
    }
}

/// An invitation under way to a peer that wants to come in.
#[derive(Clone, Copy, Debug, Hash)]
struct Admission {
    asked: Asked,
    deadline: Time,
    /// Number of the list that its first invitation brought.
    list: u32,
}

/// The doors of our groups, and who stands before them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admissions {
    /// By the group's place; those that nobody opens, and have nothing to give, are left out: they ask.
    doors: BTreeMap<u32, Door>,
    /// Bytes of state behind them.
    kept: usize,
    asking: IndexMap<(GroupId, PeerId), Asking>,
    /// The application's last word on a peer, for repetitions of the same wish.
    answered: IndexMap<(GroupId, PeerId), (Asked, Refusal)>,
    under_way: BTreeMap<Key, Admission>,
    /// By which of their own joins those came in who came after the creation.
    came: BTreeMap<Key, u64>,
    newest: u64,
}

/// For `branch`.
impl Hash for Admissions {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Admissions {
            doors,
            kept,
            asking,
            answered,
            under_way,
            came,
            newest,
        } = self;
        asking.as_slice().hash(hasher);
        answered.as_slice().hash(hasher);
        (doors, kept, under_way, came, newest).hash(hasher);
    }
}

impl Admissions {
    /// Bytes of application state kept for those who come later.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// The join by which this far end is in, or is about to come in; 0: it was invited when the group was created.
    pub(crate) fn came_by(&self, key: Key) -> u64 {
        let under_way = self.under_way.get(&key).map(|admission| admission.asked.number);
        under_way.or(self.came.get(&key).copied()).unwrap_or_default()
    }

    /// A new group has a door.
    pub(crate) fn hang(&mut self, slot: u32, admit: Admit, state: &[u8]) {
        let state = if admit == Admit::Members { &[][..] } else { state };
        if admit != Admit::Ask || !state.is_empty() {
            self.kept += state.len();
            let state = state.into();
            self.doors.insert(slot, Door { admit, state });
        }
    }

    fn policy(&self, slot: u32) -> &Admit {
        self.doors.get(&slot).map_or(&Admit::Ask, |door| &door.admit)
    }

    fn state(&self, slot: u32) -> &[u8] {
        self.doors.get(&slot).map_or(&[], |door| &door.state)
    }

    fn answer(&mut self, who: (GroupId, PeerId), asked: Asked, refusal: Refusal) {
        if self.answered.len() >= MAX_ANSWERED {
            self.answered.shift_remove_index(0);
        }
        self.answered.insert(who, (asked, refusal));
    }

    /// A peer wants to come into the group in this place.
    pub(crate) fn on_asked_in(&mut self, shared: &mut Shared, from: PeerId, way: Way, slot: u32, asked: Asked) {
        let Some(group) = shared.table.group(slot) else {
            return;
        };
        if group.stage == Stage::Creating {
            // "A join is held while the group is being created": its repetition will be heard.
            return;
        }
        let known = shared.table.end_of(slot, &from);
        let known = known.and_then(|key| Some((key, shared.table.far(key)?.phase)));
        match known {
            None => self.consider(shared, slot, from, way, asked, false),
            Some((_, Phase::Out)) => self.consider(shared, slot, from, way, asked, true),
            Some((key, Phase::Asked)) => {
                shared.reply(way, Answer::Noted);
                self.renew(shared, key, asked);
            }
            Some((key, _)) => {
                shared.reply(way, Answer::Noted);
                // "◆ A `Join` from a peer that counts already is a suspicion of that peer."
                match Rule::SecondJoinAsks.holds() {
                    false => self.admit(shared, key, asked),
                    true => shared.fate(Fate::Suspected(key)),
                }
            }
        }
    }

    /// A peer that has restarted, or asks for another role, wants what it says now. What it may have accepted before does not count any more:
    /// that was another life, or another role.
    fn renew(&mut self, shared: &mut Shared, key: Key, asked: Asked) {
        let under_way = self.under_way.get_mut(&key);
        let Some(admission) = under_way.filter(|admission| admission.asked != asked) else {
            return;
        };
        admission.asked = asked;
        if let Some(far) = shared.table.far_mut(key) {
            far.observer = asked.observe;
        }
        shared.fate(Fate::InvitedAnew(key));
    }

    /// The policy decides about a peer that is not in the group.
    fn consider(&mut self, shared: &mut Shared, slot: u32, from: PeerId, way: Way, asked: Asked, former: bool) {
        if shared.stopping {
            return shared.decline(way, Refusal::Stopping);
        }
        let open = match self.policy(slot) {
            Admit::Open => true,
            Admit::Members => former,
            Admit::Listed(peers) => former || peers.contains(&from),
            Admit::Ask => return self.ask_application(shared, slot, from, way, asked),
        };
        match open {
            true => self.let_in(shared, slot, from, way, asked),
            false => shared.decline(way, Refusal::NotAdmitted),
        }
    }

    fn ask_application(&mut self, shared: &mut Shared, slot: u32, peer: PeerId, way: Way, asked: Asked) {
        let Some(group) = shared.table.group(slot) else {
            return;
        };
        let (group, timings) = (shared.table.id(group), shared.table.timings(group));
        let until = shared.now + 4 * timings.path_timeout;
        let who = (group, peer);
        if let Some((about, refusal)) = self.answered.get(&who)
            && *about == asked
        {
            return shared.decline(way, refusal.clone());
        }
        if let Some(asking) = self.asking.get_mut(&who) {
            (asking.way, asking.asked) = (way, asked);
            return shared.timers.set(Timer::Asking(asking.number), until);
        }
        if self.asking.len() >= MAX_ASKING {
            return shared.decline(way, Refusal::Busy);
        }
        self.newest += 1;
        let number = self.newest;
        self.asking.insert(who, Asking { number, way, asked });
        shared.timers.set(Timer::Asking(number), until);
        shared.event(Event::Asked {
            group,
            peer,
            observe: asked.observe,
        });
    }

    /// The application's word on a peer that waits for it; on any other it is ignored.
    pub(crate) fn on_admit(&mut self, shared: &mut Shared, group: &GroupId, peer: PeerId, refusal: Option<Refusal>) {
        let Some(asking) = self.asking.shift_remove(&(*group, peer)) else {
            return;
        };
        shared.timers.cancel(Timer::Asking(asking.number));
        let Some(slot) = shared.table.find(group) else {
            return;
        };
        match refusal.map(cut_refusal) {
            None => self.let_in(shared, slot, peer, asking.way, asking.asked),
            Some(refusal) => {
                self.answer((*group, peer), asking.asked, refusal.clone());
                shared.decline(asking.way, refusal);
            }
        }
    }

    /// The peer has not repeated its wish for long: it has given up.
    pub(crate) fn on_asking_timer(&mut self, number: u64) {
        self.asking.retain(|_, asking| asking.number != number);
    }

    fn let_in(&mut self, shared: &mut Shared, slot: u32, peer: PeerId, way: Way, asked: Asked) {
        let max = shared.config.max_members - 1;
        match shared.table.place_for(slot, &peer, max) {
            Some(key) => {
                shared.reply(way, Answer::Noted);
                self.admit(shared, key, asked);
            }
            None => shared.decline(way, Refusal::Full),
        }
    }

    /// "An admitted peer is invited like any other."
    fn admit(&mut self, shared: &mut Shared, key: Key, asked: Asked) {
        let Some(far) = shared.table.far_mut(key) else {
            return;
        };
        (far.phase, far.observer) = (Phase::Asked, asked.observe);
        let admission = Admission {
            asked,
            deadline: shared.now + shared.config.create_timeout,
            list: shared.table.group(key.slot).map_or(0, |group| group.list),
        };
        self.under_way.insert(key, admission);
        shared.fate(Fate::Invited(key, Duration::ZERO));
    }

    /// What a peer that is being let in is invited with; `None` when it is not, or not any more.
    pub(crate) fn invitation(&self, shared: &Shared, key: Key) -> Option<Box<Invitation>> {
        let admission = self.under_way.get(&key)?;
        let group = shared.table.group(key.slot)?;
        if shared.now >= admission.deadline {
            return None;
        }
        let mut members = member_list(shared, key.slot);
        if !admission.asked.observe && !members.is_empty() {
            members.push(shared.table.peer(key)?);
            if members.len() > MAX_LISTED {
                members.clear();
            }
        }
        Some(Box::new(Invitation {
            group: shared.table.id(group),
            members,
            tag: group.tag.as_deref().map(str::to_owned),
            state: self.state(key.slot).to_vec(),
            timings: shared.table.timings(group),
            list: group.list,
            asked: Some(admission.asked),
        }))
    }

    /// A peer that was being let in has accepted: it counts from now on.
    pub(crate) fn came_in(&mut self, shared: &mut Shared, key: Key) {
        let Some(admission) = self.under_way.remove(&key) else {
            return;
        };
        self.came.insert(key, admission.asked.number);
        let (Some(group), Some(far)) = (shared.table.group(key.slot), shared.table.far(key)) else {
            return;
        };
        let (group, observer) = (shared.table.id(group), far.observer);
        let peer = shared.table.peers.get(far.peer);
        shared.counters.admitted += 1;
        shared.event(Event::CameIn { group, peer, observer });
        shared.fate(Fate::CameIn(key));
        shared.fate(Fate::Missed(key, admission.list));
    }

    /// Nobody is let in as this far end any more; whether somebody was.
    pub(crate) fn end(&mut self, key: Key) -> bool {
        self.under_way.remove(&key).is_some()
    }

    /// The far end is in the group no more.
    pub(crate) fn forget(&mut self, key: Key) {
        self.under_way.remove(&key);
        self.came.remove(&key);
    }

    /// The group is over: so is its door, and who stands before it will hear so when it repeats itself.
    pub(crate) fn close(&mut self, shared: &mut Shared, slot: u32, group: &GroupId) {
        if let Some(door) = self.doors.remove(&slot) {
            self.kept -= door.state.len();
        }
        self.asking.retain(|(other, _), asking| {
            let over = other == group;
            if over {
                shared.timers.cancel(Timer::Asking(asking.number));
            }
            !over
        });
    }

    /// How many peers wait for the application; each has a timer.
    pub(crate) fn asking(&self) -> usize {
        self.asking.len()
    }

    /// Doors belong to groups of our own, of which there are so many, invitations to those who come in to one of so many far ends.
    pub(crate) fn bounds(&self, config: &Config, roots: usize, far: usize) -> [Bounded; 6] {
        [
            Bounded::new("state for those who come later", self.kept, config.max_kept_state),
            Bounded::new("doors", self.doors.len(), roots),
            Bounded::new("peers that ask to come in", self.asking.len(), MAX_ASKING),
            Bounded::new("words on such peers", self.answered.len(), MAX_ANSWERED),
            Bounded::new("admissions", self.under_way.len(), far),
            Bounded::new("peers that came later", self.came.len(), far),
        ]
    }

    /// Whether this far end is being let in.
    pub(crate) fn is_under_way(&self, key: Key) -> bool {
        self.under_way.contains_key(&key)
    }
}
