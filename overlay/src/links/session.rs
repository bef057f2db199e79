//! Sessions: which stream carries the link.
//!
//! Streams break, often so that only one end notices, and two ends may dial each other at the same time. Nothing is negotiated about it:
//! the two `Hello`s of a session say enough for both ends to come to the same answers, each on its own.
//!
//! - *Which sessions are open?* A `Hello` lists the sender's other sessions with this peer. One that a later `Hello` does not list is
//!   closed at the sender, whatever the socket here says (scenario 31).
//! - *Which one stays?* Of those open at both ends the one that the smaller `PeerId` opened, then the newer one ([`Rank`]). A session that
//!   would win but has not seen its `Hello` yet is waited for, so that a link is not founded on one stream and again on the next.
//! - *What does it carry?* The link whose instance both `Hello`s name, or a new one ([`agreed_instance`]).

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::peer_list::PeerList;
use crate::message::{Hello, LinkInstance};
use crate::{Opener, Rule};

/// An open session.
#[derive(Debug)]
pub(super) struct OpenSession {
    pub(super) peer: PeerId,
    pub(super) opener: Opener,
    /// Where we dialled it, if we did.
    pub(super) address: Option<Multiaddr>,
    /// Our number for it.
    pub(super) number: u64,
    /// What our `Hello` would resume.
    pub(super) resume: Option<LinkInstance>,
    /// What our `Hello` listed as open.
    pub(super) open: Vec<u64>,
    /// The version of our neighbours in our `Hello`.
    pub(super) neighbours: u64,
    /// What the other end's `Hello` said, once it came.
    pub(super) theirs: Option<Box<Greeting>>,
}

/// What is remembered of a `Hello` while its session lasts; [`Hello`] says what each word means.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) incarnation: u64,
    pub(super) number: u64,
    pub(super) open: Vec<u64>,
    pub(super) resume: Option<LinkInstance>,
    pub(super) received: u64,
    pub(super) share: [u8; 16],
    pub(super) wanted: bool,
    pub(super) joined: bool,
    /// Goes to the link once the session carries it.
    pub(super) neighbours: PeerList,
}

impl Greeting {
    pub(super) fn of(hello: &Hello) -> Greeting {
        Greeting {
            incarnation: hello.incarnation,
            number: hello.number,
            open: hello.open.clone(),
            resume: hello.resume,
            received: hello.received,
            share: hello.share,
            wanted: hello.wanted,
            joined: hello.joined,
            neighbours: hello.neighbours.iter().collect(),
        }
    }
}

/// Of two sessions between the same peers the one of the greater rank stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    opened_by_smaller: bool,
    /// The opener's number. For a session without `Hello` whose opener is the other end, its place among ours stands in.
    number: u64,
}

impl OpenSession {
    /// Its rank by the opener's number; `None` before the `Hello`.
    pub(super) fn rank(&self, us: &PeerId) -> Option<Rank> {
        let theirs = self.theirs.as_ref()?;
        let number = match self.opener {
            Opener::Us => self.number,
            Opener::Them => theirs.number,
        };
        Some(Rank {
            opened_by_smaller: self.opened_by_smaller(us),
            number,
        })
    }

    /// Whether this session, once it had its `Hello`, would win over `other`, which has.
    pub(super) fn would_beat(&self, other: &OpenSession, us: &PeerId) -> bool {
        let rank = |session: &OpenSession| Rank {
            opened_by_smaller: session.opened_by_smaller(us),
            number: session.number,
        };
        rank(self) > rank(other)
    }

    fn opened_by_smaller(&self, us: &PeerId) -> bool {
        (self.opener == Opener::Us) == (*us < self.peer)
    }
}

/// The instance that this session carries, the same at both ends.
///
/// It resumes what both name. ◆ A `Hello` that names nothing does not deny an instance that its sender could not know yet: one founded by
/// a session that the sender lists as open, or numbered later. (Without this, two dials that cross found the link twice.) Otherwise the
/// session founds a new instance.
pub(super) fn agreed_instance(us: &PeerId, session: &OpenSession, theirs: &Greeting) -> LinkInstance {
    let we_are_smaller = *us < session.peer;
    let ours_of = |instance: &LinkInstance| {
        if we_are_smaller {
            instance.smaller
        } else {
            instance.larger
        }
    };
    let theirs_of = |instance: &LinkInstance| {
        if we_are_smaller {
            instance.larger
        } else {
            instance.smaller
        }
    };
    let unknown_to = |number: u64, hello: u64, open: &[u64]| {
        same_life(number, hello) && (number > hello || open.contains(&number)) && Rule::CrossingHellos.holds()
    };
    match (session.resume, theirs.resume) {
        (Some(a), Some(b)) if a == b => a,
        (None, Some(b)) if unknown_to(ours_of(&b), session.number, &session.open) => b,
        (Some(a), None) if unknown_to(theirs_of(&a), theirs.number, &theirs.open) => a,
        _ if we_are_smaller => LinkInstance {
            smaller: session.number,
            larger: theirs.number,
        },
        _ => LinkInstance {
            smaller: theirs.number,
            larger: session.number,
        },
    }
}

/// Whether two numbers of one peer's sessions are of one life: each life counts from a random number of 32 bits, shifted up by 32. So an
/// instance of a life that is over is not taken for one of the new life that its peer could not know yet.
fn same_life(a: u64, b: u64) -> bool {
    a >> 32 == b >> 32 || !Rule::NumbersOfLives.holds()
}

/// The secret of a link instance, from both ends' shares.
pub(super) fn link_key(us: &PeerId, them: &PeerId, shares: (&[u8; 16], &[u8; 16]), instance: LinkInstance) -> [u8; 32] {
    let (smaller, larger) = if us < them { shares } else { (shares.1, shares.0) };
    let mut hasher = blake3::Hasher::new_derive_key("fatebound link key 1");
    hasher.update(smaller);
    hasher.update(larger);
    hasher.update(&instance.smaller.to_be_bytes());
    hasher.update(&instance.larger.to_be_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        let keypair = crate::Keypair::ed25519_from_bytes([n; 32]).unwrap();
        keypair.public().to_peer_id()
    }

    fn instance(smaller: u64, larger: u64) -> LinkInstance {
        LinkInstance { smaller, larger }
    }

    /// What one end's `Hello` says: its number and what it would resume.
    type Said = (u64, Option<LinkInstance>);

    /// What the session of these two `Hello`s carries, as one of its ends sees it; neither lists another session as open.
    fn carried(us: &PeerId, them: &PeerId, ours: Said, theirs: Said) -> LinkInstance {
        let session = OpenSession {
            peer: *them,
            opener: Opener::Us,
            address: None,
            number: ours.0,
            resume: ours.1,
            open: Vec::new(),
            neighbours: 0,
            theirs: None,
        };
        let greeting = Greeting {
            incarnation: 1,
            number: theirs.0,
            open: Vec::new(),
            resume: theirs.1,
            received: 0,
            share: [0; 16],
            wanted: false,
            joined: false,
            neighbours: PeerList::default(),
        };
        agreed_instance(us, &session, &greeting)
    }

    /// In one life of either end, so all numbers are small.
    #[test]
    fn a_session_carries_what_both_name_or_what_one_cannot_know_yet_or_a_new_instance() {
        let (smaller, larger) = (peer(1).min(peer(2)), peer(1).max(peer(2)));
        let (old, other, new) = (instance(3, 14), instance(4, 15), instance(7, 19));
        let later = |of: LinkInstance| {
            (
                instance(of.smaller + 10, of.larger),
                instance(of.smaller, of.larger + 10),
            )
        };
        let (later_of_smaller, later_of_larger) = later(old);
        let table = [
            (None, None, new),
            (Some(old), Some(old), old),
            (Some(old), Some(other), new),
            (Some(old), None, new),
            (None, Some(old), new),
            // Numbered later than the `Hello` of the end that does not name it.
            (None, Some(later_of_smaller), later_of_smaller),
            (Some(later_of_larger), None, later_of_larger),
            (None, Some(later_of_larger), new),
            (Some(later_of_smaller), None, new),
        ];
        for (of_smaller, of_larger, expected) in table {
            let said = ((7, of_smaller), (19, of_larger));
            let here = carried(&smaller, &larger, said.0, said.1);
            let there = carried(&larger, &smaller, said.1, said.0);
            assert_eq!((here, there), (expected, expected), "{of_smaller:?} and {of_larger:?}");
        }
    }

    /// Both ends of every version have to derive the same key.
    #[test]
    fn a_links_key_depends_on_both_shares_and_on_the_instance_and_on_which_end_is_smaller() {
        let (a, b) = (peer(1).min(peer(2)), peer(1).max(peer(2)));
        let (ours, theirs) = ([1; 16], [2; 16]);
        let key = link_key(&a, &b, (&ours, &theirs), instance(3, 4));
        let mut hasher = blake3::Hasher::new_derive_key("fatebound link key 1");
        let numbers = [3_u64, 4].map(u64::to_be_bytes).concat();
        hasher.update(&[1; 16]).update(&[2; 16]).update(&numbers);
        assert_eq!(key, *hasher.finalize().as_bytes(), "the smaller peer's share first");
        assert_eq!(
            key,
            link_key(&b, &a, (&theirs, &ours), instance(3, 4)),
            "at the other end"
        );
        for other in [
            link_key(&a, &b, (&theirs, &theirs), instance(3, 4)),
            link_key(&a, &b, (&ours, &ours), instance(3, 4)),
            link_key(&a, &b, (&ours, &theirs), instance(3, 5)),
            link_key(&a, &b, (&ours, &theirs), instance(4, 4)),
        ] {
            assert_ne!(key, other);
        }
    }
}
