//! Hand-over: when its leaf set changes, a keeper offers its records to those who are keepers now and were not (protocol.md §3.1, D8).

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;
use rand::RngExt;

use super::around::Around;
use super::message::{Aged, MAX_HANDED, MAX_OFFERED, Question, Reply};
use super::store::Kept;
use super::{AskId, Context, Directory, Purpose, Timer};
use crate::{Key, Rule, Time};

/// "Who does not answer is offered again, five times in all."
const OFFERS: u32 = 5;

/// What is under way with one keeper.
#[derive(Debug, Default)]
struct Round {
    tries: u32,
    /// The question that waits for an answer, and what it is about.
    ask: Option<AskId>,
    keys: Vec<Key>,
    /// Not before.
    next: Time,
}

/// The keepers that are owed something.
#[derive(Debug, Default)]
pub(super) struct Debts {
    rounds: BTreeMap<PeerId, Round>,
}

impl Debts {
    pub(super) fn len(&self) -> usize {
        self.rounds.len()
    }

    /// A question came to nothing: the next one has its time.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        if let Some(round) = self.rounds.get_mut(peer) {
            round.ask = None;
        }
    }
}

impl Directory {
    /// The leaf set has changed: what is kept here is owed to whoever has become a keeper of it.
    pub(super) fn owe_newcomers(&mut self, cx: &mut Context<'_>, before: &Around) {
        let gone = |peer: &&PeerId| !self.around.is_leaf(peer);
        for peer in self.debts.rounds.keys().filter(gone).copied().collect::<Vec<_>>() {
            self.end_round(&peer);
        }
        let (around, own) = (&self.around, self.peer);
        for (key, kept) in self.store.all_mut() {
            let now: BTreeSet<PeerId> = around.keepers(key).into_iter().collect();
            let was: BTreeSet<PeerId> = before.keepers(key).into_iter().collect();
            kept.owed.retain(|peer| now.contains(peer));
            kept.handed &= !kept.owed.is_empty();
            let leaving = !around.keeps(key);
            let newcomers = now
                .iter()
                .filter(|peer| **peer != own && (leaving || !was.contains(*peer)));
            match Rule::DirectoryHandover.holds() {
                false => kept.handed = true,
                true => kept.owed.extend(newcomers),
            }
        }
        self.let_go();
        if self.store.all().any(|(_, kept)| !kept.owed.is_empty()) {
            // At different moments: who comes second finds that it is not wanted any more.
            let pause = self.ping_timeout.mul_f64(cx.rng.random_range(0.25..1.25));
            self.deadlines.set_earlier(Timer::Handover, cx.now + pause);
        }
    }

    /// "◆ What is new to a keeper it offers on to the others" (D8): whoever brought it may not know them.
    pub(super) fn offer_on(&mut self, now: Time, key: &Key, from: &PeerId) {
        let (own, others) = (self.peer, self.around.keepers(key));
        let others = others.into_iter().filter(|peer| *peer != own && peer != from);
        let kept = self.store.all_mut().find(|(other, _)| *other == key);
        if let Some((_, kept)) = kept.filter(|_| Rule::DirectoryOfferedOn.holds()) {
            kept.owed.extend(others);
            self.deadlines.set_earlier(Timer::Handover, now + self.ping_timeout / 2);
        }
    }

    /// "Who is no keeper any more forgets a record when those who are have answered", one of them at least.
    fn let_go(&mut self) {
        if !self.around.joined() {
            return;
        }
        let done = |(key, kept): &(&Key, &Kept)| kept.owed.is_empty() && kept.handed && !self.around.keeps(key);
        let done = self.store.all().filter(done);
        for key in done.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.forget(&key);
        }
    }

    /// Goes on with everybody who is owed something.
    pub(super) fn hand_over(&mut self, cx: &mut Context<'_>) {
        let owed: BTreeSet<PeerId> = self
            .store
            .all()
            .flat_map(|(_, kept)| kept.owed.iter().copied())
            .collect();
        let gone: Vec<PeerId> = self
            .debts
            .rounds
            .keys()
            .filter(|peer| !owed.contains(peer))
            .copied()
            .collect();
        for peer in gone {
            self.end_round(&peer);
        }
        for peer in owed {
            let due = self.debts.rounds.get(&peer).is_none_or(|round| round.next <= cx.now);
            if due {
                self.offer(cx, peer);
            }
        }
        self.let_go();
        if let Some(next) = self.debts.rounds.values().map(|round| round.next).min() {
            self.deadlines.set_earlier(Timer::Handover, next);
        }
    }

    fn end_round(&mut self, peer: &PeerId) {
        self.debts.rounds.remove(peer);
        self.close(|purpose| *purpose == Purpose::Handover(*peer));
    }

    /// The next offer to this peer, or none any more.
    fn offer(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        self.close(|purpose| *purpose == Purpose::Handover(peer));
        let tries = self.debts.rounds.get(&peer).map_or(0, |round| round.tries);
        if tries >= OFFERS {
            for (_, kept) in self.store.all_mut() {
                kept.owed.remove(&peer);
            }
            return self.end_round(&peer);
        }
        let owed = self.store.all().filter(|(_, kept)| kept.owed.contains(&peer));
        let offered: Vec<(Key, u64)> = owed
            .map(|(key, kept)| (*key, kept.entry.digest()))
            .take(MAX_OFFERED)
            .collect();
        let keys = offered.iter().map(|(key, _)| *key).collect();
        let ask = self.ask(Purpose::Handover(peer), peer, Question::Offer(offered));
        let round = Round {
            tries: tries + 1,
            ask: Some(ask),
            keys,
            next: cx.now + self.ping_timeout * (1 << tries.min(OFFERS)),
        };
        self.debts.rounds.insert(peer, round);
    }

    pub(super) fn handover_answered(&mut self, cx: &mut Context<'_>, peer: PeerId, reply: Reply) {
        let Some(round) = self.debts.rounds.get_mut(&peer) else {
            return;
        };
        round.ask = None;
        match reply {
            Reply::Want { wanted, declined } => {
                let keys = std::mem::take(&mut round.keys);
                let settled = keys.iter().filter(|key| !wanted.contains(key));
                self.settle_debts(&peer, settled, |key| !declined.contains(key));
                let wanted = keys.iter().filter(|key| wanted.contains(key)).copied().collect();
                self.hand(cx, peer, wanted);
            }
            Reply::Handed(others) => {
                let keys = std::mem::take(&mut round.keys);
                self.settle_debts(&peer, keys.iter(), |_| true);
                if self.is_welcome(&peer) {
                    for aged in &others {
                        self.take_by_hand(cx.now, peer, aged);
                    }
                }
                self.go_on(cx, &peer);
            }
            // It does not know us yet, perhaps.
            _ => {}
        }
    }

    /// Nothing of these is owed to this peer any more; `has` says whether it has the record now.
    fn settle_debts<'a>(&mut self, peer: &PeerId, keys: impl Iterator<Item = &'a Key>, has: impl Fn(&Key) -> bool) {
        let keys: BTreeSet<&Key> = keys.collect();
        for (key, kept) in self.store.all_mut().filter(|(key, _)| keys.contains(key)) {
            kept.owed.remove(peer);
            kept.handed |= has(key);
        }
    }

    /// As many of these as fit in a message; the others are offered again.
    fn hand(&mut self, cx: &mut Context<'_>, peer: PeerId, wanted: Vec<Key>) {
        let (mut handed, mut keys, mut bytes) = (Vec::new(), Vec::new(), 0);
        for key in wanted {
            let Some(kept) = self.store.live(&key) else { continue };
            bytes += kept.entry.record().weight();
            if bytes > MAX_HANDED {
                break;
            }
            let age = kept.age(cx.now);
            handed.push(Aged {
                entry: kept.entry.clone(),
                age,
            });
            keys.push(key);
        }
        if handed.is_empty() {
            return self.go_on(cx, &peer);
        }
        let ask = self.ask(Purpose::Handover(peer), peer, Question::Handover(handed));
        if let Some(round) = self.debts.rounds.get_mut(&peer) {
            (round.ask, round.keys) = (Some(ask), keys);
        }
    }

    /// It answers: what else it is owed goes on at once.
    fn go_on(&mut self, cx: &mut Context<'_>, peer: &PeerId) {
        if let Some(round) = self.debts.rounds.get_mut(peer) {
            (round.tries, round.next) = (0, cx.now);
        }
        self.hand_over(cx);
    }
}
