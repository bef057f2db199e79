//! What goes into the machine, and what comes out of it.

use fatebound::PeerId;

use crate::message::{Frame, Seat};
use crate::network::NetworkId;
use crate::packet::Packet;
use crate::roster::Role;

/// What has happened.
#[allow(
    clippy::large_enum_variant,
    reason = "hellos are rare, and datagrams many: none needs a box of its own"
)]
#[derive(Clone, Debug)]
pub enum Input {
    /// This node has a seat on a network, or has lost it.
    Seat {
        /// Which network.
        network: NetworkId,
        /// Which seat.
        seat: Option<Seat>,
    },
    /// The list of the group, the oldest seat first, without those that have failed.
    List(Vec<(Seat, NetworkId)>),
    /// Whether there is a quorum of the group.
    Quorum(bool),
    /// A packet was captured.
    Captured {
        /// On which network.
        network: NetworkId,
        /// From the IP header on.
        bytes: Vec<u8>,
    },
    /// A word has come through a tunnel.
    Frame {
        /// From whom, authenticated.
        peer: PeerId,
        /// What.
        frame: Frame,
    },
    /// A tunnel has broken: what was last sent or was on its way may be lost.
    TunnelDown {
        /// With whom.
        peer: PeerId,
    },
    /// The group has shown this node its own question.
    Confirmed {
        /// Which.
        nonce: u64,
    },
    /// A packet could not be put on the wire.
    NotSent {
        /// On which network.
        network: NetworkId,
    },
    /// Data was given up in the queue of a tunnel.
    Backlog {
        /// On its way from, or for, which network.
        network: NetworkId,
        /// How many.
        count: u64,
    },
    /// The deadline has come.
    Wake,
}

/// What is to be done.
#[allow(
    clippy::large_enum_variant,
    reason = "hellos are rare, and datagrams many: none needs a box of its own"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Put this on the wire.
    Inject {
        /// On which network.
        network: NetworkId,
        /// What.
        packet: Packet,
    },
    /// Send this through the tunnel.
    Send {
        /// With whom.
        peer: PeerId,
        /// What.
        frame: Frame,
    },
    /// Capture on this network from now on, or no more.
    Capture {
        /// Which.
        network: NetworkId,
        /// Whether.
        on: bool,
    },
    /// Ask the group: send all this, and say [`Input::Confirmed`] when it is shown here.
    Confirm {
        /// What.
        nonce: u64,
    },
    /// For people.
    Event(Event),
}

/// What people want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node is something else on a network.
    Role {
        /// Which.
        network: NetworkId,
        /// What.
        role: Role,
    },
    /// This node is the system leader, or is it no more.
    Hub(bool),
    /// The system leader has taken this node in as the leader of a network.
    Opened {
        /// Which.
        network: NetworkId,
        /// So many that were captured were missing there.
        missing: u64,
    },
    /// As the system leader: a network's leader was taken in.
    Branch {
        /// Which network.
        network: NetworkId,
        /// Its leader.
        leader: PeerId,
        /// So many were missing on its network.
        missing: u64,
    },
    /// This node has not run for too long, or the group had no quorum: it routes nothing until the group has answered.
    Fenced,
    /// The group has answered.
    Unfenced,
}
