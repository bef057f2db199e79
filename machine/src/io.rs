//! What goes into a peer and what comes out of it: the whole boundary between protocol and world.
//!
//! Driver and simulator translate sockets, dials and clocks into [`Input`]s and carry out [`Output`]s; nothing else crosses.

use fatebound_overlay::pipes::PipeId;
use fatebound_overlay::{DialFailure, Foreign, Multiaddr, Opener, PeerId, RequestId, Session};

pub use fatebound_overlay::DisconnectCause;

/// Something happened, or somebody wants something.
#[derive(Clone, Debug)]
pub enum Input {
    /// A session (one ordered, bidirectional stream of frames) is open.
    Connected {
        /// Numbered by the driver, never reused.
        session: Session,
        /// Its other end, authenticated.
        peer: PeerId,
        /// Who opened it.
        opener: Opener,
        /// The address we dialled for its connection, if we did.
        address: Option<Multiaddr>,
    },
    /// A session is gone; not told for sessions that the machine disconnected.
    Disconnected {
        /// Which.
        session: Session,
        /// Why.
        cause: DisconnectCause,
    },
    /// A `Connect` or `Verify` failed.
    DialFailed {
        /// The wanted peer, if it was known.
        peer: Option<PeerId>,
        /// Every address tried, and what happened there.
        failures: Vec<(Multiaddr, DialFailure)>,
    },
    /// A dial of ours to this address completed an authenticated handshake (for `Verify`, or for a `Request`).
    Verified {
        /// Who lives there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
    },
    /// A frame arrived: what `Output::Send` carried. What does not decode disconnects the session.
    Received {
        /// On which session.
        session: Session,
        /// The frame's bytes, without the length prefix.
        frame: Vec<u8>,
    },
    /// A one-shot request arrived over a direct connection.
    Request {
        /// Numbered by the driver, never reused.
        request: RequestId,
        /// From whom, authenticated.
        peer: PeerId,
        /// What `Output::Request` carried.
        body: Vec<u8>,
    },
    /// The answer to an `Output::Request`.
    Response {
        /// Which.
        request: RequestId,
        /// What `Output::Respond` carried.
        body: Vec<u8>,
    },
    /// An `Output::Request` got no answer.
    RequestFailed {
        /// Which.
        request: RequestId,
        /// The addresses dialled for it, if any were.
        failures: Vec<(Multiaddr, DialFailure)>,
    },
    /// The addresses under which this peer can be dialled have changed.
    Listening(Vec<Multiaddr>),
    /// Something about pipes.
    Pipe(PipeInput),
    /// An order of the application.
    Command(Command),
    /// The deadline has come.
    Wake,
}

/// What happens to pipes (protocol.md §3.2).
#[derive(Clone, Debug)]
pub enum PipeInput {
    /// A stream for a pipe is open.
    Opened {
        /// Numbered by the driver, never reused.
        pipe: PipeId,
        /// Its other end, authenticated.
        peer: PeerId,
        /// Who opened it.
        opener: Opener,
    },
    /// The stream of a `PipeOutput::Open` could not be opened.
    Failed {
        /// With whom.
        peer: PeerId,
    },
    /// A frame arrived: what `PipeOutput::Send` carried. What does not decode ends the pipe.
    Received {
        /// On which stream.
        pipe: PipeId,
        /// The frame's bytes, without the length prefix.
        frame: Vec<u8>,
    },
    /// The oldest frame of this stream that the driver held has been written. So the machine knows how many wait, and there are never many.
    Written {
        /// On which stream.
        pipe: PipeId,
    },
    /// A stream is gone; not told of those that the machine closed.
    Closed {
        /// Which.
        pipe: PipeId,
    },
}

/// Orders of the application.
#[derive(Clone, Debug)]
pub enum Command {
    /// Join through any of these addresses; none: be the first peer.
    Join {
        /// Bootstrap addresses.
        bootstrap: Vec<Multiaddr>,
    },
    /// Take addresses of a peer as hearsay.
    Introduce {
        /// Whose.
        peer: PeerId,
        /// Where.
        addresses: Vec<Multiaddr>,
    },
    /// Find a peer's addresses; answered by `Event::Located`.
    Locate {
        /// Whose.
        peer: PeerId,
    },
    /// About groups.
    Group(fatebound_fng::Command),
    /// About names.
    Directory(fatebound_overlay::directory::Command),
    /// About pipes.
    Pipe(fatebound_overlay::pipes::Command),
    /// About process groups.
    Cluster(fatebound_cluster::Command),
    /// Stop in an orderly manner; ends with `Event::Stopped`.
    Shutdown,
}

/// Something to be done, or to be known.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write a frame. `urgent` frames (pings) overtake everything else that waits on the session.
    Send {
        /// On which session.
        session: Session,
        /// At most `wire::MAX_FRAME` bytes.
        frame: Vec<u8>,
        /// Overtakes.
        urgent: bool,
    },
    /// Open a session with a peer, over an existing connection or by dialling.
    Connect {
        /// Whom; `None` when a bootstrap address does not say.
        peer: Option<PeerId>,
        /// Where.
        addresses: Vec<Multiaddr>,
        /// Dial even though a connection is up.
        fresh: bool,
    },
    /// Dial this address once, on a connection of its own, and close it again.
    Verify {
        /// Who should live there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
    },
    /// Close a session after what was sent on it has left.
    Disconnect {
        /// Which.
        session: Session,
    },
    /// Make a one-shot exchange over a direct connection.
    Request {
        /// Numbered by the machine.
        request: RequestId,
        /// With whom.
        peer: PeerId,
        /// Where to dial if no connection is up; empty: only over an existing connection.
        addresses: Vec<Multiaddr>,
        /// Dial although a connection is up, for an earlier question there got no answer; without one, fail at once.
        fresh: bool,
        /// At most `wire::MAX_FRAME` bytes.
        body: Vec<u8>,
    },
    /// Answer a one-shot request.
    Respond {
        /// Which.
        request: RequestId,
        /// At most `wire::MAX_FRAME` bytes.
        body: Vec<u8>,
    },
    /// Something to be done about pipes.
    Pipe(PipeOutput),
    /// Something the application may want to know.
    Event(Event),
}

/// What is to be done about pipes (protocol.md §3.2).
#[derive(Clone, Debug)]
pub enum PipeOutput {
    /// Open a stream for a pipe, on a connection of its own if one can be dialled, else over one that is up. Ends in `PipeInput::Opened` or
    /// `PipeInput::Failed`.
    Open {
        /// With whom.
        peer: PeerId,
        /// Where; empty: only over an existing connection.
        addresses: Vec<Multiaddr>,
    },
    /// Write a frame; answered by `PipeInput::Written`.
    Send {
        /// On which stream.
        pipe: PipeId,
        /// At most `wire::MAX_FRAME` bytes.
        frame: Vec<u8>,
    },
    /// Close a stream after what was sent on it has left.
    Close {
        /// Which.
        pipe: PipeId,
    },
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This peer has joined the overlay.
    Joined,
    /// A neighbour's link is up.
    LinkUp {
        /// Whose.
        peer: PeerId,
    },
    /// A neighbour's link is doubtful.
    LinkDoubtful {
        /// Whose.
        peer: PeerId,
    },
    /// A neighbour's doubtful link answered.
    LinkCleared {
        /// Whose.
        peer: PeerId,
    },
    /// A neighbour's link is down.
    LinkDown {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: fatebound_overlay::DownReason,
    },
    /// The answer to a `Locate`.
    Located {
        /// Whose.
        peer: PeerId,
        /// Where; empty if nobody knows.
        addresses: Vec<Multiaddr>,
    },
    /// Somebody whom we met belongs to another network, or speaks no version of ours. Told whenever it happens.
    Foreigner {
        /// Who.
        peer: PeerId,
        /// What is different there.
        theirs: Foreign,
        /// Where we dialled it, if we did.
        address: Option<Multiaddr>,
    },
    /// About groups.
    Group(fatebound_fng::Event),
    /// About names.
    Directory(fatebound_overlay::directory::Event),
    /// About pipes.
    Pipe(fatebound_overlay::pipes::Event),
    /// About process groups.
    Cluster(fatebound_cluster::Event),
    /// The machine has stopped: nothing more will come.
    Stopped,
}
