//! Between the handles that an application holds and the machine: orders in, replies, handlers and events out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fatebound_machine::fng::{self, Admit, GroupId, JoinError, LeaveError, Reason, Refusal, Ticket};
use fatebound_machine::overlay::{Multiaddr, PeerId, directory};
use fatebound_machine::{Command, Event as MachineEvent, Machine};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::admission::Wish;
use crate::error::{CreateGroupError, SignalError, Stopped};
use crate::event::{EventKind, EventLog};
use crate::failures::{End, Failure, Handler, Outcome, SharedFailures};
use crate::pipes::{PipeOrder, Ports};
use crate::process_group::{GroupOrder, Seats};

/// Accepted invitations at most that wait for the machine's word that we are members.
const MAX_UNDECIDED: usize = 64;

/// Why a group fails that came into being when its creator had given up on it.
const NOT_AWAITED: &str = "its creator did not wait for the creation";
/// Why a group fails whose invitation was accepted and then taken by nobody.
const NOT_TAKEN: &str = "whoever waited for this invitation has gone";

/// What a handle asks of the node.
pub(crate) enum Order {
    /// Join through these.
    Join { bootstrap: Vec<Multiaddr> },
    /// Create a group.
    Create(Box<Creation>),
    /// Fail a group that lives here.
    Signal {
        group: GroupId,
        text: String,
        reply: oneshot::Sender<Result<(), SignalError>>,
    },
    /// Fail a group here and say nothing about it.
    FallSilent {
        group: GroupId,
        reply: oneshot::Sender<Result<(), SignalError>>,
    },
    /// Come into a group.
    JoinGroup(Box<Joining>),
    /// Leave a group, or close one's own.
    Leave {
        group: GroupId,
        reply: oneshot::Sender<Result<(), LeaveError>>,
    },
    /// Say whether a peer may come in.
    Admit {
        group: GroupId,
        peer: PeerId,
        refusal: Option<Refusal>,
    },
    /// Wait for peers that want to come in.
    Admissions {
        wishes: mpsc::Sender<Wish>,
        reply: oneshot::Sender<()>,
    },
    /// Ask every member.
    Check {
        group: GroupId,
        reply: oneshot::Sender<CheckReport>,
    },
    /// Find a peer.
    Locate {
        peer: PeerId,
        reply: oneshot::Sender<Vec<Multiaddr>>,
    },
    /// Take addresses of a peer as hearsay.
    Introduce { peer: PeerId, addresses: Vec<Multiaddr> },
    /// Wait for invitations with this tag.
    Accept {
        tag: String,
        waiter: Waiter,
        reply: oneshot::Sender<()>,
    },
    /// Nobody takes these invitations any more.
    Unaccept { offers: mpsc::Receiver<Offer> },
    /// Whoever wanted this group has gone.
    Unwanted { group: GroupId },
    /// Of the directory: the order that is made with a ticket, and who waits for its event.
    Directory {
        order: Box<dyn FnOnce(directory::Ticket) -> directory::Command + Send>,
        reply: oneshot::Sender<directory::Event>,
    },
    /// About pipes.
    Pipe(PipeOrder),
    /// About process groups.
    ProcessGroup(Box<GroupOrder>),
    /// Look at the machine.
    Read(Box<dyn FnOnce(&Machine) + Send>),
    /// Stop.
    Shutdown,
}

impl Order {
    /// Whether whoever gave it no longer waits for what comes of it.
    fn is_abandoned(&self) -> bool {
        match self {
            Order::Create(creation) => creation.reply.is_closed(),
            Order::Signal { reply, .. } | Order::FallSilent { reply, .. } => reply.is_closed(),
            Order::Check { reply, .. } => reply.is_closed(),
            Order::Locate { reply, .. } => reply.is_closed(),
            Order::Accept { reply, .. } | Order::Admissions { reply, .. } => reply.is_closed(),
            Order::JoinGroup(joining) => joining.reply.is_closed(),
            Order::Leave { reply, .. } => reply.is_closed(),
            Order::Pipe(order) => order.is_abandoned(),
            Order::ProcessGroup(order) => order.is_abandoned(),
            Order::Directory { .. }
            | Order::Unaccept { .. }
            | Order::Unwanted { .. }
            | Order::Admit { .. }
            | Order::Join { .. }
            | Order::Introduce { .. }
            | Order::Read(_)
            | Order::Shutdown => false,
        }
    }
}

/// A group to be created.
pub(crate) struct Creation {
    pub(crate) members: Vec<PeerId>,
    /// Addresses of members, as hearsay.
    pub(crate) introductions: Vec<(PeerId, Multiaddr)>,
    pub(crate) tag: Option<String>,
    pub(crate) state: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) admit: Admit,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) reply: CreateReply,
}

/// A group to be joined or observed.
pub(crate) struct Joining {
    pub(crate) group: GroupId,
    pub(crate) observe: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) reply: JoinReply,
}

/// Where the end of a join is awaited.
type JoinReply = oneshot::Sender<Result<(), JoinError>>;

/// A creation under way.
struct Creating {
    handlers: Vec<Handler>,
    state: Arc<[u8]>,
    reply: CreateReply,
}

/// Where the end of a creation is awaited.
type CreateReply = oneshot::Sender<Result<GroupId, CreateGroupError>>;

/// Somebody who waits for invitations with a tag.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) offers: mpsc::Sender<Offer>,
    /// Each acceptance takes a place of every one of these.
    pub(crate) rooms: Vec<Arc<Semaphore>>,
}

impl Waiter {
    /// A place of every room, or none of any.
    fn places(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        let place = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_owned().ok();
        self.rooms.iter().map(place).collect()
    }
}

/// An accepted invitation on its way to whoever waits for its tag.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) group: GroupId,
    pub(crate) members: Vec<PeerId>,
    pub(crate) tag: String,
    pub(crate) state: Vec<u8>,
    /// Its places in its waiter's rooms.
    pub(crate) places: Vec<OwnedSemaphorePermit>,
}

/// A place with whoever waits, held for an accepted invitation until the machine says that we are members.
struct Accepted {
    place: mpsc::OwnedPermit<Offer>,
    waiter: mpsc::Sender<Offer>,
    offer: Offer,
}

/// What a check of a group found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Whether the group lives; `None`: it does not live here.
    pub alive: Option<bool>,
    /// Each member that was asked, and whether it answered that it lives and knows the group.
    pub members: Vec<(PeerId, bool)>,
}

/// Everything that waits for a word of the machine.
pub(crate) struct Application {
    peer: PeerId,
    failures: SharedFailures,
    log: EventLog,
    /// `None` once the peer has stopped: who still waits for it then hears so.
    joined: Option<watch::Sender<bool>>,
    next_ticket: u64,
    creations: HashMap<Ticket, Creating>,
    checks: HashMap<Ticket, oneshot::Sender<CheckReport>>,
    joins: HashMap<Ticket, (Vec<Handler>, JoinReply)>,
    leaves: HashMap<Ticket, oneshot::Sender<Result<(), LeaveError>>>,
    /// Readers of wishes to come in.
    doors: Vec<mpsc::Sender<Wish>>,
    locates: HashMap<PeerId, Vec<oneshot::Sender<Vec<Multiaddr>>>>,
    names: HashMap<directory::Ticket, oneshot::Sender<directory::Event>>,
    ports: Ports,
    seats: Seats,
    waiters: HashMap<String, Vec<Waiter>>,
    /// Places held for accepted invitations until the machine says that we are members, which it does at once.
    accepted: HashMap<GroupId, Accepted>,
    /// Likewise, the application state of accepted invitations.
    states: HashMap<GroupId, Arc<[u8]>>,
}

impl Application {
    pub(crate) fn new(
        peer: PeerId,
        failures: SharedFailures,
        log: EventLog,
        joined: watch::Sender<bool>,
    ) -> Application {
        Application {
            peer,
            failures,
            log,
            joined: Some(joined),
            next_ticket: 0,
            creations: HashMap::new(),
            checks: HashMap::new(),
            joins: HashMap::new(),
            leaves: HashMap::new(),
            doors: Vec::new(),
            locates: HashMap::new(),
            names: HashMap::new(),
            ports: Ports::default(),
            seats: Seats::default(),
            waiters: HashMap::new(),
            accepted: HashMap::new(),
            states: HashMap::new(),
        }
    }

    /// Takes an order; what the machine has to do for it goes to `commands`. One that its giver has given up is dropped: this process may have
    /// slept, and what was wanted then is wanted no more.
    pub(crate) fn order(&mut self, order: Order, machine: &Machine, commands: &mut Vec<Command>) {
        if order.is_abandoned() {
            return;
        }
        match order {
            Order::Join { bootstrap } => commands.push(Command::Join { bootstrap }),
            Order::Create(creation) => self.create(*creation, commands),
            Order::Signal { group, text, reply } => {
                let word = machine.group(&group).is_none_or(|view| view.has_word);
                match word {
                    true => self.end(reply, group, fng::Command::Signal { group, text }, commands),
                    false => drop(reply.send(Err(SignalError::NoWord))),
                }
            }
            Order::FallSilent { group, reply } => {
                self.end(reply, group, fng::Command::FallSilent { group }, commands);
            }
            Order::JoinGroup(joining) => self.join(*joining, commands),
            Order::Leave { group, reply } => {
                let ticket = self.ticket();
                self.leaves.insert(ticket, reply);
                commands.push(Command::Group(fng::Command::Leave { ticket, group }));
            }
            Order::Admit { group, peer, refusal } => {
                commands.push(Command::Group(fng::Command::Admit { group, peer, refusal }));
            }
            Order::Admissions { wishes, reply } => {
                self.doors.retain(|reader| !reader.is_closed());
                self.doors.push(wishes);
                let _ = reply.send(());
            }
            Order::Check { group, reply } => {
                let ticket = self.ticket();
                self.checks.insert(ticket, reply);
                commands.push(Command::Group(fng::Command::Check { ticket, group }));
            }
            Order::Locate { peer, reply } => {
                self.locates.entry(peer).or_default().push(reply);
                commands.push(Command::Locate { peer });
            }
            Order::Introduce { peer, addresses } => commands.push(Command::Introduce { peer, addresses }),
            Order::Accept { tag, waiter, reply } => self.accept(tag, waiter, reply),
            Order::Unaccept { mut offers } => {
                while let Ok(offer) = offers.try_recv() {
                    commands.push(unwanted(offer.group, NOT_TAKEN));
                }
            }
            Order::Unwanted { group } => commands.push(unwanted(group, NOT_AWAITED)),
            Order::Directory { order, reply } => {
                let Ticket(number) = self.ticket();
                let ticket = directory::Ticket(number);
                self.names.insert(ticket, reply);
                commands.push(Command::Directory(order(ticket)));
            }
            Order::Pipe(order) => self.ports.order(order, machine, commands),
            Order::ProcessGroup(order) => self.seats.order(*order, machine, commands),
            Order::Read(read) => read(machine),
            Order::Shutdown => commands.push(Command::Shutdown),
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn create(&mut self, creation: Creation, commands: &mut Vec<Command>) {
        let ticket = self.ticket();
        for (peer, address) in creation.introductions {
            commands.push(Command::Introduce {
                peer,
                addresses: vec![address],
            });
        }
        let creating = Creating {
            handlers: creation.handlers,
            state: creation.state.as_slice().into(),
            reply: creation.reply,
        };
        self.creations.insert(ticket, creating);
        commands.push(Command::Group(fng::Command::Create {
            ticket,
            members: creation.members,
            tag: creation.tag,
            state: creation.state,
            timeout: creation.timeout,
            admit: creation.admit,
        }));
    }

    fn join(&mut self, joining: Joining, commands: &mut Vec<Command>) {
        let ticket = self.ticket();
        self.joins.insert(ticket, (joining.handlers, joining.reply));
        commands.push(Command::Group(fng::Command::Join {
            ticket,
            group: joining.group,
            observe: joining.observe,
            timeout: joining.timeout,
        }));
    }

    /// Signals, or falls silent, if the group lives here.
    fn end(
        &self,
        reply: oneshot::Sender<Result<(), SignalError>>,
        group: GroupId,
        command: fng::Command,
        commands: &mut Vec<Command>,
    ) {
        let lives = self.failures.lock().lives(&group);
        if lives {
            commands.push(Command::Group(command));
        }
        let _ = reply.send(if lives { Ok(()) } else { Err(SignalError::NotKnown) });
    }

    fn accept(&mut self, tag: String, waiter: Waiter, reply: oneshot::Sender<()>) {
        for waiters in self.waiters.values_mut() {
            waiters.retain(|waiter| !waiter.offers.is_closed());
        }
        self.waiters.retain(|_, waiters| !waiters.is_empty());
        self.waiters.entry(tag).or_default().push(waiter);
        let _ = reply.send(());
    }

    /// Takes an event of the machine; what the machine has to do for it goes to `commands`.
    pub(crate) fn event(&mut self, event: MachineEvent, machine: &Machine, commands: &mut Vec<Command>) {
        match event {
            MachineEvent::Joined => {
                if let Some(joined) = &self.joined {
                    joined.send_replace(true);
                }
                self.log(EventKind::Joined);
            }
            MachineEvent::LinkUp { peer } => self.log(EventKind::LinkUp { peer }),
            MachineEvent::LinkDoubtful { peer } => self.log(EventKind::LinkDoubtful { peer }),
            MachineEvent::LinkCleared { peer } => self.log(EventKind::LinkCleared { peer }),
            MachineEvent::LinkDown { peer, reason } => self.log(EventKind::LinkDown { peer, reason }),
            MachineEvent::Located { peer, addresses } => {
                for reply in self.locates.remove(&peer).unwrap_or_default() {
                    let _ = reply.send(addresses.clone());
                }
            }
            MachineEvent::Group(event) => self.group_event(event, machine, commands),
            MachineEvent::Directory(event) => self.directory_event(event),
            MachineEvent::Pipe(event) => self.ports.event(event, commands),
            MachineEvent::Cluster(event) => self.seats.event(event, commands),
            MachineEvent::Foreigner { .. } | MachineEvent::Stopped => {}
        }
    }

    fn directory_event(&mut self, event: directory::Event) {
        let Some(ticket) = event.ticket() else {
            tracing::warn!(?event, "a name that this node publishes has another record as well");
            return;
        };
        if let Some(reply) = self.names.remove(&ticket) {
            let _ = reply.send(event);
        }
    }

    fn log(&mut self, kind: EventKind) {
        self.log.push(kind, SystemTime::now());
    }

    fn group_event(&mut self, event: fng::Event, machine: &Machine, commands: &mut Vec<Command>) {
        match event {
            fng::Event::Creating { ticket, group } => self.creating(ticket, group),
            fng::Event::Created { ticket, group } => self.created(ticket, group, commands),
            fng::Event::CreateFailed {
                ticket,
                group,
                refusals,
                error,
            } => {
                let alone = !machine.joined() || machine.isolated();
                self.create_failed(ticket, group, (refusals, alone), error);
            }
            fng::Event::Invited {
                group,
                members,
                tag,
                state,
                decide,
            } => {
                self.invited(group, members, tag, state, decide, commands);
            }
            fng::Event::Joined { group } => {
                self.group_joined(group, commands);
                self.log(EventKind::GroupJoined { group });
            }
            fng::Event::Observing { group } => {
                self.group_joined(group, commands);
                self.log(EventKind::GroupObserved { group });
            }
            fng::Event::Admitted { ticket, group } => self.admitted(ticket, group, commands),
            fng::Event::JoinFailed { ticket, error, .. } => {
                if let Some((_, reply)) = self.joins.remove(&ticket) {
                    let _ = reply.send(Err(error));
                }
            }
            fng::Event::Asked { group, peer, observe } => self.asked(Wish { group, peer, observe }, commands),
            fng::Event::CameIn { group, peer, observer } => self.log(EventKind::CameIn { group, peer, observer }),
            fng::Event::WentOut { group, peer, observer } => self.log(EventKind::WentOut { group, peer, observer }),
            fng::Event::Members { group, members } => self.log(EventKind::MembersChanged { group, members }),
            fng::Event::Left { group } => {
                self.ends(group, End::Left);
                self.log(EventKind::GroupLeft { group });
            }
            fng::Event::LeaveEnded { ticket, error, .. } => {
                if let Some(reply) = self.leaves.remove(&ticket) {
                    let _ = reply.send(error.map_or(Ok(()), Err));
                }
            }
            fng::Event::Closed { group, by } => {
                self.ends(group, End::Closed);
                self.log(EventKind::GroupClosed { group, by });
            }
            fng::Event::Failed { group, reason } => self.failed(group, reason),
            fng::Event::Repairing { path, cause } => self.log(EventKind::Repairing { path, cause }),
            fng::Event::Repaired { path } => self.log(EventKind::Repaired { path }),
            fng::Event::Checked { ticket, alive, members } => {
                if let Some(reply) = self.checks.remove(&ticket) {
                    let _ = reply.send(CheckReport { alive, members });
                }
            }
        }
    }

    fn failed(&mut self, group: GroupId, reason: Reason) {
        let failure = Failure {
            group,
            reason: reason.clone(),
            time: SystemTime::now(),
        };
        self.ends(group, End::Failed(failure));
        self.log(EventKind::GroupFailed { group, reason });
    }

    /// The group is over for this node, which is the next event.
    fn ends(&mut self, group: GroupId, end: End) {
        let outcome = Outcome {
            number: self.log.next(),
            group,
            end,
            time: SystemTime::now(),
        };
        self.failures.lock().ends(outcome);
    }

    /// The id is known: from here on the creation's handlers run if it fails (claim 4).
    fn creating(&mut self, ticket: Ticket, group: GroupId) {
        let mut failures = self.failures.lock();
        failures.watch(group);
        if let Some(creating) = self.creations.get_mut(&ticket) {
            failures.states.keep(group, Arc::clone(&creating.state));
            for handler in creating.handlers.drain(..) {
                failures.register(group, handler, SystemTime::now());
            }
        }
    }

    fn created(&mut self, ticket: Ticket, group: GroupId, commands: &mut Vec<Command>) {
        self.log(EventKind::GroupCreated { group });
        let Some(Creating { reply, .. }) = self.creations.remove(&ticket) else {
            return;
        };
        if reply.send(Ok(group)).is_err() {
            commands.push(unwanted(group, NOT_AWAITED));
        }
    }

    fn create_failed(
        &mut self,
        ticket: Ticket,
        group: Option<GroupId>,
        (refusals, alone): (Vec<(PeerId, Refusal)>, bool),
        error: Option<fng::CreateError>,
    ) {
        let Some(Creating { reply, .. }) = self.creations.remove(&ticket) else {
            return;
        };
        let error = match (error, group) {
            (Some(error), _) => CreateGroupError::Refused(error),
            (None, Some(group)) => CreateGroupError::Incomplete { group, refusals, alone },
            (None, None) => CreateGroupError::Stopped(Stopped),
        };
        let _ = reply.send(Err(error));
    }

    /// An invitation without a tag is everybody's; one with a tag goes to whoever waits for it, and is declined if nobody does.
    fn invited(
        &mut self,
        group: GroupId,
        members: Vec<PeerId>,
        tag: Option<String>,
        state: Vec<u8>,
        decide: bool,
        commands: &mut Vec<Command>,
    ) {
        let kept: Arc<[u8]> = state.as_slice().into();
        let refusal = match (&tag, decide) {
            (Some(tag), true) => self
                .offer(Offer {
                    group,
                    members: members.clone(),
                    tag: tag.clone(),
                    state,
                    places: Vec::new(),
                })
                .err(),
            _ => None,
        };
        if refusal.is_none() && !kept.is_empty() {
            self.remember_state(group, Arc::clone(&kept));
        }
        self.log(EventKind::Invited {
            group,
            members,
            tag,
            state: kept,
            accepted: refusal.is_none(),
        });
        if decide {
            commands.push(Command::Group(fng::Command::Decide { group, refusal }));
        }
    }

    /// Until the machine says that we are members.
    fn remember_state(&mut self, group: GroupId, state: Arc<[u8]>) {
        if self.states.len() >= MAX_UNDECIDED {
            self.states.clear();
        }
        self.states.insert(group, state);
    }

    /// Holds a place for the offer with somebody who waits for its tag; the next one is somebody else's turn.
    fn offer(&mut self, mut offer: Offer) -> Result<(), Refusal> {
        // The machine takes a decision at once, so more than a few open ones are invitations that came to nothing.
        if self.accepted.len() >= MAX_UNDECIDED {
            self.accepted.clear();
        }
        let waiters = self.waiters.get_mut(&offer.tag).map_or(&mut [][..], Vec::as_mut_slice);
        let mut refusal = Refusal::NobodyWaits { tag: offer.tag.clone() };
        for at in 0..waiters.len() {
            let waiter = &waiters[at];
            let Ok(place) = waiter.offers.clone().try_reserve_owned().map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => refusal = Refusal::Busy,
                mpsc::error::TrySendError::Closed(_) => {}
            }) else {
                continue;
            };
            let Some(places) = waiter.places() else {
                refusal = Refusal::Busy;
                continue;
            };
            offer.places = places;
            let waiter = waiter.offers.clone();
            waiters[at..].rotate_left(1);
            self.accepted.insert(offer.group, Accepted { place, waiter, offer });
            return Ok(());
        }
        Err(refusal)
    }

    /// This node is in the group: from here on the join's handlers run if it fails.
    fn admitted(&mut self, ticket: Ticket, group: GroupId, commands: &mut Vec<Command>) {
        let Some((handlers, reply)) = self.joins.remove(&ticket) else {
            return;
        };
        for handler in handlers {
            self.failures.lock().register(group, handler, SystemTime::now());
        }
        if reply.send(Ok(())).is_err() {
            // Nobody waits for it any more; the root's answer to this is awaited by nobody either.
            let ticket = self.ticket();
            commands.push(Command::Group(fng::Command::Leave { ticket, group }));
        }
    }

    /// A peer wants to come in: the first reader with room is asked, and nobody's answer is no.
    fn asked(&mut self, wish: Wish, commands: &mut Vec<Command>) {
        let Wish { group, peer, observe } = wish;
        self.log(EventKind::AdmissionAsked { group, peer, observe });
        self.doors.retain(|reader| !reader.is_closed());
        if self.doors.iter().any(|reader| reader.try_send(wish).is_ok()) {
            return;
        }
        let refusal = Some(match self.doors.is_empty() {
            true => Refusal::NotAdmitted,
            false => Refusal::Busy,
        });
        commands.push(Command::Group(fng::Command::Admit { group, peer, refusal }));
    }

    fn group_joined(&mut self, group: GroupId, commands: &mut Vec<Command>) {
        let mut failures = self.failures.lock();
        failures.watch(group);
        if let Some(state) = self.states.remove(&group) {
            failures.states.keep(group, state);
        }
        drop(failures);
        if let Some(Accepted { place, waiter, offer }) = self.accepted.remove(&group) {
            match waiter.is_closed() {
                true => commands.push(unwanted(group, NOT_TAKEN)),
                // If it is not taken any more, `Unaccept` finds it there.
                false => drop(place.send(offer)),
            }
        }
    }

    /// The node has stopped: nobody watches over the groups that are left, so whoever waits for their failure is told. Everybody
    /// who waits for anything else hears that nothing more will come, even if the swarm around this peer goes on.
    pub(crate) fn stop(&mut self) {
        let reason = Reason::Shutdown { by: self.peer };
        let left = self.failures.lock().living();
        for group in left {
            self.failed(group, reason.clone());
        }
        self.log(EventKind::Stopped);
        self.log.close();
        self.joined = None;
        self.creations.clear();
        self.checks.clear();
        self.joins.clear();
        self.leaves.clear();
        self.doors.clear();
        self.locates.clear();
        self.names.clear();
        self.waiters.clear();
        self.ports.stop();
        self.accepted.clear();
        self.states.clear();
    }
}

/// Nobody here cares for this group: it must not live on with a member that nobody stands behind.
fn unwanted(group: GroupId, text: &str) -> Command {
    let text = text.to_owned();
    Command::Group(fng::Command::Signal { group, text })
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
