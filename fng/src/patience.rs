//! How long to wait, as pure arithmetic: patience before a verdict, pauses between repetitions.
//!
//! Somebody who waits too short raises false alarms, somebody who waits too long breaks the bound. Patience follows what the peer's own
//! links have measured, between a floor (below which a busy machine looks dead) and the ceiling that the bound is computed from.

use std::time::Duration;

use fatebound_overlay::{Rule, Time};
use rand::RngExt;
use rand::rngs::StdRng;

/// Longest pause between two probes while nobody is in a hurry (protocol.md §6: "Probes go every min(patience, 1.6 s) / 4").
const LONGEST_PROBED: Duration = Duration::from_millis(1600);
/// No two rounds of questions are closer: a timer that is due again at once would never let its peer rest.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// "Patience = 3 × the mean over the peer's own links of (smoothed round trip + 4 × variance), between a floor and the ceiling; the ceiling
/// while any link still lacks samples." (protocol.md §6)
pub(crate) fn patience(round_trips: Option<Duration>, floor: Duration, ceiling: Duration) -> Duration {
    let round_trips = round_trips.filter(|_| Rule::PatienceFollowsTheLinks.holds());
    round_trips.map_or(ceiling, |mean| {
        mean.saturating_mul(3).clamp(floor.min(ceiling), ceiling)
    })
}

/// The pause between two `Probe`s of a root.
pub(crate) fn probe_interval(patience: Duration) -> Duration {
    (patience.min(LONGEST_PROBED) / 4).max(SHORTEST_INTERVAL)
}

/// The pause between two `NeedRepair`s: "every quarter of the least that its patience can be" (protocol.md §6).
pub(crate) fn need_interval(floor: Duration) -> Duration {
    (floor / 4).max(SHORTEST_INTERVAL)
}

/// When to give up: one patience after the last proof came, but never later than one ceiling after the question that it answers was sent, for
/// the far end may have died just after it answered, and the bound counts one ceiling for this.
pub(crate) fn verdict(since: Time, limit: Time, patience: Duration) -> Time {
    (since + patience).min(limit)
}

/// `base · 2^(failures − 1)`, at most `cap`, times a random factor between ½ and 1½; nothing before the first failure.
pub(crate) fn backoff(rng: &mut StdRng, base: Duration, cap: Duration, failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let pause = base.saturating_mul(1 << doublings.min(16)).min(cap);
    pause.mul_f64(rng.random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn patience_is_three_means_between_floor_and_ceiling() {
        for (mean, expected) in [
            (None, 6000),
            (Some(10), 1800),
            (Some(600), 1800),
            (Some(1000), 3000),
            (Some(9000), 6000),
        ] {
            assert_eq!(patience(mean.map(ms), ms(1800), ms(6000)), ms(expected), "{mean:?}");
        }
    }

    #[test]
    fn probes_go_four_times_within_patience_and_at_least_every_400_ms() {
        assert_eq!(probe_interval(ms(1000)), ms(250));
        assert_eq!(probe_interval(ms(6000)), ms(400));
        assert_eq!(need_interval(ms(6000)), ms(1500));
    }

    #[test]
    fn no_interval_is_zero() {
        let shortest = Duration::from_nanos(1);
        assert_eq!(probe_interval(shortest), ms(1));
        assert_eq!(need_interval(shortest), ms(1));
    }

    #[test]
    fn a_late_proof_counts_less() {
        let at = Time::from_millis;
        assert_eq!(verdict(at(100), at(6090), ms(1800)), at(1900));
        assert_eq!(verdict(at(5100), at(6100), ms(1800)), at(6100));
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_scatter() {
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(backoff(&mut rng, ms(100), ms(2000), 0), Duration::ZERO);
        for (failures, expected) in [(1, 100), (2, 200), (4, 800), (6, 2000), (u32::MAX, 2000)] {
            let pause = backoff(&mut rng, ms(100), ms(2000), failures);
            assert!(pause >= ms(expected) / 2 && pause <= ms(expected) * 3 / 2, "{pause:?}");
        }
        let pauses: std::collections::BTreeSet<_> = (0..10).map(|_| backoff(&mut rng, ms(100), ms(2000), 3)).collect();
        assert_eq!(pauses.len(), 10, "jittered");
    }
}
