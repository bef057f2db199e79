//! How outputs become inputs: dials, sessions and one-shot exchanges, as a kernel and a TCP connection would carry them.
//!
//! A process that is gone is answered for by its host, which refuses and resets; a host that is gone answers nothing. A stopped process
//! accepts in its kernel and shakes no hands. Everything between two hosts shares one wire in each direction, so a session is ordered
//! and a connection's end comes after its last frame.

use fatebound_machine::overlay::{
    DialFailure, DisconnectCause, Multiaddr, Opener, PeerId, Protocol, RequestId, Session,
};
use fatebound_machine::{Input, Output};

use crate::PeerIndex;
use crate::observe::{Observation, Signal, Words};
use crate::world::{Happening, State, World};

/// One end of a session or of a request: which peer, in which life, and that peer's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) peer: PeerIndex,
    pub(crate) life: u32,
    pub(crate) number: u64,
}

/// What travels on a wire.
#[derive(Clone, Debug)]
pub(crate) enum Cargo {
    Dial {
        from: End,
        purpose: Purpose,
        address: Multiaddr,
        new: bool,
    },
    Dialled {
        to: End,
        purpose: Purpose,
        address: Multiaddr,
        outcome: Result<(PeerId, u64), DialFailure>,
    },
    Frame {
        to: End,
        back: End,
        frame: Vec<u8>,
    },
    Closed {
        to: End,
    },
    Request {
        from: End,
        to_life: u32,
        body: Vec<u8>,
    },
    Response {
        to: End,
        body: Vec<u8>,
    },
    Reset {
        to: End,
    },
}

impl Cargo {
    /// What an onlooker sees of it.
    fn words(&self) -> Words {
        let signal = match self {
            Cargo::Frame { frame, .. } => return Words::Frame(frame.clone()),
            Cargo::Request { body, .. } => return Words::Request(body.clone()),
            Cargo::Response { body, .. } => return Words::Response(body.clone()),
            Cargo::Dial { new: false, .. } => Signal::Open,
            Cargo::Dial {
                purpose: Purpose::Verify { .. },
                ..
            } => Signal::Verify,
            Cargo::Dial { .. } => Signal::Dial,
            Cargo::Dialled { outcome: Ok(_), .. } => Signal::Accept,
            Cargo::Dialled { .. } => Signal::Refuse,
            Cargo::Closed { .. } => Signal::Close,
            Cargo::Reset { .. } => Signal::Reset,
        };
        Words::Host(signal)
    }
}

/// What a dial is for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Session { peer: Option<PeerId> },
    Verify { peer: PeerId },
    Request { peer: PeerId, body: Vec<u8> },
}

/// A dial or a request that its peer waits for.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) purpose: Purpose,
    /// Addresses still to try, the current one last.
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) failures: Vec<(Multiaddr, DialFailure)>,
}

impl World {
    pub(crate) fn carry_out(&mut self, index: PeerIndex, output: Output) {
        match output {
            Output::Send { session, frame, .. } => self.send(index, session, frame),
            Output::Connect { peer, addresses, fresh } => self.connect(index, peer, addresses, fresh),
            Output::Verify { peer, address } => self.dial(index, Purpose::Verify { peer }, vec![address]),
            Output::Disconnect { session } => self.disconnect(index, session),
            Output::Request {
                request,
                peer,
                addresses,
                body,
            } => self.request(index, request, peer, addresses, body),
            Output::Respond { request, body } => self.respond(index, request, body),
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

    fn end_of(&self, index: PeerIndex, number: u64) -> End {
        End {
            peer: index,
            life: self.peers[index.0].life,
            number,
        }
    }

    fn new_session(&mut self, index: PeerIndex) -> End {
        let peer = &mut self.peers[index.0];
        peer.next_session += 1;
        let number = peer.next_session;
        self.end_of(index, number)
    }

    /// A number for a dial; high, so that it never meets a request's.
    fn new_dial(&mut self, index: PeerIndex) -> End {
        let mut end = self.new_session(index);
        end.number |= 1 << 63;
        end
    }

    pub(crate) fn ship(&mut self, from: PeerIndex, to: PeerIndex, cargo: Cargo) {
        if self.sees_messages() {
            let words = cargo.words();
            self.saw(|| Observation::Sent { from, to, words });
        }
        if let Some((at, (from, to, cargo))) = self.network.put(self.now, from, to, (from, to, Box::new(cargo))) {
            self.schedule(at, Happening::Arrives { at: to, from, cargo });
        }
    }

    fn send(&mut self, index: PeerIndex, session: Session, frame: Vec<u8>) {
        let back = self.end_of(index, session.0);
        if let Some(&to) = self.sessions.get(&back) {
            self.ship(index, to.peer, Cargo::Frame { to, back, frame });
        }
    }

    fn disconnect(&mut self, index: PeerIndex, session: Session) {
        let end = self.end_of(index, session.0);
        if let Some(other) = self.sessions.remove(&end) {
            self.ship(index, other.peer, Cargo::Closed { to: other });
        }
    }

    fn connect(&mut self, index: PeerIndex, peer: Option<PeerId>, addresses: Vec<Multiaddr>, fresh: bool) {
        let target = peer.and_then(|peer| self.by_id.get(&peer).copied());
        let existing = target.and_then(|target| self.connections.get(&pair(index, target)).cloned());
        match (target, existing) {
            (Some(target), Some((_, address))) if !fresh => {
                let from = self.new_dial(index);
                let purpose = Purpose::Session { peer };
                self.await_dial(from, purpose.clone(), vec![address.clone()]);
                self.ship(
                    index,
                    target,
                    Cargo::Dial {
                        from,
                        purpose,
                        address,
                        new: false,
                    },
                );
            }
            _ => self.dial(index, Purpose::Session { peer }, addresses),
        }
    }

    fn dial(&mut self, index: PeerIndex, purpose: Purpose, addresses: Vec<Multiaddr>) {
        let from = self.new_dial(index);
        self.dial_as(from, purpose, addresses);
    }

    fn dial_as(&mut self, from: End, purpose: Purpose, addresses: Vec<Multiaddr>) {
        let mut addresses = addresses;
        addresses.reverse();
        self.await_dial(from, purpose, addresses);
        self.try_next(from);
    }

    fn await_dial(&mut self, from: End, purpose: Purpose, addresses: Vec<Multiaddr>) {
        self.dials.insert(
            from,
            Pending {
                purpose,
                addresses,
                failures: Vec::new(),
            },
        );
        self.limit_dial(from);
    }

    /// Each address has its own time limit.
    fn limit_dial(&mut self, from: End) {
        let Some(pending) = self.dials.get(&from) else { return };
        let tried = pending.failures.len();
        self.schedule(self.now + self.dial_timeout, Happening::DialTimeout { from, tried });
    }

    pub(crate) fn dial_timed_out(&mut self, from: End, tried: usize) {
        if self
            .dials
            .get(&from)
            .is_some_and(|pending| pending.failures.len() == tried)
        {
            self.dial_failed(from, DialFailure::Timeout);
        }
    }

    /// Tries a dial's next address; without one the dial has failed.
    fn try_next(&mut self, from: End) {
        let Some(pending) = self.dials.get(&from) else { return };
        let purpose = pending.purpose.clone();
        let Some(address) = pending.addresses.last().cloned() else {
            return self.give_up_dial(from);
        };
        match host_of(&address).filter(|host| host.0 < self.peers.len()) {
            Some(host) => self.ship(
                from.peer,
                host,
                Cargo::Dial {
                    from,
                    purpose,
                    address,
                    new: true,
                },
            ),
            None => self.dial_failed(from, DialFailure::Other),
        }
    }

    fn dial_failed(&mut self, from: End, failure: DialFailure) {
        let Some(pending) = self.dials.get_mut(&from) else {
            return;
        };
        if let Some(address) = pending.addresses.pop() {
            pending.failures.push((address, failure));
        }
        self.limit_dial(from);
        self.try_next(from);
    }

    fn give_up_dial(&mut self, from: End) {
        let Some(Pending { purpose, failures, .. }) = self.dials.remove(&from) else {
            return;
        };
        let input = match purpose {
            Purpose::Session { peer } => Input::DialFailed { peer, failures },
            Purpose::Verify { peer } => Input::DialFailed {
                peer: Some(peer),
                failures,
            },
            Purpose::Request { .. } => {
                self.requests.remove(&from);
                Input::RequestFailed {
                    request: RequestId(from.number),
                    failures,
                }
            }
        };
        self.input(from.peer, input);
    }

    fn request(
        &mut self,
        index: PeerIndex,
        request: RequestId,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        body: Vec<u8>,
    ) {
        let from = self.end_of(index, request.0);
        let target = self.by_id.get(&peer).copied();
        let connected = target.filter(|&target| self.connections.contains_key(&pair(index, target)));
        match connected {
            Some(to) => self.ask(from, to, body),
            None if addresses.is_empty() => self.input(
                index,
                Input::RequestFailed {
                    request,
                    failures: Vec::new(),
                },
            ),
            None => self.dial_as(from, Purpose::Request { peer, body }, addresses),
        }
    }

    fn ask(&mut self, from: End, to: PeerIndex, body: Vec<u8>) {
        self.requests.insert(from, to);
        let to_life = self.peers[to.0].life;
        self.ship(from.peer, to, Cargo::Request { from, to_life, body });
        self.schedule(self.now + self.dial_timeout, Happening::RequestTimeout { from });
    }

    fn respond(&mut self, index: PeerIndex, request: RequestId, body: Vec<u8>) {
        let end = self.end_of(index, request.0);
        if let Some(to) = self.asked.remove(&end) {
            self.ship(index, to.peer, Cargo::Response { to, body });
        }
    }

    pub(crate) fn request_failed(&mut self, from: End, failures: Vec<(Multiaddr, DialFailure)>) {
        if self.requests.remove(&from).is_some() && self.is_life(from) {
            let request = RequestId(from.number);
            self.input(from.peer, Input::RequestFailed { request, failures });
        }
    }

    fn is_life(&self, end: End) -> bool {
        let peer = &self.peers[end.peer.0];
        peer.life == end.life && peer.machine.is_some()
    }

    pub(crate) fn arrive(&mut self, at: PeerIndex, from: PeerIndex, cargo: Cargo) {
        if self.sees_messages() {
            let words = cargo.words();
            self.saw(|| Observation::Arrived { from, to: at, words });
        }
        match cargo {
            Cargo::Dial {
                from,
                purpose,
                address,
                new,
            } => self.on_dial(at, from, purpose, address, new),
            Cargo::Dialled {
                to,
                purpose,
                address,
                outcome,
            } => self.on_dialled(to, from, &purpose, address, outcome),
            Cargo::Frame { to, back, frame } => self.on_frame(to, back, frame),
            Cargo::Closed { to } => self.lose(to),
            Cargo::Request { from, to_life, body } => self.on_request(at, from, to_life, body),
            Cargo::Response { to, body } => self.on_response(to, body),
            Cargo::Reset { to } => self.request_failed(to, Vec::new()),
        }
    }

    /// A dial reaches a host: its process accepts, or the host refuses, or nobody is there.
    fn on_dial(&mut self, at: PeerIndex, from: End, purpose: Purpose, address: Multiaddr, new: bool) {
        let outcome = match self.peers[at.0].state {
            State::Vanished => return,
            State::Crashed => Err(DialFailure::Refused),
            // The kernel accepts for a stopped process, and nobody shakes hands.
            State::Paused => return,
            State::Running => self.accept(at, from, &purpose, &address, new),
        };
        self.ship(
            at,
            from.peer,
            Cargo::Dialled {
                to: from,
                purpose,
                address,
                outcome,
            },
        );
    }

    fn accept(
        &mut self,
        at: PeerIndex,
        from: End,
        purpose: &Purpose,
        address: &Multiaddr,
        new: bool,
    ) -> Result<(PeerId, u64), DialFailure> {
        let id = self.id(at);
        let wanted = match purpose {
            Purpose::Session { peer } => *peer,
            Purpose::Verify { peer } | Purpose::Request { peer, .. } => Some(*peer),
        };
        if wanted.is_some_and(|wanted| wanted != id) {
            return Err(DialFailure::WrongPeer);
        }
        if new && !matches!(purpose, Purpose::Verify { .. }) {
            self.connections
                .insert(pair(at, from.peer), (from.peer, address.clone()));
        }
        if !matches!(purpose, Purpose::Session { .. }) {
            return Ok((id, 0));
        }
        let ours = self.new_session(at);
        self.sessions.insert(ours, from);
        Ok((id, ours.number))
    }

    fn on_dialled(
        &mut self,
        to: End,
        host: PeerIndex,
        purpose: &Purpose,
        address: Multiaddr,
        outcome: Result<(PeerId, u64), DialFailure>,
    ) {
        let (peer, number) = match outcome {
            Ok(accepted) => accepted,
            Err(failure) => return self.dial_failed(to, failure),
        };
        let theirs = self.end_of(host, number);
        if matches!(purpose, Purpose::Session { .. }) && self.sessions.get(&theirs) != Some(&to) {
            // Its process died between accepting and now.
            return self.dial_failed(to, DialFailure::Other);
        }
        if self.dials.remove(&to).is_none() || !self.is_life(to) {
            return;
        }
        match purpose {
            Purpose::Verify { .. } => self.input(to.peer, Input::Verified { peer, address }),
            Purpose::Request { body, .. } => {
                self.input(to.peer, Input::Verified { peer, address });
                self.ask(to, host, body.clone());
            }
            Purpose::Session { .. } => self.on_session(to, theirs, peer, address),
        }
    }

    /// Both ends learn of a new session: the acceptor first, whose half has been open since it accepted.
    fn on_session(&mut self, dial: End, theirs: End, peer: PeerId, address: Multiaddr) {
        let dialled_by_us = self
            .connections
            .get(&pair(dial.peer, theirs.peer))
            .is_some_and(|(dialler, _)| *dialler == dial.peer);
        let ours = self.new_session(dial.peer);
        self.sessions.insert(theirs, ours);
        self.sessions.insert(ours, theirs);
        let us = self.id(dial.peer);
        self.input(
            theirs.peer,
            Input::Connected {
                session: Session(theirs.number),
                peer: us,
                opener: Opener::Them,
                address: None,
            },
        );
        self.input(
            ours.peer,
            Input::Connected {
                session: Session(ours.number),
                peer,
                opener: Opener::Us,
                address: dialled_by_us.then_some(address),
            },
        );
    }

    fn on_frame(&mut self, to: End, back: End, frame: Vec<u8>) {
        if self.sessions.contains_key(&to) && self.is_life(to) {
            let session = Session(to.number);
            self.input(to.peer, Input::Received { session, frame });
        } else if self.peers[to.peer.0].state != State::Vanished {
            self.ship(to.peer, back.peer, Cargo::Closed { to: back });
        }
    }

    /// An end of a session learns that it is no more.
    pub(crate) fn lose(&mut self, end: End) {
        if self.sessions.remove(&end).is_some() && self.is_life(end) {
            let session = Session(end.number);
            let cause = DisconnectCause::Lost;
            self.input(end.peer, Input::Disconnected { session, cause });
        }
    }

    fn on_request(&mut self, at: PeerIndex, from: End, to_life: u32, body: Vec<u8>) {
        match self.peers[at.0].state {
            State::Vanished => return,
            State::Crashed => return self.ship(at, from.peer, Cargo::Reset { to: from }),
            State::Running | State::Paused => {}
        }
        if self.peers[at.0].life != to_life {
            return self.ship(at, from.peer, Cargo::Reset { to: from });
        }
        self.peers[at.0].next_request += 1;
        let request = RequestId(self.peers[at.0].next_request);
        let end = self.end_of(at, request.0);
        self.asked.insert(end, from);
        let peer = self.id(from.peer);
        self.input(at, Input::Request { request, peer, body });
    }

    fn on_response(&mut self, to: End, body: Vec<u8>) {
        if self.requests.remove(&to).is_some() && self.is_life(to) {
            let request = RequestId(to.number);
            self.input(to.peer, Input::Response { request, body });
        }
    }
}

pub(crate) fn pair(a: PeerIndex, b: PeerIndex) -> (PeerIndex, PeerIndex) {
    (a.min(b), a.max(b))
}

/// Host n lives at 10.x.y.z, n in the lower three bytes.
pub(crate) fn address_of(peer: PeerIndex) -> Multiaddr {
    let [_, x, y, z] = (peer.0 as u32).to_be_bytes();
    format!("/ip4/10.{x}.{y}.{z}/tcp/4001").parse().expect("a multiaddress")
}

pub(crate) fn host_of(address: &Multiaddr) -> Option<PeerIndex> {
    let Some(Protocol::Ip4(ip)) = address.iter().next() else {
        return None;
    };
    let [_, x, y, z] = ip.octets();
    Some(PeerIndex(u32::from_be_bytes([0, x, y, z]) as usize))
}
