//! The voter's side: it promises a later attempt and then knows no earlier one; it accepts what is proposed in the one it has promised.

use fatebound_base::Rule;

use super::message::Message;
use super::state::{Member, Stage, Standing};
use super::{Event, Step, Timer, Views};
use crate::log::{Entry, Run};
use crate::numbers::{Ballot, Node, Seq, ViewNumber};
use crate::view::View;

impl Member {
    /// "A promise": where this node stands, for a coordinator that has the entries up to `have`.
    fn promise(&self, ballot: Ballot, have: Seq, bytes: usize) -> Message {
        let accepted = self.accepted.clone();
        Message::Promise {
            view: self.view.number,
            ballot,
            accepted: accepted.map(|(ballot, next)| (ballot, Box::new(next))),
            have: self.log.have(),
            run: self.log.run(have, bytes),
        }
    }

    /// Whether this can follow the view.
    fn may_follow(&self, next: &View) -> bool {
        next.number == self.view.number.next() && next.cut >= self.view.cut && next.is_sound()
    }
}

impl Views {
    pub(super) fn on_prepare(&mut self, step: &mut Step<'_>, from: Node, ballot: Ballot, have: Seq) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        if member.owner(ballot) != Some(from) || ballot.round == 0 {
            return;
        }
        member.saw(ballot);
        if ballot < member.promised {
            return step.send(from, higher(member));
        }
        if ballot > member.promised {
            member.promised = ballot;
            self.give_way(step);
        }
        let Standing::Member(member) = &self.standing else {
            return;
        };
        step.send(from, member.promise(ballot, have, self.config.run_bytes));
    }

    pub(super) fn on_accept(&mut self, step: &mut Step<'_>, from: Node, ballot: Ballot, next: View) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        if member.owner(ballot) != Some(from) || !member.may_follow(&next) {
            return;
        }
        member.saw(ballot);
        if ballot < member.promised {
            return step.send(from, higher(member));
        }
        if ballot > member.promised {
            member.promised = ballot;
            self.give_way(step);
        }
        self.accept(step, from, ballot, next);
    }

    /// V13 ◆ "Nobody accepts a view while an entry before its cut is missing": so a decided view's entries are with a quorum.
    fn accept(&mut self, step: &mut Step<'_>, from: Node, ballot: Ballot, next: View) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let (view, seq) = (member.view.number, member.log.have());
        if seq < next.cut && Rule::ViewsAcceptHoldsTheCut.holds() {
            return step.send(from, Message::Have { view, seq });
        }
        member.accepted = Some((ballot, next));
        step.send(from, Message::Accepted { view, ballot });
    }

    /// Another attempt goes first: the own one is over, and so is the stream.
    ///
    /// V1 ◆ "Whoever has promised a ballot numbers, acknowledges and delivers nothing in the view any more."
    fn give_way(&mut self, step: &mut Step<'_>) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        if member.is_normal() && !Rule::ViewsPromiseStops.holds() {
            return;
        }
        if member.is_normal() {
            step.tell(Event::Wedged {
                view: member.view.number,
            });
        }
        member.stage = Stage::Wedged;
        self.wait_for_another(step);
    }

    /// Somebody else coordinates: this node's turn comes when that one should long have been done.
    pub(super) fn wait_for_another(&mut self, step: &Step<'_>) {
        let place = self.member().map_or(0, |member| member.place);
        let wait = self.pace(step).saturating_mul(3 + place as u32);
        self.timers.cancel(Timer::Patience);
        self.timers.cancel(Timer::Repeat);
        self.timers.set(Timer::Begin, step.now + wait + self.config.patience);
    }

    pub(super) fn on_higher(&mut self, step: &mut Step<'_>, ballot: Ballot) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        member.saw(ballot);
        let late = |attempt: &mut super::state::Attempt| attempt.ballot < ballot;
        if member.attempt().is_some_and(late) {
            self.give_way(step);
        }
    }

    /// Entries of this view. They are what its leader has numbered, whoever brings them; whoever has promised holds them undelivered.
    pub(super) fn on_fill(&mut self, step: &mut Step<'_>, from: Node, run: Run) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        member.log.extend(run, Seq(u64::MAX));
        let (view, seq) = (member.view.number, member.log.have());
        match member.pending.take() {
            Some(next) if seq >= next.cut => self.install(step, next, false),
            pending => member.pending = pending,
        }
        step.send(from, Message::Have { view, seq });
    }

    pub(super) fn on_entry(&mut self, view: ViewNumber, seq: Seq, entry: Entry) {
        if let Standing::Member(member) = &mut self.standing
            && member.view.number == view
            && member.is_normal()
            && !(member.place == 0 && member.sealed())
        {
            member.log.append(seq, entry);
        }
    }

    pub(super) fn on_committed(&mut self, view: ViewNumber, seq: Seq) {
        if let Standing::Member(member) = &mut self.standing
            && member.view.number == view
            && member.is_normal()
        {
            member.log.commit(seq);
        }
    }
}

fn higher(member: &Member) -> Message {
    Message::Higher {
        view: member.view.number,
        ballot: member.promised,
    }
}
