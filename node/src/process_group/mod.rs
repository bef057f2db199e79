//! Process groups at the API: a program comes into a named group and from then on sees what all its members see, in the same order.
//!
//! [`Node::process_group`] names a group, [`JoinProcessGroup::join`] comes into it, and [`Provider`] is one process in it: it is shown the list of all
//! members, votes, messages and the state value, and orders through its [`ProviderHandle`]. Dropping the provider is its process' death: the others are
//! told at once. See `docs/cluster.md` for what is promised.
//!
//! # A replicated counter
//!
//! The group's state value is the count. Whoever wants to add to it proposes another value, for the version that it has seen: of two that do so at once one
//! comes first, and the other sees what it missed and tries again. Whoever dies at whatever moment, nothing is lost and nothing is counted twice; whoever
//! comes in later gets the value.
//!
//! ```
//! use fatebound::process_group::{Notice, Proposal, Provider, ProviderEvent, Resolved, Voting};
//! use fatebound::{Multiaddr, Node, Profile};
//!
//! /// Adds to the count; says what it is then.
//! async fn add(node: &Node, counter: &Provider, number: u64) -> Result<u64, Box<dyn std::error::Error>> {
//!     loop {
//!         let group = node.process_group_status(counter.group()).await?.ok_or("not in the group")?;
//!         let state = group.state.ok_or("not in the group")?;
//!         let (value, version) = state.value();
//!         let before = value.try_into().map_or(0, u64::from_be_bytes);
//!         let value = (before + number).to_be_bytes().to_vec();
//!         let proposal = Proposal::State { value, expected: Some(version) };
//!         if let Resolved::Approved { .. } = counter.handle().propose(proposal, Voting::OnePhase).await? {
//!             return Ok(before + number);
//!         }
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two peers; in real life each is a process on a machine of its own.
//! let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse()?;
//! let peer = || Node::builder().profile(Profile::Local).listen(listen.clone());
//! let alice = peer().start().await?;
//! let bob = peer().bootstrap(alice.listen_addresses()[0].clone()).start().await?;
//! bob.joined().await?;
//!
//! let at_alice = alice.process_group("counter")?.instance("a").join().await?;
//! let mut at_bob = bob.process_group("counter")?.instance("b").join().await?;
//! add(&alice, &at_alice, 40).await?;
//! add(&bob, &at_bob, 2).await?;
//!
//! // Alice's process dies. Bob is told, and goes on with all that was counted.
//! drop(at_alice);
//! while let Some(event) = at_bob.next().await {
//!     match event {
//!         ProviderEvent::Shown(Notice::Providers { left, .. }) if !left.is_empty() => break,
//!         _ => {}
//!     }
//! }
//! assert_eq!(add(&bob, &at_bob, 0).await?, 42);
//! # Ok(())
//! # }
//! ```

mod events;
mod handle;
mod join;
mod seats;

pub use events::ProviderEvent;
pub use fatebound_machine::process_groups::protocols::{
    Attributes, Ballot, ByDefault, Change, Collision, Counted, DefaultVote, Ended, Epoch, Exit, Failure, Field, Joiner,
    Kind, MAX_INFO, MAX_INSTANCE, MAX_MESSAGE, MAX_STATE, Notice, OutOfRange, Outcome, Proposal, ProposalId, Protocol,
    ProviderId, Reason as FailureReason, Refusal as ProposalRefusal, Remark, Resolved, Stage, Standing, Verdict, Vote,
    VoteRefused, Voting, Why,
};
pub use fatebound_machine::process_groups::protocols::{GroupState, Provider as ListedProvider};
pub use fatebound_machine::process_groups::views::{Blocked, Status as Membership};
pub use fatebound_machine::process_groups::{
    Founding, GroupName, GroupStatus, JoinRefused, MAX_NAME, NameError, Node as GroupNode, Policy, Seq, View,
    ViewNumber, Voter,
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
