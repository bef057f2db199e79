//! Scenarios of docs/scenarios.md that need a network or a process which behaves badly, by their numbers.

use std::time::Duration;

use fatebound_machine::overlay::message::Message;
use fatebound_machine::tree::Tell;
use fatebound_machine::wire;
use fatebound_sim::{Adversary, Config, GroupId, Latency, MessageKind, PeerIndex, Profile, Reaction, World};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn bound(profile: Profile) -> Duration {
    Config::preset(profile).groups.notification_bound()
}

/// Every `count`th peer and its successors: members that are spread over the ring.
fn spread(peers: &[PeerIndex], first: usize, count: usize) -> Vec<PeerIndex> {
    (0..count).map(|k| peers[(first + k * 5) % peers.len()]).collect()
}

fn groups(world: &mut World, peers: &[PeerIndex], count: usize, size: usize) -> Vec<(GroupId, Vec<PeerIndex>)> {
    let mut all = Vec::new();
    for n in 0..count {
        let members = spread(peers, n, size);
        let group = world.create(members[0], &members[1..]).expect("everybody accepts");
        all.push((group, members));
    }
    all
}

fn told(world: &World, group: &GroupId, members: &[PeerIndex]) -> usize {
    let words = members.iter().map(|&member| world.notified(member, group).len());
    words.filter(|&words| words > 0).count()
}

#[track_caller]
fn assert_lives(world: &World, seed: u64, group: &GroupId, members: &[PeerIndex]) {
    for &member in members {
        assert_eq!(
            world.notified(member, group),
            [],
            "seed {seed}: {member:?} of {members:?}"
        );
    }
}

/// P1 and P2: everybody exactly once, within the bound of now. Returns how long the last one waited.
#[track_caller]
fn assert_told(world: &mut World, profile: Profile, seed: u64, group: &GroupId, members: &[PeerIndex]) -> Duration {
    let since = world.now();
    let all = |world: &World| told(world, group, members) == members.len();
    let in_time = world.run_until(bound(profile), all);
    assert!(
        in_time,
        "seed {seed}: {} of {} told",
        told(world, group, members),
        members.len()
    );
    let took = world.now().since(since);
    world.run_for(5 * SECOND);
    for &member in members {
        assert_eq!(world.notified(member, group).len(), 1, "seed {seed}: {member:?}");
    }
    took
}

/// Pairs of a root and a member that are neighbours, with their group.
fn neighbours(world: &mut World, peers: &[PeerIndex]) -> (GroupId, [PeerIndex; 2]) {
    let (root, others) = (peers[0], &peers[1..]);
    let views = world.machine(root).expect("runs").peers();
    let is_neighbour = |peer: &&PeerIndex| views.iter().any(|view| view.peer == world.id(**peer));
    let member = *others.iter().find(is_neighbour).expect("a neighbour");
    let group = world.create(root, &[member]).expect("accepted");
    world.run_for(2 * SECOND);
    (group, [root, member])
}

/// Scenario 9: what a dead host's slow link still delivers proves no life.
#[test]
fn a_backlog_of_20_seconds_whose_sender_vanishes() {
    for seed in 0..5 {
        let mut world = World::new(seed, Profile::Lan);
        let peers = world.spawn_overlay(8);
        let (group, [root, member]) = neighbours(&mut world, &peers);
        world.run_for(30 * SECOND);
        world.set_bandwidth(member, root, Some(2_000));
        let harmless = Message::Tell(wire::encode(&Tell::Suspected { paths: Vec::new() }));
        let frames = (20 * 2_000) / 90;
        for _ in 0..frames {
            assert!(world.forge(member, root, wire::encode(&harmless)));
        }
        world.vanish(member);
        let took = assert_told(&mut world, Profile::Lan, seed, &group, &[root]);
        println!("seed {seed}: told after {took:?}");
        assert!(
            took < 15 * SECOND,
            "seed {seed}: only after {took:?}, when the backlog was nearly over"
        );
    }
}

/// Scenario 12: one direction of a link.
#[test]
fn a_link_that_is_cut_in_one_direction_fails_no_group() {
    for seed in 0..6 {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(10);
        let (group, [root, member]) = neighbours(&mut world, &peers);
        let others = groups(&mut world, &peers, 6, 4);
        world.run_for(2 * SECOND);
        if seed % 2 == 0 {
            world.cut_one_way(root, member);
        } else {
            world.cut_one_way(member, root);
        }
        world.run_for(2 * bound(Profile::Local));
        assert_lives(&world, seed, &group, &[root, member]);
        for (other, members) in &others {
            assert_lives(&world, seed, other, members);
        }
        world.heal();
        world.run_for(20 * SECOND);
        assert_lives(&world, seed, &group, &[root, member]);
    }
}

/// Scenario 12: everything to, or from, a host. It is told as well, as all others of its groups; groups without it live.
#[test]
fn a_host_that_is_cut_in_one_direction_is_gone_for_all_and_all_for_it() {
    for seed in 0..6 {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(10);
        let all = groups(&mut world, &peers, 8, 3);
        world.run_for(2 * SECOND);
        let host = peers[4];
        for &other in peers.iter().filter(|&&other| other != host) {
            if seed % 2 == 0 {
                world.cut_one_way(host, other);
            } else {
                world.cut_one_way(other, host);
            }
        }
        world.run_for(bound(Profile::Local));
        for (group, members) in &all {
            if members.contains(&host) {
                assert_eq!(told(&world, group, members), members.len(), "seed {seed}: {members:?}");
            } else {
                assert_lives(&world, seed, group, members);
            }
        }
    }
}

/// Scenario 15.
#[test]
fn an_adversary_cuts_the_link_under_every_release_and_every_fail() {
    let mut worst = Duration::ZERO;
    for seed in 0..12 {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(16);
        let members = spread(&peers, seed as usize, 5);
        let group = world.create(members[0], &members[1..]).expect("accepted");
        world.run_for(2 * SECOND);
        for kind in [MessageKind::Release, MessageKind::Fail] {
            world.on_message(Adversary {
                kind,
                share: if seed % 3 == 0 { 0.9 } else { 1.0 },
                reaction: Reaction::CutLink(120 * SECOND),
            });
        }
        let by = seed as usize % 4;
        let live: Vec<_> = match seed % 2 {
            0 => {
                world.signal(members[by], &group);
                members.clone()
            }
            _ => {
                world.vanish(members[by]);
                let victim = members[by];
                members.iter().copied().filter(|&member| member != victim).collect()
            }
        };
        worst = worst.max(assert_told(&mut world, Profile::Local, seed, &group, &live));
    }
    println!(
        "the last one was told after {:.2} of the bound",
        worst.as_secs_f64() / bound(Profile::Local).as_secs_f64()
    );
}

/// Scenario 20.
#[test]
fn a_starved_peer_fails_no_group_but_its_own() {
    for seed in 0..4 {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(16);
        let all = groups(&mut world, &peers, 16, 4);
        world.run_for(2 * SECOND);
        let slow = peers[seed as usize];
        for round in 0..20 {
            world.starve(slow, Duration::from_millis(1000 + 200 * round));
            world.run_for(Duration::from_millis(1300 + 250 * round));
        }
        world.run_for(bound(Profile::Local));
        for (group, members) in all.iter().filter(|(_, members)| !members.contains(&slow)) {
            assert_lives(&world, seed, group, members);
        }
        for (group, members) in all.iter().filter(|(_, members)| members.contains(&slow)) {
            let told = told(&world, group, members);
            assert!(told == 0 || told == members.len(), "seed {seed}: {told} of {members:?}");
        }
    }
}

/// Scenario 21.
#[test]
fn ten_minutes_of_25_percent_loss_fail_no_group() {
    for seed in 0..3 {
        let mut world = World::new(seed, Profile::Lan);
        let peers = world.spawn_overlay(16);
        let all = groups(&mut world, &peers, 16, 4);
        world.run_for(10 * SECOND);
        world.set_loss_everywhere(0.25);
        world.run_for(600 * SECOND);
        let missed: u64 = peers
            .iter()
            .filter_map(|&peer| world.machine(peer))
            .map(|machine| machine.status().counters.pings_missed)
            .sum();
        println!("seed {seed}: {missed} pings missed");
        for (group, members) in &all {
            assert_lives(&world, seed, group, members);
        }
    }
}

/// Scenario 24: another address.
#[test]
fn a_peer_that_moves_fails_no_group_in_which_it_is_a_stranger() {
    for seed in 0..4 {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(12);
        let all = groups(&mut world, &peers, 12, 3);
        world.run_for(2 * SECOND);
        let mover = peers[3 + seed as usize];
        world.move_address(mover);
        world.run_for(2 * bound(Profile::Local));
        let (its, others): (Vec<_>, Vec<_>) = all.iter().partition(|(_, members)| members.contains(&mover));
        for (group, members) in others {
            assert_lives(&world, seed, group, members);
        }
        for (group, members) in its {
            let told = told(&world, group, members);
            assert!(told == 0 || told == members.len(), "seed {seed}: {told} of {members:?}");
        }
        world.create(peers[0], &[mover]).expect("it is found where it is now");
    }
}

/// Scenario 24: the host sleeps for an hour, or only its clock jumps. Who slept is told, once; nobody else's group fails.
#[test]
fn a_host_that_slept_for_an_hour_and_a_clock_that_jumps_by_one() {
    for seed in 0..4 {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(12);
        let all = groups(&mut world, &peers, 12, 3);
        world.run_for(2 * SECOND);
        let sleeper = peers[5];
        let sleeps = seed % 2 == 0;
        if sleeps {
            world.pause(sleeper);
            world.run_for(3600 * SECOND);
        }
        world.jump_clock(sleeper, 3600 * SECOND);
        world.resume(sleeper);
        world.run_for(2 * bound(Profile::Local));
        for (group, members) in &all {
            let told = told(&world, group, members);
            if !members.contains(&sleeper) {
                assert_lives(&world, seed, group, members);
            } else if sleeps {
                assert_eq!(told, members.len(), "seed {seed}: {members:?}");
            } else {
                assert!(told == 0 || told == members.len(), "seed {seed}: {told} of {members:?}");
            }
        }
    }
}

/// Scenario 29.
#[test]
fn a_link_between_root_and_member_that_dies_silently_fails_no_group() {
    for profile in [Profile::Local, Profile::Lan, Profile::Wan] {
        for seed in 0..4 {
            let mut world = World::new(seed, profile);
            let peers = world.spawn_overlay(8);
            let (group, [root, member]) = neighbours(&mut world, &peers);
            for _ in 0..3 {
                world.silence_sessions(root, member);
                world.run_for(bound(profile));
                assert_lives(&world, seed, &group, &[root, member]);
            }
            world.signal(member, &group);
            assert_told(&mut world, profile, seed, &group, &[root, member]);
        }
    }
}

/// What becomes of the connections of one host.
#[derive(Clone, Copy, Debug)]
enum Silence {
    /// A table is lost somewhere: everybody can dial everybody.
    Forgotten,
    /// A NAT forgets them: nobody can dial the host behind it.
    Behind,
    /// They belong to an address that is gone; nobody knows the new one.
    Moved,
}

/// Scenario 34: all connections of a member's host go silent, new ones work at once. Twice, for each time all is made anew.
fn a_host_goes_silent(profile: Profile, silence: Silence, count: usize, seed: u64) {
    let mut world = World::new(seed, profile);
    let peers = world.spawn_overlay(count);
    let silent = peers[seed as usize % count];
    let others: Vec<PeerIndex> = peers.iter().copied().filter(|&peer| peer != silent).collect();
    let mut all = Vec::new();
    for &other in others.iter().take(6) {
        for (root, member) in [(other, silent), (silent, other)] {
            let group = world.create(root, &[member]).expect("everybody accepts");
            all.push((group, [root, member]));
        }
    }
    if matches!(silence, Silence::Behind) {
        others.iter().for_each(|&other| world.black_hole(other, silent));
    }
    world.run_for(SECOND + Duration::from_millis(97 * seed));
    for _ in 0..2 {
        match silence {
            Silence::Forgotten | Silence::Behind => world.silence_host(silent),
            Silence::Moved => world.move_address(silent),
        }
        world.run_for(bound(profile));
        for (group, members) in &all {
            let told: Vec<_> = members.iter().map(|&member| world.notified(member, group)).collect();
            assert!(
                told.iter().all(Vec::is_empty),
                "{profile} {silence:?}, {count} peers, seed {seed}: {members:?} {told:?}"
            );
        }
    }
}

#[test]
fn a_host_whose_connections_go_silent_fails_no_group() {
    for profile in [Profile::Local, Profile::Lan, Profile::Wan] {
        for (count, seeds) in [(2, 6), (3, 4), (8, 4), (24, 2)] {
            for seed in 0..seeds {
                a_host_goes_silent(profile, Silence::Forgotten, count, seed);
            }
        }
    }
}

#[test]
fn a_host_behind_a_nat_that_forgets_fails_no_group() {
    for profile in [Profile::Local, Profile::Lan, Profile::Wan] {
        for (count, seeds) in [(2, 6), (3, 4), (8, 6), (24, 4)] {
            for seed in 0..seeds {
                a_host_goes_silent(profile, Silence::Behind, count, seed);
            }
        }
    }
}

#[test]
fn a_host_that_moves_fails_no_group() {
    for profile in [Profile::Local, Profile::Lan, Profile::Wan] {
        for (count, seeds) in [(2, 6), (3, 4), (8, 4), (24, 2)] {
            for seed in 0..seeds {
                a_host_goes_silent(profile, Silence::Moved, count, seed);
            }
        }
    }
}

/// Scenario 35: a virtual address leaves a member's host for one that refuses there. Whoever came in over it finds the member at its own address.
#[test]
fn a_virtual_address_that_leaves_a_members_host_fails_no_group() {
    for profile in [Profile::Local, Profile::Lan, Profile::Wan] {
        for seed in 0..4 {
            let mut world = World::new(seed, profile);
            let peers = world.spawn_overlay(4);
            let (member, empty) = (peers[1], peers[3]);
            world.float_address(member);
            world.crash(empty);
            world.run_for(bound(profile));
            let late: Vec<PeerIndex> = (0..6).map(|_| world.spawn(&[peers[0]])).collect();
            world.run_for(20 * SECOND);
            let all: Vec<_> = late
                .iter()
                .map(|&root| (world.create(root, &[member]).expect("it accepts"), [root, member]))
                .collect();
            world.run_for(5 * SECOND);
            world.float_address(empty);
            world.run_for(bound(profile));
            for (group, members) in &all {
                assert_lives(&world, seed, group, members);
            }
            // A death is proven as fast as ever.
            world.crash(member);
            let told = |world: &World| {
                all.iter()
                    .all(|(group, members)| told(world, group, &members[..1]) == 1)
            };
            assert!(world.run_until(SECOND, told), "{profile}, seed {seed}");
        }
    }
}

/// P4 at the far ends of the world: a new path of many hops takes long, and so do the direct way's dial and question, when nobody is connected.
#[test]
fn a_delegate_that_vanishes_between_far_ends_fails_no_group() {
    let mut config = Config::preset(Profile::Wan);
    (config.overlay.leaves_per_side, config.overlay.digit_bits) = (1, 1);
    let latency = Latency::Range {
        least: 200 * MILLI,
        most: 200 * MILLI,
        jitter: MILLI,
    };
    for seed in 0..6 {
        let mut world = World::with_config(seed, config.clone(), latency);
        let peers = world.spawn_overlay(40);
        let root = peers[0];
        let stranger = peers
            .iter()
            .copied()
            .find(|&peer| peer != root && !world.linked(root, peer));
        let member = stranger.expect("not everybody is a neighbour");
        let group = world.create(root, &[member]).expect("it accepts");
        world.run_for(60 * SECOND);
        let carries = |peer: &PeerIndex| world.machine(*peer).is_some_and(|machine| machine.carries(&group));
        let ends = [root, member];
        let carrier = peers.iter().copied().find(|peer| !ends.contains(peer) && carries(peer));
        world.vanish(carrier.expect("they are no neighbours"));
        world.run_for(bound(Profile::Wan) / 2);
        assert_lives(&world, seed, &group, &ends);
    }
}

/// Scenario 31.
#[test]
fn a_session_that_breaks_five_times_within_a_second_costs_no_link() {
    for seed in 0..12_u64 {
        let mut world = World::new(seed, Profile::Local);
        let peers = world.spawn_overlay(8);
        let (group, [root, member]) = neighbours(&mut world, &peers);
        let lost = |world: &World| {
            let counters = [root, member].map(|peer| world.machine(peer).expect("runs").status().counters);
            counters.map(|counters| counters.links_lost)
        };
        let before = lost(&world);
        for n in 0..5 {
            match (seed + n) % 4 {
                0 => world.break_sessions_at(root, member),
                1 => world.break_sessions_at(member, root),
                2 => world.silence_sessions(root, member),
                _ => world.break_sessions(root, member),
            }
            world.run_for(Duration::from_millis(200 - 13 * seed));
        }
        world.run_for(10 * SECOND);
        assert_lives(&world, seed, &group, &[root, member]);
        assert_eq!(lost(&world), before, "seed {seed}: the link went down");
    }
}

/// Scenario 33.
#[test]
fn a_young_group_at_25_percent_loss_lives() {
    let mut created = 0;
    for seed in 0..12 {
        let mut world = World::new(seed, Profile::Lan);
        let peers = world.spawn_overlay(8);
        world.set_loss_everywhere(0.25);
        for n in 0..4 {
            let members = spread(&peers, n, 3);
            // Loss may make an invitation miss `create_timeout`, and that is told truthfully.
            let Ok(group) = world.create(members[0], &members[1..]) else {
                continue;
            };
            created += 1;
            world.run_for(60 * SECOND);
            assert_lives(&world, seed, &group, &members);
        }
    }
    println!("{created} of 48 were created");
    assert!(created > 40, "{created} of 48 were created");
}
