//! One run: a scenario is played, every checker watches, and what comes out is what was broken and what was seen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fatebound_machine::fng::{Admit, Command as Order, Event as Of, Refusal, Ticket};
use fatebound_machine::overlay::directory::{self, Kind as NameKind, Name, Order as Later, Publication};
use fatebound_machine::overlay::pipes::{self, Port};
use fatebound_machine::overlay::{PeerId, Time};
use fatebound_machine::{Command, Event};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::applications::Applications;
use crate::checkers::numbered;
use crate::checkers::{Checkers, Report, Violation};
use crate::fault::{Admission, Bodies, Fault, GroupNumber, NameNumber};
use crate::observe::{Observation, Observe};
use crate::schedule::Scenario;
use crate::statistics::Statistics;
use crate::trace::{Filter, Kind, Tracer};
use crate::world::State;
use crate::{GroupId, PeerIndex, World};

/// Peers through which all others join, and they through one another.
const BOOTSTRAP: usize = 3;
/// A port that not everybody reads.
const UNREAD: Port = Port(102);
/// So long may joining take, in virtual time.
const JOINING: Duration = Duration::from_secs(120);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Every promise that was broken.
    pub violations: Vec<Violation>,
    /// What was seen.
    pub statistics: Statistics,
}

impl Outcome {
    fn of(report: Report, mut statistics: Statistics) -> Outcome {
        statistics.take(&report);
        Outcome {
            violations: report.violations,
            statistics,
        }
    }
}

/// Plays a scenario. A panic of the code under test is a violation like any other.
pub fn run(scenario: &Scenario) -> Outcome {
    run_with(scenario, None, |_| {})
}

/// Plays a scenario in a world that is changed when all have joined: with a bug planted somewhere, say.
pub fn run_changed(scenario: &Scenario, change: impl FnOnce(&mut World)) -> Outcome {
    run_with(scenario, None, change)
}

/// Plays a scenario, and tells what is said about groups and paths, what is done and what is found, line by line.
pub fn run_traced(scenario: &Scenario, mut tell: impl FnMut(&str)) -> Outcome {
    run_with(scenario, Some(&mut tell), |_| {})
}

type Tell<'a> = Option<&'a mut dyn FnMut(&str)>;

fn run_with(scenario: &Scenario, tell: Tell<'_>, change: impl FnOnce(&mut World)) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| play(scenario, tell, change)));
    played.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        let violation = Violation {
            promise: "no panic",
            at: Time::ZERO,
            peer: None,
            what: words.unwrap_or("a panic").to_owned(),
        };
        Outcome {
            violations: vec![violation],
            statistics: Statistics::default(),
        }
    })
}

fn play(scenario: &Scenario, tell: Tell<'_>, change: impl FnOnce(&mut World)) -> Outcome {
    let mut world = World::with_config(scenario.seed, scenario.setting.config(), scenario.setting.latency());
    let joined = join(&mut world, scenario.peers);
    change(&mut world);
    world.observe(if tell.is_some() {
        Observe::Messages
    } else {
        Observe::Events
    });
    let checkers = Checkers::new(&world);
    let mut run = Run {
        start: world.now(),
        trace: tell.map(|tell| Trace::new(&world, tell)),
        world,
        checkers,
        statistics: Statistics::of(scenario),
        asked: Vec::new(),
        come: Vec::new(),
        applications: Applications::new(scenario.seed),
        whim: StdRng::seed_from_u64(scenario.seed ^ 0x0d00_7057_0077_0000),
    };
    if joined {
        run.play(scenario);
    } else {
        run.checkers.report.violations.push(Violation {
            promise: "routing converges",
            at: run.world.now(),
            peer: None,
            what: format!("not every peer has joined within {JOINING:?}"),
        });
    }
    run.finish()
}

/// Starts the peers one after the other and waits until all have a place; says whether they got one.
fn join(world: &mut World, peers: usize) -> bool {
    for peer in 0..peers {
        let first: Vec<PeerIndex> = (0..peer.min(BOOTSTRAP)).map(PeerIndex).collect();
        world.spawn(&first);
        world.run_for(Duration::from_millis(20));
    }
    for peer in 0..peers {
        let others = (0..peers.min(BOOTSTRAP)).filter(|&other| other != peer);
        let addresses = others.map(|other| world.address(PeerIndex(other))).collect();
        world.peers[peer].bootstrap = addresses;
    }
    let end = world.now() + JOINING;
    let joined = |world: &World| {
        let mut all = (0..peers).map(|peer| world.machine(PeerIndex(peer)));
        all.all(|machine| machine.is_some_and(|machine| machine.status().joined))
    };
    while !joined(world) && world.now() < end {
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(world.config.overlay.link_interval / 2);
    joined(world)
}

fn name_of(number: NameNumber) -> Name {
    Name::new(NameKind::TEXT, number.to_string())
}

/// What is told while a run is played.
struct Trace<'a> {
    tracer: Tracer,
    tell: &'a mut dyn FnMut(&str),
    violations: usize,
}

impl<'a> Trace<'a> {
    fn new(world: &World, tell: &'a mut dyn FnMut(&str)) -> Trace<'a> {
        let mut filter = Filter::default();
        filter.kinds.insert(Kind::Orders);
        let mut tracer = Tracer::new(world, filter);
        tracer.set_origin(world.now());
        Trace {
            tracer,
            tell,
            violations: 0,
        }
    }

    fn lines(&mut self, world: &World, observations: &[(Time, Observation)]) {
        for line in self.tracer.lines(world, observations) {
            (self.tell)(&line);
        }
    }

    fn violations(&mut self, found: &[Violation]) {
        for violation in &found[self.violations..] {
            (self.tell)(&format!("VIOLATION: {violation}"));
        }
        self.violations = found.len();
    }
}

/// A run that is being played.
struct Run<'a> {
    trace: Option<Trace<'a>>,
    world: World,
    checkers: Checkers,
    statistics: Statistics,
    /// When all had joined.
    start: Time,
    /// Whom roots' applications have to decide about: root, group, peer …
    asked: Vec<(PeerIndex, GroupId, PeerId)>,
    /// … and by what.
    whim: StdRng,
    /// Bodies that have come: to whom, where, from whom.
    come: Vec<(PeerIndex, Port, PeerId)>,
    /// The processes of process groups.
    applications: Applications,
}

impl Run<'_> {
    fn play(&mut self, scenario: &Scenario) {
        let mut faults = scenario.schedule.iter().peekable();
        let end = self.start + scenario.until;
        let listen = end.elapsed().saturating_sub(self.world.config.overlay.link_interval);
        let step = self.world.config.overlay.link_interval / 2;
        while self.world.now() < end {
            let next_fault = faults.peek().map(|(at, _)| self.start + *at);
            let look = self.world.now() + step;
            let next = next_fault.into_iter().chain([look, end]).min().unwrap_or(end);
            self.world.run_for(next.since(self.world.now()));
            self.look();
            while let Some((_, fault)) = faults.next_if(|(at, _)| self.start + *at <= next) {
                self.apply(fault);
                self.look();
            }
            if self.world.now().elapsed() >= listen {
                self.world.observe(Observe::Messages);
            }
        }
    }

    fn look(&mut self) {
        self.follow();
        self.decide();
        self.read();
        self.applications.act(&mut self.world);
        self.checkers.book.feel(&self.world);
        self.checkers.look(&self.world);
        if let Some(trace) = &mut self.trace {
            trace.violations(&self.checkers.report.violations);
        }
        for peer in std::mem::take(&mut self.checkers.book.stopped) {
            self.world.crash(peer);
            self.follow();
        }
    }

    /// What has come over pipes is read; but at [`UNREAD`] peers of odd numbers read nothing.
    fn read(&mut self) {
        for (peer, port, from) in std::mem::take(&mut self.come) {
            let deaf = port == UNREAD && peer.0 % 2 == 1;
            if !deaf && self.world.peers[peer.0].state == State::Running {
                let read = pipes::Command::Read { port, peer: from };
                self.world.command(peer, Command::Pipe(read));
            }
        }
    }

    fn follow(&mut self) {
        let observations = self.world.take_observations();
        if let Some(trace) = &mut self.trace {
            trace.lines(&self.world, &observations);
        }
        self.checkers.follow(&self.world, &observations);
        self.applications.follow(&observations);
        let asked = |seen: &Observation| match seen.of_groups() {
            Some((root, Of::Asked { group, peer, .. })) => Some((root, *group, *peer)),
            _ => None,
        };
        let come = |seen: &Observation| match seen {
            Observation::Told {
                peer,
                event: Event::Pipe(pipes::Event::Received { port, peer: from, .. }),
            } => Some((*peer, *port, *from)),
            _ => None,
        };
        self.come.extend(observations.iter().filter_map(|(_, seen)| come(seen)));
        self.asked
            .extend(observations.iter().filter_map(|(_, seen)| asked(seen)));
    }

    /// Roots whose applications were asked let most peers in, keep some out, and now and then say nothing.
    fn decide(&mut self) {
        for (root, group, peer) in std::mem::take(&mut self.asked) {
            let refusal = match self.whim.random_range(0..8) {
                0 => Some(Refusal::NotAdmitted),
                1 => continue,
                _ => None,
            };
            let admit = Order::Admit { group, peer, refusal };
            if self.world.peers[root.0].state == State::Running {
                self.world.command(root, Command::Group(admit));
            }
        }
    }

    fn apply(&mut self, fault: &Fault) {
        let happens = self.happens(fault);
        if let Some(trace) = &mut self.trace {
            (trace.tell)(&format!("--- {fault}{}", if happens { "" } else { " (does nothing)" }));
        }
        if happens {
            self.statistics.happened(fault);
        }
    }

    /// The fault happens, unless it makes no sense at this moment.
    fn happens(&mut self, fault: &Fault) -> bool {
        match fault {
            Fault::Create {
                group,
                root,
                members,
                admit,
            } => self.create(*group, *root, members, admit),
            Fault::Join(peer, group) => self.come(*peer, *group, false),
            Fault::Observe(peer, group) => self.come(*peer, *group, true),
            Fault::Leave(peer, group) => self.go(*peer, *group),
            Fault::Close(peer, group) => self.is_root(*peer, *group) && self.go(*peer, *group),
            Fault::Signal(peer, group) => self.order(*peer, *group, |group| Order::Signal {
                group,
                text: "signal".into(),
            }),
            Fault::Silent(peer, group) => self.order(*peer, *group, |group| Order::FallSilent { group }),
            Fault::Check(peer, group) => self.order(*peer, *group, |group| Order::Check {
                ticket: Ticket(u64::MAX),
                group,
            }),
            Fault::Publish(peer, name) => self.publish(*peer, *name),
            Fault::Lookup(name) => self.look_up(*name),
            Fault::Bodies(bodies) => self.send_bodies(bodies),
            Fault::Process(peer, group, deed) => self.applications.does(&mut self.world, *peer, *group, *deed),
            Fault::Crash(peer) => self.when(*peer, &[State::Running, State::Paused], World::crash),
            Fault::Vanish(peer) => self.when(*peer, &[State::Running, State::Paused, State::Crashed], World::vanish),
            Fault::Stop(peer) => self.when(*peer, &[State::Running], |world, peer| {
                world.command(peer, Command::Shutdown);
            }),
            Fault::Restart(peer) => self.when(*peer, &[State::Crashed, State::Vanished], World::restart),
            Fault::Pause(peer) => self.when(*peer, &[State::Running], World::pause),
            Fault::Resume(peer) => self.when(*peer, &[State::Paused], World::resume),
            Fault::Cut(a, b) => a != b && self.does(|world| world.cut(*a, *b)),
            Fault::CutOneWay(a, b) => a != b && self.does(|world| world.cut_one_way(*a, *b)),
            Fault::Partition(one, other) => self.does(|world| world.partition(one, other)),
            Fault::Heal => self.does(World::heal),
            Fault::Calm => self.calm(),
            fault => self.troubles(fault),
        }
    }

    /// What happens to wires, connections, hosts and clocks.
    fn troubles(&mut self, fault: &Fault) -> bool {
        match *fault {
            Fault::Refuse(from, to) => self.between(from, to, World::refuse),
            Fault::Swallow(from, to) => self.between(from, to, World::black_hole),
            Fault::Break(a, b) => self.between(a, b, World::break_sessions),
            Fault::BreakAt(a, b) => self.between(a, b, World::break_sessions_at),
            Fault::Deaden(a, b) => self.between(a, b, World::silence_sessions),
            Fault::Float(peer) => self.does(|world| world.float_address(peer)),
            Fault::DeadenHost(peer) => self.does(|world| world.silence_host(peer)),
            Fault::Loss(share) => self.does(|world| world.set_loss_everywhere(share)),
            Fault::LossOn(from, to, share) => self.between(from, to, |world, from, to| world.set_loss(from, to, share)),
            Fault::Delay(from, to, extra) => self.between(from, to, |world, from, to| world.set_delay(from, to, extra)),
            Fault::Rate(from, to, rate) => {
                self.between(from, to, |world, from, to| world.set_bandwidth(from, to, rate))
            }
            Fault::Slow(peer, each) => self.does(|world| world.set_slow(peer, each)),
            Fault::Starve(peer, how_long) => {
                self.idles(peer, how_long);
                self.does(|world| world.starve(peer, how_long))
            }
            Fault::Drift(peer, rate) => {
                self.checkers.book.drifts(rate);
                self.does(|world| world.set_drift(peer, rate))
            }
            Fault::Jump(peer, by) => {
                self.idles(peer, Duration::from_millis(1));
                self.does(|world| world.jump_clock(peer, by))
            }
            Fault::Move(peer) => {
                self.idles(peer, Duration::from_millis(1));
                self.does(|world| world.move_address(peer))
            }
            Fault::Adversary(adversary) => self.does(|world| world.on_message(adversary)),
            Fault::Dismiss => self.does(World::dismiss_adversaries),
            _ => false,
        }
    }

    fn between(&mut self, a: PeerIndex, b: PeerIndex, what: impl FnOnce(&mut World, PeerIndex, PeerIndex)) -> bool {
        a != b && self.does(|world| what(world, a, b))
    }

    /// For so long the peer is not itself.
    fn idles(&mut self, peer: PeerIndex, how_long: Duration) {
        let now = self.world.now();
        self.checkers.book.idles(peer, now, now + how_long);
    }

    fn does(&mut self, what: impl FnOnce(&mut World)) -> bool {
        what(&mut self.world);
        true
    }

    fn when(&mut self, peer: PeerIndex, states: &[State], what: impl FnOnce(&mut World, PeerIndex)) -> bool {
        let sensible = states.contains(&self.world.peers[peer.0].state);
        if sensible {
            what(&mut self.world, peer);
        }
        sensible
    }

    fn calm(&mut self) -> bool {
        self.world.calm_network();
        self.world.dismiss_adversaries();
        for peer in (0..self.world.peers.len()).map(PeerIndex) {
            self.world.set_slow(peer, Duration::ZERO);
            self.world.resume(peer);
        }
        true
    }

    fn come(&mut self, peer: PeerIndex, number: GroupNumber, observe: bool) -> bool {
        let ticket = self.ticket();
        self.order(peer, number, |group| Order::Join {
            ticket,
            group,
            observe,
            timeout: None,
        })
    }

    fn go(&mut self, peer: PeerIndex, number: GroupNumber) -> bool {
        let ticket = self.ticket();
        self.order(peer, number, |group| Order::Leave { ticket, group })
    }

    fn is_root(&self, peer: PeerIndex, number: GroupNumber) -> bool {
        let group = self.checkers.book.numbered(number);
        group.is_some_and(|group| self.checkers.book.groups[&group].root == peer)
    }

    fn ticket(&mut self) -> Ticket {
        self.world.tickets += 1;
        Ticket(self.world.tickets)
    }

    fn create(&mut self, number: GroupNumber, root: PeerIndex, members: &[PeerIndex], admit: &Admission) -> bool {
        if self.world.peers[root.0].state != State::Running {
            return false;
        }
        let ticket = self.ticket();
        let others: Vec<PeerIndex> = members.iter().copied().filter(|member| *member != root).collect();
        self.checkers.book.will_create(root, ticket, number, &others);
        let create = Order::Create {
            ticket,
            members: others.iter().map(|member| self.world.id(*member)).collect(),
            tag: None,
            state: Vec::new(),
            timeout: None,
            admit: match admit {
                Admission::Ask => Admit::Ask,
                Admission::Open => Admit::Open,
                Admission::Members => Admit::Members,
                Admission::Listed(peers) => Admit::Listed(peers.iter().map(|peer| self.world.id(*peer)).collect()),
            },
        };
        self.world.command(root, Command::Group(create));
        true
    }

    /// Each publication in a run is later than all before it.
    fn publish(&mut self, peer: PeerIndex, number: NameNumber) -> bool {
        if self.world.peers[peer.0].state != State::Running {
            return false;
        }
        self.world.tickets += 1;
        let later = u32::try_from(self.world.tickets).unwrap_or(u32::MAX);
        let publication = Publication {
            name: name_of(number),
            order: Later {
                incarnation: later,
                view: 0,
            },
            signers: Vec::new(),
            tombstone: false,
            body: Vec::new(),
        };
        let ticket = directory::Ticket(self.world.tickets);
        let publish = directory::Command::Publish { ticket, publication };
        self.world.command(peer, Command::Directory(publish));
        true
    }

    /// Both ends listen from then on.
    fn send_bodies(&mut self, bodies: &Bodies) -> bool {
        let runs = |run: &Self, peer: PeerIndex| run.world.peers[peer.0].state == State::Running;
        if bodies.from == bodies.to || !runs(self, bodies.from) {
            return false;
        }
        for peer in [bodies.from, bodies.to]
            .into_iter()
            .filter(|peer| runs(self, *peer))
            .collect::<Vec<_>>()
        {
            for port in [Port(1), UNREAD] {
                let listens = self
                    .world
                    .machine(peer)
                    .is_some_and(|machine| machine.pipes().listens(port));
                if !listens {
                    self.world.command(peer, Command::Pipe(pipes::Command::Listen { port }));
                }
            }
        }
        let (port, peer) = (Port(bodies.port), self.world.id(bodies.to));
        for _ in 0..bodies.count {
            self.world.tickets += 1;
            let body = numbered(self.world.tickets, bodies.bytes as usize);
            let send = pipes::Command::Send { port, peer, body };
            self.world.command(bodies.from, Command::Pipe(send));
        }
        true
    }

    /// Every running peer looks for it.
    fn look_up(&mut self, number: NameNumber) -> bool {
        for peer in (0..self.world.peers.len()).map(PeerIndex) {
            if self.world.peers[peer.0].state == State::Running {
                self.world.tickets += 1;
                let ticket = directory::Ticket(self.world.tickets);
                let name = name_of(number);
                self.world
                    .command(peer, Command::Directory(directory::Command::Find { ticket, name }));
            }
        }
        true
    }

    fn order(&mut self, peer: PeerIndex, number: GroupNumber, order: impl FnOnce(GroupId) -> Order) -> bool {
        let runs = self.world.peers[peer.0].state == State::Running;
        let Some(group) = self.checkers.book.numbered(number).filter(|_| runs) else {
            return false;
        };
        self.world.command(peer, Command::Group(order(group)));
        true
    }

    fn finish(mut self) -> Outcome {
        self.look();
        self.checkers.end(&self.world);
        if let Some(trace) = &mut self.trace {
            trace.violations(&self.checkers.report.violations);
        }
        self.statistics.count(&self.world, &self.checkers.book);
        Outcome::of(self.checkers.report, self.statistics)
    }
}
