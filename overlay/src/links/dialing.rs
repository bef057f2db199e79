//! Whom to dial, when and where; and what a dial that failed proves.
//!
//! One dial or session with a peer at a time. A link whose session broke is dialled at once, where its peer has answered before: there a
//! refusal is proof of death, anywhere else it is only a reason to try again later.

use std::time::Duration;

use fatebound_base::slim;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::RngExt;

use super::contacts::bare;
use super::{Due, Links, Output};
use crate::message::Farewell;
use crate::{DeathProof, DialFailure, DownReason, Event, LinkId, Rule, Session, Time};

/// No dial of any driver takes longer; one that has not ended by then is forgotten.
const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// What we have to do with one peer, linked or not.
#[derive(Debug, Default)]
pub(super) struct Remote {
    /// The ring wants it as a neighbour.
    pub(super) wanted: bool,
    /// A path asked for a link, once.
    pub(super) requested: bool,
    /// Where it says, or others say, that it lives.
    pub(super) addresses: Vec<Multiaddr>,
    /// What is open, the oldest first.
    pub(super) sessions: Vec<Session>,
    /// Where it is being dialled.
    pub(super) dialing: Option<Vec<Multiaddr>>,
    /// Dials since it last answered a ping.
    pub(super) tries: u32,
    /// Its incarnation, and our number of the session whose `Hello` told it first.
    pub(super) life: Option<(u64, u64)>,
    /// The greatest number of its `Hello`s, and what that one listed as open.
    pub(super) newest: Option<(u64, Vec<u64>)>,
}

impl Remote {
    /// Whether only a link can be a reason to remember it.
    pub(super) fn is_idle(&self) -> bool {
        !self.wanted && !self.requested && self.sessions.is_empty() && self.dialing.is_none()
    }
}

impl Links {
    pub(super) fn on_want(&mut self, now: Time, peer: PeerId, addresses: &[Multiaddr], out: &mut Vec<Output>) {
        if peer == self.peer {
            return;
        }
        self.remember(peer, addresses).wanted = true;
        if let Some(link) = self.link_of(&peer) {
            let news = !std::mem::replace(&mut link.wanted_by_us, true);
            let id = link.id;
            self.review_need(now, id);
            // Or the other end might say goodbye to a link that it thinks nobody wants.
            if news && Rule::ToldAtOnce.holds() {
                self.send_ping(now, id, out);
            }
        } else if self.redials.get(peer).is_none() {
            self.dial(now, peer, out);
        }
    }

    /// A link beyond the limit was founded because it was wanted; else whoever comes to stand near us for a moment would make us hold ever more.
    pub(super) fn on_unwant(&mut self, now: Time, peer: &PeerId, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get_mut(peer) else {
            return;
        };
        remote.wanted = false;
        if let Some(link) = self.link_of(peer) {
            link.wanted_by_us = false;
            let id = link.id;
            if self.links.len() > self.config.max_links {
                return self.take_down(now, id, DownReason::Unneeded, Farewell::Busy, out);
            }
            self.review_need(now, id);
        } else {
            self.tidy(peer);
        }
    }

    pub(super) fn on_link(&mut self, now: Time, peer: PeerId, addresses: &[Multiaddr], out: &mut Vec<Output>) {
        if peer == self.peer {
            return out.push(Output::Event(Event::LinkFailed { peer }));
        }
        if !self.by_peer.contains_key(&peer) {
            self.remember(peer, addresses).requested = true;
            self.dial(now, peer, out);
        }
    }

    fn remember(&mut self, peer: PeerId, addresses: &[Multiaddr]) -> &mut Remote {
        let remote = self.remotes.entry(peer).or_default();
        if !addresses.is_empty() {
            remote.addresses = addresses.iter().take(self.config.max_addresses).map(bare).collect();
        }
        remote
    }

    /// Dials unless a dial or a session is under way. The first dial for a broken link goes where a refusal is a proof.
    fn dial(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        let linked = self.by_peer.contains_key(&peer);
        let Some(remote) = self.remotes.get(&peer) else { return };
        if remote.sessions.is_empty() {
            let proven_only = linked && remote.tries == 0;
            self.connect(now, peer, proven_only, out);
        }
    }

    /// ◆ A session that misses an answer is replaced: another one is opened, and once that is there the old one is closed. (Otherwise, when
    /// streams break for one end each, both ends may be left with one that is dead at the other, and wait for `L`.) Once in a `ping_timeout`:
    /// should each new one be silent too, it is no storm.
    pub(super) fn dial_beside(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        let pause = self.config.ping_timeout;
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.beside.is_some_and(|at| now.since(at) < pause) {
            return;
        }
        link.beside = Some(now);
        let peer = link.peer;
        let expected = |session: &Session| self.sessions.get(session).is_some_and(|open| open.theirs.is_none());
        let remote = self.remotes.get(&peer);
        if remote.is_some_and(|remote| !remote.sessions.iter().any(expected)) {
            self.connect(now, peer, false, out);
        }
    }

    fn connect(&mut self, now: Time, peer: PeerId, proven_only: bool, out: &mut Vec<Output>) {
        let linked = self.by_peer.contains_key(&peer);
        let proven = self.contacts.proven(&peer).to_vec();
        if let Some(until) = self.twins.barred(now, &peer) {
            self.redials.set(peer, until);
            return;
        }
        let provable = proven_only && !proven.is_empty();
        let mut addresses = if provable { self.contacts.to_ask(&peer) } else { proven };
        let Some(remote) = self.remotes.get_mut(&peer).filter(|remote| remote.dialing.is_none()) else {
            return;
        };
        if !provable {
            for address in &remote.addresses {
                if !addresses.contains(address) {
                    addresses.push(address.clone());
                }
            }
        }
        remote.tries = remote.tries.saturating_add(1);
        remote.dialing = Some(addresses.clone());
        self.redials.set(peer, now + DIAL_LIMIT);
        out.push(Output::Connect {
            peer: Some(peer),
            // A link's redial must prove life or death; without an address only an existing connection can help.
            fresh: linked && !addresses.is_empty(),
            addresses,
        });
    }

    /// It is time to dial again; a dial that never ended is given up.
    pub(super) fn on_redial(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get_mut(&peer) else {
            return;
        };
        remote.dialing = None;
        if remote.wanted || remote.requested || self.by_peer.contains_key(&peer) {
            self.dial(now, peer, out);
        } else {
            self.tidy(&peer);
        }
    }

    pub(super) fn on_dial_failed(
        &mut self,
        now: Time,
        peer: Option<PeerId>,
        mut failures: Vec<(Multiaddr, DialFailure)>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = peer else {
            return out.push(Output::BootstrapFailed { failures });
        };
        for (address, _) in &mut failures {
            *address = bare(address);
        }
        let verification = self.verification_failed(peer, &failures, out);
        if self.refused_dead(now, peer, &failures, out) || verification {
            return;
        }
        // A failure that names other addresses belongs to somebody else's dial of this peer.
        let Some(remote) = self.remotes.get_mut(&peer) else {
            return;
        };
        let ours = |dialled: &Vec<Multiaddr>| failures.iter().all(|(address, _)| dialled.contains(address));
        if remote.dialing.as_ref().is_some_and(ours) {
            remote.dialing = None;
            self.redials.cancel(peer);
            self.without_session(now, peer, out);
        }
    }

    /// "A refused dial proves it dead: the connection broke, and an address where this very peer had itself completed an authenticated dial
    /// to this incarnation refuses." "◆ All of them, and all that its newest record lists, must have refused.".
    fn refused_dead(
        &mut self,
        now: Time,
        peer: PeerId,
        failures: &[(Multiaddr, DialFailure)],
        out: &mut Vec<Output>,
    ) -> bool {
        if self
            .remotes
            .get(&peer)
            .is_some_and(|remote| !remote.sessions.is_empty())
        {
            return false;
        }
        let refusals = failures.iter().filter(|(_, failure)| *failure == DialFailure::Refused);
        let dead = self.contacts.refuse(&peer, refusals.map(|(address, _)| address));
        if dead {
            if let Some(remote) = self.remotes.get_mut(&peer) {
                remote.dialing = None;
            }
            self.redials.cancel(peer);
            self.dead(now, peer, DeathProof::Refused, out);
        }
        dead
    }

    /// A session ended, or a dial: if nothing is left with this peer, its link is doubted and dialled again, and whoever waited for a link
    /// hears that there is none.
    pub(super) fn without_session(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get_mut(&peer) else {
            return;
        };
        if !remote.sessions.is_empty() {
            return;
        }
        if let Some(link) = self.by_peer.get(&peer) {
            return self.broken(now, *link, peer, out);
        }
        if remote.dialing.is_some() {
            return;
        }
        if std::mem::take(&mut remote.requested) {
            out.push(Output::Event(Event::LinkFailed { peer }));
        }
        if remote.wanted {
            out.push(Output::Unreachable { peer });
            self.redial_later(now, peer);
        }
        self.tidy(&peer);
    }

    /// "A broken connection makes the link doubtful"; it is dialled at once. A dial that failed counts as a missed answer.
    fn broken(&mut self, now: Time, id: LinkId, peer: PeerId, out: &mut Vec<Output>) {
        self.deadlines.cancel(Due::Answer(id));
        self.deadlines.cancel(Due::Announced(id));
        if let Some(link) = self.links.get_mut(&id) {
            link.pings.forget();
        }
        self.doubt(id, out);
        let Some(remote) = self.remotes.get(&peer).filter(|remote| remote.dialing.is_none()) else {
            return;
        };
        if remote.tries == 0 {
            return self.dial(now, peer, out);
        }
        self.counters.pings_missed += 1;
        self.share_suspicion(now, id, out);
        self.redial_later(now, peer);
    }

    pub(super) fn redial_later(&mut self, now: Time, peer: PeerId) {
        let Some(remote) = self.remotes.get(&peer) else { return };
        let (first, last) = self.config.retry_pause;
        let pause = back_off(first, last, remote.tries);
        let part = self.rng.random_range(0.5..1.0);
        self.redials.set_earlier(peer, now + pause.mul_f64(part));
    }

    /// It answered a ping: dials may be quick again.
    pub(super) fn reached(&mut self, peer: &PeerId) {
        if let Some(remote) = self.remotes.get_mut(peer) {
            remote.tries = 0;
        }
    }

    /// "So that both ends hold such an address, ◆ the accepting end of a new link dials back once, where it can." Either end asks at all the
    /// others that are listed, too.
    pub(super) fn dial_back(&mut self, peer: PeerId, out: &mut Vec<Output>) {
        let Some(remote) = self.remotes.get(&peer) else { return };
        let addresses = remote.addresses.clone();
        self.prove_address(peer, &addresses, out);
    }

    /// It lives where we have asked; then the next address has its turn.
    pub(super) fn on_verified(&mut self, peer: PeerId, address: &Multiaddr, out: &mut Vec<Output>) {
        if let Some(address) = self.contacts.verified(&peer, address) {
            out.push(Output::Verify { peer, address });
        }
    }

    /// What a peer proved with whom we have neither link nor session may be about a life that is over: then its refusal would say nothing
    /// about the life that is asked about. So it is proven again, at most once in a `link_interval`.
    pub(super) fn prove_anew(&mut self, now: Time, peer: PeerId, addresses: &[Multiaddr], out: &mut Vec<Output>) {
        let met = self.by_peer.contains_key(&peer) || self.sessions_of(&peer).next().is_some();
        if !met && !addresses.is_empty() {
            self.contacts.expire(&peer, now, self.config.link_interval);
        }
        self.prove_address(peer, addresses, out);
    }

    pub(super) fn prove_address(&mut self, peer: PeerId, addresses: &[Multiaddr], out: &mut Vec<Output>) {
        if peer == self.peer || addresses.is_empty() {
            return;
        }
        let addresses: Vec<Multiaddr> = addresses.iter().map(bare).collect();
        if let Some(address) = self.contacts.verify(&peer, &addresses) {
            out.push(Output::Verify { peer, address });
        }
    }

    /// Whether this failure ends a verification; then the next address has its turn.
    fn verification_failed(
        &mut self,
        peer: PeerId,
        failures: &[(Multiaddr, DialFailure)],
        out: &mut Vec<Output>,
    ) -> bool {
        let [(address, _)] = failures else { return false };
        if !self.contacts.is_verifying(&peer, address) {
            return false;
        }
        if let Some(address) = self.contacts.verified_in_vain(&peer) {
            out.push(Output::Verify { peer, address });
        }
        true
    }

    /// Forgets a peer with whom we have nothing to do any more.
    pub(super) fn tidy(&mut self, peer: &PeerId) {
        let Some(remote) = self.remotes.get(peer) else { return };
        if remote.is_idle() && !self.by_peer.contains_key(peer) {
            self.remotes.remove(peer);
            slim::map(&mut self.remotes);
            self.redials.cancel(*peer);
        }
    }
}

/// The pause before a try: doubling from the first to the last. A link that has no session keeps trying until `L` has passed.
fn back_off(first: Duration, last: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last() {
        let (first, last) = (Duration::from_secs(1), Duration::from_secs(10));
        let pauses: Vec<u64> = (1..=6).map(|tries| back_off(first, last, tries).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        assert_eq!(back_off(first, last, u32::MAX), last);
    }
}
