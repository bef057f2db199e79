//! What process groups cost: nothing, as long as they have nothing to say.

use std::time::Duration;

use fatebound_machine::Command;
use fatebound_machine::process_groups::views::Status;
use fatebound_machine::process_groups::{Command as Word, GroupName, protocols::Ticket};
use fatebound_sim::{Filter, Kind, Observe, PeerIndex, Profile, Tracer, World};

const SECOND: Duration = Duration::from_secs(1);
const GROUPS: usize = 1_000;

fn name(number: usize) -> GroupName {
    GroupName::try_from(format!("group {number}").as_str()).expect("a name")
}

fn join(world: &mut World, peer: PeerIndex, number: usize) {
    let join = Word::Join {
        name: name(number),
        seconds: 1,
        ticket: Ticket(number as u64),
        instance: b"it".to_vec(),
        info: Vec::new(),
        attributes: Box::default(),
    };
    world.command(peer, Command::Cluster(join));
}

/// How many groups of these have an open view of so many voters at this peer, and as many providers.
fn whole(world: &World, peer: PeerIndex, groups: usize, size: usize) -> usize {
    let all = world.machine(peer).expect("it runs").process_groups();
    let is_whole = |number: &usize| {
        all.group(&name(*number)).is_some_and(|group| {
            let voters = group.view.map_or(0, |view| view.voters.len());
            let providers = group.state.map_or(0, |state| state.providers().len());
            group.status == Status::Normal && voters == size && providers == size
        })
    };
    (0..groups).filter(is_whole).count()
}

/// Looks now and then, for looking at so many groups takes long.
fn until(world: &mut World, condition: impl Fn(&World) -> bool) -> bool {
    (0..1_200).any(|_| {
        world.run_for(SECOND / 20);
        condition(world)
    })
}

fn groups_on(world: &mut World, peers: &[PeerIndex], groups: usize) {
    world.run_for(40 * SECOND);
    for (place, &peer) in peers.iter().enumerate() {
        for number in 0..groups {
            join(world, peer, number);
        }
        let in_all = |world: &World| whole(world, peer, groups, place + 1) == groups;
        assert!(
            until(world, in_all),
            "{} at {peer:?}",
            whole(world, peer, groups, place + 1)
        );
    }
}

/// A thousand groups on the same five peers: once everything is settled and the pipes are closed, not one word is said about them in eight minutes. (Their
/// records in the directory are published again every ten minutes.)
#[test]
fn an_idle_group_sends_nothing() {
    let mut world = World::new(1, Profile::Lan);
    let peers = world.spawn_overlay(8);
    groups_on(&mut world, &peers[..5], GROUPS);
    world.run_for(90 * SECOND);
    let filter = Filter {
        kinds: [Kind::Pipes, Kind::Views, Kind::Groups, Kind::Told].into(),
        ..Filter::default()
    };
    let mut tracer = Tracer::new(&world, filter);
    world.observe(Observe::Messages);
    let mut said = Vec::new();
    for _ in 0..48 {
        world.run_for(10 * SECOND);
        let seen = world.take_observations();
        said.extend(tracer.lines(&world, &seen));
    }
    assert!(
        said.is_empty(),
        "{} words: {:?}",
        said.len(),
        &said[..said.len().min(20)]
    );
}

/// Their common leader is killed: all of them have a new view without it.
#[test]
fn a_thousand_groups_get_over_the_death_of_their_common_leader() {
    let mut world = World::new(2, Profile::Lan);
    let peers = world.spawn_overlay(8);
    groups_on(&mut world, &peers[..5], GROUPS);
    world.run_for(10 * SECOND);
    let before = world.now();
    world.crash(peers[0]);
    let over_it = |world: &World| peers[1..5].iter().all(|peer| whole(world, *peer, GROUPS, 4) == GROUPS);
    assert!(until(&mut world, over_it));
    println!("all have a new view after {:?}", world.now().since(before));
}
