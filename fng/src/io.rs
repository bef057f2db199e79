//! What goes into the groups and what comes out of them.

use std::collections::BTreeSet;
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
        /// Who may come in later.
        admit: Admit,
    },
    /// Ask the root of a group to be let in. Answered by `Admitted` or `JoinFailed`.
    Join {
        /// Names it in the answer.
        ticket: Ticket,
        /// Which.
        group: GroupId,
        /// As an observer: told of the group's end, but its own failure is nobody's.
        observe: bool,
        /// Instead of `Config::create_timeout`.
        timeout: Option<Duration>,
    },
    /// The application's word on a peer that wants to come in, after `Event::Asked`.
    Admit {
        /// Where.
        group: GroupId,
        /// Who.
        peer: PeerId,
        /// `None`: let in.
        refusal: Option<Refusal>,
    },
    /// Leave a group without failing it; its root closes it instead. Answered by `LeaveEnded`.
    Leave {
        /// Names it in the answer.
        ticket: Ticket,
        /// Which.
        group: GroupId,
    },
    /// Fail a group that this peer is a member of. A group that is not known is ignored: it has failed already. So is one that this peer only
    /// observes, or is about to leave: it has no word there.
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
        /// Whether the application has to `Decide`; otherwise it is accepted already, perhaps because it answers a `Join`.
        decide: bool,
    },
    /// This peer has become a member.
    Joined {
        /// The group.
        group: GroupId,
    },
    /// This peer has become an observer.
    Observing {
        /// The group.
        group: GroupId,
    },
    /// A `Join` has succeeded; `Joined` or `Observing` came before, unless this peer was in the group already.
    Admitted {
        /// The command's.
        ticket: Ticket,
        /// The group.
        group: GroupId,
    },
    /// A `Join` has not succeeded; this peer is not in the group.
    JoinFailed {
        /// The command's.
        ticket: Ticket,
        /// The group.
        group: GroupId,
        /// Why.
        error: JoinError,
    },
    /// At the root: a peer wants to come in, and the application has to say so by `Admit`.
    Asked {
        /// The group.
        group: GroupId,
        /// Who.
        peer: PeerId,
        /// Only as an observer.
        observe: bool,
    },
    /// At the root: a peer has come in, and counts from now on.
    CameIn {
        /// The group.
        group: GroupId,
        /// Who.
        peer: PeerId,
        /// Only as an observer.
        observer: bool,
    },
    /// At the root: a peer is not in the group any more: it has left, or was an observer and is lost.
    WentOut {
        /// The group.
        group: GroupId,
        /// Who.
        peer: PeerId,
        /// Whether it only observed.
        observer: bool,
    },
    /// At a member or an observer: others have come in or gone out.
    Members {
        /// The group.
        group: GroupId,
        /// The root first; empty for a group that is, or was, too large for lists.
        members: Vec<PeerId>,
    },
    /// This peer is in the group no more, by its own wish; nothing follows about it.
    Left {
        /// The group.
        group: GroupId,
    },
    /// The answer to a `Leave`.
    LeaveEnded {
        /// The command's.
        ticket: Ticket,
        /// The group.
        group: GroupId,
        /// `None`: this peer has left; or, at its root, the group is closed.
        error: Option<LeaveError>,
    },
    /// The group was closed by its root, which is no failure: once per group, the last word about it.
    Closed {
        /// The group.
        group: GroupId,
        /// Its root.
        by: PeerId,
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

/// Who may come into a group after its creation, as a member or as an observer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Admit {
    /// The root's application is asked, peer by peer.
    #[default]
    Ask,
    /// Anybody who has the group's id.
    Open,
    /// Nobody, but for former members who left.
    Members,
    /// These, and former members who left.
    Listed(BTreeSet<PeerId>),
}

/// Why a group could not be left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// The group ended before: it failed, or was closed, or is not known here.
    #[error("the group was over before: {0}")]
    Over(Reason),
    /// Too many callers wait for this departure, which goes on.
    #[error("{max} callers wait for this departure already; it goes on")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// Why this peer did not come into a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The group has failed or is closed, or never was.
    #[error("the group is over: {0}")]
    Over(Reason),
    /// The root did not let this peer in, or could not be asked: `Unknown`, `Unreachable`.
    #[error("the root {0}")]
    Refused(Refusal),
    /// This peer is in the group, or about to be, in the other role (member, observer), or about to leave it.
    #[error("this peer is in the group in the other role, or about to leave it; nothing has changed")]
    OtherRole,
    /// This peer is at its limit of groups, or of joins under way.
    #[error("this peer is at its limit of {max} {what}; nobody was asked")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// This peer stops.
    #[error("this peer is stopping; nobody was asked")]
    Stopping,
}

/// A creation that was refused before anything happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// The tag begins as those of the layers of a peer do.
    #[error("a tag that begins with {prefix:?} is reserved; nothing was created")]
    TagReserved {
        /// How.
        prefix: &'static str,
    },
    /// This peer is at its limit of groups.
    #[error("this peer is at its limit of {max} groups; nothing was created")]
    TooManyGroups {
        /// The limit.
        max: usize,
    },
    /// Too many peers on the list of those who may come in.
    #[error("at most {max} peers can be listed for admission; nothing was created")]
    TooManyListed {
        /// The limit.
        max: usize,
    },
    /// This peer keeps as much application state as it may, for those who come in later.
    #[error(
        "this peer keeps its limit of {max} bytes of application state for those who come in later; nothing was created"
    )]
    TooMuchState {
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
    /// Whether this peer only observes it.
    pub observer: bool,
    /// Whether this peer can signal it: not an observer, and not about to leave.
    pub has_word: bool,
    /// Its members as far as known here, the root first.
    pub members: Vec<PeerId>,
    /// At the root: its observers.
    pub observers: Vec<PeerId>,
    /// Its tag.
    pub tag: Option<String>,
    /// Its timings.
    pub timings: Timings,
    /// At the root: the hops of each live path (`None`: not up at the moment), in the order of `members` without the root.
    pub hops: Vec<Option<u8>>,
    /// At the root: paths under repair.
    pub repairing: usize,
    /// Within this time of the first failure every live member is told (protocol.md §7): at the root by the hops of the group's paths, at a
    /// member, which does not know them, by the most that its timings allow.
    pub notification_bound: Duration,
    /// Whether every member has accepted.
    pub complete: bool,
}
