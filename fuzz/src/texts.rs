//! One input of the fuzzer for the `ids` target: a text, and ids with their own texts.

use arbitrary::Arbitrary;
use fatebound_machine::Profile;
use fatebound_machine::overlay::{Multiaddr, PeerId};
use fatebound_machine::tree::GroupId;

use crate::cast::{self, Who};
use crate::peer_arg::PeerArg;

/// What is typed.
#[derive(Debug, Arbitrary)]
pub struct Texts<'a> {
    text: &'a str,
    root: Who,
    /// Instead of the root's, if these are the bytes of a name.
    name: &'a [u8],
    incarnation: u64,
    sequence: u64,
    /// One character of the id's text that is another one.
    slip: (u8, u8),
    address: Option<Who>,
}

const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

impl Texts<'_> {
    /// Everything that has to hold of texts.
    pub fn check(&self) {
        self.what_parses_is_written_the_same();
        let group = self.group();
        assert_eq!(group.to_string().parse(), Ok(group));
        self.a_slip_is_noticed(&group);
        self.a_peer_comes_back();
    }

    fn group(&self) -> GroupId {
        GroupId {
            root: PeerId::from_bytes(self.name).unwrap_or(self.root.peer()),
            incarnation: self.incarnation,
            sequence: self.sequence,
        }
    }

    fn what_parses_is_written_the_same(&self) {
        if let Ok(group) = self.text.parse::<GroupId>() {
            assert_eq!(group.to_string(), self.text);
        }
        if let Ok(profile) = self.text.parse::<Profile>() {
            assert_eq!(profile.to_string(), self.text);
        }
        if let Ok(arg) = self.text.parse::<PeerArg>() {
            let written = arg.to_string();
            assert_eq!(written.parse().as_ref(), Ok(&arg));
            assert_eq!(PeerArg::try_from(String::from(arg.clone())), Ok(arg));
        }
    }

    /// The checksum catches any one wrong character, and any that is missing at the end.
    fn a_slip_is_noticed(&self, group: &GroupId) {
        let text = group.to_string();
        let at = usize::from(self.slip.0) % text.len();
        let other = BASE58[usize::from(self.slip.1) % BASE58.len()];
        let mut wrong = text.clone().into_bytes();
        if wrong[at] != other {
            wrong[at] = other;
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(wrong.parse::<GroupId>().is_err(), "{wrong} for {text}");
        }
        assert!(text[..at].parse::<GroupId>().is_err());
    }

    fn a_peer_comes_back(&self) {
        let peer = self.root.peer();
        let where_to = |who: Who| -> Multiaddr {
            format!("{}/p2p/{peer}", cast::address(who.index()))
                .parse()
                .expect("an address")
        };
        let arg = PeerArg {
            peer,
            address: self.address.map(where_to),
        };
        assert_eq!(arg.to_string().parse(), Ok(arg));
    }
}
