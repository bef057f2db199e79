//! Parameters of overlay and links, their defaults and where these come from.

use std::time::Duration;

use thiserror::Error;

/// Everything that can be set about overlay and links. Durations are real time; counts are per peer unless they say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Overlays of different names refuse each other's `Hello`.
    pub network: String,
    /// One ping is sent about every so often, whatever the number of links (protocol.md §4). Preset values from the model.
    pub peer_interval: Duration,
    /// Every link is pinged by both its ends at least this often.
    pub link_interval: Duration,
    /// The ceiling of a single ping's adaptive time limit.
    pub ping_timeout: Duration,
    /// The floor of a single ping's adaptive time limit.
    pub ping_floor: Duration,
    /// How many peers a routed message may visit: 24, as in the model; log₄ of the peers plus detours is far below.
    pub hop_limit: u8,
    /// How often a routed message may step to a peer that is not closer: 3 (376 → 21 failures of 600 in the model).
    pub detours: u8,
    /// Leaf-set peers on each side: 4. Degree is small on purpose, every neighbour is monitored.
    pub leaves_per_side: usize,
    /// Bits of a routing-table digit: 2, so that a row has three entries.
    pub digit_bits: u32,
    /// Links beyond this number are refused (`Goodbye { Busy }`): 256, a guess well above any degree seen.
    pub max_links: usize,
    /// Operations sent on a link and not yet acknowledged: 1024, the rest wait.
    pub operation_window: usize,
    /// Operations waiting or unacknowledged on one link: 400,000 (four times the paths per neighbour). Beyond it the link is declared
    /// down, which frees them.
    pub max_operations: usize,
    /// One-shot messages of our own that wait for an answer: 4096. Beyond it the oldest is given up.
    pub max_posts: usize,
    /// First and last pause between two tries to join, or to reach a peer that the overlay wants as neighbour; jittered.
    pub retry_pause: (Duration, Duration),
    /// How often the peer compares a leaf set or a row with a neighbour's, so that the ring converges after partitions: a guess,
    /// `link_interval`.
    pub maintenance_interval: Duration,
    /// Peers of whom records are kept, besides the neighbours: 1024, enough for the table of any network and for a choice of groups' members
    /// whose addresses are known at once.
    pub max_records: usize,
    /// Addresses kept of one peer: 8.
    pub max_addresses: usize,
}

impl Config {
    /// For peers of one machine or one rack: the fastest notification of all presets.
    pub fn local() -> Config {
        Config::timed(
            Duration::from_millis(100),
            Duration::from_secs(2),
            Duration::from_millis(300),
            Duration::from_millis(50),
        )
    }

    /// For a data centre.
    pub fn lan() -> Config {
        Config::timed(
            Duration::from_secs(1),
            Duration::from_secs(20),
            Duration::from_secs(1),
            Duration::from_millis(200),
        )
    }

    /// For the open Internet.
    pub fn wan() -> Config {
        Config::timed(
            Duration::from_secs(1),
            Duration::from_secs(30),
            Duration::from_secs(4),
            Duration::from_millis(500),
        )
    }

    /// The numbers of the FUSE paper (OSDI 2004): one ping per link and minute, 20 s time limit.
    pub fn fuse() -> Config {
        Config::timed(
            Duration::from_secs(60),
            Duration::from_secs(60),
            Duration::from_secs(20),
            Duration::from_secs(20),
        )
    }

    fn timed(peer_interval: Duration, link_interval: Duration, ping_timeout: Duration, ping_floor: Duration) -> Config {
        Config {
            network: "fatebound".into(),
            peer_interval,
            link_interval,
            ping_timeout,
            ping_floor,
            hop_limit: 24,
            detours: 3,
            leaves_per_side: 4,
            digit_bits: 2,
            max_links: 256,
            operation_window: 1024,
            max_operations: 400_000,
            max_posts: 4096,
            retry_pause: (ping_timeout / 2, link_interval),
            maintenance_interval: link_interval,
            max_records: 1024,
            max_addresses: 8,
        }
    }

    /// `L`: a link that was not proven alive for this long is down (protocol.md §4).
    pub fn link_lifetime(&self) -> Duration {
        self.link_interval + self.ping_timeout
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The first rule that is broken; nothing is changed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rule = |holds, name| if holds { Ok(()) } else { Err(ConfigError(name)) };
        rule(!self.peer_interval.is_zero(), "peer_interval > 0")?;
        rule(
            self.peer_interval <= self.link_interval,
            "peer_interval ≤ link_interval",
        )?;
        rule(!self.ping_floor.is_zero(), "ping_floor > 0")?;
        rule(self.ping_floor <= self.ping_timeout, "ping_floor ≤ ping_timeout")?;
        rule(self.ping_timeout <= self.link_interval, "ping_timeout ≤ link_interval")?;
        rule(self.hop_limit >= 4 && self.hop_limit <= 64, "4 ≤ hop_limit ≤ 64")?;
        rule(
            self.leaves_per_side >= 1 && self.leaves_per_side <= 32,
            "1 ≤ leaves_per_side ≤ 32",
        )?;
        rule(matches!(self.digit_bits, 1 | 2 | 4), "digit_bits is 1, 2 or 4")?;
        rule(
            self.max_links > 2 * self.leaves_per_side,
            "max_links > 2 · leaves_per_side",
        )?;
        rule(self.max_records >= 64, "max_records ≥ 64")?;
        rule(self.operation_window >= 16, "operation_window ≥ 16")?;
        rule(
            self.max_operations >= self.operation_window,
            "max_operations ≥ operation_window",
        )?;
        rule(
            !self.network.is_empty() && self.network.len() <= 64,
            "1 ≤ bytes of network ≤ 64",
        )
    }
}

/// A configuration that breaks this rule was refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the configuration breaks the rule `{0}`")]
pub struct ConfigError(pub &'static str);
