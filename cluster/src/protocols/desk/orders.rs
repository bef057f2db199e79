//! What applications at this node want.

use std::time::Duration;

use fatebound_base::Rule;

use super::local::{Local, Withdrawn};
use super::{Desk, Step};
use crate::numbers::Seq;
use crate::protocols::attributes::Attributes;
use crate::protocols::change::{Proposal, Refusal, Voting};
use crate::protocols::entry::{Entry, Exit, Reason};
use crate::protocols::io::{DeskOutput, Ended, Event, Order, Resolved, VoteRefused};
use crate::protocols::message::{Ask, Word};
use crate::protocols::names::{ProviderId, Ticket};
use crate::protocols::state::{Stage, is_named_well, is_sound};
use crate::protocols::vote::{Vote, message_share};
use crate::protocols::{MAX_MESSAGE, MAX_PROPOSALS, MAX_PROVIDERS_PER_NODE, MAX_TEXT};

fn bound(max: usize) -> u32 {
    u32::try_from(max).unwrap_or(u32::MAX)
}

impl Desk {
    pub(super) fn on_order(&mut self, step: &mut Step<'_>, order: Order) {
        match order {
            Order::Join {
                ticket,
                instance,
                info,
                attributes,
            } => self.on_join(step, ticket, instance, info, attributes),
            Order::Propose {
                ticket,
                provider,
                proposal,
                voting,
            } => self.on_propose(step, ticket, provider, proposal, voting),
            Order::Withdraw { provider, ticket } => self.on_withdraw(step, provider, ticket),
            Order::Vote {
                provider,
                protocol,
                phase,
                vote,
            } => self.on_vote(step, provider, (protocol, phase), vote),
            Order::Send { provider, body } => self.on_send(step, provider, body),
            Order::Leave { ticket, provider } => self.on_leave(step, ticket, provider),
            Order::Goodbye { provider, text, hold } => self.on_goodbye(step, provider, text, hold),
            Order::Gone { provider } => self.say_over(step, provider, Reason::ProcessGone, Vec::new()),
            Order::Deactivated {
                provider,
                protocol,
                exit,
            } => self.on_deactivated(step, provider, protocol, exit),
        }
    }

    fn on_join(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        instance: Vec<u8>,
        info: Vec<u8>,
        attributes: Attributes,
    ) {
        let fits = self.may_join(&instance, &info, &attributes);
        // A serial is never used again, also if nothing comes of it.
        let serial = self.last_serial.saturating_add(1);
        self.last_serial = serial;
        let provider = ProviderId { node: self.me, serial };
        step.tell(provider, Event::Joining { ticket });
        if let Err(why) = fits {
            step.done(provider, Some(ticket), Resolved::Refused(why));
            return step.tell(provider, Event::Ended(Ended::NotJoined));
        }
        let mut local = Local::new(instance.clone());
        let attributes = Box::new(attributes);
        local.propose(
            ticket,
            Ask::Join {
                instance,
                info,
                attributes,
            },
        );
        local.say_proposal(provider, step);
        self.locals.insert(provider, local);
    }

    /// X13 ◆ "A process comes in again once it has gone": meanwhile its join waits.
    fn may_join(&self, instance: &[u8], info: &[u8], attributes: &Attributes) -> Result<(), Refusal> {
        is_named_well(instance, info)?;
        attributes.check().map_err(|error| Refusal::OutOfRange(error.0))?;
        let lives = |local: &Local| local.over.is_none() || !Rule::ProtocolsOneLife.holds();
        let in_use = |local: &Local| local.instance == instance && lives(local);
        if self.locals.values().any(in_use) {
            return Err(Refusal::InstanceInUse);
        }
        if self.locals.len() >= MAX_PROVIDERS_PER_NODE || self.last_serial == u32::MAX {
            return Err(Refusal::TooMany {
                max: bound(MAX_PROVIDERS_PER_NODE),
            });
        }
        Ok(())
    }

    fn on_propose(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        provider: ProviderId,
        proposal: Proposal,
        voting: Voting,
    ) {
        match is_sound(&proposal) {
            Ok(()) => self.ask(step, ticket, provider, Ask::Propose { proposal, voting }),
            Err(why) => step.done(provider, Some(ticket), Resolved::Refused(why)),
        }
    }

    fn on_leave(&mut self, step: &mut Step<'_>, ticket: Ticket, provider: ProviderId) {
        self.ask(step, ticket, provider, Ask::Leave);
        let leaves = self.locals.get(&provider).is_some_and(Local::leaves);
        if leaves && self.leaves.get(provider).is_none() {
            let limit = step.state.attributes().leave_limit;
            self.leaves.set(provider, step.now + limit);
        }
    }

    fn ask(&mut self, step: &mut Step<'_>, ticket: Ticket, provider: ProviderId, ask: Ask) {
        let refusal = match self.locals.get_mut(&provider) {
            None => Refusal::NotListed,
            Some(local) if local.over.is_some() => Refusal::Gone,
            Some(local) if local.is_full() => Refusal::QueueFull {
                max: bound(MAX_PROPOSALS),
            },
            Some(local) => {
                if local.propose(ticket, ask) {
                    local.say_proposal(provider, step);
                }
                return;
            }
        };
        step.done(provider, Some(ticket), Resolved::Refused(refusal));
    }

    fn on_withdraw(&mut self, step: &mut Step<'_>, provider: ProviderId, ticket: Ticket) {
        let Some(local) = self.locals.get_mut(&provider).filter(|local| local.over.is_none()) else {
            return;
        };
        match local.withdraw(ticket) {
            Withdrawn::Unsaid => step.done(provider, Some(ticket), Resolved::Refused(Refusal::Withdrawn)),
            Withdrawn::Said => local.say_proposal(provider, step),
            Withdrawn::TooLate => {}
        }
        self.leaves_no_more(provider);
    }

    fn on_vote(&mut self, step: &mut Step<'_>, provider: ProviderId, (protocol, phase): (Seq, u32), vote: Vote) {
        match self.may_vote(step, provider, (protocol, phase), &vote) {
            Err(why) => step.tell(provider, Event::VoteRefused { protocol, phase, why }),
            Ok(()) => {
                if let Some(local) = self.locals.get_mut(&provider) {
                    local.vote = Some((protocol, phase, vote.clone()));
                }
                step.say(Word::Vote {
                    provider,
                    protocol,
                    phase,
                    vote,
                });
            }
        }
    }

    fn may_vote(
        &self,
        step: &Step<'_>,
        provider: ProviderId,
        (protocol, phase): (Seq, u32),
        vote: &Vote,
    ) -> Result<(), VoteRefused> {
        let running = step.state.running();
        let open = running.is_some_and(|running| (running.protocol, running.stage) == (protocol, Stage::Phase(phase)));
        if !open {
            return Err(VoteRefused::NotOpen);
        }
        let voters = step.state.voters();
        let local = self.locals.get(&provider).filter(|local| local.over.is_none());
        let Some(local) = local.filter(|_| voters.contains(&provider)) else {
            return Err(VoteRefused::NotAsked);
        };
        let voted = local
            .vote
            .as_ref()
            .is_some_and(|(at, number, _)| (*at, *number) == (protocol, phase));
        if voted {
            return Err(VoteRefused::Twice);
        }
        if !vote.fits(voters.len()) {
            return Err(VoteRefused::TooLong {
                message: message_share(voters.len()),
            });
        }
        Ok(())
    }

    fn on_send(&self, step: &mut Step<'_>, provider: ProviderId, body: Vec<u8>) {
        let local = self.locals.get(&provider).filter(|local| local.over.is_none());
        if local.is_none() || step.state.provider(provider).is_none() {
            return step.tell(provider, Event::NotSent(Refusal::NotListed));
        }
        if body.len() > MAX_MESSAGE {
            let max = bound(MAX_MESSAGE);
            return step.tell(provider, Event::NotSent(Refusal::Length { max }));
        }
        step.out.push(DeskOutput::Submit(Entry::Message { provider, body }));
    }

    /// X11: nobody is asked.
    fn on_goodbye(&mut self, step: &mut Step<'_>, provider: ProviderId, mut text: Vec<u8>, hold: Option<Duration>) {
        text.truncate(MAX_TEXT);
        let max = step.state.attributes().max_hold;
        let reason = match hold {
            Some(hold) => Reason::Restart { hold: hold.min(max) },
            None => Reason::Goodbye,
        };
        self.say_over(step, provider, reason, text);
    }

    fn on_deactivated(&mut self, step: &mut Step<'_>, provider: ProviderId, protocol: Seq, exit: Exit) {
        let awaited = self.deactivations.get_mut(&provider);
        let Some(deactivation) = awaited.filter(|awaited| awaited.protocol == protocol && awaited.exit.is_none())
        else {
            return;
        };
        deactivation.exit = Some(exit);
        step.say(Word::Deactivated {
            provider,
            protocol,
            exit,
        });
    }
}
