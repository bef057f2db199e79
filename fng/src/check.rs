//! The application's own check: each other member is asked, end to end, whether it lives and knows the group.
//!
//! A check is a suspicion of every far end at once: the paths stay, the questions travel with those of other inquiries, and who does not answer
//! within its patience, or does not know the group, fails it. Only answers to questions sent after the check count, and fresh paths.
//! Bound: [`MAX_CHECKS`] groups are checked at a time; a check beyond it says that the group lives here and that nobody has answered.

use std::collections::BTreeSet;

use fatebound_tree::GroupId;

use crate::groups::Groups;
use crate::io::{Event, Ticket};
use crate::table::{Key, Standing};

/// Groups that are checked at a time, and checks of one group at a time: 1024.
pub(crate) const MAX_CHECKS: usize = 1024;

/// A check under way.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Check {
    ticket: Ticket,
    /// Answers to earlier postings do not count.
    from_post: u64,
    /// Far ends that have not answered yet.
    open: BTreeSet<u32>,
    /// Far ends that have.
    answered: BTreeSet<u32>,
}

impl Groups {
    /// Asks everybody who has accepted.
    pub(crate) fn on_check(&mut self, ticket: Ticket, group: &GroupId) {
        let Some(slot) = self.shared.table.find(group) else {
            return self.shared.event(Event::Checked {
                ticket,
                alive: None,
                members: Vec::new(),
            });
        };
        let mut check = Check {
            ticket,
            from_post: self.shared.next_post(),
            open: self.checkable(slot),
            answered: BTreeSet::new(),
        };
        let under_way = self.checks.get(&slot).map_or(self.checks.len(), Vec::len);
        if under_way >= MAX_CHECKS {
            check.open.clear();
        }
        if check.open.is_empty() {
            return self.report(slot, &check, true);
        }
        let open = check.open.clone();
        self.checks.entry(slot).or_default().push(check);
        for index in open {
            self.suspect(Key { slot, index });
        }
    }

    fn checkable(&self, slot: u32) -> BTreeSet<u32> {
        let far = self.shared.table.group(slot).map(|group| (0..).zip(&group.far));
        far.into_iter()
            .flatten()
            .filter(|(_, far)| far.standing == Standing::Accepted && !far.observer)
            .map(|(index, _)| index)
            .collect()
    }

    /// A far end has proven that it lives, by an answer to this posting or (`None`) by a fresh path.
    pub(crate) fn checked(&mut self, key: Key, post: Option<u64>) {
        let Some(checks) = self.checks.get_mut(&key.slot) else {
            return;
        };
        for check in checks
            .iter_mut()
            .filter(|check| post.is_none_or(|post| post >= check.from_post))
        {
            if check.open.remove(&key.index) {
                check.answered.insert(key.index);
            }
        }
        self.end_answered_checks(key.slot);
    }

    /// A far end is not in the group any more: nobody waits for its answer.
    pub(crate) fn unchecked(&mut self, key: Key) {
        for check in self.checks.get_mut(&key.slot).into_iter().flatten() {
            check.open.remove(&key.index);
        }
        self.end_answered_checks(key.slot);
    }

    fn end_answered_checks(&mut self, slot: u32) {
        let Some(checks) = self.checks.get_mut(&slot) else {
            return;
        };
        let done: Vec<Check> = checks.extract_if(.., |check| check.open.is_empty()).collect();
        if checks.is_empty() {
            self.checks.remove(&slot);
        }
        for check in done {
            self.report(slot, &check, true);
        }
    }

    /// The group in this place fails: so do its checks.
    pub(crate) fn end_checks(&mut self, slot: u32) {
        for check in self.checks.remove(&slot).unwrap_or_default() {
            self.report(slot, &check, false);
        }
    }

    fn report(&mut self, slot: u32, check: &Check, alive: bool) {
        let far = self.shared.table.group(slot).map(|group| (0..).zip(&group.far));
        let answered = |index| check.answered.contains(&index);
        let members = far.into_iter().flatten();
        let members = members.filter(|(_, far)| far.standing != Standing::Out && !far.observer);
        self.shared.event(Event::Checked {
            ticket: check.ticket,
            alive: Some(alive),
            members: members
                .map(|(index, far)| (self.shared.table.peers.get(far.peer), answered(index)))
                .collect(),
        });
    }
}
