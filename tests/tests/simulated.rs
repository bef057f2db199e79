//! The promises of protocol.md §1 in virtual time: the real machine, a simulated network, every fault that a plain network knows.

use std::time::Duration;

use fatebound_sim::{Config, CreateError, GroupId, PeerIndex, Profile, Reason, Refusal, World};

const SECOND: Duration = Duration::from_secs(1);

fn bound() -> Duration {
    Config::preset(Profile::Local).groups.notification_bound()
}

fn overlay(seed: u64, count: usize) -> (World, Vec<PeerIndex>) {
    let mut world = World::new(seed, Profile::Local);
    let peers = world.spawn_overlay(count);
    (world, peers)
}

/// P1 and P2 for one group: everybody in `told` exactly once within the bound of `since`.
#[track_caller]
fn assert_told(world: &mut World, group: &GroupId, told: &[PeerIndex]) {
    let everybody = |world: &World| told.iter().all(|&peer| !world.notified(peer, group).is_empty());
    let in_time = world.run_until(bound(), everybody);
    let missing: Vec<_> = told
        .iter()
        .filter(|&&peer| world.notified(peer, group).is_empty())
        .collect();
    assert!(in_time, "not told within {:?}: {missing:?}", bound());
    world.run_for(10 * SECOND);
    for &peer in told {
        let words = world.notified(peer, group);
        assert_eq!(words.len(), 1, "{peer:?} was told {words:?}");
    }
}

#[track_caller]
fn assert_lives(world: &World, group: &GroupId, members: &[PeerIndex]) {
    for &peer in members {
        let words = world.notified(peer, group);
        assert!(words.is_empty(), "{peer:?} was told {words:?}");
        let machine = world.machine(peer).expect("a live member");
        assert!(machine.group(group).is_some(), "{peer:?} has lost the group");
    }
}

/// No path, and no group, is left anywhere.
#[track_caller]
fn assert_clean(world: &mut World, peers: &[PeerIndex]) {
    let clean = |world: &World| {
        let idle = |&peer: &PeerIndex| world.machine(peer).is_none_or(|machine| machine.status().paths == 0);
        peers.iter().all(idle)
    };
    assert!(
        world.run_until(60 * SECOND, clean),
        "paths are left behind: {:?}",
        peers
            .iter()
            .filter_map(|&peer| world.machine(peer).map(|machine| (peer, machine.status().paths)))
            .filter(|(_, paths)| *paths > 0)
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_signal_by_any_member_reaches_every_member_once() {
    for (seed, size) in [(1, 1), (2, 2), (3, 5), (4, 12)] {
        let (mut world, peers) = overlay(seed, 24);
        for by in 0..=size {
            let members = &peers[3..=3 + size];
            let group = world.create(members[0], &members[1..]).expect("everybody accepts");
            world.run_for(SECOND);
            assert_lives(&world, &group, members);
            let before = world.now();
            world.signal(members[by], &group);
            assert_told(&mut world, &group, members);
            for &member in members {
                let (at, reason) = &world.notified(member, &group)[0];
                assert!(
                    at.since(before) < SECOND,
                    "{member:?} only after {:?}",
                    at.since(before)
                );
                assert!(matches!(reason, Reason::Signalled { .. }), "{reason:?}");
            }
        }
        assert_clean(&mut world, &peers);
    }
}

#[test]
fn the_death_of_a_member_reaches_every_other_within_milliseconds() {
    for seed in 0..10 {
        let (mut world, peers) = overlay(seed, 16);
        let members = &peers[2..7];
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        world.run_for(2 * SECOND);
        let victim = members[seed as usize % members.len()];
        let before = world.now();
        world.crash(victim);
        let survivors: Vec<_> = members.iter().copied().filter(|&peer| peer != victim).collect();
        assert_told(&mut world, &group, &survivors);
        for peer in survivors {
            let after = world.notified(peer, &group)[0].0.since(before);
            assert!(after < SECOND, "seed {seed}: {peer:?} only after {after:?}");
        }
        assert_clean(&mut world, &peers);
    }
}

#[test]
fn a_host_that_vanishes_is_noticed_within_seconds() {
    for seed in 0..10 {
        let (mut world, peers) = overlay(seed, 32);
        let members = &peers[5..9];
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        world.run_for(5 * SECOND);
        let victim = members[seed as usize % members.len()];
        let before = world.now();
        world.vanish(victim);
        let survivors: Vec<_> = members.iter().copied().filter(|&peer| peer != victim).collect();
        assert_told(&mut world, &group, &survivors);
        for peer in survivors {
            let after = world.notified(peer, &group)[0].0.since(before);
            assert!(after < 10 * SECOND, "seed {seed}: {peer:?} only after {after:?}");
        }
    }
}

#[test]
fn several_deaths_at_once_reach_everybody_who_lives() {
    let (mut world, peers) = overlay(3, 32);
    let groups: Vec<(GroupId, Vec<PeerIndex>)> = (0..16)
        .map(|n| {
            let members: Vec<_> = (0..4).map(|k| peers[(n * 5 + k * 3) % peers.len()]).collect();
            let group = world.create(members[0], &members[1..]).expect("everybody accepts");
            (group, members)
        })
        .collect();
    world.run_for(2 * SECOND);
    let dead: Vec<_> = peers.iter().copied().step_by(5).collect();
    for &peer in &dead {
        world.crash(peer);
    }
    for (group, members) in &groups {
        let survivors: Vec<_> = members.iter().copied().filter(|peer| !dead.contains(peer)).collect();
        if survivors.len() == members.len() {
            world.run_for(5 * SECOND);
            assert_lives(&world, group, members);
        } else {
            assert_told(&mut world, group, &survivors);
        }
    }
}

/// P4.
#[test]
fn the_death_of_a_delegate_reaches_nobody_and_the_group_goes_on() {
    let mut met = 0;
    for seed in 0..12 {
        let mut config = Config::preset(Profile::Local);
        config.overlay.leaves_per_side = 2;
        let mut world = World::with_config(seed, config, fatebound_sim::Latency::RACK);
        let peers = world.spawn_overlay(64);
        let members: Vec<_> = peers.iter().copied().step_by(11).collect();
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        world.run_for(2 * SECOND);
        let carries = |peer: &PeerIndex| {
            !members.contains(peer) && world.machine(*peer).is_some_and(|machine| machine.carries(&group))
        };
        let delegates: Vec<_> = peers.iter().copied().filter(carries).collect();
        met += delegates.len();
        for delegate in delegates {
            world.crash(delegate);
            world.run_for(SECOND);
        }
        world.run_for(bound());
        assert_lives(&world, &group, &members);
        let root = world
            .machine(members[0])
            .and_then(|root| root.group(&group))
            .expect("it lives");
        assert!(
            root.hops.iter().all(Option::is_some),
            "paths are not repaired: {:?}",
            root.hops
        );
        world.signal(members[1], &group);
        assert_told(&mut world, &group, &members);
    }
    assert!(
        met > 12,
        "only {met} delegates in all: the test would not notice anything"
    );
}

/// P6 and scenario 1.
#[test]
fn a_member_that_restarts_at_once_has_failed_its_old_groups() {
    for seed in 0..8 {
        let (mut world, peers) = overlay(seed, 16);
        let members = &peers[2..6];
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        world.run_for(SECOND);
        let victim = members[seed as usize % 4];
        world.crash(victim);
        world.run_for(Duration::from_millis(100));
        world.restart(victim);
        let survivors: Vec<_> = members.iter().copied().filter(|&peer| peer != victim).collect();
        assert_told(&mut world, &group, &survivors);
        assert!(
            world.notified(victim, &group).is_empty(),
            "a new life remembers nothing"
        );
        let again = world
            .create(victim, &survivors)
            .expect("the new life is a peer like any other");
        world.run_for(5 * SECOND);
        assert_lives(&world, &again, members);
    }
}

/// Scenario 16.
#[test]
fn a_member_that_was_stopped_for_longer_than_the_bound_is_told_once() {
    for seed in 0..4 {
        let (mut world, peers) = overlay(seed, 16);
        let members = &peers[4..9];
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        world.run_for(SECOND);
        let sleeper = members[seed as usize % 5];
        world.pause(sleeper);
        let others: Vec<_> = members.iter().copied().filter(|&peer| peer != sleeper).collect();
        assert_told(&mut world, &group, &others);
        world.run_for(bound());
        world.resume(sleeper);
        assert_told(&mut world, &group, members);
    }
}

/// Scenario 18.
#[test]
fn both_sides_of_a_partition_are_told_and_new_groups_cross_the_healed_cut() {
    for seed in 0..4 {
        let (mut world, peers) = overlay(seed, 16);
        let (left, right) = peers.split_at(8);
        let members = [peers[0], peers[1], peers[8], peers[9]];
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        let whole = world.create(left[2], &left[3..6]).expect("everybody accepts");
        world.run_for(SECOND);
        world.partition(left, right);
        assert_told(&mut world, &group, &members);
        world.run_for(bound());
        world.heal();
        world.run_for(60 * SECOND);
        assert_lives(&world, &whole, &left[2..6]);
        let again = world.create(members[3], &members[..3]).expect("everybody accepts");
        world.run_for(5 * SECOND);
        world.signal(members[0], &again);
        assert_told(&mut world, &again, &members);
    }
}

/// P4 and scenario 11: everybody else can reach both.
#[test]
fn a_root_and_a_member_that_cannot_reach_each_other_keep_their_group() {
    for seed in 0..8 {
        let (mut world, peers) = overlay(seed, 16);
        let members = &peers[2..5];
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        world.run_for(2 * SECOND);
        world.cut(members[0], members[1]);
        world.run_for(bound());
        assert_lives(&world, &group, members);
        world.signal(members[1], &group);
        assert_told(&mut world, &group, members);
    }
}

/// Mission A7: silence for one group only.
#[test]
fn one_group_dies_in_silence_and_the_others_live() {
    for seed in 0..4 {
        let (mut world, peers) = overlay(seed, 16);
        let members = &peers[3..6];
        let silent = world.create(members[0], &members[1..]).expect("everybody accepts");
        let other = world.create(members[0], &members[1..]).expect("everybody accepts");
        world.run_for(SECOND);
        world.fall_silent(members[1], &silent);
        assert_told(&mut world, &silent, members);
        world.run_for(bound());
        assert_lives(&world, &other, members);
    }
}

#[test]
fn a_creation_names_each_member_that_did_not_accept_and_tells_those_who_did() {
    let (mut world, peers) = overlay(5, 8);
    let stranger = world.stranger();
    world.crash(peers[3]);
    let wanted = vec![world.id(peers[1]), stranger, world.id(peers[3])];
    let error = world.create_with_ids(peers[0], wanted).expect_err("two cannot accept");
    let CreateError::Refused { group, refusals } = *error else {
        panic!("the root gave no answer");
    };
    let named: Vec<_> = refusals.iter().map(|(peer, _)| *peer).collect();
    assert!(
        named.contains(&stranger) && named.contains(&world.id(peers[3])),
        "{refusals:?}"
    );
    assert!(!named.contains(&world.id(peers[1])), "{refusals:?}");
    assert!(refusals.contains(&(stranger, Refusal::Unknown)), "{refusals:?}");
    let group = group.expect("the creation got as far as an id");
    assert_told(&mut world, &group, &[peers[0], peers[1]]);
    assert_clean(&mut world, &peers);
}

/// P7.
#[test]
fn groups_that_merely_live_cost_nothing() {
    let (mut world, peers) = overlay(8, 16);
    let frames = |world: &mut World| {
        let count = |world: &World| -> u64 {
            let sent = |&peer: &PeerIndex| {
                world
                    .machine(peer)
                    .map_or(0, |machine| machine.status().counters.frames_sent)
            };
            peers.iter().map(sent).sum()
        };
        let before = count(world);
        world.run_for(60 * SECOND);
        count(world) - before
    };
    let without = frames(&mut world);
    let mut groups = Vec::new();
    for n in 0..500 {
        let members: Vec<_> = (0..4).map(|k| peers[(n * 7 + k * (1 + n % 3)) % peers.len()]).collect();
        groups.push((
            world.create(members[0], &members[1..]).expect("everybody accepts"),
            members,
        ));
    }
    world.run_for(5 * SECOND);
    let with = frames(&mut world);
    for (group, members) in &groups {
        assert_lives(&world, group, members);
    }
    let ratio = with as f64 / without as f64;
    assert!(
        (0.98..1.02).contains(&ratio),
        "{without} frames a minute without groups, {with} with 500"
    );
}

/// The same seed is the same run.
#[test]
fn a_run_can_be_repeated() {
    let run = || {
        let (mut world, peers) = overlay(11, 12);
        let group = world.create(peers[0], &peers[1..4]).expect("everybody accepts");
        world.crash(peers[2]);
        world.run_for(5 * SECOND);
        let told: Vec<_> = peers.iter().map(|&peer| world.notified(peer, &group)).collect();
        let frames: Vec<_> = peers
            .iter()
            .filter_map(|&peer| world.machine(peer).map(|machine| machine.status().counters))
            .collect();
        (told, frames)
    };
    assert_eq!(run(), run());
}
