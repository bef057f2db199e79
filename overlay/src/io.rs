//! What goes into the overlay and what comes out of it.
//!
//! Sockets, dials and clocks live with the driver; tree and groups live above. Both talk to the overlay through these
//! two enums only.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::message::Message;
use crate::{Port, Time, Versions};

/// One opened stream between two peers, numbered by the driver and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u64);

/// A link while it lives; numbered by the overlay and never reused, so that a late command cannot hit a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// A direct one-shot exchange, numbered by whoever hands it over: incoming ones by the driver, outgoing ones by the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One posting of a one-shot message, numbered by the layer above. A repetition is a new posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostId(pub u64);

/// Names a posting: the layer that posts, and its number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Posting {
    /// Whose it is, and for whom at the other end.
    pub port: Port,
    /// Which of that layer's.
    pub post: PostId,
}

/// Which end opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// This peer.
    Us,
    /// The other one.
    Them,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectCause {
    /// The connection under it broke or was closed by the other end.
    Lost,
    /// The other end sent what is no valid frame.
    Garbage,
    /// The driver closed it because a queue was full.
    Overflow,
}

/// Why one address could not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// Somebody said no: nothing listens there. Only under the conditions of protocol.md §4 a proof of death.
    Refused,
    /// Nobody answered in time.
    Timeout,
    /// Another peer lives there.
    WrongPeer,
    /// Anything else (unsupported address, handshake failed, …).
    Other,
}

/// What the driver, or a layer above, tells the overlay.
#[derive(Clone, Debug)]
pub enum Input {
    /// A session is open. `address` is where we dialled its connection, if we did.
    Connected {
        /// The new session.
        session: Session,
        /// Its other end, authenticated.
        peer: PeerId,
        /// Who opened it.
        opener: Opener,
        /// The address that we dialled and that completed an authenticated handshake; `None` when the other end dialled.
        address: Option<Multiaddr>,
    },
    /// A session is gone; not told for sessions that we disconnected ourselves.
    Disconnected {
        /// The session.
        session: Session,
        /// Why.
        cause: DisconnectCause,
    },
    /// An [`Output::Connect`] or [`Output::Verify`] failed.
    DialFailed {
        /// The peer that was wanted; `None` for a bootstrap address without a peer id.
        peer: Option<PeerId>,
        /// Each address that was tried, and what happened there. Empty: there was none to try.
        failures: Vec<(Multiaddr, DialFailure)>,
    },
    /// An [`Output::Verify`] succeeded, or an [`Output::Request`] dialled: at this address this peer completed an authenticated dial.
    Verified {
        /// Who lives there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
    },
    /// A frame arrived on a session.
    Received {
        /// The session.
        session: Session,
        /// The decoded frame.
        message: Message,
    },
    /// A direct one-shot request arrived.
    Request {
        /// To be used in [`Output::Respond`].
        request: RequestId,
        /// Who asks, authenticated by the connection.
        peer: PeerId,
        /// What is asked.
        body: crate::message::OneShot,
    },
    /// The answer to an [`Output::Request`].
    Response {
        /// Which request.
        request: RequestId,
        /// The answer.
        body: crate::message::Answer,
    },
    /// An [`Output::Request`] got no answer.
    RequestFailed {
        /// Which request.
        request: RequestId,
        /// The addresses that were dialled for it, if any were.
        failures: Vec<(Multiaddr, DialFailure)>,
    },
    /// The addresses under which this peer can be dialled have changed.
    Listening(Vec<Multiaddr>),
    /// An order from above.
    Command(Command),
    /// The deadline has come.
    Wake,
}

/// Orders to the overlay.
#[derive(Clone, Debug)]
pub enum Command {
    /// Join through any of these addresses, and go on trying until one answers. None: this peer is the first.
    Join {
        /// Bootstrap addresses, with or without `/p2p/…`.
        bootstrap: Vec<Multiaddr>,
    },
    /// Find the addresses of a peer; answered by [`Event::Located`].
    Locate {
        /// Whom.
        peer: PeerId,
    },
    /// Take these addresses of a peer as hearsay (from a user, a multiaddress on the command line).
    Introduce {
        /// Whose.
        peer: PeerId,
        /// Where.
        addresses: Vec<Multiaddr>,
    },
    /// Have a link to this very peer, for a path; answered by [`Event::LinkUp`] or [`Event::LinkFailed`] (or, when it is up already, by
    /// nothing: read the routes first).
    Link {
        /// To whom.
        peer: PeerId,
    },
    /// Send one numbered operation on a link: delivered once and in order as long as the link lives.
    Operate {
        /// On which link. Ignored if it is gone.
        link: LinkId,
        /// Opaque to the overlay.
        body: Vec<u8>,
    },
    /// Send something unnumbered on a link: lost if the session breaks.
    Tell {
        /// On which link. Ignored if it is gone.
        link: LinkId,
        /// Opaque to the overlay.
        body: Vec<u8>,
    },
    /// What pings say about the joint set from now on. A link whose joint set has paths is pinned.
    JointSet {
        /// On which link. Ignored if it is gone.
        link: LinkId,
        /// The set as its owner sees it.
        joint: JointSet,
    },
    /// End a link whose other end broke the protocol above.
    Violation {
        /// Which link.
        link: LinkId,
        /// For the log.
        what: &'static str,
    },
    /// End a link whose two ends do not agree above, and never will: as if it were silent.
    GiveUp {
        /// Which link.
        link: LinkId,
    },
    /// Send a one-shot message to whoever stands at the posting's port there.
    Post {
        /// Names it in [`Event::Answered`] and [`Event::PostFailed`].
        posting: Posting,
        /// To whom.
        to: PeerId,
        /// Opaque to the overlay.
        body: Vec<u8>,
        /// Over which ways.
        ways: Ways,
    },
    /// Answer a one-shot message, over the very way it came.
    Reply {
        /// From [`Event::Asked`].
        way: Way,
        /// Opaque to the overlay; `None`: nobody stands at that port here, or nobody there can read what was asked.
        body: Option<Vec<u8>>,
    },
    /// Make sure, once, that we hold an address of this peer where a dial of our own succeeded (protocol.md §4).
    ProveAddress {
        /// Whose.
        peer: PeerId,
    },
    /// Of the directory; answered by [`Event::Directory`].
    Directory(crate::directory::Command),
    /// Stop: goodbye on every link, then [`Event::Stopped`].
    Shutdown,
}

/// A joint set as of a number of operations sent and received on its link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct JointSet {
    /// XOR of the keyed hashes of the paths, eight bytes of them: enough where nobody but the two ends knows the key (protocol.md §4).
    pub digest: [u8; 8],
    /// How many paths.
    pub paths: u32,
    /// Operations that its owner had sent when the set was so.
    pub sent: u64,
    /// Operations that its owner had received when the set was so.
    pub received: u64,
}

/// Over which ways a one-shot message travels (protocol.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// The direct connection, dialled if need be; through the overlay as well when that fails or the direct link is doubtful.
    Direct,
    /// The direct connection, and the overlay, and half of the common neighbours (two to sixteen), which change with `round`.
    Every {
        /// The number of the repetition.
        round: u32,
    },
    /// The direct connection if one is up, else not at all.
    Connected,
}

/// How a one-shot message reached us, and so how its answer goes back. Opaque above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over the direct connection.
    Direct(RequestId),
    /// Through the overlay: back over this link along the trail.
    Routed(crate::message::WayBack),
}

/// What the overlay wants done, or tells the layers above.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write a frame to a session.
    Send {
        /// The session.
        session: Session,
        /// The frame.
        message: Message,
    },
    /// Open a session with a peer, over an existing connection or by dialling. Ends in `Connected` or `DialFailed`.
    Connect {
        /// Whom; `None` when a bootstrap address does not say.
        peer: Option<PeerId>,
        /// Where.
        addresses: Vec<Multiaddr>,
        /// Dial even though a connection is up (a redial that shall prove life or death).
        fresh: bool,
    },
    /// Dial this address once, a connection of its own, and close it again. Ends in `Verified` or `DialFailed`.
    Verify {
        /// Who should live there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
    },
    /// Close a session, after what was sent on it has left.
    Disconnect {
        /// The session.
        session: Session,
    },
    /// Make a direct one-shot exchange. Ends in `Response` or `RequestFailed`.
    Request {
        /// Names it.
        request: RequestId,
        /// With whom.
        peer: PeerId,
        /// Where to dial if no connection is up; empty: do not dial.
        addresses: Vec<Multiaddr>,
        /// Dial although a connection is up, for an earlier question there got no answer; without one, fail at once.
        fresh: bool,
        /// What to ask.
        body: crate::message::OneShot,
    },
    /// Answer a direct one-shot request.
    Respond {
        /// Which.
        request: RequestId,
        /// The answer.
        body: crate::message::Answer,
    },
    /// For the layers above.
    Event(Event),
}

/// What the layers above are told.
#[derive(Clone, Debug)]
pub enum Event {
    /// This peer has joined the overlay.
    Joined,
    /// A link is up, with nothing on it yet.
    LinkUp {
        /// The link.
        link: LinkId,
        /// Its other end.
        peer: PeerId,
        /// For keyed digests; both ends derive the same one.
        key: [u8; 32],
    },
    /// A link missed an answer, or its session broke: doubtful, not down. Told on our own evidence only.
    LinkDoubtful {
        /// The link.
        link: LinkId,
    },
    /// A doubtful link answered.
    LinkCleared {
        /// The link.
        link: LinkId,
    },
    /// A link is gone for good, and everything on it.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Its other end.
        peer: PeerId,
        /// Why.
        reason: DownReason,
    },
    /// A [`Command::Link`] did not succeed.
    LinkFailed {
        /// To whom.
        peer: PeerId,
    },
    /// An operation arrived, in order and for the first time.
    Operation {
        /// On which link.
        link: LinkId,
        /// As it was given to [`Command::Operate`].
        body: Vec<u8>,
    },
    /// Something unnumbered arrived.
    Told {
        /// On which link.
        link: LinkId,
        /// As it was given to [`Command::Tell`].
        body: Vec<u8>,
    },
    /// The other end's joint set, as it is in a ping or its answer.
    JointSetSeen {
        /// On which link.
        link: LinkId,
        /// As the other end sees it.
        joint: JointSet,
    },
    /// Proof that the life of a peer that we talked to is over: a refused dial as in protocol.md §4, or a new incarnation.
    PeerDead {
        /// Whose.
        peer: PeerId,
        /// What proves it.
        proof: DeathProof,
    },
    /// A one-shot message arrived.
    Asked {
        /// From whom; authenticated by connection or signature.
        from: PeerId,
        /// For the answer.
        way: Way,
        /// For whom.
        port: Port,
        /// As posted.
        body: Vec<u8>,
    },
    /// A posting was answered. May come more than once, by several ways.
    Answered {
        /// Which.
        posting: Posting,
        /// By whom; authenticated by connection or signature.
        from: PeerId,
        /// As replied.
        body: Vec<u8>,
    },
    /// No way of this posting is left that could bring an answer.
    PostFailed {
        /// Which.
        posting: Posting,
        /// The peer that could not be reached.
        to: PeerId,
        /// Whether the overlay knows no such peer (nobody had an address).
        unknown: bool,
    },
    /// A [`Command::Locate`] is done.
    Located {
        /// Whom.
        peer: PeerId,
        /// Where; empty if nobody knew.
        addresses: Vec<Multiaddr>,
    },
    /// Somebody whom we met, on a session or with a question, has nothing in common with us. Told whenever it happens.
    Foreigner {
        /// Who.
        peer: PeerId,
        /// What is different there.
        theirs: Foreign,
        /// Where we dialled it, if we did.
        address: Option<Multiaddr>,
    },
    /// Of the directory.
    Directory(crate::directory::Event),
    /// Shutdown is complete; nothing will come any more.
    Stopped,
}

/// What makes a peer a foreigner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Its network, in its own words: any text of any length.
    Network(String),
    /// The versions of the wire format that it speaks: none of ours.
    Versions(Versions),
}

/// What proves that a peer's life is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathProof {
    /// A proven address refuses.
    Refused,
    /// The peer came back with another incarnation.
    Restarted,
    /// The peer said goodbye for good.
    Goodbye,
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownReason {
    /// No ping of ours sent within `L` was answered.
    Silent,
    /// The peer is proven dead.
    Dead(DeathProof),
    /// The peer closed this link only: not needed, too many links, wrong network, a violation.
    Closed,
    /// We closed it: not needed.
    Unneeded,
    /// It resumed without its state, on either end.
    Reset,
    /// We closed it: the other end broke the protocol.
    Violation,
    /// We closed it: too many operations were waiting.
    Overflow,
    /// This peer stops.
    Shutdown,
}

/// The neighbour that `next_hop` chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Over which link.
    pub link: LinkId,
    /// Whether it is no step closer and so costs a detour credit.
    pub detour: bool,
}

/// What the layers above may read of the overlay. Doubtful links are not offered.
pub trait Routes {
    /// The neighbour to hand a message for `target` on to, or `None`: greedy, never to a peer in `visited`. `allow_detour` says whether
    /// a credit is left.
    fn next_hop(&self, target: &PeerId, visited: &[crate::Tag], allow_detour: bool) -> Option<Hop>;

    /// The link to this very peer.
    fn link_to(&self, peer: &PeerId) -> Option<LinkId>;

    /// Links to neighbours that have `peer` as a neighbour of theirs, in an order that does not change while the lists do not.
    fn common_neighbours(&self, peer: &PeerId) -> Vec<LinkId>;

    /// Whether a link has missed an answer, or has no session: what it is handed may be lost.
    fn is_doubtful(&self, _link: LinkId) -> bool {
        false
    }

    /// Mean over the links of (smoothed round trip + 4 × variance); `None` while any link lacks samples or there is no link.
    fn round_trips(&self) -> Option<std::time::Duration>;
}

/// When something becomes due, see [`crate::Deadlines`].
pub type Deadline = Option<Time>;
