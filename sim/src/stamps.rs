//! Stamps: what the peers of a simulated world sign with.
//!
//! A simulator runs all peers in one thread, and signatures cost more than most of what a peer does besides. So a stamp is a keyed hash over who says
//! what to what use: only this world can make and recognise it, and nothing is computed on curves. It has the size of a signature.

use std::sync::Arc;

use fatebound_machine::overlay::{Identity, Keypair, PeerId, Scheme};

/// The same in all worlds: whoever forges in one signs with a stamp of somebody else's name, or with anything at all.
const SECRET: [u8; 32] = *b"what is signed in virtual worlds";

#[derive(Debug)]
struct Stamps;

/// The identity that a key has in a simulated world.
pub(crate) fn identity(keypair: &Keypair) -> Identity {
    Identity::with_scheme(keypair, Arc::new(Stamps))
}

fn stamp(peer: &PeerId, context: &[u8], bytes: &[u8]) -> [u8; 64] {
    let mut hasher = blake3::Hasher::new_keyed(&SECRET);
    for part in [&peer.to_bytes(), context, bytes] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut stamp = [0; 64];
    hasher.finalize_xof().fill(&mut stamp);
    stamp
}

impl Scheme for Stamps {
    fn sign(&self, keypair: &Keypair, context: &[u8], bytes: &[u8]) -> Vec<u8> {
        stamp(&keypair.public().to_peer_id(), context, bytes).to_vec()
    }

    fn verify(&self, peer: &PeerId, context: &[u8], bytes: &[u8], signature: &[u8]) -> bool {
        stamp(peer, context, bytes) == signature
    }
}

#[cfg(test)]
mod tests {
    use fatebound_machine::overlay::{Ed25519, Signer};

    use super::*;

    #[test]
    fn a_stamp_stands_for_these_words_alone_and_for_nothing_outside() {
        let ours = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let them = Keypair::ed25519_from_bytes([2; 32]).unwrap().peer();
        let (us, name) = (identity(&ours), ours.peer());
        let signature = us.sign_for(b"use", b"words");
        let verify = |peer, context: &[u8], bytes: &[u8]| us.scheme().verify(peer, context, bytes, &signature);
        assert_eq!(signature.len(), ours.sign_for(b"use", b"words").len());
        assert!(verify(&name, b"use", b"words"));
        assert!(!verify(&them, b"use", b"words"));
        assert!(!verify(&name, b"usew", b"ords"));
        assert!(!verify(&name, b"use", b"other words"));
        assert!(!Ed25519.verify(&name, b"use", b"words", &signature));
    }
}
