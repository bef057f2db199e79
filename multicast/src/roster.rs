//! Who routes what: read off the list of the process group, the same for everybody who has the same list (M2).

use std::collections::BTreeMap;

use crate::message::Seat;
use crate::network::NetworkId;

/// All seats by network, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    networks: BTreeMap<NetworkId, Vec<Seat>>,
    hub: Option<Seat>,
}

/// What a seat is for on its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The one routing point.
    Leader,
    /// Overhears what the leader does, and is so many places away from leading.
    Standby(usize),
    /// Neither.
    Member,
    /// In no list.
    Outside,
}

impl Roster {
    /// From the list of the group, the oldest first.
    pub fn new(list: &[(Seat, NetworkId)]) -> Roster {
        let mut networks: BTreeMap<NetworkId, Vec<Seat>> = BTreeMap::new();
        for &(seat, network) in list {
            networks.entry(network).or_default().push(seat);
        }
        // The oldest seat of all is the oldest of its network: the first leader.
        let hub = list.first().map(|(seat, _)| *seat);
        Roster { networks, hub }
    }

    /// The system leader's seat.
    pub fn hub(&self) -> Option<Seat> {
        self.hub
    }

    /// The leader of a network.
    pub fn leader(&self, network: NetworkId) -> Option<Seat> {
        self.networks.get(&network)?.first().copied()
    }

    /// All networks, each with its seats.
    pub fn networks(&self) -> impl Iterator<Item = (NetworkId, &[Seat])> {
        self.networks
            .iter()
            .map(|(network, seats)| (*network, seats.as_slice()))
    }

    /// Whether a network is in it.
    pub fn has(&self, network: NetworkId) -> bool {
        self.networks.contains_key(&network)
    }

    /// What a seat is for, where so many overhear.
    pub fn role(&self, network: NetworkId, seat: Seat, standbys: usize) -> Role {
        let seats = self.networks.get(&network);
        match seats.and_then(|seats| seats.iter().position(|&other| other == seat)) {
            Some(0) => Role::Leader,
            Some(place) if place <= standbys => Role::Standby(place),
            Some(_) => Role::Member,
            None => Role::Outside,
        }
    }
}
