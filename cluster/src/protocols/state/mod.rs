//! The replicated state of a group: a pure function of the entries, and so the same at every node that has applied the same ones.
//!
//! | file | idea |
//! | --- | --- |
//! | `admit` | whether a change fits |
//! | `protocol` | a protocol begins, its phases end |
//! | `effect` | what is approved becomes true |
//! | `failures` | who has failed |
//! | `snapshot` | as bytes, and back |

mod admit;
mod effect;
mod failures;
mod protocol;
mod snapshot;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MAX_MESSAGE;
use super::attributes::{Attributes, OutOfRange};
use super::change::{Change, Proposal};
use super::entry::{Entry, Reason};
use super::names::{Epoch, ProposalId, ProviderId};
use super::notice::Notice;
use super::vote::DefaultVote;
use crate::numbers::Seq;

pub(super) use admit::{is_in_range, is_named_well, is_sound};
pub use snapshot::BadSnapshot;

/// How a provider stands to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It takes part.
    Present,
    /// It has failed, and waits to be removed.
    Failed(Reason),
    /// It said that it would come back: its place is held for so long.
    Absent {
        /// For how long, from when it said so.
        hold: Duration,
    },
}

/// One provider of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Provider {
    /// Its name.
    pub id: ProviderId,
    /// What its process is called.
    pub instance: Vec<u8>,
    /// What the others are to know of it.
    pub info: Vec<u8>,
    /// How it stands to the group.
    pub standing: Standing,
    /// The number of its proposal that was begun last.
    last: u32,
}

impl Provider {
    /// Whether it takes part.
    pub fn is_present(&self) -> bool {
        self.standing == Standing::Present
    }

    /// Why it is to be removed, if it is.
    pub fn failed(&self) -> Option<Reason> {
        match self.standing {
            Standing::Failed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The protocol that runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Running {
    protocol: Seq,
    /// Without the state value that it proposes, which is in `state`.
    change: Change,
    phase: u32,
    limit: Duration,
    /// The state value that was proposed last.
    state: Option<Vec<u8>>,
    default: DefaultVote,
    /// Joiners of it that are gone.
    gone: Vec<ProviderId>,
    /// It is approved, and the commands of deactivation run.
    deactivating: bool,
}

/// What a group agrees on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupState {
    attributes: Attributes,
    /// In the order of approval.
    providers: Vec<Provider>,
    value: Vec<u8>,
    version: u64,
    epoch: Epoch,
    running: Option<Running>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The votes of this phase.
    Phase(u32),
    /// The commands of deactivation.
    Deactivation,
}

/// The protocol that runs, to look at.
#[derive(Clone, Copy, Debug)]
pub struct Protocol<'a> {
    /// The number of its start.
    pub protocol: Seq,
    /// What it is about, without the state value that it proposes.
    pub change: &'a Change,
    /// What is waited for.
    pub stage: Stage,
    /// For how long.
    pub limit: Duration,
    /// What is counted for those who do not vote.
    pub default: DefaultVote,
}

impl GroupState {
    /// A group without anybody in it, as its founder wants it.
    ///
    /// # Errors
    /// An attribute is out of its range.
    pub fn founding(attributes: Attributes, incarnation: u32) -> Result<GroupState, OutOfRange> {
        attributes.check()?;
        Ok(GroupState {
            attributes,
            providers: Vec::new(),
            value: Vec::new(),
            version: 0,
            epoch: Epoch::of(incarnation),
            running: None,
        })
    }

    /// How the group handles its protocols.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The providers, the oldest first.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// One of them.
    pub fn provider(&self, id: ProviderId) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// The state value and its version.
    pub fn value(&self) -> (&[u8], u64) {
        (&self.value, self.version)
    }

    /// The number of the last decision.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The protocol that runs.
    pub fn running(&self) -> Option<Protocol<'_>> {
        self.running.as_ref().map(|running| Protocol {
            protocol: running.protocol,
            change: &running.change,
            stage: if running.deactivating {
                Stage::Deactivation
            } else {
                Stage::Phase(running.phase)
            },
            limit: running.limit,
            default: running.default,
        })
    }

    /// Who is asked in the protocol that runs, in the order of the list: everybody but those whom it would take out or replace.
    pub fn voters(&self) -> Vec<ProviderId> {
        match &self.running {
            Some(running) if !running.deactivating => self.voters_on(&running.change),
            _ => Vec::new(),
        }
    }

    fn voters_on(&self, change: &Change) -> Vec<ProviderId> {
        let removed = change.removed();
        let asked = |provider: &&Provider| !removed.contains(&provider.id) && !self.is_replaced(provider, change);
        self.providers
            .iter()
            .filter(asked)
            .map(|provider| provider.id)
            .collect()
    }

    /// Who wants to come in by the protocol that runs, but for those who are gone.
    pub fn joiners(&self) -> Vec<ProviderId> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        let Change::Join { joiners } = &running.change else {
            return Vec::new();
        };
        let here = joiners.iter().map(|joiner| joiner.by.provider);
        here.filter(|joiner| !running.gone.contains(joiner)).collect()
    }

    /// Whether this proposal was begun, now or earlier.
    pub(super) fn has_begun(&self, by: ProposalId) -> bool {
        let listed = self
            .provider(by.provider)
            .is_some_and(|provider| by.number <= provider.last);
        let joins = self
            .running
            .as_ref()
            .and_then(|running| running.change.joiner(by.provider));
        let runs = joins.is_some_and(|joiner| by.number <= joiner.by.number);
        listed || runs
    }

    /// Applies the next entry. Whatever does not fit is ignored, by everybody alike. At least one notice follows.
    pub fn apply(&mut self, seq: Seq, entry: &Entry) -> Vec<Notice> {
        let mut notices = Vec::new();
        let fitted = match entry {
            Entry::Message { provider, body } => self.on_message(*provider, body, &mut notices),
            Entry::Start { change, limit } => self.on_start(seq, change, *limit, &mut notices),
            Entry::OnePhase { change } => self.on_one_phase(seq, change, &mut notices),
            Entry::Phase {
                protocol,
                phase,
                votes,
                state,
                default,
            } => {
                let closing = protocol::Closing {
                    votes,
                    state: state.as_ref(),
                    default: *default,
                };
                self.on_phase(*protocol, *phase, &closing, &mut notices)
            }
            Entry::Failed { failures } => self.on_failed(failures, &mut notices),
            Entry::Announce { provider, remark } => self.on_announce(*provider, *remark, &mut notices),
            Entry::Deactivated { protocol, exits } => self.on_deactivated(*protocol, exits, &mut notices),
            Entry::Raise { incarnation } => self.on_raise(*incarnation, &mut notices),
        };
        if fitted.is_none() {
            debug_assert!(notices.is_empty(), "something followed from an entry that was ignored");
            notices.push(Notice::Ignored);
        }
        notices
    }

    fn on_message(&self, from: ProviderId, body: &[u8], notices: &mut Vec<Notice>) -> Option<()> {
        self.provider(from)?;
        if body.len() > MAX_MESSAGE {
            return None;
        }
        notices.push(Notice::Message {
            from,
            body: body.to_vec(),
        });
        Some(())
    }

    fn on_announce(&self, id: ProviderId, remark: super::Remark, notices: &mut Vec<Notice>) -> Option<()> {
        self.provider(id)?;
        notices.push(Notice::Announced { provider: id, remark });
        Some(())
    }

    fn on_raise(&mut self, incarnation: u32, notices: &mut Vec<Notice>) -> Option<()> {
        if incarnation <= self.epoch.incarnation() {
            return None;
        }
        self.epoch = Epoch::of(incarnation);
        notices.push(Notice::Raised { epoch: self.epoch });
        Some(())
    }
}
