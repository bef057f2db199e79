//! What a protocol is about.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attributes::{Attributes, Field};
use super::names::{ProposalId, ProviderId};

/// How it is decided whether a proposal becomes true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Voting {
    /// With its very announcement.
    OnePhase,
    /// By the votes of all providers, in as many phases as they want.
    Voted {
        /// How long each phase waits; `None`: as the group's attributes say.
        limit: Option<Duration>,
    },
}

impl Voting {
    /// By vote, within the group's limit.
    pub const VOTED: Voting = Voting::Voted { limit: None };
}

/// What a provider may propose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Proposal {
    /// Another state value, of at most [`MAX_STATE`](super::MAX_STATE).
    State {
        /// The value.
        value: Vec<u8>,
        /// Only if the value that it replaces has this version.
        expected: Option<u64>,
    },
    /// A message to all, of at most [`MAX_PROPOSED_MESSAGE`](super::MAX_PROPOSED_MESSAGE); longer ones that nobody votes upon are entries of
    /// their own.
    Message {
        /// What.
        body: Vec<u8>,
    },
    /// That these leave the group.
    Expel {
        /// Who, at most [`MAX_BATCH`](super::MAX_BATCH).
        providers: Vec<ProviderId>,
        /// Afterwards each one's node runs its command of deactivation with this argument, of at most
        /// [`MAX_TEXT`](super::MAX_TEXT); `None`: it does not.
        deactivate: Option<Vec<u8>>,
    },
    /// Other attributes.
    Attributes {
        /// All of them.
        attributes: Box<Attributes>,
    },
    /// Nothing but that everybody comes to this point: a vote without a change, of which one phase is enough.
    Barrier {
        /// Which point, of at most [`MAX_TEXT`](super::MAX_TEXT).
        name: Vec<u8>,
    },
}

/// Who wants to come in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Joiner {
    /// Its proposal; the provider is named so.
    pub by: ProposalId,
    /// What its process is called, 1 to [`MAX_INSTANCE`](super::MAX_INSTANCE) bytes; unique at its peer.
    pub instance: Vec<u8>,
    /// What the others are to know of it, at most [`MAX_INFO`](super::MAX_INFO).
    pub info: Vec<u8>,
}

/// What a protocol would make true.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// Those who have failed go. Nobody can reject that.
    Failure {
        /// Who.
        providers: Vec<ProviderId>,
    },
    /// These come in, all or none.
    Join {
        /// In the order in which they will be listed.
        joiners: Vec<Joiner>,
    },
    /// These go, as they wish; all or none.
    Leave {
        /// Each one's proposal.
        leavers: Vec<ProposalId>,
    },
    /// Everything else.
    Proposed {
        /// Whose proposal.
        by: ProposalId,
        /// What.
        proposal: Proposal,
    },
}

/// What kind a change is of; kinds are never mixed in one protocol. Ordered as they take precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The removal of who has failed.
    Failure,
    /// Joins.
    Join,
    /// Leaves, expulsions, changes, messages and barriers.
    Rest,
}

impl Change {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Change::Failure { .. } => Kind::Failure,
            Change::Join { .. } => Kind::Join,
            Change::Leave { .. } | Change::Proposed { .. } => Kind::Rest,
        }
    }

    /// Whose proposals it is made of; nobody's for the removal of who has failed.
    pub fn proposals(&self) -> Vec<ProposalId> {
        match self {
            Change::Failure { .. } => Vec::new(),
            Change::Join { joiners } => joiners.iter().map(|joiner| joiner.by).collect(),
            Change::Leave { leavers } => leavers.clone(),
            Change::Proposed { by, .. } => vec![*by],
        }
    }

    /// Whom it would take out of the list: they are not asked.
    pub fn removed(&self) -> Vec<ProviderId> {
        match self {
            Change::Failure { providers } => providers.clone(),
            Change::Leave { leavers } => leavers.iter().map(|leaver| leaver.provider).collect(),
            Change::Proposed {
                proposal: Proposal::Expel { providers, .. },
                ..
            } => providers.clone(),
            Change::Join { .. } | Change::Proposed { .. } => Vec::new(),
        }
    }

    /// Its joiner of that name.
    pub fn joiner(&self, provider: ProviderId) -> Option<&Joiner> {
        match self {
            Change::Join { joiners } => joiners.iter().find(|joiner| joiner.by.provider == provider),
            _ => None,
        }
    }
}

/// Why a proposal is not begun. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Another one waits or runs, and the group does not queue.
    #[error("it met another proposal, and the group does not queue them")]
    Collided,
    /// Too many wait.
    #[error("{max} proposals wait already")]
    QueueFull {
        /// How many may.
        max: u32,
    },
    /// The joiner's attributes are not the group's.
    #[error("the joiner's {0} is not the group's")]
    Difference(Field),
    /// An attribute is out of its range.
    #[error("{0} is out of its range")]
    OutOfRange(Field),
    /// A provider of that name is at the same peer.
    #[error("a provider of that name is there already")]
    InstanceInUse,
    /// There are too many providers in the group or at the node.
    #[error("at most {max} providers")]
    TooMany {
        /// How many may be.
        max: u32,
    },
    /// The names and texts of all providers are too long together.
    #[error("names and texts of all providers are longer than {max} bytes together")]
    NamesFull {
        /// How long they may be.
        max: u32,
    },
    /// Something is too long, or empty where it must not be.
    #[error("something is empty, or longer than {max} bytes")]
    Length {
        /// How long it may be.
        max: u32,
    },
    /// Its proposer is not in the group, or not any more.
    #[error("its proposer is not in the group")]
    NotListed,
    /// Whom it is about is not in the group, or named twice.
    #[error("it is about somebody who is not in the group, about nobody, or about somebody twice")]
    Unknown,
    /// The state value has another version by now.
    #[error("the state value has version {version}")]
    Stale {
        /// Which.
        version: u64,
    },
    /// A barrier on which nobody votes is none.
    #[error("nobody would be waited for")]
    NoVote,
    /// Its limit is out of range.
    #[error("the limit of a phase is out of range")]
    Limit,
    /// Another protocol runs.
    #[error("another protocol runs")]
    Busy,
    /// It was withdrawn in time.
    #[error("it was withdrawn")]
    Withdrawn,
    /// Its provider left the group before it was begun.
    #[error("its provider is gone")]
    Gone,
}
