//! How two peers come to one pipe: whoever needs one opens it; of two that were opened at once the smaller `PeerId`'s stays.

use libp2p_identity::PeerId;

use super::ending::cause;
use super::io::{Cause, Event, Output, PipeId, Port};
use super::line::Line;
use super::message::{Farewell, Frame, Opening};
use super::{Far, Ours, Pipes, Role, Timer};
use crate::{Rule, Time};

/// How long the smaller peer waits for the answer to its opening, and everybody for a stream's first word, in `ping_timeout`s.
const ANSWER: u32 = 3;
/// How long the larger one does: the smaller one's dial and its wait fit into it.
const LONGER_ANSWER: u32 = 8;

impl Pipes {
    /// "Opened on demand" (protocol.md §3.2, L1).
    pub(super) fn want(&mut self, peer: PeerId) {
        let Some(far) = self.peers.get_mut(&peer) else { return };
        if far.line.is_some() || far.held.is_some() {
            return;
        }
        match &mut far.ours {
            Ours::Asked { .. } => {}
            Ours::Opening { needed } => *needed = true,
            Ours::None => {
                far.ours = Ours::Opening { needed: true };
                self.out.push(Output::Open { peer });
            }
        }
    }

    pub(super) fn opened_by_us(&mut self, now: Time, pipe: PipeId, peer: PeerId, life: Option<u64>) {
        let ours = self
            .peers
            .get_mut(&peer)
            .map(|far| std::mem::replace(&mut far.ours, Ours::None));
        if self.stopped || ours != Some(Ours::Opening { needed: true }) {
            self.out.push(Output::Close { pipe });
            return self.forget(peer);
        }
        self.openings += 1;
        let opening = self.opening(peer, life, self.openings);
        if let Some(far) = self.peers.get_mut(&peer) {
            far.ours = Ours::Asked { pipe };
        }
        self.streams.insert(pipe, (peer, Role::Asked));
        self.say(pipe, Frame::Opening(Box::new(opening)));
        let patience = if self.peer < peer { ANSWER } else { LONGER_ANSWER };
        self.deadlines
            .set(Timer::Answer(peer), now + self.ping_timeout * patience);
    }

    pub(super) fn opened_by_them(&mut self, now: Time, pipe: PipeId, peer: PeerId) {
        let coming = self.streams.values().filter(|(_, role)| *role == Role::Coming).count();
        if self.stopped || coming >= self.config.max_coming {
            self.out.push(Output::Close { pipe });
            return;
        }
        self.streams.insert(pipe, (peer, Role::Coming));
        self.deadlines
            .set(Timer::Coming(pipe), now + self.ping_timeout * ANSWER);
    }

    /// What we say first: a grant for each port where somebody is.
    fn opening(&mut self, peer: PeerId, to: Option<u64>, number: u64) -> Opening {
        let far = self.peers.entry(peer).or_insert_with(Far::new);
        let window = self.config.window;
        let mut grant = |port: &Port| {
            let inbox = far.inbox.entry(*port).or_default();
            // What an opening that came to nothing had granted.
            inbox.pipe_ended();
            (*port, inbox.grant(window))
        };
        Opening {
            versions: self.versions,
            network: self.network.clone(),
            incarnation: self.incarnation,
            to,
            number,
            ports: self.ports.iter().map(&mut grant).collect(),
            more: Vec::new(),
        }
    }

    /// What is wrong with an opening.
    fn fault(&self, opening: &Opening) -> Option<Farewell> {
        if self.versions.shared(opening.versions).is_none() {
            return Some(Farewell::NoSharedVersion(self.versions));
        }
        if opening.network != self.network {
            return Some(Farewell::OtherNetwork(self.network.clone()));
        }
        let old = opening.to.is_some_and(|meant| meant != self.incarnation);
        old.then_some(Farewell::OldLife)
    }

    /// Somebody opens a pipe.
    pub(super) fn asked(&mut self, now: Time, pipe: PipeId, peer: PeerId, opening: Opening) {
        self.deadlines.cancel(Timer::Coming(pipe));
        if peer == self.peer {
            return self.shut(pipe, None);
        }
        let full = !self.peers.contains_key(&peer) && self.peers.len() >= self.config.max_peers;
        let busy = || full.then_some(Farewell::Busy);
        if let Some(why) = self.fault(&opening).or_else(busy) {
            self.counters.refused += 1;
            return self.shut(pipe, Some(why));
        }
        let far = self.peers.entry(peer).or_insert_with(Far::new);
        let late = far.line.as_ref().is_some_and(|line| {
            line.incarnation == opening.incarnation && opening.number <= line.seen && Rule::PipeLateOpenings.holds()
        });
        if late {
            return self.shut(pipe, None);
        }
        let asking = matches!(far.ours, Ours::Asked { .. } | Ours::Opening { needed: true });
        if far.line.is_none() && asking && self.peer < peer && Rule::PipeCrossing.holds() {
            self.hold(pipe, peer, opening);
        } else {
            self.accept(now, pipe, peer, opening);
        }
    }

    /// "Of two that are opened at once the smaller `PeerId`'s stays" (L3): the other one waits until it is clear that ours comes to something.
    fn hold(&mut self, pipe: PipeId, peer: PeerId, opening: Opening) {
        self.streams.insert(pipe, (peer, Role::Held));
        let far = self.peers.entry(peer).or_insert_with(Far::new);
        if let Some((older, _)) = far.held.replace((pipe, opening)) {
            self.shut(older, None);
        }
    }

    fn accept(&mut self, now: Time, pipe: PipeId, peer: PeerId, opening: Opening) {
        self.end(peer, Cause::Replaced);
        let far = self.peers.entry(peer).or_insert_with(Far::new);
        let given_up = match &mut far.ours {
            Ours::Asked { pipe } => Some(*pipe),
            Ours::Opening { needed } => {
                *needed = false;
                None
            }
            Ours::None => None,
        };
        if let Some(ours) = given_up {
            far.ours = Ours::None;
            self.deadlines.cancel(Timer::Answer(peer));
            self.shut(ours, None);
        }
        let answer = self.opening(peer, Some(opening.incarnation), self.openings);
        self.say(pipe, Frame::Opening(Box::new(answer)));
        self.begin(now, pipe, peer, opening, 1);
    }

    /// Our opening is answered.
    pub(super) fn answered(&mut self, now: Time, pipe: PipeId, peer: PeerId, opening: Opening) {
        if let Some(why) = self.fault(&opening) {
            let cause = cause(&why);
            self.say(pipe, Frame::Farewell(why));
            return self.denied(now, pipe, peer, cause);
        }
        self.deadlines.cancel(Timer::Answer(peer));
        if let Some(far) = self.peers.get_mut(&peer) {
            far.ours = Ours::None;
            if let Some((held, _)) = far.held.take() {
                self.shut(held, None);
            }
        }
        self.begin(now, pipe, peer, opening, 0);
    }

    /// `unwritten`: frames that the driver holds already.
    fn begin(&mut self, now: Time, pipe: PipeId, peer: PeerId, opening: Opening, unwritten: usize) {
        let life = (opening.incarnation, opening.number);
        let mut line = Line::new(now, pipe, life, self.longest_queue);
        for (port, bytes) in opening.ports {
            line.granted(port, bytes);
        }
        line.unwritten = unwritten;
        self.peers.entry(peer).or_insert_with(Far::new).line = Some(line);
        self.streams.insert(pipe, (peer, Role::Up));
        self.deadlines.set(Timer::Idle(peer), now + self.config.idle);
        self.counters.opened += 1;
        self.tell(Event::Up {
            peer,
            incarnation: opening.incarnation,
        });
        self.refuse_deaf(peer);
        // Somebody may have come to a port since the opening was said, or have read.
        for port in self.ports.clone() {
            self.grant(now, peer, port);
        }
        self.pump(now, peer);
    }

    /// The driver could not open a stream.
    pub(super) fn not_opened(&mut self, now: Time, peer: PeerId) {
        if let Some(far) = self.peers.get_mut(&peer)
            && let Ours::Opening { needed } = std::mem::replace(&mut far.ours, Ours::None)
        {
            match needed {
                true => self.came_to_nothing(now, peer, Cause::Unreachable),
                false => self.forget(peer),
            }
        }
    }

    /// Our opening came to nothing.
    pub(super) fn denied(&mut self, now: Time, pipe: PipeId, peer: PeerId, cause: Cause) {
        self.shut(pipe, None);
        self.asked_in_vain(now, peer, cause);
    }

    pub(super) fn not_answered(&mut self, now: Time, peer: PeerId) {
        if let Some(Ours::Asked { pipe }) = self.peers.get(&peer).map(|far| far.ours) {
            self.denied(now, pipe, peer, Cause::Unreachable);
        }
    }

    pub(super) fn asked_in_vain(&mut self, now: Time, peer: PeerId, cause: Cause) {
        self.deadlines.cancel(Timer::Answer(peer));
        if let Some(far) = self.peers.get_mut(&peer) {
            far.ours = Ours::None;
        }
        self.came_to_nothing(now, peer, cause);
    }

    /// There is theirs, perhaps.
    fn came_to_nothing(&mut self, now: Time, peer: PeerId, cause: Cause) {
        match self.peers.get_mut(&peer).and_then(|far| far.held.take()) {
            Some((pipe, opening)) => self.accept(now, pipe, peer, opening),
            None => self.give_up(peer, cause, false),
        }
    }
}
