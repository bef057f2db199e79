//! How soon a host that vanishes is known of, and what it costs to look: figures, not promises. Asked for with
//! `cargo test -p fatebound-sim --test vanished -- --ignored --nocapture`; `FATEBOUND_UNDO` takes a rule out to compare.

use std::time::Duration;

use fatebound_machine::overlay::Time;
use fatebound_sim::{PeerIndex, Profile, World};

const SEEDS: u64 = 60;
const PEERS: usize = 32;

/// What there is to say of a number of times.
fn tell(what: &str, mut all: Vec<f64>) {
    all.sort_by(f64::total_cmp);
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let at = |part: usize| all[(all.len() - 1) * part / 100];
    println!(
        "{what}: mean {mean:.2}, median {:.2}, 95 of 100 {:.2}, worst {:.2}",
        at(50),
        at(95),
        at(100)
    );
}

fn pings(world: &World, peers: &[PeerIndex]) -> u64 {
    let sent = |&peer: &PeerIndex| world.machine(peer).expect("it runs").status().counters.pings_sent;
    peers.iter().map(sent).sum()
}

#[test]
#[ignore = "a figure: it takes a minute and promises nothing"]
fn a_host_vanishes() {
    let (mut last, mut rate, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        let mut world = World::new(seed, Profile::Lan);
        let peers = world.spawn_overlay(PEERS);
        let group = world.create(peers[0], &peers[1..]).expect("all live");
        world.run_for(Duration::from_secs(60));
        let before = (pings(&world, &peers), world.happened());
        // Whenever: turns are a second apart.
        let quiet = Duration::from_secs(60) + Duration::from_millis(seed * 379 % 1000);
        world.run_for(quiet);
        let per = quiet.as_secs_f64() * PEERS as f64;
        rate.push((pings(&world, &peers) - before.0) as f64 / per);
        frames.push((world.happened() - before.1) as f64 / per);
        let gone = 1 + seed as usize % (PEERS - 1);
        let start = world.now();
        world.vanish(peers[gone]);
        let survivors: Vec<PeerIndex> = peers.iter().copied().filter(|&peer| peer != peers[gone]).collect();
        let told = |world: &World, peer: PeerIndex| world.notified(peer, &group).first().map(|&(at, _)| at);
        assert!(world.run_until(Duration::from_secs(60), |world| {
            survivors.iter().all(|&peer| told(world, peer).is_some())
        }));
        let latest: Option<Time> = survivors.iter().filter_map(|&peer| told(&world, peer)).max();
        last.push(latest.expect("somebody was told").since(start).as_secs_f64());
    }
    tell("seconds until the last was told", last);
    tell("pings per peer and second", rate);
    tell("steps of the simulator per peer and second", frames);
}
