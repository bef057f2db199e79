//! What can be done to networks and processes, each with real machines: that it does what it says, and no more.

use std::time::Duration;

use fatebound_machine::{Command, Event};
use fatebound_sim::{
    Adversary, Config, GroupId, Latency, MessageKind, Observation, Observe, PeerIndex, Profile, Reaction, Signal,
    Words, World, kinds_of,
};

const SECOND: Duration = Duration::from_secs(1);

fn overlay(seed: u64, count: usize) -> (World, Vec<PeerIndex>) {
    let mut world = World::new(seed, Profile::Local);
    let peers = world.spawn_overlay(count);
    (world, peers)
}

/// The round trip that `a` measures to its neighbour `b`.
fn round_trip(world: &World, a: PeerIndex, b: PeerIndex) -> Option<Duration> {
    let views = world.machine(a)?.peers();
    views.iter().find(|view| view.peer == world.id(b))?.round_trip
}

fn doubted(world: &World, by: PeerIndex, whom: PeerIndex) -> usize {
    let whom = world.id(whom);
    let doubts = |(_, event): &&_| matches!(event, Event::LinkDoubtful { peer } if *peer == whom);
    world.events(by).iter().filter(doubts).count()
}

#[track_caller]
fn assert_lives(world: &World, group: &GroupId, members: &[PeerIndex]) {
    for &member in members {
        assert_eq!(world.notified(member, group), [], "{member:?}");
    }
}

/// How often one host says this to another.
fn said(world: &mut World, from: PeerIndex, to: PeerIndex, what: Signal) -> usize {
    let seen = world.take_observations();
    let says = |seen: &Observation| {
        matches!(seen, Observation::Sent { from: f, to: t, words: Words::Host(signal) }
            if *f == from && *t == to && *signal == what)
    };
    seen.iter().filter(|(_, seen)| says(seen)).count()
}

#[test]
fn packets_that_take_longer_make_round_trips_longer() {
    let (mut world, peers) = overlay(1, 2);
    let before = round_trip(&world, peers[0], peers[1]).expect("neighbours");
    assert!(before < Duration::from_millis(2), "{before:?}");
    world.set_delay(peers[0], peers[1], Duration::from_millis(80));
    world.run_for(60 * SECOND);
    for (a, b) in [(0, 1), (1, 0)] {
        let after = round_trip(&world, peers[a], peers[b]).expect("neighbours");
        assert!(
            after > Duration::from_millis(79) && after < Duration::from_millis(90),
            "{after:?}"
        );
    }
}

#[test]
fn lost_packets_are_felt_as_delay_and_break_nothing() {
    let (mut world, peers) = overlay(2, 2);
    let group = world.create(peers[0], &peers[1..]).expect("accepted");
    world.set_loss(peers[0], peers[1], 0.1);
    world.run_for(60 * SECOND);
    let after = round_trip(&world, peers[0], peers[1]).expect("neighbours");
    assert!(after > Duration::from_millis(5), "{after:?}");
    assert_lives(&world, &group, &peers);
    world.set_loss(peers[0], peers[1], 0.0);
    world.run_for(60 * SECOND);
    let later = round_trip(&world, peers[0], peers[1]).expect("neighbours");
    assert!(later < Duration::from_millis(2), "{later:?}");
}

#[test]
fn a_narrow_wire_fills_up_and_empties() {
    let (mut world, peers) = overlay(3, 2);
    // Ten pings and ten answers a second, with what they are wrapped in, are some 2 kB; each takes 25 ms.
    world.set_bandwidth(peers[0], peers[1], Some(4_000));
    world.run_for(30 * SECOND);
    let narrow = round_trip(&world, peers[1], peers[0]).expect("neighbours");
    assert!(narrow > Duration::from_millis(24), "{narrow:?}");
    world.set_bandwidth(peers[0], peers[1], None);
    world.run_for(60 * SECOND);
    let wide = round_trip(&world, peers[1], peers[0]).expect("neighbours");
    assert!(wide < Duration::from_millis(2), "{wide:?}");
}

#[test]
fn a_firewall_refuses_or_swallows_dials_and_spares_what_is_up() {
    for (refuses, swallows) in [(true, false), (false, true)] {
        let (mut world, peers) = overlay(4, 2);
        let (a, b) = (peers[0], peers[1]);
        for (from, to) in [(a, b), (b, a)] {
            if refuses {
                world.refuse(from, to);
            } else {
                world.black_hole(from, to);
            }
        }
        world.run_for(10 * SECOND);
        assert_eq!(doubted(&world, a, b) + doubted(&world, b, a), 0, "what is up stays");
        world.observe(Observe::Messages);
        world.break_sessions(a, b);
        world.run_for(2 * SECOND);
        let refused = said(&mut world, b, a, Signal::Refuse);
        assert_eq!(refused > 0, refuses, "{refused} refusals");
        let links = world.machine(a).expect("runs").status().links_alive;
        assert_eq!(links == 0, refuses || swallows, "no dial works");
        world.admit(a, b);
        world.admit(b, a);
        world.run_for(60 * SECOND);
        assert_eq!(world.machine(a).expect("runs").status().links_alive, 1);
    }
}

#[test]
fn a_break_that_one_end_notices_is_noticed_by_that_end_only() {
    let (mut world, peers) = overlay(5, 2);
    let group = world.create(peers[0], &peers[1..]).expect("accepted");
    world.run_for(SECOND);
    world.break_sessions_at(peers[0], peers[1]);
    world.run_for(SECOND / 100);
    assert_eq!(doubted(&world, peers[0], peers[1]), 1);
    assert_eq!(doubted(&world, peers[1], peers[0]), 0);
    world.run_for(10 * SECOND);
    assert_lives(&world, &group, &peers);
    assert_eq!(world.machine(peers[1]).expect("runs").status().links_alive, 1);
}

#[test]
fn a_connection_that_dies_silently_is_replaced() {
    let (mut world, peers) = overlay(6, 2);
    let group = world.create(peers[0], &peers[1..]).expect("accepted");
    world.run_for(SECOND);
    world.silence_sessions(peers[0], peers[1]);
    world.run_for(5 * SECOND);
    assert!(doubted(&world, peers[0], peers[1]) + doubted(&world, peers[1], peers[0]) > 0);
    assert_lives(&world, &group, &peers);
    assert_eq!(world.machine(peers[1]).expect("runs").status().links_doubtful, 0);
}

#[test]
fn a_slow_process_answers_slowly_and_a_fast_one_again_at_once() {
    let (mut world, peers) = overlay(7, 2);
    world.set_slow(peers[1], Duration::from_millis(40));
    world.run_for(60 * SECOND);
    let slow = round_trip(&world, peers[0], peers[1]).expect("neighbours");
    assert!(
        slow > Duration::from_millis(40) && slow < Duration::from_millis(200),
        "{slow:?}"
    );
    world.set_slow(peers[1], Duration::ZERO);
    world.run_for(60 * SECOND);
    let fast = round_trip(&world, peers[0], peers[1]).expect("neighbours");
    assert!(fast < Duration::from_millis(2), "{fast:?}");
}

#[test]
fn a_starved_process_goes_on_with_what_has_waited() {
    let (mut world, peers) = overlay(8, 2);
    let group = world.create(peers[0], &peers[1..]).expect("accepted");
    world.run_for(SECOND);
    world.starve(peers[1], SECOND);
    world.run_for(Duration::from_millis(990));
    let asleep = world.machine(peers[1]).expect("lives").status().counters.pings_sent;
    assert!(doubted(&world, peers[0], peers[1]) > 0);
    world.run_for(Duration::from_millis(500));
    let awake = world.machine(peers[1]).expect("lives").status().counters.pings_sent;
    assert!(awake > asleep);
    assert_eq!(world.machine(peers[0]).expect("lives").status().links_doubtful, 0);
    assert_lives(&world, &group, &peers);
}

#[test]
fn a_fast_clock_makes_a_busy_peer() {
    let (mut world, peers) = overlay(9, 2);
    world.set_drift(peers[1], 1.1);
    let sent = |world: &World, peer: PeerIndex| world.machine(peer).expect("runs").status().counters.pings_sent as f64;
    let before = [sent(&world, peers[0]), sent(&world, peers[1])];
    world.run_for(600 * SECOND);
    let ratio = (sent(&world, peers[1]) - before[1]) / (sent(&world, peers[0]) - before[0]);
    assert!((1.05..1.15).contains(&ratio), "{ratio}");
}

#[test]
fn a_clock_that_jumps_brings_deadlines_to_one_peer_only() {
    let (mut world, peers) = overlay(10, 2);
    world.jump_clock(peers[1], 3600 * SECOND);
    world.run_for(SECOND / 1000);
    assert_eq!(doubted(&world, peers[0], peers[1]), 0);
    world.run_for(30 * SECOND);
    for peer in peers {
        assert_eq!(world.machine(peer).expect("runs").status().links_alive, 1, "{peer:?}");
    }
}

#[test]
fn a_moved_peer_is_found_where_it_is_and_its_old_place_can_be_another_s() {
    let (mut world, peers) = overlay(11, 4);
    let old = world.address(peers[2]);
    world.move_address(peers[2]);
    assert_ne!(world.address(peers[2]), old);
    world.run_for(30 * SECOND);
    let group = world.create(peers[0], &[peers[2]]).expect("accepted");
    assert!(world.take_address(peers[3], &old));
    assert!(!world.take_address(peers[1], &old), "it is taken");
    assert_eq!(world.address(peers[3]), old);
    world.run_for(30 * SECOND);
    assert_lives(&world, &group, &[peers[0], peers[2]]);
    world.create(peers[1], &peers[2..]).expect("all are found");
}

#[test]
fn an_adversary_strikes_at_its_kind_only() {
    for reaction in [
        Reaction::BreakSession,
        Reaction::BreakSilently,
        Reaction::CutLink(SECOND),
        Reaction::Delay(SECOND / 2),
    ] {
        let (mut world, peers) = overlay(12, 6);
        let group = world.create(peers[0], &peers[1..3]).expect("accepted");
        world.run_for(SECOND);
        world.on_message(Adversary {
            kind: MessageKind::Fail,
            share: 1.0,
            reaction,
        });
        let doubts = |world: &World| peers.iter().map(|&a| doubted(world, a, peers[1])).sum::<usize>();
        let before = doubts(&world);
        world.run_for(10 * SECOND);
        assert_eq!(doubts(&world), before, "{reaction:?}: nobody has said it yet");
        world.signal(peers[1], &group);
        world.run_for(Config::preset(Profile::Local).groups.notification_bound());
        for &peer in &peers[..3] {
            assert_eq!(world.notified(peer, &group).len(), 1, "{reaction:?}: {peer:?}");
        }
        world.dismiss_adversaries();
        world.run_for(60 * SECOND);
        world.create(peers[0], &peers[1..]).expect("all is well again");
    }
}

#[test]
fn messages_are_told_apart_inside_and_out() {
    let (mut world, peers) = overlay(13, 6);
    world.observe(Observe::Messages);
    let group = world.create(peers[0], &peers[1..]).expect("accepted");
    world.run_for(5 * SECOND);
    world.signal(peers[2], &group);
    world.run_for(SECOND);
    let mut seen = std::collections::BTreeSet::new();
    for (_, observation) in world.take_observations() {
        if let Observation::Sent { words, .. } = observation {
            let host = matches!(words, Words::Host(_));
            let kinds = kinds_of(&words);
            assert!(host || !kinds.is_empty(), "{words:?}");
            seen.extend(kinds);
        }
    }
    use MessageKind::*;
    for kind in [Ping, Pong, Operation, Construct, Confirm, Fail, Invite, Accept] {
        assert!(seen.contains(&kind), "{kind:?} not among {seen:?}");
    }
}

#[test]
fn a_hostile_peer_can_say_anything_and_loses_its_link() {
    let (mut world, peers) = overlay(14, 3);
    let garbage = |world: &World| world.machine(peers[1]).expect("runs").status().counters.garbage;
    let before = garbage(&world);
    assert!(world.forge(peers[0], peers[1], vec![0xff; 40]));
    assert!(world.forge_request(peers[0], peers[1], vec![1; 40]));
    world.run_for(SECOND);
    assert_eq!(garbage(&world), before + 2);
    world.crash(peers[2]);
    assert!(!world.forge(peers[2], peers[1], Vec::new()));
    assert!(!world.forge_request(peers[2], peers[1], Vec::new()));
}

#[test]
fn a_dead_process_is_known_by_its_kernel_and_a_dead_host_by_nobody() {
    let (mut world, peers) = overlay(15, 2);
    let mut doubts = Vec::new();
    for vanish in [false, true] {
        let before = doubted(&world, peers[0], peers[1]);
        if vanish {
            world.vanish(peers[1]);
        } else {
            world.crash(peers[1]);
        }
        world.run_for(Duration::from_millis(20));
        doubts.push(doubted(&world, peers[0], peers[1]) - before);
        world.run_for(20 * SECOND);
        world.restart(peers[1]);
        world.run_for(60 * SECOND);
        assert_eq!(world.machine(peers[0]).expect("runs").status().links_alive, 1);
    }
    assert_eq!(doubts, [1, 0]);
}

#[test]
fn near_hosts_share_a_region_of_the_wide_area() {
    let mut world = World::with_config(16, Config::preset(Profile::Wan), Latency::INTERNET);
    let peers: Vec<_> = (0..30).map(|_| world.spawn(&[])).collect();
    let mut regions: Vec<_> = peers.iter().map(|&peer| world.region_of(peer)).collect();
    assert!(regions.iter().all(|&region| region < world.regions()));
    regions.sort_unstable();
    regions.dedup();
    assert!(regions.len() > 2, "{regions:?}");
}

#[test]
fn idle_connections_are_closed_and_a_group_s_members_find_each_other_again() {
    let (mut world, peers) = overlay(17, 24);
    let group = world.create(peers[0], &peers[5..9]).expect("accepted");
    world.run_for(120 * SECOND);
    assert_lives(&world, &group, &peers[..9]);
    world.signal(peers[5], &group);
    world.run_for(SECOND);
    for &peer in &peers[5..9] {
        assert_eq!(world.notified(peer, &group).len(), 1);
    }
}

#[test]
fn a_disturbed_run_can_be_repeated() {
    let run = || {
        let (mut world, peers) = overlay(18, 8);
        let group = world.create(peers[0], &peers[1..4]).expect("accepted");
        world.set_loss_everywhere(0.1);
        world.set_bandwidth(peers[2], peers[3], Some(2_000));
        world.set_drift(peers[1], 0.95);
        world.set_slow(peers[5], Duration::from_millis(3));
        world.starve(peers[4], SECOND);
        world.on_message(Adversary {
            kind: MessageKind::Ping,
            share: 0.01,
            reaction: Reaction::BreakSession,
        });
        world.run_for(20 * SECOND);
        world.move_address(peers[6]);
        world.jump_clock(peers[7], SECOND);
        world.command(
            peers[0],
            Command::Locate {
                peer: world.id(peers[6]),
            },
        );
        world.signal(peers[3], &group);
        world.run_for(20 * SECOND);
        let events: Vec<_> = peers.iter().map(|&peer| world.events(peer).to_vec()).collect();
        (events, world.happened())
    };
    assert_eq!(run(), run());
}
