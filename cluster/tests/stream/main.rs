//! The stream of a group with agreement on its views: random ways with entries that flow, pipes that break, lose and fill up, deaths, cuts and
//! planned changes, until all is quiet (cluster.md §6).

mod observer;
mod random;
mod world;

use random::run;

#[test]
fn the_promises_hold_along_random_ways() {
    // More of them: RUNS=100000. One of them, with all that happens: SEED=7.
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (from, runs) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("RUNS").unwrap_or(4_000)),
    };
    let (mut views, mut delivered, mut ended, mut full, mut sent) = (0, 0, 0, 0, 0);
    for seed in from..from + runs {
        let run = run(seed, runs == 1);
        assert!(run.broken.is_empty(), "seed {seed}: {:#?}", run.broken);
        views += run.views;
        delivered += run.delivered;
        ended += u64::from(run.ended);
        full += u64::from(run.windows_full > 0);
        sent += run.sent;
    }
    println!(
        "{runs} runs, {ended} to their end: {views} views, {delivered} deliveries, {sent} frames, {full} runs with a full window"
    );
    if runs >= 1_000 {
        assert!(views > runs && ended > runs / 2 && full > runs / 10 && delivered as u64 > 10 * runs);
    }
}
