//! "Do you live, and this group in you?": proofs of life, proofs of death, and the verdict when neither comes.
//!
//! A root asks a member with `Probe`, a member asks its root with `NeedRepair`; otherwise both sides are alike. An inquiry accompanies each repair
//! and ends with it. It also stands alone, about a path that is well: when the far end is suspected, or the application wants to know; then the
//! first proof ends it, and a member names no epoch in `NeedRepair`: no repair is wanted. At most one inquiry exists per far end; the
//! questions of all inquiries of one pair of peers travel together (see `prober`).
//!
//! The two sides date a proof differently. Root: from its arrival, but never reaching further than `probe_timeout` after its question was
//! sent ("proof of life is an answer to a probe *sent* less than `probe_timeout` ago"). Member: "only answers to its own numbers count, from
//! the time they were *sent*." So both keep what the bound counts for them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use fatebound_overlay::{Bounded, PeerId, Rule, Time, Ways};
use fatebound_tree::{GroupId, PathId};

use crate::fate::{Fate, Loss};
use crate::group::{Group, Key, Phase};
use crate::message::{Request, Status};
use crate::patience::{need_interval, probe_interval, verdict};
use crate::prober::{Kind, Pair, Posting, Prober};
use crate::reason::Reason;
use crate::shared::{Shared, Timer};

/// Postings of one round that take every way: 8. A hundred thousand groups of one pair need 400 postings; each of them over every way, every
/// quarter of a patience, would be a storm of signatures and of other peers' work.
const EVERY_WAY: usize = 8;

/// Whether the posting `at` of `all` takes every way in this round: each gets its turn.
fn takes_every_way(at: usize, all: usize, round: u32) -> bool {
    if !Rule::EightTakeEveryWay.holds() {
        return true;
    }
    let first = (round as usize).wrapping_mul(EVERY_WAY) % all.max(1);
    (at + all - first) % all.max(1) < EVERY_WAY
}

/// The question whether a far end lives and knows the group.
#[derive(Clone, Copy, Debug, Hash)]
struct Inquiry {
    /// Answers to earlier postings do not count: they are about an older repair, or about this place's last group.
    from_post: u64,
    /// Answers to postings from this one on clear a suspicion.
    until_post: u64,
    /// Begin, or last proof, in own time: the verdict falls one patience later …
    since: Time,
    /// … and here at the latest.
    limit: Time,
}

/// The inquiries under way.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Inquiries {
    open: BTreeMap<Key, Inquiry>,
    prober: Prober,
}

impl Inquiries {
    /// Begins to ask, after `delay`; hastens it when it has begun.
    pub(crate) fn begin(&mut self, shared: &mut Shared, key: Key, delay: Duration) {
        let Some(pair) = pair(shared, key) else {
            return;
        };
        if let Entry::Vacant(none) = self.open.entry(key) {
            let post = shared.next_post();
            none.insert(Inquiry {
                from_post: post,
                until_post: post,
                since: shared.own_now(),
                limit: shared.own_now() + shared.ceiling(key.slot),
            });
            let verdict = shared.now + shared.patience(key.slot);
            shared.timers.set(Timer::Verdict(key), verdict);
        }
        if self.prober.asks(pair, key) {
            return;
        }
        if delay.is_zero() {
            self.ask(shared, key);
        } else {
            shared.timers.set_earlier(Timer::Probe(key), shared.now + delay);
        }
    }

    /// Asks with the pair's next round.
    pub(crate) fn ask(&mut self, shared: &mut Shared, key: Key) {
        if let Some(pair) = pair(shared, key) {
            shared.timers.cancel(Timer::Probe(key));
            let due = self.prober.add(shared.now, pair, key);
            shared.timers.set_earlier(Timer::Round(pair), due);
        }
    }

    /// Asks no more.
    pub(crate) fn end(&mut self, shared: &mut Shared, key: Key) {
        let Some(pair) = pair(shared, key) else {
            return;
        };
        if self.open.remove(&key).is_none() {
            return;
        }
        shared.timers.cancel(Timer::Verdict(key));
        shared.timers.cancel(Timer::Probe(key));
        if self.prober.remove(pair, key) {
            shared.timers.cancel(Timer::Round(pair));
        }
    }

    /// "A `Suspect` about `m` starts steps 2 to 4 alone: the path stays. A member told about the root likewise only asks."
    pub(crate) fn on_suspected(&mut self, shared: &mut Shared, path: &PathId) {
        if let Some(key) = shared.end_of_path(path)
            && shared.table.far(key).is_some_and(|far| far.epoch == path.epoch)
        {
            self.suspect(shared, key);
        }
    }

    /// Asks the far end at once; only an answer to a question that is still to be sent clears it.
    pub(crate) fn suspect(&mut self, shared: &mut Shared, key: Key) {
        if !shared.table.is_in(key) {
            return;
        }
        self.begin(shared, key, Duration::ZERO);
        if let Some(inquiry) = self.open.get_mut(&key) {
            inquiry.until_post = shared.next_post();
        }
    }

    /// "`Probe`s go every min(patience, 1.6 s) / 4"; `NeedRepair`s "every quarter of the least that its patience can be".
    pub(crate) fn on_round_timer(&mut self, shared: &mut Shared, pair: Pair) {
        let Some(sample) = self.prober.sample(pair) else {
            return;
        };
        let (patience, ceiling) = (shared.patience(sample.slot), shared.ceiling(sample.slot));
        let interval = match pair.kind {
            Kind::Probe => probe_interval(patience),
            Kind::NeedRepair if !Rule::AsksByTheFloor.holds() => need_interval(patience),
            Kind::NeedRepair => need_interval(shared.floor(sample.slot).min(ceiling)),
        };
        if Rule::ProofSinceItsQuestion.holds() {
            let oldest = Time::ZERO + shared.own_now().elapsed().saturating_sub(ceiling);
            self.prober.expire(pair, oldest);
        }
        let Some(round) = self.prober.round(shared.now, pair, interval) else {
            return;
        };
        // The first question takes the direct way, and the others when that fails at once; a repetition takes all of them. So who answers
        // costs one exchange and no signature, and a thousand checks are no storm.
        let chunks = round.chunks.len();
        for (at, keys) in round.chunks.into_iter().enumerate() {
            self.hasten(shared, &keys);
            let first = round.first && Rule::FirstQuestionDirect.holds();
            let turn = takes_every_way(at, chunks, round.number);
            let every = !first && turn && Rule::CopiesOfRepetitions.holds();
            let ways = match every {
                true => Ways::Every { round: round.number },
                false => Ways::Direct,
            };
            self.question(shared, pair, ways, keys);
        }
        shared.timers.set(Timer::Round(pair), round.next);
    }

    /// "◆ It is looked up anew with every question, and a verdict comes sooner when it has become shorter": a link that had no sample for a
    /// moment must not make it the ceiling for good.
    fn hasten(&self, shared: &mut Shared, keys: &[Key]) {
        if !Rule::PatienceAnew.holds() {
            return;
        }
        for key in keys {
            if let Some(at) = self.verdict_at(shared, *key) {
                shared.timers.set_earlier(Timer::Verdict(*key), at);
            }
        }
    }

    fn question(&mut self, shared: &mut Shared, pair: Pair, ways: Ways, keys: Vec<Key>) {
        let to = shared.table.peers.get(pair.peer);
        let groups = keys.iter().filter_map(|key| about(shared, *key));
        let request = match pair.kind {
            Kind::Probe => Request::Probe {
                groups: groups.map(|(group, _)| group).collect(),
            },
            Kind::NeedRepair => Request::NeedRepair {
                groups: groups.collect(),
            },
        };
        shared.counters.questions += 1;
        let post = shared.post(to, request, ways);
        let sent = shared.own_now();
        self.prober.posted(post, Posting { pair, sent, keys });
    }

    /// An answer to one of our questions. It counts for each group by itself: a peer may be silent about one.
    pub(crate) fn on_status(&mut self, shared: &mut Shared, post: u64, from: PeerId, status: &Status) {
        let Some(posting) = self.prober.posting(post) else {
            return;
        };
        if shared.table.peers.get(posting.pair.peer) != from {
            return;
        }
        let sent = posting.sent;
        let pick = |list: &[u16]| -> Vec<Key> {
            let list = list.iter().take(posting.keys.len());
            list.filter_map(|at| posting.keys.get(usize::from(*at)).copied())
                .collect()
        };
        let Status {
            alive,
            unknown,
            closed,
            parted,
        } = status;
        let (alive, unknown, closed, parted) = (pick(alive), pick(unknown), pick(closed), pick(parted));
        for key in alive {
            self.alive(shared, key, post, sent);
        }
        for key in unknown {
            // "Proof of death: `Unknown`." "A root answers for any id of its own that it does not know: *failed*."
            self.ends_with(shared, key, post, Fate::Lost(key, Loss::Forgot));
        }
        for key in closed {
            // The root has closed the group, and the word of it was lost. A root learns nothing of this kind from a member.
            if shared.table.group(key.slot).is_some_and(|group| !group.is_root()) {
                self.ends_with(shared, key, post, Fate::Over(key.slot, Reason::Closed { by: from }));
            }
        }
        for key in parted {
            self.ends_with(shared, key, post, Fate::Parted(key));
        }
    }

    /// What a far end answers about itself ends more than the question, if the question is still open.
    fn ends_with(&self, shared: &mut Shared, key: Key, post: u64, fate: Fate) {
        if self.inquiry(key, post).is_some() {
            shared.fate(fate);
        }
    }

    /// The inquiry that this posting belongs to.
    fn inquiry(&self, key: Key, post: u64) -> Option<Inquiry> {
        let inquiry = *self.open.get(&key)?;
        (post >= inquiry.from_post || !Rule::OlderRepairProvesNothing.holds()).then_some(inquiry)
    }

    /// "◆ Proof of life is an answer to a probe *sent* less than `probe_timeout` ago."
    fn alive(&mut self, shared: &mut Shared, key: Key, post: u64, sent: Time) {
        let ceiling = shared.ceiling(key.slot);
        let sent = match Rule::ProofSinceItsQuestion.holds() {
            false => shared.own_now(),
            true => sent,
        };
        let Some(inquiry) = self
            .inquiry(key, post)
            .filter(|_| shared.own_now().since(sent) < ceiling)
        else {
            return;
        };
        let clears = post >= inquiry.until_post || !Rule::SuspicionNeedsALaterAnswer.holds();
        if clears && !is_broken(shared, key) {
            self.end(shared, key);
        } else {
            self.extend(shared, key, sent);
        }
        shared.fate(Fate::Proven(key, post));
    }

    /// Patience begins anew.
    fn extend(&mut self, shared: &mut Shared, key: Key, sent: Time) {
        let ceiling = shared.ceiling(key.slot);
        let root = shared.table.group(key.slot).is_some_and(Group::is_root);
        let proof = if root || !Rule::MemberProofSinceItsQuestion.holds() {
            shared.own_now()
        } else {
            sent
        };
        if let Some(inquiry) = self.open.get_mut(&key) {
            inquiry.since = inquiry.since.max(proof);
            inquiry.limit = inquiry.limit.max(sent + ceiling);
        }
        if let Some(at) = self.verdict_at(shared, key) {
            shared.timers.set(Timer::Verdict(key), at);
        }
    }

    fn verdict_at(&self, shared: &Shared, key: Key) -> Option<Time> {
        let inquiry = self.open.get(&key)?;
        let own = verdict(inquiry.since, inquiry.limit, shared.patience(key.slot));
        Some(shared.ends_at(own))
    }

    /// "No proof of life for the root's patience since the repair began, or since the last proof: **hard failure**." Patience is looked up anew:
    /// it follows the links.
    pub(crate) fn on_verdict_timer(&self, shared: &mut Shared, key: Key) {
        match self.verdict_at(shared, key) {
            Some(at) if at > shared.now => shared.timers.set(Timer::Verdict(key), at),
            // "When its patience ends it has left."
            Some(_) if shared.table.is_leaving(key.slot) && Rule::LeaverIsMute.holds() => shared.fate(Fate::Left {
                slot: key.slot,
                acknowledged: false,
            }),
            Some(_) => shared.fate(Fate::Lost(key, Loss::Unreachable)),
            None => {}
        }
    }

    /// Inquiries under way; each has at most two timers.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Pairs of peers that something is asked in; each has a timer.
    pub(crate) fn pairs(&self) -> usize {
        self.prober.len()
    }

    pub(crate) fn bounds(&self) -> [Bounded; 3] {
        self.prober.bounds()
    }

    /// Whether this far end is inquired about.
    pub(crate) fn is_open(&self, key: Key) -> bool {
        self.open.contains_key(&key)
    }

    /// The far ends that are.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.open.keys().copied()
    }

    /// The prober's pairs, each with the far ends that it asks about.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (Pair, Vec<Key>)> + '_ {
        self.prober.pairs().map(|pair| (pair, self.prober.keys(pair)))
    }

    /// Whether nothing is asked.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.prober.is_idle()
    }
}

fn pair(shared: &Shared, key: Key) -> Option<Pair> {
    let group = shared.table.group(key.slot)?;
    let peer = group.far.get(key.index as usize)?.peer;
    let kind = if group.is_root() { Kind::Probe } else { Kind::NeedRepair };
    Some(Pair { peer, kind })
}

fn is_broken(shared: &Shared, key: Key) -> bool {
    shared.table.far(key).is_some_and(|far| far.phase == Phase::Broken)
}

/// The group, and the epoch of a path that needs repair.
fn about(shared: &Shared, key: Key) -> Option<(GroupId, Option<u32>)> {
    let path = shared.path(key)?;
    Some((path.group, is_broken(shared, key).then_some(path.epoch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_postings_of_a_round_take_every_way_and_each_gets_its_turn() {
        for all in [1, 8, 9, 391] {
            let mut turns = vec![0; all];
            for round in 0..all as u32 {
                let every: Vec<usize> = (0..all).filter(|at| takes_every_way(*at, all, round)).collect();
                assert_eq!(every.len(), all.min(EVERY_WAY), "{all}, {round}");
                every.into_iter().for_each(|at| turns[at] += 1);
            }
            assert!(turns.iter().all(|turns| *turns == all.min(EVERY_WAY)), "{turns:?}");
        }
    }
}
