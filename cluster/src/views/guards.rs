//! The guard: a failure notification group over the voters of the next view, created before that is proposed. Its creation shows that
//! everybody in it lives and agrees to be watched; its failure is the alarm.

use fatebound_base::Rule;
use fatebound_tree::GroupId;

use super::io::Output;
use super::message::{GuardRequest, Message};
use super::state::{Attempt, Making, Phase, Stage, Standing};
use super::{ChangeRefused, Event, Step, Timer, Views};
use crate::numbers::{Ballot, Node, Seq, ViewNumber};
use crate::view::{View, Voter};

/// The guard that an attempt has ordered last.
pub(super) fn request(view: ViewNumber, attempt: &Attempt) -> GuardRequest {
    GuardRequest {
        view,
        ballot: attempt.ballot,
        number: attempt.guard,
    }
}

impl Views {
    /// Orders the guard for these voters.
    pub(super) fn order_guard(&mut self, step: &mut Step<'_>, voters: Vec<Voter>, cut: Option<Seq>) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let number = member.ordered.saturating_add(1);
        let Some(attempt) = member.attempt() else { return };
        attempt.guard = number;
        attempt.repetitions = 0;
        attempt.phase = Phase::Guarding { voters, cut };
        let planned = attempt.ballot == Ballot::PLANNED;
        member.ordered = number;
        if !planned {
            self.timers.set(Timer::Patience, step.now + self.config.guard_patience);
        }
        self.timers.set(Timer::Repeat, step.now + self.config.pause(0));
        self.ask_for_guard(step);
    }

    /// V12 ◆ "The root of a view's guard is its leader": a guard with another root would not see a leader that cannot reach a member.
    pub(super) fn ask_for_guard(&mut self, step: &mut Step<'_>) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        let Phase::Guarding { voters, .. } = &attempt.phase else {
            return;
        };
        let request = request(member.view.number, attempt);
        let members: Vec<Node> = voters.iter().map(|voter| voter.node).collect();
        let leader = members.first().copied();
        let root = leader.filter(|_| Rule::ViewsGuardRoot.holds()).unwrap_or(self.me);
        if root == self.me {
            self.make_guard(step, self.me, request, members);
        } else {
            step.send(root, Message::MakeGuard { request, members });
        }
    }

    pub(super) fn on_make_guard(&mut self, step: &mut Step<'_>, from: Node, request: GuardRequest, members: Vec<Node>) {
        let Some(member) = self.member() else { return };
        if member.owner(request.ballot) == Some(from) && member.promised == request.ballot {
            self.make_guard(step, from, request, members);
        }
    }

    /// Creates a guard with this node as its root, once for each request.
    fn make_guard(&mut self, step: &mut Step<'_>, coordinator: Node, request: GuardRequest, members: Vec<Node>) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        match &member.making {
            Some(making) if making.request == request => return self.answer_guard(step),
            Some(making) if making.request > request => return,
            _ => {}
        }
        member.making = Some(Making {
            request,
            coordinator,
            answer: None,
        });
        step.out.push(Output::CreateGuard { request, members });
    }

    pub(super) fn on_guard_created(&mut self, step: &mut Step<'_>, request: GuardRequest, guard: GroupId) {
        if !self.made(request, Ok(guard)) {
            return step.out.push(Output::EndGuard { guard });
        }
        self.guards.insert(guard);
        self.answer_guard(step);
    }

    pub(super) fn on_guard_refused(&mut self, step: &mut Step<'_>, request: GuardRequest, refusals: Vec<Node>) {
        if self.made(request, Err(refusals)) {
            self.answer_guard(step);
        }
    }

    /// Notes what came of a guard; says whether it is still wanted.
    fn made(&mut self, request: GuardRequest, answer: Result<GroupId, Vec<Node>>) -> bool {
        let Standing::Member(member) = &mut self.standing else {
            return false;
        };
        match &mut member.making {
            Some(making) if making.request == request && making.answer.is_none() => {
                making.answer = Some(answer);
                true
            }
            _ => false,
        }
    }

    fn answer_guard(&mut self, step: &mut Step<'_>) {
        let making = self.member().and_then(|member| member.making.clone());
        let Some(Making {
            request,
            coordinator,
            answer: Some(answer),
        }) = making
        else {
            return;
        };
        match answer {
            Ok(guard) if coordinator == self.me => self.on_guard(step, self.me, request, guard),
            Err(refusals) if coordinator == self.me => self.on_no_guard(step, request, &refusals),
            Ok(guard) => step.send(coordinator, Message::Guard { request, guard }),
            Err(refusals) => step.send(coordinator, Message::GuardRefused { request, refusals }),
        }
    }

    /// The guard is there: the value is complete.
    ///
    /// V7: from here on the leader of a planned change puts nothing into the view any more.
    pub(super) fn on_guard(&mut self, step: &mut Step<'_>, from: Node, answered: GuardRequest, guard: GroupId) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        let Phase::Guarding { voters, cut } = &attempt.phase else {
            return;
        };
        if answered != request(member.view.number, attempt) || guard.root != from.peer {
            return;
        }
        let next = View {
            number: member.view.number.next(),
            voters: voters.clone(),
            policy: member.view.policy,
            cut: cut.unwrap_or_else(|| member.log.have()),
            guard,
        };
        if next.is_sound() {
            self.propose(step, &next);
        }
    }

    /// Whoever did not accept the guard is taken out, while nobody has accepted the value yet.
    pub(super) fn on_no_guard(&mut self, step: &mut Step<'_>, answered: GuardRequest, refusals: &[Node]) {
        let Some(member) = self.member() else { return };
        let Some(attempt) = member.attempt_ref() else { return };
        let Phase::Guarding { voters, cut } = &attempt.phase else {
            return;
        };
        if answered != request(member.view.number, attempt) {
            return;
        }
        let left = voters.iter().filter(|voter| !refusals.contains(&voter.node));
        let (left, cut): (Vec<Voter>, _) = (left.cloned().collect(), *cut);
        let newcomers_only = refusals.iter().all(|node| !member.view.contains(*node));
        if attempt.ballot == Ballot::PLANNED {
            if refusals.is_empty() || !newcomers_only || member.view.voters == left {
                self.give_up(step, ChangeRefused::Guard(refusals.to_vec()));
            } else {
                self.order_guard(step, left, cut);
            }
        } else if refusals.is_empty() || !self.enough_left(&left) {
            self.pause_attempt(step);
        } else {
            self.order_guard(step, left, cut);
        }
    }

    /// Nothing can be proposed to these: another attempt follows, and others may begin before it.
    fn pause_attempt(&mut self, step: &mut Step<'_>) {
        if let Standing::Member(member) = &mut self.standing {
            member.stage = Stage::Wedged;
            self.wait_for_another(step);
        }
    }

    /// The word on an invitation to a guard.
    ///
    /// "Accepted if its ballot is promised": planned, if the view is open; and by whoever waits to come in.
    pub(super) fn on_invited(&mut self, step: &mut Step<'_>, guard: GroupId, view: ViewNumber, ballot: Ballot) {
        let welcome = match &self.standing {
            Standing::Joining { behind, .. } => behind.is_none_or(|behind| view > behind),
            Standing::Member(member) => {
                let open = ballot != Ballot::PLANNED || member.is_normal();
                view.follows(member.view.number) && member.promised == ballot && open
            }
            Standing::Gone(_) => false,
        };
        let accept = welcome && (self.guards.contains(&guard) || self.guards.len() < self.config.max_guards);
        if accept {
            self.guards.insert(guard);
        }
        step.out.push(Output::Decide { guard, accept });
    }

    /// The alarm, if it is the guard of this view. Those of other views are nobody's alarm.
    pub(super) fn on_guard_failed(&mut self, step: &mut Step<'_>, guard: GroupId) {
        self.guards.remove(&guard);
        let alarm = |member: &super::state::Member| member.view.guard == guard && member.is_normal();
        if self.member().is_some_and(alarm) {
            self.wedge(step);
        }
    }

    /// A planned change does not come about.
    pub(super) fn give_up(&mut self, step: &mut Step<'_>, why: ChangeRefused) {
        if let Standing::Member(member) = &mut self.standing
            && member.is_normal()
        {
            member.stage = Stage::Normal(None);
            self.timers.cancel(Timer::Repeat);
        }
        step.tell(Event::ChangeRefused(why));
    }
}
