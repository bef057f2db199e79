//! Coming into a group that exists: a small builder that is awaited.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use fatebound_machine::fng::GroupId;
use tokio::sync::oneshot;

use crate::application::{Joining, Order};
use crate::error::{JoinGroupError, Stopped};
use crate::failures::{Failure, Handler};
use crate::group::Group;
use crate::node::Node;

/// A group to be joined or observed, see [`Node::join_group`]. Awaiting it returns the [`Group`] once this node is in it, or says why it is not.
///
/// Giving up on it (dropping the future) does not take it back; if this node is let in nevertheless, it leaves at once.
#[must_use = "nobody is asked until this is awaited"]
#[derive(Debug)]
pub struct JoinGroup {
    node: Node,
    group: GroupId,
    observe: bool,
    timeout: Option<Duration>,
    handlers: Vec<Handler>,
}

impl JoinGroup {
    pub(crate) fn new(node: Node, group: GroupId, observe: bool) -> JoinGroup {
        JoinGroup {
            node,
            group,
            observe,
            timeout: None,
            handlers: Vec::new(),
        }
    }

    /// How long the root has to let this node in, instead of the profile's `create_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> JoinGroup {
        self.timeout = Some(timeout);
        self
    }

    /// Runs when the group fails, once this node is in it. May be given several times.
    pub fn on_failure(mut self, handler: impl FnOnce(Failure) + Send + 'static) -> JoinGroup {
        self.handlers.push(Handler::new(handler));
        self
    }

    async fn join(self) -> Result<Group, JoinGroupError> {
        let (reply, answer) = oneshot::channel();
        let joining = Joining {
            group: self.group,
            observe: self.observe,
            timeout: self.timeout,
            handlers: self.handlers,
            reply,
        };
        self.node.order(Order::JoinGroup(Box::new(joining))).await?;
        answer.await.map_err(|_| Stopped)??;
        Ok(Group::new(self.node, self.group))
    }
}

impl IntoFuture for JoinGroup {
    type Output = Result<Group, JoinGroupError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.join())
    }
}
