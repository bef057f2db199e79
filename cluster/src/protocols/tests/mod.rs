//! Desks, chairs and states, without a network.

mod checks;
mod garbage;
mod going;
mod handy;
mod limits;
mod membership;
mod random;
mod repeats;
mod votes;
mod world;

use fatebound_base::Keypair;

use super::ProviderId;
use crate::numbers::Node;

/// A node; the same number, the same node.
pub(super) fn node(number: u8) -> Node {
    let keypair = Keypair::ed25519_from_bytes([number + 1; 32]).expect("32 bytes");
    Node {
        peer: keypair.public().to_peer_id(),
        incarnation: u64::MAX,
    }
}

/// A provider at that node.
pub(super) fn provider(number: u8, serial: u32) -> ProviderId {
    ProviderId {
        node: node(number),
        serial,
    }
}
