//! What can be read about a peer without changing it: for status pages, tests and the simulator's checkers.

use std::time::Duration;

use fatebound_overlay::{Bounded, Multiaddr, PeerId};

use crate::Machine;

/// A peer at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who.
    pub peer: PeerId,
    /// Its life.
    pub incarnation: u64,
    /// Whether it has joined the overlay.
    pub joined: bool,
    /// Whether it has no neighbour left although there were some, or bootstrap addresses name some: it has a place, and nobody beside it.
    pub isolated: bool,
    /// Links that are up and alive.
    pub links_alive: usize,
    /// Links that are up and doubtful.
    pub links_doubtful: usize,
    /// Groups that this peer is the root of.
    pub groups_as_root: usize,
    /// Groups that it is another member of.
    pub groups_as_member: usize,
    /// Segments of paths kept, own ones and carried ones.
    pub paths: usize,
    /// Of these, those that it merely carries.
    pub paths_as_delegate: usize,
    /// The bound of its configuration.
    pub notification_bound: Duration,
    /// What has happened so far.
    pub counters: Counters,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pings sent.
    pub pings_sent: u64,
    /// Pings not answered in time.
    pub pings_missed: u64,
    /// Links that became doubtful.
    pub doubts: u64,
    /// Questions of a group's root and members to each other, repeated ones included: whether one is alive, and for repair.
    pub questions: u64,
    /// Frames sent on links, pings and answers included.
    pub frames_sent: u64,
    /// Bytes of these.
    pub bytes_sent: u64,
    /// Frames and requests received that did not decode or broke a rule.
    pub garbage: u64,
    /// Joint sets whose digests differed.
    pub digest_mismatches: u64,
    /// Links that went down, those not counted that either end closed in an orderly way: by its shutdown, or unneeded.
    pub links_lost: u64,
    /// Peers that were found to keep other times than this one: all of an overlay need the same profile.
    pub unlike: u64,
    /// How often two living processes were found to use one identity, this peer's own included.
    pub twins: u64,
    /// Paths that broke at a root and were repaired.
    pub repairs: u64,
    /// Messages and orders thrown away: too many, too long, without a way on, or for a session, link or question that is gone.
    pub dropped: u64,
    /// Pipes that came up.
    pub pipes_opened: u64,
    /// Of these, those that ended otherwise than for want of use or because an end stopped.
    pub pipes_broken: u64,
}

/// A neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Who.
    pub peer: PeerId,
    /// Whether its link is doubtful.
    pub doubtful: bool,
    /// Whether the overlay of this end or of the other wants the link; otherwise only paths keep it.
    pub wanted: bool,
    /// Paths over the link.
    pub paths: u32,
    /// Smoothed round trip, once measured.
    pub round_trip: Option<Duration>,
    /// The neighbour's incarnation.
    pub incarnation: u64,
    /// Where it may be dialled, as far as is known here.
    pub addresses: Vec<Multiaddr>,
}

/// Where this peer stands and whom it routes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutesView {
    /// Its key, hexadecimal.
    pub key: String,
    /// The leaf set's lower side, nearest first.
    pub below: Vec<PeerId>,
    /// The leaf set's upper side, nearest first.
    pub above: Vec<PeerId>,
    /// Rows of the routing table; each entry with its digit.
    pub rows: Vec<Vec<(u8, PeerId)>>,
}

impl Machine {
    /// What this peer keeps for others in the directory, at a glance.
    pub fn directory(&self) -> fatebound_overlay::directory::View {
        self.overlay.directory()
    }

    /// The record that this peer keeps under a name.
    pub fn directory_record(
        &self,
        name: &fatebound_overlay::directory::Name,
    ) -> Option<&fatebound_overlay::directory::Entry> {
        self.overlay.directory_record(name)
    }

    /// Everything in this peer that can grow, with its limit, for checkers: costs a walk over all links and groups.
    pub fn bounds(&self) -> Vec<Bounded> {
        let mut bounds = self.overlay.bounds();
        bounds.extend(self.tree.bounds());
        bounds.extend(self.groups.bounds());
        bounds.extend(self.pipes.bounds());
        bounds.extend(self.cluster.bounds());
        let limit = self.config.overlay.pipes.max_peers;
        bounds.push(Bounded::new(
            "peers located for pipes",
            self.located_for_pipes.len(),
            limit,
        ));
        bounds
    }
}
