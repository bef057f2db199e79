//! The state as bytes, for whoever comes into the group, and back.
//!
//! Every part of it has its bound, and they are chosen so that the whole never exceeds [`MAX_SNAPSHOT`]: what would outgrow it is refused before
//! it begins.

use std::collections::BTreeSet;

use super::admit::{is_in_range, is_named_well, is_sound};
use super::protocol::deactivation;
use super::{Change, GroupState, Running, Standing};
use crate::protocols::attributes::{MAX_LIMIT, MAX_PHASES};
use crate::protocols::{MAX_BATCH, MAX_NAMES, MAX_PROVIDERS, MAX_SNAPSHOT, MAX_STATE};

/// Bytes that are no state of a group. Nothing was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// Longer than any state.
    #[error("longer than {MAX_SNAPSHOT} bytes")]
    TooLong,
    /// They say nothing.
    #[error("not the state of a group")]
    Malformed,
    /// They say what cannot be.
    #[error("the state's {0} cannot be")]
    Unsound(&'static str),
}

impl GroupState {
    /// As bytes, at most [`MAX_SNAPSHOT`] of them.
    pub fn snapshot(&self) -> Vec<u8> {
        // Nothing in it can fail to be written.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// From the bytes of a snapshot.
    ///
    /// # Errors
    /// They are none, or of a state that cannot be.
    pub fn restore(bytes: &[u8]) -> Result<GroupState, BadSnapshot> {
        if bytes.len() > MAX_SNAPSHOT {
            return Err(BadSnapshot::TooLong);
        }
        let Ok((state, [])) = postcard::take_from_bytes::<GroupState>(bytes) else {
            return Err(BadSnapshot::Malformed);
        };
        match state.unsound() {
            Some(what) => Err(BadSnapshot::Unsound(what)),
            None => Ok(state),
        }
    }

    /// What of it cannot be.
    fn unsound(&self) -> Option<&'static str> {
        let in_range = |standing: Standing| !matches!(standing, Standing::Absent { hold } if hold > MAX_LIMIT);
        let ids: BTreeSet<_> = self.providers.iter().map(|provider| provider.id).collect();
        let names = self
            .providers
            .iter()
            .map(|provider| (provider.id.node.peer, &provider.instance));
        let names: BTreeSet<_> = names.collect();
        let listed = self.providers.len();
        let length = |provider: &super::Provider| provider.instance.len().saturating_add(provider.info.len());
        let sound = [
            ("attributes", self.attributes.check().is_ok()),
            ("value", self.value.len() <= MAX_STATE),
            ("number of providers", listed <= MAX_PROVIDERS),
            ("providers", ids.len() == listed && names.len() == listed),
            (
                "names",
                self.providers.iter().map(length).fold(0usize, usize::saturating_add) <= MAX_NAMES
                    && self
                        .providers
                        .iter()
                        .all(|provider| is_named_well(&provider.instance, &provider.info).is_ok()),
            ),
            (
                "standings",
                self.providers.iter().all(|provider| in_range(provider.standing)),
            ),
            (
                "protocol",
                self.running.as_ref().is_none_or(|running| self.is_sound(running)),
            ),
        ];
        sound.into_iter().find(|(_, sound)| !sound).map(|(what, _)| what)
    }

    fn is_sound(&self, running: &Running) -> bool {
        let state = running.state.as_ref().is_none_or(|state| state.len() <= MAX_STATE);
        let phase = (1..=MAX_PHASES).contains(&running.phase) && is_in_range(running.limit);
        let gone: BTreeSet<_> = running.gone.iter().collect();
        let joins = gone.len() == running.gone.len() && gone.iter().all(|id| running.change.joiner(**id).is_some());
        let listed = |id: &_| self.provider(*id).is_some();
        let change = match &running.change {
            Change::Join { .. } => self.would_admit(&running.change),
            Change::Proposed { proposal, .. } => {
                let removed = running.change.removed();
                let there = running.deactivating || removed.iter().all(listed);
                is_sound(proposal).is_ok() && removed.len() <= MAX_BATCH && there
            }
            Change::Failure { .. } | Change::Leave { .. } => {
                let removed = running.change.removed();
                removed.len() <= MAX_BATCH && removed.iter().all(listed)
            }
        };
        let deactivates = !running.deactivating || deactivation(running).is_some();
        state && phase && joins && change && deactivates
    }

    /// Whether the change could begin if it did not run already.
    fn would_admit(&self, change: &Change) -> bool {
        let idle = GroupState {
            running: None,
            ..self.clone()
        };
        idle.admits(change).is_ok()
    }
}
