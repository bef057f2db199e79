//! Between the handles of processes in groups and the machine: who waits for what.

use std::collections::HashMap;
use std::sync::Arc;

use fatebound_machine::process_groups::protocols::{
    Attributes, Event as Of, Order as Word, ProviderId, Refusal, Resolved, Ticket,
};
use fatebound_machine::process_groups::{Command as Cluster, Event, GroupName};
use fatebound_machine::{Command, Machine};
use tokio::sync::{Notify, mpsc, oneshot};

use super::events::ProviderEvent;
use super::join::{JoinProcessGroupError, Joined};

/// What a handle asks of the node about process groups.
pub(crate) enum GroupOrder {
    Join {
        name: GroupName,
        seconds: u32,
        ticket: Ticket,
        instance: Vec<u8>,
        info: Vec<u8>,
        attributes: Box<Attributes>,
        events: mpsc::Sender<ProviderEvent>,
        room: Arc<Notify>,
        reply: JoinReply,
    },
    /// Whoever waited for a join does not any more.
    Abandon { name: GroupName, ticket: Ticket },
    Send {
        name: GroupName,
        provider: ProviderId,
        body: Vec<u8>,
        reply: oneshot::Sender<Result<(), (Vec<u8>, Refusal)>>,
    },
    /// Something that has an outcome.
    Resolve {
        name: GroupName,
        provider: ProviderId,
        ticket: Ticket,
        word: Word,
        reply: oneshot::Sender<Resolved>,
    },
    /// Something that has none.
    Word { name: GroupName, word: Word },
}

impl GroupOrder {
    /// Whether whoever gave it no longer waits for what comes of it.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            GroupOrder::Join { reply, .. } => reply.is_closed(),
            GroupOrder::Send { reply, .. } => reply.is_closed(),
            GroupOrder::Resolve { reply, .. } => reply.is_closed(),
            GroupOrder::Abandon { .. } | GroupOrder::Word { .. } => false,
        }
    }
}

/// Where the end of a join is awaited.
type JoinReply = oneshot::Sender<Result<Joined, JoinProcessGroupError>>;

/// One process in a group, or on its way into it.
#[derive(Debug)]
struct Seat {
    events: mpsc::Sender<ProviderEvent>,
    room: Arc<Notify>,
    /// The ticket of its join, and who waits for it.
    joining: Option<(Ticket, JoinReply)>,
}

/// All processes of this node that are in groups, or on their way.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    /// Joins that have no provider yet.
    standing: HashMap<Ticket, Seat>,
    seats: HashMap<(GroupName, ProviderId), Seat>,
    outcomes: HashMap<Ticket, oneshot::Sender<Resolved>>,
    /// Those that were put out a moment ago, by group: they are told by whom, and then no more.
    put_out: HashMap<GroupName, Vec<Seat>>,
}

impl Seats {
    /// Takes an order; what the machine has to do for it goes to `commands`.
    pub(crate) fn order(&mut self, order: GroupOrder, machine: &Machine, commands: &mut Vec<Command>) {
        match order {
            GroupOrder::Join {
                name,
                seconds,
                ticket,
                instance,
                info,
                attributes,
                events,
                room,
                reply,
            } => {
                let joining = Some((ticket, reply));
                self.standing.insert(ticket, Seat { events, room, joining });
                commands.push(Command::Cluster(Cluster::Join {
                    name,
                    seconds,
                    ticket,
                    instance,
                    info,
                    attributes,
                }));
            }
            GroupOrder::Abandon { name, ticket } => self.abandon(name, ticket, commands),
            GroupOrder::Send {
                name,
                provider,
                body,
                reply,
            } => {
                let outcome = match machine.process_groups().obstacle(&name, provider, body.len()) {
                    None => {
                        let word = Word::Send { provider, body };
                        commands.push(word_for(name, word));
                        Ok(())
                    }
                    Some(why) => Err((body, why)),
                };
                let _ = reply.send(outcome);
            }
            GroupOrder::Resolve {
                name,
                provider,
                ticket,
                word,
                reply,
            } => {
                if self.seats.contains_key(&(name.clone(), provider)) {
                    self.outcomes.insert(ticket, reply);
                    commands.push(word_for(name, word));
                } else {
                    let _ = reply.send(Resolved::Refused(Refusal::NotListed));
                }
            }
            GroupOrder::Word { name, word } => commands.push(word_for(name, word)),
        }
    }

    /// A join that has become a provider meanwhile is that of a process that is gone.
    fn abandon(&mut self, name: GroupName, ticket: Ticket, commands: &mut Vec<Command>) {
        let joined = |seat: &Seat| seat.joining.as_ref().is_some_and(|(joining, _)| *joining == ticket);
        let gone: Vec<ProviderId> = self
            .seats
            .iter()
            .filter(|((group, _), seat)| *group == name && joined(seat))
            .map(|((_, provider), _)| *provider)
            .collect();
        self.standing.remove(&ticket);
        for provider in gone {
            commands.push(word_for(name.clone(), Word::Gone { provider }));
        }
        commands.push(Command::Cluster(Cluster::Abandon { name, ticket }));
    }

    /// Takes an event of the machine; what the machine has to do for it goes to `commands`.
    pub(crate) fn event(&mut self, event: Event, commands: &mut Vec<Command>) {
        match event {
            Event::Installed { name, view, .. } => self.tell_all(&name, &ProviderEvent::View(view), commands),
            Event::Wedged { name, view } => self.tell_all(&name, &ProviderEvent::Wedged(view), commands),
            Event::Blocked { name, blocked } => self.tell_all(&name, &ProviderEvent::Blocked(blocked), commands),
            Event::Unblocked { name } => self.tell_all(&name, &ProviderEvent::Unblocked, commands),
            Event::Removed { name, view, leader } => self.last_word(&name, &ProviderEvent::Removed { view, leader }),
            Event::Dissolved { name, favour } => self.last_word(&name, &ProviderEvent::Dissolved(favour)),
            Event::Left { name } => drop(self.put_out.remove(&name)),
            Event::JoinRefused { ticket, why, .. } => {
                if let Some((_, reply)) = self.standing.remove(&ticket).and_then(|seat| seat.joining) {
                    let _ = reply.send(Err(why.into()));
                }
            }
            Event::Provider { name, provider, event } => self.of_provider(name, provider, event, commands),
            Event::Shown { name, to, notice } => {
                for provider in to {
                    self.tell(&name, provider, ProviderEvent::Shown(notice.clone()), commands);
                }
                self.has_room(&name);
            }
            Event::Deactivate {
                name,
                provider,
                protocol,
                argument,
            } => self.tell(
                &name,
                provider,
                ProviderEvent::Deactivate { protocol, argument },
                commands,
            ),
        }
    }

    fn of_provider(&mut self, name: GroupName, provider: ProviderId, event: Of, commands: &mut Vec<Command>) {
        let event = match event {
            Of::Joining { ticket } => {
                return match self.standing.remove(&ticket) {
                    Some(seat) => drop(self.seats.insert((name, provider), seat)),
                    // Given up at the last moment.
                    None => commands.push(word_for(name, Word::Gone { provider })),
                };
            }
            Of::Done { ticket, result } => return self.done(name, provider, ticket, result, commands),
            Of::VoteRefused { protocol, phase, why } => ProviderEvent::VoteRefused { protocol, phase, why },
            Of::TooLate { protocol, phase } => ProviderEvent::TooLate { protocol, phase },
            Of::NotSent(why) => ProviderEvent::NotSent(why),
            Of::Ended(ended) => {
                if let Some(seat) = self.seats.remove(&(name.clone(), provider)) {
                    let _ = seat.events.try_send(ProviderEvent::Ended(ended));
                    seat.room.notify_waiters();
                    if ended == fatebound_machine::process_groups::protocols::Ended::PutOut {
                        self.put_out.entry(name).or_default().push(seat);
                    }
                }
                return;
            }
        };
        self.tell(&name, provider, event, commands);
    }

    fn done(
        &mut self,
        name: GroupName,
        provider: ProviderId,
        ticket: Ticket,
        result: Resolved,
        commands: &mut Vec<Command>,
    ) {
        if let Some(reply) = self.outcomes.remove(&ticket) {
            let _ = reply.send(result);
            return;
        }
        let seat = self.seats.get_mut(&(name.clone(), provider));
        let Some((_, reply)) = seat.and_then(|seat| seat.joining.take_if(|(joining, _)| *joining == ticket)) else {
            return;
        };
        let outcome = match result {
            Resolved::Approved { epoch, .. } => Ok(Joined { provider, epoch }),
            result => Err(JoinProcessGroupError::of(&result)),
        };
        let taken = outcome.is_ok();
        if reply.send(outcome).is_err() && taken {
            commands.push(word_for(name, Word::Gone { provider }));
        }
    }

    fn tell_all(&mut self, name: &GroupName, event: &ProviderEvent, commands: &mut Vec<Command>) {
        let here: Vec<ProviderId> = self
            .seats
            .keys()
            .filter(|(group, _)| group == name)
            .map(|(_, provider)| *provider)
            .collect();
        for provider in here {
            self.tell(name, provider, event.clone(), commands);
        }
    }

    /// Those whose node was put out have been told so; now they are told by whom.
    fn last_word(&mut self, name: &GroupName, event: &ProviderEvent) {
        for seat in self.put_out.remove(name).unwrap_or_default() {
            let _ = seat.events.try_send(event.clone());
        }
    }

    /// Whoever is not there to hear it, or lets as much wait as may, is gone.
    fn tell(&mut self, name: &GroupName, provider: ProviderId, event: ProviderEvent, commands: &mut Vec<Command>) {
        let seat = (name.clone(), provider);
        if let Some(there) = self.seats.get(&seat)
            && there.events.try_send(event).is_err()
        {
            there.room.notify_waiters();
            self.seats.remove(&seat);
            commands.push(word_for(name.clone(), Word::Gone { provider }));
        }
    }

    fn has_room(&self, name: &GroupName) {
        for ((group, _), seat) in &self.seats {
            if group == name {
                seat.room.notify_waiters();
            }
        }
    }
}

fn word_for(name: GroupName, order: Word) -> Command {
    Command::Cluster(Cluster::Order { name, order })
}
