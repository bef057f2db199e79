//! No minority stays open (G23): whoever cannot reach a quorum of its view for two bounds is not in an open view any more, and says so.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_machine::overlay::Time;
use fatebound_machine::process_groups::views::Status;
use fatebound_machine::process_groups::{GroupName, GroupStatus, View};

use super::book::Doing;
use super::reach::reachable;
use super::{Book, Checker, Report};
use crate::{PeerIndex, World};

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Minorities {
    /// Since when a node is in an open view of which it cannot reach a quorum.
    since: BTreeMap<(PeerIndex, GroupName), Time>,
}

impl Checker for Minorities {
    fn promise(&self) -> &'static str {
        "no minority is open"
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        let mut now = BTreeMap::new();
        for peer in (0..book.peers.len()).map(PeerIndex) {
            let Some(machine) = world.machine(peer).filter(|_| book.peer(peer).doing == Doing::Runs) else {
                continue;
            };
            for group in machine
                .process_groups()
                .groups()
                .filter(|group| is_minority(world, book, peer, group))
            {
                let key = (peer, group.name.clone());
                let since = self.since.get(&key).copied().unwrap_or(book.now);
                let from = since.max(book.last_idle(peer));
                if book.now > from + 2 * book.bound + world.config.cluster.views.patience {
                    let what = format!(
                        "{} is open without a quorum for {:?}",
                        group.name,
                        book.now.since(since)
                    );
                    report.broken(self.promise(), book.now, peer, what);
                }
                now.insert(key, since);
            }
        }
        self.since = now;
    }
}

fn is_minority(world: &World, book: &Book, peer: PeerIndex, group: &GroupStatus) -> bool {
    let view = group.view.as_ref().filter(|_| group.status == Status::Normal);
    view.is_some_and(|view| {
        !has_quorum(world, book, view, |other| {
            other == peer || reachable(world, peer, other)
        })
    })
}

/// Whether those of its voters who live, and of whom this is true, are a quorum.
pub(super) fn has_quorum(world: &World, book: &Book, view: &View, is_there: impl Fn(PeerIndex) -> bool) -> bool {
    let lives = |place: &usize| {
        let node = view.voters[*place].node;
        let index = book.index(&node.peer).filter(|index| is_there(*index));
        let machine = index.and_then(|index| world.machine(index));
        machine.is_some_and(|machine| machine.status().incarnation == node.incarnation)
    };
    let present: BTreeSet<usize> = (0..view.voters.len()).filter(lives).collect();
    view.policy.is_quorum(&view.voters, &present, &BTreeSet::new())
}
