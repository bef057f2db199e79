//! Proven addresses: where a refused dial means death.
//!
//! A refusal proves something only where this very peer has answered before. So each success of a dial of our own is remembered here, for
//! peers with a link and for those that only a group knows ("a refused dial is proof for roots about members and for members about roots
//! as well", protocol.md §4). A new incarnation starts with an empty page.
//!
//! An address can leave its host for another machine, which refuses. So a peer that lists several is dead only when all of them refuse; and
//! that this can be known at once, each of them is verified while the peer lives: one where nobody answers then has nothing to say later.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use fatebound_base::slim;
use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

use crate::{Bounded, Rule, Time};

/// Peers of whom addresses are remembered; at it those longest unused, [`FORGOTTEN`] of them, are forgotten, which costs their quick proof
/// only.
const REMEMBERED: usize = 4096;

/// So many are forgotten at once, for finding the oldest takes a look at all.
const FORGOTTEN: usize = REMEMBERED / 64;

/// What is known of where peers have answered.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    by_peer: HashMap<PeerId, Box<Contact>>,
    uses: u64,
    /// Addresses per peer.
    limit: usize,
}

#[derive(Debug, Default)]
struct Contact {
    used: u64,
    /// The life that the proofs are about; `None` until a `Hello` says.
    incarnation: Option<u64>,
    /// Where this life completed a dial of ours, the newest last.
    proven: Vec<Multiaddr>,
    /// Which of them have refused since this life was last heard of.
    refused: Vec<Multiaddr>,
    /// What is being verified, and what is to be.
    verifying: Option<Multiaddr>,
    rest: VecDeque<Multiaddr>,
    /// Where a verification found nobody, or somebody else.
    vain: Vec<Multiaddr>,
    /// Where the last `Hello` of this life said that it lives; before any, its record.
    listed: Vec<Multiaddr>,
    /// When what was proven without a `Hello` was last given up.
    expired: Option<Time>,
}

impl Contact {
    /// "All of them, and all that its newest record lists": but for those where it could not be met while it lived.
    fn to_ask(&self) -> impl Iterator<Item = &Multiaddr> {
        let listed = self.listed.iter().filter(|address| {
            !self.proven.contains(address) && !self.vain.contains(address) && Rule::EveryListedAddress.holds()
        });
        self.proven.iter().chain(listed)
    }

    fn is_unknown(&self, address: &Multiaddr) -> bool {
        let known = self.proven.contains(address) || self.vain.contains(address) || self.rest.contains(address);
        !known && self.verifying.as_ref() != Some(address)
    }

    fn verify_next(&mut self) -> Option<Multiaddr> {
        let proven = |address: &Multiaddr| self.proven.contains(address);
        self.rest.retain(|address| !proven(address));
        self.verifying = self.rest.pop_front();
        self.verifying.clone()
    }
}

impl Contacts {
    pub(super) fn new(limit: usize) -> Contacts {
        Contacts {
            limit,
            ..Contacts::default()
        }
    }

    /// A `Hello` of this life, which says that it lives at `listed`: proofs about another life are void, refusals too. Of what was proven
    /// before any `Hello` said whose life it was, only what this one lists is kept; and what a life listed once and lists no more is not
    /// kept either: it has moved, and whatever refuses there is not it. The `Hello` itself proves the address that was `dialled` for it.
    pub(super) fn lives(&mut self, peer: &PeerId, incarnation: u64, listed: &[Multiaddr], dialled: Option<&Multiaddr>) {
        if let Some(address) = dialled {
            self.settle_life(peer, incarnation, listed);
            self.prove(peer, address);
        }
        self.settle_life(peer, incarnation, listed);
    }

    fn settle_life(&mut self, peer: &PeerId, incarnation: u64, listed: &[Multiaddr]) {
        let limit = self.limit;
        let Some(contact) = self.by_peer.get_mut(peer) else {
            return;
        };
        let (known, before) = (contact.incarnation, std::mem::take(&mut contact.listed));
        contact.proven.retain(|address| match known {
            None => listed.contains(address),
            Some(known) => known == incarnation && (listed.contains(address) || !before.contains(address)),
        });
        contact.incarnation = Some(incarnation);
        if known.is_some_and(|known| known != incarnation) {
            contact.vain.clear();
        }
        contact.listed = listed.iter().take(limit).cloned().collect();
        contact.refused.clear();
    }

    /// At this address this peer completed a dial of ours.
    pub(super) fn prove(&mut self, peer: &PeerId, address: &Multiaddr) {
        let limit = self.limit;
        let contact = self.touch(peer);
        contact.refused.clear();
        contact.vain.retain(|vain| vain != address);
        contact.verifying.take_if(|verifying| verifying == address);
        contact.proven.retain(|known| known != address);
        if contact.proven.len() >= limit {
            contact.proven.remove(0);
        }
        contact.proven.push(address.clone());
    }

    /// Where this life has answered.
    pub(super) fn proven(&self, peer: &PeerId) -> &[Multiaddr] {
        self.by_peer.get(peer).map_or(&[], |contact| &contact.proven)
    }

    /// Which addresses have to refuse, the proven ones first.
    pub(super) fn to_ask(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let contact = self.by_peer.get(peer);
        contact.map_or_else(Vec::new, |contact| contact.to_ask().cloned().collect())
    }

    /// These addresses refuse; `true` when now every one has that has to.
    pub(super) fn refuse<'a>(&mut self, peer: &PeerId, addresses: impl Iterator<Item = &'a Multiaddr>) -> bool {
        let Some(contact) = self.by_peer.get_mut(peer) else {
            return false;
        };
        for address in addresses {
            let counts = contact.to_ask().any(|asked| asked == address);
            if counts && !contact.refused.contains(address) {
                contact.refused.push(address.clone());
            }
        }
        let refused = |address: &Multiaddr| contact.refused.contains(address);
        let proven = contact.proven.iter().any(refused);
        proven && (contact.to_ask().all(refused) || !Rule::EveryProvenAddress.holds())
    }

    /// This life is over.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.by_peer.remove(peer);
        slim::map(&mut self.by_peer);
    }

    /// Gives up what this peer has proven, unless that was done less than `pause` ago or addresses of it are being verified.
    pub(super) fn expire(&mut self, peer: &PeerId, now: Time, pause: Duration) {
        let Some(contact) = self.by_peer.get_mut(peer) else {
            return;
        };
        let recent = contact.expired.is_some_and(|at| now.since(at) < pause);
        if !recent && contact.verifying.is_none() && !contact.proven.is_empty() {
            contact.expired = Some(now);
            contact.incarnation = None;
            contact.proven.clear();
            contact.refused.clear();
            contact.listed.clear();
            contact.vain.clear();
        }
    }

    /// Starts to verify these addresses one after the other, but for those of which it is known, and returns the first; `None` if there is
    /// nothing to do, or some are being verified.
    pub(super) fn verify(&mut self, peer: &PeerId, addresses: &[Multiaddr]) -> Option<Multiaddr> {
        let limit = self.limit;
        let contact = self.touch(peer);
        if contact.incarnation.is_none() {
            contact.listed = addresses.iter().take(limit).cloned().collect();
        }
        if contact.proven.is_empty() {
            contact.vain.clear();
        } else if !Rule::EveryListedAddress.holds() {
            return None;
        }
        for address in addresses.iter().take(limit) {
            if contact.is_unknown(address) && contact.rest.len() < limit {
                contact.rest.push_back(address.clone());
            }
        }
        match contact.verifying {
            Some(_) => None,
            None => contact.verify_next(),
        }
    }

    /// Whether it is this address that is being verified.
    pub(super) fn is_verifying(&self, peer: &PeerId, address: &Multiaddr) -> bool {
        self.by_peer
            .get(peer)
            .is_some_and(|contact| contact.verifying.as_ref() == Some(address))
    }

    /// This address was verified; the next one to verify, if there is one.
    pub(super) fn verified(&mut self, peer: &PeerId, address: &Multiaddr) -> Option<Multiaddr> {
        self.prove(peer, address);
        let contact = self.by_peer.get_mut(peer)?;
        match contact.verifying {
            Some(_) => None,
            None => contact.verify_next(),
        }
    }

    /// The address being verified failed; the next one, if there is one.
    pub(super) fn verified_in_vain(&mut self, peer: &PeerId) -> Option<Multiaddr> {
        let limit = self.limit;
        let contact = self.by_peer.get_mut(peer)?;
        let vain = contact.verifying.take().filter(|_| contact.vain.len() < limit);
        contact.vain.extend(vain);
        contact.verify_next()
    }

    fn touch(&mut self, peer: &PeerId) -> &mut Contact {
        if self.by_peer.len() >= REMEMBERED && !self.by_peer.contains_key(peer) {
            self.forget_oldest();
        }
        self.uses += 1;
        let contact = self.by_peer.entry(*peer).or_default();
        contact.used = self.uses;
        contact
    }

    fn forget_oldest(&mut self) {
        let mut uses: Vec<u64> = self.by_peer.values().map(|contact| contact.used).collect();
        let (_, &mut youngest, _) = uses.select_nth_unstable(FORGOTTEN - 1);
        self.by_peer.retain(|_, contact| contact.used > youngest);
    }
}

/// The address without the peer id at its end, which some say and some do not.
pub(super) fn bare(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if let Some(Protocol::P2p(_)) = address.iter().last() {
        address.pop();
    }
    address
}

impl Contacts {
    pub(super) fn bounds(&self) -> [Bounded; 2] {
        let addresses = |contact: &Contact| {
            let lists = [&contact.proven, &contact.listed, &contact.vain].map(Vec::len);
            // Both what is proven and what is listed may have refused.
            let refused = contact.refused.len().div_ceil(2);
            lists.into_iter().fold(contact.rest.len().max(refused), usize::max)
        };
        let addresses = self.by_peer.values().map(|contact| addresses(contact));
        [
            Bounded::new("contacts", self.by_peer.len(), REMEMBERED),
            Bounded::fullest("addresses of a contact", addresses, self.limit),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u64) -> PeerId {
        let multihash = multiaddr::multihash::Multihash::<64>::wrap(0, &number.to_be_bytes()).unwrap();
        PeerId::from_multihash(multihash).unwrap()
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn only_the_refusal_of_every_proven_address_is_a_proof() {
        let mut contacts = Contacts::new(8);
        assert!(!contacts.refuse(&peer(1), [address(1)].iter()));
        contacts.prove(&peer(1), &address(1));
        contacts.prove(&peer(1), &address(2));
        assert!(!contacts.refuse(&peer(1), [address(3), address(1)].iter()));
        contacts.prove(&peer(1), &address(1));
        assert!(!contacts.refuse(&peer(1), [address(2)].iter()));
        assert!(contacts.refuse(&peer(1), [address(1)].iter()));
    }

    #[test]
    fn a_new_life_has_proven_nothing() {
        let mut contacts = Contacts::new(8);
        contacts.prove(&peer(1), &address(1));
        contacts.prove(&peer(1), &address(2));
        contacts.lives(&peer(1), 7, &[address(1)], None);
        assert_eq!(contacts.proven(&peer(1)), [address(1)]);
        contacts.lives(&peer(1), 8, &[address(1)], None);
        assert!(contacts.proven(&peer(1)).is_empty());
        assert!(!contacts.refuse(&peer(1), [address(1)].iter()));
    }

    #[test]
    fn a_life_that_has_moved_is_not_dead_where_it_was() {
        let mut contacts = Contacts::new(8);
        contacts.lives(&peer(1), 7, &[address(1)], Some(&address(1)));
        contacts.lives(&peer(1), 7, &[address(1)], Some(&address(9)));
        assert_eq!(contacts.proven(&peer(1)), [address(1), address(9)]);
        contacts.lives(&peer(1), 7, &[address(2)], None);
        assert_eq!(contacts.proven(&peer(1)), [address(9)], "which it never listed");
        assert!(!contacts.refuse(&peer(1), [address(1)].iter()));
    }

    #[test]
    fn a_proof_that_may_be_about_an_earlier_life_is_made_anew() {
        let mut contacts = Contacts::new(8);
        let (now, pause) = (Time::from_millis(1), Duration::from_millis(10));
        contacts.prove(&peer(1), &address(1));
        contacts.expire(&peer(1), now, pause);
        assert!(!contacts.refuse(&peer(1), [address(1)].iter()));
        assert_eq!(contacts.verify(&peer(1), &[address(1)]), Some(address(1)));
        contacts.expire(&peer(1), now + pause, pause);
        assert!(contacts.is_verifying(&peer(1), &address(1)), "once at a time");
        contacts.prove(&peer(1), &address(1));
        contacts.expire(&peer(1), now + pause / 2, pause);
        assert_eq!(contacts.proven(&peer(1)), [address(1)], "once in a while");
        contacts.expire(&peer(1), now + pause, pause);
        assert!(contacts.proven(&peer(1)).is_empty());
    }

    #[test]
    fn addresses_are_verified_one_after_the_other_and_once() {
        let mut contacts = Contacts::new(8);
        let both = [address(1), address(2)];
        assert_eq!(contacts.verify(&peer(1), &both), Some(address(1)));
        assert_eq!(contacts.verify(&peer(1), &both), None);
        assert!(contacts.is_verifying(&peer(1), &address(1)));
        assert_eq!(contacts.verified_in_vain(&peer(1)), Some(address(2)));
        assert_eq!(contacts.verified_in_vain(&peer(1)), None);
        contacts.prove(&peer(1), &address(2));
        assert_eq!(contacts.verify(&peer(1), &both), None);
    }

    /// An address that leaves its host for another machine, which refuses there.
    #[test]
    fn every_address_that_is_listed_has_to_refuse_but_for_those_where_it_was_not_met() {
        let all = [address(1), address(2), address(3)];
        let mut contacts = Contacts::new(8);
        contacts.lives(&peer(1), 7, &all, Some(&address(1)));
        assert_eq!(contacts.to_ask(&peer(1)), all);
        assert!(!contacts.refuse(&peer(1), [address(1)].iter()));
        assert_eq!(contacts.verify(&peer(1), &all), Some(address(2)));
        assert_eq!(contacts.verified_in_vain(&peer(1)), Some(address(3)));
        assert_eq!(contacts.verified(&peer(1), &address(3)), None);
        assert_eq!(contacts.to_ask(&peer(1)), [address(1), address(3)]);
        assert!(!contacts.refuse(&peer(1), [address(1)].iter()));
        assert!(contacts.refuse(&peer(1), [address(3)].iter()));
        contacts.lives(&peer(1), 7, &all[..1], None);
        assert_eq!(contacts.to_ask(&peer(1)), all[..1], "it has given up the others");
    }

    #[test]
    fn what_is_only_listed_proves_nothing_however_much_of_it_refuses() {
        let mut contacts = Contacts::new(8);
        assert_eq!(contacts.verify(&peer(1), &[address(1)]), Some(address(1)));
        assert!(!contacts.refuse(&peer(1), [address(1)].iter()));
    }

    #[test]
    fn the_longest_unused_peers_are_forgotten_first() {
        let mut contacts = Contacts::new(8);
        for number in 0..REMEMBERED as u64 {
            contacts.prove(&peer(number), &address(1));
        }
        contacts.prove(&peer(0), &address(2));
        contacts.prove(&peer(u64::MAX), &address(1));
        assert_eq!(contacts.proven(&peer(0)).len(), 2);
        assert!(contacts.proven(&peer(FORGOTTEN as u64)).is_empty());
        assert_eq!(contacts.proven(&peer(FORGOTTEN as u64 + 1)).len(), 1);
        assert_eq!(contacts.by_peer.len(), REMEMBERED - FORGOTTEN + 1);
    }
}
