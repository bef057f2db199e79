//! Rules of coming into groups, observing them, going out of them, and closing them (protocol.md §6).

use fatebound_machine::fng::message::{Asked, Invitation, Request};
use fatebound_machine::fng::{self, Admit, Reason, Ticket};
use fatebound_machine::overlay::message::OneShot;
use fatebound_machine::{Command, Event, wire};
use fatebound_sim::{Adversary, GroupId, MessageKind, PeerIndex, Profile, Reaction, World};

use crate::common::{MILLI, SECOND, assert_lives, joined, ordered, overlay};

/// A group into which anybody may come, with its paths up.
fn open_group(world: &mut World, root: PeerIndex, members: &[PeerIndex]) -> GroupId {
    let create = fng::Command::Create {
        ticket: Ticket(7),
        members: members.iter().map(|&member| world.id(member)).collect(),
        tag: None,
        state: Vec::new(),
        timeout: None,
        admit: Admit::Open,
    };
    world.command(root, Command::Group(create));
    world.run_for(2 * SECOND);
    ordered(world, root, 7)
}

fn come(world: &mut World, peer: PeerIndex, group: GroupId, observe: bool) {
    let join = fng::Command::Join {
        ticket: Ticket(8),
        group,
        observe,
        timeout: None,
    };
    world.command(peer, Command::Group(join));
}

fn leave(world: &mut World, peer: PeerIndex, group: GroupId) {
    let ticket = Ticket(9);
    world.command(peer, Command::Group(fng::Command::Leave { ticket, group }));
}

/// Every message of this kind is lost with its connection.
fn lose(world: &mut World, kind: MessageKind) {
    world.on_message(Adversary {
        kind,
        share: 1.0,
        reaction: Reaction::BreakSession,
    });
}

fn has_left(world: &World, peer: PeerIndex, group: &GroupId) -> bool {
    let left = |event: &Event| matches!(event, Event::Group(fng::Event::Left { group: of }) if of == group);
    world.events(peer).iter().any(|(_, event)| left(event))
}

/// A direct question, which names its asker's network.
fn question(world: &World, of: PeerIndex, words: OneShot) -> Vec<u8> {
    let network = world.machine(of).expect("it runs").network().to_owned();
    wire::encode(&wire::Question::new(
        fatebound_machine::overlay::Versions::OURS,
        &network,
        words,
    ))
}

/// The invitation that answered a join comes once more, when whoever asked has left again.
#[test]
fn asked_for() {
    let (mut world, peers) = overlay(1, 12, Profile::Local);
    let (root, guest) = (peers[2], peers[9]);
    let group = open_group(&mut world, root, &peers[3..5]);
    come(&mut world, guest, group, false);
    world.run_for(2 * SECOND);
    leave(&mut world, guest, group);
    world.run_for(2 * SECOND);
    assert!(has_left(&world, guest, &group));
    let late = Invitation {
        group,
        members: vec![world.id(root), world.id(guest)],
        tag: None,
        state: Vec::new(),
        timings: world.config().groups.timings,
        list: 1,
        asked: Some(Asked {
            number: 1,
            observe: false,
        }),
    };
    let late = OneShot::Above {
        port: fatebound_machine::overlay::Port::GROUPS,
        body: wire::encode(&Request::Invite(Box::new(late))),
    };
    let late = question(&world, guest, late);
    assert!(world.forge_request(root, guest, late), "they have no connection");
    world.run_for(10 * SECOND);
    assert_eq!(joined(&world, guest, &group), 1, "a late invitation was accepted");
    assert_lives(&world, &group, &[root, peers[3], peers[4]]);
}

/// An observer's host vanishes.
#[test]
fn observer_is_nobody() {
    let (mut world, peers) = overlay(1, 12, Profile::Local);
    let group = open_group(&mut world, peers[2], &peers[3..5]);
    come(&mut world, peers[9], group, true);
    world.run_for(2 * SECOND);
    let view = world.machine(peers[9]).and_then(|machine| machine.group(&group));
    assert!(view.is_some_and(|view| view.observer), "it does not observe");
    world.vanish(peers[9]);
    world.run_for(20 * SECOND);
    assert_lives(&world, &group, &peers[2..5]);
}

/// A member that is about to leave says that the group has failed.
#[test]
fn leaver_is_mute() {
    let (mut world, peers) = overlay(1, 12, Profile::Local);
    let group = open_group(&mut world, peers[2], &peers[3..6]);
    lose(&mut world, MessageKind::LeaveGroup);
    leave(&mut world, peers[3], group);
    world.signal(peers[3], &group);
    world.run_for(5 * SECOND);
    world.dismiss_adversaries();
    world.run_for(20 * SECOND);
    assert!(has_left(&world, peers[3], &group));
    assert_lives(&world, &group, &[peers[2], peers[4], peers[5]]);
}

/// No word of a leaver reaches the root, until it has left.
#[test]
fn left_is_no_failure() {
    let (mut world, peers) = overlay(1, 12, Profile::Local);
    let group = open_group(&mut world, peers[2], &peers[3..6]);
    lose(&mut world, MessageKind::LeaveGroup);
    leave(&mut world, peers[3], group);
    world.run_for(5 * SECOND);
    assert!(has_left(&world, peers[3], &group));
    world.dismiss_adversaries();
    world.run_for(20 * SECOND);
    assert_lives(&world, &group, &[peers[2], peers[4], peers[5]]);
}

/// A member leaves and comes back, and only then another copy of its word about leaving reaches the root.
#[test]
fn leave_names_its_join() {
    let (mut world, peers) = overlay(1, 12, Profile::Local);
    let (root, member) = (peers[2], peers[3]);
    let group = open_group(&mut world, root, &peers[3..6]);
    leave(&mut world, member, group);
    world.run_for(2 * SECOND);
    assert!(has_left(&world, member, &group));
    come(&mut world, member, group, false);
    world.run_for(2 * SECOND);
    assert_eq!(joined(&world, member, &group), 2);
    let late = OneShot::Above {
        port: fatebound_machine::overlay::Port::GROUPS,
        body: wire::encode(&Request::Leave { group, came: 0 }),
    };
    let late = question(&world, root, late);
    assert!(world.forge_request(member, root, late), "they have no connection");
    world.run_for(20 * SECOND);
    assert_lives(&world, &group, &peers[2..6]);
}

/// The root closes a group, and all words about that are lost.
#[test]
fn closed_is_remembered() {
    let (mut world, peers) = overlay(1, 12, Profile::Local);
    let group = open_group(&mut world, peers[2], &peers[3..6]);
    lose(&mut world, MessageKind::Fail);
    leave(&mut world, peers[2], group);
    world.run_for(5 * SECOND);
    world.dismiss_adversaries();
    world.run_for(20 * SECOND);
    for &peer in &peers[2..6] {
        assert_eq!(world.notified(peer, &group), [], "{peer:?} was told of a failure");
        assert!(
            world
                .machine(peer)
                .is_some_and(|machine| machine.group(&group).is_none())
        );
    }
}

/// An observer and a member come in at the same time: the observer was invited before the member counted.
#[test]
fn list_missed() {
    let (mut world, peers) = overlay(1, 12, Profile::Local);
    let group = open_group(&mut world, peers[2], &peers[3..5]);
    world.set_delay(peers[9], peers[2], 20 * MILLI);
    come(&mut world, peers[9], group, true);
    come(&mut world, peers[8], group, false);
    world.run_for(10 * SECOND);
    let known = |peer: PeerIndex| {
        let view = world.machine(peer).and_then(|machine| machine.group(&group));
        view.map(|view| view.members.into_iter().collect::<std::collections::BTreeSet<_>>())
    };
    assert_eq!(known(peers[2]).map(|members| members.len()), Some(4));
    assert_eq!(known(peers[9]), known(peers[2]));
}

/// A newcomer signals before the others have heard of it. They believe the root, who says it again.
#[test]
fn lists_follow() {
    let (mut world, peers) = overlay(1, 12, Profile::Local);
    let group = open_group(&mut world, peers[2], &peers[3..6]);
    lose(&mut world, MessageKind::Members);
    come(&mut world, peers[9], group, false);
    world.run_for(2 * SECOND);
    assert_eq!(joined(&world, peers[9], &group), 1);
    world.signal(peers[9], &group);
    world.run_for(5 * SECOND);
    for &peer in &peers[2..6] {
        let told = world.notified(peer, &group);
        assert!(
            matches!(&told[..], [(_, Reason::Signalled { .. })]),
            "{peer:?} does not believe the newcomer: {told:?}"
        );
    }
}
