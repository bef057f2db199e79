//! Locating: from a `PeerId` to addresses where it can be dialled.
//!
//! Somebody near a peer's key is its neighbour and has its record, so the question is routed there; the first on the way who knows it
//! answers. A way may be blocked: each of the few tries starts over another link. Whoever hears nothing has learned nothing: a peer is
//! unknown when somebody says so, or when there is nobody to ask.

use std::collections::HashMap;

use libp2p_identity::PeerId;

use crate::links;
use crate::overlay::{Overlay, Timer};
use crate::record::SignedRecord;
use crate::{Bounded, Config, Event, Key, Output, Posting, Tag};

/// Tries of one search; two thirds of a `ping_timeout` each, so that a creation with an unknown member is refused long before its time
/// limit.
const TRIES: usize = 3;

/// Searches at a time; beyond it a search ends at once, with nothing found.
const MAX_SEARCHES: usize = 1024;

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// The layer above, by `Command::Locate`.
    Command,
    /// The layer above, by `Command::Link`.
    Link,
    /// The layer above, by `Command::ProveAddress`.
    Proof,
    /// A posting without an address.
    Post(Posting),
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Somebody had its record.
    Found,
    /// Somebody was asked and had not; or there is no neighbour to ask.
    Unknown,
    /// Nobody has answered, or nobody was asked: all neighbours are doubtful, or there were too many searches.
    Silence,
}

#[derive(Debug, Default)]
struct Search {
    waiters: Vec<Waiter>,
    /// Over which neighbours it was sent.
    sent: Vec<Tag>,
    /// Whether one of them has said that it does not know.
    denied: bool,
    tries: usize,
}

/// All searches under way.
#[derive(Debug, Default)]
pub(crate) struct Locates {
    searches: HashMap<PeerId, Search>,
}

impl Overlay {
    /// `Command::Locate`.
    pub(crate) fn on_locate(&mut self, peer: PeerId) {
        if peer == self.peer || !self.addresses(&peer).is_empty() {
            self.report_located(peer);
        } else {
            self.locate(peer, Waiter::Command);
        }
    }

    /// `Command::Link`: locates first whoever has no address.
    pub(crate) fn link(&mut self, peer: PeerId) {
        let addresses = self.addresses(&peer);
        if addresses.is_empty() && self.links.by_peer(&peer).is_none() {
            self.locate(peer, Waiter::Link);
        } else {
            self.tell_links(links::Input::Link { peer, addresses });
        }
    }

    /// Searches for a peer, whatever we know ourselves; ends by telling the waiter.
    pub(crate) fn locate(&mut self, peer: PeerId, waiter: Waiter) {
        if let Some(search) = self.locates.searches.get_mut(&peer) {
            if search.waiters.len() < self.config.max_posts {
                search.waiters.push(waiter);
            } else {
                self.tell_waiter(peer, waiter, Outcome::Silence);
            }
            return;
        }
        if peer == self.peer || self.locates.searches.len() >= MAX_SEARCHES {
            return self.tell_waiter(peer, waiter, Outcome::Silence);
        }
        let search = Search {
            waiters: vec![waiter],
            ..Search::default()
        };
        self.locates.searches.insert(peer, search);
        self.locate_again(peer);
    }

    /// The next try, over a neighbour that was not tried; when there is no other, or after the last one, the search ends.
    pub(crate) fn locate_again(&mut self, peer: PeerId) {
        let Some(search) = self.locates.searches.get_mut(&peer) else {
            return;
        };
        search.tries += 1;
        if search.tries > TRIES {
            return self.give_up_search(peer);
        }
        let mut avoided = search.sent.clone();
        avoided.extend([self.tag, Key::of(&peer).tag()]);
        let direct = self
            .links
            .by_peer(&peer)
            .filter(|link| link.usable())
            .map(links::Link::id);
        let detour = false;
        let hop = match direct {
            Some(link) if !search.sent.contains(&Key::of(&peer).tag()) => Some(crate::Hop { link, detour }),
            _ => self.closest_hop(&Key::of(&peer), &avoided, true),
        };
        match hop {
            Some(hop) => self.locate_over(hop, peer),
            // We are all there is, or everybody was asked, or those who were not may be gone.
            None if self.joined() => self.give_up_search(peer),
            None => self.wait_to_locate(peer),
        }
    }

    fn locate_over(&mut self, hop: crate::Hop, peer: PeerId) {
        let tag = self.links.by_id(hop.link).map(links::Link::tag);
        if let Some(search) = self.locates.searches.get_mut(&peer) {
            search.sent.extend(tag);
        }
        self.send_locate(hop, peer);
        self.wait_to_locate(peer);
    }

    fn wait_to_locate(&mut self, peer: PeerId) {
        let at = self.now + self.config.ping_timeout * 2 / 3;
        self.deadlines.set(Timer::Locate(peer), at);
    }

    /// An answer to a search: the peer's record, or nothing, which is this neighbour's last word but not the next one's.
    pub(crate) fn on_located(&mut self, peer: PeerId, records: &[SignedRecord]) {
        if !self.locates.searches.contains_key(&peer) {
            return;
        }
        match records.first() {
            None => self.deny(peer),
            Some(record) if record.record().peer == peer && record.verified(self.identity.scheme()).is_some() => {
                self.ring.records.hear(record);
                self.end_search(peer, Outcome::Found);
            }
            Some(_) => self.garbage += 1,
        }
    }

    fn deny(&mut self, peer: PeerId) {
        if let Some(search) = self.locates.searches.get_mut(&peer) {
            search.denied = true;
        }
        self.locate_again(peer);
    }

    fn give_up_search(&mut self, peer: PeerId) {
        let some_are_doubtful = self.links.iter().any(links::Link::doubtful);
        let unknown = |search: &Search| search.denied || (search.sent.is_empty() && !some_are_doubtful);
        let outcome = match self.locates.searches.get(&peer).is_some_and(unknown) {
            true => Outcome::Unknown,
            false => Outcome::Silence,
        };
        self.end_search(peer, outcome);
    }

    fn end_search(&mut self, peer: PeerId, outcome: Outcome) {
        self.deadlines.cancel(Timer::Locate(peer));
        let search = self.locates.searches.remove(&peer);
        for waiter in search.into_iter().flat_map(|search| search.waiters) {
            self.tell_waiter(peer, waiter, outcome);
        }
    }

    fn tell_waiter(&mut self, peer: PeerId, waiter: Waiter, outcome: Outcome) {
        match waiter {
            Waiter::Command => self.report_located(peer),
            Waiter::Link => {
                let addresses = self.addresses(&peer);
                if addresses.is_empty() {
                    self.out.push(Output::Event(Event::LinkFailed { peer }));
                } else {
                    self.tell_links(links::Input::Link { peer, addresses });
                }
            }
            Waiter::Proof => self.prove_address(peer),
            Waiter::Post(posting) => self.post_located(posting, outcome),
        }
    }

    fn report_located(&mut self, peer: PeerId) {
        let addresses = if peer == self.peer {
            self.record.record().addresses.clone()
        } else {
            self.addresses(&peer)
        };
        self.out.push(Output::Event(Event::Located { peer, addresses }));
    }

    /// A record for somebody who searches: our own, or one that says where to dial.
    pub(crate) fn known_record(&self, peer: &PeerId) -> Option<SignedRecord> {
        if *peer == self.peer {
            return Some(self.record.clone());
        }
        let known = self.ring.records.get(peer).map(|known| &known.record);
        known
            .filter(|record| {
                !self.ring.gone.bars(self.now, record) && record.verified(self.identity.scheme()).is_some()
            })
            .cloned()
    }
}

impl Locates {
    /// Searches under way.
    pub(crate) fn len(&self) -> usize {
        self.searches.len()
    }

    pub(crate) fn bounds(&self, config: &Config) -> [Bounded; 2] {
        let waiters = self.searches.values().map(|search| search.waiters.len());
        [
            Bounded::new("searches", self.searches.len(), MAX_SEARCHES),
            Bounded::fullest("waiters of a search", waiters, config.max_posts),
        ]
    }
}
