//! The chair: at the leader, and only there, it decides what is numbered next.
//!
//! It is thrown away with the leader, and the next one begins with nothing but the state and the nodes of its view: whatever else it knows, the
//! desks say again. One control entry is under way at a time, so that what is decided here is decided on the state that the entry will meet.
//!
//! | file | idea |
//! | --- | --- |
//! | `listen` | what desks say |
//! | `queue` | proposals that wait |
//! | `answered` | a proposal that comes twice is not begun twice |
//! | `votes` | votes that came, and whether the phase can end |
//! | `next` | what is numbered next |

mod answered;
mod listen;
mod next;
mod queue;
mod votes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fatebound_base::{Bounded, Deadlines, Rule, Time};

use super::change::Refusal;
use super::entry::{Exit, Failure, Reason, Remark};
use super::io::{ChairInput, ChairOutput};
use super::message::Answer;
use super::names::{ProposalId, ProviderId};
use super::state::{GroupState, Stage, Standing};
use super::{MAX_PROVIDERS, MAX_WAITING};
use crate::numbers::{Node, Seq};
use answered::Answered;
use queue::Queue;
use votes::Votes;

/// Remarks that wait at most; more are left unsaid.
const MAX_REMARKS: usize = 64;

/// What the chair waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// The limit of the phase, or of the commands of deactivation.
    Limit,
    /// Something that is collected for a batch is due.
    Batch,
    /// A place is held for long enough.
    Hold(ProviderId),
}

/// The moment of an input, the state as of now, and where outputs go.
struct Step<'a> {
    now: Time,
    state: &'a GroupState,
    out: &'a mut Vec<ChairOutput>,
}

impl Step<'_> {
    fn tell(&mut self, to: Node, answer: Answer) {
        self.out.push(ChairOutput::Tell { to, answer });
    }
}

/// The machine.
#[derive(Clone, Debug, Default)]
pub struct Chair {
    present: BTreeSet<Node>,
    /// The proposals in the control entry that is numbered and not applied, if there is one.
    under_way: Option<Vec<ProposalId>>,
    queue: Queue,
    answered: Answered,
    votes: Votes,
    exits: BTreeMap<ProviderId, Exit>,
    /// Who has failed and is not announced yet, in the order in which it was heard.
    losses: Vec<Failure>,
    remarks: VecDeque<(ProviderId, Remark)>,
    raise: Option<u32>,
    /// It has looked at the state before.
    seated: bool,
    /// What is waited for in the protocol that runs.
    watched: Option<(Seq, Stage)>,
    /// It was waited long enough.
    limit_over: bool,
    timers: Deadlines<Timer>,
}

impl Chair {
    /// Of a leader that has just come to lead. Its first input is `ChairInput::Nodes`.
    pub fn new() -> Chair {
        Chair::default()
    }

    /// When `ChairInput::Wake` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// What can grow, and how far.
    pub fn bounds(&self) -> Vec<Bounded> {
        vec![
            Bounded::new("joins at the chair", self.queue.joins(), MAX_WAITING),
            Bounded::new("other proposals at the chair", self.queue.rest(), MAX_WAITING),
            Bounded::new("votes at the chair", self.votes.len(), MAX_PROVIDERS),
            Bounded::new("losses at the chair", self.losses.len(), MAX_PROVIDERS + MAX_WAITING),
            Bounded::new("remarks at the chair", self.remarks.len(), MAX_REMARKS),
            self.answered.bound(),
        ]
    }

    /// Who has not voted in the open phase, of those whose vote is waited for.
    pub fn awaited(&self, state: &GroupState) -> Vec<ProviderId> {
        self.votes.missing(state)
    }

    /// One step: what has happened goes in, what is to be done comes out. `state` is that of all entries applied so far.
    pub fn handle(&mut self, now: Time, input: ChairInput, state: &GroupState, out: &mut Vec<ChairOutput>) {
        let step = &mut Step { now, state, out };
        match input {
            ChairInput::Words { from, words } => {
                for word in words {
                    self.on_word(step, from, word);
                }
            }
            ChairInput::Applied { control } => {
                if control {
                    self.under_way = None;
                }
            }
            ChairInput::Nodes { present } => self.on_nodes(step, present),
            ChairInput::Announce { provider, remark } => self.on_announce(provider, remark),
            ChairInput::Raise { incarnation } => self.raise = self.raise.max(Some(incarnation)),
            ChairInput::Wake => self.on_wake(step),
        }
        self.follow(step);
        self.go_on(step);
        self.wake_for_batches(step);
    }

    fn on_nodes(&mut self, step: &mut Step<'_>, present: BTreeSet<Node>) {
        self.under_way = None;
        self.answered.keep(&present);
        self.queue.keep(|waiting| present.contains(&waiting.by.provider.node));
        self.present = present;
        let listed = step.state.providers().iter();
        let here = listed
            .filter(|provider| provider.is_present())
            .map(|provider| provider.id);
        let gone: Vec<ProviderId> = here
            .chain(step.state.joiners())
            .filter(|provider| !self.present.contains(&provider.node))
            .collect();
        for provider in gone {
            self.lose(provider, Reason::NodeGone, Vec::new());
        }
    }

    fn on_announce(&mut self, provider: ProviderId, remark: Remark) {
        let news = (provider, remark);
        if self.remarks.len() < MAX_REMARKS && !self.remarks.contains(&news) {
            self.remarks.push_back(news);
        }
    }

    fn on_wake(&mut self, step: &mut Step<'_>) {
        while let Some(timer) = self.timers.pop_due(step.now) {
            match timer {
                Timer::Limit => self.limit_over = true,
                Timer::Batch => {}
                Timer::Hold(provider) => self.lose(provider, Reason::HoldOver, Vec::new()),
            }
        }
    }

    /// Remembers who has to be announced as failed.
    fn lose(&mut self, provider: ProviderId, reason: Reason, text: Vec<u8>) {
        if self.losses.iter().all(|loss| loss.provider != provider) {
            self.losses.push(Failure { provider, reason, text });
        }
    }

    /// Comes to where the state is.
    fn follow(&mut self, step: &mut Step<'_>) {
        let state = step.state;
        for by in self.queue.take_begun(state) {
            self.answered.begun(by);
        }
        self.watch(step);
        self.losses.retain(
            |loss| match state.provider(loss.provider).map(|listed| listed.standing) {
                Some(Standing::Failed(_)) => false,
                Some(Standing::Absent { .. }) => loss.reason == Reason::HoldOver,
                Some(Standing::Present) | None => true,
            },
        );
        for provider in state.providers() {
            let Standing::Absent { hold } = provider.standing else {
                continue;
            };
            let timer = Timer::Hold(provider.id);
            if self.timers.get(timer).is_none() && self.losses.iter().all(|loss| loss.provider != provider.id) {
                self.timers.set(timer, step.now + hold);
            }
        }
    }

    /// X4 ◆ "The limit of a phase runs at the leader, from when its opening is applied; at a new one anew".
    fn watch(&mut self, step: &mut Step<'_>) {
        let inherited = !std::mem::replace(&mut self.seated, true);
        let running = step.state.running();
        let stage = running.map(|running| (running.protocol, running.stage));
        if stage == self.watched {
            return;
        }
        self.watched = stage;
        self.limit_over = false;
        self.votes.forget_before(stage);
        self.exits.clear();
        match running {
            Some(running) if !inherited || Rule::ProtocolsFreshLimit.holds() => {
                self.timers.set(Timer::Limit, step.now + running.limit);
            }
            _ => {
                self.timers.cancel(Timer::Limit);
            }
        }
    }

    fn wake_for_batches(&mut self, step: &Step<'_>) {
        match self.queue.next_ready(step.now) {
            Some(at) => self.timers.set(Timer::Batch, at),
            None => {
                self.timers.cancel(Timer::Batch);
            }
        }
    }

    fn refuse(&mut self, step: &mut Step<'_>, by: ProposalId, why: Refusal) {
        self.queue.remove(by);
        self.answered.refused(by, why);
        step.tell(by.provider.node, Answer::Refused { by, why });
    }
}
