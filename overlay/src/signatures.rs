//! Signatures: who has said what, verifiable by whoever carries it.
//!
//! A simulator runs all peers in one thread, and signatures cost more than most of what a peer does besides. It may give a thread a secret to
//! [`stamp`] with: then what is signed in that thread gets a stamp that only the thread can make and recognise, and nothing is computed on
//! curves. A stamp means nothing to anybody else, and a signature that is no stamp is verified as ever. Production has no such secret.

use std::cell::Cell;

use libp2p_identity::{Keypair, PeerId, PublicKey};

thread_local! {
    static SECRET: Cell<Option<[u8; 32]>> = const { Cell::new(None) };
}

/// From now on this thread stamps what it is asked to sign, with this secret; `None` ends that.
pub fn stamp(secret: Option<[u8; 32]>) {
    SECRET.set(secret);
}

/// The stamp of this thread for who, to what use, what; of the size of a signature.
fn stamped(peer: &PeerId, context: &[u8], bytes: &[u8]) -> Option<[u8; 64]> {
    let mut hasher = blake3::Hasher::new_keyed(&SECRET.get()?);
    for part in [&peer.to_bytes(), context, bytes] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut stamp = [0; 64];
    hasher.finalize_xof().fill(&mut stamp);
    Some(stamp)
}

/// What is signed: the use, behind its length, so that no other use with other bytes comes to the same; then the bytes.
fn covered(context: &[u8], bytes: &[u8]) -> Vec<u8> {
    [&(context.len() as u64).to_le_bytes(), context, bytes].concat()
}

/// Signs `bytes` for one use, named by `context`. Ed25519 signing cannot fail; a key of another kind that does yields a signature
/// that nobody accepts.
pub fn sign(keypair: &Keypair, context: &[u8], bytes: &[u8]) -> Vec<u8> {
    match stamped(&keypair.public().to_peer_id(), context, bytes) {
        Some(stamp) => stamp.to_vec(),
        None => keypair.sign(&covered(context, bytes)).unwrap_or_default(),
    }
}

/// Whether `signature` is `peer`'s own over `bytes` for this use. Only peers whose `PeerId` carries their public key (Ed25519 does) can be
/// verified.
pub fn verify(peer: &PeerId, context: &[u8], bytes: &[u8], signature: &[u8]) -> bool {
    let ours = stamped(peer, context, bytes).is_some_and(|stamp| stamp == signature);
    ours || public_key(peer).is_some_and(|key| key.verify(&covered(context, bytes), signature))
}

/// The public key inside a `PeerId` whose multihash is the identity of the encoded key (code 0).
fn public_key(peer: &PeerId) -> Option<PublicKey> {
    let multihash: &multiaddr::multihash::Multihash<64> = peer.as_ref();
    if multihash.code() != 0 {
        return None;
    }
    PublicKey::try_decode_protobuf(multihash.digest()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands_for_these_words_alone(ours: &Keypair, them: &PeerId) {
        let us = ours.public().to_peer_id();
        let signature = sign(ours, b"use", b"words");
        assert_eq!(signature.len(), 64);
        assert!(verify(&us, b"use", b"words", &signature));
        assert!(!verify(them, b"use", b"words", &signature));
        assert!(!verify(&us, b"usew", b"ords", &signature));
        assert!(!verify(&us, b"use", b"other words", &signature));
        assert!(!verify(&us, b"use", b"words", &signature[1..]));
        assert!(!verify(&us, b"use", b"words", &[signature.as_slice(), &[0]].concat()));
    }

    #[test]
    fn stamps_change_no_verdict() {
        let ours = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let us = ours.public().to_peer_id();
        let them = Keypair::ed25519_from_bytes([2; 32]).unwrap().public().to_peer_id();
        let real = sign(&ours, b"use", b"words");
        stands_for_these_words_alone(&ours, &them);
        stamp(Some([1; 32]));
        stands_for_these_words_alone(&ours, &them);
        assert!(verify(&us, b"use", b"words", &real), "made elsewhere, and real");
        let stamped = sign(&ours, b"use", b"words");
        stamp(Some([2; 32]));
        assert!(!verify(&us, b"use", b"words", &stamped), "the stamp of another secret");
        stamp(None);
        assert!(
            !verify(&us, b"use", b"words", &stamped),
            "a stamp means nothing to production"
        );
    }
}
