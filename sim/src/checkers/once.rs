//! P2, exactly once: "A member's handler runs exactly once per group" (protocol.md §1). That it runs at all is P1's business.
//!
//! Whoever is in a group hears one last word: it has failed, or is closed, or this peer has left. Nothing follows it, unless the peer comes in anew.

use std::collections::BTreeSet;

use fatebound_machine::fng::Event as Of;
use fatebound_machine::overlay::Time;

use super::{Book, Checker, Report, name};
use crate::observe::Observation;
use crate::{GroupId, PeerIndex};

/// The checker: who is in which group, in which life.
#[derive(Debug, Default)]
pub(super) struct Once {
    open: BTreeSet<(PeerIndex, u32, GroupId)>,
    /// Who is, or was. What a life hears of a group that it was never in is P6's business.
    begun: BTreeSet<(PeerIndex, u32, GroupId)>,
}

/// What a word means to whoever hears it.
enum Word {
    /// It is in the group from now on.
    First(&'static str),
    /// It is not any more.
    Last(&'static str),
    /// It is while it hears this …
    Between(&'static str),
    /// … and is not while it hears this.
    Outside(&'static str),
}

fn word(event: &Of) -> Option<(&GroupId, Word)> {
    Some(match event {
        Of::Creating { group, .. } => (group, Word::First("its creation")),
        Of::Joined { group } => (group, Word::First("its membership")),
        Of::Observing { group } => (group, Word::First("its being an observer")),
        Of::Failed { group, .. } => (group, Word::Last("the failure")),
        Of::Closed { group, .. } => (group, Word::Last("the closing")),
        Of::Left { group } => (group, Word::Last("its leaving")),
        Of::Members { group, .. } => (group, Word::Between("the members")),
        Of::Admitted { group, .. } => (group, Word::Between("its admission")),
        Of::LeaveEnded { group, error: None, .. } => (group, Word::Outside("its departure")),
        _ => return None,
    })
}

impl Checker for Once {
    fn promise(&self) -> &'static str {
        "P2 exactly once"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        let Some((peer, event)) = seen.of_groups() else { return };
        let Some((group, word)) = word(event) else { return };
        let entry = (peer, book.peer(peer).life, *group);
        let (right, what) = match word {
            Word::First(what) => {
                self.begun.insert(entry);
                (self.open.insert(entry), what)
            }
            Word::Last(what) => (self.open.remove(&entry) || !self.begun.contains(&entry), what),
            Word::Between(what) => (self.open.contains(&entry), what),
            Word::Outside(what) => (!self.open.contains(&entry), what),
        };
        if !right {
            let what = format!("told of {what} of {} at the wrong time", name(book, group));
            report.broken(self.promise(), at, peer, what);
        }
    }
}
