//! What the scenarios of rules about groups have in common.

use std::time::Duration;

use fatebound_machine::fng::{self, Ticket};
use fatebound_machine::overlay::Time;
use fatebound_machine::{Command, Event};
use fatebound_sim::{GroupId, PeerIndex, Profile, World};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MILLI: Duration = Duration::from_millis(1);

/// A quiet overlay.
pub fn overlay(seed: u64, count: usize, profile: Profile) -> (World, Vec<PeerIndex>) {
    let mut world = World::new(seed, profile);
    let peers = world.spawn_overlay(count);
    (world, peers)
}

/// The first two peers that are no neighbours.
pub fn strangers(world: &World, peers: &[PeerIndex]) -> (PeerIndex, PeerIndex) {
    let pairs = peers.iter().flat_map(|&a| peers.iter().map(move |&b| (a, b)));
    let mut apart = pairs.filter(|&(a, b)| a != b && !world.linked(a, b));
    apart.next().expect("not everybody is everybody's neighbour")
}

/// Nobody was told that the group has failed, and everybody has it.
#[track_caller]
pub fn assert_lives(world: &World, group: &GroupId, members: &[PeerIndex]) {
    for &peer in members {
        assert_eq!(world.notified(peer, group), [], "{peer:?}");
        let machine = world.machine(peer).expect("it runs");
        assert!(machine.group(group).is_some(), "{peer:?} has lost the group");
    }
}

/// Joint sets that were found to differ, anywhere.
pub fn mismatches(world: &World, peers: &[PeerIndex]) -> u64 {
    let counted = |&peer: &PeerIndex| {
        world
            .machine(peer)
            .map(|machine| machine.status().counters.digest_mismatches)
    };
    peers.iter().filter_map(counted).sum()
}

/// Whether the root's paths to all members are up.
pub fn is_whole(world: &World, root: PeerIndex, group: &GroupId) -> bool {
    let view = world.machine(root).and_then(|machine| machine.group(group));
    view.is_some_and(|view| view.hops.iter().all(Option::is_some))
}

/// Orders a group and does not wait.
pub fn order(world: &mut World, ticket: u64, root: PeerIndex, members: &[PeerIndex], tag: Option<&str>) {
    let members = members.iter().map(|&member| world.id(member)).collect();
    let command = fng::Command::Create {
        ticket: Ticket(ticket),
        members,
        tag: tag.map(str::to_owned),
        state: Vec::new(),
        timeout: None,
        admit: fng::Admit::default(),
    };
    world.command(root, Command::Group(command));
}

/// The group that this order is to become.
pub fn ordered(world: &World, root: PeerIndex, ticket: u64) -> GroupId {
    let groups = group_events(world, root);
    let mut begun = groups.filter_map(|(_, event)| match event {
        fng::Event::Creating { ticket: of, group } if of.0 == ticket => Some(*group),
        _ => None,
    });
    begun.next().expect("the order was taken")
}

/// What this peer was told about groups.
pub fn group_events(world: &World, peer: PeerIndex) -> impl Iterator<Item = (Time, &fng::Event)> {
    world.events(peer).iter().filter_map(|(at, event)| match event {
        Event::Group(event) => Some((*at, event)),
        _ => None,
    })
}

/// How often this peer became a member of the group.
pub fn joined(world: &World, peer: PeerIndex, group: &GroupId) -> usize {
    let joins = |event: &fng::Event| matches!(event, fng::Event::Joined { group: of } if of == group);
    group_events(world, peer).filter(|(_, event)| joins(event)).count()
}

/// Those who merely carry paths of the group.
pub fn carriers(world: &World, peers: &[PeerIndex], group: &GroupId, members: &[PeerIndex]) -> Vec<PeerIndex> {
    let carries = |peer: &PeerIndex| world.machine(*peer).is_some_and(|machine| machine.carries(group));
    let strangers = peers.iter().copied().filter(|peer| !members.contains(peer));
    strangers.filter(carries).collect()
}
