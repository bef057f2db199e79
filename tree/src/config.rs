//! Parameters of paths, their defaults and where these come from.

use std::time::Duration;

use fatebound_overlay::ConfigError;

/// Bounds on what a peer carries for others and for itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Hops of a path at most; the overlay's limit.
    pub hop_limit: u8,
    /// Detour credits of a `Construct`; the overlay's.
    pub detours: u8,
    /// Segments kept at most: 1,000,000 (protocol.md §7). Beyond it a `Construct` is answered `Release { Busy }`.
    pub max_paths: usize,
    /// Paths on one link at most: 100,000. Beyond it likewise.
    pub max_paths_per_link: usize,
    /// Paths named by one `Release`, `Fail`, list or suspicion at most: 256, so that a frame stays below half of its limit.
    pub batch: usize,
    /// How long the two ends of a link may differ without a list that settles it; then the link is down. Half of the overlay's `L`; 10.5 s, as with
    /// the preset `lan`, where nobody says.
    pub settle_timeout: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            hop_limit: 24,
            detours: 3,
            max_paths: 1_000_000,
            max_paths_per_link: 100_000,
            batch: 256,
            settle_timeout: Duration::from_millis(10_500),
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
        rule(self.hop_limit >= 4 && self.hop_limit <= 64, "4 ≤ hop_limit ≤ 64")?;
        rule(self.max_paths >= 1, "max_paths ≥ 1")?;
        rule(self.max_paths_per_link >= 1, "max_paths_per_link ≥ 1")?;
        rule(self.batch >= 1 && self.batch <= 256, "1 ≤ batch ≤ 256")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_leave_no_room_or_break_a_frame_are_refused() {
        let verdict = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().map_err(|error| error.0)
        };
        assert_eq!(verdict(|_| {}), Ok(()));
        let hops = Err("4 ≤ hop_limit ≤ 64");
        assert_eq!(verdict(|config| config.hop_limit = 3), hops);
        assert_eq!(verdict(|config| config.hop_limit = 4), Ok(()));
        assert_eq!(verdict(|config| config.hop_limit = 64), Ok(()));
        assert_eq!(verdict(|config| config.hop_limit = 65), hops);
        assert_eq!(verdict(|config| config.max_paths = 0), Err("max_paths ≥ 1"));
        assert_eq!(
            verdict(|config| config.max_paths_per_link = 0),
            Err("max_paths_per_link ≥ 1")
        );
        let batch = Err("1 ≤ batch ≤ 256");
        assert_eq!(verdict(|config| config.batch = 0), batch);
        assert_eq!(verdict(|config| config.batch = 1), Ok(()));
        assert_eq!(verdict(|config| config.batch = 257), batch);
    }
}
