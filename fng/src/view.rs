//! What can be read without changing anything.

use std::collections::BTreeMap;

use fatebound_overlay::PeerId;
use fatebound_tree::GroupId;

use crate::group::{Far, Group, Phase, Role, Stage};
use crate::groups::Groups;
use crate::io::GroupView;
use crate::reason::Reason;

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Groups of our own whose members all accepted.
    pub created: u64,
    /// Groups of others that this peer became a member or an observer of.
    pub joined: u64,
    /// Root: peers that came into groups after their creation.
    pub admitted: u64,
    /// Groups that this peer left.
    pub left: u64,
    /// Groups that ended here because their root closed them.
    pub closed: u64,
    /// Root: paths that broke.
    pub repairs_begun: u64,
    /// Root: paths that broke and came up again.
    pub repairs_ended: u64,
    /// Questions to the other ends of groups, repeated ones included: whether one is alive, and for repair.
    pub questions: u64,
    /// Groups that failed here, by [`Reason::kind`]; withdrawn invitations included.
    pub failures: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(crate) fn ended(&mut self, reason: &Reason) {
        if let Reason::Closed { .. } = reason {
            self.closed += 1;
            return;
        }
        *self.failures.entry(reason.kind()).or_default() += 1;
    }
}

impl Groups {
    /// One group.
    pub fn view(&self, group: &GroupId) -> Option<GroupView> {
        self.view_at(self.shared.table.find(group)?)
    }

    /// The groups that this peer is in, in the order in which they came, at most `limit`. Costs a walk over all.
    pub fn views(&self, limit: usize) -> Vec<GroupView> {
        let slots = self.shared.table.slots();
        slots
            .into_iter()
            .take(limit)
            .filter_map(|slot| self.view_at(slot))
            .collect()
    }

    /// Some of the groups that this peer is in: those in the table's places from `from` on, until `effort` is spent, which every place and
    /// every member costs one of. Each comes with its number in the order of their coming; then the place where the next ones are, if there are.
    pub fn page(&self, from: u32, effort: usize) -> (Vec<(u64, GroupView)>, Option<u32>) {
        let mut page = Vec::new();
        let mut spent = 0;
        for slot in from..self.shared.table.places() {
            if spent >= effort {
                return (page, Some(slot));
            }
            spent += 1;
            if let (Some(group), Some(view)) = (self.shared.table.group(slot), self.view_at(slot)) {
                spent += view.members.len();
                page.push((group.born, view));
            }
        }
        (page, None)
    }

    /// As [`Groups::page`], their ids alone.
    pub fn ids(&self, from: u32, places: u32) -> (Vec<GroupId>, Option<u32>) {
        let until = from.saturating_add(places).min(self.shared.table.places());
        let groups = (from..until).filter_map(|slot| self.shared.table.group(slot));
        let ids = groups.map(|group| self.shared.table.id(group)).collect();
        (ids, (until < self.shared.table.places()).then_some(until))
    }

    /// Groups that this peer is the root of.
    pub fn as_root(&self) -> usize {
        self.shared.table.roots()
    }

    /// Groups that this peer is another member or an observer of.
    pub fn as_member(&self) -> usize {
        self.shared.table.len() - self.shared.table.roots()
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    fn view_at(&self, slot: u32) -> Option<GroupView> {
        let group = self.shared.table.group(slot)?;
        let id = self.shared.table.id(group);
        let repairing = |far: &&Far| far.phase == Phase::Broken;
        let complete = group.stage != Stage::Creating;
        let counts = |far: &&Far| group.is_root() && (far.phase.is_in() || !complete);
        let at_root = || group.far.iter().filter(counts);
        let (observers, members): (Vec<&Far>, Vec<&Far>) = at_root().partition(|far| far.observer);
        let name = |far: &Far| self.shared.table.peers.get(far.peer);
        Some(GroupView {
            group: id,
            root: group.is_root(),
            observer: group.role == Role::Observer,
            has_word: self.shared.table.has_word(slot),
            members: match group.role {
                Role::Root => std::iter::once(id.root)
                    .chain(members.iter().map(|far| name(far)))
                    .collect(),
                _ => self.known_members(id.root, group),
            },
            observers: observers.iter().map(|far| name(far)).collect(),
            tag: group.tag.as_deref().map(str::to_owned),
            timings: self.shared.table.timings(group),
            hops: members.iter().map(|far| far.phase.hops()).collect(),
            repairing: at_root().filter(repairing).count(),
            notification_bound: self.shared.bound(group),
            complete,
        })
    }

    /// At a member or an observer, the root first; of a large group only the root and this peer are known.
    fn known_members(&self, root: PeerId, group: &Group) -> Vec<PeerId> {
        let peers = &self.shared.table.peers;
        let mut members = vec![root];
        members.extend(group.listed.iter().map(|ix| peers.get(*ix)));
        if group.listed.is_empty() && group.role == Role::Member {
            members.push(self.shared.us);
        }
        members
    }
}
