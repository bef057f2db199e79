//! A state of a small group: its nodes, everything that was ever said, its guards, and what an observer has noted.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use fatebound_cluster::views::{ChangeRefused, Context, Event, GuardRequest, Input, Message, Output, Status};
use fatebound_cluster::{Entry, GroupId, Log, Node, Seq, Time, ViewNumber, Views, Voter};

use super::observer::Observer;
use super::scene::{Change, Number, Scene, guard};

/// What travels between nodes.
#[derive(Clone, Debug, Hash)]
pub enum Parcel {
    /// Agreement.
    Views(Message),
    /// The stream, leader to member: an entry.
    Entry(ViewNumber, Seq, u8),
    /// Member to leader: "I have everything up to this one".
    Have(ViewNumber, Seq),
}

/// A message that was sent.
#[derive(Clone, Debug, Hash)]
pub struct Letter {
    /// By whom.
    pub from: Number,
    /// To whom.
    pub to: Number,
    /// What.
    pub parcel: Parcel,
}

/// A node and the little that is modelled above it.
#[derive(Clone, Debug, Hash)]
pub struct Peer {
    /// The machine.
    pub views: Views,
    /// What was delivered in this view.
    delivered: Vec<u8>,
    /// At the leader: who has how much.
    have: BTreeMap<Number, Seq>,
}

/// A failure notification group.
#[derive(Clone, Debug, Hash)]
pub struct Guard {
    id: GroupId,
    members: BTreeSet<Number>,
    failed: bool,
    told: BTreeSet<Number>,
}

/// A guard that is to be created.
#[derive(Clone, Debug, Hash)]
pub struct Order {
    root: Number,
    request: GuardRequest,
    members: Vec<Number>,
}

/// What can happen next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A letter arrives.
    Deliver(u64),
    /// A timer of this node fires.
    Wake(Number),
    /// A guard is created, or refused.
    Create(usize),
    /// A node is told that a guard has failed.
    Alarm(Number, usize),
    /// A guard fails without a reason.
    Fail(usize),
    /// A node dies.
    Crash(Number),
    /// The leader numbers an entry.
    Number(Number),
    /// The leader is told to plan the next change.
    Change(Number),
    /// Two parts of the group cannot reach each other any more.
    Cut,
    /// They can again.
    Heal,
}

/// A state.
#[derive(Clone, Debug)]
pub struct World {
    /// The time.
    pub now: Time,
    /// All nodes.
    pub peers: Vec<Arc<Peer>>,
    prints: Vec<u64>,
    /// Who lives.
    pub alive: Vec<bool>,
    /// What was said, by its print.
    pub mail: BTreeMap<u64, Arc<Letter>>,
    /// Guards by age.
    pub guards: Vec<Guard>,
    orders: Vec<Order>,
    /// Those on one side of a cut.
    cut: BTreeSet<Number>,
    healed: bool,
    crashes: u8,
    alarms: u8,
    entries: u8,
    changes: usize,
    /// What was seen.
    pub observer: Observer,
    /// A larger round than the scene follows was begun.
    pub too_far: bool,
}

/// A number that stands for a value.
pub fn print(value: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

impl World {
    fn rest(&self) -> impl Hash + PartialEq + '_ {
        let counts = (self.crashes, self.alarms, self.entries, self.changes, self.healed);
        let guards = (print(&self.guards), print(&self.orders), &self.cut);
        let said: Vec<u64> = self.mail.keys().copied().collect();
        (&self.prints, &self.alive, said, guards, counts, print(&self.observer))
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.rest().hash(hasher);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &World) -> bool {
        self.rest() == other.rest()
    }
}

impl World {
    /// Everybody in the first view.
    pub fn new(scene: &Scene) -> World {
        let first = scene.first();
        let peer = |number: Number| {
            let (node, config) = (scene.nodes[number], scene.config.clone());
            let views = match number < scene.members {
                true => Views::founding(node, first.clone(), config).expect("a member"),
                false => Views::joining(node, config),
            };
            Arc::new(Peer {
                views,
                delivered: Vec::new(),
                have: BTreeMap::new(),
            })
        };
        let peers: Vec<Arc<Peer>> = (0..scene.nodes.len()).map(peer).collect();
        let mut observer = Observer::default();
        for number in 0..scene.members {
            observer.installs(scene.nodes[number], None, &first);
        }
        World {
            now: Time::ZERO,
            prints: peers.iter().map(print).collect(),
            alive: vec![true; peers.len()],
            peers,
            mail: BTreeMap::new(),
            guards: vec![Guard {
                id: first.guard,
                members: (0..scene.members).collect(),
                failed: false,
                told: BTreeSet::new(),
            }],
            orders: Vec::new(),
            cut: BTreeSet::new(),
            healed: false,
            crashes: scene.crashes,
            alarms: scene.alarms,
            entries: 0,
            changes: 0,
            observer,
            too_far: false,
        }
    }

    fn reach(&self, a: Number, b: Number) -> bool {
        self.cut.contains(&a) == self.cut.contains(&b)
    }

    /// Everything that can happen next.
    pub fn actions(&self, scene: &Scene, actions: &mut Vec<Action>) {
        let arrives = |letter: &Letter| self.alive[letter.to] && self.reach(letter.from, letter.to);
        let letters = self.mail.iter().filter(|(_, letter)| arrives(letter));
        actions.extend(letters.map(|(print, _)| Action::Deliver(*print)));
        actions.extend((0..self.orders.len()).map(Action::Create));
        for (at, guard) in self.guards.iter().enumerate() {
            let untold = guard
                .members
                .iter()
                .filter(|number| guard.failed && self.alive[**number]);
            let untold = untold.filter(|number| !guard.told.contains(number));
            actions.extend(untold.map(|number| Action::Alarm(*number, at)));
            if !guard.failed && self.alarms > 0 {
                actions.push(Action::Fail(at));
            }
        }
        for number in (0..self.peers.len()).filter(|number| self.alive[*number]) {
            let views = &self.peers[number].views;
            if views.deadline().is_some_and(|at| at < Time::from_nanos(u64::MAX)) {
                actions.push(Action::Wake(number));
            }
            let mortal = scene.mortal.is_empty() || scene.mortal.contains(&number);
            if self.crashes > 0 && mortal {
                actions.push(Action::Crash(number));
            }
            if self.entries < scene.entries && views.numbers() {
                actions.push(Action::Number(number));
            }
            if self.changes < scene.changes.len() && views.numbers() {
                actions.push(Action::Change(number));
            }
        }
        if !scene.cut.is_empty() && !self.healed {
            actions.push(if self.cut.is_empty() { Action::Cut } else { Action::Heal });
        }
    }

    /// Does what happens.
    pub fn act(&mut self, scene: &Scene, action: &Action) {
        match *action {
            Action::Deliver(print) => {
                if let Some(letter) = self.mail.get(&print).cloned() {
                    self.deliver(scene, &letter);
                }
            }
            Action::Wake(number) => self.input(scene, number, Input::Wake),
            Action::Create(order) => self.create(scene, order),
            Action::Alarm(number, at) => self.alarm(scene, number, at),
            Action::Fail(at) => {
                self.alarms -= 1;
                self.guards[at].failed = true;
            }
            Action::Crash(number) => {
                self.crashes -= 1;
                self.crash(scene, number);
            }
            Action::Number(number) => self.number(scene, number),
            Action::Change(number) => self.change(scene, number),
            Action::Cut => {
                self.cut = scene.cut.iter().copied().collect();
                let side = |number: &Number| self.cut.contains(number);
                for guard in &mut self.guards {
                    guard.failed |= guard.members.iter().any(side) && !guard.members.iter().all(side);
                }
            }
            Action::Heal => {
                self.cut.clear();
                self.healed = true;
            }
        }
    }

    /// What stands for the nodes, so that it can be seen whether anything has changed.
    pub fn changed(&self, before: &World) -> bool {
        let sizes = |world: &World| (world.mail.len(), world.orders.len(), world.guards.len());
        self.prints != before.prints || sizes(self) != sizes(before) || print(&self.guards) != print(&before.guards)
    }

    fn deliver(&mut self, scene: &Scene, letter: &Letter) {
        let from = scene.nodes[letter.from];
        match &letter.parcel {
            Parcel::Views(message) => {
                let message = message.clone();
                self.input(scene, letter.to, Input::Received { from, message });
            }
            Parcel::Entry(view, seq, entry) => self.take_entry(scene, letter, *view, *seq, *entry),
            Parcel::Have(view, seq) => self.take_have(scene, letter, *view, *seq),
        }
    }

    /// A member takes an entry, delivers and acknowledges it.
    fn take_entry(&mut self, scene: &Scene, letter: &Letter, view: ViewNumber, seq: Seq, entry: u8) {
        let entry = Entry(vec![entry]);
        self.input(scene, letter.to, Input::Entry { view, seq, entry });
        let views = &self.peers[letter.to].views;
        let here = views.view().is_some_and(|now| now.number == view);
        let have = views.log().map_or(Seq(0), Log::have);
        if here && views.status() == Status::Normal && have >= seq {
            self.send(letter.to, letter.from, Parcel::Have(view, have));
        }
    }

    /// The leader counts: what everybody has is safe.
    fn take_have(&mut self, scene: &Scene, letter: &Letter, view: ViewNumber, seq: Seq) {
        let peer = Arc::make_mut(&mut self.peers[letter.to]);
        let views = &peer.views;
        let Some(now) = views.view().filter(|now| now.number == view) else {
            return;
        };
        if views.status() != Status::Normal {
            return;
        }
        let have = peer.have.entry(letter.from).or_default();
        *have = seq.max(*have);
        let others = now.voters.iter().filter_map(|voter| scene.number(voter.node));
        let others = others.filter(|number| *number != letter.to);
        let least = others.map(|number| peer.have.get(&number).copied().unwrap_or_default());
        let own = views.log().map_or(Seq(0), Log::have);
        let safe = least.min().unwrap_or(own).min(own);
        self.print(letter.to);
        if safe > Seq(0) {
            self.observer.safe(view.0, safe.0);
            self.input(scene, letter.to, Input::Committed { view, seq: safe });
        }
    }

    fn number(&mut self, scene: &Scene, number: Number) {
        let views = &self.peers[number].views;
        let (Some(view), Some(log)) = (views.view(), views.log()) else {
            return;
        };
        let (view, seq) = (view.clone(), log.have().next());
        // Every entry is another one, whoever numbers it.
        self.entries += 1;
        let entry = self.entries;
        let numbered = Input::Entry {
            view: view.number,
            seq,
            entry: Entry(vec![entry]),
        };
        self.input(scene, number, numbered);
        for to in view.voters.iter().filter_map(|voter| scene.number(voter.node)) {
            self.send(number, to, Parcel::Entry(view.number, seq, entry));
        }
    }

    fn change(&mut self, scene: &Scene, number: Number) {
        let (mut insert, mut remove) = (Vec::new(), Vec::new());
        match scene.changes[self.changes] {
            Change::Insert(number) => insert.push(Voter::new(scene.nodes[number])),
            Change::Remove(number) => remove.push(scene.nodes[number]),
        }
        self.changes += 1;
        self.observer.let_go.extend(remove.iter().copied());
        self.input(scene, number, Input::Change { insert, remove });
    }

    /// A node's life ends: guards fail, and everybody has a hint of it.
    pub fn crash(&mut self, scene: &Scene, number: Number) {
        self.alive[number] = false;
        self.mail.retain(|_, letter| letter.to != number);
        self.orders.retain(|order| order.root != number);
        for guard in self.guards.iter_mut().filter(|guard| guard.members.contains(&number)) {
            guard.failed = true;
        }
        let node = scene.nodes[number];
        for other in (0..self.peers.len())
            .filter(|other| self.alive[*other])
            .collect::<Vec<_>>()
        {
            self.input(scene, other, Input::Hint { node });
        }
    }

    /// Everybody who lives and is invited says so; all have to accept.
    fn create(&mut self, scene: &Scene, order: usize) {
        let Order { root, request, members } = self.orders.remove(order);
        let GuardRequest { view, ballot, number } = request;
        let sequence = ((view.0 * 100 + u64::from(ballot.round)) * 100 + u64::from(ballot.place)) * 100;
        let id = guard(scene.nodes[root], sequence + u64::from(number));
        let mut refusals = Vec::new();
        for member in members.iter().copied().filter(|member| *member != root) {
            let invitation = Input::Invited {
                guard: id,
                view: view.next(),
                ballot,
            };
            let outputs = match self.alive[member] && self.reach(root, member) {
                true => self.outputs(member, invitation),
                false => Vec::new(),
            };
            if !outputs.contains(&Output::Decide {
                guard: id,
                accept: true,
            }) {
                refusals.push(scene.nodes[member]);
            }
        }
        let accepted = refusals.is_empty();
        self.guards.push(Guard {
            id,
            members: members.iter().copied().collect(),
            failed: !accepted,
            told: BTreeSet::from([root]).into_iter().filter(|_| !accepted).collect(),
        });
        let answer = match accepted {
            true => Input::GuardCreated { request, guard: id },
            false => Input::GuardRefused { request, refusals },
        };
        self.input(scene, root, answer);
    }

    fn alarm(&mut self, scene: &Scene, number: Number, at: usize) {
        self.guards[at].told.insert(number);
        let guard = self.guards[at].id;
        self.input(scene, number, Input::GuardFailed { guard });
    }

    fn send(&mut self, from: Number, to: Number, parcel: Parcel) {
        if from != to && self.alive[to] {
            let letter = Letter { from, to, parcel };
            self.mail.insert(print(&letter), Arc::new(letter));
        }
    }

    fn print(&mut self, number: Number) {
        self.prints[number] = print(&self.peers[number]);
    }

    fn outputs(&mut self, number: Number, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let peer = Arc::make_mut(&mut self.peers[number]);
        peer.views.handle(self.now, input, Context::default(), &mut out);
        if peer.views.status() == Status::Normal {
            let log = peer.views.log();
            peer.delivered = log.map(|log| entries(log, log.have())).unwrap_or_default();
        }
        self.print(number);
        out
    }

    /// One input, and everything that comes of it at once.
    pub fn input(&mut self, scene: &Scene, number: Number, input: Input) {
        let before = self.peers[number].views.view().map(|view| view.number.0);
        let early = self.peers[number].delivered.clone();
        let out = self.outputs(number, input);
        let mut last = before;
        for output in out {
            match output {
                Output::Send { to, message } => {
                    if let Message::Prepare { ballot, .. } = &message {
                        self.too_far |= ballot.round > scene.rounds;
                    }
                    if let Some(to) = scene.number(to) {
                        self.send(number, to, Parcel::Views(message));
                    }
                }
                Output::CreateGuard { request, members } => {
                    let members = members.iter().filter_map(|node| scene.number(*node)).collect();
                    self.orders.push(Order {
                        root: number,
                        request,
                        members,
                    });
                }
                Output::EndGuard { guard } => {
                    // Whoever ends it is told nothing.
                    for other in self.guards.iter_mut().filter(|other| other.id == guard) {
                        other.failed = true;
                        other.told.insert(number);
                    }
                }
                Output::Decide { .. } => {}
                Output::Event(event) => self.event(scene, number, &mut last, &early, event),
            }
        }
    }

    fn event(&mut self, scene: &Scene, number: Number, last: &mut Option<u64>, early: &[u8], event: Event) {
        match event {
            Event::Deliver { view, up_to } => {
                let past = self.peers[number].views.past_log();
                if let Some((_, log)) = past.filter(|(past, _)| *past == view) {
                    let all = entries(log, up_to);
                    self.observer.delivers(view.0, early, all);
                }
            }
            Event::Installed { view } => {
                self.observer.installs(scene.nodes[number], *last, &view);
                *last = Some(view.number.0);
                let peer = Arc::make_mut(&mut self.peers[number]);
                peer.have.clear();
                peer.delivered.clear();
                self.print(number);
            }
            Event::ChangeRefused(ChangeRefused::NotAllHere | ChangeRefused::Busy | ChangeRefused::NotLeading) => {
                // It is ordered again.
                self.changes = self.changes.saturating_sub(1);
            }
            _ => {}
        }
    }

    /// Lets everything arrive and nothing else go wrong; says whether a connected quorum has ended in one view, if there is one.
    pub fn settles(&self, scene: &Scene) -> bool {
        let mut world = self.clone();
        world.cut.clear();
        for round in 0..400 {
            world.exchange(scene);
            let deadlines = world
                .peers
                .iter()
                .enumerate()
                .filter(|(number, _)| world.alive[*number]);
            let deadlines = deadlines.filter_map(|(number, peer)| peer.views.deadline().map(|at| (at, number)));
            let next = deadlines.filter(|(at, _)| *at < Time::from_nanos(u64::MAX)).min();
            if world.settled() || (round >= 20 && !world.quorum_lives()) {
                return true;
            }
            let Some((at, number)) = next else { break };
            world.now = world.now.max(at);
            world.input(scene, number, Input::Wake);
        }
        !world.quorum_lives()
    }

    /// All letters, alarms and orders, until nothing comes of them any more.
    fn exchange(&mut self, scene: &Scene) {
        for _ in 0..100 {
            let (before, said) = (self.prints.clone(), self.mail.len());
            for letter in self.mail.values().cloned().collect::<Vec<_>>() {
                if self.alive[letter.to] {
                    self.deliver(scene, &letter);
                }
            }
            for at in 0..self.guards.len() {
                for number in 0..self.peers.len() {
                    let untold = self.guards.get(at).is_some_and(|guard| {
                        guard.failed && guard.members.contains(&number) && !guard.told.contains(&number)
                    });
                    if untold && self.alive[number] {
                        self.alarm(scene, number, at);
                    }
                }
            }
            while !self.orders.is_empty() {
                self.create(scene, 0);
            }
            if self.prints == before && self.mail.len() == said {
                return;
            }
        }
    }

    fn living(&self) -> impl Iterator<Item = &Views> {
        let living = self.peers.iter().zip(&self.alive).filter(|(_, alive)| **alive);
        living.map(|(peer, _)| &peer.views)
    }

    /// Everybody who lives is in one open view, or knows that it is not, or waits outside.
    fn settled(&self) -> bool {
        let mut views = self.living().filter_map(Views::view);
        let Some(view) = views.next() else { return false };
        let lives = |node: Node| self.living().any(|views| views.me() == node);
        views.all(|other| other == view)
            && self
                .living()
                .all(|views| matches!(views.status(), Status::Normal | Status::Gone | Status::Joining))
            && view.voters.iter().all(|voter| lives(voter.node))
            && self
                .living()
                .filter(|views| view.contains(views.me()))
                .all(|views| views.status() == Status::Normal)
    }

    /// Whether those who live are a quorum of the last view in which any of them is.
    fn quorum_lives(&self) -> bool {
        let Some(view) = self.living().filter_map(Views::view).max_by_key(|view| view.number) else {
            return false;
        };
        let present = self.living().filter_map(|views| view.place(views.me())).collect();
        view.policy.is_quorum(&view.voters, &present, &BTreeSet::new())
    }
}

fn entries(log: &Log, up_to: Seq) -> Vec<u8> {
    let numbers = log.after().0 + 1..=up_to.0;
    let entries = numbers.filter_map(|seq| log.get(Seq(seq)));
    entries.filter_map(|entry| entry.0.first().copied()).collect()
}

impl World {
    /// What an action is, in words.
    pub fn line(&self, action: &Action) -> String {
        match action {
            Action::Deliver(print) => self.mail.get(print).map_or_else(String::new, |letter| {
                let parcel = match &letter.parcel {
                    Parcel::Views(message) => words(message),
                    parcel => format!("{parcel:?}"),
                };
                format!("{} → {}: {parcel}", letter.from, letter.to)
            }),
            Action::Create(order) => format!("guard {:?}", self.orders.get(*order).map(|order| &order.members)),
            action => format!("{action:?}"),
        }
    }
}

/// A message without the long names of its nodes.
fn words(message: &Message) -> String {
    match message {
        Message::Prepare { view, ballot, .. } => format!("Prepare {view} {ballot}"),
        Message::Promise {
            view,
            ballot,
            accepted,
            have,
            ..
        } => {
            let accepted = accepted.as_ref().map(|(ballot, next)| (ballot, next.voters.len()));
            format!("Promise {view} {ballot}, has {have}, accepted {accepted:?}")
        }
        Message::Accept { view, ballot, next } => {
            format!("Accept {view} {ballot}: {} voters, cut {}", next.voters.len(), next.cut)
        }
        Message::Accepted { view, ballot } => format!("Accepted {view} {ballot}"),
        Message::Install { next } => format!(
            "Install {}: {} voters, cut {}",
            next.number,
            next.voters.len(),
            next.cut
        ),
        Message::MakeGuard { request, members } => format!("MakeGuard {request:?} for {}", members.len()),
        Message::Guard { request, .. } => format!("Guard {request:?}"),
        Message::GuardRefused { request, refusals } => format!("GuardRefused {request:?}, {}", refusals.len()),
        Message::Superseded { view, .. } => format!("Superseded {view}"),
        message => format!("{message:?}"),
    }
}
