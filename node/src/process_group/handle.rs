//! Orders of a process in a group.

use std::sync::Arc;
use std::time::Duration;

use fatebound_machine::process_groups::protocols::{
    Exit, Order as Word, Proposal, ProviderId, Refusal, Resolved, Ticket, Vote, Voting,
};
use fatebound_machine::process_groups::{GroupName, Seq};
use thiserror::Error;
use tokio::sync::Notify;

use super::join::ticket;
use super::seats::GroupOrder;
use crate::application::Order;
use crate::error::Stopped;
use crate::node::Node;

/// Orders of a [`Provider`](super::Provider), for as long as it is in its group.
#[derive(Clone, Debug)]
pub struct ProviderHandle {
    node: Node,
    name: GroupName,
    provider: ProviderId,
    room: Arc<Notify>,
}

/// A message that is not sent. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendMessageError {
    /// It is too long, or its sender is not in the group.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ProviderHandle {
    pub(super) fn new(node: Node, name: GroupName, provider: ProviderId, room: Arc<Notify>) -> ProviderHandle {
        ProviderHandle {
            node,
            name,
            provider,
            room,
        }
    }

    /// Whose orders these are.
    pub fn id(&self) -> ProviderId {
        self.provider
    }

    /// In which group.
    pub fn group(&self) -> &GroupName {
        &self.name
    }

    /// Sends a message of at most 60 KiB to all members, this one included; returns when it is queued, waiting while 64 are. All members are shown it in the
    /// same place, once each member's node has it ([`Notice::Message`](super::Notice::Message)).
    ///
    /// # Errors
    /// It cannot be queued, and it is no use to wait.
    pub async fn send(&self, mut body: Vec<u8>) -> Result<(), SendMessageError> {
        loop {
            // Before the question: what makes room between its answer and the waiting must not be missed.
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let order = |reply| {
                Order::ProcessGroup(Box::new(GroupOrder::Send {
                    name: self.name.clone(),
                    provider: self.provider,
                    body,
                    reply,
                }))
            };
            match self.node.ask(order).await? {
                Ok(()) => return Ok(()),
                Err((given_back, Refusal::QueueFull { .. })) => body = given_back,
                Err((_, why)) => return Err(why.into()),
            }
            room.await;
        }
    }

    /// Proposes something, and waits for what becomes of it.
    ///
    /// # Errors
    /// The node has stopped; it may or may not come true.
    pub async fn propose(&self, proposal: Proposal, voting: Voting) -> Result<Resolved, Stopped> {
        let provider = self.provider;
        self.resolve(|ticket| Word::Propose {
            ticket,
            provider,
            proposal,
            voting,
        })
        .await
    }

    /// Goes if nobody minds; for good after the group's limit.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn leave(&self) -> Result<Resolved, Stopped> {
        let provider = self.provider;
        self.resolve(|ticket| Word::Leave { ticket, provider }).await
    }

    /// Votes in a phase that is open ([`Notice::Opened`](super::Notice::Opened)). What is wrong with it comes back as an event.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn vote(&self, protocol: Seq, phase: u32, vote: Vote) -> Result<(), Stopped> {
        let provider = self.provider;
        self.word(Word::Vote {
            provider,
            protocol,
            phase,
            vote,
        })
        .await
    }

    /// Goes, whoever minds: the others hear these words, 128 bytes at most.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn goodbye(&self, text: &str) -> Result<(), Stopped> {
        self.say_goodbye(text, None).await
    }

    /// Goes to come back: its place is held for so long, if the group allows it.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn goodbye_for(&self, text: &str, hold: Duration) -> Result<(), Stopped> {
        self.say_goodbye(text, Some(hold)).await
    }

    async fn say_goodbye(&self, text: &str, hold: Option<Duration>) -> Result<(), Stopped> {
        let (provider, text) = (self.provider, text.as_bytes().to_vec());
        self.word(Word::Goodbye { provider, text, hold }).await
    }

    /// Tells how it went to end this process after it was expelled.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn deactivated(&self, protocol: Seq, exit: Exit) -> Result<(), Stopped> {
        let provider = self.provider;
        self.word(Word::Deactivated {
            provider,
            protocol,
            exit,
        })
        .await
    }

    async fn word(&self, word: Word) -> Result<(), Stopped> {
        let name = self.name.clone();
        let order = GroupOrder::Word { name, word };
        self.node.order(Order::ProcessGroup(Box::new(order))).await
    }

    async fn resolve(&self, word: impl FnOnce(Ticket) -> Word) -> Result<Resolved, Stopped> {
        let (name, provider, ticket) = (self.name.clone(), self.provider, ticket());
        let word = word(ticket);
        let order = |reply| {
            Order::ProcessGroup(Box::new(GroupOrder::Resolve {
                name,
                provider,
                ticket,
                word,
                reply,
            }))
        };
        self.node.ask(order).await
    }

    pub(super) fn order_in_drop(&self, word: Word) {
        let name = self.name.clone();
        let order = GroupOrder::Word { name, word };
        self.node.order_in_drop(Order::ProcessGroup(Box::new(order)));
    }
}
