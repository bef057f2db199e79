//! Routing: the next hop, chosen among the links alone.
//!
//! "Routing is greedy and local: each hop hands on to the target itself if it is a neighbour, else to a neighbour strictly closer to the target. ◆ When
//! none is closer, or the only candidates were visited, the message may spend one of its few detour credits on the best neighbour not yet
//! visited" (protocol.md §3). Leaf set and table only decide which links there are.

use std::time::Duration;

use libp2p_identity::PeerId;

use crate::links::Link;
use crate::overlay::Overlay;
use crate::{Hop, Key, LinkId, Routes, Rule, Tag};

impl Routes for Overlay {
    fn next_hop(&self, target: &PeerId, visited: &[Tag], allow_detour: bool) -> Option<Hop> {
        let direct = self
            .links
            .by_peer(target)
            .filter(|link| link.usable() && !visited.contains(&link.tag()));
        if let Some(link) = direct {
            let (link, detour) = (link.id(), false);
            return Some(Hop { link, detour });
        }
        self.closest_hop(&Key::of(target), visited, allow_detour && Rule::Detours.holds())
    }

    fn link_to(&self, peer: &PeerId) -> Option<LinkId> {
        self.links.by_peer(peer).filter(|link| link.usable()).map(Link::id)
    }

    fn common_neighbours(&self, peer: &PeerId) -> Vec<LinkId> {
        let common = |link: &&Link| link.usable() && link.peer() != *peer && link.neighbours().contains(peer);
        self.links.iter().filter(common).map(Link::id).collect()
    }

    fn is_doubtful(&self, link: LinkId) -> bool {
        self.links.by_id(link).is_some_and(Link::doubtful)
    }

    fn round_trips(&self) -> Option<Duration> {
        self.links.round_trips()
    }
}

impl Overlay {
    /// The next hop to where `target` is or would be, but not the target itself if it was visited: greedy, then detour.
    pub(crate) fn closest_hop(&self, target: &Key, visited: &[Tag], allow_detour: bool) -> Option<Hop> {
        let carriers = self
            .links
            .iter()
            .filter(|link| self.carries(link) && !visited.contains(&link.tag()));
        let best = carriers.min_by_key(|link| link.key().ring_distance(target))?;
        let detour = best.key().ring_distance(target) >= self.ring.key().ring_distance(target);
        let link = best.id();
        (!detour || allow_detour).then_some(Hop { link, detour })
    }

    /// Whether routed messages may go over a link: usable, and its other end has a place on the ring, as it says itself or as our
    /// leaf set and table have it (its word in a ping may be as old as a `link_interval`).
    fn carries(&self, link: &Link) -> bool {
        link.usable() && (link.joined() || self.ring.has(&link.peer()))
    }
}
