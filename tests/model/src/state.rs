//! A state of a small world: its peers, what is on its way between them, and what an observer has noted.
//!
//! Nothing here decides: `step` says what can happen next, `fault` what can go wrong. This file does what they order.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use fatebound_fng::message::{Answer, Request};
use fatebound_fng::{Command, Input as Above, Ticket};
use fatebound_overlay::{PeerId, PostId, RequestId, Time, Way, Ways};
use fatebound_tree::{GroupId, Input as Below};

use crate::peer::{Effect, Peer, Work};
use crate::wire::{Fate, Item, View, Wire};
use crate::world::{Begin, Number, Planted, World};

/// How a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// It runs.
    Alive,
    /// Its process has ended: its addresses refuse.
    Crashed,
    /// Its host is silent.
    Vanished,
}

/// A one-shot message on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letter {
    /// From whom.
    pub from: Number,
    /// To whom.
    pub to: Number,
    /// The life of whoever asks.
    pub life: u8,
    /// Through whom; `None`: over the direct connection.
    pub via: Option<Number>,
    /// The asker's number of it.
    pub post: u64,
    /// Whether this is the answer.
    pub answer: bool,
    /// Late: when it arrives at the latest. Otherwise it arrives before time goes on.
    pub until: Option<Time>,
    /// Encoded.
    pub body: Arc<[u8]>,
}

/// A state.
#[derive(Clone, Debug)]
pub struct State {
    /// The time.
    pub now: Time,
    /// Everybody, by their numbers.
    pub peers: Vec<Arc<Peer>>,
    /// How they are.
    pub bodies: Vec<Body>,
    /// Links, the oldest first.
    pub wires: Vec<Wire>,
    next_wire: u32,
    /// One-shot messages on their way, in an order that says nothing.
    pub mail: BTreeSet<Letter>,
    /// Pairs that cannot reach each other, the smaller number first.
    pub cuts: BTreeSet<(Number, Number)>,
    /// Faults that may still happen.
    pub budget: u8,
    /// Since when every live member has to be told (P1).
    pub trigger: Option<Time>,
    /// Whether something has happened that excuses a notification (P4).
    pub excused: bool,
    /// An honest peer accused another.
    pub accusation: Option<&'static str>,
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        self.peers
            .iter()
            .map(|peer| peer.print())
            .eq(other.peers.iter().map(|peer| peer.print()))
            && self.rest() == other.rest()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for peer in &self.peers {
            peer.print().hash(hasher);
        }
        self.rest().hash(hasher);
    }
}

impl State {
    /// All but the peers.
    fn rest(&self) -> impl Hash + PartialEq + '_ {
        let fixed = (
            self.now,
            self.next_wire,
            self.budget,
            self.trigger,
            self.excused,
            self.accusation,
        );
        (fixed, &self.bodies, &self.wires, &self.mail, &self.cuts)
    }

    /// Everybody alive, all links up, and the root has begun to create the group.
    pub fn new(world: &World) -> State {
        let mut state = State {
            now: Time::ZERO,
            peers: (0..world.peers())
                .map(|number| Arc::new(Peer::new(world, number, 0)))
                .collect(),
            bodies: vec![Body::Alive; world.roles.len()],
            wires: Vec::new(),
            next_wire: 0,
            mail: BTreeSet::new(),
            cuts: BTreeSet::new(),
            budget: 0,
            trigger: None,
            excused: false,
            accusation: None,
        };
        for (a, b) in &world.links {
            state.connect(*a, *b);
        }
        state.settle(world);
        state.create(world);
        if world.begin == Begin::Live {
            state.settle(world);
        }
        state.budget = world.faults;
        state
    }

    fn create(&mut self, world: &World) {
        let members = (1..world.members).map(|number| world.roles[usize::from(number)].id);
        let create = Command::Create {
            ticket: Ticket(1),
            members: members.collect(),
            tag: None,
            state: Vec::new(),
            timeout: None,
            admit: match world.guest {
                Some(_) => fatebound_fng::Admit::Open,
                None => fatebound_fng::Admit::default(),
            },
        };
        self.input(world, 0, vec![Work::Groups(Above::Command(create))]);
    }

    /// Delivers everything in a fixed order, until nothing is on its way.
    fn settle(&mut self, world: &World) {
        loop {
            let ready = self.wires.iter().flat_map(|wire| [(wire.number, 0), (wire.number, 1)]);
            let next = ready
                .into_iter()
                .find(|(number, end)| self.head(*number, *end).is_some());
            if let Some((wire, end)) = next {
                self.deliver(world, wire, end);
            } else if let Some(letter) = self.mail.first().cloned() {
                self.hand_over(world, &letter);
            } else if let Some((wire, end)) = self.unseen().first().copied() {
                self.ping(world, wire, end);
            } else {
                return;
            }
        }
    }

    /// Ends of links whose joint set has changed since they showed it.
    pub fn unseen(&self) -> Vec<(u32, usize)> {
        let pinged = self.wires.iter().filter(|wire| wire.pingable());
        let ends = pinged.flat_map(|wire| [(wire, 0), (wire, 1)]);
        ends.filter(|(wire, end)| wire.shown[*end].1.is_some())
            .map(|(wire, end)| (wire.number, end))
            .collect()
    }

    /// One end's ping: it overtakes everything else, and shows the joint set as its sender sees it.
    pub fn ping(&mut self, world: &World, number: u32, end: usize) {
        let Some(wire) = self.wire(number) else { return };
        let (from, to, link) = (wire.ends[end], wire.ends[1 - end], wire.link(1 - end));
        let Some(joint) = self.peers[usize::from(from)].tree.joint_set(wire.link(end)) else {
            return;
        };
        if let Some(wire) = self.wire_mut(number) {
            wire.shown[end] = (joint, None);
        }
        self.input(world, to, vec![Work::Tree(Below::JointSetSeen { link, joint })]);
    }

    /// Notes since when a peer's joint sets are not what it showed of them.
    fn note_changes(&mut self, us: Number) {
        let tree = &self.peers[usize::from(us)].tree;
        for wire in &mut self.wires {
            if let Some(end) = wire.end_of(us)
                && let Some(joint) = tree.joint_set(wire.link(end))
            {
                let (shown, since) = &mut wire.shown[end];
                *since = (joint != *shown).then(|| since.unwrap_or(self.now));
            }
        }
    }

    /// The name of the one group that these worlds have.
    pub fn group(world: &World) -> GroupId {
        GroupId {
            root: world.roles[0].id,
            incarnation: 1,
            sequence: 1,
        }
    }

    /// Whether this peer runs.
    pub fn alive(&self, number: Number) -> bool {
        self.bodies[usize::from(number)] == Body::Alive
    }

    /// Members in the life in which they joined.
    pub fn live_members<'a>(&'a self, world: &'a World) -> impl Iterator<Item = &'a Peer> {
        let member = |peer: &&Peer| world.may_be_member(peer.number) && peer.life == 0 && peer.joined;
        let peers = self.peers.iter().map(|peer| &**peer);
        peers.filter(member).filter(|peer| self.alive(peer.number))
    }

    /// Whether every live member has been told.
    pub fn all_told(&self, world: &World) -> bool {
        self.live_members(world).all(|peer| peer.told > 0)
    }

    /// This peer has asked to go.
    pub fn begin_to_leave(&mut self, number: Number) {
        if let Some(peer) = self.peers.get_mut(usize::from(number)) {
            *peer = Arc::new(peer.about_to_leave());
        }
    }

    /// The group is over for everybody.
    pub fn over(&self, world: &World) -> bool {
        self.trigger.is_some() && self.all_told(world)
    }

    /// Whether these two can reach each other without help.
    pub fn reachable(&self, a: Number, b: Number) -> bool {
        self.alive(a) && self.alive(b) && !self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// The link with this number.
    pub fn wire(&self, number: u32) -> Option<&Wire> {
        self.wires.iter().find(|wire| wire.number == number)
    }

    /// Likewise.
    pub fn wire_mut(&mut self, number: u32) -> Option<&mut Wire> {
        self.wires.iter_mut().find(|wire| wire.number == number)
    }

    /// What the other end would get next of what this end has sent.
    pub fn head(&self, number: u32, end: usize) -> Option<&Item> {
        let wire = self.wire(number)?;
        let stalled = matches!(wire.fate, Fate::Stalled(_));
        let there = self.alive(wire.ends[1 - end]);
        wire.queues[end].front().filter(|_| there && !stalled)
    }

    /// A new link between two peers, unless they have one or cannot.
    pub fn connect(&mut self, a: Number, b: Number) {
        let between = |wire: &Wire| wire.lasts() && wire.end_of(a).is_some() && wire.end_of(b).is_some();
        if !self.reachable(a, b) || self.wires.iter().any(between) {
            return;
        }
        let lives = [a, b].map(|peer| self.peers[usize::from(peer)].life);
        self.wires.push(Wire::new(self.next_wire, [a, b], lives));
        self.next_wire += 1;
    }

    /// Forgets links that no living end holds, and has those made anew that the overlay wants.
    pub fn tidy(&mut self, world: &World) {
        let (peers, bodies) = (&self.peers, &self.bodies);
        let present = |wire: &Wire, end: usize| {
            let peer = usize::from(wire.ends[end]);
            bodies[peer] == Body::Alive && peers[peer].life == wire.lives[end]
        };
        self.wires
            .retain(|wire| wire.lasts() || (0..2).any(|end| present(wire, end) && wire.holds(end)));
        for (a, b) in &world.links {
            let between = |wire: &Wire| wire.end_of(*a).is_some() && wire.end_of(*b).is_some();
            if !self.wires.iter().any(between) {
                self.connect(*a, *b);
            }
        }
    }

    /// Delivers the oldest item that this end has sent.
    pub fn deliver(&mut self, world: &World, number: u32, end: usize) {
        let Some(item) = self.wire_mut(number).and_then(|wire| wire.queues[end].pop_front()) else {
            return;
        };
        let Some(wire) = self.wire(number) else { return };
        let (to, from, link) = (wire.ends[1 - end], wire.ends[end], wire.link(1 - end));
        let work = match item {
            Item::Up => return self.link_up(world, number, 1 - end),
            Item::Operation(body) => postcard::from_bytes(&body)
                .ok()
                .map(|operation| Below::Operation { link, operation }),
            Item::Tell(body) => postcard::from_bytes(&body).ok().map(|tell| Below::Told { link, tell }),
        };
        debug_assert!(work.is_some(), "{from} sent what {to} cannot decode");
        self.input(world, to, work.into_iter().map(Work::Tree).collect());
    }

    /// A link comes up at one end. If that end still holds an older one, this is how it learns that it is gone.
    fn link_up(&mut self, world: &World, number: u32, end: usize) {
        let Some(wire) = self.wire(number).cloned() else { return };
        let (us, other) = (wire.ends[end], wire.ends[1 - end]);
        let old = self.wires.iter().find_map(|old| {
            let end = old.end_of(us).filter(|_| old.end_of(other).is_some())?;
            (old.number != number && old.holds(end)).then_some((old.number, end))
        });
        if let Some((old, end)) = old {
            self.link_down(world, old, end);
        }
        if let Some(wire) = self.wire_mut(number) {
            wire.held[end] = crate::wire::Held::Up;
        }
        let (link, peer) = (wire.link(end), world.roles[usize::from(other)].id);
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let up = Below::LinkUp { link, peer, key };
        self.input(world, us, vec![Work::Tree(up), Work::Groups(Above::LinkUp { peer })]);
    }

    /// One end takes a link for down: by its silence; or because the other end's life is over, if that can be proven.
    pub fn link_down(&mut self, world: &World, number: u32, end: usize) {
        use fatebound_overlay::DeathProof;
        let Some(wire) = self.wire_mut(number) else { return };
        wire.held[end] = crate::wire::Held::Down;
        wire.queues[1 - end].clear();
        let (us, other, link, life) = (wire.ends[end], wire.ends[1 - end], wire.link(end), wire.lives[1 - end]);
        let restarted = self.peers[usize::from(other)].life > life && self.alive(other);
        let proof = match self.bodies[usize::from(other)] {
            _ if restarted => Some(DeathProof::Restarted),
            Body::Crashed => Some(DeathProof::Refused),
            Body::Alive | Body::Vanished => None,
        };
        let peer = world.roles[usize::from(other)].id;
        let dead = proof.map(|proof| Work::Groups(Above::PeerDead { peer, proof }));
        let down = Work::Tree(Below::LinkDown {
            link,
            dead: proof.is_some(),
        });
        self.input(world, us, dead.into_iter().chain([down]).collect());
    }

    /// Delivers a one-shot message.
    pub fn hand_over(&mut self, world: &World, letter: &Letter) {
        self.mail.remove(letter);
        let asker = if letter.answer { letter.to } else { letter.from };
        if !self.alive(letter.to) || self.peers[usize::from(asker)].life != letter.life {
            return;
        }
        let from = world.roles[usize::from(letter.from)].id;
        let input = if letter.answer {
            let answer = postcard::from_bytes(&letter.body).ok();
            let post = PostId(letter.post);
            answer.map(|answer| Above::Answered { post, from, answer })
        } else {
            let request = postcard::from_bytes(&letter.body).ok();
            let way = way_back(letter);
            request.map(|request| Above::Asked { from, way, request })
        };
        debug_assert!(input.is_some(), "a letter that cannot be decoded");
        self.input(world, letter.to, input.into_iter().map(Work::Groups).collect());
    }

    /// Hands inputs to a peer and does what it wants done.
    pub fn input(&mut self, world: &World, number: Number, work: Vec<Work>) {
        let at = usize::from(number);
        if !self.alive(number) || work.is_empty() {
            return;
        }
        let view = View {
            world,
            wires: &self.wires,
            us: number,
        };
        let told = self.peers[at].told;
        let (peer, effects) = self.peers[at].after(self.now, work, &view, world);
        if peer.told > told {
            self.trigger.get_or_insert(self.now);
        }
        self.peers[at] = Arc::new(peer);
        if world.pings {
            self.note_changes(number);
        }
        for effect in effects {
            self.carry_out(world, number, effect);
        }
    }

    fn carry_out(&mut self, world: &World, us: Number, effect: Effect) {
        match effect {
            Effect::Operate(_, fatebound_tree::Operation::Release { .. })
                if world.planted == Some(Planted::ReleasesLost) => {}
            Effect::Operate(link, operation) => self.push(link.0, Item::Operation(encode(&operation))),
            Effect::Tell(link, tell) => self.push(link.0, Item::Tell(encode(&tell))),
            Effect::Violation(what) => self.accusation = Some(what),
            Effect::Post(post, to, request, ways) => self.post(world, us, post, &to, &request, ways),
            Effect::Reply(way, answer) => self.reply(us, &way, &answer),
            Effect::Link(peer) => {
                if let Some(other) = world.number(&peer) {
                    self.connect(us, other);
                }
            }
        }
    }

    fn push(&mut self, link: u32, item: Item) {
        if let Some(wire) = self.wire_mut(link / 2) {
            wire.push((link % 2) as usize, item);
        }
    }

    /// "One-shot messages go over the direct connection to their target if one is up or can be dialled. ◆ … when the direct link is doubtful,
    /// and always for a repeated `Probe` or `NeedRepair` and for a `Fail` that has no live path, copies also travel through the overlay"
    /// (protocol.md §3). Of the copies one is followed: the direct one where that way works, else the first that finds a way.
    fn post(&mut self, world: &World, us: Number, post: PostId, to: &PeerId, request: &Request, ways: Ways) {
        let Some(to) = world.number(to) else { return };
        let doubtful = |wire: &Wire| {
            wire.end_of(us)
                .is_some_and(|end| wire.held[end] == crate::wire::Held::Doubtful)
        };
        let mut between = self
            .wires
            .iter()
            .filter(|wire| wire.end_of(us).is_some() && wire.end_of(to).is_some());
        let (connected, elsewhere) = match ways {
            Ways::Connected => (between.any(Wire::whole), false),
            Ways::Direct => (true, between.any(doubtful)),
            Ways::Every { .. } => (true, true),
        };
        let via = if connected && self.reachable(us, to) {
            None
        } else if let Some(carrier) = self.carrier(world, us, to).filter(|_| elsewhere) {
            Some(carrier)
        } else {
            return;
        };
        self.mail.insert(Letter {
            from: us,
            to,
            life: self.peers[usize::from(us)].life,
            via,
            post: post.0,
            answer: false,
            until: None,
            body: encode(request),
        });
    }

    /// A neighbour of both that can hand something on.
    pub fn carrier(&self, world: &World, a: Number, b: Number) -> Option<Number> {
        let linked = |x: Number, y: Number| {
            let between = |wire: &&Wire| wire.end_of(x).is_some() && wire.end_of(y).is_some();
            self.wires.iter().filter(between).any(Wire::whole)
        };
        (0..world.peers()).find(|c| self.alive(*c) && linked(a, *c) && linked(*c, b))
    }

    /// "Each copy is answered over the very way it came" (protocol.md §3).
    fn reply(&mut self, us: Number, way: &Way, answer: &Answer) {
        let Way::Direct(RequestId(number)) = way else { return };
        let [from, life, via, ..] = number.to_be_bytes();
        let letter = Letter {
            from: us,
            to: from,
            life,
            via: via.checked_sub(1),
            post: number & 0xff_ffff_ffff,
            answer: true,
            until: None,
            body: encode(answer),
        };
        if self.passable(&letter) {
            self.mail.insert(letter);
        }
    }

    /// Whether a message can get where it goes, as things are now.
    pub fn passable(&self, letter: &Letter) -> bool {
        match letter.via {
            None => self.reachable(letter.from, letter.to),
            Some(via) => self.reachable(letter.from, via) && self.reachable(via, letter.to),
        }
    }
}

/// The way back is written into the request's number: asker, its life, carrier, posting.
fn way_back(letter: &Letter) -> Way {
    let via = letter.via.map_or(0, |via| via + 1);
    let head = u64::from(letter.from) << 56 | u64::from(letter.life) << 48 | u64::from(via) << 40;
    Way::Direct(RequestId(head | letter.post))
}

fn encode<T: serde::Serialize>(message: &T) -> Arc<[u8]> {
    postcard::to_stdvec(message).unwrap_or_default().into()
}
