//! Times and limits of agreement, their defaults and where these come from.

use std::time::Duration;

use fatebound_base::ConfigError;

/// What agreement waits for, and how long.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Each voter waits at least so much longer than the one before it until it coordinates: 200 ms with `lan`, some round trips of a busy
    /// host. Twice the mean round trip if that is longer.
    pub step: Duration,
    /// A coordinator waits so long for promises of those who may live: 1.8 s with `lan`, in which a stopped host counts as silent.
    pub patience: Duration,
    /// A coordinator waits so long for another node to create the guard: 12 s, more than the creation of a group takes.
    pub guard_patience: Duration,
    /// What is not answered is repeated after this time, doubled each time: 500 ms.
    pub repeat: Duration,
    /// Repetitions are never rarer: 8 s, so that a healed partition does not wait for long.
    pub slowest_repeat: Duration,
    /// Nodes outside of the new view, which may be dead, are told of it so many times: 5.
    pub tellings: u32,
    /// Bytes of entries in one message: 48 KiB, for a one-shot message carries 64.
    pub run_bytes: usize,
    /// Guards of views to come that a node holds at once: 8. Beyond it invitations are declined.
    pub max_guards: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            step: Duration::from_millis(200),
            patience: Duration::from_millis(1_800),
            guard_patience: Duration::from_secs(12),
            repeat: Duration::from_millis(500),
            slowest_repeat: Duration::from_secs(8),
            tellings: 5,
            run_bytes: 48 * 1024,
            max_guards: 8,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The first rule that is broken; nothing is changed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rule = ConfigError::unless;
        rule(!self.step.is_zero(), "step > 0")?;
        rule(self.patience >= self.step, "patience ≥ step")?;
        rule(self.guard_patience >= self.patience, "guard_patience ≥ patience")?;
        rule(!self.repeat.is_zero(), "repeat > 0")?;
        rule(self.slowest_repeat >= self.repeat, "slowest_repeat ≥ repeat")?;
        rule(self.tellings >= 1, "tellings ≥ 1")?;
        rule((1..=48 * 1024).contains(&self.run_bytes), "1 ≤ run_bytes ≤ 49152")?;
        rule(self.max_guards >= 2, "max_guards ≥ 2")
    }

    /// How long to wait after so many repetitions.
    pub(super) fn pause(&self, repetitions: u32) -> Duration {
        let doubled = self.repeat.saturating_mul(1 << repetitions.min(16));
        doubled.min(self.slowest_repeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        let verdict = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().map_err(|error| error.0)
        };
        assert_eq!(verdict(|_| {}), Ok(()));
        assert_eq!(verdict(|config| config.step = Duration::ZERO), Err("step > 0"));
        assert_eq!(
            verdict(|config| config.patience = Duration::ZERO),
            Err("patience ≥ step")
        );
        let guard = Err("guard_patience ≥ patience");
        assert_eq!(verdict(|config| config.guard_patience = Duration::ZERO), guard);
        assert_eq!(verdict(|config| config.repeat = Duration::ZERO), Err("repeat > 0"));
        let slowest = Err("slowest_repeat ≥ repeat");
        assert_eq!(verdict(|config| config.slowest_repeat = Duration::ZERO), slowest);
        assert_eq!(verdict(|config| config.tellings = 0), Err("tellings ≥ 1"));
        assert_eq!(verdict(|config| config.run_bytes = 0), Err("1 ≤ run_bytes ≤ 49152"));
        assert_eq!(verdict(|config| config.max_guards = 1), Err("max_guards ≥ 2"));
    }

    #[test]
    fn repetitions_become_rarer_up_to_a_limit() {
        let config = Config::default();
        assert_eq!(config.pause(0), Duration::from_millis(500));
        assert_eq!(config.pause(2), Duration::from_secs(2));
        assert_eq!(config.pause(1_000), Duration::from_secs(8));
    }
}
