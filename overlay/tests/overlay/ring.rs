//! The ring routes, and it heals.

use std::time::Duration;

use fatebound_overlay::{Command, Config, Event, JointSet, Key, Routes};

use crate::net::{LATENCY, Net, address};
use crate::{SECOND, formed};

#[test]
fn routes_reach_every_target_in_few_hops_and_the_degree_is_small() {
    let mut net = formed(Config::local(), 64);
    net.run(SECOND * 30);
    let mut worst = 0;
    for from in net.everybody() {
        for to in net.everybody().into_iter().filter(|to| *to != from) {
            worst = worst.max(hops(&net, from, to));
        }
    }
    assert!(worst <= 5, "log₄ 64 is 3: {worst}");
    let degrees: usize = net.nodes.iter().map(|node| node.overlay.neighbours().len()).sum();
    let mean = degrees as f64 / 64.0;
    assert!(mean <= 20.0, "8 + 3·log₄ 64 is 17: {mean}");
    let most = net.nodes.iter().map(|node| node.overlay.neighbours().len()).max();
    assert!(
        most <= Some(40),
        "nor has anybody, not even the bootstrap peer, far more: {most:?}"
    );
}

#[test]
fn a_quiet_ring_hardly_talks() {
    let mut net = formed(Config::lan(), 32);
    net.run(SECOND * 300);
    let before = net.bytes;
    net.run(SECOND * 600);
    let rate = (net.bytes - before) as f64 / (600.0 * 32.0);
    assert!(rate < 80.0, "{rate} bytes/s per peer");
}

/// Follows `next_hop` without detours.
fn hops(net: &Net, from: usize, to: usize) -> usize {
    let (mut at, mut visited) = (from, Vec::new());
    while at != to {
        visited.push(net.nodes[at].overlay.key().tag());
        let overlay = &net.nodes[at].overlay;
        let hop = overlay
            .next_hop(&net.nodes[to].peer, &visited, false)
            .expect("a way that gets closer");
        let next = net
            .nodes
            .iter()
            .position(|node| overlay.link_to(&node.peer) == Some(hop.link))
            .expect("a neighbour");
        let distance = |at: usize| net.nodes[at].overlay.key().ring_distance(&Key::of(&net.nodes[to].peer));
        assert!(distance(next) < distance(at) && !hop.detour);
        at = next;
    }
    visited.len()
}

#[test]
fn the_ring_closes_over_the_dead_and_nobody_keeps_them() {
    let mut net = formed(Config::local(), 64);
    for at in (3..64).step_by(8) {
        net.kill(at);
    }
    let everybody = net.everybody();
    let took = net.run_until(SECOND * 20, |net| net.is_ring(&everybody));
    assert!(took.is_some(), "{}", net.describe());
    net.run(SECOND * 20);
    let dead: Vec<_> = net
        .nodes
        .iter()
        .filter(|node| !node.alive)
        .map(|node| node.peer)
        .collect();
    for node in net.live() {
        let rows = node.overlay.rows().concat();
        assert!(rows.iter().all(|(_, peer)| !dead.contains(peer)));
    }
}

#[test]
fn peers_that_restart_find_their_old_place() {
    let mut net = formed(Config::local(), 16);
    for at in [2, 7, 9] {
        net.kill(at);
    }
    net.run(Duration::from_millis(500));
    for at in [2, 7, 9] {
        net.restart(at);
        net.join(at, &[0]);
    }
    let everybody = net.everybody();
    let took = net.run_until(SECOND * 20, |net| net.all_joined() && net.is_ring(&everybody));
    assert!(took.is_some(), "{}", net.describe());
}

#[test]
fn a_new_life_is_dialled_where_it_lives_not_where_the_old_one_did() {
    let mut net = formed(Config::local(), 16);
    net.run(SECOND * 30);
    net.listen(7, &[address(700)]);
    net.run(SECOND);
    let before = net.nodes[7].overlay.record().record().sequence;
    net.kill(7);
    net.run(SECOND * 2);
    net.restart(7);
    net.join(7, &[0]);
    let everybody = net.everybody();
    assert!(
        net.run_until(SECOND * 20, |net| net.all_joined() && net.is_ring(&everybody))
            .is_some()
    );
    net.run(SECOND * 30);
    let sequence = net.nodes[7].overlay.record().record().sequence;
    assert!(sequence > before, "its new record passes for the newest");
    let peer = net.nodes[7].peer;
    for node in net.nodes.iter().filter(|node| node.overlay.link_to(&peer).is_some()) {
        assert_eq!(node.overlay.addresses(&peer), [address(7)]);
    }
}

#[test]
fn after_a_partition_there_is_one_ring_again() {
    for count in [4, 16, 64] {
        let mut net = formed(Config::local(), count);
        for at in 0..count {
            net.side[at] = u8::from(at % 2 == 1);
        }
        let (even, odd): (Vec<_>, Vec<_>) = net.everybody().into_iter().partition(|at| at % 2 == 0);
        let apart = net.run_until(SECOND * 120, |net| net.is_ring(&even) && net.is_ring(&odd));
        assert!(apart.is_some(), "two rings of {count}: {}", net.describe());
        net.break_cut_connections();
        net.run(SECOND * 60);
        net.side = vec![0; count];
        let everybody = net.everybody();
        let healed = net.run_until(SECOND * 180, |net| net.is_ring(&everybody));
        assert!(healed.is_some(), "one ring of {count}: {}", net.describe());
    }
}

#[test]
fn who_loses_everybody_comes_back() {
    let mut net = formed(Config::local(), 8);
    net.side[5] = 1;
    net.run(SECOND * 30);
    net.break_cut_connections();
    net.side[5] = 0;
    let everybody = net.everybody();
    assert!(
        net.run_until(SECOND * 30, |net| net.is_ring(&everybody)).is_some(),
        "{}",
        net.describe()
    );
}

#[test]
fn a_moved_peer_is_found_where_it_is_now() {
    let mut net = formed(Config::local(), 16);
    let (moved, peer) = (5, net.nodes[5].peer);
    net.listen(moved, &[address(500)]);
    net.run(SECOND);
    for node in net.nodes.iter().filter(|node| node.overlay.link_to(&peer).is_some()) {
        assert_eq!(node.overlay.addresses(&peer), [address(500)]);
    }
}

#[test]
fn a_stopped_peer_says_so_and_is_silent() {
    let mut net = formed(Config::local(), 4);
    net.command(2, Command::Shutdown);
    net.run(SECOND);
    assert!(net.events(2).any(|event| matches!(event, Event::Stopped)));
    let others = [0, 1, 3];
    assert!(net.run_until(SECOND * 5, |net| net.is_ring(&others)).is_some());
    assert_eq!(net.nodes[2].overlay.deadline(), None);
}

/// What people and metrics see of a neighbour is what the link knows.
#[test]
fn what_is_shown_of_neighbours() {
    let mut net = formed(Config::local(), 3);
    net.run(SECOND * 5);
    let (other, link) = (
        net.nodes[1].peer,
        net.nodes[0].overlay.link_to(&net.nodes[1].peer).expect("a link"),
    );
    let shown = |net: &Net| {
        let neighbours = net.nodes[0].overlay.neighbours();
        neighbours
            .into_iter()
            .find(|neighbour| neighbour.peer == other)
            .expect("a neighbour")
    };
    let first = shown(&net);
    assert_eq!(
        (first.incarnation, first.paths, first.doubtful, first.wanted),
        (1001, 0, false, true)
    );
    assert_eq!(first.round_trip, Some(LATENCY * 2));
    assert_eq!(net.nodes[0].overlay.link_counts(), (2, 0));
    let rows = net.nodes[0].overlay.rows();
    let in_rows: Vec<_> = rows.iter().flatten().map(|(_, peer)| *peer).collect();
    assert!(
        rows.last().is_some_and(|row| !row.is_empty()) && in_rows.contains(&other),
        "{rows:?}"
    );
    let joint = JointSet {
        paths: 5,
        ..JointSet::default()
    };
    net.command(0, Command::JointSet { link, joint });
    assert_eq!(shown(&net).paths, 5);
    net.cuts.insert((0, 1));
    for body in [1, 2] {
        net.command(0, Command::Operate { link, body: vec![body] });
    }
    let overlay = &net.nodes[0].overlay;
    assert_eq!(overlay.operations_waiting(), 2);
    assert_eq!(overlay.unacknowledged(link).collect::<Vec<_>>(), [&[2][..], &[1]]);
    net.run_until(SECOND * 3, |net| net.nodes[0].overlay.is_doubtful(link));
    assert!(shown(&net).doubtful);
    assert_eq!(net.nodes[0].overlay.link_counts(), (1, 1));
}
