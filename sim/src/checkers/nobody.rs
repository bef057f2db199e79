//! Whose failure is nobody's: "an observer's failure is nobody's", a joiner "counts from the arrival of its `Accept` on", "the root lets go whoever
//! asks", and "a leaver has no word any more" (protocol.md §6). So no group fails for the sake, or by the word, of such a peer.

use fatebound_machine::fng::{Event as Of, Reason};
use fatebound_machine::overlay::{PeerId, Time};

use super::{Book, Checker, GroupRecord, Report, name};
use crate::PeerIndex;
use crate::observe::Observation;

/// The checker.
#[derive(Debug)]
pub(super) struct Nobody;

/// What is wrong with this reason, told to this peer.
fn wrong(book: &Book, group: &GroupRecord, told: PeerIndex, reason: &Reason) -> Option<&'static str> {
    let index = |id: &PeerId| book.index(id).filter(|peer| *peer != group.root);
    match reason {
        Reason::MemberDied { peer } | Reason::MemberUnreachable { peer } | Reason::MemberForgot { peer } => {
            (!group.counted.contains(&index(peer)?)).then_some("for the sake of a peer that does not count")
        }
        Reason::Signalled { by, .. } | Reason::Shutdown { by } => {
            let by = index(by).filter(|by| *by != told)?;
            let member = group.members.get(&by)?;
            if member.observer {
                Some("by the word of an observer")
            } else {
                member.leaving.is_some().then_some("by the word of a leaver")
            }
        }
        _ => None,
    }
}

impl Checker for Nobody {
    fn promise(&self) -> &'static str {
        "P4 nobody's failure"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        let Some((peer, Of::Failed { group: id, reason })) = seen.of_groups() else {
            return;
        };
        let wrong = book.groups.get(id).and_then(|group| wrong(book, group, peer, reason));
        if let Some(wrong) = wrong {
            let what = format!("{} failed {wrong} ({reason})", name(book, id));
            report.broken(self.promise(), at, peer, what);
        }
    }
}
