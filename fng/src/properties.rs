//! What holds of windows and bounds whatever the numbers are.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::config::{Config, Timings};
use crate::window::{WIDTH, Window};

/// Few cases, always the same, so that tests stay quick and repeatable; `PROPTEST_CASES` asks for more, drawn anew each time.
fn cases(few: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return ProptestConfig::default();
    }
    ProptestConfig {
        cases: few,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

/// Sequence numbers near each other, and some that are anywhere.
fn sequence() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..3 * WIDTH, 1 => u64::MAX - 2 * WIDTH..=u64::MAX, 1 => any::<u64>()]
}

fn time() -> impl Strategy<Value = Duration> {
    (0..7_200_000_u64).prop_map(Duration::from_millis)
}

fn brief() -> impl Strategy<Value = Duration> {
    (0..60_000_u64).prop_map(Duration::from_millis)
}

fn timings() -> impl Strategy<Value = Timings> {
    let times = (time(), time(), time(), brief(), time(), time());
    (times, 0_u8..70).prop_map(|((delay, probe, member, floor, path, lifetime), hop_limit)| Timings {
        probe_delay: delay,
        probe_timeout: probe,
        member_timeout: member,
        patience_floor: floor,
        path_timeout: path,
        link_lifetime: lifetime,
        hop_limit,
    })
}

proptest! {
    #![proptest_config(cases(64))]

    /// "It registers a group id at most once": as a set of all numbers ever, but for those older than the window.
    #[test]
    fn a_window_is_a_set_that_forgets_towards_used(sequences in prop::collection::vec(sequence(), 0..200)) {
        let (mut window, mut all) = (Window::default(), BTreeSet::new());
        for sequence in sequences {
            let newest = all.last().copied().unwrap_or(0);
            let too_old = sequence <= newest && newest - sequence >= WIDTH;
            // 0 is the newest of an empty window; no root counts from it.
            let fresh = !too_old && !all.contains(&sequence);
            prop_assert_eq!(window.used(sequence), !fresh, "{}", sequence);
            prop_assert_eq!(window.take(sequence), fresh, "{}", sequence);
            prop_assert!(window.used(sequence));
            all.insert(sequence);
        }
    }

    /// Nothing that takes longer shortens the bound.
    #[test]
    fn the_bound_grows_with_each_timing(a in timings(), more in timings(), hops in 0_u8..=64, tick in time()) {
        let longer = |change: fn(&mut Timings, &Timings)| {
            let mut longer = a;
            change(&mut longer, &more);
            longer.notification_bound(hops, tick)
        };
        let bound = a.notification_bound(hops, tick);
        prop_assert!(bound >= a.probe_timeout + a.member_timeout + 2 * a.path_timeout);
        prop_assert!(bound <= a.notification_bound(hops + 1, tick));
        prop_assert!(bound <= a.notification_bound(hops, tick + Duration::from_millis(1)));
        prop_assert!(bound <= longer(|a, more| a.probe_timeout += more.probe_timeout));
        prop_assert!(bound <= longer(|a, more| a.member_timeout += more.member_timeout));
        prop_assert!(bound <= longer(|a, more| a.path_timeout += more.path_timeout));
        prop_assert!(bound <= longer(|a, more| a.link_lifetime += more.link_lifetime));
        prop_assert_eq!(bound, longer(|a, more| a.probe_delay += more.probe_delay));
    }

    /// What a root can be started with, members with the same pings can keep.
    #[test]
    fn valid_timings_can_be_kept(timings in timings(), exempt: bool) {
        let config = Config { timings, exempt, ..Config::lan() };
        if config.validate().is_ok() {
            let member = Config { exempt, ..Config::lan() };
            prop_assert!(member.can_keep(&timings));
        }
    }
}
