//! The way into a group of which only the name is known: whom to ask, or that there is nobody and this node founds it (cluster.md §6).
//!
//! A machine for one group at one node: it looks the name up in the directory, claims it if nothing stands there, and otherwise asks the leader to be
//! taken in, again and again, until somebody says that this has come about.

use std::collections::BTreeSet;
use std::time::Duration;

use fatebound_base::{PeerId, Rule, Time};
use fatebound_overlay::directory::{Claimed, Entry, Found, Order as Place, Record};
use serde::{Deserialize, Serialize};

use crate::name::Founding;
use crate::numbers::{Node, ViewNumber};

/// What stands in the directory under the name of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Which founding of the name.
    pub founding: Founding,
    /// The view that its publisher leads.
    pub view: ViewNumber,
    /// The publisher.
    pub leader: Node,
    /// How many voters the view has.
    pub voters: u32,
}

/// What the way in asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Look the name up.
    Find,
    /// Claim the name.
    Claim,
    /// Found the group.
    Found(Founding),
    /// Ask this peer, in that life if it is known, to be taken in.
    Ask(Founding, PeerId, Option<u64>),
}

/// How far this node has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Not on the way.
    Resting,
    /// What stands under the name?
    Looking,
    /// Looks again at the deadline.
    Waiting,
    /// Nothing does; the name is claimed.
    Claiming,
    /// The first view is being made.
    Founding,
    /// A node is asked to take this one in.
    Asking(Box<Asking>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Asking {
    founding: Founding,
    /// The last incarnation that the record names.
    incarnation: u32,
    asked: PeerId,
    /// In which life, if that is known.
    life: Option<u64>,
    /// Those who may sign the record and have not been asked since it was found.
    unasked: Vec<PeerId>,
    /// Those of them that live and know nothing of the group.
    strangers: BTreeSet<PeerId>,
    signers: BTreeSet<PeerId>,
    /// Whose word on who leads counts: those who may sign the name's record, and whom these name.
    trusted: BTreeSet<PeerId>,
    /// Questions since the last answer.
    unanswered: u32,
    /// Leaders that others have named since the name was looked up.
    referrals: u32,
}

/// The way in.
#[derive(Clone, Debug)]
pub(crate) struct WayIn {
    me: Node,
    repeat: Duration,
    stage: Stage,
    deadline: Option<Time>,
    /// Searches and claims that have come to nothing, in a row.
    tries: u32,
    /// The latest record or tombstone of the name that was seen on this way. A keeper that was late may still show an earlier one.
    latest: Option<Place>,
    /// The founding of which everybody that may sign its record has said that it is over.
    over: Option<Founding>,
    /// Seconds since the beginning of 2020, when this node wanted in.
    seconds: u32,
}

/// Questions without an answer after which the name is looked up again.
const UNANSWERED: u32 = 3;
/// Referrals after which the name is looked up again: those who answer do not know better.
const REFERRALS: u32 = 8;
/// Pauses are doubled at most so often.
const DOUBLINGS: u32 = 4;

impl WayIn {
    pub(crate) fn new(me: Node, repeat: Duration) -> WayIn {
        WayIn {
            me,
            repeat,
            stage: Stage::Resting,
            deadline: None,
            tries: 0,
            latest: None,
            over: None,
            seconds: 0,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// What this node is doing, in words for whoever asks why it is not in the group yet.
    pub(crate) fn doing(&self) -> &'static str {
        match self.stage {
            Stage::Resting => "nothing",
            Stage::Looking => "looking the name up",
            Stage::Waiting => "waiting until the name can be looked up again",
            Stage::Claiming => "claiming the name",
            Stage::Founding => "founding the group",
            Stage::Asking(_) => "asking the leader to be taken in",
        }
    }

    /// Sets out, if it is not on its way. `seconds` is the wall clock.
    pub(crate) fn set_out(&mut self, seconds: u32, orders: &mut Vec<Order>) {
        if self.stage == Stage::Resting {
            self.seconds = self.seconds.max(seconds);
            self.tries = 0;
            self.look(orders);
        }
    }

    /// Sets out for a founding of which this node knows who leads it: that of the name for which its own was dissolved. The record of its own may
    /// still be found for a while.
    pub(crate) fn set_out_for(&mut self, now: Time, founding: Founding, leader: Node, orders: &mut Vec<Order>) {
        let named = BTreeSet::from([leader.peer]);
        self.tries = 0;
        self.stage = Stage::Asking(Box::new(Asking {
            founding,
            incarnation: founding.incarnation,
            asked: leader.peer,
            life: Some(leader.incarnation),
            unasked: Vec::new(),
            strangers: BTreeSet::new(),
            trusted: named.clone(),
            signers: named,
            unanswered: 0,
            referrals: 0,
        }));
        self.ask(now, orders);
    }

    /// This node is in the group, or does not want to be any more.
    pub(crate) fn rest(&mut self) {
        self.stage = Stage::Resting;
        self.deadline = None;
        self.latest = None;
        self.over = None;
    }

    fn look(&mut self, orders: &mut Vec<Order>) {
        self.stage = Stage::Looking;
        self.deadline = None;
        orders.push(Order::Find);
    }

    fn look_later(&mut self, now: Time) {
        self.stage = Stage::Waiting;
        self.deadline = Some(now + self.pause(self.tries));
        self.tries = self.tries.saturating_add(1);
    }

    fn pause(&self, tries: u32) -> Duration {
        self.repeat.saturating_mul(1 << tries.min(DOUBLINGS))
    }

    /// N3: "nobody" counts only from keepers that would know; else the name is looked up again.
    pub(crate) fn on_found(&mut self, now: Time, outcome: &Found, orders: &mut Vec<Order>) {
        if self.stage != Stage::Looking {
            return;
        }
        match outcome {
            Found::Record(entry) if self.is_old(entry) => self.look_later(now),
            Found::Record(entry) if !entry.record().tombstone => self.on_record(now, entry.record(), orders),
            Found::Record(_) | Found::Nobody => {
                self.stage = Stage::Claiming;
                orders.push(Order::Claim);
            }
            Found::Claimed(_) | Found::Unsettled => self.look_later(now),
        }
    }

    pub(crate) fn on_claimed(&mut self, now: Time, outcome: &Claimed, orders: &mut Vec<Order>) {
        if self.stage != Stage::Claiming {
            return;
        }
        match outcome {
            Claimed::Granted { incarnation } => self.found(*incarnation, orders),
            Claimed::Exists(entry) if self.is_old(entry) => self.look_later(now),
            Claimed::Exists(entry) if !entry.record().tombstone => self.on_record(now, entry.record(), orders),
            Claimed::Exists(entry) => self.found(Some(entry.record().order.incarnation), orders),
            Claimed::Taken(_) | Claimed::Unsettled => self.look_later(now),
        }
    }

    /// Whether something later has been seen already; if not, this is the latest.
    fn is_old(&mut self, entry: &Entry) -> bool {
        let place = entry.record().order;
        let old = self.latest.is_some_and(|latest| place < latest);
        self.latest = self.latest.max(Some(place));
        old
    }

    /// N4 ◆ "Whoever founds a group anew takes a larger incarnation than every one that is remembered": epochs never go back.
    fn found(&mut self, remembered: Option<u32>, orders: &mut Vec<Order>) {
        let after = remembered.filter(|_| Rule::NamesLargerIncarnation.holds());
        let least = after.map_or(0, |last| last.saturating_add(1));
        self.stage = Stage::Founding;
        self.deadline = None;
        orders.push(Order::Found(Founding {
            incarnation: self.seconds.max(least),
            founder: self.me.peer,
        }));
    }

    /// The first view could not be made, or not be made known.
    pub(crate) fn not_founded(&mut self, now: Time) {
        if self.stage == Stage::Founding {
            self.look_later(now);
        }
    }

    fn on_record(&mut self, now: Time, record: &Record, orders: &mut Vec<Order>) {
        let Ok(listing) = postcard::from_bytes::<Listing>(&record.body) else {
            // Of a later version, or of somebody who plays with the name: it may be replaced.
            return self.look_later(now);
        };
        let mut signers: BTreeSet<PeerId> = record.signers.iter().copied().collect();
        signers.insert(record.publisher);
        let leader = listing.leader;
        let others = |peer: &PeerId| *peer != self.me.peer && *peer != leader.peer;
        self.stage = Stage::Asking(Box::new(Asking {
            founding: listing.founding,
            incarnation: record.order.incarnation,
            asked: leader.peer,
            life: Some(leader.incarnation),
            unasked: signers.iter().copied().filter(others).collect(),
            strangers: signers.iter().copied().filter(|peer| *peer == self.me.peer).collect(),
            trusted: signers.clone(),
            signers,
            unanswered: 0,
            referrals: 0,
        }));
        match leader.peer == self.me.peer {
            // This peer has led it, in an earlier life or before it was put out.
            true => self.ask_another(now, orders),
            false => self.ask(now, orders),
        }
    }

    fn ask(&mut self, now: Time, orders: &mut Vec<Order>) {
        let repeat = self.repeat;
        let Stage::Asking(asking) = &mut self.stage else {
            return;
        };
        orders.push(Order::Ask(asking.founding, asking.asked, asking.life));
        let pause = repeat.saturating_mul(1 << asking.unanswered.min(DOUBLINGS));
        self.deadline = Some(now + pause);
        asking.unanswered = asking.unanswered.saturating_add(1);
    }

    /// The next of those who may sign the record. If there is none left, the name is looked up again; if all of them live and know nothing of the
    /// group, it is over, and one of them founds it anew: the directory takes the record of nobody else. But a group that has just ended leaves a
    /// tombstone, which others may have found already and claimed the name upon: so the name is looked up once more before.
    fn ask_another(&mut self, now: Time, orders: &mut Vec<Order>) {
        let Stage::Asking(asking) = &mut self.stage else {
            return;
        };
        if let Some(peer) = asking.unasked.pop() {
            (asking.asked, asking.life, asking.unanswered) = (peer, None, UNANSWERED - 1);
            return self.ask(now, orders);
        }
        let over = asking.signers.contains(&self.me.peer) && asking.strangers == asking.signers;
        let (founding, incarnation) = (asking.founding, asking.incarnation);
        if over && self.over == Some(founding) {
            return self.found(Some(incarnation), orders);
        }
        self.over = over.then_some(founding);
        self.look_later(now);
    }

    /// Whether words of this peer on the group may be believed: "a newcomer believes those who may sign the name's record, and whom these
    /// name".
    pub(crate) fn trusts(&self, peer: &PeerId) -> bool {
        match &self.stage {
            Stage::Asking(asking) => asking.trusted.contains(peer),
            _ => false,
        }
    }

    /// The asked node has taken note.
    pub(crate) fn on_wait(&mut self, now: Time, from: Node) {
        let pause = self.pause(2);
        if let Stage::Asking(asking) = &mut self.stage
            && asking.asked == from.peer
        {
            asking.unanswered = 0;
            self.deadline = Some(now + pause);
        }
    }

    /// Somebody else leads.
    pub(crate) fn on_leader(&mut self, now: Time, from: Node, leader: Node, orders: &mut Vec<Order>) {
        let Stage::Asking(asking) = &mut self.stage else {
            return;
        };
        if !asking.trusted.contains(&from.peer) || leader == self.me {
            return;
        }
        asking.referrals += 1;
        if asking.referrals > REFERRALS {
            return self.look_later(now);
        }
        asking.trusted.insert(leader.peer);
        if (asking.asked, asking.life) != (leader.peer, Some(leader.incarnation)) {
            (asking.asked, asking.life, asking.unanswered) = (leader.peer, Some(leader.incarnation), 0);
            self.ask(now, orders);
        }
    }

    /// The asked peer knows nothing of the group.
    pub(crate) fn on_not_here(&mut self, now: Time, from: PeerId, orders: &mut Vec<Order>) {
        if let Stage::Asking(asking) = &mut self.stage
            && asking.asked == from
        {
            asking.strangers.insert(from);
            self.ask_another(now, orders);
        }
    }

    pub(crate) fn on_wake(&mut self, now: Time, orders: &mut Vec<Order>) {
        if self.deadline.is_none_or(|at| at > now) {
            return;
        }
        self.deadline = None;
        match &self.stage {
            Stage::Waiting => self.look(orders),
            Stage::Asking(asking) if asking.unanswered >= UNANSWERED => self.ask_another(now, orders),
            Stage::Asking(_) => self.ask(now, orders),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use fatebound_base::Keypair;

    use super::*;

    fn way_in() -> WayIn {
        let keypair = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let me = Node {
            peer: keypair.public().to_peer_id(),
            incarnation: 1,
        };
        WayIn::new(me, Duration::from_millis(500))
    }

    /// The incarnation under which the group is founded, if this one is remembered and the wall clock says so much.
    fn founded(remembered: Option<u32>, seconds: u32) -> u32 {
        let mut way = way_in();
        let mut orders = Vec::new();
        way.set_out(seconds, &mut orders);
        way.on_found(Time::ZERO, &Found::Nobody, &mut orders);
        let granted = Claimed::Granted {
            incarnation: remembered,
        };
        way.on_claimed(Time::ZERO, &granted, &mut orders);
        match orders.last() {
            Some(Order::Found(founding)) => founding.incarnation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_group_that_is_founded_anew_has_a_larger_incarnation() {
        assert_eq!(founded(None, 100), 100);
        assert_eq!(founded(Some(50), 100), 100);
        assert_eq!(founded(Some(100), 100), 101, "in the same second");
        assert_eq!(founded(Some(500), 100), 501, "by a clock that is behind");
    }
}
