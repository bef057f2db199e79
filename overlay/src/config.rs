//! Parameters of overlay and links, their defaults and where these come from.

use std::time::Duration;

use crate::message::LinkTimes;
use crate::{ConfigError, Versions, directory, pipes};

/// Bytes of a network's name at most.
pub const MAX_NETWORK: usize = 64;

/// No time is shorter than this: a peer that waits for nothing would do nothing else.
const SHORTEST: Duration = Duration::from_millis(1);
/// No time is longer than this: nobody would live to see it, and sums of times stay within what can be counted.
const LONGEST: Duration = Duration::from_secs(3600);
/// More links than any peer can monitor.
const MOST_LINKS: usize = 65_536;

/// Everything that can be set about overlay and links. Durations are real time; counts are per peer unless they say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Overlays of different names refuse each other's `Hello`.
    pub network: String,
    /// The versions of the wire format that this peer says it speaks; anything else than [`Versions::OURS`] is for tests of what happens between
    /// versions.
    pub versions: Versions,
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
    /// Of the directory.
    pub directory: directory::Config,
    /// Of pipes.
    pub pipes: pipes::Config,
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
            versions: Versions::OURS,
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
            directory: directory::Config::for_timeout(ping_timeout),
            pipes: pipes::Config::default(),
        }
    }

    /// `L`: a link that was not proven alive for this long is down (protocol.md §4).
    pub fn link_lifetime(&self) -> Duration {
        self.link_interval.saturating_add(self.ping_timeout)
    }

    /// What a `Hello` says of these times.
    pub(crate) fn link_times(&self) -> LinkTimes {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        LinkTimes {
            peer_interval: millis(self.peer_interval),
            link_interval: millis(self.link_interval),
            ping_timeout: millis(self.ping_timeout),
        }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The first rule that is broken; nothing is changed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rule = ConfigError::unless;
        rule(self.times_are_sane(), "1 ms ≤ each time of overlay and links ≤ 1 h")?;
        rule(
            self.peer_interval <= self.link_interval,
            "peer_interval ≤ link_interval",
        )?;
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
        rule(self.max_links <= MOST_LINKS, "max_links ≤ 65,536")?;
        rule(self.operation_window >= 16, "operation_window ≥ 16")?;
        rule(
            self.max_operations >= self.operation_window,
            "max_operations ≥ operation_window",
        )?;
        rule(self.max_posts >= 1, "max_posts ≥ 1")?;
        rule(self.max_addresses >= 1, "max_addresses ≥ 1")?;
        rule(self.directory.has_room(), "the directory has room for a record")?;
        rule(self.pipes.has_room(), "pipes have room for two bodies")?;
        rule(
            self.retry_pause.0 <= self.retry_pause.1,
            "first retry_pause ≤ last retry_pause",
        )?;
        rule(
            !self.network.is_empty() && self.network.len() <= MAX_NETWORK,
            "1 ≤ bytes of network ≤ 64",
        )
    }

    /// "No time of overlay and links is below 1 ms, […] none is above an hour" (protocol.md §7).
    fn times_are_sane(&self) -> bool {
        let times = [
            self.peer_interval,
            self.link_interval,
            self.ping_timeout,
            self.ping_floor,
            self.retry_pause.0,
            self.retry_pause.1,
            self.maintenance_interval,
            self.pipes.idle,
        ];
        let directory = self.directory.times();
        let all = times.iter().chain(&directory);
        all.into_iter().all(|time| (SHORTEST..=LONGEST).contains(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let broken = |change: fn(&mut Config)| {
            let mut config = Config::lan();
            change(&mut config);
            config.validate().map_err(|error| error.0)
        };
        let times = Err("1 ms ≤ each time of overlay and links ≤ 1 h");
        assert_eq!(broken(|_| {}), Ok(()));
        // Two such times would overflow when they are added.
        assert_eq!(broken(|config| config.link_interval = Duration::MAX), times);
        assert_eq!(broken(|config| config.ping_timeout = Duration::MAX), times);
        // A timer that is due again at once would never let the peer rest.
        assert_eq!(broken(|config| config.maintenance_interval = Duration::ZERO), times);
        assert_eq!(broken(|config| config.peer_interval = Duration::from_nanos(1)), times);
        assert_eq!(broken(|config| config.retry_pause.0 = Duration::ZERO), times);
        assert_eq!(
            broken(|config| config.retry_pause.0 = LONGEST),
            Err("first retry_pause ≤ last retry_pause")
        );
        assert_eq!(
            broken(|config| config.max_links = usize::MAX),
            Err("max_links ≤ 65,536")
        );
        assert_eq!(broken(|config| config.max_posts = 0), Err("max_posts ≥ 1"));
        assert_eq!(broken(|config| config.max_addresses = 0), Err("max_addresses ≥ 1"));
    }

    #[test]
    fn a_limit_is_taken_and_one_beyond_it_is_refused() {
        let verdict = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::lan();
            change(&mut config);
            config.validate().map_err(|error| error.0)
        };
        for (hops, valid) in [(3, false), (4, true), (64, true), (65, false)] {
            assert_eq!(verdict(&|config| config.hop_limit = hops).is_ok(), valid, "{hops} hops");
        }
        for (leaves, valid) in [(0, false), (1, true), (32, true), (33, false)] {
            assert_eq!(
                verdict(&|config| config.leaves_per_side = leaves).is_ok(),
                valid,
                "{leaves} leaves"
            );
        }
        for (bits, valid) in [(0, false), (1, true), (2, true), (3, false), (4, true), (5, false)] {
            assert_eq!(
                verdict(&|config| config.digit_bits = bits).is_ok(),
                valid,
                "{bits} bits"
            );
        }
        for (links, valid) in [(8, false), (9, true), (MOST_LINKS, true), (MOST_LINKS + 1, false)] {
            assert_eq!(
                verdict(&|config| config.max_links = links).is_ok(),
                valid,
                "{links} links"
            );
        }
        for (bytes, valid) in [(0, false), (1, true), (64, true), (65, false)] {
            assert_eq!(
                verdict(&|config| config.network = "n".repeat(bytes)).is_ok(),
                valid,
                "{bytes} bytes"
            );
        }
        assert!(verdict(&|config| config.max_records = 63).is_err());
        assert!(verdict(&|config| config.operation_window = 15).is_err());
        assert!(verdict(&|config| config.max_operations = config.operation_window - 1).is_err());
        assert!(verdict(&|config| config.max_operations = config.operation_window).is_ok());
        assert!(verdict(&|config| config.ping_floor = config.ping_timeout * 2).is_err());
        assert!(verdict(&|config| config.peer_interval = config.link_interval * 2).is_err());
        assert!(verdict(&|config| config.ping_timeout = config.link_interval * 2).is_err());
    }

    #[test]
    fn a_lost_link_is_retried_within_half_a_ping_timeout() {
        let config = Config::lan();
        assert_eq!(config.retry_pause, (config.ping_timeout / 2, config.link_interval));
    }

    #[test]
    fn a_life_longer_than_can_be_counted_is_the_longest() {
        let config = Config {
            link_interval: Duration::MAX,
            ..Config::lan()
        };
        assert_eq!(config.link_lifetime(), Duration::MAX);
    }
}
