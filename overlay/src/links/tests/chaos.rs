//! Many breaks, drawn at random, with uneven delays: what must hold whatever happens.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::harness::Net;
use crate::{Config, DownReason, Event};

const SECOND: Duration = Duration::from_secs(1);

/// What happened on each link that a host had, in order: bodies received.
fn lives(net: &Net, host: usize) -> Vec<Vec<u8>> {
    let mut lives: Vec<(crate::LinkId, Vec<u8>)> = Vec::new();
    for (_, event) in &net.hosts[host].events {
        match event {
            Event::LinkUp { link, .. } => lives.push((*link, Vec::new())),
            Event::Operation { link, body } => {
                let last = lives.last_mut().unwrap();
                assert_eq!(last.0, *link, "an operation of a link that is gone");
                last.1.extend(body);
            }
            _ => {}
        }
    }
    lives.into_iter().map(|(_, bodies)| bodies).collect()
}

fn disturb(net: &mut Net, rng: &mut StdRng) {
    let (here, there) = if rng.random() { (0, 1) } else { (1, 0) };
    match rng.random_range(0..10) {
        0..=4 => {
            net.break_at(here);
        }
        5 => net.open(here, there, None),
        6 if net.cut.is_empty() => net.cut = vec![(here, there)],
        7 => net.heal(),
        _ => {}
    }
}

/// No break that is mended within `L` costs the link, or an operation, or delivers one twice.
#[test]
fn whatever_breaks_the_link_goes_on_and_operations_arrive_once_in_order() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Net::new(2, Config::lan());
        net.uneven = Some(StdRng::seed_from_u64(seed + 1000));
        net.want(0, 1);
        net.run(Duration::from_millis(rng.random_range(0..60)));
        net.want(1, 0);
        net.run(SECOND);
        let mut sent = [Vec::new(), Vec::new()];
        for step in 0..40u8 {
            for (host, sent) in sent.iter_mut().enumerate() {
                net.operate(host, 1 - host, step);
                sent.push(step);
            }
            disturb(&mut net, &mut rng);
            net.run(Duration::from_millis(rng.random_range(0..150)));
        }
        net.heal();
        net.run(SECOND * 20);
        assert!(net.agree(0, 1), "seed {seed}");
        for host in [0, 1] {
            assert_eq!(net.downs(host), [], "seed {seed}, host {host}");
            assert_eq!(lives(&net, host), [sent[1 - host].clone()], "seed {seed}, host {host}");
        }
        assert_eq!(net.open_streams(), 1, "seed {seed}");
    }
}

/// With lives that end in between, and cuts for longer than `L`: each link carries a run of what was sent on it without gaps, nobody is
/// taken for a violator, and in the end there is one link again.
#[test]
fn whatever_restarts_there_is_one_link_in_the_end() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Net::new(2, Config::lan());
        net.uneven = Some(StdRng::seed_from_u64(seed + 1000));
        net.want(0, 1);
        net.want(1, 0);
        net.run(SECOND);
        for step in 0..30u8 {
            for host in [0, 1] {
                if net.link(host, 1 - host).is_some() {
                    net.operate(host, 1 - host, step);
                }
            }
            disturb(&mut net, &mut rng);
            if rng.random_ratio(1, 10) {
                let host = usize::from(rng.random::<bool>());
                net.restart(host, rng.random());
                net.want(host, 1 - host);
            }
            if rng.random_ratio(1, 15) {
                net.run(SECOND * 12);
            }
            net.run(Duration::from_millis(rng.random_range(0..150)));
        }
        net.heal();
        net.run(SECOND * 60);
        assert!(net.agree(0, 1), "seed {seed}");
        assert_eq!(net.open_streams(), 1, "seed {seed}");
        for host in [0, 1] {
            assert!(!net.downs(host).contains(&DownReason::Violation), "seed {seed}");
            for life in lives(&net, host) {
                assert!(
                    life.windows(2).all(|pair| pair[1] == pair[0] + 1),
                    "seed {seed}: {life:?}"
                );
            }
        }
    }
}
