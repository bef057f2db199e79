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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::numbers::Seq;
    use crate::protocols::state::Provider;
    use crate::protocols::tests::provider;
    use crate::protocols::vote::DefaultVote;
    use crate::protocols::{
        Attributes, Epoch, Joiner, MAX_PROPOSED_MESSAGE, MAX_TEXT, MAX_WINDOW, Proposal, ProposalId, ProviderId,
    };

    /// As many providers as may be, each with the longest of everything, and the longest value.
    fn full(listed: usize) -> GroupState {
        let attributes = Attributes {
            version: u32::MAX,
            phase_limit: MAX_LIMIT,
            join_window: MAX_WINDOW - Duration::from_nanos(1),
            leave_window: MAX_WINDOW - Duration::from_nanos(1),
            leave_limit: MAX_LIMIT - Duration::from_nanos(1),
            max_hold: MAX_LIMIT - Duration::from_nanos(1),
            ..Attributes::default()
        };
        let listed = (0..listed).map(|number| Provider {
            id: id(number),
            instance: vec![1; 32],
            info: vec![2; 32],
            standing: Standing::Absent {
                hold: MAX_LIMIT - Duration::from_nanos(1),
            },
            last: u32::MAX,
        });
        GroupState {
            attributes,
            providers: listed.collect(),
            value: vec![3; MAX_STATE],
            version: u64::MAX,
            epoch: Epoch::of(u32::MAX),
            running: None,
        }
    }

    fn id(number: usize) -> ProviderId {
        provider(u8::try_from(number).expect("small"), u32::MAX)
    }

    fn by(number: usize) -> ProposalId {
        ProposalId {
            provider: id(number),
            number: u32::MAX,
        }
    }

    fn running(change: Change) -> Running {
        Running {
            protocol: Seq(u64::MAX),
            gone: match &change {
                Change::Join { joiners } => joiners.iter().map(|joiner| joiner.by.provider).collect(),
                _ => Vec::new(),
            },
            change,
            phase: MAX_PHASES,
            limit: MAX_LIMIT - Duration::from_nanos(1),
            state: Some(vec![4; MAX_STATE]),
            default: DefaultVote::Approve,
            deactivating: false,
        }
    }

    #[test]
    fn the_fullest_state_that_can_be_fits_and_comes_back() {
        let ids: Vec<ProviderId> = (0..MAX_BATCH).map(id).collect();
        let proposed = |proposal| Change::Proposed { by: by(0), proposal };
        let joiner = |number| Joiner {
            by: by(number),
            instance: vec![1; 32],
            info: vec![2; 32],
        };
        let fewer = MAX_PROVIDERS - MAX_BATCH;
        let changes = [
            (
                fewer,
                Change::Join {
                    joiners: (fewer..MAX_PROVIDERS).map(joiner).collect(),
                },
            ),
            (MAX_PROVIDERS, Change::Failure { providers: ids.clone() }),
            (
                MAX_PROVIDERS,
                Change::Leave {
                    leavers: (0..MAX_BATCH).map(by).collect(),
                },
            ),
            (
                MAX_PROVIDERS,
                proposed(Proposal::Expel {
                    providers: ids,
                    deactivate: Some(vec![0; MAX_TEXT]),
                }),
            ),
            (
                MAX_PROVIDERS,
                proposed(Proposal::Message {
                    body: vec![0; MAX_PROPOSED_MESSAGE],
                }),
            ),
        ];
        for (listed, change) in changes {
            let mut state = full(listed);
            state.running = Some(running(change));
            let bytes = state.snapshot();
            assert!(
                bytes.len() <= MAX_SNAPSHOT,
                "{} bytes: {:?}",
                bytes.len(),
                state.running.map(|r| r.change)
            );
            assert_eq!(GroupState::restore(&bytes), Ok(state));
        }
    }

    #[test]
    fn what_cannot_be_is_not_restored() {
        type Spoil = fn(&mut GroupState);
        let spoils: [(&str, Spoil); 10] = [
            ("attributes", |state| state.attributes.max_phases = 0),
            ("value", |state| state.value = vec![0; MAX_STATE + 1]),
            ("number of providers", |state| *state = full(MAX_PROVIDERS + 1)),
            ("providers", |state| state.providers[1].id = state.providers[0].id),
            ("names", |state| state.providers[0].instance.clear()),
            ("names", |state| {
                *state = full(MAX_PROVIDERS);
                state.providers[0].info.push(0);
            }),
            ("standings", |state| {
                state.providers[0].standing = Standing::Absent { hold: MAX_LIMIT * 2 };
            }),
            ("protocol", |state| {
                let leavers = vec![by(200)];
                state.running = Some(running(Change::Leave { leavers }));
            }),
            ("protocol", |state| {
                let leavers = vec![by(0)];
                state.running = Some(running(Change::Leave { leavers }));
                state.running.iter_mut().for_each(|running| running.deactivating = true);
            }),
            ("protocol", |state| {
                let leavers = vec![by(0)];
                state.running = Some(running(Change::Leave { leavers }));
                state.running.iter_mut().for_each(|running| running.phase = 0);
            }),
        ];
        for (what, spoil) in spoils {
            let mut state = full(3);
            assert_eq!(GroupState::restore(&state.snapshot()).as_ref(), Ok(&state));
            spoil(&mut state);
            assert_eq!(GroupState::restore(&state.snapshot()), Err(BadSnapshot::Unsound(what)));
        }
        let bytes = full(3).snapshot();
        assert_eq!(
            GroupState::restore(&bytes[..bytes.len() - 1]),
            Err(BadSnapshot::Malformed)
        );
        assert_eq!(
            GroupState::restore(&[&bytes[..], &[0]].concat()),
            Err(BadSnapshot::Malformed)
        );
        assert_eq!(
            GroupState::restore(&vec![0; MAX_SNAPSHOT + 1]),
            Err(BadSnapshot::TooLong)
        );
    }
}
