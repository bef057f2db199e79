//! The coordinator's side: who begins and when, whom it waits for, what it proposes, and when that is decided.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_base::Rule;

use super::message::Message;
use super::state::{Attempt, Member, Phase, Promised, Stage, Standing};
use super::{Blocked, Event, Step, Timer, Views};
use crate::log::Run;
use crate::numbers::{Ballot, Node, Seq};
use crate::quorum::{Policy, Tally};
use crate::view::{View, Voter};

impl Member {
    fn places(&self, nodes: &BTreeSet<Node>) -> BTreeSet<usize> {
        nodes.iter().filter_map(|node| self.view.place(*node)).collect()
    }

    /// How much of the view these places are.
    ///
    /// V3 ◆ "A hint of death only shortens waits; no quorum knows of it": the dead may have decided without us before they died.
    fn tally(&self, present: &BTreeSet<usize>, hinted: &BTreeSet<Node>) -> Tally {
        let policy = match self.view.policy {
            Policy::Majority if !Rule::ViewsHintsOnlyHasten.holds() => Policy::Proofs,
            policy => policy,
        };
        policy.tally(&self.view.voters, present, &self.places(hinted))
    }

    fn is_quorum(&self, present: &BTreeSet<usize>, hinted: &BTreeSet<Node>) -> bool {
        let tally = self.tally(present, hinted);
        tally.have >= tally.need
    }

    /// How many before this node may still begin.
    fn turns_before(&self, hinted: &BTreeSet<Node>) -> u32 {
        let before = self.view.voters.iter().take(self.place);
        before.filter(|voter| !hinted.contains(&voter.node)).count() as u32
    }

    /// What a coordinator with these promises proposes.
    ///
    /// V4 ◆ "A value that was accepted is proposed again unchanged, that of the highest ballot": it may be decided.
    fn adopted(promises: &BTreeMap<usize, Promised>) -> Option<View> {
        if !Rule::ViewsAdopted.holds() {
            return None;
        }
        let accepted = promises.values().filter_map(|promised| promised.accepted.as_ref());
        let highest = accepted.max_by_key(|(ballot, _)| *ballot);
        highest.map(|(_, next)| next.clone())
    }

    /// V5 ◆ "Of this view only those are in the next whose promises were counted": so nobody there has delivered anything behind the cut.
    fn counted(&self, promises: &BTreeMap<usize, Promised>, hinted: &BTreeSet<Node>) -> Vec<Voter> {
        let voters = self.view.voters.iter().enumerate();
        let counted = |place: usize, voter: &Voter| match Rule::ViewsOnlyCounted.holds() {
            true => promises.contains_key(&place),
            false => !hinted.contains(&voter.node),
        };
        let counted = voters.filter(|(place, voter)| counted(*place, voter));
        counted.map(|(_, voter)| voter.clone()).collect()
    }
}

impl Views {
    /// The alarm: the stream stops, and those before this node have their turns first.
    pub(super) fn wedge(&mut self, step: &mut Step<'_>) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        member.stage = Stage::Wedged;
        step.tell(Event::Wedged {
            view: member.view.number,
        });
        self.timers.cancel(Timer::Repeat);
        let turns = self.member().map_or(0, |member| member.turns_before(&self.hinted));
        if turns == 0 {
            return self.begin(step);
        }
        let wait = self.pace(step).saturating_mul(turns);
        self.timers.set(Timer::Begin, step.now + wait);
    }

    pub(super) fn on_hint(&mut self, step: &mut Step<'_>, node: Node) {
        let Some(member) = self.member().filter(|member| member.view.contains(node)) else {
            return;
        };
        let wedged = matches!(member.stage, Stage::Wedged);
        self.hinted.insert(node);
        if wedged {
            let turns = self.member().map_or(0, |member| member.turns_before(&self.hinted));
            let wait = self.pace(step).saturating_mul(turns);
            self.timers.set_earlier(Timer::Begin, step.now + wait);
        }
        self.choose(step);
    }

    /// Begins an attempt of its own.
    ///
    /// V2 ◆ "A ballot is used once: for one question and one value."
    pub(super) fn begin(&mut self, step: &mut Step<'_>) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let round = match Rule::ViewsBallotOnce.holds() {
            true => member.highest.saturating_add(1),
            false => member.highest.max(1),
        };
        let ballot = Ballot {
            round,
            place: member.place as u32,
        };
        member.highest = round;
        member.promised = member.promised.max(ballot);
        let own = Promised {
            accepted: member.accepted.clone(),
            have: member.log.have(),
        };
        member.stage = Stage::Coordinating(Attempt {
            ballot,
            promises: BTreeMap::from([(member.place, own)]),
            patient: false,
            guard: 0,
            repetitions: 0,
            phase: Phase::Promises,
        });
        self.timers.cancel(Timer::Begin);
        self.timers.set(Timer::Patience, step.now + self.config.patience);
        self.timers.set(Timer::Repeat, step.now + self.config.pause(0));
        self.prepare(step);
        self.choose(step);
    }

    /// Asks everybody who has not promised yet.
    fn prepare(&mut self, step: &mut Step<'_>) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        let question = Message::Prepare {
            view: member.view.number,
            ballot: attempt.ballot,
            have: member.log.have(),
        };
        for node in member.others() {
            let place = member.view.place(node);
            if place.is_none_or(|place| !attempt.promises.contains_key(&place)) {
                step.send(node, question.clone());
            }
        }
    }

    pub(super) fn on_promise(&mut self, step: &mut Step<'_>, from: Node, ballot: Ballot, promised: Promised, run: Run) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let place = member.view.place(from);
        let waits = |attempt: &&mut Attempt| attempt.ballot == ballot && matches!(attempt.phase, Phase::Promises);
        let (Some(attempt), Some(place)) = (member.attempt().filter(waits), place) else {
            return;
        };
        attempt.promises.insert(place, promised);
        member.log.extend(run, Seq(u64::MAX));
        self.choose(step);
    }

    /// Goes on if there are promises enough: of a quorum, and of everybody else who may live and whom there is patience for.
    fn choose(&mut self, step: &mut Step<'_>) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        if !matches!(attempt.phase, Phase::Promises) {
            return;
        }
        let present = attempt.promises.keys().copied().collect();
        if !member.is_quorum(&present, &self.hinted) {
            return self.report_missing(step);
        }
        let hinted = member.places(&self.hinted);
        let in_or_hinted = |place: usize| present.contains(&place) || hinted.contains(&place);
        if !attempt.patient && !(0..member.view.voters.len()).all(in_or_hinted) {
            return;
        }
        self.choose_value(step);
    }

    fn choose_value(&mut self, step: &mut Step<'_>) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        let adopted = Member::adopted(&attempt.promises);
        let longest = attempt.promises.values().map(|promised| promised.have).max();
        let cut = match &adopted {
            Some(next) => next.cut,
            None => longest.unwrap_or_default().max(member.log.have()),
        };
        if member.log.have() < cut {
            return self.fetch(step, cut);
        }
        match adopted {
            Some(next) => self.propose(step, &next),
            None => {
                let voters = member.counted(&attempt.promises, &self.hinted);
                self.order_guard(step, voters, Some(cut));
            }
        }
    }

    /// Asks once more whoever has the entries up to the cut: one answer was not room enough for them.
    fn fetch(&mut self, step: &mut Step<'_>, cut: Seq) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        let question = Message::Prepare {
            view: member.view.number,
            ballot: attempt.ballot,
            have: member.log.have(),
        };
        let holder = attempt.promises.iter().find(|(_, promised)| promised.have >= cut);
        if let Some(voter) = holder.and_then(|(place, _)| member.view.voters.get(*place)) {
            step.send(voter.node, question);
        }
    }

    /// Says what is missing once patience is over, and again when that changes.
    fn report_missing(&mut self, step: &mut Step<'_>) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref().filter(|attempt| attempt.patient) else {
            return;
        };
        let present: BTreeSet<usize> = attempt.promises.keys().copied().collect();
        let tally = member.tally(&present, &self.hinted);
        let voters = member.view.voters.iter().enumerate();
        let missing = voters.filter(|(place, _)| !present.contains(place));
        let blocked = Blocked {
            have: tally.have,
            need: tally.need,
            missing: missing.map(|(_, voter)| voter.node).collect(),
        };
        if self.blocked.as_ref() != Some(&blocked) {
            step.tell(Event::Blocked(blocked.clone()));
            self.blocked = Some(blocked);
        }
    }

    /// Proposes a value: whoever proposes has accepted it first.
    pub(super) fn propose(&mut self, step: &mut Step<'_>, next: &View) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let (view, place) = (member.view.number, member.place);
        let Some(attempt) = member.attempt() else { return };
        let ballot = attempt.ballot;
        attempt.repetitions = 0;
        attempt.phase = Phase::Accepting {
            next: next.clone(),
            accepted: BTreeSet::from([place]),
        };
        let short: Vec<(usize, Seq)> = attempt
            .promises
            .iter()
            .map(|(place, promised)| (*place, promised.have))
            .collect();
        member.accepted = Some((ballot, next.clone()));
        let question = Message::Accept {
            view,
            ballot,
            next: Box::new(next.clone()),
        };
        for node in member.others() {
            let place = member.view.place(node);
            let lacks = short.iter().find(|(at, have)| Some(*at) == place && *have < next.cut);
            match lacks {
                Some((_, have)) => step.send(node, fill(member, *have, self.config.run_bytes)),
                None => step.send(node, question.clone()),
            }
        }
        if ballot != Ballot::PLANNED {
            self.timers.set(Timer::Patience, step.now + self.config.patience);
        }
        self.timers.set(Timer::Repeat, step.now + self.config.pause(0));
        self.decide(step);
    }

    pub(super) fn on_accepted(&mut self, step: &mut Step<'_>, from: Node, ballot: Ballot) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let place = member.view.place(from);
        let Some(attempt) = member.attempt().filter(|attempt| attempt.ballot == ballot) else {
            return;
        };
        if let (Phase::Accepting { accepted, .. }, Some(place)) = (&mut attempt.phase, place) {
            accepted.insert(place);
            self.decide(step);
        }
    }

    /// "Decided when a quorum of the view that ends has accepted it."
    fn decide(&mut self, step: &mut Step<'_>) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        if let Phase::Accepting { next, accepted } = &attempt.phase
            && member.is_quorum(accepted, &self.hinted)
        {
            let next = next.clone();
            self.install(step, next, true);
        }
    }

    /// Somebody lacks entries, or does not any more.
    pub(super) fn on_have(&mut self, step: &mut Step<'_>, from: Node, seq: Seq) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        let Phase::Accepting { next, .. } = &attempt.phase else {
            return;
        };
        let message = if seq >= next.cut {
            Message::Accept {
                view: member.view.number,
                ballot: attempt.ballot,
                next: Box::new(next.clone()),
            }
        } else {
            fill(member, seq, self.config.run_bytes)
        };
        step.send(from, message);
    }

    /// Patience with whoever does not answer is over.
    pub(super) fn on_patience(&mut self, step: &mut Step<'_>) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let me = self.me;
        let Stage::Coordinating(attempt) = &mut member.stage else {
            return;
        };
        match &attempt.phase {
            Phase::Promises => {
                attempt.patient = true;
                self.choose(step);
            }
            Phase::Guarding { voters, .. } => {
                let root = voters.first().map(|voter| voter.node);
                let silent = root.filter(|root| *root != me);
                let request = super::guards::request(member.view.number, attempt);
                if let Some(silent) = silent {
                    self.on_no_guard(step, request, &[silent]);
                }
            }
            Phase::Accepting { .. } => self.begin(step),
        }
    }

    /// Repeats the question of the attempt to those who have not answered it, ever more rarely.
    pub(super) fn on_repeat(&mut self, step: &mut Step<'_>) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let Some(attempt) = member.attempt() else { return };
        attempt.repetitions = attempt.repetitions.saturating_add(1);
        let pause = self.config.pause(attempt.repetitions);
        self.timers.set(Timer::Repeat, step.now + pause);
        match member.attempt_ref().map(|attempt| &attempt.phase) {
            Some(Phase::Promises) => {
                self.prepare(step);
                self.choose(step);
            }
            Some(Phase::Guarding { .. }) => self.ask_for_guard(step),
            Some(Phase::Accepting { .. }) => self.ask_again(step),
            None => {}
        }
    }

    fn ask_again(&mut self, step: &mut Step<'_>) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        let Phase::Accepting { next, accepted } = &attempt.phase else {
            return;
        };
        for node in member.others() {
            let place = member.view.place(node);
            if place.is_none_or(|place| !accepted.contains(&place)) {
                step.send(
                    node,
                    Message::Accept {
                        view: member.view.number,
                        ballot: attempt.ballot,
                        next: Box::new(next.clone()),
                    },
                );
            }
        }
    }

    /// Whether what is left of the promises still is a quorum.
    pub(super) fn enough_left(&self, voters: &[Voter]) -> bool {
        let Some(member) = self.member() else { return false };
        let present = voters.iter().filter_map(|voter| member.view.place(voter.node));
        member.is_quorum(&present.collect(), &self.hinted)
    }
}

/// Entries behind this one.
fn fill(member: &Member, after: Seq, bytes: usize) -> Message {
    Message::Fill {
        view: member.view.number,
        run: member.log.run(after, bytes),
    }
}
