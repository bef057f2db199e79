//! Random mishaps.

use std::time::Duration;

use fatebound_overlay::Config;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::SECOND;
use crate::net::Net;

/// Random runs; more were tried than are repeated each time.
const SEEDS: u64 = 8;

#[test]
fn whatever_happens_there_is_one_ring_in_the_end() {
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Net::new(Config::local());
        net.seed = seed * 1000;
        let count = rng.random_range(4..28);
        for _ in 0..count {
            net.add();
        }
        for at in 0..count {
            let others = [rng.random_range(0..count), rng.random_range(0..count), 0];
            net.join(at, &others);
        }
        for _ in 0..30 {
            mishap(&mut net, &mut rng);
            net.run(Duration::from_millis(rng.random_range(10..4000)));
        }
        net.side = vec![0; count];
        for at in 0..count {
            revive(&mut net, &mut rng, at);
        }
        let everybody = net.everybody();
        let took = net.run_until(SECOND * 300, |net| net.all_joined() && net.is_ring(&everybody));
        assert!(took.is_some(), "seed {seed}: {}", net.describe());
    }
}

/// Somebody dies, or comes back, or the network parts, or heals.
fn mishap(net: &mut Net, rng: &mut StdRng) {
    let at = rng.random_range(0..net.nodes.len());
    match rng.random_range(0..6) {
        0 | 1 => net.kill(at),
        2 | 3 => revive(net, rng, at),
        4 => net.side[at] ^= 1,
        _ => {
            net.side = vec![0; net.nodes.len()];
            net.break_cut_connections();
        }
    }
}

fn revive(net: &mut Net, rng: &mut StdRng, at: usize) {
    if !net.nodes[at].alive {
        let count = net.nodes.len();
        net.restart(at);
        net.join(at, &[rng.random_range(0..count), rng.random_range(0..count), 0]);
    }
}
