//! Numbered, complete, stable entries within a view: the stream of one process group at one node (cluster.md §6). `handle` only dispatches.
//!
//! The view's leader numbers what anybody submits and sends it to everybody; everybody else is connected to the leader alone. Agreement
//! ([`Views`](crate::Views)) decides who is in the view and owns its entries, which the stream sees as a [`Shelf`].
//!
//! After every input all that has become possible is done (`go_on`): handlers only note what they have learnt. So nothing depends on the order
//! in which acknowledgements, room in a pipe or a new submission come.
//!
//! | file | idea |
//! | --- | --- |
//! | `submissions` | what this node has submitted, until it is committed |
//! | `numbering` | at the leader: which submission is the next entry, and whose turn it is when the window is full |
//! | `feeding` | at the leader: entries to everybody, what they have, what is stable |
//! | `following` | at everybody else: entries come in, acknowledgements go out |
//! | `delivery` | which entry is delivered when, and forgotten when |
//! | `resuming` | after a broken or a full pipe, and when nothing comes back |
//! | `message`, `io`, `shelf`, `config` | words, ins and outs, the entries, times and limits |

mod config;
mod delivery;
mod feeding;
mod following;
mod io;
mod message;
mod numbering;
mod resuming;
mod shelf;
mod submissions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use fatebound_base::{Bounded, Deadlines, Time};

pub use config::Config;
pub use io::{Input, Output, Refused};
pub use message::{Class, Frame, Item, MAX_BODY, MAX_ENTRY, Marks};
pub use shelf::Shelf;

use crate::numbers::{Node, Seq, ViewNumber};
use crate::view::MAX_VOTERS;
use feeding::Leading;
use following::Following;
use submissions::Submissions;

/// What the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// At the leader: what is stable is told to those who do not know it yet.
    Tell,
    /// At the leader: this node has not acknowledged what it was sent.
    Repeat(Node),
    /// At the leader: this node has acknowledged nothing for long.
    Lag(Node),
    /// Elsewhere: what has come is acknowledged.
    Acknowledge,
    /// Elsewhere: the leader has not answered.
    Ask,
}

/// What a node does in the view.
#[derive(Clone, Debug, Hash)]
enum Role {
    /// Nothing: it is in no view that is open.
    None,
    /// It numbers.
    Leading(Leading),
    /// It is told.
    Following(Following),
}

/// The moment of an input, the entries, and where outputs go.
struct Step<'a> {
    now: Time,
    shelf: &'a mut dyn Shelf,
    out: &'a mut Vec<Output>,
}

impl Step<'_> {
    fn send(&mut self, to: Node, frame: Frame) {
        self.out.push(Output::Send { to, frame });
    }
}

/// The machine.
#[derive(Clone, Debug, Hash)]
pub struct Stream {
    me: Node,
    config: Config,
    /// Whether this node is in the group.
    inside: bool,
    role: Role,
    own: Submissions,
    /// Of each node in the view the last submission that was delivered here.
    lasts: BTreeMap<Node, u64>,
    /// The last entry that was delivered.
    delivered: Seq,
    /// The last entry that was looked through for own submissions.
    seen: Seq,
    /// Who has spoken of a view to which this node had not come; at most as many as a view has voters.
    early: BTreeMap<Node, ViewNumber>,
    timers: Deadlines<Timer>,
}

impl Stream {
    /// Of a node that is in no view yet.
    pub fn new(me: Node, config: Config) -> Stream {
        Stream {
            me,
            config,
            inside: false,
            role: Role::None,
            own: Submissions::default(),
            lasts: BTreeMap::new(),
            delivered: Seq::default(),
            seen: Seq::default(),
            early: BTreeMap::new(),
            timers: Deadlines::default(),
        }
    }

    /// When `Input::Wake` is wanted. Never, if all that was submitted is known to be with everybody.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The last entry that was delivered here.
    pub fn delivered(&self) -> Seq {
        self.delivered
    }

    /// Of each node in the view the last submission that was delivered here: part of the state that a newcomer is given as of the cut.
    pub fn lasts(&self) -> &BTreeMap<Node, u64> {
        &self.lasts
    }

    /// Everything that can grow here, with its limit. Entries are bounded where they lie.
    pub fn bounds(&self) -> Vec<Bounded> {
        let config = &self.config;
        let window = config.window_entries.saturating_mul(2);
        vec![
            Bounded::new("submissions", self.own.len(), config.queue_submissions),
            Bounded::new("bytes of submissions", self.own.bytes(), config.queue_bytes),
            Bounded::new("own entries to be committed", self.own.uncommitted(), window),
            Bounded::new("last submissions", self.lasts.len(), MAX_VOTERS),
            Bounded::new("early speakers", self.early.len(), MAX_VOTERS),
            Bounded::new("timers", self.timers.len(), 2 * MAX_VOTERS + 1),
        ]
    }

    /// Submits something; says which of this node's submissions it is. Between views it waits.
    ///
    /// # Errors
    /// Why it was not taken; nothing has changed.
    pub fn submit(
        &mut self,
        now: Time,
        class: Class,
        body: Vec<u8>,
        shelf: &mut dyn Shelf,
        out: &mut Vec<Output>,
    ) -> Result<u64, Refused> {
        if !self.inside {
            return Err(Refused::NotIn);
        }
        let number = self.own.push(&self.config, class, body)?;
        self.go_on(&mut Step { now, shelf, out });
        Ok(number)
    }

    /// Why a submission of so many bytes would not be taken now, if it would not.
    pub fn obstacle(&self, bytes: usize) -> Option<Refused> {
        match self.inside {
            true => self.own.obstacle(&self.config, bytes),
            false => Some(Refused::NotIn),
        }
    }

    /// Between views: a submission that is not delivered will be an entry without a body. For what has to be decided anew in each view.
    pub fn void(&mut self, number: u64) {
        self.own.void(number);
    }

    /// The last submission of this node that has its place in this view, with all before it.
    pub fn placed(&self) -> u64 {
        self.own.placed()
    }

    /// One step: what has happened goes in, what is to be done comes out.
    pub fn handle(&mut self, now: Time, input: Input, shelf: &mut dyn Shelf, out: &mut Vec<Output>) {
        let step = &mut Step { now, shelf, out };
        match input {
            Input::Installed { lasts } => self.on_installed(step, lasts),
            Input::Wedged => self.stop(),
            Input::Ended { up_to } => self.on_ended(step, up_to),
            Input::Removed => self.on_removed(step),
            Input::Received { from, frame } => self.on_received(step, from, frame),
            Input::Full { node, frame } => self.on_full(step, node, &frame),
            Input::Room { node } => self.on_room(node),
            Input::LineDown { node } => self.on_line_down(step, node),
            Input::Wake => self.on_wake(step),
        }
        self.go_on(step);
    }

    /// Does whatever can be done now.
    fn go_on(&mut self, step: &mut Step<'_>) {
        if !step.shelf.open() {
            return;
        }
        self.advance(step);
        while self.number_own(step) {
            self.advance(step);
        }
        self.feed(step);
        self.follow(step);
    }

    fn on_installed(&mut self, step: &mut Step<'_>, lasts: BTreeMap<Node, u64>) {
        self.stop();
        let Some(view) = step.shelf.view() else { return };
        let (number, cut, leader) = (view.number, view.cut, view.leader());
        if !self.inside {
            self.lasts = lasts;
        }
        self.inside = true;
        // Whoever is put out and comes back counts from 1 again, for everybody.
        self.lasts.retain(|node, _| view.contains(*node));
        self.delivered = cut;
        self.seen = cut;
        self.own.restart(self.lasts.get(&self.me).copied().unwrap_or_default());
        self.role = match leader {
            Some(leader) if leader != self.me => Role::Following(Following::new(number, leader, cut)),
            _ => Role::Leading(Leading::new(self.me, view, self.lasts.clone())),
        };
        self.answer_early(step, number);
    }

    /// Nothing is done in the view any more.
    fn stop(&mut self) {
        self.role = Role::None;
        self.timers = Deadlines::default();
    }

    fn on_ended(&mut self, step: &mut Step<'_>, up_to: Seq) {
        self.stop();
        self.deliver(step, Some(up_to));
        self.tell_committed(step, up_to);
    }

    fn on_removed(&mut self, step: &mut Step<'_>) {
        self.stop();
        let unknown = self.own.clear().into_iter();
        step.out.extend(unknown.map(|number| Output::Unknown { number }));
        self.inside = false;
        self.lasts.clear();
        self.early.clear();
    }

    fn on_received(&mut self, step: &mut Step<'_>, from: Node, frame: Frame) {
        let here = step.shelf.view().map(|view| view.number);
        if Some(frame.view()) > here {
            self.note_early(from, frame.view());
        }
        if Some(frame.view()) != here || !step.shelf.open() {
            return;
        }
        match &self.role {
            Role::None => {}
            Role::Leading(_) => self.on_voters_frame(step, from, frame),
            Role::Following(following) if following.leader != from => {}
            Role::Following(_) => self.on_leaders_frame(step, frame),
        }
    }

    fn on_wake(&mut self, step: &mut Step<'_>) {
        // What is set meanwhile waits for the next time.
        let due: Vec<Timer> = std::iter::from_fn(|| self.timers.pop_due(step.now)).collect();
        for timer in due {
            match timer {
                Timer::Tell => self.tell_all(),
                Timer::Repeat(node) => self.repeat_to(node),
                Timer::Lag(node) => self.lags(step, node),
                Timer::Acknowledge => self.acknowledge_now(),
                Timer::Ask => self.ask_again(step),
            }
        }
    }
}

/// Sets a deadline unless it is set.
fn start(timers: &mut Deadlines<Timer>, timer: Timer, at: Time) {
    if timers.get(timer).is_none() {
        timers.set(timer, at);
    }
}
