//! Names are found again: whoever comes and goes, when things are quiet, every peer that looks a name up finds the record that its living
//! publisher has published last (protocol.md §3.1): soon if somebody who keeps it lives, else when it has been published again. And nobody
//! who lives lets go of a record that nobody else keeps.
//!
//! "Quiet" is meant strictly: every two running peers can talk, all have a place, and every leaf set is the right one. While the ring is still
//! finding itself, nothing is promised; that it does find itself is for another checker.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::overlay::directory::{Command as Order, Event as Told, Found, Name, Order as Later, Ticket};
use fatebound_machine::overlay::{Key, PeerId, Time};
use fatebound_machine::{Command, Event};

use super::routing::after;
use super::{Book, Checker, Report, works};
use crate::observe::{Disturbance, Observation};
use crate::world::State;
use crate::{PeerIndex, World};

/// What a peer publishes.
#[derive(Clone, Debug)]
struct Published {
    peer: PeerIndex,
    order: Later,
    since: Time,
    /// Who keeps it, in which life, as of the last look.
    holders: Vec<(PeerIndex, u32)>,
    /// Since when somebody does.
    held: Option<Time>,
}

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Orders to publish that are not answered yet.
    publishing: BTreeMap<(PeerIndex, Ticket), (Name, Later)>,
    /// What is published by a life that goes on.
    published: BTreeMap<Name, Published>,
    /// Lookups that have to succeed.
    due: BTreeMap<(PeerIndex, Ticket), Later>,
    /// Since when the ring is right.
    right: Option<Time>,
    /// How long hand-overs may take.
    handing: Duration,
    /// How long it may take until a name that everybody has lost is published again.
    refreshing: Duration,
}

impl Checker for Names {
    fn promise(&self) -> &'static str {
        "names are found again"
    }

    fn see(&mut self, at: Time, seen: &Observation, _book: &Book, report: &mut Report) {
        match seen {
            Observation::Ordered {
                peer,
                command: Command::Directory(order),
            } => self.ordered(at, *peer, order, report),
            Observation::Told {
                peer,
                event: Event::Directory(told),
            } => self.told(at, *peer, told, report),
            Observation::Disturbed(disturbance) => self.disturbed(*disturbance),
            _ => {}
        }
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        if self.published.is_empty() {
            return;
        }
        let config = &world.config.overlay;
        self.handing = 2 * config.maintenance_interval + 16 * config.ping_timeout;
        self.refreshing = config.directory.refresh + 8 * config.ping_timeout + config.link_interval;
        self.right = match is_right(world) && book.disturbed < book.now {
            true => self.right.or(Some(book.now)),
            false => None,
        };
        for (name, published) in &mut self.published {
            if let Some(who) = published.look(world, book, name) {
                let what = format!("has let {} go, and nobody else keeps it", name.text);
                report.broken("names are found again", book.now, who, what);
            }
        }
    }

    fn end(&mut self, _world: &World, book: &Book, report: &mut Report) {
        for (peer, _) in std::mem::take(&mut self.due).into_keys() {
            report.broken(self.promise(), book.now, peer, "a lookup was not answered".into());
        }
    }
}

impl Names {
    fn ordered(&mut self, at: Time, peer: PeerIndex, order: &Order, report: &mut Report) {
        match order {
            Order::Publish { ticket, publication } => {
                let what = (publication.name.clone(), publication.order);
                self.publishing.insert((peer, *ticket), what);
            }
            Order::Find { ticket, name } => {
                let lasts = |since: Option<Time>, time| since.is_some_and(|since| at.since(since) >= time);
                if let Some(published) = self.published.get(name)
                    && lasts(self.right, self.handing)
                    && (lasts(published.held, self.handing) || lasts(self.right, self.refreshing))
                {
                    report.lookups += 1;
                    self.due.insert((peer, *ticket), published.order);
                }
            }
            _ => {}
        }
    }

    fn told(&mut self, at: Time, peer: PeerIndex, told: &Told, report: &mut Report) {
        match told {
            Told::Published { ticket, .. } => {
                if let Some((name, order)) = self.publishing.remove(&(peer, *ticket)) {
                    let published = Published {
                        peer,
                        order,
                        since: at,
                        holders: Vec::new(),
                        held: None,
                    };
                    self.published.insert(name, published);
                }
            }
            Told::NotPublished { ticket, name, .. } => {
                self.publishing.remove(&(peer, *ticket));
                self.published.remove(name);
            }
            Told::Superseded { theirs } | Told::Conflict { theirs } => {
                self.published.remove(&theirs.record().name);
            }
            Told::Found { ticket, name, outcome } => {
                let Some(wanted) = self.due.remove(&(peer, *ticket)) else {
                    return;
                };
                let found = matches!(outcome, Found::Record(entry) if entry.record().order >= wanted);
                if !found {
                    let what = format!(
                        "looked for {}, last published as {wanted:?}, and heard {outcome:?}",
                        name.text
                    );
                    report.broken(self.promise(), at, peer, what);
                }
            }
            _ => {}
        }
    }

    fn disturbed(&mut self, disturbance: Disturbance) {
        if let Disturbance::Ended(ended) = disturbance {
            self.publishing.retain(|(peer, _), _| *peer != ended);
            self.published.retain(|_, published| published.peer != ended);
            self.due.retain(|(peer, _), _| *peer != ended);
        }
    }
}

impl Published {
    /// Notes who keeps the record. If nobody does any more: who has let it go, although it lives and the record has not expired.
    fn look(&mut self, world: &World, book: &Book, name: &Name) -> Option<PeerIndex> {
        let keeps = |peer: &PeerIndex| {
            let kept = world.machine(*peer).and_then(|machine| machine.directory_record(name));
            // A later one may be on its way, and not be published yet.
            kept.is_some_and(|entry| entry.record().order >= self.order)
        };
        let all = (0..book.peers.len()).map(PeerIndex);
        let holders: Vec<_> = all.filter(keeps).map(|peer| (peer, book.peer(peer).life)).collect();
        let before = std::mem::replace(&mut self.holders, holders);
        if !self.holders.is_empty() {
            self.held = self.held.or(Some(book.now));
            return None;
        }
        self.held = None;
        let lives = |(peer, life): &(PeerIndex, u32)| book.peer(*peer).life == *life && world.machine(*peer).is_some();
        let expires = book.now.since(self.since) >= world.config.overlay.directory.lifetime();
        before
            .into_iter()
            .filter(|_| !expires)
            .find(lives)
            .map(|(peer, _)| peer)
    }
}

/// Whether the running peers are one ring, and each knows its place on it.
fn is_right(world: &World) -> bool {
    let all = (0..world.peers.len()).map(PeerIndex);
    let running: Vec<PeerIndex> = all.filter(|peer| world.peers[peer.0].state == State::Running).collect();
    let keys: BTreeMap<Key, PeerId> = running
        .iter()
        .map(|peer| (Key::of(&world.id(*peer)), world.id(*peer)))
        .collect();
    let mut wires = running.iter().flat_map(|a| running.iter().map(move |b| (*a, *b)));
    let most = world.config.overlay.leaves_per_side;
    wires.all(|(a, b)| a == b || works(world, a, b))
        && running.iter().all(|peer| {
            let own = Key::of(&world.id(*peer));
            world.machine(*peer).is_some_and(|machine| {
                let routes = machine.routes();
                let right = |leaves: &[PeerId], nearest: Vec<PeerId>| nearest.iter().take(most).eq(leaves.iter());
                machine.status().joined
                    && right(&routes.below, after(&own, keys.iter().rev()))
                    && right(&routes.above, after(&own, keys.iter()))
            })
        })
}
