//! Fig. 5 of the issue in virtual time: three networks, six nodes, and everything that can happen to them. Whatever is sent on one network is heard on each
//! of the others: once, and never twice.

#[path = "story/world.rs"]
mod world;

use std::time::Duration;

use proptest::prelude::*;
use world::{A, B, C, N1, N2, N3, N4, N5, N6, World};

const MS: Duration = Duration::from_millis(1);

/// Some traffic in all directions, at 200 a second each.
fn talk(world: &mut World, for_ms: u32) {
    for _ in 0..for_ms / 5 {
        for network in [A, B, C] {
            world.send(network);
        }
        world.run(5 * MS);
    }
}

#[test]
fn everybody_hears_everybody_once() {
    let mut world = World::figure_5(1);
    talk(&mut world, 1000);
    world.settle();
    assert_eq!(world.problems(), Vec::<String>::new());
    assert_eq!(world.leaders(), [Some(N2), Some(N6), Some(N4)]);
}

#[test]
fn a_death_loses_nothing_and_repeats_nothing() {
    for dead in [N6, N2, N4, N1, N3, N5] {
        let mut world = World::figure_5(2);
        talk(&mut world, 500);
        world.kill(dead, 40 * MS);
        talk(&mut world, 1000);
        world.settle();
        assert_eq!(world.problems(), Vec::<String>::new(), "{dead}");
    }
}

#[test]
fn a_death_that_is_known_late_loses_nothing() {
    for dead in [N6, N2, N4] {
        let mut world = World::figure_5(3);
        talk(&mut world, 500);
        world.kill(dead, 2500 * MS);
        talk(&mut world, 4000);
        world.settle();
        assert_eq!(world.problems(), Vec::<String>::new(), "{dead}");
    }
}

#[test]
fn leader_and_system_leader_at_once() {
    let mut world = World::figure_5(4);
    talk(&mut world, 500);
    world.kill(N2, 40 * MS);
    world.kill(N6, 60 * MS);
    talk(&mut world, 1000);
    world.settle();
    assert_eq!(world.problems(), Vec::<String>::new());
}

#[test]
fn one_after_the_other() {
    let mut world = World::figure_5(5);
    talk(&mut world, 500);
    for dead in [N2, N6] {
        world.kill(dead, 40 * MS);
        talk(&mut world, 1500);
    }
    world.settle();
    assert_eq!(world.problems(), Vec::<String>::new());
}

#[test]
fn who_was_stopped_and_replaced_wakes_up_and_repeats_nothing() {
    for stopped in [N6, N2] {
        let mut world = World::figure_5(6);
        talk(&mut world, 500);
        world.stop(stopped);
        talk(&mut world, 1500);
        world.expel(stopped);
        talk(&mut world, 1500);
        world.resume(stopped);
        talk(&mut world, 1000);
        world.settle();
        assert_eq!(world.problems(), Vec::<String>::new(), "{stopped}");
    }
}

#[test]
fn who_was_stopped_and_not_replaced_goes_on_where_it_was() {
    for (stopped, ms) in [(N6, 1500), (N2, 1500), (N4, 1500), (N2, 200)] {
        let mut world = World::figure_5(7);
        talk(&mut world, 500);
        world.stop(stopped);
        talk(&mut world, ms);
        world.resume(stopped);
        talk(&mut world, 1000);
        world.settle();
        assert_eq!(world.problems(), Vec::<String>::new(), "{stopped}");
    }
}

#[test]
fn a_tunnel_that_breaks_loses_nothing() {
    let mut world = World::figure_5(8);
    talk(&mut world, 500);
    for _ in 0..5 {
        world.break_tunnel(N6, N2);
        talk(&mut world, 200);
        world.break_tunnel(N2, N4);
        talk(&mut world, 100);
    }
    world.settle();
    assert_eq!(world.problems(), Vec::<String>::new());
}

#[test]
fn without_a_quorum_nothing_is_routed_and_later_all_of_it() {
    let mut world = World::figure_5(9);
    talk(&mut world, 300);
    world.quorum(false);
    talk(&mut world, 1000);
    let injected = world.injected();
    talk(&mut world, 500);
    assert_eq!(world.injected(), injected);
    world.quorum(true);
    talk(&mut world, 300);
    world.settle();
    assert_eq!(world.problems(), Vec::<String>::new());
}

#[test]
fn equal_datagrams_are_as_many_as_were_sent() {
    let mut world = World::figure_5(10);
    for at in 0..600 {
        world.send_equal(A);
        world.run(5 * MS);
        if at == 200 {
            world.kill(N2, 40 * MS);
        }
    }
    world.settle();
    assert_eq!(world.heard_equal(B), 600);
    assert_eq!(world.heard_equal(C), 600);
}

#[test]
fn a_newcomer_that_takes_over_at_once_repeats_nothing() {
    let mut world = World::figure_5(11);
    talk(&mut world, 500);
    // Node 5 has a seat on B behind node 6 and node 4; both die before it has overheard for long.
    world.kill(N5, 10 * MS);
    talk(&mut world, 300);
    world.join_again(N5);
    talk(&mut world, 700);
    world.kill(N6, 40 * MS);
    world.kill(N4, 40 * MS);
    talk(&mut world, 1500);
    world.settle();
    assert_eq!(world.duplicates(), Vec::<String>::new());
}

/// What a random story is made of.
#[derive(Clone, Copy, Debug)]
enum Event {
    Talk(u32),
    Stop(usize),
    Resume(usize),
    Break(usize, usize),
    Kill(usize, u64),
}

fn event() -> impl Strategy<Value = Event> {
    let node = 1usize..=6;
    prop_oneof![
        4 => (20u32..800).prop_map(Event::Talk),
        2 => node.clone().prop_map(Event::Stop),
        2 => node.clone().prop_map(Event::Resume),
        2 => (node.clone(), node.clone()).prop_map(|(one, other)| Event::Break(one, other)),
        1 => (node, 10u64..1500).prop_map(|(node, ms)| Event::Kill(node, ms)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Stops, breaks and up to two deaths in any order, with other delays in each run: nothing comes twice, and nothing is lost while each network has
    /// a node that overhears it.
    #[test]
    fn whatever_happens_nothing_comes_twice_and_nothing_is_lost(seed: u64, events in proptest::collection::vec(event(), 1..14)) {
        let mut world = World::figure_5(seed);
        talk(&mut world, 300);
        let mut dead = Vec::new();
        for event in events {
            match event {
                Event::Talk(ms) => talk(&mut world, ms),
                Event::Stop(node) => world.stop(node),
                Event::Resume(node) => world.resume(node),
                Event::Break(one, other) => world.break_tunnel(one, other),
                // Two of the four that B and C have would leave one without anybody.
                Event::Kill(node, ms) if dead.len() < 2 && !dead.contains(&node) && dead_leaves_all(&dead, node) => {
                    dead.push(node);
                    world.kill(node, Duration::from_millis(ms));
                }
                Event::Kill(..) => {}
            }
        }
        for node in 1..=6 {
            world.resume(node);
        }
        talk(&mut world, 3000);
        world.settle();
        prop_assert_eq!(world.duplicates(), Vec::<String>::new());
        if world.longest_stop() < Duration::from_secs(5) {
            prop_assert_eq!(world.problems(), Vec::<String>::new());
        }
    }
}

/// Whether each network keeps a node when this one dies, too.
fn dead_leaves_all(dead: &[usize], node: usize) -> bool {
    [&[1, 2, 3][..], &[4, 5, 6], &[1, 4]]
        .iter()
        .all(|members| members.iter().any(|member| *member != node && !dead.contains(member)))
}
