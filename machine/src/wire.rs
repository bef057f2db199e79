//! The wire format: postcard, bounded, and whole.
//!
//! A frame is one overlay [`Message`]; some of them carry words of the layers above as opaque bytes. These are decoded once, when it is known that they are for
//! this peer, so that it can carry what it does not understand; malformed bytes die there, and no layer ever sees half a message.

use fatebound_overlay::message::{Answer, Message, OneShot};
use fatebound_overlay::pipes::message::{Farewell, Frame};
use fatebound_overlay::{MAX_NETWORK, Versions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of a frame or a one-shot body at most, without the length prefix (protocol.md §7).
pub const MAX_FRAME: usize = fatebound_overlay::message::MAX_FRAME;

/// Ports that an opening names at most: a port is a byte.
const MAX_PORTS: usize = 256;

/// Bytes that are no message. Nothing has changed; the session that brought them is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// Longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes, more than {MAX_FRAME}")]
    TooLong(usize),
    /// Not an encoding of any message.
    #[error("bytes that encode no message")]
    Malformed,
    /// A question in a version that is not spoken here; its asker speaks these.
    #[error("a question in a version of the wire format that is not spoken here, of a peer that speaks {0}")]
    OtherVersion(Versions),
    /// A message and then something else.
    #[error("{0} bytes after the end of a message")]
    TrailingBytes(usize),
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

/// A frame of a session. What it carries for the layers above is theirs to read.
///
/// # Errors
/// As [`decode`].
pub fn decode_frame(bytes: &[u8]) -> Result<Message, WireError> {
    decode(bytes)
}

/// What is asked directly, without a link: a connection does not say which version and which network it is for, so each question does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// In which version, and which ones its asker speaks: the same bytes in all versions.
    pub head: Head,
    /// What the asker's network is called.
    pub network: String,
    /// What is asked.
    pub body: OneShot,
}

/// How a question begins in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The version that the question is written in.
    pub written: u8,
    /// What its asker speaks.
    pub speaks: Versions,
}

impl Question {
    /// A question of a peer that speaks these versions. What is written today is version 1.
    pub fn new(speaks: Versions, network: &str, body: OneShot) -> Question {
        let written = speaks.oldest;
        Question {
            head: Head { written, speaks },
            network: network.to_owned(),
            body,
        }
    }
}

/// A one-shot question, for a peer that speaks these versions.
///
/// # Errors
/// As [`decode`], when it is written in a version that is not spoken here, and when its network has a name that none can have.
pub fn decode_question(bytes: &[u8], ours: Versions) -> Result<Question, WireError> {
    let (head, _) = postcard::take_from_bytes::<Head>(bytes).map_err(|_| WireError::Malformed)?;
    if !ours.contains(head.written) {
        return Err(WireError::OtherVersion(head.speaks));
    }
    let question: Question = decode(bytes)?;
    if question.network.len() > MAX_NETWORK {
        return Err(WireError::Malformed);
    }
    Ok(question)
}

/// The answer to a one-shot question.
///
/// # Errors
/// As [`decode`].
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, WireError> {
    decode(bytes)
}

/// A frame of a pipe.
///
/// # Errors
/// As [`decode`], and when it names more than there can be.
pub fn decode_pipe(bytes: &[u8]) -> Result<Frame, WireError> {
    let frame = decode(bytes)?;
    let sound = match &frame {
        Frame::Opening(opening) => opening.network.len() <= MAX_NETWORK && opening.ports.len() <= MAX_PORTS,
        Frame::Farewell(Farewell::OtherNetwork(network)) => network.len() <= MAX_NETWORK,
        _ => true,
    };
    if sound { Ok(frame) } else { Err(WireError::Malformed) }
}

#[cfg(test)]
mod tests {
    use fatebound_overlay::message::Ping;

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
        assert_eq!(encode(&ping()).len(), 19);
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
    fn a_network_has_a_name_of_bounded_length() {
        let question = |network: &str| encode(&Question::new(Versions::OURS, network, OneShot::Row(0)));
        let longest = "a".repeat(MAX_NETWORK);
        let decode = |bytes: &[u8]| decode_question(bytes, Versions::OURS);
        assert!(decode(&question(&longest)).is_ok());
        assert_eq!(decode(&question(&(longest + "a"))), Err(WireError::Malformed));
    }

    /// Whatever a later version writes behind it.
    #[test]
    fn the_head_of_a_question_is_read_in_every_version() {
        let speaks = Versions { oldest: 7, newest: 9 };
        let bytes = [encode(&Head { written: 7, speaks }), vec![0xff; 40]].concat();
        assert_eq!(
            decode_question(&bytes, Versions::OURS),
            Err(WireError::OtherVersion(speaks))
        );
        assert_eq!(decode_question(&bytes[..2], Versions::OURS), Err(WireError::Malformed));
        let both = Versions { oldest: 1, newest: 7 };
        let question = Question::new(both, "net", OneShot::Row(0));
        assert_eq!(decode_question(&encode(&question), Versions::OURS), Ok(question));
    }

    #[test]
    fn an_opening_of_a_pipe_is_bounded_and_a_full_part_fits() {
        use fatebound_overlay::pipes::Port;
        use fatebound_overlay::pipes::message::Opening;

        let opening = |network: usize, ports: usize| {
            decode_pipe(&encode(&Frame::Opening(Box::new(Opening {
                versions: Versions::OURS,
                network: "a".repeat(network),
                incarnation: u64::MAX,
                to: Some(u64::MAX),
                number: 1,
                ports: vec![(Port(1), u32::MAX); ports],
                more: Vec::new(),
            }))))
        };
        assert!(opening(MAX_NETWORK, MAX_PORTS).is_ok());
        assert_eq!(opening(MAX_NETWORK + 1, 0), Err(WireError::Malformed));
        assert_eq!(opening(1, MAX_PORTS + 1), Err(WireError::Malformed));
        assert_eq!(decode_pipe(&[]), Err(WireError::Malformed));
        assert_eq!(decode_pipe(&[4, 1, 0]), Err(WireError::TrailingBytes(1)));
    }

    #[test]
    fn the_longest_frame_is_not_too_long() {
        assert_eq!(decode_frame(&vec![0xff; MAX_FRAME]), Err(WireError::Malformed));
    }
}
