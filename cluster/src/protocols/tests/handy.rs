//! What tests order, and what they look at.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::world::{Member, World};
use crate::numbers::Seq;
use crate::protocols::{
    Attributes, ChairInput, DeskInput, DeskOutput, Event, GroupState, Notice, Order, Proposal, ProviderId, Resolved,
    Ticket, Verdict, Vote, Voting, Word,
};

impl World {
    /// Joins a provider at a node, and lets everything settle.
    pub fn join(&mut self, place: usize, instance: &str) -> (ProviderId, Ticket) {
        let attributes = self.members[place].state.attributes().clone();
        let (provider, ticket) = self.ask_to_join(place, instance, attributes);
        self.settle();
        (provider, ticket)
    }

    pub fn ask_to_join(&mut self, place: usize, instance: &str, attributes: Attributes) -> (ProviderId, Ticket) {
        let ticket = self.ticket();
        self.order(
            place,
            Order::Join {
                ticket,
                instance: instance.as_bytes().to_vec(),
                info: b"info".to_vec(),
                attributes,
            },
        );
        let events = self.members[place].events.iter().rev();
        let joining = events
            .into_iter()
            .find(|(_, event)| *event == Event::Joining { ticket });
        (joining.expect("it is named").0, ticket)
    }

    pub fn propose(&mut self, provider: ProviderId, proposal: Proposal, voting: Voting) -> Ticket {
        let ticket = self.ticket();
        let order = Order::Propose {
            ticket,
            provider,
            proposal,
            voting,
        };
        self.order(self.place(provider), order);
        ticket
    }

    pub fn leave(&mut self, provider: ProviderId) -> Ticket {
        let ticket = self.ticket();
        self.order(self.place(provider), Order::Leave { ticket, provider });
        ticket
    }

    pub fn goodbye(&mut self, provider: ProviderId, hold: Option<Duration>) {
        let text = b"bye".to_vec();
        self.order(self.place(provider), Order::Goodbye { provider, text, hold });
    }

    pub fn gone(&mut self, provider: ProviderId) {
        self.order(self.place(provider), Order::Gone { provider });
    }

    /// Votes in whatever phase is open.
    pub fn vote(&mut self, provider: ProviderId, vote: Vote) {
        let place = self.place(provider);
        let Some((protocol, phase)) = self.open(place) else {
            return;
        };
        let order = Order::Vote {
            provider,
            protocol,
            phase,
            vote,
        };
        self.order(place, order);
    }

    pub fn votes(&mut self, provider: ProviderId, verdict: Verdict) {
        self.vote(provider, Vote::new(verdict));
    }

    pub fn open(&self, place: usize) -> Option<(Seq, u32)> {
        let running = self.members[place].state.running()?;
        match running.stage {
            crate::protocols::Stage::Phase(phase) => Some((running.protocol, phase)),
            crate::protocols::Stage::Deactivation => None,
        }
    }

    pub fn place(&self, provider: ProviderId) -> usize {
        let place = self.members.iter().position(|member| member.node == provider.node);
        place.expect("its node is here")
    }

    pub fn state(&self) -> &GroupState {
        &self.members[0].state
    }

    pub fn listed(&self) -> Vec<ProviderId> {
        self.state().providers().iter().map(|provider| provider.id).collect()
    }

    pub fn result(&self, ticket: Ticket) -> Option<&Resolved> {
        let events = self.members.iter().flat_map(|member| &member.events);
        events.into_iter().find_map(|(_, event)| match event {
            Event::Done { ticket: of, result } if *of == ticket => Some(result),
            _ => None,
        })
    }

    pub fn approved(&self, ticket: Ticket) -> bool {
        matches!(self.result(ticket), Some(Resolved::Approved { .. }))
    }

    pub fn rejected(&self, ticket: Ticket) -> bool {
        matches!(self.result(ticket), Some(Resolved::Rejected { .. }))
    }

    pub fn events(&self, provider: ProviderId) -> Vec<&Event> {
        let events = self.members.iter().flat_map(|member| &member.events);
        events
            .filter(|(of, _)| *of == provider)
            .map(|(_, event)| event)
            .collect()
    }

    pub fn shown(&self, provider: ProviderId) -> Vec<&Notice> {
        let shown = self.members.iter().flat_map(|member| &member.shown);
        shown
            .filter(|(to, _)| *to == provider)
            .map(|(_, notice)| notice)
            .collect()
    }

    /// What the checks want to hold in the end, once everything has settled and time has passed.
    pub fn at_rest(&self) {
        let unsettled: BTreeSet<Ticket> = self.checks.unsettled(&self.members);
        assert!(unsettled.is_empty(), "orders without an outcome: {unsettled:?}");
        assert!(
            self.members.iter().all(|member| member.applied == self.log.len()),
            "somebody is behind"
        );
        self.checks.at_rest(&self.members);
    }
}

/// A change of the state value.
pub fn value(text: &str) -> Proposal {
    Proposal::State {
        value: text.as_bytes().to_vec(),
        expected: None,
    }
}

impl World {
    /// Votes in a phase that may not be open.
    pub fn vote_in(&mut self, provider: ProviderId, (protocol, phase): (Seq, u32), vote: Vote) {
        let order = Order::Vote {
            provider,
            protocol,
            phase,
            vote,
        };
        self.order(self.place(provider), order);
    }

    /// The chair looks at the time, and nothing else happens.
    pub fn wake_chair(&mut self) {
        self.chair_hears(ChairInput::Wake);
    }

    /// Something else that the chair is told.
    pub fn tell_chair(&mut self, input: ChairInput) {
        self.chair_hears(input);
    }

    /// A node is put out of the group, and goes on by itself.
    pub fn put_out(&mut self, place: usize) -> Member {
        let mut out = Vec::new();
        let member = &mut self.members[place];
        member
            .desk
            .handle(self.now, DeskInput::Removed, &member.state, &mut out);
        for output in out {
            if let DeskOutput::Event { provider, event } = output {
                member.events.push((provider, event));
            }
        }
        let lost = self.members.remove(place);
        self.checks.node_gone(lost.node, self.now);
        self.install();
        lost
    }
}

impl World {
    /// Takes what is on its way to the chair off the way.
    pub fn hold_words(&mut self, place: usize) -> VecDeque<Word> {
        std::mem::take(&mut self.members[place].to_chair)
    }

    /// Puts it on again.
    pub fn release_words(&mut self, place: usize, words: VecDeque<Word>) {
        self.members[place].to_chair.extend(words);
    }

    pub fn withdraw(&mut self, provider: ProviderId, ticket: Ticket) {
        self.order(self.place(provider), Order::Withdraw { provider, ticket });
    }
}
