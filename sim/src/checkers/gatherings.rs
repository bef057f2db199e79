//! In the end all are together: when nothing has happened for long enough, and a quorum of the last view of a founding lives, then everybody who lives
//! and has a process in the group, or wants to, is in one open view of one founding (G21, G22, G24), and nobody else is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fatebound_machine::overlay::Time;
use fatebound_machine::process_groups::protocols::{Event as Of, Order, Ticket};
use fatebound_machine::process_groups::views::Status;
use fatebound_machine::process_groups::{Command as Word, Event as Told, Founding, GroupName, GroupStatus, View};
use fatebound_machine::{Command, Event};

use super::book::Doing;
use super::minorities::has_quorum;
use super::{Book, Checker, Report};
use crate::observe::{Disturbance, Observation};
use crate::{Config, PeerIndex, World};

/// How long a run has to be quiet, until all are together.
pub(crate) fn patience(config: &Config) -> Duration {
    let cluster = &config.cluster;
    let found = 2 * config.groups.notification_bound();
    found + 20 * cluster.views.patience + 2 * cluster.views.guard_patience + 64 * cluster.repeat
}

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Gatherings {
    /// The last view of each founding that anybody has installed.
    latest: BTreeMap<(GroupName, Founding), View>,
    /// Joins that have not become providers yet, and providers.
    waiting: BTreeSet<(PeerIndex, GroupName, Ticket)>,
    providers: BTreeMap<(PeerIndex, GroupName), usize>,
    /// When somebody last came or went, or was to.
    stirred: BTreeMap<GroupName, Time>,
}

impl Checker for Gatherings {
    fn promise(&self) -> &'static str {
        "together in the end"
    }

    fn see(&mut self, at: Time, seen: &Observation, _book: &Book, _report: &mut Report) {
        match seen {
            Observation::Ordered {
                peer,
                command: Command::Cluster(word),
            } => self.ordered(at, *peer, word),
            Observation::Told {
                peer,
                event: Event::Cluster(told),
            } => self.told(at, *peer, told),
            Observation::Disturbed(Disturbance::Ended(ended)) => {
                self.waiting.retain(|(peer, ..)| peer != ended);
                self.providers.retain(|(peer, _), _| peer != ended);
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, book: &Book, report: &mut Report) {
        for name in self.stirred.keys() {
            let stirred = self.stirred.get(name).copied().unwrap_or_default();
            let quiet = stirred.max(book.disturbed) + patience(&world.config).mul_f64(book.slowness());
            if book.now >= quiet {
                self.ends(world, book, (name, quiet), report);
            }
        }
    }
}

impl Gatherings {
    fn ordered(&mut self, at: Time, peer: PeerIndex, word: &Word) {
        match word {
            Word::Join { name, ticket, .. } => {
                self.waiting.insert((peer, name.clone(), *ticket));
                self.stirred.insert(name.clone(), at);
            }
            Word::Order {
                name,
                order: Order::Leave { .. } | Order::Goodbye { .. } | Order::Gone { .. },
            } => {
                self.stirred.insert(name.clone(), at);
            }
            _ => {}
        }
    }

    fn told(&mut self, at: Time, peer: PeerIndex, told: &Told) {
        match told {
            Told::Installed { name, founding, view } => {
                if view.number.0 == 0 {
                    // Founded late, if it was long not known whether there is one.
                    self.stirred.insert(name.clone(), at);
                }
                let latest = self
                    .latest
                    .entry((name.clone(), *founding))
                    .or_insert_with(|| view.clone());
                if latest.number < view.number {
                    *latest = view.clone();
                }
            }
            Told::JoinRefused { name, ticket, .. } => {
                self.waiting.remove(&(peer, name.clone(), *ticket));
            }
            Told::Provider { name, event, .. } => {
                let count = self.providers.entry((peer, name.clone())).or_default();
                match event {
                    Of::Joining { ticket } => {
                        *count += 1;
                        self.waiting.remove(&(peer, name.clone(), *ticket));
                    }
                    Of::Ended(_) => *count = count.saturating_sub(1),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// All has been quiet for long enough since the moment `quiet`.
    fn ends(&self, world: &World, book: &Book, (name, quiet): (&GroupName, Time), report: &mut Report) {
        let status = |peer: &PeerIndex| {
            world
                .machine(*peer)
                .and_then(|machine| machine.process_groups().group(name))
        };
        let living: Vec<PeerIndex> = (0..book.peers.len())
            .map(PeerIndex)
            .filter(|peer| book.peer(*peer).doing == Doing::Runs)
            .collect();
        let wants = |peer: &PeerIndex| {
            let provides = self
                .providers
                .get(&(*peer, name.clone()))
                .is_some_and(|count| *count > 0);
            provides || self.waiting.iter().any(|(who, what, _)| who == peer && what == name)
        };
        let foundings: Vec<(&Founding, &View)> = self
            .latest
            .iter()
            .filter(|((of, _), _)| of == name)
            .map(|((_, founding), view)| (founding, view))
            .filter(|(founding, view)| {
                has_quorum(world, book, view, |peer| {
                    let inside =
                        |status: GroupStatus| status.founding == Some(**founding) && status.status != Status::Joining;
                    status(&peer).is_some_and(inside)
                })
            })
            .collect();
        let [(founding, view)] = foundings[..] else {
            if foundings.len() > 1 {
                let what = format!("{} foundings of {name} live", foundings.len());
                report.broken(self.promise(), book.now, None, what);
            }
            return;
        };
        report.gatherings += 1;
        for peer in living {
            let here = status(&peer);
            let voter = view
                .voters
                .iter()
                .any(|voter| book.index(&voter.node.peer) == Some(peer));
            let open = here.as_ref().is_some_and(|here| {
                here.status == Status::Normal && here.founding == Some(*founding) && here.view.as_ref() == Some(view)
            });
            let wrong = match (wants(&peer), open && voter) {
                (true, false) => "is not in the open view",
                (false, true) => "is in it without a process",
                _ => continue,
            };
            // Of a founding without a quorum there is nothing to be had, and whoever is in it waits.
            let is_lost = |here: &GroupStatus| {
                let own = here
                    .view
                    .as_ref()
                    .filter(|_| here.founding != Some(*founding) && here.status != Status::Normal);
                own.is_some_and(|own| !has_quorum(world, book, own, |_| true))
            };
            // If all who kept the name are gone, it is found again when it has been published again.
            let refresh = world.config.overlay.directory.refresh.mul_f64(book.slowness());
            let seeks = |here: &GroupStatus| here.doing.contains("look") && book.now < quiet + refresh;
            if here.as_ref().is_some_and(|here| is_lost(here) || seeks(here)) {
                continue;
            }
            let stands = here.map(|here| {
                let number = here.view.map(|view| view.number);
                (here.status, here.founding == Some(*founding), number, here.doing)
            });
            let what = format!("{name}, view {}: {wrong}: {stands:?}", view.number);
            report.broken(self.promise(), book.now, peer, what);
        }
    }
}
