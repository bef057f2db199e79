//! Somebody wants to come into a group of ours: the root's side of `join`.
//!
//! "The root's policy decides, set by `create`: *open*, *members*, *listed*, or *ask*, the default: the application says." "An admitted peer is
//! invited like any other", and "counts from the arrival of its `Accept` on: until then its silence costs nobody anything" (protocol.md §6).
//! Bounds: [`MAX_ASKING`] peers wait for the application's word, and the words on as many are remembered for repetitions; a group has so many
//! places as it may have members, and those of former members are used again when all are taken; application state for those who come later is
//! kept up to `max_kept_state`.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use fatebound_overlay::{PeerId, Rule, Time, Way};
use fatebound_tree::GroupId;
use indexmap::IndexMap;

use crate::branch::hash_map;
use crate::groups::Groups;
use crate::io::{Admit, Event};
use crate::lists::member_list;
use crate::message::{Answer, Asked, Invitation, MAX_LISTED};
use crate::notice::cut_refusal;
use crate::reason::Refusal;
use crate::shared::Timer;
use crate::table::{Key, Standing};

/// Peers that wait for the application's word: 1024. Further ones are declined as `Busy`.
pub(crate) const MAX_ASKING: usize = 1024;
/// Words on such peers that are remembered: 1024, then the oldest is forgotten, and its repetition is asked about again.
pub(crate) const MAX_ANSWERED: usize = 1024;

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
    doors: HashMap<u32, Door>,
    /// Bytes of state behind them.
    kept: usize,
    asking: IndexMap<(GroupId, PeerId), Asking>,
    /// The application's last word on a peer, for repetitions of the same wish.
    answered: IndexMap<(GroupId, PeerId), (Asked, Refusal)>,
    under_way: HashMap<Key, Admission>,
    /// By which of their own joins those came in who came after the creation.
    came: HashMap<Key, u64>,
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
        hash_map(doors, hasher);
        asking.as_slice().hash(hasher);
        answered.as_slice().hash(hasher);
        hash_map(under_way, hasher);
        hash_map(came, hasher);
        (kept, newest).hash(hasher);
    }
}

impl Admissions {
    /// Bytes of application state kept for those who come later.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Peers that wait for the application, words that are remembered, and invitations under way.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.asking.len(), self.answered.len(), self.under_way.len()]
    }

    /// Far ends that came in after the creation.
    pub(crate) fn joined(&self) -> usize {
        self.came.len()
    }

    /// The join by which this far end is in, or is about to come in; 0: it was invited when the group was created.
    pub(crate) fn came_by(&self, key: Key) -> u64 {
        let under_way = self.under_way.get(&key).map(|admission| admission.asked.number);
        under_way.or(self.came.get(&key).copied()).unwrap_or_default()
    }

    /// The far end is in the group no more.
    pub(crate) fn went_out(&mut self, key: Key) {
        self.came.remove(&key);
    }

    /// Doors that are kept.
    pub(crate) fn doors(&self) -> usize {
        self.doors.len()
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

    /// The group is over.
    fn take_down(&mut self, slot: u32) {
        if let Some(door) = self.doors.remove(&slot) {
            self.kept -= door.state.len();
        }
    }

    fn answer(&mut self, who: (GroupId, PeerId), asked: Asked, refusal: Refusal) {
        if self.answered.len() >= MAX_ANSWERED {
            self.answered.shift_remove_index(0);
        }
        self.answered.insert(who, (asked, refusal));
    }
}

impl Groups {
    /// A peer wants to come in.
    pub(crate) fn on_asked_in(&mut self, from: PeerId, way: Way, group: GroupId, asked: Asked) {
        if group.root != self.shared.us || from == self.shared.us || self.words.is_silent(&group) {
            return;
        }
        let Some(slot) = self.shared.table.find(&group) else {
            return self.words.say_over(&mut self.shared, from, way, &group);
        };
        if self.creations.contains_key(&slot) {
            // "A join is held while the group is being created": its repetition will be heard.
            return;
        }
        match self
            .shared
            .table
            .end_of(slot, &from)
            .map(|key| (key, self.standing(key)))
        {
            Some((key, Standing::Accepted)) => {
                self.shared.reply(way, Answer::Noted);
                // "◆ A `Join` from a peer that counts already is a suspicion of that peer."
                match Rule::SecondJoinAsks.holds() {
                    false => self.admit(slot, from, asked),
                    true => self.suspect(key),
                }
            }
            Some((key, Standing::Asked)) => {
                self.shared.reply(way, Answer::Noted);
                self.renew(key, asked);
            }
            Some((_, Standing::Out)) => self.consider(slot, from, way, asked, true),
            None => self.consider(slot, from, way, asked, false),
        }
    }

    fn standing(&self, key: Key) -> Standing {
        self.shared.table.far(key).map_or(Standing::Out, |far| far.standing)
    }

    /// A peer that has restarted, or asks for another role, wants what it says now. What it may have accepted before does not count any more:
    /// that was another life, or another role.
    fn renew(&mut self, key: Key, asked: Asked) {
        let under_way = self.admissions.under_way.get_mut(&key);
        let Some(admission) = under_way.filter(|admission| admission.asked != asked) else {
            return;
        };
        admission.asked = asked;
        if let Some(far) = self.shared.table.far_mut(key) {
            far.observer = asked.observe;
        }
        self.end_invites(key);
        self.invite(key);
    }

    /// The policy decides about a peer that is not in the group.
    fn consider(&mut self, slot: u32, from: PeerId, way: Way, asked: Asked, former: bool) {
        if self.shared.stopping {
            return self.shared.decline(way, Refusal::Stopping);
        }
        let open = match self.admissions.policy(slot) {
            Admit::Open => true,
            Admit::Members => former,
            Admit::Listed(peers) => former || peers.contains(&from),
            Admit::Ask => return self.ask_application(slot, from, way, asked),
        };
        match open {
            true => self.let_in(slot, from, way, asked),
            false => self.shared.decline(way, Refusal::NotAdmitted),
        }
    }

    fn ask_application(&mut self, slot: u32, peer: PeerId, way: Way, asked: Asked) {
        let Some(group) = self.shared.table.group(slot) else {
            return;
        };
        let (group, timings) = (self.shared.table.id(group), self.shared.table.timings(group));
        let until = self.shared.now + 4 * timings.path_timeout;
        let who = (group, peer);
        if let Some((about, refusal)) = self.admissions.answered.get(&who)
            && *about == asked
        {
            return self.shared.decline(way, refusal.clone());
        }
        if let Some(asking) = self.admissions.asking.get_mut(&who) {
            (asking.way, asking.asked) = (way, asked);
            return self.shared.timers.set(Timer::Asking(asking.number), until);
        }
        if self.admissions.asking.len() >= MAX_ASKING {
            return self.shared.decline(way, Refusal::Busy);
        }
        self.admissions.newest += 1;
        let number = self.admissions.newest;
        self.admissions.asking.insert(who, Asking { number, way, asked });
        self.shared.timers.set(Timer::Asking(number), until);
        self.shared.event(Event::Asked {
            group,
            peer,
            observe: asked.observe,
        });
    }

    /// The application's word on a peer that waits for it; on any other it is ignored.
    pub(crate) fn on_admit(&mut self, group: &GroupId, peer: PeerId, refusal: Option<Refusal>) {
        let Some(asking) = self.admissions.asking.shift_remove(&(*group, peer)) else {
            return;
        };
        self.shared.timers.cancel(Timer::Asking(asking.number));
        let Some(slot) = self.shared.table.find(group) else {
            return;
        };
        match refusal.map(cut_refusal) {
            None => self.let_in(slot, peer, asking.way, asking.asked),
            Some(refusal) => {
                self.admissions.answer((*group, peer), asking.asked, refusal.clone());
                self.shared.decline(asking.way, refusal);
            }
        }
    }

    /// The peer has not repeated its wish for long: it has given up.
    pub(crate) fn on_asking_timer(&mut self, number: u64) {
        self.admissions.asking.retain(|_, asking| asking.number != number);
    }

    fn let_in(&mut self, slot: u32, peer: PeerId, way: Way, asked: Asked) {
        match self
            .shared
            .table
            .place_for(slot, &peer, self.shared.config.max_members - 1)
        {
            Some(_) => {
                self.shared.reply(way, Answer::Noted);
                self.admit(slot, peer, asked);
            }
            None => self.shared.decline(way, Refusal::Full),
        }
    }

    /// "An admitted peer is invited like any other."
    fn admit(&mut self, slot: u32, peer: PeerId, asked: Asked) {
        let Some(key) = self.shared.table.end_of(slot, &peer) else {
            return;
        };
        let Some(far) = self.shared.table.far_mut(key) else {
            return;
        };
        (far.standing, far.observer) = (Standing::Asked, asked.observe);
        let admission = Admission {
            asked,
            deadline: self.shared.now + self.shared.config.create_timeout,
            list: self.shared.table.group(key.slot).map_or(0, |group| group.list),
        };
        self.admissions.under_way.insert(key, admission);
        self.invite(key);
    }

    /// What a peer that is being let in is invited with; `None` when it is not, or not any more.
    pub(crate) fn admission_invitation(&self, now: Time, key: Key) -> Option<Box<Invitation>> {
        let admission = self.admissions.under_way.get(&key)?;
        let group = self.shared.table.group(key.slot)?;
        if now >= admission.deadline {
            return None;
        }
        let mut members = member_list(&self.shared, key.slot);
        if !admission.asked.observe && !members.is_empty() {
            members.push(self.shared.table.peer(key)?);
            if members.len() > MAX_LISTED {
                members.clear();
            }
        }
        Some(Box::new(Invitation {
            group: self.shared.table.id(group),
            members,
            tag: group.tag.as_deref().map(str::to_owned),
            state: self.admissions.state(key.slot).to_vec(),
            timings: self.shared.table.timings(group),
            list: group.list,
            asked: Some(admission.asked),
        }))
    }

    /// A peer that was being let in has accepted: it counts from now on.
    pub(crate) fn came_in(&mut self, key: Key) {
        let Some(admission) = self.admissions.under_way.remove(&key) else {
            return;
        };
        self.admissions.came.insert(key, admission.asked.number);
        // Of a death that is still being worked off it is no part: it has accepted since.
        self.deaths.spare(key);
        let (Some(group), Some(far)) = (self.shared.table.group(key.slot), self.shared.table.far(key)) else {
            return;
        };
        let (group, observer) = (self.shared.table.id(group), far.observer);
        let peer = self.shared.table.peers.get(far.peer);
        self.shared.counters.admitted += 1;
        self.shared.event(Event::CameIn { group, peer, observer });
        if !observer {
            self.lists.changed(&mut self.shared, key.slot);
        }
        self.lists.missed(&mut self.shared, key, admission.list);
    }

    /// "Its admission ends at `create_timeout`", or with its refusal: nobody has lost anything.
    pub(crate) fn end_admission(&mut self, key: Key) -> bool {
        let ended = self.admissions.under_way.remove(&key).is_some();
        if ended {
            self.end_work(key);
            self.put_out(key);
        }
        ended
    }

    /// The place is a former member's from now on.
    pub(crate) fn put_out(&mut self, key: Key) {
        self.admissions.went_out(key);
        if let Some(far) = self.shared.table.far_mut(key) {
            (far.standing, far.live, far.hops) = (Standing::Out, false, 0);
            far.work = None;
        }
    }

    /// An admission of this far end is forgotten with its work.
    pub(crate) fn forget_admission(&mut self, key: Key) {
        self.admissions.under_way.remove(&key);
    }

    /// The group is over: so is its door, and who stands before it will hear so when it repeats itself.
    pub(crate) fn close_door(&mut self, slot: u32, group: &GroupId) {
        self.admissions.take_down(slot);
        let numbers: Vec<u64> = self
            .admissions
            .asking
            .iter()
            .filter(|((other, _), _)| other == group)
            .map(|(_, asking)| asking.number)
            .collect();
        for number in numbers {
            self.shared.timers.cancel(Timer::Asking(number));
            self.on_asking_timer(number);
        }
    }
}
