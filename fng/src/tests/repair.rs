//! Repair: broken paths come up again and nobody hears of it; only what cannot be mended fails.

use super::*;

#[test]
fn a_broken_path_is_replaced_without_a_probe() {
    let mut world = World::new(3);
    let group = world.group();
    world.break_paths(0, 1);
    world.run(Duration::from_millis(10));
    assert_alive(&world, group);
    assert_eq!(probes(&world, 0), 0, "the overlay was faster than probe_delay");
    assert_eq!(world.constructs.last(), Some(&(world.path(group, 1, 2), Via::Overlay)));
    let counters = world.peers[0].groups.counters();
    assert_eq!((counters.repairs_begun, counters.repairs_ended), (1, 1));
    assert_eq!(world.peers[0].groups.view(&group).unwrap().repairing, 0);
}

#[test]
fn attempts_go_round_until_one_way_works() {
    let mut world = World::new(2);
    let group = world.group();
    world.no_overlay.insert((0, 1));
    world.no_path.insert((0, 1));
    world.break_paths(0, 1);
    world.run(secs(30));
    assert_eq!(world.reason(0, group), None, "while proofs are fresh it goes on");
    let ways: Vec<Via> = world.constructs.iter().skip(1).map(|(_, via)| *via).collect();
    // Every third attempt asks for a link, which cannot be made.
    assert_eq!(
        ways[..4],
        [
            Via::Overlay,
            Via::CommonNeighbour(0),
            Via::Overlay,
            Via::CommonNeighbour(1)
        ]
    );
    assert!(ways.len() < 60, "with back-off: {}", ways.len());
    world.no_path.clear();
    world.run(secs(20));
    assert_alive(&world, group);
    assert!(!matches!(world.constructs.last(), Some((_, Via::Overlay))));
}

/// The path that is being built may be longer than the one that broke.
#[test]
fn a_root_gives_the_bound_of_the_longest_path_while_it_repairs() {
    let mut world = World::new(3);
    let group = world.group();
    let bound = |world: &World| world.peers[0].groups.view(&group).unwrap().notification_bound;
    let (own, longest) = (bound(&world), Config::lan().notification_bound());
    assert!(own < longest, "{own:?}");
    world.no_path.insert((0, 1));
    world.break_paths(0, 1);
    world.run(secs(1));
    assert_eq!(bound(&world), longest);
    world.no_path.clear();
    world.run(secs(30));
    assert_eq!(bound(&world), own);
}

#[test]
fn the_direct_connection_is_a_path_of_its_own() {
    let mut world = World::new(2);
    let group = world.group();
    world.no_overlay.insert((0, 1));
    world.break_paths(0, 1);
    world.run(2 * LATENCY);
    // The common neighbour leads nowhere either: its path is lost without a word.
    let (path, cause) = (world.path(group, 1, 2), Cause::NoRoute);
    world.tree(0, fatebound_tree::Event::Broken { path, cause });
    while world.constructs.last().unwrap().1 == Via::Overlay {
        world.run(LATENCY);
    }
    let path = world.constructs.last().unwrap().0;
    assert_eq!(world.constructs.last().unwrap().1, Via::CommonNeighbour(0));
    world.queue.clear();
    world.paths.clear();
    world.tree(0, fatebound_tree::Event::Broken { path, cause });
    world.run(secs(1));
    assert_eq!(world.constructs.last().unwrap().1, Via::Direct);
    assert_alive(&world, group);
}

#[test]
fn who_is_busy_is_not_asked_again_at_once() {
    let mut world = World::new(2);
    let group = world.group();
    let (path, cause) = (world.path(group, 1, 1), Cause::Busy);
    let out = world.outputs(0, Input::Tree(fatebound_tree::Event::Broken { path, cause }));
    let attempt = |output: &Output| matches!(output, Output::Construct { .. });
    assert!(!out.iter().any(attempt), "{out:?}");
    world.run(secs(1));
    assert_eq!(world.constructs[1..], [(world.path(group, 1, 2), Via::Overlay)]);
}

#[test]
fn busy_costs_no_attempt() {
    let mut world = World::new(2);
    world.create(0, &[1], None);
    world.run(secs(1));
    world.break_paths(0, 1);
    world.no_overlay.insert((0, 1));
    for _ in 0..5 {
        let before = world.constructs.len();
        while world.constructs.len() == before {
            world.run(LATENCY / 4);
        }
        let (path, via) = *world.constructs.last().unwrap();
        assert_eq!(via, Via::Overlay);
        world.queue.retain(|_, (_, input)| !matches!(input, Input::Tree(_)));
        let cause = Cause::Busy;
        world.tree(0, fatebound_tree::Event::Broken { path, cause });
    }
}

#[test]
fn a_member_insists_when_its_root_noticed_nothing() {
    let mut world = World::new(2);
    let group = world.group();
    let (path, cause) = (world.path(group, 1, 1), Cause::LinkDown);
    world.paths.clear();
    world.tree(1, fatebound_tree::Event::Broken { path, cause });
    world.run(Duration::from_millis(20));
    assert_alive(&world, group);
    assert_eq!(world.constructs.len(), 2);
}

/// However long the path was up: that is no reason to look for another way.
#[test]
fn a_members_request_about_its_current_path_is_repaired_over_the_overlay() {
    let mut world = World::new(2);
    let group = world.group();
    world.run(secs(60));
    let groups = vec![(group, Some(1))];
    world.ask(1, 0, Request::NeedRepair { groups });
    world.run(secs(1));
    assert_eq!(world.constructs[1..], [(world.path(group, 1, 2), Via::Overlay)]);
    assert_alive(&world, group);
}

#[test]
fn what_is_said_of_an_older_path_changes_nothing() {
    let mut world = World::new(2);
    let group = world.group();
    world.break_paths(0, 1);
    world.run(secs(1));
    let (path, cause) = (world.path(group, 1, 1), Cause::LinkDown);
    world.tree(0, fatebound_tree::Event::Broken { path, cause });
    world.run(secs(1));
    assert_eq!(world.constructs.len(), 2);
    assert_alive(&world, group);
}

/// "The root releases every epoch that it abandons": also one that comes up when nobody waits for it any more.
#[test]
fn a_path_that_comes_up_too_late_is_released_and_does_not_count() {
    let mut world = World::new(2);
    let group = world.group();
    let (path, hops) = (world.path(group, 1, 1), 1);
    let late = || Input::Tree(fatebound_tree::Event::Live { path, hops });
    let released = |out: &[Output]| matches!(out, [Output::Release { path: said, .. }] if *said == path);
    // Between two attempts …
    let cause = Cause::Shutdown;
    world.outputs(0, Input::Tree(fatebound_tree::Event::Broken { path, cause }));
    let out = world.outputs(0, late());
    assert!(released(&out), "{out:?}");
    // … and while the next one is under way.
    world.now += secs(1);
    let out = world.outputs(0, Input::Wake);
    let next = |output: &Output| matches!(output, Output::Construct { path, .. } if path.epoch == 2);
    assert!(out.iter().any(next), "{out:?}");
    let out = world.outputs(0, late());
    assert!(released(&out), "{out:?}");
    assert_eq!(world.peers[0].groups.view(&group).unwrap().hops, [None]);
}

#[test]
fn the_root_waits_a_tick_for_the_goodbye_behind_a_shutdown() {
    let mut world = World::new(2);
    let group = world.group();
    let (path, cause) = (world.path(group, 1, 1), Cause::Shutdown);
    world.tree(0, fatebound_tree::Event::Broken { path, cause });
    world.run(Duration::from_millis(9));
    assert_eq!(world.constructs.len(), 1);
    world.run(Duration::from_millis(1));
    assert_eq!(world.constructs.len(), 2);
}

#[test]
fn an_attempt_that_takes_too_long_is_followed_by_one_on_another_way() {
    let mut world = World::new(2);
    world.group();
    world.constructs.clear();
    world.break_paths(0, 1);
    let mut ways = Vec::new();
    for _ in 0..60_000 {
        world.run(LATENCY / 4);
        // The member answers questions, but no path and no link comes up.
        let lost = |input: &Input| {
            matches!(
                input,
                Input::LinkUp { .. } | Input::Tree(fatebound_tree::Event::Arrived { .. })
            )
        };
        world.queue.retain(|_, (_, input)| !lost(input));
        ways.extend(world.constructs.drain(..).map(|(_, via)| via));
    }
    assert_eq!(
        ways[..4],
        [
            Via::Overlay,
            Via::CommonNeighbour(0),
            Via::Overlay,
            Via::CommonNeighbour(1)
        ]
    );
}

/// Patience is short; who waited for `path_timeout` each time would not get round.
#[test]
fn when_no_link_can_be_made_the_next_attempt_follows_soon() {
    let mut world = World::new(2);
    world.group();
    world.no_overlay.insert((0, 1));
    world.no_path.insert((0, 1));
    world.break_paths(0, 1);
    world.run(Duration::from_millis(1500));
    let ways: Vec<Via> = world.constructs.iter().skip(1).map(|(_, via)| *via).collect();
    assert_eq!(ways[..3], [Via::Overlay, Via::CommonNeighbour(0), Via::Overlay]);
}

#[test]
fn a_stale_request_is_only_acknowledged() {
    let mut world = World::new(2);
    let group = world.group();
    world.break_paths(0, 1);
    world.run(secs(1));
    for epoch in [None, Some(0), Some(1), Some(7)] {
        let groups = vec![(group, epoch)];
        world.ask(1, 0, Request::NeedRepair { groups });
    }
    world.run(secs(1));
    assert_eq!(world.constructs.len(), 2, "no third epoch");
    assert_alive(&world, group);
}

#[test]
fn a_member_whose_confirm_was_forged_gets_a_path_all_the_same() {
    for confirmed_before in [false, true] {
        let mut world = World::new(2);
        let group = world.create(0, &[1], None);
        let mut honest = usize::from(confirmed_before);
        let mut broken = !confirmed_before;
        for _ in 0..30_000 {
            world.run(LATENCY / 2);
            if !broken && world.now > Time::from_millis(100) {
                broken = true;
                world.break_paths(0, 1);
            }
            let Some((path, via)) = world.constructs.get(honest).copied() else {
                continue;
            };
            honest += 1;
            if via != Via::Direct {
                // A delegate swallows the construction and answers for the member.
                world
                    .queue
                    .retain(|_, (_, input)| !matches!(input, Input::Tree(fatebound_tree::Event::Arrived { .. })));
                world.paths.remove(&path);
                world.tree(0, fatebound_tree::Event::Live { path, hops: 1 });
            }
        }
        assert_eq!(world.constructs.last().unwrap().1, Via::Direct);
        assert_alive(&world, group);
    }
}

#[test]
fn a_first_path_that_never_comes_is_broken() {
    let mut world = World::new(2);
    let group = world.create(0, &[1], None);
    while world.constructs.is_empty() {
        world.run(LATENCY / 2);
    }
    world.queue.retain(|_, (_, input)| !matches!(input, Input::Tree(_)));
    world.run(Duration::from_millis(1900));
    assert_eq!(world.constructs.len(), 1);
    world.run(Duration::from_millis(300));
    assert_eq!(world.constructs.len(), 2);
    assert_alive(&world, group);
}

#[test]
fn of_two_epochs_the_newer_wins_in_any_order() {
    let mut world = World::new(2);
    let group = world.group();
    for epoch in [5, 3] {
        let path = world.path(group, 1, epoch);
        world.paths.insert(path);
        world.tree(1, fatebound_tree::Event::Arrived { path });
    }
    assert!(
        !world.paths.contains(&world.path(group, 1, 1)),
        "the older one was released"
    );
    assert!(
        !world.paths.contains(&world.path(group, 1, 3)),
        "the late one was refused"
    );
    assert!(world.paths.contains(&world.path(group, 1, 5)));
}

#[test]
fn a_member_confirms_its_first_path_and_releases_nothing() {
    let mut world = World::new(2);
    let group = world.create(0, &[1], None);
    world.run(LATENCY);
    let path = world.path(group, 1, 1);
    let arrived = Input::Tree(fatebound_tree::Event::Arrived { path });
    let first = world.outputs(1, arrived.clone());
    assert!(matches!(first[..], [Output::Confirm { .. }]), "{first:?}");
    let again = world.outputs(1, arrived);
    let cause = Cause::Old;
    assert!(
        matches!(again[..], [Output::Release { cause: said, .. }] if said == cause),
        "{again:?}"
    );
}

#[test]
fn an_abandoned_epoch_is_released_once_and_a_broken_one_not_at_all() {
    let mut world = World::new(2);
    let group = world.group();
    let mut out = Vec::new();
    let (path, cause) = (world.path(group, 1, 1), Cause::LinkDown);
    let context = Context::default();
    let broken = Input::Tree(fatebound_tree::Event::Broken { path, cause });
    world.peers[0].groups.handle(world.now, broken, context, &mut out);
    let releases = |out: &[Output]| {
        out.iter()
            .filter(|output| matches!(output, Output::Release { .. }))
            .count()
    };
    assert_eq!(releases(&out), 0);
    let later = world.now + secs(3);
    world.peers[0].groups.handle(later, Input::Wake, context, &mut out);
    assert_eq!(releases(&out), 1, "path_timeout");
}

/// Any mixture of signals, cuts, breaks, suspicions, lost mail and restarts: each live peer that joined is told at most once, everybody is told if
/// anybody is, and afterwards nothing is under way.
#[test]
fn random_faults_keep_the_promises() {
    use rand::RngExt;
    for seed in 0..150 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(5);
        let groups: Vec<GroupId> = (0..4).map(|n| world.create(n, &[0, 1, 2, 3, 4], None)).collect();
        world.run(Duration::from_millis(rng.random_range(0..50)));
        for _ in 0..rng.random_range(1..6) {
            let (a, b) = (rng.random_range(0..5), rng.random_range(0..5));
            let group = groups[rng.random_range(0..groups.len())];
            match rng.random_range(0..6) {
                0 => world.signal(a, group),
                1 if a != b => world.break_paths(a, b),
                2 if a != b => world.cut(a, b),
                3 if a != b => {
                    world.deaf.insert((a, b));
                }
                4 => {
                    let path = world.path(group, a, 1);
                    world.tree(b, fatebound_tree::Event::Suspected { path });
                }
                // Mail gets lost; the tree's own words do not.
                _ => world
                    .queue
                    .retain(|_, (_, input)| matches!(input, Input::Tree(_)) || rng.random_range(0..4) > 0),
            }
            world.run(Duration::from_millis(rng.random_range(0..3000)));
        }
        // A tree that lost a path tells its ends in the end; and so does every cut link.
        for a in 0..5 {
            for b in 0..a {
                world.break_paths(a, b);
            }
        }
        world.run(secs(120));
        for group in groups {
            let failed: Vec<bool> = (0..5).map(|peer| world.failed(peer, group).is_some()).collect();
            let here: Vec<bool> = (0..5)
                .map(|peer| world.peers[peer].groups.view(&group).is_some())
                .collect();
            assert!(
                !failed.contains(&true) || !here.contains(&true),
                "seed {seed}: {failed:?} {here:?}"
            );
        }
    }
}
