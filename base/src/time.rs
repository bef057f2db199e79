//! Virtual or real, time below the boundary is a number that somebody hands in.
//!
//! The sans-IO crates never read a clock: every `handle` gets the current [`Time`] from its driver, which is a
//! tokio task in production and an event queue in the simulator.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Nanoseconds since the machine was started. Zero-based, so a trace reads the same wherever it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of the machine.
    pub const ZERO: Time = Time(0);

    /// The time that lies `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The time that lies `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is before.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time since the start, as a duration.
    pub const fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates at the end of time (584 years), so that a hostile duration cannot overflow.
    fn add(self, duration: Duration) -> Time {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Time> for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_and_neither_end_is_passed() {
        let mut time = Time::from_millis(3);
        time += Duration::from_nanos(5);
        assert_eq!(time.as_nanos(), 3_000_005);
        assert_eq!(time, Time::from_nanos(3_000_005));
        assert_eq!(time - Time::from_millis(1), Duration::from_nanos(2_000_005));
        assert_eq!(Time::ZERO - time, Duration::ZERO);
        assert_eq!(time + Duration::MAX, Time::from_nanos(u64::MAX));
        assert_eq!(time.to_string(), "0.003s");
    }
}
