//! The stretches of a run, one after the other.

use std::collections::HashMap;
use std::time::Duration;

use fatebound_machine::fng::{self, Ticket};
use fatebound_machine::overlay::{PeerId, Time};
use fatebound_machine::{Command, Config, Event, Profile};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::figures::{Distribution, Report};
use super::ledger::{Ledger, Life, Violation};
use super::{Options, Progress};
use crate::{Latency, Observation, Observe, PeerIndex, Traffic, World};

/// Records kept by each peer: leaf set and table of 100,000 peers are some thirty, and memory is what limits a world's size.
const RECORDS: usize = 64;

/// How often newcomers, creations, deaths and signals are due.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Addresses of random peers that a newcomer gets.
const BOOTSTRAP: usize = 3;

/// For each newcomer under way there are so many that have joined.
const JOINED_PER_NEWCOMER: usize = 4;

/// The fewest and the most members of a group.
const MEMBERS: (usize, usize) = (2, 16);

/// How long groups are created; how long nothing happens and is measured; how long the last notifications are waited for at most.
const CREATION: Duration = Duration::from_secs(60);
const CALM: Duration = Duration::from_secs(30);
const ECHO: Duration = Duration::from_secs(120);

/// Searches for random peers.
const SEARCHES: usize = 1000;

/// A world, and what is known about it from outside.
pub(super) struct Stage<'a> {
    pub(super) options: Options,
    pub(super) world: World,
    pub(super) rng: StdRng,
    pub(super) ledger: Ledger,
    pub(super) report: Report,
    /// Who has a place on the ring, in no particular order, and where each stands in that list.
    pub(super) joined: Vec<PeerIndex>,
    places: HashMap<PeerIndex, usize>,
    /// When the life of each that seeks its place began.
    pub(super) seeking: HashMap<PeerIndex, Time>,
    creating: HashMap<u64, (Time, Vec<PeerIndex>)>,
    searching: HashMap<(PeerIndex, PeerId), Time>,
    growing: bool,
    stretch: &'static str,
    watch: &'a mut dyn FnMut(Progress),
    stop: &'a dyn Fn() -> bool,
    reported: Time,
}

/// Plays one world to its end, or until `stop` says so. `watch` hears every ten virtual seconds how far it is.
pub fn run(options: &Options, watch: &mut dyn FnMut(Progress), stop: &dyn Fn() -> bool) -> Report {
    let mut stage = Stage::new(options, watch, stop);
    for stretch in [
        Stage::join,
        Stage::create,
        Stage::settle,
        Stage::calm,
        Stage::churn,
        Stage::echo,
    ] {
        if !stage.stopped() {
            stretch(&mut stage);
        }
    }
    stage.finish()
}

impl<'a> Stage<'a> {
    fn new(options: &Options, watch: &'a mut dyn FnMut(Progress), stop: &'a dyn Fn() -> bool) -> Stage<'a> {
        let mut config = Config::preset(options.profile);
        config.overlay.max_records = RECORDS;
        let latency = match options.profile {
            Profile::Local | Profile::Lan => Latency::RACK,
            Profile::Wan | Profile::Fuse => Latency::INTERNET,
        };
        let mut world = World::with_config(options.seed, config, latency);
        world.observe(Observe::Events);
        world.forget_events();
        Stage {
            options: options.clone(),
            world,
            rng: StdRng::seed_from_u64(options.seed ^ 0x5ca1e),
            ledger: Ledger::default(),
            report: Report::default(),
            joined: Vec::new(),
            places: HashMap::new(),
            seeking: HashMap::new(),
            creating: HashMap::new(),
            searching: HashMap::new(),
            growing: true,
            stretch: "joining",
            watch,
            stop,
            reported: Time::ZERO,
        }
    }

    /// Newcomers come as fast as those who are there can take them in.
    fn join(&mut self) {
        let mut spawned = 0;
        while self.joined.len() < self.options.peers && !self.stopped() {
            let most = self.joined.len() / JOINED_PER_NEWCOMER + 1;
            while spawned < self.options.peers && self.seeking.len() < most {
                self.newcomer();
                spawned += 1;
            }
            self.pass(TICK);
        }
        self.report.joined_after = self.world.now().elapsed();
        self.growing = false;
    }

    /// A new host, with the addresses of some peers that have joined.
    pub(super) fn newcomer(&mut self) {
        let bootstrap: Vec<PeerIndex> = (0..BOOTSTRAP.min(self.joined.len())).map(|_| self.anybody()).collect();
        let peer = self.world.spawn(&bootstrap);
        self.seeking.insert(peer, self.world.now());
    }

    /// Somebody who has a place.
    pub(super) fn anybody(&mut self) -> PeerIndex {
        self.joined[self.rng.random_range(0..self.joined.len())]
    }

    /// A life is over, or begins anew.
    pub(super) fn leave_ring(&mut self, peer: PeerIndex) {
        self.seeking.remove(&peer);
        if let Some(place) = self.places.remove(&peer) {
            self.joined.swap_remove(place);
            if let Some(moved) = self.joined.get(place) {
                self.places.insert(*moved, place);
            }
        }
    }

    fn create(&mut self) {
        self.stretch = "creating";
        let start = self.world.now();
        let mut ordered = 0;
        while ordered < self.options.groups && !self.stopped() {
            self.pass(TICK);
            let share = self.world.now().since(start).as_secs_f64() / CREATION.as_secs_f64();
            let due = ((self.options.groups as f64 * share) as usize).min(self.options.groups);
            for ticket in ordered..due {
                self.order_group(ticket as u64);
            }
            ordered = due;
        }
        while !self.creating.is_empty() && !self.stopped() && self.world.now().since(start) < CREATION * 3 {
            self.pass(TICK);
        }
        self.report.groups = self.ledger.len();
    }

    fn order_group(&mut self, ticket: u64) {
        let count = self.rng.random_range(MEMBERS.0..=MEMBERS.1).min(self.joined.len());
        let mut members: Vec<PeerIndex> = Vec::with_capacity(count);
        while members.len() < count {
            let member = self.anybody();
            if !members.contains(&member) {
                members.push(member);
            }
        }
        let create = fng::Command::Create {
            ticket: Ticket(ticket),
            members: members[1..].iter().map(|member| self.world.id(*member)).collect(),
            tag: None,
            state: Vec::new(),
            timeout: None,
            admit: fng::Admit::default(),
        };
        self.world.command(members[0], Command::Group(create));
        self.creating.insert(ticket, (self.world.now(), members));
    }

    /// Paths come up, and links that served creation only are let go.
    fn settle(&mut self) {
        self.stretch = "settling";
        self.pass(2 * self.world.config().overlay.link_interval);
        self.report.peers = self.joined.len();
        for peer in &self.joined {
            let Some(machine) = self.world.machine(*peer) else {
                continue;
            };
            let status = machine.status();
            self.report
                .degree
                .add((status.links_alive + status.links_doubtful) as f64);
            self.report.carried.add(status.paths_as_delegate as f64);
        }
        let roots: Vec<_> = self.ledger.roots().collect();
        for (group, root) in roots {
            let view = self.world.machine(root).and_then(|machine| machine.group(&group));
            if let Some(view) = view {
                let hops = view.hops.iter().flatten();
                hops.for_each(|hops| self.report.hops.add(f64::from(*hops)));
                self.ledger.set_bound(&group, view.notification_bound);
            }
        }
    }

    /// What everybody sends when nothing happens; then some searches.
    fn calm(&mut self) {
        self.stretch = "calm";
        let before: Vec<Traffic> = self.joined.iter().map(|peer| self.world.sent(*peer)).collect();
        self.pass(CALM);
        let seconds = CALM.as_secs_f64();
        for (peer, before) in self.joined.iter().zip(before) {
            let after = self.world.sent(*peer);
            self.report
                .messages
                .add((after.messages - before.messages) as f64 / seconds);
            self.report.bytes.add((after.bytes - before.bytes) as f64 / seconds);
        }
        self.search();
    }

    fn search(&mut self) {
        for _ in 0..SEARCHES.min(self.joined.len()) {
            let (asker, wanted) = (self.anybody(), self.anybody());
            let wanted = self.world.id(wanted);
            let machine = self.world.machine(asker);
            if machine.is_some_and(|machine| machine.peer() != wanted) {
                self.searching.insert((asker, wanted), self.world.now());
                self.world.command(asker, Command::Locate { peer: wanted });
            }
        }
        self.pass(self.world.config().overlay.ping_timeout * 2);
        self.report.not_located += self.searching.len();
    }

    /// Until whoever lives has been told.
    fn echo(&mut self) {
        self.stretch = "echo";
        let start = self.world.now();
        while self.ledger.untold > 0 && !self.stopped() && self.world.now().since(start) < ECHO {
            self.pass(TICK);
        }
    }

    fn finish(mut self) -> Report {
        if self.report.stopped.is_none() {
            self.ledger.close();
        }
        if self.report.peers == 0 {
            self.report.peers = self.joined.len();
        }
        let mut report = self.report;
        report.failed = self.ledger.failed;
        report.latencies = self.ledger.latencies;
        report.slowest = self.ledger.slowest.into_sorted();
        report.violations.append(&mut self.ledger.violations);
        report.time = self.world.now().elapsed();
        report.events = self.world.happened();
        report
    }

    /// Whether the run ends before its end; remembered, because whoever stops it may not say so twice.
    pub(super) fn stopped(&mut self) -> bool {
        if self.report.stopped.is_none() && (self.stop)() {
            self.report.stopped = Some(self.stretch);
        }
        self.report.stopped.is_some()
    }

    /// Lets time pass, and takes in what peers have told their applications.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.world.now() + time;
        while self.world.now() < end && !self.stopped() {
            let step = end.since(self.world.now()).min(TICK);
            self.world.run_for(step);
            for (at, observation) in self.world.take_observations() {
                if let Observation::Told { peer, event } = observation {
                    self.on_event(at, peer, event);
                }
            }
        }
        if self.world.now().since(self.reported) >= Duration::from_secs(10) {
            self.reported = self.world.now();
            (self.watch)(Progress {
                stretch: self.stretch,
                now: self.world.now().elapsed(),
                joined: self.joined.len(),
                created: self.ledger.len(),
                events: self.world.happened(),
            });
        }
    }

    fn on_event(&mut self, at: Time, peer: PeerIndex, event: Event) {
        match event {
            Event::Joined => self.on_joined(at, peer),
            Event::Located {
                peer: wanted,
                addresses,
            } => {
                if let Some(since) = self.searching.remove(&(peer, wanted)) {
                    self.report.not_located += usize::from(addresses.is_empty());
                    self.report.locating.add_time(at.since(since));
                }
            }
            Event::Group(fng::Event::Created { ticket, group }) => {
                if let Some((since, members)) = self.creating.remove(&ticket.0) {
                    self.report.creating.add_time(at.since(since));
                    let lives: Vec<Life> = members
                        .iter()
                        .map(|member| (*member, self.world.life(*member)))
                        .collect();
                    self.ledger.created(group, &lives);
                }
            }
            Event::Group(fng::Event::CreateFailed {
                ticket,
                refusals,
                error,
                ..
            }) => {
                self.creating.remove(&ticket.0);
                self.report.refused += 1;
                let reason = format!("{refusals:?} {error:?}");
                self.ledger
                    .violations
                    .push(Violation::Refused { root: peer, reason, at });
            }
            Event::Group(fng::Event::Failed { group, reason }) => {
                let life = (peer, self.world.life(peer));
                self.ledger.told(at, &group, life, &reason.to_string());
            }
            _ => {}
        }
    }

    fn on_joined(&mut self, at: Time, peer: PeerIndex) {
        if let Some(since) = self.seeking.remove(&peer) {
            let times: &mut Distribution = if self.growing {
                &mut self.report.joining
            } else {
                &mut self.report.rejoining
            };
            times.add_time(at.since(since));
            self.places.insert(peer, self.joined.len());
            self.joined.push(peer);
        }
    }

    pub(super) fn set_stretch(&mut self, stretch: &'static str) {
        self.stretch = stretch;
    }
}
