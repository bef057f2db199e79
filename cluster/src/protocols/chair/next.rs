//! What is numbered next.
//!
//! Who has failed is announced before anything else. Then the protocol that runs goes on, until it has ended; then failures come before joins,
//! and joins before the rest.

use fatebound_base::Rule;

use super::listen::prescreen;
use super::queue::Waiting;
use super::{Chair, Step};
use crate::protocols::MAX_BATCH;
use crate::protocols::change::{Change, Joiner, Refusal, Voting};
use crate::protocols::entry::{Entry, Exit, Failure};
use crate::protocols::io::ChairOutput;
use crate::protocols::message::Ask;
use crate::protocols::names::{ProposalId, ProviderId};
use crate::protocols::state::Stage;

/// A change that can begin, and how.
type Ready = (Change, Voting);

impl Chair {
    pub(super) fn go_on(&mut self, step: &mut Step<'_>) {
        if self.under_way.is_some() {
            return;
        }
        if let Some(entry) = self.next(step) {
            self.under_way = Some(match &entry {
                Entry::Start { change, .. } | Entry::OnePhase { change } => change.proposals(),
                _ => Vec::new(),
            });
            step.out.push(ChairOutput::Number(entry));
        }
    }

    fn next(&mut self, step: &mut Step<'_>) -> Option<Entry> {
        if let Some(entry) = self.failed(step) {
            return Some(entry);
        }
        let raise = self.raise.filter(|raise| *raise > step.state.epoch().incarnation());
        if let Some(incarnation) = raise {
            return Some(Entry::Raise { incarnation });
        }
        while let Some((provider, remark)) = self.remarks.pop_front() {
            if step.state.provider(provider).is_some() {
                return Some(Entry::Announce { provider, remark });
            }
        }
        match step.state.running().map(|running| running.stage) {
            Some(Stage::Phase(_)) => self.votes.close(step.state, self.limit_over),
            Some(Stage::Deactivation) => self.deactivated(step),
            None => self.begin(step),
        }
    }

    /// X7 ◆ "Who has failed is announced as soon as the leader knows of it".
    fn failed(&mut self, step: &mut Step<'_>) -> Option<Entry> {
        if step.state.running().is_some() && !Rule::ProtocolsAnnouncedAtOnce.holds() {
            return None;
        }
        let joiners = step.state.joiners();
        let (mut failures, mut later): (Vec<Failure>, Vec<Failure>) = Default::default();
        for loss in std::mem::take(&mut self.losses) {
            match step.state.provider(loss.provider) {
                // Who is about to take the place may have it.
                Some(_) if step.state.is_wanted(loss.provider) => later.push(loss),
                Some(_) => failures.push(loss),
                None if joiners.contains(&loss.provider) => failures.push(loss),
                None => self.forget_join(step, loss.provider),
            }
        }
        // All stay here until they are seen to be applied.
        self.losses = [failures.clone(), later].concat();
        failures.truncate(MAX_BATCH);
        (!failures.is_empty()).then_some(Entry::Failed { failures })
    }

    /// Whoever wanted to come in and is gone before it began.
    fn forget_join(&mut self, step: &mut Step<'_>, provider: ProviderId) {
        let joins = self.queue.waiting_joins();
        if let Some(join) = joins.iter().find(|join| join.by.provider == provider) {
            self.refuse(step, join.by, Refusal::Gone);
        }
    }

    fn deactivated(&self, step: &Step<'_>) -> Option<Entry> {
        let running = step.state.running()?;
        let exit = |provider: ProviderId| {
            let told = self.exits.get(&provider).copied();
            let gone = (!self.present.contains(&provider.node)).then_some(Exit::NodeGone);
            told.or(gone).or(self.limit_over.then_some(Exit::Late))
        };
        let exits = running.change.removed().into_iter().map(exit);
        Some(Entry::Deactivated {
            protocol: running.protocol,
            exits: exits.collect::<Option<Vec<Exit>>>()?,
        })
    }

    /// X13 ◆ "All who have failed are removed before anybody comes in, and joins come before the rest".
    fn begin(&mut self, step: &mut Step<'_>) -> Option<Entry> {
        let ready = if Rule::ProtocolsFailuresFirst.holds() {
            self.removal(step).or_else(|| self.joins(step))
        } else {
            self.joins(step).or_else(|| self.removal(step))
        };
        let (change, voting) = ready.or_else(|| self.rest(step))?;
        Some(match voting {
            Voting::OnePhase => Entry::OnePhase { change },
            Voting::Voted { limit } => Entry::Start {
                change,
                limit: limit.unwrap_or(step.state.attributes().phase_limit),
            },
        })
    }

    fn removal(&self, step: &Step<'_>) -> Option<Ready> {
        let attributes = step.state.attributes();
        let most = if attributes.leave_window.is_zero() {
            1
        } else {
            MAX_BATCH
        };
        let failed = step
            .state
            .providers()
            .iter()
            .filter(|provider| provider.failed().is_some());
        let providers: Vec<ProviderId> = failed.map(|provider| provider.id).take(most).collect();
        let change = Change::Failure { providers };
        step.state.admits(&change).ok()?;
        Some((change, voting(attributes.voted_failures)))
    }

    /// The first join that is due and may come in, with all that can come along.
    fn joins(&mut self, step: &mut Step<'_>) -> Option<Ready> {
        let attributes = step.state.attributes();
        let most = if attributes.join_window.is_zero() { 1 } else { MAX_BATCH };
        let mut joiners: Vec<Joiner> = Vec::new();
        for waiting in self.queue.waiting_joins() {
            let Some(joiner) = waiting.joiner() else { continue };
            if joiners.len() >= most || (joiners.is_empty() && waiting.ready > step.now) {
                break;
            }
            match self.screen_join(step, &waiting, &joiner, &joiners) {
                Ok(true) => joiners.push(joiner),
                Ok(false) => {}
                Err(why) => self.refuse(step, waiting.by, why),
            }
        }
        let change = Change::Join { joiners };
        step.state.admits(&change).ok()?;
        // Of a group without providers nobody can be asked.
        let voted = attributes.voted_joins && !step.state.providers().is_empty();
        Some((change, voting(voted)))
    }

    /// Whether it can come in along with those; `false`: it waits, also for the removal of an earlier life of the same process.
    fn screen_join(
        &self,
        step: &Step<'_>,
        waiting: &Waiting,
        joiner: &Joiner,
        along: &[Joiner],
    ) -> Result<bool, Refusal> {
        if let Ask::Join { attributes, .. } = &waiting.ask {
            prescreen(step.state, attributes)?;
        }
        if let Some(holder) = step.state.holder(joiner) {
            let lives = holder.is_present() && holder.id.node == joiner.by.provider.node;
            return if lives { Err(Refusal::InstanceInUse) } else { Ok(false) };
        }
        let with = |joiner: &Joiner| [along, std::slice::from_ref(joiner)].concat();
        let alone = Change::Join {
            joiners: vec![joiner.clone()],
        };
        step.state.admits(&alone)?;
        let together = Change::Join { joiners: with(joiner) };
        Ok(step.state.admits(&together).is_ok())
    }

    /// The first of the rest that is due and fits.
    fn rest(&mut self, step: &mut Step<'_>) -> Option<Ready> {
        loop {
            let due = |waiting: &&Waiting| waiting.ask != Ask::Leave || waiting.ready <= step.now;
            let first = self.queue.waiting_rest().find(due)?;
            let by = first.by;
            let Ask::Propose { proposal, voting } = &first.ask else {
                return self.leaves(step, by);
            };
            let (proposal, voting) = (proposal.clone(), *voting);
            let change = Change::Proposed { by, proposal };
            match step.state.admits(&change) {
                Ok(()) => return Some((change, voting)),
                Err(why) => self.refuse(step, by, why),
            }
        }
    }

    /// X2: all leaves that are collected go together.
    fn leaves(&self, step: &Step<'_>, first: ProposalId) -> Option<Ready> {
        let attributes = step.state.attributes();
        let leaves = self
            .queue
            .waiting_rest()
            .filter(|waiting| waiting.ask == Ask::Leave)
            .map(|waiting| waiting.by);
        let leavers = if attributes.leave_window.is_zero() {
            vec![first]
        } else {
            leaves.take(MAX_BATCH).collect()
        };
        let change = Change::Leave { leavers };
        step.state.admits(&change).ok()?;
        Some((change, voting(attributes.voted_leaves)))
    }
}

fn voting(voted: bool) -> Voting {
    if voted { Voting::VOTED } else { Voting::OnePhase }
}
