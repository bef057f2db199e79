//! Configurations for random runs: the presets, and three that pack the same rules into less time.
//!
//! What a run costs is pings, and how long it has to last follows from the bound. With the presets' hop limit of 24 a bound is two minutes
//! of mostly nothing; a dozen peers need only a few hops. So most runs use timings in the proportions of `local` and `wan` with a hop limit
//! that suits few peers and only as many pings as `link_interval` asks for, and small leaf sets, so that there are delegates at all.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::{Config, Latency, Profile};

/// A named configuration with the delays that suit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `local` timings, hop limit 4, leaf set 2 + 2: a dozen peers are about half of them neighbours of one another.
    Brisk,
    /// The same with leaf set 1 + 1: long paths, few ways.
    Sparse,
    /// `sparse`, and every link is pinged as often as with `local`: so it is found silent as late as it may be, and the bound is nearest.
    Tight,
    /// Wide-area delays, with timings a third of `wan`'s, hop limit 4, leaf set 2 + 2.
    Far,
    /// A preset as it is.
    Preset(Profile),
}

/// What is drawn per thousand runs: mostly the cheap ones, the real presets now and then.
const SHARES: [(Setting, u32); 7] = [
    (Setting::Brisk, 470),
    (Setting::Sparse, 400),
    (Setting::Far, 120),
    (Setting::Preset(Profile::Local), 4),
    (Setting::Preset(Profile::Lan), 3),
    (Setting::Preset(Profile::Wan), 3),
    (Setting::Tight, 0),
];

impl Setting {
    /// One of the settings, by their shares.
    pub fn draw(rng: &mut StdRng) -> Setting {
        let mut left = rng.random_range(0..SHARES.iter().map(|(_, share)| share).sum());
        for (setting, share) in SHARES {
            if left < share {
                return setting;
            }
            left -= share;
        }
        Setting::Brisk
    }

    /// Its configuration.
    pub fn config(self) -> Config {
        match self {
            Setting::Preset(profile) => Config::preset(profile),
            Setting::Brisk => compact(Profile::Local, 2),
            Setting::Sparse => compact(Profile::Local, 1),
            Setting::Tight => {
                let mut config = compact(Profile::Local, 1);
                config.overlay.peer_interval = Config::preset(Profile::Local).overlay.peer_interval;
                config.aligned()
            }
            Setting::Far => {
                let mut config = compact(Profile::Wan, 2);
                config.overlay.link_interval = Duration::from_secs(10);
                config.overlay.peer_interval = Duration::from_secs(4);
                config.overlay.ping_timeout = Duration::from_millis(1500);
                config.overlay.maintenance_interval = 2 * config.overlay.link_interval;
                config.overlay.retry_pause = (Duration::from_millis(750), config.overlay.link_interval);
                config.groups.timings.probe_timeout = Duration::from_millis(4500);
                config.groups.timings.member_timeout = Duration::from_millis(4500);
                config.groups.timings.path_timeout = Duration::from_secs(4);
                config.groups.create_timeout = Duration::from_secs(6);
                config.aligned()
            }
        }
    }

    /// The delays of its network.
    pub fn latency(self) -> Latency {
        match self {
            Setting::Far | Setting::Preset(Profile::Wan | Profile::Fuse) => Latency::INTERNET,
            _ => Latency::RACK,
        }
    }
}

/// A preset with few pings, few hops and few leaves.
fn compact(profile: Profile, leaves: usize) -> Config {
    let mut config = Config::preset(profile);
    config.overlay.peer_interval = config.overlay.link_interval / 2;
    config.overlay.hop_limit = 4;
    config.overlay.maintenance_interval = 2 * config.overlay.link_interval;
    config.overlay.leaves_per_side = leaves;
    // The names of `sparse` are published again and again, those of `brisk` live by hand-overs alone.
    if leaves == 1 {
        config.overlay.directory.refresh = 2 * config.overlay.maintenance_interval;
    }
    config.aligned()
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Brisk => f.write_str("brisk"),
            Setting::Sparse => f.write_str("sparse"),
            Setting::Tight => f.write_str("tight"),
            Setting::Far => f.write_str("far"),
            Setting::Preset(profile) => profile.fmt(f),
        }
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        match text {
            "brisk" => Ok(Setting::Brisk),
            "sparse" => Ok(Setting::Sparse),
            "tight" => Ok(Setting::Tight),
            "far" => Ok(Setting::Far),
            _ => text.parse().map(Setting::Preset).map_err(|_| {
                format!("unknown profile {text:?}: expected brisk, sparse, tight, far, local, lan, wan or fuse")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_valid_and_has_a_name() {
        for (setting, _) in SHARES {
            let config = setting.config();
            assert_eq!(config.validate(), Ok(()), "{setting}");
            assert_eq!(config.clone().aligned(), config, "{setting}");
            assert_eq!(setting.to_string().parse(), Ok(setting));
        }
    }

    #[test]
    fn the_bounds_of_the_cheap_settings_are_short() {
        for setting in [Setting::Brisk, Setting::Sparse, Setting::Far] {
            let bound = setting.config().groups.notification_bound();
            assert!(bound < Duration::from_secs(130), "{setting}: {bound:?}");
        }
    }
}
