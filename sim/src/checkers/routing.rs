//! Routing converges: a bound after the last disturbance every running peer has a place, and its leaf set holds the peers that are truly
//! nearest to it on both sides; so greedy routing ends at the right peer from everywhere.

use std::collections::BTreeMap;

use fatebound_machine::overlay::{Key, PeerId};

use super::{Book, Checker, Report};
use crate::hosts::host_of;
use crate::world::State;
use crate::{PeerIndex, World};

/// The checker.
#[derive(Debug)]
pub(super) struct Routing;

/// The peers that follow this key in the order of `keys`, wrapping round, without it.
fn after<'a>(own: &Key, keys: impl DoubleEndedIterator<Item = (&'a Key, &'a PeerId)> + Clone) -> Vec<PeerId> {
    let behind = keys.clone().skip_while(|(key, _)| *key != own).skip(1);
    let ahead = keys.take_while(|(key, _)| *key != own);
    behind.chain(ahead).map(|(_, peer)| *peer).collect()
}

/// Whether any of the peer's bootstrap peers runs: without one a peer that has restarted can find nobody.
fn has_a_way_in(world: &World, peer: PeerIndex) -> bool {
    let hosts = world.peers[peer.0].bootstrap.iter().filter_map(host_of);
    hosts
        .filter_map(|host| world.who_lives_at(host))
        .any(|host| host != peer && world.peers[host.0].state == State::Running)
}

impl Checker for Routing {
    fn promise(&self) -> &'static str {
        "routing converges"
    }

    fn end(&mut self, world: &World, book: &Book, report: &mut Report) {
        let runs = |peer: &PeerIndex| world.peers[peer.0].state == State::Running;
        let running: Vec<PeerIndex> = (0..book.peers.len()).map(PeerIndex).filter(runs).collect();
        if book.now < book.disturbed + book.bound || !running.iter().all(|&peer| has_a_way_in(world, peer)) {
            return;
        }
        let key = |peer: &PeerIndex| (Key::of(&world.id(*peer)), world.id(*peer));
        let keys: BTreeMap<Key, PeerId> = running.iter().map(key).collect();
        let number = |peer: &PeerId| book.index(peer).map_or(usize::MAX, |peer| peer.0);
        let list = |peers: &[PeerId]| peers.iter().map(number).collect::<Vec<_>>();
        for peer in running {
            let Some(machine) = world.machine(peer) else { continue };
            if !machine.status().joined {
                report.broken(self.promise(), book.now, peer, "has no place on the ring".into());
                continue;
            }
            let own = Key::of(&world.id(peer));
            let mut above = after(&own, keys.iter());
            let mut below = after(&own, keys.iter().rev());
            above.truncate(world.config.overlay.leaves_per_side);
            below.truncate(world.config.overlay.leaves_per_side);
            let routes = machine.routes();
            if (&routes.below, &routes.above) != (&below, &above) {
                let what = format!(
                    "its leaves are {:?} below and {:?} above, the nearest are {:?} and {:?}",
                    list(&routes.below),
                    list(&routes.above),
                    list(&below),
                    list(&above)
                );
                report.broken(self.promise(), book.now, peer, what);
            }
        }
    }
}
