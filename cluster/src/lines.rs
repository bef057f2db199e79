//! Pipes to other nodes: whose life is at the other end, and what their bodies say; and where no pipe can be had, the way that is taken instead.

use std::collections::BTreeMap;

use fatebound_base::{PeerId, Rule, Time};
use serde::{Deserialize, Serialize};

use crate::detours::Detours;
use crate::floor::Carried;
use crate::io::Output;
use crate::message::{Envelope, Words};
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
    /// Where there can be none.
    pub(crate) detours: Detours,
    /// What a detour has not taken, and nobody was told of yet.
    untaken: Vec<(Node, GroupRef, Carried)>,
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
        self.detours.pipe_is_up(&peer);
    }

    /// A pipe has ended, or could not be had; says whether anything that was sent may be lost with it.
    pub(crate) fn down(&mut self, now: Time, peer: &PeerId, lost: usize, unreachable: bool) -> bool {
        self.lives.remove(peer);
        self.detours.pipe_is_down(peer);
        // S8 ◆ "Where no pipe can be had".
        let only_tried = match unreachable {
            true => Rule::StreamDetours.holds() && self.detours.begin(now, *peer),
            false => self.detours.tried_in_vain(now, peer),
        };
        lost > 0 && !only_tried
    }

    /// This end bears no more pipes, and has not taken a body for this peer; says whether that goes by a detour from now on.
    pub(crate) fn too_many(&mut self, now: Time, peer: PeerId) -> bool {
        // S8 ◆ "or one bears no more pipes".
        if Rule::StreamDetours.holds() {
            self.detours.begin(now, peer);
        }
        self.detours.leads_to(&peer)
    }

    /// The other end takes a detour: so does this one, if it has no pipe.
    pub(crate) fn heard_without_pipe(&mut self, now: Time, peer: PeerId) {
        if !self.lives.contains_key(&peer) && !self.detours.leads_to(&peer) {
            self.detours.begin(now, peer);
        }
    }

    /// A body for this node. If there is no pipe yet, one is opened for it.
    pub(crate) fn send(&mut self, now: Time, to: Node, group: GroupRef, carried: Carried, out: &mut Vec<Output>) {
        if self.detours.leads_to(&to.peer) {
            let untaken = self.detours.send(now, to, group, carried, out);
            return self.untaken.extend(untaken.map(|carried| (to, group, carried)));
        }
        out.push(through_pipe(to, group, carried));
    }

    /// What was not taken, once.
    pub(crate) fn untaken(&mut self) -> Option<(Node, GroupRef, Carried)> {
        self.untaken.pop()
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

/// A body in a pipe.
pub(crate) fn through_pipe(to: Node, group: GroupRef, carried: Carried) -> Output {
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

/// The same, of what waited elsewhere.
pub(crate) fn in_pipe(peer: PeerId, envelope: Envelope) -> Option<Output> {
    match (envelope.to, envelope.words) {
        (Some(incarnation), Words::Carried { carried, .. }) => {
            let to = Node { peer, incarnation };
            Some(through_pipe(to, envelope.group, *carried))
        }
        _ => None,
    }
}
