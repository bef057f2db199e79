//! A few trees, wired by links that keep the order; pings overtake. The groups above are played by a few lines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fatebound_overlay::{Hop, JointSet, LinkId, PeerId, Routes, Tag, Time};

use super::{peer, tag};
use crate::{Cause, Config, Event, GroupId, Input, Operation, Output, PathId, Tell, Tree, Via};

/// The notice that verifies.
pub(crate) const TRUE: &[u8] = b"true";

#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Operation(Operation),
    Tell(Tell),
}

/// One direction of a link.
#[derive(Debug, Default)]
struct Way {
    frames: VecDeque<Frame>,
    pings: VecDeque<JointSet>,
    /// As the sender's overlay knows it.
    joint: JointSet,
}

/// A link between two peers, or what one end still holds of it.
#[derive(Debug)]
struct Wire {
    ends: [u8; 2],
    links: [LinkId; 2],
    up: [bool; 2],
    /// What each end has sent.
    ways: [Way; 2],
}

pub(crate) struct World {
    pub(crate) trees: Vec<Tree>,
    wires: Vec<Wire>,
    pub(crate) now: Time,
    pub(crate) events: Vec<(u8, Event)>,
    pub(crate) violations: Vec<(u8, &'static str)>,
    /// Who gave up a link.
    pub(crate) given_up: Vec<u8>,
    /// Operations sent so far, by their kind.
    pub(crate) sent: BTreeMap<&'static str, usize>,
    /// Who does not know which group (any more).
    pub(crate) forgotten: BTreeSet<(u8, GroupId)>,
    newest: BTreeMap<(u8, GroupId), u32>,
    /// Whether every step is followed by a check of all invariants.
    pub(crate) checked: bool,
    /// Chooses among next hops; 0: the first one.
    pub(crate) salt: usize,
    state: u64,
}

impl World {
    pub(crate) fn new(peers: u8, config: &Config) -> World {
        World {
            trees: (0..peers).map(|number| Tree::new(config, peer(number))).collect(),
            wires: Vec::new(),
            now: Time::ZERO,
            events: Vec::new(),
            violations: Vec::new(),
            given_up: Vec::new(),
            sent: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            newest: BTreeMap::new(),
            checked: true,
            salt: 0,
            state: 1,
        }
    }

    /// Peers in a line, each linked to the next.
    pub(crate) fn line(peers: u8) -> World {
        let mut world = World::new(peers, &Config::default());
        for number in 1..peers {
            world.link(number - 1, number);
        }
        world
    }

    pub(crate) fn random(&mut self, below: usize) -> usize {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % below
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.state = seed;
    }

    /// A new link; the number of its wire.
    pub(crate) fn link(&mut self, a: u8, b: u8) -> usize {
        let wire = self.wires.len();
        let links = [LinkId(2 * wire as u32), LinkId(2 * wire as u32 + 1)];
        self.wires.push(Wire {
            ends: [a, b],
            links,
            up: [true; 2],
            ways: Default::default(),
        });
        let key = [wire as u8; 32];
        for (end, at, other) in [(0, a, b), (1, b, a)] {
            let (link, peer) = (links[end], peer(other));
            self.handle(at, Input::LinkUp { link, peer, key });
        }
        wire
    }

    /// The wire between two peers that both of them hold up.
    pub(crate) fn wire(&self, a: u8, b: u8) -> usize {
        let between = |wire: &Wire| wire.up == [true; 2] && (wire.ends == [a, b] || wire.ends == [b, a]);
        self.wires.iter().rposition(between).expect("linked")
    }

    /// The link at `a` to `b`.
    pub(crate) fn link_at(&self, a: u8, b: u8) -> LinkId {
        let wire = &self.wires[self.wire(a, b)];
        wire.links[usize::from(wire.ends[0] != a)]
    }

    pub(crate) fn are_linked(&self, a: u8, b: u8) -> bool {
        let held = |wire: &Wire| wire.up != [false; 2] && (wire.ends == [a, b] || wire.ends == [b, a]);
        self.wires.iter().any(held)
    }

    /// One end takes a link for down; what was on its way is gone.
    pub(crate) fn down(&mut self, wire: usize, end: usize, dead: bool) {
        let held = &mut self.wires[wire];
        if !std::mem::replace(&mut held.up[end], false) {
            return;
        }
        held.ways = Default::default();
        let (at, link) = (held.ends[end], held.links[end]);
        self.handle(at, Input::LinkDown { link, dead });
    }

    /// Both ends take it for down.
    pub(crate) fn cut(&mut self, a: u8, b: u8) {
        let wire = self.wire(a, b);
        self.down(wire, 0, false);
        self.down(wire, 1, false);
    }

    pub(crate) fn construct(&mut self, path: PathId, via: Via) {
        let root = self.number(&path.group.root);
        self.handle(root, Input::Construct { path, via });
    }

    pub(crate) fn fail(&mut self, at: u8, group: GroupId) {
        self.forgotten.insert((at, group));
        let notice = TRUE.to_vec();
        self.handle(at, Input::Fail { group, notice });
    }

    /// One input, and what the groups make of its events.
    pub(crate) fn handle(&mut self, at: u8, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let routes = self.routes(at);
            let mut out = Vec::new();
            let tree = &mut self.trees[usize::from(at)];
            tree.handle(self.now, input, &routes, &mut out);
            if self.checked {
                tree.check_invariants().expect("all invariants hold");
            }
            for output in out {
                self.carry_out(at, output, &mut inputs);
            }
        }
    }

    fn carry_out(&mut self, at: u8, output: Output, inputs: &mut VecDeque<Input>) {
        match output {
            Output::Operate { link, operation } => {
                *self.sent.entry(kind(&operation)).or_default() += 1;
                self.way(link).frames.push_back(Frame::Operation(operation));
            }
            Output::Tell { link, tell } => self.way(link).frames.push_back(Frame::Tell(tell)),
            Output::JointSet { link, joint } => self.way(link).joint = joint,
            Output::Violation { what, .. } => self.violations.push((at, what)),
            Output::GiveUp { .. } => self.given_up.push(at),
            Output::FailStuck { .. } => {}
            Output::Event(event) => {
                inputs.extend(self.answer(at, &event));
                self.events.push((at, event));
            }
        }
    }

    /// The group layer in short.
    fn answer(&mut self, at: u8, event: &Event) -> Option<Input> {
        match event {
            Event::Arrived { path } => {
                let path = *path;
                if self.forgotten.contains(&(at, path.group)) {
                    let cause = Cause::Unknown;
                    return Some(Input::Release { path, cause });
                }
                let newest = self.newest.entry((at, path.group)).or_default();
                if path.epoch <= *newest {
                    let cause = Cause::Old;
                    return Some(Input::Release { path, cause });
                }
                *newest = path.epoch;
                Some(Input::Confirm { path })
            }
            Event::Failed { path, notice } if notice == TRUE => {
                let (group, notice) = (path.group, notice.clone());
                self.forgotten
                    .insert((at, group))
                    .then_some(Input::Fail { group, notice })
            }
            _ => None,
        }
    }

    /// Delivers one frame of what `a` has sent to `b`, if there is one.
    pub(crate) fn deliver(&mut self, a: u8, b: u8) -> bool {
        let wire = self.wire(a, b);
        self.deliver_on(wire, usize::from(self.wires[wire].ends[0] != a))
    }

    fn deliver_on(&mut self, wire: usize, from: usize) -> bool {
        let held = &mut self.wires[wire];
        let (at, link) = (held.ends[1 - from], held.links[1 - from]);
        let Some(frame) = held.ways[from].frames.pop_front() else {
            return false;
        };
        if held.up[1 - from] {
            let input = match frame {
                Frame::Operation(operation) => Input::Operation { link, operation },
                Frame::Tell(tell) => Input::Told { link, tell },
            };
            self.handle(at, input);
        }
        true
    }

    /// Takes the next operation from `a` to `b` off the wire.
    pub(crate) fn next_operation(&mut self, a: u8, b: u8) -> Option<Operation> {
        match self.frames(a, b).pop_front()? {
            Frame::Operation(operation) => Some(operation),
            Frame::Tell(_) => None,
        }
    }

    /// Loses all words that wait from `a` to `b`, as a broken session does; operations would be replayed. Tells how many there were.
    pub(crate) fn lose_tells(&mut self, a: u8, b: u8) -> usize {
        let tells = self.count_tells(a, b);
        self.frames(a, b).retain(|frame| matches!(frame, Frame::Operation(_)));
        tells
    }

    /// How many words wait from `a` to `b`.
    pub(crate) fn count_tells(&mut self, a: u8, b: u8) -> usize {
        let frames = self.frames(a, b).iter();
        frames.filter(|frame| matches!(frame, Frame::Tell(_))).count()
    }

    /// Loses what waits first from `a` to `b`.
    pub(crate) fn lose_first(&mut self, a: u8, b: u8) {
        self.frames(a, b).pop_front();
    }

    fn frames(&mut self, a: u8, b: u8) -> &mut VecDeque<Frame> {
        let link = self.link_at(a, b);
        &mut self.way(link).frames
    }

    /// `a` pings `b`: its joint set is on its way, past everything else.
    pub(crate) fn ping(&mut self, a: u8, b: u8) {
        let wire = self.wire(a, b);
        let from = usize::from(self.wires[wire].ends[0] != a);
        self.send_ping(wire, from);
        while self.deliver_ping(wire, from) {}
    }

    fn send_ping(&mut self, wire: usize, from: usize) {
        let way = &mut self.wires[wire].ways[from];
        way.pings.push_back(way.joint);
    }

    fn deliver_ping(&mut self, wire: usize, from: usize) -> bool {
        let held = &mut self.wires[wire];
        let (at, link) = (held.ends[1 - from], held.links[1 - from]);
        let Some(joint) = held.ways[from].pings.pop_front() else {
            return false;
        };
        if held.up[1 - from] {
            self.handle(at, Input::JointSetSeen { link, joint });
        }
        true
    }

    /// Delivers everything, and what follows from it.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut moved = false;
            for wire in 0..self.wires.len() {
                for from in [0, 1] {
                    moved |= self.deliver_ping(wire, from) | self.deliver_on(wire, from);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Everybody pings everybody, some seconds apart, until lists are exchanged.
    pub(crate) fn ping_rounds(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.now += Duration::from_secs(70);
            for wire in 0..self.wires.len() {
                for from in [0, 1] {
                    if self.wires[wire].up[from] {
                        self.send_ping(wire, from);
                        self.settle();
                    }
                }
            }
        }
    }

    /// Something happens on some link: a delivery, a ping.
    pub(crate) fn step(&mut self) {
        let wire = self.random(self.wires.len());
        let from = self.random(2);
        match self.random(5) {
            0 if self.wires[wire].up[from] => self.send_ping(wire, from),
            0 | 1 => {
                self.deliver_ping(wire, from);
            }
            _ => {
                self.deliver_on(wire, from);
            }
        }
    }

    /// Whether one end only takes this link for down.
    pub(crate) fn half_up(&self, wire: usize) -> bool {
        self.wires[wire].up[0] != self.wires[wire].up[1]
    }

    pub(crate) fn wires(&self) -> usize {
        self.wires.len()
    }

    pub(crate) fn mismatches(&self) -> u64 {
        self.trees.iter().map(Tree::mismatches).sum()
    }

    /// The events of one peer, taken.
    pub(crate) fn take_events(&mut self, at: u8) -> Vec<Event> {
        let (taken, kept) = self.events.drain(..).partition(|(peer, _)| *peer == at);
        self.events = kept;
        let taken: Vec<(u8, Event)> = taken;
        taken.into_iter().map(|(_, event)| event).collect()
    }

    pub(crate) fn paths(&self) -> Vec<usize> {
        self.trees.iter().map(Tree::paths).collect()
    }

    pub(crate) fn sent(&self, kind: &str) -> usize {
        self.sent.get(kind).copied().unwrap_or(0)
    }

    fn number(&self, peer: &PeerId) -> u8 {
        let is = |number: &u8| super::peer(*number) == *peer;
        (0..self.trees.len() as u8).find(is).expect("one of us")
    }

    /// What the owner of this link has sent on it.
    fn way(&mut self, link: LinkId) -> &mut Way {
        let LinkId(number) = link;
        &mut self.wires[number as usize / 2].ways[number as usize % 2]
    }

    fn routes(&self, at: u8) -> FakeRoutes {
        let neighbours = |of: u8| {
            let held = self.wires.iter().flat_map(move |wire| {
                let ends = [0, 1].into_iter();
                ends.filter(move |&end| wire.ends[end] == of && wire.up[end])
                    .map(|end| (wire.ends[1 - end], wire.links[end]))
            });
            held.collect::<Vec<(u8, LinkId)>>()
        };
        FakeRoutes {
            beyond: neighbours(at)
                .iter()
                .map(|&(near, _)| neighbours(near).iter().map(|&(far, _)| far).collect())
                .collect(),
            neighbours: neighbours(at),
            salt: self.salt,
        }
    }
}

/// Straight to the target if it is a neighbour; otherwise to some neighbour not yet visited. Never a detour.
struct FakeRoutes {
    neighbours: Vec<(u8, LinkId)>,
    /// The neighbours of each of them.
    beyond: Vec<Vec<u8>>,
    salt: usize,
}

impl Routes for FakeRoutes {
    fn next_hop(&self, target: &PeerId, visited: &[Tag], _: bool) -> Option<Hop> {
        let mut open = self.neighbours.clone();
        open.retain(|(number, _)| !visited.contains(&tag(*number)));
        let straight = open.iter().find(|(number, _)| peer(*number) == *target);
        let chosen = straight.or_else(|| open.get(self.salt.checked_rem(open.len())?));
        chosen.map(|&(_, link)| Hop { link, detour: false })
    }

    fn link_to(&self, target: &PeerId) -> Option<LinkId> {
        let found = self.neighbours.iter().find(|(number, _)| peer(*number) == *target);
        found.map(|&(_, link)| link)
    }

    fn common_neighbours(&self, target: &PeerId) -> Vec<LinkId> {
        let near = self.neighbours.iter().zip(&self.beyond);
        near.filter(|((number, _), beyond)| peer(*number) != *target && beyond.iter().any(|far| peer(*far) == *target))
            .map(|(&(_, link), _)| link)
            .collect()
    }

    fn round_trips(&self) -> Option<Duration> {
        None
    }
}

fn kind(operation: &Operation) -> &'static str {
    match operation {
        Operation::Construct { .. } => "construct",
        Operation::Confirm { .. } => "confirm",
        Operation::Release { .. } => "release",
        Operation::Fail { .. } => "fail",
    }
}
