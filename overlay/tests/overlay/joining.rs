//! Rings form, whoever starts first and whatever the bootstrap peers are like.

use std::time::Duration;

use fatebound_overlay::Config;

use crate::net::Net;
use crate::{SECOND, formed, started_together};

#[test]
fn rings_of_every_size_form_when_all_start_at_once() {
    for count in [1, 2, 3, 5, 16, 64] {
        formed(Config::local(), count);
    }
}

#[test]
fn a_ring_forms_when_peers_come_one_after_the_other() {
    let mut net = Net::new(Config::local());
    for at in 0..24 {
        net.add();
        let through: Vec<_> = (0..at).rev().take(1).collect();
        net.join(at, &through);
        net.run(Duration::from_millis(200));
    }
    let everybody = net.everybody();
    assert!(
        net.run_until(SECOND * 30, |net| net.all_joined() && net.is_ring(&everybody))
            .is_some()
    );
}

#[test]
fn a_peer_that_starts_before_its_bootstrap_peer_joins_when_that_comes_up() {
    let mut net = Net::new(Config::local());
    let (first, late) = (net.add(), net.add());
    net.kill(late);
    net.join(first, &[late]);
    net.run(SECOND * 30);
    assert!(!net.nodes[first].overlay.joined());
    net.restart(late);
    net.join(late, &[]);
    assert!(
        net.run_until(SECOND * 5, |net| net.is_ring(&[0, 1]) && net.all_joined())
            .is_some()
    );
}

#[test]
fn peers_that_bootstrap_each_other_come_up() {
    for count in 2..=5 {
        let mut net = Net::new(Config::local());
        for _ in 0..count {
            net.add();
        }
        for at in 0..count {
            let others: Vec<_> = net.everybody().into_iter().filter(|other| *other != at).collect();
            net.join(at, &others);
        }
        let everybody = net.everybody();
        let took = net.run_until(SECOND * 20, |net| net.all_joined() && net.is_ring(&everybody));
        assert!(took.is_some(), "{count}: {}", net.describe());
    }
}

#[test]
fn a_bootstrap_peer_that_is_oneself_or_dead_or_of_another_network_hangs_nobody() {
    let mut net = Net::new(Config::local());
    let stranger = Config {
        network: "another".into(),
        ..Config::local()
    };
    let (first, dead) = (net.add(), net.add());
    let other = net.add_with(&stranger);
    let joiner = net.add();
    let nowhere = 99;
    net.kill(dead);
    net.join(first, &[first]);
    net.join(other, &[]);
    assert!(net.nodes[first].overlay.joined(), "who has only itself is the first");
    net.join(joiner, &[joiner, dead, nowhere, other, first]);
    assert!(
        net.run_until(SECOND * 10, |net| net.is_ring(&[0, 3]) && net.nodes[3].overlay.joined())
            .is_some()
    );
    net.run(SECOND * 30);
    assert!(net.nodes[other].overlay.leaf_set().0.is_empty(), "networks stay apart");
    assert!(net.is_ring(&[0, 3]));
}

#[test]
fn a_bootstrap_peer_that_never_answers_hangs_nobody() {
    let mut net = Net::new(Config::local());
    let (first, mute, joiner) = (net.add(), net.add(), net.add());
    net.join(first, &[]);
    net.join(mute, &[first]);
    net.run(SECOND);
    net.nodes[mute].mute = true;
    net.join(joiner, &[mute, first]);
    assert!(
        net.run_until(SECOND * 5, Net::all_joined).is_some(),
        "{}",
        net.describe()
    );
}

#[test]
fn more_joiners_at_once_than_the_bootstrap_peer_has_room_for() {
    let config = Config {
        max_links: 24,
        ..Config::local()
    };
    let mut net = started_together(config, 64);
    assert!(
        net.run_until(SECOND * 60, Net::all_joined).is_some(),
        "{}",
        net.describe()
    );
}
