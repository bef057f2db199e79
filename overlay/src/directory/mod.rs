//! The directory: signed records by key, kept by the five peers nearest to the key (protocol.md §3.1).
//!
//! A machine of the overlay like its links: it has inputs and outputs of its own and knows nothing of connections. As a keeper it answers the
//! questions of others (`keeping`, `store`, `claims`) and hands records over when its leaf set changes (`handover`); for the layer
//! above it publishes (`publishing`), searches and claims (`searching`). The overlay carries the questions to where they belong.

mod around;
mod claims;
mod config;
mod handover;
mod io;
mod keeping;
pub mod message;
mod publishing;
mod record;
mod searching;
mod store;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fatebound_base::slim;
use libp2p_identity::PeerId;
use rand::rngs::StdRng;

use crate::{Bounded, Deadlines, Identity, Key, Time};

use self::message::{Question, Reply};
use around::Around;
use claims::Claims;
use handover::Debts;
use publishing::Publishing;
use searching::Search;
use store::Store;

pub use config::Config;
pub(crate) use io::{AskId, Output};
pub use io::{Claimed, Command, Event, Found, NotPublished, Publication, Ticket};
pub use message::Refusal;
pub use record::{Entry, Kind, MAX_BODY, MAX_SIGNERS, MAX_TEXT, Name, Order, Record};

/// Tries of a search or of a publication before it rests (protocol.md §3.1, D4).
pub(crate) const TRIES: u32 = 4;

/// What the directory waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// A record that we keep expires, or is forgotten.
    Expire(Key),
    /// A claim that we granted ends.
    Claim(Key),
    /// A record of ours is published again.
    Publish(Key),
    /// The next try of a search.
    Search(u64),
    /// Records are to be handed over.
    Handover,
}

/// What a question of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Search(u64),
    /// The record under this key, in this publication.
    Publish(Key, u64),
    Handover(PeerId),
}

/// A question of ours that may still be answered.
#[derive(Debug)]
struct Ask {
    purpose: Purpose,
    /// `None`: whoever stands nearest.
    to: Option<PeerId>,
    /// For another way, while there is one.
    question: Option<Question>,
}

/// What the directory is lent for one call.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) rng: &'a mut StdRng,
}

/// One peer's directory.
#[derive(Debug)]
pub(crate) struct Directory {
    config: Config,
    network: String,
    peer: PeerId,
    identity: Identity,
    /// The unit of all its waiting.
    ping_timeout: Duration,
    around: Around,
    store: Store,
    claims: Claims,
    debts: Debts,
    publishing: BTreeMap<Key, Publishing>,
    searches: BTreeMap<u64, Search>,
    next_search: u64,
    asks: HashMap<AskId, Ask>,
    next_ask: u64,
    deadlines: Deadlines<Timer>,
    out: Vec<Output>,
    /// Leaf set or place may have changed, and it has not been told: the overlay's note.
    pub(crate) stale: bool,
    /// What broke a rule.
    pub(crate) garbage: u64,
    /// What there was no room for.
    pub(crate) dropped: u64,
}

/// What the directory holds, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Records kept for others, expired ones that are remembered included.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Claims granted.
    pub claims: usize,
    /// Names that this peer publishes.
    pub published: usize,
    /// Its searches under way.
    pub searches: usize,
}

impl Directory {
    /// An empty directory.
    pub(crate) fn new(config: &crate::Config, identity: &Identity) -> Directory {
        let peer = identity.peer();
        let settle = config.maintenance_interval * 2;
        Directory {
            around: Around::new(peer, config, settle),
            config: config.directory.clone(),
            network: config.network.clone(),
            peer,
            identity: identity.clone(),
            ping_timeout: config.ping_timeout,
            store: Store::default(),
            claims: Claims::default(),
            debts: Debts::default(),
            publishing: BTreeMap::new(),
            searches: BTreeMap::new(),
            next_search: 0,
            asks: HashMap::new(),
            next_ask: 0,
            deadlines: Deadlines::default(),
            out: Vec::new(),
            stale: false,
            garbage: 0,
            dropped: 0,
        }
    }

    /// Takes an order.
    pub(crate) fn command(&mut self, cx: &mut Context<'_>, command: Command) {
        match command {
            Command::Publish { ticket, publication } => self.publish(cx, ticket, publication),
            Command::Forget { name } => self.stop_publishing(&name.key(&self.network)),
            Command::Find { ticket, name } => self.find(cx, ticket, name),
            Command::Claim { ticket, name } => self.claim(cx, ticket, name),
            Command::Nearest { ticket, key } => self.look_near(cx, ticket, key),
        }
    }

    /// A question of ours was answered; by whoever stands nearest also with the peers around it.
    pub(crate) fn answered(
        &mut self,
        cx: &mut Context<'_>,
        ask: AskId,
        from: Option<PeerId>,
        around: Option<Vec<PeerId>>,
        reply: Reply,
    ) {
        let Some(asked) = self.asks.remove(&ask) else {
            return;
        };
        slim::map(&mut self.asks);
        let (Some(from), true) = (from.or(asked.to), asked.to.is_none() == around.is_some()) else {
            self.garbage += 1;
            return self.gave_no_answer(asked.purpose, asked.to);
        };
        match asked.purpose {
            Purpose::Search(id) => self.search_answered(id, from, around, reply),
            Purpose::Publish(key, number) => self.publish_answered(cx, (key, number), from, around, reply),
            Purpose::Handover(peer) => self.handover_answered(cx, peer, reply),
        }
    }

    /// To whom a question went that still waits for its answer; `Some(None)`: to whoever stands nearest.
    pub(crate) fn asked(&self, ask: AskId) -> Option<Option<PeerId>> {
        self.asks.get(&ask).map(|asked| asked.to)
    }

    /// There was no way, or the answer was none: "or through the overlay where there is no direct way" (protocol.md §3.1, D4).
    pub(crate) fn failed(&mut self, ask: AskId) {
        let Some(asked) = self.asks.get_mut(&ask) else {
            return;
        };
        match (asked.to, asked.question.take()) {
            (Some(peer), Some(question)) => self.out.push(Output::AskRouted { ask, peer, question }),
            (to, _) => {
                let purpose = asked.purpose;
                self.asks.remove(&ask);
                self.gave_no_answer(purpose, to);
            }
        }
    }

    fn gave_no_answer(&mut self, purpose: Purpose, to: Option<PeerId>) {
        match purpose {
            Purpose::Search(id) => self.search_failed(id, to),
            // Its timer repeats it.
            Purpose::Publish(..) => {}
            Purpose::Handover(peer) => self.debts.failed(&peer),
        }
    }

    /// Leaf set or place may have changed.
    pub(crate) fn around(&mut self, cx: &mut Context<'_>, joined: bool, leaves: impl IntoIterator<Item = PeerId>) {
        self.stale = false;
        let before = self.around.clone();
        if self.around.update(cx.now, joined, leaves) {
            self.owe_newcomers(cx, &before);
        }
    }

    /// A leaf is gone.
    pub(crate) fn lost(&mut self, now: Time) {
        self.around.lost(now);
    }

    /// What is due.
    pub(crate) fn wake(&mut self, cx: &mut Context<'_>) {
        while let Some(timer) = self.deadlines.pop_due(cx.now) {
            match timer {
                Timer::Expire(key) => self.expire(cx.now, &key),
                Timer::Claim(key) => {
                    if let Some(at) = self.claims.expire(cx.now, &key) {
                        self.deadlines.set(Timer::Claim(key), at);
                    }
                }
                Timer::Publish(key) => self.publish_on(cx, &key),
                Timer::Search(id) => self.search_on(cx, id),
                Timer::Handover => self.hand_over(cx),
            }
        }
    }

    /// When it wants to be woken.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// What the overlay has to do, the oldest first.
    pub(crate) fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// The pause after this try: two thirds of a `ping_timeout`, then one, two, four (protocol.md §3.1, D4).
    fn pause(&self, tries: u32) -> Duration {
        match tries {
            0 | 1 => self.ping_timeout * 2 / 3,
            tries => self.ping_timeout * (1 << (tries - 2).min(2)),
        }
    }

    fn ask_nearest(&mut self, purpose: Purpose, key: Key, question: Question) {
        let ask = self.open(Ask {
            purpose,
            to: None,
            question: None,
        });
        self.out.push(Output::AskNearest { ask, key, question });
    }

    fn ask(&mut self, purpose: Purpose, peer: PeerId, question: Question) -> AskId {
        let ask = self.open(Ask {
            purpose,
            to: Some(peer),
            question: Some(question.clone()),
        });
        self.out.push(Output::Ask { ask, peer, question });
        ask
    }

    fn open(&mut self, asked: Ask) -> AskId {
        let ask = AskId(self.next_ask);
        self.next_ask += 1;
        self.asks.insert(ask, asked);
        ask
    }

    /// Nothing waits for these answers any more.
    fn close(&mut self, over: impl Fn(&Purpose) -> bool) {
        self.asks.retain(|_, asked| !over(&asked.purpose));
        slim::map(&mut self.asks);
    }

    /// The keepers of a key, from what whoever stands nearest has said, and from what we see ourselves.
    fn keepers_among(&self, key: &Key, nearest: PeerId, around: Vec<PeerId>) -> Vec<PeerId> {
        let said = around.into_iter().chain([nearest]);
        let all = said.chain(self.around.keepers(key)).map(|peer| (Key::of(&peer), peer));
        around::nearest(key, all, self.around.count())
    }

    /// What of an entry somebody shows as standing under this name: it counts if its publisher has signed it.
    fn is_true(&mut self, entry: &Entry, name: &Name) -> bool {
        let record = entry.record();
        let good = record.name == *name
            && record.is_within_limits()
            && entry.is_genuine(&self.network, self.identity.scheme());
        self.garbage += u64::from(!good);
        good
    }

    fn tell(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }

    /// At a glance.
    pub(crate) fn view(&self) -> View {
        View {
            records: self.store.len(),
            bytes: self.store.bytes(),
            claims: self.claims.len(),
            published: self.publishing.len(),
            searches: self.searches.len(),
        }
    }

    /// What this peer keeps under a name.
    pub(crate) fn kept(&self, name: &Name) -> Option<&Entry> {
        let kept = self.store.live(&name.key(&self.network));
        kept.map(|kept| &kept.entry)
    }

    /// Everything here that can grow, with its limit.
    pub(crate) fn bounds(&self) -> Vec<Bounded> {
        let timers = self.store.len() + self.claims.len() + self.publishing.len() + self.searches.len() + 1;
        // Each try asks the nearest, and each keeper; and each answer of a nearest one may name others.
        let each = 2 * TRIES as usize * (self.config.keepers + 1);
        let asks = (self.publishing.len() + self.searches.len()) * each + self.debts.len();
        let mut bounds = vec![
            Bounded::new("timers of the directory", self.deadlines.len(), timers),
            Bounded::new("questions of the directory", self.asks.len(), asks),
            Bounded::new("names published", self.publishing.len(), self.config.max_published),
            Bounded::new(
                "searches of the directory",
                self.searches.len(),
                self.config.max_searches,
            ),
            Bounded::new("hand-overs under way", self.debts.len(), self.around.leaves()),
            Bounded::new("losses remembered", self.around.losses(), self.config.keepers),
            self.claims.bounds(&self.config),
        ];
        bounds.extend(self.store.bounds(&self.config));
        bounds
    }
}
