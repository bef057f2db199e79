//! Proposals, phases and votes: the replicated state of a process group (cluster.md §7).
//!
//! Everything here stands on one thing: a log of committed entries that every node of the group applies in one order. Three machines:
//!
//! - [`GroupState`], at every node, a pure function of the log: who is in the group, what it agreed on, which protocol runs.
//! - [`Chair`], at the leader: what is numbered next. It remembers nothing that may not be lost; a new leader makes another one from its state.
//! - [`Desk`], at every node: its own providers. It keeps what the chair may lose, and says it again to the next one.
//!
//! | file | idea |
//! | --- | --- |
//! | `names`, `attributes`, `change`, `vote` | what is talked about |
//! | `entry`, `notice` | what the log says, and what follows from it |
//! | `message`, `io` | words between desk and chair, ins and outs |
//! | `state`, `chair`, `desk` | the three machines |

mod attributes;
mod chair;
mod change;
mod desk;
mod entry;
mod io;
mod message;
mod names;
mod notice;
mod state;
#[cfg(test)]
mod tests;
mod vote;

pub use attributes::{Attributes, Collision, Field, MAX_LIMIT, MAX_PHASES, MAX_WINDOW, OutOfRange};
pub use chair::Chair;
pub use change::{Change, Joiner, Kind, Proposal, Refusal, Voting};
pub use desk::Desk;
pub use entry::{BadEntry, Entry, Exit, Failure, Reason, Remark};
pub use io::{ChairInput, ChairOutput, DeskInput, DeskOutput, Ended, Event, Order, Resolved, VoteRefused};
pub use message::{Answer, Ask, Word};
pub use names::{Epoch, ProposalId, ProviderId, Ticket};
pub use notice::{Ballot, Notice, Outcome, Why};
pub use state::{BadSnapshot, GroupState, Protocol, Provider, Stage, Standing};
pub use vote::{ByDefault, Counted, Decision, DefaultVote, Verdict, Vote, message_share};

/// Providers in one group at most.
pub const MAX_PROVIDERS: usize = 128;
/// Of these at one node at most.
pub const MAX_PROVIDERS_PER_NODE: usize = 64;
/// Bytes of a provider's instance name at most, and one at least.
pub const MAX_INSTANCE: usize = 64;
/// Bytes of what the others are to know of a provider at most.
pub const MAX_INFO: usize = 128;
/// Bytes of the names and infos of all providers together at most: 64 for each if there are as many as may be.
pub const MAX_NAMES: usize = 8 * 1024;
/// Bytes of the state value at most.
pub const MAX_STATE: usize = 16 * 1024;
/// Bytes of an application's message at most.
pub const MAX_MESSAGE: usize = 60 * 1024;
/// Bytes of a message that is proposed at most: it is part of the state while it is voted upon.
pub const MAX_PROPOSED_MESSAGE: usize = 4 * 1024;
/// Bytes of the message that goes with a vote at most.
pub const MAX_VOTE_MESSAGE: usize = 4 * 1024;
/// Bytes of all messages that go with the votes of a phase at most; each voter may use an equal share.
pub const MAX_VOTE_MESSAGES: usize = 32 * 1024;
/// Bytes of a last word, a barrier's name, or the argument of a deactivation at most.
pub const MAX_TEXT: usize = 128;
/// Joins, leaves, expulsions or failures in one entry at most.
pub const MAX_BATCH: usize = 32;
/// Bytes of an entry at most: the longest message, and who sent it.
pub const MAX_ENTRY: usize = MAX_MESSAGE + 256;
/// Bytes of the whole state at most.
pub const MAX_SNAPSHOT: usize = 56 * 1024;
/// Joins that wait at the chair at most, and of everything else as many.
pub const MAX_WAITING: usize = 64;
/// Proposals of one provider that wait at its desk at most.
pub const MAX_PROPOSALS: usize = 8;
