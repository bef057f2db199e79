//! Fail over whole trees of paths.

use super::world::TRUE;
use super::{World, group, path, path_of};
use crate::{Event, Input, Via};

/// A star: root 0, delegate 1, members 2, 3 and 4 behind it, all paths up.
fn star() -> World {
    let mut world = World::new(5, &crate::Config::default());
    for other in [0, 2, 3, 4] {
        world.link(1, other);
    }
    for member in 2..5 {
        world.construct(path(0, member, 1), Via::Overlay);
    }
    world.settle();
    world.events.clear();
    world
}

fn failed(member: u8, epoch: u32) -> Event {
    Event::Failed {
        path: path(0, member, epoch),
        notice: TRUE.to_vec(),
    }
}

#[test]
fn a_failure_at_the_root_reaches_every_member() {
    let mut world = star();
    world.fail(0, group(0, 1));
    world.settle();
    for member in 2..5 {
        assert_eq!(world.take_events(member), [failed(member, 1)]);
    }
    assert_eq!(world.paths(), [0; 5]);
}

#[test]
fn a_failure_at_a_member_runs_over_the_delegate_to_all_others() {
    let mut world = star();
    world.fail(3, group(0, 1));
    world.settle();
    for member in [2, 4] {
        assert_eq!(world.take_events(member), [failed(member, 1)]);
    }
    assert_eq!(world.take_events(0).len(), 3, "each path brings it to the root");
    assert_eq!(world.paths(), [0; 5]);
    world.ping_rounds(1);
    assert_eq!(world.mismatches(), 0);
}

#[test]
fn other_groups_on_the_same_links_live_on() {
    let mut world = star();
    let other = path_of(group(0, 2), 3, 1);
    world.construct(other, Via::Overlay);
    world.settle();
    world.fail(3, group(0, 1));
    world.settle();
    assert_eq!(world.paths(), [1, 1, 0, 1, 0]);
    assert!(world.trees[1].carries(&other.group));
}

/// Scenario 6: the path under construction is failed, too, by path; nothing is left of it, nowhere.
#[test]
fn a_fail_crosses_the_construct_of_another_path_of_the_group() {
    let mut world = star();
    world.construct(path(0, 2, 2), Via::Overlay);
    world.fail(3, group(0, 1));
    assert!(world.deliver(3, 1), "the fail of one member");
    assert!(world.deliver(0, 1), "crosses another one's construct");
    world.ping(0, 1);
    world.ping(1, 0);
    world.settle();
    world.ping_rounds(1);
    assert_eq!(world.mismatches(), 0);
    assert_eq!(world.paths(), [0; 5]);
}

#[test]
fn a_member_that_carries_a_path_of_its_own_group_forwards_and_hears() {
    let mut world = World::line(3);
    world.construct(path(0, 1, 1), Via::Overlay);
    world.construct(path(0, 2, 1), Via::Overlay);
    world.settle();
    world.events.clear();
    world.fail(2, group(0, 1));
    world.settle();
    assert_eq!(world.take_events(1), [failed(1, 1)]);
    assert_eq!(world.paths(), [0; 3]);
}

/// What does not verify is a release: the group layer of this world believes the true notice only.
#[test]
fn a_false_fail_costs_paths_and_no_group() {
    let mut world = star();
    let (group, notice) = (group(0, 1), b"false".to_vec());
    world.handle(3, Input::Fail { group, notice });
    world.settle();
    assert!(!world.forgotten.contains(&(0, group)));
    world.construct(path(0, 2, 2), Via::Overlay);
    world.settle();
    assert_eq!(world.paths(), [1, 1, 1, 0, 0]);
}

#[test]
fn a_fail_for_a_path_that_is_not_here_has_no_say() {
    let mut world = star();
    let link = world.link_at(1, 3);
    let operation = crate::Operation::Fail {
        paths: vec![path(0, 2, 1)],
        notice: TRUE.to_vec(),
    };
    world.handle(1, Input::Operation { link, operation });
    world.settle();
    assert_eq!(world.paths(), [3, 3, 1, 1, 1]);
}
