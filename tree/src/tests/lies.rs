//! What a peer may say that no honest one says.

use fatebound_overlay::{JointSet, Tag};

use super::{World, path, tag};
use crate::message::Cause;
use crate::{Event, GroupId, Input, Operation, PathId, Tell, Via};

/// In a line of three, peer 0 says this to peer 1.
fn said(world: &mut World, operation: Operation) {
    let link = world.link_at(1, 0);
    world.handle(1, Input::Operation { link, operation });
}

fn construct(path: PathId, visited: &[Tag]) -> Operation {
    Operation::Construct {
        path,
        visited: visited.to_vec(),
        detours: 255,
    }
}

#[test]
fn the_same_path_twice_from_one_neighbour_is_a_violation() {
    let mut world = World::line(3);
    said(&mut world, construct(path(0, 2, 1), &[tag(0)]));
    said(&mut world, construct(path(0, 2, 1), &[tag(0)]));
    assert_eq!(world.violations, [(1, "the same path was constructed twice")]);
    assert_eq!(world.paths(), [0, 1, 0]);
}

/// The neighbour may have been fooled itself.
#[test]
fn the_same_path_from_two_neighbours_is_refused() {
    let mut world = World::line(3);
    said(&mut world, construct(path(0, 2, 1), &[tag(0)]));
    let link = world.link_at(1, 2);
    let operation = construct(path(0, 2, 1), &[tag(0), tag(2)]);
    world.handle(1, Input::Operation { link, operation });
    assert_eq!(world.violations, []);
    assert_eq!(world.sent("release"), 1);
}

#[test]
fn a_path_that_has_been_here_or_did_not_start_at_its_root_is_refused() {
    let visits: [(PathId, &[Tag]); 3] = [
        (path(2, 4, 1), &[tag(2), tag(1), tag(0)]),
        (path(2, 4, 1), &[tag(3), tag(0)]),
        (path(1, 2, 1), &[tag(1), tag(0)]),
    ];
    for (path, visited) in visits {
        let mut world = World::line(3);
        said(&mut world, construct(path, visited));
        assert_eq!(world.violations, []);
        assert_eq!((world.sent("release"), world.sent("construct")), (1, 0));
        assert_eq!(world.paths(), [0; 3]);
    }
}

#[test]
fn a_sender_that_hides_itself_is_a_violation() {
    let mut world = World::line(3);
    said(&mut world, construct(path(2, 2, 1), &[tag(2)]));
    said(&mut world, construct(path(2, 2, 1), &[]));
    said(&mut world, construct(path(2, 2, 1), &[tag(0); 65]));
    assert_eq!(world.violations.len(), 3);
    assert_eq!(world.paths(), [0; 3]);
}

#[test]
fn detour_credits_from_nowhere_are_cut_down() {
    let mut world = World::line(3);
    said(&mut world, construct(path(0, 2, 1), &[tag(0)]));
    let link = world.link_at(2, 1);
    let Some(operation) = world.next_operation(1, 2) else {
        panic!("the construct goes on")
    };
    assert!(matches!(operation, Operation::Construct { detours: 3, .. }));
    world.handle(2, Input::Operation { link, operation });
    assert_eq!(world.paths(), [0, 1, 1]);
}

#[test]
fn a_construct_that_meets_itself_is_dropped_on_both_sides() {
    let mut world = World::line(4);
    let path = path(0, 3, 1);
    world.construct(path, Via::Overlay);
    assert!(world.deliver(0, 1));
    let link = world.link_at(2, 3);
    let operation = construct(path, &[tag(0), tag(3)]);
    world.salt = 0;
    world.handle(2, Input::Operation { link, operation });
    world.settle();
    assert_eq!(world.violations, []);
    assert_eq!(world.trees[1].paths(), 0);
    assert_eq!(world.trees[2].paths(), 0);
}

#[test]
fn what_is_too_long_is_a_violation_and_changes_nothing() {
    let mut world = World::line(3);
    world.construct(path(0, 2, 1), Via::Overlay);
    world.settle();
    let (link, path) = (world.link_at(1, 0), path(0, 2, 1));
    let notice = vec![0; 5000];
    let paths = vec![path];
    said(&mut world, Operation::Fail { paths, notice });
    let paths = vec![(path, Cause::Gone); 257];
    said(&mut world, Operation::Release { paths });
    let (paths, notice) = (vec![path, super::path_of(super::group(0, 2), 2, 1)], Vec::new());
    said(&mut world, Operation::Fail { paths, notice });
    let tell = Tell::Suspected { paths: vec![path; 257] };
    world.handle(1, Input::Told { link, tell });
    let tell = Tell::List {
        sent: 0,
        received: 0,
        part: 1,
        parts: 1,
        paths: Vec::new(),
    };
    world.handle(1, Input::Told { link, tell });
    assert_eq!(world.violations.len(), 5);
    assert_eq!(world.paths(), [1; 3]);
}

#[test]
fn what_just_fits_is_no_violation() {
    let mut world = World::line(3);
    let far = path(0, 2, 9);
    let mut visited = vec![tag(0); 64];
    visited[1..63].fill(tag(7));
    said(&mut world, construct(far, &visited));
    assert_eq!(world.sent("release"), 1, "too many hops, and nobody's lie");
    world.construct(path(0, 2, 1), Via::Overlay);
    world.settle();
    let (link, path) = (world.link_at(1, 0), path(0, 2, 1));
    let tell = Tell::Suspected { paths: vec![path; 256] };
    world.handle(1, Input::Told { link, tell });
    let paths = vec![(path, Cause::Gone); 256];
    said(&mut world, Operation::Release { paths });
    let (paths, notice) = (vec![path; 256], vec![0; 4096]);
    said(&mut world, Operation::Fail { paths, notice });
    assert_eq!(world.violations, []);
    assert_eq!(world.paths(), [1, 0, 1]);
}

#[test]
fn operations_received_that_were_never_sent_are_a_violation() {
    let mut world = World::line(2);
    let link = world.link_at(0, 1);
    let joint = JointSet {
        received: 1,
        ..JointSet::default()
    };
    world.handle(0, Input::JointSetSeen { link, joint });
    assert_eq!(world.violations.len(), 1);
}

#[test]
fn words_on_a_link_that_is_gone_are_ignored() {
    let mut world = World::line(3);
    world.construct(path(0, 2, 1), Via::Overlay);
    world.settle();
    let link = world.link_at(1, 0);
    world.down(world.wire(0, 1), 1, false);
    world.settle();
    let before = world.events.len();
    let operation = construct(path(0, 2, 2), &[tag(0)]);
    world.handle(1, Input::Operation { link, operation });
    world.handle(
        1,
        Input::LinkDoubtful {
            link,
            unacknowledged: Vec::new(),
        },
    );
    let joint = JointSet::default();
    world.handle(1, Input::JointSetSeen { link, joint });
    world.handle(1, Input::LinkDown { link, dead: true });
    assert_eq!(world.events.len(), before);
    assert_eq!(world.trees[1].paths(), 0);
}

/// A confirm from above, a confirm for nothing, a second confirm.
#[test]
fn confirms_that_no_honest_peer_sends_are_ignored() {
    let mut world = World::line(3);
    world.construct(path(0, 2, 1), Via::Overlay);
    world.settle();
    let sent = world.sent("confirm");
    let nothing = path(0, 2, 9);
    for (at, from, path) in [(1, 0, path(0, 2, 1)), (1, 2, nothing), (1, 2, path(0, 2, 1))] {
        let link = world.link_at(at, from);
        let operation = Operation::Confirm { path, hops: 0 };
        world.handle(at, Input::Operation { link, operation });
    }
    assert_eq!(world.sent("confirm"), sent);
}

#[test]
fn a_root_does_not_construct_for_others() {
    let mut world = World::line(3);
    let foreign = PathId {
        group: GroupId {
            root: super::peer(2),
            ..super::group(0, 1)
        },
        ..path(0, 1, 1)
    };
    let via = Via::Overlay;
    world.handle(0, Input::Construct { path: foreign, via });
    let cause = Cause::Disagreed;
    assert_eq!(world.take_events(0), [Event::Broken { path: foreign, cause }]);
}
