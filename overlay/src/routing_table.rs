//! The routing table: for each length of shared prefix, somebody for every other next digit.
//!
//! A message that reaches a peer sharing `row` digits with its target finds here somebody who shares one more, so it arrives after about
//! log₄ N hops (protocol.md §3: "a **routing table** with rows by shared prefix"). One entry per row and digit is enough, and each is a
//! monitored link, so the choice matters: everybody must not choose the same few, and a link should serve both its ends. If `a` fits a
//! row of `b` then `b` fits the same row of `a`; so a leaf comes first, which is a neighbour anyway, and then the peer with the
//! least *affinity number*, a hash of both keys that is the same seen from either end. Half of all choices are mutual then, and the peer
//! through which everybody joined is nobody's favourite. The table is a function of the peers that are known.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use crate::{Key, Rule};

/// Rows by shared digits, one entry per digit.
#[derive(Clone, Debug)]
pub(crate) struct RoutingTable {
    own: Key,
    bits: u32,
    rows: Vec<Vec<Option<PeerId>>>,
}

impl RoutingTable {
    /// An empty table around the key `own`, with digits of `bits` bits.
    pub(crate) fn new(own: Key, bits: u32) -> RoutingTable {
        RoutingTable {
            own,
            bits,
            rows: Vec::new(),
        }
    }

    /// Chooses anew among the peers that are known to be on the ring; `is_leaf` says who is a neighbour anyway. The last row is the one of
    /// the peer that shares most digits.
    pub(crate) fn choose(&mut self, candidates: &BTreeMap<Key, PeerId>, is_leaf: impl Fn(&PeerId) -> bool) {
        self.rows.clear();
        for row in 0.. {
            if self.range(candidates, row, None).next().is_none() {
                break;
            }
            let entry = |digit| self.best(candidates, row, digit, &is_leaf);
            let entries = self.digits().map(entry).collect();
            self.rows.push(entries);
        }
    }

    fn best(
        &self,
        candidates: &BTreeMap<Key, PeerId>,
        row: usize,
        digit: u8,
        is_leaf: &impl Fn(&PeerId) -> bool,
    ) -> Option<PeerId> {
        if digit == self.own.digit(row, self.bits) {
            return None;
        }
        let fitting = self.range(candidates, row, Some(digit));
        // Without it: the first that fits, which is the same one for everybody.
        let affinity = |key| {
            if !Rule::Affinity.holds() {
                0
            } else {
                affinity(&self.own, key)
            }
        };
        let best = fitting.min_by_key(|(key, peer)| (!is_leaf(peer), affinity(key)));
        best.map(|(_, peer)| *peer)
    }

    /// The entries of a row with their digits.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (u8, PeerId)> {
        let entries = self.rows.get(row).into_iter().flatten();
        (0u8..)
            .zip(entries)
            .filter_map(|(digit, entry)| Some((digit, (*entry)?)))
    }

    /// How many rows have entries, empty ones between them included.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// All entries, the first row first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &PeerId> {
        self.rows.iter().flatten().flatten()
    }

    /// All digits that there are.
    pub(crate) fn digits(&self) -> impl Iterator<Item = u8> + use<> {
        (0..1u16 << self.bits).map(|digit| digit as u8)
    }

    /// Whether keys have so many digits that there can be such a row.
    pub(crate) fn has_row(&self, row: usize) -> bool {
        row < 256 / self.bits as usize
    }

    /// In which row a key belongs.
    pub(crate) fn row_of(&self, key: &Key) -> usize {
        self.own.shared_digits(key, self.bits)
    }

    /// Those of `candidates` that fit a row (and one of its digits, if given; else all that share at least `row` digits).
    pub(crate) fn range<'a>(
        &self,
        candidates: &'a BTreeMap<Key, PeerId>,
        row: usize,
        digit: Option<u8>,
    ) -> impl Iterator<Item = (&'a Key, &'a PeerId)> + use<'a> {
        let (low, high) = bounds(&self.own, self.bits, row, digit);
        candidates.range(low..=high)
    }
}

/// A number that both ends compute alike, and that says nothing else: splitmix64 of what tells their keys apart.
fn affinity(a: &Key, b: &Key) -> u64 {
    let mut mixed = (a.tag().0 ^ b.tag().0).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The smallest and the largest key that share the first `row` digits of `own` and go on with `digit`.
fn bounds(own: &Key, bits: u32, row: usize, digit: Option<u8>) -> (Key, Key) {
    let (mut low, mut high) = (*own.as_bytes(), *own.as_bytes());
    let fixed = row * bits as usize;
    for bit in fixed..256 {
        low[bit / 8] &= !(0x80 >> (bit % 8));
        high[bit / 8] |= 0x80 >> (bit % 8);
    }
    if let Some(digit) = digit {
        let shift = 8 - bits as usize - fixed % 8;
        let mask = ((1u16 << bits) - 1) as u8;
        low[fixed / 8] |= digit << shift;
        high[fixed / 8] &= !((mask ^ digit) << shift);
    }
    (Key::from_bytes(low), Key::from_bytes(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(count: u8) -> Vec<(Key, PeerId)> {
        let peer = |n| {
            crate::Keypair::ed25519_from_bytes([n; 32])
                .unwrap()
                .public()
                .to_peer_id()
        };
        (1..=count).map(peer).map(|peer| (Key::of(&peer), peer)).collect()
    }

    #[test]
    fn a_range_is_all_that_share_the_digits() {
        let all = peers(60);
        let own = all[0].0;
        let table = RoutingTable::new(own, 2);
        let candidates: BTreeMap<_, _> = all[1..].iter().copied().collect();
        for row in 0..4 {
            for digit in 0..4 {
                let fits = |key: &Key| own.shared_digits(key, 2) >= row && key.digit(row, 2) == digit;
                let ranged: Vec<_> = table
                    .range(&candidates, row, Some(digit))
                    .map(|(key, _)| *key)
                    .collect();
                let filtered: Vec<_> = candidates.keys().copied().filter(fits).collect();
                assert_eq!(ranged, filtered, "row {row} digit {digit}");
            }
        }
    }

    #[test]
    fn every_place_that_somebody_fits_is_taken_by_one_who_fits() {
        let all = peers(60);
        let own = all[0].0;
        let mut table = RoutingTable::new(own, 2);
        let candidates: BTreeMap<_, _> = all[1..].iter().copied().collect();
        table.choose(&candidates, |_| false);
        for key in candidates.keys() {
            let row = table.row_of(key);
            let digit = key.digit(row, 2);
            let entry = table
                .row(row)
                .find(|(at, _)| *at == digit)
                .map(|(_, peer)| Key::of(&peer));
            let entry = entry.expect("a place that somebody fits is not empty");
            assert_eq!((table.row_of(&entry), entry.digit(row, 2)), (row, digit));
        }
    }

    /// Both ends of every version have to compute the same number. These two are the first outputs of splitmix64 for the seeds 0 and 1.
    #[test]
    fn affinity_is_splitmix64_of_what_differs() {
        let key = |last: u8| {
            let mut bytes = [7; 32];
            bytes[7] = last;
            Key::from_bytes(bytes)
        };
        assert_eq!(affinity(&key(2), &key(2)), 0xe220_a839_7b1d_cdaf);
        assert_eq!(affinity(&key(2), &key(3)), 0x910a_2dec_8902_5cc1);
        assert_eq!(affinity(&key(3), &key(2)), 0x910a_2dec_8902_5cc1);
    }

    #[test]
    fn there_are_as_many_rows_as_the_nearest_peer_needs_and_as_keys_have_digits() {
        let all = peers(60);
        let mut table = RoutingTable::new(all[0].0, 2);
        assert_eq!(table.rows(), 0);
        let candidates: BTreeMap<_, _> = all[1..].iter().copied().collect();
        table.choose(&candidates, |_| false);
        let last = candidates.keys().map(|key| table.row_of(key)).max();
        assert_eq!(Some(table.rows()), last.map(|row| row + 1));
        for (bits, rows) in [(1, 256), (2, 128), (4, 64)] {
            let table = RoutingTable::new(all[0].0, bits);
            assert!(table.has_row(rows - 1) && !table.has_row(rows), "{bits} bits");
        }
    }

    #[test]
    fn a_leaf_comes_first() {
        let all = peers(60);
        let mut table = RoutingTable::new(all[0].0, 2);
        let candidates: BTreeMap<_, _> = all[1..].iter().copied().collect();
        table.choose(&candidates, |_| false);
        let (digit, chosen) = table.row(0).next().expect("an entry");
        let fits = |(key, peer): &(&Key, &PeerId)| key.digit(0, 2) == digit && **peer != chosen;
        let leaf = *candidates.iter().find(fits).unwrap().1;
        table.choose(&candidates, |peer| *peer == leaf);
        assert_eq!(table.row(0).next(), Some((digit, leaf)));
    }

    /// Every peer knows all others: nobody is in many tables, and many choices are mutual.
    #[test]
    fn choices_are_spread_and_often_mutual() {
        let all = peers(200);
        let tables: Vec<_> = all
            .iter()
            .map(|(own, peer)| {
                let mut table = RoutingTable::new(*own, 2);
                let others = all.iter().filter(|(_, other)| other != peer).copied().collect();
                table.choose(&others, |_| false);
                table
            })
            .collect();
        let chosen_by = |peer: &PeerId| {
            tables
                .iter()
                .filter(|table| table.entries().any(|entry| entry == peer))
                .count()
        };
        let most = all.iter().map(|(_, peer)| chosen_by(peer)).max().unwrap();
        assert!(most <= 30, "one peer is in {most} of 200 tables");
        let index = |peer: &PeerId| all.iter().position(|(_, other)| other == peer).unwrap();
        let mut choices = 0;
        let mut mutual = 0;
        for ((_, peer), table) in all.iter().zip(&tables) {
            for entry in table.entries() {
                choices += 1;
                mutual += usize::from(tables[index(entry)].entries().any(|back| back == peer));
            }
        }
        assert!(mutual * 5 > choices * 2, "{mutual} of {choices} choices are mutual");
    }

    #[test]
    fn who_is_no_candidate_any_more_is_replaced_and_empty_rows_vanish() {
        let all = peers(8);
        let mut table = RoutingTable::new(all[0].0, 2);
        let mut candidates: BTreeMap<_, _> = all[1..].iter().copied().collect();
        while let Some((_, peer)) = candidates.pop_first() {
            table.choose(&candidates, |_| false);
            assert!(table.entries().all(|entry| *entry != peer));
        }
        assert_eq!(table.rows(), 0);
    }
}
