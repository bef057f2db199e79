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

use std::time::Duration;

use fatebound_overlay::{PeerId, Rule, Time, Ways};
use fatebound_tree::{GroupId, PathId};

use crate::fate::Loss;
use crate::groups::Groups;
use crate::message::{Request, Status};
use crate::patience::{need_interval, probe_interval, verdict};
use crate::prober::{Kind, Pair, Posting};
use crate::reason::Reason;
use crate::shared::Timer;
use crate::table::{Group, Inquiry, Key, Standing};

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

impl Groups {
    fn pair(&self, key: Key) -> Option<Pair> {
        let group = self.shared.table.group(key.slot)?;
        let peer = group.far.get(key.index as usize)?.peer;
        let kind = if group.is_root() { Kind::Probe } else { Kind::NeedRepair };
        Some(Pair { peer, kind })
    }

    /// Begins to ask, after `delay`; hastens it when it has begun.
    pub(crate) fn inquire(&mut self, key: Key, delay: Duration) {
        let (patience, ceiling) = (self.shared.patience(key.slot), self.shared.ceiling(key.slot));
        let post = self.shared.next_post();
        let Some(pair) = self.pair(key) else {
            return;
        };
        let Some(work) = self.shared.table.work_mut(key) else {
            return;
        };
        if work.inquiry.is_none() {
            work.inquiry = Some(Inquiry {
                from_post: post,
                until_post: post,
                since: self.shared.now,
                limit: self.shared.now + ceiling,
            });
            self.shared.timers.set(Timer::Verdict(key), self.shared.now + patience);
        }
        if self.prober.asks(pair, key) {
            return;
        }
        if delay.is_zero() {
            self.ask(self.shared.now, key);
        } else {
            self.shared
                .timers
                .set_earlier(Timer::Probe(key), self.shared.now + delay);
        }
    }

    /// Asks with the pair's next round.
    pub(crate) fn ask(&mut self, now: Time, key: Key) {
        if let Some(pair) = self.pair(key) {
            self.shared.timers.cancel(Timer::Probe(key));
            let due = self.prober.add(now, pair, key);
            self.shared.timers.set_earlier(Timer::Round(pair), due);
        }
    }

    /// Asks no more.
    pub(crate) fn end_inquiry(&mut self, key: Key) {
        let Some(pair) = self.pair(key) else {
            return;
        };
        let Some(work) = self.shared.table.far_mut(key).and_then(|far| far.work.as_mut()) else {
            return;
        };
        if work.inquiry.take().is_none() {
            return;
        }
        self.shared.timers.cancel(Timer::Verdict(key));
        self.shared.timers.cancel(Timer::Probe(key));
        if self.prober.remove(pair, key) {
            self.shared.timers.cancel(Timer::Round(pair));
        }
    }

    /// "A `Suspect` about `m` starts steps 2 to 4 alone: the path stays. A member told about the root likewise only asks."
    pub(crate) fn on_suspected(&mut self, path: &PathId) {
        if let Some(key) = self.shared.end_of_path(path)
            && self.shared.table.far(key).is_some_and(|far| far.epoch == path.epoch)
        {
            self.suspect(key);
        }
    }

    /// Asks the far end at once; only an answer to a question that is still to be sent clears it.
    pub(crate) fn suspect(&mut self, key: Key) {
        if self
            .shared
            .table
            .far(key)
            .is_none_or(|far| far.standing != Standing::Accepted)
        {
            return;
        }
        self.inquire(key, Duration::ZERO);
        let post = self.shared.next_post();
        if let Some(inquiry) = self.shared.table.work_mut(key).and_then(|work| work.inquiry.as_mut()) {
            inquiry.until_post = post;
        }
    }

    /// "`Probe`s go every min(patience, 1.6 s) / 4"; `NeedRepair`s "every quarter of the least that its patience can be".
    pub(crate) fn on_round_timer(&mut self, pair: Pair, due: Time) {
        let Some(sample) = self.prober.sample(pair) else {
            return;
        };
        let (patience, ceiling) = (self.shared.patience(sample.slot), self.shared.ceiling(sample.slot));
        let interval = match pair.kind {
            Kind::Probe => probe_interval(patience),
            Kind::NeedRepair if !Rule::AsksByTheFloor.holds() => need_interval(patience),
            Kind::NeedRepair => need_interval(self.shared.floor(sample.slot).min(ceiling)),
        };
        if self.shared.now.since(due) > interval && Rule::LateAsker.holds() {
            self.forgive(pair);
        }
        if Rule::ProofSinceItsQuestion.holds() {
            self.prober
                .expire(pair, Time::ZERO + (self.shared.now.elapsed().saturating_sub(ceiling)));
        }
        let Some(round) = self.prober.round(self.shared.now, pair, interval) else {
            return;
        };
        // The first question takes the direct way, and the others when that fails at once; a repetition takes all of them. So who answers
        // costs one exchange and no signature, and a thousand checks are no storm.
        let chunks = round.chunks.len();
        for (at, keys) in round.chunks.into_iter().enumerate() {
            self.hasten(&keys);
            let first = round.first && Rule::FirstQuestionDirect.holds();
            let turn = takes_every_way(at, chunks, round.number);
            let every = !first && turn && Rule::CopiesOfRepetitions.holds();
            let ways = match every {
                true => Ways::Every { round: round.number },
                false => Ways::Direct,
            };
            self.question(pair, ways, keys);
        }
        self.shared.timers.set(Timer::Round(pair), round.next);
    }

    /// "◆ Who asks later than a whole pause between two questions after it meant to was starved itself, the answers may lie unread: its patience begins
    /// anew." The ceiling stays where it was, for the bound counts it.
    fn forgive(&mut self, pair: Pair) {
        for key in self.prober.keys(pair) {
            if let Some(inquiry) = self.shared.table.work_mut(key).and_then(|work| work.inquiry.as_mut()) {
                inquiry.since = inquiry.since.max(self.shared.now);
            }
            if let Some(at) = self.verdict_at(key) {
                self.shared.timers.set(Timer::Verdict(key), at);
            }
        }
    }

    /// "◆ It is looked up anew with every question, and a verdict comes sooner when it has become shorter": a link that had no sample for a
    /// moment must not make it the ceiling for good.
    fn hasten(&mut self, keys: &[Key]) {
        if !Rule::PatienceAnew.holds() {
            return;
        }
        for key in keys {
            if let Some(at) = self.verdict_at(*key) {
                self.shared.timers.set_earlier(Timer::Verdict(*key), at);
            }
        }
    }

    fn question(&mut self, pair: Pair, ways: Ways, keys: Vec<Key>) {
        let to = self.shared.table.peers.get(pair.peer);
        let request = match pair.kind {
            Kind::Probe => Request::Probe {
                groups: keys
                    .iter()
                    .filter_map(|key| self.about(*key))
                    .map(|(group, _)| group)
                    .collect(),
            },
            Kind::NeedRepair => Request::NeedRepair {
                groups: keys.iter().filter_map(|key| self.about(*key)).collect(),
            },
        };
        self.shared.counters.questions += 1;
        let post = self.shared.post(to, request, ways);
        let sent = self.shared.now;
        self.prober.posted(post, Posting { pair, sent, keys });
    }

    /// The group, and the epoch of a path that needs repair.
    fn about(&self, key: Key) -> Option<(GroupId, Option<u32>)> {
        let path = self.shared.path(key)?;
        let repair = self
            .shared
            .table
            .far(key)?
            .work
            .as_ref()
            .is_some_and(|work| work.repair);
        Some((path.group, repair.then_some(path.epoch)))
    }

    /// An answer to one of our questions. It counts for each group by itself: a peer may be silent about one.
    pub(crate) fn on_status(&mut self, post: u64, from: PeerId, status: &Status) {
        let Some(posting) = self.prober.posting(post) else {
            return;
        };
        if self.shared.table.peers.get(posting.pair.peer) != from {
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
            self.alive(key, post, sent);
        }
        for key in unknown {
            self.unknown(key, post);
        }
        for key in closed {
            self.hears_closed(key, post);
        }
        for key in parted {
            self.hears_parted(key, post);
        }
    }

    /// The inquiry that this posting belongs to.
    fn inquiry(&self, key: Key, post: u64) -> Option<Inquiry> {
        let inquiry = self.shared.table.far(key)?.work.as_ref()?.inquiry?;
        (post >= inquiry.from_post || !Rule::OlderRepairProvesNothing.holds()).then_some(inquiry)
    }

    /// "◆ Proof of life is an answer to a probe *sent* less than `probe_timeout` ago."
    fn alive(&mut self, key: Key, post: u64, sent: Time) {
        let ceiling = self.shared.ceiling(key.slot);
        let sent = match Rule::ProofSinceItsQuestion.holds() {
            false => self.shared.now,
            true => sent,
        };
        let Some(inquiry) = self
            .inquiry(key, post)
            .filter(|_| self.shared.now.since(sent) < ceiling)
        else {
            return;
        };
        let repair = self.shared.table.work_mut(key).is_some_and(|work| work.repair);
        if !repair && (post >= inquiry.until_post || !Rule::SuspicionNeedsALaterAnswer.holds()) {
            self.end_inquiry(key);
            self.settle(key);
        } else {
            self.extend(key, sent);
        }
        self.checks.proven(&mut self.shared, key, Some(post));
    }

    /// Patience begins anew.
    fn extend(&mut self, key: Key, sent: Time) {
        let ceiling = self.shared.ceiling(key.slot);
        let root = self.shared.table.group(key.slot).is_some_and(Group::is_root);
        let proof = if root || !Rule::MemberProofSinceItsQuestion.holds() {
            self.shared.now
        } else {
            sent
        };
        if let Some(inquiry) = self.shared.table.work_mut(key).and_then(|work| work.inquiry.as_mut()) {
            inquiry.since = inquiry.since.max(proof);
            inquiry.limit = inquiry.limit.max(sent + ceiling);
        }
        if let Some(at) = self.verdict_at(key) {
            self.shared.timers.set(Timer::Verdict(key), at);
        }
    }

    fn verdict_at(&self, key: Key) -> Option<Time> {
        let inquiry = self.shared.table.far(key)?.work.as_ref()?.inquiry?;
        Some(verdict(inquiry.since, inquiry.limit, self.shared.patience(key.slot)))
    }

    /// "Proof of death: `Unknown`." "A root answers for any id of its own that it does not know: *failed*."
    fn unknown(&mut self, key: Key, post: u64) {
        if self.inquiry(key, post).is_none() {
            return;
        }
        self.lost(key, Loss::Forgot);
    }

    /// The root has closed the group, and the word of it was lost. A root learns nothing of this kind from a member.
    fn hears_closed(&mut self, key: Key, post: u64) {
        let root = self.shared.table.group(key.slot).is_none_or(Group::is_root);
        if self.inquiry(key, post).is_some()
            && !root
            && let Some(by) = self.shared.table.peer(key)
        {
            self.bury(key.slot, Reason::Closed { by });
        }
    }

    /// One of the two has left, or never came in.
    fn hears_parted(&mut self, key: Key, post: u64) {
        if self.inquiry(key, post).is_some() {
            self.parted(key);
        }
    }

    /// "No proof of life for the root's patience since the repair began, or since the last proof: **hard failure**." Patience is looked up anew:
    /// it follows the links.
    pub(crate) fn on_verdict_timer(&mut self, key: Key) {
        match self.verdict_at(key) {
            Some(at) if at > self.shared.now => self.shared.timers.set(Timer::Verdict(key), at),
            // "When its patience ends it has left."
            Some(_) if self.shared.table.is_leaving(key.slot) && Rule::LeaverIsMute.holds() => {
                self.has_left(key.slot, false);
            }
            Some(_) => self.lost(key, Loss::Unreachable),
            None => {}
        }
    }
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
