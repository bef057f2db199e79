//! Timings by small number: they take 104 bytes, and the groups of one root have the same.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use fatebound_overlay::Bounded;

use crate::config::Timings;

/// Different timings that groups of others may bring along: 1024. Who brings more is declined.
const MAX_TIMINGS: usize = 1024;

/// The number of timings while a group has them.
pub(crate) type TimingsIx = u32;

/// The timings in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct SameTimings {
    /// Each with its uses; those without are free.
    entries: Vec<(Timings, u32)>,
    index: HashMap<Timings, TimingsIx>,
    free: Vec<TimingsIx>,
}

/// For `branch`: without what the index repeats.
impl Hash for SameTimings {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let SameTimings {
            entries,
            index: _,
            free,
        } = self;
        (entries, free).hash(hasher);
    }
}

impl SameTimings {
    /// The timings of a number in use.
    pub(crate) fn get(&self, ix: TimingsIx) -> Timings {
        self.entries[ix as usize].0
    }

    /// Whether there is room for a group with these timings.
    pub(crate) fn can_acquire(&self, timings: &Timings) -> bool {
        self.index.contains_key(timings) || self.index.len() < MAX_TIMINGS
    }

    /// One more group has these timings; a free place is taken over.
    pub(crate) fn acquire(&mut self, timings: Timings) -> TimingsIx {
        if let Some(&ix) = self.index.get(&timings) {
            self.entries[ix as usize].1 += 1;
            return ix;
        }
        let ix = match self.free.pop() {
            Some(ix) => {
                self.entries[ix as usize] = (timings, 1);
                ix
            }
            None => {
                self.entries.push((timings, 1));
                (self.entries.len() - 1) as TimingsIx
            }
        };
        self.index.insert(timings, ix);
        ix
    }

    /// One group less has them.
    pub(crate) fn release(&mut self, ix: TimingsIx) {
        let (timings, uses) = &mut self.entries[ix as usize];
        *uses -= 1;
        if *uses == 0 {
            self.index.remove(timings);
            self.free.push(ix);
        }
    }

    /// Whether these, and no others, are in use.
    pub(crate) fn are(&self, used: impl Iterator<Item = TimingsIx>) -> bool {
        let mut uses = vec![0; self.entries.len()];
        for ix in used {
            uses[ix as usize] += 1;
        }
        self.entries.iter().map(|(_, uses)| *uses).eq(uses)
    }

    /// Those that others bring along, and our own.
    pub(crate) fn bounds(&self) -> Bounded {
        Bounded::new("different timings", self.index.len(), MAX_TIMINGS + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use std::time::Duration;

    #[test]
    fn timings_are_shared_bounded_and_their_places_used_again() {
        let mut same = SameTimings::default();
        let with = |millis: u64| Timings {
            probe_delay: Duration::from_millis(millis),
            ..Config::lan().timings
        };
        let first = same.acquire(with(0));
        for millis in 1..MAX_TIMINGS as u64 {
            same.acquire(with(millis));
        }
        assert_eq!(same.acquire(with(0)), first);
        assert!(same.can_acquire(&with(7)) && !same.can_acquire(&with(5000)));
        same.release(first);
        assert!(!same.can_acquire(&with(5000)), "one use is left");
        same.release(first);
        assert!(same.can_acquire(&with(5000)));
        assert_eq!(same.acquire(with(5000)), first);
    }
}
