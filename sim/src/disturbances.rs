//! What can be done to the network: cuts, firewalls, loss, delay, narrow wires, and connections that break or die.
//!
//! All of it can be combined. What is not there costs nothing.

use std::time::Duration;

use crate::PeerIndex;
use crate::latency::{REGIONS, region_of};
use crate::observe::{Disturbance, Observation};
use crate::wire::Dials;
use crate::world::World;

impl World {
    pub(crate) fn network_changes(&mut self) {
        self.saw(|| Observation::Disturbed(Disturbance::Network));
    }

    /// Cuts both directions between two hosts: nothing gets through, and TCP goes on trying.
    pub fn cut(&mut self, a: PeerIndex, b: PeerIndex) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Cuts one direction.
    pub fn cut_one_way(&mut self, from: PeerIndex, to: PeerIndex) {
        self.network_changes();
        self.network.set_cut(from, to, true);
    }

    /// Cuts every wire between the two sets.
    pub fn partition(&mut self, one: &[PeerIndex], other: &[PeerIndex]) {
        for &a in one {
            for &b in other {
                self.cut(a, b);
            }
        }
    }

    /// Whether anything gets from one host to the other.
    pub fn is_cut(&self, from: PeerIndex, to: PeerIndex) -> bool {
        self.network.is_cut(from, to)
    }

    /// Mends every wire, and lets dials pass again; what TCP still holds arrives when it tries next.
    pub fn heal(&mut self) {
        self.network_changes();
        self.network.mend();
    }

    /// Mends both directions between two hosts.
    pub fn mend(&mut self, a: PeerIndex, b: PeerIndex) {
        self.network_changes();
        self.network.set_cut(a, b, false);
        self.network.set_cut(b, a, false);
    }

    /// Everything that was done to wires is undone: cuts, firewalls, loss, delays, narrow places.
    pub fn calm_network(&mut self) {
        self.network_changes();
        self.network.calm();
    }

    /// A firewall refuses new connections in this direction; those that are up stay.
    pub fn refuse(&mut self, from: PeerIndex, to: PeerIndex) {
        self.network_changes();
        self.network.set_dials(from, to, Dials::Refused);
    }

    /// A firewall swallows new connections in this direction; those that are up stay.
    pub fn black_hole(&mut self, from: PeerIndex, to: PeerIndex) {
        self.network_changes();
        self.network.set_dials(from, to, Dials::Unanswered);
    }

    /// No firewall stands in this direction any more.
    pub fn admit(&mut self, from: PeerIndex, to: PeerIndex) {
        self.network_changes();
        self.network.set_dials(from, to, Dials::Pass);
    }

    /// This share of the packets in this direction is lost, acknowledgements included.
    ///
    /// # Panics
    /// When it is no share.
    pub fn set_loss(&mut self, from: PeerIndex, to: PeerIndex, share: f64) {
        assert!((0.0..=1.0).contains(&share), "{share} is no share");
        self.network_changes();
        self.network.set_loss(from, to, share);
    }

    /// This share of the packets is lost on every wire, whatever [`World::set_loss`] said before.
    ///
    /// # Panics
    /// When it is no share.
    pub fn set_loss_everywhere(&mut self, share: f64) {
        assert!((0.0..=1.0).contains(&share), "{share} is no share");
        self.network_changes();
        self.network.set_loss_everywhere(share);
    }

    /// Packets in this direction take so much longer.
    pub fn set_delay(&mut self, from: PeerIndex, to: PeerIndex, extra: Duration) {
        self.network_changes();
        self.network.set_delay(from, to, extra);
    }

    /// So many bytes per second get through in this direction; `None`: as many as come. What queues for the narrow place arrives even when its
    /// sender is gone.
    pub fn set_bandwidth(&mut self, from: PeerIndex, to: PeerIndex, rate: Option<u64>) {
        self.network_changes();
        self.network.set_rate(from, to, rate);
    }

    /// Breaks every connection between two peers; both notice at once.
    pub fn break_sessions(&mut self, a: PeerIndex, b: PeerIndex) {
        self.break_sessions_at(a, b);
        self.break_sessions_at(b, a);
    }

    /// Breaks every connection between two peers as `at` sees it, say because its kernel has reset them. The other end finds out when it sends
    /// next, or never.
    pub fn break_sessions_at(&mut self, at: PeerIndex, with: PeerIndex) {
        self.network_changes();
        for end in self.ends_between(at, with) {
            self.close(end, false);
        }
    }

    /// Every connection between two peers dies, and neither end notices: what is sent gets nowhere. New ones work.
    pub fn silence_sessions(&mut self, a: PeerIndex, b: PeerIndex) {
        self.network_changes();
        for end in self.ends_between(a, b).into_iter().chain(self.ends_between(b, a)) {
            self.deaden(end.connection);
        }
    }

    /// Every connection of a host goes silent, as when a NAT forgets them or a firewall's table is lost: neither end notices. New ones work.
    pub fn silence_host(&mut self, peer: PeerIndex) {
        self.network_changes();
        for (_, connection) in self.peers[peer.0].host.connections.clone() {
            self.deaden(connection);
        }
    }

    /// How many regions there are: see [`World::region_of`].
    pub fn regions(&self) -> usize {
        REGIONS
    }

    /// The region in which a peer stands: near others of the same region in a wide-area network, a rack otherwise.
    pub fn region_of(&self, peer: PeerIndex) -> usize {
        region_of(self.network.seed(), peer)
    }
}
