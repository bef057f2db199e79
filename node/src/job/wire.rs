//! What the members of a job send each other in its group.

/// A message of a task.
const MESSAGE: u8 = 1;
/// An acknowledgement of a round.
const ACK: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    Message(&'a [u8]),
    Ack(u64),
}

pub(super) fn message(body: &[u8]) -> Vec<u8> {
    [&[MESSAGE], body].concat()
}

pub(super) fn ack(round: u64) -> Vec<u8> {
    [&[ACK], &round.to_be_bytes()[..]].concat()
}

/// `None`: it is none of a job's.
pub(super) fn read(bytes: &[u8]) -> Option<Word<'_>> {
    match bytes.split_first()? {
        (&MESSAGE, body) => Some(Word::Message(body)),
        (&ACK, round) => round.try_into().ok().map(|round| Word::Ack(u64::from_be_bytes(round))),
        _ => None,
    }
}
