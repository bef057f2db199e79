//! What this peer knows about others: their signed records, and addresses it was merely told.
//!
//! Peers carry each other's addresses in the overlay's own messages (protocol.md §3). A record counts only if its peer signed it, and only
//! the newest of each peer is kept; so a liar can withhold records but not make any up. A signature is verified when its record is about to
//! be used (for a neighbour, or in place of another record), since most of what is heard never is. The table is bounded: beyond its
//! limit, the record that was heard longest ago and that nobody needs is forgotten.

use indexmap::IndexMap;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use multiaddr::Protocol;

use crate::record::SignedRecord;
use crate::{Bounded, Identity, Key, Rule};

/// Peers whose hearsay addresses are kept at most.
const MAX_INTRODUCED: usize = 1024;

/// Bytes of all addresses in one record at most, so that a full answer fits in a frame.
pub(crate) const MAX_ADDRESS_BYTES: usize = 512;

/// Bytes of a record's signature at most; those of the keys that can be verified have 64 to 72.
const MAX_SIGNATURE_BYTES: usize = 96;

/// What became of a record that somebody passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is new, or newer than what was known.
    News,
    /// It was known.
    Known,
    /// An older one than is known.
    Stale,
    /// It breaks a limit, or its signature is not its peer's.
    Invalid,
}

/// A peer that we have a record of.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Its place on the ring.
    pub(crate) key: Key,
    /// What it says of itself.
    pub(crate) record: SignedRecord,
    /// One of an earlier life with a larger sequence: to be shown to the peer, which can then outdo it.
    earlier: Option<Box<SignedRecord>>,
    heard: u64,
}

/// All records, and addresses from hearsay.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    known: IndexMap<PeerId, Box<Known>>,
    introduced: IndexMap<PeerId, Vec<Multiaddr>>,
    max_addresses: usize,
    limit: usize,
    clock: u64,
    /// How records are verified.
    identity: Identity,
}

impl Records {
    /// Knows nobody. A record may have `max_addresses` addresses; of about `limit` peers records are kept.
    pub(crate) fn new(identity: &Identity, max_addresses: usize, limit: usize) -> Records {
        Records {
            known: IndexMap::new(),
            introduced: IndexMap::new(),
            max_addresses,
            limit,
            clock: 0,
            identity: identity.clone(),
        }
    }

    /// Takes a record that somebody passed on. Of a peer that is not known yet it is verified when it is needed.
    pub(crate) fn hear(&mut self, record: &SignedRecord) -> Heard {
        let said = record.record();
        if let Some(known) = self.known.get_mut(&said.peer) {
            if known.record == *record {
                self.clock += 1;
                known.heard = self.clock;
                return Heard::Known;
            }
            let newest = known.earlier.as_ref().map_or(&known.record, |earlier| earlier);
            if newest.record().sequence >= said.sequence && known.record.verify(self.identity.scheme()) {
                return Heard::Stale;
            }
        }
        let mut record = record.clone();
        if !self.within_limits(&record)
            || (self.known.contains_key(&record.record().peer) && !record.verify(self.identity.scheme()))
        {
            return Heard::Invalid;
        }
        self.put(record, None);
        Heard::News
    }

    /// Whether a peer's record is its own word. One that is not is forgotten.
    pub(crate) fn verify(&mut self, peer: &PeerId) -> bool {
        let genuine = self
            .known
            .get_mut(peer)
            .is_some_and(|known| known.record.verify(self.identity.scheme()));
        if !genuine {
            self.known.swap_remove(peer);
        }
        genuine
    }

    /// Our copy of this very record if it has been verified, so that it need not be verified again.
    pub(crate) fn verified(&self, record: &SignedRecord) -> Option<&SignedRecord> {
        let known = &self.known.get(&record.record().peer)?.record;
        (known.is_genuine() && known == record).then_some(known)
    }

    /// Takes the record that a peer itself has just given us on a connection: its word counts whatever its sequence, which starts
    /// anew when a peer restarts. The caller has verified it.
    pub(crate) fn meet(&mut self, mut record: SignedRecord) {
        if !self.within_limits(&record) {
            return;
        }
        if !Rule::OwnWord.holds() {
            self.hear(&record);
            return;
        }
        record.verify(self.identity.scheme());
        let before = self.known.get(&record.record().peer);
        let ours = before
            .into_iter()
            .flat_map(|known| known.earlier.as_deref().into_iter().chain([&known.record]));
        let largest = ours.max_by_key(|known| known.record().sequence).cloned();
        let earlier = largest.filter(|known| known.record().sequence > record.record().sequence);
        self.put(record, earlier);
    }

    /// A record of the same peer that would pass for a newer one than this, if we have one.
    pub(crate) fn outdoing(&self, record: &SignedRecord) -> Option<SignedRecord> {
        let known = self.known.get(&record.record().peer)?;
        let mut ours = known.earlier.as_deref().into_iter().chain([&known.record]);
        ours.find(|known| known.record().sequence > record.record().sequence)
            .cloned()
    }

    /// Adds addresses that we were told of.
    pub(crate) fn introduce(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        if self.introduced.len() >= MAX_INTRODUCED && !self.introduced.contains_key(&peer) {
            self.introduced.shift_remove_index(0);
        }
        let kept = self.introduced.entry(peer).or_default();
        for address in addresses.iter().map(without_peer) {
            if !kept.contains(&address) && address.len() <= MAX_ADDRESS_BYTES {
                kept.insert(0, address);
            }
        }
        kept.truncate(self.max_addresses);
    }

    /// What is known of a peer.
    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Known> {
        self.known.get(peer).map(|known| &**known)
    }

    /// Where a peer may be dialled: its own word first, then hearsay.
    pub(crate) fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let own = self
            .known
            .get(peer)
            .into_iter()
            .flat_map(|known| &known.record.record().addresses);
        let told = self.introduced.get(peer).into_iter().flatten();
        let mut addresses = Vec::new();
        for address in own.chain(told).map(without_peer) {
            if addresses.len() < self.max_addresses && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Whether a whole batch is beyond the limit: so much may wait for the next change of the ring, no more.
    pub(crate) fn is_overfull(&self) -> bool {
        self.known.len() > self.limit_with_batch()
    }

    /// Forgets the oldest records beyond the limit, but none that is `needed`; says whose.
    pub(crate) fn trim(&mut self, needed: impl Fn(&PeerId) -> bool) -> Vec<PeerId> {
        let excess = self.known.len().saturating_sub(self.limit);
        if excess == 0 {
            return Vec::new();
        }
        let mut idle: Vec<_> = self
            .known
            .iter()
            .filter(|(peer, _)| !needed(peer))
            .map(|(p, k)| (k.heard, *p))
            .collect();
        idle.sort_unstable_by_key(|(heard, _)| *heard);
        // A batch at a time, so that a table at its limit is not sorted for every new record.
        idle.truncate(excess + self.limit / 16);
        for (_, peer) in &idle {
            self.known.swap_remove(peer);
        }
        idle.into_iter().map(|(_, peer)| peer).collect()
    }

    fn within_limits(&self, record: &SignedRecord) -> bool {
        is_bounded(record, self.max_addresses)
    }

    fn put(&mut self, record: SignedRecord, earlier: Option<SignedRecord>) {
        self.clock += 1;
        let peer = record.record().peer;
        let known = Known {
            key: Key::of(&peer),
            record,
            earlier: earlier.map(Box::new),
            heard: self.clock,
        };
        self.known.insert(peer, Box::new(known));
    }
}

/// Whether a record is no longer than records may be, so that [`crate::message::MAX_RECORDS`] of them fit in a frame.
pub(crate) fn is_bounded(record: &SignedRecord, max_addresses: usize) -> bool {
    let addresses = &record.record().addresses;
    addresses.len() <= max_addresses
        && addresses.iter().map(Multiaddr::len).sum::<usize>() <= MAX_ADDRESS_BYTES
        && record.signature_len() <= MAX_SIGNATURE_BYTES
}

/// As many of these addresses of ours, the first ones first, as a record may have.
pub(crate) fn fitting(addresses: impl Iterator<Item = Multiaddr>, max_addresses: usize) -> Vec<Multiaddr> {
    let mut left = MAX_ADDRESS_BYTES;
    let mut taken = Vec::new();
    for address in addresses {
        if taken.len() < max_addresses && address.len() <= left {
            left -= address.len();
            taken.push(address);
        }
    }
    taken
}

/// An address without a trailing `/p2p/…`: whom we want there is said separately.
pub(crate) fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

/// The peer that an address ends with, if it does.
pub(crate) fn peer_in(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

impl Records {
    /// How many records may wait for the next trim.
    fn limit_with_batch(&self) -> usize {
        self.limit + self.limit / 16
    }

    pub(crate) fn bounds(&self) -> [Bounded; 3] {
        let addresses = self.introduced.values().map(Vec::len);
        [
            Bounded::new("records", self.known.len(), self.limit_with_batch()),
            Bounded::new("introduced peers", self.introduced.len(), MAX_INTRODUCED),
            Bounded::fullest("addresses of an introduced peer", addresses, self.max_addresses),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keypair;
    use crate::message::PeerRecord;

    const MAX_KNOWN: usize = 256;

    fn keypair(n: u16) -> Keypair {
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&n.to_be_bytes());
        Keypair::ed25519_from_bytes(seed).unwrap()
    }

    fn record(n: u16, sequence: u64, addresses: usize) -> SignedRecord {
        let peer = keypair(n).public().to_peer_id();
        let address = |port| format!("/ip4/127.0.0.1/tcp/{}", 4000 + port).parse().unwrap();
        let addresses = (0..addresses).map(address).collect();
        SignedRecord::sign(
            PeerRecord {
                peer,
                addresses,
                sequence,
            },
            &keypair(n),
        )
    }

    #[test]
    fn only_the_newest_and_only_the_genuine() {
        let mut records = Records::new(&Identity::new(&keypair(0)), 8, MAX_KNOWN);
        assert_eq!(records.hear(&record(1, 5, 1)), Heard::News);
        assert_eq!(records.hear(&record(1, 5, 1)), Heard::Known);
        assert_eq!(records.hear(&record(1, 4, 2)), Heard::Stale);
        assert_eq!(records.hear(&record(1, 6, 2)), Heard::News);
        let forged = PeerRecord {
            sequence: 9,
            ..record(1, 5, 1).record().clone()
        };
        assert_eq!(records.hear(&SignedRecord::sign(forged, &keypair(2))), Heard::Invalid);
        assert_eq!(records.hear(&record(3, 1, 9)), Heard::Invalid);
        assert_eq!(records.addresses(&keypair(1).public().to_peer_id()).len(), 2);
    }

    #[test]
    fn what_nobody_signed_is_found_out_when_it_is_needed_or_contradicted() {
        let mut records = Records::new(&Identity::new(&keypair(0)), 8, MAX_KNOWN);
        let forged = SignedRecord::sign(record(1, 9, 1).record().clone(), &keypair(2));
        let peer = keypair(1).public().to_peer_id();
        assert_eq!(records.hear(&forged), Heard::News);
        assert!(records.verified(&forged).is_none());
        assert!(!records.verify(&peer));
        assert!(records.get(&peer).is_none());
        assert_eq!(records.hear(&forged), Heard::News);
        assert_eq!(records.hear(&record(1, 5, 1)), Heard::News, "although it is older");
        assert!(records.verify(&peer));
        assert!(records.verified(&record(1, 5, 1)).is_some());
    }

    /// Whoever hears a forgery first would otherwise take the genuine record for the same, and never learn where its peer lives.
    #[test]
    fn the_genuine_record_replaces_a_forged_one_of_the_same_words() {
        let mut records = Records::new(&Identity::new(&keypair(0)), 8, MAX_KNOWN);
        let genuine = record(1, 5, 1);
        let forged = SignedRecord::sign(genuine.record().clone(), &keypair(2));
        assert_eq!(records.hear(&forged), Heard::News);
        assert_eq!(records.hear(&genuine), Heard::News);
        assert!(records.verify(&genuine.record().peer));
        assert_eq!(records.hear(&forged), Heard::Stale);
    }

    /// Most records are passed on unverified: a longer signature would make a full answer outgrow a frame.
    #[test]
    fn a_signature_has_96_bytes_at_most() {
        let with_signature = |bytes: usize| {
            let encoded = postcard::to_stdvec(&(record(1, 5, 1).record(), vec![1u8; bytes])).unwrap();
            postcard::from_bytes::<SignedRecord>(&encoded).unwrap()
        };
        assert!(is_bounded(&with_signature(96), 8));
        assert!(!is_bounded(&with_signature(97), 8));
        assert_eq!(
            Records::new(&Identity::new(&keypair(0)), 8, MAX_KNOWN).hear(&with_signature(97)),
            Heard::Invalid
        );
    }

    #[test]
    fn a_peer_in_person_overrules_its_older_life() {
        let mut records = Records::new(&Identity::new(&keypair(0)), 8, MAX_KNOWN);
        records.hear(&record(1, 50, 2));
        records.meet(record(1, 1, 1));
        assert_eq!(records.addresses(&keypair(1).public().to_peer_id()).len(), 1);
        records.meet(record(1, 2, 1));
        assert_eq!(records.hear(&record(1, 50, 2)), Heard::Stale);
        assert_eq!(records.outdoing(&record(1, 2, 1)), Some(record(1, 50, 2)));
        records.meet(record(1, 51, 1));
        assert_eq!(records.outdoing(&record(1, 51, 1)), None);
    }

    #[test]
    fn hearsay_adds_to_the_peers_own_word_without_its_name() {
        let mut records = Records::new(&Identity::new(&keypair(0)), 2, MAX_KNOWN);
        let peer = keypair(1).public().to_peer_id();
        let named: Multiaddr = format!("/ip4/10.0.0.1/tcp/1/p2p/{peer}").parse().unwrap();
        assert_eq!(peer_in(&named), Some(peer));
        records.introduce(peer, &[named.clone(), named]);
        assert_eq!(records.addresses(&peer), ["/ip4/10.0.0.1/tcp/1".parse().unwrap()]);
        records.hear(&record(1, 1, 2));
        assert_eq!(records.addresses(&peer), record(1, 1, 2).record().addresses);
    }

    #[test]
    fn our_own_addresses_are_cut_to_what_others_take() {
        let long = |n| {
            format!("/dns4/{}{n}/tcp/1", "x".repeat(250))
                .parse::<Multiaddr>()
                .unwrap()
        };
        let short: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let cut = fitting([long(1), long(2), long(3), short.clone()].into_iter(), 8);
        assert_eq!(cut, [long(1), short.clone()]);
        assert_eq!(fitting(vec![short; 9].into_iter(), 8).len(), 8);
        let peer = keypair(1).public().to_peer_id();
        let (addresses, sequence) = (vec![long(1), long(2), long(3)], 1);
        let record = PeerRecord {
            peer,
            addresses,
            sequence,
        };
        assert!(!is_bounded(&SignedRecord::sign(record.clone(), &keypair(1)), 8));
        let record = PeerRecord {
            addresses: cut,
            ..record
        };
        assert!(is_bounded(&SignedRecord::sign(record, &keypair(1)), 8));
    }

    #[test]
    fn records_do_not_grow_while_the_ring_is_quiet() {
        let config = crate::Config {
            max_records: MAX_KNOWN,
            ..crate::Config::lan()
        };
        let mut ring = crate::ring::Ring::new(&config, &Identity::new(&keypair(u16::MAX)));
        let batch = (MAX_KNOWN / 16) as u16;
        for n in 0..=MAX_KNOWN as u16 + batch {
            assert!(!ring.is_dirty());
            ring.meet(record(n, 1, 0), false);
        }
        assert!(ring.is_dirty());
        ring.settle();
        assert!(!ring.is_dirty() && ring.records.known.len() <= MAX_KNOWN);
    }

    #[test]
    fn beyond_the_limit_the_oldest_that_nobody_needs_goes() {
        let mut records = Records::new(&Identity::new(&keypair(0)), 8, MAX_KNOWN);
        for n in 0..=MAX_KNOWN as u16 {
            records.meet(record(n, 1, 0));
        }
        let needed = keypair(0).public().to_peer_id();
        let gone = records.trim(|peer| *peer == needed);
        assert_eq!(gone.len(), 1 + MAX_KNOWN / 16);
        assert_eq!(gone[0], keypair(1).public().to_peer_id());
        assert!(records.get(&needed).is_some());
        assert!(records.trim(|_| false).is_empty());
    }

    #[test]
    fn the_oldest_go_again_and_again() {
        let mut records = Records::new(&Identity::new(&keypair(0)), 8, MAX_KNOWN);
        let (limit, batch) = (MAX_KNOWN as u16, MAX_KNOWN as u16 / 16 + 1);
        let mut newest = 0..limit;
        for turn in 0..3 {
            newest.by_ref().for_each(|n| records.meet(record(n, 1, 0)));
            records.meet(record(newest.end, 1, 0));
            let gone = records.trim(|_| false);
            let oldest: Vec<_> = (turn * batch..(turn + 1) * batch)
                .map(|n| keypair(n).public().to_peer_id())
                .collect();
            assert_eq!(gone, oldest, "turn {turn}");
            newest = newest.end + 1..newest.end + batch;
        }
    }
}
