//! Peers, streams between them, and what can go wrong with these.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p_identity::{Keypair, PeerId};
use multiaddr::Multiaddr;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::{Input, Link, Links, Output};
use crate::message::{Message, PeerRecord};
use crate::record::SignedRecord;
use crate::{Config, DialFailure, DisconnectCause, DownReason, Event, LinkId, Opener, Session, Time};

/// One way of every stream and half of a dial.
const DELAY: Duration = Duration::from_millis(5);
/// How long a dial into nowhere takes.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What a dial of a peer's address meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    Refuses,
    BlackHole,
}

pub(super) struct Host {
    pub(super) links: Links,
    pub(super) peer: PeerId,
    pub(super) address: Multiaddr,
    pub(super) door: Door,
    pub(super) events: Vec<(Time, Event)>,
    /// Everything else that matters, as text.
    pub(super) others: Vec<Output>,
    /// When each ping left, and to whom.
    pub(super) pings: Vec<(Time, Session)>,
    incarnation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    hosts: [usize; 2],
    sessions: [Session; 2],
    open: [bool; 2],
    /// Which ends have been told that it is there.
    told: [bool; 2],
    /// How long a frame takes to each end.
    delays: [Duration; 2],
    /// When the last frame to each end arrives: none overtakes another.
    last: [Time; 2],
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) hosts: Vec<Host>,
    config: Config,
    streams: Vec<Stream>,
    queue: BTreeMap<(Time, u64), (usize, Input)>,
    sequence: u64,
    /// Frames from the first to the second wait until the cut is healed, dials of either fail.
    pub(super) cut: Vec<(usize, usize)>,
    held: Vec<(usize, usize, Input)>,
    /// Streams that carry nothing any more, and nobody is told.
    dead: Vec<usize>,
    /// Draws the delays of each stream when set, else all are alike.
    pub(super) uneven: Option<StdRng>,
}

fn keypair(host: usize) -> Keypair {
    Keypair::ed25519_from_bytes([host as u8 + 1; 32]).unwrap()
}

impl Net {
    pub(super) fn new(count: usize, config: Config) -> Net {
        let mut net = Net {
            now: Time::ZERO,
            hosts: Vec::new(),
            config,
            streams: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            cut: Vec::new(),
            held: Vec::new(),
            dead: Vec::new(),
            uneven: None,
        };
        for host in 0..count {
            let born = net.born(host, 1);
            net.hosts.push(born);
        }
        net
    }

    /// Two linked peers that want each other; host 0 dialled, both addresses are proven.
    pub(super) fn pair() -> Net {
        Net::pair_dialled_by(0)
    }

    pub(super) fn pair_dialled_by(host: usize) -> Net {
        let mut net = Net::new(2, Config::lan());
        net.want(host, 1 - host);
        net.run(Duration::from_millis(50));
        net.want(1 - host, host);
        net.run(Duration::from_millis(2000));
        assert_eq!((net.ups(0), net.ups(1)), (1, 1));
        net
    }

    fn born(&self, host: usize, life: u64) -> Host {
        let keypair = keypair(host);
        let peer = keypair.public().to_peer_id();
        let address: Multiaddr = format!("/ip4/10.0.0.{host}/tcp/1").parse().unwrap();
        let record = PeerRecord {
            peer,
            addresses: vec![address.clone()],
            sequence: life,
        };
        let incarnation = host as u64 * 1000 + life;
        let rng = StdRng::seed_from_u64(incarnation);
        let record = SignedRecord::sign(record, &keypair);
        Host {
            links: Links::new(&self.config, &crate::Identity::new(&keypair), incarnation, record, rng),
            peer,
            address,
            door: Door::Open,
            events: Vec::new(),
            others: Vec::new(),
            pings: Vec::new(),
            incarnation,
        }
    }

    /// This host, which has done nothing yet, has another configuration.
    pub(super) fn lives_by(&mut self, host: usize, config: &Config) {
        let ours = std::mem::replace(&mut self.config, config.clone());
        self.hosts[host] = self.born(host, 1);
        self.config = ours;
    }

    /// The process of a host dies (its kernel says so on every stream, unless `silently`) and comes back as another life.
    pub(super) fn restart(&mut self, host: usize, silently: bool) {
        self.kill(host, silently);
        let born = self.born(host, self.hosts[host].incarnation + 1);
        self.hosts[host] = born;
    }

    pub(super) fn kill(&mut self, host: usize, silently: bool) {
        for index in 0..self.streams.len() {
            let Some(side) = self.streams[index].hosts.iter().position(|&other| other == host) else {
                continue;
            };
            if std::mem::replace(&mut self.streams[index].open[side], false) && !silently {
                self.hang_up(index, 1 - side);
            }
        }
        self.queue.retain(|_, (to, _)| *to != host);
        let streams = &self.streams;
        self.held.retain(|(index, to, _)| streams[*index].hosts[*to] != host);
        let mut dead = self.born(host, 0);
        dead.incarnation = self.hosts[host].incarnation;
        dead.door = Door::Refuses;
        self.hosts[host] = dead;
    }

    pub(super) fn want(&mut self, host: usize, other: usize) {
        let (peer, addresses) = self.place(other);
        self.input(host, Input::Want { peer, addresses });
    }

    pub(super) fn place(&self, host: usize) -> (PeerId, Vec<Multiaddr>) {
        (self.hosts[host].peer, vec![self.hosts[host].address.clone()])
    }

    pub(super) fn operate(&mut self, host: usize, other: usize, body: u8) {
        let link = self.link(host, other).unwrap().id();
        self.input(host, Input::Operate { link, body: vec![body] });
    }

    pub(super) fn link(&self, host: usize, other: usize) -> Option<&Link> {
        self.hosts[host].links.by_peer(&self.hosts[other].peer)
    }

    /// The key that `a` was given for its latest link with `b`.
    fn key(&self, a: usize, b: usize) -> Option<[u8; 32]> {
        self.hosts[a].events.iter().rev().find_map(|(_, event)| match event {
            Event::LinkUp { peer, key, .. } if *peer == self.hosts[b].peer => Some(*key),
            _ => None,
        })
    }

    /// Both ends have the same link, up and well.
    pub(super) fn agree(&self, a: usize, b: usize) -> bool {
        let (Some(here), Some(there)) = (self.link(a, b), self.link(b, a)) else {
            return false;
        };
        here.instance == there.instance
            && self.key(a, b) == self.key(b, a)
            && here.usable()
            && there.usable()
            && self.streams.iter().any(|stream| {
                let ends = [here.session, there.session];
                let sessions = stream.sessions.map(Some);
                stream.open == [true, true] && (sessions == ends || sessions == [ends[1], ends[0]])
            })
    }

    /// Streams that either end holds open.
    pub(super) fn open_streams(&self) -> usize {
        self.streams.iter().filter(|stream| stream.open.contains(&true)).count()
    }

    pub(super) fn input(&mut self, host: usize, input: Input) {
        let mut out = Vec::new();
        self.hosts[host].links.handle(self.now, input, &mut out);
        for output in out {
            self.output(host, output);
        }
    }

    /// What this input makes of the links, without anybody who carries it out.
    pub(super) fn outputs(&mut self, host: usize, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.hosts[host].links.handle(self.now, input, &mut out);
        out
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let frame = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let wakes = self.hosts.iter().enumerate();
            let wake = wakes
                .filter_map(|(host, state)| Some((state.links.deadline()?, host)))
                .min();
            match (frame, wake) {
                (Some(at), wake) if at <= end && wake.is_none_or(|(due, _)| at <= due) => {
                    self.now = self.now.max(at);
                    let (_, (host, input)) = self.queue.pop_first().unwrap();
                    self.deliver(host, input);
                }
                (_, Some((due, host))) if due <= end => {
                    self.now = self.now.max(due);
                    self.input(host, Input::Wake);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, host: usize, input: Input) {
        if let Input::Connected { session, .. }
        | Input::Received { session, .. }
        | Input::Disconnected { session, .. } = &input
        {
            let (index, side) = self.end(*session);
            let stream = &mut self.streams[index];
            if !stream.open[side] {
                return;
            }
            stream.told[side] = true;
            stream.open[side] = !matches!(input, Input::Disconnected { .. });
        }
        self.input(host, input);
    }

    fn delay(&mut self) -> Duration {
        match &mut self.uneven {
            Some(rng) => Duration::from_millis(rng.random_range(1..30)),
            None => DELAY,
        }
    }

    fn end(&self, session: Session) -> (usize, usize) {
        let index = self
            .streams
            .iter()
            .position(|stream| stream.sessions.contains(&session))
            .unwrap();
        (index, usize::from(self.streams[index].sessions[1] == session))
    }

    fn later(&mut self, delay: Duration, host: usize, input: Input) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), (host, input));
    }

    fn output(&mut self, host: usize, output: Output) {
        match output {
            Output::Send { session, message } => self.send(host, session, message),
            Output::Disconnect { session } => self.disconnect(session),
            Output::Connect { peer, addresses, .. } => self.connect(host, peer, &addresses),
            Output::Verify { peer, address } => self.verify(host, peer, address),
            Output::Event(event) => self.hosts[host].events.push((self.now, event)),
            other => self.hosts[host].others.push(other),
        }
    }

    fn send(&mut self, host: usize, session: Session, message: Message) {
        if matches!(message, Message::Ping(_)) {
            let now = self.now;
            self.hosts[host].pings.push((now, session));
        }
        let (index, side) = self.end(session);
        let (stream, to) = (self.streams[index], 1 - side);
        if stream.open == [true, true] && !self.dead.contains(&index) {
            let session = stream.sessions[to];
            let frame = Input::Received { session, message };
            if self.cut.contains(&(host, stream.hosts[to])) {
                self.held.push((index, to, frame));
            } else {
                self.arrive(index, to, frame);
            }
        }
    }

    /// No cut is left; what streams held back arrives.
    pub(super) fn heal(&mut self) {
        self.cut.clear();
        for (index, to, frame) in std::mem::take(&mut self.held) {
            self.arrive(index, to, frame);
        }
    }

    /// All streams between two hosts go silent; new ones work.
    pub(super) fn deaden(&mut self, a: usize, b: usize) {
        let between = |stream: &Stream| stream.hosts == [a, b] || stream.hosts == [b, a];
        let dead = (0..self.streams.len()).filter(|&index| between(&self.streams[index]));
        self.dead = dead.collect();
    }

    fn arrive(&mut self, index: usize, to: usize, input: Input) {
        let stream = &mut self.streams[index];
        let at = (self.now + stream.delays[to]).max(stream.last[to]);
        stream.last[to] = at;
        let host = stream.hosts[to];
        self.later(at.since(self.now), host, input);
    }

    fn disconnect(&mut self, session: Session) {
        let (index, side) = self.end(session);
        assert!(self.streams[index].open[side], "closed twice");
        self.streams[index].open[side] = false;
        let stream = self.streams[index];
        if !self.cut.contains(&(stream.hosts[side], stream.hosts[1 - side])) && !self.dead.contains(&index) {
            self.hang_up(index, 1 - side);
        }
    }

    fn hang_up(&mut self, index: usize, side: usize) {
        let stream = self.streams[index];
        if stream.open[side] {
            let (session, cause) = (stream.sessions[side], DisconnectCause::Lost);
            self.arrive(index, side, Input::Disconnected { session, cause });
        }
    }

    /// The newest stream that `host` holds open breaks for it; the other end is not told.
    pub(super) fn break_at(&mut self, host: usize) -> bool {
        let side =
            |stream: &Stream| (0..2).find(|&side| stream.hosts[side] == host && stream.open[side] && stream.told[side]);
        let found = self.streams.iter().rposition(|stream| side(stream).is_some());
        let Some(index) = found else { return false };
        let Some(side) = side(&self.streams[index]) else {
            return false;
        };
        self.streams[index].open[side] = false;
        let session = self.streams[index].sessions[side];
        let cause = DisconnectCause::Lost;
        self.input(host, Input::Disconnected { session, cause });
        true
    }

    /// The newest stream breaks for both its ends.
    pub(super) fn break_both(&mut self) {
        let index = self
            .streams
            .iter()
            .rposition(|stream| stream.open == [true, true])
            .unwrap();
        let stream = self.streams[index];
        self.streams[index].open = [false, false];
        for side in [0, 1] {
            let (session, cause) = (stream.sessions[side], DisconnectCause::Lost);
            self.input(stream.hosts[side], Input::Disconnected { session, cause });
        }
    }

    fn meets(&self, host: usize, address: &Multiaddr) -> (usize, Door) {
        let other = self.hosts.iter().position(|other| other.address == *address);
        let Some(other) = other else {
            return (host, Door::BlackHole);
        };
        let cut = self.cut.contains(&(host, other)) || self.cut.contains(&(other, host));
        (other, if cut { Door::BlackHole } else { self.hosts[other].door })
    }

    fn connect(&mut self, host: usize, peer: Option<PeerId>, addresses: &[Multiaddr]) {
        let Some(address) = addresses.first().cloned() else {
            return self.later(
                DELAY,
                host,
                Input::DialFailed {
                    peer,
                    failures: Vec::new(),
                },
            );
        };
        match self.meets(host, &address) {
            (other, Door::Open) => self.open(host, other, Some(address)),
            (_, door) => self.fail(host, peer, address, door),
        }
    }

    /// A stream from `host` to `other`, as if dialled at this address.
    pub(super) fn open(&mut self, host: usize, other: usize, address: Option<Multiaddr>) {
        let number = self.streams.len() as u64 * 2;
        let stream = Stream {
            hosts: [host, other],
            sessions: [Session(number), Session(number + 1)],
            open: [true, true],
            told: [false, false],
            delays: [self.delay(), self.delay()],
            last: [self.now, self.now],
        };
        self.streams.push(stream);
        let peers = [self.hosts[host].peer, self.hosts[other].peer];
        let (session, opener) = (stream.sessions[1], Opener::Them);
        let accepted = Input::Connected {
            session,
            peer: peers[0],
            opener,
            address: None,
        };
        let (session, opener) = (stream.sessions[0], Opener::Us);
        let dialled = Input::Connected {
            session,
            peer: peers[1],
            opener,
            address,
        };
        // Who dialled knows it last, but not by how much.
        let there = stream.delays[1];
        self.later(there, other, accepted);
        self.later(there + stream.delays[0], host, dialled);
    }

    fn fail(&mut self, host: usize, peer: Option<PeerId>, address: Multiaddr, door: Door) {
        let (delay, failure) = match door {
            Door::Refuses => (DELAY * 2, DialFailure::Refused),
            _ => (DIAL_TIMEOUT, DialFailure::Timeout),
        };
        let failures = vec![(address, failure)];
        self.later(delay, host, Input::DialFailed { peer, failures });
    }

    fn verify(&mut self, host: usize, peer: PeerId, address: Multiaddr) {
        match self.meets(host, &address) {
            (_, Door::Open) => self.later(DELAY * 2, host, Input::Verified { peer, address }),
            (_, door) => self.fail(host, Some(peer), address, door),
        }
    }

    pub(super) fn count(&self, host: usize, what: impl Fn(&Event) -> bool) -> usize {
        self.hosts[host].events.iter().filter(|(_, event)| what(event)).count()
    }

    pub(super) fn ups(&self, host: usize) -> usize {
        self.count(host, |event| matches!(event, Event::LinkUp { .. }))
    }

    pub(super) fn downs(&self, host: usize) -> Vec<DownReason> {
        let events = self.hosts[host].events.iter();
        events
            .filter_map(|(_, event)| match event {
                Event::LinkDown { reason, .. } => Some(*reason),
                _ => None,
            })
            .collect()
    }

    pub(super) fn proofs(&self, host: usize) -> Vec<crate::DeathProof> {
        let events = self.hosts[host].events.iter();
        events
            .filter_map(|(_, event)| match event {
                Event::PeerDead { proof, .. } => Some(*proof),
                _ => None,
            })
            .collect()
    }

    pub(super) fn operations(&self, host: usize) -> Vec<u8> {
        let events = self.hosts[host].events.iter();
        events
            .filter_map(|(_, event)| match event {
                Event::Operation { body, .. } => body.first().copied(),
                _ => None,
            })
            .collect()
    }

    pub(super) fn id(&self, host: usize, other: usize) -> LinkId {
        self.link(host, other).unwrap().id()
    }
}
