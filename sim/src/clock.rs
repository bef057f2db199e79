//! A host's clock: what a process takes for the time since its start, when it runs fast or slow, and when it jumps.

use std::time::Duration;

use fatebound_machine::overlay::Time;

/// Local time as a function of the world's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Clock {
    /// At this moment of the world it showed `shown`.
    anchor: Time,
    shown: Duration,
    rate: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            anchor: Time::ZERO,
            shown: Duration::ZERO,
            rate: 1.0,
        }
    }
}

impl Clock {
    /// Shows zero now: a process begins to look at it.
    pub(crate) fn restart(&mut self, now: Time) {
        self.anchor = now;
        self.shown = Duration::ZERO;
    }

    pub(crate) fn set_rate(&mut self, now: Time, rate: f64) {
        self.shown = self.shows(now).elapsed();
        self.anchor = now;
        self.rate = rate;
    }

    pub(crate) fn jump(&mut self, by: Duration) {
        self.shown += by;
    }

    pub(crate) fn shows(&self, now: Time) -> Time {
        let since = now.since(self.anchor);
        let passed = if self.rate == 1.0 {
            since
        } else {
            since.mul_f64(self.rate)
        };
        Time::ZERO + self.shown + passed
    }

    /// The first moment of the world at which it shows this.
    pub(crate) fn when(&self, shows: Time) -> Time {
        let left = shows.elapsed().saturating_sub(self.shown);
        if self.rate == 1.0 {
            return self.anchor + left;
        }
        let mut at = self.anchor + left.div_f64(self.rate);
        while self.shows(at) < shows {
            at += Duration::from_nanos(1);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_reaches_every_time_earlier_and_never_too_early() {
        for rate in [0.9, 0.999, 1.0, 1.0001, 1.1] {
            let mut clock = Clock::default();
            clock.restart(Time::from_millis(500));
            clock.set_rate(Time::from_millis(800), rate);
            for shows in (301..1_000_000).step_by(997).map(Time::from_millis) {
                let at = clock.when(shows);
                assert!(clock.shows(at) >= shows);
                assert!(
                    clock.shows(Time::from_nanos(at.as_nanos() - 10)) < shows,
                    "{rate} {shows}"
                );
            }
        }
    }

    #[test]
    fn a_jump_brings_every_deadline_nearer() {
        let mut clock = Clock::default();
        clock.jump(Duration::from_secs(3600));
        assert_eq!(clock.shows(Time::from_millis(1)), Time::from_millis(3_600_001));
        assert_eq!(clock.when(Time::from_millis(5)), Time::ZERO);
    }
}
