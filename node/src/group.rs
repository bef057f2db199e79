//! The handle of one group.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fatebound_machine::fng::{GroupId, Reason};
use fatebound_machine::overlay::PeerId;
use tokio::sync::oneshot;

use crate::application::CheckReport;
use crate::error::{LeaveGroupError, SignalError, Stopped};
use crate::failures::{End, Failure, Handler};
use crate::node::Node;

/// A group as one of its members sees it. Dropping the handle changes nothing; the group lives until it fails, is closed, or is left.
#[derive(Clone, Debug)]
pub struct Group {
    node: Node,
    id: GroupId,
}

impl Group {
    pub(crate) fn new(node: Node, id: GroupId) -> Group {
        Group { node, id }
    }

    /// The group's name, for other members and for later.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// As [`Node::group_state`].
    pub fn state(&self) -> Option<Arc<[u8]>> {
        self.node.group_state(&self.id)
    }

    /// As [`Node::signal`].
    ///
    /// # Errors
    /// See [`SignalError`]; nothing has changed then.
    pub async fn signal(&self, reason: impl Into<String>) -> Result<(), SignalError> {
        self.node.signal(self.id, reason).await
    }

    /// As [`Node::fall_silent`].
    ///
    /// # Errors
    /// See [`SignalError`]; nothing has changed then.
    pub async fn fall_silent(&self) -> Result<(), SignalError> {
        self.node.fall_silent(self.id).await
    }

    /// As [`Node::on_failure`].
    pub fn on_failure(&self, handler: impl FnOnce(Failure) + Send + 'static) {
        self.node.on_failure(self.id, handler);
    }

    /// Waits for the group's failure; returns at once if it has failed. When the node stops, its groups have failed. A group that is closed, or
    /// that this node leaves, does not fail: then this waits for ever; see [`Group::ended`].
    pub async fn failed(&self) -> Failure {
        match self.ended().await {
            End::Failed(failure) => failure,
            _ => std::future::pending().await,
        }
    }

    /// Waits until the group is over for this node: it has failed, was closed, or was left.
    pub async fn ended(&self) -> End {
        let (sender, end) = oneshot::channel();
        self.node.register(self.id, Handler::Tell(sender));
        end.await.unwrap_or_else(|_| {
            End::Failed(Failure {
                group: self.id,
                reason: Reason::NotKnown,
                time: SystemTime::now(),
            })
        })
    }

    /// As [`Node::leave_group`].
    ///
    /// # Errors
    /// See [`LeaveGroupError`].
    pub async fn leave(&self) -> Result<(), LeaveGroupError> {
        self.node.leave_group(self.id).await
    }

    /// As [`Node::close_group`].
    ///
    /// # Errors
    /// See [`LeaveGroupError`].
    pub async fn close(&self) -> Result<(), LeaveGroupError> {
        self.node.close_group(self.id).await
    }

    /// As [`Node::check`].
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn check(&self) -> Result<CheckReport, Stopped> {
        self.node.check(self.id).await
    }

    /// Ties the group's fate to an attempt of yours ("fail on send"): if `attempt` ends in an error, the group is signalled with it. Returns
    /// what the attempt returned, after the signal was given.
    ///
    /// # Errors
    /// The attempt's.
    pub async fn guard<T, E: Display>(&self, attempt: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let result = attempt.await;
        if let Err(error) = &result {
            // A group that has failed already, or whose node has stopped, is signalled enough.
            let _ = self.signal(error.to_string()).await;
        }
        result
    }

    /// The members as far as known here, the root first; `None`: the group no longer lives here. Members other than the root know all of them in
    /// groups of up to 64.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn members(&self) -> Result<Option<Vec<PeerId>>, Stopped> {
        Ok(self.node.group_view(self.id).await?.map(|view| view.members))
    }

    /// Within this time of the first failure every live member is told (protocol.md §7): at the root by the hops of the group's paths, at a
    /// member, which does not know them, by the most that the root's timings allow; `None`: the group no longer lives here.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn notification_bound(&self) -> Result<Option<Duration>, Stopped> {
        Ok(self.node.group_view(self.id).await?.map(|view| view.notification_bound))
    }
}
