//! What a node's desk and the leader's chair say to each other.
//!
//! Words of one node arrive in their order, within one view. Some may be lost: then the desk hears of it ([`DeskInput::Again`] or
//! [`DeskInput::Leader`]), and says again whatever still matters. So all of it may come twice.
//!
//! [`DeskInput::Again`]: super::DeskInput::Again
//! [`DeskInput::Leader`]: super::DeskInput::Leader

use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::change::{Proposal, Refusal, Voting};
use super::entry::{Exit, Reason};
use super::names::{ProposalId, ProviderId};
use super::vote::Vote;
use crate::numbers::Seq;

/// What a provider wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ask {
    /// To come in.
    Join {
        /// What its process is called.
        instance: Vec<u8>,
        /// What the others are to know of it.
        info: Vec<u8>,
        /// The attributes that it takes the group to have.
        attributes: Box<Attributes>,
    },
    /// To go, if nobody minds.
    Leave,
    /// Something else.
    Propose {
        /// What.
        proposal: Proposal,
        /// Decided how.
        voting: Voting,
    },
}

/// Desk → chair.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Word {
    /// A provider proposes. One at a time, until it has begun or was refused.
    Propose {
        /// Which proposal.
        by: ProposalId,
        /// What it wants.
        ask: Ask,
    },
    /// Let it be, if it has not begun.
    Withdraw {
        /// Which proposal.
        by: ProposalId,
    },
    /// A provider votes.
    Vote {
        /// Who.
        provider: ProviderId,
        /// The number of the protocol's start.
        protocol: Seq,
        /// In which phase.
        phase: u32,
        /// Its vote.
        vote: Vote,
    },
    /// A provider is gone, or says goodbye.
    Over {
        /// Who.
        provider: ProviderId,
        /// Why.
        reason: Reason,
        /// What it said last.
        text: Vec<u8>,
    },
    /// How a command of deactivation has ended.
    Deactivated {
        /// Whose.
        provider: ProviderId,
        /// The number of the expulsion's start.
        protocol: Seq,
        /// How.
        exit: Exit,
    },
}

/// Chair → desk. Whatever else a desk has to know, the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// The proposal is not begun, and forgotten.
    Refused {
        /// Which.
        by: ProposalId,
        /// Why.
        why: Refusal,
    },
    /// To `Over`: there is no such provider, and none of that name wants to come in.
    Unlisted {
        /// Who.
        provider: ProviderId,
    },
}
