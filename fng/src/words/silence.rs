//! Silence for one group: it fails here, and nobody is told; the others notice that nobody answers.
//!
//! "A peer that wants one group to die in silence takes its paths out of the joint set and answers everything else as before." (protocol.md §4) The
//! peer remembers the group for as long as questions about it may come, its notification bound, and says nothing; later it would say
//! "unknown", which harms nobody any more. Bound: [`MAX_SILENT`] groups; beyond it the oldest is remembered no longer.

use std::hash::{Hash, Hasher};

use fatebound_tree::GroupId;
use indexmap::IndexMap;

/// Groups that this peer keeps silent about: 4096.
pub(crate) const MAX_SILENT: usize = 4096;

/// The groups that this peer keeps silent about, the oldest first, each with the number of its timer.
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

    /// Adds a group: its number, and beyond the bound the oldest group and its number.
    pub(crate) fn add(&mut self, group: GroupId) -> (u64, Option<(GroupId, u64)>) {
        self.newest += 1;
        self.groups.insert(group, self.newest);
        let beyond = self.groups.len() > MAX_SILENT;
        let oldest = beyond.then(|| self.groups.shift_remove_index(0)).flatten();
        (self.newest, oldest)
    }

    /// The silence of this number is over.
    pub(crate) fn remove(&mut self, number: u64) -> Option<GroupId> {
        let at = self.groups.values().position(|other| *other == number)?;
        Some(self.groups.shift_remove_index(at)?.0)
    }
}
