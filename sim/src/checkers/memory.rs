//! P6, no stable storage: "A peer that restarts remembers no group; its old groups fail for everybody else" (protocol.md §1). Whatever a
//! life says about a group, it has heard of the group in this very life. That the others are told is P1's: a life has ended.

use std::collections::BTreeSet;

use fatebound_machine::fng::{Event as Of, GroupView};
use fatebound_machine::overlay::Time;
use fatebound_machine::process_groups::guards;

use super::{Book, Checker, Report, name};
use crate::observe::Observation;
use crate::{GroupId, PeerIndex, World};

/// The checker: what each life has heard of.
#[derive(Debug, Default)]
pub(super) struct Memory {
    heard: BTreeSet<(PeerIndex, u32, GroupId)>,
}

/// Which group an event is about, and whether a life may hear of it for the first time by this event.
fn about(event: &Of) -> Option<(GroupId, bool)> {
    match event {
        Of::Creating { group, .. } | Of::Invited { group, .. } => Some((*group, true)),
        Of::Created { group, .. }
        | Of::Joined { group }
        | Of::Observing { group }
        | Of::Failed { group, .. }
        | Of::Closed { group, .. }
        | Of::Left { group }
        | Of::Asked { group, .. }
        | Of::CameIn { group, .. }
        | Of::WentOut { group, .. }
        | Of::Members { group, .. } => Some((*group, false)),
        Of::Repairing { path, .. } | Of::Repaired { path } => Some((path.group, false)),
        Of::CreateFailed { group, .. } => group.map(|group| (group, false)),
        Of::Checked { .. } | Of::Admitted { .. } | Of::JoinFailed { .. } | Of::LeaveEnded { .. } => None,
    }
}

impl Checker for Memory {
    fn promise(&self) -> &'static str {
        "P6 no memory"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        let Some((peer, event)) = seen.of_groups() else { return };
        let Some((group, first)) = about(event) else { return };
        let entry = (peer, book.peer(peer).life, group);
        if first {
            self.heard.insert(entry);
        } else if !self.heard.contains(&entry) {
            let what = format!("knows {} from a former life: {event:?}", name(book, &group));
            report.broken(self.promise(), at, peer, what);
        }
    }

    /// What a machine lists as its groups, it has become a member of in this life.
    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        for peer in (0..book.peers.len()).map(PeerIndex) {
            let Some(machine) = world.machine(peer) else { continue };
            let status = machine.status();
            if status.groups_as_root + status.groups_as_member == 0 {
                continue;
            }
            // Nobody is told of the guards of process groups.
            let guards = |view: &GroupView| view.tag.as_deref() == Some(guards::TAG);
            for view in machine.groups(usize::MAX).into_iter().filter(|view| !guards(view)) {
                if !self.heard.contains(&(peer, book.peer(peer).life, view.group)) {
                    let what = format!("lists {} from a former life", name(book, &view.group));
                    report.broken(self.promise(), book.now, peer, what);
                }
            }
        }
    }
}
