//! The envelope of messages that strangers carry: signatures, and what a carrier checks.
//!
//! A routed question passes through peers that nobody has to trust, so its originator signs it, and whoever answers signs the answer
//! (protocol.md §3 and §9). Carriers check the shape only; the signature is verified where the message takes effect.

use libp2p_identity::PeerId;
use postcard::ser_flavors::Size;
use serde::Serialize;

use crate::message::{Answer, MAX_FRAME, MAX_RECORDS, OneShot, Routed, RoutedAnswer, Signed};
use crate::records::is_bounded;
use crate::{Config, Key, Tag};
use crate::{Scheme, Signer};

/// Bytes of a tag at most: 64 bits, seven in each byte.
const MAX_TAG: usize = 10;

/// What a frame has besides the routed message: which kind it is. And the count of the visited peers may take a byte more.
const FRAME_OVERHEAD: usize = 2;

const QUESTION: &[u8] = b"fatebound question 1";
const ANSWER: &[u8] = b"fatebound answer 1";

/// Signs a question.
pub(crate) fn ask(signer: &impl Signer, to: PeerId, number: u64, body: OneShot) -> Signed<OneShot> {
    let from = signer.peer();
    let signature = signer.sign_for(QUESTION, &question_bytes(&from, &to, number, &body));
    Signed {
        from,
        to,
        number,
        body,
        signature,
    }
}

/// Signs the answer to question `number` of `to`.
pub(crate) fn answer(signer: &impl Signer, to: PeerId, number: u64, body: Answer) -> Signed<Answer> {
    let from = signer.peer();
    let signature = signer.sign_for(ANSWER, &bytes(&from, &to, number, &body));
    Signed {
        from,
        to,
        number,
        body,
        signature,
    }
}

/// Whether the originator of a question has signed it.
pub(crate) fn is_genuine_question(scheme: &dyn Scheme, signed: &Signed<OneShot>) -> bool {
    let bytes = question_bytes(&signed.from, &signed.to, signed.number, &signed.body);
    scheme.verify(&signed.from, QUESTION, &bytes, &signed.signature)
}

/// Whether the originator of an answer has signed it.
pub(crate) fn is_genuine_answer(scheme: &dyn Scheme, signed: &Signed<Answer>) -> bool {
    let bytes = bytes(&signed.from, &signed.to, signed.number, &signed.body);
    scheme.verify(&signed.from, ANSWER, &bytes, &signed.signature)
}

/// Whether a question that came over the link of `carrier` can have been sent by a peer that keeps to the protocol.
pub(crate) fn is_well_formed(config: &Config, carrier: Tag, routed: &Routed) -> bool {
    let originator = Key::of(&routed.body.from).tag();
    routed.visited.first() == Some(&originator)
        && routed.visited.last() == Some(&carrier)
        && routed.visited.len() <= usize::from(config.hop_limit)
        && routed.body.to == routed.target
        && has_room(config, routed)
        && body_is_well_formed(config, routed)
}

/// Whether a question still fits in a frame when every peer that it may come to has added its tag: a carrier must not be made to send
/// what the next one has to take for garbage.
pub(crate) fn has_room(config: &Config, routed: &Routed) -> bool {
    let still = usize::from(config.hop_limit).saturating_sub(routed.visited.len());
    let length = postcard::serialize_with_flavor::<Routed, _, usize>(routed, Size::default());
    length.is_ok_and(|length| length + FRAME_OVERHEAD + still * MAX_TAG <= MAX_FRAME)
}

/// Whether an answer's trail ends at `us` and is no longer than a question can have made it.
pub(crate) fn ends_at(config: &Config, us: Tag, answer: &RoutedAnswer) -> bool {
    answer.trail.last() == Some(&us) && answer.trail.len() <= usize::from(config.hop_limit)
}

fn body_is_well_formed(config: &Config, routed: &Routed) -> bool {
    match &routed.body.body {
        OneShot::Join { joiner, gathered } => {
            let peer = joiner.record().peer;
            peer == routed.target
                && peer == routed.body.from
                && gathered.len() <= MAX_RECORDS
                && is_bounded(joiner, config.max_addresses)
        }
        OneShot::Locate(peer) => *peer == routed.target,
        OneShot::Leaves(record) => record.record().peer == routed.body.from,
        OneShot::Nearest { .. } => routed.target == routed.body.from,
        OneShot::Row(_) | OneShot::Suspect(_) | OneShot::Above { .. } | OneShot::Directory(_) => true,
    }
}

/// What the originator of a question signs. Records that a `Join` gathers on its way are not its own words; each carries its peer's
/// signature.
fn question_bytes(from: &PeerId, to: &PeerId, number: u64, body: &OneShot) -> Vec<u8> {
    match body {
        OneShot::Join { joiner, .. } => {
            let joiner = joiner.clone();
            let gathered = Vec::new();
            bytes(from, to, number, &OneShot::Join { joiner, gathered })
        }
        body => bytes(from, to, number, body),
    }
}

fn bytes(from: &PeerId, to: &PeerId, number: u64, body: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(&(from, to, number, body)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PeerRecord;
    use crate::record::SignedRecord;
    use crate::{Ed25519, Keypair};

    fn above(body: Vec<u8>) -> OneShot {
        let port = crate::Port::GROUPS;
        OneShot::Above { port, body }
    }

    fn keypair(n: u8) -> Keypair {
        Keypair::ed25519_from_bytes([n; 32]).unwrap()
    }

    fn peer(n: u8) -> PeerId {
        keypair(n).public().to_peer_id()
    }

    fn record(n: u8) -> SignedRecord {
        let addresses = Vec::new();
        SignedRecord::sign(
            PeerRecord {
                peer: peer(n),
                addresses,
                sequence: 1,
            },
            &keypair(n),
        )
    }

    #[test]
    fn a_question_is_genuine_only_as_it_was_asked() {
        let asked = ask(&keypair(1), peer(2), 7, above(vec![1]));
        assert!(is_genuine_question(&Ed25519, &asked));
        assert!(!is_genuine_question(
            &Ed25519,
            &Signed {
                number: 8,
                ..asked.clone()
            }
        ));
        assert!(!is_genuine_question(
            &Ed25519,
            &Signed {
                to: peer(3),
                ..asked.clone()
            }
        ));
        assert!(!is_genuine_question(
            &Ed25519,
            &Signed {
                from: peer(3),
                ..asked.clone()
            }
        ));
        assert!(!is_genuine_question(
            &Ed25519,
            &Signed {
                body: above(vec![2]),
                ..asked
            }
        ));
    }

    #[test]
    fn a_question_cannot_pass_for_an_answer() {
        let asked = ask(&keypair(1), peer(2), 7, above(vec![1]));
        let forged = Signed {
            from: asked.from,
            to: asked.to,
            number: asked.number,
            body: Answer::Above(vec![1]),
            signature: asked.signature,
        };
        assert!(!is_genuine_answer(&Ed25519, &forged));
        assert!(is_genuine_answer(
            &Ed25519,
            &answer(&keypair(1), peer(2), 7, Answer::Above(vec![1]))
        ));
    }

    #[test]
    fn a_join_stays_genuine_while_it_gathers() {
        let mut asked = ask(
            &keypair(1),
            peer(1),
            7,
            OneShot::Join {
                joiner: record(1),
                gathered: Vec::new(),
            },
        );
        asked.body = OneShot::Join {
            joiner: record(1),
            gathered: vec![record(2)],
        };
        assert!(is_genuine_question(&Ed25519, &asked));
        asked.body = OneShot::Join {
            joiner: record(2),
            gathered: Vec::new(),
        };
        assert!(!is_genuine_question(&Ed25519, &asked));
    }

    #[test]
    fn what_no_honest_peer_sends_is_not_well_formed() {
        let config = Config::lan();
        let tag = |n| Key::of(&peer(n)).tag();
        let routed = Routed {
            target: peer(3),
            visited: vec![tag(1), tag(2)],
            detours: 3,
            body: ask(&keypair(1), peer(3), 1, above(Vec::new())),
        };
        assert!(is_well_formed(&config, tag(2), &routed));
        assert!(!is_well_formed(&config, tag(4), &routed));
        assert!(!is_well_formed(
            &config,
            tag(2),
            &Routed {
                target: peer(4),
                ..routed.clone()
            }
        ));
        let mut long = routed.clone();
        long.visited = vec![tag(1); 25];
        assert!(!is_well_formed(&config, tag(1), &long));
        // No room for the tags of those who are still to come.
        let mut fat = routed.clone();
        fat.body = ask(&keypair(1), peer(3), 1, above(vec![0; MAX_FRAME - 600]));
        assert!(is_well_formed(&config, tag(2), &fat));
        fat.body = ask(&keypair(1), peer(3), 1, above(vec![0; MAX_FRAME - 250]));
        assert!(!is_well_formed(&config, tag(2), &fat));
        let mut greedy = routed;
        let gathered = vec![record(1); MAX_RECORDS + 1];
        greedy.target = peer(1);
        greedy.body = ask(
            &keypair(1),
            peer(1),
            1,
            OneShot::Join {
                joiner: record(1),
                gathered,
            },
        );
        assert!(!is_well_formed(&config, tag(2), &greedy));
    }

    /// Each question that the overlay asks itself names the asker or the target once more, and both have to agree.
    #[test]
    fn a_question_that_contradicts_its_envelope_is_not_well_formed() {
        let config = Config::lan();
        let verdict = |from: u8, to: u8, body: OneShot| {
            let routed = Routed {
                target: peer(to),
                visited: vec![Key::of(&peer(from)).tag()],
                detours: 3,
                body: ask(&keypair(from), peer(to), 1, body),
            };
            is_well_formed(&config, Key::of(&peer(from)).tag(), &routed)
        };
        let join = |n| OneShot::Join {
            joiner: record(n),
            gathered: Vec::new(),
        };
        assert!(verdict(1, 1, join(1)));
        assert!(!verdict(1, 2, join(1)), "towards another key than its own");
        assert!(!verdict(1, 2, join(2)), "for somebody else");
        assert!(!verdict(1, 1, join(2)));
        assert!(verdict(1, 2, OneShot::Locate(peer(2))) && !verdict(1, 2, OneShot::Locate(peer(3))));
        assert!(verdict(1, 2, OneShot::Leaves(record(1))) && !verdict(1, 2, OneShot::Leaves(record(2))));
        assert!(verdict(1, 2, OneShot::Row(3)) && verdict(1, 2, OneShot::Suspect(peer(3))));
    }

    #[test]
    fn a_question_has_room_for_the_tags_of_all_who_may_still_carry_it() {
        let config = Config::lan();
        let routed = |visited: usize, bytes: usize| Routed {
            target: peer(3),
            visited: vec![Tag(u64::MAX); visited],
            detours: 3,
            body: Signed {
                from: peer(1),
                to: peer(3),
                number: 1,
                body: above(vec![0; bytes]),
                signature: vec![0; 64],
            },
        };
        let largest = |visited: usize| {
            (0..MAX_FRAME)
                .rev()
                .find(|bytes| has_room(&config, &routed(visited, *bytes)))
        };
        let hops = usize::from(config.hop_limit);
        let (first, last) = (largest(1).unwrap(), largest(hops).unwrap());
        assert_eq!(first, last, "who starts it leaves room for all tags, ten bytes each");
        let frame = crate::message::Message::Routed(Box::new(routed(hops, last)));
        let bytes = postcard::to_stdvec(&frame).unwrap().len();
        assert!((MAX_FRAME - 1..=MAX_FRAME).contains(&bytes), "{bytes}");
    }

    #[test]
    fn an_answer_comes_back_to_the_last_of_its_trail() {
        let config = Config::lan();
        let tag = |n| Key::of(&peer(n)).tag();
        let back = |trail: Vec<Tag>| RoutedAnswer {
            trail,
            body: answer(&keypair(1), peer(2), 1, Answer::Nothing),
        };
        assert!(ends_at(&config, tag(2), &back(vec![tag(1), tag(2)])));
        assert!(!ends_at(&config, tag(2), &back(vec![tag(2), tag(1)])));
        assert!(!ends_at(&config, tag(2), &back(Vec::new())));
        assert!(ends_at(&config, tag(2), &back(vec![tag(2); 24])));
        assert!(!ends_at(&config, tag(2), &back(vec![tag(2); 25])));
    }
}
