//! Who may come into this node's groups after their creation: the policy, and peers that ask.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll};

use fatebound_machine::fng::{Admit, GroupId, Refusal};
use fatebound_machine::overlay::PeerId;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::application::Order;
use crate::error::Stopped;
use crate::node::Node;

/// Who may come into a group later, as a member or as an observer; see [`CreateGroup::admit`](crate::CreateGroup::admit).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// Whoever reads [`Node::admissions`] is asked; nobody may while nobody reads.
    #[default]
    Ask,
    /// Anybody who has the group's id.
    Open,
    /// Nobody, but for former members who left.
    Members,
    /// These, at most as many as a group may have members, and former members who left.
    Listed(BTreeSet<PeerId>),
}

impl From<Admission> for Admit {
    fn from(admission: Admission) -> Admit {
        match admission {
            Admission::Ask => Admit::Ask,
            Admission::Open => Admit::Open,
            Admission::Members => Admit::Members,
            Admission::Listed(peers) => Admit::Listed(peers),
        }
    }
}

/// A peer that wants to come in, as the machine tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) group: GroupId,
    pub(crate) peer: PeerId,
    pub(crate) observe: bool,
}

/// A peer that wants to come into a group of this node. Dropping it says no.
#[derive(Debug)]
pub struct AdmissionRequest {
    /// The group.
    pub group: GroupId,
    /// Who.
    pub peer: PeerId,
    /// Only as an observer.
    pub observe: bool,
    node: Node,
    answered: bool,
}

impl AdmissionRequest {
    /// Lets the peer in. Whether it comes is another matter: it may have given up meanwhile.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn admit(mut self) -> Result<(), Stopped> {
        self.answered = true;
        self.node.order(self.order(None)).await
    }

    /// Says no, in words of at most 1 KiB.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn refuse(mut self, text: impl Into<String>) -> Result<(), Stopped> {
        self.answered = true;
        let text = text.into();
        self.node.order(self.order(Some(Refusal::Declined { text }))).await
    }

    /// Says nothing: the peer's wish ends when the peer repeats it no more.
    pub fn ignore(mut self) {
        self.answered = true;
    }

    fn order(&self, refusal: Option<Refusal>) -> Order {
        Order::Admit {
            group: self.group,
            peer: self.peer,
            refusal,
        }
    }
}

impl Drop for AdmissionRequest {
    fn drop(&mut self) {
        if !self.answered {
            // Where there is no room for the order, the wish ends when it is not repeated any more.
            self.node.try_order(self.order(Some(Refusal::NotAdmitted)));
        }
    }
}

/// Peers that want to come in, see [`Node::admissions`]. Ends when the node has stopped; dropping it ends the asking.
#[derive(Debug)]
pub struct Admissions {
    node: Node,
    wishes: mpsc::Receiver<Wish>,
}

impl Admissions {
    pub(crate) fn new(node: Node, wishes: mpsc::Receiver<Wish>) -> Admissions {
        Admissions { node, wishes }
    }

    /// The next peer; `None` when the node has stopped.
    pub async fn next(&mut self) -> Option<AdmissionRequest> {
        StreamExt::next(self).await
    }
}

impl Stream for Admissions {
    type Item = AdmissionRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AdmissionRequest>> {
        let node = self.node.clone();
        self.wishes.poll_recv(cx).map(|wish| {
            wish.map(|wish| AdmissionRequest {
                group: wish.group,
                peer: wish.peer,
                observe: wish.observe,
                node,
                answered: false,
            })
        })
    }
}
