//! Which session carries the link: founded, resumed, or moved.
//!
//! After every change about the sessions with a peer both ends come here and, from the same two `Hello`s per session, to the same answer
//! (see `session` for the rules).

use libp2p_identity::PeerId;

use super::link::Founding;
use super::operations::Operations;
use super::session::{agreed_instance, link_key};
use super::{Due, Link, Links, Output};
use crate::message::{Farewell, LinkInstance};
use crate::{DownReason, Event, LinkId, Opener, Rule, Session, Time};

impl Links {
    /// Decides which session carries the link, after anything changed about the sessions with this peer.
    pub(super) fn settle(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        let us = self.peer;
        let best = self
            .sessions_of(&peer)
            .filter_map(|(session, open)| Some((open.rank(&us)?, session)))
            .max();
        let Some((_, best)) = best else {
            if !Rule::AwaitedHello.holds()
                && let Some(id) = self.by_peer(&peer).map(Link::id)
            {
                self.doubt(id, out);
            }
            if self.sessions_of(&peer).next().is_none() {
                self.without_session(now, peer, out);
            }
            return;
        };
        let waits = self.sessions.get(&best).is_some_and(|best| {
            self.sessions_of(&peer)
                .any(|(_, open)| open.theirs.is_none() && open.would_beat(best, &us))
        });
        let carrying = self.by_peer(&peer).and_then(|link| link.session);
        if carrying == Some(best) {
            self.close_others(best, out);
        } else if !waits || !Rule::AwaitedSession.holds() {
            self.adopt(now, best, out);
        }
    }

    /// From now on this session carries the link of its peer.
    pub(super) fn adopt(&mut self, now: Time, session: Session, out: &mut Vec<Output>) {
        let Some(open) = self.sessions.get(&session) else {
            return;
        };
        let Some(theirs) = &open.theirs else { return };
        let peer = open.peer;
        let instance = agreed_instance(&self.peer, open, theirs);
        let known = self.by_peer(&peer).map(|link| (link.id, link.instance));
        let link = match known {
            Some((link, known)) if known == instance => link,
            other => {
                if let Some((link, _)) = other {
                    self.remove_link(now, link, DownReason::Reset, out);
                }
                if self.is_full(&peer) {
                    return self.turn_away(now, session, Farewell::Busy, out);
                }
                self.found(now, session, instance, out)
            }
        };
        self.close_others(session, out);
        self.carry(now, session, link, out);
    }

    fn is_full(&self, peer: &PeerId) -> bool {
        self.links.len() >= self.config.max_links && !self.remotes.get(peer).is_some_and(|remote| remote.wanted)
    }

    fn found(&mut self, now: Time, session: Session, instance: LinkInstance, out: &mut Vec<Output>) -> LinkId {
        self.last_link += 1;
        let id = LinkId(self.last_link);
        let Some((open, theirs)) = self
            .sessions
            .get(&session)
            .and_then(|open| Some((open, open.theirs.as_ref()?)))
        else {
            return id;
        };
        let (peer, opener, incarnation) = (open.peer, open.opener, theirs.incarnation);
        let key = link_key(&self.peer, &peer, (&self.share(&peer), &theirs.share), instance);
        let remote = self.remotes.entry(peer).or_default();
        remote.requested = false;
        let founding = Founding {
            id,
            peer,
            instance,
            incarnation,
            wanted_by_us: remote.wanted,
            operations: Operations::new(self.config.operation_window, self.config.max_operations),
        };
        self.links.insert(id, Box::new(Link::new(now, founding)));
        self.by_peer.insert(peer, id);
        self.rota.insert(id, &mut self.rng);
        self.deadlines.set(Due::Alive(id), now + self.config.link_lifetime());
        self.neighbours_changed(now);
        self.hurry_turn(now);
        out.push(Output::Event(Event::LinkUp { link: id, peer, key }));
        let asks = match opener {
            Opener::Them => Rule::DialBack.holds(),
            Opener::Us => Rule::EveryListedAddress.holds(),
        };
        if asks {
            self.dial_back(peer, out);
        }
        id
    }

    /// Takes in what the `Hello` says, replays what it does not know, and asks for a sign of life: the first sample of a new link, the end
    /// of the doubt about an old one.
    fn carry(&mut self, now: Time, session: Session, id: LinkId, out: &mut Vec<Output>) {
        let (Some(open), Some(link)) = (self.sessions.get_mut(&session), self.links.get_mut(&id)) else {
            return;
        };
        let Some(theirs) = &mut open.theirs else { return };
        link.session = Some(session);
        link.joined = theirs.joined;
        link.wanted_by_them = theirs.wanted;
        if !theirs.neighbours.is_empty() {
            link.neighbours = std::mem::take(&mut theirs.neighbours);
        }
        link.neighbours_told = open.neighbours;
        link.pings.forget();
        self.silent_together |= std::mem::take(&mut link.retries) > 0;
        let told_all = link.neighbours_told == self.neighbours;
        self.deadlines.cancel(Due::Answer(id));
        // What it counted of another link says nothing about this one.
        let resumes = theirs.resume == Some(link.instance) || !Rule::ReceivedOfTheInstance.holds();
        let received = if resumes { theirs.received } else { 0 };
        if link.operations.resume(received).is_err() {
            return self.violated(now, session, "acknowledges what was never sent", out);
        }
        if !told_all {
            self.neighbours_changed_since(now);
        }
        self.send_ping(now, id, out);
        self.pump(now, id, out);
        self.review_need(now, id);
    }

    fn close_others(&mut self, kept: Session, out: &mut Vec<Output>) {
        let Some(peer) = self.sessions.get(&kept).map(|open| open.peer) else {
            return;
        };
        let others: Vec<Session> = self
            .sessions_of(&peer)
            .filter(|(session, open)| *session != kept && open.theirs.is_some())
            .map(|(session, _)| session)
            .collect();
        for session in others {
            self.close(session, out);
        }
    }
}
