//! Proposals that wait, by kind, each in the order in which they came.
//!
//! One stays here until its beginning is applied: an entry that is numbered may still be lost with its view.

use std::collections::VecDeque;

use fatebound_base::Time;

use crate::protocols::MAX_WAITING;
use crate::protocols::change::Joiner;
use crate::protocols::message::Ask;
use crate::protocols::names::ProposalId;
use crate::protocols::state::{GroupState, Provider};

/// A proposal that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub by: ProposalId,
    pub ask: Ask,
    /// When its batch is due; before, it is collected.
    pub ready: Time,
}

impl Waiting {
    /// If it is a join: who wants to come in.
    pub(super) fn joiner(&self) -> Option<Joiner> {
        match &self.ask {
            Ask::Join { instance, info, .. } => Some(Joiner {
                by: self.by,
                instance: instance.clone(),
                info: info.clone(),
            }),
            _ => None,
        }
    }
}

/// All that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    joins: VecDeque<Waiting>,
    rest: VecDeque<Waiting>,
}

impl Queue {
    pub(super) fn joins(&self) -> usize {
        self.joins.len()
    }

    pub(super) fn rest(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn contains(&self, by: ProposalId) -> bool {
        self.all().any(|waiting| waiting.by == by)
    }

    /// Joins, in the order in which they came.
    pub(super) fn waiting_joins(&self) -> Vec<Waiting> {
        self.joins.iter().cloned().collect()
    }

    /// Everything else, in the order in which it came.
    pub(super) fn waiting_rest(&self) -> impl Iterator<Item = &Waiting> {
        self.rest.iter()
    }

    fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.joins.iter().chain(&self.rest)
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self, ask: &Ask) -> bool {
        let queue = if matches!(ask, Ask::Join { .. }) {
            &self.joins
        } else {
            &self.rest
        };
        queue.len() < MAX_WAITING
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        match waiting.ask {
            Ask::Join { .. } => self.joins.push_back(waiting),
            _ => self.rest.push_back(waiting),
        }
    }

    pub(super) fn remove(&mut self, by: ProposalId) {
        self.keep(|waiting| waiting.by != by);
    }

    pub(super) fn keep(&mut self, keep: impl Fn(&Waiting) -> bool) {
        self.joins.retain(&keep);
        self.rest.retain(&keep);
    }

    /// Takes out what has begun, and names the joins of it; and what nobody in the group proposes any more.
    pub(super) fn take_begun(&mut self, state: &GroupState) -> Vec<ProposalId> {
        let begun: Vec<ProposalId> = self
            .joins
            .iter()
            .map(|join| join.by)
            .filter(|by| state.has_begun(*by))
            .collect();
        self.joins.retain(|join| !begun.contains(&join.by));
        self.rest.retain(|waiting| {
            let proposer = state.provider(waiting.by.provider);
            proposer.is_some_and(Provider::is_present) && !state.has_begun(waiting.by)
        });
        begun
    }

    /// When the next one is due that is not yet.
    pub(super) fn next_ready(&self, now: Time) -> Option<Time> {
        self.all()
            .map(|waiting| waiting.ready)
            .filter(|ready| *ready > now)
            .min()
    }
}
