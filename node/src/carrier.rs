//! The carrier: carries out the machine's outputs on a swarm, and turns what happens there into the machine's inputs.
//!
//! It knows sessions, dials and one-shot exchanges, and nothing of what they mean. Its events are [`Input`]s. The rules that it keeps:
//!
//! - Every `Connect` ends in exactly one `Connected` or `DialFailed`, every `Verify` in `Verified` or `DialFailed`, every `Request` in `Response` or
//!   `RequestFailed`; every session that was `Connected` and that the machine did not disconnect ends in one `Disconnected`.
//! - An address is reported as dialled only if *we* dialled the very connection, because a refusal there may later prove a death.
//! - Frames do not pass through the swarm's channel to its handlers, see [`crate::queue`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Duration;

use either::Either;
use fatebound_machine::overlay::{DialFailure, Multiaddr, Opener, PeerId, RequestId, Session};
use fatebound_machine::{DisconnectCause, Input, Output};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::request_response::{self as exchange, InboundRequestId, OutboundRequestId, ResponseChannel};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, FromSwarm};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionHandler, ConnectionHandlerSelect, ConnectionId, DialError,
    NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};

use crate::asks::{Asks, MAX_ASKED, asks};
use crate::dials::{Dial, MAX_WAITING, Purpose, bare};
use crate::handler::{Handler, HandlerEvent, OpenId};
use crate::queue::SendQueue;

/// Sessions and one-shot exchanges of one peer.
pub struct Carrier {
    open_timeout: Duration,
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
    /// Dials that wait for others to end: not more than the machine has ordered.
    waiting: VecDeque<Dial>,
    opens: HashMap<OpenId, Open>,
    questions: HashMap<OutboundRequestId, (PeerId, RequestId)>,
    /// How many of them each peer is asked, and what it is to be asked next.
    asking: HashMap<PeerId, Asking>,
    answers: HashMap<RequestId, (InboundRequestId, ResponseChannel<Vec<u8>>)>,
    listening: Listening,
    actions: VecDeque<Action>,
}

type Action = ToSwarm<Input, THandlerInEvent<Carrier>>;

/// A connection that is up.
#[derive(Debug)]
struct Connection {
    peer: PeerId,
    /// Where we dialled it, if we did.
    dialled: Option<Multiaddr>,
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
    /// At most [`MAX_WAITING`].
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
    /// `answer_limit`: for a one-shot exchange over an open connection. `open_timeout`: for opening a stream. `announce`: instead of the
    /// addresses where we listen, if not empty.
    pub(crate) fn new(answer_limit: Duration, open_timeout: Duration, announce: &[Multiaddr]) -> Carrier {
        let mut carrier = Carrier {
            open_timeout,
            asks: asks(answer_limit),
            session_numbers: Arc::default(),
            next_open: 0,
            next_request: 0,
            connections: HashMap::new(),
            peers: HashMap::new(),
            sessions: HashMap::new(),
            closing: HashMap::new(),
            dials: HashMap::new(),
            waiting: VecDeque::new(),
            opens: HashMap::new(),
            questions: HashMap::new(),
            asking: HashMap::new(),
            answers: HashMap::new(),
            listening: Listening::Found(Vec::new()),
            actions: VecDeque::new(),
        };
        if !announce.is_empty() {
            carrier.listening = Listening::Announced;
            carrier.tell(Input::Listening(announce.iter().map(bare).collect()));
        }
        carrier
    }

    /// Carries out one output. Events are not for here.
    pub(crate) fn execute(&mut self, output: Output) {
        match output {
            Output::Send { session, frame, urgent } => self.send(session, frame, urgent),
            Output::Connect { peer, addresses, fresh } => self.connect(peer, addresses, fresh),
            Output::Verify { peer, address } => self.dial(Dial::new(Some(peer), vec![address], Purpose::Verify)),
            Output::Disconnect { session } => self.disconnect(session),
            Output::Request {
                request,
                peer,
                addresses,
                body,
            } => self.request(request, peer, addresses, body),
            Output::Respond { request, body } => self.respond(request, body),
            Output::Event(_) => {}
        }
    }

    /// Whether everything that was sent on sessions that we closed has left.
    pub(crate) fn is_flushed(&self) -> bool {
        self.closing.is_empty()
    }

    /// Whether a poll would yield something at once.
    pub(crate) fn has_work(&self) -> bool {
        !self.actions.is_empty()
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
                let order = self.new_open();
                self.dial(Dial::new(peer, addresses, Purpose::Session(order)));
            }
        }
    }

    fn newest(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.peers.get(peer)?.last().copied()
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
            event: Either::Left(order),
        });
    }

    /// A session could not be opened: dials if there is somewhere left to dial, else says so.
    fn open_failed(&mut self, order: OpenId) {
        let Some(open) = self.opens.remove(&order) else {
            return;
        };
        let mut dial = Dial::new(Some(open.peer), open.addresses, Purpose::Session(order));
        dial.failures = open
            .dialled
            .into_iter()
            .map(|address| (address, DialFailure::Other))
            .collect();
        self.dial(dial);
    }

    fn opened(&mut self, connection: ConnectionId, session: Session, order: Option<OpenId>, queue: SendQueue) {
        let Some(Connection { peer, dialled }) = self.connections.get(&connection) else {
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
        if elsewhere && !opens && !has_session(connection) {
            self.actions.push_back(ToSwarm::CloseConnection {
                peer_id: peer,
                connection: CloseConnection::One(connection),
            });
        }
    }

    // ---- dials

    /// Makes a dial, if need be when others have ended.
    fn dial(&mut self, dial: Dial) {
        if self.has_room(&dial) {
            self.try_next(dial);
        } else {
            self.waiting.push_back(dial);
        }
    }

    /// Takes a dial that has ended out of those under way, and lets others follow.
    fn take_dial(&mut self, connection: ConnectionId) -> Option<Dial> {
        let ended = self.dials.remove(&connection)?;
        while let Some(at) = self.waiting.iter().position(|dial| self.has_room(dial)) {
            if let Some(dial) = self.waiting.remove(at) {
                self.try_next(dial);
            }
        }
        Some(ended)
    }

    fn has_room(&self, dial: &Dial) -> bool {
        self.dials.len() < dial.purpose.at_once()
    }

    /// Makes the next try of a dial, or reports that none is left.
    fn try_next(&mut self, mut dial: Dial) {
        match dial.next() {
            Some(opts) => {
                self.dials.insert(opts.connection_id(), dial);
                self.actions.push_back(ToSwarm::Dial { opts });
            }
            None => self.dial_ended(dial),
        }
    }

    fn dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        if let Some(mut dial) = self.take_dial(connection) {
            tracing::debug!(addresses = ?dial.trying, %error, "a dial failed");
            dial.fail(error);
            self.try_next(dial);
        }
    }

    fn dial_ended(&mut self, dial: Dial) {
        for (request, _) in dial.asks {
            self.tell(Input::RequestFailed {
                request,
                failures: dial.failures.clone(),
            });
        }
        if dial.purpose != Purpose::Ask {
            self.tell(Input::DialFailed {
                peer: dial.peer,
                failures: dial.failures,
            });
        }
    }

    /// A dial of ours is a connection now.
    fn dial_succeeded(&mut self, connection: ConnectionId, peer: PeerId, dial: Dial, address: Multiaddr) {
        if let Purpose::Session(order) = dial.purpose {
            let open = Open {
                peer,
                connection,
                addresses: Vec::new(),
                dialled: dial.trying,
            };
            self.opens.insert(order, open);
        }
        if !dial.asks.is_empty() {
            self.tell(Input::Verified { peer, address });
        }
        for (request, body) in dial.asks {
            self.ask(request, &peer, body);
        }
    }

    // ---- one-shot exchanges

    fn request(&mut self, request: RequestId, peer: PeerId, addresses: Vec<Multiaddr>, body: Vec<u8>) {
        if self.peers.contains_key(&peer) {
            self.ask(request, &peer, body);
        } else if addresses.is_empty() {
            self.tell(Input::RequestFailed {
                request,
                failures: Vec::new(),
            });
        } else {
            self.request_by_dial(request, peer, addresses, body);
        }
    }

    fn request_by_dial(&mut self, request: RequestId, peer: PeerId, addresses: Vec<Multiaddr>, body: Vec<u8>) {
        let mut all = self.dials.values_mut().chain(&mut self.waiting);
        let under_way = all.find(|dial| dial.serves(&peer, &addresses));
        match under_way {
            Some(dial) if dial.asks.len() < MAX_WAITING => dial.asks.push((request, body)),
            Some(_) => self.tell(Input::RequestFailed {
                request,
                failures: Vec::new(),
            }),
            None => {
                let mut dial = Dial::new(Some(peer), addresses, Purpose::Ask);
                dial.asks.push((request, body));
                self.dial(dial);
            }
        }
    }

    /// Asks over a connection that is up, if need be when other questions there are over.
    fn ask(&mut self, request: RequestId, peer: &PeerId, body: Vec<u8>) {
        let asking = self.asking.entry(*peer).or_default();
        if asking.under_way < MAX_ASKED {
            asking.under_way += 1;
            self.ask_now(request, peer, body);
        } else if asking.waiting.len() < MAX_WAITING {
            asking.waiting.push_back((request, body));
        } else {
            self.tell(Input::RequestFailed {
                request,
                failures: Vec::new(),
            });
        }
    }

    fn ask_now(&mut self, request: RequestId, peer: &PeerId, body: Vec<u8>) {
        let number = self.asks.send_request(peer, body);
        self.questions.insert(number, (*peer, request));
    }

    /// A question is over; the next one takes its place.
    fn over(&mut self, number: OutboundRequestId) -> Option<RequestId> {
        let (peer, request) = self.questions.remove(&number)?;
        let asking = self.asking.get_mut(&peer)?;
        if let Some((next, body)) = asking.waiting.pop_front() {
            self.ask_now(next, &peer, body);
        } else {
            asking.under_way -= 1;
            if asking.under_way == 0 {
                self.asking.remove(&peer);
            }
        }
        Some(request)
    }

    fn respond(&mut self, request: RequestId, body: Vec<u8>) {
        if let Some((_, channel)) = self.answers.remove(&request) {
            // Too late is no error: whoever asked will ask again.
            let _ = self.asks.send_response(channel, body);
        }
    }

    fn on_exchange(&mut self, event: exchange::Event<Vec<u8>, Vec<u8>>) {
        match event {
            exchange::Event::Message { peer, message, .. } => self.on_message(peer, message),
            exchange::Event::OutboundFailure { request_id, error, .. } => {
                if let Some(request) = self.over(request_id) {
                    tracing::debug!(%error, "a request failed");
                    self.tell(Input::RequestFailed {
                        request,
                        failures: Vec::new(),
                    });
                }
            }
            exchange::Event::InboundFailure { request_id, .. } => self.answers.retain(|_, (id, _)| *id != request_id),
            exchange::Event::ResponseSent { .. } => {}
        }
    }

    fn on_message(&mut self, peer: PeerId, message: exchange::Message<Vec<u8>, Vec<u8>>) {
        match message {
            exchange::Message::Request {
                request_id,
                request: body,
                channel,
            } => {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                self.answers.insert(request, (request_id, channel));
                self.tell(Input::Request { request, peer, body });
            }
            exchange::Message::Response {
                request_id,
                response: body,
            } => {
                if let Some(request) = self.over(request_id) {
                    self.tell(Input::Response { request, body });
                }
            }
        }
    }

    // ---- connections

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
            },
        );
        self.peers.entry(peer).or_default().push(connection);
        if let (Some(dial), Some(address)) = (dial, dialled) {
            self.dial_succeeded(connection, peer, dial, address);
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
            self.open_failed(order);
        }
    }

    fn listening(&mut self, change: impl FnOnce(&mut Vec<Multiaddr>)) {
        if let Listening::Found(addresses) = &mut self.listening {
            change(addresses);
            let addresses = addresses.clone();
            self.tell(Input::Listening(addresses));
        }
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
    type ConnectionHandler = ConnectionHandlerSelect<Handler, THandler<Asks>>;
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
        Ok(handler.select(asks))
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
                self.tell(Input::Verified {
                    peer,
                    address: dial.given(address),
                });
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
        let handler = Handler::new(self.session_numbers.clone(), self.open_timeout, order);
        Ok(handler.select(asks))
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
        match event {
            Either::Right(event) => self.asks.on_connection_handler_event(peer, connection, event),
            Either::Left(HandlerEvent::Opened { session, order, queue }) => {
                self.opened(connection, session, order, queue);
            }
            Either::Left(HandlerEvent::OpenFailed { order, reason }) => {
                tracing::debug!(%peer, reason, "a session could not be opened");
                self.open_failed(order);
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
                    return Poll::Ready(action.map_out(nothing).map_in(Either::Right));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Why a verified connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("dialled only to see who lives there")]
struct HangUp;

#[cfg(test)]
mod tests;
