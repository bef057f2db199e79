//! Small worlds, explored to their end: the promises hold in every state, and the states that matter are among them.

use fatebound_model::check::{BY_PROOF, BY_SILENCE, CAME_IN, CROSSED, REPAIRED, WENT_OUT};
use fatebound_model::explore::explore;
use fatebound_model::worlds;

#[test]
fn the_promises_hold_whatever_comes_first() {
    let mut seen = Vec::new();
    let mut states = 0;
    for world in worlds::small() {
        let found = explore(&world, None, |_, _| {});
        let violations = found.violations(&world);
        assert!(violations.is_empty(), "{}: {violations:#?}", world.name);
        assert!(found.complete, "{}", world.name);
        println!(
            "{}: {} states, last word after {:?}",
            world.name, found.states, found.latest
        );
        states += found.states;
        seen.extend(found.found.into_keys());
    }
    for sometimes in [REPAIRED, CROSSED, CAME_IN, WENT_OUT, BY_SILENCE, BY_PROOF] {
        assert!(seen.contains(&sometimes), "never: {sometimes}");
    }
    assert!(states > 100_000, "{states}");
}
