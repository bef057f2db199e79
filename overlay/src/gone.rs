//! The lately gone: who was a neighbour, or should have become one, and could not be reached.
//!
//! Two things need them. For a while nobody's hearsay may bring a dead peer back into the leaf set, or every death would be followed by dials in
//! vain. And after a partition the other side is known only from here: each round of maintenance tries one of them again, ever more rarely,
//! so that two rings become one when the network heals (scenario 18).

use std::time::Duration;

use indexmap::IndexMap;
use libp2p_identity::PeerId;

use crate::record::SignedRecord;
use crate::{Bounded, Rule, Time};

/// Peers remembered at most; beyond it the one that went first is forgotten.
const MAX_GONE: usize = 128;

/// A pause doubles at most this often: with the base `maintenance_interval`, 64 of them.
const MAX_DOUBLINGS: u32 = 6;

#[derive(Clone, Debug)]
struct Entry {
    record: SignedRecord,
    barred_until: Time,
    strikes: u32,
    next_try: Time,
    tries: u32,
}

/// Who is lately gone, in the order of their going.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone {
    entries: IndexMap<PeerId, Entry>,
}

impl Gone {
    /// Notes that a peer is gone: hearsay cannot bring it back for `bar`, doubled with each repetition, and it is tried again after `pause`.
    pub(crate) fn add(&mut self, now: Time, record: SignedRecord, bar: Duration, pause: Duration) {
        let peer = record.record().peer;
        if let Some(entry) = self.entries.get_mut(&peer) {
            entry.strikes = (entry.strikes + 1).min(MAX_DOUBLINGS);
            entry.barred_until = now + bar * (1 << entry.strikes);
            entry.record = record;
            return;
        }
        if self.entries.len() >= MAX_GONE {
            self.entries.shift_remove_index(0);
        }
        let entry = Entry {
            record,
            barred_until: now + bar,
            strikes: 0,
            next_try: now + pause,
            tries: 0,
        };
        self.entries.insert(peer, entry);
    }

    /// Whether hearsay about this peer counts for nothing at present. A record newer than the one it went with does count: it has
    /// spoken since.
    pub(crate) fn bars(&self, now: Time, record: &SignedRecord) -> bool {
        if !Rule::BarredHearsay.holds() {
            return false;
        }
        let said = record.record();
        self.entries
            .get(&said.peer)
            .is_some_and(|entry| now < entry.barred_until && said.sequence <= entry.record.record().sequence)
    }

    /// The peer was heard itself: it is back.
    pub(crate) fn clear(&mut self, peer: &PeerId) {
        self.entries.shift_remove(peer);
    }

    /// Somebody to try again now, the one that has waited longest; the next time is put off, doubling from `pause`.
    pub(crate) fn due(&mut self, now: Time, pause: Duration) -> Option<SignedRecord> {
        let due = self.entries.values_mut().filter(|entry| entry.next_try <= now);
        let entry = due.min_by_key(|entry| entry.next_try)?;
        entry.next_try = now + pause * (1 << entry.tries.min(MAX_DOUBLINGS));
        entry.tries += 1;
        Some(entry.record.clone())
    }
}

impl Gone {
    pub(crate) fn bounds(&self) -> Bounded {
        Bounded::new("lately gone", self.entries.len(), MAX_GONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keypair;
    use crate::message::PeerRecord;

    const SECOND: Duration = Duration::from_secs(1);

    fn record(n: u8, sequence: u64) -> SignedRecord {
        let keypair = Keypair::ed25519_from_bytes([n; 32]).unwrap();
        let peer = keypair.public().to_peer_id();
        SignedRecord::sign(
            PeerRecord {
                peer,
                addresses: Vec::new(),
                sequence,
            },
            &keypair,
        )
    }

    #[test]
    fn hearsay_is_barred_for_a_while_and_longer_each_time() {
        let mut gone = Gone::default();
        gone.add(Time::ZERO, record(1, 1), SECOND, SECOND);
        assert!(gone.bars(Time::from_millis(999), &record(1, 1)));
        assert!(!gone.bars(Time::from_millis(1000), &record(1, 1)));
        assert!(!gone.bars(Time::ZERO, &record(2, 1)));
        gone.add(Time::from_millis(1000), record(1, 1), SECOND, SECOND);
        assert!(gone.bars(Time::from_millis(2999), &record(1, 1)));
    }

    #[test]
    fn news_and_its_own_word_lift_the_bar() {
        let mut gone = Gone::default();
        gone.add(Time::ZERO, record(1, 1), SECOND, SECOND);
        assert!(!gone.bars(Time::ZERO, &record(1, 2)));
        gone.clear(&record(1, 1).record().peer);
        assert!(!gone.bars(Time::ZERO, &record(1, 1)));
        assert!(gone.entries.is_empty());
    }

    #[test]
    fn tries_become_rare_but_never_end() {
        let mut gone = Gone::default();
        gone.add(Time::ZERO, record(1, 1), SECOND, SECOND);
        let mut tries = Vec::new();
        for second in 0..400 {
            if gone.due(Time::from_millis(second * 1000), SECOND).is_some() {
                tries.push(second);
            }
        }
        assert_eq!(tries, [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384]);
    }

    #[test]
    fn the_list_is_bounded() {
        let mut gone = Gone::default();
        for n in 0..=MAX_GONE as u8 {
            gone.add(Time::ZERO, record(n, 1), SECOND, SECOND);
        }
        assert_eq!(gone.entries.len(), MAX_GONE);
        assert!(!gone.bars(Time::ZERO, &record(0, 1)));
    }
}
