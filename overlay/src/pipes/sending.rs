//! What leaves: bodies are queued, cut into parts, and take turns.

use libp2p_identity::PeerId;

use super::io::{Cause, Event, NotTaken, PipeId, Port};
use super::message::{Farewell, Frame, MAX_BODY, OVERHEAD, cost};
use super::outbox::Outbox;
use super::{Far, Pipes};
use crate::Time;

impl Pipes {
    pub(super) fn send(&mut self, now: Time, port: Port, peer: PeerId, body: Vec<u8>) {
        if let Some(why) = self.obstacle(port, &peer, body.len()) {
            self.counters.refused += 1;
            return self.tell(Event::NotTaken { port, peer, body, why });
        }
        self.queued += cost(&body);
        let far = self.peers.entry(peer).or_insert_with(Far::new);
        far.outbox.entry(port).or_default().push(body);
        self.want(peer);
        self.refuse_deaf(peer);
        self.pump(now, peer);
    }

    /// Why a body of so many bytes would not be queued now.
    pub fn obstacle(&self, port: Port, peer: &PeerId, bytes: usize) -> Option<NotTaken> {
        let far = self.peers.get(peer);
        let here = far.and_then(|far| far.outbox.get(&port)).map_or(0, Outbox::cost);
        if self.stopped || *peer == self.peer {
            Some(NotTaken::Nobody)
        } else if bytes > MAX_BODY {
            Some(NotTaken::TooLong)
        } else if !self.ports.contains(&port) {
            Some(NotTaken::NotListening)
        } else if far.is_none() && self.peers.len() >= self.config.max_peers {
            Some(NotTaken::TooMany)
        } else if here + bytes + OVERHEAD > self.config.queue {
            Some(NotTaken::Full)
        } else if self.queued + bytes + OVERHEAD > self.config.max_queued {
            Some(NotTaken::AllFull)
        } else {
            None
        }
    }

    /// Sends what can be sent now.
    pub(super) fn pump(&mut self, now: Time, peer: PeerId) {
        while let Some((pipe, frame)) = self.next_frame(now, peer) {
            self.say(pipe, frame);
        }
    }

    fn next_frame(&mut self, now: Time, peer: PeerId) -> Option<(PipeId, Frame)> {
        let window = self.config.window;
        let far = self.peers.get_mut(&peer)?;
        let line = far.line.as_mut()?;
        let mut frame = line.next_word();
        if frame.is_none() && line.may_say() && !line.resting {
            frame = line.owes_credit.pop_first().map(|port| Frame::Credit {
                port,
                bytes: far.inbox.entry(port).or_default().grant(window),
            });
        }
        let frame = frame.or_else(|| next_part(now, far))?;
        let line = far.line.as_mut()?;
        line.unwritten += 1;
        Some((line.pipe, frame))
    }

    pub(super) fn written(&mut self, now: Time, pipe: PipeId) {
        let Some(&(peer, _)) = self.streams.get(&pipe) else {
            return;
        };
        let line = self.peers.get_mut(&peer).and_then(|far| far.line.as_mut());
        if let Some(line) = line.filter(|line| line.pipe == pipe) {
            line.unwritten = line.unwritten.saturating_sub(1);
            self.pump(now, peer);
        }
    }

    pub(super) fn on_taken(&mut self, now: Time, peer: PeerId, bytes: u64) {
        let Some(far) = self.peers.get_mut(&peer) else { return };
        let Some(line) = far.line.as_mut() else { return };
        line.last = now;
        line.resting = false;
        if !line.flight.on_taken(now, bytes) {
            return self.violated_by(peer);
        }
        let up_to = line.flight.taken_up_to();
        let mut roomy = Vec::new();
        for (port, outbox) in &mut far.outbox {
            let before = outbox.cost();
            self.queued -= outbox.arrived(up_to);
            if before > self.config.queue / 2 && outbox.cost() <= self.config.queue / 2 {
                roomy.push(*port);
            }
        }
        far.outbox.retain(|_, outbox| outbox.len() > 0);
        for port in roomy {
            self.tell(Event::Room { port, peer });
        }
        self.pump(now, peer);
    }

    pub(super) fn on_credit(&mut self, now: Time, peer: PeerId, port: Port, bytes: u32) {
        if let Some(line) = self.peers.get_mut(&peer).and_then(|far| far.line.as_mut()) {
            line.last = now;
            line.resting = false;
            line.granted(port, bytes);
            self.pump(now, peer);
        }
    }

    pub(super) fn on_refused(&mut self, now: Time, peer: PeerId, port: Port) {
        if let Some(line) = self.peers.get_mut(&peer).and_then(|far| far.line.as_mut()) {
            line.last = now;
            line.resting = false;
            line.credit.entry(port).or_default().deaf = true;
            self.refuse_deaf(peer);
            self.pump(now, peer);
        }
    }

    /// What is queued for ports where nobody is comes to nothing.
    pub(super) fn refuse_deaf(&mut self, peer: PeerId) {
        let Some(far) = self.peers.get_mut(&peer) else { return };
        let Some(line) = &far.line else { return };
        let deaf = far.outbox.extract_if(.., |port, _| line.credit(*port).is_none());
        let mut events = Vec::new();
        for (port, outbox) in deaf {
            self.queued -= outbox.cost();
            self.counters.refused += outbox.len() as u64;
            events.push(Event::Refused {
                port,
                peer,
                lost: outbox.len(),
            });
        }
        events.into_iter().for_each(|event| self.tell(event));
    }

    pub(super) fn close(&mut self, now: Time, port: Port, peer: PeerId) {
        let Some(far) = self.peers.get_mut(&peer) else { return };
        if let Some(outbox) = far.outbox.get_mut(&port) {
            self.queued -= outbox.forget_unsent();
            if outbox.len() == 0 {
                far.outbox.remove(&port);
            }
        }
        if let Some(inbox) = far.inbox.get_mut(&port) {
            inbox.read_all();
        }
        self.grant(now, peer, port);
        self.forget(peer);
    }

    /// Whoever breaks a rule on a pipe loses it.
    pub(super) fn violated_by(&mut self, peer: PeerId) {
        if let Some(pipe) = self
            .peers
            .get(&peer)
            .and_then(|far| far.line.as_ref())
            .map(|line| line.pipe)
        {
            self.counters.garbage += 1;
            self.say(pipe, Frame::Farewell(Farewell::Violation));
            self.end(peer, Cause::Violation);
        }
    }
}

/// "Parts of different ports take turns" (protocol.md §3.2, L5).
fn next_part(now: Time, far: &mut Far) -> Option<Frame> {
    let line = far.line.as_mut()?;
    let room = line.room();
    if room == 0 {
        return None;
    }
    let turn = line.turn;
    let (before, after): (Vec<Port>, Vec<Port>) = far.outbox.keys().partition(|port| **port <= turn);
    for port in after.into_iter().chain(before) {
        let (Some(outbox), Some(credit)) = (far.outbox.get_mut(&port), line.credit(port)) else {
            continue;
        };
        let Some(part) = outbox.next_part(port, room, credit) else {
            continue;
        };
        let cost = part.cost();
        if line.flight.is_empty() {
            line.last = now;
        }
        line.flight.sent(now, cost);
        line.turn = port;
        if let Some(credit) = line.credit.get_mut(&port) {
            credit.bytes -= cost as u64;
        }
        if part.last {
            outbox.body_ends(line.flight.sent_up_to());
        }
        return Some(Frame::Part(part));
    }
    None
}
