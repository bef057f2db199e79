//! The links of a small world: two queues that keep the order, and what each end thinks of them.
//!
//! This is all that is left of the overlay's links. A link is *sound*; or *stalled*, then it carries nothing until it is resumed, and loses nothing;
//! or *broken*, then what was on its way is lost, and each end takes it for down in its own time, at most `L` later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fatebound_overlay::{Hop, JointSet, LinkId, PeerId, Routes, Tag, Time};

use crate::world::{Number, World};

/// What one end thinks of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// It has not heard of it yet.
    Unheard,
    /// It is up.
    Up,
    /// A ping was missed: its paths stay, new ones avoid it.
    Doubtful,
    /// It is down.
    Down,
}

/// How a link really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It carries what is sent.
    Sound,
    /// It will be resumed, at this time at the latest.
    Stalled(Time),
    /// Nothing will be carried any more; both ends will have noticed at this time.
    Broken(Time),
}

/// What travels on a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// The link is up at this end, too.
    Up,
    /// An operation of the tree, encoded.
    Operation(Arc<[u8]>),
    /// Words of the tree, encoded.
    Tell(Arc<[u8]>),
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wire {
    /// Never used again.
    pub number: u32,
    /// Its ends.
    pub ends: [Number; 2],
    /// In which of their lives.
    pub lives: [u8; 2],
    /// What each end thinks of it.
    pub held: [Held; 2],
    /// How it really is.
    pub fate: Fate,
    /// What each end showed of its joint set last, and since when that is not the set any more.
    pub shown: [(JointSet, Option<Time>); 2],
    /// What each end has sent and the other has not got, the oldest first.
    pub queues: [VecDeque<Item>; 2],
}

impl Wire {
    /// A link that both ends will hear of.
    pub fn new(number: u32, ends: [Number; 2], lives: [u8; 2]) -> Wire {
        Wire {
            number,
            ends,
            lives,
            held: [Held::Unheard; 2],
            fate: Fate::Sound,
            shown: Default::default(),
            queues: [VecDeque::from([Item::Up]), VecDeque::from([Item::Up])],
        }
    }

    /// Its name at one end.
    pub fn link(&self, end: usize) -> LinkId {
        LinkId(self.number * 2 + end as u32)
    }

    /// The end that this peer is.
    pub fn end_of(&self, peer: Number) -> Option<usize> {
        self.ends.iter().position(|end| *end == peer)
    }

    /// Whether an end still holds it.
    pub fn holds(&self, end: usize) -> bool {
        matches!(self.held[end], Held::Up | Held::Doubtful)
    }

    /// Whether it works and both ends think so.
    pub fn whole(&self) -> bool {
        self.fate == Fate::Sound && self.held == [Held::Up; 2]
    }

    /// Whether pings come and go on it.
    pub fn pingable(&self) -> bool {
        self.fate == Fate::Sound && self.holds(0) && self.holds(1)
    }

    /// Whether it carries anything at all, now or later.
    pub fn lasts(&self) -> bool {
        !matches!(self.fate, Fate::Broken(_))
    }

    /// Nothing will arrive any more that was not there already; who has not heard of it never will.
    pub fn break_at(&mut self, now: Time, lifetime: Duration) {
        self.fate = Fate::Broken(now + lifetime);
        for held in &mut self.held {
            if *held == Held::Unheard {
                *held = Held::Down;
            }
        }
    }

    /// Sends.
    pub fn push(&mut self, end: usize, item: Item) {
        if self.lasts() && self.holds(end) {
            self.queues[end].push_back(item);
        }
    }
}

/// The links as one peer sees them, and the overlay's routing rule (protocol.md §3) over them.
#[derive(Debug)]
pub struct View<'a> {
    /// The world.
    pub world: &'a World,
    /// All links.
    pub wires: &'a [Wire],
    /// Who looks.
    pub us: Number,
}

impl View<'_> {
    /// Links that this peer may use, with the peers at their other ends: doubtful ones are not offered.
    fn usable(&self) -> impl Iterator<Item = (LinkId, Number)> {
        self.of(self.us)
    }

    fn of(&self, peer: Number) -> impl Iterator<Item = (LinkId, Number)> {
        self.wires.iter().filter_map(move |wire| {
            let end = wire.end_of(peer)?;
            (wire.held[end] == Held::Up).then(|| (wire.link(end), wire.ends[1 - end]))
        })
    }

    /// The usable link to this peer.
    pub fn to(&self, peer: Number) -> Option<LinkId> {
        self.usable().find(|(_, other)| *other == peer).map(|(link, _)| link)
    }
}

impl Routes for View<'_> {
    fn next_hop(&self, target: &PeerId, visited: &[Tag], allow_detour: bool) -> Option<Hop> {
        let roles = &self.world.roles;
        let target = &roles[usize::from(self.world.number(target)?)];
        let role = |peer: Number| &roles[usize::from(peer)];
        let fresh = |(_, peer): &(LinkId, Number)| !visited.contains(&role(*peer).tag);
        let direct = self
            .usable()
            .filter(fresh)
            .find(|(_, peer)| role(*peer).id == target.id);
        if let Some((link, _)) = direct {
            return Some(Hop { link, detour: false });
        }
        let distance = |peer: Number| role(peer).key.ring_distance(&target.key);
        let (link, best) = self.usable().filter(fresh).min_by_key(|(_, peer)| distance(*peer))?;
        let detour = distance(best) >= distance(self.us);
        (!detour || allow_detour).then_some(Hop { link, detour })
    }

    fn link_to(&self, peer: &PeerId) -> Option<LinkId> {
        self.to(self.world.number(peer)?)
    }

    fn common_neighbours(&self, peer: &PeerId) -> Vec<LinkId> {
        let Some(peer) = self.world.number(peer) else {
            return Vec::new();
        };
        let knows = |between: Number| self.of(between).any(|(_, other)| other == peer);
        let common = self.usable().filter(|(_, between)| *between != peer && knows(*between));
        common.map(|(link, _)| link).collect()
    }

    fn round_trips(&self) -> Option<Duration> {
        self.world.round_trips
    }
}
