//! Signatures: who has said what, verifiable by whoever carries it.
//!
//! Whoever builds a machine hands in how it signs and verifies, as an [`Identity`]. There is one way in this crate, [`Ed25519`], and it is the only one
//! that a node can have. A simulator, which runs all peers in one thread and would spend most of its time on curves, brings a [`Scheme`] of its own.

use std::fmt;
use std::sync::Arc;

use libp2p_identity::{Keypair, PeerId, PublicKey};

/// How words are signed and verified: the same for all peers that are to understand each other.
pub trait Scheme: fmt::Debug + Send + Sync {
    /// Signs `bytes` for one use, named by `context`.
    fn sign(&self, keypair: &Keypair, context: &[u8], bytes: &[u8]) -> Vec<u8>;

    /// Whether `signature` is `peer`'s own over `bytes` for this use.
    fn verify(&self, peer: &PeerId, context: &[u8], bytes: &[u8], signature: &[u8]) -> bool;
}

/// Ed25519 over the use, behind its length, and the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ed25519;

impl Scheme for Ed25519 {
    /// Signing with Ed25519 cannot fail; a key of another kind that does yields a signature that nobody accepts.
    fn sign(&self, keypair: &Keypair, context: &[u8], bytes: &[u8]) -> Vec<u8> {
        keypair.sign(&covered(context, bytes)).unwrap_or_default()
    }

    /// Only peers whose `PeerId` carries their public key (Ed25519 does) can be verified.
    fn verify(&self, peer: &PeerId, context: &[u8], bytes: &[u8], signature: &[u8]) -> bool {
        public_key(peer).is_some_and(|key| key.verify(&covered(context, bytes), signature))
    }
}

/// What is signed: the use, behind its length, so that no other use with other bytes comes to the same; then the bytes.
fn covered(context: &[u8], bytes: &[u8]) -> Vec<u8> {
    [&(context.len() as u64).to_le_bytes(), context, bytes].concat()
}

/// The public key inside a `PeerId` whose multihash is the identity of the encoded key (code 0).
fn public_key(peer: &PeerId) -> Option<PublicKey> {
    let multihash: &multiaddr::multihash::Multihash<64> = peer.as_ref();
    if multihash.code() != 0 {
        return None;
    }
    PublicKey::try_decode_protobuf(multihash.digest()).ok()
}

/// Whoever can sign in a peer's name.
pub trait Signer {
    /// In whose name.
    fn peer(&self) -> PeerId;

    /// Signs `bytes` for one use, named by `context`.
    fn sign_for(&self, context: &[u8], bytes: &[u8]) -> Vec<u8>;
}

/// A bare key signs with [`Ed25519`].
impl Signer for Keypair {
    fn peer(&self) -> PeerId {
        self.public().to_peer_id()
    }

    fn sign_for(&self, context: &[u8], bytes: &[u8]) -> Vec<u8> {
        Ed25519.sign(self, context, bytes)
    }
}

/// Who a peer is, and how it signs and verifies; all its layers share it.
#[derive(Clone, Debug)]
pub struct Identity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keypair: Keypair,
    peer: PeerId,
    scheme: Arc<dyn Scheme>,
}

impl Identity {
    /// The identity of this key, with [`Ed25519`].
    pub fn new(keypair: &Keypair) -> Identity {
        Identity::with_scheme(keypair, Arc::new(Ed25519))
    }

    /// The identity of this key among peers who all sign and verify by another scheme: for simulators.
    pub fn with_scheme(keypair: &Keypair, scheme: Arc<dyn Scheme>) -> Identity {
        Identity(Arc::new(Inner {
            peer: keypair.public().to_peer_id(),
            keypair: keypair.clone(),
            scheme,
        }))
    }

    /// Who it is.
    pub fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// How it verifies what others say.
    pub fn scheme(&self) -> &dyn Scheme {
        &*self.0.scheme
    }
}

impl Signer for Identity {
    fn peer(&self) -> PeerId {
        self.0.peer
    }

    fn sign_for(&self, context: &[u8], bytes: &[u8]) -> Vec<u8> {
        self.0.scheme.sign(&self.0.keypair, context, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_stands_for_these_words_alone() {
        let ours = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let them = Keypair::ed25519_from_bytes([2; 32]).unwrap().public().to_peer_id();
        let us = ours.peer();
        let signature = Identity::new(&ours).sign_for(b"use", b"words");
        assert_eq!(signature, ours.sign_for(b"use", b"words"));
        assert_eq!(signature.len(), 64);
        assert!(Ed25519.verify(&us, b"use", b"words", &signature));
        assert!(!Ed25519.verify(&them, b"use", b"words", &signature));
        assert!(!Ed25519.verify(&us, b"usew", b"ords", &signature));
        assert!(!Ed25519.verify(&us, b"use", b"other words", &signature));
        assert!(!Ed25519.verify(&us, b"use", b"words", &signature[1..]));
        assert!(!Ed25519.verify(&us, b"use", b"words", &[signature.as_slice(), &[0]].concat()));
    }
}
