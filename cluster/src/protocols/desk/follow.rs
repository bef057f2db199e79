//! What an entry means for the providers of this node.

use fatebound_base::Rule;

use super::{Deactivation, Desk, Step};
use crate::numbers::Seq;
use crate::protocols::change::{Change, Refusal};
use crate::protocols::entry::{Exit, Reason};
use crate::protocols::io::{DeskOutput, Ended, Event, Resolved};
use crate::protocols::names::{Epoch, ProposalId, ProviderId};
use crate::protocols::notice::{Ballot, Notice, Outcome, Why};

/// How a protocol has ended, in the words of its entry.
struct End<'a> {
    change: &'a Change,
    outcome: Outcome,
    votes: &'a [Ballot],
    exits: &'a [Exit],
    epoch: Epoch,
}

impl Desk {
    pub(super) fn on_applied(&mut self, step: &mut Step<'_>, notices: &[Notice]) {
        // Who leaves with this entry sees all of it.
        let mut ended: Vec<(ProviderId, Ended)> = Vec::new();
        for notice in notices {
            let begun = notice.begun();
            self.come_in(notice, &begun);
            self.show(step, notice);
            for by in begun {
                self.on_begun(step, by);
            }
            match notice {
                Notice::Opened {
                    protocol,
                    phase,
                    before,
                    ..
                } => self.on_opened(step, (*protocol, *phase), before),
                Notice::Outcome {
                    protocol,
                    change,
                    outcome,
                    votes,
                    exits,
                    epoch,
                } => {
                    self.too_late(step, *protocol, votes);
                    self.deactivations.clear();
                    let end = End {
                        change,
                        outcome: *outcome,
                        votes,
                        exits,
                        epoch: *epoch,
                    };
                    ended.extend(self.on_outcome(step, &end));
                }
                Notice::Providers { left, .. } => {
                    ended.extend(left.iter().map(|(provider, why)| (*provider, Ended::Left(*why))));
                }
                Notice::Failed(failure) if matches!(failure.reason, Reason::Restart { .. }) => {
                    ended.push((failure.provider, Ended::Left(Why::Failed(failure.reason))));
                }
                Notice::Deactivate {
                    protocol,
                    providers,
                    argument,
                } => self.on_deactivate(step, *protocol, providers, argument),
                _ => {}
            }
        }
        for (provider, how) in ended {
            self.end(step, provider, how);
        }
    }

    /// X10 ◆ "Whoever wants to come in sees the group from the beginning of its own join".
    fn come_in(&mut self, notice: &Notice, begun: &[ProposalId]) {
        let joined = match notice {
            Notice::Providers { joined, .. } => joined.as_slice(),
            _ => &[],
        };
        let early = begun
            .iter()
            .map(|by| by.provider)
            .filter(|_| Rule::ProtocolsJoinerSees.holds());
        for provider in early.chain(joined.iter().copied()) {
            if let Some(local) = self.locals.get_mut(&provider) {
                local.inside = true;
            }
        }
    }

    fn show(&self, step: &mut Step<'_>, notice: &Notice) {
        let inside = self.locals.iter().filter(|(_, local)| local.inside);
        let to: Vec<ProviderId> = inside.map(|(provider, _)| *provider).collect();
        if !to.is_empty() && *notice != Notice::Ignored {
            step.out.push(DeskOutput::Show {
                to,
                notice: notice.clone(),
            });
        }
    }

    fn on_begun(&mut self, step: &mut Step<'_>, by: ProposalId) {
        if let Some(local) = self.locals.get_mut(&by.provider)
            && local.has_begun(by.number)
        {
            local.say_proposal(by.provider, step);
        }
    }

    fn on_opened(&mut self, step: &mut Step<'_>, (protocol, phase): (Seq, u32), before: &[Ballot]) {
        if phase > 1 {
            self.too_late(step, protocol, before);
        }
    }

    /// A phase is over: votes for it are not kept any more, and whose was not counted is told.
    fn too_late(&mut self, step: &mut Step<'_>, protocol: Seq, ballots: &[Ballot]) {
        for (provider, local) in &mut self.locals {
            let Some((_, phase, _)) = local.vote.take_if(|(cast, _, _)| *cast <= protocol) else {
                continue;
            };
            let by_default = |ballot: &Ballot| ballot.provider == *provider && ballot.counted.by_default.is_some();
            if ballots.iter().any(by_default) {
                step.tell(*provider, Event::TooLate { protocol, phase });
            }
        }
    }

    /// Tells those who proposed it, and names those who did not come in.
    fn on_outcome(&mut self, step: &mut Step<'_>, end: &End<'_>) -> Vec<(ProviderId, Ended)> {
        let mut ended = Vec::new();
        for by in end.change.proposals() {
            let Some(local) = self.locals.get_mut(&by.provider) else {
                continue;
            };
            let begun = local.begun.take_if(|begun| begun.number == by.number);
            let is_join = end.change.joiner(by.provider).is_some();
            let outside = is_join && step.state.provider(by.provider).is_none();
            if let Some(begun) = begun {
                let result = if outside && end.outcome == Outcome::Approved {
                    Resolved::Refused(Refusal::Gone)
                } else {
                    end.resolved()
                };
                step.done(by.provider, begun.ticket, result);
            }
            if outside {
                ended.push((by.provider, Ended::NotJoined));
            } else if is_join {
                local.say_proposal(by.provider, step);
            }
            self.leaves_no_more(by.provider);
        }
        ended
    }

    fn on_deactivate(&mut self, step: &mut Step<'_>, protocol: Seq, providers: &[ProviderId], argument: &[u8]) {
        for provider in providers.iter().filter(|provider| provider.node == self.me) {
            let deactivation = Deactivation { protocol, exit: None };
            self.deactivations.insert(*provider, deactivation);
            step.out.push(DeskOutput::Deactivate {
                provider: *provider,
                protocol,
                argument: argument.to_vec(),
            });
        }
    }
}

impl End<'_> {
    fn resolved(&self) -> Resolved {
        let votes = self.votes.to_vec();
        match self.outcome {
            Outcome::Approved => Resolved::Approved {
                epoch: self.epoch,
                votes,
                exits: self.exits.to_vec(),
            },
            Outcome::Rejected => Resolved::Rejected { votes },
            Outcome::JoinersGone => Resolved::Refused(Refusal::Gone),
            Outcome::TooManyPhases => Resolved::TooManyPhases,
        }
    }
}
