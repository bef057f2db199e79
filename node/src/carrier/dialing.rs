//! Dials of the carrier: some wait for others, each ends once, and an address is verified only where no connection says the same.

use std::task::Context;

use fatebound_machine::Input;
use fatebound_machine::overlay::{DialFailure, Multiaddr, PeerId};
use libp2p::swarm::{ConnectionId, DialError, ToSwarm};
use tokio::time::Instant;

use super::{Carrier, Connection, Open};
use crate::descriptors;
use crate::dials::{Dial, Purpose, bare, reason};

impl Carrier {
    /// Makes a dial, if need be when others have ended.
    pub(super) fn dial(&mut self, mut dial: Dial) {
        if let Some(peer) = dial.peer {
            let elsewhere = self.strangers.leave_out(&peer, &mut dial.rest);
            dial.failures
                .extend(elsewhere.into_iter().map(|address| (address, DialFailure::WrongPeer)));
        }
        if !self.has_descriptors(&dial) {
            self.dial_ended(dial);
        } else if self.has_room(&dial) {
            self.try_next(dial);
        } else {
            self.waiting.push_back(dial);
        }
    }

    /// Takes a dial that has ended out of those under way, and lets others follow.
    pub(super) fn take_dial(&mut self, connection: ConnectionId) -> Option<Dial> {
        let ended = self.dials.remove(&connection)?;
        self.let_follow();
        Some(ended)
    }

    fn let_follow(&mut self) {
        while let Some(at) = self.waiting.iter().position(|dial| self.has_room(dial)) {
            if let Some(dial) = self.waiting.remove(at) {
                self.try_next(dial);
            }
        }
    }

    /// As many slow dials as there may be others do not count. Beyond that they do: a crowd of handshakes makes a busy host slower still.
    fn has_room(&self, dial: &Dial) -> bool {
        let at_once = dial.purpose.at_once();
        let slow = self.dials.values().filter(|dial| dial.slow).count();
        self.dials.len() - slow.min(at_once) < at_once
    }

    /// Whether a connection more leaves enough descriptors: links have the last quarter of them for themselves.
    fn has_descriptors(&mut self, dial: &Dial) -> bool {
        let questions = self.budget.questions;
        let enough =
            matches!(dial.purpose, Purpose::Session(_)) || self.connections.len() + self.dials.len() < questions;
        if !enough && self.rarely.says("descriptors", std::time::Instant::now()) {
            let limit = descriptors::limit();
            tracing::warn!(
                connections = self.connections.len(),
                descriptors = ?limit,
                "the rest of the file descriptors is kept for links: nobody is dialled for questions (raise ulimit -n)"
            );
        }
        enough
    }

    /// A dial may take many times as long as an answer. Whoever waits for one that does is told, and it keeps nobody waiting for its place.
    pub(super) fn poll_slow(&mut self, cx: &mut Context<'_>) -> bool {
        let begun = self.dials.values().filter(|dial| !dial.slow).map(|dial| dial.since);
        let Some(at) = begun.min().map(|first| first + self.slow_after) else {
            return false;
        };
        let timer = self.slow.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        let due = timer.as_mut().poll(cx).is_ready();
        if due {
            self.end_patience(at);
        }
        due
    }

    fn end_patience(&mut self, due: Instant) {
        let mut waiting = Vec::new();
        for dial in self.dials.values_mut() {
            if !dial.slow && dial.since + self.slow_after <= due {
                dial.slow = true;
                waiting.append(&mut dial.asks);
            }
        }
        for (request, _) in waiting {
            let failures = Vec::new();
            self.tell(Input::RequestFailed { request, failures });
        }
        self.let_follow();
    }

    /// Makes the next try of a dial, or reports that none is left.
    fn try_next(&mut self, mut dial: Dial) {
        match dial.next() {
            Some(opts) => {
                dial.since = Instant::now();
                self.dials.insert(opts.connection_id(), dial);
                self.actions.push_back(ToSwarm::Dial { opts });
            }
            None => self.dial_ended(dial),
        }
    }

    pub(super) fn dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        if let Some(mut dial) = self.take_dial(connection) {
            tracing::debug!(addresses = ?dial.trying, %error, "a dial failed");
            for address in &dial.trying {
                if let Some(reason) = reason(error, address) {
                    self.bootstraps.failed(address, &reason);
                }
            }
            dial.fail(error);
            if let Some(peer) = dial.peer {
                let wrong = dial
                    .failures
                    .iter()
                    .filter(|(_, cause)| *cause == DialFailure::WrongPeer);
                wrong.for_each(|(address, _)| self.strangers.met(peer, address));
            }
            self.try_next(dial);
        }
    }

    fn dial_ended(&mut self, dial: Dial) {
        for (request, _) in dial.asks {
            self.tell(Input::RequestFailed {
                request,
                failures: dial.failures.clone(),
            });
        }
        if let (Purpose::Pipe(order), Some(peer)) = (dial.purpose, dial.peer) {
            return self.open_pipe_on_what_is_up(order, peer);
        }
        if dial.purpose != Purpose::Ask {
            self.tell(Input::DialFailed {
                peer: dial.peer,
                failures: dial.failures,
            });
        }
    }

    /// A dial of ours is a connection now.
    pub(super) fn dial_succeeded(&mut self, connection: ConnectionId, peer: PeerId, dial: Dial, address: Multiaddr) {
        if let Purpose::Session(order) = dial.purpose {
            let open = Open {
                peer,
                connection,
                addresses: Vec::new(),
                dialled: dial.trying,
            };
            self.opens.insert(order, open);
        }
        if let Purpose::Pipe(order) = dial.purpose {
            self.pipe_dialled(order, peer, connection);
        }
        if !dial.asks.is_empty() {
            self.tell(Input::Verified { peer, address });
        }
        for (request, body) in dial.asks {
            self.ask(request, &peer, body);
        }
    }

    /// Dials to see who lives there, unless we did so for the only connection to this peer that is up, or since: then it is the same life that
    /// was met there, for a connection ends with the process. A handshake for each member of each new group would cost more than the rest of it.
    pub(super) fn verify(&mut self, peer: PeerId, address: Multiaddr) {
        let known = self.only_connection(&peer).is_some_and(|only| {
            let met = [&only.dialled, &only.verified];
            met.into_iter().flatten().any(|met| bare(met) == bare(&address))
        });
        if known {
            self.tell(Input::Verified { peer, address });
        } else {
            self.dial(Dial::new(Some(peer), vec![address], Purpose::Verify));
        }
    }

    pub(super) fn verified(&mut self, peer: PeerId, address: Multiaddr) {
        if let Some(only) = self.only_connection(&peer) {
            only.verified = Some(address.clone());
        }
        self.tell(Input::Verified { peer, address });
    }

    fn only_connection(&mut self, peer: &PeerId) -> Option<&mut Connection> {
        match self.peers.get(peer).map(Vec::as_slice) {
            Some([only]) => self.connections.get_mut(only),
            _ => None,
        }
    }
}
