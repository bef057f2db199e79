//! Bodies go over pipes between peers, at all moments: besides the faults of any family, in half of all seeds.
//!
//! All of it is drawn from a generator of its own, so that nothing else is drawn otherwise.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Draw;
use crate::PeerIndex;
use crate::fault::{Bodies, Fault};

/// The fewest and the most episodes of a scenario.
const EPISODES: std::ops::RangeInclusive<usize> = 3..=12;
/// Bodies are long or short.
const LONGEST: u32 = 60_000;
const SHORT: u32 = 500;

impl Draw {
    pub(super) fn bodies(&self, seed: u64) -> Vec<(Duration, Fault)> {
        let mut rng = StdRng::seed_from_u64(seed ^ 0xb0d1_e500_0919_0000);
        if rng.random() {
            return Vec::new();
        }
        let latest = self.span.as_millis() as u64;
        let mut all = Vec::new();
        for _ in 0..rng.random_range(EPISODES) {
            let at = Duration::from_millis(rng.random_range(0..=latest));
            let (one, other) = (rng.random_range(0..self.peers), rng.random_range(0..self.peers));
            if one == other {
                continue;
            }
            let mut bodies = |from: usize, to: usize| {
                let longest = if rng.random_bool(0.3) { LONGEST } else { SHORT };
                Fault::Bodies(Bodies {
                    from: PeerIndex(from),
                    to: PeerIndex(to),
                    port: rng.random_range(1..=2),
                    bytes: rng.random_range(8..=longest),
                    count: rng.random_range(1..=6),
                })
            };
            all.push((at, bodies(one, other)));
            // Both ends at once: two pipes meet.
            all.push((at, bodies(other, one)));
        }
        all
    }
}
