//! Two or three peers and a wire that can be slow, broken or late; no driver's queue is ever longer than it may be.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p_identity::{Keypair, PeerId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::message::{Frame, OVERHEAD, Opening, Part};
use super::*;
use crate::{Config as Overlay, Versions};

const PORT: Port = Port(1);
const OTHER: Port = Port(2);
const DELAY: Duration = Duration::from_millis(1);

/// A thing on its way.
#[derive(Debug)]
enum Arrival {
    /// A stream that one end opens: at this end, opened by whom.
    Stream(PipeId, PeerId, Opener),
    Frame(PipeId, Frame),
    Written(PipeId),
    Closed(PipeId),
    NotOpened(PeerId),
}

/// Peers in the order of their ids, so that the first is the smallest.
struct Wire {
    peers: Vec<PeerId>,
    pipes: Vec<Pipes>,
    now: Time,
    queue: BTreeMap<(Time, u64), (usize, Arrival)>,
    count: u64,
    /// Open streams: their ends.
    streams: BTreeMap<PipeId, [usize; 2]>,
    events: Vec<Vec<Event>>,
    /// Nobody can be reached.
    cut: bool,
    /// Streams take so long to open, for each opener.
    opening: Vec<Duration>,
}

impl Wire {
    fn new(count: usize) -> Wire {
        Wire::with(count, |_, config| config)
    }

    fn with(count: usize, config: impl Fn(usize, Overlay) -> Overlay) -> Wire {
        let key = |seed: u8| Keypair::ed25519_from_bytes([seed + 1; 32]).unwrap().public();
        let mut peers: Vec<PeerId> = (0..count).map(|seed| key(seed as u8).to_peer_id()).collect();
        peers.sort();
        let pipes = peers.iter().enumerate().map(|(index, peer)| {
            let mut pipes = Pipes::new(&config(index, Overlay::lan()), *peer, index as u64 + 100);
            pipes.handle(
                Time::ZERO,
                Input::Command(Command::Listen { port: PORT }),
                &mut Vec::new(),
            );
            pipes
        });
        Wire {
            pipes: pipes.collect(),
            now: Time::ZERO,
            queue: BTreeMap::new(),
            count: 0,
            streams: BTreeMap::new(),
            events: vec![Vec::new(); count],
            cut: false,
            opening: vec![DELAY; count],
            peers,
        }
    }

    fn schedule(&mut self, after: Duration, at: usize, arrival: Arrival) {
        self.count += 1;
        self.queue.insert((self.now + after, self.count), (at, arrival));
    }

    fn input(&mut self, at: usize, input: Input) {
        let mut out = Vec::new();
        self.pipes[at].handle(self.now, input, &mut out);
        for output in out {
            self.carry_out(at, output);
        }
        for bounded in self.pipes[at].bounds() {
            assert!(bounded.holds(), "{bounded:?}");
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Event(event) => self.events[at].push(event),
            Output::Open { peer } => {
                let after = self.opening[at];
                let other = self.peers.iter().position(|known| *known == peer);
                match other.filter(|_| !self.cut) {
                    Some(other) => {
                        self.count += 1;
                        let pipe = PipeId(self.count);
                        self.streams.insert(pipe, [at, other]);
                        self.schedule(after, other, Arrival::Stream(pipe, self.peers[at], Opener::Them));
                        self.schedule(after, at, Arrival::Stream(pipe, peer, Opener::Us));
                    }
                    None => self.schedule(after, at, Arrival::NotOpened(peer)),
                }
            }
            Output::Send { pipe, frame } => {
                if let Some(other) = self.other(pipe, at) {
                    self.schedule(DELAY, other, Arrival::Frame(pipe, frame));
                    self.schedule(Duration::ZERO, at, Arrival::Written(pipe));
                }
            }
            Output::Close { pipe } => {
                if let Some(other) = self.other(pipe, at) {
                    self.schedule(DELAY, other, Arrival::Closed(pipe));
                }
            }
        }
    }

    fn other(&self, pipe: PipeId, at: usize) -> Option<usize> {
        let [a, b] = *self.streams.get(&pipe)?;
        Some(if a == at { b } else { a })
    }

    /// Breaks every stream; what is on its way is lost.
    fn break_all(&mut self) {
        let frames = |(_, arrival): &(usize, Arrival)| !matches!(arrival, Arrival::Frame(..) | Arrival::Closed(_));
        self.queue.retain(|_, arrival| frames(arrival));
        for (pipe, ends) in std::mem::take(&mut self.streams) {
            ends.into_iter().for_each(|end| self.input(end, Input::Closed { pipe }));
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let deadline = self.pipes.iter().filter_map(Pipes::deadline).min();
            let next = arrival.into_iter().chain(deadline).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            if arrival == Some(at) {
                let (_, (at, arrival)) = self.queue.pop_first().unwrap();
                self.arrive(at, arrival);
            } else {
                (0..self.pipes.len()).for_each(|index| self.input(index, Input::Wake));
            }
        }
        self.now = end;
    }

    fn arrive(&mut self, at: usize, arrival: Arrival) {
        let input = match arrival {
            Arrival::Stream(pipe, peer, opener) if self.streams.contains_key(&pipe) => Input::Opened {
                pipe,
                peer,
                opener,
                life: None,
            },
            Arrival::Stream(_, peer, Opener::Us) => Input::Failed { peer },
            Arrival::Stream(..) => return,
            Arrival::Frame(pipe, frame) => Input::Received { pipe, frame },
            Arrival::Written(pipe) => Input::Written { pipe },
            Arrival::Closed(pipe) => Input::Closed { pipe },
            Arrival::NotOpened(peer) => Input::Failed { peer },
        };
        self.input(at, input);
    }

    fn command(&mut self, at: usize, command: Command) {
        self.input(at, Input::Command(command));
    }

    fn send(&mut self, from: usize, to: usize, port: Port, body: Vec<u8>) {
        let peer = self.peers[to];
        self.command(from, Command::Send { port, peer, body });
    }

    fn read(&mut self, at: usize, from: usize, port: Port) {
        let peer = self.peers[from];
        self.command(at, Command::Read { port, peer });
    }

    fn received(&self, at: usize, wanted: Port) -> Vec<Vec<u8>> {
        let bodies = self.events[at].iter().filter_map(|event| match event {
            Event::Received { port, body, .. } if *port == wanted => Some(body.clone()),
            _ => None,
        });
        bodies.collect()
    }

    fn downs(&self, at: usize) -> Vec<(Cause, Vec<(Port, usize)>)> {
        let downs = self.events[at].iter().filter_map(|event| match event {
            Event::Down { cause, lost, .. } => Some((cause.clone(), lost.clone())),
            _ => None,
        });
        downs.collect()
    }

    fn ups(&self, at: usize) -> usize {
        let ups = self.events[at].iter().filter(|event| matches!(event, Event::Up { .. }));
        ups.count()
    }
}

const SOON: Duration = Duration::from_secs(2);

#[test]
fn bodies_arrive_in_order_whatever_their_size() {
    let mut wire = Wire::new(2);
    let bodies: Vec<Vec<u8>> = [0, 1, 40_000, MAX_BODY, 3]
        .iter()
        .enumerate()
        .map(|(n, size)| vec![n as u8; *size])
        .collect();
    for body in &bodies {
        wire.send(0, 1, PORT, body.clone());
        wire.run(SOON);
        wire.read(1, 0, PORT);
    }
    assert_eq!(wire.received(1, PORT), bodies);
    assert_eq!((wire.ups(0), wire.ups(1)), (1, 1));
    assert!(wire.downs(0).is_empty());
    assert_eq!(wire.pipes[0].view().queued, 0);
}

#[test]
fn two_that_open_at_once_end_with_one() {
    // Whoever is quicker with its stream, and whether or not the larger one's comes while the smaller one's is still being opened.
    for [first, second] in [[1, 1], [1, 5], [5, 1], [1, 400], [400, 1]] {
        let mut wire = Wire::new(2);
        wire.opening = vec![Duration::from_millis(first), Duration::from_millis(second)];
        wire.send(0, 1, PORT, b"down".to_vec());
        wire.send(1, 0, PORT, b"up".to_vec());
        wire.run(SOON);
        assert_eq!(wire.received(1, PORT), [b"down".to_vec()], "{first} {second}");
        assert_eq!(wire.received(0, PORT), [b"up".to_vec()], "{first} {second}");
        assert_eq!((wire.ups(0), wire.ups(1)), (1, 1), "{first} {second}");
        assert!(wire.downs(0).is_empty() && wire.downs(1).is_empty(), "{first} {second}");
        assert_eq!(wire.pipes[0].streams.len(), 1);
    }
}

#[test]
fn the_larger_peers_stream_serves_when_the_smaller_one_cannot_open_any() {
    let mut wire = Wire::new(2);
    wire.send(0, 1, PORT, b"down".to_vec());
    wire.queue.retain(|_, (at, arrival)| {
        *arrival = Arrival::NotOpened(wire.peers[1]);
        *at == 0
    });
    let late = wire.queue.pop_first().unwrap();
    wire.queue.insert((Time::from_millis(50), late.0.1), late.1);
    wire.send(1, 0, PORT, b"up".to_vec());
    wire.run(SOON);
    assert_eq!(wire.received(1, PORT), [b"down".to_vec()]);
    assert!(wire.downs(0).is_empty() && wire.downs(1).is_empty());
}

/// The other end has said with its answer that it means this opening no more.
#[test]
fn an_opening_that_comes_late_replaces_nothing() {
    let mut wire = Wire::new(2);
    wire.send(0, 1, PORT, b"down".to_vec());
    wire.send(1, 0, PORT, b"up".to_vec());
    // The larger peer's opening comes after the smaller one's was answered.
    let pipe = PipeId(1000);
    wire.run(SOON);
    assert_eq!(wire.pipes[1].openings, 1);
    let opening = Opening {
        versions: Versions::OURS,
        network: Overlay::lan().network,
        incarnation: 101,
        to: None,
        number: 1,
        ports: Vec::new(),
        more: Vec::new(),
    };
    let peer = wire.peers[1];
    let opener = Opener::Them;
    let life = None;
    wire.input(
        0,
        Input::Opened {
            pipe,
            peer,
            opener,
            life,
        },
    );
    let frame = Frame::Opening(Box::new(opening));
    wire.input(0, Input::Received { pipe, frame });
    assert!(wire.downs(0).is_empty(), "{:?}", wire.events[0]);
    assert!(wire.pipes[0].is_up(&peer));
}

/// An end that has lost its pipe opens another one, and the other end learns that way that there is no more.
#[test]
fn a_later_opening_replaces_a_pipe_that_the_other_end_has_lost() {
    let mut wire = Wire::new(2);
    wire.send(0, 1, PORT, b"one".to_vec());
    wire.run(SOON);
    let pipe = *wire.streams.keys().next().unwrap();
    wire.input(1, Input::Closed { pipe });
    wire.streams.clear();
    wire.send(1, 0, PORT, b"two".to_vec());
    wire.run(SOON);
    assert_eq!(wire.downs(0), [(Cause::Replaced, vec![])]);
    assert_eq!(wire.received(0, PORT), [b"two".to_vec()]);
}

#[test]
fn what_is_idle_is_closed_at_both_ends_and_opened_again_on_demand() {
    let mut wire = Wire::new(2);
    wire.send(0, 1, PORT, b"one".to_vec());
    wire.run(Duration::from_secs(59));
    assert_eq!(wire.pipes[0].view().up, 1);
    wire.run(Duration::from_secs(5));
    for end in 0..2 {
        assert_eq!(wire.downs(end), [(Cause::Idle, vec![])]);
        assert_eq!(wire.pipes[end].view().up, 0);
    }
    wire.read(1, 0, PORT);
    assert!(wire.pipes[0].peers.is_empty() && wire.pipes[1].peers.is_empty());
    assert!(wire.pipes[0].deadlines.is_empty() && wire.pipes[1].deadlines.is_empty());
    wire.send(1, 0, PORT, b"two".to_vec());
    wire.run(SOON);
    assert_eq!(wire.received(0, PORT), [b"two".to_vec()]);
}

#[test]
fn a_body_that_is_on_its_way_when_the_other_end_wants_to_rest_is_not_lost() {
    // Before and after the first of the two ends has been idle for long enough.
    for (early, from) in (0..12).flat_map(|early| [(early, 0), (early, 1)]) {
        let mut wire = Wire::new(2);
        wire.send(0, 1, PORT, b"one".to_vec());
        wire.run(SOON);
        let due = wire.pipes.iter().filter_map(Pipes::deadline).min().unwrap();
        wire.run(due - wire.now + DELAY * 2 - Duration::from_micros(early * 500));
        let to = 1 - from;
        let before = wire.received(to, PORT).len();
        wire.send(from, to, PORT, b"two".to_vec());
        wire.run(SOON);
        assert_eq!(wire.received(to, PORT)[before..], [b"two".to_vec()], "{early} {from}");
        for end in 0..2 {
            let idle = (Cause::Idle, vec![]);
            assert!(wire.downs(end).iter().all(|down| *down == idle), "{early} {from}");
        }
    }
}

#[test]
fn who_does_not_read_stalls_itself_and_nobody_else() {
    let mut wire = Wire::new(2);
    wire.command(0, Command::Listen { port: OTHER });
    wire.command(1, Command::Listen { port: OTHER });
    for n in 0..8u8 {
        wire.send(0, 1, PORT, vec![n; 50_000]);
        wire.run(SOON);
    }
    // Two are in the window, two in the queue, the others were refused.
    let refused = |event: &&Event| {
        matches!(
            event,
            Event::NotTaken {
                why: NotTaken::Full,
                ..
            }
        )
    };
    assert_eq!(wire.received(1, PORT).len(), 2);
    assert_eq!(wire.events[0].iter().filter(refused).count(), 4);
    for n in 0..20u8 {
        wire.send(0, 1, OTHER, vec![n; 50_000]);
        wire.run(SOON);
        wire.read(1, 0, OTHER);
    }
    assert_eq!(wire.received(1, OTHER).len(), 20);
    assert_eq!(wire.received(1, PORT).len(), 2);
    for _ in 0..4 {
        wire.read(1, 0, PORT);
        wire.run(SOON);
    }
    let first: Vec<u8> = wire.received(1, PORT).iter().map(|body| body[0]).collect();
    assert_eq!(first, [0, 1, 2, 3]);
    let peer = wire.peers[1];
    assert!(wire.events[0].contains(&Event::Room { port: PORT, peer }));
    assert!(wire.downs(0).is_empty());
}

/// Two bodies that were queued together arrive together: parts take turns.
#[test]
fn ports_take_turns() {
    let mut wire = Wire::new(2);
    for end in 0..2 {
        wire.command(end, Command::Listen { port: OTHER });
    }
    wire.send(0, 1, PORT, vec![1; 60_000]);
    wire.send(0, 1, PORT, vec![2; 60_000]);
    wire.send(0, 1, OTHER, vec![3; 100]);
    wire.run(SOON);
    let order: Vec<Port> = wire.events[1]
        .iter()
        .filter_map(|event| match event {
            Event::Received { port, .. } => Some(*port),
            _ => None,
        })
        .collect();
    assert_eq!(order, [OTHER, PORT, PORT]);
}

#[test]
fn a_break_is_reported_once_at_each_end_and_nothing_is_replayed() {
    let mut wire = Wire::new(2);
    wire.send(0, 1, PORT, b"arrives".to_vec());
    wire.run(SOON);
    wire.send(0, 1, PORT, vec![1; 40_000]);
    wire.send(0, 1, PORT, vec![2; 40_000]);
    wire.break_all();
    wire.run(SOON);
    assert_eq!(wire.downs(0), [(Cause::Lost, vec![(PORT, 2)])]);
    assert_eq!(wire.downs(1), [(Cause::Lost, vec![])]);
    wire.send(0, 1, PORT, b"later".to_vec());
    wire.run(SOON);
    assert_eq!(wire.received(1, PORT), [b"arrives".to_vec(), b"later".to_vec()]);
    assert_eq!((wire.ups(0), wire.pipes[0].view().counters.broken), (2, 1));
}

#[test]
fn who_cannot_be_reached_loses_what_waits_for_it() {
    let mut wire = Wire::new(2);
    wire.cut = true;
    wire.send(0, 1, PORT, b"one".to_vec());
    wire.run(SOON);
    assert_eq!(wire.downs(0), [(Cause::Unreachable, vec![(PORT, 1)])]);
    assert!(wire.pipes[0].peers.is_empty());
    assert_eq!(wire.pipes[0].view().queued, 0);
}

#[test]
fn an_opening_that_is_not_answered_ends() {
    let mut wire = Wire::new(2);
    wire.send(0, 1, PORT, b"one".to_vec());
    wire.queue.retain(|_, (at, _)| *at == 0);
    wire.run(Duration::from_secs(4));
    assert_eq!(wire.downs(0), [(Cause::Unreachable, vec![(PORT, 1)])]);
}

#[test]
fn where_nobody_is_bodies_are_refused_until_somebody_comes() {
    let mut wire = Wire::new(2);
    let peer = wire.peers[1];
    wire.command(0, Command::Listen { port: OTHER });
    wire.send(0, 1, OTHER, b"one".to_vec());
    wire.run(SOON);
    let refused = |lost| Event::Refused {
        port: OTHER,
        peer,
        lost,
    };
    assert!(wire.events[0].contains(&refused(1)));
    wire.command(1, Command::Listen { port: OTHER });
    wire.run(SOON);
    wire.send(0, 1, OTHER, b"two".to_vec());
    wire.run(SOON);
    assert_eq!(wire.received(1, OTHER), [b"two".to_vec()]);
    // Somebody leaves while a body arrives, and somebody else comes: the rest of the body is not for the latter.
    wire.send(0, 1, OTHER, vec![3; 60_000]);
    wire.run(DELAY * 2);
    wire.command(1, Command::Leave { port: OTHER });
    wire.command(1, Command::Listen { port: OTHER });
    wire.run(SOON);
    wire.send(0, 1, OTHER, b"four".to_vec());
    wire.run(SOON);
    assert_eq!(wire.received(1, OTHER).last().unwrap(), b"four");
    assert!(wire.downs(0).is_empty());
}

#[test]
fn other_networks_old_lives_and_whoever_is_too_many_are_refused() {
    let mut wire = Wire::with(2, |index, mut config| {
        config.network = format!("network {index}");
        config
    });
    wire.send(0, 1, PORT, b"one".to_vec());
    wire.run(SOON);
    assert_eq!(wire.downs(0), [(Cause::OtherNetwork, vec![(PORT, 1)])]);
    assert_eq!(wire.ups(1), 0);

    let mut wire = Wire::with(2, |index, mut config| {
        let version = index as u8 + 1;
        config.versions = Versions {
            oldest: version,
            newest: version,
        };
        config
    });
    wire.send(0, 1, PORT, b"one".to_vec());
    wire.run(SOON);
    assert_eq!(wire.downs(0), [(Cause::NoSharedVersion, vec![(PORT, 1)])]);
    assert_eq!(wire.ups(1), 0);

    let mut wire = Wire::new(2);
    wire.send(0, 1, PORT, b"one".to_vec());
    let (pipe, peer, life) = (PipeId(1), wire.peers[1], Some(77));
    let opener = Opener::Us;
    wire.run(Duration::ZERO);
    let opened = wire.queue.iter().find_map(|(at, (_, arrival))| match arrival {
        Arrival::Stream(_, _, Opener::Us) => Some(*at),
        _ => None,
    });
    wire.queue.remove(&opened.unwrap());
    wire.run(DELAY);
    wire.input(
        0,
        Input::Opened {
            pipe,
            peer,
            opener,
            life,
        },
    );
    wire.run(SOON);
    assert_eq!(wire.downs(0), [(Cause::OldLife, vec![(PORT, 1)])]);

    let mut wire = Wire::with(3, |_, mut config| {
        config.pipes.max_peers = 1;
        config
    });
    wire.send(0, 1, PORT, b"one".to_vec());
    wire.run(SOON);
    wire.send(2, 1, PORT, b"two".to_vec());
    wire.send(0, 2, PORT, b"three".to_vec());
    wire.run(SOON);
    assert_eq!(wire.downs(2), [(Cause::Busy, vec![(PORT, 1)])]);
    let too_many = |event: &Event| {
        matches!(
            event,
            Event::NotTaken {
                why: NotTaken::TooMany,
                ..
            }
        )
    };
    assert!(wire.events[0].iter().any(too_many));
}

#[test]
fn what_is_not_queued_is_said_with_the_reason() {
    let mut wire = Wire::with(2, |_, mut config| {
        config.pipes.max_queued = config.pipes.queue;
        config.pipes.max_ports = 2;
        config
    });
    let why = |wire: &Wire| match wire.events[0].last() {
        Some(Event::NotTaken { why, .. }) => Some(*why),
        _ => None,
    };
    wire.cut = true;
    wire.send(0, 1, PORT, vec![0; MAX_BODY + 1]);
    assert_eq!(why(&wire), Some(NotTaken::TooLong));
    wire.send(0, 1, OTHER, vec![0]);
    assert_eq!(why(&wire), Some(NotTaken::NotListening));
    wire.send(0, 0, PORT, vec![0]);
    assert_eq!(why(&wire), Some(NotTaken::Nobody));
    wire.command(0, Command::Listen { port: OTHER });
    wire.command(0, Command::Listen { port: Port(3) });
    assert_eq!(wire.events[0].last(), Some(&Event::NotListening { port: Port(3) }));
    wire.send(0, 1, PORT, vec![0; 40_000]);
    wire.send(0, 1, PORT, vec![0; 40_000]);
    assert_eq!(why(&wire), Some(NotTaken::NotListening).filter(|_| false));
    wire.send(0, 1, OTHER, vec![0; MAX_BODY]);
    assert_eq!(why(&wire), Some(NotTaken::AllFull));
    wire.command(0, Command::Leave { port: PORT });
    wire.send(0, 1, OTHER, vec![0; MAX_BODY]);
    assert_eq!(wire.pipes[0].view().queued, MAX_BODY + OVERHEAD);
}

#[test]
fn who_breaks_a_rule_loses_its_pipe() {
    let part = |size, first, last| {
        Frame::Part(Part {
            port: PORT,
            first,
            last,
            bytes: vec![0; size],
        })
    };
    let too_much = vec![part(16_000, true, false); 9];
    let never_sent = vec![Frame::Taken { bytes: 1000 }];
    let too_long = vec![part(message::MAX_PART + 1, true, true)];
    let nothing = vec![part(1, true, false), part(0, false, false)];
    let body_too_long = vec![part(16_000, true, false), part(16_000, false, false)]
        .into_iter()
        .chain(vec![part(16_000, false, false); 3])
        .collect();
    for frames in [too_much, never_sent, too_long, nothing, body_too_long] {
        let mut wire = Wire::new(2);
        wire.send(0, 1, PORT, b"one".to_vec());
        wire.run(SOON);
        let pipe = *wire.streams.keys().next().unwrap();
        for frame in frames {
            wire.input(1, Input::Received { pipe, frame });
        }
        wire.run(SOON);
        assert_eq!(wire.downs(1), [(Cause::Violation, vec![])]);
        assert_eq!(wire.downs(0), [(Cause::Violation, vec![])]);
        assert_eq!(wire.pipes[1].view().counters.garbage, 1);
    }
}

#[test]
fn who_stops_says_so_and_takes_no_more() {
    let mut wire = Wire::new(3);
    wire.send(0, 1, PORT, b"one".to_vec());
    wire.run(SOON);
    wire.send(0, 2, PORT, b"two".to_vec());
    wire.input(0, Input::Shutdown);
    wire.run(SOON);
    assert_eq!(wire.downs(1), [(Cause::Stopped, vec![])]);
    assert_eq!(
        wire.downs(0),
        [(Cause::Stopped, vec![]), (Cause::Stopped, vec![(PORT, 1)])]
    );
    assert!(wire.pipes[0].peers.is_empty() && wire.pipes[0].streams.is_empty());
    wire.send(1, 0, PORT, b"three".to_vec());
    wire.run(Duration::from_secs(20));
    assert_eq!(wire.received(0, PORT).len(), 0);
    assert_eq!(wire.downs(1).len(), 2);
    assert!(wire.pipes.iter().all(|pipes| pipes.deadlines.is_empty()));
}

/// Whatever happens: order is kept, nothing comes twice or from nowhere, each `Up` has its `Down`, and limits hold.
#[test]
fn at_random() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut wire = Wire::new(3);
        let mut number = 0u32;
        for _ in 0..150 {
            let (from, to) = (rng.random_range(0..3), rng.random_range(0..3));
            let port = if rng.random() { PORT } else { OTHER };
            let peer = wire.peers[to];
            match rng.random_range(0..20) {
                0 => wire.break_all(),
                1 => wire.cut = rng.random_bool(0.3),
                2 => wire.command(from, Command::Listen { port: OTHER }),
                3 => wire.command(from, Command::Leave { port: OTHER }),
                4 => wire.command(from, Command::Close { port, peer }),
                5..9 => wire.read(from, to, port),
                _ => {
                    number += 1;
                    let mut body = number.to_be_bytes().to_vec();
                    let size = rng.random_range(0..60_000);
                    body.resize(4 + if rng.random() { size } else { 0 }, from as u8);
                    wire.send(from, to, port, body);
                }
            }
            let pause = [0, 1, 3, 200, 70_000][rng.random_range(0..5)];
            wire.run(Duration::from_millis(pause));
        }
        wire.cut = false;
        // Whoever does not read keeps what is sent to it waiting, and its pipe up.
        let ends = (0..3).flat_map(|at| (0..3).map(move |from| (at, from)));
        for (at, from) in ends.filter(|(at, from)| at != from) {
            let peer = wire.peers[from];
            for port in [PORT, OTHER] {
                wire.command(at, Command::Close { port, peer });
            }
        }
        wire.run(Duration::from_secs(1000));
        for at in 0..3 {
            check_story(&wire.events[at], seed);
        }
        assert!(wire.pipes.iter().all(|pipes| pipes.view().up == 0), "{seed}");
        assert!(wire.pipes.iter().all(|pipes| pipes.view().queued == 0), "{seed}");
    }
}

fn check_story(events: &[Event], seed: u64) {
    let mut up = BTreeSet::new();
    let mut last: BTreeMap<(PeerId, Port), u32> = BTreeMap::new();
    for event in events {
        match event {
            Event::Up { peer, .. } => assert!(up.insert(*peer), "{seed}: up twice"),
            Event::Down { peer, lost, .. } => assert!(up.remove(peer) || !lost.is_empty(), "{seed}: down twice"),
            Event::Received { peer, port, body } => {
                let number = u32::from_be_bytes(body[..4].try_into().unwrap());
                assert!(up.contains(peer), "{seed}: a body without a pipe");
                let before = last.insert((*peer, *port), number);
                assert!(before.is_none_or(|before| before < number), "{seed}: out of order");
                assert!(
                    body[4..].iter().all(|byte| *byte == body[body.len() - 1]),
                    "{seed}: mixed up"
                );
            }
            _ => {}
        }
    }
}
