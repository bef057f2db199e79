//! Rules of links (protocol.md §4, up to how a link goes down).

use fatebound_machine::Event;
use fatebound_machine::overlay::{DeathProof, DownReason, PeerId, Time};
use fatebound_sim::{Config, Latency, MessageKind, Observation, Observe, PeerIndex, Profile, World, kinds_of};

use crate::common::{MILLI, SECOND, assert_lives};

/// When links of this peer went down, and why.
fn downs(world: &World, peer: PeerIndex) -> Vec<(Time, DownReason)> {
    let down = |(at, event): &(Time, Event)| match event {
        Event::LinkDown { reason, .. } => Some((*at, *reason)),
        _ => None,
    };
    world.events(peer).iter().filter_map(down).collect()
}

fn doubts(world: &World, peer: PeerIndex) -> Vec<Time> {
    let doubt = |(at, event): &(Time, Event)| matches!(event, Event::LinkDoubtful { .. }).then_some(*at);
    world.events(peer).iter().filter_map(doubt).collect()
}

/// Every link gets its ping in time although there are more of them than the rota has turns, and round trips that only just are in time.
#[test]
fn rota_margin() {
    let mut config = Config::preset(Profile::Local);
    config.overlay.leaves_per_side = 16;
    let latency = Latency::Range {
        least: 100 * MILLI,
        most: 130 * MILLI,
        jitter: 25 * MILLI,
    };
    let mut world = World::with_config(1, config, latency);
    let peers = world.spawn_overlay(33);
    let lost = |world: &World| -> u64 {
        let lost = |&peer: &PeerIndex| world.machine(peer).expect("it runs").status().counters.links_lost;
        peers.iter().map(lost).sum()
    };
    let before = lost(&world);
    world.run_for(20 * SECOND);
    assert_eq!(lost(&world) - before, 0, "links went down, and nothing is wrong");
}

/// A peer with one link pings often, its neighbour with many links seldom; the latter notices nevertheless at once that the pings have ended.
#[test]
fn announced_ping() {
    for seed in 1..=6 {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(24);
        let neighbour = peers[0];
        let lonely = of_peer(
            &world,
            &peers,
            world.machine(neighbour).expect("it runs").peers()[0].peer,
        );
        for &other in peers.iter().filter(|&&other| other != neighbour && other != lonely) {
            world.cut(lonely, other);
        }
        world.run_for(10 * SECOND);
        assert_eq!(world.machine(lonely).expect("it runs").peers().len(), 1);
        let before = world.now();
        world.vanish(lonely);
        world.run_for(5 * SECOND);
        let first = doubts(&world, neighbour)
            .into_iter()
            .find(|at| *at >= before)
            .expect("it notices");
        assert!(
            first.since(before) <= 400 * MILLI,
            "seed {seed}: {:?}",
            first.since(before)
        );
    }
}

fn of_peer(world: &World, peers: &[PeerIndex], id: PeerId) -> PeerIndex {
    peers
        .iter()
        .copied()
        .find(|&peer| world.id(peer) == id)
        .expect("a peer of this world")
}

/// A slow link still delivers the words of a peer that is dead: they prove nothing.
#[test]
fn own_pings() {
    let mut world = World::new(1, Profile::Local);
    let peers = world.spawn_overlay(2);
    world.set_bandwidth(peers[1], peers[0], Some(400));
    world.run_for(1500 * MILLI);
    let before = world.now();
    world.vanish(peers[1]);
    world.run_for(20 * SECOND);
    let lifetime = Config::preset(Profile::Local).overlay.link_lifetime();
    let &(at, reason) = downs(&world, peers[0]).first().expect("it is down");
    assert_eq!(reason, DownReason::Silent);
    assert!(at.since(before) <= lifetime, "{:?}", at.since(before));
}

/// After a cut the answers of a backlog come one after the other: what is missed until the first has come is all that is missed.
#[test]
fn backlog_of_answers() {
    let mut world = World::new(1, Profile::Local);
    let peers = world.spawn_overlay(5);
    let missed = |world: &World| world.machine(peers[0]).expect("it runs").status().counters.pings_missed;
    for _ in 0..5 {
        world.partition(&peers[..1], &peers[1..]);
        world.run_for(SECOND);
        world.heal();
        let before = missed(&world);
        world.run_for(5 * SECOND);
        let missed = missed(&world) - before;
        assert!(missed <= 4, "{missed} answers on four links");
    }
}

/// A cut of half a second costs no link and no group.
#[test]
fn doubt() {
    let mut world = World::new(1, Profile::Local);
    let peers = world.spawn_overlay(5);
    let group = world
        .create(peers[0], &[peers[1], peers[2]])
        .expect("everybody accepts");
    for _ in 0..5 {
        world.partition(&peers[..1], &peers[1..]);
        world.run_for(500 * MILLI);
        world.heal();
        world.run_for(5 * SECOND);
    }
    for &peer in &peers {
        assert_eq!(downs(&world, peer), []);
        assert_eq!(world.notified(peer, &group), []);
    }
}

/// Who carries the word that a host is gone may not doubt it yet, and does not hand it to that host itself.
#[test]
fn around_the_suspect() {
    let mut config = Config::preset(Profile::Local);
    (config.overlay.leaves_per_side, config.overlay.digit_bits) = (1, 1);
    let latency = Latency::Range {
        least: MILLI,
        most: MILLI,
        jitter: MILLI,
    };
    for seed in 1..=10 {
        let mut world = World::with_config(seed, config.clone(), latency);
        let peers = world.spawn_overlay(12);
        let gone = peers[seed as usize];
        world.observe(Observe::Messages);
        world.vanish(gone);
        world.run_for(2 * SECOND);
        for (at, seen) in world.take_observations() {
            if let Observation::Sent { to, words, .. } = seen {
                let suspicion = kinds_of(&words).contains(&MessageKind::Suspect);
                assert!(to != gone || !suspicion, "seed {seed}, {at}");
            }
        }
    }
}

/// Who is far from a host that is gone hears of it from those who are near.
#[test]
fn told_far_ends() {
    for (seed, gone) in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)] {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(32);
        let known: Vec<_> = world
            .machine(peers[0])
            .expect("it runs")
            .peers()
            .iter()
            .map(|peer| peer.peer)
            .collect();
        let far = peers
            .iter()
            .copied()
            .skip(1)
            .find(|&peer| !known.contains(&world.id(peer)));
        let ends = [peers[0], far.expect("not everybody is a neighbour")];
        let group = world.create(ends[0], &ends[1..]).expect("it accepts");
        world.run_for(5 * SECOND);
        let before = world.now();
        world.vanish(ends[gone]);
        world.run_for(20 * SECOND);
        let (at, _) = world.notified(ends[1 - gone], &group)[0];
        assert!(at.since(before) <= 1600 * MILLI, "seed {seed}: {:?}", at.since(before));
    }
}

/// A process that was killed is known to be dead at once, whoever had dialled whom.
#[test]
fn dial_back() {
    let mut world = World::new(1, Profile::Local);
    let peers = world.spawn_overlay(6);
    let before = world.now();
    world.crash(peers[2]);
    world.run_for(5 * SECOND);
    for &peer in peers.iter().filter(|&&peer| peer != peers[2]) {
        let &(at, reason) = downs(&world, peer).last().expect("all were neighbours");
        assert_eq!(reason, DownReason::Dead(DeathProof::Refused));
        assert!(at.since(before) <= 20 * MILLI, "{:?}", at.since(before));
    }
}

/// Started at the same instant, all dial each other: every link is founded once.
#[test]
fn awaited_session() {
    for seed in 1..=30 {
        let mut world = World::new(seed, Profile::Wan);
        let all: Vec<_> = (0..6).map(PeerIndex).collect();
        for &peer in &all {
            let others: Vec<_> = all.iter().copied().filter(|&other| other != peer).collect();
            world.spawn(&others);
        }
        world.run_for(20 * SECOND);
        for &peer in &all {
            let reset = |(_, reason): &(Time, DownReason)| *reason == DownReason::Reset;
            let resets = downs(&world, peer).into_iter().filter(reset).count();
            assert_eq!(resets, 0, "seed {seed}: a link was founded twice");
        }
    }
}

/// A host that was suspended accuses nobody: the answers are there, and it has not read them yet.
#[test]
fn late_waker() {
    let latency = Latency::Range {
        least: 10 * MILLI,
        most: 15 * MILLI,
        jitter: MILLI,
    };
    let mut world = World::with_config(1, Config::preset(Profile::Lan), latency);
    let peers = world.spawn_overlay(5);
    for jump in 0..40 {
        // More than it would be granted for having been late.
        world.jump_clock(peers[0], 6 * SECOND);
        world.run_for((7000 + jump * 37) * MILLI);
    }
    assert_eq!(doubts(&world, peers[0]), []);
}

/// Two processes with one key: after a few turns their neighbours let in neither, and each next time for longer.
#[test]
fn twins() {
    let mut world = World::new(1, Profile::Local);
    let peers = world.spawn_overlay(8);
    let twin = world.spawn_twin(peers[3], &[peers[0]]);
    let strangers: Vec<PeerIndex> = peers.iter().copied().filter(|&peer| peer != peers[3]).collect();
    let group = world
        .create(strangers[0], &strangers[1..4])
        .expect("the others have nothing to do with it");
    let counters = |world: &World, peer: PeerIndex| world.machine(peer).expect("it runs").status().counters;
    // In a minute, by seven neighbours: a handful each. Looked at often, for without the rule a minute is a storm that takes many.
    for _ in 0..600 {
        world.run_for(100 * MILLI);
        let lost: u64 = strangers.iter().map(|&peer| counters(&world, peer).links_lost).sum();
        assert!(lost <= 10 * strangers.len() as u64, "{lost} links were lost");
    }
    let noticed = |peers: &[PeerIndex]| peers.iter().filter(|&&peer| counters(&world, peer).twins > 0).count();
    assert!(noticed(&strangers) >= 3, "{} neighbours noticed", noticed(&strangers));
    assert_eq!(noticed(&[peers[3], twin]), 2, "both are told");
    assert_lives(&world, &group, &strangers[..4]);
}
