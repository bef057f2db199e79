//! The groups that this peer is in, in little memory.
//!
//! A steady group is only a row here: no timer, no message, no question (protocol.md §1, P7). Whatever is under way for one far end,
//! the invitation, the attempt, the questions, is kept by the part whose business it is, and only as long.
//!
//! Bytes for 1,000,000 groups with three other members each, at their root (to stay below 500 MB):
//! a `Group` 80 (in a `Vec` that has just doubled: 160), its far ends 3 × 32 and 16 of the allocator, its entry in the index 24 + 1 at a load of
//! 7/16 or more: at most 57, the peers' lists of far ends 3 × 8 (doubled: 48). Together 377 MB at worst; 237 MB were measured when a far end took 24. A plain
//! member has one far end (its root) and a `u32` for each listed member: less. Peers (some 200 bytes) and lives of roots (some 250) are
//! counted in thousands. `PeerId`s and timings, 80 and 104 bytes, are stored once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fatebound_overlay::{Bounded, PeerId, Rule};
use fatebound_tree::{GroupId, PathId};

use crate::config::Timings;
use crate::group::{Far, Group, Key, NewGroup, Phase, Role, Stage};
use crate::invariants::ensure;
use crate::lives::{LifeIx, Lives};
use crate::message::MAX_LISTED;
use crate::peers::{PeerIx, Peers};
use crate::same_timings::SameTimings;

/// Hops that detours may add to a path beyond those of the paths that are up: the overlay's default.
const DETOURS: u8 = 3;

/// All groups, and what they share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) peers: Peers,
    lives: Lives,
    timings: SameTimings,
    /// Groups of each other root.
    rooted: HashMap<PeerIx, usize>,
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    index: HashMap<(LifeIx, u64), u32>,
    born: u64,
    roots: usize,
}

/// For `branch`.
impl Hash for Table {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Table {
            peers,
            lives,
            timings,
            rooted: _,
            groups,
            free,
            index: _,
            born,
            roots: _,
        } = self;
        (peers, lives, timings).hash(hasher);
        (groups, free, born).hash(hasher);
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Groups that this peer is the root of.
    pub(crate) fn roots(&self) -> usize {
        self.roots
    }

    /// Groups here whose root is this other peer.
    pub(crate) fn groups_of(&self, root: &PeerId) -> usize {
        let ix = self.peers.find(root);
        ix.and_then(|ix| self.rooted.get(&ix)).copied().unwrap_or_default()
    }

    /// The newest group's number in the order of their coming.
    pub(crate) fn newest(&self) -> u64 {
        self.born
    }

    /// Where this group is.
    pub(crate) fn find(&self, id: &GroupId) -> Option<u32> {
        let root = self.peers.find(&id.root)?;
        let life = self.lives.find(root, id.incarnation)?;
        self.index.get(&(life, id.sequence)).copied()
    }

    /// One more than the last place in which a group can be.
    pub(crate) fn places(&self) -> u32 {
        self.groups.len() as u32
    }

    pub(crate) fn group(&self, slot: u32) -> Option<&Group> {
        self.groups.get(slot as usize)?.as_ref()
    }

    pub(crate) fn id(&self, group: &Group) -> GroupId {
        let (root, incarnation) = self.lives.get(group.life);
        GroupId {
            root: self.peers.get(root),
            incarnation,
            sequence: group.sequence,
        }
    }

    pub(crate) fn timings(&self, group: &Group) -> Timings {
        self.timings.get(group.timings)
    }

    /// The timings of the group in this place, if there is one.
    pub(crate) fn timings_at(&self, slot: u32) -> Option<Timings> {
        self.group(slot).map(|group| self.timings(group))
    }

    pub(crate) fn group_mut(&mut self, slot: u32) -> Option<&mut Group> {
        self.groups.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn far(&self, key: Key) -> Option<&Far> {
        self.group(key.slot)?.far.get(key.index as usize)
    }

    pub(crate) fn far_mut(&mut self, key: Key) -> Option<&mut Far> {
        let group = self.groups.get_mut(key.slot as usize)?.as_mut()?;
        group.far.get_mut(key.index as usize)
    }

    /// Whether this far end is in its group.
    pub(crate) fn is_in(&self, key: Key) -> bool {
        self.far(key).is_some_and(|far| far.phase.is_in())
    }

    /// The far end's peer.
    pub(crate) fn peer(&self, key: Key) -> Option<PeerId> {
        self.far(key).map(|far| self.peers.get(far.peer))
    }

    /// The far end's path, as of its current epoch. `us` ends it when the root is at the far end.
    pub(crate) fn path(&self, key: Key, us: PeerId) -> Option<PathId> {
        let group = self.group(key.slot)?;
        let far = group.far.get(key.index as usize)?;
        Some(PathId {
            group: self.id(group),
            member: if group.is_root() { self.peers.get(far.peer) } else { us },
            epoch: far.epoch,
        })
    }

    /// This peer as a far end of the group in this place. The shorter of two lists is searched: the group's far ends or the peer's.
    pub(crate) fn end_of(&self, slot: u32, peer: &PeerId) -> Option<Key> {
        let ix = self.peers.find(peer)?;
        let far = &self.group(slot)?.far;
        let ends = self.peers.ends(ix);
        if ends.len() < far.len() {
            return ends.iter().find(|key| key.slot == slot).copied();
        }
        let index = far.iter().position(|far| far.peer == ix)? as u32;
        Some(Key { slot, index })
    }

    /// "A group's own bound uses the hops that its `Confirm`s counted, plus detours" (protocol.md §7), while every path is up: a repair may
    /// lengthen one. A member does not know them and has to allow for the most.
    pub(crate) fn bound(&self, group: &Group, tick: Duration) -> Duration {
        let timings = self.timings(group);
        let counted = group.is_root() && group.parties().all(|far| far.phase.is_live());
        let longest = group
            .parties()
            .filter_map(|far| far.phase.hops())
            .max()
            .filter(|_| counted);
        let hops = longest.map_or(timings.hop_limit, |hops| {
            hops.saturating_add(DETOURS).min(timings.hop_limit)
        });
        timings.notification_bound(hops, tick)
    }

    /// Whether this peer wants to leave the group in this place.
    pub(crate) fn is_leaving(&self, slot: u32) -> bool {
        self.group(slot).is_some_and(|group| group.stage == Stage::Leaving)
    }

    /// "◆ A leaver has no word any more: it cannot signal, what it would fail it leaves in silence." Nor has an observer ever.
    pub(crate) fn has_word(&self, slot: u32) -> bool {
        let role = self.group(slot).map(|group| group.role);
        let leaves = self.is_leaving(slot) && Rule::LeaverIsMute.holds();
        let observes = role == Some(Role::Observer) && Rule::ObserverIsNobody.holds();
        !leaves && !observes
    }

    /// "◆ It registers a group id at most once, so that a late or repeated invitation cannot revive a dead group."
    pub(crate) fn used(&self, group: &GroupId) -> bool {
        let root = self.peers.find(&group.root);
        let life = root.and_then(|root| self.lives.find(root, group.incarnation));
        life.is_some_and(|life| self.lives.used(life, group.sequence)) && Rule::IdUsedOnce.holds()
    }

    /// Uses a group id, so that no invitation to it is accepted from now on.
    pub(crate) fn use_up(&mut self, group: &GroupId) {
        self.lives
            .take(&mut self.peers, &group.root, group.incarnation, group.sequence);
    }

    /// Whether another group may have these timings.
    pub(crate) fn has_room_for(&self, timings: &Timings) -> bool {
        self.timings.can_acquire(timings)
    }

    /// Places with groups, the oldest first.
    pub(crate) fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<_> = (0..self.places())
            .filter_map(|slot| self.group(slot).map(|group| (group.born, slot)))
            .collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }

    /// All groups, in the order of their places.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().flatten()
    }

    /// Groups of the root, other than this peer, that has most of them here.
    pub(crate) fn most_of_a_root(&self) -> usize {
        self.rooted.values().copied().max().unwrap_or_default()
    }

    pub(crate) fn bounds(&self) -> Vec<Bounded> {
        let names = |group: &Group| group.far.len() + group.listed.len();
        let names: usize = self.groups().map(names).sum();
        let [idle, lives] = self.lives.bounds(self.len());
        vec![
            self.timings.bounds(),
            Bounded::new("peers of groups", self.peers.len(), names + lives.size),
            idle,
            lives,
        ]
    }

    /// Checks what must hold of the table between any two inputs; the numbers continue in `Groups::check_invariants`.
    ///
    /// 1. Every group is found under its id, and nothing else is in the index.
    /// 2. Every far end stands in its peer's list, at the position that it remembers, and lists hold nothing else.
    /// 3. Groups are counted: those of this peer, of each other root, with the same timings, and free places.
    pub(crate) fn check_invariants(&self) -> Result<(), String> {
        let (mut roots, mut ends) = (0, 0);
        for slot in self.slots() {
            let Some(group) = self.group(slot) else { continue };
            ensure(self.find(&self.id(group)) == Some(slot), 1, "a group is not found")?;
            for (index, far) in (0..).zip(&group.far) {
                let there = self.peers.ends(far.peer).get(far.position as usize);
                ensure(there == Some(&Key { slot, index }), 2, "a position is wrong")?;
                ends += 1;
            }
            roots += usize::from(group.is_root());
        }
        let groups = self.groups().count();
        ensure(self.index.len() == groups, 1, "the index has more than the table")?;
        ensure(self.peers.all_ends() == ends, 2, "a peer has a far end too many")?;
        let others: usize = self.rooted.values().sum();
        ensure(
            roots == self.roots && others + roots == groups,
            3,
            "roots are miscounted",
        )?;
        let used = self.groups().map(|group| group.timings);
        ensure(self.timings.are(used), 3, "timings are miscounted")?;
        ensure(
            self.free.len() + groups == self.groups.len(),
            3,
            "free places are miscounted",
        )
    }

    /// Adds a group that is not there; returns its place.
    pub(crate) fn insert(&mut self, new: &NewGroup<'_>) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            (self.groups.len() - 1) as u32
        });
        let life = self.lives.enter(&mut self.peers, &new.id.root, new.id.incarnation);
        self.index.insert((life, new.id.sequence), slot);
        self.born += 1;
        self.count_in(life, new.role == Role::Root);
        let group = Group {
            sequence: new.id.sequence,
            born: self.born,
            life,
            timings: self.timings.acquire(new.timings),
            tag: new.tag.map(Into::into),
            far: (0..)
                .zip(new.far)
                .map(|(index, peer)| self.attach(Key { slot, index }, peer, new.phase))
                .collect(),
            listed: new.listed.iter().map(|peer| self.peers.acquire(peer)).collect(),
            list: new.list,
            role: new.role,
            stage: match new.role {
                Role::Root => Stage::Creating,
                Role::Member | Role::Observer => Stage::Complete,
            },
            large: new.far.len() >= MAX_LISTED,
        };
        self.groups[slot as usize] = Some(group);
        slot
    }

    /// Takes a group out. What is under way for its far ends must have been ended before.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(group) = self.groups.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        self.index.remove(&(group.life, group.sequence));
        self.count_out(group.life, group.is_root());
        self.lives.leave(&mut self.peers, group.life);
        self.timings.release(group.timings);
        for far in &group.far {
            self.detach(far);
        }
        for ix in &group.listed {
            self.peers.release(*ix);
        }
        self.free.push(slot);
    }

    /// Root: a place among the group's far ends for a peer that comes in; its own old one, or a new one, or, in a group that has had as many
    /// as it may have members, that of the first that is out. `None`: the group is full, and nothing has changed.
    pub(crate) fn place_for(&mut self, slot: u32, peer: &PeerId, max: usize) -> Option<Key> {
        if let Some(key) = self.end_of(slot, peer) {
            return Some(key);
        }
        let far = &self.group(slot)?.far;
        let index = far.len() as u32;
        if far.len() < max {
            let new = self.attach(Key { slot, index }, peer, Phase::Out);
            let group = self.groups[slot as usize].as_mut()?;
            let mut far = std::mem::take(&mut group.far).into_vec();
            far.push(new);
            group.far = far.into_boxed_slice();
            return Some(Key { slot, index });
        }
        let out = far.iter().position(|far| far.phase == Phase::Out)?;
        let key = Key {
            slot,
            index: out as u32,
        };
        // "A path crosses a link at most once in its life" (protocol.md §4): this peer may have been here before, in a place that another one
        // has taken since. Epochs of a place only grow, so none of them was this peer's.
        let epoch = far.iter().map(|far| far.epoch).max().unwrap_or_default();
        let old = far[out].clone();
        self.detach(&old);
        let new = Far {
            epoch,
            ..self.attach(key, peer, Phase::Out)
        };
        *self.far_mut(key)? = new;
        Some(key)
    }

    /// Member: the root's newest list takes the place of the older one.
    pub(crate) fn relist(&mut self, slot: u32, number: u32, listed: &[PeerId]) {
        let listed: Box<[PeerIx]> = listed.iter().map(|peer| self.peers.acquire(peer)).collect();
        let Some(group) = self.groups.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        group.list = number;
        let old = std::mem::replace(&mut group.listed, listed);
        for ix in &old {
            self.peers.release(*ix);
        }
    }

    fn count_in(&mut self, life: LifeIx, root: bool) {
        if root {
            self.roots += 1;
        } else {
            *self.rooted.entry(self.lives.get(life).0).or_default() += 1;
        }
    }

    fn count_out(&mut self, life: LifeIx, root: bool) {
        let ix = self.lives.get(life).0;
        if root {
            self.roots -= 1;
        } else if let Some(groups) = self.rooted.get_mut(&ix) {
            *groups -= 1;
            if *groups == 0 {
                self.rooted.remove(&ix);
            }
        }
    }

    fn attach(&mut self, key: Key, peer: &PeerId, phase: Phase) -> Far {
        let peer = self.peers.acquire(peer);
        Far {
            peer,
            position: self.peers.attach(peer, key),
            epoch: 0,
            phase,
            observer: false,
        }
    }

    fn detach(&mut self, far: &Far) {
        if let Some(moved) = self.peers.detach(far.peer, far.position)
            && let Some(other) = self.far_mut(moved)
        {
            other.position = far.position;
        }
        self.peers.release(far.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use fatebound_overlay::Keypair;

    fn peer(n: u8) -> PeerId {
        Keypair::ed25519_from_bytes([n; 32]).unwrap().public().to_peer_id()
    }

    fn insert(table: &mut Table, sequence: u64, far: &[PeerId]) -> u32 {
        let id = GroupId {
            root: peer(0),
            incarnation: 9,
            sequence,
        };
        table.insert(&NewGroup {
            id,
            role: Role::Root,
            timings: Config::lan().timings,
            tag: None,
            far,
            listed: &[],
            list: 0,
            phase: Phase::Accepted,
        })
    }

    #[test]
    fn rows_are_as_small_as_the_calculation_says() {
        assert_eq!(size_of::<Option<Group>>(), 80);
        assert_eq!(size_of::<Far>(), 32);
        assert_eq!(size_of::<((LifeIx, u64), u32)>(), 24);
    }

    #[test]
    fn far_ends_find_their_peers_lists_after_any_removal() {
        let mut table = Table::default();
        let slots: Vec<_> = (1..=20).map(|n| insert(&mut table, n, &[peer(1), peer(2)])).collect();
        for slot in slots.iter().step_by(3) {
            table.remove(*slot);
        }
        insert(&mut table, 21, &[peer(2)]);
        for n in [1, 2] {
            let ix = table.peers.find(&peer(n)).unwrap();
            for (position, key) in table.peers.ends(ix).iter().enumerate() {
                let far = table.far(*key).unwrap();
                assert_eq!((far.peer, far.position as usize), (ix, position));
                assert_eq!(table.end_of(key.slot, &peer(n)), Some(*key));
            }
        }
        assert_eq!(table.len(), 14);
    }

    #[test]
    fn groups_of_each_other_root_are_counted() {
        let mut table = Table::default();
        let mut join = |root: u8, sequence| {
            let (root, incarnation) = (peer(root), 9);
            table.insert(&NewGroup {
                id: GroupId {
                    root,
                    incarnation,
                    sequence,
                },
                role: Role::Member,
                timings: Config::lan().timings,
                tag: None,
                far: &[root],
                listed: &[],
                list: 0,
                phase: Phase::Accepted,
            })
        };
        let slots = [join(1, 1), join(1, 2), join(1, 3), join(2, 1)];
        for (slot, left) in slots.into_iter().zip([(2, 1), (1, 1), (0, 1), (0, 0)]) {
            table.remove(slot);
            assert_eq!((table.groups_of(&peer(1)), table.groups_of(&peer(2))), left);
        }
    }

    #[test]
    fn an_empty_table_holds_no_peer() {
        let mut table = Table::default();
        let slot = insert(&mut table, 1, &[peer(1)]);
        table.remove(slot);
        assert_eq!(table.peers.find(&peer(1)), None);
        assert_eq!((table.len(), table.roots()), (0, 0));
    }
}
