//! What follows from an entry, for everybody the same: what applications are shown, and what the leader goes on from.

use std::time::Duration;

use super::attributes::Attributes;
use super::change::Change;
use super::entry::{Exit, Failure, Reason, Remark};
use super::names::{Epoch, ProposalId, ProviderId};
use super::state::Provider;
use super::vote::{Counted, DefaultVote};
use crate::numbers::Seq;

/// Why a provider is not in the list any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It wished to.
    Left,
    /// This one wished it to, and nobody rejected it.
    Expelled {
        /// Who.
        by: ProviderId,
    },
    /// It has failed, or said goodbye.
    Failed(Reason),
}

/// How a protocol has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is true now.
    Approved,
    /// Somebody rejected it, in person or by default.
    Rejected,
    /// All who wanted to come in are gone.
    JoinersGone,
    /// The voters wanted more phases than the group allows.
    TooManyPhases,
}

/// Whose vote was what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ballot {
    /// Whose.
    pub provider: ProviderId,
    /// What.
    pub counted: Counted,
}

/// One thing that follows from an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A phase is open.
    Opened {
        /// The number of the protocol's start.
        protocol: Seq,
        /// Which phase, from 1.
        phase: u32,
        /// What it is about.
        change: Change,
        /// The state value that was proposed last, in the protocol's own proposal or in a phase of it.
        state: Option<Vec<u8>>,
        /// What is counted for those who do not vote.
        default: DefaultVote,
        /// How long it is waited for votes.
        limit: Duration,
        /// Who is asked, in the order of the list.
        voters: Vec<ProviderId>,
        /// The votes of the phase before.
        before: Vec<Ballot>,
    },
    /// A protocol has ended. What it made true was told before.
    Outcome {
        /// The number of its start.
        protocol: Seq,
        /// What it was about; a state value that was proposed is not in it any more.
        change: Change,
        /// How.
        outcome: Outcome,
        /// The votes of its last phase; nobody's if nobody was asked.
        votes: Vec<Ballot>,
        /// Of an expulsion: how the commands of deactivation ended, in the order of the proposal.
        exits: Vec<Exit>,
        /// The epoch that it has brought about, or did not change.
        epoch: Epoch,
    },
    /// The list is another one.
    Providers {
        /// Since this epoch.
        epoch: Epoch,
        /// All of them, the oldest first.
        providers: Vec<Provider>,
        /// Who has gone, and why. It comes before who has come.
        left: Vec<(ProviderId, Why)>,
        /// Who has come.
        joined: Vec<ProviderId>,
    },
    /// The state value is another one.
    State {
        /// The value.
        value: Vec<u8>,
        /// Its version.
        version: u64,
    },
    /// The attributes are other ones.
    Attributes(Box<Attributes>),
    /// Somebody sends this to all.
    Message {
        /// Who.
        from: ProviderId,
        /// What.
        body: Vec<u8>,
    },
    /// Somebody has failed, and is in the list until its removal. Nobody needs to wait for it.
    Failed(Failure),
    /// Somebody who wanted to come in is gone.
    JoinerGone(ProviderId),
    /// Somebody is slow.
    Announced {
        /// Who.
        provider: ProviderId,
        /// In what.
        remark: Remark,
    },
    /// To the nodes of those who were expelled: run the command of deactivation.
    Deactivate {
        /// The number of the protocol's start.
        protocol: Seq,
        /// Whose.
        providers: Vec<ProviderId>,
        /// With this argument.
        argument: Vec<u8>,
    },
    /// The group's incarnation is a larger one.
    Raised {
        /// Its epoch by now.
        epoch: Epoch,
    },
    /// The entry did not fit, and nothing followed from it.
    Ignored,
}

impl Notice {
    /// Whether those are shown it, too, who only watch the group.
    pub fn is_public(&self) -> bool {
        match self {
            Notice::Providers { .. }
            | Notice::State { .. }
            | Notice::Attributes(_)
            | Notice::Failed(_)
            | Notice::Announced { .. }
            | Notice::Raised { .. } => true,
            Notice::Opened { .. }
            | Notice::Outcome { .. }
            | Notice::Message { .. }
            | Notice::JoinerGone(_)
            | Notice::Deactivate { .. }
            | Notice::Ignored => false,
        }
    }

    /// Whose proposals it says to have begun.
    pub(super) fn begun(&self) -> Vec<ProposalId> {
        match self {
            Notice::Opened { phase: 1, change, .. } | Notice::Outcome { change, .. } => change.proposals(),
            _ => Vec::new(),
        }
    }
}
