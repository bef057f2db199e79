//! The beginning of a group's name, as people type it.
//!
//! Whether a name begins so can be asked of a million groups: base58 takes microseconds for each, so the checksum that every name
//! begins with is compared first, which leaves the few whose text has to be written out.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::group_id::{CHECKSUM, GroupId, MAX_TEXT, ParseGroupIdError, checksum};

const ALPHABET: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Bytes of a body whose root has an Ed25519 key: incarnation, sequence number, `PeerId`.
const BODY: usize = 8 + 8 + 38;
/// Characters of the text form of such an id that does not begin with a zero byte: 58⁷⁷ < 2⁴⁵⁶, and 2⁴⁶⁴ < 58⁸⁰.
const LENGTHS: RangeInclusive<i32> = 78..=80;
/// Leading characters that are reckoned with: 58⁸ is exact as an `f64`.
const RECKONED: usize = 8;

/// The beginning of a group id's text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPrefix {
    text: String,
    /// What the checksum can be when the text begins so.
    checksums: Vec<RangeInclusive<u32>>,
}

impl GroupPrefix {
    /// Whether this group's text form begins so.
    pub fn begins(&self, group: &GroupId) -> bool {
        self.can_begin(group) && group.to_string().starts_with(&self.text)
    }

    fn can_begin(&self, group: &GroupId) -> bool {
        let body = group.body();
        let sum = u32::from_be_bytes(checksum(&body));
        body.len() != BODY || self.checksums.iter().any(|range| range.contains(&sum))
    }
}

impl FromStr for GroupPrefix {
    type Err = ParseGroupIdError;

    fn from_str(text: &str) -> Result<GroupPrefix, ParseGroupIdError> {
        if text.len() > MAX_TEXT {
            return Err(ParseGroupIdError::TooLong);
        }
        let digits: Option<Vec<usize>> = text.chars().map(|letter| ALPHABET.find(letter)).collect();
        let digits = digits.ok_or(ParseGroupIdError::Alphabet)?;
        Ok(GroupPrefix {
            text: text.to_owned(),
            checksums: checksums(&digits),
        })
    }
}

/// Each length of the whole text gives the number that it stands for a range, and so the checksum, which is its first digits in base 2³².
fn checksums(digits: &[usize]) -> Vec<RangeInclusive<u32>> {
    match digits {
        [] => vec![0..=u32::MAX],
        // Each zero byte in front is written as a `1`.
        [0, ..] => vec![0..=u32::MAX >> 8],
        _ => {
            let digits = &digits[..digits.len().min(RECKONED)];
            LENGTHS.filter_map(|length| range(digits, length)).collect()
        }
    }
}

fn range(digits: &[usize], length: i32) -> Option<RangeInclusive<u32>> {
    let leading = digits.iter().fold(0.0, |number, digit| number * 58.0 + *digit as f64);
    let unit = 58_f64.powi(length - digits.len() as i32) / 2_f64.powi(8 * BODY as i32);
    // One more at either end is more than rounding can amount to.
    let (first, last) = (leading * unit - 1.0, (leading + 1.0) * unit + 1.0);
    const { assert!(CHECKSUM == size_of::<u32>()) };
    // A cast keeps within the range of its type.
    (first <= f64::from(u32::MAX)).then_some(first as u32..=last as u32)
}

#[cfg(test)]
mod tests {
    use fatebound_overlay::Keypair;

    use super::*;

    fn groups() -> impl Iterator<Item = GroupId> {
        let root = |n: u8| {
            Keypair::ed25519_from_bytes([n; 32])
                .expect("32 bytes")
                .public()
                .to_peer_id()
        };
        let roots = [root(1), root(2)];
        (0..20_000).map(move |sequence: u64| GroupId {
            root: roots[sequence as usize % 2],
            incarnation: 0x0123_4567_89ab_cdef,
            sequence,
        })
    }

    #[test]
    fn every_beginning_of_a_name_begins_it() {
        for group in groups() {
            let text = group.to_string();
            for length in [1, 2, 4, 7, 8, 9, 30, text.len()] {
                let prefix: GroupPrefix = text[..length].parse().expect("base58");
                assert!(prefix.begins(&group), "{} of {text}", &text[..length]);
            }
        }
    }

    #[test]
    fn hardly_a_name_has_to_be_written_out() {
        for text in ["2abc", "9zzz", "zzzz", "1abc"] {
            let prefix: GroupPrefix = text.parse().expect("base58");
            let written = groups().filter(|group| prefix.can_begin(group)).count();
            assert!(written <= 200, "{text}: {written}");
        }
    }

    #[test]
    fn another_beginning_does_not() {
        let group = groups().next().expect("one");
        let mut other = group.to_string()[..6].to_owned();
        let last = other.pop();
        other.push(if last == Some('a') { 'b' } else { 'a' });
        assert!(!other.parse::<GroupPrefix>().expect("base58").begins(&group));
        assert!("".parse::<GroupPrefix>().expect("nothing").begins(&group));
    }

    #[test]
    fn what_cannot_be_one_says_why() {
        assert_eq!("z".repeat(161).parse::<GroupPrefix>(), Err(ParseGroupIdError::TooLong));
        assert_eq!("ab0c".parse::<GroupPrefix>(), Err(ParseGroupIdError::Alphabet));
        assert_eq!("abé".parse::<GroupPrefix>(), Err(ParseGroupIdError::Alphabet));
    }
}
