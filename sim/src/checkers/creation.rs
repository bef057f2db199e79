//! P5, creation tells the truth: "`create` returns `Ok` only after every member has accepted. Otherwise it returns which did not and why,
//! and every member that did hear of the group is notified" (protocol.md §1). The last part is P1's: the root is told first.

use fatebound_machine::fng;
use fatebound_machine::fng::Refusal;
use fatebound_machine::overlay::{PeerId, Time};

use super::{Book, Checker, GroupRecord, Report, name};
use crate::World;
use crate::observe::Observation;

/// The checker.
#[derive(Debug)]
pub(super) struct Creation;

/// What is wrong with a creation that is said to have succeeded.
fn wrongly_created(group: &GroupRecord) -> Option<String> {
    if group.outcome.is_some() {
        return Some("has ended twice".into());
    }
    let missing = group.asked.iter().find(|member| !group.members.contains_key(member))?;
    Some(format!("succeeded, but {} has not accepted", missing.0))
}

/// What is wrong with a creation that is said to have failed because of these.
fn wrongly_refused(book: &Book, group: &GroupRecord, named: &[(PeerId, Refusal)]) -> Option<String> {
    let asked = |peer: &PeerId| book.index(peer).is_some_and(|peer| group.asked.contains(&peer));
    let honest = !named.is_empty() && named.iter().all(|(peer, _)| asked(peer));
    (!honest).then(|| format!("failed and blames {named:?}"))
}

impl Checker for Creation {
    fn promise(&self) -> &'static str {
        "P5 creation"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        let Some((peer, event)) = seen.of_groups() else { return };
        let wrong = match event {
            fng::Event::Created { group: id, .. } => {
                let group = book.groups.get(id);
                group.and_then(|group| Some((id, wrongly_created(group)?)))
            }
            fng::Event::CreateFailed {
                group: Some(id),
                refusals,
                ..
            } => {
                let group = book.groups.get(id);
                group.and_then(|group| Some((id, wrongly_refused(book, group, refusals)?)))
            }
            _ => None,
        };
        if let Some((id, wrong)) = wrong {
            let what = format!("the creation of {} {wrong}", name(book, id));
            report.broken(self.promise(), at, peer, what);
        }
    }

    /// Every creation ends in time as long as its root runs.
    fn look(&mut self, _world: &World, book: &Book, report: &mut Report) {
        for (id, group) in book.groups.iter().filter(|(_, group)| group.outcome.is_none()) {
            let root = book.peer(group.root);
            let lives = group
                .members
                .get(&group.root)
                .is_some_and(|member| book.is_live(group.root, member));
            let idle = book.idle_within(group.root, group.begun, book.now);
            let limit = group.begun + book.create_timeout + idle + book.link_interval;
            if lives && root.doing == super::book::Doing::Runs && book.now > limit {
                let what = format!("the creation of {} has not ended in time", name(book, id));
                report.broken(self.promise(), book.now, group.root, what);
            }
        }
    }
}
