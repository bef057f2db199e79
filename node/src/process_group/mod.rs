//! Process groups at the API: a program comes into a named group and from then on sees what all its members see, in the same order.
//!
//! [`Node::process_group`] names a group, [`JoinProcessGroup::join`] comes into it, and [`Provider`] is one process in it: it is shown the list of all
//! members, votes, messages and the state value, and orders through its [`ProviderHandle`]. Dropping the provider is its process' death: the others are
//! told at once. See `docs/cluster.md` for what is promised.

mod events;
mod handle;
mod join;
mod seats;

pub use events::ProviderEvent;
pub use fatebound_machine::process_groups::protocols::{
    Attributes, Ballot, ByDefault, Change, Collision, Counted, DefaultVote, Ended, Epoch, Exit, Failure, Field, Joiner,
    Kind, MAX_INFO, MAX_INSTANCE, MAX_MESSAGE, MAX_STATE, Notice, OutOfRange, Outcome, Proposal, ProposalId, Protocol,
    ProviderId, Reason as FailureReason, Refusal as ProposalRefusal, Remark, Resolved, Standing, Verdict, Vote,
    VoteRefused, Voting, Why,
};
pub use fatebound_machine::process_groups::protocols::{GroupState, Provider as ListedProvider};
pub use fatebound_machine::process_groups::views::{Blocked, Status as Membership};
pub use fatebound_machine::process_groups::{
    Founding, GroupName, GroupStatus, JoinRefused, MAX_NAME, NameError, Node as GroupNode, Seq, View, ViewNumber, Voter,
};
pub use handle::{ProviderHandle, SendMessageError};
pub use join::{JoinProcessGroup, JoinProcessGroupError, Provider};
pub(crate) use seats::{GroupOrder, Seats};

use crate::error::Stopped;
use crate::node::Node;

impl Node {
    /// A process group by its name, 1 to 128 bytes without control characters, to come into.
    ///
    /// # Errors
    /// It is no name.
    pub fn process_group(&self, name: &str) -> Result<JoinProcessGroup, NameError> {
        GroupName::try_from(name).map(|name| JoinProcessGroup::new(self.clone(), name))
    }

    /// How the process groups stand in which this node is, or into which it is on its way, by name.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn process_groups(&self) -> Result<Vec<GroupStatus>, Stopped> {
        self.read(|machine| machine.process_groups().groups().collect()).await
    }

    /// How one of them stands; `None` if this node has nothing to do with it.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn process_group_status(&self, name: &GroupName) -> Result<Option<GroupStatus>, Stopped> {
        let name = name.clone();
        self.read(move |machine| machine.process_groups().group(&name)).await
    }
}
