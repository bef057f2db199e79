//! The wire format: postcard, bounded, and whole.
//!
//! A frame is one overlay [`Message`]; some of them carry words of the layers above as opaque bytes. Everything is decoded to the bottom
//! here, so that malformed bytes die at the door and no layer ever sees half a message.

use fatebound_overlay::MAX_NETWORK;
use fatebound_overlay::message::{Answer, Message, OneShot};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of a frame or a one-shot body at most, without the length prefix (protocol.md §7).
pub const MAX_FRAME: usize = fatebound_overlay::message::MAX_FRAME;

/// Bytes that are no message. Nothing has changed; the session that brought them is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// Longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes, more than {MAX_FRAME}")]
    TooLong(usize),
    /// Not an encoding of any message.
    #[error("bytes that encode no message")]
    Malformed,
    /// A message and then something else.
    #[error("{0} bytes after the end of a message")]
    TrailingBytes(usize),
    /// A message whose inner words, for a layer above, are malformed.
    #[error("a message whose inner words are malformed")]
    MalformedInside,
}

/// The bytes of anything that this crate sends. What is ours always encodes: its types hold nothing that postcard refuses.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

/// A value from all of `bytes`.
///
/// # Errors
/// When the bytes are too long, malformed, or more than one value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_FRAME {
        return Err(WireError::TooLong(bytes.len()));
    }
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| WireError::Malformed)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(WireError::TrailingBytes(rest.len()))
    }
}

/// A frame of a session, with everything inside it.
///
/// # Errors
/// As [`decode`], and when what it carries for the layers above is malformed.
pub fn decode_frame(bytes: &[u8]) -> Result<Message, WireError> {
    let message = decode(bytes)?;
    match &message {
        Message::Operation { body, .. } => check::<fatebound_tree::Operation>(body)?,
        Message::Tell(body) => check::<fatebound_tree::Tell>(body)?,
        Message::Routed(routed) => check_question(&routed.body.body)?,
        Message::RoutedAnswer(routed) => check_answer(&routed.body.body)?,
        _ => {}
    }
    Ok(message)
}

/// What is asked directly, without a link: a connection does not say which network it is for, so each question does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What the asker's network is called.
    pub network: String,
    /// What is asked.
    pub body: OneShot,
}

/// A one-shot question, with everything inside it.
///
/// # Errors
/// As [`decode_frame`], and when its network has a name that none can have.
pub fn decode_question(bytes: &[u8]) -> Result<Question, WireError> {
    let question: Question = decode(bytes)?;
    check_question(&question.body)?;
    if question.network.len() > MAX_NETWORK {
        return Err(WireError::MalformedInside);
    }
    Ok(question)
}

/// The answer to a one-shot question, with everything inside it.
///
/// # Errors
/// As [`decode_frame`].
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, WireError> {
    let answer = decode(bytes)?;
    check_answer(&answer)?;
    Ok(answer)
}

fn check_question(question: &OneShot) -> Result<(), WireError> {
    match question {
        OneShot::Above(body) => check::<fatebound_fng::message::Request>(body),
        _ => Ok(()),
    }
}

fn check_answer(answer: &Answer) -> Result<(), WireError> {
    match answer {
        Answer::Above(body) => check::<fatebound_fng::message::Answer>(body),
        _ => Ok(()),
    }
}

fn check<T: DeserializeOwned>(body: &[u8]) -> Result<(), WireError> {
    decode::<T>(body).map(drop).map_err(|_| WireError::MalformedInside)
}

#[cfg(test)]
mod tests {
    use fatebound_overlay::Keypair;
    use fatebound_overlay::message::{Ping, Routed, RoutedAnswer, Signed};
    use fatebound_tree::{Operation, Tell};

    use super::*;

    fn ping() -> Message {
        Message::Ping(Ping {
            number: 1,
            next: 20_000,
            wanted: true,
            joined: true,
            acknowledged: 3,
            joint: fatebound_overlay::JointSet::default(),
        })
    }

    #[test]
    fn a_frame_comes_back() {
        assert_eq!(decode_frame(&encode(&ping())), Ok(ping()));
    }

    #[test]
    fn a_ping_is_few_bytes() {
        // Tag, number, two flags, three varints, the digest: what every link carries for ever.
        assert_eq!(encode(&ping()).len(), 27);
    }

    #[test]
    fn truncated_trailing_and_oversized_frames_are_told_apart() {
        let bytes = encode(&ping());
        assert_eq!(decode_frame(&bytes[..bytes.len() - 1]), Err(WireError::Malformed));
        assert_eq!(decode_frame(&[]), Err(WireError::Malformed));
        assert_eq!(
            decode_frame(&[&bytes[..], &[0]].concat()),
            Err(WireError::TrailingBytes(1))
        );
        assert_eq!(
            decode_frame(&vec![0; MAX_FRAME + 1]),
            Err(WireError::TooLong(MAX_FRAME + 1))
        );
    }

    #[test]
    fn inner_words_are_decoded_at_the_door() {
        let good = encode(&Operation::Release { paths: Vec::new() });
        let operation = |body| encode(&Message::Operation { number: 1, body });
        assert!(decode_frame(&operation(good.clone())).is_ok());
        assert_eq!(decode_frame(&operation(vec![0xff])), Err(WireError::MalformedInside));
        assert_eq!(
            decode_frame(&operation([good, vec![0]].concat())),
            Err(WireError::MalformedInside)
        );
        let tell = encode(&Message::Tell(encode(&Tell::Suspected { paths: Vec::new() })));
        assert!(decode_frame(&tell).is_ok());
        let tell = encode(&Message::Tell(vec![9, 9]));
        assert_eq!(decode_frame(&tell), Err(WireError::MalformedInside));
        let question = |network: String, body| encode(&Question { network, body });
        let garbage = OneShot::Above(vec![9, 9]);
        assert_eq!(
            decode_question(&question("a".into(), garbage)),
            Err(WireError::MalformedInside)
        );
        let longest = "a".repeat(MAX_NETWORK);
        assert!(decode_question(&question(longest.clone(), OneShot::Row(0))).is_ok());
        assert_eq!(
            decode_question(&question(longest + "a", OneShot::Row(0))),
            Err(WireError::MalformedInside)
        );
        assert_eq!(
            decode_answer(&encode(&Answer::Above(vec![9, 9]))),
            Err(WireError::MalformedInside)
        );
    }

    /// A carrier hands on no garbage either.
    #[test]
    fn what_is_routed_is_decoded_to_the_bottom_too() {
        fn signed<T>(body: T) -> Signed<T> {
            let keypair = Keypair::ed25519_from_bytes([1; 32]).unwrap();
            let peer = keypair.public().to_peer_id();
            Signed {
                from: peer,
                to: peer,
                number: 1,
                body,
                signature: Vec::new(),
            }
        }
        let question = |body| {
            let body = signed(OneShot::Above(body));
            encode(&Message::Routed(Box::new(Routed {
                target: body.to,
                visited: Vec::new(),
                detours: 3,
                body,
            })))
        };
        let answer = |body| {
            let (trail, body) = (Vec::new(), signed(Answer::Above(body)));
            encode(&Message::RoutedAnswer(Box::new(RoutedAnswer { trail, body })))
        };
        let groups = Vec::new();
        let good = encode(&fatebound_fng::message::Request::Probe { groups });
        assert!(decode_frame(&question(good)).is_ok());
        assert!(decode_frame(&answer(encode(&fatebound_fng::message::Answer::Noted))).is_ok());
        assert_eq!(decode_frame(&question(vec![9, 9])), Err(WireError::MalformedInside));
        assert_eq!(decode_frame(&answer(vec![9, 9])), Err(WireError::MalformedInside));
    }

    #[test]
    fn the_longest_frame_is_not_too_long() {
        assert_eq!(decode_frame(&vec![0xff; MAX_FRAME]), Err(WireError::Malformed));
    }
}
