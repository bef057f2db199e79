//! What this peer publishes itself: to all keepers, and again and again (protocol.md §3.1, D3 and D5).

use std::collections::BTreeSet;
use std::time::Duration;

use libp2p_identity::PeerId;
use rand::RngExt;

use super::io::{Event, NotPublished, Publication, Ticket};
use super::message::{Question, Refusal, Reply};
use super::record::{Entry, Record, Relation};
use super::{Context, Directory, Purpose, TRIES, Timer};
use crate::{Key, Time};

/// A record of ours.
#[derive(Debug)]
pub(super) struct Publishing {
    /// Of the order, until it is answered.
    ticket: Option<Ticket>,
    entry: Entry,
    /// Of this publication: tries so far; `None` while it rests.
    tries: Option<u32>,
    keepers: Vec<PeerId>,
    stored: BTreeSet<PeerId>,
    /// Who does not store it, and says so.
    declined: BTreeSet<PeerId>,
    /// What some keep instead.
    others: Vec<Entry>,
    refusal: Option<Refusal>,
}

impl Publishing {
    fn is_stored(&self) -> bool {
        !self.keepers.is_empty() && self.stored_at() > self.keepers.len() / 2
    }

    fn stored_at(&self) -> usize {
        self.keepers
            .iter()
            .filter(|keeper| self.stored.contains(keeper))
            .count()
    }

    /// Nobody is left to be asked again: all have answered, and the greater half have stored it, or some say why not. (That they are no keepers
    /// may be otherwise in a moment.)
    fn is_done(&self) -> bool {
        let says_why = !self.others.is_empty() || self.refusal.is_some();
        let answered = |keeper: &PeerId| self.has_answered(keeper);
        !self.keepers.is_empty() && (self.is_stored() || says_why) && self.keepers.iter().all(answered)
    }

    fn has_answered(&self, keeper: &PeerId) -> bool {
        self.stored.contains(keeper) || self.declined.contains(keeper)
    }

    fn why_not(&self) -> NotPublished {
        match (self.others.first(), self.refusal) {
            (Some(theirs), _) => NotPublished::Taken(Box::new(theirs.clone())),
            (None, Some(refusal)) => NotPublished::Refused(refusal),
            (None, None) => NotPublished::Silence,
        }
    }
}

impl Directory {
    pub(super) fn publish(&mut self, cx: &mut Context<'_>, ticket: Ticket, publication: Publication) {
        let key = publication.name.key(&self.network);
        let name = publication.name.clone();
        let before = self
            .publishing
            .get(&key)
            .map(|publishing| publishing.entry.record().number);
        let record = self.record_of(publication, before.unwrap_or(0) + 1);
        let why = if !record.is_within_limits() {
            Some(NotPublished::Refused(Refusal::Malformed))
        } else if before.is_none() && self.publishing.len() >= self.config.max_published {
            Some(NotPublished::TooMany)
        } else {
            None
        };
        if let Some(why) = why {
            return self.tell(Event::NotPublished { ticket, name, why });
        }
        self.stop_publishing(&key);
        let publishing = Publishing {
            ticket: Some(ticket),
            entry: Entry::sign(record, &self.network, &self.identity),
            tries: None,
            keepers: Vec::new(),
            stored: BTreeSet::new(),
            declined: BTreeSet::new(),
            others: Vec::new(),
            refusal: None,
        };
        self.publishing.insert(key, publishing);
        self.publish_on(cx, &key);
    }

    fn record_of(&self, publication: Publication, number: u64) -> Record {
        let mut signers = publication.signers;
        if !signers.contains(&self.peer) {
            signers.insert(0, self.peer);
        }
        let lifetime = match publication.tombstone {
            true => self.config.tombstone,
            false => self.config.lifetime(),
        };
        Record {
            name: publication.name,
            order: publication.order,
            number,
            publisher: self.peer,
            signers,
            lifetime: u32::try_from(lifetime.as_millis()).unwrap_or(u32::MAX),
            tombstone: publication.tombstone,
            body: publication.body,
        }
    }

    /// The record is published no more: if it was not replaced, it expires.
    pub(super) fn stop_publishing(&mut self, key: &Key) {
        self.publishing.remove(key);
        self.deadlines.cancel(Timer::Publish(*key));
        self.close(|purpose| matches!(purpose, Purpose::Publish(of, _) if of == key));
    }

    /// The next try of a publication, or the next publication.
    pub(super) fn publish_on(&mut self, cx: &mut Context<'_>, key: &Key) {
        let rests = self
            .publishing
            .get(key)
            .is_some_and(|publishing| publishing.tries.is_none());
        if rests {
            self.close(|purpose| matches!(purpose, Purpose::Publish(of, _) if of == key));
        }
        let Some(publishing) = self.publishing.get_mut(key) else {
            return;
        };
        match publishing.tries {
            Some(tries) if tries >= TRIES => return self.rest(cx, key),
            Some(tries) => publishing.tries = Some(tries + 1),
            None => {
                publishing.tries = Some(1);
                publishing.stored.clear();
                publishing.declined.clear();
                publishing.others.clear();
                publishing.refusal = None;
                if publishing.ticket.is_none() {
                    let mut record = publishing.entry.record().clone();
                    record.number += 1;
                    publishing.entry = Entry::sign(record, &self.network, &self.identity);
                }
            }
        }
        let (tries, number) = (publishing.tries.unwrap_or(1), publishing.entry.record().number);
        let question = Question::Publish(Box::new(publishing.entry.clone()));
        self.ask_nearest(Purpose::Publish(*key, number), *key, question);
        self.deadlines.set(Timer::Publish(*key), cx.now + self.pause(tries));
    }

    pub(super) fn publish_answered(
        &mut self,
        cx: &mut Context<'_>,
        (key, number): (Key, u64),
        from: PeerId,
        around: Option<Vec<PeerId>>,
        reply: Reply,
    ) {
        let first = around.is_some();
        let keepers = around.map(|around| self.keepers_among(&key, from, around));
        let current = |publishing: &&mut Publishing| publishing.entry.record().number == number;
        let Some(publishing) = self.publishing.get_mut(&key).filter(current) else {
            return;
        };
        publishing.keepers = keepers.unwrap_or_else(|| std::mem::take(&mut publishing.keepers));
        match reply {
            Reply::Stored => drop(publishing.stored.insert(from)),
            Reply::Refused(Refusal::NotNear) => drop(publishing.declined.insert(from)),
            Reply::Refused(refusal) => {
                publishing.declined.insert(from);
                publishing.refusal = Some(refusal);
            }
            Reply::Other(theirs) => {
                publishing.declined.insert(from);
                return self.on_other(cx, &key, *theirs, first.then_some(from));
            }
            _ => self.garbage += 1,
        }
        if first {
            self.publish_at_the_others(&key, from);
        }
        self.check_publication(cx, &key);
    }

    fn publish_at_the_others(&mut self, key: &Key, nearest: PeerId) {
        let Some(publishing) = self.publishing.get(key) else {
            return;
        };
        let number = publishing.entry.record().number;
        let question = Question::Publish(Box::new(publishing.entry.clone()));
        let missing = |peer: &&PeerId| **peer != nearest && !publishing.has_answered(peer);
        let others: Vec<PeerId> = publishing.keepers.iter().filter(missing).copied().collect();
        for peer in others {
            self.ask(Purpose::Publish(*key, number), peer, question.clone());
        }
    }

    /// A keeper has something else under our name.
    fn on_other(&mut self, cx: &mut Context<'_>, key: &Key, theirs: Entry, nearest: Option<PeerId>) {
        let Some(ours) = self
            .publishing
            .get(key)
            .map(|publishing| publishing.entry.record().clone())
        else {
            return;
        };
        // A liar that stands nearest must not keep us from the others.
        if let Some(nearest) = nearest {
            self.publish_at_the_others(key, nearest);
        }
        if !self.is_true(&theirs, &ours.name) {
            return;
        }
        let earlier_life = theirs.record().publisher == self.peer && theirs.record().order == ours.order;
        if earlier_life {
            return self.outdo(cx, key, theirs.record().number);
        }
        if theirs.record().relation(&ours) == Relation::Replaces {
            return self.superseded(key, theirs);
        }
        if let Some(publishing) = self.publishing.get_mut(key) {
            let known = publishing
                .others
                .iter()
                .any(|other| other.record().publisher == theirs.record().publisher);
            if !known && publishing.others.len() < self.config.keepers {
                publishing.others.push(theirs);
            }
        }
        self.check_publication(cx, key);
    }

    /// Somebody keeps a record of an earlier life of ours, or what we have just published: ours has to be newer still.
    fn outdo(&mut self, cx: &mut Context<'_>, key: &Key, number: u64) {
        if let Some(publishing) = self.publishing.get_mut(key)
            && number >= publishing.entry.record().number
        {
            let mut record = publishing.entry.record().clone();
            record.number = number.saturating_add(1);
            publishing.entry = Entry::sign(record, &self.network, &self.identity);
            publishing.tries = None;
            self.publish_on(cx, key);
        }
    }

    /// "A publisher whose record has been replaced is told so and stops" (D3).
    fn superseded(&mut self, key: &Key, theirs: Entry) {
        let Some(publishing) = self.publishing.get_mut(key) else {
            return;
        };
        let name = publishing.entry.record().name.clone();
        let event = match publishing.ticket {
            Some(ticket) => Event::NotPublished {
                ticket,
                name,
                why: NotPublished::Taken(Box::new(theirs)),
            },
            None => Event::Superseded { theirs },
        };
        self.stop_publishing(key);
        self.tell(event);
    }

    /// Tells the layer above as soon as the greater half has it; rests when nobody is left to be asked.
    fn check_publication(&mut self, cx: &mut Context<'_>, key: &Key) {
        let Some(publishing) = self.publishing.get_mut(key) else {
            return;
        };
        let done = publishing.is_done();
        if publishing.is_stored()
            && let Some(ticket) = publishing.ticket.take()
        {
            let name = publishing.entry.record().name.clone();
            self.tell(Event::Published { ticket, name });
        }
        if done {
            self.rest(cx, key);
        }
    }

    /// The end of a publication; the next one comes in time, unless this was the last.
    fn rest(&mut self, cx: &mut Context<'_>, key: &Key) {
        let Some(publishing) = self.publishing.get_mut(key) else {
            return;
        };
        publishing.tries = None;
        let (stored, tombstone) = (publishing.is_stored(), publishing.entry.record().tombstone);
        if let Some(ticket) = publishing.ticket {
            let (name, why) = (publishing.entry.record().name.clone(), publishing.why_not());
            self.stop_publishing(key);
            return self.tell(Event::NotPublished { ticket, name, why });
        }
        for theirs in std::mem::take(&mut publishing.others) {
            self.out.push(super::Output::Event(Event::Conflict { theirs }));
        }
        if tombstone {
            return self.stop_publishing(key);
        }
        let at = self.next_publication(cx, stored);
        self.deadlines.set(Timer::Publish(*key), at);
    }

    /// "again every `refresh` (ten minutes, jittered); while fewer than the greater half of the keepers have stored it, sooner" (D5).
    fn next_publication(&self, cx: &mut Context<'_>, stored: bool) -> Time {
        let pause: Duration = if stored {
            self.config.refresh
        } else {
            self.config.refresh / 8
        };
        cx.now + pause.mul_f64(cx.rng.random_range(0.75..1.0))
    }
}
