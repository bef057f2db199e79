//! The swarm of a stand-alone node: Fatebound, identify so that other libp2p software can tell what it talks to, and a limit to connections.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use fatebound_machine::overlay::{Keypair, Multiaddr};
use futures::StreamExt;
use libp2p::connection_limits::Exceeded;
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::swarm::{self, ConnectionDenied, DialError, ListenError, NetworkBehaviour, SwarmEvent};
use libp2p::{Swarm, connection_limits, identify};
use tokio::sync::watch;

use crate::behaviour::{Behaviour, Notice};
use crate::claim::claim;
use crate::descriptors::{self, Budget};
use crate::dials::innermost;
use crate::error::StartError;
use crate::rarely::Rarely;
use crate::transport;

/// How long a connection without a session or an exchange is kept: requests between the same peers come in bursts.
const IDLE: Duration = Duration::from_secs(30);

/// Connections whose handshakes others have begun and not ended, at most; a further one is closed.
const MAX_PENDING_INCOMING: u32 = 64;
/// Connections that others have made to us at most: far beyond the links of the largest overlay.
const MAX_INCOMING: u32 = 1024;
/// Connections with one peer at most, whoever made them: links want one or two.
const MAX_PER_PEER: u32 = 16;

/// What a stand-alone node speaks.
#[derive(NetworkBehaviour)]
pub(crate) struct Stack {
    /// The first: who is denied here must not have been noted by the others.
    limits: connection_limits::Behaviour,
    fatebound: Behaviour,
    identify: identify::Behaviour,
}

/// Makes the swarm; it does not listen yet.
///
/// # Errors
/// What the transport's making says.
pub(crate) fn swarm(keypair: &Keypair, dial_limit: Duration, fatebound: Behaviour) -> io::Result<Swarm<Stack>> {
    let transport = transport::build(keypair, dial_limit)?;
    // Listen addresses stay out of identify: our own records carry the dialable ones.
    let identity = identify::Config::new("/fatebound/1".into(), keypair.public())
        .with_agent_version(concat!("fatebound/", env!("CARGO_PKG_VERSION")).into())
        .with_hide_listen_addrs(true);
    let stack = Stack {
        limits: connection_limits::Behaviour::new(limits(Budget::of_process())),
        fatebound,
        identify: identify::Behaviour::new(identity),
    };
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE);
    Ok(Swarm::new(transport, stack, keypair.public().to_peer_id(), config))
}

/// What strangers can cost at most, and all together: a quarter of the descriptors for connections is kept for those that we make.
fn limits(budget: Budget) -> connection_limits::ConnectionLimits {
    let all = u32::try_from(budget.connections).unwrap_or(u32::MAX);
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING_INCOMING.min(all / 4)))
        .with_max_established_incoming(Some(MAX_INCOMING.min(all - all / 4)))
        .with_max_established(Some(all))
        .with_max_established_per_peer(Some(MAX_PER_PEER))
}

/// Listens on all of these, each once and as the only one who does, and waits until each has an address.
///
/// # Errors
/// The first that does not work.
pub(crate) async fn listen(swarm: &mut Swarm<Stack>, mut addresses: Vec<Multiaddr>) -> Result<(), StartError> {
    let mut waiting: HashMap<ListenerId, Multiaddr> = HashMap::new();
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
    for address in addresses {
        match listen_alone(swarm, &address) {
            Ok(listener) => waiting.insert(listener, address),
            Err(source) => return Err(StartError::Listen { address, source }),
        };
    }
    while !waiting.is_empty() {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { listener_id, .. } => {
                waiting.remove(&listener_id);
            }
            SwarmEvent::ListenerClosed {
                listener_id, reason, ..
            } => {
                if let Some(address) = waiting.remove(&listener_id) {
                    let source = reason.err().unwrap_or_else(|| io::ErrorKind::NotConnected.into());
                    return Err(StartError::Listen { address, source });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn listen_alone(swarm: &mut Swarm<Stack>, address: &Multiaddr) -> io::Result<ListenerId> {
    let _claim = claim(address)?;
    swarm.listen_on(address.clone()).map_err(cause)
}

fn cause(error: TransportError<io::Error>) -> io::Error {
    match error {
        TransportError::MultiaddrNotSupported(_) => {
            io::Error::new(io::ErrorKind::Unsupported, "this kind of address is not supported")
        }
        TransportError::Other(error) => innermost(&error),
    }
}

/// Turns the swarm until the peer has stopped. `_alive` ends after the swarm, its sockets included.
pub(crate) async fn drive(mut swarm: Swarm<Stack>, _alive: watch::Sender<()>) {
    let mut rarely = Rarely::default();
    loop {
        let event = swarm.select_next_some().await;
        if let Some(limit) = reached(&event)
            && rarely.says(&limit, Instant::now())
        {
            tracing::warn!(descriptors = ?descriptors::limit(), limit, "a connection could not be had: a limit is reached");
        }
        match event {
            SwarmEvent::Behaviour(StackEvent::Fatebound(Notice::Stopped)) => break,
            SwarmEvent::ListenerError { error, .. } if rarely.says(&error.to_string(), Instant::now()) => {
                tracing::warn!(%error, "a listener reports an error");
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "a listener has closed");
            }
            _ => {}
        }
    }
    drop(swarm);
}

/// The limit that this event says is reached, in words.
fn reached(event: &SwarmEvent<StackEvent>) -> Option<String> {
    let no_descriptor = || Some("no file descriptor is left: raise ulimit -n".to_owned());
    let denied = |cause: &ConnectionDenied| cause.downcast_ref::<Exceeded>().map(ToString::to_string);
    match event {
        SwarmEvent::ListenerError { error, .. } if descriptors::are_used_up(error) => no_descriptor(),
        SwarmEvent::OutgoingConnectionError { error, .. } => match error {
            DialError::Denied { cause } => denied(cause),
            DialError::Transport(errors) if errors.iter().any(|(_, error)| is_used_up(error)) => no_descriptor(),
            _ => None,
        },
        SwarmEvent::IncomingConnectionError {
            error: ListenError::Denied { cause },
            ..
        } => denied(cause),
        _ => None,
    }
}

fn is_used_up(error: &TransportError<io::Error>) -> bool {
    matches!(error, TransportError::Other(error) if descriptors::are_used_up(error))
}
