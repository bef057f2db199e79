//! The streams of the protocol's pipes (protocol.md §3.2): each takes a connection of its own where one can be dialled, else one that is up.
//!
//! A frame counts as written at once: the connection's queue holds it. How much of a pipe is on its way is bounded far below that queue.

use fatebound_machine::overlay::pipes::PipeId;
use fatebound_machine::overlay::{Multiaddr, Opener, PeerId};
use fatebound_machine::{Input, PipeInput, PipeOutput};

use crate::PeerIndex;
use crate::cargo::Cargo;
use crate::carriage::{End, Purpose};
use crate::connections::At;
use crate::world::{Happening, World};

/// One end's half of a pipe's stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PipeHalf {
    /// The other end's number.
    other: End,
    /// This end of the connection under it.
    pub(crate) at: At,
}

impl World {
    pub(crate) fn carry_pipe(&mut self, index: PeerIndex, output: PipeOutput) {
        match output {
            PipeOutput::Open { peer, addresses } => self.open_pipe(index, peer, addresses),
            PipeOutput::Send { pipe, frame } => self.send_on_pipe(index, pipe, frame),
            PipeOutput::Close { pipe } => {
                let end = self.end_of(index, pipe.0);
                if let Some(half) = self.pipes.remove(&end) {
                    self.ship(half.at, Cargo::PipeClosed { to: half.other }, false);
                    self.watch_idleness(half.at);
                }
            }
        }
    }

    fn open_pipe(&mut self, index: PeerIndex, peer: PeerId, addresses: Vec<Multiaddr>) {
        let from = self.new_dial(index);
        if addresses.is_empty() {
            self.open_pipe_on_what_is_up(from, peer);
        } else {
            self.dial(from, Purpose::Pipe { peer, own: true }, addresses);
        }
    }

    /// No connection of its own could be had.
    pub(crate) fn open_pipe_on_what_is_up(&mut self, from: End, peer: PeerId) {
        let target = self.by_id.get(&peer).copied();
        match target.and_then(|target| self.newest_connection(from.peer, target)) {
            Some(at) => {
                self.dial_over(from, Purpose::Pipe { peer, own: false }, at);
                self.ask_for_pipe(from, at);
            }
            None => self.pipe_failed(from.peer, peer),
        }
    }

    pub(crate) fn pipe_failed(&mut self, index: PeerIndex, peer: PeerId) {
        self.schedule(
            self.now,
            Happening::Told {
                to: self.end_of(index, 0),
                input: Box::new(Input::Pipe(PipeInput::Failed { peer })),
            },
        );
    }

    /// Asks the other end for a stream on this connection.
    pub(crate) fn ask_for_pipe(&mut self, dial: End, at: At) {
        let opener = self.new_session(dial.peer);
        self.ship(at, Cargo::PipeOpen { dial, opener }, false);
    }

    pub(crate) fn on_pipe_open(&mut self, at: At, dial: End, opener: End) {
        let Some(peer) = self.connections.side(at).map(|side| side.peer) else {
            return;
        };
        let acceptor = self.new_session(peer);
        self.ship(at, Cargo::PipeOpened { dial, opener, acceptor }, false);
        self.begin_pipe(at, acceptor, opener, Opener::Them);
    }

    pub(crate) fn on_pipe_opened(&mut self, at: At, dial: End, opener: End, acceptor: End) {
        if self.end_dial(dial).is_some() {
            self.begin_pipe(at, opener, acceptor, Opener::Us);
        } else {
            self.ship(at, Cargo::PipeClosed { to: acceptor }, false);
        }
    }

    fn begin_pipe(&mut self, at: At, ours: End, theirs: End, opener: Opener) {
        self.pipes.insert(ours, PipeHalf { other: theirs, at });
        let (pipe, peer) = (PipeId(ours.number), self.id(theirs.peer));
        self.feed(ours.peer, Input::Pipe(PipeInput::Opened { pipe, peer, opener }));
    }

    fn send_on_pipe(&mut self, index: PeerIndex, pipe: PipeId, frame: Vec<u8>) {
        let back = self.end_of(index, pipe.0);
        let Some(half) = self.pipes.get(&back).copied() else {
            return;
        };
        let to = half.other;
        if self.ship(half.at, Cargo::PipeFrame { to, back, frame }, false) {
            let input = Box::new(Input::Pipe(PipeInput::Written { pipe }));
            self.schedule(self.now, Happening::Told { to: back, input });
        } else {
            self.lose_pipe(back);
        }
    }

    pub(crate) fn on_pipe_frame(&mut self, at: At, to: End, back: End, frame: Vec<u8>) {
        if self.pipes.contains_key(&to) && self.is_life(to) {
            let pipe = PipeId(to.number);
            self.feed(to.peer, Input::Pipe(PipeInput::Received { pipe, frame }));
        } else {
            self.ship(at, Cargo::PipeClosed { to: back }, false);
        }
    }

    /// An end of a pipe's stream learns that it is no more.
    pub(crate) fn lose_pipe(&mut self, end: End) {
        let Some(half) = self.pipes.remove(&end) else { return };
        self.watch_idleness(half.at);
        let input = Box::new(Input::Pipe(PipeInput::Closed {
            pipe: PipeId(end.number),
        }));
        self.schedule(self.now, Happening::Told { to: end, input });
    }

    /// Something that a driver tells its machine a moment later: not while the machine's own outputs are carried out.
    pub(crate) fn on_told(&mut self, to: End, input: Input) {
        if self.is_life(to) {
            self.input(to.peer, input);
        }
    }
}
