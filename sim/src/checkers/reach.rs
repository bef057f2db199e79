//! Who can reach whom, as the network stands at this moment.

use std::collections::BTreeSet;

use crate::world::State;
use crate::{PeerIndex, World};

/// Whether what one peer sends now reaches the other's running process, sooner or later.
fn passes(world: &World, from: PeerIndex, to: PeerIndex) -> bool {
    let runs = |peer: PeerIndex| world.peers[peer.0].state == State::Running;
    runs(from) && runs(to) && !world.network.is_cut(from, to)
}

/// Whether two running peers can talk directly, in both directions, as well as ever: no loss, no delay, no firewall, no slow process.
pub(crate) fn works(world: &World, a: PeerIndex, b: PeerIndex) -> bool {
    let is_well = |peer: PeerIndex| {
        let host = &world.peers[peer.0].host;
        host.slow.is_zero() && host.busy <= world.now
    };
    passes(world, a, b) && passes(world, b, a) && world.network.is_well(a, b) && is_well(a) && is_well(b)
}

/// Whether two peers can ask and answer each other, directly or by way of any others.
pub(crate) fn reachable(world: &World, a: PeerIndex, b: PeerIndex) -> bool {
    (passes(world, a, b) && passes(world, b, a)) || (leads(world, a, b) && leads(world, b, a))
}

/// Whether a chain of peers leads from one to the other.
fn leads(world: &World, from: PeerIndex, to: PeerIndex) -> bool {
    let mut reached = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(peer) = next.pop() {
        for other in (0..world.peers.len()).map(PeerIndex) {
            if passes(world, peer, other) && reached.insert(other) {
                next.push(other);
            }
        }
    }
    reached.contains(&to)
}
