//! What goes into the machine of agreement and what comes out of it.

use std::time::Duration;

use fatebound_tree::GroupId;

use super::message::{GuardRequest, Message};
use crate::log::Entry;
use crate::numbers::{Ballot, Node, Seq, ViewNumber};
use crate::view::{View, Voter};

/// What is ordered from above, and what is reported from below.
#[derive(Clone, Debug)]
pub enum Input {
    /// At the leader: let the next view be so much different. Nothing comes of it but a view, `Event::Wedged` or `Event::ChangeRefused`.
    Change {
        /// Who comes in, at the end of the list.
        insert: Vec<Voter>,
        /// Who goes.
        remove: Vec<Node>,
    },
    /// Whoever was put out wants to come in again, as a stranger.
    Rejoin,
    /// A message arrived.
    Received {
        /// From whom, authenticated.
        from: Node,
        /// What.
        message: Message,
    },
    /// The stream has numbered this entry (at the leader), or received it. Ignored unless it is the next one of an open view.
    Entry {
        /// In which view.
        view: ViewNumber,
        /// Its number.
        seq: Seq,
        /// What it says.
        entry: Entry,
    },
    /// The stream knows that all entries up to this one are committed.
    Committed {
        /// In which view.
        view: ViewNumber,
        /// The last of them.
        seq: Seq,
    },
    /// This node is invited to a guard; `Output::Decide` answers at once.
    Invited {
        /// The guard.
        guard: GroupId,
        /// The view that it is meant for.
        view: ViewNumber,
        /// Decided by which attempt.
        ballot: Ballot,
    },
    /// What `Output::CreateGuard` ordered is there.
    GuardCreated {
        /// The order.
        request: GuardRequest,
        /// The guard.
        guard: GroupId,
    },
    /// What `Output::CreateGuard` ordered cannot be had.
    GuardRefused {
        /// The order.
        request: GuardRequest,
        /// Who did not accept; nobody if the creation itself was refused.
        refusals: Vec<Node>,
    },
    /// The alarm: a guard has failed.
    GuardFailed {
        /// Which.
        guard: GroupId,
    },
    /// Something says that a node's life is over. It may be wrong.
    Hint {
        /// Whose.
        node: Node,
    },
    /// The deadline has come.
    Wake,
}

/// What the machine reads of the layers below, as of this input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// The mean round trip to the nodes of the group, if it is known.
    pub round_trip: Option<Duration>,
}

/// What is to be done, and what is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message, by every way.
    Send {
        /// To whom.
        to: Node,
        /// What.
        message: Message,
    },
    /// Create a failure notification group with this node as its root; `Input::GuardCreated` or `Input::GuardRefused` must follow.
    CreateGuard {
        /// Names it in the answer; its view's successor and its ballot go into the invitations.
        request: GuardRequest,
        /// All its members, this node first.
        members: Vec<Node>,
    },
    /// The word on an invitation.
    Decide {
        /// Which guard.
        guard: GroupId,
        /// Whether this node takes part.
        accept: bool,
    },
    /// A guard is not needed any more. Whoever still is in its view has to be told, as of a failure, and will ask what has become of it.
    EndGuard {
        /// Which.
        guard: GroupId,
    },
    /// For the layers above.
    Event(Event),
}

/// What the layers above are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream stops: nothing is numbered, acknowledged or delivered in this view any more, but what the next `Deliver` says.
    Wedged {
        /// Which.
        view: ViewNumber,
    },
    /// The last word about a view: everything up to this entry is committed and to be delivered in it. `Installed` or `Removed` follows.
    Deliver {
        /// In which view.
        view: ViewNumber,
        /// The last entry.
        up_to: Seq,
    },
    /// A view begins here. `Wedged` follows if it is over already.
    Installed {
        /// Which.
        view: View,
    },
    /// There are not enough for a quorum. Told again when who is missing changes.
    Blocked(Blocked),
    /// `Blocked` does not hold any more: a view was installed.
    Unblocked,
    /// The group goes on without this node.
    Removed {
        /// In this view or a later one.
        view: ViewNumber,
        /// Its leader.
        leader: Node,
    },
    /// A planned change does not come about; the view is what it was.
    ChangeRefused(ChangeRefused),
}

/// What is missing of a quorum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Blocked {
    /// How much is there; by heads, or by weight.
    pub have: u32,
    /// How much would do.
    pub need: u32,
    /// Who does not answer.
    pub missing: Vec<Node>,
}

/// Why a planned change does not come about; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// This node does not lead a view that is open.
    #[error("this node does not lead an open view")]
    NotLeading,
    /// Another change is under way.
    #[error("another change of the view is under way")]
    Busy,
    /// Not everybody has come to the view yet.
    #[error("not everybody has come to the view yet")]
    NotAllHere,
    /// The view would be what it is, or nobody of it would be left.
    #[error("the view would be the same, or nobody of it would be left")]
    NoChange,
    /// Too many voters, witnesses or newcomers at once.
    #[error("at most {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The guard cannot be had: these did not accept.
    #[error("{} nodes did not accept the guard", .0.len())]
    Guard(Vec<Node>),
}
