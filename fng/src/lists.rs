//! Who is a member now: the root tells everybody when somebody has come or gone.
//!
//! "The root numbers the lists and sends the newest to every member and observer, repeated until it is acknowledged; changes within an eighth of
//! `path_timeout` share one." (protocol.md §6) A group that never changes sends none. "A group that has once had more than 64 members stays large:
//! the last list it sends is empty." Bound: what has to be told, once for each far end of a group that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use fatebound_overlay::{PeerId, PostId, Rule, Way, Ways};
use fatebound_tree::GroupId;

use crate::branch::hash_map;
use crate::groups::Groups;
use crate::io::Event;
use crate::message::{Answer, MAX_LISTED, Request};
use crate::shared::Timer;
use crate::table::{Key, Role, Standing};

/// A list that somebody has not acknowledged yet.
#[derive(Clone, Debug, Default, Hash)]
struct Telling {
    /// Far ends that have not.
    left: BTreeSet<u32>,
    rounds: u32,
    /// Postings of the last round.
    posts: Vec<u64>,
}

/// Lists on their way, by the group's place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    groups: BTreeMap<u32, Telling>,
    posts: HashMap<u64, Key>,
}

/// For `branch`.
impl Hash for Lists {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Lists { groups, posts } = self;
        groups.hash(hasher);
        hash_map(posts, hasher);
    }
}

impl Lists {
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Far ends to be told, and postings that tell them.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [
            self.groups.values().map(|telling| telling.left.len()).sum(),
            self.posts.len(),
        ]
    }

    /// Whether somebody has not acknowledged the newest list of this group.
    pub(crate) fn is_unsettled(&self, slot: u32) -> bool {
        self.groups.contains_key(&slot)
    }

    fn forget_posts(&mut self, slot: u32) {
        if let Some(telling) = self.groups.get_mut(&slot) {
            for post in telling.posts.drain(..) {
                self.posts.remove(&post);
            }
        }
    }
}

impl Groups {
    /// The members of a group of ours, the root first; none when it is large. While it is being created, whoever has not answered yet is on the
    /// list, as in the invitations: nobody is told again when it accepts.
    pub(crate) fn member_list(&self, slot: u32) -> Vec<PeerId> {
        let Some(group) = self.shared.table.group(slot).filter(|group| !group.large) else {
            return Vec::new();
        };
        let creating = self.creations.contains_key(&slot);
        let members = group
            .members()
            .filter(|far| creating || far.standing == Standing::Accepted);
        let members = members.map(|far| self.shared.table.peers.get(far.peer));
        std::iter::once(self.shared.us).chain(members).collect()
    }

    /// Somebody has come or gone.
    pub(crate) fn list_changed(&mut self, slot: u32) {
        let Some(group) = self.shared.table.group_mut(slot).filter(|group| !group.large) else {
            return;
        };
        group.list += 1;
        group.large = group.members().filter(|far| far.standing == Standing::Accepted).count() >= MAX_LISTED;
        let left = (0..)
            .zip(&group.far)
            .filter(|(_, far)| far.standing == Standing::Accepted)
            .map(|(index, _)| index)
            .collect();
        let Some(timings) = self.shared.table.timings_at(slot) else {
            return;
        };
        self.lists.forget_posts(slot);
        let telling = self.lists.groups.entry(slot).or_default();
        (telling.left, telling.rounds) = (left, 0);
        self.shared
            .timers
            .set_earlier(Timer::List(slot), self.shared.now + timings.path_timeout / 8);
    }

    /// "◆ Whoever was invited with an older list … is told the newest when it has come in": others may have come or gone meanwhile.
    pub(crate) fn list_missed(&mut self, key: Key, known: u32) {
        let group = self.shared.table.group(key.slot).filter(|group| group.list != known);
        let timings = group.map(|group| self.shared.table.timings(group));
        if let Some(timings) = timings.filter(|_| Rule::ListMissed.holds()) {
            let telling = self.lists.groups.entry(key.slot).or_default();
            telling.left.insert(key.index);
            self.shared
                .timers
                .set_earlier(Timer::List(key.slot), self.shared.now + timings.path_timeout / 8);
        }
    }

    /// Tells those who have not acknowledged the newest list.
    pub(crate) fn on_list_timer(&mut self, slot: u32) {
        let (Some(group), Some(timings)) = (self.shared.table.group(slot), self.shared.table.timings_at(slot)) else {
            return;
        };
        let (group, list) = (self.shared.table.id(group), group.list);
        self.lists.forget_posts(slot);
        let Some(telling) = self.lists.groups.get_mut(&slot) else {
            return;
        };
        telling.rounds += 1;
        let (rounds, left) = (telling.rounds, std::mem::take(&mut telling.left));
        let counts = |index: &u32| {
            let far = self.shared.table.far(Key { slot, index: *index });
            far.is_some_and(|far| far.standing == Standing::Accepted)
        };
        let left: BTreeSet<u32> = left.into_iter().filter(counts).collect();
        if left.is_empty() {
            return self.end_list(slot);
        }
        let ways = match rounds {
            1 => Ways::Direct,
            _ => Ways::Every { round: rounds },
        };
        let members = self.member_list(slot);
        for &index in &left {
            let key = Key { slot, index };
            let Some(to) = self.shared.table.peer(key) else {
                continue;
            };
            let members = members.clone();
            let post = self.shared.post(to, Request::Members { group, list, members }, ways);
            self.lists.posts.insert(post, key);
            if let Some(telling) = self.lists.groups.get_mut(&slot) {
                telling.posts.push(post);
            }
        }
        if let Some(telling) = self.lists.groups.get_mut(&slot) {
            telling.left = left;
        }
        let pause = self
            .shared
            .pause(timings.patience_floor / 4, timings.path_timeout, rounds);
        self.shared.timers.set(Timer::List(slot), self.shared.now + pause);
    }

    /// A far end has acknowledged a list, if this posting was one. A newer list has forgotten the postings of older ones.
    pub(crate) fn on_list_noted(&mut self, post: PostId, from: PeerId) {
        let Some(key) = self.lists.posts.get(&post.0).copied() else {
            return;
        };
        if self.shared.table.peer(key) != Some(from) {
            return;
        }
        if let Some(telling) = self.lists.groups.get_mut(&key.slot) {
            telling.left.remove(&key.index);
            if telling.left.is_empty() {
                self.end_list(key.slot);
            }
        }
    }

    /// Nobody is left to be told, or the group is over.
    pub(crate) fn end_list(&mut self, slot: u32) {
        self.lists.forget_posts(slot);
        if self.lists.groups.remove(&slot).is_some() {
            self.shared.timers.cancel(Timer::List(slot));
        }
    }

    /// Member or observer: the root tells who the members are.
    pub(crate) fn on_members(&mut self, from: PeerId, way: Way, group: GroupId, list: u32, members: Vec<PeerId>) {
        let fits = members.len() <= MAX_LISTED && members.first().is_none_or(|root| *root == from);
        if group.root != from || self.silent.contains(&group) || !fits {
            return;
        }
        let Some(slot) = self.shared.table.find(&group) else {
            return;
        };
        let newer = |group: &crate::table::Group| group.role != Role::Root && group.list < list;
        if self.shared.table.group(slot).is_some_and(newer) {
            self.shared
                .table
                .relist(slot, list, members.get(1..).unwrap_or_default());
            self.shared.event(Event::Members { group, members });
        }
        self.shared.reply(way, Answer::Noted);
    }
}
