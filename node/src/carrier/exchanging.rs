//! One-shot exchanges of the carrier: over a connection that is up, or a dial for them; so many at a time to one peer, the others wait.

use fatebound_machine::Input;
use fatebound_machine::overlay::{Multiaddr, PeerId, RequestId};
use libp2p::request_response::{self as exchange, OutboundRequestId};

use super::Carrier;
use crate::asks::MAX_ASKED;
use crate::dials::{Dial, MAX_WAITING, Purpose};

impl Carrier {
    /// `fresh`: beside a connection that is up and not trusted, for an earlier question there got no answer.
    pub(super) fn request(
        &mut self,
        request: RequestId,
        peer: PeerId,
        (addresses, fresh): (Vec<Multiaddr>, bool),
        body: Vec<u8>,
    ) {
        let up = self.peers.contains_key(&peer);
        if up && !fresh {
            self.ask(request, &peer, body);
        // Beside nothing there is nothing to dial for: another request does.
        } else if addresses.is_empty() || (fresh && !up) {
            self.tell(Input::RequestFailed {
                request,
                failures: Vec::new(),
            });
        } else {
            self.distrust(&peer);
            self.request_by_dial(request, peer, addresses, body);
        }
    }

    fn request_by_dial(&mut self, request: RequestId, peer: PeerId, addresses: Vec<Multiaddr>, body: Vec<u8>) {
        let mut all = self.dials.values_mut().chain(&mut self.waiting);
        let under_way = all.find(|dial| dial.serves(&peer, &addresses));
        match under_way {
            Some(dial) if dial.asks.len() < MAX_WAITING => dial.asks.push((request, body)),
            Some(_) => self.tell(Input::RequestFailed {
                request,
                failures: Vec::new(),
            }),
            None => {
                let mut dial = Dial::new(Some(peer), addresses, Purpose::Ask);
                dial.asks.push((request, body));
                self.dial(dial);
            }
        }
    }

    /// Asks over a connection that is up, if need be when other questions there are over.
    pub(super) fn ask(&mut self, request: RequestId, peer: &PeerId, body: Vec<u8>) {
        self.leave_silent_of(peer);
        let asking = self.asking.entry(*peer).or_default();
        if asking.under_way < MAX_ASKED {
            asking.under_way += 1;
            self.ask_now(request, peer, body);
        } else if asking.waiting.len() < MAX_WAITING {
            asking.waiting.push_back((request, body));
        } else {
            self.tell(Input::RequestFailed {
                request,
                failures: Vec::new(),
            });
        }
    }

    fn ask_now(&mut self, request: RequestId, peer: &PeerId, body: Vec<u8>) {
        let number = self.asks.send_request(peer, body);
        self.questions.insert(number, (*peer, request));
    }

    /// A question is over; the next one takes its place.
    fn over(&mut self, number: OutboundRequestId) -> Option<RequestId> {
        let (peer, request) = self.questions.remove(&number)?;
        let asking = self.asking.get_mut(&peer)?;
        if let Some((next, body)) = asking.waiting.pop_front() {
            self.ask_now(next, &peer, body);
        } else {
            asking.under_way -= 1;
            if asking.under_way == 0 {
                self.asking.remove(&peer);
            }
        }
        Some(request)
    }

    pub(super) fn respond(&mut self, request: RequestId, body: Vec<u8>) {
        if let Some((_, channel)) = self.answers.remove(&request) {
            // Too late is no error: whoever asked will ask again.
            let _ = self.asks.send_response(channel, body);
        }
    }

    pub(super) fn on_exchange(&mut self, event: exchange::Event<Vec<u8>, Vec<u8>>) {
        match event {
            exchange::Event::Message {
                peer,
                connection_id,
                message,
            } => {
                self.heard(connection_id);
                self.on_message(peer, message);
            }
            exchange::Event::OutboundFailure { request_id, error, .. } => {
                if let Some(request) = self.over(request_id) {
                    tracing::debug!(%error, "a request failed");
                    self.tell(Input::RequestFailed {
                        request,
                        failures: Vec::new(),
                    });
                }
            }
            exchange::Event::InboundFailure { request_id, .. } => self.answers.retain(|_, (id, _)| *id != request_id),
            exchange::Event::ResponseSent { .. } => {}
        }
    }

    fn on_message(&mut self, peer: PeerId, message: exchange::Message<Vec<u8>, Vec<u8>>) {
        match message {
            exchange::Message::Request {
                request_id,
                request: body,
                channel,
            } => {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                self.answers.insert(request, (request_id, channel));
                self.tell(Input::Request { request, peer, body });
            }
            exchange::Message::Response {
                request_id,
                response: body,
            } => {
                if let Some(request) = self.over(request_id) {
                    self.tell(Input::Response { request, body });
                }
            }
        }
    }
}
