//! Who is a member now: the root tells everybody when somebody has come or gone.
//!
//! "The root numbers the lists and sends the newest to every member and observer, repeated until it is acknowledged; changes within an eighth of
//! `path_timeout` share one." (protocol.md §6) A group that never changes sends none. "A group that has once had more than 64 members stays large:
//! the last list it sends is empty." Bound: what has to be told, once for each far end of a group that changed.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_overlay::{Bounded, PeerId, PostId, Rule, Way, Ways};
use fatebound_tree::GroupId;

use crate::group::{Far, Group, Key, Role, Stage};
use crate::io::Event;
use crate::message::{Answer, MAX_LISTED, Request};
use crate::shared::{Shared, Timer};

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
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Lists {
    groups: BTreeMap<u32, Telling>,
    posts: BTreeMap<u64, Key>,
}

/// The members of a group of ours, the root first; none when it is large. While it is being created, whoever has not answered yet is on the
/// list, as in the invitations: nobody is told again when it accepts.
pub(crate) fn member_list(shared: &Shared, slot: u32) -> Vec<PeerId> {
    let Some(group) = shared.table.group(slot).filter(|group| !group.large) else {
        return Vec::new();
    };
    let creating = group.stage == Stage::Creating;
    let members = group.members().filter(|far| creating || far.phase.is_in());
    let members = members.map(|far| shared.table.peers.get(far.peer));
    std::iter::once(shared.us).chain(members).collect()
}

/// Changes within an eighth of `path_timeout` share one list.
fn tell_soon(shared: &mut Shared, slot: u32) {
    if let Some(timings) = shared.table.timings_at(slot) {
        let soon = shared.now + timings.path_timeout / 8;
        shared.timers.set_earlier(Timer::List(slot), soon);
    }
}

impl Lists {
    /// How many groups have a list on its way; each has a timer.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// What is on its way, to so many far ends of groups at most.
    pub(crate) fn bounds(&self, far: usize) -> Bounded {
        let telling: usize = self.groups.values().map(|telling| telling.left.len()).sum();
        Bounded::new("lists on their way", telling.max(self.posts.len()), far)
    }

    /// Whether somebody has not acknowledged the newest list of this group.
    pub(crate) fn is_unsettled(&self, slot: u32) -> bool {
        self.groups.contains_key(&slot)
    }

    /// Root: somebody has come or gone.
    pub(crate) fn changed(&mut self, shared: &mut Shared, slot: u32) {
        let Some(group) = shared.table.group_mut(slot).filter(|group| !group.large) else {
            return;
        };
        group.list += 1;
        let counted = |far: &&Far| far.phase.is_in();
        group.large = group.members().filter(counted).count() >= MAX_LISTED;
        let far = (0..).zip(&group.far);
        let left = far.filter(|(_, far)| counted(far)).map(|(index, _)| index).collect();
        self.forget_posts(slot);
        self.groups.insert(
            slot,
            Telling {
                left,
                ..Telling::default()
            },
        );
        tell_soon(shared, slot);
    }

    /// "◆ Whoever was invited with an older list … is told the newest when it has come in": others may have come or gone meanwhile.
    pub(crate) fn missed(&mut self, shared: &mut Shared, key: Key, known: u32) {
        let newer = shared.table.group(key.slot).is_some_and(|group| group.list != known);
        if newer && shared.table.is_in(key) && Rule::ListMissed.holds() {
            self.groups.entry(key.slot).or_default().left.insert(key.index);
            tell_soon(shared, key.slot);
        }
    }

    /// Tells those who have not acknowledged the newest list.
    pub(crate) fn on_timer(&mut self, shared: &mut Shared, slot: u32) {
        self.forget_posts(slot);
        let (Some(timings), Some(telling)) = (shared.table.timings_at(slot), self.groups.get_mut(&slot)) else {
            return;
        };
        telling.rounds += 1;
        telling.left.retain(|&index| shared.table.is_in(Key { slot, index }));
        if telling.left.is_empty() {
            return self.end(shared, slot);
        }
        let rounds = telling.rounds;
        self.tell(shared, slot);
        let pause = shared.pause(timings.patience_floor / 4, timings.path_timeout, rounds);
        shared.timers.set(Timer::List(slot), shared.now + pause);
    }

    fn tell(&mut self, shared: &mut Shared, slot: u32) {
        let (Some(telling), Some(group)) = (self.groups.get_mut(&slot), shared.table.group(slot)) else {
            return;
        };
        let ways = match telling.rounds {
            1 => Ways::Direct,
            round => Ways::Every { round },
        };
        let (group, list, members) = (shared.table.id(group), group.list, member_list(shared, slot));
        for &index in &telling.left {
            let key = Key { slot, index };
            let Some(to) = shared.table.peer(key) else { continue };
            let members = members.clone();
            let post = shared.post(to, Request::Members { group, list, members }, ways);
            self.posts.insert(post, key);
            telling.posts.push(post);
        }
    }

    /// A far end has acknowledged a list, if this posting was one. A newer list has forgotten the postings of older ones.
    pub(crate) fn on_noted(&mut self, shared: &mut Shared, post: PostId, from: PeerId) {
        let Some(key) = self.posts.get(&post.0).copied() else {
            return;
        };
        if shared.table.peer(key) != Some(from) {
            return;
        }
        if let Some(telling) = self.groups.get_mut(&key.slot) {
            telling.left.remove(&key.index);
            if telling.left.is_empty() {
                self.end(shared, key.slot);
            }
        }
    }

    /// Nobody is left to be told, or the group is over.
    pub(crate) fn end(&mut self, shared: &mut Shared, slot: u32) {
        self.forget_posts(slot);
        if self.groups.remove(&slot).is_some() {
            shared.timers.cancel(Timer::List(slot));
        }
    }

    fn forget_posts(&mut self, slot: u32) {
        if let Some(telling) = self.groups.get_mut(&slot) {
            for post in telling.posts.drain(..) {
                self.posts.remove(&post);
            }
        }
    }
}

/// Member or observer: the root tells who the members are.
pub(crate) fn on_members(shared: &mut Shared, from: PeerId, way: Way, group: GroupId, list: u32, members: Vec<PeerId>) {
    let fits = members.len() <= MAX_LISTED && members.first().is_none_or(|root| *root == from);
    if group.root != from || !fits {
        return;
    }
    let Some(slot) = shared.table.find(&group) else {
        return;
    };
    let newer = |group: &Group| group.role != Role::Root && group.list < list;
    if shared.table.group(slot).is_some_and(newer) {
        shared.table.relist(slot, list, members.get(1..).unwrap_or_default());
        shared.event(Event::Members { group, members });
    }
    shared.reply(way, Answer::Noted);
}
