//! The handler of one connection: opens and accepts the streams of sessions, and turns them.
//!
//! What is to be sent does not come through here: it lies in each session's [`SendQueue`]. What arrives leaves as events, in order, over the
//! connection's own bounded channel to the swarm: a behaviour that is behind makes the connection stop reading.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use fatebound_machine::DisconnectCause;
use fatebound_machine::overlay::Session;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, SubstreamProtocol};

use crate::queue::SendQueue;
use crate::session::{Progress, SessionStream};

/// The protocol of a link's session.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/fatebound/link/1");

/// Sessions on one connection at most; a further one is dropped. One is the rule, two meet when both ends open at once.
const MAX_SESSIONS: usize = 8;

/// Names one order to open a session, until it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenId(pub(crate) u64);

/// What a connection tells the behaviour.
#[derive(Debug)]
pub enum HandlerEvent {
    /// A session is open. `order`: ours; `None`: the other end opened it.
    Opened {
        session: Session,
        order: Option<OpenId>,
        queue: SendQueue,
    },
    /// A session could not be opened.
    OpenFailed { order: OpenId, reason: String },
    /// A frame arrived.
    Frame { session: Session, frame: Vec<u8> },
    /// A session is over; `None`: we closed it.
    Ended {
        session: Session,
        cause: Option<DisconnectCause>,
    },
}

/// The sessions of one connection.
#[derive(Debug)]
pub struct Handler {
    /// Shared by all connections of the behaviour, so that a number is never used twice.
    numbers: Arc<AtomicU64>,
    open_timeout: Duration,
    orders: VecDeque<OpenId>,
    sessions: Vec<SessionStream>,
    /// Bounded: one per stream that was negotiated or failed since the last poll.
    events: VecDeque<HandlerEvent>,
    /// Whose turn it is to be read, so that no session starves another.
    turn: usize,
}

impl Handler {
    /// `order`: a session to be opened at once.
    pub(crate) fn new(numbers: Arc<AtomicU64>, open_timeout: Duration, order: Option<OpenId>) -> Handler {
        Handler {
            numbers,
            open_timeout,
            orders: order.into_iter().collect(),
            sessions: Vec::new(),
            events: VecDeque::new(),
            turn: 0,
        }
    }

    fn start(&mut self, stream: Stream, order: Option<OpenId>) {
        if self.sessions.len() >= MAX_SESSIONS && order.is_none() {
            tracing::warn!("a session is refused: too many on one connection");
            return;
        }
        let session = Session(self.numbers.fetch_add(1, Ordering::Relaxed));
        let queue = SendQueue::default();
        self.sessions.push(SessionStream::new(session, queue.clone(), stream));
        self.events.push_back(HandlerEvent::Opened { session, order, queue });
    }

    fn poll_sessions(&mut self, cx: &mut Context<'_>) -> Poll<HandlerEvent> {
        let count = self.sessions.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            let session = self.sessions[index].id;
            let Poll::Ready(progress) = self.sessions[index].poll(cx) else {
                continue;
            };
            self.turn = index + 1;
            return Poll::Ready(match progress {
                Progress::Frame(frame) => HandlerEvent::Frame { session, frame },
                Progress::Ended(cause) => {
                    self.sessions.swap_remove(index);
                    HandlerEvent::Ended { session, cause }
                }
            });
        }
        Poll::Pending
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenId;
    type ToBehaviour = HandlerEvent;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenId;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, OpenId, HandlerEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if let Some(order) = self.orders.pop_front() {
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), order).with_timeout(self.open_timeout);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        self.poll_sessions(cx).map(ConnectionHandlerEvent::NotifyBehaviour)
    }

    fn on_behaviour_event(&mut self, order: OpenId) {
        self.orders.push_back(order);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), OpenId>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.start(protocol, None);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.start(protocol, Some(info));
            }
            ConnectionEvent::DialUpgradeError(error) => self.events.push_back(HandlerEvent::OpenFailed {
                order: error.info,
                reason: error.error.to_string(),
            }),
            _ => {}
        }
    }
}
