//! Times and limits of the stream, their defaults and where these come from.

use std::time::Duration;

use fatebound_base::ConfigError;

use super::message::MAX_BODY;

/// What the stream waits for, how long, and how much it keeps. Windows have to be the same at all nodes of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Entries kept that are not stable: 256. Beyond it submissions wait at their nodes.
    pub window_entries: usize,
    /// Their bytes: 4 MiB, of which 64 groups fit into a node's 256.
    pub window_bytes: usize,
    /// Submissions of this node that are not delivered here yet: 64. Beyond it they are refused.
    pub queue_submissions: usize,
    /// Their bytes: 4 MiB, a window.
    pub queue_bytes: usize,
    /// Bytes to one node that are sent and not acknowledged: 128 KiB, which is what a pipe queues. Twice on the way an acknowledgement is
    /// asked for, so that they do not stop.
    pub flight: usize,
    /// What needs no acknowledgement at once is acknowledged after this time, and what is stable is told after it: 20 ms with `local`, 100 with
    /// `lan`, 300 with `wan`. Ten round trips or so: nobody waits for it.
    pub idle: Duration,
    /// What is not answered is repeated after this time, doubled each time: 500 ms, several times what an acknowledgement takes.
    pub repeat: Duration,
    /// Repetitions are never rarer: 8 s, as those of agreement.
    pub slowest_repeat: Duration,
    /// A node that acknowledges nothing new for so long lags: 5 s, more than its guard takes to miss it.
    pub lag_limit: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config::lan()
    }
}

impl Config {
    /// For nodes of one host.
    pub fn local() -> Config {
        Config {
            idle: Duration::from_millis(20),
            repeat: Duration::from_millis(200),
            ..Config::lan()
        }
    }

    /// For nodes of one site.
    pub fn lan() -> Config {
        Config {
            window_entries: 256,
            window_bytes: 4 * 1024 * 1024,
            queue_submissions: 64,
            queue_bytes: 4 * 1024 * 1024,
            flight: 128 * 1024,
            idle: Duration::from_millis(100),
            repeat: Duration::from_millis(500),
            slowest_repeat: Duration::from_secs(8),
            lag_limit: Duration::from_secs(5),
        }
    }

    /// For nodes of several sites.
    pub fn wan() -> Config {
        Config {
            idle: Duration::from_millis(300),
            repeat: Duration::from_millis(1_500),
            ..Config::lan()
        }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The first rule that is broken; nothing is changed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rule = ConfigError::unless;
        rule(self.window_entries >= 4, "window_entries ≥ 4")?;
        rule(self.window_bytes >= 2 * MAX_BODY, "window_bytes ≥ two bodies")?;
        rule(self.queue_submissions >= 1, "queue_submissions ≥ 1")?;
        rule(self.queue_bytes >= MAX_BODY, "queue_bytes ≥ a body")?;
        rule(self.flight >= 1, "flight ≥ 1")?;
        rule(!self.idle.is_zero(), "idle > 0")?;
        rule(self.repeat >= self.idle.saturating_mul(2), "repeat ≥ 2 · idle")?;
        rule(self.slowest_repeat >= self.repeat, "slowest_repeat ≥ repeat")?;
        rule(self.lag_limit >= self.repeat, "lag_limit ≥ repeat")
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
        assert_eq!(verdict(|config| *config = Config::local()), Ok(()));
        assert_eq!(verdict(|config| *config = Config::wan()), Ok(()));
        assert_eq!(verdict(|config| config.window_entries = 3), Err("window_entries ≥ 4"));
        let bytes = Err("window_bytes ≥ two bodies");
        assert_eq!(verdict(|config| config.window_bytes = MAX_BODY), bytes);
        let none = Err("queue_submissions ≥ 1");
        assert_eq!(verdict(|config| config.queue_submissions = 0), none);
        assert_eq!(
            verdict(|config| config.queue_bytes = 1_000),
            Err("queue_bytes ≥ a body")
        );
        assert_eq!(verdict(|config| config.flight = 0), Err("flight ≥ 1"));
        assert_eq!(verdict(|config| config.idle = Duration::ZERO), Err("idle > 0"));
        let late = Err("repeat ≥ 2 · idle");
        assert_eq!(verdict(|config| config.repeat = config.idle), late);
        let slowest = Err("slowest_repeat ≥ repeat");
        assert_eq!(verdict(|config| config.slowest_repeat = config.idle), slowest);
        let lag = Err("lag_limit ≥ repeat");
        assert_eq!(verdict(|config| config.lag_limit = config.idle), lag);
    }

    #[test]
    fn repetitions_become_rarer_up_to_a_limit() {
        let config = Config::default();
        assert_eq!(config.pause(0), Duration::from_millis(500));
        assert_eq!(config.pause(2), Duration::from_secs(2));
        assert_eq!(config.pause(1_000), Duration::from_secs(8));
    }
}
