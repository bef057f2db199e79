//! What is known of a run from outside: who lives since when, who is a member of what, what has been told.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::fng::{self, Reason, Refusal, Ticket};
use fatebound_machine::overlay::{PeerId, Time};
use fatebound_machine::{Command, Event};

use crate::fault::GroupNumber;
use crate::observe::{Disturbance, Observation};
use crate::{Config, GroupId, PeerIndex, World};

/// What a process does, as far as the promises care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It runs.
    Runs,
    /// It is stopped.
    Paused,
    /// It has ended.
    Over,
}

/// A peer.
#[derive(Clone, Debug)]
pub struct PeerRecord {
    /// Counts its lives.
    pub life: u32,
    /// What it does.
    pub doing: Doing,
    /// Since when.
    pub since: Time,
    /// Times during which it was stopped, starved or slow, in all its lives.
    pub idle: Vec<(Time, Time)>,
    /// Whether it is slow.
    pub slow: bool,
}

/// That a peer is, or was, a member of a group.
#[derive(Clone, Debug)]
pub struct Membership {
    /// In which life.
    pub life: u32,
    /// Since when: the root since it began the creation.
    pub since: Time,
    /// When it was told that the group failed.
    pub told: Option<Time>,
}

/// How a creation ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When.
    pub at: Time,
    /// Who stood in the way, and why; `None`: nobody, it is created.
    pub refusals: Option<Vec<(PeerId, Refusal)>>,
}

/// A group.
#[derive(Clone, Debug)]
pub struct GroupRecord {
    /// Its number in the schedule.
    pub number: Option<GroupNumber>,
    /// Its root.
    pub root: PeerIndex,
    /// Whom the root was told to invite.
    pub asked: Vec<PeerIndex>,
    /// When the creation began.
    pub begun: Time,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Whoever is or was a member, the root included.
    pub members: BTreeMap<PeerIndex, Membership>,
    /// Members whose lives have ended, and when.
    pub ended: BTreeMap<PeerIndex, Time>,
    /// When somebody was first told that it failed, and why.
    pub first_told: Option<(Time, Reason)>,
}

impl GroupRecord {
    /// When it was settled that the group fails: a member was told, or a member's life ended.
    pub fn over(&self) -> Option<Time> {
        let told = self.first_told.iter().map(|(at, _)| *at);
        told.chain(self.ended.values().copied()).min()
    }

    /// Every member that has accepted and everybody whom the root has yet to hear: the root and whom it asked.
    pub fn everybody(&self) -> impl Iterator<Item = PeerIndex> + '_ {
        self.asked.iter().copied().chain([self.root])
    }
}

/// The book.
#[derive(Debug)]
pub struct Book {
    /// Up to when it is kept.
    pub now: Time,
    /// Every peer.
    pub peers: Vec<PeerRecord>,
    /// Every group that was ever begun.
    pub groups: BTreeMap<GroupId, GroupRecord>,
    /// The bound within which everybody is told.
    pub bound: Duration,
    /// The same if no clock drifts.
    honest_bound: Duration,
    /// When it was last looked for troubles.
    felt: Time,
    /// `link_interval`.
    pub link_interval: Duration,
    /// How long a creation may take.
    pub create_timeout: Duration,
    /// The last fault, or whatever else disturbed the world.
    pub disturbed: Time,
    /// Peers that have shut down, until somebody ends their processes.
    pub stopped: Vec<PeerIndex>,
    ids: BTreeMap<PeerId, PeerIndex>,
    orders: BTreeMap<(PeerIndex, u64), (GroupNumber, Vec<PeerIndex>)>,
    numbers: BTreeMap<GroupNumber, GroupId>,
}

impl Book {
    pub(crate) fn new(world: &World) -> Book {
        let config: &Config = &world.config;
        let runs = |peer: &crate::world::Peer| PeerRecord {
            life: peer.life,
            doing: Doing::Runs,
            since: peer.started,
            idle: Vec::new(),
            slow: false,
        };
        Book {
            now: world.now(),
            peers: world.peers.iter().map(runs).collect(),
            groups: BTreeMap::new(),
            bound: config.groups.notification_bound(),
            honest_bound: config.groups.notification_bound(),
            felt: world.now(),
            link_interval: config.overlay.link_interval,
            create_timeout: config.groups.create_timeout,
            disturbed: world.now(),
            stopped: Vec::new(),
            ids: world.by_id.clone(),
            orders: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// A clock runs by this factor: with a slow one everything takes longer.
    pub(crate) fn drifts(&mut self, rate: f64) {
        self.bound = self.bound.max(self.honest_bound.div_f64(rate));
    }

    /// By which factor clocks may be too slow: everything may take so much longer.
    pub fn slowness(&self) -> f64 {
        self.bound.as_secs_f64() / self.honest_bound.as_secs_f64()
    }

    /// For this time a process gets nothing done, or does not know the time.
    pub(crate) fn idles(&mut self, peer: PeerIndex, from: Time, to: Time) {
        self.peers[peer.0].idle.push((from, to));
    }

    /// As long as something is wrong with the network or a process, the world is being disturbed; a slow process is as good as idle.
    pub(crate) fn feel(&mut self, world: &World) {
        if !world.network.is_well_everywhere() || !world.adversaries.is_empty() {
            self.disturbed = self.now;
        }
        for peer in 0..self.peers.len() {
            let slow = !world.peers[peer].host.slow.is_zero();
            let record = &mut self.peers[peer];
            if std::mem::replace(&mut record.slow, slow) {
                record.idle.push((self.felt, self.now));
            }
            if slow || record.doing == Doing::Paused || world.peers[peer].host.busy > self.now {
                self.disturbed = self.now;
            }
        }
        self.felt = self.now;
    }

    /// Which group has this number in the schedule, once its creation has begun.
    pub fn numbered(&self, number: GroupNumber) -> Option<GroupId> {
        self.numbers.get(&number).copied()
    }

    /// A creation with this number is about to be ordered.
    pub fn will_create(&mut self, root: PeerIndex, ticket: Ticket, number: GroupNumber, members: &[PeerIndex]) {
        self.orders.insert((root, ticket.0), (number, members.to_vec()));
    }

    /// A peer by its name.
    pub fn index(&self, id: &PeerId) -> Option<PeerIndex> {
        self.ids.get(id).copied()
    }

    /// One peer.
    pub fn peer(&self, peer: PeerIndex) -> &PeerRecord {
        &self.peers[peer.0]
    }

    /// For how long within this time the peer could do nothing.
    pub fn idle_within(&self, peer: PeerIndex, from: Time, to: Time) -> Duration {
        let record = self.peer(peer);
        let paused = (record.doing == Doing::Paused).then_some((record.since, self.now));
        let times = record.idle.iter().copied().chain(paused);
        times.map(|(begin, end)| end.min(to).since(begin.max(from))).sum()
    }

    /// When the peer was last idle, if ever: perhaps it still is.
    pub fn last_idle(&self, peer: PeerIndex) -> Time {
        let ends = self.peer(peer).idle.iter().map(|(_, end)| *end);
        ends.max().unwrap_or_default()
    }

    /// Whether a membership is one of the peer's present life, and whether its process runs.
    pub fn is_live(&self, peer: PeerIndex, membership: &Membership) -> bool {
        let record = self.peer(peer);
        record.life == membership.life && record.doing != Doing::Over
    }

    /// Whether the process runs, and does not stand still, in the life of this membership.
    pub fn runs_as(&self, peer: PeerIndex, membership: &Membership) -> bool {
        self.is_live(peer, membership) && self.peer(peer).doing == Doing::Runs
    }

    /// The book takes note.
    pub(crate) fn take(&mut self, at: Time, seen: &Observation) {
        match seen {
            Observation::Told {
                peer,
                event: Event::Group(event),
            } => self.told(at, *peer, event),
            Observation::Disturbed(disturbance) => self.disturb(at, *disturbance),
            Observation::Ordered {
                command: Command::Group(_) | Command::Shutdown,
                ..
            } => self.disturbed = at,
            Observation::Told {
                peer,
                event: Event::Stopped,
            } => self.stopped.push(*peer),
            _ => {}
        }
    }

    fn disturb(&mut self, at: Time, disturbance: Disturbance) {
        self.disturbed = at;
        match disturbance {
            Disturbance::Started(peer) => {
                self.peers[peer.0].life += 1;
                self.turn(at, peer, Doing::Runs);
            }
            Disturbance::Ended(peer) => self.ended(at, peer),
            Disturbance::Paused(peer) => self.turn(at, peer, Doing::Paused),
            Disturbance::Resumed(peer) => self.turn(at, peer, Doing::Runs),
            Disturbance::Network => {}
        }
    }

    fn turn(&mut self, at: Time, peer: PeerIndex, doing: Doing) {
        let record = &mut self.peers[peer.0];
        if record.doing == Doing::Paused {
            record.idle.push((record.since, at));
        }
        record.doing = doing;
        record.since = at;
    }

    fn ended(&mut self, at: Time, peer: PeerIndex) {
        let life = self.peers[peer.0].life;
        if self.peers[peer.0].doing != Doing::Over {
            for group in self.groups.values_mut() {
                if group.members.get(&peer).is_some_and(|member| member.life == life) {
                    group.ended.entry(peer).or_insert(at);
                }
            }
        }
        self.turn(at, peer, Doing::Over);
    }

    fn told(&mut self, at: Time, peer: PeerIndex, event: &fng::Event) {
        let life = self.peers[peer.0].life;
        let membership = Membership {
            life,
            since: at,
            told: None,
        };
        match event {
            fng::Event::Creating { ticket, group } => {
                let (number, asked) = self.orders.remove(&(peer, ticket.0)).unzip();
                if let Some(number) = number {
                    self.numbers.insert(number, *group);
                }
                let record = GroupRecord {
                    number,
                    root: peer,
                    asked: asked.unwrap_or_default(),
                    begun: at,
                    outcome: None,
                    members: BTreeMap::from([(peer, membership)]),
                    ended: BTreeMap::new(),
                    first_told: None,
                };
                self.groups.insert(*group, record);
            }
            fng::Event::Joined { group } => {
                if let Some(record) = self.groups.get_mut(group) {
                    record.members.insert(peer, membership);
                    // "A member that accepted in its new life would be wronged" (protocol.md §6): it is a member again.
                    record.ended.remove(&peer);
                }
            }
            fng::Event::Created { group, .. } => self.outcome(at, group, None),
            fng::Event::CreateFailed {
                group: Some(group),
                refusals,
                ..
            } => self.outcome(at, group, Some(refusals.clone())),
            fng::Event::Failed { group, reason } => self.failed(at, peer, group, reason),
            _ => {}
        }
    }

    fn outcome(&mut self, at: Time, group: &GroupId, refusals: Option<Vec<(PeerId, Refusal)>>) {
        if let Some(record) = self.groups.get_mut(group) {
            record.outcome = Some(Outcome { at, refusals });
        }
    }

    fn failed(&mut self, at: Time, peer: PeerIndex, group: &GroupId, reason: &Reason) {
        let Some(record) = self.groups.get_mut(group) else {
            return;
        };
        if let Some(member) = record.members.get_mut(&peer) {
            member.told.get_or_insert(at);
            record.first_told.get_or_insert_with(|| (at, reason.clone()));
        }
    }
}
