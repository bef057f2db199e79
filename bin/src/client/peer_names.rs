//! Peers by a part of their id: what `peers`, `routes` and `group list` print can be pasted where a peer is expected.
//!
//! A `PeerId` is long, and its first characters are the same for all, so tables show endings. A beginning or an ending names a peer if
//! the node knows exactly one like this: a neighbour, somebody it routes through, or a member of a group. Whoever else is meant needs a
//! whole id or an address.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::{Api, CallError};
use crate::api::model::{Groups, Peers, Routes};
use crate::api::peer_arg::PeerArg;
use crate::exit::Failure;

/// Characters that name a peer at least: fewer are a slip.
const FEWEST: usize = 4;
/// Characters of a whole id.
const WHOLE: usize = 52;
/// Groups whose members are looked at.
const GROUPS: usize = 1000;
/// Candidates that are told.
const MAX_CANDIDATES: usize = 10;

/// A peer as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerName {
    /// By its id, or an address that ends in it.
    Whole(PeerArg),
    /// By the beginning or the end of its id.
    Part(String),
}

impl FromStr for PeerName {
    type Err = String;

    fn from_str(text: &str) -> Result<PeerName, String> {
        let why = match text.parse() {
            Ok(peer) => return Ok(PeerName::Whole(peer)),
            Err(why) => why,
        };
        // The alphabet of ids lacks what is easily mistaken.
        let of_id = |byte: u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte);
        match text.len() {
            _ if !text.bytes().all(of_id) => Err(why),
            FEWEST..WHOLE => Ok(PeerName::Part(text.to_owned())),
            _ => Err(format!("{why}, nor {FEWEST} characters or more of one")),
        }
    }
}

/// Whom these names mean.
///
/// # Errors
/// The node cannot be asked, or a part of an id names nobody or several.
pub async fn resolve(api: &Api, names: &[PeerName]) -> Result<Vec<PeerArg>, Failure> {
    let known = if names.iter().any(|name| matches!(name, PeerName::Part(_))) {
        known(api).await?
    } else {
        BTreeSet::new()
    };
    let one = |name: &PeerName| match name {
        PeerName::Whole(peer) => Ok(peer.clone()),
        PeerName::Part(part) => {
            let peer = find(part, &known)?;
            peer.parse().map_err(|why| Failure::error(format!("{peer} is {why}")))
        }
    };
    names.iter().map(one).collect()
}

/// All whom the node has heard of.
async fn known(api: &Api) -> Result<BTreeSet<String>, CallError> {
    let neighbours: Peers = api.get("/v1/peers").await?;
    let routes: Routes = api.get("/v1/routes").await?;
    let groups: Groups = api.get(&format!("/v1/groups?limit={GROUPS}")).await?;
    let mut known: BTreeSet<String> = neighbours.peers.into_iter().map(|peer| peer.peer).collect();
    known.extend(routes.below.into_iter().chain(routes.above));
    known.extend(routes.rows.into_iter().flatten().map(|entry| entry.peer));
    for group in groups.groups {
        known.extend(group.members);
        known.insert(group.root);
    }
    Ok(known)
}

fn find<'a>(part: &str, known: &'a BTreeSet<String>) -> Result<&'a String, Failure> {
    let like = |peer: &&String| peer.starts_with(part) || peer.ends_with(part);
    let found: Vec<&String> = known.iter().filter(like).take(MAX_CANDIDATES + 1).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::error(format!(
            "no peer that this node has heard of begins or ends with {part}: give its whole PeerId, or an address that ends in /p2p/<PeerId>"
        ))),
        several => {
            let mut listed: Vec<&str> = several.iter().map(|peer| peer.as_str()).collect();
            if listed.len() > MAX_CANDIDATES {
                listed[MAX_CANDIDATES] = "…";
            }
            Err(Failure::error(format!(
                "several peers begin or end with {part}: {}",
                listed.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    fn known(peers: &[&str]) -> BTreeSet<String> {
        peers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_is_an_id_an_address_or_a_part_of_an_id() {
        assert!(matches!(PEER.parse(), Ok(PeerName::Whole(_))));
        assert!(matches!(
            format!("/ip4/127.0.0.1/tcp/1/p2p/{PEER}").parse(),
            Ok(PeerName::Whole(_))
        ));
        assert_eq!("aMtimQ5".parse(), Ok(PeerName::Part("aMtimQ5".to_owned())));
        for text in [
            "",
            "mQ5",
            "0OIl",
            "no-body",
            "ä234",
            "/ip4/127.0.0.1/tcp/1",
            &PEER.repeat(2),
        ] {
            assert!(text.parse::<PeerName>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_beginning_or_ending_names_a_peer() {
        let known = known(&["12D3KooWabcd", "12D3KooWabXY", "12D3KooWzzcd"]);
        assert_eq!(find("abcd", &known).unwrap(), "12D3KooWabcd");
        assert_eq!(find("12D3KooWz", &known).unwrap(), "12D3KooWzzcd");
        assert_eq!(find("12D3KooWabcd", &known).unwrap(), "12D3KooWabcd");
    }

    #[test]
    fn nobody_and_several_are_said_so() {
        let known: BTreeSet<String> = (0..100).map(|at| format!("12D3KooW{at:03}")).collect();
        let message = |part: &str| find(part, &known).unwrap_err().message;
        assert!(
            message("wxyz").contains("begins or ends with wxyz"),
            "{}",
            message("wxyz")
        );
        let several = message("12D3KooW09");
        assert!(several.ends_with("12D3KooW098, 12D3KooW099"), "{several}");
        let many = message("12D3");
        assert!(many.ends_with("12D3KooW009, …"), "{many}");
    }
}
