//! Agreement on views: small groups to their end, larger ones along random ways.

use fatebound_cluster::Policy;
use fatebound_model::views::explore::explore;
use fatebound_model::views::observer::ONE_VIEW;
use fatebound_model::views::random::run;
use fatebound_model::views::scene::{self, Scene};

#[test]
fn the_promises_hold_whatever_comes_first() {
    for scene in scene::small() {
        let found = explore(&scene, 512, None, |_, _| {});
        assert!(found.broken.is_empty(), "{}: {:#?}", scene.name, found.broken);
        assert!(found.complete && found.goes_on, "{}", scene.name);
        println!(
            "{}: {} states, {} steps, at most {} deep",
            scene.name, found.states, found.steps, found.depth
        );
    }
}

#[test]
fn the_promises_hold_along_random_ways() {
    // More of them: RUNS=100000.
    let runs = std::env::var("RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(2_000);
    let mut views = 0;
    for seed in 0..runs {
        let run = run(seed, Policy::Majority, seed % 4 == 0, false);
        assert!(run.broken.is_empty(), "seed {seed}: {:?}", run.broken);
        views += run.views;
    }
    println!("{views} views in {runs} runs");
    assert!(views as u64 > runs / 2, "{views}");
}

#[test]
fn whoever_is_left_is_no_quorum() {
    let broken = |policy| move |seed| run(seed, policy, false, false).broken.contains(&ONE_VIEW);
    assert!((0..5_000).any(broken(Policy::Any)));
}

/// The rules of cluster.md §4, one small story for each that is broken without it.
mod rules {
    use fatebound_model::views::observer::{ENDS_IN_ONE_VIEW, SAME_ENTRIES};
    use fatebound_model::views::scene::{Change, short};
    use fatebound_model::views::world::{Action, World};

    use super::*;

    /// Follows a story, line by line as reports say it; a line that cannot happen is left out.
    fn follow(scene: &Scene, story: &[&str]) -> World {
        let mut world = World::new(scene);
        for line in story {
            let mut actions: Vec<Action> = Vec::new();
            world.actions(scene, &mut actions);
            let next = actions.iter().find(|action| world.line(action).starts_with(line));
            if let Some(action) = next.cloned() {
                world.act(scene, &action);
            }
        }
        world
    }

    fn keeps(scene: &Scene, story: &[&str]) {
        let world = follow(scene, story);
        assert!(world.observer.broken.is_empty(), "{:?}", world.observer.broken);
        assert!(world.settles(scene), "{ENDS_IN_ONE_VIEW}");
    }

    /// All that was said and has not arrived is lost; then nothing more goes wrong.
    fn ends_well(scene: &Scene, story: &[&str]) {
        let mut world = follow(scene, story);
        world.mail.clear();
        assert!(world.settles(scene), "{ENDS_IN_ONE_VIEW}");
    }

    /// The leader goes on with one of two others: decided, and known to the leader alone.
    const WITH_THE_SECOND: [&str; 8] = [
        "Fail(0)",
        "Alarm(0, 0)",
        "0 → 1: Prepare",
        "1 → 0: Promise",
        "Wake(0)",
        "guard",
        "0 → 1: Accept",
        "1 → 0: Accepted",
    ];
    const WITH_THE_THIRD: [&str; 8] = [
        "Fail(0)",
        "Alarm(0, 0)",
        "0 → 2: Prepare",
        "2 → 0: Promise",
        "Wake(0)",
        "guard",
        "0 → 2: Accept",
        "2 → 0: Accepted",
    ];
    /// Then the leader dies, and the second is alone.
    const ALONE: [&str; 5] = ["Crash(0)", "Alarm(1, 0)", "Wake(1)", "Wake(1)", "guard"];

    #[test]
    fn a_story_is_about_something() {
        let world = follow(&scene::alarm(), &WITH_THE_SECOND);
        assert_eq!(world.observer.installed.len(), 2);
    }

    #[test]
    fn views_promise_stops() {
        let scene = Scene {
            alarms: 1,
            entries: 1,
            ..short("", 3, 0)
        };
        let story = [
            "Fail(0)",
            "Alarm(1, 0)",
            "Wake(1)",
            "1 → 2: Prepare",
            "2 → 1: Promise",
            "Wake(1)",
            "Number(0)",
        ];
        let rest = [
            "0 → 2: Entry",
            "guard",
            "1 → 2: Accept",
            "2 → 1: Accepted",
            "1 → 2: Install",
        ];
        keeps(&scene, &[&story[..], &rest[..]].concat());
    }

    #[test]
    fn views_ballot_once() {
        let story = ["Fail(0)", "Alarm(0, 0)", "Alarm(1, 0)", "Wake(1)", "1 → 0: Prepare"];
        ends_well(&scene::alarm(), &story);
    }

    #[test]
    fn views_hints_only_hasten() {
        keeps(&scene::death(), &[&WITH_THE_THIRD[..], &ALONE[..]].concat());
    }

    #[test]
    fn not_even_proofs_of_death_make_a_smaller_quorum_safe() {
        let scene = Scene {
            policy: Policy::Proofs,
            ..scene::death()
        };
        let world = follow(&scene, &[&WITH_THE_THIRD[..], &ALONE[..]].concat());
        assert!(world.observer.broken.contains(ONE_VIEW));
    }

    #[test]
    fn views_adopted() {
        let story = [
            "Alarm(2, 0)",
            "Wake(2)",
            "2 → 1: Prepare",
            "1 → 2: Promise",
            "Wake(2)",
            "2 → 1: MakeGuard",
        ];
        let rest = ["guard", "1 → 2: Guard", "2 → 1: Accept", "1 → 2: Accepted"];
        keeps(&scene::alarm(), &[&WITH_THE_SECOND[..], &story[..], &rest[..]].concat());
    }

    #[test]
    fn views_only_counted() {
        let scene = Scene {
            crashes: 1,
            entries: 1,
            ..short("", 5, 0)
        };
        let story = [
            "Number(0)",
            "0 → 2: Entry",
            "Crash(0)",
            "Alarm(1, 0)",
            "1 → 3: Prepare",
            "3 → 1: Promise",
        ];
        let chosen = ["1 → 4: Prepare", "4 → 1: Promise", "Wake(1)", "1 → 2: Prepare", "guard"];
        let rest = [
            "1 → 3: Accept",
            "3 → 1: Accepted",
            "1 → 4: Accept",
            "4 → 1: Accepted",
            "1 → 2: Install",
        ];
        let world = follow(&scene, &[&story[..], &chosen[..], &rest[..]].concat());
        assert_eq!(world.observer.installed.len(), 2);
        assert!(!world.observer.broken.contains(SAME_ENTRIES));
    }

    /// Three of five decide, and one of them installs; at the others the guard has failed by then. No part of them can go on without the rest.
    #[test]
    fn views_with_the_dead() {
        let scene = Scene {
            crashes: 2,
            alarms: 1,
            ..short("", 5, 0)
        };
        let story = [
            "Crash(3)",
            "Crash(4)",
            "Alarm(0, 0)",
            "0 → 1: Prepare",
            "1 → 0: Promise",
            "0 → 2: Prepare",
            "2 → 0: Promise",
            "guard",
            "Fail(1)",
            "Alarm(1, 1)",
            "Alarm(2, 1)",
        ];
        let rest = ["0 → 1: Accept", "1 → 0: Accepted", "0 → 2: Accept", "2 → 0: Accepted"];
        let story = [&story[..], &rest[..]].concat();
        assert_eq!(follow(&scene, &story).observer.installed.len(), 2);
        keeps(&scene, &story);
    }

    #[test]
    fn views_nothing_behind() {
        let changes = vec![Change::Insert(3)];
        let scene = Scene {
            changes,
            entries: 1,
            ..short("", 3, 1)
        };
        keeps(
            &scene,
            &[
                "Change(0)",
                "guard",
                "Number(0)",
                "0 → 1: Entry",
                "0 → 1: Accept",
                "1 → 0: Accepted",
            ],
        );
    }

    #[test]
    fn views_old_is_answered() {
        // The third is out, has not heard of it, and can decide nothing by itself: it asks.
        let rest = ["0 → 1: Install", "1 → 0: Installed"];
        ends_well(&scene::alarm(), &[&WITH_THE_SECOND[..], &rest[..]].concat());
    }

    #[test]
    fn views_tie() {
        let story = [
            "Cut",
            "Alarm(1, 0)",
            "Wake(1)",
            "Wake(1)",
            "guard",
            "Alarm(0, 0)",
            "Wake(0)",
            "guard",
        ];
        keeps(&scene::two(), &story);
    }
}
