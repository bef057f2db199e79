//! What can be read about an overlay without changing it.

use std::time::Duration;

use libp2p_identity::PeerId;

/// A neighbour and its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Who.
    pub peer: PeerId,
    /// Whether the link is doubtful.
    pub doubtful: bool,
    /// Whether either end's overlay wants the link; otherwise only paths keep it.
    pub wanted: bool,
    /// Paths over the link.
    pub paths: u32,
    /// Smoothed round trip, once measured.
    pub round_trip: Option<Duration>,
    /// The neighbour's life.
    pub incarnation: u64,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pings sent.
    pub pings_sent: u64,
    /// Pings not answered in time.
    pub pings_missed: u64,
    /// Links that became doubtful: each time, the ends of the paths that begin or end there ask each other.
    pub doubts: u64,
    /// Links that went down, shutdowns not counted.
    pub links_lost: u64,
    /// Peers that were found to keep other times than this one: all of an overlay need the same profile.
    pub unlike: u64,
    /// How often two living processes were found to use one identity, this peer's own included.
    pub twins: u64,
    /// Messages that broke a rule: not well formed, not genuine, not asked for.
    pub garbage: u64,
    /// Messages dropped for want of a way, a place or a credit.
    pub dropped: u64,
}
