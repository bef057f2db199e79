//! Signatures: who has said what, verifiable by whoever carries it.
//!
//! A simulator runs all peers in one thread, and a signature costs more to verify than most of what a peer does besides. It may have a thread
//! [`remember`] what has been signed in it: such a signature is genuine because its key has made it, and is not computed again. Everything
//! else is verified as ever. Production remembers nothing: a process there verifies what others have signed.

use std::cell::RefCell;
use std::collections::HashSet;

use libp2p_identity::{Keypair, PeerId, PublicKey};

thread_local! {
    static SIGNED_HERE: RefCell<Option<HashSet<[u8; 32]>>> = const { RefCell::new(None) };
}

/// From now on this thread remembers what is signed in it; `false` ends that. What was remembered before is forgotten either way.
pub fn remember(remembers: bool) {
    SIGNED_HERE.with_borrow_mut(|signed| *signed = remembers.then(HashSet::new));
}

/// What a signature says: who, to what use, what, and the signature itself.
fn fingerprint(peer: &PeerId, context: &[u8], bytes: &[u8], signature: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [&peer.to_bytes(), context, bytes, signature] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// What is signed: the use, behind its length, so that no other use with other bytes comes to the same; then the bytes.
fn covered(context: &[u8], bytes: &[u8]) -> Vec<u8> {
    [&(context.len() as u64).to_le_bytes(), context, bytes].concat()
}

/// Signs `bytes` for one use, named by `context`. Ed25519 signing cannot fail; a key of another kind that does yields a signature
/// that nobody accepts.
pub fn sign(keypair: &Keypair, context: &[u8], bytes: &[u8]) -> Vec<u8> {
    let Ok(signature) = keypair.sign(&covered(context, bytes)) else {
        return Vec::new();
    };
    SIGNED_HERE.with_borrow_mut(|signed| {
        if let Some(signed) = signed {
            let peer = keypair.public().to_peer_id();
            signed.insert(fingerprint(&peer, context, bytes, &signature));
        }
    });
    signature
}

/// Whether `signature` is `peer`'s own over `bytes` for this use. Only peers whose `PeerId` carries their public key (Ed25519 does) can be
/// verified.
pub fn verify(peer: &PeerId, context: &[u8], bytes: &[u8], signature: &[u8]) -> bool {
    let signed_here = SIGNED_HERE.with_borrow(|signed| {
        let signed = signed.as_ref();
        signed.is_some_and(|signed| signed.contains(&fingerprint(peer, context, bytes, signature)))
    });
    signed_here || public_key(peer).is_some_and(|key| key.verify(&covered(context, bytes), signature))
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

    #[test]
    fn remembering_changes_no_verdict() {
        let ours = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let us = ours.public().to_peer_id();
        let them = Keypair::ed25519_from_bytes([2; 32]).unwrap().public().to_peer_id();
        for remembers in [false, true] {
            remember(remembers);
            let signature = sign(&ours, b"use", b"words");
            assert!(verify(&us, b"use", b"words", &signature));
            assert!(!verify(&them, b"use", b"words", &signature));
            assert!(!verify(&us, b"usew", b"ords", &signature));
            assert!(!verify(&us, b"use", b"other words", &signature));
            assert!(!verify(&us, b"use", b"words", &signature[1..]));
            remember(false);
            assert!(verify(&us, b"use", b"words", &signature));
        }
    }
}
