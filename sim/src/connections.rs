//! Connections: two hosts' ends of a TCP connection, and the streams that are over when an end is.
//!
//! Each end closes for itself. A process that dies leaves its kernel to send what it holds and then the end of the stream; a kernel that is
//! asked about a connection that it does not know answers with a reset; a host that is gone, or has moved, answers nothing. So an end may stay open
//! for a long time after the other one has gone: until it sends and is reset, or gives up, or its last stream is over.

use std::time::Duration;

use fatebound_machine::overlay::{Multiaddr, Time};

use crate::PeerIndex;
use crate::cargo::Cargo;
use crate::hosts::{FLOATING, host_of};
use crate::observe::Signal;
use crate::pipe::{Context, Effects, Later, NONE, Overflow, Pipe};
use crate::world::{Happening, State, World};

/// How long a connection without a session or an exchange is kept, as in `node/src/stack.rs`.
const IDLE: Duration = Duration::from_secs(30);

/// Names a connection; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    slot: u32,
    generation: u32,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) connection: ConnectionId,
    /// 0: the one that dialled.
    pub(crate) side: u8,
}

impl At {
    pub(crate) fn other(self) -> At {
        At {
            connection: self.connection,
            side: 1 - self.side,
        }
    }
}

/// What one host has of a connection.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) peer: PeerIndex,
    /// Under which number in the address.
    host: u32,
    open: bool,
    /// Bytes of messages that its process has not taken.
    pub(crate) unread: usize,
    /// Its process has finished the handshake.
    pub(crate) ready: bool,
    /// Whether a look at its idleness is scheduled, and when its last stream was over.
    watched: bool,
    idle_since: Time,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sides: [Side; 2],
    /// From each side to the other.
    pipes: [Pipe<Box<Cargo>>; 2],
    /// Where it was dialled.
    pub(crate) address: Multiaddr,
    /// It was dialled for a pipe: other streams take another one if there is one.
    for_pipe: bool,
    /// Nothing gets through any more, and nobody has noticed.
    dead: bool,
}

/// All connections, by number.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<(u32, Option<Box<Connection>>)>,
    free: Vec<u32>,
}

impl Connections {
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        let (generation, connection) = self.slots.get(id.slot as usize)?;
        connection.as_deref().filter(|_| *generation == id.generation)
    }

    fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let (generation, connection) = self.slots.get_mut(id.slot as usize)?;
        connection.as_deref_mut().filter(|_| *generation == id.generation)
    }

    pub(crate) fn side(&self, at: At) -> Option<&Side> {
        Some(&self.get(at.connection)?.sides[at.side as usize])
    }

    pub(crate) fn side_mut(&mut self, at: At) -> Option<&mut Side> {
        Some(&mut self.get_mut(at.connection)?.sides[at.side as usize])
    }

    /// This connection is for a pipe.
    pub(crate) fn devote(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.for_pipe = true;
        }
    }

    /// Bytes that wait at this end for the other one.
    pub(crate) fn waiting(&self, at: At) -> usize {
        self.get(at.connection)
            .map_or(0, |connection| connection.pipes[at.side as usize].waiting())
    }

    fn insert(&mut self, connection: Connection) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let (generation, place) = &mut self.slots[slot as usize];
        *place = Some(Box::new(connection));
        ConnectionId {
            slot,
            generation: *generation,
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        if self.get(id).is_some() {
            let (generation, place) = &mut self.slots[id.slot as usize];
            *generation += 1;
            *place = None;
            self.free.push(id.slot);
        }
    }
}

/// What happens on a connection later.
#[derive(Debug)]
pub(crate) enum Transit {
    /// A message arrives at the other end, on a pipe with which nothing is wrong.
    Message { from: At, cargo: Box<Cargo> },
    /// Something of a pipe with which something is.
    Pipe { from: At, later: Later },
    /// A host says that it does not know the connection.
    Reset { at: At },
    /// Is this end still idle?
    Idle { at: At },
}

/// What a host makes of a packet for one of its connections.
enum Reach {
    Open,
    Unknown,
    Nobody,
}

impl World {
    /// A new connection; the acceptor's end is closed at once if its process is not there any more.
    pub(crate) fn open_connection(&mut self, dialler: PeerIndex, acceptor: PeerIndex, address: Multiaddr) -> At {
        let number = |peer: PeerIndex| self.peers[peer.0].host.number;
        let dialled = host_of(&address).unwrap_or(number(acceptor));
        let side = |peer: PeerIndex, host: u32| Side {
            peer,
            host,
            open: self.peers[peer.0].machine.is_some(),
            unread: 0,
            ready: false,
            watched: false,
            idle_since: self.now,
        };
        let sides = [side(dialler, number(dialler)), side(acceptor, dialled)];
        let connection = self.connections.insert(Connection {
            sides,
            pipes: [Pipe::default(), Pipe::default()],
            address,
            for_pipe: false,
            dead: false,
        });
        self.peers[dialler.0].host.connections.push((acceptor, connection));
        self.peers[acceptor.0].host.connections.push((dialler, connection));
        At { connection, side: 0 }
    }

    /// The newest connection of a peer with another that it can use.
    pub(crate) fn newest_connection(&self, peer: PeerIndex, with: PeerIndex) -> Option<At> {
        let all = self.ends_between(peer, with).into_iter().rev();
        let mut ready = all.filter(|&at| self.connections.side(at).is_some_and(|side| side.ready));
        let newest = ready.next()?;
        let for_pipe = |at: At| self.connections.get(at.connection).is_some_and(|one| one.for_pipe);
        let mut others = std::iter::once(newest).chain(ready);
        others.find(|&at| !for_pipe(at)).or(Some(newest))
    }

    /// The open ends of `peer` on its connections with another, the oldest first.
    pub(crate) fn ends_between(&self, peer: PeerIndex, with: PeerIndex) -> Vec<At> {
        let list = &self.peers[peer.0].host.connections;
        let with = list.iter().filter(|(other, _)| *other == with);
        with.filter_map(|&(_, connection)| self.end_at(peer, connection))
            .collect()
    }

    pub(crate) fn end_at(&self, peer: PeerIndex, connection: ConnectionId) -> Option<At> {
        let sides = &self.connections.get(connection)?.sides;
        let side = sides.iter().position(|side| side.peer == peer && side.open)? as u8;
        Some(At { connection, side })
    }

    pub(crate) fn is_open(&self, at: At) -> bool {
        self.connections.side(at).is_some_and(|side| side.open)
    }

    pub(crate) fn make_ready(&mut self, at: At) {
        if let Some(side) = self.connections.side_mut(at).filter(|side| !side.ready) {
            side.ready = true;
            self.watch_idleness(at);
        }
    }

    /// Who is at the other end.
    pub(crate) fn other_peer(&self, at: At) -> Option<PeerIndex> {
        self.connections.side(at.other()).map(|side| side.peer)
    }

    /// Puts a message on the way to the other end.
    pub(crate) fn put(&mut self, from: At, cargo: Cargo, urgent: bool) -> Result<(), Overflow> {
        let now = self.now;
        let bytes = cargo.bytes();
        let cargo = Box::new(cargo);
        let mut effects = Effects::default();
        let Some((pipe, mut cx)) = self.pipe(from, &mut effects) else {
            return Ok(());
        };
        if let Some(at) = pipe.fast(&mut cx) {
            self.schedule(at.max(now), Happening::Transit(Transit::Message { from, cargo }));
            return Ok(());
        }
        let outcome = pipe.push(&mut cx, cargo, bytes, urgent);
        self.follow(from, effects);
        outcome
    }

    fn pipe<'a>(&'a mut self, from: At, effects: &'a mut Effects) -> Option<(&'a mut Pipe<Box<Cargo>>, Context<'a>)> {
        let room = self.room(from);
        let connection = self.connections.get_mut(from.connection)?;
        let cx = Context {
            now: self.now,
            from: connection.sides[from.side as usize].peer,
            to: connection.sides[1 - from.side as usize].peer,
            network: &mut self.network,
            dead: connection.dead,
            room,
            received: connection.pipes[1 - from.side as usize].received(),
            effects,
        };
        Some((&mut connection.pipes[from.side as usize], cx))
    }

    fn follow(&mut self, from: At, effects: Effects) {
        for (at, later) in effects.later {
            self.schedule(at, Happening::Transit(Transit::Pipe { from, later }));
        }
        if effects.given_up {
            self.close(from, false);
        }
    }

    pub(crate) fn on_transit(&mut self, transit: Transit) {
        match transit {
            Transit::Message { from, cargo } => self.on_message_at_host(from, cargo),
            Transit::Pipe { from, later } => self.on_later(from, later),
            Transit::Reset { at } => {
                if !matches!(self.reach(at), Reach::Nobody) {
                    if let Some((from, to)) = self.other_peer(at).zip(self.other_peer(at.other())) {
                        self.saw_arrived(from, to, Signal::Reset);
                    }
                    self.close(at, false);
                }
            }
            Transit::Idle { at } => self.on_idle(at),
        }
    }

    fn reach(&self, at: At) -> Reach {
        let Some(side) = self.connections.side(at) else {
            return Reach::Nobody;
        };
        let lives = |peer: PeerIndex| self.peers[peer.0].state != State::Vanished;
        // Another host has the address of this end now, and knows nothing of it.
        if side.host == FLOATING && !self.is_at(side.peer, FLOATING) && self.floating.is_some_and(lives) {
            Reach::Unknown
        } else if !lives(side.peer) || !self.is_at(side.peer, side.host) {
            Reach::Nobody
        } else if side.open {
            Reach::Open
        } else {
            Reach::Unknown
        }
    }

    fn on_message_at_host(&mut self, from: At, cargo: Box<Cargo>) {
        match self.reach(from.other()) {
            Reach::Open => self.take_cargo(from.other(), *cargo),
            Reach::Unknown => self.reset(from),
            Reach::Nobody => self.keep_trying(from, cargo),
        }
    }

    /// A message found nobody: its sender's kernel sends it again and again.
    fn keep_trying(&mut self, from: At, cargo: Box<Cargo>) {
        let bytes = cargo.bytes();
        let mut effects = Effects::default();
        if let Some((pipe, mut cx)) = self.pipe(from, &mut effects) {
            // A queue that is full already waits for the same host.
            let _ = pipe.push(&mut cx, cargo, bytes, false);
            self.follow(from, effects);
        }
    }

    /// The other host tells this end that there is no such connection.
    fn reset(&mut self, at: At) {
        let Some(connection) = self.connections.get(at.connection) else {
            return;
        };
        let (to, from) = (connection.sides[at.side as usize].peer, self.other_peer(at));
        if let Some(from) = from
            && !connection.dead
            && !self.network.loses(from, to)
        {
            self.saw_sent(from, to, Signal::Reset);
            let when = self.network.arrival(self.now, from, to, 0);
            self.schedule(when, Happening::Transit(Transit::Reset { at }));
        }
    }

    fn on_later(&mut self, from: At, later: Later) {
        match (later, self.reach(from), self.reach(from.other())) {
            (Later::Segment { number, below }, _, Reach::Open) => {
                self.with_pipe(from.other(), |pipe, cx| pipe.on_acknowledgement(cx, below, NONE));
                self.on_segment(from, number);
            }
            (Later::Segment { .. }, _, Reach::Unknown) => self.reset(from),
            (Later::Segment { .. }, _, Reach::Nobody) | (_, Reach::Nobody, _) => {}
            (Later::Acknowledgement { below, number }, ..) => {
                self.with_pipe(from, |pipe, cx| pipe.on_acknowledgement(cx, below, number));
            }
            (Later::Timer, ..) => {
                self.with_pipe(from, Pipe::on_timer);
            }
            (Later::Window, ..) => {
                self.with_pipe(from, Pipe::on_window);
            }
        }
    }

    fn with_pipe<R>(&mut self, from: At, step: impl FnOnce(&mut Pipe<Box<Cargo>>, &mut Context<'_>) -> R) -> Option<R> {
        let mut effects = Effects::default();
        let (pipe, mut cx) = self.pipe(from, &mut effects)?;
        let result = step(pipe, &mut cx);
        self.follow(from, effects);
        Some(result)
    }

    fn on_segment(&mut self, from: At, number: u64) {
        let whole = self.with_pipe(from, |pipe, cx| pipe.on_segment(cx, number));
        for cargo in whole.into_iter().flatten() {
            if self.is_open(from.other()) {
                self.take_cargo(from.other(), *cargo);
            }
        }
    }

    /// Nothing more arrives on this pipe before this time.
    pub(crate) fn hold_up(&mut self, from: At, until: Time) {
        if let Some(connection) = self.connections.get_mut(from.connection) {
            connection.pipes[from.side as usize].delay(until);
        }
    }

    /// Drops what one session still has in its process's queue.
    pub(crate) fn retain_queue(&mut self, from: At, keep: impl Fn(&Cargo) -> bool) {
        if let Some(connection) = self.connections.get_mut(from.connection) {
            connection.pipes[from.side as usize].retain_queue(|cargo| keep(cargo));
        }
    }

    /// Nothing gets through any more on a connection, and nobody notices.
    pub(crate) fn deaden(&mut self, connection: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(connection) {
            connection.dead = true;
        }
    }

    /// Closes one end, and with it all that ran over it; `politely`: the other end is told, after what was sent.
    pub(crate) fn close(&mut self, at: At, politely: bool) {
        let Some(connection) = self.connections.get_mut(at.connection) else {
            return;
        };
        let side = &mut connection.sides[at.side as usize];
        if !std::mem::replace(&mut side.open, false) {
            return;
        }
        let peer = side.peer;
        connection.pipes[at.side as usize].forget_queue();
        let both = !connection.sides[1 - at.side as usize].open;
        let list = &mut self.peers[peer.0].host.connections;
        list.retain(|(_, connection)| *connection != at.connection);
        if both {
            self.connections.remove(at.connection);
        } else if politely {
            self.ship(at, Cargo::HangUp, false);
        }
        self.break_streams(at, peer);
    }

    /// Closes every end that a peer has.
    pub(crate) fn close_all(&mut self, peer: PeerIndex, politely: bool) {
        for (_, connection) in self.peers[peer.0].host.connections.clone() {
            if let Some(at) = self.end_at(peer, connection) {
                self.close(at, politely);
            }
        }
    }

    /// A stream of this end is over: it may be idle now.
    pub(crate) fn watch_idleness(&mut self, at: At) {
        let now = self.now;
        let Some(side) = self.connections.side_mut(at) else {
            return;
        };
        side.idle_since = now;
        if !std::mem::replace(&mut side.watched, true) {
            self.schedule(now + IDLE, Happening::Transit(Transit::Idle { at }));
        }
    }

    fn on_idle(&mut self, at: At) {
        let Some(side) = self.connections.side_mut(at).filter(|side| side.open) else {
            return;
        };
        side.watched = false;
        let (peer, until) = (side.peer, side.idle_since + IDLE);
        if self.has_streams(at.connection, peer) {
            return;
        }
        if until <= self.now {
            self.close(at, true);
        } else if let Some(side) = self.connections.side_mut(at) {
            side.watched = true;
            self.schedule(until, Happening::Transit(Transit::Idle { at }));
        }
    }

    fn has_streams(&self, connection: ConnectionId, peer: PeerIndex) -> bool {
        self.sessions.of(peer).any(|(_, half)| half.at.connection == connection)
            || self
                .requests
                .of(peer)
                .any(|(_, asking)| asking.at.connection == connection)
            || self.asked.of(peer).any(|(_, asked)| asked.at.connection == connection)
            || self.pipes.of(peer).any(|(_, half)| half.at.connection == connection)
            || self.dials.of(peer).any(|(_, pending)| pending.uses(connection))
    }
}
