//! Silence for one group: it fails here, and nobody is told; the others notice that nobody answers.
//!
//! "A peer that wants one group to die in silence takes its paths out of the joint set and answers everything else as before." (protocol.md §4) The
//! peer remembers the group for as long as questions about it may come, its notification bound, and says nothing; later it would say
//! "unknown", which harms nobody any more. Bound: [`MAX_SILENT`] groups; beyond it the oldest is remembered no longer.

use std::hash::{Hash, Hasher};

use fatebound_tree::GroupId;
use indexmap::IndexMap;

use crate::groups::{Groups, Step, Timer};
use crate::io::Output;
use crate::reason::Reason;

/// Groups that this peer keeps silent about: 4096.
pub(crate) const MAX_SILENT: usize = 4096;

/// The groups that this peer keeps silent about, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Silent {
    groups: IndexMap<GroupId, u64>,
    newest: u64,
}

/// For `branch`.
impl Hash for Silent {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Silent { groups, newest } = self;
        groups.as_slice().hash(hasher);
        newest.hash(hasher);
    }
}

impl Silent {
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn contains(&self, group: &GroupId) -> bool {
        !self.groups.is_empty() && self.groups.contains_key(group)
    }
}

impl Groups {
    /// Fails a group here without a word to anybody else.
    pub(crate) fn on_fall_silent(&mut self, step: &mut Step<'_>, group: &GroupId) {
        let Some(slot) = self.table.find(group) else {
            return;
        };
        let bound = self
            .table
            .group(slot)
            .map(|group| self.bound(group))
            .unwrap_or_default();
        let text = "fell silent".to_owned();
        self.bury(step, slot, Reason::Signalled { by: self.us, text });
        step.push(Output::Silence { group: *group });
        self.silent.newest += 1;
        self.silent.groups.insert(*group, self.silent.newest);
        self.timers.set(Timer::Silent(self.silent.newest), step.now + bound);
        if self.silent.groups.len() > MAX_SILENT {
            self.unsilence(step, 0);
        }
    }

    /// The time of this silence is over.
    pub(crate) fn on_silent_timer(&mut self, step: &mut Step<'_>, number: u64) {
        if let Some(at) = self.silent.groups.values().position(|other| *other == number) {
            self.unsilence(step, at);
        }
    }

    fn unsilence(&mut self, step: &mut Step<'_>, at: usize) {
        if let Some((group, number)) = self.silent.groups.shift_remove_index(at) {
            self.timers.cancel(Timer::Silent(number));
            step.push(Output::Unsilence { group });
        }
    }
}
