//! Joining: from a list of addresses to a place on the ring.
//!
//! The joiner dials its bootstrap addresses in turn, for as long as it takes. Over the first link that comes up it sends a `Join` towards its own
//! key: "the peers along the way answer with their rows, the last one with its leaf set" (protocol.md §3). It has joined when the answer has come and the links to its
//! nearest leaves are up or have failed.
//!
//! A peer without a place is no next hop and cannot tell others theirs, so a `Join` that reaches one is handed to a neighbour that has a place, or kept
//! until it has one itself. Peers that only know each other would wait for ever; so, when all bootstrap addresses have been tried
//! twice and only peers without a place were found, the one with the smallest key among its neighbours counts as the first. In every
//! set of waiting peers there is such a one, and it answers the others.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::{IndexMap, IndexSet};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::links::{self, Link};
use crate::mail::Question;
use crate::message::{Answer, MAX_RECORDS, Message, OneShot, Routed, WayBack};
use crate::overlay::{Overlay, Timer};
use crate::record::SignedRecord;
use crate::records::{is_bounded, peer_in, without_peer};
use crate::{Bounded, Config, DialFailure, Event, Key, LinkId, Output, Rule, Time};

/// Bootstrap addresses kept at most.
pub(crate) const MAX_BOOTSTRAP: usize = 64;

/// Neighbours that are kept while joining, at most.
const MAX_CONTACTS: usize = 16;

/// Joins of others that are kept until we have a place, at most; beyond it the oldest is forgotten and asks again.
const MAX_HELD: usize = 64;

/// So often every bootstrap address is tried before a peer may count as the first.
const ROUNDS_BEFORE_FIRST: usize = 2;

#[derive(Clone, Debug)]
struct Bootstrap {
    address: Multiaddr,
    /// Who the address says lives there: then nobody else will do.
    named: Option<PeerId>,
    /// Who lives there, from the address or learnt when it answered.
    peer: Option<PeerId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked us to join.
    #[default]
    Idle,
    /// Looking for somebody who answers.
    Seeking,
    /// The answer is there; waiting for the nearest leaves until then.
    Settling(Time),
    Joined,
}

/// The state of joining.
#[derive(Debug, Default)]
pub(crate) struct Join {
    phase: Phase,
    bootstrap: Vec<Bootstrap>,
    /// Dials and repetitions of the `Join` so far; later, turns of bootstrap addresses since there is a place.
    tries: usize,
    contacts: IndexSet<PeerId>,
    /// Contacts have changed, and the links have not been told.
    pub(crate) contacts_changed: bool,
    held: VecDeque<(WayBack, SignedRecord)>,
    /// A bootstrap address was dialled, and nobody has come up since.
    dialled: bool,
    joined_at: Time,
    /// There has been a neighbour.
    met: bool,
}

impl Join {
    /// Whether this peer has a place on the ring.
    pub(crate) fn is_joined(&self) -> bool {
        self.phase == Phase::Joined
    }

    /// Whether there are, or were, others in this overlay as far as we know.
    pub(crate) fn is_not_alone(&self) -> bool {
        self.met || !self.bootstrap.is_empty()
    }

    /// Neighbours wanted for joining only.
    pub(crate) fn contacts(&self) -> impl Iterator<Item = PeerId> {
        self.contacts.iter().copied()
    }

    /// The pause between two tries of a peer that has lost all its links.
    pub(crate) fn alone_pause(&self, config: &Config) -> Duration {
        let (first, last) = config.retry_pause;
        if self.bootstrap.is_empty() {
            last
        } else {
            first.max(last / 4)
        }
    }

    /// Whether we have had a place for less than `time`: then not all have heard of it.
    pub(crate) fn is_fresh(&self, now: Time, time: Duration) -> bool {
        self.is_joined() && now.since(self.joined_at) < time
    }

    fn is_bootstrap(&self, peer: &PeerId) -> bool {
        self.bootstrap.iter().any(|known| known.peer.as_ref() == Some(peer))
    }

    /// Whether this peer got its place without a bootstrap peer that had one, or has lost one since, and has not tried them all yet.
    pub(crate) fn misses_bootstrap(&self) -> bool {
        self.tries < self.bootstrap.len()
    }

    /// A neighbour is lost. If it was a bootstrap peer, all of them are to be looked for.
    pub(crate) fn lose(&mut self, peer: &PeerId) {
        if self.is_joined() && self.is_bootstrap(peer) {
            self.tries = 0;
        }
    }

    fn rounds(&self) -> usize {
        self.tries.checked_div(self.bootstrap.len()).unwrap_or(0)
    }
}

impl Overlay {
    /// Starts to join. Without addresses of others this peer is the first.
    pub(crate) fn start_join(&mut self, bootstrap: Vec<Multiaddr>) {
        for address in bootstrap {
            let peer = peer_in(&address);
            let address = without_peer(&address);
            let ours = peer == Some(self.peer) || self.record.record().addresses.contains(&address);
            let known = self.join.bootstrap.iter().any(|known| known.address == address);
            if !ours && !known && self.join.bootstrap.len() < MAX_BOOTSTRAP {
                let named = peer;
                self.join.bootstrap.push(Bootstrap { address, named, peer });
            }
        }
        match self.join.phase {
            Phase::Idle if self.join.bootstrap.is_empty() => self.become_joined(),
            Phase::Idle => {
                self.join.phase = Phase::Seeking;
                self.seek();
            }
            Phase::Seeking | Phase::Settling(_) => {}
            Phase::Joined => self.dial_bootstrap(),
        }
    }

    /// A connection that we dialled is up: so that is who lives at this bootstrap address.
    pub(crate) fn note_bootstrap_peer(&mut self, peer: &PeerId, address: Option<&Multiaddr>) {
        let Some(address) = address.map(without_peer) else {
            return;
        };
        for bootstrap in self.join.bootstrap.iter_mut().filter(|known| known.address == address) {
            bootstrap.peer = Some(*peer);
        }
    }

    /// A dial failed: while we seek, the next address is tried at once; after the last one there is a pause.
    pub(crate) fn on_bootstrap_failed(&mut self, peer: Option<PeerId>, failures: &[(Multiaddr, DialFailure)]) {
        let tried = |known: &Bootstrap| {
            let dialled = failures
                .iter()
                .any(|(address, _)| without_peer(address) == known.address);
            dialled || (peer.is_some() && known.peer == peer)
        };
        let count = self.join.bootstrap.len();
        let last = self
            .join
            .tries
            .checked_sub(1)
            .and_then(|tries| self.join.bootstrap.get(tries % count.max(1)));
        let of_last = last.is_some_and(tried);
        if self.join.phase == Phase::Seeking && of_last && !self.join.tries.is_multiple_of(count.max(1)) {
            self.deadlines.set(Timer::Join, self.now);
        }
    }

    /// The next try, or the end of the wait for the first links.
    pub(crate) fn on_join_timer(&mut self) {
        match self.join.phase {
            Phase::Seeking => self.seek(),
            Phase::Settling(_)
                if self
                    .links
                    .iter()
                    .any(|link| link.usable() && self.ring.has(&link.peer())) =>
            {
                self.become_joined();
            }
            Phase::Settling(_) => {
                self.join.phase = Phase::Seeking;
                self.seek();
            }
            Phase::Idle | Phase::Joined => {}
        }
    }

    fn seek(&mut self) {
        if self.counts_as_first() {
            return self.become_joined();
        }
        if self.join.rounds() > 0 && self.links.iter().len() == 0 {
            self.ask_without_link();
        } else if self.join.rounds() >= ROUNDS_BEFORE_FIRST {
            self.ask_neighbour();
        }
        self.dial_bootstrap();
        self.join_over_another_link();
        let pause = self.seek_pause();
        let pause = self.jittered(pause);
        self.deadlines.set(Timer::Join, self.now + pause);
    }

    /// The next bootstrap peer is known and yet there is no link: it may have as many as it can bear. Then it can still say who else is
    /// there.
    fn ask_without_link(&mut self) {
        let next = self.join.tries.checked_rem(self.join.bootstrap.len());
        let Some(Bootstrap {
            address,
            peer: Some(peer),
            ..
        }) = next.map(|at| self.join.bootstrap[at].clone())
        else {
            return;
        };
        self.ask_nearby(peer, vec![address]);
    }

    /// Our `Join` may always get lost at the same peer. So in the end any neighbour with a place is asked, directly, for what it knows itself.
    fn ask_neighbour(&mut self) {
        let placed: Vec<_> = self.placed_links().map(Link::peer).collect();
        if let Some(at) = self.join.tries.checked_rem(placed.len()) {
            self.ask_nearby(placed[at], Vec::new());
        }
    }

    fn ask_nearby(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let joiner = self.record.clone();
        let gathered = Vec::new();
        self.request(
            peer,
            addresses,
            OneShot::Join { joiner, gathered },
            Question::Nearby(peer),
        );
    }

    /// What somebody knows who was asked directly. From a neighbour it counts as an answer to our `Join`: the leaf sets of its leaves lead on
    /// to where we belong. Without a link these are peers to be dialled, no more.
    pub(crate) fn on_nearby(&mut self, from: PeerId, records: &[SignedRecord]) {
        if self.is_usable(&from) {
            self.on_join_answer(from, records);
        } else {
            self.absorb(records);
        }
    }

    fn placed_links(&self) -> impl Iterator<Item = &Link> {
        let placed = |link: &&Link| link.usable() && (link.joined() || self.ring.has(&link.peer()));
        self.links.iter().filter(placed)
    }

    /// Doubles with every round through the addresses.
    fn seek_pause(&self) -> Duration {
        let (first, last) = self.config.retry_pause;
        let doublings = u32::try_from(self.join.rounds()).unwrap_or(u32::MAX).min(16);
        (first * (1 << doublings)).min(last)
    }

    /// Whether everybody who answers is without a place as well, and none of them has a smaller key.
    fn counts_as_first(&self) -> bool {
        let neighbours = || self.links.iter().filter(|link| link.usable());
        Rule::FirstPeer.holds()
            && self.join.rounds() >= ROUNDS_BEFORE_FIRST
            && neighbours().next().is_some()
            && neighbours().all(|link| !link.joined() && !self.ring.has(&link.peer()) && *self.ring.key() < link.key())
    }

    /// Dials the next bootstrap address, unless its peer is a neighbour already.
    pub(crate) fn dial_bootstrap(&mut self) {
        let Some(at) = self.join.tries.checked_rem(self.join.bootstrap.len()) else {
            return;
        };
        self.join.tries += 1;
        let Bootstrap { address, named, peer } = self.join.bootstrap[at].clone();
        let ours = peer == Some(self.peer) || self.record.record().addresses.contains(&address);
        if ours || peer.is_some_and(|peer| self.is_usable(&peer)) {
            return;
        }
        self.join.dialled = true;
        self.out.push(Output::Connect {
            peer: named,
            addresses: vec![address],
            fresh: false,
        });
    }

    /// A bootstrap peer to be looked for, in turn; `None` if it is not known who lives at the next address.
    pub(crate) fn next_bootstrap_peer(&mut self) -> Option<PeerId> {
        let at = self.join.tries.checked_rem(self.join.bootstrap.len())?;
        let peer = self.join.bootstrap[at].peer.filter(|peer| *peer != self.peer)?;
        if self.is_usable(&peer) {
            self.join.tries += 1;
        }
        Some(peer)
    }

    /// A peer answered. If it is the bootstrap peer that was looked for, it is on our ring, and the next one's turn comes.
    pub(crate) fn bootstrap_heard(&mut self, peer: &PeerId) {
        if self.upkeep.unheard.as_ref() == Some(peer) {
            self.upkeep.unheard = None;
            self.join.tries += 1;
        }
    }

    /// A link came up: while we seek, whoever it is may tell us our place. Later only a bootstrap peer that we had to dial, or the first
    /// neighbour after we had lost all, can tell us of a part of the ring that we do not know.
    pub(crate) fn join_over(&mut self, link: LinkId, peer: &PeerId, alone: bool) {
        self.join.met = true;
        // The address of a connection may be another than the one that was dialled (names are resolved), so nobody may be known to live there.
        let unasked = std::mem::take(&mut self.join.dialled) && !self.is_wanted(peer);
        let bootstrap = unasked || self.join.is_bootstrap(peer);
        match self.join.phase {
            Phase::Seeking => {
                if self.join.contacts.len() < MAX_CONTACTS {
                    self.join.contacts_changed |= self.join.contacts.insert(*peer);
                }
                self.send_join(link);
            }
            Phase::Joined if !self.join.bootstrap.is_empty() && (bootstrap || alone) => self.send_join(link),
            Phase::Idle | Phase::Settling(_) | Phase::Joined => {}
        }
    }

    /// Repeats the `Join` over another link each time, those with a place first: a neighbour that does not answer must not hang us.
    fn join_over_another_link(&mut self) {
        let mut links: Vec<_> = self.placed_links().map(Link::id).collect();
        if links.is_empty() {
            links = self.links.iter().filter(|link| link.usable()).map(Link::id).collect();
        }
        if let Some(at) = self.join.tries.checked_rem(links.len()) {
            self.send_join(links[at]);
        }
    }

    fn send_join(&mut self, link: LinkId) {
        let joiner = self.record.clone();
        let gathered = Vec::new();
        let body = self.sign_question(self.peer, OneShot::Join { joiner, gathered }, Some(Question::Join));
        let routed = Routed {
            target: self.peer,
            visited: vec![self.tag],
            detours: self.config.detours,
            body,
        };
        let message = Message::Routed(Box::new(routed));
        self.tell_links(links::Input::Pass { link, message });
    }

    pub(crate) fn forget_contact(&mut self, peer: &PeerId) {
        self.join.contacts_changed |= self.join.contacts.shift_remove(peer);
    }

    /// The answer to our `Join`. Who answers has a place itself and says so.
    pub(crate) fn on_join_answer(&mut self, from: PeerId, records: &[SignedRecord]) {
        self.absorb(records);
        let placed = records.iter().any(|record| record.record().peer == from);
        if self.join.phase == Phase::Seeking && placed {
            let until = self.now + self.config.ping_timeout * 2;
            self.join.phase = Phase::Settling(until);
            self.deadlines.set(Timer::Join, until);
        }
    }

    /// Whether the wait for the nearest leaves is over: up, or failed and replaced by the next nearest.
    pub(crate) fn settle_join(&mut self) {
        if !matches!(self.join.phase, Phase::Settling(_)) || self.ring.is_dirty() {
            return;
        }
        let leaves = self.ring.leaves();
        let mut nearest = leaves
            .below()
            .first()
            .into_iter()
            .chain(leaves.above().first())
            .peekable();
        if nearest.peek().is_some() && nearest.all(|leaf| self.is_usable(leaf)) {
            self.become_joined();
        }
    }

    fn become_joined(&mut self) {
        self.join.phase = Phase::Joined;
        self.directory.stale = true;
        self.join.joined_at = self.now;
        let met = self.placed_links().any(|link| self.join.is_bootstrap(&link.peer()));
        self.join.tries = if met { self.join.bootstrap.len() } else { 0 };
        self.join.contacts_changed |= !self.join.contacts.is_empty();
        self.join.contacts.clear();
        self.deadlines.cancel(Timer::Join);
        self.tell_links(links::Input::Joined(true));
        self.out.push(Output::Event(Event::Joined));
        self.announce();
        for (way, joiner) in std::mem::take(&mut self.join.held) {
            let records = self.join_answer(&joiner, &[]);
            self.answer_back(way, Answer::Records(records));
        }
        let first = self.jittered(self.config.maintenance_interval);
        self.deadlines.set(Timer::Upkeep, self.now + first);
    }

    /// Somebody's `Join`, on its way to where it belongs.
    pub(crate) fn on_join(&mut self, link: LinkId, mut routed: Routed) {
        let joiner_key = Key::of(&routed.target);
        let next = if self.joined() {
            self.closest_hop(&joiner_key, &routed.visited, false)
        } else {
            self.closest_hop(&joiner_key, &routed.visited, true)
        };
        let OneShot::Join { joiner, gathered } = &mut routed.body.body else {
            return;
        };
        // Others gathered these, and nobody has verified them: what is longer than a record may be would make the message outgrow a frame.
        gathered.retain(|record| is_bounded(record, self.config.max_addresses));
        match next {
            Some(hop) => {
                let row = self.ring.table().row_of(&joiner_key);
                let known = self.ring.row_records(row, &mut self.rng);
                gathered.extend(
                    known
                        .into_iter()
                        .chain([self.record.clone()])
                        .filter(|_| self.join.is_joined()),
                );
                gathered.truncate(MAX_RECORDS);
                self.hand_on(hop.link, routed);
            }
            None => {
                let (joiner, gathered) = (joiner.clone(), std::mem::take(gathered));
                self.answer_join(link, &routed, joiner, &gathered);
            }
        }
    }

    /// Here the joiner belongs: next to us.
    fn answer_join(&mut self, link: LinkId, routed: &Routed, joiner: SignedRecord, gathered: &[SignedRecord]) {
        if !crate::routed::is_genuine_question(self.identity.scheme(), &routed.body) {
            self.garbage += 1;
            return;
        }
        let way = WayBack {
            link,
            trail: routed.visited.clone(),
            asker: routed.body.from,
            number: routed.body.number,
        };
        if self.joined() || !Rule::HeldJoins.holds() {
            let records = self.join_answer(&joiner, gathered);
            self.answer_back(way, Answer::Records(records));
        } else {
            self.join.held.retain(|(held, _)| held.asker != way.asker);
            if self.join.held.len() >= MAX_HELD {
                self.join.held.pop_front();
            }
            self.join.held.push_back((way, joiner));
        }
    }

    /// Ourselves, our leaf set and row, and what was gathered on the way; the nearest first, so that these survive the limit.
    pub(crate) fn join_answer(&mut self, joiner: &SignedRecord, gathered: &[SignedRecord]) -> Vec<SignedRecord> {
        let row = self.ring.table().row_of(&Key::of(&joiner.record().peer));
        let own = self
            .leaves_for(joiner)
            .into_iter()
            .chain(self.ring.row_records(row, &mut self.rng));
        let mut found: IndexMap<PeerId, SignedRecord> = IndexMap::new();
        for record in own.chain(gathered.iter().cloned()) {
            found.entry(record.record().peer).or_insert(record);
        }
        found.into_values().take(MAX_RECORDS).collect()
    }
}

impl Join {
    pub(crate) fn bounds(&self) -> [Bounded; 3] {
        [
            Bounded::new("bootstrap addresses", self.bootstrap.len(), MAX_BOOTSTRAP),
            Bounded::new("neighbours for joining", self.contacts.len(), MAX_CONTACTS),
            Bounded::new("joins held", self.held.len(), MAX_HELD),
        ]
    }
}
