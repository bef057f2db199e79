//! Routing converges: a bound after the last disturbance, if every two running peers can talk, every one of them has a place, and its leaf set
//! holds the peers that are truly nearest to it on both sides; so greedy routing ends at the right peer from everywhere.
//!
//! Two things take longer, because peers try again ever more rarely: to find back to a living peer that could not be reached for a time,
//! and to stop hearing of a dead one. These are excused until the rarest try (64 rounds of maintenance) must have come.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_machine::overlay::{Key, PeerId};

use super::{Book, Checker, Report, works};
use crate::hosts::host_of;
use crate::world::{State, pair};
use crate::{PeerIndex, World};

/// Rounds of maintenance after which nothing is excused: the rarest try comes every 64, jittered, and the dial takes a while.
const ROUNDS: u32 = 80;

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Routing {
    /// Pairs of living peers that could not talk at some moment, or one of which has moved or was stopped.
    apart: BTreeSet<(PeerIndex, PeerIndex)>,
}

/// The peers that follow this key in the order of `keys`, wrapping round, without it.
pub(super) fn after<'a>(
    own: &Key,
    keys: impl DoubleEndedIterator<Item = (&'a Key, &'a PeerId)> + Clone,
) -> Vec<PeerId> {
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

    fn look(&mut self, world: &World, book: &Book, _report: &mut Report) {
        let lives = |peer: PeerIndex| world.machine(peer).is_some();
        for b in (0..book.peers.len()).map(PeerIndex).filter(|peer| lives(*peer)) {
            for a in (0..b.0).map(PeerIndex).filter(|peer| lives(*peer)) {
                let astray = |peer: PeerIndex| !book.peer(peer).idle.is_empty();
                if !world.adversaries.is_empty() || astray(a) || astray(b) || !works(world, a, b) {
                    self.apart.insert((a, b));
                }
            }
        }
    }

    fn end(&mut self, world: &World, book: &Book, report: &mut Report) {
        let runs = |peer: &PeerIndex| world.peers[peer.0].state == State::Running;
        let running: Vec<PeerIndex> = (0..book.peers.len()).map(PeerIndex).filter(runs).collect();
        let mut wires = running.iter().flat_map(|a| running.iter().map(move |b| (*a, *b)));
        let all_work = wires.all(|(a, b)| a == b || works(world, a, b));
        let in_reach = running.iter().all(|&peer| has_a_way_in(world, peer));
        if book.now < book.disturbed + book.bound || !all_work || !in_reach {
            return;
        }
        let key = |peer: &PeerIndex| (Key::of(&world.id(*peer)), world.id(*peer));
        let keys: BTreeMap<Key, PeerId> = running.iter().map(key).collect();
        for peer in running {
            if let Some(what) = self.wrong(world, book, &keys, peer) {
                report.broken(self.promise(), book.now, peer, what);
            }
        }
    }
}

impl Routing {
    /// What is wrong with a peer's place and its leaves.
    fn wrong(&self, world: &World, book: &Book, keys: &BTreeMap<Key, PeerId>, peer: PeerIndex) -> Option<String> {
        let machine = world.machine(peer)?;
        if !machine.status().joined {
            return Some("has no place on the ring".into());
        }
        let lenient = book.now < book.disturbed + ROUNDS * world.config.overlay.maintenance_interval;
        let own = Key::of(&world.id(peer));
        let routes = machine.routes();
        let sides = [
            ("below", routes.below, after(&own, keys.iter().rev())),
            ("above", routes.above, after(&own, keys.iter())),
        ];
        let number = |peer: &PeerId| book.index(peer).map_or(usize::MAX, |peer| peer.0);
        let excused = |other: &PeerId| {
            let other = PeerIndex(number(other));
            lenient && (world.machine(other).is_none() || self.apart.contains(&pair(peer, other)))
        };
        for (side, leaves, mut nearest) in sides {
            let found: Vec<usize> = leaves.iter().filter(|leaf| !excused(leaf)).map(number).collect();
            nearest.retain(|leaf| !excused(leaf));
            // An excused one may take a place that it should not have, or not have one that it should.
            let most = world.config.overlay.leaves_per_side;
            let least = most.min(nearest.len()).saturating_sub(leaves.len() - found.len());
            let nearest: Vec<usize> = nearest.iter().map(number).collect();
            if found.len() < least || !nearest.starts_with(&found) {
                return Some(format!("its leaves {side} are {found:?}, the nearest are {nearest:?}"));
            }
        }
        None
    }
}
