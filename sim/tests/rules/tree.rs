//! Rules of joint sets and paths (protocol.md §4, §5).

use fatebound_sim::{GroupId, PeerIndex, Profile, World};

use crate::common::{MILLI, SECOND, mismatches, order, overlay};

/// Wide delays and a hundred groups that come and go while peers die and links break: whatever crosses whatever, all are honest.
fn honest_traffic(seed: u64) -> u64 {
    let (mut world, peers) = overlay(seed, 20, Profile::Wan);
    let mut ticket = 100;
    for round in 0..12 {
        for n in 0..8 {
            ticket += 1;
            let (root, size) = ((round * 3 + n * 5) % 20, 1 + n % 4);
            let members: Vec<PeerIndex> = (1..=size).map(|k| peers[(root + k * (1 + n)) % 20]).collect();
            order(&mut world, ticket, peers[root], &members, None);
            world.run_for(130 * MILLI);
        }
        world.break_sessions(peers[round], peers[(round + 1) % 20]);
        if round % 4 == 3 {
            world.crash(peers[round]);
            world.run_for(SECOND);
            world.restart(peers[round]);
        }
        for root in peers.iter().skip(round % 5).step_by(5) {
            signal_oldest(&mut world, *root);
        }
    }
    world.run_for(60 * SECOND);
    mismatches(&world, &peers)
}

fn signal_oldest(world: &mut World, peer: PeerIndex) {
    let oldest: Option<GroupId> = world
        .machine(peer)
        .and_then(|machine| machine.groups(1).first().map(|view| view.group));
    if let Some(group) = oldest {
        world.signal(peer, &group);
    }
}

/// Digests never differ among the honest: they are compared as of the same operations.
#[test]
fn digest_as_of_operations() {
    for seed in 0..2 {
        assert_eq!(honest_traffic(seed), 0, "seed {seed}");
    }
}
