//! Pipes to other nodes: whose life is at the other end, and what their bodies say.

use std::collections::BTreeMap;

use fatebound_base::PeerId;
use serde::{Deserialize, Serialize};

use crate::floor::Carried;
use crate::io::Output;
use crate::name::GroupRef;
use crate::numbers::Node;

/// One body of a pipe.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    group: GroupRef,
    /// The life of the receiver that is meant.
    to: u64,
    carried: Carried,
}

/// The pipes that are up.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lives: BTreeMap<PeerId, u64>,
}

/// What a body says, to whom it may concern.
pub(crate) struct Arrival {
    pub(crate) from: Node,
    pub(crate) group: GroupRef,
    pub(crate) carried: Carried,
}

impl Lines {
    pub(crate) fn up(&mut self, peer: PeerId, incarnation: u64) {
        self.lives.insert(peer, incarnation);
    }

    pub(crate) fn down(&mut self, peer: &PeerId) {
        self.lives.remove(peer);
    }

    /// A body for this node. If there is no pipe yet, one is opened for it.
    pub(crate) fn send(&self, to: Node, group: GroupRef, carried: Carried) -> Output {
        let body = Body {
            group,
            to: to.incarnation,
            carried,
        };
        Output::PipeSend {
            peer: to.peer,
            body: postcard::to_stdvec(&body).unwrap_or_default(),
        }
    }

    /// What has come through the pipe with this peer, if it is for this life of the receiver.
    pub(crate) fn received(&self, peer: PeerId, me: Node, bytes: &[u8]) -> Option<Arrival> {
        let incarnation = *self.lives.get(&peer)?;
        let body: Body = postcard::from_bytes(bytes).ok()?;
        (body.to == me.incarnation).then_some(Arrival {
            from: Node { peer, incarnation },
            group: body.group,
            carried: body.carried,
        })
    }

    /// What was to be sent to this peer and was not taken.
    pub(crate) fn not_taken(peer: PeerId, bytes: &[u8]) -> Option<(Node, GroupRef, Carried)> {
        let body: Body = postcard::from_bytes(bytes).ok()?;
        let incarnation = body.to;
        Some((Node { peer, incarnation }, body.group, body.carried))
    }
}
