//! Pipes of the carrier: each takes a connection of its own where one can be dialled, so that what is sent again there keeps no ping waiting;
//! else one that is up. (How much of a pipe is on its way is bounded by the machine, so it fills no buffer there either.)

use either::Either;
use fatebound_machine::overlay::pipes::PipeId;
use fatebound_machine::overlay::{Multiaddr, Opener, PeerId};
use fatebound_machine::{Input, PipeInput, PipeOutput};
use libp2p::swarm::{ConnectionId, NotifyHandler, ToSwarm};

use super::{Carrier, Live, of_connection};
use crate::dials::{Dial, Purpose};
use crate::pipe::{PipeEvent, PipeOpenId};
use crate::queue::SendQueue;

/// An order to open a stream, once there is a connection for it.
#[derive(Debug)]
pub(super) struct PipeOpening {
    peer: PeerId,
    connection: ConnectionId,
    /// The connection was dialled for it.
    own: bool,
}

impl Carrier {
    pub(super) fn pipe(&mut self, output: PipeOutput) {
        match output {
            PipeOutput::Open { peer, addresses } => self.open_pipe(peer, addresses),
            PipeOutput::Send { pipe, frame } => {
                if let Some(live) = self.pipes.get(&pipe)
                    && live.queue.push(frame, false).is_err()
                {
                    live.queue.abort();
                    self.lose_pipe(pipe);
                }
            }
            PipeOutput::Close { pipe } => {
                if let Some(live) = self.pipes.remove(&pipe) {
                    live.queue.finish();
                    self.closing_pipes.insert(pipe, live.connection);
                }
            }
        }
    }

    fn open_pipe(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.next_open += 1;
        let order = PipeOpenId(self.next_open);
        if addresses.is_empty() {
            self.open_pipe_on_what_is_up(order, peer);
        } else {
            self.dial(Dial::new(Some(peer), addresses, Purpose::Pipe(order)));
        }
    }

    /// No connection of its own could be had.
    pub(super) fn open_pipe_on_what_is_up(&mut self, order: PipeOpenId, peer: PeerId) {
        let Some(connection) = self.newest(&peer) else {
            return self.tell(Input::Pipe(PipeInput::Failed { peer }));
        };
        let own = false;
        self.pipe_opens.insert(order, PipeOpening { peer, connection, own });
        self.actions.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Either::Right(order),
        });
    }

    /// The dial for a pipe has succeeded; the new connection opens the stream by itself.
    pub(super) fn pipe_dialled(&mut self, order: PipeOpenId, peer: PeerId, connection: ConnectionId) {
        let own = true;
        self.pipe_opens.insert(order, PipeOpening { peer, connection, own });
        self.devote(connection);
    }

    /// Whatever else is opened to this peer takes another connection, if there is one.
    fn devote(&mut self, connection: ConnectionId) {
        let carries = self.sessions.values().any(|live| live.connection == connection);
        if let Some(connection) = self.connections.get_mut(&connection).filter(|_| !carries) {
            connection.for_pipe = true;
        }
    }

    pub(super) fn on_pipe_event(&mut self, peer: PeerId, connection: ConnectionId, event: PipeEvent) {
        match event {
            PipeEvent::Opened { pipe, order, queue } => self.pipe_opened((peer, connection), pipe, order, queue),
            PipeEvent::OpenFailed { order, reason } => {
                tracing::debug!(%peer, reason, "a pipe could not be opened");
                self.pipe_not_opened(order);
            }
            PipeEvent::Frame { pipe, frame } => self.tell_of_pipe(pipe, PipeInput::Received { pipe, frame }),
            PipeEvent::Written { pipe } => self.tell_of_pipe(pipe, PipeInput::Written { pipe }),
            PipeEvent::Ended { pipe } => {
                self.closing_pipes.remove(&pipe);
                self.lose_pipe(pipe);
            }
        }
    }

    fn tell_of_pipe(&mut self, pipe: PipeId, input: PipeInput) {
        if self.pipes.contains_key(&pipe) {
            self.tell(Input::Pipe(input));
        }
    }

    fn pipe_opened(
        &mut self,
        (peer, connection): (PeerId, ConnectionId),
        pipe: PipeId,
        order: Option<PipeOpenId>,
        queue: SendQueue,
    ) {
        if !self.connections.contains_key(&connection) {
            return;
        }
        let opener = match order {
            Some(order) => {
                self.pipe_opens.remove(&order);
                Opener::Us
            }
            None => {
                self.devote(connection);
                Opener::Them
            }
        };
        self.pipes.insert(pipe, Live { connection, queue });
        self.tell(Input::Pipe(PipeInput::Opened { pipe, peer, opener }));
    }

    fn pipe_not_opened(&mut self, order: PipeOpenId) {
        match self.pipe_opens.remove(&order) {
            Some(PipeOpening { peer, own: true, .. }) => self.open_pipe_on_what_is_up(order, peer),
            Some(PipeOpening { peer, own: false, .. }) => self.tell(Input::Pipe(PipeInput::Failed { peer })),
            None => {}
        }
    }

    fn lose_pipe(&mut self, pipe: PipeId) {
        if self.pipes.remove(&pipe).is_some() {
            self.tell(Input::Pipe(PipeInput::Closed { pipe }));
        }
    }

    /// A connection is closed.
    pub(super) fn lose_pipes_on(&mut self, connection: ConnectionId) {
        self.closing_pipes.retain(|_, under| *under != connection);
        for pipe in of_connection(&self.pipes, |live| live.connection == connection) {
            self.lose_pipe(pipe);
        }
        for order in of_connection(&self.pipe_opens, |open| open.connection == connection) {
            self.pipe_not_opened(order);
        }
    }

    /// Whether a pipe runs over this connection, or is about to.
    pub(super) fn carries_pipe(&self, connection: ConnectionId) -> bool {
        let live = self.pipes.values().any(|live| live.connection == connection);
        live || self.pipe_opens.values().any(|open| open.connection == connection)
    }
}
