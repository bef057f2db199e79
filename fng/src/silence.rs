//! Silence for one group: it fails here, and nobody is told; the others notice that nobody answers.
//!
//! "A peer that wants one group to die in silence takes its paths out of the joint set and answers everything else as before." (protocol.md §4) The
//! peer remembers the group for as long as questions about it may come, its notification bound, and says nothing; later it would say
//! "unknown", which harms nobody any more. Bound: [`MAX_SILENT`] groups; beyond it the oldest is remembered no longer.

use std::hash::{Hash, Hasher};

use fatebound_tree::GroupId;
use indexmap::IndexMap;

use crate::groups::Groups;
use crate::io::Output;
use crate::reason::Reason;
use crate::shared::Timer;

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
    pub(crate) fn on_fall_silent(&mut self, group: &GroupId) {
        let Some(slot) = self.shared.table.find(group) else {
            return;
        };
        let bound = self
            .shared
            .table
            .group(slot)
            .map(|group| self.shared.bound(group))
            .unwrap_or_default();
        let text = "fell silent".to_owned();
        self.bury(
            slot,
            Reason::Signalled {
                by: self.shared.us,
                text,
            },
        );
        self.shared.push(Output::Silence { group: *group });
        self.silent.newest += 1;
        self.silent.groups.insert(*group, self.silent.newest);
        self.shared
            .timers
            .set(Timer::Silent(self.silent.newest), self.shared.now + bound);
        if self.silent.groups.len() > MAX_SILENT {
            self.unsilence(0);
        }
    }

    /// The time of this silence is over.
    pub(crate) fn on_silent_timer(&mut self, number: u64) {
        if let Some(at) = self.silent.groups.values().position(|other| *other == number) {
            self.unsilence(at);
        }
    }

    fn unsilence(&mut self, at: usize) {
        if let Some((group, number)) = self.silent.groups.shift_remove_index(at) {
            self.shared.timers.cancel(Timer::Silent(number));
            self.shared.push(Output::Unsilence { group });
        }
    }
}
