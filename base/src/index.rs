//! A hash index over a slab: from a key to the small number under which the slab keeps it.
//!
//! A map would store every key twice, once in the slab and once in itself, and keys are most of what a path weighs. So
//! this table stores nothing but slab numbers, four bytes each, and asks its owner for hashes and equality. Open addressing with
//! linear probing; a removal shifts the followers back, so there are no tombstones and a lookup never degrades.

/// Marks "no number", here and in the slabs.
pub const NONE: u32 = u32::MAX;

/// Slab numbers, findable by the hash of what they stand for.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// A power of two of them, at most three quarters taken.
    slots: Vec<u32>,
    len: usize,
}

impl Index {
    /// The number with this hash for which `is` holds.
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.slot_of(hash, is).map(|at| self.slots[at])
    }

    /// Adds a number that is not in the index; `rehash` gives the hash of any number in it.
    pub fn insert(&mut self, hash: u64, number: u32, rehash: impl Fn(u32) -> u64) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow(rehash);
        }
        self.place(hash, number);
        self.len += 1;
    }

    /// Removes a number; must be called while `rehash` still works for everything in the index.
    pub fn remove(&mut self, hash: u64, number: u32, rehash: impl Fn(u32) -> u64) {
        let Some(mut hole) = self.slot_of(hash, |other| other == number) else {
            return;
        };
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let follower = self.slots[at];
            if follower == NONE {
                break;
            }
            // A follower may move into the hole unless the hole lies before the slot where its probing starts.
            let home = slot(rehash(follower), mask);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = follower;
                hole = at;
            }
        }
        self.slots[hole] = NONE;
        self.len -= 1;
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn slot_of(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = slot(hash, mask);
        loop {
            match self.slots[at] {
                NONE => return None,
                number if is(number) => return Some(at),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn place(&mut self, hash: u64, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = slot(hash, mask);
        while self.slots[at] != NONE {
            at = (at + 1) & mask;
        }
        self.slots[at] = number;
    }

    fn grow(&mut self, rehash: impl Fn(u32) -> u64) {
        let larger = vec![NONE; (self.slots.len() * 2).max(8)];
        let old = std::mem::replace(&mut self.slots, larger);
        for number in old.into_iter().filter(|&number| number != NONE) {
            self.place(rehash(number), number);
        }
    }

    /// Bytes that it takes on the heap.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

/// The slot where probing for a hash starts; the low bits are as good as any others of a keyed hash.
fn slot(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A bad hash on purpose: long runs of neighbours, so that removals have followers to shift.
    fn hash(number: u32) -> u64 {
        u64::from(number / 5)
    }

    #[test]
    fn numbers_come_and_go_and_are_found() {
        let mut index = Index::default();
        let mut there = BTreeSet::new();
        let mut state = 1u32;
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (state >> 16) % 300;
            if there.remove(&number) {
                index.remove(hash(number), number, hash);
            } else {
                there.insert(number);
                index.insert(hash(number), number, hash);
            }
            assert_eq!(index.len(), there.len());
        }
        for number in 0..300 {
            let found = index.find(hash(number), |other| other == number);
            assert_eq!(found, there.contains(&number).then_some(number));
        }
    }

    #[test]
    fn an_empty_index_finds_nothing_and_loses_nothing() {
        let mut index = Index::default();
        assert_eq!(index.find(7, |_| true), None);
        index.remove(7, 7, hash);
        assert_eq!(index.len(), 0);
    }
}
