//! Random runs with process groups: whatever happens, what these promise is kept. (`random_runs.rs` has them in a fifth of its seeds.)

use fatebound_sim::generate::{Family, Wishes, scenario};
use fatebound_sim::run::run;
use fatebound_sim::statistics::Statistics;

fn wishes() -> Wishes {
    Wishes {
        family: Some(Family::Processes),
        ..Wishes::default()
    }
}

#[test]
fn whatever_happens_process_groups_keep_their_promises() {
    let mut all = Statistics::default();
    for seed in 1..=150 {
        let outcome = run(&scenario(seed, &wishes()));
        assert_eq!(outcome.violations, [], "seed {seed}");
        all.add(&outcome.statistics);
    }
    println!("{all}");
    // They are hit, and most find together again.
    assert!(all.views > 10 * all.runs && all.messages > 20 * all.runs && 2 * all.gatherings > all.runs);
}
