//! What goes into the groups and what comes out of them.

use std::time::Duration;

use fatebound_overlay::{DeathProof, PeerId, PostId, Way, Ways};
use fatebound_tree::{Cause, GroupId, PathId, Via};

use crate::config::Timings;
use crate::message::{Answer, Request};
use crate::reason::{Reason, Refusal};

/// A caller's number for a command that is answered later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the application orders and the layers below report.
#[derive(Clone, Debug)]
pub enum Input {
    /// An order of the application.
    Command(Command),
    /// A one-shot question arrived.
    Asked {
        /// From whom, authenticated.
        from: PeerId,
        /// For the answer.
        way: Way,
        /// The question.
        request: Request,
    },
    /// A posting was answered; may come more than once.
    Answered {
        /// Which.
        post: PostId,
        /// By whom, authenticated.
        from: PeerId,
        /// The answer.
        answer: Answer,
    },
    /// A posting can no longer be answered.
    PostFailed {
        /// Which.
        post: PostId,
        /// Whether nobody has an address of the peer.
        unknown: bool,
    },
    /// Proof that a peer's life is over.
    PeerDead {
        /// Whose.
        peer: PeerId,
        /// What proves it.
        proof: DeathProof,
    },
    /// A link to this peer is up: a direct path can use it.
    LinkUp {
        /// To whom.
        peer: PeerId,
    },
    /// No link to this peer can be made.
    LinkFailed {
        /// To whom.
        peer: PeerId,
    },
    /// What the tree reports.
    Tree(fatebound_tree::Event),
    /// A `Fail` about these paths, ours or somebody else's, was handed to a neighbour that may be gone.
    FailStuck {
        /// Of one group.
        paths: Vec<PathId>,
        /// The originator's signed word.
        notice: Vec<u8>,
    },
    /// The deadline has come.
    Wake,
}

/// What the groups read of the layers below, as of this input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Mean over the peer's links of (smoothed round trip + 4 × variance); `None` while any link lacks samples. Patience is three
    /// times this, between its floor and its ceiling.
    pub round_trips: Option<Duration>,
}

/// Orders of the application.
#[derive(Clone, Debug)]
pub enum Command {
    /// Create a group with this peer as its root. Answered by `Created` or `CreateFailed`.
    Create {
        /// Names it in the answer.
        ticket: Ticket,
        /// The other members. This peer and repetitions are ignored.
        members: Vec<PeerId>,
        /// What kind of group.
        tag: Option<String>,
        /// For the members' applications.
        state: Vec<u8>,
        /// Instead of `Config::create_timeout`.
        timeout: Option<Duration>,
    },
    /// Fail a group that this peer is a member of. A group that is not known is ignored: it has failed already.
    Signal {
        /// Which.
        group: GroupId,
        /// Why.
        text: String,
    },
    /// Fail a group here, and tell nobody anything about it any more: the others notice the silence.
    FallSilent {
        /// Which.
        group: GroupId,
    },
    /// Ask every other member, end to end, whether it lives and knows the group; at a member that is not the root: ask the root.
    /// Answered by `Checked`. A member that does not answer within its patience, or does not know the group, fails the group.
    Check {
        /// Names it in the answer.
        ticket: Ticket,
        /// Which.
        group: GroupId,
    },
    /// The application's word on an invitation that it was shown by `Event::Invited { decide: true, … }`.
    Decide {
        /// Which.
        group: GroupId,
        /// `None`: accepted.
        refusal: Option<Refusal>,
    },
    /// Fail every group: this peer stops. Invitations are declined from now on.
    Shutdown,
}

/// What the groups want done, or tell the application.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a one-shot question.
    Post {
        /// Names it.
        post: PostId,
        /// To whom.
        to: PeerId,
        /// What.
        request: Request,
        /// Over which ways.
        ways: Ways,
    },
    /// Answer a one-shot question, the way it came.
    Reply {
        /// The way.
        way: Way,
        /// The answer.
        answer: Answer,
    },
    /// Have a proven address of this peer (protocol.md §4, refused dials).
    ProveAddress {
        /// Whose.
        peer: PeerId,
    },
    /// Have a link to this peer, for a direct path.
    Link {
        /// To whom.
        peer: PeerId,
    },
    /// Root: start a path.
    Construct {
        /// The path.
        path: PathId,
        /// Its first hop.
        via: Via,
    },
    /// Member: take a path.
    Confirm {
        /// The path.
        path: PathId,
    },
    /// End or refuse a path.
    Release {
        /// The path.
        path: PathId,
        /// Why.
        cause: Cause,
    },
    /// Send `Fail` along all paths of a group.
    Fail {
        /// The group.
        group: GroupId,
        /// The encoded notice.
        notice: Vec<u8>,
    },
    /// Take a group's paths out of the joint sets and be silent about it.
    Silence {
        /// The group.
        group: GroupId,
    },
    /// Silence about this group is no longer needed.
    Unsilence {
        /// The group.
        group: GroupId,
    },
    /// For the application.
    Event(Event),
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A `Create` has begun: its id is known before anybody has accepted, so that a handler can be registered.
    Creating {
        /// The command's.
        ticket: Ticket,
        /// The group.
        group: GroupId,
    },
    /// All members have accepted.
    Created {
        /// The command's.
        ticket: Ticket,
        /// The group.
        group: GroupId,
    },
    /// The creation did not succeed; `Failed` follows, and everybody who had heard of the group is being notified.
    CreateFailed {
        /// The command's.
        ticket: Ticket,
        /// The group, if it got as far as having an id.
        group: Option<GroupId>,
        /// Each member that did not accept, and why. Empty when the request itself was refused: see `error`.
        refusals: Vec<(PeerId, Refusal)>,
        /// Why the request itself was refused; then nothing has happened.
        error: Option<CreateError>,
    },
    /// An invitation came.
    Invited {
        /// The group; contains the root.
        group: GroupId,
        /// As in the invitation.
        members: Vec<PeerId>,
        /// As in the invitation.
        tag: Option<String>,
        /// As in the invitation.
        state: Vec<u8>,
        /// Whether the application has to `Decide`; otherwise it is accepted already.
        decide: bool,
    },
    /// This peer has become a member.
    Joined {
        /// The group.
        group: GroupId,
    },
    /// The group has failed: once per group, the last word about it.
    Failed {
        /// The group.
        group: GroupId,
        /// Why.
        reason: Reason,
    },
    /// A path of a group broke and is being repaired: for the trace, invisible to handlers.
    Repairing {
        /// The path.
        path: PathId,
        /// Why.
        cause: Cause,
    },
    /// A repair ended well.
    Repaired {
        /// The path.
        path: PathId,
    },
    /// The answer to a `Check`.
    Checked {
        /// The command's.
        ticket: Ticket,
        /// Whether the group lives; `None`: not known here.
        alive: Option<bool>,
        /// Each asked member, and whether it answered that it lives and knows the group.
        members: Vec<(PeerId, bool)>,
    },
}

/// A creation that was refused before anything happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// Too many members.
    #[error("a group has at most {max} members; nothing was created")]
    TooManyMembers {
        /// The limit.
        max: usize,
    },
    /// Too much application state.
    #[error("application state is at most {max} bytes; nothing was created")]
    StateTooLarge {
        /// The limit.
        max: usize,
    },
    /// Too long a tag.
    #[error("a tag is at most {max} bytes; nothing was created")]
    TagTooLong {
        /// The limit.
        max: usize,
    },
    /// This peer is at its limit of groups.
    #[error("this peer is at its limit of {max} groups; nothing was created")]
    TooManyGroups {
        /// The limit.
        max: usize,
    },
    /// This peer stops.
    #[error("this peer is stopping; nothing was created")]
    Stopping,
}

/// What can be read about one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Which.
    pub group: GroupId,
    /// Whether this peer is its root.
    pub root: bool,
    /// Its members as far as known here, the root first.
    pub members: Vec<PeerId>,
    /// Its tag.
    pub tag: Option<String>,
    /// Its timings.
    pub timings: Timings,
    /// At the root: the hops of each member's live path (`None`: not up at the moment), in the order of `members` without the root.
    pub hops: Vec<Option<u8>>,
    /// At the root: paths under repair.
    pub repairing: usize,
    /// Within this time of the first failure every live member is told (protocol.md §7): at the root by the hops of the group's paths, at a
    /// member, which does not know them, by the most that its timings allow.
    pub notification_bound: Duration,
    /// Whether every member has accepted.
    pub complete: bool,
}
