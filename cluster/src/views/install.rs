//! From one view to the next, and that everybody hears of it.

use std::collections::BTreeSet;

use fatebound_base::Rule;

use super::io::Output;
use super::message::Message;
use super::state::{Gone, Member, Past, Stage, Standing};
use super::{Event, Step, Timer, Views};
use crate::numbers::{Node, ViewNumber};
use crate::view::View;

impl Views {
    /// "This is decided": said by somebody in the view that ends, or in the one that begins.
    pub(super) fn on_install(&mut self, step: &mut Step<'_>, from: Node, next: View) {
        let known = self.known();
        if known.is_some_and(|known| next.number <= known) {
            return step.send(from, Message::Installed { view: next.number });
        }
        let trusted = self.view().is_some_and(|view| view.contains(from)) || next.contains(from);
        let invited = matches!(self.standing, Standing::Joining { .. }) && self.guards.contains(&next.guard);
        if !next.is_sound() || !(trusted || invited) {
            return;
        }
        match &mut self.standing {
            Standing::Member(member) if !next.number.follows(member.view.number) => {
                let view = Some(member.view.number);
                step.send(from, Message::Behind { view });
            }
            Standing::Member(member) if member.log.have() < next.cut && next.contains(self.me) => {
                let (view, seq) = (member.view.number, member.log.have());
                member.pending = Some(next);
                step.send(from, Message::Have { view, seq });
            }
            Standing::Joining { .. } if !next.contains(self.me) => {}
            _ => {
                let view = next.number;
                self.install(step, next, false);
                step.send(from, Message::Installed { view });
            }
        }
    }

    /// The last view that was installed here or is known to be over.
    fn known(&self) -> Option<ViewNumber> {
        match &self.standing {
            Standing::Joining { behind, .. } => *behind,
            Standing::Member(member) => Some(member.view.number),
            Standing::Gone(gone) => Some(gone.view),
        }
    }

    /// Ends the view that is and begins the next one. `decided` if it was decided here.
    ///
    /// V6 ◆ "A decided view is installed even if it contains the dead": its guard, failed or missing, ends it.
    pub(super) fn install(&mut self, step: &mut Step<'_>, next: View, decided: bool) {
        let alive = self.guards.contains(&next.guard);
        if !alive && !Rule::ViewsWithTheDead.holds() {
            return;
        }
        let past = self.end_view(step, &next, decided);
        for timer in [Timer::Begin, Timer::Patience, Timer::Repeat, Timer::Tell] {
            self.timers.cancel(timer);
        }
        match next.place(self.me) {
            Some(place) => self.enter(step, next, place, past),
            None => {
                let leader = next.leader().unwrap_or(self.me);
                let view = next.number;
                self.leave(step, Gone { view, leader, past });
            }
        }
        if decided {
            self.on_tell(step);
        } else {
            self.set_tell(step);
        }
    }

    /// The last entries of the view are delivered in it; what lies behind the cut never was.
    fn end_view(&mut self, step: &mut Step<'_>, next: &View, decided: bool) -> Option<Past> {
        let member = match &mut self.standing {
            Standing::Member(member) => member,
            Standing::Joining { past: Some(past), .. } if !past.waiting.is_empty() => {
                // The others have come on without having said so here.
                step.out.push(Output::EndGuard { guard: past.guard });
                return None;
            }
            Standing::Joining { .. } | Standing::Gone(_) => return None,
        };
        let number = member.view.number;
        if let Some(past) = member.past.take().filter(|past| !past.waiting.is_empty()) {
            // Not everybody has heard of this view, which is over now: who waits in the one before asks once its guard is gone.
            step.out.push(Output::EndGuard { guard: past.guard });
        }
        // Whoever is put out may have delivered what is lost with it, or lack what the others have.
        let whole = member.log.have() == next.cut;
        member.log.cut(next.cut);
        member.log.commit(next.cut);
        if next.contains(self.me) || whole {
            step.tell(Event::Deliver {
                view: number,
                up_to: next.cut,
            });
        }
        let mut waiting: BTreeSet<Node> = BTreeSet::new();
        if decided || next.leader() == Some(self.me) {
            waiting.extend(next.voters.iter().map(|voter| voter.node));
        }
        if decided {
            waiting.extend(member.others());
        }
        waiting.remove(&self.me);
        Some(Past {
            number,
            guard: member.view.guard,
            log: member.log.clone(),
            next: next.clone(),
            waiting,
            tellings: 0,
        })
    }

    fn enter(&mut self, step: &mut Step<'_>, next: View, place: usize, past: Option<Past>) {
        self.end_other_guards(step, &next);
        self.hinted.retain(|node| next.contains(*node));
        step.tell(Event::Installed { view: next.clone() });
        if self.blocked.take().is_some() {
            step.tell(Event::Unblocked);
        }
        if let Some(leader) = next.leader().filter(|leader| *leader != self.me) {
            step.send(leader, Message::Installed { view: next.number });
        }
        let guarded = self.guards.contains(&next.guard);
        let mut member = Member::new(next, place, past);
        if guarded {
            member.stage = Stage::Normal(None);
        }
        self.standing = Standing::Member(Box::new(member));
        if !guarded {
            self.wedge(step);
        }
    }

    /// Guards that were made or accepted for attempts that came to nothing are not needed any more. The old view's guard lives until
    /// everybody has come to the new one.
    fn end_other_guards(&mut self, step: &mut Step<'_>, next: &View) {
        let old = self.view().map(|view| view.guard);
        for guard in std::mem::take(&mut self.guards) {
            if guard == next.guard {
                self.guards.insert(guard);
            } else if guard.root == self.me.peer && Some(guard) != old {
                step.out.push(Output::EndGuard { guard });
            }
        }
    }

    pub(super) fn on_installed(&mut self, step: &mut Step<'_>, from: Node, view: ViewNumber) {
        let leads = self.view().is_some_and(|view| view.leader() == Some(self.me));
        let Some(past) = self.past_mut().filter(|past| past.next.number == view) else {
            return;
        };
        let told = past.waiting.remove(&from);
        let (all_here, all_told, guard) = (past.all_here(), past.waiting.is_empty(), past.guard);
        if all_told {
            self.timers.cancel(Timer::Tell);
        }
        let gone = !matches!(self.standing, Standing::Member(_));
        if told && (all_here && leads || all_told && gone) {
            step.out.push(Output::EndGuard { guard });
        }
    }

    pub(super) fn past_mut(&mut self) -> Option<&mut Past> {
        match &mut self.standing {
            Standing::Joining { past, .. } => past.as_deref_mut(),
            Standing::Member(member) => member.past.as_mut(),
            Standing::Gone(gone) => gone.past.as_mut(),
        }
    }

    /// Tells those who have not come yet. Those outside of the view, which may be dead, are not told for ever.
    pub(super) fn on_tell(&mut self, step: &mut Step<'_>) {
        let limit = self.config.tellings;
        let leads = self.view().is_some_and(|view| view.leader() == Some(self.me));
        let Some(past) = self.past_mut() else { return };
        if past.tellings >= limit {
            let next = &past.next;
            past.waiting.retain(|node| leads && next.contains(*node));
        }
        let (given_up, guard) = (past.waiting.is_empty(), past.guard);
        past.tellings = past.tellings.saturating_add(1).min(limit);
        for node in &past.waiting {
            let next = Box::new(past.next.clone());
            step.send(*node, Message::Install { next });
        }
        if given_up && !matches!(self.standing, Standing::Member(_)) {
            // Whoever has not heard of it yet will ask.
            step.out.push(Output::EndGuard { guard });
        }
        self.set_tell(step);
    }

    fn set_tell(&mut self, step: &Step<'_>) {
        let Some(past) = self.past_mut().filter(|past| !past.waiting.is_empty()) else {
            return;
        };
        let tellings = past.tellings;
        let pause = self.config.pause(tellings);
        self.timers.set(Timer::Tell, step.now + pause);
    }
}
