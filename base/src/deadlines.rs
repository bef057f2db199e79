//! Cancellable deadlines, all of a layer's in one table, as in quinn-proto.
//!
//! A deadline is named by a key and there is at most one per key: setting it again moves it. Nothing here fires by
//! itself; the owner asks which are due when its driver wakes it.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use crate::{Time, slim};

/// At most one deadline per key; ties are popped in key order, so that a run replays exactly.
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    by_key: HashMap<K, Time>,
    by_time: BTreeSet<(Time, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines {
            by_key: HashMap::new(),
            by_time: BTreeSet::new(),
        }
    }
}

/// By time, then by key: the order in which they are popped.
impl<K: Hash> Hash for Deadlines<K> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.by_time.hash(hasher);
    }
}

impl<K: Copy + Eq + Hash + Ord> Deadlines<K> {
    /// Sets, or moves, the deadline of `key`.
    pub fn set(&mut self, key: K, at: Time) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.by_time.remove(&(before, key));
        }
        self.by_time.insert((at, key));
    }

    /// Sets the deadline of `key` unless an earlier one is set already.
    pub fn set_earlier(&mut self, key: K, at: Time) {
        if self.get(key).is_none_or(|before| at < before) {
            self.set(key, at);
        }
    }

    /// Cancels the deadline of `key`; says whether there was one.
    pub fn cancel(&mut self, key: K) -> bool {
        match self.by_key.remove(&key) {
            Some(at) => {
                slim::map(&mut self.by_key);
                self.by_time.remove(&(at, key))
            }
            None => false,
        }
    }

    /// When `key` is due, if it is set.
    pub fn get(&self, key: K) -> Option<Time> {
        self.by_key.get(&key).copied()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Removes and returns one key whose deadline is at or before `now`, the earliest first.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        let &(at, key) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.remove(&(at, key));
        self.by_key.remove(&key);
        slim::map(&mut self.by_key);
        Some(key)
    }

    /// How many deadlines are set.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pops_in_order_and_only_what_is_due() {
        let mut deadlines = Deadlines::default();
        deadlines.set('b', Time::from_millis(2));
        deadlines.set('a', Time::from_millis(2));
        deadlines.set('c', Time::from_millis(1));
        assert_eq!(deadlines.next(), Some(Time::from_millis(1)));
        assert_eq!(deadlines.pop_due(Time::ZERO), None);
        let due: Vec<_> = std::iter::from_fn(|| deadlines.pop_due(Time::from_millis(2))).collect();
        assert_eq!(due, ['c', 'a', 'b']);
        assert!(deadlines.is_empty());
    }

    #[test]
    fn setting_again_moves_and_cancel_removes() {
        let mut deadlines = Deadlines::default();
        deadlines.set(1, Time::from_millis(1));
        deadlines.set(1, Time::from_millis(5));
        assert_eq!(deadlines.next(), Some(Time::from_millis(5)));
        deadlines.set_earlier(1, Time::from_millis(9));
        assert_eq!(deadlines.get(1), Some(Time::from_millis(5)));
        assert!(deadlines.cancel(1));
        assert!(!deadlines.cancel(1));
        assert_eq!(deadlines.next(), None);
    }
}
