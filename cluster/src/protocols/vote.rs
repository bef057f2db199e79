//! Votes: what a provider may say in a phase, what is said for those who do not, and what follows from all of them.

use serde::{Deserialize, Serialize};

use super::{MAX_STATE, MAX_VOTE_MESSAGE, MAX_VOTE_MESSAGES};

/// What a voter wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Let it be so.
    Approve,
    /// Let there be another phase.
    Continue,
    /// Let it not be, once everybody is here.
    Reject,
}

/// What is counted for a voter that does not vote. Not `Continue`, or the dead would go on for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DefaultVote {
    /// Silence is consent.
    Approve,
    /// Silence is dissent.
    #[default]
    Reject,
}

impl From<DefaultVote> for Verdict {
    fn from(default: DefaultVote) -> Verdict {
        match default {
            DefaultVote::Approve => Verdict::Approve,
            DefaultVote::Reject => Verdict::Reject,
        }
    }
}

/// A provider's vote in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote {
    /// What it wants.
    pub verdict: Verdict,
    /// For all other providers, with the phase's result; empty if there is none. At most [`message_share`].
    pub message: Vec<u8>,
    /// What the state value is to be if the protocol is approved. At most [`MAX_STATE`].
    pub state: Option<Vec<u8>>,
    /// What is to be counted, from the next phase of this protocol on, for those who do not vote.
    pub default: Option<DefaultVote>,
}

impl Vote {
    /// Nothing but the verdict.
    pub fn new(verdict: Verdict) -> Vote {
        Vote {
            verdict,
            message: Vec::new(),
            state: None,
            default: None,
        }
    }

    /// Whether it may be cast where so many vote.
    pub(super) fn fits(&self, voters: usize) -> bool {
        let state = self.state.as_ref().is_none_or(|state| state.len() <= MAX_STATE);
        state && self.message.len() <= message_share(voters)
    }
}

/// How long a vote's message may be where so many vote: all of them travel in one entry.
pub fn message_share(voters: usize) -> usize {
    MAX_VOTE_MESSAGES
        .checked_div(voters)
        .unwrap_or(MAX_VOTE_MESSAGE)
        .min(MAX_VOTE_MESSAGE)
}

/// Why the default was counted for a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ByDefault {
    /// Its process or its node is gone, or it said goodbye.
    Gone,
    /// Its place is held for it.
    Absent,
    /// It said nothing within the limit.
    Silent,
}

/// What was counted for one voter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counted {
    /// Its vote, or the default.
    pub verdict: Verdict,
    /// Why the default; `None` if it voted.
    pub by_default: Option<ByDefault>,
    /// Its message; empty if there is none.
    pub message: Vec<u8>,
}

/// What follows from the votes of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Everybody approves; also if nobody was to be asked.
    Approve,
    /// Nobody rejects, and somebody wants another phase.
    Continue,
    /// Somebody rejects.
    Reject,
}

impl Decision {
    /// Of all the votes of a phase.
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> Decision {
        match verdicts.into_iter().max() {
            None | Some(Verdict::Approve) => Decision::Approve,
            Some(Verdict::Continue) => Decision::Continue,
            Some(Verdict::Reject) => Decision::Reject,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Approve, Continue, Reject};

    #[test]
    fn one_rejection_outweighs_all_and_one_continuation_all_approvals() {
        assert_eq!(Decision::of([]), Decision::Approve);
        assert_eq!(Decision::of([Approve, Approve]), Decision::Approve);
        assert_eq!(Decision::of([Approve, Continue, Approve]), Decision::Continue);
        assert_eq!(Decision::of([Reject, Continue, Approve]), Decision::Reject);
    }

    #[test]
    fn messages_of_all_voters_fit_one_entry() {
        assert_eq!(message_share(0), MAX_VOTE_MESSAGE);
        assert_eq!(message_share(8), MAX_VOTE_MESSAGE);
        for voters in 1..=super::super::MAX_PROVIDERS {
            assert!(message_share(voters) * voters <= MAX_VOTE_MESSAGES);
            assert!(message_share(voters) > 0);
        }
    }

    #[test]
    fn a_vote_fits_by_its_message_and_its_state() {
        let mut vote = Vote::new(Approve);
        vote.state = Some(vec![0; MAX_STATE]);
        vote.message = vec![0; message_share(16)];
        assert!(vote.fits(16));
        assert!(!vote.fits(17));
        vote.state = Some(vec![0; MAX_STATE + 1]);
        assert!(!vote.fits(1));
    }
}
