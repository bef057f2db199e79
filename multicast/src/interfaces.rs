//! The networks that this host is on, read off its interfaces (M1).

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use if_addrs::{IfAddr, get_if_addrs};

use crate::network::NetworkId;

/// The MTU where it cannot be read.
const MTU: usize = 1500;

/// An interface on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) address: Ipv4Addr,
    pub(crate) mtu: usize,
}

/// Every network of this host that can take part, each with its first interface: those that are up, no loopback, no link-local address, and more
/// than one address wide. With names given, only those interfaces.
pub(crate) fn scan(only: &[String]) -> io::Result<BTreeMap<NetworkId, Interface>> {
    let mut found = BTreeMap::new();
    let mut all = get_if_addrs()?;
    all.sort_by(|one, other| (&one.name, one.ip()).cmp(&(&other.name, other.ip())));
    for interface in all {
        let up = interface.is_oper_up() && !interface.is_loopback() && !interface.is_link_local();
        let wanted = only.is_empty() || only.contains(&interface.name);
        let (IfAddr::V4(address), Some(index), true) = (&interface.addr, interface.index, up && wanted) else {
            continue;
        };
        let network = NetworkId::of(address.ip, address.prefixlen).filter(|network| network.length() < 32);
        let Some(network) = network else {
            continue;
        };
        found.entry(network).or_insert_with(|| Interface {
            mtu: mtu(&interface.name),
            name: interface.name.clone(),
            index,
            address: address.ip,
        });
    }
    Ok(found)
}

fn mtu(name: &str) -> usize {
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/mtu")).unwrap_or_default();
    text.trim().parse().unwrap_or(MTU).clamp(68, 65_535)
}
