//! What can be seen of a run from outside: the raw material of traces and checkers.
//!
//! A [`World`] that is observed keeps a log; whoever observes takes it away after each step, so that it never grows.

use fatebound_machine::overlay::Time;
use fatebound_machine::{Command, Event, fng, process_groups};

use crate::PeerIndex;
use crate::world::World;

/// Something that happened at the boundary of a peer.
#[derive(Clone, Debug)]
pub enum Observation {
    /// A peer handed bytes to the network. Only when messages are observed too.
    Sent {
        /// The sender.
        from: PeerIndex,
        /// The receiver.
        to: PeerIndex,
        /// What.
        words: Words,
    },
    /// Bytes reached a peer's process. Only when messages are observed too.
    Arrived {
        /// The sender.
        from: PeerIndex,
        /// The receiver.
        to: PeerIndex,
        /// What.
        words: Words,
    },
    /// A peer told its application something.
    Told {
        /// Which peer.
        peer: PeerIndex,
        /// What.
        event: Event,
    },
    /// An application gave its running peer an order.
    Ordered {
        /// Which peer.
        peer: PeerIndex,
        /// What.
        command: Command,
    },
    /// Somebody disturbed the world: a method such as [`World::crash`] was called.
    Disturbed(Disturbance),
}

impl Observation {
    /// What a peer told its application about groups, if this is such a word.
    pub fn of_groups(&self) -> Option<(PeerIndex, &fng::Event)> {
        match self {
            Observation::Told {
                peer,
                event: Event::Group(event),
            } => Some((*peer, event)),
            _ => None,
        }
    }
}

impl Observation {
    /// What a peer told its application about process groups, if this is such a word.
    pub fn of_process_groups(&self) -> Option<(PeerIndex, &process_groups::Event)> {
        match self {
            Observation::Told {
                peer,
                event: Event::Cluster(event),
            } => Some((*peer, event)),
            _ => None,
        }
    }
}

/// Encoded words between two peers, or between their hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// A frame of a session.
    Frame(Vec<u8>),
    /// A one-shot question.
    Request(Vec<u8>),
    /// A one-shot answer.
    Response(Vec<u8>),
    /// A frame of a pipe.
    Pipe(Vec<u8>),
    /// What the hosts below the peers say to each other about connections.
    Host(Signal),
}

/// What a host says to another, below all protocol of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It dials, for a session or a question.
    Dial,
    /// It opens another session on a connection that is up.
    Open,
    /// It dials to prove an address.
    Verify,
    /// It accepts what was dialled or opened.
    Accept,
    /// It does not.
    Refuse,
    /// It closes a session.
    Close,
    /// It opens a stream for a pipe.
    OpenPipe,
    /// It closes one.
    ClosePipe,
    /// It closes the connection, with all that ran over it.
    HangUp,
    /// It knows no such connection.
    Reset,
}

/// What ended, started, or stopped, as far as the promises care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// A life of this peer began.
    Started(PeerIndex),
    /// It ended: crashed or vanished.
    Ended(PeerIndex),
    /// Its process was stopped.
    Paused(PeerIndex),
    /// Its process goes on.
    Resumed(PeerIndex),
    /// Something about the network changed.
    Network,
}

/// How much is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    /// Events, orders and disturbances.
    Events,
    /// These, and every message.
    Messages,
}

impl World {
    /// Keeps a log from now on.
    pub fn observe(&mut self, what: Observe) {
        self.observing = Some(what);
    }

    /// What was seen since the last call, in order.
    pub fn take_observations(&mut self) -> Vec<(Time, Observation)> {
        std::mem::take(&mut self.observations)
    }

    pub(crate) fn saw(&mut self, observation: impl FnOnce() -> Observation) {
        if self.observing.is_some() {
            self.observations.push((self.now, observation()));
        }
    }

    /// A host says something to another.
    pub(crate) fn saw_sent(&mut self, from: PeerIndex, to: PeerIndex, signal: Signal) {
        if self.sees_messages() {
            let words = Words::Host(signal);
            self.saw(|| Observation::Sent { from, to, words });
        }
    }

    /// It has arrived.
    pub(crate) fn saw_arrived(&mut self, from: PeerIndex, to: PeerIndex, signal: Signal) {
        if self.sees_messages() {
            let words = Words::Host(signal);
            self.saw(|| Observation::Arrived { from, to, words });
        }
    }

    pub(crate) fn sees_messages(&self) -> bool {
        self.observing == Some(Observe::Messages)
    }
}
