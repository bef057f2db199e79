//! What goes into the links and what comes out of them: the seam inside the overlay between "whom do I want as a neighbour" (ring) and
//! "is this neighbour alive" (links).

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::message::Message;
use crate::record::SignedRecord;
use crate::{DialFailure, DisconnectCause, Event, JointSet, LinkId, Opener, Session};

/// What happened to sessions, and what the ring and the layers above order.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Connected {
        session: Session,
        peer: PeerId,
        opener: Opener,
        address: Option<Multiaddr>,
    },
    Disconnected {
        session: Session,
        cause: DisconnectCause,
    },
    DialFailed {
        peer: Option<PeerId>,
        failures: Vec<(Multiaddr, DialFailure)>,
    },
    Verified {
        peer: PeerId,
        address: Multiaddr,
    },
    Received {
        session: Session,
        message: Message,
    },
    /// The ring wants this peer as a neighbour from now on: links to it, dials when there is none, tries again with back-off while wanted.
    Want {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    /// The ring no longer wants it.
    Unwant {
        peer: PeerId,
    },
    /// A path wants a link to this peer, once.
    Link {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    /// Have a proven address of this peer: verify one of these unless one is proven already, of a life that we have a link or session with.
    ProveAddress {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    /// Our record changed; goes into every `Hello` from now on.
    Record(SignedRecord),
    /// Whether we have joined; goes into every `Hello` and ping from now on.
    Joined(bool),
    Operate {
        link: LinkId,
        body: Vec<u8>,
    },
    Tell {
        link: LinkId,
        body: Vec<u8>,
    },
    JointSet {
        link: LinkId,
        joint: JointSet,
    },
    Violation {
        link: LinkId,
        what: &'static str,
    },
    /// The two ends do not agree above: the link is down as if it were silent.
    GiveUp {
        link: LinkId,
    },
    /// Send a `Routed` or `RoutedAnswer` on this link; lost if it has no session.
    Pass {
        link: LinkId,
        message: Message,
    },
    /// Somebody else missed an answer of this peer: ping it at once, if it is a neighbour. A told peer does not tell others.
    Suspected {
        /// Who says so.
        from: PeerId,
        peer: PeerId,
    },
    /// This peer has not answered a question: ping it at once, if it is a neighbour.
    Unanswered {
        peer: PeerId,
    },
    Shutdown,
    Wake,
}

/// What the links want done, or report.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    Send {
        session: Session,
        message: Message,
    },
    Connect {
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        fresh: bool,
    },
    Verify {
        peer: PeerId,
        address: Multiaddr,
    },
    Disconnect {
        session: Session,
    },
    /// `LinkUp`, `LinkDoubtful`, `LinkCleared`, `LinkDown`, `LinkFailed`, `Operation`, `Told`, `JointSetSeen`, `PeerDead`, `Stopped`. The ring reads the
    /// first four and all go on to the layers above.
    Event(Event),
    /// A `Hello` brought this (verified) record: a candidate for the ring. Before the `LinkUp` of a new link; also on each resume.
    Met {
        record: SignedRecord,
        joined: bool,
    },
    /// A `Routed` or `RoutedAnswer` arrived on a link.
    Passed {
        link: LinkId,
        peer: PeerId,
        message: Message,
    },
    /// Post `OneShot::Suspect(suspect)` to this neighbour of the suspect.
    Suspect {
        to: PeerId,
        suspect: PeerId,
    },
    /// None of a wanted peer's addresses worked, after the retries of one round: the ring may drop it. Links goes on trying while it is wanted.
    Unreachable {
        peer: PeerId,
    },
    /// A bootstrap dial (no peer known) failed.
    BootstrapFailed {
        failures: Vec<(Multiaddr, DialFailure)>,
    },
}
