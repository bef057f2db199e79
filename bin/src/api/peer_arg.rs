//! How a user names a peer: by its id, or by an address that ends in it.

use std::fmt;
use std::str::FromStr;

use fatebound::{Multiaddr, PeerId};
use multiaddr::Protocol;
use serde::{Deserialize, Serialize};

/// Characters of a `PeerId` at most: one of Ed25519 has 52. Base58 takes time that grows with the square, so longer texts are not even looked at.
const MAX_PEER: usize = 64;
/// Characters of a multiaddress at most: nodes tell each other none of more than 512 bytes.
const MAX_ADDRESS: usize = 1024;

/// A peer, and where it can be dialled, if its user knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerArg {
    /// Who.
    pub peer: PeerId,
    /// Where, the `/p2p/` part included; without it the overlay is asked.
    pub address: Option<Multiaddr>,
}

impl FromStr for PeerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<PeerArg, String> {
        if !text.starts_with('/') {
            let short = Some(text).filter(|text| text.len() <= MAX_PEER);
            let peer = short.and_then(|text| text.parse().ok());
            let peer = peer.ok_or_else(|| "neither a PeerId nor a multiaddress".to_owned())?;
            return Ok(PeerArg { peer, address: None });
        }
        if text.len() > MAX_ADDRESS {
            return Err(format!("not a multiaddress: longer than {MAX_ADDRESS} characters"));
        }
        let address: Multiaddr = text.parse().map_err(|error| format!("not a multiaddress: {error}"))?;
        match address.iter().last() {
            Some(Protocol::P2p(peer)) => Ok(PeerArg {
                peer,
                address: Some(address),
            }),
            _ => Err("the address does not end in /p2p/<PeerId>".to_owned()),
        }
    }
}

impl TryFrom<String> for PeerArg {
    type Error = String;

    fn try_from(text: String) -> Result<PeerArg, String> {
        text.parse()
    }
}

impl From<PeerArg> for String {
    fn from(peer: PeerArg) -> String {
        peer.to_string()
    }
}

impl fmt::Display for PeerArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => address.fmt(f),
            None => self.peer.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    #[test]
    fn an_id_or_an_address_that_ends_in_one() {
        let peer: PeerId = PEER.parse().unwrap();
        assert_eq!(PEER.parse(), Ok(PeerArg { peer, address: None }));
        let text = format!("/ip4/127.0.0.1/tcp/4001/p2p/{PEER}");
        let arg: PeerArg = text.parse().unwrap();
        assert_eq!(arg.peer, peer);
        assert_eq!(arg.to_string(), text);
    }

    #[test]
    fn anything_else_says_why() {
        let why = |text: &str| text.parse::<PeerArg>().unwrap_err();
        assert!(why("nobody").contains("neither"));
        assert!(why("/ip4/127.0.0.1/tcp/4001").contains("/p2p/"));
        assert!(why("/ip4/999").contains("not a multiaddress"));
    }

    #[test]
    fn what_is_too_long_is_not_looked_at() {
        let begun = std::time::Instant::now();
        let long = "z".repeat(4_000_000);
        assert!(long.parse::<PeerArg>().unwrap_err().contains("neither"));
        let address = format!("/p2p/{long}").parse::<PeerArg>().unwrap_err();
        assert!(address.contains("longer than 1024"), "{address}");
        // As base58 it would take hours.
        assert!(begun.elapsed().as_secs() < 60);
    }

    #[test]
    fn in_json_it_is_a_string() {
        let arg: PeerArg = serde_json::from_str(&format!("\"{PEER}\"")).unwrap();
        assert_eq!(serde_json::to_string(&arg).unwrap(), format!("\"{PEER}\""));
        assert!(serde_json::from_str::<PeerArg>("\"x\"").is_err());
    }
}
