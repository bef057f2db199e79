//! Which proposals were refused, and which joins begun: one that comes a second time gets the same answer.
//!
//! What a listed provider has begun, the state knows. Joiners that were rejected are in no list, and refusals in no state.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_base::Bounded;

use crate::numbers::Node;
use crate::protocols::MAX_PROVIDERS_PER_NODE;
use crate::protocols::change::Refusal;
use crate::protocols::names::{ProposalId, ProviderId};

/// Providers of one node that are remembered at most; then those who asked first are forgotten. A desk has at most so many, and those of
/// before are over.
const MAX_REMEMBERED: usize = 2 * MAX_PROVIDERS_PER_NODE;

/// What was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// It was begun.
    Begun,
    /// It was refused.
    Refused(Refusal),
}

/// Of each provider its last proposal, and what was said to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    by_provider: BTreeMap<ProviderId, (u32, Before)>,
}

impl Answered {
    /// What was said to this proposal. One that is older than the last was begun, as far as anybody cares.
    pub(super) fn before(&self, by: ProposalId) -> Option<Before> {
        let (number, before) = self.by_provider.get(&by.provider)?;
        match by.number.cmp(number) {
            std::cmp::Ordering::Less => Some(Before::Begun),
            std::cmp::Ordering::Equal => Some(*before),
            std::cmp::Ordering::Greater => None,
        }
    }

    pub(super) fn begun(&mut self, by: ProposalId) {
        self.remember(by, Before::Begun);
    }

    pub(super) fn refused(&mut self, by: ProposalId, why: Refusal) {
        self.remember(by, Before::Refused(why));
    }

    fn remember(&mut self, by: ProposalId, before: Before) {
        self.by_provider.insert(by.provider, (by.number, before));
        let node = by.provider.node;
        if self.of(node).count() > MAX_REMEMBERED {
            let oldest = self.of(node).next();
            oldest.and_then(|oldest| self.by_provider.remove(&oldest));
        }
    }

    fn of(&self, node: Node) -> impl Iterator<Item = ProviderId> + '_ {
        let first = ProviderId { node, serial: 0 };
        let last = ProviderId { node, serial: u32::MAX };
        self.by_provider.range(first..=last).map(|(provider, _)| *provider)
    }

    /// Forgets whose nodes are gone: they do not come again.
    pub(super) fn keep(&mut self, present: &BTreeSet<Node>) {
        self.by_provider.retain(|provider, _| present.contains(&provider.node));
    }

    pub(super) fn bound(&self) -> Bounded {
        let nodes: BTreeSet<Node> = self.by_provider.keys().map(|provider| provider.node).collect();
        let sizes = nodes.into_iter().map(|node| self.of(node).count());
        Bounded::fullest("answered proposals of a node", sizes, MAX_REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::tests::{node, provider};

    #[test]
    fn the_last_proposal_of_each_provider_is_known() {
        let mut answered = Answered::default();
        let by = |number| ProposalId {
            provider: provider(1, 1),
            number,
        };
        assert_eq!(answered.before(by(1)), None);
        answered.begun(by(1));
        answered.refused(by(2), Refusal::Collided);
        assert_eq!(answered.before(by(1)), Some(Before::Begun));
        assert_eq!(answered.before(by(2)), Some(Before::Refused(Refusal::Collided)));
        assert_eq!(answered.before(by(3)), None);
        answered.keep(&BTreeSet::from([node(2)]));
        assert_eq!(answered.before(by(2)), None);
    }

    #[test]
    fn a_node_cannot_make_it_grow() {
        let mut answered = Answered::default();
        for serial in 1..=1000 {
            let provider = provider(1, serial);
            answered.begun(ProposalId { provider, number: 1 });
            assert!(answered.bound().holds());
        }
        let last = ProposalId {
            provider: provider(1, 1000),
            number: 1,
        };
        assert_eq!(answered.before(last), Some(Before::Begun));
    }
}
