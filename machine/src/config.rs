//! The configuration of a whole peer, and its presets.

use std::fmt;
use std::str::FromStr;

use fatebound_overlay::ConfigError;

/// All layers' parameters. Change what you need after starting from a preset; [`Config::validate`] is called by the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Overlay and links.
    pub overlay: fatebound_overlay::Config,
    /// Paths.
    pub tree: fatebound_tree::Config,
    /// Groups.
    pub groups: fatebound_fng::Config,
    /// Process groups.
    pub cluster: fatebound_cluster::Config,
}

/// The presets of protocol.md §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One machine or one rack.
    Local,
    /// A data centre.
    Lan,
    /// The open Internet.
    Wan,
    /// The numbers of the FUSE paper.
    Fuse,
}

impl Config {
    /// The preset of this profile.
    pub fn preset(profile: Profile) -> Config {
        use fatebound_cluster::Config as Cluster;
        use fatebound_fng::Config as Groups;
        use fatebound_overlay::Config as Overlay;
        let (overlay, groups, cluster) = match profile {
            Profile::Local => (Overlay::local(), Groups::local(), Cluster::local()),
            Profile::Lan => (Overlay::lan(), Groups::lan(), Cluster::lan()),
            Profile::Wan => (Overlay::wan(), Groups::wan(), Cluster::wan()),
            Profile::Fuse => (Overlay::fuse(), Groups::fuse(), Cluster::wan()),
        };
        Config {
            overlay,
            tree: fatebound_tree::Config::default(),
            groups,
            cluster,
        }
        .aligned()
    }

    /// Makes what layers have in common agree: the overlay's word counts.
    pub fn aligned(mut self) -> Config {
        self.tree.hop_limit = self.overlay.hop_limit;
        self.tree.detours = self.overlay.detours;
        self.tree.settle_timeout = self.overlay.link_lifetime() / 2;
        self.groups.ping_timeout = self.overlay.ping_timeout;
        self.groups.timings.hop_limit = self.overlay.hop_limit;
        self.groups.timings.link_lifetime = self.overlay.link_lifetime();
        self
    }

    /// Refuses what breaks a rule of any layer.
    ///
    /// # Errors
    /// The first rule that is broken; nothing is changed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.overlay.validate()?;
        self.tree.validate()?;
        self.groups.validate()?;
        self.cluster.validate()?;
        if self.has_time_for_a_fresh_connection() {
            Ok(())
        } else {
            Err(ConfigError(
                "¾ · patience_floor ≥ probe_delay + ping_floor + 6 · expected round trip",
            ))
        }
    }
}

impl Config {
    /// "So that a fresh connection beside a silent one comes in time" (protocol.md §7).
    fn has_time_for_a_fresh_connection(&self) -> bool {
        let groups = &self.groups;
        let needed = groups.timings.probe_delay + self.overlay.ping_floor + groups.expected_round_trip * 6;
        groups.exempt || groups.timings.patience_floor * 3 / 4 >= needed
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Profile::Local => "local",
            Profile::Lan => "lan",
            Profile::Wan => "wan",
            Profile::Fuse => "fuse",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Profile, String> {
        match text {
            "local" => Ok(Profile::Local),
            "lan" => Ok(Profile::Lan),
            "wan" => Ok(Profile::Wan),
            "fuse" => Ok(Profile::Fuse),
            _ => Err(format!("unknown profile {text:?}: expected local, lan, wan or fuse")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_aligned() {
        for profile in [Profile::Local, Profile::Lan, Profile::Wan, Profile::Fuse] {
            let config = Config::preset(profile);
            assert_eq!(config.validate(), Ok(()), "{profile}");
            assert_eq!(config.clone().aligned(), config, "{profile}");
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
    }
}
