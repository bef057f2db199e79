//! Process groups in the machine: what they want of the layers below, and what these report to them.
//!
//! Their guards are failure notification groups like any other, with a tag that no application may use: what happens to these is told to the process
//! groups and to nobody else.

use fatebound_cluster::{Cluster, Context, GuardInput, PipeInput, guards};
use fatebound_fng::{Admit, Event as GroupEvent, Refusal, Ticket};
use fatebound_overlay::{Command as Order, Port, Posting, Time, directory, pipes};

use crate::machine::Machine;
use crate::wire::encode;
use crate::{Event, Output};

/// Of orders whose end makes no difference.
const NOBODY_WAITS: Ticket = Ticket(u64::MAX);
/// Where process groups stand.
const PORT: Port = Port::PROCESS_GROUPS;

impl Machine {
    pub(crate) fn run_cluster(&mut self, now: Time, input: fatebound_cluster::Input, out: &mut Vec<Output>) {
        let context = Context {
            round_trip: self.mean_round_trip(),
        };
        let mut outputs = Vec::new();
        self.cluster.handle(now, input, context, &mut outputs);
        for output in outputs {
            self.lift_cluster(now, output, out);
        }
    }

    fn lift_cluster(&mut self, now: Time, output: fatebound_cluster::Output, out: &mut Vec<Output>) {
        use fatebound_cluster::Output as From;
        match output {
            From::Post { post, to, packet, ways } => self.order(Order::Post {
                posting: Posting { port: PORT, post },
                to,
                body: encode(&packet),
                ways,
            }),
            From::Reply { way, receipt } => self.order(Order::Reply {
                way,
                body: Some(encode(&receipt)),
            }),
            From::CreateGuard {
                ticket,
                members,
                note,
                timeout,
            } => self.order_group(fatebound_fng::Command::Create {
                ticket: Ticket(ticket),
                members,
                tag: Some(guards::TAG.to_owned()),
                state: note,
                timeout: Some(timeout),
                admit: Admit::Members,
            }),
            From::DecideGuard { guard, accept } => self.order_group(fatebound_fng::Command::Decide {
                group: guard,
                refusal: (!accept).then(|| Refusal::Declined {
                    text: "not wanted in this view".to_owned(),
                }),
            }),
            From::EndGuard { guard } => self.order_group(fatebound_fng::Command::Leave {
                ticket: NOBODY_WAITS,
                group: guard,
            }),
            From::FailGuard { guard } => self.order_group(fatebound_fng::Command::Signal {
                group: guard,
                text: "out of the process group".to_owned(),
            }),
            From::Listen => self.order_pipes(now, pipes::Command::Listen { port: PORT }, out),
            From::PipeSend { peer, body } => {
                let port = PORT;
                self.order_pipes(now, pipes::Command::Send { port, peer, body }, out);
            }
            From::PipeRead { peer } => self.order_pipes(now, pipes::Command::Read { port: PORT, peer }, out),
            From::Directory(command) => self.order(Order::Directory(command)),
            From::Event(event) => out.push(Output::Event(Event::Cluster(event))),
        }
    }

    fn order_pipes(&mut self, now: Time, command: pipes::Command, out: &mut Vec<Output>) {
        self.run_pipes(now, pipes::Input::Command(command), out);
    }

    /// What happens at the port of process groups is for them; that there is a pipe, or none any more, for everybody.
    pub(crate) fn on_pipe_event(&mut self, event: pipes::Event, out: &mut Vec<Output>) {
        use pipes::Event as From;
        let input = match event {
            From::Received { port: PORT, peer, body } => PipeInput::Received { peer, body },
            From::NotTaken {
                port: PORT,
                peer,
                body,
                why,
            } => PipeInput::NotTaken {
                peer,
                body,
                too_many: why == pipes::NotTaken::TooMany,
            },
            From::Room { port: PORT, peer } => PipeInput::Room { peer },
            From::Refused { port: PORT, peer, lost } => PipeInput::Refused { peer, lost },
            From::Up { peer, incarnation } => {
                out.push(Output::Event(Event::Pipe(event)));
                PipeInput::Up { peer, incarnation }
            }
            From::Down {
                peer,
                ref lost,
                ref cause,
            } => {
                // The other end may be there and only bear no more of them.
                let unreachable = matches!(cause, pipes::Cause::Unreachable | pipes::Cause::Busy);
                let lost = lost.iter().find(|(port, _)| *port == PORT).map_or(0, |(_, lost)| *lost);
                out.push(Output::Event(Event::Pipe(event)));
                PipeInput::Down {
                    peer,
                    lost,
                    unreachable,
                }
            }
            event => return out.push(Output::Event(Event::Pipe(event))),
        };
        self.cluster_input(fatebound_cluster::Input::Pipe(input));
    }

    fn order_group(&mut self, command: fatebound_fng::Command) {
        self.groups_input(fatebound_fng::Input::Command(command));
    }

    fn tell_cluster(&mut self, input: GuardInput) {
        self.cluster_input(fatebound_cluster::Input::Guard(input));
    }

    /// Events of guards are for the process groups, all others for the application.
    pub(crate) fn on_group_event(&mut self, event: GroupEvent, out: &mut Vec<Output>) {
        match event {
            GroupEvent::Creating { ticket, group } if Cluster::is_ours(ticket.0) => {
                let (ticket, guard) = (ticket.0, group);
                self.tell_cluster(GuardInput::Begun { ticket, guard });
            }
            GroupEvent::Created { ticket, group } if Cluster::is_ours(ticket.0) => {
                let (ticket, guard) = (ticket.0, group);
                self.tell_cluster(GuardInput::Created { ticket, guard });
            }
            GroupEvent::CreateFailed { ticket, refusals, .. } if Cluster::is_ours(ticket.0) => {
                let (ticket, refusals) = (ticket.0, refusals.into_iter().map(|(peer, _)| peer).collect());
                self.tell_cluster(GuardInput::Refused { ticket, refusals });
            }
            GroupEvent::Invited { group, tag, state, .. } if tag.as_deref() == Some(guards::TAG) => {
                let (guard, note) = (group, state);
                self.tell_cluster(GuardInput::Invited { guard, note });
            }
            GroupEvent::Failed { group, .. } | GroupEvent::Closed { group, .. } | GroupEvent::Left { group }
                if self.cluster.guards(&group) =>
            {
                self.tell_cluster(GuardInput::Over { guard: group });
            }
            GroupEvent::WentOut { group, .. } if self.cluster.guards(&group) => {
                self.tell_cluster(GuardInput::Deserted { guard: group });
            }
            event if self.is_about_guard(&event) => {}
            event => out.push(Output::Event(Event::Group(event))),
        }
    }

    /// Whether an event is about a guard, or an answer to an order that the process groups gave.
    fn is_about_guard(&self, event: &GroupEvent) -> bool {
        match event {
            GroupEvent::LeaveEnded { ticket, .. } => Cluster::is_ours(ticket.0),
            GroupEvent::Joined { group }
            | GroupEvent::Members { group, .. }
            | GroupEvent::CameIn { group, .. }
            | GroupEvent::WentOut { group, .. }
            | GroupEvent::Failed { group, .. }
            | GroupEvent::Left { group }
            | GroupEvent::Closed { group, .. } => self.cluster.guards(group),
            GroupEvent::Repairing { path, .. } | GroupEvent::Repaired { path } => self.cluster.guards(&path.group),
            _ => false,
        }
    }

    /// Answers to the orders of the process groups are theirs, and so is whatever concerns a record that they publish.
    pub(crate) fn on_directory_event(&mut self, event: directory::Event, out: &mut Vec<Output>) {
        let theirs = match &event {
            directory::Event::Superseded { theirs } | directory::Event::Conflict { theirs } => {
                theirs.record().name.kind == directory::Kind::PROCESS_GROUP
            }
            event => event.ticket().is_some_and(|ticket| Cluster::is_ours(ticket.0)),
        };
        if theirs {
            self.cluster_input(fatebound_cluster::Input::Directory(event));
        } else {
            out.push(Output::Event(Event::Directory(event)));
        }
    }

    /// The process groups of this peer.
    pub fn process_groups(&self) -> &Cluster {
        &self.cluster
    }
}
