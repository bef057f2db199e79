//! Leaving, and closing.

use super::comings::*;
use super::*;
use crate::io::{JoinError, LeaveError};
use crate::message::Notice;

#[test]
fn whoever_leaves_is_out_by_its_roots_word_and_nobody_fails() {
    let mut world = World::new(4);
    let group = world.group();
    world.leave(2, group);
    assert!(
        !world.left(2, group) && world.is_in(2, group),
        "not before the root has said so"
    );
    world.run(3 * LATENCY);
    assert!(world.left(2, group) && !world.is_in(2, group));
    let (ticket, error) = (Ticket(200), None);
    assert!(world.was_told(2, &Event::LeaveEnded { ticket, group, error }));
    world.run(SETTLED);
    for peer in [0, 1, 3] {
        assert_eq!(world.members(peer, group), ids(&[0, 1, 3]));
    }
    assert_alive_at(&world, &[0, 1, 3], group);
    world.crash(2);
    world.signal(1, group);
    world.run(SETTLED);
    assert!(world.failed(0, group).is_some() && world.failed(3, group).is_some());
    assert_eq!(world.failed(2, group), None);
}

#[test]
fn a_former_member_has_no_word() {
    let mut world = World::new(4);
    let group = world.group();
    world.leave(2, group);
    world.run(SETTLED);
    let text = "a lie".to_owned();
    let notice = Notice::signed(group, Reason::Signalled { by: id(2), text }, &keypair(2));
    for to in [0, 1, 3] {
        world.ask(2, to, Request::Fail(Box::new(notice.clone())));
    }
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 1, 3], group);
}

#[test]
fn everybody_may_leave_and_the_root_stays_until_it_closes() {
    let mut world = World::new(3);
    let group = world.open_group(3);
    for peer in [1, 2] {
        world.leave(peer, group);
    }
    world.run(SETTLED);
    assert_eq!(world.members(0, group), ids(&[0]));
    world.join(1, group);
    world.run(SETTLED);
    assert_eq!(world.members(0, group), ids(&[0, 1]));
    world.leave(0, group);
    world.run(SETTLED);
    assert!(world.closed(0, group) && world.closed(1, group) && !world.closed(2, group));
    world.assert_idle();
}

#[test]
fn a_departure_is_asked_for_again_until_it_is_acknowledged() {
    for lost in [(2, 0), (0, 2)] {
        let mut world = World::new(3);
        let group = world.group();
        world.deaf.insert(lost);
        world.leave(2, group);
        world.run(Duration::from_millis(500));
        assert!(world.is_in(2, group));
        world.deaf.clear();
        world.run(SETTLED);
        assert!(world.left(2, group), "{lost:?}");
        assert_alive_at(&world, &[0, 1], group);
    }
}

#[test]
fn a_departure_that_races_a_failure_hears_of_the_failure() {
    let mut world = World::new(3);
    let group = world.group();
    // The failure is on its way to the root when the departure begins.
    world.signal(1, group);
    world.leave(2, group);
    world.run(SETTLED);
    assert!(world.failed(2, group).is_some() && !world.left(2, group));
    let over = |event: &&Event| {
        matches!(
            event,
            Event::LeaveEnded {
                error: Some(LeaveError::Over(Reason::Signalled { .. })),
                ..
            }
        )
    };
    assert!(world.events(2).iter().any(over), "{:?}", world.events(2));
    world.assert_idle();
}

#[test]
fn a_departure_whose_word_is_lost_hears_unknown_of_a_group_that_failed_meanwhile() {
    let mut world = World::new(3);
    let group = world.group();
    world.cut(1, 2);
    world.cut(0, 2);
    world.signal(1, group);
    world.leave(2, group);
    world.run(secs(1));
    assert!(world.failed(0, group).is_some());
    world.deaf.clear();
    world.run(SETTLED);
    assert_eq!(world.reason(2, group), Some(Reason::FailedAtRoot { peer: id(0) }));
    assert!(!world.left(2, group));
}

/// ◆ leaver-is-mute and ◆ left-is-no-failure.
#[test]
fn a_leaver_that_cannot_reach_its_root_has_left_and_fails_nobody() {
    let mut world = World::new(3);
    let group = world.group();
    world.leave(2, group);
    world.queue.clear();
    world.deaf.extend([(0, 2), (2, 0)]);
    world.signal(2, group);
    world.run(secs(2));
    assert!(world.left(2, group), "its patience is over");
    assert_eq!(world.failed(2, group), None);
    world.deaf.clear();
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 1], group);
    assert_eq!(
        world.members(0, group),
        ids(&[0, 1]),
        "the root has found out, and nobody failed"
    );
}

#[test]
fn leaving_while_a_repair_runs() {
    for after in [0, 1, 20, 500] {
        let mut world = World::new(3);
        let group = world.group();
        world.no_path.insert((0, 2));
        world.break_paths(0, 2);
        world.run(Duration::from_millis(after));
        world.leave(2, group);
        world.run(secs(2));
        assert!(world.left(2, group), "after {after} ms");
        world.run(SETTLED);
        assert_alive_at(&world, &[0, 1], group);
    }
}

#[test]
fn a_closed_group_is_over_without_a_failure() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.observe(3, group);
    world.leave(0, group);
    world.run(3 * LATENCY);
    for peer in 0..4 {
        assert!(
            world.closed(peer, group) && world.failed(peer, group).is_none(),
            "at {peer}"
        );
        assert!(world.peers[peer].groups.counters().failures.is_empty());
        assert_eq!(world.peers[peer].groups.counters().closed, 1);
    }
    world.run(SETTLED);
    world.assert_idle();
}

/// ◆ closed-is-remembered.
#[test]
fn whoever_lost_the_word_hears_that_the_group_was_closed() {
    let mut world = World::new(3);
    let group = world.group();
    world.deaf.insert((0, 2));
    world.paths.retain(|path| path.member != id(2));
    world.leave(0, group);
    world.run(Duration::from_millis(100));
    assert!(world.closed(1, group) && !world.closed(2, group));
    world.deaf.clear();
    let path = world.path(group, 2, 1);
    world.tree(
        2,
        fatebound_tree::Event::Broken {
            path,
            cause: Cause::LinkDown,
        },
    );
    world.run(SETTLED);
    assert!(world.closed(2, group), "{:?}", world.events(2));
    assert_eq!(world.failed(2, group), None);
}

#[test]
fn only_the_root_can_close() {
    let mut world = World::new(3);
    let group = world.group();
    for by in [id(0), id(1)] {
        let notice = Notice::signed(group, Reason::Closed { by }, &keypair(1));
        for to in [0, 2] {
            world.ask(1, to, Request::Fail(Box::new(notice.clone())));
        }
    }
    world.run(SETTLED);
    assert_alive(&world, group);
}

#[test]
fn a_full_group_takes_nobody_until_somebody_leaves() {
    let mut config = Config::lan();
    config.max_members = 3;
    let mut world = World::with(5, &config);
    let group = world.open_group(3);
    world.join(3, group);
    assert_eq!(world.join_error(3), Some(&JoinError::Refused(Refusal::Full)));
    world.leave(1, group);
    world.run(SETTLED);
    world.join(3, group);
    assert!(world.is_in(3, group), "in the place of the one that left");
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 2, 3], group);
    world.leave(2, group);
    world.run(SETTLED);
    world.join(1, group);
    world.run(SETTLED);
    assert_alive_at(&world, &[0, 1, 3], group);
    let paths: Vec<PathId> = world.constructs.iter().map(|(path, _)| *path).collect();
    assert_eq!(
        paths.iter().collect::<BTreeSet<_>>().len(),
        paths.len(),
        "a path crosses a link at most once in its life"
    );
}

#[test]
fn a_check_asks_members_and_waits_for_nobody_who_leaves() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.observe(3, group);
    world.deaf.insert((2, 0));
    world.command(
        0,
        Command::Check {
            ticket: Ticket(1),
            group,
        },
    );
    world.run(secs(1));
    world.deaf.clear();
    world.leave(2, group);
    world.run(3 * LATENCY);
    let checked = |event: &&Event| matches!(event, Event::Checked { alive: Some(true), members, .. } if *members == [(id(1), true)]);
    assert!(world.events(0).iter().any(checked), "{:?}", world.events(0));
}

/// ◆ leave-names-its-join: "one that came late does not put out somebody who has come back".
#[test]
fn a_late_departure_does_not_put_out_whoever_has_come_back() {
    let mut world = World::new(3);
    let group = world.open_group(3);
    world.leave(2, group);
    world.run(SETTLED);
    world.join(2, group);
    world.ask(2, 0, Request::Leave { group, came: 0 });
    world.run(SETTLED);
    assert_eq!(world.members(0, group), ids(&[0, 1, 2]));
    assert_alive_at(&world, &[0, 1, 2], group);
}
