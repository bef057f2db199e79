//! Many peers come into groups at once.

use std::time::Duration;

use fatebound_machine::fng::{Admit, Command as Order, Event as Of, Ticket};
use fatebound_machine::{Command, Event};
use fatebound_sim::{GroupId, PeerIndex, Profile, World};

const SECOND: Duration = Duration::from_secs(1);

/// So many groups of the first peer, alone in each of them; anybody may come in.
fn open_groups(world: &mut World, root: PeerIndex, count: u64) -> Vec<GroupId> {
    for ticket in 0..count {
        let create = Order::Create {
            ticket: Ticket(ticket),
            members: Vec::new(),
            tag: None,
            state: Vec::new(),
            timeout: None,
            admit: Admit::Open,
        };
        world.command(root, Command::Group(create));
    }
    let created = |(_, event): &(_, Event)| match event {
        Event::Group(Of::Created { group, .. }) => Some(*group),
        _ => None,
    };
    world.events(root).iter().filter_map(created).collect()
}

fn join(world: &mut World, peer: PeerIndex, ticket: usize, group: GroupId) {
    let join = Order::Join {
        ticket: Ticket(ticket as u64),
        group,
        observe: false,
        timeout: None,
    };
    world.command(peer, Command::Group(join));
}

/// How many members each of these knows in the group.
fn known(world: &World, peers: &[PeerIndex], group: &GroupId) -> Vec<usize> {
    let view = |peer: &PeerIndex| world.machine(*peer).and_then(|machine| machine.group(group));
    peers
        .iter()
        .map(|peer| view(peer).map_or(0, |view| view.members.len()))
        .collect()
}

/// Forty peers want to come into each of twenty-five groups, all at the same moment: everybody is let in, every path comes up, and all know the
/// same members. Then one of them dies, and everybody hears of it.
#[test]
fn a_thousand_joins_at_once_are_all_let_in() {
    let mut world = World::new(1, Profile::Local);
    let peers = world.spawn_overlay(41);
    let groups = open_groups(&mut world, peers[0], 25);
    for &peer in &peers[1..] {
        for (ticket, group) in groups.iter().enumerate() {
            join(&mut world, peer, ticket, *group);
        }
    }
    let root = |world: &World, group: &GroupId| world.machine(peers[0]).and_then(|machine| machine.group(group));
    let whole = |world: &World| {
        let mut views = groups.iter().map(|group| root(world, group));
        views.all(|view| view.is_some_and(|view| view.hops.len() == 40 && view.hops.iter().all(Option::is_some)))
    };
    assert!(world.run_until(20 * SECOND, whole), "not everybody has come in");
    world.run_for(5 * SECOND);
    for group in &groups {
        assert_eq!(known(&world, &peers, group), [41; 41]);
    }
    world.crash(peers[40]);
    world.run_for(10 * SECOND);
    for group in &groups {
        for &peer in &peers[..40] {
            assert_eq!(world.notified(peer, group).len(), 1, "{peer:?}");
        }
    }
}

/// When more than 64 have come, nobody but the root knows them any more, and whoever signals is believed all the same.
#[test]
fn a_group_that_has_grown_large_still_fails_everywhere() {
    let mut world = World::new(2, Profile::Local);
    let peers = world.spawn_overlay(80);
    let group = open_groups(&mut world, peers[0], 1)[0];
    for (ticket, &peer) in peers[1..].iter().enumerate() {
        join(&mut world, peer, ticket, group);
    }
    world.run_for(20 * SECOND);
    let known = known(&world, &peers, &group);
    assert_eq!(known[0], 80);
    assert!(known[1..].iter().all(|known| *known == 2), "{known:?}");
    world.signal(peers[70], &group);
    world.run_for(10 * SECOND);
    for &peer in &peers {
        assert_eq!(world.notified(peer, &group).len(), 1, "{peer:?}");
    }
}
