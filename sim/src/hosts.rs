//! Hosts: where a peer can be dialled, its process' time, and its connections.
//!
//! Host n lives at 10.x.y.z, n in the lower three bytes. A peer starts on the host of its own number; those that peers move to count from
//! [`MOVED`].

use std::time::Duration;

use fatebound_machine::Input;
use fatebound_machine::overlay::{Multiaddr, Protocol, Time};

use crate::PeerIndex;
use crate::clock::Clock;
use crate::connections::ConnectionId;
use crate::observe::{Disturbance, Observation};
use crate::world::World;

/// The first number of a host that a peer has moved to.
const MOVED: u32 = 1 << 23;

/// The number in the address that is of whichever host has it at the moment, besides its own.
pub(crate) const FLOATING: u32 = 1 << 22;

/// What belongs to a peer's host rather than to one life of its process.
#[derive(Debug)]
pub(crate) struct Host {
    /// In its address.
    pub(crate) number: u32,
    /// With whom it has which connections, the oldest first.
    pub(crate) connections: Vec<(PeerIndex, ConnectionId)>,
    pub(crate) clock: Clock,
    /// How long its process takes for each input.
    pub(crate) slow: Duration,
    /// Until when its process takes nothing.
    pub(crate) busy: Time,
    /// Whether it has been ordered to go on then.
    pub(crate) called: bool,
    /// Whether a wake waits among what it has not taken.
    pub(crate) wake_waits: bool,
    /// How much of each connection its kernel keeps for its process; `None`: any number of bytes.
    pub(crate) window: Option<usize>,
}

impl Host {
    pub(crate) fn new(peer: PeerIndex) -> Host {
        Host {
            number: peer.0 as u32,
            connections: Vec::new(),
            clock: Clock::default(),
            slow: Duration::ZERO,
            busy: Time::ZERO,
            called: false,
            wake_waits: false,
            window: None,
        }
    }

    /// What the process was about is over.
    pub(crate) fn end_process(&mut self) {
        self.busy = Time::ZERO;
        self.called = false;
        self.wake_waits = false;
    }
}

/// The address of the host with this number.
pub(crate) fn address_of(host: u32) -> Multiaddr {
    let [_, x, y, z] = host.to_be_bytes();
    Multiaddr::empty()
        .with(Protocol::Ip4([10, x, y, z].into()))
        .with(Protocol::Tcp(4001))
}

pub(crate) fn host_of(address: &Multiaddr) -> Option<u32> {
    let Some(Protocol::Ip4(ip)) = address.iter().next() else {
        return None;
    };
    let [_, x, y, z] = ip.octets();
    Some(u32::from_be_bytes([0, x, y, z]))
}

impl World {
    /// Where a peer can be dialled now; where it will be, if it does not exist yet.
    pub fn address(&self, peer: PeerIndex) -> Multiaddr {
        let number = self.peers.get(peer.0).map(|peer| peer.host.number);
        address_of(number.unwrap_or(peer.0 as u32))
    }

    /// Who lives at this host.
    pub(crate) fn who_lives_at(&self, host: u32) -> Option<PeerIndex> {
        if host == FLOATING {
            return self.floating;
        }
        if let Some(&peer) = self.moved.get(&host) {
            return Some(peer);
        }
        let native = self.peers.get(host as usize)?;
        (native.host.number == host).then_some(PeerIndex(host as usize))
    }

    /// The peer gets another address. Its connections hang: nobody is told, and what is sent gets nowhere. Nobody answers at the old address. What
    /// the peer's bootstrap list says stays as it is.
    pub fn move_address(&mut self, peer: PeerIndex) {
        self.hosts_used += 1;
        self.move_to(peer, MOVED + self.hosts_used);
    }

    /// The virtual address comes to this peer's host, besides its own, and leaves the host where it was: there it is gone, and the new host
    /// knows nothing of the connections over it.
    pub fn float_address(&mut self, to: PeerIndex) {
        self.saw(|| Observation::Disturbed(Disturbance::Network));
        let left = self.floating.replace(to);
        for peer in left.filter(|&left| left != to).into_iter().chain([to]) {
            self.input(peer, Input::Listening(self.listening(peer)));
        }
    }

    /// Where a peer listens.
    pub(crate) fn listening(&self, peer: PeerIndex) -> Vec<Multiaddr> {
        let floating = self.floating.filter(|&at| at == peer).map(|_| address_of(FLOATING));
        floating.into_iter().chain([self.address(peer)]).collect()
    }

    /// Whether this peer's host has this address.
    pub(crate) fn is_at(&self, peer: PeerIndex, host: u32) -> bool {
        match host {
            FLOATING => self.floating == Some(peer),
            host => self.peers[peer.0].host.number == host,
        }
    }

    /// The peer moves to an address that another one has left: whoever looks for that one there finds the wrong peer. Says whether the address was free.
    pub fn take_address(&mut self, peer: PeerIndex, address: &Multiaddr) -> bool {
        let free = host_of(address).filter(|&host| self.who_lives_at(host).is_none());
        if let Some(host) = free {
            self.move_to(peer, host);
        }
        free.is_some()
    }

    fn move_to(&mut self, peer: PeerIndex, host: u32) {
        self.saw(|| Observation::Disturbed(Disturbance::Network));
        let left = self.peers[peer.0].host.number;
        self.moved.remove(&left);
        self.moved.insert(host, peer);
        self.silence_host(peer);
        self.peers[peer.0].host.number = host;
        self.input(peer, Input::Listening(self.listening(peer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_host() {
        for host in [0, 255, 256, 99_999, MOVED + 7] {
            assert_eq!(host_of(&address_of(host)), Some(host));
        }
        assert_eq!(address_of(258).to_string(), "/ip4/10.0.1.2/tcp/4001");
        assert_eq!(host_of(&"/dns4/somewhere/tcp/1".parse().unwrap()), None);
    }
}
