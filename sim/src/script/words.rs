//! The words of a command, taken one by one; what does not fit is answered with what was expected.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::PeerIndex;

/// Words still to be taken.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    words: VecDeque<&'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Words<'a> {
        Words {
            words: text.split_whitespace().collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        self.words.front().copied()
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let taken = self.peek() == Some(word);
        if taken {
            self.words.pop_front();
        }
        taken
    }

    pub(super) fn next(&mut self, expected: &str) -> Result<&'a str, String> {
        self.words
            .pop_front()
            .ok_or_else(|| format!("expected {expected}, found the end of the line"))
    }

    pub(super) fn rest(&mut self) -> String {
        self.words.drain(..).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn end(&self) -> Result<(), String> {
        match self.peek() {
            Some(word) => Err(format!("expected nothing more, found `{word}`")),
            None => Ok(()),
        }
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<(), String> {
        let found = self.next(&format!("`{word}`"))?;
        if found == word {
            Ok(())
        } else {
            Err(format!("expected `{word}`, found `{found}`"))
        }
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self, what: &str) -> Result<N, String> {
        let word = self.next(what)?;
        word.parse().map_err(|_| format!("expected {what}, found `{word}`"))
    }

    pub(super) fn peer(&mut self) -> Result<PeerIndex, String> {
        peer(self.next(PEER)?)
    }

    /// All following words that are peers.
    pub(super) fn peers(&mut self) -> Result<Vec<PeerIndex>, String> {
        let mut peers = Vec::new();
        while let Some(peer) = self.peek().and_then(|word| peer(word).ok()) {
            self.words.pop_front();
            peers.push(peer);
        }
        if peers.is_empty() {
            Err(format!("expected {PEER}, found {}", self.found()))
        } else {
            Ok(peers)
        }
    }

    /// One direction between two hosts: `0>3`.
    pub(super) fn wire(&mut self) -> Result<(PeerIndex, PeerIndex), String> {
        let word = self.next(WIRE)?;
        let wrong = || format!("expected {WIRE}, found `{word}`");
        let (from, to) = word.split_once('>').ok_or_else(wrong)?;
        Ok((peer(from).map_err(|_| wrong())?, peer(to).map_err(|_| wrong())?))
    }

    /// Two peers.
    pub(super) fn pair(&mut self) -> Result<(PeerIndex, PeerIndex), String> {
        Ok((self.peer()?, self.peer()?))
    }

    pub(super) fn found(&self) -> String {
        self.peek()
            .map_or("the end of the line".to_owned(), |word| format!("`{word}`"))
    }

    pub(super) fn duration(&mut self) -> Result<Duration, String> {
        duration(self.next("a duration such as `300ms` or `2s`")?)
    }

    /// The number of a group: 1 for `g1`.
    pub(super) fn group(&mut self) -> Result<usize, String> {
        group(self.next(GROUP)?)
    }

    /// The numbers of one or more groups: `g1`, or `g2..g40`.
    pub(super) fn groups(&mut self) -> Result<RangeInclusive<usize>, String> {
        let word = self.next(GROUP)?;
        match word.split_once("..") {
            Some((first, last)) => Ok(group(first)?..=group(last)?),
            None => group(word).map(|number| number..=number),
        }
    }
}

const PEER: &str = "a peer's number";
const GROUP: &str = "a group such as `g1`";
const WIRE: &str = "a direction such as `0>3`";

fn peer(word: &str) -> Result<PeerIndex, String> {
    let digits = word.strip_prefix('p').unwrap_or(word);
    digits
        .parse()
        .map(PeerIndex)
        .map_err(|_| format!("expected {PEER}, found `{word}`"))
}

fn group(word: &str) -> Result<usize, String> {
    let number = word.strip_prefix('g').and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("expected {GROUP}, found `{word}`"))
}

/// `300ms`, `2s`, `1.5s`, `10min`.
pub(super) fn duration(word: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a duration such as `300ms` or `2s`, found `{word}`");
    let units = [("ms", 0.001), ("us", 0.000_001), ("min", 60.0), ("s", 1.0)];
    let (digits, seconds) = units
        .iter()
        .find_map(|(unit, seconds)| Some((word.strip_suffix(unit)?, seconds)))
        .ok_or_else(wrong)?;
    let value: f64 = digits.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(value * seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("10min"), Ok(Duration::from_secs(600)));
        for wrong in ["3", "s", "-1s", "1h", "xms"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn peers_go_on_until_another_word() {
        let mut words = Words::of("0 p3 4 within 2s");
        assert_eq!(words.peers(), Ok(vec![PeerIndex(0), PeerIndex(3), PeerIndex(4)]));
        assert!(words.take("within"));
        assert_eq!(words.duration(), Ok(Duration::from_secs(2)));
        assert_eq!(words.end(), Ok(()));
    }
}
