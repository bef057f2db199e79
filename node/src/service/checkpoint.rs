//! Checkpoints on their way from the primary to its secondaries: in parts that fit a message, numbered, and whole or not there.

use fatebound_machine::process_groups::protocols::MAX_MESSAGE;
use serde::{Deserialize, Serialize};

/// Bytes of a checkpoint at most, with what the service keeps about requests.
pub const MAX_CHECKPOINT: usize = 4 * 1024 * 1024;
/// Bytes of one part.
const PART: usize = MAX_MESSAGE - 256;

/// A part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Of which checkpoint.
    pub(crate) number: u64,
    /// Which part of it, from 0.
    pub(crate) index: u32,
    /// Of how many.
    pub(crate) count: u32,
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}

impl Part {
    pub(crate) fn is_last(&self) -> bool {
        self.index + 1 == self.count
    }
}

/// The parts of a checkpoint, at least one.
pub(crate) fn parts(number: u64, bytes: &[u8]) -> Vec<Part> {
    let pieces: Vec<&[u8]> = if bytes.is_empty() {
        vec![bytes]
    } else {
        bytes.chunks(PART).collect()
    };
    let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    let part = |(index, piece): (u32, &&[u8])| Part {
        number,
        index,
        count,
        bytes: piece.to_vec(),
    };
    (0..).zip(&pieces).map(part).collect()
}

/// What a secondary has: the last whole checkpoint, and the parts of the next one.
#[derive(Debug, Default)]
pub(crate) struct Store {
    whole: Option<(u64, Vec<u8>)>,
    arriving: Option<(u64, u32, Vec<u8>)>,
}

impl Store {
    /// The number of the last whole one; zero: none.
    pub(crate) fn number(&self) -> u64 {
        self.whole.as_ref().map_or(0, |(number, _)| *number)
    }

    /// The last whole one.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        self.whole.as_ref().map(|(_, bytes)| bytes.as_slice())
    }

    /// The next part. One that does not follow ends what was arriving: the next checkpoint begins anew.
    pub(crate) fn take(&mut self, part: Part) {
        let last = part.is_last();
        let arriving = match self.arriving.take() {
            _ if part.index == 0 => Some(Vec::new()),
            Some((number, next, bytes)) if number == part.number && next == part.index => Some(bytes),
            _ => None,
        };
        let Some(mut bytes) = arriving else { return };
        if bytes.len() + part.bytes.len() > MAX_CHECKPOINT {
            return;
        }
        bytes.extend(part.bytes);
        if last {
            self.whole = Some((part.number, bytes));
        } else {
            self.arriving = Some((part.number, part.index + 1, bytes));
        }
    }

    /// Nothing is kept any more: this provider is a spare.
    pub(crate) fn clear(&mut self) {
        *self = Store::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(number: u64, length: usize) -> (Vec<u8>, Vec<Part>) {
        let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
        let parts = parts(number, &bytes);
        (bytes, parts)
    }

    #[test]
    fn a_checkpoint_of_any_length_arrives_whole() {
        for length in [0, 1, PART, PART + 1, 3 * PART + 7, MAX_CHECKPOINT] {
            let (bytes, parts) = checkpoint(5, length);
            let mut store = Store::default();
            for part in parts {
                assert_eq!(store.number(), 0, "not before it is whole");
                store.take(part);
            }
            assert_eq!((store.number(), store.whole()), (5, Some(&bytes[..])));
        }
    }

    #[test]
    fn a_checkpoint_that_breaks_off_leaves_the_one_before() {
        let mut store = Store::default();
        let (first, parts) = checkpoint(1, 10);
        parts.into_iter().for_each(|part| store.take(part));
        let (_, parts) = checkpoint(2, 2 * PART);
        store.take(parts[0].clone());
        let (_, late) = checkpoint(3, 2 * PART);
        store.take(late[1].clone());
        store.take(parts[1].clone());
        assert_eq!(store.whole(), Some(&first[..]));
    }

    #[test]
    fn one_that_is_too_long_is_not_taken() {
        let mut store = Store::default();
        checkpoint(7, 3).1.into_iter().for_each(|part| store.take(part));
        checkpoint(8, MAX_CHECKPOINT + 1)
            .1
            .into_iter()
            .for_each(|part| store.take(part));
        assert_eq!((store.number(), store.whole().map(<[u8]>::len)), (7, Some(3)));
    }
}
