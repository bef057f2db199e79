//! Where segments are kept: what this peer stores of every path that crosses it.
//!
//! A segment is two links with a name (protocol.md §2). A peer may carry a million of them, so a segment is 48 bytes in a slab:
//! peers and groups are interned, links are their numbers, and everything that has to be walked (the segments of a link, those of a
//! group) is walked along small indices. Every change is O(1).
//!
//! Bytes per path on a delegate, if every path is of a group of its own (to stay below 160, so that a million of them take 160 MB):
//!
//! | what | bytes | with room to grow |
//! | --- | --- | --- |
//! | segment | 48 | ≤ 60 (slabs grow by a quarter) |
//! | its number in the index by path, load 3/8 to 3/4 | 4 | ≤ 10.7 |
//! | its number in the vectors of two links, which double | 8 | ≤ 16 |
//! | group: name 20, uses 4, first segment 4 | 28 | ≤ 35 |
//! | its number in the index by group | 4 | ≤ 10.7 |
//! | sum | 92 | ≤ 133 |
//!
//! To which each *distinct* peer adds some 110 bytes, once for all of its paths. A test measures the sum.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use fatebound_overlay::{LinkId, PeerId};

use crate::{GroupId, PathId};
use fatebound_base::{Index, Interner, NONE, grow_by_a_quarter};

/// One path as this peer stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Segment {
    /// The path.
    pub(crate) path: PathId,
    /// Towards the root; `None`: this peer is the root.
    pub(crate) up: Option<LinkId>,
    /// Towards the member; `None`: this peer is the member.
    pub(crate) down: Option<LinkId>,
    /// The number of our operation that handed the path on to `down`.
    pub(crate) handed_on: u64,
    /// Whether a `Confirm` has passed.
    pub(crate) confirmed: bool,
}

impl Segment {
    /// The link on the other side; `None`: the path ends here.
    pub(crate) fn other(&self, link: LinkId) -> Option<LinkId> {
        if self.up == Some(link) { self.down } else { self.up }
    }

    /// Its one or two links.
    pub(crate) fn links(&self) -> impl Iterator<Item = LinkId> + use<> {
        [self.up, self.down].into_iter().flatten()
    }

    /// Whether this peer merely carries the path.
    pub(crate) fn is_carried(&self) -> bool {
        self.up.is_some() && self.down.is_some()
    }

    /// The end of the path that lies in the direction of `link`: the member below, the root above.
    pub(crate) fn end_towards(&self, link: LinkId) -> PeerId {
        if self.down == Some(link) {
            self.path.member
        } else {
            self.path.group.root
        }
    }
}

/// A segment as it lies in the slab.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// Number in `groups`; `NONE`: the place is free.
    group: u32,
    member: u32,
    epoch: u32,
    up: u32,
    up_at: u32,
    down: u32,
    down_at: u32,
    /// Neighbours in the group's list.
    next: u32,
    previous: u32,
    handed_on: u64,
    confirmed: bool,
}

/// A group id with its root interned: 20 bytes without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    root: u32,
    incarnation: [u32; 2],
    sequence: [u32; 2],
}

/// All segments of one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    segments: Vec<Packed>,
    free: Vec<u32>,
    index: Index,
    hasher: RandomState,
    peers: Interner<PeerId>,
    groups: Interner<GroupKey>,
    /// The first segment of each group's list, by the group's number.
    heads: Vec<u32>,
    links: BTreeMap<LinkId, Vec<u32>>,
    carried: usize,
}

/// For `fingerprint`: the segments in the orders in which they are walked, along links and along groups.
impl Hash for Store {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for (link, numbers) in &self.links {
            (link, numbers.len()).hash(hasher);
            for &number in numbers {
                let next = self.segments[number as usize].next;
                let next = (next != NONE).then(|| self.get(next).path);
                (self.get(number), next).hash(hasher);
            }
        }
    }
}

impl Store {
    /// How many segments there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// How many of them are merely carried.
    pub(crate) fn carried(&self) -> usize {
        self.carried
    }

    /// Makes a link known.
    pub(crate) fn add_link(&mut self, link: LinkId) {
        self.links.entry(link).or_default();
    }

    /// Removes a link with all of its segments.
    pub(crate) fn take_link(&mut self, link: LinkId) -> Vec<Segment> {
        let mut taken = Vec::with_capacity(self.on(link).len());
        while let Some(&last) = self.on(link).last() {
            taken.push(self.remove(last));
        }
        self.links.remove(&link);
        taken
    }

    /// The segments on a link.
    pub(crate) fn on(&self, link: LinkId) -> &[u32] {
        self.links.get(&link).map_or(&[], Vec::as_slice)
    }

    /// The segment of a path.
    pub(crate) fn find(&self, path: &PathId) -> Option<u32> {
        let group = self.find_group(&path.group)?;
        let member = self.peers.find(&path.member)?;
        let key = (group, member, path.epoch);
        self.index.find(self.hasher.hash_one(key), |number| {
            name(&self.segments[number as usize]) == key
        })
    }

    /// A segment by its number.
    pub(crate) fn get(&self, number: u32) -> Segment {
        let packed = &self.segments[number as usize];
        let key = self.groups.get(packed.group);
        Segment {
            path: PathId {
                group: GroupId {
                    root: self.peers.get(key.root),
                    incarnation: joined(key.incarnation),
                    sequence: joined(key.sequence),
                },
                member: self.peers.get(packed.member),
                epoch: packed.epoch,
            },
            up: link_of(packed.up),
            down: link_of(packed.down),
            handed_on: packed.handed_on,
            confirmed: packed.confirmed,
        }
    }

    /// Adds the segment of a path that is not there yet, between known links.
    pub(crate) fn insert(&mut self, segment: &Segment) {
        let Segment { path, up, down, .. } = *segment;
        let packed = Packed {
            group: self.acquire_group(&path.group),
            member: self.peers.acquire(path.member),
            epoch: path.epoch,
            up: up.map_or(NONE, |link| link.0),
            up_at: 0,
            down: down.map_or(NONE, |link| link.0),
            down_at: 0,
            next: NONE,
            previous: NONE,
            handed_on: segment.handed_on,
            confirmed: segment.confirmed,
        };
        let number = self.place(packed);
        let Store {
            index,
            hasher,
            segments,
            ..
        } = self;
        index.insert(hasher.hash_one(name(&packed)), number, |other| {
            hasher.hash_one(name(&segments[other as usize]))
        });
        self.chain(number);
        self.segments[number as usize].up_at = self.attach(up, number);
        self.segments[number as usize].down_at = self.attach(down, number);
        self.carried += usize::from(segment.is_carried());
    }

    /// Removes a segment.
    pub(crate) fn remove(&mut self, number: u32) -> Segment {
        let segment = self.get(number);
        let packed = self.segments[number as usize];
        self.detach(segment.up, packed.up_at);
        self.detach(segment.down, packed.down_at);
        self.unchain(&packed);
        let Store {
            index,
            hasher,
            segments,
            ..
        } = self;
        index.remove(hasher.hash_one(name(&packed)), number, |other| {
            hasher.hash_one(name(&segments[other as usize]))
        });
        self.segments[number as usize].group = NONE;
        self.free.push(number);
        self.peers.release(packed.member);
        self.release_group(packed.group);
        self.carried -= usize::from(segment.is_carried());
        segment
    }

    /// Marks a segment confirmed.
    pub(crate) fn confirm(&mut self, number: u32) {
        self.segments[number as usize].confirmed = true;
    }

    /// The segments of a group, newest first.
    pub(crate) fn of_group(&self, group: &GroupId) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = self
            .find_group(group)
            .map_or(NONE, |number| self.heads[number as usize]);
        while at != NONE {
            found.push(at);
            at = self.segments[at as usize].next;
        }
        found
    }

    /// Whether a path of this group is here.
    pub(crate) fn has_group(&self, group: &GroupId) -> bool {
        self.find_group(group).is_some()
    }

    /// All segments, in the order of their places.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        let places = self.segments.iter().zip(0..);
        places
            .filter(|(packed, _)| packed.group != NONE)
            .map(|(_, number)| number)
    }

    fn place(&mut self, packed: Packed) -> u32 {
        if let Some(number) = self.free.pop() {
            self.segments[number as usize] = packed;
            return number;
        }
        grow_by_a_quarter(&mut self.segments);
        self.segments.push(packed);
        (self.segments.len() - 1) as u32
    }

    /// Puts a segment at the head of its group's list.
    fn chain(&mut self, number: u32) {
        let group = self.segments[number as usize].group;
        let head = std::mem::replace(&mut self.heads[group as usize], number);
        self.segments[number as usize].next = head;
        if head != NONE {
            self.segments[head as usize].previous = number;
        }
    }

    fn unchain(&mut self, packed: &Packed) {
        match packed.previous {
            NONE => self.heads[packed.group as usize] = packed.next,
            previous => self.segments[previous as usize].next = packed.next,
        }
        if packed.next != NONE {
            self.segments[packed.next as usize].previous = packed.previous;
        }
    }

    /// Appends a segment to a link's vector and tells its position there.
    fn attach(&mut self, link: Option<LinkId>, number: u32) -> u32 {
        let Some(link) = link else { return 0 };
        let on_link = self.links.entry(link).or_default();
        on_link.push(number);
        (on_link.len() - 1) as u32
    }

    /// Takes a position out of a link's vector; the last one moves there and learns of it.
    fn detach(&mut self, link: Option<LinkId>, at: u32) {
        let Some(link) = link else { return };
        let Some(on_link) = self.links.get_mut(&link) else {
            return;
        };
        on_link.swap_remove(at as usize);
        if let Some(&moved) = on_link.get(at as usize) {
            let moved = &mut self.segments[moved as usize];
            let position = if moved.up == link.0 {
                &mut moved.up_at
            } else {
                &mut moved.down_at
            };
            *position = at;
        }
    }

    fn find_group(&self, group: &GroupId) -> Option<u32> {
        self.groups.find(&GroupKey {
            root: self.peers.find(&group.root)?,
            incarnation: split(group.incarnation),
            sequence: split(group.sequence),
        })
    }

    /// Every segment uses its group once, every segment uses its group's root once.
    fn acquire_group(&mut self, group: &GroupId) -> u32 {
        let root = self.peers.acquire(group.root);
        let number = self.groups.acquire(GroupKey {
            root,
            incarnation: split(group.incarnation),
            sequence: split(group.sequence),
        });
        if number as usize == self.heads.len() {
            grow_by_a_quarter(&mut self.heads);
            self.heads.push(NONE);
        }
        number
    }

    fn release_group(&mut self, number: u32) {
        let root = self.groups.get(number).root;
        self.groups.release(number);
        self.peers.release(root);
    }
}

/// By what a segment is looked up.
fn name(packed: &Packed) -> (u32, u32, u32) {
    (packed.group, packed.member, packed.epoch)
}

fn link_of(number: u32) -> Option<LinkId> {
    (number != NONE).then_some(LinkId(number))
}

fn split(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

fn joined([high, low]: [u32; 2]) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl Store {
    /// Checks what must hold of the store between any two inputs; the numbers continue in `Tree::check_invariants`.
    ///
    /// 1. Every segment is found under its path, and nothing else is in the index.
    /// 2. Every segment stands in the vector of each of its links, at the position that it remembers, and nothing else stands there.
    /// 3. Every segment stands once in its group's list, and lists hold segments of their group only.
    /// 4. Peers and groups are counted exactly as often as segments use them.
    /// 5. `carried` counts the segments with two links.
    pub(crate) fn check_invariants(&self) -> Result<(), String> {
        let numbers: Vec<u32> = self.numbers().collect();
        let mut places = 0;
        let mut listed = 0;
        let mut carried = 0;
        for &number in &numbers {
            let (segment, packed) = (self.get(number), self.segments[number as usize]);
            ensure(self.find(&segment.path) == Some(number), 1, "a path is not found")?;
            for (link, at) in [(segment.up, packed.up_at), (segment.down, packed.down_at)] {
                let Some(link) = link else { continue };
                let there = self.on(link).get(at as usize);
                ensure(there == Some(&number), 2, "a position is wrong")?;
                places += 1;
            }
            if packed.previous == NONE {
                listed += self.of_group(&segment.path.group).len();
            }
            carried += usize::from(segment.is_carried());
        }
        ensure(self.index.len() == numbers.len(), 1, "the index has more than the slab")?;
        let on_links: usize = self.links.values().map(Vec::len).sum();
        ensure(on_links == places, 2, "a link has a segment too many")?;
        ensure(listed == numbers.len(), 3, "a group's list is wrong")?;
        ensure(self.groups.uses() == numbers.len(), 4, "groups are miscounted")?;
        ensure(self.peers.uses() == 2 * numbers.len(), 4, "peers are miscounted")?;
        ensure(self.groups.len() <= numbers.len(), 4, "a group has no segment")?;
        ensure(carried == self.carried, 5, "carried paths are miscounted")
    }
}

/// An invariant by its number.
pub(crate) fn ensure(holds: bool, invariant: u32, what: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("invariant {invariant}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::peer;

    fn path(sequence: u64, epoch: u32) -> PathId {
        PathId {
            group: GroupId {
                root: peer(sequence as u8 % 50),
                incarnation: 0x1234_5678_9abc_def0,
                sequence,
            },
            member: peer(100 + sequence as u8 % 50),
            epoch,
        }
    }

    fn segment(path: PathId, up: Option<u32>, down: Option<u32>) -> Segment {
        Segment {
            path,
            up: up.map(LinkId),
            down: down.map(LinkId),
            handed_on: 0,
            confirmed: false,
        }
    }

    #[test]
    fn segments_come_and_go() {
        let mut store = Store::default();
        for sequence in 0..100 {
            store.insert(&segment(path(sequence, 1), Some(sequence as u32 % 3), Some(3)));
            store.insert(&segment(path(sequence, 2), None, Some(4)));
        }
        store.check_invariants().expect("after inserting");
        assert_eq!((store.len(), store.carried()), (200, 100));
        assert_eq!(store.of_group(&path(7, 0).group).len(), 2);
        for sequence in (0..100).step_by(3) {
            let number = store.find(&path(sequence, 1)).expect("it is there");
            assert_eq!(store.remove(number).path, path(sequence, 1));
            store.check_invariants().expect("after removing");
        }
        assert_eq!(store.take_link(LinkId(4)).len(), 100);
        assert_eq!(store.take_link(LinkId(3)).len(), 66);
        store.check_invariants().expect("after the end");
        assert_eq!((store.len(), store.peers.len(), store.groups.len()), (0, 0, 0));
    }

    #[test]
    fn a_segment_is_48_bytes() {
        assert_eq!(size_of::<Packed>(), 48);
        assert_eq!(size_of::<GroupKey>(), 20);
    }

    #[test]
    fn a_path_on_a_delegate_takes_at_most_160_bytes_whatever_their_number() {
        let mut store = Store::default();
        for sequence in 0..140_000u64 {
            let (up, down) = (sequence as u32 % 7, 7 + sequence as u32 % 5);
            store.insert(&segment(path(sequence, 1), Some(up), Some(down)));
            if sequence > 50_000 && sequence % 1_000 == 0 {
                let per_path = store.bytes() / store.len();
                assert!(per_path <= 160, "{per_path} bytes per path at {sequence}");
            }
        }
    }

    impl Store {
        fn bytes(&self) -> usize {
            let on_links: usize = self.links.values().map(|link| link.capacity() * 4).sum();
            self.segments.capacity() * size_of::<Packed>()
                + self.free.capacity() * 4
                + self.index.bytes()
                + self.peers.bytes()
                + self.groups.bytes()
                + self.heads.capacity() * 4
                + on_links
        }
    }
}
