//! Links: is this neighbour alive?
//!
//! A *session* is one stream, and streams break. A *link* is what two neighbours have between them for longer: the pings that prove life,
//! the operations that must arrive once and in order, the other end's neighbours. It survives its sessions for up to `L`
//! (`link_interval + ping_timeout`) since the last proof of life (protocol.md §4).
//!
//! What is where:
//!
//! - `meeting`: a session opens, `Hello`s cross. `session` has the rules which session stays and what it carries, `settling` follows them.
//! - `frames`: what arrives on a link. `operations` numbers and replays.
//! - `liveness`: pings by `rota`, time limits by `round_trip`, doubt and shared suspicion.
//! - `dialing`: whom to dial, when, where; `contacts` remembers where a refusal is a proof.
//! - `ending`: goodbye, and every way in which a link goes down.
//!
//! [`Links::handle`] only dispatches. Everything is bounded: sessions per peer and in all, neighbours of neighbours, operations per link,
//! unanswered pings, contacts.

mod bounds;
mod contacts;
mod dialing;
mod ending;
mod frames;
mod io;
mod link;
mod liveness;
mod meeting;
pub(crate) mod operations;
mod peer_list;
mod pings;
mod rota;
mod round_trip;
mod session;
mod settling;
#[cfg(test)]
mod tests;
mod twins;

use std::collections::HashMap;
use std::time::Duration;

use indexmap::{IndexMap, IndexSet};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::RngExt;
use rand::rngs::StdRng;

pub(crate) use io::{Input, Output};
pub(crate) use link::Link;

use contacts::{Contacts, bare};
use dialing::Remote;
use rota::Rota;
use session::OpenSession;
use twins::Twins;

use crate::message::Message;
use crate::record::SignedRecord;
use crate::{Config, Deadline, Deadlines, Identity, LinkId, Rule, Session, Time};

/// Neighbours of a neighbour that are remembered; what a list has beyond is ignored.
pub(crate) const MAX_NEIGHBOURS: usize = 256;

/// All sessions, dials and links of this peer.
pub(crate) struct Links {
    config: Config,
    peer: PeerId,
    identity: Identity,
    incarnation: u64,
    record: SignedRecord,
    joined: bool,
    stopped: bool,
    rng: StdRng,
    /// Of this life; our share of a link's key comes from it.
    secret: [u8; 32],
    /// The number of the newest session.
    last_number: u64,
    sessions: IndexMap<Session, Box<OpenSession>>,
    /// Peers that are linked, wanted, dialled, or have sessions.
    remotes: HashMap<PeerId, Box<Remote>>,
    contacts: Contacts,
    /// Peers that keep other times than we do, the first ones first.
    unlike: IndexSet<PeerId>,
    twins: Twins,
    /// When somebody last told us of a twin of our own.
    twin: Option<Time>,
    links: IndexMap<LinkId, Box<Link>>,
    by_peer: HashMap<PeerId, LinkId>,
    last_link: u32,
    rota: Rota,
    /// Added to the time that an answer has: see [`Links::grant`].
    grace: Duration,
    /// When an answer last came after all that had been missed.
    hasty: Option<Time>,
    /// A session was silent: all others are to be looked at.
    silent_together: bool,
    /// When all links were last pinged at once.
    looked: Option<Time>,
    /// Grows with each link that comes or goes.
    neighbours: u64,
    deadlines: Deadlines<Due>,
    /// The next dial of each peer; while one is under way, the end of our patience with it.
    redials: Deadlines<PeerId>,
    counters: Counters,
}

/// What can become due; ties go in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Due {
    /// The next turn of the rota.
    Turn,
    /// Tell the neighbours who our neighbours are.
    Neighbours,
    /// The `Hello` of a session.
    Hello(Session),
    /// The answer to a ping; of a doubtful link, the next ping.
    Answer(LinkId),
    /// The ping that the other end announced.
    Announced(LinkId),
    /// The end of an unneeded link.
    Unneeded(LinkId),
    /// `L` since the last proof of life.
    Alive(LinkId),
}

/// What has happened since the start; read for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Pings sent.
    pub(crate) pings_sent: u64,
    /// Answers missed.
    pub(crate) pings_missed: u64,
    /// Links that became doubtful.
    pub(crate) doubts: u64,
    /// Links that went down, but not because either end stopped or because neither needed them.
    pub(crate) links_lost: u64,
    /// Peers that were found to keep other times.
    pub(crate) unlike: u64,
    /// How often two living processes were found to use one identity, this peer's own included.
    pub(crate) twins: u64,
    /// Inputs thrown away: frames and orders for what is gone.
    pub(crate) dropped: u64,
}

/// Numbers of different lives are far apart (see `session::same_life`).
fn first_number(rng: &mut StdRng) -> u64 {
    let life = u64::from(rng.random::<u32>());
    if !Rule::NumbersOfLives.holds() { 0 } else { life << 32 }
}

impl Links {
    /// Nothing yet: no session, no link.
    pub(crate) fn new(
        config: &Config,
        identity: &Identity,
        incarnation: u64,
        record: SignedRecord,
        mut rng: StdRng,
    ) -> Links {
        Links {
            config: config.clone(),
            peer: identity.peer(),
            identity: identity.clone(),
            incarnation,
            record,
            joined: false,
            stopped: false,
            secret: rng.random(),
            last_number: first_number(&mut rng),
            sessions: IndexMap::new(),
            remotes: HashMap::new(),
            contacts: Contacts::new(config.max_addresses),
            unlike: IndexSet::new(),
            twins: Twins::default(),
            twin: None,
            rng,
            links: IndexMap::new(),
            by_peer: HashMap::new(),
            last_link: 0,
            rota: Rota::default(),
            grace: Duration::ZERO,
            hasty: None,
            silent_together: false,
            looked: None,
            neighbours: 0,
            deadlines: Deadlines::default(),
            redials: Deadlines::default(),
            counters: Counters::default(),
        }
    }

    /// Takes one input; pushes what follows from it. After [`Input::Shutdown`] nothing follows from anything.
    pub(crate) fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.stopped {
            return;
        }
        match input {
            Input::Connected {
                session,
                peer,
                opener,
                address,
            } => {
                self.on_connected(now, session, peer, (opener, address), out);
            }
            Input::Disconnected { session, cause } => self.on_disconnected(now, session, cause, out),
            Input::DialFailed { peer, failures } => self.on_dial_failed(now, peer, failures, out),
            Input::Verified { peer, address } => self.on_verified(peer, &bare(&address), out),
            Input::Received { session, message } => self.on_received(now, session, message, out),
            Input::Want { peer, addresses } => self.on_want(now, peer, &addresses, out),
            Input::Unwant { peer } => self.on_unwant(now, &peer, out),
            Input::Link { peer, addresses } => self.on_link(now, peer, &addresses, out),
            Input::ProveAddress { peer, addresses } => self.prove_anew(now, peer, &addresses, out),
            Input::Record(record) => self.on_record(now, record, out),
            Input::Joined(joined) => self.on_joined(now, joined, out),
            Input::Operate { link, body } => self.on_operate(now, link, body, out),
            Input::Tell { link, body } => self.send_on(link, Message::Tell(body), out),
            Input::JointSet { link, joint } => self.on_joint_set(now, link, joint),
            Input::Violation { link, what } => self.on_violation(now, link, what, out),
            Input::GiveUp { link } => self.on_silent(now, link, out),
            Input::Pass { link, message } => self.send_on(link, message, out),
            Input::Suspected { from, peer } => self.on_suspected(now, &from, &peer, out),
            Input::Unanswered { peer } => self.on_unanswered(now, &peer, out),
            Input::Shutdown => self.on_shutdown(out),
            Input::Wake => self.on_wake(now, out),
        }
        if std::mem::take(&mut self.silent_together) {
            self.look_round(now, out);
        }
    }

    /// Answers have so much longer from now on than the links' round trips say.
    pub(crate) fn grant(&mut self, grace: Duration) {
        self.grace = grace;
    }

    fn on_wake(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(at) = self.deadlines.next().filter(|at| *at <= now) {
            let Some(due) = self.deadlines.pop_due(now) else { break };
            match due {
                Due::Turn => self.on_turn(now, out),
                Due::Neighbours => self.tell_neighbours(out),
                Due::Hello(session) => self.on_no_hello(now, session, out),
                Due::Answer(link) if self.woke_late(now, at) => self.wait_again(now, link),
                Due::Answer(link) if self.has_grace(now, link) => {}
                Due::Answer(link) => self.on_missed(now, link, out),
                Due::Announced(link) => self.on_announced_passed(now, link, out),
                Due::Unneeded(link) => self.on_unneeded(now, link, out),
                Due::Alive(link) => self.on_silent(now, link, out),
            }
        }
        while let Some(peer) = self.redials.pop_due(now) {
            self.on_redial(now, peer, out);
        }
    }

    /// When [`Input::Wake`] is due.
    pub(crate) fn deadline(&self) -> Deadline {
        [self.deadlines.next(), self.redials.next()].into_iter().flatten().min()
    }

    /// The link to this peer.
    pub(crate) fn by_peer(&self, peer: &PeerId) -> Option<&Link> {
        self.by_id(*self.by_peer.get(peer)?)
    }

    /// The link of this number.
    pub(crate) fn by_id(&self, link: LinkId) -> Option<&Link> {
        self.links.get(&link).map(|link| &**link)
    }

    /// Where this peer has answered a dial of ours in its present life.
    pub(crate) fn proven(&self, peer: &PeerId) -> &[Multiaddr] {
        self.contacts.proven(peer)
    }

    /// All links, the oldest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Link> {
        self.links.values().map(|link| &**link)
    }

    /// "The mean over the peer's own links of (smoothed round trip + 4 × variance)" (protocol.md §6); `None` while any link lacks
    /// samples, or there is none.
    pub(crate) fn round_trips(&self) -> Option<Duration> {
        let count = u32::try_from(self.links.len()).ok().filter(|&count| count > 0)?;
        let bounds: Option<Duration> = self.links.values().map(|link| link.round_trip.bound()).sum();
        bounds.map(|sum| sum / count)
    }

    /// What has happened since the start.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Operations that the other end of a link has not acknowledged, the newest first.
    pub(crate) fn unacknowledged(&self, link: LinkId) -> impl Iterator<Item = &[u8]> {
        self.links
            .get(&link)
            .into_iter()
            .flat_map(|link| link.operations.newest())
    }

    /// Operations waiting or unacknowledged on all links.
    pub(crate) fn operations_waiting(&self) -> usize {
        self.links.values().map(|link| link.operations.len()).sum()
    }

    /// Whether two living processes use this peer's identity, as far as we have seen lately.
    pub(crate) fn is_twin(&self, now: Time, peer: &PeerId) -> bool {
        self.twins.barred(now, peer).is_some()
    }

    fn link_of(&mut self, peer: &PeerId) -> Option<&mut Link> {
        self.links.get_mut(self.by_peer.get(peer)?).map(|link| &mut **link)
    }

    /// Sends a frame on the session that carries the link now; lost without one.
    fn send_on(&mut self, link: LinkId, message: Message, out: &mut Vec<Output>) {
        match self.links.get(&link).and_then(|link| link.session) {
            Some(session) => out.push(Output::Send { session, message }),
            None => self.counters.dropped += 1,
        }
    }
}
