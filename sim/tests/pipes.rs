//! Pipes on wires that are slow, broken and lossy (protocol.md §3.2).

use std::time::Duration;

use fatebound_machine::overlay::PeerId;
use fatebound_machine::overlay::pipes::{self, Cause, Port};
use fatebound_machine::{Command, Event};
use fatebound_sim::{PeerIndex, Profile, World};

const PORT: Port = Port(7);
const SECOND: Duration = Duration::from_secs(1);

/// Peers that all listen.
fn world(profile: Profile, peers: usize) -> (World, Vec<PeerIndex>) {
    let mut world = World::new(3, profile);
    let all = world.spawn_overlay(peers);
    for &peer in &all {
        world.command(peer, Command::Pipe(pipes::Command::Listen { port: PORT }));
    }
    (world, all)
}

fn send(world: &mut World, from: PeerIndex, to: PeerIndex, body: Vec<u8>) {
    let peer = world.id(to);
    let port = PORT;
    world.command(from, Command::Pipe(pipes::Command::Send { port, peer, body }));
}

fn events(world: &World, peer: PeerIndex) -> impl Iterator<Item = &pipes::Event> {
    let events = world.events(peer).iter();
    events.filter_map(|(_, event)| match event {
        Event::Pipe(event) => Some(event),
        _ => None,
    })
}

fn received(world: &World, peer: PeerIndex) -> usize {
    let bodies = events(world, peer).filter(|event| matches!(event, pipes::Event::Received { .. }));
    bodies.count()
}

fn causes(world: &World, peer: PeerIndex, of: PeerId) -> Vec<Cause> {
    let downs = events(world, peer).filter_map(|event| match event {
        pipes::Event::Down { peer, cause, .. } if *peer == of => Some(cause.clone()),
        _ => None,
    });
    downs.collect()
}

/// Keeps both directions between two peers full for so long; what comes is read at once. Returns the bodies that came.
fn keep_full(world: &mut World, [a, b]: [PeerIndex; 2], time: Duration) -> usize {
    let end = world.now() + time;
    let mut read = [received(world, a), received(world, b)];
    let before: usize = read.iter().sum();
    while world.now() < end {
        for (n, (at, from)) in [(a, b), (b, a)].into_iter().enumerate() {
            let (come, peer) = (received(world, at), world.id(from));
            for _ in read[n]..come {
                world.command(at, Command::Pipe(pipes::Command::Read { port: PORT, peer }));
            }
            read[n] = come;
            let room = world.machine(at).map_or(0, |machine| machine.pipes().room(PORT, &peer));
            if room >= 20_000 {
                send(world, at, from, vec![1; 20_000]);
            }
        }
        world.run_for(Duration::from_millis(50));
    }
    read.iter().sum::<usize>() - before
}

/// "A pipe that is kept full delays no ping by more than the floor of its time limit" (L6).
#[test]
fn a_full_pipe_costs_no_link_on_a_slow_wire() {
    for profile in [Profile::Lan, Profile::Wan] {
        let (mut world, peers) = world(profile, 4);
        let [a, b] = [peers[0], peers[2]];
        // 1 Mbit/s, both ways: whatever else the two say takes the same wire.
        world.set_bandwidth(a, b, Some(125_000));
        world.set_bandwidth(b, a, Some(125_000));
        world.run_for(30 * SECOND);
        let doubts = |world: &World| {
            let status = |peer| world.machine(peer).expect("lives").status().counters;
            let both = [status(a), status(b)];
            both.iter()
                .map(|of| of.pings_missed + of.doubts + of.links_lost)
                .sum::<u64>()
        };
        let before = doubts(&world);
        let bodies = keep_full(&mut world, [a, b], 60 * SECOND);
        assert_eq!(doubts(&world), before, "{profile}");
        // A good part of what the wire bears, both ways.
        let share = bodies as f64 * 20_000.0 / (2.0 * 125_000.0 * 60.0);
        println!("{profile}: {:.0} % of the wire", share * 100.0);
        assert!(share > 0.3, "{profile}: {share}");
        assert!(causes(&world, a, world.id(b)).is_empty());
    }
}

#[test]
fn a_pipe_shares_the_links_connection_where_no_other_can_be_dialled() {
    let (mut world, peers) = world(Profile::Lan, 3);
    let [a, b] = [peers[0], peers[1]];
    world.refuse(a, b);
    world.refuse(b, a);
    send(&mut world, a, b, vec![2; 30_000]);
    world.run_for(5 * SECOND);
    assert_eq!(received(&world, b), 1);
}

#[test]
fn cuts_and_deaths_are_reported_once_at_each_end_that_lives() {
    let (mut world, peers) = world(Profile::Lan, 4);
    let [a, b, c] = [peers[0], peers[1], peers[2]];
    send(&mut world, a, b, b"one".to_vec());
    send(&mut world, a, c, b"one".to_vec());
    world.run_for(SECOND);
    // The wire is cut for good: what has been sent is not taken, and that is noticed within a minute.
    world.cut(a, b);
    send(&mut world, a, b, b"two".to_vec());
    world.crash(c);
    world.run_for(SECOND);
    assert_eq!(causes(&world, a, world.id(c)), [Cause::Lost]);
    world.run_for(130 * SECOND);
    assert_eq!(causes(&world, a, world.id(b)), [Cause::Lost]);
    assert_eq!(causes(&world, b, world.id(a)), [Cause::Lost]);
    world.mend(a, b);
    send(&mut world, b, a, b"three".to_vec());
    world.run_for(5 * SECOND);
    assert_eq!(received(&world, a), 1);
    assert_eq!(received(&world, b), 1, "nothing is replayed");
}

#[test]
fn bodies_get_through_a_lossy_wire_in_order() {
    let (mut world, peers) = world(Profile::Lan, 3);
    let [a, b] = [peers[0], peers[1]];
    world.set_loss_everywhere(0.1);
    for number in 0..20u8 {
        send(&mut world, a, b, vec![number; 5000]);
        world.run_for(SECOND);
    }
    world.run_for(60 * SECOND);
    let numbers: Vec<u8> = events(&world, b)
        .filter_map(|event| match event {
            pipes::Event::Received { body, .. } => Some(body[0]),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
}
