//! What a network is called: the prefix of its addresses.
//!
//! The name is all that two nodes on one network need to agree on, and each computes it by itself from an interface's address and mask (M1). The
//! length belongs to it: `10.0.0.0/16` and `10.0.0.0/24` are two networks.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An IPv4 network: an address whose host bits are zero, and how many bits are not host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Ipv4Addr, u8)", into = "(Ipv4Addr, u8)")]
pub struct NetworkId {
    address: Ipv4Addr,
    length: u8,
}

/// A text that names no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected a network as in 10.1.0.0/24, without host bits")]
pub struct NotANetwork;

impl NetworkId {
    /// The network of an interface with this address; `None` if the length is above 32.
    pub fn of(address: Ipv4Addr, length: u8) -> Option<NetworkId> {
        let address = Ipv4Addr::from(u32::from(address) & mask(length)?);
        Some(NetworkId { address, length })
    }

    /// Whether this address lies in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = mask(self.length).unwrap_or(u32::MAX);
        u32::from(address) & mask == u32::from(self.address)
    }

    /// Its first address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// How many leading bits its addresses have in common.
    pub fn length(&self) -> u8 {
        self.length
    }
}

fn mask(length: u8) -> Option<u32> {
    match length {
        0 => Some(0),
        1..=32 => Some(u32::MAX << (32 - length)),
        _ => None,
    }
}

impl TryFrom<(Ipv4Addr, u8)> for NetworkId {
    type Error = NotANetwork;

    fn try_from((address, length): (Ipv4Addr, u8)) -> Result<NetworkId, NotANetwork> {
        NetworkId::of(address, length)
            .filter(|network| network.address == address)
            .ok_or(NotANetwork)
    }
}

impl From<NetworkId> for (Ipv4Addr, u8) {
    fn from(network: NetworkId) -> (Ipv4Addr, u8) {
        (network.address, network.length)
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for NetworkId {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<NetworkId, NotANetwork> {
        let (address, length) = text.split_once('/').ok_or(NotANetwork)?;
        let address: Ipv4Addr = address.parse().map_err(|_| NotANetwork)?;
        let length: u8 = length.parse().map_err(|_| NotANetwork)?;
        NetworkId::try_from((address, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_address_and_mask() {
        let network = NetworkId::of(Ipv4Addr::new(10, 1, 0, 7), 24).unwrap();
        assert_eq!(network.to_string(), "10.1.0.0/24");
        assert_eq!("10.1.0.0/24".parse(), Ok(network));
        assert!(network.contains(Ipv4Addr::new(10, 1, 0, 255)));
        assert!(!network.contains(Ipv4Addr::new(10, 1, 1, 0)));
        assert_ne!(Some(network), NetworkId::of(Ipv4Addr::new(10, 1, 0, 7), 16));
        assert_eq!(NetworkId::of(Ipv4Addr::LOCALHOST, 33), None);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.1.0.0", "10.1.0.7/24", "10.1.0.0/33", "10.1.0.0/x", "fd00::/64"] {
            assert_eq!(text.parse::<NetworkId>(), Err(NotANetwork), "{text}");
        }
        let all: NetworkId = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(Ipv4Addr::BROADCAST));
    }
}
