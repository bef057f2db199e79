//! Random scenarios: from a seed, a world, some groups, and faults that are likely to hurt.
//!
//! A [`Family`] draws *episodes*: a few faults that belong together, such as a crash and the restart after it. `mixed` takes its episodes
//! from all the others. After its faults a scenario either calms down at once or lasts for another bound as it is, so that a partition also
//! outlives the bound; then it stays calm for a bound, so that everything that has to be settled is.

mod bodies;
mod comings;
mod hunted;
mod process_groups;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use crate::PeerIndex;
use crate::adversary::{Adversary, Reaction};
use crate::checkers::patience;
use crate::fault::{self, Admission, Fault, GroupNumber, NameNumber};
use crate::schedule::Scenario;
use crate::setting::Setting;

/// Faults of one kind, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Episodes of all the others.
    Mixed,
    /// Processes and hosts die.
    Crash,
    /// They die and come back, soon or late.
    Restart,
    /// They are stopped and go on.
    Pause,
    /// The network falls into two, or single wires fail, in both directions or in one.
    Partition,
    /// Pairs cannot talk although everybody else can talk to both; preferably root and member.
    Intransitive,
    /// Packets are lost, late, or queue.
    Loss,
    /// Sessions break, once or in bursts, noticed by both ends, one, or none.
    Break,
    /// Processes are slow or starved, clocks are wrong, addresses change.
    Slow,
    /// Connections break, die or stall whenever certain messages are sent.
    Adversary,
    /// Many hosts die at once; some come back at once.
    Region,
    /// Everybody lives and dies for times drawn from exponential distributions.
    Churn,
    /// Applications signal, check, let groups fail in silence, and peers shut down.
    Signal,
    /// All connections of a host, or between two, go silent, and new ones work; hosts move, a virtual address goes from one to the other.
    Silent,
    /// Somebody vanishes or signals while an adversary meets every word about it: the failure has to travel hop by hop, over time limits.
    Hunted,
    /// Episodes of all the others, and peers come into groups and go out of them.
    Comings,
    /// Episodes of all the others, and processes are in process groups.
    Processes,
}

/// All families, with their names.
pub const FAMILIES: [(Family, &str); 17] = [
    (Family::Mixed, "mixed"),
    (Family::Crash, "crash"),
    (Family::Restart, "restart"),
    (Family::Pause, "pause"),
    (Family::Partition, "partition"),
    (Family::Intransitive, "intransitive"),
    (Family::Loss, "loss"),
    (Family::Break, "break"),
    (Family::Slow, "slow"),
    (Family::Adversary, "adversary"),
    (Family::Region, "region"),
    (Family::Churn, "churn"),
    (Family::Signal, "signal"),
    (Family::Hunted, "hunted"),
    (Family::Silent, "silent"),
    (Family::Comings, "comings"),
    (Family::Processes, "processes"),
];

/// Of these, the families that are drawn. One that came later is played when it is asked for: else it would change what every seed means.
const DRAWN: std::ops::RangeInclusive<usize> = 1..=12;

/// Seeds from here on mean more: `silent` is drawn as well.
const NEWER: u64 = 20_000_000;

/// What is asked of a random scenario; what is `None` is drawn.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// So many peers.
    pub peers: Option<usize>,
    /// So many groups, but at least one: faults need somebody to hurt.
    pub groups: Option<usize>,
    /// With this configuration.
    pub setting: Option<Setting>,
    /// With faults of this family.
    pub family: Option<Family>,
    /// Whether peers come into groups and go out of them, besides the faults; `None`: in half of all scenarios.
    pub comings: Option<bool>,
    /// Whether processes are in process groups, besides the faults; `None`: in a fifth of all scenarios.
    pub processes: Option<bool>,
}

/// The fewest and the most faults of a scenario, about: an episode is not cut short.
const FAULTS: std::ops::RangeInclusive<usize> = 10..=16;

/// One run in so many publishes names, and looks them up when all is quiet.
const NAMING: u64 = 4;

/// A lookup is answered by then, with whatever answer.
const ANSWERED: Duration = Duration::from_secs(15);

/// The scenario of a seed.
pub fn scenario(seed: u64, wishes: &Wishes) -> Scenario {
    // The world draws from the same seed: what is drawn here must not be the same numbers.
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed_5c4e_d01e_0000);
    let wishes = &match wishes.family {
        Some(Family::Hunted) => hunted::wishes(&mut rng, wishes),
        _ => wishes.clone(),
    };
    let setting = wishes.setting.unwrap_or_else(|| Setting::draw(&mut rng));
    let more = rng.random_range(8..=12);
    let peers = wishes.peers.unwrap_or(if rng.random_bool(0.25) { more } else { 8 });
    let groups = wishes.groups.unwrap_or_else(|| rng.random_range(3..=6)).max(1);
    let bound = setting.config().groups.notification_bound();
    let mut draw = Draw {
        link_lifetime: setting.config().overlay.link_lifetime(),
        span: whole(bound.mul_f64(rng.random_range(1.0..1.2))),
        peers,
        newer: seed >= NEWER,
        rng,
        groups: Vec::new(),
        faults: Vec::new(),
    };
    draw.groups(groups);
    let family = wishes.family.unwrap_or_else(|| draw.family());
    let least = draw.rng.random_range(FAULTS);
    let calm = if family == Family::Hunted {
        draw.hunt() + bound
    } else {
        draw.episodes(family, least);
        draw.span + if draw.rng.random() { Duration::ZERO } else { bound }
    };
    draw.push(calm, Fault::Calm);
    let comings = draw.comings(seed, family, wishes.comings, calm);
    let quiet = calm + bound + 4 * setting.config().overlay.maintenance_interval;
    let names = if matches!(setting, Setting::Preset(_)) {
        Vec::new()
    } else {
        draw.names(seed, quiet)
    };
    let mut schedule = draw.creations(comings.as_deref());
    let until = names.last().map_or(Duration::ZERO, |(at, _)| *at) + ANSWERED;
    schedule.extend(names);
    schedule.extend(draw.bodies(seed));
    let wanted = match (setting, family) {
        // With a preset's bound a run would take minutes.
        (Setting::Preset(_), _) => Some(false),
        (_, Family::Processes) => wishes.processes.or(Some(true)),
        _ => wishes.processes,
    };
    let processes = draw.processes(seed, wanted);
    // All have to find together again.
    let together = if processes.is_empty() {
        Duration::ZERO
    } else {
        whole(calm + bound + patience(&setting.config()))
    };
    schedule.extend(processes);
    schedule.append(&mut draw.faults);
    schedule.sort_by_key(|(at, _)| *at);
    Scenario {
        seed,
        peers,
        setting,
        until: until
            .max(together)
            .max(whole(calm + bound) + setting.config().overlay.link_interval),
        schedule,
    }
}

/// Times are written in milliseconds, so they are drawn in milliseconds.
fn whole(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis() as u64)
}

/// A group that will be created.
struct Planned {
    at: Duration,
    root: PeerIndex,
    members: Vec<PeerIndex>,
}

/// A scenario in the making.
struct Draw {
    rng: StdRng,
    /// Whether its seed is one of those that mean more.
    newer: bool,
    peers: usize,
    /// Faults begin within this time.
    span: Duration,
    link_lifetime: Duration,
    groups: Vec<Planned>,
    faults: Vec<(Duration, Fault)>,
}

impl Draw {
    fn groups(&mut self, count: usize) {
        for _ in 0..count {
            let size = self.rng.random_range(2..=5.min(self.peers));
            let mut members = self.some(size);
            let root = members.remove(0);
            let late = self.rng.random_bool(0.2);
            let latest = if late { self.span } else { self.span / 20 };
            let at = self.before(latest);
            self.groups.push(Planned { at, root, members });
        }
    }

    /// With these doors, if somebody may come in.
    fn creations(&self, doors: Option<&[Admission]>) -> Vec<(Duration, Fault)> {
        let create = |(number, group): (usize, &Planned)| {
            let door = doors.and_then(|doors| doors.get(number));
            let fault = Fault::Create {
                group: GroupNumber(number as u32),
                root: group.root,
                members: group.members.clone(),
                admit: door.cloned().unwrap_or_default(),
            };
            (group.at, fault)
        };
        self.groups.iter().enumerate().map(create).collect()
    }

    /// Some names, published here and there, and looked up by all in the end: drawn by themselves, so that nothing else is drawn otherwise.
    fn names(&self, seed: u64, quiet: Duration) -> Vec<(Duration, Fault)> {
        if !seed.is_multiple_of(NAMING) {
            return Vec::new();
        }
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed_4a3e_5000_0000);
        let mut names = Vec::new();
        let count = rng.random_range(1..=2);
        for number in (0..count).map(NameNumber) {
            let peer = PeerIndex(rng.random_range(0..self.peers));
            for _ in 0..rng.random_range(1..=2) {
                let latest = self.span.as_millis() as u64;
                let at = Duration::from_millis(rng.random_range(0..=latest));
                names.push((at, Fault::Publish(peer, number)));
            }
        }
        names.extend((0..count).map(|number| (whole(quiet), Fault::Lookup(NameNumber(number)))));
        names
    }

    /// Half of all runs are mixed.
    fn family(&mut self) -> Family {
        if self.rng.random() {
            Family::Mixed
        } else {
            self.pure_family()
        }
    }

    fn pure_family(&mut self) -> Family {
        let last = *DRAWN.end();
        let more = usize::from(self.newer);
        match self.rng.random_range(*DRAWN.start()..=last + more) {
            drawn if drawn > last => Family::Silent,
            drawn => FAMILIES[drawn].0,
        }
    }

    fn episodes(&mut self, family: Family, least: usize) {
        while self.faults.len() < least {
            let this = if matches!(family, Family::Mixed | Family::Comings | Family::Processes) {
                self.pure_family()
            } else {
                family
            };
            self.episode(this);
        }
    }

    fn push(&mut self, at: Duration, fault: Fault) {
        self.faults.push((whole(at), fault));
    }

    fn before(&mut self, latest: Duration) -> Duration {
        Duration::from_millis(self.rng.random_range(0..=latest.as_millis() as u64))
    }

    fn when(&mut self) -> Duration {
        self.before(self.span)
    }

    fn one(&mut self) -> PeerIndex {
        PeerIndex(self.rng.random_range(0..self.peers))
    }

    /// So many different peers.
    fn some(&mut self, count: usize) -> Vec<PeerIndex> {
        let mut all: Vec<PeerIndex> = (0..self.peers).map(PeerIndex).collect();
        all.shuffle(&mut self.rng);
        all.truncate(count);
        all
    }

    fn two(&mut self) -> (PeerIndex, PeerIndex) {
        let two = self.some(2);
        (two[0], two[1])
    }

    /// Preferably root and member of a group.
    fn pair(&mut self) -> (PeerIndex, PeerIndex) {
        let group = self.groups.choose(&mut self.rng);
        let pair = group.and_then(|group| Some((group.root, *group.members.choose(&mut self.rng)?)));
        match pair {
            Some(pair) if self.rng.random_bool(0.7) => pair,
            _ => self.two(),
        }
    }

    /// A moment, a millisecond, a few time limits of a ping, or long enough for a link to go down, or a large part of the span.
    fn a_while(&mut self) -> Duration {
        let longest = match self.rng.random_range(0..4) {
            0 => Duration::from_millis(50),
            1 => self.link_lifetime / 2,
            2 => self.link_lifetime * 2,
            _ => self.span,
        };
        self.before(longest)
    }

    /// What is done to a group, by one of its members.
    fn member(&mut self) -> Option<(PeerIndex, GroupNumber)> {
        let number = self.rng.random_range(0..self.groups.len().max(1));
        let group = self.groups.get(number)?;
        let all: Vec<PeerIndex> = group.members.iter().copied().chain([group.root]).collect();
        Some((*all.choose(&mut self.rng)?, GroupNumber(number as u32)))
    }

    fn death(&mut self, peer: PeerIndex) -> Fault {
        if self.rng.random() {
            Fault::Crash(peer)
        } else {
            Fault::Vanish(peer)
        }
    }

    fn episode(&mut self, family: Family) {
        let at = self.when();
        match family {
            Family::Mixed | Family::Hunted | Family::Comings | Family::Processes => {}
            Family::Crash => self.crash(at),
            Family::Restart => self.restart(at),
            Family::Pause => self.pause(at),
            Family::Partition => self.partition(at),
            Family::Intransitive => self.intransitive(at),
            Family::Loss => self.loss(at),
            Family::Break => self.breaks(at),
            Family::Slow => self.slow(at),
            Family::Adversary => self.adversary(at),
            Family::Region => self.region(at),
            Family::Churn => self.churn(),
            Family::Signal => self.signal(at),
            Family::Silent => self.silent(at),
        }
    }

    fn crash(&mut self, at: Duration) {
        let peer = self.one();
        let death = self.death(peer);
        self.push(at, death);
    }

    fn restart(&mut self, at: Duration) {
        let peer = self.one();
        let death = self.death(peer);
        self.push(at, death);
        let later = at + self.a_while();
        if self.rng.random_bool(0.15) {
            self.push(later, Fault::Move(peer));
        }
        self.push(later, Fault::Restart(peer));
    }

    fn pause(&mut self, at: Duration) {
        let peer = self.one();
        self.push(at, Fault::Pause(peer));
        let later = at + self.a_while();
        self.push(later, Fault::Resume(peer));
    }

    fn partition(&mut self, at: Duration) {
        let fault = match self.rng.random_range(0..4) {
            0 => {
                let mut one = self.some(self.peers);
                let other = one.split_off(self.rng.random_range(1..self.peers));
                Fault::Partition(one, other)
            }
            1 => {
                let (a, b) = self.two();
                Fault::CutOneWay(a, b)
            }
            2 => {
                let (a, b) = self.pair();
                Fault::CutOneWay(b, a)
            }
            _ => {
                let (a, b) = self.two();
                Fault::Cut(a, b)
            }
        };
        self.push(at, fault);
        if self.rng.random_bool(0.4) {
            let later = at + self.a_while();
            self.push(later, Fault::Heal);
        }
    }

    fn intransitive(&mut self, at: Duration) {
        let (a, b) = self.pair();
        let fault = match self.rng.random_range(0..8) {
            0 => Fault::Refuse(a, b),
            1 => Fault::Swallow(b, a),
            _ => Fault::Cut(a, b),
        };
        self.push(at, fault);
        match self.rng.random_range(0..6) {
            0 => {
                let later = at + self.a_while();
                self.crash(later);
            }
            1 => {
                let later = at + self.a_while();
                self.push(later, Fault::Heal);
            }
            _ => {}
        }
    }

    fn breaks(&mut self, at: Duration) {
        let (a, b) = self.pair();
        let times = if self.rng.random_bool(0.3) { 5 } else { 1 };
        let kind = self.rng.random_range(0..4);
        for _ in 0..times {
            let when = at + self.before(Duration::from_secs(1));
            let fault = match kind {
                0 => Fault::BreakAt(a, b),
                1 => Fault::BreakAt(b, a),
                2 => Fault::Deaden(a, b),
                _ => Fault::Break(a, b),
            };
            self.push(when, fault);
        }
    }

    /// Until the next `heal` or `calm`, or for a while.
    fn loss(&mut self, at: Duration) {
        let (a, b) = self.pair();
        let later = at + self.a_while();
        let (fault, end) = match self.rng.random_range(0..6) {
            0 => (Fault::Loss(self.share(0.4)), Fault::Loss(0.0)),
            1 => (Fault::LossOn(a, b, self.share(1.0)), Fault::LossOn(a, b, 0.0)),
            2 => (Fault::LossOn(b, a, self.share(0.5)), Fault::LossOn(b, a, 0.0)),
            3 => {
                let extra = whole(self.before(Duration::from_secs(1)));
                (Fault::Delay(a, b, extra), Fault::Delay(a, b, Duration::ZERO))
            }
            4 => {
                let extra = whole(self.before(self.link_lifetime));
                (Fault::Delay(b, a, extra), Fault::Delay(b, a, Duration::ZERO))
            }
            _ => (
                Fault::Rate(a, b, Some(self.rng.random_range(50..5000))),
                Fault::Rate(a, b, None),
            ),
        };
        self.push(at, fault);
        self.push(later, end);
    }

    /// A share in hundredths.
    fn share(&mut self, most: f64) -> f64 {
        f64::from(self.rng.random_range(1..=(most * 100.0) as u32)) / 100.0
    }

    fn slow(&mut self, at: Duration) {
        let peer = self.one();
        let later = at + self.a_while();
        match self.rng.random_range(0..8) {
            0 => {
                let each = Duration::from_millis(self.rng.random_range(1..=50));
                self.push(at, Fault::Slow(peer, each));
                self.push(later, Fault::Slow(peer, Duration::ZERO));
            }
            1..=3 => {
                let how_long = whole(self.a_while());
                self.push(at, Fault::Starve(peer, how_long));
            }
            4 => {
                let rate = self.rng.random_range(95..=105);
                self.push(at, Fault::Drift(peer, f64::from(rate) / 100.0));
            }
            5 => {
                let by = whole(self.a_while());
                self.push(at, Fault::Jump(peer, by));
            }
            _ => self.push(at, Fault::Move(peer)),
        }
    }

    /// An adversary, and something for it to do harm to.
    fn adversary(&mut self, at: Duration) {
        let (_, kind) = fault::MESSAGES[self.rng.random_range(0..fault::OLD_MESSAGES)];
        let share = if self.rng.random() { 1.0 } else { self.share(1.0) };
        let reaction = match self.rng.random_range(0..6) {
            0 | 1 => Reaction::BreakSession,
            2 => Reaction::BreakSilently,
            3 => Reaction::Delay(whole(self.before(self.link_lifetime))),
            _ => Reaction::CutLink(whole(self.a_while())),
        };
        self.push(at, Fault::Adversary(Adversary { kind, share, reaction }));
        match self.rng.random_range(0..4) {
            0 => self.crash(at),
            1 => self.signal(at),
            2 => self.intransitive(at),
            _ => {}
        }
        if self.rng.random_bool(0.3) {
            let later = at + self.a_while();
            self.push(later, Fault::Dismiss);
        }
    }

    fn region(&mut self, at: Duration) {
        let count = self.rng.random_range(2..=self.peers / 2);
        for peer in self.some(count) {
            let death = self.death(peer);
            self.push(at, death);
            if self.rng.random_bool(0.6) {
                let later = at + self.a_while();
                self.push(later, Fault::Restart(peer));
            }
        }
    }

    /// One peer's lives and deaths over the whole span: it lives for half of the span on average, and is away for an eighth.
    fn churn(&mut self) {
        let peer = self.one();
        let mut at = Duration::ZERO;
        loop {
            at += self.exponential(self.span / 2);
            if at >= self.span {
                return;
            }
            let death = self.death(peer);
            self.push(at, death);
            at += self.exponential(self.span / 8);
            self.push(at, Fault::Restart(peer));
        }
    }

    fn silent(&mut self, at: Duration) {
        let (a, b) = self.pair();
        let fault = match self.rng.random_range(0..8) {
            0 => Fault::Deaden(a, b),
            1 => Fault::Move(b),
            2 | 3 => Fault::Float(b),
            _ => Fault::DeadenHost(b),
        };
        self.push(at, fault);
    }

    fn exponential(&mut self, mean: Duration) -> Duration {
        let uniform: f64 = self.rng.random_range(f64::EPSILON..1.0);
        mean.mul_f64(-uniform.ln())
    }

    fn signal(&mut self, at: Duration) {
        let Some((peer, group)) = self.member() else { return };
        let fault = match self.rng.random_range(0..8) {
            0..=2 => Fault::Signal(peer, group),
            3 => Fault::Silent(peer, group),
            4 => Fault::Stop(peer),
            _ => Fault::Check(peer, group),
        };
        self.push(at, fault);
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FAMILIES.iter().find(|(family, _)| family == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(text: &str) -> Result<Family, String> {
        let found = FAMILIES.iter().find(|(_, name)| *name == text);
        let names = || FAMILIES.map(|(_, name)| name).join(", ");
        found
            .map(|(family, _)| *family)
            .ok_or_else(|| format!("there are no faults called {text:?}: expected one of {}", names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_large_enough_long_enough_and_can_be_written_down() {
        for seed in 0..500 {
            let scenario = scenario(seed, &Wishes::default());
            let bound = scenario.setting.config().groups.notification_bound();
            let creates = |fault: &Fault| matches!(fault, Fault::Create { .. });
            let groups = scenario.schedule.iter().filter(|(_, fault)| creates(fault)).count();
            assert!(scenario.peers >= 8 && groups >= 3, "seed {seed}");
            assert!(scenario.schedule.len() > groups + 10, "seed {seed}");
            assert!(scenario.until >= 2 * bound, "seed {seed}");
            assert_eq!(scenario.to_string().parse(), Ok(scenario), "seed {seed}");
        }
    }

    #[test]
    fn every_family_draws_and_has_a_name() {
        for (family, name) in FAMILIES {
            assert_eq!(name.parse(), Ok(family));
            let wishes = Wishes {
                family: Some(family),
                ..Wishes::default()
            };
            assert!(scenario(1, &wishes).schedule.len() >= 13, "{name}");
        }
    }
}
