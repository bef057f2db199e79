//! Groups that are over here for a reason that is no failure, remembered for as long as somebody may still ask.
//!
//! The answer *unknown* means failed. So a root remembers what it closed, and a peer what it left without its root's acknowledgement, for the
//! group's notification bound: later nobody asks any more. Bound: [`MAX_REMEMBERED`] groups each; beyond it the oldest is forgotten, and whoever
//! still asks hears *unknown*.

use std::hash::{Hash, Hasher};

use fatebound_overlay::Time;
use fatebound_tree::GroupId;
use indexmap::IndexMap;

/// Groups remembered at most: 4096.
pub(crate) const MAX_REMEMBERED: usize = 4096;

/// Groups, the oldest first, each until its time. Nothing wakes up for them: those whose time is over go when others come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    groups: IndexMap<GroupId, Time>,
}

/// For `branch`.
impl Hash for Remembered {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Remembered { groups } = self;
        groups.as_slice().hash(hasher);
    }
}

impl Remembered {
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Remembers a group until then.
    pub(crate) fn add(&mut self, now: Time, group: GroupId, until: Time) {
        while let Some((_, oldest)) = self.groups.first()
            && (*oldest <= now || self.groups.len() >= MAX_REMEMBERED)
        {
            self.groups.shift_remove_index(0);
        }
        self.groups.insert(group, until);
    }

    pub(crate) fn contains(&self, now: Time, group: &GroupId) -> bool {
        self.groups.get(group).is_some_and(|until| now < *until)
    }

    /// The group begins here anew.
    pub(crate) fn remove(&mut self, group: &GroupId) {
        self.groups.shift_remove(group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fatebound_overlay::Keypair;

    fn group(sequence: u64) -> GroupId {
        GroupId {
            root: Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id(),
            incarnation: 1,
            sequence,
        }
    }

    #[test]
    fn a_group_is_remembered_for_its_time_and_makes_room_for_others_after_it() {
        let mut remembered = Remembered::default();
        let at = Time::from_millis;
        remembered.add(at(0), group(1), at(100));
        assert!(remembered.contains(at(99), &group(1)) && !remembered.contains(at(100), &group(1)));
        remembered.add(at(100), group(2), at(300));
        assert_eq!(remembered.len(), 1);
        remembered.remove(&group(2));
        assert!(!remembered.contains(at(101), &group(2)));
    }

    #[test]
    fn beyond_the_bound_the_oldest_is_forgotten() {
        let mut remembered = Remembered::default();
        let (now, until) = (Time::ZERO, Time::from_millis(1));
        for sequence in 0..=MAX_REMEMBERED as u64 {
            remembered.add(now, group(sequence), until);
        }
        assert_eq!(remembered.len(), MAX_REMEMBERED);
        assert!(!remembered.contains(now, &group(0)) && remembered.contains(now, &group(1)));
    }
}
