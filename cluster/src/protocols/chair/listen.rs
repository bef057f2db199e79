//! What desks say to the chair.

use std::time::Duration;

use fatebound_base::Rule;

use super::answered::Before;
use super::queue::Waiting;
use super::{Chair, Step};
use crate::numbers::Node;
use crate::protocols::attributes::Collision;
use crate::protocols::change::{Kind, Proposal, Refusal, Voting};
use crate::protocols::entry::{Exit, Reason};
use crate::protocols::message::{Answer, Ask, Word};
use crate::protocols::names::{ProposalId, ProviderId};
use crate::protocols::state::{GroupState, Provider, Stage, is_in_range, is_named_well};
use crate::protocols::{MAX_TEXT, MAX_WAITING};

impl Chair {
    /// A desk speaks for its own providers, and only while its node is in the view.
    pub(super) fn on_word(&mut self, step: &mut Step<'_>, from: Node, word: Word) {
        let about = match &word {
            Word::Propose { by, .. } | Word::Withdraw { by } => by.provider,
            Word::Vote { provider, .. } | Word::Over { provider, .. } | Word::Deactivated { provider, .. } => *provider,
        };
        if about.node != from || !self.present.contains(&from) {
            return;
        }
        match word {
            Word::Propose { by, ask } => self.on_propose(step, by, ask),
            Word::Withdraw { by } => self.on_withdraw(step, by),
            Word::Vote {
                provider,
                protocol,
                phase,
                vote,
            } => self.votes.cast(step.state, provider, (protocol, phase), vote),
            Word::Over { provider, reason, text } => self.on_over(step, provider, reason, text),
            Word::Deactivated {
                provider,
                protocol,
                exit,
            } => self.on_deactivated(step, provider, protocol, exit),
        }
    }

    fn on_propose(&mut self, step: &mut Step<'_>, by: ProposalId, ask: Ask) {
        // X1 ◆ "Each proposal begins at most once".
        let before = self.answered.before(by).filter(|_| Rule::ProtocolsBegunOnce.holds());
        match before {
            Some(Before::Refused(why)) => return step.tell(by.provider.node, Answer::Refused { by, why }),
            Some(Before::Begun) => return,
            None => {}
        }
        if self.queue.contains(by) || step.state.has_begun(by) {
            return;
        }
        match self.screen(step.state, by, &ask) {
            Err(why) => self.refuse(step, by, why),
            Ok(()) => {
                let attributes = step.state.attributes();
                let window = match ask {
                    Ask::Join { .. } => attributes.join_window,
                    Ask::Leave => attributes.leave_window,
                    Ask::Propose { .. } => Duration::ZERO,
                };
                let ready = step.now + window;
                self.queue.push(Waiting { by, ask, ready });
            }
        }
    }

    /// Whether it may wait for its turn.
    fn screen(&self, state: &GroupState, by: ProposalId, ask: &Ask) -> Result<(), Refusal> {
        match ask {
            Ask::Join {
                instance,
                info,
                attributes,
            } => {
                is_named_well(instance, info)?;
                prescreen(state, attributes)?;
            }
            Ask::Leave => self.screen_proposer(state, by)?,
            Ask::Propose { proposal, voting } => {
                self.screen_proposer(state, by)?;
                screen_voting(proposal, *voting)?;
                state.admits_proposal(proposal)?;
            }
        }
        if self.collides(state, ask) {
            return Err(Refusal::Collided);
        }
        if !self.queue.has_room(ask) {
            return Err(Refusal::QueueFull {
                max: u32::try_from(MAX_WAITING).unwrap_or(u32::MAX),
            });
        }
        Ok(())
    }

    fn screen_proposer(&self, state: &GroupState, by: ProposalId) -> Result<(), Refusal> {
        let here = state.provider(by.provider).is_some_and(Provider::is_present);
        if !here || self.losses.iter().any(|loss| loss.provider == by.provider) {
            return Err(Refusal::NotListed);
        }
        Ok(())
    }

    /// In a group that does not queue, the first of what is neither a failure nor a join is taken, and the others are dropped until it has
    /// ended. Leaves that are collected for one batch do not meet.
    fn collides(&self, state: &GroupState, ask: &Ask) -> bool {
        let attributes = state.attributes();
        if matches!(ask, Ask::Join { .. }) || attributes.collision == Collision::Queue {
            return false;
        }
        let runs = state
            .running()
            .is_some_and(|running| running.change.kind() == Kind::Rest);
        let batch = *ask == Ask::Leave && !attributes.leave_window.is_zero();
        let meets = |waiting: &Waiting| !(batch && waiting.ask == Ask::Leave);
        runs || self.queue.waiting_rest().any(meets)
    }

    /// Too late if it has begun, or may have: then the log says what becomes of it.
    fn on_withdraw(&mut self, step: &mut Step<'_>, by: ProposalId) {
        let numbered = self.under_way.as_ref().is_some_and(|under_way| under_way.contains(&by));
        let begun = self.answered.before(by) == Some(Before::Begun);
        if !numbered && !begun && !step.state.has_begun(by) {
            self.refuse(step, by, Refusal::Withdrawn);
        }
    }

    fn on_over(&mut self, step: &mut Step<'_>, provider: ProviderId, reason: Reason, mut text: Vec<u8>) {
        text.truncate(MAX_TEXT);
        // These are not for a desk to say.
        if matches!(reason, Reason::NodeGone | Reason::HoldOver) {
            return;
        }
        let listed = step.state.provider(provider);
        let wants_in = step.state.joiners().contains(&provider);
        let waits = self
            .queue
            .waiting_joins()
            .iter()
            .any(|join| join.by.provider == provider);
        if listed.is_some_and(Provider::is_present) || wants_in || waits {
            self.lose(provider, reason, text);
        } else if listed.is_none() {
            step.tell(provider.node, Answer::Unlisted { provider });
        }
    }

    fn on_deactivated(&mut self, step: &Step<'_>, provider: ProviderId, protocol: crate::numbers::Seq, exit: Exit) {
        let awaited = step.state.running().is_some_and(|running| {
            let deactivates = running.protocol == protocol && running.stage == Stage::Deactivation;
            deactivates && running.change.removed().contains(&provider)
        });
        if awaited {
            self.exits.insert(provider, exit);
        }
    }
}

/// X9 ◆ "Whoever wants to come in brings the group's attributes".
pub(super) fn prescreen(state: &GroupState, attributes: &crate::protocols::Attributes) -> Result<(), Refusal> {
    match state.attributes().difference(attributes) {
        Some(field) if Rule::ProtocolsPrescreen.holds() => Err(Refusal::Difference(field)),
        _ => Ok(()),
    }
}

fn screen_voting(proposal: &Proposal, voting: Voting) -> Result<(), Refusal> {
    match voting {
        Voting::OnePhase if matches!(proposal, Proposal::Barrier { .. }) => Err(Refusal::NoVote),
        Voting::Voted { limit: Some(limit) } if !is_in_range(limit) => Err(Refusal::Limit),
        _ => Ok(()),
    }
}
