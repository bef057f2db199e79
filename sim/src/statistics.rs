//! What runs have seen, added up: so that it shows whether faults do hit groups.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checkers::{Book, Report};
use crate::fault::Fault;
use crate::schedule::Scenario;
use crate::{PeerIndex, World};

/// Sums over any number of runs.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Runs.
    pub runs: u64,
    /// Virtual time of all of them.
    pub time: Duration,
    /// Peers in all of them.
    pub peers: u64,
    /// Runs with each configuration.
    pub settings: BTreeMap<String, u64>,
    /// Runs in which each kind of fault happened at least once.
    pub runs_with: BTreeMap<&'static str, u64>,
    /// Faults that happened.
    pub faults: u64,
    /// Groups whose creation began.
    pub groups: u64,
    /// Of these, those that all members accepted.
    pub created: u64,
    /// Created groups that failed.
    pub failed: u64,
    /// Paths that broke and were repaired, at peers that lived to the end.
    pub repairs: u64,
    /// Links lost, likewise.
    pub links_lost: u64,
    /// Notifications by the share of the bound that they took: tenths, the last for what is beyond.
    pub shares: [u64; 11],
    /// The largest share.
    pub worst: f64,
    /// The run with the largest share.
    pub worst_seed: u64,
    /// Groups that failed with no member dead, signalling or silent, because P4's condition did not hold.
    pub unlucky: u64,
    /// Lookups of names that had to succeed, and did or did not.
    pub lookups: u64,
    /// Views of process groups that were installed, at every node once.
    pub views: u64,
    /// Messages that providers of process groups were shown.
    pub messages: u64,
    /// Process groups that had to be together, and open, when a run ended.
    pub gatherings: u64,
    /// Events of the simulator.
    pub events: u64,
}

impl Statistics {
    pub(crate) fn of(scenario: &Scenario) -> Statistics {
        Statistics {
            runs: 1,
            time: scenario.until,
            peers: scenario.peers as u64,
            settings: BTreeMap::from([(scenario.setting.to_string(), 1)]),
            worst_seed: scenario.seed,
            ..Statistics::default()
        }
    }

    pub(crate) fn happened(&mut self, fault: &Fault) {
        self.runs_with.insert(fault.kind(), 1);
        let harmless = matches!(
            fault,
            Fault::Create { .. }
                | Fault::Join(..)
                | Fault::Observe(..)
                | Fault::Leave(..)
                | Fault::Close(..)
                | Fault::Calm
                | Fault::Publish(..)
                | Fault::Lookup(_)
                | Fault::Bodies(_)
                | Fault::Process(..)
        );
        self.faults += u64::from(!harmless);
    }

    pub(crate) fn count(&mut self, world: &World, book: &Book) {
        self.groups = book.groups.len() as u64;
        for group in book.groups.values() {
            let created = group.outcome.as_ref().is_some_and(|outcome| outcome.refusals.is_none());
            self.created += u64::from(created);
            self.failed += u64::from(created && group.over().is_some());
        }
        for machine in (0..book.peers.len()).filter_map(|peer| world.machine(PeerIndex(peer))) {
            let counters = machine.status().counters;
            self.repairs += counters.repairs;
            self.links_lost += counters.links_lost;
        }
        self.events = world.happened();
    }

    pub(crate) fn take(&mut self, report: &Report) {
        self.unlucky = report.unlucky;
        self.lookups = report.lookups;
        self.views = report.views;
        self.messages = report.messages;
        self.gatherings = report.gatherings;
        for share in &report.shares {
            self.shares[((share * 10.0) as usize).min(10)] += 1;
            self.worst = self.worst.max(*share);
        }
    }

    /// Adds the sums of other runs.
    pub fn add(&mut self, other: &Statistics) {
        self.runs += other.runs;
        self.time += other.time;
        self.peers += other.peers;
        self.faults += other.faults;
        self.groups += other.groups;
        self.created += other.created;
        self.failed += other.failed;
        self.repairs += other.repairs;
        self.links_lost += other.links_lost;
        self.unlucky += other.unlucky;
        self.lookups += other.lookups;
        self.views += other.views;
        self.messages += other.messages;
        self.gatherings += other.gatherings;
        self.events += other.events;
        for (mine, theirs) in self.shares.iter_mut().zip(other.shares) {
            *mine += theirs;
        }
        if other.worst > self.worst {
            (self.worst, self.worst_seed) = (other.worst, other.worst_seed);
        }
        for (setting, runs) in &other.settings {
            *self.settings.entry(setting.clone()).or_default() += runs;
        }
        for (kind, runs) in &other.runs_with {
            *self.runs_with.entry(kind).or_default() += runs;
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Statistics {
            runs, groups, created, ..
        } = *self;
        writeln!(
            f,
            "{runs} runs, {:.1} virtual hours, {} events, {:.1} peers and {:.1} faults each",
            self.time.as_secs_f64() / 3600.0,
            self.events,
            self.peers as f64 / runs.max(1) as f64,
            self.faults as f64 / runs.max(1) as f64
        )?;
        let share = |(name, n): (String, u64)| format!("{name} {:.1} %", percent(n, runs));
        let list = |all: Vec<(String, u64)>| all.into_iter().map(share).collect::<Vec<_>>().join(", ");
        let settings = self.settings.iter().map(|(name, n)| (name.clone(), *n)).collect();
        let kinds = self
            .runs_with
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect();
        writeln!(f, "configurations: {}", list(settings))?;
        writeln!(f, "runs with: {}", list(kinds))?;
        writeln!(
            f,
            "{groups} groups, {:.1} % created, of these {:.1} % failed, {:.2} % for want of a way between root and member",
            percent(created, groups),
            percent(self.failed, created),
            percent(self.unlucky, created)
        )?;
        writeln!(
            f,
            "{:.2} paths repaired per group created, {:.1} links lost per run",
            self.repairs as f64 / created.max(1) as f64,
            self.links_lost as f64 / runs.max(1) as f64
        )?;
        writeln!(f, "{} lookups of names that had to be found", self.lookups)?;
        writeln!(
            f,
            "process groups: {} views installed, {} messages shown, {} times together in the end",
            self.views, self.messages, self.gatherings
        )?;
        let told: u64 = self.shares.iter().sum();
        let tenths: Vec<String> = self.shares[..10]
            .iter()
            .map(|n| format!("{:.2}", percent(*n, told)))
            .collect();
        writeln!(
            f,
            "{told} notifications; % of them by tenths of the bound: {}",
            tenths.join(" ")
        )?;
        write!(f, "worst: {:.3} of the bound (seed {})", self.worst, self.worst_seed)
    }
}
