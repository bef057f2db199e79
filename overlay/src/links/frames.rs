//! What arrives on a link, and what the layers above send over it.

use libp2p_identity::PeerId;

use super::operations::Arrival;
use super::{Due, Links, MAX_NEIGHBOURS, Output};
use crate::message::Farewell;
use crate::message::{Message, Ping, Pong};
use crate::{DownReason, Event, JointSet, LinkId, Rule, Session, Time};

impl Links {
    /// A frame; of a session that is gone, it is discarded ("frames of an old session are discarded").
    pub(super) fn on_received(&mut self, now: Time, session: Session, message: Message, out: &mut Vec<Output>) {
        let Some(open) = self.sessions.get(&session) else {
            self.counters.dropped += 1;
            return;
        };
        match message {
            Message::Hello(hello) => self.on_hello(now, session, hello, out),
            _ if open.theirs.is_none() => self.violated(now, session, "a frame before its Hello", out),
            Message::Goodbye(farewell) => self.on_goodbye(now, session, farewell, out),
            message => self.on_frame(now, session, message, out),
        }
    }

    fn on_frame(&mut self, now: Time, session: Session, message: Message, out: &mut Vec<Output>) {
        let Some((link, peer)) = self.carried(now, session, out) else {
            self.counters.dropped += 1;
            return;
        };
        if !Rule::OwnPings.holds() {
            self.deadlines.set(Due::Alive(link), now + self.config.link_lifetime());
        }
        match message {
            Message::Ping(ping) => self.on_ping(now, link, ping, out),
            Message::Pong(pong) => self.on_pong(now, link, pong, out),
            Message::Operation { number, body } => self.on_operation(now, link, number, body, out),
            Message::Acknowledge { received } => self.on_acknowledged(now, link, received, out),
            Message::Tell(body) => out.push(Output::Event(Event::Told { link, body })),
            Message::Neighbours(neighbours) => self.on_neighbours(link, neighbours),
            message => out.push(Output::Passed { link, peer, message }),
        }
    }

    /// The link that a session carries. A frame on one that is held back says that the other end has chosen it: so do we.
    fn carried(&mut self, now: Time, session: Session, out: &mut Vec<Output>) -> Option<(LinkId, PeerId)> {
        let peer = self.sessions.get(&session)?.peer;
        if self.link_of(&peer).and_then(|link| link.session) != Some(session) {
            self.adopt(now, session, out);
        }
        let link = self.by_peer(&peer)?;
        (link.session == Some(session)).then_some((link.id, peer))
    }

    fn on_ping(&mut self, now: Time, id: LinkId, ping: Ping, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.joined = ping.joined;
        link.wanted_by_them = ping.wanted;
        self.expect_ping(now, id, ping.next);
        if !self.on_status(now, id, ping.acknowledged, ping.joint, out) {
            return;
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        let pong = Pong {
            number: ping.number,
            acknowledged: link.operations.tell_received(),
            joint: link.joint,
        };
        self.send_on(id, Message::Pong(pong), out);
    }

    /// What pings and answers have in common. `false`: it was a violation, the link is gone.
    pub(super) fn on_status(
        &mut self,
        now: Time,
        id: LinkId,
        acknowledged: u64,
        joint: JointSet,
        out: &mut Vec<Output>,
    ) -> bool {
        if let Some(link) = self.links.get_mut(&id) {
            link.their_paths = joint.paths;
        }
        self.on_acknowledged(now, id, acknowledged, out);
        let alive = self.links.contains_key(&id);
        if alive {
            self.review_need(now, id);
            out.push(Output::Event(Event::JointSetSeen { link: id, joint }));
        }
        alive
    }

    fn on_acknowledged(&mut self, now: Time, id: LinkId, received: u64, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.operations.acknowledge(received) {
            Ok(()) => self.pump(now, id, out),
            Err(_) => self.on_violation(now, id, "acknowledges what was never sent", out),
        }
    }

    fn on_operation(&mut self, now: Time, id: LinkId, number: u64, body: Vec<u8>, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.operations.arrived(number) {
            Arrival::Next => out.push(Output::Event(Event::Operation { link: id, body })),
            Arrival::Known => {}
            Arrival::Gap => return self.on_violation(now, id, "an operation is missing", out),
        }
        if link.operations.wants_telling() {
            let received = link.operations.tell_received();
            self.send_on(id, Message::Acknowledge { received }, out);
        }
    }

    fn on_neighbours(&mut self, id: LinkId, mut neighbours: Vec<PeerId>) {
        neighbours.truncate(MAX_NEIGHBOURS);
        if let Some(link) = self.links.get_mut(&id) {
            link.neighbours = neighbours.iter().collect();
        }
    }

    /// "Operations are numbered, acknowledged cumulatively, kept until acknowledged, and windowed."
    pub(super) fn on_operate(&mut self, now: Time, id: LinkId, body: Vec<u8>, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&id) else {
            self.counters.dropped += 1;
            return;
        };
        if link.operations.push(body) {
            self.pump(now, id, out);
        } else {
            self.take_down(now, id, DownReason::Overflow, Farewell::GaveUp, out);
        }
    }

    /// Sends what the window lets through.
    pub(super) fn pump(&mut self, now: Time, id: LinkId, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(session) = link.session else { return };
        while let Some((number, body)) = link.operations.next_to_send(now) {
            let message = Message::Operation { number, body };
            out.push(Output::Send { session, message });
        }
    }

    pub(super) fn on_joint_set(&mut self, now: Time, id: LinkId, joint: JointSet) {
        match self.links.get_mut(&id) {
            Some(link) => {
                link.joint = joint;
                self.review_need(now, id);
            }
            None => self.counters.dropped += 1,
        }
    }

    /// The list of links has changed: the neighbours will be told, once for all changes of two `ping_timeout`s. (Links change in bursts: who
    /// joins founds dozens of them, and each loss is followed by a replacement.)
    pub(super) fn neighbours_changed(&mut self, now: Time) {
        self.neighbours += 1;
        self.neighbours_changed_since(now);
    }

    /// Some neighbour was told an older list.
    pub(super) fn neighbours_changed_since(&mut self, now: Time) {
        self.deadlines
            .set_earlier(Due::Neighbours, now + self.config.ping_timeout * 2);
    }

    pub(super) fn tell_neighbours(&mut self, out: &mut Vec<Output>) {
        let list = self.neighbour_list();
        let version = self.neighbours;
        for link in self.links.values_mut().filter(|link| link.neighbours_told != version) {
            let Some(session) = link.session else { continue };
            link.neighbours_told = version;
            let message = Message::Neighbours(list.clone());
            out.push(Output::Send { session, message });
        }
    }
}
