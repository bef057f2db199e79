//! What goes into the process groups of a peer and what comes out of them.

use std::time::Duration;

use fatebound_base::PeerId;
use fatebound_overlay::{PostId, Way, Ways, directory};
use fatebound_tree::GroupId;

use crate::message::{Packet, Receipt};
use crate::name::{Founding, GroupName};
use crate::numbers::{Node, Seq, ViewNumber};
use crate::protocols::{self, Attributes, Notice, Order, OutOfRange, ProviderId, Ticket};
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
    /// About pipes with other peers.
    Pipe(PipeInput),
    /// The deadline has come.
    Wake,
}

/// What is reported of pipes, all of it at the port of process groups.
#[derive(Clone, Debug)]
pub enum PipeInput {
    /// There is one.
    Up {
        /// With whom.
        peer: PeerId,
        /// The other end's life.
        incarnation: u64,
    },
    /// There is none any more.
    Down {
        /// With whom.
        peer: PeerId,
        /// So many of the bodies last sent may be lost.
        lost: usize,
        /// It could not be had, and the next one may not be either.
        unreachable: bool,
    },
    /// Nobody stands at this port there: so many of the bodies last sent are lost.
    Refused {
        /// Where.
        peer: PeerId,
        /// How many.
        lost: usize,
    },
    /// A body has come.
    Received {
        /// From whom.
        peer: PeerId,
        /// What.
        body: Vec<u8>,
    },
    /// A body was not taken.
    NotTaken {
        /// To whom.
        peer: PeerId,
        /// What.
        body: Vec<u8>,
        /// Because this end has as many pipes as it may.
        too_many: bool,
    },
    /// There is room again.
    Room {
        /// To whom.
        peer: PeerId,
    },
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
    /// At its root: a member has left it, which is in its view no more; an alarm. More is told of the guard.
    Deserted {
        /// Which.
        guard: GroupId,
    },
    /// It has failed, its root has ended it, or this node has left it: all are an alarm.
    Over {
        /// Which.
        guard: GroupId,
    },
}

/// Orders of the application, or of whoever speaks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Let a process of this peer be a provider of the group of this name; the group is found, or founded if there is none, and this node comes into it.
    /// `protocols::Event::Joining` names the provider; what becomes of it comes back with the ticket.
    Join {
        /// Which group.
        name: GroupName,
        /// The wall clock, in seconds since the beginning of 2020: a new founding is named by it.
        seconds: u32,
        /// Comes back with the outcome.
        ticket: Ticket,
        /// What the process is called: 1 to 64 bytes, unique in the group at this peer.
        instance: Vec<u8>,
        /// What the others are to know of it: at most 128 bytes.
        info: Vec<u8>,
        /// What it takes the group to be like; the founder's are the group's.
        attributes: Box<Attributes>,
    },
    /// A join that has not become a provider yet is wanted no more. Answered by `Event::JoinRefused`, unless it is too late.
    Abandon {
        /// Of which group.
        name: GroupName,
        /// Of the join.
        ticket: Ticket,
    },
    /// An order of a provider of this node; not `Order::Join`. It is ignored if this node is not in the group: its providers were told that they are out.
    Order {
        /// In which group.
        name: GroupName,
        /// What.
        order: Order,
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
        /// Over which ways.
        ways: Ways,
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
    /// A guard has to fail: this node does not count in it any more.
    FailGuard {
        /// Which.
        guard: GroupId,
    },
    /// An order to the directory.
    Directory(directory::Command),
    /// Stand at the port of process groups from now on.
    Listen,
    /// Send a body through the pipe with this peer.
    PipeSend {
        /// To whom.
        peer: PeerId,
        /// What.
        body: Vec<u8>,
    },
    /// The oldest body that has come from this peer is read.
    PipeRead {
        /// From whom.
        peer: PeerId,
    },
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
    /// The group goes on without this node. It asks to be taken in again if a join waits; its providers are out.
    Removed {
        /// From which group.
        name: GroupName,
        /// In this view or a later one.
        view: ViewNumber,
        /// Its leader.
        leader: Node,
    },
    /// This founding of the name is given up for an older one, which this node asks to be taken into if a join waits; its providers are out.
    Dissolved {
        /// The name.
        name: GroupName,
        /// The older one.
        favour: Founding,
    },
    /// This node is in the group no more, for it has no providers there any more.
    Left {
        /// Which.
        name: GroupName,
    },
    /// A `Join` does not become a provider. Nothing has changed.
    JoinRefused {
        /// Of which group.
        name: GroupName,
        /// Of the join.
        ticket: Ticket,
        /// Why.
        why: JoinRefused,
    },
    /// Something concerns one provider of this node.
    Provider {
        /// Of which group.
        name: GroupName,
        /// Which.
        provider: ProviderId,
        /// What.
        event: protocols::Event,
    },
    /// Something that follows from an entry, in the order of all entries, for these providers of this node.
    Shown {
        /// Of which group.
        name: GroupName,
        /// For whom.
        to: Vec<ProviderId>,
        /// What.
        notice: Notice,
    },
    /// Run the command of deactivation of a provider that was expelled from this node; `Order::Deactivated` must follow.
    Deactivate {
        /// Of which group.
        name: GroupName,
        /// Whose.
        provider: ProviderId,
        /// For which protocol.
        protocol: Seq,
        /// With this argument.
        argument: Vec<u8>,
    },
}

/// Why a process does not come into a group. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// This peer is in as many process groups as it may be.
    #[error("this peer is in its limit of {max} process groups")]
    TooManyGroups {
        /// The limit.
        max: usize,
    },
    /// As many joins to this group wait here as may.
    #[error("{max} joins to this group wait at this peer already")]
    TooManyJoins {
        /// The limit.
        max: usize,
    },
    /// No group may have such attributes.
    #[error(transparent)]
    Attributes(#[from] OutOfRange),
    /// It was given up.
    #[error("it was given up before this peer came into the group")]
    Abandoned,
}

/// What the machine reads of the layers below, as of this input.
pub type Context = views::Context;
