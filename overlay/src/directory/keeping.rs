//! A keeper's answers (protocol.md §3.1, D3 and D5 to D8).

use std::time::Duration;

use libp2p_identity::PeerId;

use super::claims::Grant;
use super::message::{Aged, MAX_HANDED, MAX_OFFERED, Question, Refusal, Reply};
use super::record::{Entry, Name};
use super::store::{Bringer, Taken};
use super::{Context, Directory, Timer};
use crate::{Key, Rule, Time};

impl Directory {
    /// Answers a question; `from` is authenticated by its connection or its signature.
    pub(crate) fn answer(&mut self, cx: &mut Context<'_>, from: PeerId, question: Question) -> Reply {
        if !self.around.joined() {
            return Reply::Refused(Refusal::NotNear);
        }
        match question {
            Question::Near => Reply::Noted,
            Question::Find(name) => self.on_find(cx.now, &name),
            Question::Claim { name, nonce } => self.on_claim(cx.now, from, &name, nonce),
            Question::Unclaim { name, nonce } => self.on_unclaim(from, &name, nonce),
            Question::Publish(entry) => self.on_publish(cx.now, from, &entry),
            Question::Offer(offered) => self.on_offer(from, &offered),
            Question::Handover(handed) => self.on_handover(cx.now, from, &handed),
        }
    }

    fn malformed(&mut self) -> Reply {
        self.garbage += 1;
        Reply::Refused(Refusal::Malformed)
    }

    fn refuse(&mut self, refusal: Refusal) -> Reply {
        match refusal {
            Refusal::Malformed => self.garbage += 1,
            Refusal::Full | Refusal::TooMany => self.dropped += 1,
            Refusal::NotNear | Refusal::Claimed => {}
        }
        Reply::Refused(refusal)
    }

    fn on_find(&mut self, now: Time, name: &Name) -> Reply {
        if !name.is_within_limits() {
            return self.malformed();
        }
        let key = name.key(&self.network);
        if let Some(kept) = self.store.live(&key) {
            return Reply::Record(Box::new(kept.entry.clone()));
        }
        match self.claims.by(now, &key) {
            Some(by) => Reply::Claimed { by },
            None => Reply::Nobody {
                settled: self.around.is_settled(now) && self.around.keeps(&key),
            },
        }
    }

    /// "Each settled keeper without a record grants it to one claimant at a time, […] and says which incarnation a tombstone remembers"
    /// (D7). What has expired is remembered, too.
    fn on_claim(&mut self, now: Time, from: PeerId, name: &Name, nonce: u64) -> Reply {
        if !name.is_within_limits() {
            return self.malformed();
        }
        let key = name.key(&self.network);
        if let Some(kept) = self.store.live(&key).filter(|kept| !kept.entry.record().tombstone) {
            return Reply::Record(Box::new(kept.entry.clone()));
        }
        if !self.around.keeps(&key) {
            return self.refuse(Refusal::NotNear);
        }
        if !self.around.is_settled(now) {
            return Reply::Unsettled;
        }
        match self.claims.grant(&self.config, now, key, from, nonce) {
            Grant::Until(until) => {
                self.deadlines.set(Timer::Claim(key), until);
                let incarnation = self.store.incarnation(&key);
                Reply::Granted { incarnation }
            }
            Grant::Taken(by) => Reply::Claimed { by },
            Grant::Refused(refusal) => self.refuse(refusal),
        }
    }

    fn on_unclaim(&mut self, from: PeerId, name: &Name, nonce: u64) -> Reply {
        let key = name.key(&self.network);
        self.claims.give_back(&key, from, nonce);
        if self.claims.expire(Time::ZERO, &key).is_none() {
            self.deadlines.cancel(Timer::Claim(key));
        }
        Reply::Noted
    }

    /// "Only its publisher publishes a record" (D5); "a keeper takes a first record from the claimant only" (D7).
    fn on_publish(&mut self, now: Time, from: PeerId, entry: &Entry) -> Reply {
        let record = entry.record();
        if record.publisher != from || !record.is_within_limits() {
            return self.malformed();
        }
        let key = record.name.key(&self.network);
        if !self.around.keeps(&key) {
            return self.refuse(Refusal::NotNear);
        }
        let first = self.store.live(&key).is_none();
        if first && self.claims.by(now, &key).is_some_and(|by| by != from) {
            return self.refuse(Refusal::Claimed);
        }
        match self.take(now, key, entry, Bringer::Publisher) {
            Taken::Stored(_) => {
                self.claims.end(&key);
                self.deadlines.cancel(Timer::Claim(key));
                Reply::Stored
            }
            Taken::Other(other) => Reply::Other(other),
            Taken::Over => self.malformed(),
            Taken::Refused(refusal) => self.refuse(refusal),
        }
    }

    /// Of what is offered, what is not here, or is another publication here: then both ends will come to the same.
    fn on_offer(&mut self, from: PeerId, offered: &[(Key, u64)]) -> Reply {
        if !self.is_welcome(&from) {
            return self.refuse(Refusal::NotNear);
        }
        if offered.len() > MAX_OFFERED {
            return self.malformed();
        }
        let (kept, declined): (Vec<_>, Vec<_>) = offered.iter().partition(|(key, _)| self.around.keeps(key));
        let unknown = |(key, digest): &(Key, u64)| self.store.digest(key) != Some(*digest);
        Reply::Want {
            wanted: kept.into_iter().filter(unknown).map(|(key, _)| key).collect(),
            declined: declined.into_iter().map(|(key, _)| key).collect(),
        }
    }

    /// "What the other end holds against one of them it sends back" (D8).
    fn on_handover(&mut self, now: Time, from: PeerId, handed: &[Aged]) -> Reply {
        if !self.is_welcome(&from) {
            return self.refuse(Refusal::NotNear);
        }
        let (mut others, mut bytes) = (Vec::new(), 0);
        for other in handed.iter().filter_map(|aged| self.take_by_hand(now, from, aged)) {
            bytes += other.entry.record().weight();
            if bytes <= MAX_HANDED {
                others.push(other);
            }
        }
        Reply::Handed(others)
    }

    /// "Only a leaf's hand-over is taken" (D8).
    pub(super) fn is_welcome(&self, from: &PeerId) -> bool {
        self.around.is_leaf(from) || !Rule::DirectoryLeavesHandOver.holds()
    }

    /// Takes a record that somebody else than its publisher brings; what is here instead, if it is.
    pub(super) fn take_by_hand(&mut self, now: Time, from: PeerId, aged: &Aged) -> Option<Aged> {
        let record = aged.entry.record();
        if !record.is_within_limits() {
            self.malformed();
            return None;
        }
        let key = record.name.key(&self.network);
        if !self.around.keeps(&key) {
            return None;
        }
        let age = Duration::from_millis(u64::from(aged.age));
        let before = self.store.digest(&key);
        match self.take(now, key, &aged.entry, Bringer::Keeper(age)) {
            Taken::Stored(_) => {
                if before != self.store.digest(&key) {
                    self.offer_on(now, &key, &from);
                }
                None
            }
            Taken::Over => None,
            Taken::Refused(refusal) => {
                self.refuse(refusal);
                None
            }
            Taken::Other(entry) => {
                let age = self.store.live(&key)?.age(now);
                Some(Aged { entry: *entry, age })
            }
        }
    }

    fn take(&mut self, now: Time, key: Key, entry: &Entry, bringer: Bringer) -> Taken {
        let (network, scheme) = (&self.network, self.identity.scheme());
        let genuine = |entry: &Entry| entry.is_genuine(network, scheme);
        let taken = self.store.take(&self.config, now, key, entry, bringer, genuine);
        if let Some(evicted) = self.store.evicted.take() {
            self.deadlines.cancel(Timer::Expire(evicted));
        }
        if let Taken::Stored(until) = taken {
            self.deadlines.set(Timer::Expire(key), until);
        }
        taken
    }

    pub(super) fn expire(&mut self, now: Time, key: &Key) {
        if let Some(at) = self.store.expire(now, key) {
            self.deadlines.set(Timer::Expire(*key), at);
        }
    }

    /// Keeps a record no longer.
    pub(super) fn forget(&mut self, key: &Key) {
        self.store.remove(key);
        self.deadlines.cancel(Timer::Expire(*key));
    }
}
