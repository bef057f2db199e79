//! Pipes: ordered, bounded streams of bodies between two peers, for the layers above (protocol.md §3.2).
//!
//! A machine like the links and the directory: it has inputs and outputs of its own and knows nothing of connections. `meeting` opens a pipe
//! and sees to it that two that open at once end with one; `sending` cuts bodies into parts, which take turns as windows, the wire
//! (`flight`) and the driver allow; `receiving` puts them together and grants more; `ending` closes what is idle and says what may be lost.

mod config;
mod ending;
mod flight;
mod inbox;
mod io;
mod line;
mod meeting;
pub mod message;
mod outbox;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libp2p_identity::PeerId;

use crate::{Bounded, Deadlines, Opener, Time, Versions};

use self::message::{Farewell, Frame, Opening};
use inbox::Inbox;
use line::Line;
use outbox::Outbox;

pub use config::Config;
pub use io::{Cause, Command, Event, Input, NotTaken, Output, PipeId, Port};
pub use message::MAX_BODY;

/// What pipes wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// The first word on a stream of somebody else's.
    Coming(PipeId),
    /// The answer to our opening.
    Answer(PeerId),
    /// A pipe has been idle, perhaps.
    Idle(PeerId),
    /// The answer to our word of rest.
    Rest(PeerId),
}

/// What a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Somebody else's, without a word yet.
    Coming,
    /// Somebody else's, and waits for what becomes of ours.
    Held,
    /// Ours, without an answer yet.
    Asked,
    /// A pipe that is up.
    Up,
}

/// What becomes of our own wish for a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    None,
    /// The driver opens a stream. `needed`: there is no other pipe meanwhile.
    Opening {
        needed: bool,
    },
    /// The opening is said.
    Asked {
        pipe: PipeId,
    },
}

/// The far end: everything about one peer.
#[derive(Debug)]
struct Far {
    ours: Ours,
    held: Option<(PipeId, Opening)>,
    line: Option<Line>,
    outbox: BTreeMap<Port, Outbox>,
    inbox: BTreeMap<Port, Inbox>,
}

impl Far {
    fn new() -> Far {
        Far {
            ours: Ours::None,
            held: None,
            line: None,
            outbox: BTreeMap::new(),
            inbox: BTreeMap::new(),
        }
    }

    fn is_done(&self) -> bool {
        let nothing = self.ours == Ours::None && self.held.is_none() && self.line.is_none();
        nothing && self.outbox.is_empty() && self.inbox.values().all(|inbox| inbox.held() == 0)
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pipes that came up.
    pub opened: u64,
    /// Of these, those that ended otherwise than for want of use or by a stop.
    pub broken: u64,
    /// Bodies received whole.
    pub received: u64,
    /// Bodies that were not queued, or refused by the other end.
    pub refused: u64,
    /// Openings and bodies that broke a rule.
    pub garbage: u64,
}

/// What there is of pipes, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Pipes that are up.
    pub up: usize,
    /// Bytes that wait for all peers, or are not known to have arrived.
    pub queued: usize,
    /// Bytes that have come and are not read.
    pub unread: usize,
    /// Counts.
    pub counters: Counters,
}

/// One peer's pipes.
#[derive(Debug)]
pub struct Pipes {
    config: Config,
    network: String,
    versions: Versions,
    peer: PeerId,
    incarnation: u64,
    ping_timeout: Duration,
    /// The longest queue that a pipe should build on a wire.
    longest_queue: Duration,
    ports: BTreeSet<Port>,
    peers: BTreeMap<PeerId, Far>,
    streams: BTreeMap<PipeId, (PeerId, Role)>,
    /// Openings said so far.
    openings: u64,
    queued: usize,
    stopped: bool,
    counters: Counters,
    deadlines: Deadlines<Timer>,
    out: Vec<Output>,
}

impl Pipes {
    /// No pipes yet.
    pub fn new(config: &crate::Config, peer: PeerId, incarnation: u64) -> Pipes {
        Pipes {
            config: config.pipes.clone(),
            network: config.network.clone(),
            versions: config.versions,
            peer,
            incarnation,
            ping_timeout: config.ping_timeout,
            longest_queue: config.ping_floor / 4,
            ports: BTreeSet::new(),
            peers: BTreeMap::new(),
            streams: BTreeMap::new(),
            openings: 0,
            queued: 0,
            stopped: false,
            counters: Counters::default(),
            deadlines: Deadlines::default(),
            out: Vec::new(),
        }
    }

    /// Takes one input and appends what follows from it to `out`.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Opened {
                pipe,
                peer,
                opener: Opener::Us,
                life,
            } => self.opened_by_us(now, pipe, peer, life),
            Input::Opened { pipe, peer, .. } => self.opened_by_them(now, pipe, peer),
            Input::Failed { peer } => self.not_opened(now, peer),
            Input::Received { pipe, frame } => self.received(now, pipe, frame),
            Input::Garbage { pipe } => self.violated(now, pipe),
            Input::Written { pipe } => self.written(now, pipe),
            Input::Closed { pipe } => self.closed(now, pipe),
            Input::Wake => self.wake(now),
            Input::Shutdown => self.stop(now),
        }
        out.append(&mut self.out);
    }

    fn command(&mut self, now: Time, command: Command) {
        match command {
            Command::Listen { port } => self.listen(now, port),
            Command::Leave { port } => self.leave(now, port),
            Command::Send { port, peer, body } => self.send(now, port, peer, body),
            Command::Read { port, peer } => self.read(now, port, peer),
            Command::Close { port, peer } => self.close(now, port, peer),
        }
    }

    fn received(&mut self, now: Time, pipe: PipeId, frame: Frame) {
        let Some(&(peer, role)) = self.streams.get(&pipe) else {
            return;
        };
        match (role, frame) {
            (Role::Coming, Frame::Opening(opening)) => self.asked(now, pipe, peer, *opening),
            (Role::Asked, Frame::Opening(opening)) => self.answered(now, pipe, peer, *opening),
            (Role::Asked, Frame::Farewell(why)) => self.denied(now, pipe, peer, ending::cause(&why)),
            (Role::Up, Frame::Farewell(why)) => self.end(peer, ending::cause(&why)),
            (Role::Up, Frame::Rest) => self.on_rest(now, peer),
            (Role::Up, Frame::Part(part)) => self.on_part(now, peer, part),
            (Role::Up, Frame::Credit { port, bytes }) => self.on_credit(now, peer, port, bytes),
            (Role::Up, Frame::Refused { port }) => self.on_refused(now, peer, port),
            (Role::Up, Frame::Taken { bytes }) => self.on_taken(now, peer, bytes),
            (Role::Coming | Role::Held, Frame::Farewell(_)) => self.drop_stream(pipe),
            _ => self.violated(now, pipe),
        }
    }

    fn wake(&mut self, now: Time) {
        while let Some(timer) = self.deadlines.pop_due(now) {
            match timer {
                Timer::Coming(pipe) => self.drop_stream(pipe),
                Timer::Answer(peer) => self.not_answered(now, peer),
                Timer::Idle(peer) => self.idle(now, peer),
                Timer::Rest(peer) => self.rest_unanswered(peer),
            }
        }
    }

    /// When it wants to be woken.
    pub fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// Bytes that may still be queued for this peer from this port, what each body counts beyond its own not included.
    pub fn room(&self, port: Port, peer: &PeerId) -> usize {
        let outbox = self.peers.get(peer).and_then(|far| far.outbox.get(&port));
        let here = self.config.queue.saturating_sub(outbox.map_or(0, Outbox::cost));
        here.min(self.config.max_queued - self.queued)
            .saturating_sub(message::OVERHEAD)
    }

    /// Whether somebody may listen at this port.
    pub fn has_room_for(&self, port: Port) -> bool {
        !self.stopped && (self.ports.contains(&port) || self.ports.len() < self.config.max_ports)
    }

    /// Whether somebody listens at this port here.
    pub fn listens(&self, port: Port) -> bool {
        self.ports.contains(&port)
    }

    /// At a glance.
    pub fn view(&self) -> View {
        let inboxes = self.peers.values().flat_map(|far| far.inbox.values());
        View {
            up: self.peers.values().filter(|far| far.line.is_some()).count(),
            queued: self.queued,
            unread: inboxes.map(Inbox::held).sum(),
            counters: self.counters,
        }
    }

    /// Whether there is a pipe with this peer.
    pub fn is_up(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|far| far.line.is_some())
    }

    /// Everything here that can grow, with its limit.
    pub fn bounds(&self) -> Vec<Bounded> {
        let config = &self.config;
        let lines = || self.peers.values().filter_map(|far| far.line.as_ref());
        let outboxes = self.peers.values().flat_map(|far| far.outbox.values());
        let inboxes = self.peers.values().flat_map(|far| far.inbox.values());
        let coming = self.streams.values().filter(|(_, role)| *role == Role::Coming).count();
        let (unwritten, unwritten_limit) = lines().map(Line::held).max().unwrap_or_default();
        let (parts, parts_limit) = lines().map(|line| line.flight.bound()).max().unwrap_or_default();
        vec![
            Bounded::new("ports", self.ports.len(), config.max_ports),
            Bounded::new("peers with pipes", self.peers.len(), config.max_peers),
            Bounded::new("streams without a word", coming, config.max_coming),
            Bounded::new(
                "streams of pipes",
                self.streams.len(),
                3 * self.peers.len() + config.max_coming,
            ),
            Bounded::fullest("bytes queued for a peer", outboxes.map(Outbox::cost), config.queue),
            Bounded::new("bytes queued for all peers", self.queued, config.max_queued),
            Bounded::fullest("bytes from a peer not read", inboxes.map(Inbox::held), config.window),
            Bounded::new("frames of a pipe not written", unwritten, unwritten_limit),
            Bounded::new("parts of a pipe on their way", parts, parts_limit),
            Bounded::new(
                "timers of pipes",
                self.deadlines.len(),
                3 * self.peers.len() + config.max_coming,
            ),
        ]
    }

    fn say(&mut self, pipe: PipeId, frame: Frame) {
        self.out.push(Output::Send { pipe, frame });
    }

    fn tell(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }

    /// Closes a stream, with a word if there is one to say.
    fn shut(&mut self, pipe: PipeId, why: Option<Farewell>) {
        self.streams.remove(&pipe);
        self.deadlines.cancel(Timer::Coming(pipe));
        if let Some(why) = why {
            self.say(pipe, Frame::Farewell(why));
        }
        self.out.push(Output::Close { pipe });
    }

    /// Forgets a peer about whom there is nothing to know.
    fn forget(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(Far::is_done) {
            self.peers.remove(&peer);
        }
    }
}
