//! Pipes at the API: the floor that process groups will stream over, as small as it can be.
//!
//! A node listens at a port, a number that both ends of a pipe use, and from then on sends and receives bodies there, with any peer. Below is
//! one pipe per pair of peers, opened when it is needed (`docs/protocol.md` §3.2).

use std::collections::HashMap;
use std::sync::Arc;

use fatebound_machine::overlay::PeerId;
use fatebound_machine::overlay::pipes::{Cause, Command as Word, Event, NotTaken, Port};
use fatebound_machine::{Command, Machine};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::application::Order;
use crate::error::Stopped;
use crate::node::Node;

/// Events that may wait for the reader of a port.
const EVENTS: usize = 65_536;

/// What happens at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortEvent {
    /// There is a pipe with this peer, whoever opened it. It ends in one [`PortEvent::Down`].
    Up {
        /// With whom.
        peer: PeerId,
        /// The other end's life.
        incarnation: u64,
    },
    /// A body has arrived, the next one from this peer.
    Received {
        /// From whom.
        peer: PeerId,
        /// What.
        body: Vec<u8>,
    },
    /// Nobody listens at this port there.
    Refused {
        /// Where.
        peer: PeerId,
        /// So many of the bodies last sent there may be lost.
        lost: usize,
    },
    /// The pipe with this peer has ended, or could not be opened. What was lost is not sent again; the next body opens another pipe.
    Down {
        /// With whom.
        peer: PeerId,
        /// Why.
        cause: Cause,
        /// So many of the bodies last sent there may be lost: all those that were not known to have arrived.
        lost: usize,
    },
}

/// Why a node does not listen at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PortError {
    /// Somebody in this node listens there.
    #[error("somebody listens at this port already")]
    InUse,
    /// It is for the layers of a node.
    #[error("ports below {} are for the layers of a node", Port::FIRST_OF_APPLICATIONS.0)]
    Reserved,
    /// As many ports as may be are in use.
    #[error("as many ports are in use as may be")]
    TooMany,
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A body that is not sent. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// It cannot be queued.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What a handle asks of the node about pipes.
#[derive(Debug)]
pub(crate) enum PipeOrder {
    Listen {
        port: Port,
        events: mpsc::Sender<PortEvent>,
        room: Arc<Notify>,
        reply: oneshot::Sender<Result<(), PortError>>,
    },
    Send {
        port: Port,
        peer: PeerId,
        body: Vec<u8>,
        reply: oneshot::Sender<Result<(), (Vec<u8>, NotTaken)>>,
    },
    /// The oldest body has been read.
    Read { port: Port, peer: PeerId },
    /// The reader is gone.
    Leave { port: Port },
}

impl PipeOrder {
    /// Whether whoever gave it no longer waits for what comes of it.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            PipeOrder::Listen { reply, .. } => reply.is_closed(),
            PipeOrder::Send { reply, .. } => reply.is_closed(),
            PipeOrder::Read { .. } | PipeOrder::Leave { .. } => false,
        }
    }
}

impl Node {
    /// Listens at this port, from 64 to 255 (those below are for the layers of a node), until the result is dropped. This is the low-level floor of what will stand above it: ordered and bounded
    /// bodies between two peers, with no word about who is alive (groups tell that), and nothing is sent twice.
    ///
    /// # Errors
    /// The port is in use, or too many are (8); see [`PortError`].
    pub async fn pipe_port(&self, port: u8) -> Result<PipePort, PortError> {
        if Port(port) < Port::FIRST_OF_APPLICATIONS {
            return Err(PortError::Reserved);
        }
        self.pipe_port_at(Port(port)).await
    }

    /// As [`Node::pipe_port`], at any port: those below are for the layers of a node.
    pub(crate) async fn pipe_port_at(&self, port: Port) -> Result<PipePort, PortError> {
        let (events, events_out) = mpsc::channel(EVENTS);
        let room = Arc::new(Notify::new());
        let order = |reply| {
            Order::Pipe(PipeOrder::Listen {
                port,
                events,
                room: room.clone(),
                reply,
            })
        };
        self.ask(order).await??;
        Ok(PipePort {
            sender: PipeSender {
                node: self.clone(),
                port,
                room,
            },
            events: events_out,
            owed: None,
        })
    }
}

/// A port at which this node listens, see [`Node::pipe_port`]. Dropping it frees the port: what comes for it is refused, and what has not been sent is
/// forgotten.
#[derive(Debug)]
pub struct PipePort {
    sender: PipeSender,
    events: mpsc::Receiver<PortEvent>,
    /// From whom the last body was, until there is room for another one.
    owed: Option<PeerId>,
}

impl PipePort {
    /// As [`PipeSender::send`].
    ///
    /// # Errors
    /// See there.
    pub async fn send(&self, peer: PeerId, body: Vec<u8>) -> Result<(), SendError> {
        self.sender.send(peer, body).await
    }

    /// For sending while something else receives.
    pub fn sender(&self) -> PipeSender {
        self.sender.clone()
    }

    /// What happens next at this port; `None` when the node has stopped, or when 65,536 events waited here. A body counts as read, and makes room for another
    /// one of its sender, when this is called again: who does not call it lets those who send to it wait. Giving up on it loses nothing.
    pub async fn recv(&mut self) -> Option<PortEvent> {
        let port = self.sender.port;
        if let Some(peer) = self.owed {
            self.sender
                .node
                .order(Order::Pipe(PipeOrder::Read { port, peer }))
                .await
                .ok()?;
            self.owed = None;
        }
        let event = self.events.recv().await?;
        if let PortEvent::Received { peer, .. } = &event {
            self.owed = Some(*peer);
        }
        Some(event)
    }
}

impl Drop for PipePort {
    fn drop(&mut self) {
        // Where there is no room for the order, the next event finds nobody, and frees the port.
        let port = self.sender.port;
        self.sender.node.try_order(Order::Pipe(PipeOrder::Leave { port }));
    }
}

/// Sends from a port, for as long as it is listened at.
#[derive(Clone, Debug)]
pub struct PipeSender {
    node: Node,
    port: Port,
    room: Arc<Notify>,
}

impl PipeSender {
    /// Sends a body of at most 64 KiB less 64 bytes to the same port at this peer; returns when it is queued, waiting for room if two such bodies are. It
    /// arrives whole, after those sent before it and once at most; or a [`PortEvent::Down`] or [`PortEvent::Refused`] counts it.
    ///
    /// # Errors
    /// It cannot be queued, and it is no use to wait; see [`SendError`].
    pub async fn send(&self, peer: PeerId, mut body: Vec<u8>) -> Result<(), SendError> {
        loop {
            // Before the question: what makes room between its answer and the waiting must not be missed.
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let port = self.port;
            let order = |reply| {
                Order::Pipe(PipeOrder::Send {
                    port,
                    peer,
                    body,
                    reply,
                })
            };
            match self.node.ask(order).await? {
                Ok(()) => return Ok(()),
                Err((given_back, NotTaken::Full)) => body = given_back,
                Err((_, why)) => return Err(why.into()),
            }
            room.await;
        }
    }
}

/// Who listens at a port.
#[derive(Debug)]
struct Listener {
    events: mpsc::Sender<PortEvent>,
    room: Arc<Notify>,
}

/// All ports at which this node listens.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    listeners: HashMap<Port, Listener>,
}

impl Ports {
    /// Takes an order; what the machine has to do for it goes to `commands`.
    pub(crate) fn order(&mut self, order: PipeOrder, machine: &Machine, commands: &mut Vec<Command>) {
        match order {
            PipeOrder::Listen {
                port,
                events,
                room,
                reply,
            } => {
                let outcome = self.listen(port, Listener { events, room }, machine, commands);
                let _ = reply.send(outcome);
            }
            PipeOrder::Send {
                port,
                peer,
                body,
                reply,
            } => {
                let outcome = match machine.pipes().obstacle(port, &peer, body.len()) {
                    None => {
                        commands.push(Command::Pipe(Word::Send { port, peer, body }));
                        Ok(())
                    }
                    Some(why) => Err((body, why)),
                };
                let _ = reply.send(outcome);
            }
            PipeOrder::Read { port, peer } => commands.push(Command::Pipe(Word::Read { port, peer })),
            PipeOrder::Leave { port } => {
                // Somebody else may listen there by now.
                let gone = self
                    .listeners
                    .get(&port)
                    .is_some_and(|listener| listener.events.is_closed());
                if gone {
                    self.leave(port, commands);
                }
            }
        }
    }

    fn listen(
        &mut self,
        port: Port,
        listener: Listener,
        machine: &Machine,
        commands: &mut Vec<Command>,
    ) -> Result<(), PortError> {
        let before = self.listeners.get(&port);
        if before.is_some_and(|before| !before.events.is_closed()) {
            return Err(PortError::InUse);
        }
        if before.is_some() {
            self.leave(port, commands);
        } else if !machine.pipes().has_room_for(port) {
            return Err(PortError::TooMany);
        }
        self.listeners.insert(port, listener);
        commands.push(Command::Pipe(Word::Listen { port }));
        Ok(())
    }

    fn leave(&mut self, port: Port, commands: &mut Vec<Command>) {
        if let Some(listener) = self.listeners.remove(&port) {
            listener.room.notify_waiters();
            commands.push(Command::Pipe(Word::Leave { port }));
        }
    }

    /// Takes an event of the machine.
    pub(crate) fn event(&mut self, event: Event, commands: &mut Vec<Command>) {
        match event {
            Event::Up { peer, incarnation } => {
                for port in self.all() {
                    self.tell(port, PortEvent::Up { peer, incarnation }, commands);
                }
            }
            Event::Received { port, peer, body } => self.tell(port, PortEvent::Received { peer, body }, commands),
            Event::Room { port, .. } => self.has_room(port),
            Event::Refused { port, peer, lost } => {
                self.has_room(port);
                self.tell(port, PortEvent::Refused { peer, lost }, commands);
            }
            Event::Down { peer, cause, lost } => {
                for port in self.all() {
                    let lost = lost.iter().find(|(of, _)| *of == port).map_or(0, |(_, count)| *count);
                    let cause = cause.clone();
                    self.has_room(port);
                    self.tell(port, PortEvent::Down { peer, cause, lost }, commands);
                }
            }
            Event::NotTaken { port, peer, why, .. } => {
                tracing::warn!(port = port.0, %peer, %why, "a body was not taken, though there was room for it");
            }
            Event::NotListening { port } => {
                self.listeners.remove(&port);
            }
        }
    }

    fn all(&self) -> Vec<Port> {
        let mut all: Vec<Port> = self.listeners.keys().copied().collect();
        all.sort_unstable();
        all
    }

    fn has_room(&self, port: Port) {
        if let Some(listener) = self.listeners.get(&port) {
            listener.room.notify_waiters();
        }
    }

    /// A reader that is gone, or too slow, loses its port.
    fn tell(&mut self, port: Port, event: PortEvent, commands: &mut Vec<Command>) {
        let Some(listener) = self.listeners.get(&port) else {
            return;
        };
        if let Err(error) = listener.events.try_send(event) {
            if matches!(error, mpsc::error::TrySendError::Full(_)) {
                tracing::warn!(port = port.0, "a port is freed: its reader does not read");
            }
            self.leave(port, commands);
        }
    }

    /// The peer has stopped: readers hear so.
    pub(crate) fn stop(&mut self) {
        for (_, listener) in self.listeners.drain() {
            listener.room.notify_waiters();
        }
    }
}
