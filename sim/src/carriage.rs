//! How outputs become inputs: dials, sessions and one-shot exchanges, as the driver in `node/` and two kernels would carry them.
//!
//! Sessions and one-shot exchanges are streams on connections; a new one costs a round trip before its first word, because both ends agree
//! on its protocol first; a new connection costs two before that, TCP's and the security handshake's. What differs from the driver:
//!
//! | | driver | here |
//! | --- | --- | --- |
//! | send queue | one for each session | one for each connection, of the same size |
//! | a slow reader | its kernel's window closes, the sender's queue fills | what a stopped or slow process does not take waits without a limit, unless its host has been given a window |
//! | one-shot exchanges to one peer | wait for a dial under way, at most 48 at once on a connection | each dials for itself, without a limit |
//! | dials | so many at once for each purpose, the others wait | all at once |
//! | a pipe's frames | told as written when the stream has taken them | at once; the connection's queue holds them |
//! | limits | streams and sessions of a connection, connections of a peer and in all | none |
//! | other ways | QUIC, names, relays behind an announced address | TCP to numeric addresses |
//! | a session that we close | lingers for the other end's last frames | is over at once; what still comes is answered as an unknown stream |
//! | identify | is exchanged on each new connection | is not |

use fatebound_machine::Output;
use fatebound_machine::overlay::{Multiaddr, PeerId};

use crate::PeerIndex;
use crate::cargo::Cargo;
use crate::connections::At;
use crate::observe::Observation;
use crate::processes::Work;
use crate::world::World;

/// One end of a session or of a request: which peer, in which life, and that peer's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) peer: PeerIndex,
    pub(crate) life: u32,
    pub(crate) number: u64,
}

/// What a dial is for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Session {
        peer: Option<PeerId>,
    },
    Verify {
        peer: PeerId,
    },
    Request {
        peer: PeerId,
        body: Vec<u8>,
    },
    /// `own`: on a connection of its own.
    Pipe {
        peer: PeerId,
        own: bool,
    },
}

impl Purpose {
    pub(crate) fn peer(&self) -> Option<PeerId> {
        match self {
            Purpose::Session { peer } => *peer,
            Purpose::Verify { peer } | Purpose::Request { peer, .. } | Purpose::Pipe { peer, .. } => Some(*peer),
        }
    }
}

impl World {
    pub(crate) fn carry_out(&mut self, index: PeerIndex, output: Output) {
        match output {
            Output::Send { session, frame, urgent } => self.send(index, session, frame, urgent),
            Output::Connect { peer, addresses, fresh } => self.connect(index, peer, addresses, fresh),
            Output::Verify { peer, address } => self.verify(index, peer, address),
            Output::Disconnect { session } => self.disconnect(index, session),
            Output::Request {
                request,
                peer,
                addresses,
                fresh,
                body,
            } => self.request(index, request, peer, (addresses, fresh), body),
            Output::Respond { request, body } => self.respond(index, request, body),
            Output::Pipe(output) => self.carry_pipe(index, output),
            Output::Event(event) => {
                self.saw(|| Observation::Told {
                    peer: index,
                    event: event.clone(),
                });
                if self.keeps_events {
                    self.peers[index.0].events.push((self.now, event));
                }
            }
        }
    }

    fn verify(&mut self, index: PeerIndex, peer: PeerId, address: Multiaddr) {
        let from = self.new_dial(index);
        self.dial(from, Purpose::Verify { peer }, vec![address]);
    }

    pub(crate) fn end_of(&self, index: PeerIndex, number: u64) -> End {
        End {
            peer: index,
            life: self.peers[index.0].life,
            number,
        }
    }

    pub(crate) fn new_session(&mut self, index: PeerIndex) -> End {
        let peer = &mut self.peers[index.0];
        peer.next_session += 1;
        let number = peer.next_session;
        self.end_of(index, number)
    }

    /// A number for a dial; high, so that it never meets a request's.
    pub(crate) fn new_dial(&mut self, index: PeerIndex) -> End {
        let mut end = self.new_session(index);
        end.number |= 1 << 63;
        end
    }

    pub(crate) fn is_life(&self, end: End) -> bool {
        let peer = &self.peers[end.peer.0];
        peer.life == end.life && peer.machine.is_some()
    }

    /// A process hands a message to its end of a connection. Says whether there was room for it.
    pub(crate) fn ship(&mut self, from: At, cargo: Cargo, urgent: bool) -> bool {
        let Some((sender, receiver)) = self
            .connections
            .side(from)
            .map(|side| side.peer)
            .zip(self.other_peer(from))
        else {
            return true;
        };
        if self.sees_messages()
            && let Some(words) = cargo.words()
        {
            self.saw(|| Observation::Sent {
                from: sender,
                to: receiver,
                words,
            });
        }
        if !self.adversaries.is_empty() && self.is_sabotaged(from, &cargo) {
            return true;
        }
        self.put(from, cargo, urgent).is_ok()
    }

    /// A message reaches a host: its process takes it when it can.
    pub(crate) fn take_cargo(&mut self, at: At, cargo: Cargo) {
        if let Some(peer) = self.connections.side(at).map(|side| side.peer) {
            self.give(peer, Work::Cargo { at, cargo });
        }
    }

    /// A process takes a message.
    pub(crate) fn on_cargo(&mut self, at: At, cargo: Cargo) {
        if !self.is_open(at) {
            return;
        }
        if self.sees_messages()
            && let (Some(words), Some(from), Some(to)) = (cargo.words(), self.other_peer(at), self.connections.side(at))
        {
            let to = to.peer;
            self.saw(|| Observation::Arrived { from, to, words });
        }
        if !matches!(cargo, Cargo::Shake { .. } | Cargo::Shaken { .. } | Cargo::HangUp) {
            self.make_ready(at);
        }
        match cargo {
            Cargo::Shake { dial, attempt } => {
                self.ship(at, Cargo::Shaken { dial, attempt }, false);
            }
            Cargo::Shaken { dial, attempt } => self.on_shaken(at, dial, attempt),
            Cargo::Open { dial, opener } => self.on_open(at, dial, opener),
            Cargo::Opened { dial, opener, acceptor } => self.on_opened(at, dial, opener, acceptor),
            Cargo::Frame { to, back, frame } => self.on_frame(at, to, back, frame),
            Cargo::Closed { to } => self.lose(to),
            Cargo::PipeOpen { dial, opener } => self.on_pipe_open(at, dial, opener),
            Cargo::PipeOpened { dial, opener, acceptor } => self.on_pipe_opened(at, dial, opener, acceptor),
            Cargo::PipeFrame { to, back, frame } => self.on_pipe_frame(at, to, back, frame),
            Cargo::PipeClosed { to } => self.lose_pipe(to),
            Cargo::Ask { from } => {
                self.ship(at, Cargo::Asking { to: from }, false);
            }
            Cargo::Asking { to } => self.on_asking(to),
            Cargo::Request { from, body } => self.on_request(at, from, body),
            Cargo::Response { to, body } => self.on_response(to, body),
            Cargo::HangUp => self.close(at, false),
        }
    }
}
