//! Between the directory and the rest of the overlay: its questions find their way, and those of others reach it.
//!
//! "A `Nearest { key, question }` is routed greedily towards the key; whoever knows nobody nearer answers the question, and adds the signed peer
//! records of its leaf set" (protocol.md §3.1, D4).

use libp2p_identity::PeerId;

use crate::directory::message::{Question as Asked, Reply};
use crate::directory::{AskId, Command, Context, Entry, Name, Output as Wanted, View};
use crate::mail::Question;
use crate::message::{Answer, MAX_RECORDS, OneShot, Routed, WayBack};
use crate::overlay::Overlay;
use crate::record::SignedRecord;
use crate::{Event, Hop, Key, LinkId, Output, routed};

/// The directory, and what it is lent: two of our fields at once.
macro_rules! directory {
    ($overlay:ident) => {
        (
            &mut $overlay.directory,
            &mut Context {
                now: $overlay.now,
                rng: &mut $overlay.rng,
            },
        )
    };
}

impl Overlay {
    /// An order from above.
    pub(crate) fn order_directory(&mut self, command: Command) {
        let (directory, cx) = directory!(self);
        directory.command(cx, command);
    }

    pub(crate) fn wake_directory(&mut self) {
        if self.directory.deadline().is_some_and(|at| at <= self.now) {
            let (directory, cx) = directory!(self);
            directory.wake(cx);
        }
    }

    /// Tells the directory who stands around us, and does what it wants done.
    pub(crate) fn settle_directory(&mut self) {
        if self.directory.stale {
            let leaves: Vec<PeerId> = self.ring.leaves().members().copied().collect();
            let joined = self.joined();
            let (directory, cx) = directory!(self);
            directory.around(cx, joined, leaves);
        }
        loop {
            let wanted = self.directory.take_outputs();
            if wanted.is_empty() {
                return;
            }
            for wanted in wanted {
                self.do_for_directory(wanted);
            }
        }
    }

    fn do_for_directory(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::AskNearest { ask, key, question } => self.ask_nearest(ask, key, question),
            Wanted::Ask { ask, peer, question } if peer == self.peer => {
                let reply = self.reply(peer, question);
                self.tell_directory(ask, None, None, reply);
            }
            Wanted::Ask { ask, peer, question } => {
                let (addresses, body) = (self.addresses(&peer), OneShot::Directory(Box::new(question)));
                self.request(peer, addresses, body, Question::Directory(ask));
            }
            Wanted::AskRouted { ask, peer, question } => {
                let body = OneShot::Directory(Box::new(question));
                if !self.ask_routed(peer, body, Question::Directory(ask)) {
                    self.directory.failed(ask);
                }
            }
            Wanted::Event(event) => self.out.push(Output::Event(Event::Directory(event))),
        }
    }

    /// Sends a question on its way to whoever stands nearest to a key; that may be us.
    fn ask_nearest(&mut self, ask: AskId, key: Key, question: Asked) {
        match self.nearer(&key, &[self.tag]) {
            Some(hop) => {
                let question = Box::new(question);
                let body = OneShot::Nearest { key, question };
                let signed = self.sign_question(self.peer, body, Some(Question::Directory(ask)));
                self.send_first(hop.link, self.peer, self.config.detours, signed);
            }
            None if self.joined() => {
                let reply = self.reply(self.peer, question);
                let around = self.ring.leaves().members().copied().collect();
                self.tell_directory(ask, Some(self.peer), Some(around), reply);
            }
            None => self.directory.failed(ask),
        }
    }

    /// The next hop of such a question: who has no place leaves it to whoever has one.
    fn nearer(&self, key: &Key, visited: &[crate::Tag]) -> Option<Hop> {
        self.closest_hop(key, visited, !self.joined())
    }

    /// Such a question of somebody else.
    pub(crate) fn on_nearest(&mut self, link: LinkId, key: Key, routed: Routed) {
        match self.nearer(&key, &routed.visited) {
            Some(hop) => self.hand_on(hop.link, routed),
            None if !self.joined() => self.dropped += 1,
            None if !routed::is_genuine_question(self.identity.scheme(), &routed.body) => self.garbage += 1,
            None => {
                let way = WayBack {
                    link,
                    trail: routed.visited,
                    asker: routed.body.from,
                    number: routed.body.number,
                };
                let OneShot::Nearest { question, .. } = routed.body.body else {
                    return;
                };
                let reply = Box::new(self.reply(way.asker, *question));
                let mut around = vec![self.record.clone()];
                around.extend(self.ring.leaf_records());
                self.answer_back(way, Answer::Nearest { around, reply });
            }
        }
    }

    fn reply(&mut self, from: PeerId, question: Asked) -> Reply {
        let (directory, cx) = directory!(self);
        directory.answer(cx, from, question)
    }

    /// Our answer to a question to us as a keeper.
    pub(crate) fn directory_answer(&mut self, from: PeerId, question: Asked) -> Answer {
        Answer::Directory(Box::new(self.reply(from, question)))
    }

    /// An answer through the overlay, signed by `from`.
    pub(crate) fn directory_answered(&mut self, ask: AskId, from: PeerId, body: Answer) {
        let Some(to) = self.directory.asked(ask) else {
            // Too late.
            self.dropped += 1;
            return;
        };
        match body {
            Answer::Nearest { around, reply } if to.is_none() => {
                let around = self.introduced(&around);
                self.tell_directory(ask, Some(from), Some(around), *reply);
            }
            Answer::Directory(reply) if to == Some(from) => self.tell_directory(ask, Some(from), None, *reply),
            _ => self.garbage += 1,
        }
    }

    /// An answer from the very peer that was asked. Anything but an answer is none.
    pub(crate) fn directory_answered_in_person(&mut self, ask: AskId, body: Answer) {
        match body {
            Answer::Directory(reply) => self.tell_directory(ask, None, None, *reply),
            _ => {
                self.garbage += 1;
                self.directory.failed(ask);
            }
        }
    }

    fn tell_directory(&mut self, ask: AskId, from: Option<PeerId>, around: Option<Vec<PeerId>>, reply: Reply) {
        let (directory, cx) = directory!(self);
        directory.answered(cx, ask, from, around, reply);
    }

    /// The peers of these records, whose addresses are known from now on. A record that its peer has not signed is passed over: a liar is not
    /// to send us dialling where it likes.
    fn introduced(&mut self, around: &[SignedRecord]) -> Vec<PeerId> {
        let most = MAX_RECORDS.min(2 * self.config.leaves_per_side + 1);
        let mut peers = Vec::new();
        for record in around.iter().take(most) {
            let peer = record.record().peer;
            let known = self.ring.records.verified(record).is_some();
            if !known && record.verified(self.identity.scheme()).is_none() {
                self.garbage += 1;
                continue;
            }
            if peer != self.peer && self.addresses(&peer).is_empty() {
                self.ring.records.introduce(peer, &record.record().addresses);
            }
            peers.push(peer);
        }
        peers
    }

    /// What this peer keeps for others in the directory, at a glance.
    pub fn directory(&self) -> View {
        self.directory.view()
    }

    /// The record that this peer keeps under a name.
    pub fn directory_record(&self, name: &Name) -> Option<&Entry> {
        self.directory.kept(name)
    }
}
