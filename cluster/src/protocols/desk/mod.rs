//! The desk: at every node, it serves the providers of its node.
//!
//! What the chair may lose is kept here and said again: a proposal until it has begun or was refused, a vote until its phase is over, a goodbye
//! until everybody has heard it. Of each provider one proposal at a time is with the chair, so that they begin in their order and each once.
//!
//! | file | idea |
//! | --- | --- |
//! | `local` | one provider of this node |
//! | `orders` | what applications want |
//! | `follow` | what entries mean for the providers of this node |

mod follow;
mod local;
mod orders;

use std::collections::BTreeMap;

use fatebound_base::{Bounded, Deadlines, Rule, Time};

use super::change::Refusal;
use super::entry::{Exit, Reason};
use super::io::{DeskInput, DeskOutput, Ended, Event, Resolved};
use super::message::{Answer, Word};
use super::names::{ProposalId, ProviderId, Ticket};
use super::state::GroupState;
use super::{MAX_BATCH, MAX_PROPOSALS, MAX_PROVIDERS_PER_NODE};
use crate::numbers::{Node, Seq};
use local::Local;

/// What a provider says that left when its limit was over.
const LEAVE_LIMIT: &[u8] = b"leave limit";

/// The moment of an input, the state as of now, and where outputs go.
struct Step<'a> {
    now: Time,
    state: &'a GroupState,
    out: &'a mut Vec<DeskOutput>,
}

impl Step<'_> {
    fn say(&mut self, word: Word) {
        self.out.push(DeskOutput::ToChair(word));
    }

    fn tell(&mut self, provider: ProviderId, event: Event) {
        self.out.push(DeskOutput::Event { provider, event });
    }

    fn done(&mut self, provider: ProviderId, ticket: Option<Ticket>, result: Resolved) {
        if let Some(ticket) = ticket {
            self.tell(provider, Event::Done { ticket, result });
        }
    }
}

/// A command of deactivation that this node was to run.
#[derive(Clone, Copy, Debug)]
struct Deactivation {
    protocol: Seq,
    exit: Option<Exit>,
}

/// The machine. There is one only where there is a state.
#[derive(Clone, Debug)]
pub struct Desk {
    me: Node,
    last_serial: u32,
    locals: BTreeMap<ProviderId, Local>,
    /// Of the expulsion that runs.
    deactivations: BTreeMap<ProviderId, Deactivation>,
    /// When a leave becomes a goodbye.
    leaves: Deadlines<ProviderId>,
}

impl Desk {
    /// Of this node, with nobody in the group yet.
    pub fn new(me: Node) -> Desk {
        Desk::after(me, 0)
    }

    /// The same at a node whose desks have given out serials up to this one: no provider is named as another was.
    pub fn after(me: Node, last_serial: u32) -> Desk {
        Desk {
            me,
            last_serial,
            locals: BTreeMap::new(),
            deactivations: BTreeMap::new(),
            leaves: Deadlines::default(),
        }
    }

    /// The last serial that it has given out.
    pub fn last_serial(&self) -> u32 {
        self.last_serial
    }

    /// When `DeskInput::Wake` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.leaves.next()
    }

    /// The providers of this node, also those that are not in the group yet.
    pub fn providers(&self) -> impl Iterator<Item = ProviderId> + '_ {
        self.locals.keys().copied()
    }

    /// Whether a provider that was expelled is being ended: until the group knows how that went, or has waited for long enough.
    pub fn is_deactivating(&self) -> bool {
        !self.deactivations.is_empty()
    }

    /// What can grow, and how far.
    pub fn bounds(&self) -> Vec<Bounded> {
        let proposals = self.locals.values().map(Local::proposals);
        vec![
            Bounded::new("providers of a node", self.locals.len(), MAX_PROVIDERS_PER_NODE),
            Bounded::fullest("proposals of a provider", proposals, MAX_PROPOSALS),
            Bounded::new("deactivations of a node", self.deactivations.len(), MAX_BATCH),
        ]
    }

    /// One step: what has happened goes in, what is to be done comes out. `state` is that of all entries applied so far.
    pub fn handle(&mut self, now: Time, input: DeskInput<'_>, state: &GroupState, out: &mut Vec<DeskOutput>) {
        let step = &mut Step { now, state, out };
        match input {
            DeskInput::Order(order) => self.on_order(step, order),
            DeskInput::Answer(answer) => self.on_answer(step, answer),
            DeskInput::Applied { notices } => self.on_applied(step, notices),
            DeskInput::Leader | DeskInput::Again => self.say_again(step),
            DeskInput::Removed => self.on_removed(step),
            DeskInput::Wake => self.on_wake(step),
        }
    }

    /// X1 ◆ "A proposal stays at its provider's node until it has begun or was refused, and is told to every new leader".
    /// X3 ◆ "A vote stays at its voter's node until its phase is over, and is told to every new leader".
    fn say_again(&self, step: &mut Step<'_>) {
        for (provider, local) in &self.locals {
            if let Some((reason, text)) = &local.over {
                step.say(over(*provider, *reason, text));
            } else if Rule::ProtocolsProposalsKept.holds() {
                local.say_proposal(*provider, step);
            }
            if let Some((protocol, phase, vote)) = local.vote.clone().filter(|_| Rule::ProtocolsVotesKept.holds()) {
                step.say(Word::Vote {
                    provider: *provider,
                    protocol,
                    phase,
                    vote,
                });
            }
        }
        for (provider, deactivation) in &self.deactivations {
            if let Some(exit) = deactivation.exit {
                step.say(Word::Deactivated {
                    provider: *provider,
                    protocol: deactivation.protocol,
                    exit,
                });
            }
        }
    }

    fn on_answer(&mut self, step: &mut Step<'_>, answer: Answer) {
        match answer {
            Answer::Refused { by, why } => self.on_refused(step, by, why),
            Answer::Unlisted { provider } => {
                let unknown = |local: &&Local| local.over.is_some() && !local.inside;
                if self.locals.get(&provider).filter(unknown).is_some() {
                    self.end(step, provider, Ended::NotJoined);
                }
            }
        }
    }

    fn on_refused(&mut self, step: &mut Step<'_>, by: ProposalId, why: Refusal) {
        let Some(local) = self.locals.get_mut(&by.provider) else {
            return;
        };
        let Some(refused) = local.refused(by.number) else {
            return;
        };
        self.leaves_no_more(by.provider);
        step.done(by.provider, refused.ticket, Resolved::Refused(why));
        if refused.is_join() {
            return self.end(step, by.provider, Ended::NotJoined);
        }
        if let Some(local) = self.locals.get(&by.provider) {
            local.say_proposal(by.provider, step);
        }
    }

    /// Forgets the limit of a leave that is not asked for any more.
    fn leaves_no_more(&mut self, provider: ProviderId) {
        let leaves = self.locals.get(&provider).is_some_and(Local::leaves);
        if !leaves {
            self.leaves.cancel(provider);
        }
    }

    /// X11 ◆ "A leave that is not decided within the group's limit becomes a goodbye".
    fn on_wake(&mut self, step: &mut Step<'_>) {
        while let Some(provider) = self.leaves.pop_due(step.now) {
            if !Rule::ProtocolsLeaveLimit.holds() {
                continue;
            }
            if self.locals.get(&provider).is_some_and(Local::leaves) {
                self.say_over(step, provider, Reason::Goodbye, LEAVE_LIMIT.to_vec());
            }
        }
    }

    /// A provider goes for good; nothing that has not begun does any more.
    fn say_over(&mut self, step: &mut Step<'_>, provider: ProviderId, reason: Reason, text: Vec<u8>) {
        let Some(local) = self.locals.get_mut(&provider).filter(|local| local.over.is_none()) else {
            return;
        };
        step.say(over(provider, reason, &text));
        local.over = Some((reason, text));
        local.goes();
        for unsaid in local.drop_unsaid() {
            step.done(provider, unsaid.ticket, Resolved::Refused(Refusal::Gone));
        }
    }

    fn on_removed(&mut self, step: &mut Step<'_>) {
        for (provider, mut local) in std::mem::take(&mut self.locals) {
            for ticket in local.take_tickets() {
                step.done(provider, Some(ticket), Resolved::Unknown);
            }
            step.tell(provider, Event::Ended(Ended::PutOut));
        }
        self.deactivations.clear();
        self.leaves = Deadlines::default();
    }

    /// The last of a provider.
    fn end(&mut self, step: &mut Step<'_>, provider: ProviderId, how: Ended) {
        let Some(mut local) = self.locals.remove(&provider) else {
            return;
        };
        self.leaves.cancel(provider);
        let left = Resolved::Approved {
            epoch: step.state.epoch(),
            votes: Vec::new(),
            exits: Vec::new(),
        };
        if how != Ended::NotJoined {
            // It is out, as it wished; or what it proposed came true with its going.
            let begun = local.begun.take().and_then(|begun| begun.ticket);
            for ticket in local.leaving.drain(..).chain(begun) {
                step.done(provider, Some(ticket), left.clone());
            }
        }
        for ticket in local.take_tickets() {
            step.done(provider, Some(ticket), Resolved::Refused(Refusal::Gone));
        }
        step.tell(provider, Event::Ended(how));
    }
}

fn over(provider: ProviderId, reason: Reason, text: &[u8]) -> Word {
    Word::Over {
        provider,
        reason,
        text: text.to_vec(),
    }
}
