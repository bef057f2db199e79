//! Coming into a process group.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use fatebound_machine::process_groups::protocols::{
    Attributes, Epoch, MAX_INFO, MAX_INSTANCE, Order as Word, ProviderId, Refusal, Resolved, Ticket,
};
use fatebound_machine::process_groups::{GroupName, JoinRefused};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};

use super::events::ProviderEvent;
use super::handle::ProviderHandle;
use super::seats::GroupOrder;
use crate::application::Order;
use crate::error::Stopped;
use crate::node::Node;

/// Events that may wait for a provider's reader. One that lets more wait counts as gone.
pub(crate) const EVENTS: usize = 65_536;

/// Seconds from the beginning of 1970 to that of 2020.
const EPOCH: u64 = 1_577_836_800;

/// Numbers that tell the orders of this process apart.
static TICKETS: AtomicU64 = AtomicU64::new(1);

pub(super) fn ticket() -> Ticket {
    Ticket(TICKETS.fetch_add(1, Ordering::Relaxed))
}

/// A process group that is to be joined; see [`Node::process_group`].
#[derive(Clone, Debug)]
#[must_use = "nothing is joined without join()"]
pub struct JoinProcessGroup {
    node: Node,
    name: GroupName,
    instance: String,
    info: Vec<u8>,
    attributes: Attributes,
}

/// Why a process group was not joined. Nothing has changed in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinProcessGroupError {
    /// This node cannot be in the group.
    #[error(transparent)]
    Refused(#[from] JoinRefused),
    /// The group does not take this process.
    #[error("the group does not take this process: {0}")]
    NotTaken(Refusal),
    /// The members voted against it.
    #[error("the members voted against it")]
    Rejected,
    /// This node was put out of the group before it was decided.
    #[error("this node was put out of the group before it was decided")]
    PutOut,
    /// The instance's name is empty or too long.
    #[error("an instance is named by 1 to {MAX_INSTANCE} bytes")]
    Instance,
    /// The info is too long.
    #[error("what the others are to know has at most {MAX_INFO} bytes")]
    Info,
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl JoinProcessGroupError {
    /// Why a join has come to nothing.
    pub(super) fn of(resolved: &Resolved) -> JoinProcessGroupError {
        match resolved {
            Resolved::Refused(why) => JoinProcessGroupError::NotTaken(*why),
            Resolved::Rejected { .. } | Resolved::TooManyPhases => JoinProcessGroupError::Rejected,
            Resolved::Approved { .. } | Resolved::Unknown => JoinProcessGroupError::PutOut,
        }
    }
}

impl JoinProcessGroup {
    pub(super) fn new(node: Node, name: GroupName) -> JoinProcessGroup {
        let instance = format!("process-{}", std::process::id());
        JoinProcessGroup {
            node,
            name,
            instance,
            info: Vec::new(),
            attributes: Attributes::default(),
        }
    }

    /// What this process is called in the group, unique at its node: 1 to 64 bytes; else `process-` and its number.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = instance.into();
        self
    }

    /// What the others are to know of it, where it serves for example: at most 128 bytes.
    pub fn info(mut self, info: impl Into<Vec<u8>>) -> Self {
        self.info = info.into();
        self
    }

    /// What the group is to be like. Whoever founds it sets them, and whoever joins has to bring the same.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Comes into the group: finds it by its name, or founds it if there is none, and waits until its members have taken this process in. In an overlay
    /// that is younger than twice its `maintenance_interval` it is not known yet whether there is a group, and this waits until it is. Dropping the future
    /// gives it up.
    ///
    /// # Errors
    /// See [`JoinProcessGroupError`].
    pub async fn join(self) -> Result<Provider, JoinProcessGroupError> {
        if !(1..=MAX_INSTANCE).contains(&self.instance.len()) {
            return Err(JoinProcessGroupError::Instance);
        }
        if self.info.len() > MAX_INFO {
            return Err(JoinProcessGroupError::Info);
        }
        let (events, events_out) = mpsc::channel(EVENTS);
        let (ticket, room) = (ticket(), Arc::new(Notify::new()));
        let waiting = Waiting {
            node: self.node.clone(),
            name: self.name.clone(),
            ticket,
            over: false,
        };
        let order = |reply: oneshot::Sender<Result<Joined, JoinProcessGroupError>>| {
            Order::ProcessGroup(Box::new(GroupOrder::Join {
                name: self.name.clone(),
                seconds: seconds_since_2020(),
                ticket,
                instance: self.instance.into_bytes(),
                info: self.info,
                attributes: Box::new(self.attributes),
                events,
                room: room.clone(),
                reply,
            }))
        };
        let answer = self.node.ask(order).await;
        waiting.end();
        let joined = answer??;
        Ok(Provider {
            handle: ProviderHandle::new(self.node, self.name, joined.provider, room),
            events: events_out,
            epoch: joined.epoch,
            ended: false,
        })
    }
}

/// A join that has succeeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    pub(crate) provider: ProviderId,
    pub(crate) epoch: Epoch,
}

/// A join whose future may be dropped.
struct Waiting {
    node: Node,
    name: GroupName,
    ticket: Ticket,
    over: bool,
}

impl Waiting {
    fn end(mut self) {
        self.over = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.over {
            let (name, ticket) = (self.name.clone(), self.ticket);
            let order = GroupOrder::Abandon { name, ticket };
            self.node.order_in_drop(Order::ProcessGroup(Box::new(order)));
        }
    }
}

fn seconds_since_2020() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs().saturating_sub(EPOCH)).unwrap_or(u32::MAX)
}

/// One process in a group. Dropping it is its death: the other members are told at once, and it is taken out of the list.
#[derive(Debug)]
pub struct Provider {
    handle: ProviderHandle,
    events: mpsc::Receiver<ProviderEvent>,
    epoch: Epoch,
    ended: bool,
}

impl Provider {
    /// How it is called in the group.
    pub fn id(&self) -> ProviderId {
        self.handle.id()
    }

    /// Its group.
    pub fn group(&self) -> &GroupName {
        self.handle.group()
    }

    /// The epoch with which it came in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// For orders while something else waits for events.
    pub fn handle(&self) -> ProviderHandle {
        self.handle.clone()
    }

    /// What happens next; `None` after [`ProviderEvent::Ended`] and what came after it, when the node has stopped, or when 65,536 events waited here: then
    /// this process counts as gone. Giving up on it loses nothing.
    pub async fn next(&mut self) -> Option<ProviderEvent> {
        let event = self.events.recv().await;
        self.ended |= event.is_none() || matches!(event, Some(ProviderEvent::Ended(_)));
        event
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if !self.ended {
            let provider = self.id();
            self.handle.order_in_drop(Word::Gone { provider });
        }
    }
}
