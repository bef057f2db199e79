//! Which of a host's addresses are worth telling: a record holds a few, and a host with containers or tunnels has many.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use fatebound_machine::overlay::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Orders addresses so that the most useful ones come first: those that the whole Internet may reach, then those of private networks, then those
/// that lead nowhere from another host. Among equals the one of the default route, for that is no container's bridge; then TCP, which links want;
/// then the one that was there first.
pub(crate) fn useful_first(addresses: &mut [Multiaddr]) {
    let routed = [routed_from("192.0.2.1:9"), routed_from("[2001:db8::1]:9")];
    order(addresses, &routed);
}

fn order(addresses: &mut [Multiaddr], routed: &[Option<IpAddr>]) {
    addresses.sort_by_key(|address| {
        let ip = ip_of(address);
        let reach = ip.map_or(0, reach);
        let routed = ip.is_some() && routed.contains(&ip);
        let tcp = address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
        (reach, !routed, !tcp)
    });
}

/// The address that this host would send from to there; nothing is sent.
fn routed_from(there: &str) -> Option<IpAddr> {
    let there: SocketAddr = there.parse().ok()?;
    let any: IpAddr = match there {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// From how far away it can be dialled: 0 from anywhere, 3 from this host alone.
fn reach(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => 3,
        IpAddr::V6(ip) if ip.is_loopback() => 3,
        IpAddr::V4(ip) if ip.is_link_local() => 2,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => 2,
        IpAddr::V4(ip) if ip.is_private() || is_shared(ip) => 1,
        IpAddr::V6(ip) if ip.is_unique_local() => 1,
        _ => 0,
    }
}

/// 100.64.0.0/10: behind a provider's translation (RFC 6598).
fn is_shared(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 100 && second & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_dial_comes_first() {
        let bridges = (0..10).map(|number| format!("/ip4/172.{}.0.1/tcp/1", 17 + number));
        let mut addresses: Vec<Multiaddr> = ["/ip4/127.0.0.1/tcp/1", "/ip4/169.254.7.7/tcp/1", "/ip6/fe80::1/tcp/1"]
            .map(String::from)
            .into_iter()
            .chain(bridges)
            .chain(
                [
                    "/ip4/10.1.2.3/udp/1/quic-v1",
                    "/ip4/10.1.2.3/tcp/1",
                    "/ip6/::1/tcp/1",
                    "/ip6/fd00::1/tcp/1",
                    "/ip4/100.64.0.1/tcp/1",
                    "/ip4/8.8.8.8/tcp/1",
                    "/dns4/a.example/tcp/1",
                    "/ip6/2a00::1/tcp/1",
                ]
                .map(String::from),
            )
            .map(|text| text.parse().unwrap())
            .collect();
        order(&mut addresses, &[Some("10.1.2.3".parse().unwrap()), None]);
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let first = ["/ip4/8.8.8.8/tcp/1", "/dns4/a.example/tcp/1", "/ip6/2a00::1/tcp/1"];
        assert_eq!(texts[..3], first);
        assert_eq!(texts[3..5], ["/ip4/10.1.2.3/tcp/1", "/ip4/10.1.2.3/udp/1/quic-v1"]);
        assert_eq!(texts[5], "/ip4/172.17.0.1/tcp/1");
        let last = [
            "/ip4/169.254.7.7/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/::1/tcp/1",
        ];
        assert_eq!(texts[texts.len() - 4..], last);
    }
}
