//! Yamux without its pings.
//!
//! Yamux 0.14 measures round trips, to let the windows of its streams grow, with a ping of its own at either end of each connection every ten
//! seconds, and has no setting against it: a quarter of what an idle overlay sends. Links measure their round trips themselves, and
//! nothing that Fatebound sends fills the window that each stream begins with: a link has 1024 operations on their way at most, and a pipe
//! 128 KiB for each port. So our end's requests are taken out of what it writes. None is ever answered, and yamux has one on its way
//! at a time: it asks once on each connection, and its windows stay at 256 KiB each.
//!
//! Everything else passes as it is, answers to the other end's pings too: on the wire this is yamux, and talks to any other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::yamux;

/// A frame begins with its version, its type, two bytes of flags, four of its stream's number, and four of the length of what follows
/// (of a ping: its number, and nothing follows), the largest byte first.
const HEADER: usize = 12;
const VERSION: u8 = 0;
const DATA: u8 = 0;
const PING: u8 = 2;
/// Of a ping: asks for an answer, and is none.
const SYN: u16 = 1;

/// Yamux as the transport negotiates it.
#[derive(Clone, Debug)]
pub(crate) struct Muxing(yamux::Config);

impl Muxing {
    /// At most so many streams on one connection.
    pub(crate) fn new(max_streams: usize) -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(max_streams);
        Muxing(config)
    }
}

impl UpgradeInfo for Muxing {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C> InboundConnectionUpgrade<C> for Muxing
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<Quiet<C>>;
    type Error = io::Error;
    type Future = <yamux::Config as InboundConnectionUpgrade<Quiet<C>>>::Future;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(Quiet::new(socket), info)
    }
}

impl<C> OutboundConnectionUpgrade<C> for Muxing
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<Quiet<C>>;
    type Error = io::Error;
    type Future = <yamux::Config as OutboundConnectionUpgrade<Quiet<C>>>::Future;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(Quiet::new(socket), info)
    }
}

/// What yamux writes its frames to: the socket, without the requests of its pings.
#[derive(Debug)]
pub(crate) struct Quiet<C> {
    socket: C,
    at: At,
}

/// Where in the frames that are written we are.
#[derive(Debug)]
enum At {
    /// In a header, of which so many bytes have come. They are held back, for they may become a ping.
    Header { bytes: [u8; HEADER], come: usize },
    /// A whole header, of which so many bytes are written, and which so many bytes follow.
    Passing {
        bytes: [u8; HEADER],
        written: usize,
        body: usize,
    },
    /// In a body, of which so many bytes are still to come.
    Body { left: usize },
    /// Not among frames that we know: all that comes passes.
    Unknown,
}

impl At {
    const START: At = At::Header {
        bytes: [0; HEADER],
        come: 0,
    };

    /// What follows from a whole header. A later version's would be unknown to us, and pass.
    fn after(bytes: [u8; HEADER]) -> Self {
        let [version, kind, flags @ .., _, _, _, _, _, _, _, _] = bytes;
        let [.., a, b, c, d] = bytes;
        let is_request = kind == PING && u16::from_be_bytes(flags) == SYN;
        if version == VERSION && is_request {
            return Self::START;
        }
        let follows = version == VERSION && kind == DATA;
        At::Passing {
            bytes,
            written: 0,
            body: if follows {
                u32::from_be_bytes([a, b, c, d]) as usize
            } else {
                0
            },
        }
    }

    fn in_body(left: usize) -> Self {
        if left == 0 { Self::START } else { At::Body { left } }
    }
}

impl<C> Quiet<C> {
    fn new(socket: C) -> Self {
        Quiet { socket, at: At::START }
    }
}

impl<C: AsyncWrite + Unpin> Quiet<C> {
    /// Writes what is left of a whole header.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let At::Passing { bytes, written, body } = &mut self.at {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &bytes[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
            if *written == HEADER {
                self.at = if bytes[0] == VERSION {
                    At::in_body(*body)
                } else {
                    At::Unknown
                };
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Quiet<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, bytes)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Quiet<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, given: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_header(cx))?;
        match &mut this.at {
            At::Header { bytes, come } => {
                let more = given.len().min(HEADER - *come);
                bytes[*come..*come + more].copy_from_slice(&given[..more]);
                *come += more;
                if *come == HEADER {
                    this.at = At::after(*bytes);
                }
                // A header that passes is written with what comes next, or when yamux flushes, as it does before it waits.
                Poll::Ready(Ok(more))
            }
            At::Body { left } => {
                let some = &given[..given.len().min(*left)];
                let more = ready!(Pin::new(&mut this.socket).poll_write(cx, some))?;
                this.at = At::in_body(*left - more);
                Poll::Ready(Ok(more))
            }
            At::Passing { .. } | At::Unknown => Pin::new(&mut this.socket).poll_write(cx, given),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_header(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_header(cx))?;
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests;
