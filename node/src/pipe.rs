//! The streams of pipes on one connection: opened, accepted and turned like those of sessions, under a protocol of their own.
//!
//! What is to be sent lies in each stream's [`SendQueue`]. It never holds more than a few frames, for the machine hands over the next one
//! only when it hears that an earlier one was taken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use fatebound_machine::overlay::Session;
use fatebound_machine::overlay::pipes::PipeId;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, SubstreamProtocol};

use crate::queue::SendQueue;
use crate::session::{Progress, SessionStream};

/// The protocol of a pipe's stream.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/fatebound/pipe/1");

/// Streams on one connection at most; a further one is dropped. One is the rule, two meet when both ends open at once.
const MAX_STREAMS: usize = 4;

/// Names one order to open a stream, until it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipeOpenId(pub(crate) u64);

/// What a connection tells the behaviour about pipes.
#[derive(Debug)]
pub enum PipeEvent {
    /// A stream is open. `order`: ours; `None`: the other end opened it.
    Opened {
        pipe: PipeId,
        order: Option<PipeOpenId>,
        queue: SendQueue,
    },
    /// A stream could not be opened.
    OpenFailed { order: PipeOpenId, reason: String },
    /// A frame arrived.
    Frame { pipe: PipeId, frame: Vec<u8> },
    /// The oldest frame was taken to be written.
    Written { pipe: PipeId },
    /// A stream is over.
    Ended { pipe: PipeId },
}

/// A stream, and how many of its frames were reported as taken.
#[derive(Debug)]
struct Turned {
    stream: SessionStream,
    queue: SendQueue,
    reported: u64,
}

impl Turned {
    fn pipe(&self) -> PipeId {
        PipeId(self.stream.id.0)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        self.stream.poll(cx)
    }

    /// Whether another frame was taken since this was last asked.
    fn has_written(&mut self) -> bool {
        let more = self.queue.taken() > self.reported;
        self.reported += u64::from(more);
        more
    }
}

/// The pipes of one connection.
#[derive(Debug)]
pub struct PipeHandler {
    /// Shared by all connections of the behaviour, so that a number is never used twice.
    numbers: Arc<AtomicU64>,
    open_timeout: Duration,
    orders: VecDeque<PipeOpenId>,
    streams: Vec<Turned>,
    /// Bounded: one per stream that was negotiated or failed since the last poll.
    events: VecDeque<PipeEvent>,
    turn: usize,
}

impl PipeHandler {
    /// `order`: a stream to be opened at once.
    pub(crate) fn new(numbers: Arc<AtomicU64>, open_timeout: Duration, order: Option<PipeOpenId>) -> PipeHandler {
        PipeHandler {
            numbers,
            open_timeout,
            orders: order.into_iter().collect(),
            streams: Vec::new(),
            events: VecDeque::new(),
            turn: 0,
        }
    }

    fn start(&mut self, stream: Stream, order: Option<PipeOpenId>) {
        if self.streams.len() >= MAX_STREAMS && order.is_none() {
            tracing::warn!("a pipe is refused: too many on one connection");
            return;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let queue = SendQueue::default();
        self.streams.push(Turned {
            stream: SessionStream::new(Session(number), queue.clone(), stream),
            queue: queue.clone(),
            reported: 0,
        });
        let pipe = PipeId(number);
        self.events.push_back(PipeEvent::Opened { pipe, order, queue });
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) -> Poll<PipeEvent> {
        let count = self.streams.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            let pipe = self.streams[index].pipe();
            let progress = self.streams[index].poll(cx);
            if self.streams[index].has_written() {
                if let Poll::Ready(progress) = progress {
                    let event = self.ready(index, progress);
                    self.events.push_back(event);
                }
                return Poll::Ready(PipeEvent::Written { pipe });
            }
            if let Poll::Ready(progress) = progress {
                self.turn = index + 1;
                return Poll::Ready(self.ready(index, progress));
            }
        }
        Poll::Pending
    }

    fn ready(&mut self, index: usize, progress: Progress) -> PipeEvent {
        let pipe = self.streams[index].pipe();
        match progress {
            Progress::Frame(frame) => PipeEvent::Frame { pipe, frame },
            Progress::Ended(_) => {
                self.streams.swap_remove(index);
                PipeEvent::Ended { pipe }
            }
        }
    }
}

impl ConnectionHandler for PipeHandler {
    type FromBehaviour = PipeOpenId;
    type ToBehaviour = PipeEvent;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = PipeOpenId;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, PipeOpenId, PipeEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if let Some(order) = self.orders.pop_front() {
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), order).with_timeout(self.open_timeout);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        self.poll_streams(cx).map(ConnectionHandlerEvent::NotifyBehaviour)
    }

    fn on_behaviour_event(&mut self, order: PipeOpenId) {
        self.orders.push_back(order);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), PipeOpenId>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.start(protocol, None);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.start(protocol, Some(info));
            }
            ConnectionEvent::DialUpgradeError(error) => self.events.push_back(PipeEvent::OpenFailed {
                order: error.info,
                reason: error.error.to_string(),
            }),
            _ => {}
        }
    }
}
