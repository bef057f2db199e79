//! Silence for one group only (protocol.md §4).
//!
//! "A peer that wants one group to die in silence takes its paths out of the joint set and answers everything else as before." The digests then
//! differ, the lists show in what, and the neighbours drop exactly these paths: to them it is as if this peer had died for this group.

use crate::GroupId;
use crate::tree::Tree;

/// Groups remembered as silent at most: 4096, a guess. Beyond that the oldest is forgotten, so that a late `Construct` of it is answered again; by
/// then its group has long failed elsewhere.
pub(crate) const MAX_SILENT: usize = 4096;

impl Tree {
    /// Takes all segments of a group out of the joint sets, without an operation and without an event.
    pub(crate) fn silence(&mut self, group: GroupId) {
        for number in self.store.of_group(&group) {
            let segment = self.store.remove(number);
            for link in segment.links() {
                let Some(up) = self.links.get_mut(&link) else { continue };
                let hash = up.joint.hash(&segment.path);
                up.joint.leave_silently(hash);
                self.touch(link);
            }
        }
        if self.silent.len() >= MAX_SILENT {
            self.silent.shift_remove_index(0);
        }
        self.silent.insert(group);
    }

    /// Words about the group are heard again.
    pub(crate) fn unsilence(&mut self, group: &GroupId) {
        self.silent.shift_remove(group);
    }
}
