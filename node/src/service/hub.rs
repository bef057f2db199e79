//! Where questions to services and answers of services pass through a node: one port for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fatebound_machine::overlay::PeerId;
use fatebound_machine::overlay::pipes::Port;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::message::{Answer, Packet, Question, Refused, ServiceStatus, decode, encode};
use crate::error::Stopped;
use crate::node::Node;
use crate::pipes::{PipePort, PipeSender, PortError, PortEvent};

/// Services and their clients talk here: of the ports that are for the layers of a node (`base/src/port.rs`).
const PORT: Port = Port::SERVICES;
/// Packets that wait for room in pipes; further ones are dropped, and asked for again.
const MAX_POSTS: usize = 4096;
/// … for one peer, which may not read at all.
const MAX_POSTS_OF_PEER: usize = 256;
/// How long a packet waits for room.
const ROOM: Duration = Duration::from_secs(30);
/// Questions that wait for the one provider here of a service, before it has looked at them.
pub(crate) const INBOX: usize = 1024;
/// For how long a port that is about to be free is waited for.
const FREED: u32 = 500;

/// The hub of a node, if it has one.
#[derive(Debug, Default)]
pub(crate) struct HubPlace(tokio::sync::Mutex<Weak<Hub>>);

/// A question that has come.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) peer: PeerId,
    pub(crate) ticket: u64,
    pub(crate) question: Question,
}

/// A service that has a provider here.
#[derive(Debug)]
struct Desk {
    inbox: mpsc::Sender<Incoming>,
    status: watch::Receiver<ServiceStatus>,
}

#[derive(Debug, Default)]
struct Inner {
    desks: HashMap<String, Desk>,
    pending: HashMap<u64, (PeerId, oneshot::Sender<Answer>)>,
    /// Packets that wait for room, by peer.
    waiting: HashMap<PeerId, usize>,
    next: u64,
}

/// One of these is at a node that provides or asks services.
#[derive(Debug)]
pub(crate) struct Hub {
    me: PeerId,
    sender: PipeSender,
    posts: Arc<Semaphore>,
    inner: Mutex<Inner>,
    reading: Mutex<Option<AbortHandle>>,
}

impl Hub {
    /// The one of this node.
    pub(crate) async fn of(node: &Node) -> Result<Arc<Hub>, Stopped> {
        let mut place = node.service_hub().0.lock().await;
        if let Some(hub) = place.upgrade() {
            return Ok(hub);
        }
        let port = listen(node).await?;
        let hub = Arc::new(Hub {
            me: node.peer_id(),
            sender: port.sender(),
            posts: Arc::new(Semaphore::new(MAX_POSTS)),
            inner: Mutex::default(),
            reading: Mutex::default(),
        });
        *place = Arc::downgrade(&hub);
        let reading = tokio::spawn(read(port, Arc::downgrade(&hub)));
        *hub.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading.abort_handle());
        Ok(hub)
    }

    /// The one of this node, if it has one already.
    pub(crate) async fn there(node: &Node) -> Option<Arc<Hub>> {
        node.service_hub().0.lock().await.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A provider of this service is here from now on, until the result is dropped. `None`: there is one already.
    pub(crate) fn open(
        self: &Arc<Hub>,
        service: &str,
        inbox: mpsc::Sender<Incoming>,
        status: watch::Receiver<ServiceStatus>,
    ) -> Option<Open> {
        let mut inner = self.lock();
        if inner.desks.contains_key(service) {
            return None;
        }
        inner.desks.insert(service.to_owned(), Desk { inbox, status });
        Some(Open {
            hub: self.clone(),
            service: service.to_owned(),
        })
    }

    /// How the services stand that have a provider here, by name.
    pub(crate) fn statuses(&self) -> Vec<ServiceStatus> {
        let inner = self.lock();
        let mut all: Vec<ServiceStatus> = inner.desks.values().map(|desk| desk.status.borrow().clone()).collect();
        all.sort_by(|one, other| one.service.cmp(&other.service));
        all
    }

    pub(crate) fn status(&self, service: &str) -> Option<ServiceStatus> {
        self.lock().desks.get(service).map(|desk| desk.status.borrow().clone())
    }

    /// Asks; `None` when nothing can come from there any more. Giving it up forgets the answer.
    pub(crate) async fn ask(self: &Arc<Hub>, peer: PeerId, service: &str, question: Question) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        let ticket = {
            let mut inner = self.lock();
            inner.next += 1;
            let ticket = inner.next;
            inner.pending.insert(ticket, (peer, reply));
            ticket
        };
        let _pending = Pending { hub: self, ticket };
        let service = service.to_owned();
        self.post(
            peer,
            Packet::Ask {
                ticket,
                service,
                question,
            },
        );
        answer.await.ok()
    }

    pub(crate) fn answer(self: &Arc<Hub>, peer: PeerId, ticket: u64, answer: Answer) {
        self.post(peer, Packet::Answer { ticket, answer });
    }

    fn post(self: &Arc<Hub>, peer: PeerId, packet: Packet) {
        if peer == self.me {
            return self.arrived(peer, packet);
        }
        let place = self.posts.clone().try_acquire_owned();
        let (Ok(place), true) = (place, self.begin_to_wait(peer)) else {
            tracing::debug!(%peer, "too many packets of services wait for room: one is dropped");
            return self.not_sent(&packet);
        };
        let (hub, sender) = (Arc::downgrade(self), self.sender.clone());
        tokio::spawn(async move {
            let _place = place;
            let sent = tokio::time::timeout(ROOM, sender.send(peer, encode(&packet))).await;
            let Some(hub) = hub.upgrade() else { return };
            hub.waits_no_more(peer);
            if !matches!(sent, Ok(Ok(()))) {
                hub.not_sent(&packet);
            }
        });
    }

    /// Whether one more may wait for this peer, which then counts.
    fn begin_to_wait(&self, peer: PeerId) -> bool {
        let mut inner = self.lock();
        let waiting = inner.waiting.entry(peer).or_default();
        let may = *waiting < MAX_POSTS_OF_PEER;
        *waiting += usize::from(may);
        may
    }

    fn waits_no_more(&self, peer: PeerId) {
        let mut inner = self.lock();
        if let Some(waiting) = inner.waiting.get_mut(&peer) {
            *waiting -= 1;
            if *waiting == 0 {
                inner.waiting.remove(&peer);
            }
        }
    }

    fn not_sent(&self, packet: &Packet) {
        if let Packet::Ask { ticket, .. } = packet {
            self.lock().pending.remove(ticket);
        }
    }

    fn arrived(self: &Arc<Hub>, peer: PeerId, packet: Packet) {
        match packet {
            Packet::Ask {
                ticket,
                service,
                question,
            } => {
                let inbox = self.lock().desks.get(&service).map(|desk| desk.inbox.clone());
                let refused = match &inbox {
                    None => Refused::NotHere,
                    Some(inbox) => match inbox.try_reserve() {
                        Ok(place) => return place.send(Incoming { peer, ticket, question }),
                        Err(mpsc::error::TrySendError::Full(())) => Refused::Full,
                        Err(mpsc::error::TrySendError::Closed(())) => Refused::NotHere,
                    },
                };
                self.answer(peer, ticket, Answer::Refused(refused));
            }
            Packet::Answer { ticket, answer } => {
                let mut inner = self.lock();
                if inner.pending.get(&ticket).is_some_and(|(of, _)| *of == peer)
                    && let Some((_, reply)) = inner.pending.remove(&ticket)
                {
                    let _ = reply.send(answer);
                }
            }
        }
    }

    /// What was asked there may be lost.
    fn lost(&self, peer: PeerId) {
        self.lock().pending.retain(|_, (of, _)| *of != peer);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let reading = self.reading.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = reading.take() {
            reading.abort();
        }
    }
}

/// Forgets a question when nobody waits for its answer any more.
struct Pending<'a> {
    hub: &'a Hub,
    ticket: u64,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.hub.lock().pending.remove(&self.ticket);
    }
}

/// A provider's place.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) hub: Arc<Hub>,
    service: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.lock().desks.remove(&self.service);
    }
}

/// The last hub of this node may be about to free the port.
async fn listen(node: &Node) -> Result<PipePort, Stopped> {
    for _ in 0..FREED {
        match node.pipe_port_at(PORT).await {
            Ok(port) => return Ok(port),
            Err(PortError::Stopped(stopped)) => return Err(stopped),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    tracing::error!("services have no port: as many ports are in use as may be");
    Err(Stopped)
}

async fn read(mut port: PipePort, hub: Weak<Hub>) {
    while let Some(event) = port.recv().await {
        let Some(hub) = hub.upgrade() else { return };
        match event {
            PortEvent::Received { peer, body } => match decode(&body) {
                Some(packet) => hub.arrived(peer, packet),
                None => tracing::debug!(%peer, "a packet that is none of a service's"),
            },
            PortEvent::Refused { peer, .. } | PortEvent::Down { peer, .. } => hub.lost(peer),
            PortEvent::Up { .. } => {}
        }
    }
    if let Some(hub) = hub.upgrade() {
        hub.lock().pending.clear();
    }
}
