//! Times and limits of process groups, their defaults and where these come from.

use std::time::Duration;

use fatebound_base::ConfigError;

use crate::{stream, views};

/// Everything that can be set about process groups. Counts are per peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Of the agreement on views.
    pub views: views::Config,
    /// Of the stream of entries.
    pub stream: stream::Config,
    /// A question to a leader, or to the directory, is repeated after this time, doubled up to sixteen times as much: 500 ms.
    pub repeat: Duration,
    /// A record that could not be published is published again after this time: 5 s.
    pub publish_again: Duration,
    /// How long a node that is in a group no more answers what others ask it about the group: 30 s, in which everybody who can be reached has asked.
    pub linger: Duration,
    /// Process groups that this peer is in at most: 4,096.
    pub max_groups: usize,
    /// Nodes that wait to be taken into one group, or to be let go, at most: 256. Those beyond get no answer and ask again.
    pub max_waiting: usize,
}

impl Config {
    fn of(step: Duration, patience: Duration, guard_patience: Duration, stream: stream::Config) -> Config {
        Config {
            views: views::Config {
                step,
                patience,
                guard_patience,
                ..views::Config::default()
            },
            stream,
            repeat: Duration::from_millis(500),
            publish_again: Duration::from_secs(5),
            linger: Duration::from_secs(30),
            max_groups: 4096,
            max_waiting: 256,
        }
    }

    /// For peers of one machine or one rack.
    pub fn local() -> Config {
        let ms = Duration::from_millis;
        Config::of(ms(50), ms(1_000), ms(8_000), stream::Config::local())
    }

    /// For a data centre.
    pub fn lan() -> Config {
        let ms = Duration::from_millis;
        Config::of(ms(200), ms(1_800), ms(12_000), stream::Config::lan())
    }

    /// For the open Internet.
    pub fn wan() -> Config {
        let ms = Duration::from_millis;
        Config::of(ms(1_000), ms(4_000), ms(40_000), stream::Config::wan())
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The first rule that is broken; nothing is changed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rule = ConfigError::unless;
        self.views.validate()?;
        self.stream.validate()?;
        rule(!self.repeat.is_zero(), "repeat > 0")?;
        rule(!self.publish_again.is_zero(), "publish_again > 0")?;
        rule(self.max_groups >= 1, "max_groups ≥ 1")?;
        rule(self.max_waiting >= 1, "max_waiting ≥ 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_what_cannot_work_is_refused() {
        for config in [Config::local(), Config::lan(), Config::wan()] {
            assert_eq!(config.validate(), Ok(()));
        }
        let broken = |change: fn(&mut Config)| {
            let mut config = Config::lan();
            change(&mut config);
            config.validate().map_err(|error| error.0)
        };
        assert_eq!(broken(|config| config.repeat = Duration::ZERO), Err("repeat > 0"));
        let again = Err("publish_again > 0");
        assert_eq!(broken(|config| config.publish_again = Duration::ZERO), again);
        assert_eq!(broken(|config| config.max_groups = 0), Err("max_groups ≥ 1"));
        assert_eq!(broken(|config| config.max_waiting = 0), Err("max_waiting ≥ 1"));
    }
}
