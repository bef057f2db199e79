//! Reasons and refusals have two forms: for people and scripts `{"kind": "member_died", "peer": "…"}`, on the wire a string of bytes that holds a number and the fields.
//!
//! The readable form is the one on the types themselves; it needs a format that describes itself, which the wire's is not. The enums here only
//! lend serde their shape (its `remote` feature): a variant that differs from the original does not compile.

use fatebound_overlay::PeerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

use crate::reason::{Reason, Refusal};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Reason")]
enum WireReason {
    Signalled {
        by: PeerId,
        text: String,
    },
    MemberDied {
        peer: PeerId,
    },
    MemberUnreachable {
        peer: PeerId,
    },
    MemberForgot {
        peer: PeerId,
    },
    RootDied {
        peer: PeerId,
    },
    RootUnreachable {
        peer: PeerId,
    },
    FailedAtRoot {
        peer: PeerId,
    },
    CreationFailed {
        peer: PeerId,
        refusal: Refusal,
    },
    Shutdown {
        by: PeerId,
    },
    Closed {
        by: PeerId,
    },
    NotKnown,
    NotMember {
        by: PeerId,
    },
    #[serde(skip)]
    Newer {
        words: Vec<u8>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Refusal")]
enum WireRefusal {
    Unknown,
    Unreachable,
    Declined {
        text: String,
    },
    NobodyWaits {
        tag: String,
    },
    Busy,
    IncompatibleTimings,
    AlreadyOver,
    Stopping,
    Overtaken,
    NotAdmitted,
    Full,
    OtherNetwork {
        network: String,
        asked: String,
    },
    #[serde(skip)]
    Newer {
        words: Vec<u8>,
    },
}

/// The wire's form of a word: its known form as a string of bytes, so that whoever does not know it can still read what is around it, and say it again
/// as it came, signature and all.
macro_rules! extensible {
    ($word:ident, $wire:literal) => {
        const _: () = {
            #[derive(Serialize)]
            struct Said<'a>(#[serde(with = $wire)] &'a $word);

            #[derive(Deserialize)]
            struct Heard(#[serde(with = $wire)] $word);

            impl Serialize for $word {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    if serializer.is_human_readable() {
                        return $word::serialize(self, serializer);
                    }
                    match self {
                        $word::Newer { words } => serde_bytes::serialize(words, serializer),
                        known => {
                            let words = postcard::to_stdvec(&Said(known)).map_err(ser::Error::custom)?;
                            serde_bytes::serialize(&words, serializer)
                        }
                    }
                }
            }

            impl<'de> Deserialize<'de> for $word {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$word, D::Error> {
                    if deserializer.is_human_readable() {
                        return $word::deserialize(deserializer);
                    }
                    let words: Vec<u8> = serde_bytes::deserialize(deserializer)?;
                    match postcard::take_from_bytes(&words) {
                        Ok((Heard(known), [])) => Ok(known),
                        _ => Ok($word::Newer { words }),
                    }
                }
            }
        };
    };
}

extensible!(Reason, "WireReason");
extensible!(Refusal, "WireRefusal");

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

    /// As a later version may say it: another number, or more behind a known one.
    #[test]
    fn what_a_later_version_says_is_carried_on_as_it_came() {
        for words in [vec![200, 1, 2, 3], vec![10, 9], vec![]] {
            let bytes = postcard::to_stdvec(serde_bytes::Bytes::new(&words)).unwrap();
            let reason: Reason = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(reason, Reason::Newer { words: words.clone() });
            assert_eq!(postcard::to_stdvec(&reason).unwrap(), bytes);
            let refusal: Refusal = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(postcard::to_stdvec(&refusal).unwrap(), bytes);
            assert_eq!(refusal, Refusal::Newer { words });
        }
        let readable = serde_json::to_string(&Reason::Newer { words: vec![1] }).unwrap();
        assert_eq!(readable, r#"{"kind":"newer"}"#);
        let heard = serde_json::from_str::<Reason>(&readable).unwrap();
        assert_eq!(heard, Reason::Newer { words: Vec::new() });
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
