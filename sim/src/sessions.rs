//! Sessions: streams of frames on connections.
//!
//! Whoever opens one says its own number for it; the acceptor has its half from then on and may speak at once, the opener when it hears so. A
//! frame for a session that is no more is answered like any unknown stream: closed.

use fatebound_machine::Input;
use fatebound_machine::overlay::{DisconnectCause, Opener, Session};

use crate::PeerIndex;
use crate::cargo::Cargo;
use crate::carriage::End;
use crate::connections::{At, ConnectionId};
use crate::world::World;

/// One end's half of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half {
    /// The other end's number.
    pub(crate) other: End,
    /// This end of the connection under it.
    pub(crate) at: At,
    /// Whether its first frame was sent: nothing overtakes that.
    begun: bool,
}

impl World {
    pub(crate) fn send(&mut self, index: PeerIndex, session: Session, frame: Vec<u8>, urgent: bool) {
        let back = self.end_of(index, session.0);
        let Some(half) = self.sessions.get_mut(&back) else {
            return;
        };
        let first = !std::mem::replace(&mut half.begun, true);
        let (to, at) = (half.other, half.at);
        if !self.ship(at, Cargo::Frame { to, back, frame }, urgent || first) {
            self.overflow(back);
        }
    }

    /// As the driver does when a send queue is full: the session is dropped with all that waits.
    fn overflow(&mut self, end: End) {
        let Some(half) = self.sessions.remove(&end) else { return };
        self.retain_queue(
            half.at,
            |cargo| !matches!(cargo, Cargo::Frame { back, .. } if *back == end),
        );
        // There is room again.
        let _ = self.put(half.at, Cargo::Closed { to: half.other }, true);
        self.watch_idleness(half.at);
        let (session, cause) = (Session(end.number), DisconnectCause::Overflow);
        self.input(end.peer, Input::Disconnected { session, cause });
    }

    pub(crate) fn disconnect(&mut self, index: PeerIndex, session: Session) {
        let end = self.end_of(index, session.0);
        if let Some(half) = self.sessions.remove(&end) {
            self.ship(half.at, Cargo::Closed { to: half.other }, false);
            self.watch_idleness(half.at);
        }
    }

    /// Asks the other end for a session on this connection.
    pub(crate) fn open_on(&mut self, dial: End, at: At) {
        let opener = self.new_session(dial.peer);
        self.ship(at, Cargo::Open { dial, opener }, false);
    }

    pub(crate) fn on_open(&mut self, at: At, dial: End, opener: End) {
        let Some(peer) = self.connections.side(at).map(|side| side.peer) else {
            return;
        };
        let acceptor = self.new_session(peer);
        self.ship(at, Cargo::Opened { dial, opener, acceptor }, false);
        self.begin(at, acceptor, opener, Opener::Them);
    }

    pub(crate) fn on_opened(&mut self, at: At, dial: End, opener: End, acceptor: End) {
        if self.end_dial(dial).is_some() {
            self.begin(at, opener, acceptor, Opener::Us);
        } else {
            self.ship(at, Cargo::Closed { to: acceptor }, false);
        }
    }

    fn begin(&mut self, at: At, ours: End, theirs: End, opener: Opener) {
        let half = Half {
            other: theirs,
            at,
            begun: false,
        };
        self.sessions.insert(ours, half);
        // Where we have dialled the connection, we know where the other one lives, whoever opened the session.
        let connection = self.connections.get(at.connection);
        let address = connection
            .filter(|_| at.side == 0)
            .map(|connection| connection.address.clone());
        let input = Input::Connected {
            session: Session(ours.number),
            peer: self.id(theirs.peer),
            opener,
            address,
        };
        self.feed(ours.peer, input);
    }

    pub(crate) fn on_frame(&mut self, at: At, to: End, back: End, frame: Vec<u8>) {
        if self.sessions.contains_key(&to) && self.is_life(to) {
            let session = Session(to.number);
            self.feed(to.peer, Input::Received { session, frame });
        } else {
            self.ship(at, Cargo::Closed { to: back }, false);
        }
    }

    /// An end of a session learns that it is no more.
    pub(crate) fn lose(&mut self, end: End) {
        let Some(half) = self.sessions.remove(&end) else { return };
        self.watch_idleness(half.at);
        if self.is_life(end) {
            let (session, cause) = (Session(end.number), DisconnectCause::Lost);
            self.input(end.peer, Input::Disconnected { session, cause });
        }
    }

    /// All streams of a peer on this end of a connection are over.
    pub(crate) fn break_streams(&mut self, at: At, peer: PeerIndex) {
        let id = at.connection;
        let sessions: Vec<End> = self.ends_on(&id, peer);
        let requests = self.requests.of(peer).filter(|(_, asking)| asking.at.connection == id);
        let requests: Vec<End> = requests.map(|(end, _)| end).collect();
        let dials = self.dials.of(peer).filter(|(_, pending)| pending.uses(id));
        let dials: Vec<End> = dials.map(|(end, _)| end).collect();
        for end in sessions {
            self.lose(end);
        }
        let pipes = self.pipes.of(peer).filter(|(_, half)| half.at.connection == id);
        for end in pipes.map(|(end, _)| end).collect::<Vec<_>>() {
            self.lose_pipe(end);
        }
        for end in requests {
            self.request_failed(end, Vec::new());
        }
        for end in dials {
            self.dial_lost(end, id);
        }
        let asked = self.asked.of(peer).filter(|(_, asked)| asked.at.connection == id);
        for end in asked.map(|(end, _)| end).collect::<Vec<_>>() {
            self.asked.remove(&end);
        }
    }

    fn ends_on(&self, connection: &ConnectionId, peer: PeerIndex) -> Vec<End> {
        let sessions = self.sessions.of(peer);
        sessions
            .filter(|(_, half)| half.at.connection == *connection)
            .map(|(end, _)| end)
            .collect()
    }

    /// The newest open session of one peer with another: its end, and where.
    pub(crate) fn session_between(&self, from: PeerIndex, to: PeerIndex) -> Option<(End, Half)> {
        let sessions = self.sessions.of(from).filter(|(_, half)| half.other.peer == to);
        sessions.last().map(|(end, half)| (end, *half))
    }
}
