//! Digests under traffic, lists, and silence for one group only.

use std::time::Duration;

use super::{World, group, path, path_of};
use crate::{Cause, Config, Event, Input, PathId, Tell, Via};

fn two_groups() -> World {
    let mut world = World::line(4);
    for sequence in [1, 2] {
        world.construct(path_of(group(0, sequence), 3, 1), Via::Overlay);
    }
    world.settle();
    world.events.clear();
    world
}

/// Scenario 8: every ping overtakes an operation, for ever, and yet a difference is found and settled.
#[test]
fn a_link_that_changes_faster_than_it_is_pinged_is_compared() {
    let mut world = World::line(2);
    world.construct(path_of(group(1, 1), 0, 1), Via::Direct);
    world.settle();
    world.construct(path(0, 1, 1), Via::Direct);
    let step = |world: &mut World, epoch| {
        world.construct(path(0, 1, epoch), Via::Direct);
        world.ping(0, 1);
        world.deliver(0, 1);
        world.ping(1, 0);
        world.deliver(1, 0);
    };
    for epoch in 2..50 {
        step(&mut world, epoch);
    }
    assert_eq!(world.mismatches(), 0);
    let group = group(1, 1);
    world.handle(1, Input::Silence { group });
    for epoch in 50..60 {
        step(&mut world, epoch);
    }
    assert!(world.mismatches() > 0);
    assert!(!world.trees[0].carries(&group));
}

/// Mission A7: the far ends hear of it as of a broken path, the other group notices nothing, and it is over after one exchange.
#[test]
fn silence_is_for_one_group_only() {
    for silent in [0, 1, 2, 3] {
        let mut world = two_groups();
        let group = group(0, 1);
        world.handle(silent, Input::Silence { group });
        assert_eq!(world.sent("release"), 0, "nothing is said");
        world.ping_rounds(2);
        let told = world.take_events(0);
        let expected = Event::Broken {
            path: path_of(group, 3, 1),
            cause: Cause::Disagreed,
        };
        let expected = Vec::from_iter((silent != 0).then_some(expected));
        assert_eq!(told, expected);
        assert_eq!(world.paths(), [1; 4]);
        let mismatches = world.mismatches();
        assert!(mismatches > 0);
        world.ping_rounds(3);
        assert_eq!(world.mismatches(), mismatches);
    }
}

#[test]
fn a_silent_peer_swallows_what_is_said_about_the_group_until_it_forgets() {
    let mut world = two_groups();
    let group = group(0, 1);
    world.handle(1, Input::Silence { group });
    world.ping_rounds(2);
    world.events.clear();
    let releases = world.sent("release");
    world.construct(path_of(group, 3, 2), Via::Overlay);
    world.settle();
    assert_eq!(world.take_events(0), []);
    assert_eq!(world.sent("release"), releases, "it is not answered");
    world.ping_rounds(2);
    let cause = Cause::Disagreed;
    let path = path_of(group, 3, 2);
    assert_eq!(world.take_events(0), [Event::Broken { path, cause }]);
    world.handle(1, Input::Unsilence { group });
    world.construct(path_of(group, 3, 3), Via::Overlay);
    world.settle();
    let path = path_of(group, 3, 3);
    assert_eq!(world.take_events(0), [Event::Live { path, hops: 3 }]);
}

#[test]
fn a_silent_peer_forgets_the_oldest_of_too_many() {
    let mut world = World::line(2);
    world.checked = false;
    for sequence in 1..=4097 {
        let group = group(0, sequence);
        world.handle(1, Input::Silence { group });
    }
    world.construct(path_of(group(0, 1), 1, 1), Via::Direct);
    world.construct(path_of(group(0, 2), 1, 1), Via::Direct);
    world.settle();
    assert_eq!(world.paths(), [2, 1]);
}

/// Scenario 7: the list shows a moment before the construct; the construct is not taken for something that the other lacks.
#[test]
fn a_construct_in_flight_survives_an_exchange_of_lists() {
    let mut world = two_groups();
    world.handle(1, Input::Silence { group: group(0, 1) });
    world.construct(path(0, 1, 7), Via::Direct);
    world.ping(0, 1);
    world.ping(1, 0);
    world.construct(path(0, 1, 8), Via::Direct);
    world.construct(path_of(group(1, 3), 0, 1), Via::Direct);
    world.settle();
    world.ping_rounds(2);
    world.settle();
    let at_root: Vec<_> = world.trees[0].path_ids().collect();
    assert!(at_root.contains(&path_of(group(1, 3), 0, 1)));
    assert!(!at_root.contains(&path_of(group(0, 1), 3, 1)));
}

/// Pings overtake lists, so the construct may have been acknowledged long before the list comes that does not know it.
#[test]
fn a_list_older_than_the_last_ping_settles_what_it_can() {
    let mut world = World::line(3);
    world.construct(path(0, 1, 1), Via::Direct);
    world.settle();
    world.events.clear();
    world.handle(1, Input::Silence { group: group(0, 1) });
    world.ping(0, 1);
    assert_eq!(world.count_tells(1, 0), 1);
    let later = path_of(group(0, 2), 2, 1);
    world.construct(later, Via::Overlay);
    world.deliver(0, 1);
    world.ping(1, 0);
    world.deliver(1, 0);
    assert_eq!(world.trees[0].path_ids().collect::<Vec<_>>(), [later]);
    world.settle();
    world.ping_rounds(2);
    assert_eq!(world.paths(), [1; 3]);
    assert_eq!(world.mismatches(), 2, "one difference, seen by both of its ends");
}

/// Lists are lost with a session; they come again, but not with every ping.
#[test]
fn a_lost_list_is_repeated_after_a_pause() {
    let mut world = two_groups();
    world.handle(1, Input::Silence { group: group(0, 1) });
    world.ping(0, 1);
    assert_eq!(world.lose_tells(1, 0), 1);
    world.ping(0, 1);
    assert_eq!(world.lose_tells(1, 0), 0, "too early");
    world.now += Duration::from_secs(1);
    world.ping(0, 1);
    assert_eq!(world.lose_tells(1, 0), 1);
    world.now += Duration::from_millis(1999);
    world.ping(0, 1);
    assert_eq!(world.lose_tells(1, 0), 0, "the pause has doubled");
    world.now += Duration::from_millis(1);
    world.ping(0, 1);
    world.settle();
    assert_eq!(world.take_events(0).len(), 1);
    assert_eq!(
        world.trees[1].mismatches(),
        1,
        "one difference, however often it is seen"
    );
}

/// With an adversary under every list, a difference would last for ever: then it is what silence is.
#[test]
fn a_difference_that_no_list_settles_ends_the_link() {
    let mut world = two_groups();
    let patience = Config::default().settle_timeout;
    world.handle(1, Input::Silence { group: group(0, 1) });
    let lost_list = |world: &mut World| {
        world.ping(0, 1);
        world.lose_tells(1, 0)
    };
    assert_eq!(lost_list(&mut world), 1);
    world.now += patience - Duration::from_millis(1);
    assert_eq!(lost_list(&mut world), 1);
    assert_eq!(world.given_up, [], "too early");
    world.now += Duration::from_millis(1);
    assert_eq!(lost_list(&mut world), 0);
    assert_eq!(world.given_up, [1]);
}

/// Who hears the other's list has done what it can, and waits anew.
#[test]
fn a_list_that_comes_ends_the_wait() {
    let mut world = two_groups();
    let patience = Config::default().settle_timeout;
    world.handle(1, Input::Silence { group: group(0, 1) });
    world.ping(1, 0);
    assert_eq!(world.lose_tells(0, 1), 1);
    world.ping(0, 1);
    world.settle();
    world.now += patience;
    world.handle(1, Input::Silence { group: group(0, 2) });
    world.ping(1, 0);
    assert_eq!(world.given_up, []);
    assert_eq!(world.count_tells(0, 1), 1);
}

#[test]
fn long_lists_come_in_parts() {
    let mut world = World::line(2);
    world.checked = false;
    for sequence in 1..=600 {
        world.construct(path_of(group(0, sequence), 1, 1), Via::Direct);
    }
    world.settle();
    world.events.clear();
    world.handle(1, Input::Silence { group: group(0, 300) });
    world.ping(0, 1);
    assert_eq!(world.count_tells(1, 0), 3);
    world.settle();
    let path = path_of(group(0, 300), 1, 1);
    let cause = Cause::Disagreed;
    assert_eq!(world.events, [(0, Event::Broken { path, cause })]);
    assert_eq!(world.paths(), [599, 599]);
}

/// A gap in the parts must not make the rest of the set look as if it were missing.
#[test]
fn a_list_with_a_gap_is_no_list() {
    let mut world = World::line(2);
    world.checked = false;
    for sequence in 1..=600 {
        world.construct(path_of(group(0, sequence), 1, 1), Via::Direct);
    }
    world.settle();
    world.events.clear();
    world.handle(1, Input::Silence { group: group(0, 300) });
    world.ping(0, 1);
    world.lose_first(1, 0);
    world.settle();
    assert_eq!(world.events, []);
    assert_eq!(world.paths(), [600, 599]);
}

/// Two peers with three paths from 0 to 1.
fn pair() -> World {
    let mut world = World::line(2);
    for sequence in 1..=3 {
        world.construct(path_of(group(0, sequence), 1, 1), Via::Direct);
    }
    world.settle();
    world.events.clear();
    world
}

/// Part of a list as 1 would send it now, but for what it names; `late` operations of 1 were not known to it yet.
fn list(world: &World, part: u32, parts: u32, paths: &[PathId], late: u64) -> Tell {
    let moment = world.trees[1].joint_set(world.link_at(1, 0)).expect("a link");
    Tell::List {
        sent: moment.sent - late,
        received: moment.received,
        part,
        parts,
        paths: paths.to_vec(),
    }
}

/// 1 says this to 0.
fn told(world: &mut World, tell: Tell) {
    let link = world.link_at(0, 1);
    world.handle(0, Input::Told { link, tell });
}

fn all(world: &World) -> Vec<PathId> {
    world.trees[0].path_ids().collect()
}

#[test]
fn a_list_that_agrees_changes_nothing_and_is_not_answered() {
    let mut world = pair();
    let same = list(&world, 0, 1, &all(&world), 0);
    told(&mut world, same);
    assert_eq!(world.count_tells(0, 1), 0);
    assert_eq!((world.mismatches(), world.paths()), (0, vec![3, 3]));
}

#[test]
fn a_list_that_names_more_is_a_difference_and_is_answered_by_our_own() {
    let mut world = pair();
    let mut more = all(&world);
    more.push(path(0, 1, 7));
    let more = list(&world, 0, 1, &more, 0);
    told(&mut world, more);
    assert_eq!(world.count_tells(0, 1), 1);
    assert_eq!((world.mismatches(), world.paths()), (1, vec![3, 3]));
}

/// Its sender could not know yet that we have released it.
#[test]
fn what_a_list_names_and_we_have_released_since_is_not_amiss() {
    let mut world = pair();
    let before = list(&world, 0, 1, &all(&world), 0);
    let (path, cause) = (path(0, 1, 1), Cause::Abandoned);
    world.handle(0, Input::Release { path, cause });
    told(&mut world, before);
    assert_eq!(world.count_tells(0, 1), 0);
    assert_eq!(world.mismatches(), 0);
}

/// Something that the sender has said since may have added what the list lacks: the next list will do.
#[test]
fn a_list_from_before_the_last_operation_is_passed_over() {
    let mut world = pair();
    let old = list(&world, 0, 1, &[], 1);
    told(&mut world, old);
    assert_eq!((world.mismatches(), world.paths()), (0, vec![3, 3]));
}

#[test]
fn a_list_of_operations_that_we_never_sent_is_a_violation() {
    let mut world = pair();
    let Tell::List { sent, received, .. } = list(&world, 0, 1, &[], 0) else {
        unreachable!()
    };
    let lie = Tell::List {
        sent,
        received: received + 1,
        part: 0,
        parts: 1,
        paths: all(&world),
    };
    told(&mut world, lie);
    assert_eq!(world.violations, [(0, "a list that cannot be")]);
}

#[test]
fn parts_in_disorder_or_of_two_lists_are_no_list() {
    let mut world = pair();
    for (part, parts) in [(0, 3), (2, 3), (1, 3)] {
        let part = list(&world, part, parts, &[], 0);
        told(&mut world, part);
    }
    let first = list(&world, 0, 2, &[], 1);
    told(&mut world, first);
    let of_another = list(&world, 1, 2, &[], 0);
    told(&mut world, of_another);
    assert_eq!((world.mismatches(), world.paths()), (0, vec![3, 3]));
    assert_eq!(world.violations, []);
}

#[test]
fn a_difference_after_an_agreement_is_another_one() {
    let mut world = pair();
    for (sequence, mismatches) in [(1, 2), (2, 4)] {
        let group = group(0, sequence);
        world.handle(1, Input::Silence { group });
        world.ping_rounds(3);
        assert_eq!(world.mismatches(), mismatches, "both ends see it");
    }
    assert_eq!(world.paths(), [1, 1]);
}

#[test]
fn everything_that_can_grow_is_counted_against_its_limit() {
    let mut world = pair();
    let paths: Vec<PathId> = (1..=2).map(|sequence| path_of(group(0, sequence), 1, 1)).collect();
    let begun = list(&world, 0, 2, &paths, 0);
    told(&mut world, begun);
    world.handle(1, Input::Silence { group: group(0, 3) });
    let sizes = |at: usize| -> Vec<(&str, usize)> {
        let bounds = world.trees[at].bounds();
        assert!(bounds.iter().all(|bounded| bounded.size <= bounded.limit), "{bounds:?}");
        bounds.iter().map(|bounded| (bounded.what, bounded.size)).collect()
    };
    let expected = |paths, listed, changes, silent| {
        [
            ("paths", paths),
            ("paths on a link", paths),
            ("paths of a list", listed),
            ("history of a joint set", changes),
            ("silent groups of the tree", silent),
        ]
    };
    assert_eq!(sizes(0), expected(3, 2, 3, 0));
    assert_eq!(sizes(1), expected(2, 0, 0, 1));
}
