//! Which group ids of one root's life have been used here, in constant memory.
//!
//! "◆ It registers a group id at most once, so that a late or repeated invitation cannot revive a dead group: the nonce is (root's
//! incarnation, sequence number), and members keep a small window per root; what is older than the window is refused." (protocol.md §6)
//! The same sliding bitmap as IPsec's replay protection (RFC 4303 §3.4.3): the newest number seen, and one bit for each number shortly before
//! it.

use fatebound_overlay::Rule;

/// Sequence numbers that a window tells apart: 1024, so that an invitation may be overtaken by a thousand younger ones of its root.
pub(crate) const WIDTH: u64 = 1024;
const WORDS: usize = (WIDTH / 64) as usize;

/// The used sequence numbers of one root's life. What is older than the window counts as used.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Window {
    /// The newest number used; 0: none yet.
    newest: u64,
    /// One bit per number, at its place modulo `WIDTH`.
    bits: [u64; WORDS],
}

impl Window {
    /// Whether this number was used, or is too old to tell.
    pub(crate) fn used(&self, sequence: u64) -> bool {
        if sequence > self.newest {
            return false;
        }
        if self.newest - sequence >= WIDTH {
            return Rule::OlderThanTheWindow.holds();
        }
        self.bit(sequence)
    }

    /// Uses this number; whether this was the first time.
    pub(crate) fn take(&mut self, sequence: u64) -> bool {
        if self.used(sequence) {
            return false;
        }
        self.slide(sequence);
        let (word, mask) = place(sequence);
        self.bits[word] |= mask;
        true
    }

    fn bit(&self, sequence: u64) -> bool {
        let (word, mask) = place(sequence);
        self.bits[word] & mask != 0
    }

    /// Makes `sequence` the newest, if it is newer: the places of the numbers in between are cleared for them.
    fn slide(&mut self, sequence: u64) {
        let ahead = sequence.saturating_sub(self.newest);
        if ahead >= WIDTH {
            self.bits = [0; WORDS];
        } else {
            for step in 1..=ahead {
                let (word, mask) = place(self.newest + step);
                self.bits[word] &= !mask;
            }
        }
        self.newest = self.newest.max(sequence);
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let at = sequence % WIDTH;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_set_of_all_numbers_ever() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut window, mut all, mut newest) = (Window::default(), BTreeSet::new(), 0_u64);
            for _ in 0..3000 {
                let jump = if rng.random_range(0..200) == 0 { 5000 } else { 12 };
                let sequence = (newest + rng.random_range(1..=jump))
                    .saturating_sub(rng.random_range(0..1500))
                    .max(1);
                let expected = newest.saturating_sub(sequence) < WIDTH && !all.contains(&sequence);
                assert_eq!(
                    window.take(sequence),
                    expected,
                    "seed {seed}, {sequence} after {newest}"
                );
                assert!(window.used(sequence));
                all.insert(sequence);
                newest = newest.max(sequence);
            }
        }
    }

    #[test]
    fn the_largest_number_does_no_harm() {
        let mut window = Window::default();
        assert!(window.take(u64::MAX));
        assert!(!window.take(u64::MAX));
        assert!(window.take(u64::MAX - 1));
        assert!(!window.take(7), "too old to tell");
    }
}
