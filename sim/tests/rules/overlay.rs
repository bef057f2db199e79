//! Rules of the overlay (protocol.md §3).

use fatebound_sim::{PeerIndex, Profile, World};

use crate::common::{MILLI, SECOND};

/// Each peer with the one that stands next above it on the ring.
fn ring_neighbours(world: &World, peers: &[PeerIndex]) -> Vec<(PeerIndex, PeerIndex)> {
    let above = |peer: PeerIndex| world.machine(peer).expect("it runs").routes().above[0];
    let index = |id| peers.iter().copied().find(|&peer| world.id(peer) == id);
    let next = |&peer: &PeerIndex| Some((peer, index(above(peer))?));
    peers.iter().filter_map(next).collect()
}

/// "A root and a member that are ring neighbours but cannot reach each other": how many of such groups are created and stay.
fn groups_across_cuts(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed, Profile::Local);
    let peers = world.spawn_overlay(16);
    let pairs = ring_neighbours(&world, &peers);
    let mut alive = 0;
    for &(root, member) in &pairs {
        world.cut(root, member);
        world.run_for(5 * SECOND);
        if let Ok(group) = world.create(root, &[member]) {
            world.run_for(20 * SECOND);
            alive += usize::from(world.notified(root, &group).is_empty() && world.notified(member, &group).is_empty());
        }
        world.heal();
        world.run_for(10 * SECOND);
    }
    (alive, pairs.len())
}

#[test]
fn detours() {
    for seed in 1..=2 {
        let (alive, all) = groups_across_cuts(seed);
        assert!(alive * 10 >= all * 9, "seed {seed}: {alive} of {all} groups live");
    }
}

/// Everybody joins through the first peer; nobody becomes a hub.
#[test]
fn affinity() {
    let mut world = World::new(1, Profile::Local);
    let peers = world.spawn_overlay(100);
    let degree = |&peer: &PeerIndex| world.machine(peer).expect("it runs").peers().len();
    let largest = peers.iter().map(degree).max().expect("peers");
    assert!(largest <= 30, "somebody has {largest} of 99 as its neighbours");
}

/// A peer that cannot reach its bootstrap peer yet is asked to let another one join.
#[test]
fn held_joins() {
    for seed in 1..=10 {
        let mut world = World::new(seed, Profile::Local);
        let first = world.spawn(&[]);
        world.run_for(SECOND);
        let second = world.spawn(&[first]);
        world.cut(first, second);
        let third = world.spawn(&[second]);
        world.run_for(200 * MILLI);
        world.heal();
        let joined = |peer| move |world: &World| world.machine(peer).is_some_and(|machine| machine.status().joined);
        assert!(world.run_until(SECOND, joined(second)), "seed {seed}");
        assert!(
            world.run_until(10 * MILLI, joined(third)),
            "seed {seed}: it has to ask again"
        );
    }
}

/// Three peers that only know each other.
#[test]
fn first_peer() {
    let mut world = World::new(1, Profile::Local);
    let all = [PeerIndex(0), PeerIndex(1), PeerIndex(2)];
    for peer in all {
        let others: Vec<_> = all.into_iter().filter(|&other| other != peer).collect();
        world.spawn(&others);
    }
    let joined = |world: &World, peer| world.machine(peer).is_some_and(|machine| machine.status().joined);
    assert!(world.run_until(60 * SECOND, |world| all.into_iter().all(|peer| joined(world, peer))));
}

/// Two rings that formed apart know each other from a list of addresses only.
#[test]
fn bootstrap_rounds() {
    let mut world = World::new(1, Profile::Local);
    let all: Vec<_> = (0..6).map(PeerIndex).collect();
    let (one, other) = all.split_at(3);
    let spawn = |world: &mut World, own: &[PeerIndex]| {
        for peer in own {
            let others: Vec<_> = all.iter().copied().filter(|other| other != peer).collect();
            world.spawn(&others);
        }
    };
    spawn(&mut world, one);
    world.partition(one, other);
    spawn(&mut world, other);
    world.run_for(30 * SECOND);
    let known = |world: &World, peer: PeerIndex| world.machine(peer).expect("it runs").peers().len();
    assert!(all.iter().all(|&peer| known(&world, peer) == 2), "two rings of three");
    world.heal();
    let one_ring = |world: &World| all.iter().all(|&peer| known(world, peer) == 5);
    let met = world.run_until(120 * SECOND, one_ring);
    assert!(met);
}

/// Two pairs of peers, each the whole ring of its own, and before each other's addresses stand those of three dead ones.
#[test]
fn bootstrap_after_joining() {
    let mut world = World::new(1, Profile::Local);
    let all: Vec<_> = (0..7).map(PeerIndex).collect();
    for _ in &all[..3] {
        let dead = world.spawn(&[]);
        world.crash(dead);
    }
    let (dead, one, other) = (&all[..3], &all[3..5], &all[5..]);
    world.spawn(&[dead, &one[1..], other].concat());
    world.spawn(&[dead, &one[..1], other].concat());
    world.partition(one, other);
    world.spawn(&[dead, &other[1..], one].concat());
    world.spawn(&[dead, &other[..1], one].concat());
    let known = |world: &World, peer: PeerIndex| world.machine(peer).expect("it runs").peers().len();
    let joined = |world: &World, peer: PeerIndex| world.machine(peer).expect("it runs").status().joined;
    assert!(world.run_until(30 * SECOND, |world| all[3..].iter().all(|&peer| joined(world, peer))));
    assert!(
        all[3..].iter().all(|&peer| known(&world, peer) == 1),
        "two rings of two"
    );
    world.heal();
    let one_ring = |world: &World| all[3..].iter().all(|&peer| known(world, peer) == 3);
    let rounds = 2 * 5 * world.config().overlay.maintenance_interval;
    assert!(world.run_until(rounds, one_ring));
}

/// The host of a peer is gone. Its neighbours notice one after the other, and who has noticed does not take it back on the word of one
/// who has not. (Peers that knew it without being its neighbours never notice; their word counts again when the bar is over.)
#[test]
fn barred_hearsay() {
    let returns: usize = (1..=5).map(returns_of_the_dead).sum();
    assert!(returns <= 10, "the dead came back to {returns} leaf sets");
}

/// How often a peer that is gone is taken into a leaf set again, within 15 s.
fn returns_of_the_dead(seed: u64) -> usize {
    let mut world = World::new(seed, Profile::Local);
    let mut peers = world.spawn_overlay(12);
    let gone = peers.remove(seed as usize);
    let id = world.id(gone);
    world.vanish(gone);
    let mut returns = 0;
    let mut listed = vec![true; peers.len()];
    for _ in 0..1500 {
        world.run_for(10 * MILLI);
        for (&peer, listed) in peers.iter().zip(&mut listed) {
            let routes = world.machine(peer).expect("it runs").routes();
            let now = routes.below.contains(&id) || routes.above.contains(&id);
            let before = std::mem::replace(listed, now);
            returns += usize::from(now && !before);
        }
    }
    returns
}
