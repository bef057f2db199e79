//! A place to listen belongs to one process.
//!
//! libp2p binds its TCP listeners so that further sockets of the same user may be bound to the same port (`SO_REUSEPORT`), in case dials are to be
//! made from there; ours never are. But then two nodes with the same `--listen` both listen, and the system splits whoever dials that address
//! between them. So the place is claimed first, by a socket that shares it with nobody, and let go once libp2p listens. QUIC's sockets are
//! not shared in the first place.

use std::io;
use std::net::{IpAddr, SocketAddr};

use fatebound_machine::overlay::Multiaddr;
use libp2p::multiaddr::Protocol;
use socket2::{Domain, Socket, Type};

/// A place that nobody else can listen at, as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim(#[allow(dead_code, reason = "held for what its end does")] Option<Socket>);

/// Claims the place of this listener. What is not TCP, or leaves the port to the system, needs no claim.
///
/// # Errors
/// Somebody listens there already, or nobody may.
pub(crate) fn claim(address: &Multiaddr) -> io::Result<Claim> {
    let Some(place) = place(address).filter(|place| place.port() != 0) else {
        return Ok(Claim(None));
    };
    let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(socket2::Protocol::TCP))?;
    if place.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What is left of connections of the life before is no listener. (Elsewhere than on Unix this option would share the port.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&place.into())?;
    // Two sockets may be bound to one port as long as neither listens: only one of them can begin to.
    socket.listen(1)?;
    share(socket)
}

/// From here on libp2p's own socket may be bound there, but still no other claim: so there is no moment at which a second node finds the place free.
#[cfg(target_os = "linux")]
fn share(socket: Socket) -> io::Result<Claim> {
    socket.set_reuse_port(true)?;
    Ok(Claim(Some(socket)))
}

/// Other systems do not let go of a port afterwards, so the claim ends before libp2p's own begins.
#[cfg(not(target_os = "linux"))]
fn share(_: Socket) -> io::Result<Claim> {
    Ok(Claim(None))
}

fn place(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tcp_has_a_place_to_be_claimed() {
        let of = |text: &str| place(&text.parse().unwrap()).map(|place| place.to_string());
        assert_eq!(of("/ip4/127.0.0.1/tcp/7101").as_deref(), Some("127.0.0.1:7101"));
        assert_eq!(of("/ip6/::/tcp/7101").as_deref(), Some("[::]:7101"));
        assert_eq!(of("/ip4/127.0.0.1/udp/7101/quic-v1"), None);
        assert_eq!(of("/dns4/example.org/tcp/7101"), None);
        assert_eq!(of(""), None);
    }
}
