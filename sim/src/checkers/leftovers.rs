//! Nothing is left behind: once a group is gone everywhere, no segment of its paths and no entry in a joint set outlives one more bound,
//! and what each peer keeps agrees with itself at every moment.

use fatebound_machine::overlay::Time;

use super::book::Doing;
use super::{Book, Checker, GroupRecord, Report, name};
use crate::{PeerIndex, World};

/// The checker.
#[derive(Debug)]
pub(super) struct Leftovers;

/// Since when every live member has been told, if all have.
fn gone_since(book: &Book, group: &GroupRecord) -> Option<Time> {
    let over = group.over()?;
    let mut latest = over;
    for (peer, member) in &group.members {
        match member.told {
            Some(at) => latest = latest.max(at),
            None if book.is_live(*peer, member) => return None,
            None => {}
        }
    }
    Some(latest)
}

impl Checker for Leftovers {
    fn promise(&self) -> &'static str {
        "nothing left behind"
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        for peer in (0..book.peers.len()).map(PeerIndex) {
            let Some(machine) = world.machine(peer) else { continue };
            if let Err(broken) = machine.check_invariants() {
                report.broken(self.promise(), book.now, peer, broken);
            }
            if book.peer(peer).doing != Doing::Runs {
                continue;
            }
            let resumed = book.last_idle(peer);
            for (id, group) in &book.groups {
                let gone = gone_since(book, group).map(|gone| gone.max(resumed));
                if gone.is_some_and(|gone| book.now > gone + book.bound) && machine.carries(id) {
                    let what = format!("still carries a path of {}, which is gone everywhere", name(book, id));
                    report.broken(self.promise(), book.now, peer, what);
                }
            }
        }
    }
}
