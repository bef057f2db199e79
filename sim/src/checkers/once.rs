//! P2, exactly once: "A member's handler runs exactly once per group" (protocol.md §1). That it runs at all is P1's business.

use std::collections::BTreeSet;

use fatebound_machine::fng;
use fatebound_machine::overlay::Time;

use super::{Book, Checker, Report, name};
use crate::observe::Observation;
use crate::{GroupId, PeerIndex};

/// The checker: who has been told of which group, in which life.
#[derive(Debug, Default)]
pub(super) struct Once {
    told: BTreeSet<(PeerIndex, u32, GroupId)>,
}

impl Checker for Once {
    fn promise(&self) -> &'static str {
        "P2 exactly once"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        let Some((peer, fng::Event::Failed { group, .. })) = seen.of_groups() else {
            return;
        };
        if !self.told.insert((peer, book.peer(peer).life, *group)) {
            let what = format!("told twice of the end of {}", name(book, group));
            report.broken(self.promise(), at, peer, what);
        }
    }
}
