//! The transport of a stand-alone node: TCP with Noise and Yamux without its pings, and QUIC where somebody listens or dials with it; names are resolved.
//!
//! Links want TCP, because the death of a process closes its connections at once. Errors keep the operating system's kind on their way up:
//! a refused dial may prove a death.

use std::io;
use std::time::Duration;

use either::Either as EitherError;
use futures::future::Either;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::transport::timeout::{TransportTimeout, TransportTimeoutError};
use libp2p::core::upgrade;
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, dns, noise, quic, tcp};

use crate::muxing::Muxing;

/// Streams on one connection at most: sessions, exchanges and identify. Whoever opens more loses the connection.
pub(crate) const MAX_STREAMS: usize = 256;

/// Builds it. A dial with its handshakes takes `limit` at most.
///
/// # Errors
/// A key that Noise cannot use, or a name service that cannot be used.
pub(crate) fn build(keypair: &Keypair, limit: Duration) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .map(|stream, _| {
            retransmit_steadily(&stream.0);
            stream
        })
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(keypair).map_err(io::Error::other)?)
        .multiplex(Muxing::new(MAX_STREAMS))
        .map_err(|error| match error {
            EitherError::Left(EitherError::Left(error)) => error,
            EitherError::Left(EitherError::Right(error)) => io::Error::other(error),
            EitherError::Right(error) => io::Error::other(error),
        });
    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = limit;
    let both = quic::tokio::Transport::new(config)
        .map_err(quic_error)
        .or_transport(tcp)
        .map(|either, _| match either {
            Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
            Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        })
        .map_err(EitherError::into_inner);
    named(both, limit)
}

/// Adds name resolution and the time limit. On a system that does not tell how names are resolved, only numeric addresses work.
fn named<T>(transport: T, limit: Duration) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>>
where
    T: Transport<Output = (PeerId, StreamMuxerBox), Error = io::Error> + Send + Unpin + 'static,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    let resolved = match dns::tokio::Transport::system(()) {
        Ok(_) => dns::tokio::Transport::system(transport)?,
        Err(error) => {
            tracing::warn!(%error, "names cannot be resolved: the system does not say how");
            dns::tokio::Transport::custom(transport, dns::ResolverConfig::default(), dns::ResolverOpts::default())
        }
    };
    let resolved = resolved.map_err(|error| match error {
        dns::Error::Transport(error) => error,
        error => io::Error::other(error),
    });
    let limited = TransportTimeout::new(resolved, limit)
        .map_err(|error| match error {
            TransportTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
            TransportTimeoutError::TimerError(error) | TransportTimeoutError::Other(error) => error,
        })
        .boxed();
    Ok(limited)
}

fn quic_error(error: quic::Error) -> io::Error {
    match error {
        quic::Error::HandshakeTimedOut => io::ErrorKind::TimedOut.into(),
        quic::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

/// A ping that was lost waits for TCP's retransmission, which doubles its pause each time. On thin streams it need not: with
/// `TCP_THIN_LINEAR_TIMEOUTS` 99.98 % of exchanges took less than 1.5 s at 25 % loss (protocol.md §7). A system without it is no error.
fn retransmit_steadily(stream: &tokio::net::TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_thin_linear_timeouts(true) {
        tracing::debug!(%error, "TCP_THIN_LINEAR_TIMEOUTS could not be set");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}
