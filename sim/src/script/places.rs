//! Identities in order: so that in a script p0, p1, p2 … stand on the ring one after the other.
//!
//! The ring's order is that of keys, which are hashes; a script's reader should not have to know them. So the first eight peers get
//! identities, found by trying, whose keys lie in the first, second … eighth part of the ring, and whose `PeerId`s are in the same order
//! (of two sessions the one stays that the smaller `PeerId` opened). These are always the same eight.

use std::sync::OnceLock;

use fatebound_machine::overlay::{Key, Keypair};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Peers that have a place of their own on the ring.
const PLACES: usize = 8;

/// The identity of a script's n-th peer, if it is one of the first eight.
pub(super) fn keypair(number: usize) -> Option<Keypair> {
    static KEYPAIRS: OnceLock<Vec<Keypair>> = OnceLock::new();
    KEYPAIRS
        .get_or_init(|| (0..PLACES).map(search).collect())
        .get(number)
        .cloned()
}

fn search(number: usize) -> Keypair {
    let mut rng = StdRng::seed_from_u64(number as u64);
    loop {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let keypair = Keypair::ed25519_from_bytes(secret).expect("32 bytes are an Ed25519 secret");
        let peer = keypair.public().to_peer_id();
        let part = |byte: u8| usize::from(byte) * PLACES / 256;
        // A `PeerId` of this kind ends with the 32 bytes of its public key.
        let bytes = peer.to_bytes();
        let head = bytes.get(bytes.len() - 32).copied().map(part);
        if head == Some(number) && part(Key::of(&peer).as_bytes()[0]) == number {
            return keypair;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_in_order_twice() {
        let peers: Vec<_> = (0..PLACES)
            .filter_map(|number| Some(keypair(number)?.public().to_peer_id()))
            .collect();
        assert_eq!(peers.len(), PLACES);
        assert!(peers.is_sorted());
        assert!(peers.iter().map(Key::of).is_sorted());
        assert!(keypair(PLACES).is_none());
    }
}
