//! What the log of a group carries: the same entries in the same order at every node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MAX_ENTRY;
use super::change::Change;
use super::names::ProviderId;
use super::vote::{Counted, DefaultVote};
use crate::numbers::Seq;

/// Why a provider is taken for failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Its node is not in the view any more.
    NodeGone,
    /// Its process has ended without a word.
    ProcessGone,
    /// It said goodbye.
    Goodbye,
    /// It said goodbye to come back: its place is held for so long. Not failed, and not removed.
    Restart {
        /// For how long.
        hold: Duration,
    },
    /// It did not come back in time.
    HoldOver,
}

/// Somebody has failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// Who.
    pub provider: ProviderId,
    /// Why.
    pub reason: Reason,
    /// What it said last, at most [`MAX_TEXT`](super::MAX_TEXT).
    pub text: Vec<u8>,
}

/// What everybody should know of a provider that is still in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Remark {
    /// Its process does not answer.
    Unresponsive,
    /// It did not vote within the limit.
    DidNotVote,
    /// Its node is far behind with its acknowledgements.
    Lagging,
}

/// How the command of deactivation of an expelled provider has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// There is none at its node, or it could not be run, or was killed.
    NotRun,
    /// Its node is gone.
    NodeGone,
    /// Not within the limit.
    Late,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Entry {
    /// A message of an application. The only kind that is no decision of the leader's.
    Message {
        /// Whose.
        provider: ProviderId,
        /// What, at most [`MAX_MESSAGE`](super::MAX_MESSAGE).
        body: Vec<u8>,
    },
    /// A protocol begins: its first phase is open.
    Start {
        /// What it is about.
        change: Change,
        /// How long each of its phases waits for votes.
        limit: Duration,
    },
    /// A protocol that nobody votes upon: it begins and is approved.
    OnePhase {
        /// What it is about.
        change: Change,
    },
    /// A phase ends. What follows is computed from the votes by everybody.
    Phase {
        /// The number of the protocol's start.
        protocol: Seq,
        /// Which phase, from 1.
        phase: u32,
        /// One for each voter, in the order of the list.
        votes: Vec<Counted>,
        /// The state value that was proposed in this phase, and by whom.
        state: Option<(ProviderId, Vec<u8>)>,
        /// What is counted for the silent from the next phase on, and who wants it so.
        default: Option<(ProviderId, DefaultVote)>,
    },
    /// Somebody has failed: whoever waits for it need not.
    Failed {
        /// At most [`MAX_BATCH`](super::MAX_BATCH).
        failures: Vec<Failure>,
    },
    /// Somebody should be known to be slow.
    Announce {
        /// Who.
        provider: ProviderId,
        /// In what.
        remark: Remark,
    },
    /// The last word on an expulsion: how the commands of deactivation have ended.
    Deactivated {
        /// The number of the protocol's start.
        protocol: Seq,
        /// One for each expelled provider, in the order of the proposal.
        exits: Vec<Exit>,
    },
    /// The group takes a larger incarnation, so that its epochs are ahead of those of a group that gave way to it.
    Raise {
        /// Which.
        incarnation: u32,
    },
}

/// Bytes that are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// Longer than any entry.
    #[error("longer than {MAX_ENTRY} bytes")]
    TooLong,
    /// They say nothing.
    #[error("not an entry")]
    Malformed,
}

impl Entry {
    /// Whether only the leader decides it, and it is shown to nobody before it is committed.
    pub fn is_control(&self) -> bool {
        !matches!(self, Entry::Message { .. })
    }

    /// As bytes, for the stream.
    ///
    /// # Errors
    /// It is longer than an entry may be; no entry that fits the state is.
    pub fn encode(&self) -> Result<Vec<u8>, BadEntry> {
        let bytes = postcard::to_stdvec(self).map_err(|_| BadEntry::Malformed)?;
        if bytes.len() > MAX_ENTRY {
            return Err(BadEntry::TooLong);
        }
        Ok(bytes)
    }

    /// From bytes that came from a leader.
    ///
    /// # Errors
    /// They are too long, or no entry, or something follows it.
    pub fn decode(bytes: &[u8]) -> Result<Entry, BadEntry> {
        if bytes.len() > MAX_ENTRY {
            return Err(BadEntry::TooLong);
        }
        match postcard::take_from_bytes(bytes) {
            Ok((entry, [])) => Ok(entry),
            _ => Err(BadEntry::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::provider;
    use super::*;
    use crate::protocols::MAX_MESSAGE;

    #[test]
    fn an_entry_comes_back_from_its_bytes() {
        let entry = Entry::Message {
            provider: provider(1, 1),
            body: vec![7; MAX_MESSAGE],
        };
        let bytes = entry.encode().expect("it fits");
        assert_eq!(Entry::decode(&bytes), Ok(entry));
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = Entry::Raise { incarnation: 3 }.encode().expect("it fits");
        assert_eq!(Entry::decode(&[]), Err(BadEntry::Malformed));
        assert_eq!(Entry::decode(&bytes[..1]), Err(BadEntry::Malformed));
        assert_eq!(Entry::decode(&[&bytes[..], &[0]].concat()), Err(BadEntry::Malformed));
        assert_eq!(Entry::decode(&vec![0; MAX_ENTRY + 1]), Err(BadEntry::TooLong));
        let entry = Entry::Message {
            provider: provider(1, 1),
            body: vec![0; MAX_ENTRY],
        };
        assert_eq!(entry.encode(), Err(BadEntry::TooLong));
    }
}
