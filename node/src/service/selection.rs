//! Which provider of a service is its primary: a machine without input and output.
//!
//! Everything that it is told comes in the one order in which the group has agreed on it, so all providers see the same list, the same record and the same
//! ranks. While the record's primary lives, it stays. When it does not, every provider announces its rank, and keeps the highest that it has heard as its
//! candidate; the candidate proposes itself as soon as all have announced, or after a limit. The record changes only from the version that the proposer has
//! seen, so of several proposals one becomes true: there is one primary to each version, whoever was slow or wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::process_groups::protocols::ProviderId;
use serde::{Deserialize, Serialize};

use super::record::{Record, Role};

/// How long a selection waits for a rank that does not come, where it is not needed for the state.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);
/// How long it waits for a secondary, if nobody else has its state: then the secondary counts as gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a provider brings to a selection. A larger one is better; of equal ones, the older provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Rank {
    /// A secondary before a spare.
    pub(crate) role: Role,
    /// The number of the last whole checkpoint that it has; zero: none.
    pub(crate) checkpoint: u64,
    /// What its operator wants.
    pub(crate) preference: u8,
}

/// When a rank was announced: one of another selection says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Tag {
    /// The version of the record.
    pub(crate) version: u64,
    /// The epoch in which the last provider came: it has not heard what was announced before.
    pub(crate) since: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Announce this to all.
    Announce(Tag, Rank),
    /// Propose this record, in place of the one of this version.
    Propose(u64, Record),
}

/// The selection at one provider.
#[derive(Debug)]
pub(crate) struct Selection {
    me: ProviderId,
    /// Who is there, the oldest first.
    present: Vec<ProviderId>,
    since: u64,
    version: u64,
    record: Record,
    ranks: BTreeMap<ProviderId, Rank>,
    /// Who did not propose itself within the limit although it was the candidate.
    passed: Vec<ProviderId>,
    /// When this selection began, or its candidate changed.
    begun: Option<Duration>,
    announced: bool,
    /// What this provider has proposed itself for.
    proposed: Option<u64>,
}

impl Selection {
    pub(crate) fn new(me: ProviderId) -> Selection {
        Selection {
            me,
            present: Vec::new(),
            since: 0,
            version: 0,
            record: Record::default(),
            ranks: BTreeMap::new(),
            passed: Vec::new(),
            begun: None,
            announced: false,
            proposed: None,
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn present(&self) -> &[ProviderId] {
        &self.present
    }

    /// The primary, if it is there.
    pub(crate) fn primary(&self) -> Option<ProviderId> {
        self.record.primary.filter(|primary| self.present.contains(primary))
    }

    /// Secondaries that are there.
    pub(crate) fn secondaries(&self) -> Vec<ProviderId> {
        let here = |secondary: &&ProviderId| self.present.contains(secondary);
        self.record.secondaries.iter().filter(here).copied().collect()
    }

    fn tag(&self) -> Tag {
        Tag {
            version: self.version,
            since: self.since,
        }
    }

    /// These are there. `came`: the epoch, if somebody has come with it.
    pub(crate) fn listed(&mut self, present: Vec<ProviderId>, came: Option<u64>) {
        self.present = present;
        self.ranks.retain(|provider, _| self.present.contains(provider));
        if let Some(epoch) = came {
            self.since = epoch;
            self.restart();
        }
    }

    /// The record is another one. Says whether it is: what is older than what is known changes nothing.
    pub(crate) fn sealed(&mut self, version: u64, record: Record) -> bool {
        if version <= self.version && version != 0 {
            return false;
        }
        self.version = version;
        self.record = record;
        self.restart();
        true
    }

    fn restart(&mut self) {
        self.ranks.clear();
        self.passed.clear();
        self.begun = None;
        self.announced = false;
    }

    /// Somebody has announced its rank.
    pub(crate) fn heard(&mut self, from: ProviderId, tag: Tag, rank: Rank) {
        if tag == self.tag() && self.present.contains(&from) {
            self.ranks.insert(from, rank);
        }
    }

    /// A proposal of this provider has come to nothing: it may propose itself again.
    pub(crate) fn not_proposed(&mut self, version: u64) {
        self.proposed.take_if(|proposed| *proposed == version);
    }

    /// What is to be done by now.
    pub(crate) fn step(&mut self, now: Duration, own: Rank) -> Vec<Action> {
        if self.primary().is_some() || !self.present.contains(&self.me) {
            self.begun = None;
            return Vec::new();
        }
        let begun = *self.begun.get_or_insert(now);
        let mut actions = Vec::new();
        if !self.announced {
            self.announced = true;
            actions.push(Action::Announce(self.tag(), own));
        }
        let waited = now.saturating_sub(begun);
        let Some(candidate) = self.candidate() else {
            return actions;
        };
        if !self.is_decided(candidate, waited) {
            return actions;
        }
        if candidate == self.me {
            if self.proposed != Some(self.version) {
                self.proposed = Some(self.version);
                actions.push(Action::Propose(self.version, self.succession()));
            }
        } else if waited >= LIMIT.max(self.settled_after(candidate)) + LIMIT {
            self.passed.push(candidate);
            self.begun = Some(now);
        }
        actions
    }

    /// When [`Selection::step`] should be called again, if nothing happens before.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        // A limit is noticed within a quarter of it.
        self.begun.map(|_| now + LIMIT / 4)
    }

    /// The highest of all who have announced themselves.
    fn candidate(&self) -> Option<ProviderId> {
        let heard = self.present.iter().rev().filter(|id| !self.passed.contains(id));
        // Of equal ones the last counts: the oldest.
        heard
            .filter_map(|id| Some((self.ranks.get(id)?, *id)))
            .max_by_key(|(rank, _)| **rank)
            .map(|(_, id)| id)
    }

    /// Whether everybody has been heard or waited for.
    fn is_decided(&self, candidate: ProviderId, waited: Duration) -> bool {
        let silent = self
            .present
            .iter()
            .any(|id| !self.ranks.contains_key(id) && !self.passed.contains(id));
        !silent || waited >= self.settled_after(candidate)
    }

    /// How long the silent are waited for: longer, if they might have a state that the candidate does not have.
    fn settled_after(&self, candidate: ProviderId) -> Duration {
        let has_state = self
            .ranks
            .get(&candidate)
            .is_some_and(|rank| rank.role == Role::Secondary && rank.checkpoint > 0);
        let silent_secondary = self.secondaries().iter().any(|id| !self.ranks.contains_key(id));
        if silent_secondary && !has_state {
            PATIENCE
        } else {
            LIMIT
        }
    }

    /// The record with this provider as the primary.
    fn succession(&self) -> Record {
        let others = self.secondaries().into_iter().filter(|id| *id != self.me);
        Record {
            primary: Some(self.me),
            secondaries: others.collect(),
            term: 0,
        }
    }
}

#[cfg(test)]
mod tests;
