//! Process groups on real processes: programs that send without a pause, and what they were shown laid side by side, whatever happens to them, to
//! their nodes and to the network between.
//!
//! After every fault all have to see one history: no entry is lost, none is shown twice, none elsewhere than to the others. Who is put out, as may
//! happen to anybody whose machine has no time for it, comes in again as a new provider, as a program would; what it was shown before counts too.

use std::path::PathBuf;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use fatebound_tests::Hosts;
use fatebound_tests::{Cluster, Life, Member, Node, Shown, one_history, senders_in_order};

/// The name of the group.
const GROUP: &str = "db";

/// Programs on these nodes, in the order of their coming in: so the first node leads.
#[track_caller]
fn all_in(nodes: &[Node]) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        members.push(Member::start(node, GROUP, &format!("m{index}")));
        members[index].wait_now("in the group", Life::has_joined);
    }
    for member in &members {
        member.sees(nodes.len());
    }
    members
}

fn load(members: &[Member]) {
    members.iter().for_each(Member::load);
}

/// All of these are shown more, from each of them.
#[track_caller]
fn go_on(members: &[Member], live: &[usize]) {
    for &index in live {
        members[index].goes_on(20 * live.len());
    }
}

/// Lets everything come to its end at those that live, and lays side by side what all were shown, in all their lives.
///
/// # Panics
/// When that is not one history, or when anything is missing in it that a node has taken and that is not gone with it.
#[track_caller]
fn one_history_for_all(members: &[Member], live: &[usize]) {
    members.iter().for_each(Member::rest);
    for &index in live {
        members[index].wait_now("all that was taken is shown", |life| {
            life.has_joined() && life.missing().is_none()
        });
    }
    see_an_end(members, live);
    let lives: Vec<Life> = members.iter().flat_map(Member::lives).collect();
    let all: Vec<Shown> = lives.iter().map(Life::shown).collect();
    let history = one_history(&all).unwrap_or_else(|error| panic!("{error}"));
    senders_in_order(&history).unwrap_or_else(|error| panic!("{error}"));
    let joined = lives.iter().filter(|life| life.has_joined()).count();
    let put_out = lives.iter().filter(|life| life.count("removed") > 0).count();
    println!("{} entries; {joined} lives, {put_out} of them put out", history.len());
}

/// All that live are shown a last message, the same one.
#[track_caller]
fn see_an_end(members: &[Member], live: &[usize]) {
    let limit = Instant::now() + Duration::from_secs(120);
    for number in 0.. {
        let end = format!("end {number}");
        members[live[0]].say(&end);
        let soon = Instant::now() + Duration::from_secs(10);
        let sees = |&index: &usize| members[index].lives().last().is_some_and(|life| life.shown().has(&end));
        while Instant::now() < soon {
            if live.iter().all(sees) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // Somebody was put out, and came in behind it.
        assert!(Instant::now() < limit, "not all are shown a last message");
    }
}

#[test]
fn nothing_is_lost_when_the_leader_is_killed_and_then_the_next_one() {
    let mut cluster = Cluster::start(4);
    let members = all_in(&cluster.nodes);
    load(&members);
    go_on(&members, &[0, 1, 2, 3]);
    cluster.nodes[0].kill();
    go_on(&members, &[1, 2, 3]);
    cluster.nodes[1].kill();
    go_on(&members, &[2, 3]);
    one_history_for_all(&members, &[2, 3]);
}

#[test]
fn nothing_is_lost_when_the_leader_and_the_next_one_are_killed_at_once() {
    let mut cluster = Cluster::start(5);
    let members = all_in(&cluster.nodes);
    load(&members);
    go_on(&members, &[0, 1, 2, 3, 4]);
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    go_on(&members, &[2, 3, 4]);
    one_history_for_all(&members, &[2, 3, 4]);
}

#[test]
fn nothing_is_lost_when_programs_are_killed_and_come_again() {
    let cluster = Cluster::start(3);
    let members = all_in(&cluster.nodes);
    load(&members);
    for index in [1, 0, 2, 0, 1] {
        go_on(&members, &[0, 1, 2]);
        let before = members[index].lives().len();
        members[index].kill();
        members[index].wait("a new life", |lives| lives.iter().skip(before).any(Life::has_joined));
    }
    go_on(&members, &[0, 1, 2]);
    one_history_for_all(&members, &[0, 1, 2]);
}

/// The leader's node is stopped for long enough to be put out, and goes on as if nothing had been.
#[test]
fn a_leader_that_sleeps_is_put_out_and_comes_in_again() {
    let cluster = Cluster::start(3);
    let members = all_in(&cluster.nodes);
    load(&members);
    go_on(&members, &[0, 1, 2]);
    cluster.nodes[0].signal("STOP");
    let asleep = Instant::now();
    for member in &members[1..] {
        member.sees(2);
    }
    go_on(&members, &[1, 2]);
    // The time of the scenario; everything that is waited for has happened.
    std::thread::sleep(Duration::from_secs(30).saturating_sub(asleep.elapsed()));
    cluster.nodes[0].signal("CONT");
    members[0].wait("put out", |lives| lives.iter().any(|life| life.count("removed") > 0));
    members[0].wait_now("in again", Life::has_joined);
    go_on(&members, &[0, 1, 2]);
    one_history_for_all(&members, &[0, 1, 2]);
}

/// Every node is restarted, one after the other, as for a new version of the program.
#[test]
fn a_rolling_restart_loses_nothing() {
    let mut cluster = Cluster::start(5);
    let members = all_in(&cluster.nodes);
    load(&members);
    for index in 0..5 {
        go_on(&members, &[0, 1, 2, 3, 4]);
        cluster.nodes[index].signal("TERM");
        cluster.nodes[index].wait();
        let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.address.clone()).collect();
        let others = addresses.iter().enumerate().filter(|&(other, _)| other != index);
        let bootstrap: Vec<&str> = others.map(|(_, address)| address.as_str()).collect();
        let directory = cluster.path(&format!("node-{index}"));
        cluster.nodes[index] = Node::start(&directory, &bootstrap, &[]);
        members[index].wait_now("in again", Life::has_joined);
    }
    go_on(&members, &[0, 1, 2, 3, 4]);
    one_history_for_all(&members, &[0, 1, 2, 3, 4]);
}

/// Nobody is there before the others, and nobody knows of a group: one of them founds it, once.
#[test]
fn ten_that_start_at_once_are_one_group() {
    let mut cluster = Cluster::start(1);
    let directories: Vec<PathBuf> = (0..10).map(|index| cluster.path(&format!("node-{index}"))).collect();
    // Where the first one listens has to be known before it is there.
    let address = cluster.nodes[0].address.clone();
    let port = address.split('/').nth(4).expect("/ip4/…/tcp/<port>").to_string();
    cluster.nodes.clear();
    let members: Vec<Member> = directories
        .iter()
        .enumerate()
        .map(|(index, directory)| {
            let api = format!("unix:{}", directory.join("api.sock").display());
            Member::start_at(&api, GROUP, &format!("m{index}"))
        })
        .collect();
    load(&members);
    let start = |index: usize| match index {
        0 => {
            let listen = format!("/ip4/127.0.0.1/tcp/{port}");
            Node::start(&directories[0], &[], &["--listen", &listen])
        }
        _ => Node::start(&directories[index], &[&address], &[]),
    };
    cluster.nodes = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..10).map(|index| scope.spawn(move || start(index))).collect();
        let nodes = starts.into_iter().map(|started| started.join().expect("it starts"));
        nodes.collect()
    });
    for member in &members {
        member.sees(10);
    }
    let all: Vec<usize> = (0..10).collect();
    go_on(&members, &all);
    one_history_for_all(&members, &all);
}

/// The network falls into a part of three nodes and one of two, and becomes one again. The part of three goes on, whoever led; nobody in the other is
/// shown anything until it is one of the group again.
#[cfg(target_os = "linux")]
fn a_partition_with_the_leader_among(count: usize) {
    let Some(hosts) = Hosts::new(5) else { return };
    let cluster = Cluster::start_on(&hosts, 5, &[]);
    let members = all_in(&cluster.nodes);
    load(&members);
    go_on(&members, &[0, 1, 2, 3, 4]);
    let (with, without) = ((0..count).collect::<Vec<_>>(), (count..5).collect::<Vec<_>>());
    let (more, fewer) = if count == 3 {
        (&with, &without)
    } else {
        (&without, &with)
    };
    hosts.partition(more, fewer);
    for &index in more {
        members[index].sees(3);
    }
    for &index in fewer {
        members[index].wait("without a quorum", |lives| {
            lives.iter().any(|life| life.count("blocked") > 0)
        });
    }
    go_on(&members, more);
    hosts.heal();
    for &index in fewer {
        members[index].wait("put out", |lives| lives.iter().any(|life| life.count("removed") > 0));
    }
    for member in &members {
        member.sees(5);
    }
    go_on(&members, &[0, 1, 2, 3, 4]);
    one_history_for_all(&members, &[0, 1, 2, 3, 4]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_partition_with_the_leader_in_the_larger_part_ends_in_one_history() {
    a_partition_with_the_leader_among(3);
}

#[cfg(target_os = "linux")]
#[test]
fn a_partition_with_the_leader_in_the_smaller_part_ends_in_one_history() {
    a_partition_with_the_leader_among(2);
}

/// Two hosts that never reach each other, the leader's and another one: the others reach both.
#[cfg(target_os = "linux")]
#[test]
fn hosts_that_cannot_reach_each_other_are_in_one_group() {
    let Some(hosts) = Hosts::new(5) else { return };
    hosts.cut(0, 4);
    // A node that starts while its bootstrap peer cannot be reached joins through the next one.
    let cluster = Cluster::start_on(&hosts, 5, &[]);
    let members = all_in(&cluster.nodes);
    load(&members);
    go_on(&members, &[0, 1, 2, 3, 4]);
    one_history_for_all(&members, &[0, 1, 2, 3, 4]);
}
