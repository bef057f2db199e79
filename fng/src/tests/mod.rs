//! Several peers in virtual time, with a mail and a tree that do what a test tells them.
//!
//! Mail takes 1 ms one way; ways can be cut, per direction. A path takes as long, has one hop, and can be cut per pair of peers; only
//! paths over the overlay or all of them. Nothing else is modelled: what tree and overlay really do is tested there, and together by the simulator.

mod comings;
mod creation;
mod failure;
mod inquiry;
mod joining;
mod leaving;
mod lists;
mod observing;
mod repair;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fatebound_overlay::{Identity, Keypair, PeerId, PostId, RequestId, Time, Way, Ways};
use fatebound_tree::{Cause, GroupId, PathId, Via};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::io::{Admit, Command, Context, Event, Input, Output, Ticket};
use crate::message::{Answer, Invitation, Request, Status};
use crate::{Config, Groups, Reason, Refusal};

const LATENCY: Duration = Duration::from_millis(1);

fn keypair(n: usize) -> Keypair {
    Keypair::ed25519_from_bytes([n as u8 + 1; 32]).unwrap()
}

fn id(n: usize) -> PeerId {
    keypair(n).public().to_peer_id()
}

fn status(alive: Vec<u16>, unknown: Vec<u16>) -> Answer {
    Answer::Status(Status {
        alive,
        unknown,
        ..Status::default()
    })
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

struct Peer {
    groups: Groups,
    events: Vec<(Time, Event)>,
    posts: Vec<(Time, PeerId, Request)>,
    /// How each of them was sent.
    sent_by: Vec<Ways>,
    up: bool,
}

struct World {
    now: Time,
    peers: Vec<Peer>,
    queue: BTreeMap<(Time, u64), (usize, Input)>,
    queued: u64,
    /// Who does not hear whom: `(from, to)`.
    deaf: BTreeSet<(usize, usize)>,
    /// Pairs without paths over the overlay, and without any paths.
    no_overlay: BTreeSet<(usize, usize)>,
    no_path: BTreeSet<(usize, usize)>,
    /// Ways back: the asker and its posting.
    ways: Vec<(usize, PostId)>,
    paths: BTreeSet<PathId>,
    constructs: Vec<(PathId, Via)>,
    /// What each request is delivered as often as.
    copies: usize,
    round_trips: Option<Duration>,
    /// Who may come into groups that are created from now on.
    admit: Admit,
}

impl World {
    fn new(peers: usize) -> World {
        World::with(peers, &Config::lan())
    }

    fn with(peers: usize, config: &Config) -> World {
        let peer = |n| Peer {
            groups: groups(n, 1, config),
            events: Vec::new(),
            posts: Vec::new(),
            sent_by: Vec::new(),
            up: true,
        };
        World {
            now: Time::ZERO,
            peers: (0..peers).map(peer).collect(),
            queue: BTreeMap::new(),
            queued: 0,
            deaf: BTreeSet::new(),
            no_overlay: BTreeSet::new(),
            no_path: BTreeSet::new(),
            ways: Vec::new(),
            paths: BTreeSet::new(),
            constructs: Vec::new(),
            copies: 1,
            round_trips: Some(LATENCY),
            admit: Admit::Ask,
        }
    }

    fn index(&self, peer: &PeerId) -> Option<usize> {
        (0..self.peers.len()).find(|n| id(*n) == *peer)
    }

    /// A group of peer 0 with all others, 100 ms after the start.
    fn group(&mut self) -> GroupId {
        let others: Vec<usize> = (1..self.peers.len()).collect();
        let group = self.create(0, &others, None);
        self.run(Duration::from_millis(100));
        group
    }

    fn create(&mut self, root: usize, members: &[usize], tag: Option<&str>) -> GroupId {
        let command = Command::Create {
            ticket: Ticket(7),
            members: members.iter().map(|n| id(*n)).collect(),
            tag: tag.map(str::to_owned),
            state: b"state".to_vec(),
            timeout: None,
            admit: self.admit.clone(),
        };
        self.command(root, command);
        let creating = self.peers[root].events.iter().rev().find_map(|(_, event)| match event {
            Event::Creating { group, .. } => Some(*group),
            _ => None,
        });
        creating.expect("Creating")
    }

    fn command(&mut self, peer: usize, command: Command) {
        self.input(peer, Input::Command(command));
    }

    fn signal(&mut self, peer: usize, group: GroupId) {
        let text = "enough".to_owned();
        self.command(peer, Command::Signal { group, text });
    }

    fn tree(&mut self, peer: usize, event: fatebound_tree::Event) {
        self.input(peer, Input::Tree(event));
    }

    /// Hands in one input now.
    fn input(&mut self, peer: usize, input: Input) {
        if !self.peers[peer].up {
            return;
        }
        let context = Context {
            round_trips: self.round_trips,
        };
        let mut out = Vec::new();
        self.peers[peer].groups.handle(self.now, input, context, &mut out);
        // It walks over everything: in a large world now and then.
        if self.queued < 2000 || self.queued.is_multiple_of(64) {
            let sound = self.peers[peer].groups.check_invariants();
            assert_eq!(sound, Ok(()), "at {peer}");
        }
        for output in out {
            self.carry_out(peer, output);
        }
    }

    /// Hands in one input now; what follows from it is not carried out.
    fn outputs(&mut self, peer: usize, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let context = Context::default();
        self.peers[peer].groups.handle(self.now, input, context, &mut out);
        out
    }

    fn later(&mut self, peer: usize, delay: Duration, input: Input) {
        self.queued += 1;
        self.queue.insert((self.now + delay, self.queued), (peer, input));
    }

    fn carry_out(&mut self, peer: usize, output: Output) {
        match output {
            Output::Event(event) => self.peers[peer].events.push((self.now, event)),
            Output::Post {
                post,
                to,
                request,
                ways,
            } => {
                self.peers[peer].sent_by.push(ways);
                self.post(peer, post, to, &request);
            }
            Output::Reply { way, answer } => {
                let Way::Direct(RequestId(way)) = way else { return };
                let (asker, post) = self.ways[way as usize];
                if !self.deaf.contains(&(peer, asker)) {
                    let from = id(peer);
                    self.later(asker, LATENCY, Input::Answered { post, from, answer });
                }
            }
            Output::Link { peer: to } => {
                let failed = self.index(&to).is_none_or(|to| self.apart(&self.no_path, peer, to));
                let input = if failed {
                    Input::LinkFailed { peer: to }
                } else {
                    Input::LinkUp { peer: to }
                };
                self.later(peer, LATENCY, input);
            }
            Output::Construct { path, via } => self.on_construct(peer, path, via),
            Output::Confirm { path } => {
                if self.paths.contains(&path) {
                    self.tell_end(peer, path, LATENCY, fatebound_tree::Event::Live { path, hops: 1 });
                } else {
                    // It broke on its way to us.
                    let cause = Cause::LinkDown;
                    self.later(
                        peer,
                        Duration::ZERO,
                        Input::Tree(fatebound_tree::Event::Broken { path, cause }),
                    );
                }
            }
            Output::Release { path, cause } => {
                if self.paths.remove(&path) {
                    self.tell_end(peer, path, LATENCY, fatebound_tree::Event::Broken { path, cause });
                }
            }
            Output::Fail { group, notice } => {
                for path in self.take_paths(peer, group) {
                    let notice = notice.clone();
                    self.tell_end(peer, path, LATENCY, fatebound_tree::Event::Failed { path, notice });
                }
            }
            Output::Silence { group } => {
                for path in self.take_paths(peer, group) {
                    let cause = Cause::LinkDown;
                    self.tell_end(peer, path, LATENCY, fatebound_tree::Event::Broken { path, cause });
                }
            }
            Output::ProveAddress { .. } | Output::Unsilence { .. } => {}
        }
    }

    fn post(&mut self, from: usize, post: PostId, to: PeerId, request: &Request) {
        self.peers[from].posts.push((self.now, to, request.clone()));
        let Some(to) = self.index(&to) else {
            return self.later(from, LATENCY, Input::PostFailed { post, unknown: true });
        };
        if self.deaf.contains(&(from, to)) {
            return;
        }
        for _ in 0..self.copies {
            self.ways.push((from, post));
            let way = Way::Direct(RequestId(self.ways.len() as u64 - 1));
            let (from, request) = (id(from), request.clone());
            self.later(to, LATENCY, Input::Asked { from, way, request });
        }
    }

    /// Hands in a question as if from this peer; nobody hears the answer.
    fn ask(&mut self, from: usize, to: usize, request: Request) {
        self.ways.push((from, PostId(u64::MAX)));
        let way = Way::Direct(RequestId(self.ways.len() as u64 - 1));
        self.input(
            to,
            Input::Asked {
                from: id(from),
                way,
                request,
            },
        );
    }

    fn on_construct(&mut self, root: usize, path: PathId, via: Via) {
        self.constructs.push((path, via));
        let member = self.index(&path.member).expect("a peer");
        let blocked = via == Via::Overlay && self.apart(&self.no_overlay, root, member);
        if blocked || self.apart(&self.no_path, root, member) {
            let cause = Cause::NoRoute;
            return self.later(
                root,
                LATENCY,
                Input::Tree(fatebound_tree::Event::Broken { path, cause }),
            );
        }
        self.paths.insert(path);
        self.later(member, LATENCY, Input::Tree(fatebound_tree::Event::Arrived { path }));
    }

    fn apart(&self, pairs: &BTreeSet<(usize, usize)>, a: usize, b: usize) -> bool {
        pairs.contains(&(a.min(b), a.max(b)))
    }

    /// Tells the end of the path that is not `peer`.
    fn tell_end(&mut self, peer: usize, path: PathId, delay: Duration, event: fatebound_tree::Event) {
        let end = if path.member == id(peer) {
            path.group.root
        } else {
            path.member
        };
        let end = self.index(&end).expect("a peer");
        self.later(end, delay, Input::Tree(event));
    }

    fn take_paths(&mut self, peer: usize, group: GroupId) -> Vec<PathId> {
        let ours = |path: &PathId| path.group == group && (path.member == id(peer) || group.root == id(peer));
        let taken: Vec<PathId> = self.paths.iter().filter(|path| ours(path)).copied().collect();
        self.paths.retain(|path| !taken.contains(path));
        taken
    }

    /// Every path between these two breaks, in every group.
    fn break_paths(&mut self, a: usize, b: usize) {
        let ends = [id(a), id(b)];
        let between = |path: &PathId| ends.contains(&path.member) && ends.contains(&path.group.root);
        let broken: Vec<PathId> = self.paths.iter().filter(|path| between(path)).copied().collect();
        for path in broken {
            self.paths.remove(&path);
            let cause = Cause::LinkDown;
            for end in [a, b] {
                self.later(
                    end,
                    Duration::ZERO,
                    Input::Tree(fatebound_tree::Event::Broken { path, cause }),
                );
            }
        }
    }

    /// Nothing passes between these two any more.
    fn cut(&mut self, a: usize, b: usize) {
        self.deaf.extend([(a, b), (b, a)]);
        self.no_path.insert((a.min(b), a.max(b)));
        self.break_paths(a, b);
    }

    /// The process ends; its neighbours see its links go down.
    fn crash(&mut self, peer: usize) {
        self.peers[peer].up = false;
        for other in (0..self.peers.len()).filter(|other| *other != peer) {
            self.cut(peer, other);
        }
    }

    /// A new life of the same peer, in the place of the old one.
    fn restart(&mut self, peer: usize) {
        self.peers[peer].groups = groups(peer, 2, &Config::lan());
        for other in (0..self.peers.len()).filter(|other| *other != peer) {
            self.break_paths(peer, other);
        }
        self.queue
            .retain(|_, (to, input)| !(*to == peer && matches!(input, Input::Tree(_))));
    }

    /// Lets virtual time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wake = (0..self.peers.len())
                .filter(|n| self.peers[*n].up)
                .filter_map(|n| Some((self.peers[n].groups.deadline()?, n)))
                .min();
            let arrival = self.queue.first_key_value().map(|((at, _), _)| *at);
            match (arrival, wake) {
                (Some(at), wake) if at <= end && wake.is_none_or(|(wake, _)| at <= wake) => {
                    self.now = self.now.max(at);
                    let (_, (peer, input)) = self.queue.pop_first().expect("just seen");
                    self.input(peer, input);
                }
                (_, Some((at, peer))) if at <= end => {
                    self.now = self.now.max(at);
                    self.input(peer, Input::Wake);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// When and why this group failed at a peer. Panics if it failed there twice.
    fn failed(&self, peer: usize, group: GroupId) -> Option<(Time, Reason)> {
        let mut failures = self.peers[peer].events.iter().filter_map(|(at, event)| match event {
            Event::Failed { group: failed, reason } if *failed == group => Some((*at, reason.clone())),
            _ => None,
        });
        let first = failures.next();
        assert_eq!(failures.next(), None, "P2: exactly once, at peer {peer}");
        first
    }

    fn reason(&self, peer: usize, group: GroupId) -> Option<Reason> {
        self.failed(peer, group).map(|(_, reason)| reason)
    }

    fn events(&self, peer: usize) -> Vec<&Event> {
        self.peers[peer].events.iter().map(|(_, event)| event).collect()
    }

    fn refusals(&self, root: usize) -> Option<&[(PeerId, Refusal)]> {
        self.events(root).into_iter().find_map(|event| match event {
            Event::CreateFailed { refusals, .. } => Some(&**refusals),
            _ => None,
        })
    }

    /// Whom this peer has posted failures to, and how.
    fn fails_posted(&self, peer: usize) -> Vec<(PeerId, Ways)> {
        let peer = &self.peers[peer];
        let posts = peer.posts.iter().zip(&peer.sent_by);
        posts
            .filter(|((_, _, request), _)| matches!(request, Request::Fail(_)))
            .map(|((_, to, _), ways)| (*to, *ways))
            .collect()
    }

    fn posts(&self) -> usize {
        self.peers.iter().map(|peer| peer.posts.len()).sum()
    }

    fn path(&self, group: GroupId, member: usize, epoch: u32) -> PathId {
        PathId {
            group,
            member: id(member),
            epoch,
        }
    }

    /// The last invitation that this peer posted.
    fn invitation(&self, root: usize) -> Invitation {
        let posts = self.peers[root].posts.iter().rev();
        let found = posts.clone().find_map(|(_, _, request)| match request {
            Request::Invite(invitation) => Some((**invitation).clone()),
            _ => None,
        });
        found.expect("an invitation")
    }

    /// Nothing is under way anywhere: no timer, no question.
    fn assert_idle(&self) {
        for (n, peer) in self.peers.iter().enumerate().filter(|(_, peer)| peer.up) {
            let groups = &peer.groups;
            assert_eq!(groups.deadline(), None, "peer {n} waits for something");
            let idle = groups.inquiries.is_idle() && groups.checks.is_idle();
            assert!(idle, "peer {n} asks something");
            let idle = groups.inviting.len() == 0 && groups.repairs.len() == 0;
            assert!(idle, "peer {n}: a steady group is only a row");
        }
    }
}

fn groups(n: usize, incarnation: u64, config: &Config) -> Groups {
    let rng = StdRng::seed_from_u64(n as u64);
    Groups::new(config, &Identity::new(&keypair(n)), incarnation, rng)
}

/// Questions that this peer has posted.
fn probes(world: &World, peer: usize) -> usize {
    let asks = |request: &Request| matches!(request, Request::Probe { .. } | Request::NeedRepair { .. });
    world.peers[peer]
        .posts
        .iter()
        .filter(|(_, _, request)| asks(request))
        .count()
}

/// Everybody has the group, with all its paths, and nothing is under way.
fn assert_alive(world: &World, group: GroupId) {
    for peer in 0..world.peers.len() {
        assert_eq!(world.reason(peer, group), None, "at {peer}");
    }
    assert!(
        world.peers[0]
            .groups
            .view(&group)
            .unwrap()
            .hops
            .iter()
            .all(Option::is_some)
    );
    world.assert_idle();
}
