//! The carrier: carries out the machine's outputs on a swarm, and turns what happens there into the machine's inputs.
//!
//! It knows sessions, dials and one-shot exchanges, and nothing of what they mean. Its events are [`Input`]s. The rules that it keeps:
//!
//! - Every `Connect` ends in exactly one `Connected` or `DialFailed`, every `Verify` in `Verified` or `DialFailed`, every `Request` in `Response` or
//!   `RequestFailed`; every session that was `Connected` and that the machine did not disconnect ends in one `Disconnected`.
//! - An address is reported as dialled only if *we* dialled the very connection, because a refusal there may later prove a death.
//! - Frames do not pass through the swarm's channel to its handlers, see [`crate::queue`].

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Duration;

use either::Either;
use fatebound_machine::overlay::pipes::PipeId;
use fatebound_machine::overlay::{DialFailure, Multiaddr, Opener, PeerId, RequestId, Session};
use fatebound_machine::{DisconnectCause, Input, Output};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, FromSwarm};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionHandler, ConnectionHandlerSelect, ConnectionId, NetworkBehaviour,
    NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use tokio::time::{Instant, Sleep};

use crate::asks::{Asks, asks};
use crate::bootstraps::Bootstraps;
use crate::descriptors::Budget;
use crate::dials::{Dial, Purpose, bare};
use crate::handler::{Handler, HandlerEvent, OpenId};
use crate::pipe::{PipeHandler, PipeOpenId};
use crate::queue::SendQueue;
use crate::rarely::Rarely;
use crate::strangers::Strangers;

/// A dial that takes less is not called slow: a busy host needs so long for handshakes that come in crowds.
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Sessions and one-shot exchanges of one peer.
pub struct Carrier {
    open_timeout: Duration,
    slow_after: Duration,
    asks: Asks,
    session_numbers: Arc<AtomicU64>,
    next_open: u64,
    next_request: u64,
    connections: HashMap<ConnectionId, Connection>,
    /// Each peer's connections, the newest last.
    peers: HashMap<PeerId, Vec<ConnectionId>>,
    sessions: HashMap<Session, Live>,
    /// Sessions that we have closed and that still write.
    closing: HashMap<Session, ConnectionId>,
    dials: HashMap<ConnectionId, Dial>,
    /// For the first dial that will be slow.
    slow: Option<Pin<Box<Sleep>>>,
    strangers: Strangers,
    budget: Budget,
    rarely: Rarely,
    /// Dials that wait for others to end: not more than the machine has ordered.
    waiting: VecDeque<Dial>,
    opens: HashMap<OpenId, Open>,
    pipes: HashMap<PipeId, Live>,
    /// Pipes that we have closed and that still write.
    closing_pipes: HashMap<PipeId, ConnectionId>,
    pipe_opens: HashMap<PipeOpenId, PipeOpening>,
    questions: HashMap<OutboundRequestId, (PeerId, RequestId)>,
    /// How many of them each peer is asked, and what it is to be asked next.
    asking: HashMap<PeerId, Asking>,
    answers: HashMap<RequestId, (InboundRequestId, ResponseChannel<Vec<u8>>)>,
    listening: Listening,
    max_addresses: usize,
    bootstraps: Bootstraps,
    /// Until then nothing that is silent is closed: we may not have read what it said.
    late_until: Option<Instant>,
    actions: VecDeque<Action>,
}

type Action = ToSwarm<Input, THandlerInEvent<Carrier>>;

/// A connection that is up.
#[derive(Debug)]
struct Connection {
    peer: PeerId,
    /// Where we dialled it, if we did.
    dialled: Option<Multiaddr>,
    /// Where we have dialled this peer since, to see who lives there.
    verified: Option<Multiaddr>,
    /// Nothing has been heard on it since another one was dialled beside it.
    silent: bool,
    /// It is there for a pipe: other streams take another one, if there is one.
    for_pipe: bool,
}

/// A session that the machine knows.
#[derive(Debug)]
struct Live {
    connection: ConnectionId,
    queue: SendQueue,
}

/// An order to open a session, on its way.
#[derive(Debug)]
struct Open {
    peer: PeerId,
    connection: ConnectionId,
    /// The addresses of the order, as far as they have not been dialled for it.
    addresses: Vec<Multiaddr>,
    /// Those that were.
    dialled: Vec<Multiaddr>,
}

/// Questions to one peer. A connection that has too many streams closes, so only so many are asked at once.
#[derive(Debug, Default)]
struct Asking {
    under_way: usize,
    /// At most [`crate::dials::MAX_WAITING`].
    waiting: VecDeque<(RequestId, Vec<u8>)>,
}

/// Where we can be dialled.
#[derive(Debug)]
enum Listening {
    /// Wherever we listen.
    Found(Vec<Multiaddr>),
    /// Where our user says.
    Announced,
}

impl Carrier {
    /// `answer_limit`: for a one-shot exchange over an open connection. `slow_after`: for a dial, before it is called slow. `open_timeout`: for opening a stream. `announce`: instead of the
    /// addresses where we listen, if not empty. `max_addresses`: as many of them are told to others.
    pub(crate) fn new(
        answer_limit: Duration,
        slow_after: Duration,
        open_timeout: Duration,
        announce: &[Multiaddr],
        max_addresses: usize,
    ) -> Carrier {
        let mut carrier = Carrier {
            open_timeout,
            slow_after: slow_after.max(SLOW_AFTER),
            asks: asks(answer_limit),
            session_numbers: Arc::default(),
            next_open: 0,
            next_request: 0,
            connections: HashMap::new(),
            peers: HashMap::new(),
            sessions: HashMap::new(),
            closing: HashMap::new(),
            dials: HashMap::new(),
            slow: None,
            strangers: Strangers::default(),
            budget: Budget::of_process(),
            rarely: Rarely::default(),
            waiting: VecDeque::new(),
            opens: HashMap::new(),
            pipes: HashMap::new(),
            closing_pipes: HashMap::new(),
            pipe_opens: HashMap::new(),
            questions: HashMap::new(),
            asking: HashMap::new(),
            answers: HashMap::new(),
            listening: Listening::Found(Vec::new()),
            max_addresses,
            bootstraps: Bootstraps::default(),
            late_until: None,
            actions: VecDeque::new(),
        };
        if !announce.is_empty() {
            carrier.listening = Listening::Announced;
            carrier.warn_of_too_many(announce);
            carrier.tell(Input::Listening(announce.iter().map(bare).collect()));
        }
        carrier
    }

    /// Carries out one output. Events are not for here.
    pub(crate) fn execute(&mut self, output: Output) {
        match output {
            Output::Send { session, frame, urgent } => self.send(session, frame, urgent),
            Output::Connect { peer, addresses, fresh } => self.connect(peer, addresses, fresh),
            Output::Verify { peer, address } => self.verify(peer, address),
            Output::Disconnect { session } => self.disconnect(session),
            Output::Request {
                request,
                peer,
                addresses,
                fresh,
                body,
            } => self.request(request, peer, (addresses, fresh), body),
            Output::Respond { request, body } => self.respond(request, body),
            Output::Pipe(output) => self.pipe(output),
            Output::Event(_) => {}
        }
    }

    /// What is known of the bootstrap addresses, for whoever gives and reads them.
    pub(crate) fn bootstraps(&self) -> &Bootstraps {
        &self.bootstraps
    }

    /// Whether everything that was sent on sessions that we closed has left.
    pub(crate) fn is_flushed(&self) -> bool {
        self.closing.is_empty() && self.closing_pipes.is_empty()
    }

    fn tell(&mut self, input: Input) {
        self.actions.push_back(ToSwarm::GenerateEvent(input));
    }

    // ---- sessions

    fn send(&mut self, session: Session, frame: Vec<u8>, urgent: bool) {
        let Some(live) = self.sessions.get(&session) else {
            return;
        };
        if live.queue.push(frame, urgent).is_err() {
            tracing::warn!(session = session.0, "a session is closed: its send queue is full");
            live.queue.abort();
            self.lose(session, DisconnectCause::Overflow);
        }
    }

    fn disconnect(&mut self, session: Session) {
        if let Some(live) = self.sessions.remove(&session) {
            live.queue.finish();
            self.closing.insert(session, live.connection);
            self.leave_silent(live.connection);
        }
    }

    fn lose(&mut self, session: Session, cause: DisconnectCause) {
        if self.sessions.remove(&session).is_some() {
            self.tell(Input::Disconnected { session, cause });
        }
    }

    fn connect(&mut self, peer: Option<PeerId>, addresses: Vec<Multiaddr>, fresh: bool) {
        let up = peer
            .filter(|_| !fresh)
            .and_then(|peer| Some((peer, self.newest(&peer)?)));
        match up {
            Some((peer, connection)) => self.open_on(peer, connection, addresses),
            None => {
                if let Some(peer) = &peer {
                    self.distrust(peer);
                }
                let order = self.new_open();
                self.dial(Dial::new(peer, addresses, Purpose::Session(order)));
            }
        }
    }

    fn newest(&self, peer: &PeerId) -> Option<ConnectionId> {
        let all = self.peers.get(peer)?;
        let for_pipe = |id: &&ConnectionId| self.connections.get(id).is_some_and(|one| one.for_pipe);
        let others = all.iter().rev().find(|id| !for_pipe(id));
        others.or(all.last()).copied()
    }

    fn new_open(&mut self) -> OpenId {
        self.next_open += 1;
        OpenId(self.next_open)
    }

    /// Opens a session on a connection that is up.
    fn open_on(&mut self, peer: PeerId, connection: ConnectionId, addresses: Vec<Multiaddr>) {
        let order = self.new_open();
        let open = Open {
            peer,
            connection,
            addresses,
            dialled: Vec::new(),
        };
        self.opens.insert(order, open);
        self.actions.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Either::Left(Either::Left(order)),
        });
    }

    /// A session could not be opened: dials if there is somewhere left to dial, else says so.
    fn open_failed(&mut self, order: OpenId, reason: &str) {
        let Some(open) = self.opens.remove(&order) else {
            return;
        };
        for address in &open.dialled {
            self.bootstraps.failed(address, reason);
        }
        let mut dial = Dial::new(Some(open.peer), open.addresses, Purpose::Session(order));
        dial.failures = open
            .dialled
            .into_iter()
            .map(|address| (address, DialFailure::Other))
            .collect();
        self.dial(dial);
    }

    fn opened(&mut self, connection: ConnectionId, session: Session, order: Option<OpenId>, queue: SendQueue) {
        let Some(Connection { peer, dialled, .. }) = self.connections.get(&connection) else {
            return;
        };
        let input = Input::Connected {
            session,
            peer: *peer,
            opener: if order.is_some() { Opener::Us } else { Opener::Them },
            address: dialled.clone(),
        };
        if let Some(order) = order {
            self.opens.remove(&order);
        }
        if let Some(address) = dialled {
            self.bootstraps.succeeded(address);
        }
        self.sessions.insert(session, Live { connection, queue });
        self.tell(input);
    }

    fn ended(&mut self, session: Session, cause: Option<DisconnectCause>) {
        if let Some(connection) = self.closing.remove(&session) {
            self.retire(connection);
        }
        self.lose(session, cause.unwrap_or(DisconnectCause::Lost));
    }

    /// Closes a connection whose session the machine closed in favour of one on another. It may have died without a word, and one-shot
    /// exchanges take the connections to a peer in turn.
    fn retire(&mut self, connection: ConnectionId) {
        let Some(peer) = self.connections.get(&connection).map(|connection| connection.peer) else {
            return;
        };
        let has_session = |on: ConnectionId| self.sessions.values().any(|live| live.connection == on);
        let opens = self.opens.values().any(|open| open.connection == connection);
        let others = self.peers.get(&peer).map_or(&[][..], Vec::as_slice);
        let elsewhere = others.iter().any(|&other| other != connection && has_session(other));
        if elsewhere && !opens && !has_session(connection) && !self.carries_pipe(connection) {
            self.actions.push_back(ToSwarm::CloseConnection {
                peer_id: peer,
                connection: CloseConnection::One(connection),
            });
        }
    }

    // ---- connections

    /// A connection is dialled beside those that are up: one that says nothing meanwhile may have died without a word.
    fn distrust(&mut self, peer: &PeerId) {
        for connection in self.peers.get(peer).into_iter().flatten() {
            if let Some(connection) = self.connections.get_mut(connection) {
                connection.silent = true;
            }
        }
    }

    fn heard(&mut self, connection: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.silent = false;
        }
    }

    /// This process was late itself: what it takes for silent may have spoken.
    pub(crate) fn was_late(&mut self) {
        self.late_until = Some(Instant::now() + self.slow_after);
    }

    fn is_late(&self) -> bool {
        self.late_until.is_some_and(|until| Instant::now() < until)
    }

    /// Closes a connection that is silent, carries no session, and is not the newest: one-shot exchanges would take it in its turn.
    fn leave_silent(&mut self, connection: ConnectionId) {
        let Some(Connection { peer, silent: true, .. }) = self.connections.get(&connection) else {
            return;
        };
        if self.is_late() {
            return;
        }
        let session = self.sessions.values().any(|live| live.connection == connection);
        let carries = session || self.carries_pipe(connection);
        if !carries && self.newest(peer) != Some(connection) {
            self.actions.push_back(ToSwarm::CloseConnection {
                peer_id: *peer,
                connection: CloseConnection::One(connection),
            });
        }
    }

    fn established(&mut self, event: &ConnectionEstablished<'_>) {
        let (peer, connection) = (event.peer_id, event.connection_id);
        let dial = self.take_dial(connection);
        let address = event.endpoint.is_dialer().then(|| event.endpoint.get_remote_address());
        let dialled = address.map(|address| dial.as_ref().map_or_else(|| bare(address), |dial| dial.given(address)));
        self.connections.insert(
            connection,
            Connection {
                peer,
                dialled: dialled.clone(),
                verified: None,
                silent: false,
                for_pipe: false,
            },
        );
        self.peers.entry(peer).or_default().push(connection);
        self.leave_silent_of(&peer);
        if let (Some(dial), Some(address)) = (dial, dialled) {
            self.dial_succeeded(connection, peer, dial, address);
        }
    }

    fn leave_silent_of(&mut self, peer: &PeerId) {
        if self.peers.get(peer).is_some_and(|all| all.len() > 1) {
            for connection in self.peers.get(peer).cloned().unwrap_or_default() {
                self.leave_silent(connection);
            }
        }
    }

    fn closed(&mut self, event: &ConnectionClosed<'_>) {
        let (peer, connection) = (event.peer_id, event.connection_id);
        self.connections.remove(&connection);
        self.closing.retain(|_, under| *under != connection);
        if let Some(others) = self.peers.get_mut(&peer) {
            others.retain(|other| *other != connection);
            if others.is_empty() {
                self.peers.remove(&peer);
            }
        }
        for session in of_connection(&self.sessions, |live| live.connection == connection) {
            self.lose(session, DisconnectCause::Lost);
        }
        for order in of_connection(&self.opens, |open| open.connection == connection) {
            self.open_failed(order, "the connection was closed");
        }
        self.lose_pipes_on(connection);
    }
}

/// The keys of what belongs to a connection: a handful of sessions among a few hundred.
fn of_connection<K: Copy + Ord, V>(map: &HashMap<K, V>, belongs: impl Fn(&V) -> bool) -> Vec<K> {
    let mut keys: Vec<K> = map
        .iter()
        .filter(|(_, value)| belongs(value))
        .map(|(key, _)| *key)
        .collect();
    keys.sort_unstable();
    keys
}

impl NetworkBehaviour for Carrier {
    type ConnectionHandler = ConnectionHandlerSelect<ConnectionHandlerSelect<Handler, THandler<Asks>>, PipeHandler>;
    type ToSwarm = Input;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let asks = self
            .asks
            .handle_established_inbound_connection(connection, peer, local, remote)?;
        let handler = Handler::new(self.session_numbers.clone(), self.open_timeout, None);
        let pipes = PipeHandler::new(self.session_numbers.clone(), self.open_timeout, None);
        Ok(handler.select(asks).select(pipes))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let purpose = self.dials.get(&connection).map(|dial| dial.purpose);
        if purpose == Some(Purpose::Verify) {
            // The handshake is done, that was all we wanted to know. A connection that is denied here closes at once and is seen by nobody.
            if let Some(dial) = self.take_dial(connection) {
                self.verified(peer, dial.given(address));
            }
            return Err(ConnectionDenied::new(HangUp));
        }
        let order = match purpose {
            Some(Purpose::Session(order)) => Some(order),
            _ => None,
        };
        let asks = self
            .asks
            .handle_established_outbound_connection(connection, peer, address, role, port)?;
        let pipe = match purpose {
            Some(Purpose::Pipe(order)) => Some(order),
            _ => None,
        };
        let handler = Handler::new(self.session_numbers.clone(), self.open_timeout, order);
        let pipes = PipeHandler::new(self.session_numbers.clone(), self.open_timeout, pipe);
        Ok(handler.select(asks).select(pipes))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.asks.on_swarm_event(event);
        match event {
            FromSwarm::ConnectionEstablished(event) => self.established(&event),
            FromSwarm::ConnectionClosed(event) => self.closed(&event),
            FromSwarm::DialFailure(event) => self.dial_failed(event.connection_id, event.error),
            FromSwarm::NewListenAddr(event) => self.listening(|known| known.push(event.addr.clone())),
            FromSwarm::ExpiredListenAddr(event) => self.listening(|known| known.retain(|addr| addr != event.addr)),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        let event = match event {
            Either::Left(event) => event,
            Either::Right(event) => return self.on_pipe_event(peer, connection, event),
        };
        if let Either::Left(HandlerEvent::Opened { .. } | HandlerEvent::Frame { .. }) = event {
            self.heard(connection);
        }
        match event {
            Either::Right(event) => self.asks.on_connection_handler_event(peer, connection, event),
            Either::Left(HandlerEvent::Opened { session, order, queue }) => {
                self.opened(connection, session, order, queue);
            }
            Either::Left(HandlerEvent::OpenFailed { order, reason }) => {
                tracing::debug!(%peer, reason, "a session could not be opened");
                self.open_failed(order, &format!("who lives there opens no session: {reason}"));
            }
            Either::Left(HandlerEvent::Frame { session, frame }) => {
                if self.sessions.contains_key(&session) {
                    self.tell(Input::Received { session, frame });
                }
            }
            Either::Left(HandlerEvent::Ended { session, cause }) => self.ended(session, cause),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Input, THandlerInEvent<Self>>> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Poll::Ready(action);
            }
            match self.asks.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => self.on_exchange(event),
                Poll::Ready(action) => {
                    // Only the event that was taken above could need a mapping.
                    let nothing = |_| Input::Wake;
                    return Poll::Ready(
                        action
                            .map_out(nothing)
                            .map_in(|event| Either::Left(Either::Right(event))),
                    );
                }
                Poll::Pending if self.poll_slow(cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Why a verified connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("dialled only to see who lives there")]
struct HangUp;

mod dialing;
mod exchanging;
mod listening;
mod pipes;
#[cfg(test)]
mod tests;

use pipes::PipeOpening;
