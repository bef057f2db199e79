//! The promises on real networks: every node on a host of its own, and packets that are lost on their way.
//!
//! Each test makes its network namespaces itself. Without the rights for that it is skipped, and says so; `.ci/run` has them. The long
//! runs, and the comparisons with the simulator, are asked for: `cargo test -p fatebound-tests --test networks -- --ignored`.

#![cfg(target_os = "linux")]

#[path = "networks/simulator.rs"]
mod simulator;

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use fatebound_tests::{
    Cluster, Hosts, Node, Outcome, Watch, alive, all_told_once, create, delegates, nobody_was_told, repaired,
    still_works, watch,
};

/// Everything within the set has been told, exactly once; without a later group, for these cannot reach each other.
#[track_caller]
fn told(cluster: &Cluster, watches: &mut [Watch], group: &str) {
    let bound = cluster.nodes[0].bound();
    for watch in &mut *watches {
        watch.failed(bound, group);
    }
}

/// Creates a group of peers that may have to find each other first.
#[track_caller]
fn create_in_time(cluster: &Cluster, members: &[usize]) -> String {
    let others: Vec<&str> = members[1..].iter().map(|&n| cluster.nodes[n].peer.as_str()).collect();
    let created =
        cluster.nodes[members[0]].run(&[&["group", "create", "--wait", "2m", "--json"], &others[..]].concat());
    assert_eq!(created.code, 0, "{created:?}");
    created.json()["group"].as_str().expect("a group id").to_string()
}

/// One way between hosts of a large country: from 25 to 55 ms where there are eight of them.
fn far(from: usize, to: usize) -> Duration {
    Duration::from_millis(20 + 5 * from.abs_diff(to) as u64)
}

/// A host loses its network: nothing is refused, packets are gone. The others are told, and so is the lonely one.
#[test]
fn a_host_that_vanishes_is_known_on_both_sides() {
    let Some(hosts) = Hosts::new(8) else { return };
    one_vanishes(&hosts);
}

#[test]
fn a_far_host_that_vanishes_is_known_on_both_sides() {
    let Some(hosts) = Hosts::with_delay(8, far) else { return };
    one_vanishes(&hosts);
}

fn one_vanishes(hosts: &Hosts) {
    let cluster = Cluster::start_on(hosts, 8, &[]);
    let group = create(&cluster, &[1, 2, 3, 4]);
    let untouched = create(&cluster, &[5, 6, 7]);
    let mut others = watch(&cluster, &[1, 2, 4]);
    let mut lonely = watch(&cluster, &[3]);
    hosts.isolate(3);
    all_told_once(&cluster, &mut others, &[1, 2, 4], &group);
    told(&cluster, &mut lonely, &group);
    alive(&cluster.nodes[5], &untouched);
    hosts.heal();
    all_told_once(&cluster, &mut lonely, &[3, 6], &group);
}

/// Scenario 12, of a host: it hears everybody and nobody hears it, and the other way round.
#[test]
fn a_host_that_is_cut_off_one_way_is_known_on_both_sides() {
    for outwards in [true, false] {
        let Some(hosts) = Hosts::new(6) else { return };
        let cluster = Cluster::start_on(&hosts, 6, &[]);
        let group = create(&cluster, &[0, 1, 2]);
        let mut others = watch(&cluster, &[0, 1]);
        let mut half = watch(&cluster, &[2]);
        for other in [0, 1, 3, 4, 5] {
            let (from, to) = if outwards { (2, other) } else { (other, 2) };
            hosts.cut_one_way(from, to);
        }
        all_told_once(&cluster, &mut others, &[0, 1], &group);
        told(&cluster, &mut half, &group);
    }
}

/// Scenarios 11 and 12, of a link: root and member cannot reach each other directly, in one direction or both; every other pair can. Then
/// whoever carries their path dies.
#[test]
fn a_root_and_a_member_that_cannot_reach_each_other_keep_their_group() {
    for ways in [&[(0, 1)][..], &[(1, 0)], &[(0, 1), (1, 0)]] {
        let Some(hosts) = Hosts::new(8) else { return };
        two_cannot_reach_each_other(&hosts, ways);
    }
}

#[test]
fn a_far_root_and_a_member_that_cannot_reach_each_other_keep_their_group() {
    let Some(hosts) = Hosts::with_delay(8, far) else { return };
    two_cannot_reach_each_other(&hosts, &[(0, 1), (1, 0)]);
}

fn two_cannot_reach_each_other(hosts: &Hosts, ways: &[(usize, usize)]) {
    let mut cluster = Cluster::start_on(hosts, 8, &[]);
    // No other members: one of them might carry the path, and must not be killed.
    let group = create(&cluster, &[0, 1]);
    let mut watches = watch(&cluster, &[0, 1]);
    for &(from, to) in ways {
        hosts.cut_one_way(from, to);
    }
    alive(&cluster.nodes[0], &group);
    // The links between the two are down once neither lists the other; by then the path goes another way.
    without_link(&cluster, 0, 1);
    repaired(&cluster.nodes[0], &group);
    let carriers = delegates(&cluster, &group);
    assert!(!carriers.is_empty(), "somebody has to carry the path");
    cluster.nodes[carriers[0]].kill();
    repaired(&cluster.nodes[0], &group);
    alive(&cluster.nodes[0], &group);
    nobody_was_told(&mut watches, &group);
    hosts.heal();
    still_works(&cluster, &mut watches, &[0, 1], &group);
}

#[track_caller]
fn without_link(cluster: &Cluster, one: usize, other: usize) {
    let end = Instant::now() + cluster.nodes[one].bound();
    let linked = |a: &Node, b: &Node| a.run(&["peers", "--json"]).stdout.contains(&b.peer);
    let (one, other) = (&cluster.nodes[one], &cluster.nodes[other]);
    while linked(one, other) || linked(other, one) {
        assert!(Instant::now() < end, "the link is still there");
    }
}

/// What tests with delays rest on: nodes measure at least the way there and the way back, each with its own delay.
#[test]
fn no_round_trip_is_shorter_than_the_way_there_and_back() {
    let ways = |from: usize, to: usize| Duration::from_millis(if from < to { 60 } else { 10 * from as u64 });
    let Some(hosts) = Hosts::with_delay(4, ways) else {
        return;
    };
    let cluster = Cluster::start_on(&hosts, 4, &[]);
    let end = Instant::now() + cluster.nodes[0].bound();
    for (index, node) in cluster.nodes.iter().enumerate() {
        let round_trips = loop {
            if let Some(all) = round_trips(&cluster, node) {
                break all;
            }
            assert!(Instant::now() < end, "{index} has measured nothing");
        };
        for (other, round_trip) in round_trips {
            let least = ways(index, other) + ways(other, index);
            assert!(round_trip >= least, "{round_trip:?} between {index} and {other}");
        }
    }
}

/// The node's neighbours, and how far they are, once it has measured all of them.
fn round_trips(cluster: &Cluster, node: &Node) -> Option<Vec<(usize, Duration)>> {
    let listed = node.run(&["peers", "--json"]).stdout;
    let measured = listed.lines().map(|line| {
        let peer: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let index = cluster.nodes.iter().position(|other| peer["peer"] == *other.peer)?;
        Some((index, Duration::from_secs_f64(peer["round_trip_ms"].as_f64()? / 1000.0)))
    });
    measured.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())
}

#[test]
fn nothing_is_left_of_hosts_that_are_gone() {
    for hosts in [Hosts::new(2), Hosts::with_delay(2, far)] {
        let Some(hosts) = hosts else { return };
        let names = [0, 1].map(|index| hosts.host(index).namespace.clone());
        let left = || Outcome::of_command(Command::new("ip").args(["netns", "list"])).stdout;
        assert!(names.iter().all(|name| left().contains(name)));
        drop(hosts);
        assert!(!names.iter().any(|name| left().contains(name)), "{}", left());
    }
}

/// Scenario 18.
#[test]
fn both_sides_of_a_partition_are_told_and_become_one_again() {
    let Some(hosts) = Hosts::new(8) else { return };
    let cluster = Cluster::start_on(&hosts, 8, &[]);
    let across = create(&cluster, &[0, 1, 4, 5]);
    let within = create(&cluster, &[1, 2, 3]);
    let mut near = watch(&cluster, &[0, 1]);
    let mut far = watch(&cluster, &[4, 5]);
    hosts.partition(&[0, 1, 2, 3], &[4, 5, 6, 7]);
    all_told_once(&cluster, &mut near, &[0, 1], &across);
    all_told_once(&cluster, &mut far, &[4, 5], &across);
    alive(&cluster.nodes[1], &within);
    hosts.heal();
    // One overlay again: a group across the healed cut, of peers that find each other there.
    let members = [3, 7, 2, 6];
    let again = create_in_time(&cluster, &members);
    let mut watches = watch(&cluster, &members);
    still_works(&cluster, &mut watches, &members, &again);
    alive(&cluster.nodes[1], &within);
}

/// Scenario 17: half of the hosts are gone at once; then a third of the rest restarts at once; then all are back.
#[test]
fn half_of_the_hosts_vanish_a_third_restarts_and_all_come_back() {
    let Some(hosts) = Hosts::new(9) else { return };
    let mut cluster = Cluster::start_on(&hosts, 9, &[]);
    let doomed = create(&cluster, &[0, 1, 7, 8]);
    let spared = create(&cluster, &[0, 1, 2]);
    let mut doomed_here = watch(&cluster, &[0, 1]);
    let mut doomed_there = watch(&cluster, &[7, 8]);
    let mut spared_here = watch(&cluster, &[0, 1, 2]);
    hosts.partition(&[0, 1, 2, 3, 4], &[5, 6, 7, 8]);
    for index in [3, 4] {
        cluster.nodes[index].kill();
    }
    std::thread::scope(|scope| {
        for node in &mut cluster.nodes[3..5] {
            scope.spawn(|| node.restart());
        }
    });
    told(&cluster, &mut doomed_here, &doomed);
    told(&cluster, &mut doomed_there, &doomed);
    hosts.heal();
    alive(&cluster.nodes[0], &spared);
    nobody_was_told(&mut spared_here, &spared);
    all_told_once(&cluster, &mut doomed_here, &[0, 1], &doomed);
    still_works(&cluster, &mut spared_here, &[0, 1, 2], &spared);
}

/// Scenario 29: root and member are neighbours, their connection dies in silence, both are well. A new connection works.
#[test]
fn a_connection_that_dies_in_silence_harms_nobody() {
    let Some(hosts) = Hosts::new(4) else { return };
    let cluster = Cluster::start_on(&hosts, 4, &[]);
    let group = create(&cluster, &[0, 1]);
    let mut watches = watch(&cluster, &[0, 1]);
    let before = missed(&cluster);
    hosts.silence_connections(0, 1);
    let end = Instant::now() + cluster.nodes[0].bound();
    while missed(&cluster) == before {
        assert!(Instant::now() < end, "nobody missed anything: the test shows nothing");
    }
    repaired(&cluster.nodes[0], &group);
    alive(&cluster.nodes[0], &group);
    still_works(&cluster, &mut watches, &[0, 1], &group);
}

/// Scenario 34: every connection of a host goes silent, as when a NAT forgets them; new ones work at once. No group fails, with `wan` either.
#[test]
fn a_host_whose_connections_go_silent_loses_no_group() {
    for profile in ["lan", "wan"] {
        let Some(hosts) = Hosts::new(6) else { return };
        let cluster = Cluster::start_on(&hosts, 6, &["--profile", profile]);
        let groups = [[0, 1], [0, 2], [3, 0], [4, 0]].map(|members| (members, create(&cluster, &members)));
        let mut watches = watch(&cluster, &[0, 1, 2, 3, 4]);
        for other in 1..6 {
            hosts.silence_connections(0, other);
        }
        all_answer(&cluster, &groups);
        for (_, group) in &groups {
            nobody_was_told(&mut watches, group);
        }
        still_works(&cluster, &mut watches[..2], &[0, 1], &groups[0].1);
    }
}

/// Answers that anybody missed: of two ends, the one that misses first makes a new session for both.
fn missed(cluster: &Cluster) -> u64 {
    let nodes = cluster.nodes.iter();
    nodes
        .filter_map(|node| node.json(&["status"])["counters"]["pings_missed"].as_u64())
        .sum()
}

/// Somebody has noticed that something is wrong, and all ask the far ends of their groups: who answers has not been given up.
#[track_caller]
fn all_answer(cluster: &Cluster, groups: &[([usize; 2], String)]) {
    let end = Instant::now() + cluster.nodes[0].bound();
    while missed(cluster) == 0 {
        assert!(Instant::now() < end, "nobody missed anything: the test shows nothing");
    }
    for (members, group) in groups {
        for &member in members {
            alive(&cluster.nodes[member], group);
        }
        // Only its root knows of a group's repairs.
        repaired(&cluster.nodes[members[0]], group);
    }
}

/// Scenario 31: a session breaks five times in a row, each time noticed by one end only. The link and its paths survive.
#[test]
fn five_breaks_that_one_end_notices_cost_no_link() {
    let Some(hosts) = Hosts::new(4) else { return };
    let cluster = Cluster::start_on(&hosts, 4, &[]);
    let group = create(&cluster, &[0, 1]);
    let mut watches = watch(&cluster, &[0, 1]);
    let lost = || {
        [0, 1].map(|index| {
            let status = cluster.nodes[index].json(&["status"]);
            status["counters"]["links_lost"].as_u64().expect("a number")
        })
    };
    let before = lost();
    for round in 0..5 {
        let (silent, noticing) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        hosts.break_at(silent, noticing);
    }
    alive(&cluster.nodes[0], &group);
    assert_eq!(before, lost(), "links went down");
    still_works(&cluster, &mut watches, &[0, 1], &group);
}

/// Scenario 24: a member gets another address. Its connections hang, its neighbours find it where it is now.
#[test]
fn a_member_that_moves_keeps_its_place() {
    let Some(hosts) = Hosts::new(6) else { return };
    one_moves(hosts);
}

#[test]
fn a_far_member_that_moves_keeps_its_place() {
    let Some(hosts) = Hosts::with_delay(6, far) else { return };
    one_moves(hosts);
}

fn one_moves(mut hosts: Hosts) {
    let cluster = Cluster::start_on(&hosts, 6, &["--listen", "/ip4/0.0.0.0/tcp/7101"]);
    let group = create(&cluster, &[0, 1, 2]);
    let mut watches = watch(&cluster, &[0, 1]);
    hosts.move_to(2, Ipv4Addr::new(10, 77, 0, 200));
    all_answer(&cluster, &[([0, 2], group.clone())]);
    nobody_was_told(&mut watches, &group);
    let again = create_in_time(&cluster, &[0, 2]);
    let mut both = watch(&cluster, &[0, 2]);
    still_works(&cluster, &mut both, &[0, 2], &again);
    cluster.nodes[1].run(&["group", "signal", &group]);
    all_told_once(&cluster, &mut watches, &[0, 1], &group);
}

/// Scenario 9: the link is slow and a backlog waits on it when its sender is gone. What still trickles in proves nothing.
#[test]
fn a_backlog_hides_no_death() {
    let Some(hosts) = Hosts::new(4) else { return };
    let cluster = Cluster::start_on(&hosts, 4, &[]);
    let group = create(&cluster, &[0, 1, 2]);
    let mut watches = watch(&cluster, &[1, 2]);
    hosts.slow(0, 1, 20_000);
    // Some 400 KB for a link of 20 kB/s.
    let state = "x".repeat(16_000);
    std::thread::scope(|scope| {
        for _ in 0..25 {
            let (root, member) = (&cluster.nodes[0], &cluster.nodes[1].peer);
            scope.spawn(|| root.run(&["group", "create", member, "--state", &state, "--timeout", "1s"]));
        }
    });
    hosts.isolate(0);
    all_told_once(&cluster, &mut watches, &[1, 2], &group);
}

/// A quarter of all packets is lost, in both directions of everything; nobody is dead, and no group fails (scenarios 21, 33).
fn a_quarter_is_lost_for(duration: Duration) {
    let Some(hosts) = Hosts::new(8) else { return };
    let cluster = Cluster::start_on(&hosts, 8, &["--profile", "lan"]);
    let old = create(&cluster, &[0, 1, 2, 3]);
    let mut watches = watch(&cluster, &[0, 1, 2, 3, 4, 5]);
    hosts.lose(25);
    let young = create(&cluster, &[2, 3, 4, 5]);
    let end = Instant::now() + duration;
    while Instant::now() < end {
        // An end-to-end check every few seconds is also what makes peers talk.
        std::thread::sleep(Duration::from_secs(5).min(end.saturating_duration_since(Instant::now())));
        alive(&cluster.nodes[0], &old);
        alive(&cluster.nodes[2], &young);
    }
    for group in [&old, &young] {
        nobody_was_told(&mut watches, group);
    }
    let lost: u64 = (0..8)
        .filter_map(|index| cluster.nodes[index].json(&["status"])["counters"]["pings_missed"].as_u64())
        .sum();
    println!("{duration:?} at 25 % loss: {lost} answers missed in time, no group failed");
    hosts.heal();
    still_works(&cluster, &mut watches[0..4], &[0, 1, 2, 3], &old);
}

#[test]
fn a_minute_of_heavy_loss_fails_no_group() {
    a_quarter_is_lost_for(Duration::from_secs(60));
}

#[test]
#[ignore = "ten minutes"]
fn ten_minutes_of_heavy_loss_fail_no_group() {
    a_quarter_is_lost_for(Duration::from_secs(600));
}
