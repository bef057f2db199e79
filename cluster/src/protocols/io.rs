//! What goes into desk and chair, and what comes out of them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::attributes::Attributes;
use super::change::{Proposal, Refusal, Voting};
use super::entry::{Entry, Exit, Remark};
use super::message::{Answer, Word};
use super::names::{Epoch, ProviderId, Ticket};
use super::notice::{Ballot, Notice, Why};
use super::vote::Vote;
use crate::numbers::{Node, Seq};

/// What the chair hears.
#[derive(Clone, Debug)]
pub enum ChairInput {
    /// A desk has said something; also the one at this node.
    Words {
        /// At which node, authenticated.
        from: Node,
        /// What, in order.
        words: Vec<Word>,
    },
    /// An entry was applied here.
    Applied {
        /// [`Entry::is_control`].
        control: bool,
    },
    /// A view was installed that this node leads. Every entry of the view before was applied; what was numbered and is not among them is lost.
    Nodes {
        /// Who is in it.
        present: BTreeSet<Node>,
    },
    /// Something should be announced.
    Announce {
        /// Of whom.
        provider: ProviderId,
        /// What.
        remark: Remark,
    },
    /// The group has to take a larger incarnation.
    Raise {
        /// Which.
        incarnation: u32,
    },
    /// The deadline has come.
    Wake,
}

/// What the chair wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChairOutput {
    /// Number this, a control entry. There is no other before it was applied here, or `Nodes` said that it is lost.
    Number(Entry),
    /// Tell a desk.
    Tell {
        /// At which node; maybe this one.
        to: Node,
        /// What.
        answer: Answer,
    },
}

/// What an application orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To come into the group. `Event::Joining` names the provider.
    Join {
        /// Comes back with the outcome.
        ticket: Ticket,
        /// What the process is called.
        instance: Vec<u8>,
        /// What the others are to know of it.
        info: Vec<u8>,
        /// What it takes the group to be like.
        attributes: Attributes,
    },
    /// To propose something.
    Propose {
        /// Comes back with the outcome.
        ticket: Ticket,
        /// Who.
        provider: ProviderId,
        /// What.
        proposal: Proposal,
        /// Decided how. A barrier is always voted upon.
        voting: Voting,
    },
    /// To take back what has not begun; the ticket comes back with `Refusal::Withdrawn`, or with the outcome if it was too late.
    Withdraw {
        /// Who.
        provider: ProviderId,
        /// What it ordered.
        ticket: Ticket,
    },
    /// To vote.
    Vote {
        /// Who.
        provider: ProviderId,
        /// In which protocol.
        protocol: Seq,
        /// In which phase.
        phase: u32,
        /// What.
        vote: Vote,
    },
    /// To send a message to all, in the order of all entries.
    Send {
        /// Who.
        provider: ProviderId,
        /// What.
        body: Vec<u8>,
    },
    /// To go if nobody minds; for good after the group's limit.
    Leave {
        /// Comes back when it is out, or with who rejected it.
        ticket: Ticket,
        /// Who.
        provider: ProviderId,
    },
    /// To go, whoever minds.
    Goodbye {
        /// Who.
        provider: ProviderId,
        /// What the others are to hear, at most [`MAX_TEXT`](super::MAX_TEXT); the rest is cut off.
        text: Vec<u8>,
        /// For how long its place is to be held, within what the group allows.
        hold: Option<Duration>,
    },
    /// The provider's process is gone.
    Gone {
        /// Who.
        provider: ProviderId,
    },
    /// The command that `DeskOutput::Deactivate` ordered has ended.
    Deactivated {
        /// Whose.
        provider: ProviderId,
        /// For which protocol.
        protocol: Seq,
        /// How.
        exit: Exit,
    },
}

/// What a desk hears.
#[derive(Clone, Debug)]
pub enum DeskInput<'a> {
    /// An application at this node orders something.
    Order(Order),
    /// The chair has answered.
    Answer(Answer),
    /// An entry was applied here.
    Applied {
        /// What followed from it.
        notices: &'a [Notice],
    },
    /// Somebody leads the group whom this desk has said nothing yet; also at the start, when this node has come into a view. Every entry of the
    /// view before was applied, and no answer of an earlier chair comes after this.
    Leader,
    /// The way to the chair broke and is whole again: words may be lost.
    Again,
    /// This node was put out of the group.
    Removed,
    /// The deadline has come.
    Wake,
}

/// What a desk wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeskOutput {
    /// Say this to the chair.
    ToChair(Word),
    /// Hand this to the stream: a message that needs no decision.
    Submit(Entry),
    /// Show this to these providers of this node, in this order.
    Show {
        /// To whom.
        to: Vec<ProviderId>,
        /// What.
        notice: Notice,
    },
    /// Tell a provider of this node.
    Event {
        /// Whom.
        provider: ProviderId,
        /// What.
        event: Event,
    },
    /// Run the command of deactivation of a provider that was expelled from this node; `Order::Deactivated` must follow.
    Deactivate {
        /// Whose.
        provider: ProviderId,
        /// For which protocol.
        protocol: Seq,
        /// With this argument.
        argument: Vec<u8>,
    },
}

/// What concerns one provider alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A join was ordered; its provider is called so from now on.
    Joining {
        /// Which order.
        ticket: Ticket,
    },
    /// What became of an order. Each ticket comes back once.
    Done {
        /// Which order.
        ticket: Ticket,
        /// What.
        result: Resolved,
    },
    /// A vote does not count; nothing has changed.
    VoteRefused {
        /// In which protocol.
        protocol: Seq,
        /// In which phase.
        phase: u32,
        /// Why.
        why: VoteRefused,
    },
    /// A vote that was cast came too late: the default was counted.
    TooLate {
        /// In which protocol.
        protocol: Seq,
        /// In which phase.
        phase: u32,
    },
    /// A message was not sent; nothing has changed.
    NotSent(Refusal),
    /// The last event of this provider.
    Ended(Ended),
}

/// Why a provider is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ended {
    /// It has left the list.
    Left(Why),
    /// It did not come in; its ticket says why.
    NotJoined,
    /// Its node was put out of the group.
    PutOut,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// So it is.
    Approved {
        /// Since this epoch.
        epoch: Epoch,
        /// The votes of the last phase, with who did not vote.
        votes: Vec<Ballot>,
        /// Of an expulsion: how the commands of deactivation ended.
        exits: Vec<Exit>,
    },
    /// So it is not.
    Rejected {
        /// The votes of the last phase: who rejected it, in person or by default.
        votes: Vec<Ballot>,
    },
    /// It was not begun.
    Refused(Refusal),
    /// The voters wanted more phases than the group allows.
    TooManyPhases,
    /// This node was put out of the group: it may or may not have come true there.
    Unknown,
}

/// Why a vote does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum VoteRefused {
    /// Another phase is open, or none.
    #[error("the phase is over, or not open yet")]
    NotOpen,
    /// It is not asked in this protocol, or not in the group.
    #[error("this provider is not asked")]
    NotAsked,
    /// It has voted.
    #[error("this provider has voted in this phase")]
    Twice,
    /// Its message or its state value is too long.
    #[error("the vote's message is longer than {message} bytes, or its state value than 16 KiB")]
    TooLong {
        /// How long its message may be among so many voters.
        message: usize,
    },
}
