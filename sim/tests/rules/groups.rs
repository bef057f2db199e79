//! Rules of groups (protocol.md §6, §8).

use fatebound_machine::fng::message::{Notice, Request};
use fatebound_machine::fng::{self, Reason, Refusal};
use fatebound_machine::overlay::message::OneShot;
use fatebound_machine::overlay::{Port, Versions};
use fatebound_machine::{Command, wire};
use fatebound_sim::setting::Setting;
use fatebound_sim::{Adversary, GroupId, Latency, MessageKind, PeerIndex, Profile, Reaction, World};

use crate::common::{MILLI, SECOND, assert_lives, group_events, joined, order, ordered, overlay, strangers};

/// A group whose first invitation is still on a cut wire; another copy was accepted.
fn with_an_invitation_in_flight(seed: u64) -> (World, PeerIndex, PeerIndex, GroupId) {
    let (mut world, peers) = overlay(seed, 24, Profile::Local);
    let (root, member) = strangers(&world, &peers);
    let connect = world.create(member, &[root]);
    assert!(connect.is_ok(), "{connect:?}");
    world.cut_one_way(root, member);
    let group = world.create(root, &[member]).expect("somebody else carries it");
    (world, root, member, group)
}

/// An invitation that arrives after its group has failed.
#[test]
fn id_used_once() {
    for seed in 0..3 {
        let (mut world, root, member, group) = with_an_invitation_in_flight(seed);
        world.signal(root, &group);
        world.run_for(SECOND);
        assert_eq!(world.notified(member, &group).len(), 1);
        world.heal();
        world.run_for(30 * SECOND);
        assert_eq!(
            joined(&world, member, &group),
            1,
            "seed {seed}: a dead group was revived"
        );
        assert_eq!(world.notified(member, &group).len(), 1);
    }
}

/// The word that a group has failed overtakes the invitation to it.
#[test]
fn fail_uses_id_up() {
    for seed in 0..3 {
        let (mut world, peers) = overlay(seed, 24, Profile::Local);
        let (root, member) = strangers(&world, &peers);
        let connect = world.create(member, &[root]);
        assert!(connect.is_ok(), "{connect:?}");
        world.cut_one_way(root, member);
        order(&mut world, 7, root, &[member], None);
        let group = ordered(&world, root, 7);
        world.signal(root, &group);
        world.run_for(100 * MILLI);
        world.heal();
        world.run_for(30 * SECOND);
        assert_eq!(
            joined(&world, member, &group),
            0,
            "seed {seed}: a dead group was accepted"
        );
    }
}

/// A path that is faster than the invitation would find nobody.
#[test]
fn construct_after_accept() {
    for seed in 0..3 {
        let (mut world, peers) = overlay(seed, 24, Profile::Local);
        let (root, member) = strangers(&world, &peers);
        world.cut(root, member);
        let group = world.create(root, &[member]).expect("somebody else carries it");
        assert_lives(&world, &group, &[root, member]);
    }
}

/// One declines at once, one a little later: both are named with their own words.
#[test]
fn all_refusals_are_named() {
    let (mut world, peers) = overlay(1, 8, Profile::Local);
    order(&mut world, 7, peers[0], &peers[1..4], Some("tag"));
    let group = ordered(&world, peers[0], 7);
    world.run_for(50 * MILLI);
    for (member, text) in [(peers[1], "no"), (peers[2], "neither do I")] {
        let refusal = Some(Refusal::Declined { text: text.into() });
        world.command(member, Command::Group(fng::Command::Decide { group, refusal }));
        world.run_for(200 * MILLI);
    }
    let refusal = None;
    world.command(peers[3], Command::Group(fng::Command::Decide { group, refusal }));
    world.run_for(10 * SECOND);
    let refusals = group_events(&world, peers[0]).find_map(|(_, event)| match event {
        fng::Event::CreateFailed { refusals, .. } => Some(refusals.clone()),
        _ => None,
    });
    let expected = [(peers[1], "no"), (peers[2], "neither do I")];
    let expected = expected.map(|(peer, text)| (world.id(peer), Refusal::Declined { text: text.into() }));
    assert_eq!(refusals.as_deref(), Some(&expected[..]));
}

/// A member restarts and accepts in its new life, while its root still has a link to the old one.
#[test]
fn restart_is_no_proof() {
    for seed in 0..3 {
        let (mut world, peers) = overlay(seed, 12, Profile::Lan);
        let member = peers[11];
        let near = |peer: &&PeerIndex| world.linked(**peer, member);
        let root = *peers[1..11].iter().find(near).expect("a neighbour");
        world.run_for(20 * SECOND);
        world.cut(root, member);
        world.vanish(member);
        world.restart(member);
        world.run_for(3 * SECOND);
        let group = world.create(root, &[member]).expect("somebody else carries it");
        world.heal();
        world.run_for(60 * SECOND);
        assert_lives(&world, &group, &[root, member]);
    }
}

/// What a member's silent end costs the others, when nothing else is slow.
#[test]
fn patience_follows_the_links() {
    for seed in 0..4 {
        let (mut world, peers) = overlay(seed, 32, Profile::Lan);
        let group = world.create(peers[3], &peers[7..10]).expect("everybody accepts");
        world.run_for(60 * SECOND);
        world.vanish(peers[8]);
        world.run_for(5 * SECOND);
        for peer in [peers[3], peers[7], peers[9]] {
            assert_eq!(world.notified(peer, &group).len(), 1, "seed {seed}: {peer:?}");
        }
    }
}

/// A member lets a group fail in silence, and every list that would show it ends with its connection. Where the member notices the dead connection
/// first each time, it mends it, and the root has nothing to suspect. (Random run 9006666.)
#[test]
fn difference_ends_the_link() {
    for seed in 50..80 {
        let mut world = World::with_config(seed, Setting::Sparse.config(), Latency::RACK);
        let peers = world.spawn_overlay(8);
        let (root, member) = (peers[2], peers[0]);
        let group = world.create(root, &[member]).expect("it accepts");
        world.run_for(10 * SECOND);
        world.on_message(Adversary {
            kind: MessageKind::List,
            share: 1.0,
            reaction: Reaction::BreakSilently,
        });
        world.fall_silent(member, &group);
        world.run_for(world.config().groups.notification_bound());
        assert_eq!(world.notified(root, &group).len(), 1, "seed {seed}");
    }
}

/// A stranger says in a member's name, and without its signature, that the group has failed.
#[test]
fn false_fail_is_release() {
    let (mut world, peers) = overlay(1, 16, Profile::Local);
    let members = &peers[2..5];
    let group = world.create(members[0], &members[1..]).expect("everybody accepts");
    world.run_for(SECOND);
    let by = world.id(members[1]);
    let notice = Notice {
        group,
        originator: by,
        reason: Reason::Signalled {
            by,
            text: "a lie".into(),
        },
        signature: vec![7; 64],
    };
    // A question names its asker's network.
    let network = world.machine(members[0]).expect("it runs").network().to_owned();
    let question = OneShot::Above {
        port: Port::GROUPS,
        body: wire::encode(&Request::Fail(Box::new(notice))),
    };
    let body = wire::encode(&wire::Question::new(Versions::OURS, &network, question));
    let mut told = 0;
    for &liar in peers.iter().filter(|peer| !members.contains(peer)) {
        for &member in members {
            told += usize::from(world.forge_request(liar, member, body.clone()));
        }
    }
    assert!(told > 3, "nobody could be lied to");
    world.run_for(30 * SECOND);
    assert_lives(&world, &group, members);
}
