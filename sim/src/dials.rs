//! Dials: TCP's handshake, then the security handshake that says who is there.
//!
//! A first packet without an answer is sent again after 1 s, 2 s, 4 s … (RFC 6298, §5.7; newer Linux sends the first four a second apart), until the
//! dial's time is over. A host without the process refuses; a firewall refuses or says nothing; nobody answers for a host that is gone. A
//! stopped process' kernel accepts, and nobody shakes hands. All addresses of a known peer are tried together, the first that works wins; whose
//! peer is not known is tried at one after the other.

use std::time::Duration;

use fatebound_machine::Input;
use fatebound_machine::overlay::{DialFailure, Multiaddr, PeerId, RequestId};

use crate::PeerIndex;
use crate::cargo::Cargo;
use crate::carriage::{End, Purpose};
use crate::connections::{At, ConnectionId};
use crate::hosts::host_of;
use crate::observe::Signal;
use crate::wire::Dials;
use crate::world::{Happening, State, World};

/// The first packet is sent again after so long, then after twice as long, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// So often at most (Linux, `tcp_syn_retries`).
const RETRIES: u32 = 6;

/// A dial that its peer waits for.
#[derive(Debug)]
pub(crate) struct Pending {
    purpose: Purpose,
    trying: Vec<Attempt>,
    /// Addresses still to try.
    rest: Vec<Multiaddr>,
    failures: Vec<(Multiaddr, DialFailure)>,
    /// The connection is there, the session's stream is being opened.
    opening: Option<ConnectionId>,
    /// Counts tries, so that an old time limit does not end a later one.
    round: u32,
    attempts: u32,
}

/// A dial to one address.
#[derive(Debug)]
struct Attempt {
    number: u32,
    address: Multiaddr,
    connection: Option<At>,
}

impl Pending {
    fn new(purpose: Purpose, rest: Vec<Multiaddr>) -> Pending {
        Pending {
            purpose,
            trying: Vec::new(),
            rest,
            failures: Vec::new(),
            opening: None,
            round: 0,
            attempts: 0,
        }
    }

    /// Whether it rests on this connection.
    pub(crate) fn uses(&self, connection: ConnectionId) -> bool {
        let mut trying = self.trying.iter().filter_map(|attempt| attempt.connection);
        self.opening == Some(connection) || trying.any(|at| at.connection == connection)
    }

    fn attempt(&mut self, number: u32) -> Option<&mut Attempt> {
        self.trying.iter_mut().find(|attempt| attempt.number == number)
    }

    /// Moves to what is tried next.
    fn begin_round(&mut self) {
        self.round += 1;
        let count = match self.purpose.peer() {
            Some(_) => self.rest.len(),
            None => self.rest.len().min(1),
        };
        for address in self.rest.drain(..count) {
            self.attempts += 1;
            self.trying.push(Attempt {
                number: self.attempts,
                address,
                connection: None,
            });
        }
    }
}

/// Packets of TCP's handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Knock {
    /// The first packet is to be sent again.
    Again { dial: End, attempt: u32, tries: u32 },
    /// It reaches a host.
    Arrives {
        dial: End,
        attempt: u32,
        tries: u32,
        host: u32,
        to: PeerIndex,
    },
    /// Its answer comes back.
    Answered {
        dial: End,
        attempt: u32,
        to: PeerIndex,
        refused: bool,
    },
}

fn answer_signal(refused: bool) -> Signal {
    if refused { Signal::Refuse } else { Signal::Accept }
}

impl World {
    pub(crate) fn connect(&mut self, index: PeerIndex, peer: Option<PeerId>, addresses: Vec<Multiaddr>, fresh: bool) {
        let from = self.new_dial(index);
        let target = peer.filter(|_| !fresh).and_then(|peer| self.by_id.get(&peer).copied());
        let Some(at) = target.and_then(|target| self.newest_connection(index, target)) else {
            return self.dial(from, Purpose::Session { peer }, addresses);
        };
        let mut pending = Pending::new(Purpose::Session { peer }, addresses);
        pending.opening = Some(at.connection);
        self.dials.insert(from, pending);
        self.limit_dial(from);
        self.open_on(from, at);
    }

    /// A stream that is asked for on a connection that is up.
    pub(crate) fn dial_over(&mut self, from: End, purpose: Purpose, at: At) {
        let mut pending = Pending::new(purpose, Vec::new());
        pending.opening = Some(at.connection);
        self.dials.insert(from, pending);
        self.limit_dial(from);
    }

    pub(crate) fn dial(&mut self, from: End, purpose: Purpose, addresses: Vec<Multiaddr>) {
        self.dials.insert(from, Pending::new(purpose, addresses));
        self.begin_round(from);
    }

    /// Tries a dial's next addresses; without any the dial has failed.
    fn begin_round(&mut self, from: End) {
        let Some(pending) = self.dials.get_mut(&from) else {
            return;
        };
        pending.begin_round();
        if pending.trying.is_empty() {
            return self.give_up_dial(from);
        }
        let attempts: Vec<u32> = pending.trying.iter().map(|attempt| attempt.number).collect();
        self.limit_dial(from);
        for attempt in attempts {
            self.knock(from, attempt, 0);
        }
    }

    /// Each round has its own time limit.
    fn limit_dial(&mut self, from: End) {
        let Some(pending) = self.dials.get(&from) else { return };
        let round = pending.round;
        self.schedule(self.now + self.dial_timeout, Happening::DialTimeout { from, round });
    }

    pub(crate) fn dial_timed_out(&mut self, from: End, round: u32) {
        let Some(pending) = self.dials.get_mut(&from).filter(|pending| pending.round == round) else {
            return;
        };
        if pending.opening.take().is_some() {
            return self.begin_round(from);
        }
        for attempt in pending.trying.iter().map(|attempt| attempt.number).collect::<Vec<_>>() {
            self.attempt_failed(from, attempt, DialFailure::Timeout);
        }
    }

    /// Sends the first packet.
    fn knock(&mut self, dial: End, attempt: u32, tries: u32) {
        let Some(trying) = self.dials.get_mut(&dial).and_then(|pending| pending.attempt(attempt)) else {
            return;
        };
        let Some(host) = host_of(&trying.address) else {
            return self.attempt_failed(dial, attempt, DialFailure::Other);
        };
        let Some(to) = self.who_lives_at(host) else {
            return self.knock_again(dial, attempt, tries);
        };
        let signal = self.knock_signal(dial);
        self.saw_sent(dial.peer, to, signal);
        if self.network.loses(dial.peer, to) {
            return self.knock_again(dial, attempt, tries);
        }
        let at = self.network.arrival(self.now, dial.peer, to, 0);
        self.schedule(
            at,
            Happening::Knock(Knock::Arrives {
                dial,
                attempt,
                tries,
                host,
                to,
            }),
        );
    }

    fn knock_signal(&self, dial: End) -> Signal {
        let purpose = self.dials.get(&dial).map(|pending| &pending.purpose);
        match purpose {
            Some(Purpose::Verify { .. }) => Signal::Verify,
            _ => Signal::Dial,
        }
    }

    fn knock_again(&mut self, dial: End, attempt: u32, tries: u32) {
        if tries < RETRIES {
            let tries = tries + 1;
            let at = self.now + FIRST_RETRY * (1 << (tries - 1));
            self.schedule(at, Happening::Knock(Knock::Again { dial, attempt, tries }));
        }
    }

    pub(crate) fn on_knock(&mut self, knock: Knock) {
        match knock {
            Knock::Again { dial, attempt, tries } => self.knock(dial, attempt, tries),
            Knock::Arrives {
                dial,
                attempt,
                tries,
                host,
                to,
            } => match self.answer(dial.peer, host, to) {
                Some(refused) => {
                    let (asks, says) = (self.knock_signal(dial), answer_signal(refused));
                    self.saw_arrived(dial.peer, to, asks);
                    self.saw_sent(to, dial.peer, says);
                    let at = self.network.arrival(self.now, to, dial.peer, 0);
                    let answered = Knock::Answered {
                        dial,
                        attempt,
                        to,
                        refused,
                    };
                    self.schedule(at, Happening::Knock(answered));
                }
                None => self.knock_again(dial, attempt, tries),
            },
            Knock::Answered {
                dial,
                attempt,
                to,
                refused,
            } => self.on_answered(dial, attempt, to, refused),
        }
    }

    /// What a host says to a first packet: whether it refuses. `None`: nothing, or it is lost.
    fn answer(&mut self, from: PeerIndex, host: u32, to: PeerIndex) -> Option<bool> {
        let peer = &self.peers[to.0];
        let at_home = self.is_at(to, host) && peer.state != State::Vanished;
        let dials = self.network.dials(from, to);
        if !at_home || dials == Dials::Unanswered || self.network.loses(to, from) {
            return None;
        }
        Some(self.peers[to.0].state == State::Crashed || dials == Dials::Refused)
    }

    fn on_answered(&mut self, dial: End, attempt: u32, to: PeerIndex, refused: bool) {
        self.saw_arrived(to, dial.peer, answer_signal(refused));
        if refused {
            return self.attempt_failed(dial, attempt, DialFailure::Refused);
        }
        if !self.is_life(dial) {
            return;
        }
        let Some(trying) = self.dials.get_mut(&dial).and_then(|pending| pending.attempt(attempt)) else {
            return;
        };
        let address = trying.address.clone();
        let at = self.open_connection(dial.peer, to, address);
        if let Some(trying) = self.dials.get_mut(&dial).and_then(|pending| pending.attempt(attempt)) {
            trying.connection = Some(at);
        }
        self.ship(at, Cargo::Shake { dial, attempt }, false);
    }

    /// The dialler learns who is there.
    pub(crate) fn on_shaken(&mut self, at: At, dial: End, attempt: u32) {
        let wanted = self.dials.get_mut(&dial).and_then(|pending| {
            pending.attempt(attempt)?;
            Some(pending.purpose.peer())
        });
        let (Some(wanted), Some(other)) = (wanted, self.other_peer(at)) else {
            return self.close(at, true);
        };
        let peer = self.id(other);
        if other == dial.peer || wanted.is_some_and(|wanted| wanted != peer) {
            self.attempt_failed(dial, attempt, DialFailure::WrongPeer);
        } else {
            self.dialled(at, dial, attempt, peer);
        }
    }

    /// One address has worked; the other attempts are given up.
    fn dialled(&mut self, at: At, dial: End, attempt: u32, peer: PeerId) {
        let Some(pending) = self.dials.get_mut(&dial) else {
            return;
        };
        let purpose = pending.purpose.clone();
        let attempts = std::mem::take(&mut pending.trying);
        pending.opening = Some(at.connection);
        let others = attempts.iter().filter(|trying| trying.number != attempt);
        for other in others.filter_map(|other| other.connection) {
            self.close(other, true);
        }
        let Some(address) = self
            .connections
            .get(at.connection)
            .map(|connection| connection.address.clone())
        else {
            return;
        };
        if !matches!(purpose, Purpose::Session { .. } | Purpose::Pipe { .. }) {
            self.dials.remove(&dial);
        }
        match purpose {
            Purpose::Session { .. } => {
                self.make_ready(at);
                self.open_after(dial, at, attempts);
            }
            Purpose::Pipe { .. } => {
                self.connections.devote(at.connection);
                self.make_ready(at);
                self.limit_dial(dial);
                self.ask_for_pipe(dial, at);
            }
            Purpose::Verify { .. } => {
                self.close(at, true);
                self.feed(dial.peer, Input::Verified { peer, address });
            }
            Purpose::Request { body, .. } => {
                self.make_ready(at);
                self.feed(dial.peer, Input::Verified { peer, address });
                self.ask(dial, at, body);
            }
        }
    }

    /// Should the stream not open, every address that was dialled has failed.
    fn open_after(&mut self, dial: End, at: At, attempts: Vec<Attempt>) {
        if let Some(pending) = self.dials.get_mut(&dial) {
            pending.round += 1;
            let failed = attempts
                .into_iter()
                .map(|attempt| (attempt.address, DialFailure::Other));
            pending.failures.extend(failed);
        }
        self.limit_dial(dial);
        self.open_on(dial, at);
    }

    fn attempt_failed(&mut self, from: End, number: u32, failure: DialFailure) {
        let Some(pending) = self.dials.get_mut(&from) else {
            return;
        };
        let Some(place) = pending.trying.iter().position(|attempt| attempt.number == number) else {
            return;
        };
        let attempt = pending.trying.remove(place);
        pending.failures.push((attempt.address, failure));
        let over = pending.trying.is_empty();
        if let Some(at) = attempt.connection {
            self.close(at, true);
        }
        if over {
            self.begin_round(from);
        }
    }

    /// A connection is no more on which a dial rested.
    pub(crate) fn dial_lost(&mut self, from: End, connection: ConnectionId) {
        let Some(pending) = self.dials.get_mut(&from) else {
            return;
        };
        if pending.opening == Some(connection) {
            pending.opening = None;
            return self.begin_round(from);
        }
        let lost = |attempt: &&Attempt| attempt.connection.is_some_and(|at| at.connection == connection);
        if let Some(number) = pending.trying.iter().find(lost).map(|attempt| attempt.number) {
            self.attempt_failed(from, number, DialFailure::Other);
        }
    }

    /// A session's dial has led to it.
    pub(crate) fn end_dial(&mut self, from: End) -> Option<Pending> {
        self.dials.remove(&from).filter(|_| self.is_life(from))
    }

    fn give_up_dial(&mut self, from: End) {
        let Some(Pending { purpose, failures, .. }) = self.dials.remove(&from) else {
            return;
        };
        if !self.is_life(from) {
            return;
        }
        if let Purpose::Pipe { peer, own } = purpose {
            return match own {
                true => self.open_pipe_on_what_is_up(from, peer),
                false => self.pipe_failed(from.peer, peer),
            };
        }
        let input = match purpose {
            Purpose::Session { .. } | Purpose::Verify { .. } => Input::DialFailed {
                peer: purpose.peer(),
                failures,
            },
            Purpose::Request { .. } | Purpose::Pipe { .. } => Input::RequestFailed {
                request: RequestId(from.number),
                failures,
            },
        };
        self.input(from.peer, input);
    }
}
