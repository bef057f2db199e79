//! One-shot exchanges: a question and its answer on a stream of their own.

use fatebound_machine::Input;
use fatebound_machine::overlay::{DialFailure, Multiaddr, PeerId, RequestId};

use crate::PeerIndex;
use crate::cargo::Cargo;
use crate::carriage::{End, Purpose};
use crate::connections::At;
use crate::world::{Happening, World};

/// A question under way, at its asker.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) at: At,
    /// Until the stream is there.
    body: Option<Vec<u8>>,
}

/// A question that has arrived, at its answerer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: At,
    by: End,
}

impl World {
    pub(crate) fn request(
        &mut self,
        index: PeerIndex,
        request: RequestId,
        peer: PeerId,
        (addresses, fresh): (Vec<Multiaddr>, bool),
        body: Vec<u8>,
    ) {
        let from = self.end_of(index, request.0);
        let target = self.by_id.get(&peer).copied();
        let up = target.and_then(|target| self.newest_connection(index, target));
        match up.filter(|_| !fresh) {
            Some(at) => self.ask(from, at, body),
            // Beside nothing there is nothing to dial for: another request does.
            None if addresses.is_empty() || (fresh && up.is_none()) => {
                let failures = Vec::new();
                self.input(index, Input::RequestFailed { request, failures });
            }
            None => self.dial(from, Purpose::Request { peer, body }, addresses),
        }
    }

    pub(crate) fn ask(&mut self, from: End, at: At, body: Vec<u8>) {
        self.requests.insert(from, Asking { at, body: Some(body) });
        self.schedule(self.now + self.dial_timeout, Happening::RequestTimeout { from });
        self.ship(at, Cargo::Ask { from }, false);
    }

    pub(crate) fn on_asking(&mut self, from: End) {
        let Some(asking) = self.requests.get_mut(&from) else {
            return;
        };
        let at = asking.at;
        if let Some(body) = asking.body.take() {
            self.ship(at, Cargo::Request { from, body }, false);
        }
    }

    pub(crate) fn on_request(&mut self, at: At, from: End, body: Vec<u8>) {
        let Some(index) = self.connections.side(at).map(|side| side.peer) else {
            return;
        };
        self.peers[index.0].next_request += 1;
        let request = RequestId(self.peers[index.0].next_request);
        let end = self.end_of(index, request.0);
        self.asked.insert(end, Asked { at, by: from });
        let peer = self.id(from.peer);
        self.feed(index, Input::Request { request, peer, body });
    }

    pub(crate) fn respond(&mut self, index: PeerIndex, request: RequestId, body: Vec<u8>) {
        let end = self.end_of(index, request.0);
        if let Some(asked) = self.asked.remove(&end) {
            self.ship(asked.at, Cargo::Response { to: asked.by, body }, false);
            self.watch_idleness(asked.at);
        }
    }

    pub(crate) fn on_response(&mut self, to: End, body: Vec<u8>) {
        let Some(asking) = self.requests.remove(&to) else {
            return;
        };
        self.watch_idleness(asking.at);
        if self.is_life(to) {
            let request = RequestId(to.number);
            self.feed(to.peer, Input::Response { request, body });
        }
    }

    pub(crate) fn request_failed(&mut self, from: End, failures: Vec<(Multiaddr, DialFailure)>) {
        let Some(asking) = self.requests.remove(&from) else {
            return;
        };
        self.watch_idleness(asking.at);
        if self.is_life(from) {
            let request = RequestId(from.number);
            self.input(from.peer, Input::RequestFailed { request, failures });
        }
    }
}
