//! Invitations on their way to the application that waits for their tag.

use std::pin::Pin;
use std::task::{Context, Poll};

use fatebound_machine::overlay::PeerId;
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::application::{Offer, Order};
use crate::group::Group;
use crate::node::Node;

/// An invitation that was accepted: this node is a member now.
#[derive(Debug)]
pub struct Invitation {
    /// The group. It may have failed meanwhile; handlers registered now run all the same.
    pub group: Group,
    /// Who created it.
    pub root: PeerId,
    /// All members, the root first; empty in groups of more than 64.
    pub members: Vec<PeerId>,
    /// The tag that was waited for.
    pub tag: String,
    /// The creator's bytes.
    pub state: Vec<u8>,
    /// Its places in the rooms of [`Node::accept_within`], given back when they are dropped.
    pub places: Vec<OwnedSemaphorePermit>,
}

/// Invitations with one tag, see [`Node::accept`]. Ends when the node has stopped; dropping it ends the waiting.
///
/// Nobody stands behind an invitation that was accepted and is not taken out of this before it is dropped: its group is signalled.
#[derive(Debug)]
pub struct Invitations {
    node: Node,
    offers: mpsc::Receiver<Offer>,
}

impl Invitations {
    pub(crate) fn new(node: Node, offers: mpsc::Receiver<Offer>) -> Invitations {
        Invitations { node, offers }
    }

    /// The next invitation; `None` when the node has stopped.
    pub async fn next(&mut self) -> Option<Invitation> {
        StreamExt::next(self).await
    }

    /// Accepts nothing more; what was accepted before still comes out.
    pub fn close(&mut self) {
        self.offers.close();
    }
}

impl Drop for Invitations {
    fn drop(&mut self) {
        self.offers.close();
        let (_, none) = mpsc::channel(1);
        let offers = std::mem::replace(&mut self.offers, none);
        self.node.order_in_drop(Order::Unaccept { offers });
    }
}

impl Stream for Invitations {
    type Item = Invitation;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Invitation>> {
        let node = self.node.clone();
        self.offers.poll_recv(cx).map(|offer| {
            offer.map(|offer| Invitation {
                group: Group::new(node, offer.group),
                root: offer.group.root,
                members: offer.members,
                tag: offer.tag,
                state: offer.state,
                places: offer.places,
            })
        })
    }
}
