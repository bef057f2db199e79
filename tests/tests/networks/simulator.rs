//! The same schedule on real hosts and in the simulator: how long it takes until everybody is told.

use std::time::{Duration, Instant};

use fatebound_sim::{Config, GroupId, Latency, PeerIndex, Profile, World};
use fatebound_tests::{Cluster, Hosts, watch};

use crate::{create_in_time, far};

/// What becomes of a member.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Vanishes,
    Crashes,
    Signals,
}

/// Peers of the comparisons with the simulator; the group is of the first two and of another one in each round.
const PEERS: usize = 12;
const ROUNDS: usize = 15;
/// Simulated clusters; the real one is one.
const WORLDS: u64 = 5;

/// A host vanishes: from the first lost packet until its group's last other member is told, on real hosts and in the simulator.
#[test]
#[ignore = "compares times, and wants a quiet machine"]
fn it_agrees_about_a_vanished_host() {
    let Some(hosts) = Hosts::new(PEERS) else { return };
    agrees(&hosts, Fate::Vanishes, |seed| World::new(seed, Profile::Local));
}

/// The same, and of a crash and a signal as well, where hosts are so far from each other that the time on the way is nearly all the time that
/// it takes: what the machines themselves need is not simulated.
#[test]
#[ignore = "compares times, and wants a quiet machine"]
fn it_agrees_about_hosts_that_are_far_from_each_other() {
    for fate in [Fate::Vanishes, Fate::Crashes, Fate::Signals] {
        let Some(hosts) = Hosts::with_delay(PEERS, far) else {
            return;
        };
        agrees(&hosts, fate, far_world);
    }
}

/// The same delays as between the hosts, and a little more now and then, as on any network.
fn far_world(seed: u64) -> World {
    let nowhere = Latency::Range {
        least: Duration::ZERO,
        most: Duration::ZERO,
        jitter: Duration::from_millis(1),
    };
    let mut world = World::with_config(seed, Config::preset(Profile::Local), nowhere);
    for from in 0..PEERS {
        for to in (0..PEERS).filter(|&to| to != from) {
            world.set_delay(PeerIndex(from), PeerIndex(to), far(from, to));
        }
    }
    world
}

/// The two medians have to agree within a factor of two, else the simulator is wrong.
#[track_caller]
fn agrees(hosts: &Hosts, fate: Fate, world: fn(u64) -> World) {
    let real = spread(times_on_real_hosts(hosts, fate));
    let worlds = (0..WORLDS).map(world);
    let simulated = spread(worlds.flat_map(|world| times_in_the_simulator(world, fate)).collect());
    println!("a member {fate:?}: {real:?} on real hosts, {simulated:?} in the simulator (median, least, most)");
    let ratio = real[0].as_secs_f64() / simulated[0].as_secs_f64();
    assert!((0.5..=2.0).contains(&ratio), "{ratio:.2} times as long on real hosts");
}

/// The median, the least and the most.
fn spread(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort_unstable();
    [times[times.len() / 2], times[0], times[times.len() - 1]]
}

/// Before each round: by then nobody is in doubt any more because of the one before it, and each is at another moment of what peers do
/// regularly.
fn pause(round: usize) -> Duration {
    Duration::from_millis(4000 + 130 * round as u64)
}

/// Whose turn it is in a round.
fn victim(round: usize) -> usize {
    2 + round % (PEERS - 2)
}

fn times_on_real_hosts(hosts: &Hosts, fate: Fate) -> Vec<Duration> {
    let mut cluster = Cluster::start_on(hosts, PEERS, &[]);
    let bound = cluster.nodes[0].bound();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let victim = victim(round);
        let group = create_in_time(&cluster, &[0, 1, victim]);
        let mut watches = watch(&cluster, &[0, 1]);
        std::thread::sleep(pause(round));
        let begun = Instant::now();
        let start = match fate {
            Fate::Vanishes => {
                hosts.isolate(victim);
                begun + begun.elapsed() / 2
            }
            Fate::Crashes => {
                cluster.nodes[victim].kill();
                begun
            }
            Fate::Signals => {
                let mut own = cluster.nodes[victim].watch();
                let signal = cluster.nodes[victim].run(&["group", "signal", &group]);
                assert_eq!(signal.code, 0, "{signal:?}");
                own.failed(bound, &group).1
            }
        };
        let last = watches.iter_mut().map(|watch| watch.failed(bound, &group).1).max();
        times.push(last.expect("two watches").duration_since(start));
        match fate {
            Fate::Vanishes => hosts.heal(),
            Fate::Crashes => cluster.nodes[victim].restart(),
            Fate::Signals => {}
        }
    }
    times
}

/// Creates a group of peers that may have to find each other first.
fn simulated_in_time(world: &mut World, root: PeerIndex, members: &[PeerIndex]) -> GroupId {
    let mut tries = (0..120).map(|_| {
        let created = world.create(root, members).ok();
        if created.is_none() {
            world.run_for(Duration::from_secs(1));
        }
        created
    });
    tries.find_map(|created| created).expect("two minutes are enough")
}

fn times_in_the_simulator(mut world: World, fate: Fate) -> Vec<Duration> {
    let peers = world.spawn_overlay(PEERS);
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let victim = peers[victim(round)];
        let group = simulated_in_time(&mut world, peers[0], &[peers[1], victim]);
        world.run_for(pause(round));
        let start = world.now();
        match fate {
            Fate::Vanishes => {
                let others: Vec<PeerIndex> = peers.iter().copied().filter(|&peer| peer != victim).collect();
                world.partition(&[victim], &others);
            }
            Fate::Crashes => world.crash(victim),
            Fate::Signals => world.signal(victim, &group),
        }
        let told = |world: &World| peers[..2].iter().all(|&peer| !world.notified(peer, &group).is_empty());
        assert!(world.run_until(Duration::from_secs(60), told));
        times.push(world.now().since(start));
        match fate {
            Fate::Vanishes => world.heal(),
            Fate::Crashes => world.restart(victim),
            Fate::Signals => {}
        }
    }
    times
}
