//! Dials of the carrier: some wait for others, each ends once, and an address is verified only where no connection says the same.

use fatebound_machine::Input;
use fatebound_machine::overlay::{Multiaddr, PeerId};
use libp2p::swarm::{ConnectionId, DialError, ToSwarm};

use super::{Carrier, Connection, Open};
use crate::dials::{Dial, Purpose, bare, reason};

impl Carrier {
    /// Makes a dial, if need be when others have ended.
    pub(super) fn dial(&mut self, dial: Dial) {
        if self.has_room(&dial) {
            self.try_next(dial);
        } else {
            self.waiting.push_back(dial);
        }
    }

    /// Takes a dial that has ended out of those under way, and lets others follow.
    pub(super) fn take_dial(&mut self, connection: ConnectionId) -> Option<Dial> {
        let ended = self.dials.remove(&connection)?;
        while let Some(at) = self.waiting.iter().position(|dial| self.has_room(dial)) {
            if let Some(dial) = self.waiting.remove(at) {
                self.try_next(dial);
            }
        }
        Some(ended)
    }

    fn has_room(&self, dial: &Dial) -> bool {
        self.dials.len() < dial.purpose.at_once()
    }

    /// Makes the next try of a dial, or reports that none is left.
    fn try_next(&mut self, mut dial: Dial) {
        match dial.next() {
            Some(opts) => {
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
