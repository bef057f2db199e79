//! A protocol begins, its phases end, and so does it.

use std::time::Duration;

use fatebound_base::Rule;

use super::admit::is_in_range;
use super::{Change, GroupState, Notice, Proposal, ProposalId, ProviderId, Running, Standing};
use crate::numbers::Seq;
use crate::protocols::MAX_STATE;
use crate::protocols::entry::{Exit, Remark};
use crate::protocols::notice::{Ballot, Outcome};
use crate::protocols::vote::{ByDefault, Counted, Decision, DefaultVote, Verdict, message_share};

/// What an entry says of the end of a phase.
pub(super) struct Closing<'a> {
    pub votes: &'a [Counted],
    pub state: Option<&'a (ProviderId, Vec<u8>)>,
    pub default: Option<(ProviderId, DefaultVote)>,
}

impl GroupState {
    pub(super) fn on_start(
        &mut self,
        protocol: Seq,
        change: &Change,
        limit: Duration,
        notices: &mut Vec<Notice>,
    ) -> Option<()> {
        self.admits(change).ok().filter(|()| is_in_range(limit))?;
        let running = self.begin(protocol, change.clone(), limit);
        notices.push(self.opened(&running, change.clone(), Vec::new()));
        self.running = Some(running);
        Some(())
    }

    pub(super) fn on_one_phase(&mut self, protocol: Seq, change: &Change, notices: &mut Vec<Notice>) -> Option<()> {
        self.admits(change).ok()?;
        let barrier = matches!(
            change,
            Change::Proposed {
                proposal: Proposal::Barrier { .. },
                ..
            }
        );
        if barrier {
            return None;
        }
        let running = self.begin(protocol, change.clone(), self.attributes.phase_limit);
        self.approve(running, Vec::new(), notices);
        Some(())
    }

    /// Whoever proposed it has proposed it; a state value goes where later ones will.
    fn begin(&mut self, protocol: Seq, mut change: Change, limit: Duration) -> Running {
        for ProposalId { provider, number } in change.proposals() {
            if let Some(provider) = self.providers.iter_mut().find(|listed| listed.id == provider) {
                provider.last = number;
            }
        }
        let state = match &mut change {
            Change::Proposed {
                proposal: Proposal::State { value, .. },
                ..
            } => Some(std::mem::take(value)),
            _ => None,
        };
        Running {
            protocol,
            change,
            phase: 1,
            limit,
            state,
            default: self.attributes.default_vote,
            gone: Vec::new(),
            deactivating: false,
        }
    }

    fn opened(&self, running: &Running, change: Change, before: Vec<Ballot>) -> Notice {
        Notice::Opened {
            protocol: running.protocol,
            phase: running.phase,
            change,
            state: running.state.clone(),
            default: running.default,
            limit: running.limit,
            voters: self.voters_on(&running.change),
            before,
        }
    }

    pub(super) fn on_phase(
        &mut self,
        protocol: Seq,
        phase: u32,
        closing: &Closing<'_>,
        notices: &mut Vec<Notice>,
    ) -> Option<()> {
        let awaited =
            |running: &&Running| running.protocol == protocol && running.phase == phase && !running.deactivating;
        let running = self.running.as_ref().filter(awaited)?;
        let voters = self.voters_on(&running.change);
        if !self.is_counted_well(running, &voters, closing) {
            return None;
        }
        let ballots = voters.into_iter().zip(closing.votes.iter().cloned());
        let ballots: Vec<Ballot> = ballots
            .map(|(provider, counted)| Ballot { provider, counted })
            .collect();
        for ballot in &ballots {
            if ballot.counted.by_default == Some(ByDefault::Silent) {
                notices.push(Notice::Announced {
                    provider: ballot.provider,
                    remark: Remark::DidNotVote,
                });
            }
        }
        let mut running = self.running.take()?;
        if let Some((_, value)) = closing.state {
            running.state = Some(value.clone());
        }
        if let Some((_, default)) = closing.default {
            running.default = default;
        }
        self.decide(running, ballots, notices);
        Some(())
    }

    /// What follows from the votes, for everybody alike.
    fn decide(&mut self, mut running: Running, ballots: Vec<Ballot>, notices: &mut Vec<Notice>) {
        match Decision::of(ballots.iter().map(|ballot| ballot.counted.verdict)) {
            Decision::Approve if self.is_without_joiners(&running) => {
                self.end(running, Outcome::JoinersGone, ballots, notices);
            }
            Decision::Approve => self.approve(running, ballots, notices),
            Decision::Reject => self.reject(running, Outcome::Rejected, ballots, notices),
            Decision::Continue if running.phase >= self.attributes.max_phases => {
                self.reject(running, Outcome::TooManyPhases, ballots, notices);
            }
            Decision::Continue => {
                running.phase = running.phase.saturating_add(1);
                let change = running.change.clone();
                notices.push(self.opened(&running, change, ballots));
                self.running = Some(running);
            }
        }
    }

    fn is_without_joiners(&self, running: &Running) -> bool {
        matches!(&running.change, Change::Join { joiners } if joiners.len() == running.gone.len())
    }

    /// Whether each voter has its vote, or the default for a reason that holds here, too; and whether what comes along is some voter's.
    fn is_counted_well(&self, running: &Running, voters: &[ProviderId], closing: &Closing<'_>) -> bool {
        let share = message_share(voters.len());
        let fits = |(id, counted): (&ProviderId, &Counted)| match counted.by_default {
            None => counted.message.len() <= share,
            Some(why) => {
                let verdict = counted.verdict == Verdict::from(running.default);
                verdict && counted.message.is_empty() && self.is_default_due(*id, why)
            }
        };
        let voted = |by: ProviderId| {
            let place = voters.iter().position(|voter| *voter == by);
            let counted = place.and_then(|place| closing.votes.get(place));
            counted.is_some_and(|counted| counted.by_default.is_none())
        };
        let state = closing
            .state
            .is_none_or(|(by, value)| voted(*by) && value.len() <= MAX_STATE);
        let default = closing.default.is_none_or(|(by, _)| voted(by));
        closing.votes.len() == voters.len() && voters.iter().zip(closing.votes).all(fits) && state && default
    }

    fn is_default_due(&self, voter: ProviderId, why: ByDefault) -> bool {
        let standing = self.provider(voter).map(|provider| provider.standing);
        match why {
            ByDefault::Gone => matches!(standing, Some(Standing::Failed(_))),
            ByDefault::Absent => matches!(standing, Some(Standing::Absent { .. })),
            ByDefault::Silent => standing == Some(Standing::Present),
        }
    }

    /// X6 ◆ "A rejection of the removal of who has failed rejects what came along, never the removal".
    fn reject(&mut self, running: Running, outcome: Outcome, ballots: Vec<Ballot>, notices: &mut Vec<Notice>) {
        if matches!(running.change, Change::Failure { .. }) && Rule::ProtocolsRemovalStands.holds() {
            self.epoch = self.epoch.next();
            self.take_effect(&running.change, &running.gone, notices);
        }
        self.end(running, outcome, ballots, notices);
    }

    fn approve(&mut self, mut running: Running, ballots: Vec<Ballot>, notices: &mut Vec<Notice>) {
        self.epoch = self.epoch.next();
        self.take_effect(&running.change, &running.gone, notices);
        if let Some(value) = running.state.take() {
            self.set_value(value, notices);
        }
        match deactivation(&running) {
            // X12: the entries first, then the commands.
            Some(deactivate) => {
                notices.push(deactivate);
                running.deactivating = true;
                self.running = Some(running);
            }
            None => self.end(running, Outcome::Approved, ballots, notices),
        }
    }

    pub(super) fn on_deactivated(&mut self, protocol: Seq, exits: &[Exit], notices: &mut Vec<Notice>) -> Option<()> {
        let awaited = |running: &&Running| {
            let expelled = running.change.removed().len();
            running.protocol == protocol && running.deactivating && expelled == exits.len()
        };
        self.running.as_ref().filter(awaited)?;
        let running = self.running.take()?;
        notices.push(Notice::Outcome {
            protocol,
            change: running.change,
            outcome: Outcome::Approved,
            votes: Vec::new(),
            exits: exits.to_vec(),
            epoch: self.epoch,
        });
        Some(())
    }

    fn end(&mut self, running: Running, outcome: Outcome, votes: Vec<Ballot>, notices: &mut Vec<Notice>) {
        notices.push(Notice::Outcome {
            protocol: running.protocol,
            change: running.change,
            outcome,
            votes,
            exits: Vec::new(),
            epoch: self.epoch,
        });
    }
}

/// The order to run the commands of deactivation, if the protocol that is approved has one.
pub(super) fn deactivation(running: &Running) -> Option<Notice> {
    let Change::Proposed {
        proposal: Proposal::Expel {
            providers,
            deactivate: Some(argument),
        },
        ..
    } = &running.change
    else {
        return None;
    };
    Some(Notice::Deactivate {
        protocol: running.protocol,
        providers: providers.clone(),
        argument: argument.clone(),
    })
}
