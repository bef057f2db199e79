//! Random runs: whatever crosses whatever, honest ends never differ and nothing is left behind.

use std::collections::BTreeSet;

use super::{World, group, path_of};
use crate::{Cause, Config, Input, PathId, Tree, Via};

const PEERS: u8 = 5;

fn run(seed: u64, steps: usize) -> World {
    let config = Config {
        batch: 3,
        hop_limit: 4,
        max_paths_per_link: 12,
        ..Config::default()
    };
    let mut world = World::new(PEERS, &config);
    world.seed(seed);
    for a in 0..PEERS {
        world.link(a, (a + 1) % PEERS);
    }
    let mut epoch = 0;
    for _ in 0..steps {
        world.salt = world.random(97);
        match world.random(40) {
            0..=3 => {
                epoch += 1;
                let (root, member) = (world.random(PEERS.into()) as u8, world.random(PEERS.into()) as u8);
                let sequence = 1 + world.random(8) as u64;
                let via = [Via::Overlay, Via::Direct, Via::CommonNeighbour(epoch)][world.random(3)];
                world.construct(path_of(group(root, sequence), member, epoch), via);
            }
            4 | 5 => release_some(&mut world),
            6 => {
                let (at, root) = (world.random(PEERS.into()) as u8, world.random(PEERS.into()) as u8);
                let sequence = 1 + world.random(8) as u64;
                world.fail(at, group(root, sequence));
            }
            7 => relink(&mut world),
            _ => world.step(),
        }
        assert_eq!(world.mismatches(), 0, "seed {seed}");
    }
    world
}

/// An end gives up one of its paths.
fn release_some(world: &mut World) {
    let at = world.random(PEERS.into()) as u8;
    let paths: Vec<_> = world.trees[usize::from(at)].path_ids().collect();
    if !paths.is_empty() {
        let path = paths[world.random(paths.len())];
        let cause = Cause::Abandoned;
        world.handle(at, Input::Release { path, cause });
    }
}

/// One end of a link takes it for down, or two peers without a link get one.
fn relink(world: &mut World) {
    let (a, b) = (world.random(PEERS.into()) as u8, world.random(PEERS.into()) as u8);
    if a != b && !world.are_linked(a, b) {
        world.link(a, b);
    } else if world.random(3) == 0 {
        let wire = world.random(world.wires());
        world.down(wire, world.salt % 2, false);
    }
}

/// The other end of every link that one end took for down notices it.
fn notice_cuts(world: &mut World) {
    for wire in 0..world.wires() {
        if world.half_up(wire) {
            world.down(wire, 0, false);
            world.down(wire, 1, false);
        }
    }
}

#[test]
fn honest_ends_never_differ_and_nothing_is_left_behind() {
    for seed in 0..300 {
        let mut world = run(seed, 600);
        notice_cuts(&mut world);
        world.settle();
        world.ping_rounds(2);
        assert_eq!(world.mismatches(), 0, "seed {seed}");
        assert_eq!(world.violations, [], "seed {seed}");
        for at in 0..PEERS {
            for root in 0..PEERS {
                for sequence in 1..=8 {
                    if at == root {
                        world.fail(at, group(root, sequence));
                    }
                }
            }
        }
        world.settle();
        assert_eq!(world.paths(), [0; PEERS as usize], "seed {seed}");
        world.ping_rounds(1);
        assert_eq!(world.mismatches(), 0, "seed {seed}");
    }
}

#[test]
fn the_random_runs_do_what_they_should() {
    let mut world = run(1, 5000);
    for kind in ["construct", "confirm", "release", "fail"] {
        assert!(world.sent(kind) > 20, "{kind}: {}", world.sent(kind));
    }
    world.settle();
}

/// Who carries which paths of other groups than this one's.
fn others(world: &World, path: PathId) -> Vec<BTreeSet<PathId>> {
    let of_others = |tree: &Tree| tree.path_ids().filter(|other| other.group != path.group).collect();
    world.trees.iter().map(of_others).collect()
}

/// A difference that is there is found and settled, whatever went before.
#[test]
fn silence_is_noticed_after_all_sorts_of_traffic() {
    for seed in 0..100 {
        let mut world = run(seed, 400);
        notice_cuts(&mut world);
        world.settle();
        let busiest = (0..PEERS).max_by_key(|&at| world.trees[usize::from(at)].paths());
        let at = busiest.expect("five peers");
        let Some(path) = world.trees[usize::from(at)].path_ids().next() else {
            continue;
        };
        let group = path.group;
        let others = others(&world, path);
        world.handle(at, Input::Silence { group });
        world.settle();
        world.ping_rounds(4);
        world.settle();
        let carriers = world
            .trees
            .iter()
            .filter(|tree| tree.path_ids().any(|other| other == path));
        assert_eq!(carriers.count(), 0, "seed {seed}");
        assert_eq!(self::others(&world, path), others, "seed {seed}: the others stay");
        let differing = world.mismatches();
        assert!(differing > 0, "seed {seed}");
        world.ping_rounds(2);
        assert_eq!(world.mismatches(), differing, "seed {seed}: settled is settled");
    }
}
