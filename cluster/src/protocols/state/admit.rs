//! Whether a change fits the state. The leader asks before it numbers one, and everybody asks again before it begins.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Change, GroupState, Proposal, Provider, Standing};
use crate::protocols::attributes::MAX_LIMIT;
use crate::protocols::change::{Joiner, Refusal};
use crate::protocols::names::{ProposalId, ProviderId};
use crate::protocols::{
    MAX_BATCH, MAX_INFO, MAX_INSTANCE, MAX_NAMES, MAX_PROPOSED_MESSAGE, MAX_PROVIDERS, MAX_PROVIDERS_PER_NODE,
    MAX_STATE, MAX_TEXT,
};

fn length(max: usize) -> Refusal {
    Refusal::Length {
        max: u32::try_from(max).unwrap_or(u32::MAX),
    }
}

fn too_many(max: usize) -> Refusal {
    Refusal::TooMany {
        max: u32::try_from(max).unwrap_or(u32::MAX),
    }
}

/// Whether a proposal may be made at all, in whichever state.
pub(in crate::protocols) fn is_sound(proposal: &Proposal) -> Result<(), Refusal> {
    let (what, max) = match proposal {
        Proposal::State { value, .. } => (value.len(), MAX_STATE),
        Proposal::Message { body } => (body.len(), MAX_PROPOSED_MESSAGE),
        Proposal::Expel { deactivate, .. } => (deactivate.as_ref().map_or(0, Vec::len), MAX_TEXT),
        Proposal::Barrier { name } => (name.len(), MAX_TEXT),
        Proposal::Attributes { attributes } => {
            return attributes.check().map_err(|error| Refusal::OutOfRange(error.0));
        }
    };
    if what > max {
        return Err(length(max));
    }
    Ok(())
}

/// Whether a process may be called so.
pub(in crate::protocols) fn is_named_well(instance: &[u8], info: &[u8]) -> Result<(), Refusal> {
    if instance.is_empty() || instance.len() > MAX_INSTANCE {
        return Err(length(MAX_INSTANCE));
    }
    if info.len() > MAX_INFO {
        return Err(length(MAX_INFO));
    }
    Ok(())
}

/// Whether a phase may wait so long.
pub(in crate::protocols) fn is_in_range(limit: Duration) -> bool {
    limit >= Duration::from_millis(1) && limit <= MAX_LIMIT
}

/// Whether there is somebody, nobody twice, and not too many.
fn is_a_batch(providers: &[ProviderId]) -> Result<(), Refusal> {
    let distinct: BTreeSet<&ProviderId> = providers.iter().collect();
    if providers.is_empty() || distinct.len() != providers.len() {
        return Err(Refusal::Unknown);
    }
    if providers.len() > MAX_BATCH {
        return Err(too_many(MAX_BATCH));
    }
    Ok(())
}

impl GroupState {
    /// Whether a change may begin now.
    pub(in crate::protocols) fn admits(&self, change: &Change) -> Result<(), Refusal> {
        if self.running.is_some() {
            return Err(Refusal::Busy);
        }
        match change {
            Change::Failure { providers } => self.admits_removal(providers),
            Change::Join { joiners } => self.admits_joins(joiners),
            Change::Leave { leavers } => {
                let providers: Vec<ProviderId> = leavers.iter().map(|leaver| leaver.provider).collect();
                is_a_batch(&providers)?;
                leavers.iter().try_for_each(|leaver| self.admits_proposer(*leaver))
            }
            Change::Proposed { by, proposal } => {
                self.admits_proposer(*by)?;
                self.admits_proposal(proposal)
            }
        }
    }

    fn admits_removal(&self, providers: &[ProviderId]) -> Result<(), Refusal> {
        is_a_batch(providers)?;
        let failed = |id: &ProviderId| self.provider(*id).is_some_and(|provider| provider.failed().is_some());
        if !providers.iter().all(failed) {
            return Err(Refusal::Unknown);
        }
        Ok(())
    }

    /// Whether this one takes part, and has not proposed it before.
    fn admits_proposer(&self, by: ProposalId) -> Result<(), Refusal> {
        let proposer = self.provider(by.provider).filter(|provider| provider.is_present());
        if proposer.is_none_or(|provider| by.number <= provider.last) {
            return Err(Refusal::NotListed);
        }
        Ok(())
    }

    /// Whether it fits, but for who proposes it.
    pub(in crate::protocols) fn admits_proposal(&self, proposal: &Proposal) -> Result<(), Refusal> {
        is_sound(proposal)?;
        match proposal {
            Proposal::State {
                expected: Some(expected),
                ..
            } if *expected != self.version => Err(Refusal::Stale { version: self.version }),
            Proposal::Expel { providers, .. } => {
                is_a_batch(providers)?;
                if providers.iter().any(|id| self.provider(*id).is_none()) {
                    return Err(Refusal::Unknown);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn admits_joins(&self, joiners: &[Joiner]) -> Result<(), Refusal> {
        let providers: Vec<ProviderId> = joiners.iter().map(|joiner| joiner.by.provider).collect();
        is_a_batch(&providers)?;
        let mut names = BTreeSet::new();
        for (place, joiner) in joiners.iter().enumerate() {
            is_named_well(&joiner.instance, &joiner.info)?;
            let unused = names.insert((joiner.by.provider.node.peer, &joiner.instance));
            if !unused || self.provider(joiner.by.provider).is_some() || self.holder(joiner).is_some() {
                return Err(Refusal::InstanceInUse);
            }
            self.has_room(&joiners[..=place])?;
        }
        Ok(())
    }

    /// Whether the list stays within its limits with these.
    fn has_room(&self, joiners: &[Joiner]) -> Result<(), Refusal> {
        if self.providers.len().saturating_add(joiners.len()) > MAX_PROVIDERS {
            return Err(too_many(MAX_PROVIDERS));
        }
        let listed = self
            .providers
            .iter()
            .map(|provider| (provider.id, &provider.instance, &provider.info));
        let new = joiners
            .iter()
            .map(|joiner| (joiner.by.provider, &joiner.instance, &joiner.info));
        let last = joiners.last().map(|joiner| joiner.by.provider.node);
        let (mut bytes, mut at_node) = (0usize, 0usize);
        for (id, instance, info) in listed.chain(new) {
            bytes = bytes.saturating_add(instance.len()).saturating_add(info.len());
            at_node += usize::from(Some(id.node) == last);
        }
        if at_node > MAX_PROVIDERS_PER_NODE {
            return Err(too_many(MAX_PROVIDERS_PER_NODE));
        }
        if bytes > MAX_NAMES {
            return Err(Refusal::NamesFull {
                max: u32::try_from(MAX_NAMES).unwrap_or(u32::MAX),
            });
        }
        Ok(())
    }

    /// The earlier life of a joiner that is still in the list, and not absent.
    pub(in crate::protocols) fn holder(&self, joiner: &Joiner) -> Option<&Provider> {
        let same = |provider: &&Provider| is_same(provider, joiner);
        self.providers
            .iter()
            .find(|provider| same(provider) && !matches!(provider.standing, Standing::Absent { .. }))
    }

    /// Whether the change puts somebody into this one's place.
    pub(super) fn is_replaced(&self, provider: &Provider, change: &Change) -> bool {
        let Change::Join { joiners } = change else {
            return false;
        };
        let absent = matches!(provider.standing, Standing::Absent { .. });
        absent && joiners.iter().any(|joiner| is_same(provider, joiner))
    }
}

/// Whether these are two lives of one process: the same name at the same peer.
pub(super) fn is_same(provider: &Provider, joiner: &Joiner) -> bool {
    provider.id.node.peer == joiner.by.provider.node.peer && provider.instance == joiner.instance
}
