//! How full everything about links is. Protocol.md §4 says how full it may be.

use libp2p_identity::PeerId;

use super::dialing::Remote;
use super::meeting::{MAX_LISTED, MAX_SESSIONS, MAX_UNLIKE};
use super::session::OpenSession;
use super::{Link, Links, MAX_NEIGHBOURS};
use crate::Bounded;

impl Links {
    pub(crate) fn bounds(&self) -> Vec<Bounded> {
        let wanted = self.remotes.values().filter(|remote| remote.wanted).count();
        let left = |(peer, remote): &(&PeerId, &Remote)| remote.is_idle() && !self.by_peer.contains_key(*peer);
        let mut bounds = vec![
            Bounded::new("links", self.links.len(), self.config.max_links + wanted),
            Bounded::new(
                "peers with nothing left to do",
                self.all_remotes().filter(left).count(),
                0,
            ),
            Bounded::new("peers of other times", self.unlike.len(), MAX_UNLIKE),
            // Two for all links, one for each session, four for each link.
            Bounded::new(
                "timers of links",
                self.deadlines.len(),
                2 + self.sessions.len() + 4 * self.links.len(),
            ),
            Bounded::new("dials to come", self.redials.len(), self.remotes.len()),
        ];
        bounds.extend(self.bounds_of_sessions());
        bounds.extend(self.contacts.bounds());
        bounds.extend(self.twins.bounds());
        bounds.extend(fullest(self.iter().map(bounds_of)));
        bounds
    }

    fn all_remotes(&self) -> impl Iterator<Item = (&PeerId, &Remote)> {
        self.remotes.iter().map(|(peer, remote)| (peer, &**remote))
    }

    fn bounds_of_sessions(&self) -> [Bounded; 4] {
        let sessions = || self.sessions.values().map(|open| &**open);
        let listed = |open: &OpenSession| open.theirs.as_ref().map_or(0, |theirs| theirs.open.len());
        let neighbours = |open: &OpenSession| open.theirs.as_ref().map_or(0, |theirs| theirs.neighbours.len());
        let of_peers = self.remotes.values().map(|remote| remote.sessions.len());
        [
            Bounded::new("sessions", self.sessions.len(), self.most_sessions()),
            Bounded::fullest("sessions with a peer", of_peers, MAX_SESSIONS),
            Bounded::fullest("sessions that a Hello lists", sessions().map(listed), MAX_LISTED),
            Bounded::fullest(
                "neighbours that a Hello lists",
                sessions().map(neighbours),
                MAX_NEIGHBOURS,
            ),
        ]
    }

    /// Those of strangers, and on top of them those with peers that we have something to do with, or have dialled.
    fn most_sessions(&self) -> usize {
        let expected = |(peer, remote): &(&PeerId, &Remote)| {
            remote.wanted || remote.requested || remote.dialing.is_some() || self.by_peer.contains_key(*peer)
        };
        let expected = self.all_remotes().filter(expected).count();
        self.strangers_sessions() + MAX_SESSIONS * (expected + crate::join::MAX_BOOTSTRAP)
    }
}

fn bounds_of(link: &Link) -> [Bounded; 5] {
    let [operations, bytes, in_flight] = link.operations.bounds();
    let neighbours = Bounded::new("neighbours of a neighbour", link.neighbours.len(), MAX_NEIGHBOURS);
    [operations, bytes, in_flight, link.pings.bounds(), neighbours]
}

/// Of each kind the fullest.
fn fullest<const N: usize>(all: impl Iterator<Item = [Bounded; N]>) -> Vec<Bounded> {
    let fuller = |mut fullest: [Bounded; N], other: [Bounded; N]| {
        for (kept, one) in fullest.iter_mut().zip(other) {
            kept.size = kept.size.max(one.size);
        }
        fullest
    };
    all.reduce(fuller).into_iter().flatten().collect()
}
