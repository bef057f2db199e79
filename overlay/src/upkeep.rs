//! Upkeep of the ring: repair after a loss, audit now and then, and the way back together after a partition.
//!
//! A lost leaf is replaced at once from what the farthest leaf of that side knows. Besides, peers compare notes in rounds: one leaf set and
//! one row per round while things change, rarely when they do not. And each round one peer that was lost, or a bootstrap peer that
//! the ring does not reach any more, is tried again, so that two rings become one when a partition heals (scenario 18).

use std::time::Duration;

use indexmap::{IndexMap, IndexSet};
use libp2p_identity::PeerId;
use rand::RngExt;

use crate::leaf_set::Side;
use crate::links::Link;
use crate::mail::Question;
use crate::message::{MAX_RECORDS, OneShot};
use crate::overlay::{Overlay, Timer};
use crate::record::SignedRecord;
use crate::records::Heard;
use crate::{DeathProof, DownReason, Key, LinkId, Rule};

/// Rounds without a change after which only one round in [`QUIET_STRIDE`] compares notes.
const QUIET_AFTER: u32 = 3;
const QUIET_STRIDE: u32 = 4;

/// One round in so many asks whether a bootstrap peer is still on the same ring.
const BOOTSTRAP_STRIDE: u32 = 8;

/// What has to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Repair {
    Leaves(Side),
    Row(usize),
}

/// The state of the upkeep.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Leaf set or table have changed, and the links have not been told.
    pub(crate) changed: bool,
    repairs: IndexSet<Repair>,
    round: u32,
    quiet: u32,
    /// A bootstrap peer that was asked through the overlay and has not answered.
    pub(crate) unheard: Option<PeerId>,
}

impl Overlay {
    /// A link is up: its peer is not gone. A leaf is told that we are here, and asked whom it knows.
    pub(crate) fn on_link_up(&mut self, link: LinkId, peer: &PeerId) {
        let alone = self.links.iter().len() == 1;
        self.ring.linked(peer);
        let fresh = self.join.is_fresh(self.now, self.config.link_lifetime());
        if fresh || (self.joined() && self.ring.leaves().contains(peer)) {
            self.ask_leaves(*peer);
        }
        self.join_over(link, peer, alone);
    }

    /// A link is down: whether its peer is gone depends on the reason.
    pub(crate) fn on_link_down(&mut self, peer: &PeerId, reason: DownReason) {
        match reason {
            // It is another life of the same peer; its `Hello` says whether it has joined.
            DownReason::Dead(DeathProof::Restarted) | DownReason::Reset => {}
            DownReason::Unneeded | DownReason::Shutdown => {}
            // Perhaps it only closed too early; the links try again, and say if it is in vain.
            DownReason::Closed => {}
            DownReason::Silent | DownReason::Dead(_) | DownReason::Violation | DownReason::Overflow => {
                self.lose(peer, self.long_bar());
            }
        }
        if self.joined() && !self.links.iter().any(Link::usable) {
            let soon = self.jittered(self.config.retry_pause.0);
            self.deadlines.set_earlier(Timer::Upkeep, self.now + soon);
        }
    }

    /// How long hearsay cannot bring back a peer that seems dead: until those who say so have noticed as well.
    pub(crate) fn long_bar(&self) -> Duration {
        self.config.link_lifetime() * 2
    }

    /// A peer is gone: it leaves the leaf set and the table, and its places are to be filled.
    pub(crate) fn lose(&mut self, peer: &PeerId, bar: Duration) {
        let side = self.ring.leaves().side_of(peer);
        let entry = self.ring.table().entries().any(|entry| entry == peer);
        let row = entry.then(|| self.ring.table().row_of(&Key::of(peer)));
        self.forget_contact(peer);
        self.join.lose(peer);
        if self.ring.lose(self.now, peer, bar, self.config.maintenance_interval) {
            if side.is_some() {
                self.directory.lost(self.now);
            }
            self.upkeep.repairs.extend(side.map(Repair::Leaves));
            self.upkeep.repairs.extend(row.map(Repair::Row));
        }
    }

    /// Asks those who are likely to know for replacements: the farthest leaf of the side with the gap, a peer of the row with the gap.
    pub(crate) fn repair(&mut self) {
        let repairs = std::mem::take(&mut self.upkeep.repairs);
        for repair in repairs
            .into_iter()
            .filter(|_| self.join.is_joined())
            .collect::<Vec<_>>()
        {
            match repair {
                Repair::Leaves(side) => {
                    let farthest = self
                        .ring
                        .leaves()
                        .side(side)
                        .iter()
                        .rev()
                        .find(|leaf| self.is_usable(leaf));
                    if let Some(leaf) = farthest.copied() {
                        self.ask_leaves(leaf);
                    }
                }
                Repair::Row(row) => self.ask_row(row),
            }
        }
    }

    /// Computes leaf set and table anew; a new leaf with which we have a link already is asked for its own.
    pub(crate) fn refresh_ring(&mut self) {
        let before: IndexSet<PeerId> = self.ring.leaves().members().copied().collect();
        if !self.ring.settle() {
            return;
        }
        self.upkeep.changed = true;
        self.directory.stale = true;
        self.upkeep.quiet = 0;
        let leaves: IndexSet<PeerId> = self.ring.leaves().members().copied().collect();
        for leaf in leaves.difference(&before) {
            if self.join.is_joined() && self.is_usable(leaf) {
                self.ask_leaves(*leaf);
            }
        }
    }

    /// Tells every neighbour that we have a place on the ring, or that our record is another one, and hears whom they know.
    pub(crate) fn announce(&mut self) {
        let neighbours: Vec<_> = self.links.iter().filter(|link| link.usable()).map(Link::peer).collect();
        for peer in neighbours {
            self.ask_leaves(peer);
        }
    }

    /// One round of maintenance.
    pub(crate) fn on_upkeep_timer(&mut self) {
        if !self.joined() {
            return;
        }
        self.upkeep.round = self.upkeep.round.wrapping_add(1);
        self.upkeep.quiet = self.upkeep.quiet.saturating_add(1);
        let alone = !self.links.iter().any(Link::usable);
        if self.upkeep.quiet <= QUIET_AFTER || self.upkeep.round.is_multiple_of(QUIET_STRIDE) {
            self.compare_notes();
        }
        self.reach_out(alone);
        let pause = self.upkeep_pause(alone);
        let pause = self.jittered(pause);
        self.deadlines.set(Timer::Upkeep, self.now + pause);
    }

    fn upkeep_pause(&self, alone: bool) -> Duration {
        if alone {
            self.join.alone_pause(&self.config)
        } else {
            self.config.maintenance_interval
        }
    }

    fn compare_notes(&mut self) {
        let leaves: IndexSet<_> = self
            .ring
            .leaves()
            .members()
            .filter(|leaf| self.is_usable(leaf))
            .copied()
            .collect();
        if !leaves.is_empty() {
            let at = self.rng.random_range(0..leaves.len());
            self.ask_leaves(leaves[at]);
        }
        let rows = self.ring.table().rows();
        if rows > 0 {
            let row = self.rng.random_range(0..rows);
            self.ask_row(row);
        }
    }

    /// Tries one peer that the ring has lost.
    fn reach_out(&mut self, alone: bool) {
        let pause = self.upkeep_pause(alone);
        let due = self.ring.gone.due(self.now, pause);
        if let Some(record) = &due {
            let peer = record.record().peer;
            let addresses = record.record().addresses.clone();
            self.request(
                peer,
                addresses,
                OneShot::Leaves(self.record.clone()),
                Question::Records(peer),
            );
        }
        if alone || self.upkeep.unheard.is_some() {
            self.upkeep.unheard = None;
            self.dial_bootstrap();
        } else if self.is_turn_of_bootstrap() {
            self.look_for_bootstrap();
        }
    }

    /// Who got its place without a bootstrap peer, as the first or over links that others made, or has lost one since, looks for each of them first:
    /// there may be two rings.
    fn is_turn_of_bootstrap(&self) -> bool {
        let first_turn = self.join.misses_bootstrap() && Rule::BootstrapAfterJoining.holds();
        first_turn || self.upkeep.round.is_multiple_of(BOOTSTRAP_STRIDE)
    }

    /// Asks a bootstrap peer, through the overlay, for its leaves: who answers is on our ring. Who does not is dialled next round.
    fn look_for_bootstrap(&mut self) {
        if !Rule::BootstrapRounds.holds() {
            return;
        }
        match self.next_bootstrap_peer() {
            Some(peer) if self.links.by_peer(&peer).is_some() => {}
            Some(peer) => {
                self.upkeep.unheard = Some(peer);
                self.ask_routed(peer, OneShot::Leaves(self.record.clone()), Question::Records(peer));
            }
            None => self.dial_bootstrap(),
        }
    }

    /// Asks a neighbour who stands next to it, and tells it that we have a place.
    pub(crate) fn ask_leaves(&mut self, peer: PeerId) {
        self.request(
            peer,
            Vec::new(),
            OneShot::Leaves(self.record.clone()),
            Question::Records(peer),
        );
    }

    fn ask_row(&mut self, row: usize) {
        let in_row = self
            .ring
            .table()
            .row(row)
            .map(|(_, peer)| peer)
            .find(|peer| self.is_usable(peer));
        let other = || self.ring.leaves().members().copied().find(|leaf| self.is_usable(leaf));
        if let (Some(peer), Ok(row)) = (in_row.or_else(other), u8::try_from(row)) {
            self.request(peer, Vec::new(), OneShot::Row(row), Question::Records(peer));
        }
    }

    /// Takes records that somebody passed on, of peers on the ring. Each proves itself by its signature; false ones are counted.
    pub(crate) fn absorb(&mut self, records: &[SignedRecord]) {
        for record in records.iter().take(MAX_RECORDS) {
            let peer = record.record().peer;
            match self.ring.hear(self.now, record) {
                _ if peer == self.peer => self.outdo(record),
                Heard::Invalid => self.garbage += 1,
                Heard::News => self.tell_addresses(&peer),
                Heard::Known | Heard::Stale => {}
            }
        }
    }

    /// Somebody holds a record of an earlier life of ours, which would pass for the newer one: ours has to be newer still.
    fn outdo(&mut self, theirs: &SignedRecord) {
        let sequence = theirs.record().sequence;
        if *theirs != self.record
            && sequence >= self.record.record().sequence
            && theirs.verified(self.identity.scheme()).is_some()
        {
            let addresses = self.record.record().addresses.clone();
            self.sign_record(addresses, sequence.saturating_add(1));
        }
    }

    /// The answer to `Leaves`: ourselves, our leaf set, and of our neighbours those nearest to the asker. All of them are alive as
    /// far as we know. Empty while we have no place.
    pub(crate) fn leaves_for(&self, asker: &SignedRecord) -> Vec<SignedRecord> {
        if !self.joined() {
            return Vec::new();
        }
        let key = Key::of(&asker.record().peer);
        let mut found: IndexMap<PeerId, SignedRecord> = IndexMap::new();
        let leaves = self.ring.leaf_records();
        for record in [self.record.clone()]
            .into_iter()
            .chain(leaves)
            .chain(self.nearest_neighbours(&key))
        {
            found.entry(record.record().peer).or_insert(record);
        }
        found.shift_remove(&asker.record().peer);
        let newer = self.ring.records.outdoing(asker);
        newer.into_iter().chain(found.into_values()).take(MAX_RECORDS).collect()
    }

    fn nearest_neighbours(&self, key: &Key) -> Vec<SignedRecord> {
        let on_ring = self
            .links
            .iter()
            .filter(|link| link.usable() && self.ring.has(&link.peer()));
        let mut near: Vec<_> = on_ring
            .map(|link| (link.key().ring_distance(key), link.peer()))
            .collect();
        near.sort_unstable_by_key(|(distance, _)| *distance);
        near.truncate(2 * self.config.leaves_per_side);
        let record = |(_, peer): &(_, PeerId)| self.ring.records.get(peer).map(|known| known.record.clone());
        near.iter().filter_map(record).collect()
    }

    pub(crate) fn is_usable(&self, peer: &PeerId) -> bool {
        self.links.by_peer(peer).is_some_and(Link::usable)
    }
}
