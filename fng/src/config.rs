//! Parameters of groups, their defaults and where these come from; and the bound that follows from them.

use std::time::Duration;

use fatebound_overlay::ConfigError;
use serde::{Deserialize, Serialize};

/// No timing of a group is shorter than this, `probe_delay` excepted: 10 ms, a tick of a busy machine.
const SHORTEST: Duration = Duration::from_millis(10);
/// No timing of a group is longer than this: an hour.
const LONGEST: Duration = Duration::from_secs(3600);
/// The most hops that any configuration allows.
const MAX_HOPS: u8 = 64;

/// The times that root and members of one group must agree on; an `Invite` carries the root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timings {
    /// How long a root waits, after a path broke, before it also probes the member: a repair over the overlay is mostly faster.
    pub probe_delay: Duration,
    /// Ceiling of the root's patience without a proof of a member's life.
    pub probe_timeout: Duration,
    /// Ceiling of a member's patience without an answer of its root.
    pub member_timeout: Duration,
    /// Floor of both patiences.
    pub patience_floor: Duration,
    /// How long a path may take to come up.
    pub path_timeout: Duration,
    /// How long a link may be silent before it is down (`L` of the root's overlay).
    pub link_lifetime: Duration,
    /// Hops of a path at most (`H` of the root's overlay).
    pub hop_limit: u8,
}

/// Everything that can be set about groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The times that members share.
    pub timings: Timings,
    /// How long a creation may take unless its caller says otherwise.
    pub create_timeout: Duration,
    /// The ceiling of a ping's time limit, for the inequalities of protocol.md §7.
    pub ping_timeout: Duration,
    /// One hop's round trip as expected when nothing is known, for the same.
    pub expected_round_trip: Duration,
    /// Groups that this peer is in at most: 1,000,000.
    pub max_groups: usize,
    /// Groups of any one other root that this peer is in at most, so that no root alone can use `max_groups` up: 100,000.
    pub max_groups_per_peer: usize,
    /// Members of one group at most: 10,000, a guess.
    pub max_members: usize,
    /// Bytes of application state that a root keeps for those who come in later, of all its groups together: 256 MiB, a guess.
    pub max_kept_state: usize,
    /// Timer tick of the bound's slack per hop: 10 ms, a guess for a busy machine.
    pub tick: Duration,
    /// Whether the inequalities apply: not to the FUSE paper's published numbers.
    pub exempt: bool,
}

impl Config {
    /// For peers of one machine or one rack.
    pub fn local() -> Config {
        let ms = Duration::from_millis;
        Config::of(
            Timings {
                probe_delay: ms(50),
                probe_timeout: ms(1500),
                member_timeout: ms(1500),
                patience_floor: ms(1000),
                path_timeout: ms(1000),
                link_lifetime: ms(2300),
                hop_limit: 24,
            },
            ms(3000),
            ms(300),
            ms(2),
        )
    }

    /// For a data centre.
    pub fn lan() -> Config {
        let ms = Duration::from_millis;
        Config::of(
            Timings {
                probe_delay: ms(100),
                probe_timeout: ms(6000),
                member_timeout: ms(6000),
                patience_floor: ms(1800),
                path_timeout: ms(2000),
                link_lifetime: ms(21_000),
                hop_limit: 24,
            },
            ms(5000),
            ms(1000),
            ms(5),
        )
    }

    /// For the open Internet.
    pub fn wan() -> Config {
        let ms = Duration::from_millis;
        Config::of(
            Timings {
                probe_delay: ms(500),
                probe_timeout: ms(12_000),
                member_timeout: ms(12_000),
                patience_floor: ms(3000),
                path_timeout: ms(6000),
                link_lifetime: ms(34_000),
                hop_limit: 24,
            },
            ms(15_000),
            ms(4000),
            ms(80),
        )
    }

    /// The numbers of the FUSE paper (OSDI 2004); exempt from the inequalities.
    pub fn fuse() -> Config {
        let s = Duration::from_secs;
        let timings = Timings {
            probe_delay: Duration::ZERO,
            probe_timeout: s(120),
            member_timeout: s(60),
            patience_floor: s(60),
            path_timeout: s(60),
            link_lifetime: s(80),
            hop_limit: 24,
        };
        let mut config = Config::of(timings, s(60), s(20), Duration::from_millis(80));
        config.exempt = true;
        config
    }

    fn of(timings: Timings, create_timeout: Duration, ping_timeout: Duration, expected_round_trip: Duration) -> Config {
        Config {
            timings,
            create_timeout,
            ping_timeout,
            expected_round_trip,
            max_groups: 1_000_000,
            max_groups_per_peer: 100_000,
            max_members: 10_000,
            max_kept_state: 256 * 1024 * 1024,
            tick: Duration::from_millis(10),
            exempt: false,
        }
    }

    /// Refuses what breaks an inequality of protocol.md §7.
    ///
    /// # Errors
    /// The first rule that is broken; nothing is changed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rule = ConfigError::unless;
        let t = &self.timings;
        rule(t.sane(), "10 ms ≤ each timing ≤ 1 h, 1 ≤ H ≤ 64")?;
        rule(t.patience_floor <= t.probe_timeout, "patience_floor ≤ probe_timeout")?;
        rule(t.patience_floor <= t.member_timeout, "patience_floor ≤ member_timeout")?;
        rule(
            (SHORTEST..=LONGEST).contains(&self.create_timeout),
            "10 ms ≤ create_timeout ≤ 1 h",
        )?;
        rule(
            self.ping_timeout.max(self.expected_round_trip).max(self.tick) <= LONGEST,
            "ping_timeout, expected_round_trip, tick ≤ 1 h",
        )?;
        rule(self.max_members >= 2, "max_members ≥ 2")?;
        rule(self.max_groups >= 1, "max_groups ≥ 1")?;
        rule(self.max_groups_per_peer >= 1, "max_groups_per_peer ≥ 1")?;
        if self.exempt {
            return Ok(());
        }
        rule(self.outlasts_pings(t.probe_timeout), "probe_timeout ≥ 3 · ping_timeout")?;
        rule(
            self.outlasts_pings(t.member_timeout),
            "member_timeout ≥ 3 · ping_timeout",
        )?;
        rule(
            t.path_timeout >= self.ping_timeout + u32::from(t.hop_limit) * self.expected_round_trip,
            "path_timeout ≥ ping_timeout + H · expected round trip",
        )
    }

    fn outlasts_pings(&self, timeout: Duration) -> bool {
        timeout >= self.ping_timeout.saturating_mul(3)
    }

    /// Whether this peer can live with a root's timings: none is absurd, patience has room, and the inequalities of protocol.md §7 hold with
    /// this peer's own pings.
    pub(crate) fn can_keep(&self, timings: &Timings) -> bool {
        let patient = self.outlasts_pings(timings.probe_timeout) && self.outlasts_pings(timings.member_timeout);
        timings.sane()
            && timings.patience_floor <= timings.probe_timeout.min(timings.member_timeout)
            && (self.exempt || patient)
    }

    /// Within this time of the first failure every live member is told, whatever the group's paths (protocol.md §7).
    pub fn notification_bound(&self) -> Duration {
        self.timings.notification_bound(self.timings.hop_limit, self.tick)
    }
}

impl Timings {
    /// No time is so short that somebody would do nothing but wait for it, none so long that nobody would live to see it.
    fn sane(&self) -> bool {
        let times = [
            self.probe_timeout,
            self.member_timeout,
            self.patience_floor,
            self.path_timeout,
            self.link_lifetime,
        ];
        times.iter().all(|time| (SHORTEST..=LONGEST).contains(time))
            && self.probe_delay <= LONGEST
            && (1..=MAX_HOPS).contains(&self.hop_limit)
    }

    /// `2 · max(H · L, path_timeout) + probe_timeout + member_timeout + slack` (protocol.md §7), for paths of at most `hops` hops.
    pub fn notification_bound(&self, hops: u8, tick: Duration) -> Duration {
        let hops = u32::from(hops);
        let sweep = self.link_lifetime.saturating_mul(hops).max(self.path_timeout);
        let slack = tick.saturating_mul(2 * hops);
        // Saturating: asked of a configuration that nobody has validated, it is absurd and no panic.
        [sweep, self.probe_timeout, self.member_timeout, slack]
            .into_iter()
            .fold(sweep, Duration::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid() {
        for config in [Config::local(), Config::lan(), Config::wan(), Config::fuse()] {
            assert_eq!(config.validate(), Ok(()));
        }
    }

    #[test]
    fn timings_that_are_absurd_or_too_short_for_our_pings_cannot_be_kept() {
        let lan = Config::lan();
        assert!(lan.can_keep(&lan.timings) && lan.can_keep(&Config::wan().timings));
        let nano = Duration::from_nanos(1);
        let tiny = Timings {
            probe_timeout: nano,
            member_timeout: nano,
            patience_floor: nano,
            path_timeout: nano,
            ..lan.timings
        };
        let hasty = Timings {
            member_timeout: Duration::from_millis(2999),
            ..lan.timings
        };
        let lazy = Config {
            exempt: true,
            ..lan.clone()
        };
        assert!(!lan.can_keep(&tiny) && !lazy.can_keep(&tiny));
        assert!(!lan.can_keep(&hasty) && lazy.can_keep(&hasty));
    }

    #[test]
    fn a_broken_inequality_is_named() {
        let mut config = Config::lan();
        config.timings.probe_timeout = Duration::from_millis(2999);
        let error = config.validate().expect_err("3 · 1 s > 2.999 s");
        assert_eq!(error.0, "probe_timeout ≥ 3 · ping_timeout");
    }

    #[test]
    fn a_path_has_time_for_all_its_hops_and_a_ping() {
        let mut config = Config::lan();
        config.timings.path_timeout = config.ping_timeout + 24 * config.expected_round_trip;
        assert_eq!((config.timings.hop_limit, config.validate()), (24, Ok(())));
        config.timings.path_timeout -= Duration::from_millis(1);
        let error = config.validate().expect_err("a millisecond too short");
        assert_eq!(error.0, "path_timeout ≥ ping_timeout + H · expected round trip");
    }

    #[test]
    fn times_beyond_counting_are_refused_and_overflow_nothing() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::lan();
            change(&mut config);
            let bound = config.notification_bound();
            (config.validate().map_err(|error| error.0), bound)
        };
        let three = Err("ping_timeout, expected_round_trip, tick ≤ 1 h");
        assert_eq!(refused(|config| config.ping_timeout = Duration::MAX).0, three);
        assert_eq!(refused(|config| config.expected_round_trip = Duration::MAX).0, three);
        assert_eq!(refused(|config| config.tick = Duration::MAX), (three, Duration::MAX));
        let create = Err("10 ms ≤ create_timeout ≤ 1 h");
        assert_eq!(refused(|config| config.create_timeout = Duration::MAX).0, create);
        assert_eq!(refused(|config| config.create_timeout = Duration::ZERO).0, create);
        let absurd = refused(|config| config.timings.link_lifetime = Duration::MAX);
        assert_eq!(absurd, (Err("10 ms ≤ each timing ≤ 1 h, 1 ≤ H ≤ 64"), Duration::MAX));
        assert_eq!(refused(|config| config.max_members = 1).0, Err("max_members ≥ 2"));
    }

    #[test]
    fn the_bound_is_the_formula() {
        let bound = Config::local().timings.notification_bound(3, Duration::ZERO);
        assert_eq!(bound, Duration::from_millis(2 * 3 * 2300 + 1500 + 1500));
        let short = Timings {
            link_lifetime: Duration::from_millis(100),
            ..Config::local().timings
        };
        assert_eq!(
            short.notification_bound(3, Duration::ZERO),
            Duration::from_millis(2 * 1000 + 3000)
        );
        let tick = Duration::from_millis(10);
        assert_eq!(
            short.notification_bound(3, tick),
            Duration::from_millis(2 * 1000 + 3000 + 6 * 10),
            "a tick per hop and sweep"
        );
    }
}
