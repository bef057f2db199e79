//! Questions between one pair of peers: one asker for all groups that need an answer from the same peer.
//!
//! "Repairs between one pair of peers share messages: one `Probe` or `NeedRepair` per *pair*, carrying a list of groups" (protocol.md §8). In
//! each round all groups of a pair are asked about, at most [`MAX_GROUPS`] per posting. A group that comes between two rounds is asked about
//! soon, together with those that come at the same time. Every posting remembers when it was sent and what it asked.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fatebound_overlay::{Bounded, Time};
use indexmap::IndexSet;

use crate::group::Key;
use crate::message::MAX_GROUPS;
use crate::peers::PeerIx;

/// Postings of one pair that are remembered: 4096, the overlay's own bound. Beyond it the oldest is forgotten, and its answer ignored.
const MAX_POSTINGS: usize = 4096;

/// Which question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// We are the root and ask a member.
    Probe,
    /// We are a member and ask the root.
    NeedRepair,
}

/// Whom we ask what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pair {
    pub(crate) peer: PeerIx,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, Default)]
struct Asking {
    keys: IndexSet<Key>,
    /// Of these, those not asked about yet.
    fresh: IndexSet<Key>,
    round: u32,
    last: Option<Time>,
    interval: Duration,
    full_at: Time,
    postings: VecDeque<u64>,
}

/// One posting: what it asked, and when.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Posting {
    pub(crate) pair: Pair,
    pub(crate) sent: Time,
    pub(crate) keys: Vec<Key>,
}

/// What a round asks.
#[derive(Debug)]
pub(crate) struct Round {
    /// Its number, for the choice of ways.
    pub(crate) number: u32,
    /// Whether none of these groups has been asked about before.
    pub(crate) first: bool,
    /// The groups of each posting.
    pub(crate) chunks: Vec<Vec<Key>>,
    /// When the next round is due.
    pub(crate) next: Time,
}

/// All pairs that something is asked in.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Prober {
    pairs: BTreeMap<Pair, Asking>,
    postings: BTreeMap<u64, Posting>,
}

/// For `branch`.
impl Hash for Asking {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Asking {
            keys,
            fresh,
            round,
            last,
            interval,
            full_at,
            postings,
        } = self;
        keys.as_slice().hash(hasher);
        fresh.as_slice().hash(hasher);
        (round, last, interval, full_at, postings).hash(hasher);
    }
}

impl Prober {
    /// Asks about this far end from now on. Returns when the pair's next round is due: at once for the first, else not sooner than an
    /// eighth of an interval after the last round, so that those who come together are asked about together.
    pub(crate) fn add(&mut self, now: Time, pair: Pair, key: Key) -> Time {
        let asking = self.pairs.entry(pair).or_default();
        if asking.keys.insert(key) {
            asking.fresh.insert(key);
        }
        let soonest = asking.last.map_or(now, |last| last + asking.interval / 8);
        soonest.max(now)
    }

    /// Asks about this far end no more; whether the pair has nothing left to ask.
    pub(crate) fn remove(&mut self, pair: Pair, key: Key) -> bool {
        let Some(asking) = self.pairs.get_mut(&pair) else {
            return true;
        };
        asking.keys.swap_remove(&key);
        asking.fresh.swap_remove(&key);
        if !asking.keys.is_empty() {
            return false;
        }
        if let Some(asking) = self.pairs.remove(&pair) {
            for post in asking.postings {
                self.postings.remove(&post);
            }
        }
        true
    }

    /// Whether this far end is asked about.
    pub(crate) fn asks(&self, pair: Pair, key: Key) -> bool {
        self.pairs.get(&pair).is_some_and(|asking| asking.keys.contains(&key))
    }

    /// Any far end of the pair, for its timings: groups of one root share them.
    pub(crate) fn sample(&self, pair: Pair) -> Option<Key> {
        self.pairs.get(&pair)?.keys.first().copied()
    }

    /// All far ends that the pair asks about.
    pub(crate) fn keys(&self, pair: Pair) -> Vec<Key> {
        let asking = self.pairs.get(&pair);
        asking.map_or_else(Vec::new, |asking| asking.keys.iter().copied().collect())
    }

    /// The pair's next round, `interval` after the last: all far ends; before that, those not asked about yet.
    pub(crate) fn round(&mut self, now: Time, pair: Pair, interval: Duration) -> Option<Round> {
        let asking = self.pairs.get_mut(&pair)?;
        let fresh = std::mem::take(&mut asking.fresh);
        let first = asking.last.is_none() || now < asking.full_at;
        let keys: Vec<Key> = if asking.last.is_none() || now >= asking.full_at {
            asking.full_at = now + interval;
            asking.keys.iter().copied().collect()
        } else {
            fresh.into_iter().collect()
        };
        asking.last = Some(now);
        asking.interval = interval;
        let number = asking.round;
        asking.round = asking.round.wrapping_add(1);
        Some(Round {
            number,
            first,
            chunks: keys.chunks(MAX_GROUPS).map(<[Key]>::to_vec).collect(),
            next: asking.full_at,
        })
    }

    /// Remembers a posting.
    pub(crate) fn posted(&mut self, post: u64, posting: Posting) {
        let Some(asking) = self.pairs.get_mut(&posting.pair) else {
            return;
        };
        asking.postings.push_back(post);
        self.postings.insert(post, posting);
        if asking.postings.len() > MAX_POSTINGS
            && let Some(oldest) = asking.postings.pop_front()
        {
            self.postings.remove(&oldest);
        }
    }

    /// Forgets the pair's postings that were sent before `oldest`: their answers prove nothing any more.
    pub(crate) fn expire(&mut self, pair: Pair, oldest: Time) {
        let Some(asking) = self.pairs.get_mut(&pair) else {
            return;
        };
        while let Some(post) = asking.postings.front() {
            if self.postings.get(post).is_some_and(|posting| posting.sent >= oldest) {
                return;
            }
            self.postings.remove(post);
            asking.postings.pop_front();
        }
    }

    /// What this posting asked.
    pub(crate) fn posting(&self, post: u64) -> Option<&Posting> {
        self.postings.get(&post)
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        self.pairs.keys().copied()
    }

    /// Pairs that something is asked in.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(crate) fn bounds(&self) -> [Bounded; 3] {
        let pairs = || self.pairs.values();
        let postings: usize = pairs().map(|asking| asking.postings.len()).sum();
        let far: usize = pairs().map(|asking| asking.keys.len()).sum();
        let fresh = pairs().map(|asking| asking.fresh.len()).sum();
        [
            Bounded::fullest(
                "questions of a pair",
                pairs().map(|asking| asking.postings.len()),
                MAX_POSTINGS,
            ),
            Bounded::new("questions", self.postings.len(), postings),
            Bounded::new("far ends not asked about yet", fresh, far),
        ]
    }

    /// Whether nothing is asked.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.pairs.is_empty() && self.postings.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: Pair = Pair {
        peer: 0,
        kind: Kind::Probe,
    };
    const INTERVAL: Duration = Duration::from_millis(400);

    fn key(slot: u32) -> Key {
        Key { slot, index: 0 }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn those_who_come_together_share_postings() {
        let mut prober = Prober::default();
        for slot in 0..1000 {
            assert_eq!(prober.add(at(5), PAIR, key(slot)), at(5));
        }
        let round = prober.round(at(5), PAIR, INTERVAL).unwrap();
        assert_eq!(round.chunks.len(), 4);
        assert!(prober.asks(PAIR, key(999)) && !prober.asks(PAIR, key(1000)));
        assert!(round.first);
        assert_eq!(round.next, at(405));
    }

    #[test]
    fn a_late_one_is_asked_about_before_the_next_round() {
        let mut prober = Prober::default();
        prober.add(at(0), PAIR, key(1));
        prober.round(at(0), PAIR, INTERVAL).unwrap();
        assert_eq!(prober.add(at(10), PAIR, key(2)), at(50));
        let early = prober.round(at(50), PAIR, INTERVAL).unwrap();
        assert_eq!(early.chunks, [vec![key(2)]]);
        assert_eq!(early.next, at(400), "the full round stays where it was");
        assert!(early.first);
        let full = prober.round(at(400), PAIR, INTERVAL).unwrap();
        assert_eq!((full.first, full.chunks[0].len()), (false, 2));
    }

    #[test]
    fn whoever_is_not_asked_about_any_more_is_forgotten_at_once() {
        let mut prober = Prober::default();
        prober.add(at(0), PAIR, key(1));
        prober.round(at(0), PAIR, INTERVAL).unwrap();
        for slot in 2..100 {
            prober.add(at(1), PAIR, key(slot));
            prober.remove(PAIR, key(slot));
        }
        assert!(prober.pairs[&PAIR].fresh.is_empty());
        prober.add(at(2), PAIR, key(2));
        assert_eq!(prober.round(at(50), PAIR, INTERVAL).unwrap().chunks, [vec![key(2)]]);
    }

    #[test]
    fn beyond_4096_postings_the_oldest_is_forgotten() {
        let mut prober = Prober::default();
        prober.add(at(0), PAIR, key(1));
        for post in 0..=MAX_POSTINGS as u64 {
            assert!(prober.postings.len() <= MAX_POSTINGS && (post == 0 || prober.posting(0).is_some()));
            let posting = Posting {
                pair: PAIR,
                sent: at(0),
                keys: Vec::new(),
            };
            prober.posted(post, posting);
        }
        assert!(prober.posting(0).is_none() && prober.posting(1).is_some());
        assert_eq!(prober.postings.len(), MAX_POSTINGS);
    }

    #[test]
    fn postings_end_with_their_time_and_with_their_pair() {
        let mut prober = Prober::default();
        prober.add(at(0), PAIR, key(1));
        for post in 0..3 {
            let posting = Posting {
                pair: PAIR,
                sent: at(post * 100),
                keys: vec![key(1)],
            };
            prober.posted(post, posting);
        }
        prober.expire(PAIR, at(100));
        assert!(prober.posting(0).is_none() && prober.posting(1).is_some());
        assert!(prober.remove(PAIR, key(1)));
        assert!(prober.is_idle());
    }
}
