//! One provider of a service, between its group, its clients and its application.
//!
//! It follows the group's order ([`follow`](super::follow)), lets the selection decide who is the primary, and, as the primary, serves batch after batch
//! ([`primacy`](super::primacy)). It waits for nothing but the next thing that happens: what takes its time, the application, sending and proposing, runs beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fatebound_machine::overlay::PeerId;
use fatebound_machine::process_groups::GroupName;
use fatebound_machine::process_groups::protocols::{Proposal, ProviderId, Resolved, Voting};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::checkpoint::Store;
use super::held::{Asker, Held};
use super::hub::{Hub, INBOX, Incoming, Open};
use super::message::{Answer, Question, Refused, ServiceProvider, ServiceStatus, Word, encode};
use super::primacy::Primacy;
use super::record::{Record, Role};
use super::selection::{Action, Rank, Selection};
use super::worker::{Report, Worker};
use super::{RoleEvent, ServiceEnded, ServiceSettings};
use crate::error::Stopped;
use crate::node::Node;
use crate::process_group::{JoinProcessGroupError, Provider, ProviderHandle};

/// Words to the group that wait to be sent: a whole checkpoint, and some.
const WORDS: usize = 512;
/// Before this provider comes in again after a join in vain.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks at what is due, if nothing happens.
const LOOK: Duration = Duration::from_millis(10);
/// Clients that wait to hear where the primary is.
const MAX_ASKED: usize = 1024;

/// What a handle of a service orders.
#[derive(Debug)]
pub(crate) enum ServiceOrder {
    HandOver(Option<String>, oneshot::Sender<Result<(), Refused>>),
    Leave,
}

/// Who does the service's work.
#[derive(Debug)]
pub(crate) enum Work {
    /// A [`Replicated`](super::Replicated) in this process.
    Worker(Worker),
    /// A program, which is told its role.
    Program(mpsc::Sender<RoleEvent>),
}

/// What stays over several stays in the group.
pub(crate) struct Runner {
    pub(crate) settings: ServiceSettings,
    pub(crate) node: Node,
    pub(crate) group: GroupName,
    pub(crate) hub: Arc<Hub>,
    pub(crate) work: Work,
    inbox: mpsc::Receiver<Incoming>,
    orders: mpsc::Receiver<ServiceOrder>,
    status: watch::Sender<ServiceStatus>,
    started: Instant,
    pub(crate) held: Held<PeerId>,
    /// Reports of the worker that are still to come, and are about a primacy that is over.
    pub(crate) stale: u32,
    /// The role that the program was told last.
    pub(crate) told: Option<Role>,
    _open: Open,
}

/// How a stay in the group has ended.
enum Stay {
    /// The group has gone on without this node: it comes back.
    PutOut,
    Over(ServiceEnded),
}

/// One stay in the group.
pub(crate) struct Seat {
    pub(crate) me: ProviderId,
    handle: ProviderHandle,
    pub(crate) names: BTreeMap<ProviderId, ServiceProvider>,
    pub(crate) selection: Selection,
    pub(crate) store: Store,
    /// Of the primacy that is on record; zero: not known here.
    pub(crate) epoch: u64,
    /// A state value whose epoch has not been told yet.
    pub(crate) sealing: Option<(u64, Record)>,
    pub(crate) blocked: bool,
    pub(crate) primacy: Option<Primacy>,
    /// The version from which something was proposed.
    pub(crate) proposed: Option<u64>,
    pub(crate) leaving: bool,
    asked: Vec<(Duration, Asker<PeerId>)>,
    words: mpsc::Sender<Vec<u8>>,
    sender: tokio::task::AbortHandle,
    proposals: JoinSet<(u64, Result<Resolved, Stopped>)>,
    leave: JoinSet<()>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

/// What the handle of a runner needs.
pub(crate) struct Parts {
    pub(crate) orders: mpsc::Sender<ServiceOrder>,
    pub(crate) status: watch::Receiver<ServiceStatus>,
}

impl Runner {
    /// `None`: there is a provider of this service at this node already.
    pub(crate) fn new(
        settings: ServiceSettings,
        node: Node,
        group: GroupName,
        hub: Arc<Hub>,
        work: Work,
    ) -> Option<(Runner, Parts)> {
        let (inbox, inbox_out) = mpsc::channel(INBOX);
        let (orders, orders_out) = mpsc::channel(16);
        let (status, status_out) = watch::channel(ServiceStatus::unknown(&settings.service));
        let open = hub.open(&settings.service, inbox, status_out.clone())?;
        let runner = Runner {
            settings,
            node,
            group,
            hub,
            work,
            inbox: inbox_out,
            orders: orders_out,
            status,
            started: Instant::now(),
            held: Held::default(),
            stale: 0,
            told: None,
            _open: open,
        };
        let parts = Parts {
            orders,
            status: status_out,
        };
        Some((runner, parts))
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Comes into the group for the first time.
    pub(crate) async fn join(&self) -> Result<Provider, JoinProcessGroupError> {
        let group = self.node.process_group(self.group.as_str());
        let Ok(group) = group else {
            return Err(JoinProcessGroupError::Instance);
        };
        let group = group.instance(self.settings.instance.clone());
        group.info(self.settings.address.clone().into_bytes()).join().await
    }

    /// Provides the service until it is over; comes back whenever the group has gone on without this node.
    pub(crate) async fn run(mut self, mut provider: Provider) -> ServiceEnded {
        loop {
            match self.stay(provider).await {
                Stay::Over(ended) => return ended,
                Stay::PutOut => {}
            }
            self.status.send_replace(ServiceStatus::unknown(&self.settings.service));
            tracing::warn!(
                service = self.settings.service,
                "put out of the service's group: coming back"
            );
            provider = match self.come_back().await {
                Ok(provider) => provider,
                Err(ended) => return ended,
            };
        }
    }

    async fn come_back(&mut self) -> Result<Provider, ServiceEnded> {
        for waiting in self.held.take(usize::MAX) {
            self.hub.answer(
                waiting.asker.peer,
                waiting.asker.ticket,
                Answer::Refused(Refused::NotHere),
            );
        }
        let (node, group, settings) = (self.node.clone(), self.group.clone(), self.settings.clone());
        let joining = async move {
            let group = node
                .process_group(group.as_str())
                .map_err(|_| JoinProcessGroupError::Instance)?;
            let group = group.instance(settings.instance).info(settings.address.into_bytes());
            loop {
                match group.clone().join().await {
                    // The node was put out again: a connection that comes and goes is no reason to stay away.
                    Err(JoinProcessGroupError::PutOut) => tokio::time::sleep(AGAIN).await,
                    joined => return joined,
                }
            }
        };
        tokio::pin!(joining);
        loop {
            tokio::select! {
                joined = &mut joining => return joined.map_err(ServiceEnded::NotJoined),
                Some(incoming) = self.inbox.recv() => {
                    self.hub.answer(incoming.peer, incoming.ticket, Answer::Refused(Refused::NotHere));
                }
                order = self.orders.recv() => match order {
                    Some(ServiceOrder::HandOver(_, reply)) => drop(reply.send(Err(Refused::NoPrimary))),
                    Some(ServiceOrder::Leave) | None => return Err(ServiceEnded::Left),
                },
            }
        }
    }

    async fn stay(&mut self, mut provider: Provider) -> Stay {
        let mut seat = match self.sit(&provider).await {
            Ok(seat) => seat,
            Err(Stopped) => return Stay::Over(ServiceEnded::Stopped),
        };
        loop {
            // Before the program is told its role, so that it finds it in the status; and again, with what was done since.
            self.show(&seat);
            if let Err(fault) = self.act(&mut seat) {
                return Stay::Over(self.give_up(&seat, &provider, fault).await);
            }
            self.show(&seat);
            let deadline = self.deadline(&seat);
            tokio::select! {
                event = provider.next() => match event {
                    None => return Stay::Over(ServiceEnded::Stopped),
                    Some(event) => match self.follow(&mut seat, event) {
                        None => {}
                        Some(super::follow::End::PutOut) => {
                            self.stale += seat.primacy.as_ref().map_or(0, |primacy| primacy.due);
                            self.told = None;
                            return match seat.leaving {
                                true => Stay::Over(ServiceEnded::Left),
                                false => Stay::PutOut,
                            };
                        }
                        Some(super::follow::End::Left) => return Stay::Over(ServiceEnded::Left),
                        Some(super::follow::End::Expelled) => return Stay::Over(ServiceEnded::Expelled),
                    },
                },
                Some(incoming) = self.inbox.recv() => self.answer(&mut seat, incoming),
                order = self.orders.recv() => match order {
                    // Its handle is gone: so is this provider.
                    None => return Stay::Over(ServiceEnded::Left),
                    Some(ServiceOrder::HandOver(to, reply)) => drop(reply.send(self.ask_to_hand_over(&seat, to.as_deref()))),
                    Some(ServiceOrder::Leave) => seat.leaving = true,
                },
                report = report(&mut self.work) => {
                    let report = report.unwrap_or_else(|| Report::Failed("its thread has ended".to_owned()));
                    if let Err(fault) = self.reported(&mut seat, report) {
                        return Stay::Over(self.give_up(&seat, &provider, fault).await);
                    }
                }
                () = released(&mut seat.primacy) => {}
                Some(Ok((version, resolved))) = seat.proposals.join_next() => {
                    seat.proposed.take_if(|proposed| *proposed == version);
                    if !matches!(resolved, Ok(Resolved::Approved { .. })) {
                        seat.selection.not_proposed(version);
                    }
                }
                () = sleep_until(self.started, deadline) => {}
            }
        }
    }

    async fn sit(&self, provider: &Provider) -> Result<Seat, Stopped> {
        let handle = provider.handle();
        let (words, mut words_out) = mpsc::channel::<Vec<u8>>(WORDS);
        let sender = tokio::spawn({
            let handle = handle.clone();
            async move {
                while let Some(word) = words_out.recv().await {
                    if handle.send(word).await.is_err() {
                        return;
                    }
                }
            }
        });
        let mut seat = Seat {
            me: handle.id(),
            handle: handle.clone(),
            names: BTreeMap::new(),
            selection: Selection::new(handle.id()),
            store: Store::default(),
            epoch: 0,
            sealing: None,
            blocked: false,
            primacy: None,
            proposed: None,
            leaving: false,
            asked: Vec::new(),
            words,
            sender: sender.abort_handle(),
            proposals: JoinSet::new(),
            leave: JoinSet::new(),
        };
        // What was decided before this provider came. It may be later than the events that come first: these change nothing then.
        let status = self.node.process_group_status(&self.group).await?;
        if let Some(state) = status.and_then(|status| status.state) {
            let (value, version) = state.value();
            if version > 0 {
                let record = self.read(value);
                seat.epoch = record.term;
                seat.selection.sealed(version, record);
            }
        }
        Ok(seat)
    }

    pub(crate) fn read(&self, value: &[u8]) -> Record {
        Record::decode(value).unwrap_or_else(|| {
            tracing::warn!(
                service = self.settings.service,
                "the service's state value is not one of a service: the primary is selected anew"
            );
            Record::default()
        })
    }

    /// Does what is to be done by now.
    fn act(&mut self, seat: &mut Seat) -> Result<(), Fault> {
        let own = Rank {
            role: if seat.selection.record().role(seat.me) == Role::Spare {
                Role::Spare
            } else {
                Role::Secondary
            },
            checkpoint: seat.store.number(),
            preference: self.settings.preference,
        };
        let leaving = seat.leaving && seat.selection.present().len() > 1;
        if !seat.blocked && !leaving {
            for action in seat.selection.step(self.now(), own) {
                match action {
                    Action::Announce(tag, rank) => self.say(seat, &Word::Rank(tag, rank))?,
                    Action::Propose(version, record) => self.propose(seat, version, &record),
                }
            }
        }
        self.reign(seat)?;
        self.refuse_overdue(seat);
        if seat.leaving
            && seat
                .primacy
                .as_ref()
                .is_none_or(|_| seat.selection.present().len() == 1)
            && seat.leave.is_empty()
        {
            let handle = seat.handle.clone();
            seat.leave.spawn(async move { drop(handle.leave().await) });
        }
        Ok(())
    }

    /// Queues a word to the group.
    pub(crate) fn say(&self, seat: &Seat, word: &Word) -> Result<(), Fault> {
        seat.words
            .try_send(encode(word))
            .map_err(|_| Fault::Failed("the group takes no messages".to_owned()))
    }

    pub(crate) fn propose(&self, seat: &mut Seat, version: u64, record: &Record) {
        let handle = seat.handle.clone();
        let proposal = Proposal::State {
            value: record.encode(),
            expected: Some(version),
        };
        seat.proposed = Some(version);
        seat.proposals
            .spawn(async move { (version, handle.propose(proposal, Voting::OnePhase).await) });
    }

    fn deadline(&self, seat: &Seat) -> Duration {
        let now = self.now();
        let idle = now + Duration::from_secs(60);
        let deadlines = [
            seat.selection.deadline(now),
            self.held.deadline(self.settings.hold),
            seat.asked.first().map(|(since, _)| *since + self.settings.hold),
            seat.primacy
                .as_ref()
                .and_then(|primacy| primacy.deadline(&self.settings)),
        ];
        // What cannot be done when it is due, because the node is cut off for example, is looked at again, and not without end.
        deadlines
            .into_iter()
            .flatten()
            .fold(idle, Duration::min)
            .max(now + LOOK)
    }

    fn answer(&mut self, seat: &mut Seat, incoming: Incoming) {
        let asker = Asker {
            peer: incoming.peer,
            ticket: incoming.ticket,
        };
        let answer = match incoming.question {
            Question::Status => Answer::Status(Box::new(self.standing(seat))),
            Question::Primary => match seat.known_primary() {
                Some(_) => Answer::Status(Box::new(self.standing(seat))),
                None if seat.asked.len() < MAX_ASKED => {
                    seat.asked.push((self.now(), asker));
                    return;
                }
                None => Answer::Refused(Refused::Full),
            },
            Question::HandOver(to) => match self.ask_to_hand_over(seat, to.as_deref()) {
                Ok(()) => Answer::HandingOver,
                Err(why) => Answer::Refused(why),
            },
            Question::Call(_) if matches!(self.work, Work::Program(_)) => Answer::Refused(Refused::Program),
            Question::Call(call) => match seat.known_primary() {
                Some(primary) if primary != seat.me => Answer::Moved(Box::new(self.standing(seat))),
                _ => match self.held.hold(self.now(), asker, call) {
                    Ok(()) => return,
                    Err(why) => Answer::Refused(why),
                },
            },
        };
        self.hub.answer(asker.peer, asker.ticket, answer);
    }

    /// The primary is another one, or there is one again: whoever waits for it is told.
    pub(crate) fn release(&mut self, seat: &mut Seat) {
        let Some(primary) = seat.known_primary() else { return };
        let standing = Box::new(self.standing(seat));
        for (_, asker) in std::mem::take(&mut seat.asked) {
            self.hub
                .answer(asker.peer, asker.ticket, Answer::Status(standing.clone()));
        }
        if primary != seat.me {
            for waiting in self.held.take(usize::MAX) {
                self.hub.answer(
                    waiting.asker.peer,
                    waiting.asker.ticket,
                    Answer::Moved(standing.clone()),
                );
            }
        }
    }

    fn refuse_overdue(&mut self, seat: &mut Seat) {
        let (now, hold) = (self.now(), self.settings.hold);
        let why = match seat.primacy {
            Some(_) => Refused::TooFewSecondaries,
            None => Refused::NoPrimary,
        };
        for waiting in self.held.overdue(now, hold) {
            self.hub
                .answer(waiting.asker.peer, waiting.asker.ticket, Answer::Refused(why));
        }
        let count = seat
            .asked
            .iter()
            .take_while(|(since, _)| now.saturating_sub(*since) >= hold)
            .count();
        for (_, asker) in seat.asked.drain(..count) {
            self.hub
                .answer(asker.peer, asker.ticket, Answer::Refused(Refused::NoPrimary));
        }
    }

    fn ask_to_hand_over(&self, seat: &Seat, to: Option<&str>) -> Result<(), Refused> {
        let primary = seat.known_primary().ok_or(Refused::NoPrimary)?;
        let named = |id: &&ProviderId| {
            seat.names
                .get(id)
                .is_some_and(|provider| Some(provider.instance.as_str()) == to)
        };
        let to = match to {
            None => None,
            Some(_) => {
                let found = seat.selection.present().iter().filter(|id| **id != primary).find(named);
                Some(*found.ok_or(Refused::NoSuchProvider)?)
            }
        };
        if seat.selection.present().len() < 2 {
            return Err(Refused::NoSuchProvider);
        }
        // What others ask for leaves room for what this provider has to say itself.
        if seat.words.capacity() < WORDS / 2 {
            return Err(Refused::Full);
        }
        self.say(seat, &Word::HandOver { of: primary, to })
            .map_err(|_| Refused::Full)
    }

    fn standing(&self, seat: &Seat) -> ServiceStatus {
        let of = |id: &ProviderId| seat.names.get(id).cloned();
        let (primary, secondaries) = (seat.selection.primary(), seat.selection.secondaries());
        let spares = seat
            .selection
            .present()
            .iter()
            .filter(|id| Some(**id) != primary && !secondaries.contains(id));
        ServiceStatus {
            service: self.settings.service.clone(),
            primary: primary.filter(|_| !seat.blocked).as_ref().and_then(of),
            epoch: seat.epoch,
            secondaries: secondaries.iter().filter_map(of).collect(),
            spares: spares.filter_map(of).collect(),
            checkpoint: seat.store.number(),
            held: self.held.len(),
            blocked: seat.blocked,
            own: of(&seat.me).map(|own| (own, seat.selection.record().role(seat.me))),
        }
    }

    fn show(&self, seat: &Seat) {
        let standing = self.standing(seat);
        self.status.send_if_modified(|status| {
            let news = *status != standing;
            *status = standing;
            news
        });
    }

    /// This provider can do nothing any more: the others are told before anything else.
    async fn give_up(&self, seat: &Seat, provider: &Provider, fault: Fault) -> ServiceEnded {
        let words = fault.to_string();
        tracing::error!(service = self.settings.service, provider = ?seat.me, words, "a provider of a service goes");
        let _ = provider.handle().goodbye(&words).await;
        ServiceEnded::Failed(words)
    }
}

/// Why a provider cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Failed(String),
    #[error("it has served for longer than it may: it hangs")]
    Hangs,
}

impl Seat {
    /// The primary, where it is known for sure that it was there a moment ago.
    pub(crate) fn known_primary(&self) -> Option<ProviderId> {
        self.selection.primary().filter(|_| !self.blocked)
    }
}

async fn report(work: &mut Work) -> Option<Report> {
    match work {
        Work::Worker(worker) => worker.reports.recv().await,
        Work::Program(_) => std::future::pending().await,
    }
}

/// Until the program of a primacy that ends has ended.
async fn released(primacy: &mut Option<Primacy>) {
    match primacy {
        Some(primacy) => primacy.released().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(started: Instant, deadline: Duration) {
    tokio::time::sleep_until(started + deadline).await;
}
