//! A small world from beginning to end: what must not happen at any size, and what must not grow.

use std::cell::Cell;
use std::time::Duration;

use fatebound_sim::scale::{Options, Progress, Report, run};

fn world(peers: usize, groups: usize, churn: u64) -> Report {
    let mut options = Options::new(peers, groups);
    options.churn = Duration::from_secs(churn);
    options.lifetime = Duration::from_secs(600);
    run(&options, &mut |_| {}, &|| false)
}

#[test]
fn two_hundred_peers_keep_their_promises_while_lives_end() {
    let report = world(200, 200, 60);
    println!("{report}");
    assert_eq!(report.violations, []);
    assert_eq!((report.peers, report.groups, report.refused), (200, 200, 0));
    assert!(report.deaths > 5 && report.failed > 20, "{report}");
    let told = report.latencies.all().map(|(_, latencies)| latencies.count());
    assert!(told.iter().all(|told| *told > 0), "{told:?}");
    assert!(report.latencies.share_of_bound.max() < 1.0);
}

#[test]
fn a_run_that_is_stopped_tells_what_it_has_seen_and_accuses_nobody() {
    let mut options = Options::new(40, 40);
    options.lifetime = Duration::from_secs(60);
    let stretch = Cell::new("");
    let mut watch = |progress: Progress| stretch.set(progress.stretch);
    let report = run(&options, &mut watch, &|| stretch.get() == "churn");
    assert_eq!((report.stopped, report.peers, report.groups), (Some("churn"), 40, 40));
    assert!(report.deaths > 0 && report.churn < options.churn, "{report}");
    assert_eq!(report.violations, []);
    let never = run(&options, &mut |_| {}, &|| true);
    assert_eq!((never.stopped, never.peers), (Some("joining"), 0));
}

/// Four times as many peers are one more row of every routing table, three entries: that is all that each peer may notice.
#[test]
fn four_times_as_many_peers_are_a_few_more_links() {
    let (small, large) = (world(40, 0, 0), world(160, 0, 0));
    let grown = large.degree.mean() - small.degree.mean();
    assert!(
        (0.0..8.0).contains(&grown),
        "{} and {} links",
        small.degree.mean(),
        large.degree.mean()
    );
    assert!(large.degree.max() < 48.0, "{}", large.degree.max());
    let messages = large.messages.mean() / small.messages.mean();
    assert!(messages < 1.6, "{messages} times as many messages");
}
