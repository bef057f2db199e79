//! The application state of groups that live here: kept only where there is one, and within a bound over all of them.

use std::collections::HashMap;
use std::sync::Arc;

use fatebound_machine::fng::GroupId;

/// Bytes of all of them at most. Beyond it the state of a new group is not kept: its program had it with the invitation.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// What the creators of groups wanted their members to know.
#[derive(Debug, Default)]
pub(crate) struct States {
    states: HashMap<GroupId, Arc<[u8]>>,
    bytes: usize,
}

impl States {
    /// Keeps the state of a group that lives here from now on, if there is one and room for it.
    pub(crate) fn keep(&mut self, group: GroupId, state: Arc<[u8]>) {
        self.forget(&group);
        if !state.is_empty() && self.bytes + state.len() <= MAX_BYTES {
            self.bytes += state.len();
            self.states.insert(group, state);
        }
    }

    /// The state of this group.
    pub(crate) fn get(&self, group: &GroupId) -> Option<Arc<[u8]>> {
        self.states.get(group).cloned()
    }

    /// The group has failed.
    pub(crate) fn forget(&mut self, group: &GroupId) {
        if let Some(state) = self.states.remove(group) {
            self.bytes -= state.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    fn group(sequence: u64) -> GroupId {
        let root = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        GroupId {
            root,
            incarnation: 1,
            sequence,
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_back() {
        let mut states = States::default();
        let large: Arc<[u8]> = vec![7; MAX_BYTES / 2].into();
        states.keep(group(1), Arc::clone(&large));
        states.keep(group(2), Arc::clone(&large));
        states.keep(group(3), Arc::from([1]));
        assert_eq!(states.get(&group(3)), None);
        states.forget(&group(1));
        states.keep(group(3), Arc::from([1]));
        assert_eq!(states.get(&group(3)).as_deref(), Some(&[1][..]));
        assert_eq!(states.bytes, large.len() + 1);
    }

    #[test]
    fn no_state_takes_no_room() {
        let mut states = States::default();
        states.keep(group(1), Arc::from([]));
        assert!(states.states.is_empty());
    }
}
