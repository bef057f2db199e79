//! A gate before a resource: whoever comes with an older epoch than somebody before is refused.
//!
//! A process that holds a lock, or is the primary of a service, can be stopped at any moment, for any time: by its debugger, its garbage
//! collector, its hypervisor. Meanwhile the others notice, and another one holds the lock. When the first goes on, it does not know this yet, and its
//! next write would destroy what the other one has written. No lock service can keep it from writing; the resource can, if every write says under
//! which *epoch* it was meant: a number that only grows with each holder (`FATEBOUND_EPOCH` in the environment of `fatebound pg lock`,
//! `Epoch::number` in the crate `fatebound`).
//!
//! ```
//! use fatebound_gate::EpochGate;
//!
//! let gate = EpochGate::new();
//! assert!(gate.admit(7).is_ok());
//! assert!(gate.admit(9).is_ok(), "the next holder");
//! assert!(gate.admit(9).is_ok(), "as often as it likes");
//! assert_eq!(gate.admit(7).unwrap_err().to_string(), "epoch 7 is over: epoch 9 has been here");
//! ```
//!
//! This crate depends on nothing. A resource that is not a Rust program does the same in its own words: `UPDATE … SET epoch = $1 … WHERE epoch <= $1`
//! in a database, a precondition in an object store, a header that a proxy compares.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Remembers the largest epoch that was admitted. Any number of threads may ask it.
#[derive(Debug, Default)]
pub struct EpochGate {
    largest: AtomicU64,
}

/// Somebody came too late. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outdated {
    /// The epoch that it came with.
    pub given: u64,
    /// One that was admitted before.
    pub largest: u64,
}

impl EpochGate {
    /// Admits everybody at first.
    pub const fn new() -> EpochGate {
        EpochGate::after(0)
    }

    /// Admits nobody who comes with an older epoch than this one: for a resource that has stored it, and starts again.
    pub const fn after(largest: u64) -> EpochGate {
        EpochGate {
            largest: AtomicU64::new(largest),
        }
    }

    /// Asks to be let through, right before the write that it is about, while no other write can come between.
    ///
    /// # Errors
    /// Somebody with a larger epoch was here: the caller is not the holder any more, and must not write.
    pub fn admit(&self, epoch: u64) -> Result<(), Outdated> {
        let before = self.largest.fetch_max(epoch, Ordering::AcqRel);
        if before > epoch {
            return Err(Outdated {
                given: epoch,
                largest: before,
            });
        }
        Ok(())
    }

    /// The largest epoch that was admitted, to be stored with what it protects.
    pub fn largest(&self) -> u64 {
        self.largest.load(Ordering::Acquire)
    }
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} is over: epoch {} has been here", self.given, self.largest)
    }
}

impl Error for Outdated {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_with_an_older_epoch_is_refused_and_changes_nothing() {
        let gate = EpochGate::after(5);
        assert_eq!(gate.admit(4), Err(Outdated { given: 4, largest: 5 }));
        assert_eq!(gate.largest(), 5);
        assert_eq!(gate.admit(5), Ok(()));
        assert_eq!(gate.admit(8), Ok(()));
        assert_eq!(gate.admit(7), Err(Outdated { given: 7, largest: 8 }));
        assert_eq!(gate.largest(), 8);
    }

    #[test]
    fn of_many_at_once_none_is_admitted_behind_a_larger_one() {
        let gate = EpochGate::new();
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let gate = &gate;
                scope.spawn(move || {
                    for turn in 0..10_000u64 {
                        let epoch = turn * 8 + thread;
                        let seen = gate.largest();
                        if gate.admit(epoch).is_ok() {
                            assert!(epoch >= seen, "{epoch} behind {seen}");
                        }
                    }
                });
            }
        });
        assert_eq!(gate.largest(), 9_999 * 8 + 7);
    }
}
