//! What is known of a run from outside: who lives since when, who is a member of what, what has been told.

use std::collections::{BTreeMap, BTreeSet};
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

/// That a peer is, or was, a member or an observer of a group: the latest time, if it has come more than once.
#[derive(Clone, Debug)]
pub struct Membership {
    /// In which life.
    pub life: u32,
    /// Since when: the root since it began the creation.
    pub since: Time,
    /// Whether it only observes.
    pub observer: bool,
    /// When it asked to go: it has no word any more.
    pub leaving: Option<Time>,
    /// When it was told the last word: that the group failed, or is closed, or that it has left.
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
    /// Whoever is or was a member or an observer, the root included.
    pub members: BTreeMap<PeerIndex, Membership>,
    /// Whose end fails the group: the root, whoever accepted at its creation, and whoever has come in since; until the root lets them go.
    pub counted: BTreeSet<PeerIndex>,
    /// Of these, whose lives have ended, and when; or when they began to count, if that came later.
    pub ended: BTreeMap<PeerIndex, Time>,
    /// When somebody who counts was first told that it failed, and why.
    pub first_told: Option<(Time, Reason)>,
    /// When its root closed it.
    pub closed: Option<Time>,
}

impl GroupRecord {
    /// When it was settled that the group fails: a member was told, or a member's life ended.
    pub fn fails(&self) -> Option<Time> {
        let told = self.first_told.iter().map(|(at, _)| *at);
        told.chain(self.ended.values().copied()).min()
    }

    /// When it was settled that the group ends: it fails, or its root closed it.
    pub fn over(&self) -> Option<Time> {
        self.fails().into_iter().chain(self.closed).min()
    }

    /// Whether this peer's end, or its word, may fail the group: it counts, or it is a member that the root has yet to hear of.
    pub fn is_somebody(&self, peer: PeerIndex) -> bool {
        let member = self.members.get(&peer);
        self.counted.contains(&peer) || member.is_some_and(|member| !member.observer && member.told.is_none())
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
    /// How long a creation may take, or a peer's wish to come in.
    pub create_timeout: Duration,
    /// How long a member asks its root at most.
    pub member_timeout: Duration,
    /// The last fault, or whatever else disturbed the world.
    pub disturbed: Time,
    /// When something was last said of process groups: ordered, or told.
    pub stirred: Time,
    /// Peers that have shut down, until somebody ends their processes.
    pub stopped: Vec<PeerIndex>,
    ids: BTreeMap<PeerId, PeerIndex>,
    orders: BTreeMap<(PeerIndex, u64), (GroupNumber, Vec<PeerIndex>)>,
    /// Whom each creation that was ordered, and has not begun, is to invite.
    invited: BTreeMap<(PeerIndex, u64), Vec<PeerIndex>>,
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
            member_timeout: config.groups.timings.member_timeout,
            disturbed: world.now(),
            stirred: world.now(),
            stopped: Vec::new(),
            ids: world.by_id.clone(),
            orders: BTreeMap::new(),
            invited: BTreeMap::new(),
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
            Observation::Told {
                event: Event::Cluster(_),
                ..
            }
            | Observation::Ordered {
                command: Command::Cluster(_),
                ..
            } => self.stirred = at,
            Observation::Ordered {
                peer,
                command: Command::Group(command),
            } => {
                self.disturbed = at;
                self.ordered(at, *peer, command);
            }
            Observation::Ordered {
                command: Command::Shutdown,
                ..
            } => self.disturbed = at,
            Observation::Told {
                peer,
                event: Event::Stopped,
            } => self.stopped.push(*peer),
            _ => {}
        }
    }

    fn ordered(&mut self, at: Time, peer: PeerIndex, command: &fng::Command) {
        match command {
            fng::Command::Create { ticket, members, .. } => {
                let members = members.iter().filter_map(|member| self.index(member));
                let others = members.filter(|member| *member != peer).collect();
                self.invited.insert((peer, ticket.0), others);
            }
            fng::Command::Leave { group, .. } => self.leaves(at, peer, group),
            _ => {}
        }
    }

    /// A member or an observer that wants to go is about to.
    fn leaves(&mut self, at: Time, peer: PeerIndex, group: &GroupId) {
        let life = self.peers[peer.0].life;
        let record = self.groups.get_mut(group).filter(|record| record.root != peer);
        let member = record.and_then(|record| record.members.get_mut(&peer));
        if let Some(member) = member.filter(|member| member.life == life && member.told.is_none()) {
            member.leaving.get_or_insert(at);
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
                let same = group.members.get(&peer).is_some_and(|member| member.life == life);
                if same && group.counted.contains(&peer) {
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
            observer: matches!(event, fng::Event::Observing { .. }),
            leaving: None,
            told: None,
        };
        match event {
            fng::Event::Creating { ticket, group } => {
                let (number, asked) = self.orders.remove(&(peer, ticket.0)).unzip();
                // Whoever orders by itself, without a schedule, says no number.
                let asked = self.invited.remove(&(peer, ticket.0)).or(asked);
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
                    counted: BTreeSet::from([peer]),
                    ended: BTreeMap::new(),
                    first_told: None,
                    closed: None,
                };
                self.groups.insert(*group, record);
            }
            fng::Event::Joined { group } | fng::Event::Observing { group } => {
                if let Some(record) = self.groups.get_mut(group) {
                    record.members.insert(peer, membership);
                    if record.outcome.is_none() && record.asked.contains(&peer) {
                        record.counted.insert(peer);
                    }
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
            fng::Event::Closed { group, .. } | fng::Event::Left { group } => {
                self.told_last(at, peer, group);
                let closed = matches!(event, fng::Event::Closed { .. });
                let record = self
                    .groups
                    .get_mut(group)
                    .filter(|record| closed && record.root == peer);
                if let Some(record) = record {
                    record.closed.get_or_insert(at);
                }
            }
            fng::Event::CameIn {
                group,
                peer: guest,
                observer: false,
            } => self.came_in(at, group, guest),
            fng::Event::WentOut { group, peer: guest, .. } => {
                let guest = self.index(guest);
                if let Some((record, guest)) = self.groups.get_mut(group).zip(guest) {
                    record.counted.remove(&guest);
                    record.ended.remove(&guest);
                }
            }
            _ => {}
        }
    }

    /// A peer counts from now on. Should its life be over already, so is the group.
    fn came_in(&mut self, at: Time, group: &GroupId, guest: &PeerId) {
        let guest = self.index(guest);
        let Some((record, guest)) = self.groups.get_mut(group).zip(guest) else {
            return;
        };
        record.counted.insert(guest);
        let peer = &self.peers[guest.0];
        let lives =
            |member: &Membership| peer.life == member.life && peer.doing != Doing::Over && member.told.is_none();
        if !record.members.get(&guest).is_some_and(lives) {
            record.ended.entry(guest).or_insert(at);
        }
    }

    fn told_last(&mut self, at: Time, peer: PeerIndex, group: &GroupId) {
        let member = self
            .groups
            .get_mut(group)
            .and_then(|record| record.members.get_mut(&peer));
        if let Some(member) = member {
            member.told.get_or_insert(at);
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
        let Some(member) = record.members.get_mut(&peer) else {
            return;
        };
        member.told.get_or_insert(at);
        // An observer or a leaver fails the group for itself alone, and whoever does not count yet may not be heard.
        let alone = member.observer || member.leaving.is_some() || matches!(reason, Reason::NotMember { .. });
        if record.counted.contains(&peer) && !alone {
            record.first_told.get_or_insert_with(|| (at, reason.clone()));
        }
    }
}
