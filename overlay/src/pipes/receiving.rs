//! What comes: parts become bodies, bodies are told, and what has been read makes room for more.

use libp2p_identity::PeerId;

use super::Pipes;
use super::io::{Event, Port};
use super::message::{MAX_PART, Part};
use crate::Time;

impl Pipes {
    pub(super) fn listen(&mut self, now: Time, port: Port) {
        if !self.has_room_for(port) {
            return self.tell(Event::NotListening { port });
        }
        self.ports.insert(port);
        self.on_every_line(now, |line| {
            line.owes_refusal.remove(&port);
            line.owes_credit.insert(port);
        });
    }

    pub(super) fn leave(&mut self, now: Time, port: Port) {
        if !self.ports.remove(&port) {
            return;
        }
        for far in self.peers.values_mut() {
            if let Some(inbox) = far.inbox.get_mut(&port) {
                inbox.read_all();
            }
            if let Some(outbox) = far.outbox.get_mut(&port) {
                self.queued -= outbox.forget_unsent();
            }
            far.outbox.retain(|_, outbox| outbox.len() > 0);
        }
        self.on_every_line(now, |line| {
            line.owes_credit.remove(&port);
            line.owes_refusal.insert(port);
        });
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.forget(peer);
        }
    }

    fn on_every_line(&mut self, now: Time, change: impl Fn(&mut super::Line)) {
        let lines = self.peers.values_mut().filter_map(|far| far.line.as_mut());
        lines.for_each(change);
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.pump(now, peer);
        }
    }

    pub(super) fn on_part(&mut self, now: Time, peer: PeerId, part: Part) {
        let heard = self.ports.contains(&part.port);
        let (port, cost) = (part.port, part.cost());
        let Some(far) = self.peers.get_mut(&peer) else { return };
        let Some(line) = far.line.as_mut() else { return };
        line.last = now;
        line.resting = false;
        line.received += cost as u64;
        line.owes_taken = true;
        if !heard {
            line.owes_refusal.insert(port);
        }
        let short = part.bytes.len() <= MAX_PART && (part.last || !part.bytes.is_empty());
        let taken = far.inbox.entry(port).or_default().take(part, heard);
        match taken {
            Ok(body) if short => {
                if let Some(body) = body {
                    self.counters.received += 1;
                    self.tell(Event::Received { port, peer, body });
                }
                self.pump(now, peer);
            }
            _ => self.violated_by(peer),
        }
    }

    pub(super) fn read(&mut self, now: Time, port: Port, peer: PeerId) {
        let inbox = self.peers.get_mut(&peer).and_then(|far| far.inbox.get_mut(&port));
        if let Some(inbox) = inbox {
            inbox.read();
            self.grant(now, peer, port);
            self.forget(peer);
        }
    }

    /// "A quarter of a window is granted at a time" (protocol.md §3.2, L6).
    pub(super) fn grant(&mut self, now: Time, peer: PeerId, port: Port) {
        let window = self.config.window;
        let Some(far) = self.peers.get_mut(&peer) else { return };
        let (Some(line), Some(inbox)) = (far.line.as_mut(), far.inbox.get(&port)) else {
            return;
        };
        if inbox.grantable(window) >= window / 4 && self.ports.contains(&port) {
            line.owes_credit.insert(port);
            self.pump(now, peer);
        }
    }
}
