//! Agreement on the next view: the machine of one process group at one node (cluster.md §4). `handle` only dispatches.
//!
//! A view is decided by its predecessor: by Paxos, one instance per view, among the voters of the view that ends. The leader owns the first
//! ballot and plans with it; when the alarm comes, whoever is next takes a later one. Nothing here believes an alarm: it only begins with it.
//!
//! | file | idea |
//! | --- | --- |
//! | `acceptor` | the voter's side: promise, accept |
//! | `attempt` | the coordinator's side: who begins, promises, the value, the decision |
//! | `change` | what the leader plans while all is well |
//! | `guards` | the alarm of the next view |
//! | `install` | from one view to the next, and that everybody hears of it |
//! | `stale` | questions about other views than this node's |
//! | `shelf` | the entries of the view as the stream sees them |
//! | `message`, `io`, `config`, `state` | words, ins and outs, times, what is remembered |

mod acceptor;
mod attempt;
mod change;
mod config;
mod guards;
mod install;
mod io;
mod message;
mod shelf;
mod stale;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use fatebound_base::{Deadlines, Rule, Time};
use fatebound_tree::GroupId;

pub use config::Config;
pub use io::{Blocked, ChangeRefused, Context, Event, Input, Output};
pub use message::{GuardRequest, Message};

use crate::log::Log;
use crate::numbers::{Node, ViewNumber};
use crate::view::View;
use state::{Gone, Member, Stage, Standing};

/// What the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// It is this node's turn to coordinate.
    Begin,
    /// Patience with those who are silent is over.
    Patience,
    /// The attempt's question is repeated.
    Repeat,
    /// Those who have not come to the view are told again.
    Tell,
}

/// How a node stands to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// In no view yet.
    Joining,
    /// In a view; entries flow.
    Normal,
    /// In a view that ends; somebody else coordinates.
    Wedged,
    /// In a view that ends; this node coordinates.
    Coordinating,
    /// In a view that ends, and there are not enough of it.
    Blocked,
    /// The group goes on without it.
    Gone,
}

/// The moment of an input, and where outputs go.
struct Step<'a> {
    now: Time,
    context: Context,
    out: &'a mut Vec<Output>,
}

impl Step<'_> {
    fn send(&mut self, to: Node, message: Message) {
        self.out.push(Output::Send { to, message });
    }

    fn tell(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }
}

/// The machine.
#[derive(Clone, Debug, Hash)]
pub struct Views {
    me: Node,
    config: Config,
    standing: Standing,
    timers: Deadlines<Timer>,
    /// Guards that this node is in and that have not failed.
    guards: BTreeSet<GroupId>,
    /// Whose lives are said to be over, of those in the view.
    hinted: BTreeSet<Node>,
    /// What was said last of a missing quorum.
    blocked: Option<Blocked>,
}

impl Views {
    /// A node that waits to be taken in.
    pub fn joining(me: Node, config: Config) -> Views {
        Views {
            me,
            config,
            standing: Standing::Joining {
                behind: None,
                past: None,
            },
            timers: Deadlines::default(),
            guards: BTreeSet::new(),
            hinted: BTreeSet::new(),
            blocked: None,
        }
    }

    /// A node in the first view of a group, whose guard is up; `None` if it is not in it.
    pub fn founding(me: Node, view: View, config: Config) -> Option<Views> {
        let mut views = Views::joining(me, config);
        views.guards.insert(view.guard);
        let place = view.place(me).filter(|_| view.is_sound())?;
        let mut member = Member::new(view, place, None);
        member.stage = Stage::Normal(None);
        views.standing = Standing::Member(Box::new(member));
        Some(views)
    }

    /// When `Input::Wake` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// This node.
    pub fn me(&self) -> Node {
        self.me
    }

    /// How this node stands to its group.
    pub fn status(&self) -> Status {
        match &self.standing {
            Standing::Joining { .. } => Status::Joining,
            Standing::Gone(_) => Status::Gone,
            Standing::Member(_) if self.blocked.is_some() => Status::Blocked,
            Standing::Member(member) => match member.stage {
                Stage::Normal(_) => Status::Normal,
                Stage::Wedged => Status::Wedged,
                Stage::Coordinating(_) => Status::Coordinating,
            },
        }
    }

    /// Whether this node may speak for the group: say who leads it, show its state, feed others.
    ///
    /// V11 ◆ "Whoever is not in an open view speaks for nobody".
    pub fn speaks(&self) -> bool {
        match self.status() {
            Status::Normal => true,
            Status::Wedged | Status::Coordinating | Status::Blocked => !Rule::ViewsWedgedIsMute.holds(),
            Status::Joining | Status::Gone => false,
        }
    }

    /// Whether the stream may number entries here: at the leader of an open view, until it has put the next view behind them.
    pub fn numbers(&self) -> bool {
        self.member()
            .is_some_and(|member| member.is_normal() && member.place == 0 && !member.sealed())
    }

    /// The view in which this node is.
    pub fn view(&self) -> Option<&View> {
        self.member().map(|member| &member.view)
    }

    /// What is missing of a quorum, as it was said last.
    pub fn blocked(&self) -> Option<&Blocked> {
        self.blocked.as_ref()
    }

    /// The entries of the view in which this node is.
    pub fn log(&self) -> Option<&Log> {
        self.member().map(|member| &member.log)
    }

    /// The entries of the view before, up to its cut.
    pub fn past_log(&self) -> Option<(ViewNumber, &Log)> {
        let past = match &self.standing {
            Standing::Member(member) => member.past.as_ref(),
            Standing::Gone(gone) => gone.past.as_ref(),
            Standing::Joining { .. } => None,
        };
        past.map(|past| (past.number, &past.log))
    }

    fn member(&self) -> Option<&Member> {
        match &self.standing {
            Standing::Member(member) => Some(member),
            _ => None,
        }
    }

    /// One step: what has happened goes in, what is to be done comes out.
    pub fn handle(&mut self, now: Time, input: Input, context: Context, out: &mut Vec<Output>) {
        let step = &mut Step { now, context, out };
        match input {
            Input::Change { insert, remove } => self.on_change(step, insert, &remove),
            Input::Rejoin => self.on_rejoin(),
            Input::Received { from, message } => self.on_received(step, from, message),
            Input::Entry { view, seq, entry } => self.on_entry(view, seq, entry),
            Input::Committed { view, seq } => self.on_committed(view, seq),
            Input::Invited { guard, view, ballot } => self.on_invited(step, guard, view, ballot),
            Input::GuardCreated { request, guard } => self.on_guard_created(step, request, guard),
            Input::GuardRefused { request, refusals } => self.on_guard_refused(step, request, refusals),
            Input::GuardFailed { guard } => self.on_guard_failed(step, guard),
            Input::Hint { node } => self.on_hint(step, node),
            Input::Wake => self.on_wake(step),
        }
    }

    fn on_received(&mut self, step: &mut Step<'_>, from: Node, message: Message) {
        match message {
            Message::Install { next } => return self.on_install(step, from, *next),
            Message::Installed { view } => return self.on_installed(step, from, view),
            Message::Superseded { over, view, leader } => {
                // About a view that this node has left, it says nothing about the one in which it is now.
                let here = self.view().is_some_and(|now| now.number == over);
                if here {
                    self.on_superseded(step, from, view, leader);
                }
                return;
            }
            Message::Behind { view } => return self.on_behind(step, from, view),
            _ => {}
        }
        if !self.is_about_this_view(&message) {
            return self.on_other_view(step, from, &message);
        }
        if self.view().is_some_and(|view| view.contains(from)) {
            self.on_current(step, from, message);
        }
    }

    fn is_about_this_view(&self, message: &Message) -> bool {
        self.view().is_some_and(|view| message.about() == Some(view.number))
    }

    /// A message of a voter about the view in which both are.
    fn on_current(&mut self, step: &mut Step<'_>, from: Node, message: Message) {
        match message {
            Message::Prepare { ballot, have, .. } => self.on_prepare(step, from, ballot, have),
            Message::Promise {
                ballot,
                accepted,
                have,
                run,
                ..
            } => {
                let accepted = accepted.map(|(ballot, next)| (ballot, *next));
                self.on_promise(step, from, ballot, state::Promised { accepted, have }, run);
            }
            Message::Higher { ballot, .. } => self.on_higher(step, ballot),
            Message::Fill { run, .. } => self.on_fill(step, from, run),
            Message::Have { seq, .. } => self.on_have(step, from, seq),
            Message::MakeGuard { request, members } => self.on_make_guard(step, from, request, members),
            Message::Guard { request, guard } => self.on_guard(step, from, request, guard),
            Message::GuardRefused { request, refusals } => self.on_no_guard(step, request, &refusals),
            Message::Accept { ballot, next, .. } => self.on_accept(step, from, ballot, *next),
            Message::Accepted { ballot, .. } => self.on_accepted(step, from, ballot),
            _ => {}
        }
    }

    fn on_wake(&mut self, step: &mut Step<'_>) {
        // What is set meanwhile waits for the next time.
        let due: Vec<Timer> = std::iter::from_fn(|| self.timers.pop_due(step.now)).collect();
        for timer in due {
            match timer {
                Timer::Begin => self.begin(step),
                Timer::Patience => self.on_patience(step),
                Timer::Repeat => self.on_repeat(step),
                Timer::Tell => self.on_tell(step),
            }
        }
    }

    fn on_rejoin(&mut self) {
        if let Standing::Gone(gone) = &mut self.standing {
            self.standing = Standing::Joining {
                // Never into a view in which it may have been before: it has forgotten what it promised there.
                behind: Some(gone.view),
                past: gone.past.take().map(Box::new),
            };
        }
    }

    fn leave(&mut self, step: &mut Step<'_>, gone: Gone) {
        for timer in [Timer::Begin, Timer::Patience, Timer::Repeat] {
            self.timers.cancel(timer);
        }
        self.guards.clear();
        self.hinted.clear();
        self.blocked = None;
        step.tell(Event::Removed {
            view: gone.view,
            leader: gone.leader,
        });
        self.standing = Standing::Gone(Box::new(gone));
    }

    /// `max(floor, 2 · mean round trip)`.
    fn pace(&self, step: &Step<'_>) -> Duration {
        let measured = step
            .context
            .round_trip
            .map_or(Duration::ZERO, |trip| trip.saturating_mul(2));
        self.config.step.max(measured)
    }
}
