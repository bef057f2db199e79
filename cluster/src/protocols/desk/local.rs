//! One provider of this node: what it has ordered, and what of it is settled.

use std::collections::VecDeque;

use super::Step;
use crate::numbers::Seq;
use crate::protocols::MAX_PROPOSALS;
use crate::protocols::entry::Reason;
use crate::protocols::message::{Ask, Word};
use crate::protocols::names::{ProposalId, ProviderId, Ticket};
use crate::protocols::vote::Vote;

/// A proposal that has not begun, as far as this node knows.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub ticket: Option<Ticket>,
    pub number: u32,
    pub ask: Ask,
    pub withdrawn: bool,
}

impl Pending {
    pub(super) fn is_join(&self) -> bool {
        matches!(self.ask, Ask::Join { .. })
    }
}

/// A proposal that has begun and has no outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub ticket: Option<Ticket>,
    pub number: u32,
    pub is_leave: bool,
    pub is_join: bool,
}

/// A provider.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub instance: Vec<u8>,
    /// It is in the list, or its join has begun: it sees what the group does.
    pub inside: bool,
    last_number: u32,
    /// The first one is with the chair.
    pending: VecDeque<Pending>,
    pub begun: Option<Begun>,
    pub vote: Option<(Seq, u32, Vote)>,
    /// It is gone, or says goodbye.
    pub over: Option<(Reason, Vec<u8>)>,
    /// The tickets of leaves that became a goodbye.
    pub leaving: Vec<Ticket>,
}

impl Local {
    pub(super) fn new(instance: Vec<u8>) -> Local {
        Local {
            instance,
            inside: false,
            last_number: 0,
            pending: VecDeque::new(),
            begun: None,
            vote: None,
            over: None,
            leaving: Vec::new(),
        }
    }

    pub(super) fn proposals(&self) -> usize {
        self.pending.len()
    }

    /// Whether it may propose nothing more now; or never again, when its numbers are used up.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= MAX_PROPOSALS || self.last_number == u32::MAX
    }

    /// Adds a proposal; says whether it is the first and so to be said.
    pub(super) fn propose(&mut self, ticket: Ticket, ask: Ask) -> bool {
        self.last_number = self.last_number.saturating_add(1);
        self.pending.push_back(Pending {
            ticket: Some(ticket),
            number: self.last_number,
            ask,
            withdrawn: false,
        });
        self.pending.len() == 1
    }

    /// Says the first proposal, or that it is withdrawn. Whoever is just coming in proposes nothing yet.
    pub(super) fn say_proposal(&self, provider: ProviderId, step: &mut Step<'_>) {
        let waits = self.over.is_some() || self.begun.is_some_and(|begun| begun.is_join);
        let Some(first) = self.pending.front().filter(|_| !waits) else {
            return;
        };
        let by = ProposalId {
            provider,
            number: first.number,
        };
        step.say(if first.withdrawn {
            Word::Withdraw { by }
        } else {
            let ask = first.ask.clone();
            Word::Propose { by, ask }
        });
    }

    /// Takes the first proposal, if it is this one.
    pub(super) fn refused(&mut self, number: u32) -> Option<Pending> {
        self.pending.pop_front_if(|first| first.number == number)
    }

    /// The first proposal, if it is this one, has begun.
    pub(super) fn has_begun(&mut self, number: u32) -> bool {
        let Some(first) = self.refused(number) else {
            return false;
        };
        self.begun = Some(Begun {
            ticket: first.ticket,
            number,
            is_leave: first.ask == Ask::Leave,
            is_join: first.is_join(),
        });
        true
    }

    /// Marks the first proposal as withdrawn, or takes a later one out that nobody knows of yet.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Withdrawn {
        let Some(place) = self.pending.iter().position(|pending| pending.ticket == Some(ticket)) else {
            return Withdrawn::TooLate;
        };
        if place > 0 {
            self.pending.remove(place);
            return Withdrawn::Unsaid;
        }
        if let Some(first) = self.pending.front_mut() {
            first.withdrawn = true;
        }
        Withdrawn::Said
    }

    /// Takes out what was not said to the chair.
    pub(super) fn drop_unsaid(&mut self) -> Vec<Pending> {
        let said = self.pending.len().min(1);
        self.pending.drain(said..).collect()
    }

    /// Whether it wants to leave and may be refused.
    pub(super) fn leaves(&self) -> bool {
        let pending = self.pending.iter().any(|pending| pending.ask == Ask::Leave);
        self.over.is_none() && (pending || self.begun.is_some_and(|begun| begun.is_leave))
    }

    /// Its leaves are settled by its going, whatever becomes of them.
    pub(super) fn goes(&mut self) {
        let begun = self.begun.as_mut().filter(|begun| begun.is_leave);
        self.leaving.extend(begun.and_then(|begun| begun.ticket.take()));
        let pending = self.pending.iter_mut().filter(|pending| pending.ask == Ask::Leave);
        self.leaving.extend(pending.filter_map(|pending| pending.ticket.take()));
    }

    /// All tickets that are not settled.
    pub(super) fn take_tickets(&mut self) -> Vec<Ticket> {
        let begun = self.begun.take().and_then(|begun| begun.ticket);
        let pending = self.pending.drain(..).filter_map(|pending| pending.ticket);
        self.leaving.drain(..).chain(begun).chain(pending).collect()
    }
}

/// What became of a withdrawal.
pub(super) enum Withdrawn {
    /// Nobody knew of the proposal.
    Unsaid,
    /// The chair has to be asked.
    Said,
    /// It has begun, or never was.
    TooLate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_used_twice() {
        let mut local = Local::new(b"x".to_vec());
        local.last_number = u32::MAX - 1;
        assert!(!local.is_full());
        local.propose(Ticket(1), Ask::Leave);
        assert!(local.has_begun(u32::MAX));
        assert!(local.is_full() && local.proposals() == 0);
    }
}
