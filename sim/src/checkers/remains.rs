//! Of a process group that a peer has left nothing remains there (G36): no group, once it has answered those who ask for a while, and no guard.

use std::collections::BTreeMap;

use fatebound_machine::overlay::Time;
use fatebound_machine::process_groups::guards;

use super::book::Doing;
use super::{Book, Checker, Report};
use crate::{PeerIndex, World};

/// Groups that are looked at, at most.
const MANY: usize = 10_000;

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// Since when a peer has been in no process group, in which life, and kept a guard.
    since: BTreeMap<(PeerIndex, u32), Time>,
}

impl Checker for Remains {
    fn promise(&self) -> &'static str {
        "nothing remains of a process group"
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        let mut now = BTreeMap::new();
        for peer in (0..book.peers.len()).map(PeerIndex) {
            let Some(machine) = world.machine(peer).filter(|_| book.peer(peer).doing == Doing::Runs) else {
                continue;
            };
            let tag = |view: &fatebound_machine::fng::GroupView| view.tag.as_deref() == Some(guards::TAG);
            if machine.process_groups().groups().next().is_some() || !machine.groups(MANY).iter().any(tag) {
                continue;
            }
            let key = (peer, book.peer(peer).life);
            let since = self.since.get(&key).copied().unwrap_or(book.now);
            let from = since.max(book.disturbed).max(book.last_idle(peer));
            if book.now > from + 2 * book.bound {
                let what = format!(
                    "keeps a guard, and is in no process group for {:?}",
                    book.now.since(since)
                );
                report.broken(self.promise(), book.now, peer, what);
            }
            now.insert(key, since);
        }
        self.since = now;
    }

    fn end(&mut self, world: &World, book: &Book, report: &mut Report) {
        let quiet = book.disturbed.max(book.stirred) + book.bound + 2 * world.config.cluster.linger;
        for peer in (0..book.peers.len()).map(PeerIndex).filter(|_| book.now > quiet) {
            let Some(machine) = world.machine(peer) else { continue };
            for group in machine.process_groups().groups() {
                if group.own.is_empty() && group.view.is_none() && group.doing == "nothing" {
                    let what = format!("keeps {}, and has nothing to do there", group.name);
                    report.broken(self.promise(), book.now, peer, what);
                }
            }
        }
    }
}
