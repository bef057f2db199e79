//! What goes into the process groups of a peer and what comes out of them.

use std::time::Duration;

use fatebound_base::PeerId;
use fatebound_overlay::{PostId, Way, directory};
use fatebound_tree::GroupId;

use crate::message::{Packet, Receipt};
use crate::name::{Founding, GroupName};
use crate::numbers::{Node, ViewNumber};
use crate::view::View;
use crate::views::{self, Blocked};

/// An order of an application, or what the layers below report.
#[derive(Clone, Debug)]
pub enum Input {
    /// An order.
    Command(Command),
    /// A packet arrived; `Output::Reply` acknowledges it.
    Asked {
        /// From whom, authenticated.
        from: PeerId,
        /// For the receipt.
        way: Way,
        /// The packet.
        packet: Packet,
    },
    /// A packet was answered; may come more than once.
    Answered {
        /// Which.
        post: PostId,
        /// By whom, authenticated.
        from: PeerId,
        /// The receipt.
        receipt: Receipt,
    },
    /// A packet can no longer be answered.
    PostFailed {
        /// Which.
        post: PostId,
    },
    /// About the failure notification groups that guard views.
    Guard(GuardInput),
    /// Of the directory: about a name of ours, or the answer to an order of ours.
    Directory(directory::Event),
    /// Proof that a peer's life is over.
    PeerDead {
        /// Whose.
        peer: PeerId,
    },
    /// The deadline has come.
    Wake,
}

/// What is reported of guards.
#[derive(Clone, Debug)]
pub enum GuardInput {
    /// Its creation has begun.
    Begun {
        /// The order.
        ticket: u64,
        /// The guard.
        guard: GroupId,
    },
    /// All its members have accepted.
    Created {
        /// The order.
        ticket: u64,
        /// The guard.
        guard: GroupId,
    },
    /// It cannot be had.
    Refused {
        /// The order.
        ticket: u64,
        /// Who did not accept; nobody if the creation itself was refused.
        refusals: Vec<PeerId>,
    },
    /// This node is invited; `Output::DecideGuard` answers at once.
    Invited {
        /// The guard.
        guard: GroupId,
        /// What its root says of it: an encoded [`GuardNote`](crate::guards::GuardNote).
        note: Vec<u8>,
    },
    /// It has failed, or its root has ended it: both are an alarm.
    Over {
        /// Which.
        guard: GroupId,
    },
}

/// Orders of the application, or of whoever speaks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Be in the group of this name: found it if there is none. Answered by `Event::Installed`, or by `Event::Refused`.
    Join {
        /// Which.
        name: GroupName,
        /// The wall clock, in seconds since the beginning of 2020: a new founding is named by it.
        seconds: u32,
    },
    /// Be in it no more. Answered by `Event::Left`.
    Leave {
        /// Which.
        name: GroupName,
    },
}

/// What the process groups of a peer want done, or tell.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a packet.
    Post {
        /// Names it.
        post: PostId,
        /// To whom.
        to: PeerId,
        /// What.
        packet: Packet,
    },
    /// Acknowledge a packet, the way it came.
    Reply {
        /// The way.
        way: Way,
        /// The receipt.
        receipt: Receipt,
    },
    /// Create a failure notification group with this node as its root; `GuardInput::Created` or `GuardInput::Refused` must follow.
    CreateGuard {
        /// Names it in the answer.
        ticket: u64,
        /// Its other members.
        members: Vec<PeerId>,
        /// What the invitations say.
        note: Vec<u8>,
        /// How long it may take.
        timeout: Duration,
    },
    /// The word on an invitation.
    DecideGuard {
        /// Which.
        guard: GroupId,
        /// Whether this node takes part.
        accept: bool,
    },
    /// A guard whose root this node is, is needed no more.
    EndGuard {
        /// Which.
        guard: GroupId,
    },
    /// An order to the directory.
    Directory(directory::Command),
    /// For the application.
    Event(Event),
}

/// What the application is told of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A view begins here.
    Installed {
        /// Of which group.
        name: GroupName,
        /// Which founding of it.
        founding: Founding,
        /// The view.
        view: View,
    },
    /// The view has ended; `Installed`, `Removed` or `Dissolved` follows once there is a quorum for it.
    Wedged {
        /// Of which group.
        name: GroupName,
        /// The view.
        view: ViewNumber,
    },
    /// There are not enough for a quorum. Told again when who is missing changes.
    Blocked {
        /// Of which group.
        name: GroupName,
        /// What is missing.
        blocked: Blocked,
    },
    /// `Blocked` does not hold any more.
    Unblocked {
        /// Of which group.
        name: GroupName,
    },
    /// The group goes on without this node, which asks to be taken in again.
    Removed {
        /// From which group.
        name: GroupName,
        /// In this view or a later one.
        view: ViewNumber,
        /// Its leader.
        leader: Node,
    },
    /// This founding of the name is given up for an older one, which this node asks to be taken into.
    Dissolved {
        /// The name.
        name: GroupName,
        /// The older one.
        favour: Founding,
    },
    /// This node is in the group no more, as it wanted.
    Left {
        /// Which.
        name: GroupName,
    },
    /// A `Join` is refused. Nothing has changed.
    Refused {
        /// Of which group.
        name: GroupName,
        /// Why.
        why: JoinRefused,
    },
}

/// Why a group is not joined. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// This peer is in as many process groups as it may be.
    #[error("this peer is in its limit of {max} process groups")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// This node is leaving the group and has not left yet.
    #[error("this peer is leaving the group and has not left yet")]
    Leaving,
}

/// What the machine reads of the layers below, as of this input.
pub type Context = views::Context;
