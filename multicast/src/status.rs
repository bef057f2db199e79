//! How multicast routing stands at a node, for people and programs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether this node is sure of its place: its group has a quorum, and it has run all the time.
    pub routing: bool,
    /// Whether the group has a quorum, as far as is known here.
    pub quorum: bool,
    /// Who relays between the networks.
    pub system_leader: Option<String>,
    /// Whether that is this node.
    pub is_system_leader: bool,
    /// How often this node was not sure of its place.
    pub fences: u64,
    /// The networks that this node is on.
    pub networks: Vec<NetworkStatus>,
    /// All networks, and who leads them.
    pub roster: Vec<RosterEntry>,
    /// As the system leader: the leaders that it has taken in.
    pub tunnels: Vec<TunnelStatus>,
    /// Datagrams relayed, as the system leader.
    pub relayed: u64,
    /// What went no further at the system leader, by reason.
    pub relay_dropped: BTreeMap<String, u64>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// A network that this node is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// Which.
    pub network: String,
    /// Through which interface.
    pub interface: String,
    /// With which address.
    pub address: String,
    /// `leader`, `standby`, `member`, or `joining`.
    pub role: String,
    /// As its leader: `silent`, `greeting` or `open`.
    pub tunnel: String,
    /// Datagrams captured as its leader.
    pub captured: u64,
    /// Datagrams sent to the system leader.
    pub sent: u64,
    /// … of these, in a take-over.
    pub sent_again: u64,
    /// Datagrams put on the wire.
    pub injected: u64,
    /// … of these, in a take-over.
    pub injected_again: u64,
    /// Datagrams that others have put on the wire.
    pub overheard: u64,
    /// Datagrams lost in a tunnel on the way here.
    pub lost: u64,
    /// What went no further, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// A network and its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    /// Which.
    pub network: String,
    /// The peer that leads it.
    pub leader: String,
    /// Those behind it, by age.
    pub others: Vec<String>,
}

/// A conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelStatus {
    /// For which network.
    pub network: String,
    /// With whom.
    pub peer: String,
    /// Datagrams from there, in this conversation.
    pub received: u64,
    /// Datagrams to there, in this conversation.
    pub sent: u64,
}
