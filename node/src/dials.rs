//! Dials: what each is for, and what its failure proves.
//!
//! A refused dial can be a proof of death (protocol.md §4), so the cause of a failure matters, per address. libp2p wraps it deeply; we dig
//! for the operating system's word.

use std::error::Error;
use std::io;

use fatebound_machine::overlay::{DialFailure, Multiaddr, PeerId, RequestId};
use libp2p::core::transport::TransportError;
use libp2p::dns;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use tokio::time::Instant;

use crate::handler::OpenId;
use crate::pipe::PipeOpenId;

/// A dial under way.
#[derive(Debug)]
pub(crate) struct Dial {
    /// Whom we want; `None`: whoever lives there.
    pub(crate) peer: Option<PeerId>,
    /// What is being tried now, as it was given to us.
    pub(crate) trying: Vec<Multiaddr>,
    /// What will be tried if that fails.
    pub(crate) rest: Vec<Multiaddr>,
    /// What has failed already.
    pub(crate) failures: Vec<(Multiaddr, DialFailure)>,
    /// Why we dial.
    pub(crate) purpose: Purpose,
    /// When it was begun.
    pub(crate) since: Instant,
    /// It takes so long that nobody waits for it any more.
    pub(crate) slow: bool,
    /// One-shot requests that wait for the connection, at most [`MAX_WAITING`].
    pub(crate) asks: Vec<(RequestId, Vec<u8>)>,
}

/// One-shot requests that wait for one dial at most; a further one fails at once, and is repeated by whoever asks.
pub(crate) const MAX_WAITING: usize = 256;

/// Why we dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To open a session on the new connection.
    Session(OpenId),
    /// To see who lives there, and hang up.
    Verify,
    /// For one-shot requests only.
    Ask,
    /// To open a pipe on the new connection.
    Pipe(PipeOpenId),
}

impl Purpose {
    /// With fewer dials under way than this, slow ones aside, one for this purpose is made at once; otherwise it waits until others have ended, because each is a
    /// handshake on two hosts that may be busy. A dial for a session does not wait: a link's time runs meanwhile. Proofs of addresses are for
    /// later and can wait longest.
    pub(crate) fn at_once(self) -> usize {
        match self {
            Purpose::Session(_) => usize::MAX,
            Purpose::Ask | Purpose::Pipe(_) => 64,
            Purpose::Verify => 16,
        }
    }
}

impl Dial {
    /// Everything about this dial is still to be done.
    pub(crate) fn new(peer: Option<PeerId>, addresses: Vec<Multiaddr>, purpose: Purpose) -> Dial {
        Dial {
            peer,
            trying: Vec::new(),
            rest: addresses,
            failures: Vec::new(),
            purpose,
            since: Instant::now(),
            slow: false,
            asks: Vec::new(),
        }
    }

    /// Takes what can be tried together from the rest: all addresses of a known peer, or one when we do not know whom we look for.
    /// `None`: nothing is left.
    ///
    /// Every dial is made from a port of its own: from the listening port, two peers that dial each other at once would open one connection
    /// whose ends both take themselves for the dialler.
    pub(crate) fn next(&mut self) -> Option<DialOpts> {
        let Some(peer) = self.peer else {
            return self.next_unknown();
        };
        let (ours, others) = self
            .rest
            .drain(..)
            .partition(|address| names(address).is_none_or(|named| named == peer));
        self.trying = ours;
        let others: Vec<Multiaddr> = others;
        self.failures
            .extend(others.into_iter().map(|address| (address, DialFailure::WrongPeer)));
        if self.trying.is_empty() {
            return None;
        }
        let addresses = self.trying.iter().map(bare).collect();
        let options = DialOpts::peer_id(peer)
            .addresses(addresses)
            .condition(PeerCondition::Always);
        Some(options.allocate_new_port().build())
    }

    fn next_unknown(&mut self) -> Option<DialOpts> {
        if self.rest.is_empty() {
            return None;
        }
        let address = self.rest.remove(0);
        self.trying = vec![address.clone()];
        Some(DialOpts::unknown_peer_id().address(address).allocate_new_port().build())
    }

    /// Books the failure of the last try; addresses that were not really tried go back to the rest. At least one is booked, so that tries end.
    pub(crate) fn fail(&mut self, error: &DialError) {
        let booked = self.failures.len();
        for address in std::mem::take(&mut self.trying) {
            match cause(error, &address) {
                Some(cause) => self.failures.push((address, cause)),
                None => self.rest.push(address),
            }
        }
        if self.failures.len() == booked {
            self.failures
                .extend(self.rest.drain(..).map(|address| (address, DialFailure::Other)));
        }
    }

    /// The address as it was given to us, when a dial to `dialled` succeeded.
    pub(crate) fn given(&self, dialled: &Multiaddr) -> Multiaddr {
        let dialled = bare(dialled);
        let given = self.trying.iter().find(|address| bare(address) == dialled);
        given.cloned().unwrap_or(dialled)
    }

    /// Whether a one-shot request to `peer` at these addresses may wait for this dial instead of making its own.
    pub(crate) fn serves(&self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        !matches!(self.purpose, Purpose::Verify | Purpose::Pipe(_))
            && !self.slow
            && self.peer == Some(*peer)
            && addresses
                .iter()
                .all(|address| self.trying.contains(address) || self.rest.contains(address))
    }
}

/// What `error` says about `address`; `None`: nothing, it was given up because of another one.
fn cause(error: &DialError, address: &Multiaddr) -> Option<DialFailure> {
    match error {
        DialError::WrongPeerId { address: wrong, .. } | DialError::LocalPeerId { address: wrong } => {
            (bare(wrong) == bare(address)).then_some(DialFailure::WrongPeer)
        }
        DialError::Transport(errors) => Some(
            errors
                .iter()
                .find(|(tried, _)| bare(tried) == bare(address))
                .map_or(DialFailure::Other, |(_, error)| transport_cause(error)),
        ),
        _ => Some(DialFailure::Other),
    }
}

fn transport_cause(error: &TransportError<io::Error>) -> DialFailure {
    match error {
        TransportError::MultiaddrNotSupported(_) => DialFailure::Other,
        TransportError::Other(error) => io_cause(error),
    }
}

/// Looks through the whole chain of sources for what the operating system said.
fn io_cause(error: &io::Error) -> DialFailure {
    let io = chain(error).filter_map(|error| error.downcast_ref::<io::Error>());
    let causes = io.filter_map(|io| match io.kind() {
        io::ErrorKind::ConnectionRefused => Some(DialFailure::Refused),
        io::ErrorKind::TimedOut => Some(DialFailure::Timeout),
        _ => None,
    });
    causes.into_iter().next().unwrap_or(DialFailure::Other)
}

/// An error and what it comes from, the innermost last.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        match error.downcast_ref::<io::Error>() {
            // `source` of a wrapping `io::Error` skips the error that it wraps.
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The error that all others are wrapped around, most often the operating system's.
pub(crate) fn innermost(error: &io::Error) -> io::Error {
    let (mut kind, mut text) = (error.kind(), String::new());
    for link in chain(error) {
        text = link.to_string();
        if let Some(io) = link.downcast_ref::<io::Error>() {
            kind = io.kind();
        }
    }
    io::Error::new(kind, text)
}

/// What `error` says about `address`, for people; `None`: nothing.
pub(crate) fn reason(error: &DialError, address: &Multiaddr) -> Option<String> {
    let met = |wrong: &Multiaddr| bare(wrong) == bare(address);
    match error {
        DialError::WrongPeerId { obtained, address } => {
            met(address).then(|| format!("another peer lives there, {obtained}"))
        }
        DialError::LocalPeerId { address } => met(address).then(|| "this node itself lives there".to_owned()),
        DialError::Transport(errors) => {
            let (_, error) = errors.iter().find(|(tried, _)| met(tried))?;
            Some(match error {
                TransportError::MultiaddrNotSupported(_) => UNSUPPORTED.to_owned(),
                TransportError::Other(error) => words(error),
            })
        }
        other => Some(other.to_string()),
    }
}

/// What there is to say about an address like `/ip4/192.0.2.1/tcp/80/ws`.
const UNSUPPORTED: &str = "addresses of this kind cannot be dialled";

/// The innermost words of an error, in one line. Every dial goes through the resolver of names, which may have tried several addresses.
fn words(error: &(dyn Error + 'static)) -> String {
    let resolver = chain(error).find_map(|error| error.downcast_ref::<dns::Error<io::Error>>());
    match resolver {
        Some(error) => words_of_resolver(error),
        None => chain(error).last().map(ToString::to_string).unwrap_or_default(),
    }
}

fn words_of_resolver(error: &dns::Error<io::Error>) -> String {
    match error {
        dns::Error::Transport(error) => words(error),
        dns::Error::ResolveError(error) => format!("the name cannot be resolved: {error}"),
        dns::Error::MultiaddrNotSupported(_) => UNSUPPORTED.to_owned(),
        dns::Error::TooManyLookups => "the name leads to too many others".to_owned(),
        dns::Error::Dial(errors) => errors.iter().map(words_of_resolver).collect::<Vec<_>>().join("; "),
    }
}

/// The address without a `/p2p/…` at its end, for comparisons: who lives there is said apart.
pub(crate) fn bare(address: &Multiaddr) -> Multiaddr {
    let mut bare = address.clone();
    if names(address).is_some() {
        bare.pop();
    }
    bare
}

/// The peer that the address names at its end.
pub(crate) fn names(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(seed: u8) -> PeerId {
        let keypair = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).unwrap();
        keypair.public().to_peer_id()
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn the_cause_is_found_however_deeply_it_is_wrapped() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(io_cause(&refused()), DialFailure::Refused);
        assert_eq!(
            io_cause(&io::Error::other(io::Error::other(refused()))),
            DialFailure::Refused
        );
        let timeout = io::Error::other(io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(io_cause(&timeout), DialFailure::Timeout);
        assert_eq!(io_cause(&io::Error::other("handshake failed")), DialFailure::Other);
    }

    #[test]
    fn a_reason_is_one_line_about_its_own_address() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let resolver = |error| TransportError::Other(io::Error::other(io::Error::other(dns::Error::Dial(error))));
        let error = DialError::Transport(vec![
            (
                address(1).with(Protocol::P2p(peer(1))),
                resolver(vec![
                    dns::Error::Transport(io::Error::other(refused())),
                    dns::Error::TooManyLookups,
                ]),
            ),
            (
                address(2),
                resolver(vec![dns::Error::MultiaddrNotSupported(address(2))]),
            ),
        ]);
        let of = |port: u16| reason(&error, &address(port));
        assert_eq!(
            of(1).as_deref(),
            Some("connection refused; the name leads to too many others")
        );
        assert_eq!(of(2).as_deref(), Some(UNSUPPORTED));
        assert_eq!(of(3), None);
        let wrong = DialError::WrongPeerId {
            obtained: peer(2),
            address: address(1).with(Protocol::P2p(peer(1))),
        };
        assert_eq!(
            reason(&wrong, &address(1)),
            Some(format!("another peer lives there, {}", peer(2)))
        );
        assert_eq!(reason(&wrong, &address(2)), None);
    }

    #[test]
    fn each_address_gets_its_own_cause() {
        let mut dial = Dial::new(Some(peer(1)), vec![address(1), address(2), address(3)], Purpose::Ask);
        assert!(dial.next().is_some());
        let refused = TransportError::Other(io::ErrorKind::ConnectionRefused.into());
        let unsupported = TransportError::MultiaddrNotSupported(address(2));
        dial.fail(&DialError::Transport(vec![
            (address(1).with(Protocol::P2p(peer(1))), refused),
            (address(2), unsupported),
        ]));
        let expected = [DialFailure::Refused, DialFailure::Other, DialFailure::Other];
        assert_eq!(
            dial.failures.iter().map(|(_, cause)| *cause).collect::<Vec<_>>(),
            expected
        );
        assert!(dial.next().is_none());
    }

    #[test]
    fn a_wrong_peer_at_one_address_does_not_condemn_the_others() {
        let mut dial = Dial::new(Some(peer(1)), vec![address(1), address(2)], Purpose::Ask);
        assert!(dial.next().is_some());
        dial.fail(&DialError::WrongPeerId {
            obtained: peer(2),
            address: address(1).with(Protocol::P2p(peer(1))),
        });
        assert_eq!(dial.failures, [(address(1), DialFailure::WrongPeer)]);
        assert!(dial.next().is_some());
        assert_eq!(dial.trying, [address(2)]);
    }

    #[test]
    fn an_address_that_names_somebody_else_is_not_dialled() {
        let other = address(1).with(Protocol::P2p(peer(2)));
        let mut dial = Dial::new(Some(peer(1)), vec![other.clone()], Purpose::Verify);
        assert!(dial.next().is_none());
        assert_eq!(dial.failures, [(other, DialFailure::WrongPeer)]);
    }

    #[test]
    fn without_a_peer_addresses_are_tried_one_by_one() {
        let mut dial = Dial::new(None, vec![address(1), address(2)], Purpose::Ask);
        for port in [1, 2] {
            assert!(dial.next().is_some());
            assert_eq!(dial.trying, [address(port)]);
            dial.fail(&DialError::Aborted);
        }
        assert!(dial.next().is_none());
        assert_eq!(dial.failures.len(), 2);
    }
}
