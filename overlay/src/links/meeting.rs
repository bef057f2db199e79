//! A session opens, `Hello`s cross, and each end learns who the other is and which sessions it holds open. What follows is settled in
//! `settling`.

use fatebound_base::slim;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::contacts::bare;
use super::session::{Greeting, OpenSession};
use super::{Due, Link, Links, MAX_NEIGHBOURS, Output};
use crate::message::{Farewell, Hello, LinkTimes, Message};
use crate::{DeathProof, DialFailure, DisconnectCause, DownReason, Event, Foreign, Opener, Rule, Session, Time};

/// Sessions with one peer at most; then the oldest ones that had no `Hello` are closed.
pub(super) const MAX_SESSIONS: usize = 3;

/// Sessions that a `Hello` may list; more than any honest peer holds open.
pub(super) const MAX_LISTED: usize = 16;

/// Peers of other times that are told apart: 256; of the oldest it would be said again.
pub(super) const MAX_UNLIKE: usize = 256;

impl Links {
    /// Either end sends its `Hello` at once.
    pub(super) fn on_connected(
        &mut self,
        now: Time,
        session: Session,
        peer: PeerId,
        (opener, address): (Opener, Option<Multiaddr>),
        out: &mut Vec<Output>,
    ) {
        if peer == self.peer {
            return met_ourselves(session, address, out);
        }
        if self.is_crowded() && !self.is_expected(&peer, opener) {
            self.counters.dropped += 1;
            return out.push(Output::Disconnect { session });
        }
        if opener == Opener::Us
            && let Some(stuck) = self
                .by_peer(&peer)
                .filter(|link| link.stuck())
                .and_then(|link| link.session)
        {
            self.close(stuck, out);
        }
        self.make_room(&peer, out);
        self.last_number += 1;
        let open = self.open_numbers(&peer);
        let link = self.by_peer(&peer);
        let opened = OpenSession {
            peer,
            opener,
            address: address.as_ref().map(bare),
            number: self.last_number,
            resume: link.map(|link| link.instance),
            open,
            neighbours: self.neighbours,
            theirs: None,
        };
        let hello = Message::Hello(Box::new(self.hello(&opened)));
        let remote = self.remotes.entry(peer).or_default();
        remote.sessions.push(session);
        if opener == Opener::Us {
            remote.dialing = None;
            self.redials.cancel(peer);
        }
        self.sessions.insert(session, Box::new(opened));
        self.deadlines
            .set(Due::Hello(session), now + self.config.ping_timeout * 3);
        out.push(Output::Send {
            session,
            message: hello,
        });
    }

    fn is_crowded(&self) -> bool {
        self.sessions.len() >= self.strangers_sessions()
    }

    /// Strangers cannot make us hold more than this many streams.
    pub(super) fn strangers_sessions(&self) -> usize {
        2 * self.config.max_links + 64
    }

    /// Whether a session is one of those that strangers must not keep out: we opened it, or we have something to do with its peer. Of these
    /// there are no more than our own dials and links let come, [`MAX_SESSIONS`] for each peer.
    fn is_expected(&self, peer: &PeerId, opener: Opener) -> bool {
        let remote = self.remotes.get(peer);
        opener == Opener::Us
            || self.by_peer.contains_key(peer)
            || remote.is_some_and(|remote| remote.wanted || remote.requested)
    }

    fn hello(&self, session: &OpenSession) -> Hello {
        let link = self.by_peer(&session.peer);
        Hello {
            versions: self.config.versions,
            network: self.config.network.clone(),
            incarnation: self.incarnation,
            number: session.number,
            open: session.open.clone(),
            resume: session.resume,
            received: link.map_or(0, |link| link.operations.received()),
            share: self.share(&session.peer),
            wanted: self.remotes.get(&session.peer).is_some_and(|remote| remote.wanted),
            joined: self.joined,
            times: self.config.link_times(),
            record: self.record.clone(),
            neighbours: self.neighbour_list(),
            more: Vec::new(),
        }
    }

    /// Our share of the keys of all links with this peer in this life; the instance makes each link's key its own.
    pub(super) fn share(&self, peer: &PeerId) -> [u8; 16] {
        let mut share = [0; 16];
        share.copy_from_slice(&blake3::keyed_hash(&self.secret, &peer.to_bytes()).as_bytes()[..16]);
        share
    }

    pub(super) fn neighbour_list(&self) -> Vec<PeerId> {
        self.iter().map(Link::peer).take(MAX_NEIGHBOURS).collect()
    }

    fn open_numbers(&self, peer: &PeerId) -> Vec<u64> {
        self.sessions_of(peer).map(|(_, open)| open.number).collect()
    }

    /// The open sessions with a peer, the oldest first.
    pub(super) fn sessions_of(&self, peer: &PeerId) -> impl Iterator<Item = (Session, &OpenSession)> {
        let sessions = self.remotes.get(peer).map_or(&[][..], |remote| &remote.sessions);
        sessions
            .iter()
            .filter_map(|session| Some((*session, &**self.sessions.get(session)?)))
    }

    fn make_room(&mut self, peer: &PeerId, out: &mut Vec<Output>) {
        while self.sessions_of(peer).count() >= MAX_SESSIONS {
            let carrying = self.by_peer(peer).and_then(|link| link.session);
            let oldest = self
                .sessions_of(peer)
                .filter(|(session, _)| Some(*session) != carrying)
                .min_by_key(|(_, open)| (open.theirs.is_some(), open.number));
            let Some((oldest, _)) = oldest else { return };
            self.close(oldest, out);
        }
    }

    pub(super) fn on_no_hello(&mut self, now: Time, session: Session, out: &mut Vec<Output>) {
        if let Some(peer) = self.close(session, out) {
            self.settle(now, peer, out);
        }
    }

    /// The other end's `Hello`: who is it, which of its sessions are open, what does it remember?
    pub(super) fn on_hello(&mut self, now: Time, session: Session, mut hello: Box<Hello>, out: &mut Vec<Output>) {
        let Some(open) = self.sessions.get(&session) else {
            return;
        };
        let (peer, ours, address) = (open.peer, open.number, open.address.clone());
        if open.theirs.is_some() {
            return self.violated(now, session, "a second Hello", out);
        }
        if let Some((theirs, farewell)) = self.foreign(&hello) {
            self.hopeless(peer);
            out.push(Output::Event(Event::Foreigner { peer, theirs, address }));
            return self.turn_away(now, session, farewell, out);
        }
        if !hello.record.verify(self.identity.scheme()) || !self.acceptable(&peer, &hello) {
            return self.violated(now, session, "a malformed Hello", out);
        }
        hello.neighbours.truncate(MAX_NEIGHBOURS);
        self.deadlines.cancel(Due::Hello(session));
        if !self.same_life(now, session, ours, hello.incarnation, out) {
            return;
        }
        self.compare_times(peer, hello.times);
        self.prove_life(&peer, address.as_ref(), &hello);
        if self.close_unlisted(session, &hello, out) {
            self.introduce(session, *hello, out);
        }
        self.settle(now, peer, out);
    }

    /// "Overlays of different names part here", and so do peers that share no version.
    fn foreign(&self, hello: &Hello) -> Option<(Foreign, Farewell)> {
        if self.config.versions.shared(hello.versions).is_none() {
            return Some((Foreign::Versions(hello.versions), Farewell::NoSharedVersion));
        }
        let other = hello.network != self.config.network;
        other.then(|| (Foreign::Network(hello.network.clone()), Farewell::WrongNetwork))
    }

    /// "The times of all peers of an overlay have to be the same": other ones are said and counted, once for each peer.
    fn compare_times(&mut self, peer: PeerId, theirs: LinkTimes) {
        let ours = self.config.link_times();
        if ours == theirs {
            self.unlike.swap_remove(&peer);
        } else if self.unlike.insert(peer) {
            self.counters.unlike += 1;
            tracing::warn!(%peer, ?ours, ?theirs, "a peer keeps other times: all nodes of an overlay need the same profile");
        }
        if self.unlike.len() > MAX_UNLIKE {
            self.unlike.shift_remove_index(0);
        }
    }

    /// Where we dialled this session, this very life has answered.
    fn prove_life(&mut self, peer: &PeerId, dialled: Option<&Multiaddr>, hello: &Hello) {
        let listed: Vec<Multiaddr> = hello.record.record().addresses.iter().map(bare).collect();
        self.contacts.lives(peer, hello.incarnation, &listed, dialled);
    }

    fn acceptable(&self, peer: &PeerId, hello: &Hello) -> bool {
        let known = self.sessions_of(peer).filter_map(|(_, open)| open.theirs.as_ref());
        let repeated = known
            .into_iter()
            .any(|other| other.number == hello.number && other.incarnation == hello.incarnation);
        hello.open.len() <= MAX_LISTED && !repeated && hello.record.record().peer == *peer
    }

    /// "It comes back with another incarnation": then the life that we knew is over. `false`: this `Hello` is of a life before the one that
    /// we know, left over in a buffer.
    fn same_life(&mut self, now: Time, session: Session, ours: u64, incarnation: u64, out: &mut Vec<Output>) -> bool {
        let Some(peer) = self.sessions.get(&session).map(|open| open.peer) else {
            return false;
        };
        if self.twins.barred(now, &peer).is_some() {
            self.turn_away(now, session, Farewell::Twin, out);
            return false;
        }
        let remote = self.remotes.entry(peer).or_default();
        match remote.life {
            Some((known, _)) if known == incarnation => return true,
            Some((_, since)) if ours < since => {
                self.close(session, out);
                self.settle(now, peer, out);
                return false;
            }
            _ => {}
        }
        let before = remote.life.replace((incarnation, ours));
        remote.newest = None;
        if let Some((old, _)) = before
            && self.take_turns(now, peer, (old, incarnation), out)
        {
            return false;
        }
        let old: Vec<Session> = self
            .sessions_of(&peer)
            .filter(|(_, open)| open.theirs.is_some())
            .map(|(session, _)| session)
            .collect();
        for session in old {
            self.close(session, out);
        }
        if let Some(link) = self.by_peer(&peer).map(Link::id) {
            out.push(Output::Event(Event::PeerDead {
                peer,
                proof: DeathProof::Restarted,
            }));
            self.remove_link(now, link, DownReason::Dead(DeathProof::Restarted), out);
        }
        true
    }

    /// ◆ A session that a later `Hello` does not list is closed at its sender. `false`: the one of this `Hello` is itself such a session.
    fn close_unlisted(&mut self, session: Session, hello: &Hello, out: &mut Vec<Output>) -> bool {
        if !Rule::OpenList.holds() {
            return true;
        }
        let Some(peer) = self.sessions.get(&session).map(|open| open.peer) else {
            return false;
        };
        let closed: Vec<Session> = self
            .sessions_of(&peer)
            .filter(|(_, open)| {
                let theirs = open.theirs.as_ref().map(|theirs| theirs.number);
                theirs.is_some_and(|number| number < hello.number && !hello.open.contains(&number))
            })
            .map(|(session, _)| session)
            .collect();
        // Closed there, and we were not told.
        self.silent_together |= !closed.is_empty();
        for session in closed {
            self.close(session, out);
        }
        let remote = self.remotes.entry(peer).or_default();
        if let Some((newest, listed)) = &remote.newest
            && hello.number < *newest
        {
            let open = listed.contains(&hello.number);
            if !open {
                self.close(session, out);
            }
            return open;
        }
        remote.newest = Some((hello.number, hello.open.clone()));
        true
    }

    fn introduce(&mut self, session: Session, hello: Hello, out: &mut Vec<Output>) {
        let Some(open) = self.sessions.get_mut(&session) else {
            return;
        };
        let remote = self.remotes.entry(open.peer).or_default();
        let addresses = &hello.record.record().addresses;
        remote.addresses = addresses.iter().take(self.config.max_addresses).map(bare).collect();
        open.theirs = Some(Box::new(Greeting::of(&hello)));
        out.push(Output::Met {
            record: hello.record,
            joined: hello.joined,
        });
    }

    /// The connection under a session broke, or the driver closed it.
    pub(super) fn on_disconnected(
        &mut self,
        now: Time,
        session: Session,
        cause: DisconnectCause,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.forget_session(session) else {
            self.counters.dropped += 1;
            return;
        };
        if cause == DisconnectCause::Garbage
            && let Some(link) = self.by_peer(&peer).map(Link::id)
        {
            return self.take_down(now, link, DownReason::Violation, Farewell::Violation, out);
        }
        self.settle(now, peer, out);
    }

    /// Closes a session from this end; the link, if it carried one, is left without.
    pub(super) fn close(&mut self, session: Session, out: &mut Vec<Output>) -> Option<PeerId> {
        let peer = self.forget_session(session)?;
        out.push(Output::Disconnect { session });
        Some(peer)
    }

    fn forget_session(&mut self, session: Session) -> Option<PeerId> {
        let open = self.sessions.swap_remove(&session)?;
        slim::index_map(&mut self.sessions);
        self.deadlines.cancel(Due::Hello(session));
        if let Some(remote) = self.remotes.get_mut(&open.peer) {
            remote.sessions.retain(|other| *other != session);
        }
        if let Some(link) = self.link_of(&open.peer)
            && link.session == Some(session)
        {
            link.session = None;
        }
        Some(open.peer)
    }
}

/// A bootstrap address that leads back to us is no use.
fn met_ourselves(session: Session, address: Option<Multiaddr>, out: &mut Vec<Output>) {
    out.push(Output::Disconnect { session });
    if let Some(address) = address {
        out.push(Output::BootstrapFailed {
            failures: vec![(address, DialFailure::WrongPeer)],
        });
    }
}
