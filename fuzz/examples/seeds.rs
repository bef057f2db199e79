//! Writes what peers of a short simulated run say to each other, one file for each kind and size of message: seeds for the target `frame`.
//!
//! `cargo run --example seeds -- corpus/frame`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fatebound_sim::{Observation, Observe, Profile, Words, World};

fn main() -> std::io::Result<()> {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "corpus/frame".into()));
    std::fs::create_dir_all(&directory)?;
    for (name, bytes) in messages() {
        std::fs::write(directory.join(name), bytes)?;
    }
    Ok(())
}

/// The first message of each kind, by name: what carries it, its first two bytes (its variants), and its length in steps of a power of two.
fn messages() -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for words in run() {
        let (kind, bytes) = match words {
            Words::Frame(bytes) => ("frame", bytes),
            Words::Request(bytes) => ("question", bytes),
            Words::Response(bytes) => ("answer", bytes),
        };
        let head = |at: usize| bytes.get(at).copied().unwrap_or_default();
        // The second byte is a variant in questions and answers for groups only; elsewhere it is a number.
        let inner = if kind == "frame" { 0 } else { head(1) % 16 };
        let name = format!(
            "{kind}-{:02}-{inner:02}-{}",
            head(0),
            bytes.len().checked_ilog2().unwrap_or_default()
        );
        found.entry(name).or_insert(bytes);
    }
    found
}

/// Peers join, groups come and go, links break, somebody dies, somebody is asked for.
fn run() -> Vec<Words> {
    let mut world = World::new(7, Profile::Local);
    world.observe(Observe::Messages);
    let peers = world.spawn_overlay(12);
    let mut groups = Vec::new();
    for root in 0..6 {
        let members: Vec<_> = (1..4).map(|step| peers[(root + 2 * step) % 12]).collect();
        groups.extend(world.create(peers[root], &members));
    }
    world.signal(peers[1], &groups[1]);
    world.break_sessions(peers[0], peers[2]);
    world.run_for(Duration::from_secs(3));
    world.cut(peers[3], peers[5]);
    world.vanish(peers[4]);
    world.run_for(Duration::from_secs(8));
    world.heal();
    world.crash(peers[6]);
    world.run_for(Duration::from_secs(8));
    let said = world.take_observations().into_iter();
    said.filter_map(|(_, observation)| match observation {
        Observation::Sent { words, .. } => Some(words),
        _ => None,
    })
    .collect()
}
