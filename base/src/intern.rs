//! Interning: a long name is kept once and used as a small number.
//!
//! A `PeerId` takes eighty bytes and a group id more; a delegate meets the same ones in a hundred thousand paths. Names are
//! counted by their uses, so that whoever is no longer in any path is forgotten.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use crate::index::Index;

/// Names of one kind, each with a small number that stays while the name is used.
#[derive(Clone, Debug)]
pub struct Interner<K> {
    entries: Vec<Entry<K>>,
    free: Vec<u32>,
    index: Index,
    /// Keyed, because names come from strangers; no order ever depends on it.
    hasher: RandomState,
}

#[derive(Clone, Debug, Hash)]
struct Entry<K> {
    key: K,
    /// 0: the entry is free.
    uses: u32,
}

impl<K> Default for Interner<K> {
    fn default() -> Interner<K> {
        Interner {
            entries: Vec::new(),
            free: Vec::new(),
            index: Index::default(),
            hasher: RandomState::new(),
        }
    }
}

/// Names and numbers as they are, the free ones in the order in which they are used again: for whoever compares states.
impl<K: Hash> Hash for Interner<K> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.entries, &self.free).hash(hasher);
    }
}

impl<K: Copy + Eq + Hash> Interner<K> {
    /// The number of a name that is in use.
    pub fn find(&self, key: &K) -> Option<u32> {
        let entries = &self.entries;
        self.index
            .find(self.hasher.hash_one(key), |number| entries[number as usize].key == *key)
    }

    /// One more use of a name.
    pub fn acquire(&mut self, key: K) -> u32 {
        if let Some(number) = self.find(&key) {
            self.entries[number as usize].uses += 1;
            return number;
        }
        let number = self.store(Entry { key, uses: 1 });
        let Interner {
            entries, index, hasher, ..
        } = self;
        index.insert(hasher.hash_one(key), number, |other| {
            hasher.hash_one(entries[other as usize].key)
        });
        number
    }

    /// One use less; tells whether it was the last, and the number free.
    pub fn release(&mut self, number: u32) -> bool {
        let entry = &mut self.entries[number as usize];
        entry.uses -= 1;
        if entry.uses > 0 {
            return false;
        }
        let key = entry.key;
        let Interner {
            entries, index, hasher, ..
        } = self;
        index.remove(hasher.hash_one(key), number, |other| {
            hasher.hash_one(entries[other as usize].key)
        });
        self.free.push(number);
        true
    }

    /// The name of a number in use.
    pub fn get(&self, number: u32) -> K {
        self.entries[number as usize].key
    }

    /// How many names are in use.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no name is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of all uses, for the invariants.
    pub fn uses(&self) -> usize {
        self.entries.iter().map(|entry| entry.uses as usize).sum()
    }

    fn store(&mut self, entry: Entry<K>) -> u32 {
        if let Some(number) = self.free.pop() {
            self.entries[number as usize] = entry;
            return number;
        }
        grow_by_a_quarter(&mut self.entries);
        self.entries.push(entry);
        (self.entries.len() - 1) as u32
    }

    /// Bytes that it takes on the heap.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K>>() + self.free.capacity() * 4 + self.index.bytes()
    }
}

/// Makes room for one more. Doubling would leave up to half of a large slab empty; a quarter is still O(1) per element.
pub fn grow_by_a_quarter<T>(slab: &mut Vec<T>) {
    if slab.len() == slab.capacity() {
        slab.reserve_exact((slab.len() / 4).max(16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_while_it_is_used() {
        let mut names = Interner::default();
        let first = names.acquire("a name");
        assert_eq!(names.acquire("a name"), first);
        assert_ne!(names.acquire("another"), first);
        assert!(!names.release(first));
        assert_eq!(names.find(&"a name"), Some(first));
        assert!(names.release(first));
        assert_eq!(names.find(&"a name"), None);
        assert_eq!((names.len(), names.uses()), (1, 1));
    }

    #[test]
    fn freed_numbers_are_used_again() {
        let mut names = Interner::default();
        let first = names.acquire(1u64);
        names.release(first);
        assert_eq!(names.acquire(2), first);
        assert_eq!(names.get(first), 2);
    }
}
