//! Signed peer records: a peer's addresses, in its own words, so that others can carry them.

use serde::{Deserialize, Serialize};

use crate::message::PeerRecord;
use crate::{Scheme, Signer};

/// What the signature of a record covers besides the record, so that it cannot pass for anything else.
const CONTEXT: &[u8] = b"fatebound record 1";

/// A [`PeerRecord`] with the signature of the peer that it is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedRecord {
    record: PeerRecord,
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
    /// The signature has been verified, here: that says nothing to others, and is no part of what the record says.
    #[serde(skip)]
    genuine: bool,
}

impl PartialEq for SignedRecord {
    fn eq(&self, other: &SignedRecord) -> bool {
        self.record == other.record && self.signature == other.signature
    }
}

impl Eq for SignedRecord {}

impl SignedRecord {
    /// Signs a record of our own. `record.peer` must be the signer.
    pub fn sign(record: PeerRecord, signer: &impl Signer) -> SignedRecord {
        let signature = signer.sign_for(CONTEXT, &encoded(&record));
        let genuine = false;
        SignedRecord {
            record,
            signature,
            genuine,
        }
    }

    /// The record, if its signature is its peer's own.
    pub fn verified(&self, scheme: &dyn Scheme) -> Option<&PeerRecord> {
        let genuine = || scheme.verify(&self.record.peer, CONTEXT, &encoded(&self.record), &self.signature);
        (self.genuine || genuine()).then_some(&self.record)
    }

    /// Whether the signature is the peer's own; what it found is remembered, for a signature costs more to verify than all else about a record.
    pub(crate) fn verify(&mut self, scheme: &dyn Scheme) -> bool {
        self.genuine = self.verified(scheme).is_some();
        self.genuine
    }

    /// Whether [`SignedRecord::verify`] has found the signature to be the peer's own.
    pub(crate) fn is_genuine(&self) -> bool {
        self.genuine
    }

    /// Bytes of the signature.
    pub(crate) fn signature_len(&self) -> usize {
        self.signature.len()
    }

    /// The record without a look at the signature: for what we verified when we stored it.
    pub fn record(&self) -> &PeerRecord {
        &self.record
    }
}

fn encoded(record: &PeerRecord) -> Vec<u8> {
    postcard::to_stdvec(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ed25519, Keypair};

    fn record(keypair: &Keypair) -> PeerRecord {
        PeerRecord {
            peer: keypair.public().to_peer_id(),
            addresses: vec!["/ip4/127.0.0.1/tcp/4001".parse().expect("a multiaddress")],
            sequence: 7,
        }
    }

    #[test]
    fn a_record_verifies_with_its_own_key_only() {
        let ours = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let theirs = Keypair::ed25519_from_bytes([2; 32]).unwrap();
        assert!(SignedRecord::sign(record(&ours), &ours).verified(&Ed25519).is_some());
        assert!(SignedRecord::sign(record(&ours), &theirs).verified(&Ed25519).is_none());
    }

    #[test]
    fn a_changed_record_does_not_verify() {
        let ours = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let mut signed = SignedRecord::sign(record(&ours), &ours);
        signed.record.sequence += 1;
        assert!(signed.verified(&Ed25519).is_none());
    }

    /// Or a signature that was seen elsewhere would pass for one that has been verified with these words.
    #[test]
    fn two_records_are_the_same_only_if_words_and_signature_are() {
        let ours = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let signed = SignedRecord::sign(record(&ours), &ours);
        let mut other_words = signed.clone();
        other_words.record.sequence += 1;
        let mut other_signature = signed.clone();
        other_signature.signature[0] ^= 1;
        assert_eq!(signed, signed.clone());
        assert_ne!(signed, other_words);
        assert_ne!(signed, other_signature);
    }
}
