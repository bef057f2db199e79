//! Rules of joint sets and paths (protocol.md §4, §5).

use fatebound_machine::Event;
use fatebound_machine::overlay::DownReason;
use fatebound_sim::{Config, GroupId, Latency, PeerIndex, Profile, World};

use crate::common::{MILLI, SECOND, carriers, mismatches, order, ordered, overlay, strangers};

/// Wide delays and a hundred groups that come and go while peers die and links break: whatever crosses whatever, all are honest.
fn honest_traffic(seed: u64) -> u64 {
    let (mut world, peers) = overlay(seed, 20, Profile::Wan);
    let mut ticket = 100;
    for round in 0..12 {
        for n in 0..8 {
            ticket += 1;
            let (root, size) = ((round * 3 + n * 5) % 20, 1 + n % 4);
            let members: Vec<PeerIndex> = (1..=size).map(|k| peers[(root + k * (1 + n)) % 20]).collect();
            order(&mut world, ticket, peers[root], &members, None);
            world.run_for(130 * MILLI);
        }
        world.break_sessions(peers[round], peers[(round + 1) % 20]);
        if round % 4 == 3 {
            world.crash(peers[round]);
            world.run_for(SECOND);
            world.restart(peers[round]);
        }
        for root in peers.iter().skip(round % 5).step_by(5) {
            signal_oldest(&mut world, *root);
        }
    }
    world.run_for(60 * SECOND);
    mismatches(&world, &peers)
}

fn signal_oldest(world: &mut World, peer: PeerIndex) {
    let oldest: Option<GroupId> = world
        .machine(peer)
        .and_then(|machine| machine.groups(1).first().map(|view| view.group));
    if let Some(group) = oldest {
        world.signal(peer, &group);
    }
}

/// Digests never differ among the honest: they are compared as of the same operations.
#[test]
fn digest_as_of_operations() {
    for seed in 0..2 {
        assert_eq!(honest_traffic(seed), 0, "seed {seed}");
    }
}

/// Few neighbours, so that paths have delegates.
fn sparse(seed: u64, count: usize, profile: Profile, latency: Latency) -> (World, Vec<PeerIndex>) {
    let mut config = Config::preset(profile);
    config.overlay.leaves_per_side = 2;
    let mut world = World::with_config(seed, config, latency);
    let peers = world.spawn_overlay(count);
    (world, peers)
}

fn violations(world: &World, peers: &[PeerIndex]) -> usize {
    let is = |event: &Event| {
        matches!(
            event,
            Event::LinkDown {
                reason: DownReason::Violation,
                ..
            }
        )
    };
    let of = |&peer: &PeerIndex| world.events(peer).iter().filter(|(_, event)| is(event)).count();
    peers.iter().map(of).sum()
}

/// Of a large group's paths over one link only those are released that have broken.
#[test]
fn release_by_path() {
    for seed in 0..4 {
        let (mut world, peers) = sparse(seed, 48, Profile::Local, Latency::RACK);
        let members: Vec<PeerIndex> = peers.iter().copied().step_by(3).collect();
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        world.run_for(2 * SECOND);
        for delegate in carriers(&world, &peers, &group, &members).into_iter().take(4) {
            world.crash(delegate);
            world.run_for(2 * SECOND);
        }
        world.run_for(10 * SECOND);
        assert_eq!(mismatches(&world, &peers), 0, "seed {seed}");
    }
}

/// Delegates fall asleep while paths come up, and wake when these have come up elsewhere.
#[test]
fn path_crosses_once() {
    for seed in [0, 1] {
        let (mut world, peers) = sparse(seed, 32, Profile::Local, Latency::INTERNET);
        let members: Vec<PeerIndex> = peers.iter().copied().step_by(3).collect();
        for round in 0..8 {
            let root = members[round];
            let others: Vec<PeerIndex> = members.iter().copied().filter(|peer| *peer != root).collect();
            order(&mut world, round as u64, root, &others, None);
            world.run_for(300 * MILLI);
            let group = ordered(&world, root, round as u64);
            for delegate in carriers(&world, &peers, &group, &members) {
                world.pause(delegate);
            }
            world.run_for(1500 * MILLI);
            for &peer in &peers {
                world.resume(peer);
            }
            world.run_for(5 * SECOND);
        }
        assert_eq!(
            (mismatches(&world, &peers), violations(&world, &peers)),
            (0, 0),
            "seed {seed}"
        );
    }
}

/// The root sleeps and the members are cut off from each other, so only who carries the paths of both can tell one of the other's signal.
#[test]
fn carrier_fails_the_rest() {
    let mut told = 0;
    for seed in 0..3 {
        let (mut world, peers) = sparse(seed, 48, Profile::Local, Latency::RACK);
        let root = peers[0];
        for pair in peers[1..].chunks_exact(2) {
            let group = world.create(root, pair).expect("everybody accepts");
            world.run_for(SECOND);
            let carries = |&peer: &PeerIndex| {
                world
                    .machine(peer)
                    .is_some_and(|machine| machine.status().paths_as_delegate > 0)
            };
            if pair.iter().any(carries) {
                continue;
            }
            world.cut(pair[0], pair[1]);
            world.pause(root);
            world.signal(pair[0], &group);
            world.run_for(100 * MILLI);
            told += world.notified(pair[1], &group).len();
            world.resume(root);
            world.heal();
            world.run_for(2 * SECOND);
        }
    }
    assert!(told > 0, "nobody was told without the root");
}

/// The host between root and member is gone and nobody has doubted it yet, or somebody has: the member does not wait for the end of a link.
#[test]
fn fail_around_doubt() {
    for (seed, before) in [(1, 100 * MILLI), (2, 100 * MILLI), (1, 5 * SECOND), (2, 5 * SECOND)] {
        let (mut world, peers) = sparse(seed, 32, Profile::Lan, Latency::RACK);
        let (root, member) = strangers(&world, &peers);
        let group = world.create(root, &[member]).expect("it accepts");
        // Until the connection that the invitation took is closed.
        world.run_for(60 * SECOND);
        let carrier = *carriers(&world, &peers, &group, &[root, member])
            .first()
            .expect("a delegate");
        world.vanish(carrier);
        world.run_for(before);
        let signalled = world.now();
        world.signal(root, &group);
        world.run_for(30 * SECOND);
        let (at, _) = world.notified(member, &group)[0];
        assert!(
            at.since(signalled) <= 4 * SECOND,
            "seed {seed}, {before:?}: {:?}",
            at.since(signalled)
        );
    }
}
