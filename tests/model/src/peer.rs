//! One peer: the real tree and the real groups, and between them what `machine` does with their outputs.
//!
//! A peer is a value. An input makes a new one, and what it wants done comes out as [`Effect`]s. Jitter is no choice here: the generator begins
//! anew with every input, so that what happens next depends on the state alone.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use fatebound_fng::message::{Answer, Request};
use fatebound_fng::{Context, Event, Groups};
use fatebound_overlay::{Identity, LinkId, PeerId, PostId, Routes, Time, Way, Ways};
use fatebound_tree::{Operation, Tell, Tree};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::world::{Number, Planted, World};

/// Something that a layer has yet to take.
#[derive(Clone, Debug)]
pub enum Work {
    /// The tree.
    Tree(fatebound_tree::Input),
    /// The groups.
    Groups(fatebound_fng::Input),
}

/// What a peer wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send an operation.
    Operate(LinkId, Operation),
    /// Send words.
    Tell(LinkId, Tell),
    /// A neighbour is accused of breaking the protocol.
    Violation(&'static str),
    /// Send a one-shot question.
    Post(PostId, PeerId, Request, Ways),
    /// Answer one.
    Reply(Way, Answer),
    /// Have a link to this peer.
    Link(PeerId),
}

/// One life of one peer.
#[derive(Debug)]
pub struct Peer {
    /// Who.
    pub number: Number,
    /// Which life, from 0.
    pub life: u8,
    /// Its paths.
    pub tree: Tree,
    /// Its groups.
    pub groups: Groups,
    /// Whether it is, or was, a member of the group.
    pub joined: bool,
    /// Whether it has asked to go.
    pub leaving: bool,
    /// How often its application was told that the group has failed.
    pub told: u8,
    /// How often it was told that it has left.
    pub left: u8,
    /// What the tree or the groups found wrong with themselves.
    pub unsound: Option<String>,
    /// All of the above as a number.
    print: u64,
}

impl Peer {
    /// At the start of a life.
    pub fn new(world: &World, number: Number, life: u8) -> Peer {
        let role = &world.roles[usize::from(number)];
        let incarnation = 1 + u64::from(life);
        let mut peer = Peer {
            number,
            life,
            tree: Tree::new(&fatebound_tree::Config::default(), role.id),
            groups: Groups::new(&world.groups(), &Identity::new(&role.keypair), incarnation, generator()),
            joined: false,
            leaving: false,
            told: 0,
            left: 0,
            unsound: None,
            print: 0,
        };
        peer.print = peer.reckon();
        peer
    }

    /// What tells this state of the peer from others.
    pub fn print(&self) -> u64 {
        self.print
    }

    fn reckon(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.number, self.life, self.joined, self.told).hash(&mut hasher);
        (self.leaving, self.left).hash(&mut hasher);
        (&self.tree, &self.groups).hash(&mut hasher);
        hasher.finish()
    }

    fn branch(&self) -> Peer {
        Peer {
            number: self.number,
            life: self.life,
            tree: self.tree.clone(),
            groups: self.groups.branch(generator()),
            joined: self.joined,
            leaving: self.leaving,
            told: self.told,
            left: self.left,
            unsound: self.unsound.clone(),
            print: 0,
        }
    }

    /// The same peer, which has asked to go.
    pub fn about_to_leave(&self) -> Peer {
        let mut next = self.branch();
        next.leaving = true;
        next.print = next.reckon();
        next
    }

    /// The peer after these inputs, and what it wants done.
    pub fn after(&self, now: Time, work: Vec<Work>, routes: &dyn Routes, world: &World) -> (Peer, Vec<Effect>) {
        let mut next = self.branch();
        let mut worklist = VecDeque::from(work);
        let mut effects = Vec::new();
        while let Some(work) = worklist.pop_front() {
            match work {
                Work::Tree(input) => next.run_tree(now, input, routes, world, &mut worklist, &mut effects),
                Work::Groups(input) => next.run_groups(now, input, routes, world, &mut worklist, &mut effects),
            }
        }
        let sound = next
            .tree
            .check_invariants()
            .and_then(|()| next.groups.check_invariants());
        next.unsound = next.unsound.or(sound.err());
        next.print = next.reckon();
        (next, effects)
    }

    fn run_tree(
        &mut self,
        now: Time,
        input: fatebound_tree::Input,
        routes: &dyn Routes,
        world: &World,
        worklist: &mut VecDeque<Work>,
        effects: &mut Vec<Effect>,
    ) {
        use fatebound_tree::{Event, Output};
        let mut out = Vec::new();
        self.tree.handle(now, input, routes, &mut out);
        for output in out {
            match output {
                Output::Operate { link, operation } => effects.push(Effect::Operate(link, operation)),
                Output::Tell { link, tell } => effects.push(Effect::Tell(link, tell)),
                Output::JointSet { .. } => {}
                Output::Violation { what, .. } => effects.push(Effect::Violation(what)),
                Output::GiveUp { .. } => effects.push(Effect::Violation("a difference that no list settles")),
                Output::FailStuck { paths, notice } => {
                    worklist.push_back(Work::Groups(fatebound_fng::Input::FailStuck { paths, notice }));
                }
                Output::Event(Event::Broken { path, .. }) if world.planted == Some(Planted::NoRepair) => {
                    let (group, text) = (path.group, "planted".to_owned());
                    let signal = fatebound_fng::Command::Signal { group, text };
                    worklist.push_back(Work::Groups(fatebound_fng::Input::Command(signal)));
                }
                Output::Event(event) => worklist.push_back(Work::Groups(fatebound_fng::Input::Tree(event))),
            }
        }
    }

    fn run_groups(
        &mut self,
        now: Time,
        input: fatebound_fng::Input,
        routes: &dyn Routes,
        world: &World,
        worklist: &mut VecDeque<Work>,
        effects: &mut Vec<Effect>,
    ) {
        use fatebound_fng::Output;
        use fatebound_tree::Input;
        let context = Context {
            round_trips: routes.round_trips(),
        };
        let mut out = Vec::new();
        self.groups.handle(now, input, context, &mut out);
        for output in out {
            let mut tree = |input| worklist.push_back(Work::Tree(input));
            match output {
                Output::Post {
                    request: Request::Leave { .. },
                    ..
                } if world.planted == Some(Planted::LeaversForget) => {}
                Output::Post {
                    post,
                    to,
                    request,
                    ways,
                } => effects.push(Effect::Post(post, to, request, ways)),
                Output::Reply {
                    way,
                    answer: Answer::Status(mut status),
                } if world.planted == Some(Planted::LeaversForget) => {
                    status.unknown.append(&mut status.parted);
                    effects.push(Effect::Reply(way, Answer::Status(status)));
                }
                Output::Reply { way, answer } => effects.push(Effect::Reply(way, answer)),
                Output::ProveAddress { .. } => {}
                Output::Link { peer } if routes.link_to(&peer).is_some() => {
                    worklist.push_back(Work::Groups(fatebound_fng::Input::LinkUp { peer }));
                }
                Output::Link { peer } => effects.push(Effect::Link(peer)),
                Output::Construct { path, via } => tree(Input::Construct { path, via }),
                Output::Confirm { path } => tree(Input::Confirm { path }),
                Output::Release { path, cause } => tree(Input::Release { path, cause }),
                Output::Fail { group, notice } => tree(Input::Fail { group, notice }),
                Output::Silence { group } => tree(Input::Silence { group }),
                Output::Unsilence { group } => tree(Input::Unsilence { group }),
                Output::Event(event) => self.on_event(&event, world),
            }
        }
    }

    fn on_event(&mut self, event: &Event, world: &World) {
        match event {
            Event::Creating { .. } | Event::Joined { .. } => self.joined = true,
            Event::Left { .. } => {
                self.joined = false;
                self.left += 1;
            }
            Event::Failed { .. } => {
                self.told += 1;
                self.told += u8::from(world.planted == Some(Planted::ToldTwice));
            }
            _ => {}
        }
    }

    /// When it wants to be woken.
    pub fn deadline(&self, world: &World) -> Option<Time> {
        let alive = world.planted != Some(Planted::TimersDead);
        self.groups.deadline().filter(|_| alive)
    }
}

fn generator() -> StdRng {
    StdRng::seed_from_u64(1)
}
