//! The application's own check: each other member is asked, end to end, whether it lives and knows the group.
//!
//! A check is a suspicion of every far end at once: the paths stay, the questions travel with those of other inquiries, and who does not answer
//! within its patience, or does not know the group, fails it. Only answers to questions sent after the check count, and fresh paths.
//! Bound: [`MAX_CHECKS`] groups are checked at a time; a check beyond it says that the group lives here and that nobody has answered.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_overlay::Bounded;
use fatebound_tree::GroupId;

use crate::fate::Fate;
use crate::group::{Key, Phase};
use crate::io::{Event, Ticket};
use crate::shared::Shared;

/// Groups that are checked at a time, and checks of one group at a time: 1024.
const MAX_CHECKS: usize = 1024;

/// A check under way.
#[derive(Clone, Debug, Hash)]
struct Check {
    ticket: Ticket,
    /// Answers to earlier postings do not count.
    from_post: u64,
    /// Far ends that have not answered yet.
    open: BTreeSet<u32>,
    /// Far ends that have.
    answered: BTreeSet<u32>,
}

/// The checks under way, by the group's place.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Checks {
    groups: BTreeMap<u32, Vec<Check>>,
}

impl Checks {
    /// Asks everybody who has accepted.
    pub(crate) fn on_check(&mut self, shared: &mut Shared, ticket: Ticket, group: &GroupId) {
        let Some(slot) = shared.table.find(group) else {
            return shared.event(Event::Checked {
                ticket,
                alive: None,
                members: Vec::new(),
            });
        };
        let mut check = Check {
            ticket,
            from_post: shared.next_post(),
            open: checkable(shared, slot),
            answered: BTreeSet::new(),
        };
        let under_way = self.groups.get(&slot).map_or(self.groups.len(), Vec::len);
        if under_way >= MAX_CHECKS {
            check.open.clear();
        }
        if check.open.is_empty() {
            return report(shared, slot, &check, true);
        }
        for &index in &check.open {
            shared.fate(Fate::Suspected(Key { slot, index }));
        }
        self.groups.entry(slot).or_default().push(check);
    }

    /// A far end has proven that it lives, by an answer to this posting or (`None`) by a fresh path.
    pub(crate) fn proven(&mut self, shared: &mut Shared, key: Key, post: Option<u64>) {
        let checks = self.groups.get_mut(&key.slot).into_iter().flatten();
        for check in checks.filter(|check| post.is_none_or(|post| post >= check.from_post)) {
            if check.open.remove(&key.index) {
                check.answered.insert(key.index);
            }
        }
        self.end_answered(shared, key.slot);
    }

    /// A far end is not in the group any more: nobody waits for its answer.
    pub(crate) fn went_out(&mut self, shared: &mut Shared, key: Key) {
        for check in self.groups.get_mut(&key.slot).into_iter().flatten() {
            check.open.remove(&key.index);
        }
        self.end_answered(shared, key.slot);
    }

    fn end_answered(&mut self, shared: &mut Shared, slot: u32) {
        let Some(checks) = self.groups.get_mut(&slot) else {
            return;
        };
        let done: Vec<Check> = checks.extract_if(.., |check| check.open.is_empty()).collect();
        if checks.is_empty() {
            self.groups.remove(&slot);
        }
        for check in done {
            report(shared, slot, &check, true);
        }
    }

    /// The group in this place is over: so are its checks.
    pub(crate) fn end(&mut self, shared: &mut Shared, slot: u32) {
        for check in self.groups.remove(&slot).unwrap_or_default() {
            report(shared, slot, &check, false);
        }
    }

    pub(crate) fn bounds(&self) -> [Bounded; 2] {
        let checks = self.groups.values().map(Vec::len);
        [
            Bounded::new("groups that are checked", self.groups.len(), MAX_CHECKS),
            Bounded::fullest("checks of a group", checks, MAX_CHECKS),
        ]
    }

    /// Whether nothing is checked.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.groups.is_empty()
    }
}

fn checkable(shared: &Shared, slot: u32) -> BTreeSet<u32> {
    let far = shared.table.group(slot).map(|group| (0..).zip(&group.far));
    far.into_iter()
        .flatten()
        .filter(|(_, far)| far.phase.is_in() && !far.observer)
        .map(|(index, _)| index)
        .collect()
}

fn report(shared: &mut Shared, slot: u32, check: &Check, alive: bool) {
    let far = shared.table.group(slot).map(|group| (0..).zip(&group.far));
    let answered = |index| check.answered.contains(&index);
    let members = far.into_iter().flatten();
    let members = members.filter(|(_, far)| far.phase != Phase::Out && !far.observer);
    let members = members.map(|(index, far)| (shared.table.peers.get(far.peer), answered(index)));
    let members = members.collect();
    shared.event(Event::Checked {
        ticket: check.ticket,
        alive: Some(alive),
        members,
    });
}
