//! Rules of one-shot messages (protocol.md §3): which ways they take, and the way back.

use fatebound_machine::fng::{self, Ticket};
use fatebound_machine::overlay::message::Message;
use fatebound_machine::{Command, wire};
use fatebound_sim::{
    Adversary, Config, Latency, MessageKind, Observation, Observe, PeerIndex, Profile, Reaction, Words, World,
};

use crate::common::{MILLI, SECOND, assert_lives, is_whole, joined, order, ordered, overlay, strangers};

/// Two peers that cannot reach each other have a group all the same.
fn create_without_connection() {
    for seed in 0..3 {
        let (mut world, peers) = overlay(seed, 24, Profile::Local);
        let (root, member) = strangers(&world, &peers);
        world.cut(root, member);
        let group = world.create(root, &[member]).expect("somebody else carries it");
        world.run_for(30 * SECOND);
        assert_lives(&world, &group, &[root, member]);
    }
}

#[test]
fn copies_without_connection() {
    create_without_connection();
}

/// The question finds its way through others, and the answer takes it back.
#[test]
fn answers_over_the_way() {
    create_without_connection();
}

/// The connection looks up, and is not.
#[test]
fn copies_when_doubtful() {
    let (mut world, peers) = overlay(1, 16, Profile::Lan);
    let root = peers[0];
    let member = *peers[1..]
        .iter()
        .find(|&&peer| world.linked(root, peer))
        .expect("a neighbour");
    world.cut(root, member);
    let doubtful = |world: &World| {
        world
            .machine(root)
            .is_some_and(|machine| machine.status().links_doubtful > 0)
    };
    assert!(world.run_until(30 * SECOND, doubtful));
    let before = world.now();
    world.create(root, &[member]).expect("everybody accepts");
    let after = world.now().since(before);
    assert!(after < SECOND, "only when the connection had not answered: {after:?}");
}

/// A member's neighbour suspects it, and nothing is wrong with it; the root's own connection died unnoticed.
#[test]
fn copies_of_repetitions() {
    let mut met = 0;
    for seed in 0..6 {
        let (mut world, peers) = overlay(seed, 32, Profile::Lan);
        let (root, member) = strangers(&world, &peers);
        let group = world.create(root, &[member]).expect("everybody accepts");
        world.run_for(30 * SECOND);
        let last = |peer: &PeerIndex| {
            let carries = world.machine(*peer).is_some_and(|machine| machine.carries(&group));
            carries && *peer != root && world.linked(*peer, member)
        };
        let delegates: Vec<PeerIndex> = peers.iter().copied().filter(last).collect();
        met += delegates.len();
        world.cut(root, member);
        for delegate in delegates {
            world.cut(delegate, member);
        }
        world.run_for(90 * SECOND);
        assert_lives(&world, &group, &[root, member]);
        assert!(is_whole(&world, root, &group), "seed {seed}");
    }
    assert!(met > 0, "nobody had a delegate: the test would not notice anything");
}

/// The bytes of one-shot questions that travel through others.
fn routed_questions(world: &mut World) -> usize {
    let seen = world.take_observations();
    let routed = seen.iter().filter(|(_, observation)| match observation {
        Observation::Sent {
            words: Words::Frame(frame),
            ..
        } => {
            matches!(wire::decode_frame(frame), Ok(Message::Routed(routed))
                if matches!(routed.body.body, fatebound_machine::overlay::message::OneShot::Above { .. }))
        }
        _ => false,
    });
    routed.count()
}

/// Who answers costs one exchange and no signature, however many groups are asked about.
#[test]
fn first_question_direct() {
    let (mut world, peers) = overlay(2, 16, Profile::Lan);
    let mut groups = Vec::new();
    for n in 0..50 {
        let member = peers[1 + n % 15];
        groups.push(world.create(peers[0], &[member]).expect("everybody accepts"));
    }
    world.run_for(30 * SECOND);
    world.observe(Observe::Messages);
    world.take_observations();
    for (n, group) in groups.iter().enumerate() {
        let (ticket, group) = (Ticket(n as u64), *group);
        world.command(peers[0], Command::Group(fng::Command::Check { ticket, group }));
    }
    world.run_for(200 * MILLI);
    assert_eq!(routed_questions(&mut world), 0, "copies that nobody needed");
    for (n, group) in groups.iter().enumerate() {
        assert_lives(&world, group, &[peers[0], peers[1 + n % 15]]);
    }
}

/// The accept gets lost with its connection; the repeated invitation, over another way, is accepted again.
#[test]
fn accepted_again() {
    for seed in 0..3 {
        let (mut world, peers) = overlay(seed, 24, Profile::Local);
        let (root, member) = strangers(&world, &peers);
        let (kind, share, reaction) = (MessageKind::Accept, 1.0, Reaction::BreakSession);
        world.on_message(Adversary { kind, share, reaction });
        order(&mut world, 7, root, &[member], None);
        let group = ordered(&world, root, 7);
        assert!(world.run_until(SECOND, |world| joined(world, member, &group) == 1));
        world.run_for(MILLI);
        world.dismiss_adversaries();
        world.run_for(10 * SECOND);
        assert_lives(&world, &group, &[root, member]);
        assert!(is_whole(&world, root, &group), "seed {seed}");
    }
}

/// Root and member are no neighbours and can talk directly alone, and nothing comes through the connection that they have; a new one works.
#[test]
fn fresh_question() {
    for (profile, latency) in [(Profile::Lan, Latency::RACK), (Profile::Wan, Latency::INTERNET)] {
        for seed in 0..4 {
            let mut config = Config::preset(profile);
            (config.overlay.leaves_per_side, config.overlay.digit_bits) = (1, 1);
            let mut world = World::with_config(seed, config, latency);
            let peers = world.spawn_overlay(16);
            let (root, member) = strangers(&world, &peers);
            let group = world.create(root, &[member]).expect("it accepts");
            world.run_for(SECOND);
            world.silence_sessions(root, member);
            for &other in peers.iter().filter(|&&other| other != root && other != member) {
                world.cut(root, other);
            }
            world.run_for(60 * SECOND);
            assert_lives(&world, &group, &[root, member]);
            assert!(is_whole(&world, root, &group), "{profile}, seed {seed}");
        }
    }
}
