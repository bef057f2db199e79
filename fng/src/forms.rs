//! Reasons and refusals have two forms: for people and scripts `{"kind": "member_died", "peer": "…"}`, on the wire a number and the fields.
//!
//! The readable form is the one on the types themselves; it needs a format that describes itself, which the wire's is not. The enums here only
//! lend serde their shape (its `remote` feature): a variant that differs from the original does not compile.

use fatebound_overlay::PeerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::reason::{Reason, Refusal};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Reason")]
enum WireReason {
    Signalled { by: PeerId, text: String },
    MemberDied { peer: PeerId },
    MemberUnreachable { peer: PeerId },
    MemberForgot { peer: PeerId },
    RootDied { peer: PeerId },
    RootUnreachable { peer: PeerId },
    FailedAtRoot { peer: PeerId },
    CreationFailed { peer: PeerId, refusal: Refusal },
    Shutdown { by: PeerId },
    Closed { by: PeerId },
    NotKnown,
    NotMember { by: PeerId },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Refusal")]
enum WireRefusal {
    Unknown,
    Unreachable,
    Declined { text: String },
    NobodyWaits { tag: String },
    Busy,
    IncompatibleTimings,
    AlreadyOver,
    Stopping,
    Overtaken,
    NotAdmitted,
    Full,
    OtherNetwork { network: String, asked: String },
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Reason::serialize(self, serializer)
        } else {
            WireReason::serialize(self, serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        if deserializer.is_human_readable() {
            Reason::deserialize(deserializer)
        } else {
            WireReason::deserialize(deserializer)
        }
    }
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Refusal::serialize(self, serializer)
        } else {
            WireRefusal::serialize(self, serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Refusal, D::Error> {
        if deserializer.is_human_readable() {
            Refusal::deserialize(deserializer)
        } else {
            WireRefusal::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Answer;

    #[test]
    fn every_reason_and_refusal_survives_the_wire() {
        let peer = fatebound_overlay::Keypair::ed25519_from_bytes([1; 32])
            .unwrap()
            .public()
            .to_peer_id();
        let (text, tag) = ("a".to_owned(), "b".to_owned());
        let refusals = [
            Refusal::Unknown,
            Refusal::Unreachable,
            Refusal::Declined { text: text.clone() },
            Refusal::NobodyWaits { tag },
            Refusal::Busy,
            Refusal::IncompatibleTimings,
            Refusal::AlreadyOver,
            Refusal::Stopping,
            Refusal::Overtaken,
            Refusal::NotAdmitted,
            Refusal::Full,
            Refusal::OtherNetwork {
                network: text.clone(),
                asked: text.clone(),
            },
        ];
        for refusal in refusals {
            let answer = Answer::Decline(refusal.clone());
            let bytes = postcard::to_stdvec(&answer).unwrap();
            assert_eq!(postcard::from_bytes::<Answer>(&bytes).unwrap(), answer);
            let reason = Reason::CreationFailed { peer, refusal };
            let bytes = postcard::to_stdvec(&reason).unwrap();
            assert_eq!(postcard::from_bytes::<Reason>(&bytes).unwrap(), reason);
        }
        for reason in [
            Reason::Signalled { by: peer, text },
            Reason::MemberDied { peer },
            Reason::Closed { by: peer },
            Reason::NotMember { by: peer },
            Reason::NotKnown,
        ] {
            let bytes = postcard::to_stdvec(&reason).unwrap();
            assert_eq!(postcard::from_bytes::<Reason>(&bytes).unwrap(), reason);
        }
    }

    #[test]
    fn the_readable_form_names_its_kind_and_comes_back() {
        let peer = fatebound_overlay::Keypair::ed25519_from_bytes([1; 32])
            .unwrap()
            .public()
            .to_peer_id();
        let refusal = Refusal::Declined { text: "no".into() };
        let creation = Reason::CreationFailed { peer, refusal };
        let readable =
            format!(r#"{{"kind":"creation_failed","peer":"{peer}","refusal":{{"kind":"declined","text":"no"}}}}"#);
        assert_eq!(serde_json::to_string(&creation).unwrap(), readable);
        assert_eq!(serde_json::from_str::<Reason>(&readable).unwrap(), creation);
        for reason in [creation, Reason::Closed { by: peer }, Reason::NotKnown] {
            let value = serde_json::to_value(&reason).unwrap();
            assert_eq!(value["kind"], reason.kind());
        }
    }
}
