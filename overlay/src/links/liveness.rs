//! Pings, doubt, shared suspicion, silence.

use std::time::Duration;

use libp2p_identity::PeerId;
use rand::RngExt;

use super::rota::{announced, period};
use super::{Due, Link, Links, Output};
use crate::message::{Farewell, Message, Ping, Pong};
use crate::record::SignedRecord;
use crate::{DownReason, Event, LinkId, Rule, Time};

/// Neighbours of a suspect that are told at most, the first ones that it listed.
const MAX_TOLD: usize = 32;

impl Links {
    /// "Each peer pings its links in turn." A link without a session is passed over: nothing can be sent on it.
    pub(super) fn on_turn(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.rota.len() == 0 {
            return;
        }
        self.deadlines
            .set(Due::Turn, now + period(&self.config, self.rota.len()));
        for _ in 0..self.rota.len() {
            let Some(link) = self.rota.take_turn() else { return };
            if self.links.get(&link).is_some_and(|link| link.session.is_some()) {
                return self.send_ping(now, link, out);
            }
        }
    }

    /// A link has come: turns are closer together now. The very first one falls anywhere in its period.
    pub(super) fn hurry_turn(&mut self, now: Time) {
        let period = period(&self.config, self.rota.len());
        if self.deadlines.get(Due::Turn).is_some() {
            self.deadlines.set_earlier(Due::Turn, now + period);
        } else {
            let part = self.rng.random_range(0.0..1.0);
            self.deadlines.set(Due::Turn, now + period.mul_f64(part));
        }
    }

    /// Sends a ping, whose answer is waited for unless an older one's is.
    pub(super) fn send_ping(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        let next = announced(&self.config, self.rota.len());
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(session) = link.session else { return };
        let ping = Ping {
            number: link.pings.send(now),
            next: u32::try_from(next.as_millis()).unwrap_or(u32::MAX),
            wanted: link.wanted_by_us,
            joined: self.joined,
            acknowledged: link.operations.tell_received(),
            joint: link.joint,
        };
        let limit = time_limit(&self.config, self.grace, link);
        if self.deadlines.get(Due::Answer(id)).is_none() {
            self.deadlines.set(Due::Answer(id), now + limit);
        }
        self.counters.pings_sent += 1;
        let message = Message::Ping(ping);
        out.push(Output::Send { session, message });
    }

    /// Whether we have joined goes into pings; neighbours learn that they may route through us at once, it happens once in a life.
    pub(super) fn on_joined(&mut self, now: Time, joined: bool, out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.joined, joined) != joined && Rule::ToldAtOnce.holds() {
            let links: Vec<LinkId> = self.links.keys().copied().collect();
            for link in links {
                self.send_ping(now, link, out);
            }
        }
    }

    /// "A link is alive at a peer while a ping that *it* sent within the last `L` was answered"; "any answer clears" the doubt.
    pub(super) fn on_pong(&mut self, now: Time, id: LinkId, pong: Pong, out: &mut Vec<Output>) {
        if !self.on_status(now, id, pong.acknowledged, pong.joint, out) {
            return;
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(sent) = link.pings.answered(pong.number) else {
            return;
        };
        // It answers pings and yet does not take what was sent long before them.
        let stale = |since: Time| sent.since(since) > self.config.link_lifetime();
        if link.operations.oldest_sent().is_some_and(stale) {
            return self.take_down(now, id, DownReason::Overflow, Farewell::GaveUp, out);
        }
        link.round_trip.sample(now.since(sent));
        link.proven = link.proven.max(sent);
        if std::mem::take(&mut link.retries) > 0 {
            self.hasty = Some(now);
        }
        link.told = false;
        link.shared = false;
        let (peer, limit) = (link.peer, time_limit(&self.config, self.grace, link));
        self.deadlines
            .set(Due::Alive(id), link.proven + self.config.link_lifetime());
        // Answers of a backlog come one after the other: the link works, so the next one has a whole time limit again.
        let whole = |sent: Time| {
            if !Rule::BacklogOfAnswers.holds() {
                now.max(sent + limit)
            } else {
                now + limit
            }
        };
        match link.pings.oldest().map(whole) {
            Some(at) => self.deadlines.set(Due::Answer(id), at),
            None => {
                self.deadlines.cancel(Due::Answer(id));
            }
        }
        if std::mem::take(&mut link.doubtful) {
            out.push(Output::Event(Event::LinkCleared { link: id }));
        }
        self.reached(&peer);
    }

    /// "Every ping says when its sender will ping this link next."
    pub(super) fn expect_ping(&mut self, now: Time, id: LinkId, next: u32) {
        let Some(link) = self.links.get(&id) else { return };
        // Not sooner than a time limit, or a peer that announces zero would be pinged as often as it pings.
        let next = Duration::from_millis(next.into()).max(self.config.ping_floor);
        let at = now + next + time_limit(&self.config, self.grace, link);
        self.deadlines.set(Due::Announced(id), at);
    }

    /// "◆ If that passes, the receiver pings at once."
    pub(super) fn on_announced_passed(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        if self.deadlines.get(Due::Answer(id)).is_none() && Rule::AnnouncedPing.holds() {
            self.send_ping(now, id, out);
        }
    }

    /// "◆ A missed answer makes the link doubtful, not down: it is pinged again at once, then after 1, 2, 4, 8 × `ping_timeout`."
    pub(super) fn on_missed(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let pause = self.config.ping_timeout * (1 << link.retries.min(3));
        link.retries += 1;
        self.counters.pings_missed += 1;
        if !Rule::Doubt.holds() && link.retries >= 2 {
            return self.on_silent(now, id, out);
        }
        let first = link.retries == 1;
        if link.session.is_some() {
            self.deadlines.set(Due::Answer(id), now + pause);
        }
        if !(first && self.was_hasty(now)) {
            self.doubt(id, out);
            self.share_suspicion(now, id, out);
        }
        self.send_ping(now, id, out);
        if self.by_id(id).is_some_and(Link::stuck) && Rule::SilentSession.holds() {
            self.dial_beside(now, id, out);
        }
    }

    /// "◆ Who has lately taken an answer for missed that came after all doubts a link at the second miss only": most likely it is late itself, or
    /// its host is busy, and what a doubt sets in motion at all ends of the link's paths would make it busier (Dadgar, Phillips, Currey:
    /// Lifeguard, DSN-W 2018).
    fn was_hasty(&self, now: Time) -> bool {
        let lately = self.config.ping_timeout * 4;
        self.hasty.is_some_and(|at| now.since(at) < lately) && Rule::HastyDoubts.holds()
    }

    /// Later than the floor after the limit: so late is only who was starved itself.
    pub(super) fn woke_late(&self, now: Time, due: Time) -> bool {
        now.since(due) > self.config.ping_floor && Rule::LateWaker.holds()
    }

    /// We come late ourselves (starved, suspended): the answer may lie in a buffer that we have not read, so nobody is accused yet
    /// (scenario 20). `L` is not extended.
    pub(super) fn wait_again(&mut self, now: Time, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let limit = time_limit(&self.config, self.grace, link);
        self.deadlines.set(Due::Answer(id), now + limit);
    }

    /// An answer that is due has longer than it had when its ping was sent, because this peer has been late meanwhile. A link that is doubtful already
    /// is pinged as before.
    pub(super) fn has_grace(&mut self, now: Time, id: LinkId) -> bool {
        let Some(link) = self.links.get(&id).filter(|link| link.retries == 0) else {
            return false;
        };
        let limit = time_limit(&self.config, self.grace, link);
        let until = link
            .pings
            .oldest()
            .map(|sent| sent + limit)
            .filter(|until| *until > now);
        if let Some(until) = until.filter(|_| !self.grace.is_zero()) {
            self.deadlines.set(Due::Answer(id), until);
            return true;
        }
        false
    }

    pub(super) fn doubt(&mut self, id: LinkId, out: &mut Vec<Output>) {
        if let Some(link) = self.links.get_mut(&id)
            && !std::mem::replace(&mut link.doubtful, true)
        {
            self.counters.doubts += 1;
            out.push(Output::Event(Event::LinkDoubtful { link: id }));
        }
    }

    /// "A peer that misses an answer sends `Suspect` to the suspect's other neighbours; a told peer does not tell neighbours again."
    /// Who answers every second ping, or lists the whole network as its neighbours, does not make us a loudspeaker: there is a pause, and a
    /// limit.
    pub(super) fn share_suspicion(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        let pause = self.config.ping_timeout * 4;
        let Some(link) = self.links.get_mut(&id) else { return };
        let recent = link.shared_at.is_some_and(|at| now.since(at) < pause);
        if link.told || recent || std::mem::replace(&mut link.shared, true) {
            return;
        }
        link.shared_at = Some(now);
        let suspect = link.peer;
        let others = link.neighbours.iter().filter(|to| *to != self.peer && *to != suspect);
        let others = others.take(MAX_TOLD);
        out.extend(others.map(|to| Output::Suspect { to, suspect }));
    }

    /// They "ping at once and believe only their own evidence".
    /// Only a neighbour of the suspect has told its other neighbours as well; nobody else's word keeps us from telling them.
    pub(super) fn on_suspected(&mut self, now: Time, from: &PeerId, peer: &PeerId, out: &mut Vec<Output>) {
        let Some(link) = self.link_of(peer) else { return };
        link.told |= link.neighbours.contains(from);
        let id = link.id;
        if self.deadlines.get(Due::Answer(id)).is_none() {
            self.send_ping(now, id, out);
        }
    }

    /// "◆ Sessions go silent together": who has replaced a silent one, or hears that one was closed and it was not told, pings all other links at
    /// once, not when it is their turn. Loss makes a session silent for a moment, too: so there is a pause.
    pub(super) fn look_round(&mut self, now: Time, out: &mut Vec<Output>) {
        let pause = self.config.ping_timeout * 4;
        if self.looked.is_none_or(|at| now.since(at) >= pause) && Rule::SilentTogether.holds() {
            self.looked = Some(now);
            self.ping_all(now, out);
        }
    }

    fn ping_all(&mut self, now: Time, out: &mut Vec<Output>) {
        let waits = |id: &LinkId| self.deadlines.get(Due::Answer(*id)).is_some();
        let others: Vec<LinkId> = self.links.keys().filter(|id| !waits(id)).copied().collect();
        for id in others {
            self.send_ping(now, id, out);
        }
    }

    /// Our record has changed. Connections from an address that is gone hang, and nobody tells us.
    pub(super) fn on_record(&mut self, now: Time, record: SignedRecord, out: &mut Vec<Output>) {
        let old = std::mem::replace(&mut self.record, record);
        let new = &self.record.record().addresses;
        if old.record().addresses.iter().any(|address| !new.contains(address)) {
            self.ping_all(now, out);
        }
    }

    /// It has not answered a question, so it may not answer pings either.
    pub(super) fn on_unanswered(&mut self, now: Time, peer: &PeerId, out: &mut Vec<Output>) {
        let Some(id) = self.by_peer(peer).map(Link::id) else {
            return;
        };
        if self.deadlines.get(Due::Answer(id)).is_none() {
            self.send_ping(now, id, out);
        }
    }

    /// "Down: not alive any more"; or nothing that the other end says settles what both disagree about.
    pub(super) fn on_silent(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        self.take_down(now, id, DownReason::Silent, Farewell::GaveUp, out);
    }
}

fn time_limit(config: &crate::Config, grace: Duration, link: &Link) -> Duration {
    link.round_trip.time_limit(config.ping_floor, config.ping_timeout) + grace
}
