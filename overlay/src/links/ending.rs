//! Every way in which a link goes down.
//!
//! "A side that declares a link down closes its session; frames of an old session are discarded" (protocol.md §4).

use fatebound_base::slim;
use libp2p_identity::PeerId;

use super::{Due, Link, Links, Output};
use crate::message::{Farewell, Message};
use crate::{DeathProof, DownReason, Event, LinkId, Rule, Session, Time};

/// After a farewell that will most likely be repeated, dials pause as if so many had failed.
const HOPELESS: u32 = 6;

impl Links {
    /// Ends a link from this end: says goodbye and closes all sessions with its peer.
    pub(super) fn take_down(
        &mut self,
        now: Time,
        id: LinkId,
        reason: DownReason,
        farewell: Farewell,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.by_id(id).map(Link::peer) else {
            self.counters.dropped += 1;
            return;
        };
        if Rule::ClosedSessions.holds() {
            self.part(&peer, Some(farewell), out);
        }
        self.remove_link(now, id, reason, out);
        self.after_link(now, peer, farewell);
    }

    /// The other end's last frame.
    pub(super) fn on_goodbye(&mut self, now: Time, session: Session, farewell: Farewell, out: &mut Vec<Output>) {
        let Some(peer) = self.sessions.get(&session).map(|open| open.peer) else {
            return;
        };
        if farewell == Farewell::Shutdown {
            self.part(&peer, None, out);
            return self.dead(now, peer, DeathProof::Goodbye, out);
        }
        if farewell == Farewell::Twin {
            self.on_twin(now, peer);
        }
        let link = self
            .by_peer(&peer)
            .filter(|link| link.session == Some(session))
            .map(Link::id);
        if let Some(id) = link {
            self.part(&peer, None, out);
            self.counters.links_lost += u64::from(farewell != Farewell::Unneeded);
            self.remove_link(now, id, DownReason::Closed, out);
            return self.after_link(now, peer, farewell);
        }
        if matches!(farewell, Farewell::WrongNetwork | Farewell::NoSharedVersion) {
            self.hopeless(peer);
        }
        self.close(session, out);
        self.settle(now, peer, out);
    }

    /// It belongs to another network, or speaks no version of ours: dialled as rarely as one that has failed often.
    pub(super) fn hopeless(&mut self, peer: PeerId) {
        if let Some(remote) = self.remotes.get_mut(&peer) {
            let tries = if !Rule::HopelessDials.holds() { 1 } else { HOPELESS };
            remote.tries = remote.tries.max(tries);
        }
    }

    /// "◆ Who sees two lives of a peer take turns keeps both away." Says whether they do.
    pub(super) fn take_turns(&mut self, now: Time, peer: PeerId, lives: (u64, u64), out: &mut Vec<Output>) -> bool {
        let pauses = (self.config.link_lifetime(), self.config.link_lifetime() * 64);
        let Some(until) = self.twins.takes_over(now, peer, lives, pauses) else {
            return false;
        };
        self.counters.twins += 1;
        tracing::warn!(%peer, pause = ?until.since(now), "two living processes use one identity and take turns: is it a copied data directory? Neither is let in for a while");
        self.part(&peer, Some(Farewell::Twin), out);
        if let Some(id) = self.by_peer(&peer).map(Link::id) {
            out.push(Output::Event(Event::PeerDead {
                peer,
                proof: DeathProof::Restarted,
            }));
            self.remove_link(now, id, DownReason::Dead(DeathProof::Restarted), out);
        }
        out.push(Output::Unreachable { peer });
        self.after_link(now, peer, Farewell::Twin);
        true
    }

    /// Another process uses our identity: said once in a while.
    fn on_twin(&mut self, now: Time, from: PeerId) {
        let pause = self.config.link_lifetime();
        if self.twin.is_none_or(|at| now.since(at) >= pause) {
            self.twin = Some(now);
            self.counters.twins += 1;
            tracing::error!(peer = %from, "another living process uses the identity of this node: is its data directory a copy? A neighbour has let in neither for a while");
        }
        if let Some(remote) = self.remotes.get_mut(&from) {
            remote.tries = remote.tries.max(HOPELESS);
        }
    }

    /// The life of this peer is over, and that is proven.
    pub(super) fn dead(&mut self, now: Time, peer: PeerId, proof: DeathProof, out: &mut Vec<Output>) {
        self.contacts.forget(&peer);
        out.push(Output::Event(Event::PeerDead { peer, proof }));
        if let Some(id) = self.by_peer(&peer).map(Link::id) {
            self.part(&peer, None, out);
            self.remove_link(now, id, DownReason::Dead(proof), out);
            return self.after_link(now, peer, Farewell::Shutdown);
        }
        self.without_session(now, peer, out);
    }

    /// The other end of this session broke the protocol: so its link ends, whatever session that was.
    pub(super) fn violated(&mut self, now: Time, session: Session, what: &'static str, out: &mut Vec<Output>) {
        let Some(peer) = self.sessions.get(&session).map(|open| open.peer) else {
            return;
        };
        match self.by_peer(&peer).map(Link::id) {
            Some(link) => self.on_violation(now, link, what, out),
            None => {
                tracing::warn!(%peer, what, "closing a session: its other end broke the protocol before there was a link");
                self.turn_away(now, session, Farewell::Violation, out);
            }
        }
    }

    pub(super) fn on_violation(&mut self, now: Time, id: LinkId, what: &'static str, out: &mut Vec<Output>) {
        if let Some(link) = self.by_id(id) {
            tracing::warn!(peer = %link.peer(), what, "closing a link: its other end broke the protocol");
        }
        self.take_down(now, id, DownReason::Violation, Farewell::Violation, out);
    }

    /// Refuses a session that carries no link.
    pub(super) fn turn_away(&mut self, now: Time, session: Session, farewell: Farewell, out: &mut Vec<Output>) {
        let message = Message::Goodbye(farewell);
        out.push(Output::Send { session, message });
        if let Some(peer) = self.close(session, out) {
            self.settle(now, peer, out);
        }
    }

    /// "A link that neither end wants, without paths": it may stay for a grace of four `ping_timeout`s, in which a path may find it.
    pub(super) fn review_need(&mut self, now: Time, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        if link.idle() {
            self.deadlines
                .set_earlier(Due::Unneeded(id), now + self.config.ping_timeout * 4);
        } else {
            self.deadlines.cancel(Due::Unneeded(id));
        }
    }

    pub(super) fn on_unneeded(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        if self.by_id(id).is_some_and(Link::idle) {
            self.take_down(now, id, DownReason::Unneeded, Farewell::Unneeded, out);
        }
    }

    /// "Says goodbye on its links: nobody waits for a time limit" (protocol.md §6, Shutdown).
    pub(super) fn on_shutdown(&mut self, out: &mut Vec<Output>) {
        self.stopped = true;
        for &session in self.sessions.keys() {
            let message = Message::Goodbye(Farewell::Shutdown);
            out.push(Output::Send { session, message });
            out.push(Output::Disconnect { session });
        }
        for link in self.links.values() {
            out.push(Output::Event(Event::LinkDown {
                link: link.id,
                peer: link.peer,
                reason: DownReason::Shutdown,
            }));
        }
        self.sessions.clear();
        self.links.clear();
        self.by_peer.clear();
        self.remotes.clear();
        self.deadlines = crate::Deadlines::default();
        self.redials = crate::Deadlines::default();
        out.push(Output::Event(Event::Stopped));
    }

    /// Closes all sessions with a peer.
    fn part(&mut self, peer: &PeerId, farewell: Option<Farewell>, out: &mut Vec<Output>) {
        let sessions = self
            .remotes
            .get_mut(peer)
            .map(|remote| std::mem::take(&mut remote.sessions));
        for session in sessions.unwrap_or_default() {
            if let Some(farewell) = farewell {
                let message = Message::Goodbye(farewell);
                out.push(Output::Send { session, message });
            }
            self.close(session, out);
        }
    }

    /// Takes a link out of everything and reports it; its sessions are the caller's business.
    pub(super) fn remove_link(&mut self, now: Time, id: LinkId, reason: DownReason, out: &mut Vec<Output>) {
        let Some(link) = self.links.shift_remove(&id) else {
            return;
        };
        slim::index_map(&mut self.links);
        self.by_peer.remove(&link.peer);
        slim::map(&mut self.by_peer);
        self.rota.remove(id);
        for due in [Due::Answer(id), Due::Announced(id), Due::Unneeded(id), Due::Alive(id)] {
            self.deadlines.cancel(due);
        }
        self.counters.links_lost += u64::from(is_loss(reason));
        self.neighbours_changed(now);
        let peer = link.peer;
        out.push(Output::Event(Event::LinkDown { link: id, peer, reason }));
    }

    /// A link is gone and its sessions are closed: try again if the ring wants the peer, but not soon if it cannot work.
    fn after_link(&mut self, now: Time, peer: PeerId, farewell: Farewell) {
        let Some(remote) = self.remotes.get_mut(&peer) else {
            return;
        };
        let tries = match farewell {
            Farewell::Twin | Farewell::NoSharedVersion => HOPELESS,
            Farewell::Violation | Farewell::WrongNetwork | Farewell::Busy if Rule::HopelessDials.holds() => HOPELESS,
            Farewell::Violation | Farewell::WrongNetwork | Farewell::Busy => 1,
            Farewell::Shutdown | Farewell::Unneeded | Farewell::GaveUp | Farewell::Newer(_) => 1,
        };
        remote.tries = remote.tries.max(tries);
        if remote.wanted {
            self.redial_later(now, peer);
        } else {
            self.tidy(&peer);
        }
    }
}

/// Whether a link that goes down for this reason counts as lost: neither end has stopped or found it unneeded. What [`DownReason::Closed`]
/// means, the farewell says.
fn is_loss(reason: DownReason) -> bool {
    !matches!(
        reason,
        DownReason::Unneeded | DownReason::Closed | DownReason::Shutdown | DownReason::Dead(DeathProof::Goodbye)
    )
}
