//! Whom this peer wants as a neighbour: leaf set and routing table over the peers that it knows to be on the ring.
//!
//! News about peers comes from greetings, answers and failures. It changes the set of *candidates*; leaf set and table follow from
//! that set in one place, [`Ring::settle`], so no piece of news has to know what it means for either.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexSet;
use libp2p_identity::PeerId;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::gone::Gone;
use crate::leaf_set::LeafSet;
use crate::message::MAX_RECORDS;
use crate::record::SignedRecord;
use crate::records::{Heard, Records};
use crate::routing_table::RoutingTable;
use crate::{Bounded, Config, Identity, Key, Time};

/// Records per digit in the answer to `Row`: the entry itself and some others, so that askers do not all choose the same peer.
const ROW_CHOICE: usize = 3;

/// The ring as seen from one peer.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    peer: PeerId,
    key: Key,
    per_side: usize,
    /// Signed records and hearsay.
    pub(crate) records: Records,
    /// Whom we could not reach.
    pub(crate) gone: Gone,
    candidates: BTreeMap<Key, PeerId>,
    leaves: LeafSet,
    table: RoutingTable,
    dirty: bool,
    /// Records that their peers had not signed.
    pub(crate) forged: u64,
}

impl Ring {
    /// The ring of one peer that knows nobody.
    pub(crate) fn new(config: &Config, identity: &Identity) -> Ring {
        let peer = identity.peer();
        let key = Key::of(&peer);
        Ring {
            peer,
            key,
            per_side: config.leaves_per_side,
            records: Records::new(identity, config.max_addresses, config.max_records),
            gone: Gone::default(),
            candidates: BTreeMap::new(),
            leaves: LeafSet::default(),
            table: RoutingTable::new(key, config.digit_bits),
            dirty: false,
            forged: 0,
        }
    }

    /// Our own place.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The leaf set.
    pub(crate) fn leaves(&self) -> &LeafSet {
        &self.leaves
    }

    /// The routing table.
    pub(crate) fn table(&self) -> &RoutingTable {
        &self.table
    }

    /// Whether a peer is known to have a place on the ring.
    pub(crate) fn has(&self, peer: &PeerId) -> bool {
        self.records
            .get(peer)
            .is_some_and(|known| self.candidates.contains_key(&known.key))
    }

    /// A record that somebody passed on, of a peer that is said to be on the ring.
    pub(crate) fn hear(&mut self, now: Time, record: &SignedRecord) -> Heard {
        let peer = record.record().peer;
        if peer == self.peer {
            return Heard::Known;
        }
        let heard = self.records.hear(record);
        let fresh = matches!(heard, Heard::News | Heard::Known);
        if fresh && !self.gone.bars(now, record) {
            self.admit(peer);
        }
        heard
    }

    /// A peer's own word about itself, over a connection, with its verified record.
    pub(crate) fn meet(&mut self, record: SignedRecord, joined: bool) {
        let peer = record.record().peer;
        if peer == self.peer {
            return;
        }
        self.records.meet(record);
        if joined {
            self.gone.clear(&peer);
            self.admit(peer);
        } else {
            self.dismiss(&peer);
        }
    }

    /// A link to this peer is up: it is not gone.
    pub(crate) fn linked(&mut self, peer: &PeerId) {
        self.gone.clear(peer);
    }

    /// A peer could not be reached, or its link went down. Says whether it had a place on the ring.
    pub(crate) fn lose(&mut self, now: Time, peer: &PeerId, bar: Duration, pause: Duration) -> bool {
        let Some(known) = self.records.get(peer) else {
            return false;
        };
        let record = known.record.clone();
        let was = self.dismiss(peer);
        self.gone.add(now, record, bar, pause);
        was
    }

    /// Whether something has changed that leaf set and table do not show yet, or more is known than may be kept.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty || self.records.is_overfull()
    }

    /// Computes leaf set and table anew if anything has changed since the last time. Says whether one of them is another now. Whoever is
    /// chosen proves itself by the signature of its record; false records are counted.
    pub(crate) fn settle(&mut self) -> bool {
        if !std::mem::take(&mut self.dirty) && !self.records.is_overfull() {
            return false;
        }
        let (leaves, table) = (&self.leaves, &self.table);
        let needed = |peer: &PeerId| leaves.contains(peer) || table.entries().any(|entry| entry == peer);
        for peer in self.records.trim(needed) {
            self.candidates.remove(&Key::of(&peer));
        }
        let before = self.wanted();
        self.choose();
        while self.expose_forgeries() {
            self.choose();
        }
        self.wanted() != before
    }

    fn choose(&mut self) {
        self.leaves = LeafSet::nearest(&self.key, self.per_side, &self.candidates);
        let leaves = &self.leaves;
        self.table.choose(&self.candidates, |peer| leaves.contains(peer));
    }

    /// Forgets whoever was chosen on the word of somebody else than itself; says whether there was anybody.
    fn expose_forgeries(&mut self) -> bool {
        let chosen = self.wanted();
        let forged: Vec<_> = chosen.iter().filter(|peer| !self.records.verify(peer)).collect();
        for peer in &forged {
            self.candidates.remove(&Key::of(peer));
        }
        self.forged += forged.len() as u64;
        !forged.is_empty()
    }

    /// Leaf set and table, the nearest leaves first.
    pub(crate) fn wanted(&self) -> IndexSet<PeerId> {
        self.leaves.members().chain(self.table.entries()).copied().collect()
    }

    /// The records of the leaf set.
    pub(crate) fn leaf_records(&self) -> Vec<SignedRecord> {
        let members: IndexSet<_> = self.leaves.members().copied().collect();
        members.iter().filter_map(|peer| self.record(peer)).collect()
    }

    /// What a peer that shares `row` digits with us can use: for each digit the table's entry and some others that we have heard of, those
    /// under our own digit included: to the asker they are as good as we are.
    /// Nobody has a row beyond the digits of a key, but anybody may ask for one.
    pub(crate) fn row_records(&self, row: usize, rng: &mut StdRng) -> Vec<SignedRecord> {
        if !self.table.has_row(row) {
            return Vec::new();
        }
        let mut chosen: IndexSet<PeerId> = self.table.row(row).map(|(_, peer)| peer).collect();
        for digit in self.table.digits() {
            let fitting: Vec<_> = self
                .table
                .range(&self.candidates, row, Some(digit))
                .map(|(_, peer)| *peer)
                .collect();
            for _ in 1..ROW_CHOICE.min(fitting.len()) {
                chosen.insert(fitting[rng.random_range(0..fitting.len())]);
            }
        }
        chosen
            .iter()
            .filter_map(|peer| self.record(peer))
            .take(MAX_RECORDS)
            .collect()
    }

    fn record(&self, peer: &PeerId) -> Option<SignedRecord> {
        self.records.get(peer).map(|known| known.record.clone())
    }

    fn admit(&mut self, peer: PeerId) {
        if let Some(known) = self.records.get(&peer) {
            self.dirty |= self.candidates.insert(known.key, peer).is_none();
        }
    }

    fn dismiss(&mut self, peer: &PeerId) -> bool {
        let key = self.records.get(peer).map(|known| known.key);
        let was = key.is_some_and(|key| self.candidates.remove(&key).is_some());
        self.dirty |= was;
        was
    }
}

impl Ring {
    pub(crate) fn bounds(&self) -> Vec<Bounded> {
        let records = self.records.bounds();
        // Nobody stands on the ring without a record.
        let [known, ..] = records;
        let candidates = Bounded::new("peers on the ring", self.candidates.len(), known.size);
        let others = [candidates, self.gone.bounds()];
        records.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::Keypair;
    use crate::message::PeerRecord;

    const SECOND: Duration = Duration::from_secs(1);

    fn keypair(n: u8) -> Keypair {
        Keypair::ed25519_from_bytes([n; 32]).unwrap()
    }

    fn peer(n: u8) -> PeerId {
        keypair(n).public().to_peer_id()
    }

    fn signed_by(signer: u8, n: u8, sequence: u64) -> SignedRecord {
        let record = PeerRecord {
            peer: peer(n),
            addresses: Vec::new(),
            sequence,
        };
        SignedRecord::sign(record, &keypair(signer))
    }

    fn record(n: u8, sequence: u64) -> SignedRecord {
        signed_by(n, n, sequence)
    }

    /// Peer 0, who has heard of peers 1 to 20.
    fn ring() -> Ring {
        let mut ring = Ring::new(&Config::local(), &Identity::new(&keypair(0)));
        for n in 1..=20 {
            assert_eq!(ring.hear(Time::ZERO, &record(n, 1)), Heard::News);
        }
        assert!(ring.settle());
        ring
    }

    #[test]
    fn who_is_heard_of_has_a_place_and_is_passed_on() {
        let mut ring = ring();
        assert!(!ring.is_dirty() && !ring.settle(), "nothing has changed since");
        assert!((1..=20).all(|n| ring.has(&peer(n))) && !ring.has(&peer(21)));
        let mut leaves: Vec<PeerId> = ring.leaf_records().iter().map(|record| record.record().peer).collect();
        assert_eq!(leaves, ring.leaves().members().copied().collect::<Vec<_>>());
        leaves.sort_unstable();
        leaves.dedup();
        assert_eq!(leaves.len(), 8, "each once");
        let mut rng = StdRng::seed_from_u64(1);
        let row = ring.row_records(0, &mut rng);
        assert!(row.len() >= 4 && row.iter().all(|record| ring.has(&record.record().peer)));
        assert!(
            ring.row_records(128, &mut rng).is_empty(),
            "256 bits have 128 digits of two bits"
        );
        let bounds = ring.bounds();
        let on_ring = bounds.iter().find(|bounded| bounded.what == "peers on the ring");
        assert_eq!(on_ring.map(|bounded| (bounded.size, bounded.limit)), Some((20, 20)));
    }

    #[test]
    fn a_known_record_and_our_own_change_nothing() {
        let mut ring = ring();
        assert_eq!(ring.hear(Time::ZERO, &record(3, 1)), Heard::Known);
        assert_eq!(ring.hear(Time::ZERO, &record(3, 0)), Heard::Stale);
        assert_eq!(ring.hear(Time::ZERO, &record(0, 9)), Heard::Known);
        ring.meet(record(0, 9), true);
        assert!(!ring.is_dirty() && !ring.has(&peer(0)));
    }

    #[test]
    fn who_did_not_sign_its_record_is_exposed_when_it_is_chosen() {
        let mut ring = Ring::new(&Config::local(), &Identity::new(&keypair(0)));
        ring.hear(Time::ZERO, &record(1, 1));
        ring.hear(Time::ZERO, &signed_by(3, 2, 1));
        assert!(ring.has(&peer(2)), "nobody has looked yet");
        assert!(ring.settle());
        assert!(!ring.has(&peer(2)) && ring.has(&peer(1)));
        assert_eq!(ring.forged, 1);
        assert_eq!(ring.wanted().into_iter().collect::<Vec<_>>(), [peer(1)]);
    }

    /// "For 2 `L`, doubled with each repetition, hearsay does not bring one of these back, unless its record is newer."
    #[test]
    fn who_is_lost_has_no_place_until_it_speaks_itself() {
        let mut ring = ring();
        let lose = |ring: &mut Ring, n| ring.lose(Time::ZERO, &peer(n), SECOND * 4, SECOND);
        assert!(lose(&mut ring, 3) && ring.is_dirty());
        assert!(!ring.has(&peer(3)) && !lose(&mut ring, 3) && !lose(&mut ring, 21));
        ring.hear(Time::ZERO, &record(3, 1));
        assert!(!ring.has(&peer(3)), "hearsay");
        ring.hear(Time::ZERO, &record(3, 2));
        assert!(ring.has(&peer(3)), "it has spoken since");
        assert!(lose(&mut ring, 4));
        ring.linked(&peer(4));
        ring.hear(Time::ZERO, &record(4, 1));
        assert!(ring.has(&peer(4)), "there is a link to it");
        assert!(lose(&mut ring, 5));
        ring.meet(record(5, 1), true);
        assert!(ring.has(&peer(5)));
        ring.meet(record(5, 1), false);
        assert!(!ring.has(&peer(5)), "it says that it has no place");
        assert!(lose(&mut ring, 6));
        ring.hear(Time::ZERO + SECOND * 4, &record(6, 1));
        assert!(ring.has(&peer(6)), "the bar is over");
    }

    #[test]
    fn beyond_the_limit_records_go_but_not_those_of_neighbours() {
        let config = Config {
            max_records: 64,
            ..Config::local()
        };
        let mut ring = Ring::new(&config, &Identity::new(&keypair(0)));
        for n in 1..=200 {
            ring.hear(Time::ZERO, &record(n, 1));
            if ring.is_dirty() {
                ring.settle();
            }
            assert!(ring.bounds().iter().all(Bounded::holds), "{n}");
        }
        let wanted = ring.wanted();
        assert!(!wanted.is_empty() && wanted.iter().all(|peer| ring.has(peer)));
        let nearest: BTreeMap<Key, PeerId> = (1..=200).map(|n| (Key::of(&peer(n)), peer(n))).collect();
        let leaves = LeafSet::nearest(ring.key(), config.leaves_per_side, &nearest);
        assert_eq!(*ring.leaves(), leaves, "a leaf is never forgotten");
    }
}
