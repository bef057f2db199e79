//! Construct, confirm, release, suspicion and shutdown over whole paths.

use fatebound_overlay::{Hop, LinkId, PeerId, Routes, Tag};

use super::{World, group, path, path_of, tag};
use crate::{Cause, Config, Event, Input, Operation, Output, Via};

/// A world in a line whose ends are root and member, with the path up and all events read.
fn live(peers: u8) -> World {
    let mut world = World::line(peers);
    world.construct(path(0, peers - 1, 1), Via::Overlay);
    world.settle();
    assert_eq!(world.paths(), vec![1; peers.into()]);
    world.events.clear();
    world
}

fn broken(epoch: u32, member: u8, cause: Cause) -> Event {
    let path = path(0, member, epoch);
    Event::Broken { path, cause }
}

#[test]
fn a_path_comes_up_and_its_hops_are_counted() {
    let mut world = World::line(4);
    world.construct(path(0, 3, 1), Via::Overlay);
    world.settle();
    let path = path(0, 3, 1);
    assert_eq!(world.take_events(3), [Event::Arrived { path }]);
    assert_eq!(world.take_events(0), [Event::Live { path, hops: 3 }]);
    assert_eq!(world.events, []);
    assert_eq!(world.trees.iter().map(crate::Tree::paths_as_delegate).sum::<usize>(), 2);
    assert!(world.trees[1].carries(&path.group));
    assert_eq!(world.trees[1].path_ids().collect::<Vec<_>>(), [path]);
}

#[test]
fn both_ends_of_every_link_see_the_same_set() {
    let mut world = live(4);
    world.ping_rounds(1);
    assert_eq!(world.mismatches(), 0);
    for (a, b) in [(0, 1), (1, 2), (2, 3)] {
        let ends = [(a, b), (b, a)].map(|(a, b)| world.trees[usize::from(a)].joint_set(world.link_at(a, b)));
        assert_eq!(ends[0].map(|joint| joint.digest), ends[1].map(|joint| joint.digest));
        assert_eq!(ends.map(|joint| joint.map(|joint| joint.paths)), [Some(1); 2]);
        assert_eq!(world.trees[usize::from(a)].paths_on(world.link_at(a, b)), 1);
    }
}

#[test]
fn a_release_by_either_end_leaves_nothing() {
    for (by, told) in [(0, 3), (3, 0)] {
        let mut world = live(4);
        let (path, cause) = (path(0, 3, 1), Cause::Abandoned);
        world.handle(by, Input::Release { path, cause });
        world.settle();
        assert_eq!(world.take_events(told), [broken(1, 3, cause)]);
        assert_eq!(world.events, []);
        assert_eq!(world.paths(), [0; 4]);
    }
}

#[test]
fn a_delegate_does_not_release_for_the_groups() {
    let mut world = live(3);
    let (path, cause) = (path(0, 2, 1), Cause::Abandoned);
    world.handle(1, Input::Release { path, cause });
    assert_eq!(world.paths(), [1; 3]);
}

#[test]
fn without_a_next_hop_the_root_is_told_and_nobody_keeps_a_half_made_path() {
    let mut world = World::line(5);
    world.cut(2, 3);
    world.construct(path(0, 4, 1), Via::Overlay);
    world.settle();
    assert_eq!(world.take_events(0), [broken(1, 4, Cause::NoRoute)]);
    assert_eq!(world.paths(), [0; 5]);
    world.ping_rounds(1);
    assert_eq!(world.mismatches(), 0);
}

#[test]
fn a_root_without_any_hop_is_told_at_once() {
    let mut world = World::new(2, &Config::default());
    for via in [Via::Overlay, Via::Direct, Via::CommonNeighbour(3)] {
        world.construct(path(0, 1, 1), via);
        assert_eq!(world.take_events(0), [broken(1, 1, Cause::NoRoute)]);
    }
}

#[test]
fn a_path_has_as_many_hops_as_allowed_and_no_more() {
    let config = Config {
        hop_limit: 4,
        ..Config::default()
    };
    let mut world = World::new(6, &config);
    for number in 1..6 {
        world.link(number - 1, number);
    }
    world.construct(path(0, 4, 1), Via::Overlay);
    world.construct(path(0, 5, 1), Via::Overlay);
    world.settle();
    let live = Event::Live {
        path: path(0, 4, 1),
        hops: 4,
    };
    let mut events = world.take_events(0);
    events.sort_by_key(|event| *event != live);
    assert_eq!(events, [live, broken(1, 5, Cause::HopLimit)]);
}

#[test]
fn a_full_link_and_a_full_peer_are_busy() {
    let configs = [(1, 100), (100, 1)].map(|(max_paths, max_paths_per_link)| Config {
        max_paths,
        max_paths_per_link,
        ..Config::default()
    });
    for config in configs {
        let mut world = World::new(3, &config);
        world.trees[0] = crate::Tree::new(&Config::default(), super::peer(0));
        world.link(0, 1);
        world.link(1, 2);
        world.construct(path(0, 2, 1), Via::Overlay);
        world.construct(path(0, 2, 2), Via::Overlay);
        world.settle();
        assert!(world.take_events(0).contains(&broken(2, 2, Cause::Busy)));
        assert_eq!(world.paths(), [1; 3]);
    }
}

#[test]
fn the_direct_link_has_no_delegate_and_a_common_neighbour_one() {
    let mut world = World::new(4, &Config::default());
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)] {
        world.link(a, b);
    }
    world.construct(path(0, 3, 1), Via::Direct);
    world.settle();
    assert_eq!(world.paths(), [1, 0, 0, 1]);
    world.construct(path(0, 3, 2), Via::CommonNeighbour(0));
    world.settle();
    assert_eq!(world.paths(), [2, 1, 0, 2]);
    world.construct(path(0, 3, 3), Via::CommonNeighbour(5));
    world.settle();
    assert_eq!(world.paths(), [3, 1, 1, 3]);
}

#[test]
fn a_restarted_member_answers_unknown() {
    let mut world = World::line(3);
    world.forgotten.insert((2, group(0, 1)));
    world.construct(path(0, 2, 1), Via::Overlay);
    world.settle();
    assert_eq!(world.take_events(0), [broken(1, 2, Cause::Unknown)]);
    assert_eq!(world.paths(), [0; 3]);
}

/// Scenario 5.
#[test]
fn a_newer_epoch_overtakes_an_older_one() {
    let mut world = World::new(4, &Config::default());
    for (a, b) in [(0, 1), (1, 3), (0, 2), (2, 3)] {
        world.link(a, b);
    }
    world.construct(path(0, 3, 1), Via::CommonNeighbour(0));
    world.construct(path(0, 3, 2), Via::CommonNeighbour(1));
    for (a, b) in [(0, 2), (2, 3), (3, 2), (2, 0)] {
        assert!(world.deliver(a, b));
    }
    let newer = path(0, 3, 2);
    assert_eq!(world.take_events(0), [Event::Live { path: newer, hops: 2 }]);
    world.settle();
    assert_eq!(world.take_events(0), [broken(1, 3, Cause::Old)]);
    assert_eq!(world.paths(), [1, 0, 1, 1]);
}

#[test]
fn a_broken_link_is_told_to_both_ends() {
    let mut world = live(5);
    world.cut(2, 3);
    world.settle();
    assert_eq!(world.take_events(0), [broken(1, 4, Cause::LinkDown)]);
    assert_eq!(world.take_events(4), [broken(1, 4, Cause::LinkDown)]);
    assert_eq!(world.paths(), [0; 5]);
}

#[test]
fn a_dead_end_is_gone_and_a_dead_delegate_is_a_broken_link() {
    let mut world = live(4);
    world.down(world.wire(2, 3), 0, true);
    world.settle();
    assert_eq!(world.take_events(0), [broken(1, 3, Cause::Gone)]);

    let mut world = live(4);
    world.down(world.wire(0, 1), 1, true);
    world.settle();
    assert_eq!(world.take_events(3), [broken(1, 3, Cause::Gone)]);

    let mut world = live(4);
    world.down(world.wire(1, 2), 0, true);
    world.settle();
    assert_eq!(world.take_events(0), [broken(1, 3, Cause::LinkDown)]);
}

/// Scenario 13, seen from the tree: whatever was half made is released.
#[test]
fn a_link_that_goes_down_under_a_construct_breaks_it() {
    let mut world = World::line(2);
    world.construct(path(0, 1, 1), Via::Direct);
    world.cut(0, 1);
    assert_eq!(world.take_events(0), [broken(1, 1, Cause::LinkDown)]);
    assert_eq!(world.paths(), [0; 2]);
    world.link(0, 1);
    world.ping_rounds(1);
    assert_eq!(world.mismatches(), 0);
}

#[test]
fn a_confirm_after_a_release_is_ignored() {
    let mut world = World::line(3);
    world.construct(path(0, 2, 1), Via::Overlay);
    world.deliver(0, 1);
    world.deliver(1, 2);
    world.events.clear();
    let (path, cause) = (path(0, 2, 1), Cause::Abandoned);
    world.handle(0, Input::Release { path, cause });
    world.settle();
    assert_eq!(world.take_events(0), []);
    assert_eq!(world.paths(), [0; 3]);
}

#[test]
fn what_delegates_carry_is_released_at_shutdown_and_nothing_else() {
    let mut world = live(3);
    let own = path_of(group(0, 2), 1, 1);
    world.construct(own, Via::Overlay);
    world.settle();
    world.events.clear();
    world.handle(1, Input::Shutdown);
    world.settle();
    assert_eq!(world.take_events(0), [broken(1, 2, Cause::Shutdown)]);
    assert_eq!(world.take_events(2), [broken(1, 2, Cause::Shutdown)]);
    assert_eq!(world.trees[1].path_ids().collect::<Vec<_>>(), [own]);
    world.construct(path(0, 2, 2), Via::Overlay);
    world.settle();
    assert_eq!(world.take_events(0), [broken(2, 2, Cause::Shutdown)]);
}

#[test]
fn the_far_end_is_told_of_a_suspicion_and_the_path_stays() {
    let mut world = live(4);
    let path = path(0, 3, 1);
    for (at, suspect, told) in [(2, 3, 0), (1, 0, 3)] {
        let link = world.link_at(at, suspect);
        world.handle(
            at,
            Input::LinkDoubtful {
                link,
                unacknowledged: Vec::new(),
            },
        );
        world.settle();
        assert_eq!(world.take_events(told), [Event::Suspected { path }]);
        assert_eq!(world.events, []);
    }
    assert_eq!(world.paths(), [1; 4]);
}

#[test]
fn a_suspected_delegate_alarms_nobody() {
    let mut world = live(4);
    let link = world.link_at(1, 2);
    world.handle(
        1,
        Input::LinkDoubtful {
            link,
            unacknowledged: Vec::new(),
        },
    );
    world.settle();
    assert_eq!(world.events, []);
}

#[test]
fn on_a_direct_path_the_suspicion_is_ones_own() {
    let mut world = live(2);
    let link = world.link_at(1, 0);
    world.handle(
        1,
        Input::LinkDoubtful {
            link,
            unacknowledged: Vec::new(),
        },
    );
    world.settle();
    let path = path(0, 1, 1);
    assert_eq!(world.events, [(1, Event::Suspected { path })]);
}

/// Every way is a detour.
struct DeadEnd(LinkId);

impl Routes for DeadEnd {
    fn next_hop(&self, _: &PeerId, _: &[Tag], may_detour: bool) -> Option<Hop> {
        may_detour.then_some(Hop {
            link: self.0,
            detour: true,
        })
    }

    fn link_to(&self, _: &PeerId) -> Option<LinkId> {
        None
    }

    fn common_neighbours(&self, _: &PeerId) -> Vec<LinkId> {
        Vec::new()
    }

    fn round_trips(&self) -> Option<std::time::Duration> {
        None
    }
}

#[test]
fn a_detour_takes_a_credit_and_without_one_the_path_ends() {
    for (credits, left) in [(0, None), (1, Some(0)), (3, Some(2))] {
        let mut world = World::line(3);
        let (link, routes) = (world.link_at(1, 0), DeadEnd(world.link_at(1, 2)));
        let operation = Operation::Construct {
            path: path(0, 2, 1),
            visited: vec![tag(0)],
            detours: credits,
        };
        let mut out = Vec::new();
        let input = Input::Operation { link, operation };
        world.trees[1].handle(world.now, input, &routes, &mut out);
        let handed_on = out.iter().find_map(|output| match output {
            Output::Operate {
                operation: Operation::Construct { detours, .. },
                ..
            } => Some(*detours),
            _ => None,
        });
        assert_eq!(handed_on, left, "{credits} credits");
        let refused = |output: &Output| {
            matches!(output, Output::Operate { operation: Operation::Release { paths }, .. }
                if paths[..] == [(path(0, 2, 1), Cause::NoRoute)])
        };
        assert_eq!(out.iter().any(refused), left.is_none());
    }
}

#[test]
fn a_root_builds_no_path_twice_and_none_of_a_group_it_is_silent_about() {
    let mut world = World::line(3);
    for _ in 0..2 {
        world.construct(path(0, 2, 1), Via::Overlay);
    }
    assert_eq!(world.sent("construct"), 1);
    let group = group(0, 2);
    world.handle(0, Input::Silence { group });
    world.construct(path_of(group, 2, 1), Via::Overlay);
    world.settle();
    assert_eq!(world.paths(), [1, 1, 1]);
    assert_eq!(world.violations, []);
}
