//! The entries that a node holds of one view, without a gap. The stream fills it; agreement on the next view cuts it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::numbers::Seq;

/// What an entry says; opaque here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry(#[serde(with = "serde_bytes")] pub Vec<u8>);

/// Consecutive entries that follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The number before the first of them.
    pub after: Seq,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// The entries of one view that are kept. Whoever keeps a window of them asks [`Log::len`] and [`Log::bytes`]; nothing here grows by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    after: Seq,
    entries: VecDeque<Entry>,
    bytes: usize,
    committed: Seq,
}

impl Log {
    /// Empty; its first entry is the one after this number.
    pub fn new(after: Seq) -> Log {
        Log {
            after,
            entries: VecDeque::new(),
            bytes: 0,
            committed: after,
        }
    }

    /// The last entry that is here: all up to it are, or were and have been forgotten.
    pub fn have(&self) -> Seq {
        Seq(self.after.0.saturating_add(self.entries.len() as u64))
    }

    /// All entries up to this one are known to be committed.
    pub fn committed(&self) -> Seq {
        self.committed
    }

    /// The number before the first entry that is kept.
    pub fn after(&self) -> Seq {
        self.after
    }

    /// How many entries are here.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One of them.
    pub fn get(&self, seq: Seq) -> Option<&Entry> {
        let index = seq.0.checked_sub(self.after.0)?.checked_sub(1)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Adds the entry of this number if it is the next one; says whether it was.
    pub fn append(&mut self, seq: Seq, entry: Entry) -> bool {
        let next = seq == self.have().next();
        if next {
            self.bytes = self.bytes.saturating_add(entry.0.len());
            self.entries.push_back(entry);
        }
        next
    }

    /// Adds those of a run that are next, up to `last`.
    pub fn extend(&mut self, run: Run, last: Seq) {
        let mut seq = run.after;
        for entry in run.entries {
            seq = seq.next();
            if seq <= last {
                self.append(seq, entry);
            }
        }
    }

    /// Entries after this number, of so many bytes in all, and one at least if there is one: what fits a message.
    pub fn run(&self, after: Seq, bytes: usize) -> Run {
        let after = after.max(self.after);
        let skipped = usize::try_from(after.0 - self.after.0).unwrap_or(usize::MAX);
        let mut run = Run {
            after,
            entries: Vec::new(),
        };
        let mut taken = 0usize;
        for entry in self.entries.iter().skip(skipped) {
            taken = taken.saturating_add(entry.0.len());
            if taken > bytes && !run.entries.is_empty() {
                break;
            }
            run.entries.push(entry.clone());
        }
        run
    }

    /// Says that all up to this entry are committed; what is not here cannot be.
    pub fn commit(&mut self, seq: Seq) {
        self.committed = self.committed.max(seq.min(self.have()));
    }

    /// Throws away whatever lies behind this entry. What is committed stays.
    pub fn cut(&mut self, last: Seq) {
        let kept = last.max(self.committed).0.saturating_sub(self.after.0);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        while self.entries.len() > kept {
            let last = self.entries.pop_back();
            self.bytes = self.bytes.saturating_sub(last.map_or(0, |entry| entry.0.len()));
        }
    }

    /// Forgets the entries up to this one. Only what everybody in the view has may go: then nobody asks for it, and whoever stays in the group
    /// begins behind it.
    pub fn forget(&mut self, seq: Seq) {
        while self.after < seq {
            let Some(first) = self.entries.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(first.0.len());
            self.after = self.after.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(byte: u8) -> Entry {
        Entry(vec![byte; 10])
    }

    fn log() -> Log {
        let mut log = Log::new(Seq(3));
        for number in 4..=6 {
            assert!(log.append(Seq(number), entry(number as u8)));
        }
        log
    }

    #[test]
    fn takes_what_is_next_and_nothing_else() {
        let mut log = log();
        assert!(!log.append(Seq(6), entry(0)));
        assert!(!log.append(Seq(8), entry(0)));
        assert_eq!(log.have(), Seq(6));
        assert_eq!(log.get(Seq(4)), Some(&entry(4)));
        assert_eq!((log.get(Seq(3)), log.get(Seq(7))), (None, None));
    }

    #[test]
    fn a_run_goes_on_where_another_log_ends() {
        let mut other = Log::new(Seq(3));
        other.append(Seq(4), entry(4));
        other.extend(log().run(other.have(), 1_000), Seq(5));
        assert_eq!(other.have(), Seq(5));
        other.extend(log().run(Seq(3), 1_000), Seq(9));
        assert_eq!(other, log());
    }

    #[test]
    fn a_run_fits_its_message_but_is_never_empty_while_something_is_left() {
        assert_eq!(log().run(Seq(3), 25).entries.len(), 2);
        assert_eq!(log().run(Seq(3), 1).entries.len(), 1);
        assert_eq!(log().run(Seq(6), 1).entries.len(), 0);
        assert_eq!(log().run(Seq(0), 100), log().run(Seq(3), 100));
    }

    #[test]
    fn what_is_committed_is_here_and_stays() {
        let mut log = log();
        log.commit(Seq(5));
        log.commit(Seq(4));
        log.cut(Seq(4));
        assert_eq!((log.have(), log.committed()), (Seq(5), Seq(5)));
        log.commit(Seq(9));
        assert_eq!(log.committed(), Seq(5));
    }

    #[test]
    fn what_is_forgotten_was_here_and_the_rest_keeps_its_numbers() {
        let mut log = log();
        log.commit(Seq(5));
        log.forget(Seq(4));
        assert_eq!(
            (log.after(), log.have(), log.len(), log.bytes()),
            (Seq(4), Seq(6), 2, 20)
        );
        assert_eq!((log.get(Seq(4)), log.get(Seq(5))), (None, Some(&entry(5))));
        log.forget(Seq(4));
        log.forget(Seq(9));
        assert_eq!((log.after(), log.have(), log.bytes()), (Seq(6), Seq(6), 0));
        assert!(log.append(Seq(7), entry(7)));
        assert_eq!(log.get(Seq(7)), Some(&entry(7)));
    }

    #[test]
    fn runs_and_cuts_go_on_behind_what_is_forgotten() {
        let mut log = log();
        log.forget(Seq(5));
        let run = log.run(Seq(3), 1_000);
        assert_eq!((run.after, run.entries.len()), (Seq(5), 1));
        let mut other = Log::new(Seq(3));
        for number in 4..=5 {
            other.append(Seq(number), entry(number as u8));
        }
        other.extend(run, Seq(9));
        assert_eq!(other.have(), Seq(6));
        log.cut(Seq(5));
        assert_eq!((log.have(), log.bytes()), (Seq(5), 0));
        log.cut(Seq(3));
        assert_eq!(log.have(), Seq(5));
    }
}
