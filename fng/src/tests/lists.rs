//! Who is a member now: lists, and whoever has an older one.

use super::comings::*;
use super::*;
use crate::message::MAX_LISTED;

/// ◆ lists-follow: the others do not know the newcomer yet, so the root vouches for its word.
#[test]
fn the_word_of_a_newcomer_that_the_lists_do_not_name_yet_is_the_roots() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.wish(3, group, false);
    world.run(6 * LATENCY);
    assert!(world.is_in(3, group));
    assert_eq!(world.members(1, group), ids(&[0, 1, 2]), "no list yet");
    world.signal(3, group);
    world.run(3 * LATENCY);
    for peer in 0..4 {
        let text = "enough".to_owned();
        assert_eq!(
            world.reason(peer, group),
            Some(Reason::Signalled { by: id(3), text }),
            "at {peer}"
        );
    }
}

#[test]
fn lists_that_are_lost_are_told_again() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.wish(3, group, false);
    world.run(6 * LATENCY);
    world.deaf.insert((0, 1));
    world.run(secs(1));
    assert_eq!(world.members(1, group), ids(&[0, 1, 2]));
    assert_eq!(world.members(2, group), ids(&[0, 1, 2, 3]));
    world.deaf.clear();
    world.run(SETTLED);
    assert_eq!(world.members(1, group), ids(&[0, 1, 2, 3]));
    world.assert_idle();
}

#[test]
fn an_older_list_that_comes_late_changes_nothing() {
    let mut world = World::new(4);
    let group = world.open_group(3);
    world.join(3, group);
    world.run(SETTLED);
    let members = ids(&[0, 1, 2]);
    world.ask(
        0,
        1,
        Request::Members {
            group,
            list: 1,
            members: members.clone(),
        },
    );
    assert_eq!(world.members(1, group), ids(&[0, 1, 2, 3]));
    // Nor do a stranger's, and one that is no list.
    world.ask(
        2,
        1,
        Request::Members {
            group,
            list: 9,
            members: members.clone(),
        },
    );
    world.ask(
        0,
        1,
        Request::Members {
            group,
            list: 9,
            members: ids(&[1, 0]),
        },
    );
    world.ask(
        0,
        1,
        Request::Members {
            group,
            list: 9,
            members: vec![id(0); MAX_LISTED + 1],
        },
    );
    assert_eq!(world.members(1, group), ids(&[0, 1, 2, 3]));
}

#[test]
fn a_group_that_outgrows_lists_is_large_from_then_on() {
    let mut world = World::new(MAX_LISTED + 1);
    let group = world.open_group(MAX_LISTED);
    assert_eq!(world.members(1, group).len(), MAX_LISTED);
    world.join(MAX_LISTED, group);
    world.run(SETTLED);
    assert_eq!(world.members(0, group).len(), MAX_LISTED + 1, "the root knows");
    assert_eq!(world.members(1, group), ids(&[0, 1]), "others know no list any more");
    assert_eq!(world.members(MAX_LISTED, group), ids(&[0, MAX_LISTED]));
    let lists = world.posts();
    world.leave(MAX_LISTED, group);
    world.run(SETTLED);
    assert!(world.left(MAX_LISTED, group));
    assert_eq!(world.posts(), lists + 1, "the departure, and no list");
    world.signal(5, group);
    world.run(SETTLED);
    assert!((0..MAX_LISTED).all(|peer| world.failed(peer, group).is_some()));
    assert_eq!(world.failed(MAX_LISTED, group), None);
}

/// ◆ list-missed: others may have come or gone while its acceptance was on its way.
#[test]
fn whoever_was_invited_with_an_older_list_is_told_the_newest() {
    let mut world = World::new(5);
    let group = world.open_group(3);
    world.wish(3, group, true);
    world.run(LATENCY);
    world.deaf.insert((3, 0));
    world.run(LATENCY);
    assert!(world.is_in(3, group), "it has accepted, and the root has not heard so");
    world.join(4, group);
    world.run(secs(1));
    world.deaf.clear();
    world.run(SETTLED);
    for peer in [0, 1, 2, 3, 4] {
        assert_eq!(world.members(peer, group), ids(&[0, 1, 2, 4]), "at {peer}");
    }
}
