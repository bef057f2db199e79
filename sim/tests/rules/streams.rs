//! Rules about the stream of process groups that concern more than the stream.

use fatebound_machine::process_groups::protocols::{Notice, Order, ProviderId, Ticket};
use fatebound_machine::process_groups::{Command as Word, Event as Of, GroupName};
use fatebound_machine::{Command, Event};
use fatebound_sim::{PeerIndex, Profile, World};

use crate::common::{SECOND, overlay};

fn name() -> GroupName {
    GroupName::try_from("db").expect("a name")
}

/// Lets a peer come into the group, and waits until it has.
fn come_in(world: &mut World, peer: PeerIndex) {
    let join = Word::Join {
        name: name(),
        seconds: 1_000,
        ticket: Ticket(1),
        instance: b"process".to_vec(),
        info: Vec::new(),
        attributes: Box::default(),
    };
    world.command(peer, Command::Cluster(join));
    let here = |world: &World| is_listed(world, peer);
    assert!(world.run_until(120 * SECOND, here), "{peer:?} is in the group");
}

fn provider(world: &World, peer: PeerIndex) -> Option<ProviderId> {
    let provider = |(_, event): &(_, Event)| match event {
        Event::Cluster(Of::Provider { provider, .. }) => Some(*provider),
        _ => None,
    };
    world.events(peer).iter().find_map(provider)
}

fn is_listed(world: &World, peer: PeerIndex) -> bool {
    let machine = world.machine(peer);
    let state = machine.and_then(|machine| machine.process_groups().group(&name())?.state);
    let own = provider(world, peer);
    state.is_some_and(|state| state.providers().iter().any(|other| Some(other.id) == own))
}

fn messages(world: &World, peer: PeerIndex) -> Vec<Vec<u8>> {
    let message = |(_, event): &(_, Event)| match event {
        Event::Cluster(Of::Shown {
            notice: Notice::Message { body, .. },
            ..
        }) => Some(body.clone()),
        _ => None,
    };
    world.events(peer).iter().filter_map(message).collect()
}

/// Two of five can never connect to each other, one of them the leader; all the others can.
#[test]
fn stream_detours() {
    let (mut world, peers) = overlay(18, 8, Profile::Lan);
    world.cut(peers[0], peers[1]);
    let group = &peers[..5];
    for &peer in group {
        come_in(&mut world, peer);
    }
    for round in 0..20 {
        for &peer in group {
            let provider = provider(&world, peer).expect("it is in the group");
            let body = format!("{round} of {peer:?}").into_bytes();
            let order = Order::Send { provider, body };
            world.command(peer, Command::Cluster(Word::Order { name: name(), order }));
        }
        world.run_for(SECOND / 10);
    }
    let all = |world: &World| group.iter().all(|peer| messages(world, *peer).len() == 100);
    assert!(world.run_until(60 * SECOND, all), "all are shown all");
    for &peer in group {
        assert_eq!(messages(&world, peer), messages(&world, peers[0]), "{peer:?}");
        let removed = |(_, event): &(_, Event)| matches!(event, Event::Cluster(Of::Removed { .. }));
        assert!(!world.events(peer).iter().any(removed), "{peer:?} was put out");
    }
}
