//! How long an answer may take: the smoothed round trip of a link and its variation.
//!
//! A fixed time limit is either too long to notice a death soon, or too short for a slow link. TCP solved this once; the arithmetic here
//! is RFC 6298 §2 (gains of 1/8 and 1/4, mean plus four variations), as a pure function of the samples.

use std::time::Duration;

use crate::Rule;

/// The least margin above the mean, RFC 6298's `G`: one timer tick of what carries us. On a steady link the variation goes to nothing, and every
/// second answer would come after the mean.
const GRANULARITY: Duration = Duration::from_millis(10);

/// The running estimate; empty until the first sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    smoothed: Duration,
    variation: Duration,
}

impl RoundTrip {
    /// Takes one measured round trip in. RFC 6298 §2.2: the first sample `R` sets `SRTT ← R`, `RTTVAR ← R/2`; §2.3: each further one
    /// `RTTVAR ← 3/4·RTTVAR + 1/4·|SRTT − R|`, then `SRTT ← 7/8·SRTT + 1/8·R`.
    pub(crate) fn sample(&mut self, measured: Duration) {
        self.estimate = Some(match self.estimate {
            None => Estimate {
                smoothed: measured,
                variation: measured / 2,
            },
            Some(Estimate { smoothed, variation }) => Estimate {
                variation: (variation * 3 + smoothed.abs_diff(measured)) / 4,
                smoothed: (smoothed * 7 + measured) / 8,
            },
        });
    }

    /// The smoothed mean; `None` before the first sample.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|estimate| estimate.smoothed)
    }

    /// Smoothed mean plus four variations, "◆ one timer tick (10 ms) at least" (protocol.md §4); `None` before the first sample.
    pub(crate) fn bound(&self) -> Option<Duration> {
        let least = if !Rule::MarginOfATick.holds() {
            Duration::ZERO
        } else {
            GRANULARITY
        };
        self.estimate
            .map(|estimate| estimate.smoothed + (estimate.variation * 4).max(least))
    }

    /// "The time limit of a single ping adapts to the link's round trips (smoothed mean plus four variances, […] floor by profile, ceiling
    /// `ping_timeout`)" (protocol.md §4). The ceiling while there is no sample.
    pub(crate) fn time_limit(&self, floor: Duration, ceiling: Duration) -> Duration {
        self.bound().map_or(ceiling, |bound| bound.clamp(floor, ceiling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_rfc_6298() {
        // Samples in ms, then smoothed mean and mean plus four variations in µs.
        let table: [(&[u64], u64, u64); 4] = [
            (&[100], 100_000, 300_000),
            (&[100, 100], 100_000, 250_000),
            (&[100, 200], 112_500, 112_500 + 4 * 62_500),
            (&[100, 100, 100, 100], 100_000, 100_000 + 4 * 21_093),
        ];
        for (samples, smoothed, bound) in table {
            let mut round_trip = RoundTrip::default();
            for &sample in samples {
                round_trip.sample(Duration::from_millis(sample));
            }
            let micros = |duration: Option<Duration>| duration.unwrap().as_micros() as u64;
            assert_eq!(micros(round_trip.smoothed()), smoothed, "{samples:?}");
            assert!(micros(round_trip.bound()).abs_diff(bound) <= 4, "{samples:?}");
        }
    }

    #[test]
    fn a_steady_link_keeps_a_margin() {
        let mut round_trip = RoundTrip::default();
        let measured = Duration::from_millis(100);
        (0..100).for_each(|_| round_trip.sample(measured));
        assert_eq!(round_trip.bound(), Some(measured + GRANULARITY));
    }

    #[test]
    fn the_time_limit_keeps_between_floor_and_ceiling() {
        let (floor, ceiling) = (Duration::from_millis(50), Duration::from_millis(300));
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.time_limit(floor, ceiling), ceiling);
        round_trip.sample(Duration::from_millis(1));
        assert_eq!(round_trip.time_limit(floor, ceiling), floor);
        round_trip.sample(Duration::from_secs(9));
        assert_eq!(round_trip.time_limit(floor, ceiling), ceiling);
    }
}
