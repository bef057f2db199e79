//! Nodes on wires in virtual time: a wire is heard by whoever captures on it, a tunnel is a queue with a delay, the group a list that reaches
//! each node a little later.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use fatebound::process_group::GroupNode;
use fatebound::{Keypair, PeerId};
use fatebound_base::Time;
use fatebound_multicast::io::{Input, Output};
use fatebound_multicast::machine::Multicast;
use fatebound_multicast::message::{Frame, Seat};
use fatebound_multicast::network::NetworkId;

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;
pub const N1: usize = 1;
pub const N2: usize = 2;
pub const N3: usize = 3;
pub const N4: usize = 4;
pub const N5: usize = 5;
pub const N6: usize = 6;

/// Who is where, in the order in which they come: nodes 2, 6 and 4 lead A, B and C, and node 2 all of it.
const SEATS: [(usize, usize); 8] = [(N2, A), (N6, B), (N4, C), (N1, A), (N5, B), (N4, B), (N1, C), (N3, A)];

const RULES: &str = "[[rule]]\ngroups = \"239.5.5.5\"\n";

struct Host {
    machine: Multicast,
    peer: PeerId,
    /// Networks that it captures on.
    hears: BTreeSet<usize>,
    alive: bool,
    /// Since when, and what has come since.
    stopped: Option<(Time, Vec<Input>)>,
    /// Whether the group still has it.
    listed: bool,
    incarnation: u64,
}

enum Happening {
    Input(usize, Box<Input>),
    /// Through a tunnel that was opened so often.
    Arrive(usize, usize, u64, Box<Frame>),
    /// The group tells a node the list.
    Tell(usize),
    /// The group answers a node, if it has it.
    Answer(usize, u64),
    /// The group knows of a death.
    Known(usize),
    Wake(usize),
}

pub struct World {
    now: Time,
    random: u64,
    hosts: BTreeMap<usize, Host>,
    /// Of the group, by age.
    list: Vec<(usize, usize, u32)>,
    queue: BTreeMap<(Time, u64), Happening>,
    next: u64,
    /// When the last frame of a direction of a tunnel arrives, and how often that was opened.
    tunnels: BTreeMap<(usize, usize), (Time, u64)>,
    /// Payloads by network: what was sent there, what was heard there.
    sent: Vec<(usize, u32)>,
    heard: Vec<BTreeMap<u32, u32>>,
    equal: Vec<u32>,
    injected: u64,
    longest_stop: Duration,
}

fn network(index: usize) -> NetworkId {
    NetworkId::of(Ipv4Addr::new(10, 1 + index as u8, 0, 0), 24).expect("a network")
}

fn index_of(id: NetworkId) -> usize {
    (0..3).find(|&index| network(index) == id).expect("one of ours")
}

/// The payload of all equal datagrams.
const EQUAL: u32 = u32::MAX;

fn packet(from: usize, number: u32) -> Vec<u8> {
    let payload = number.to_be_bytes();
    let mut bytes = vec![0; 28];
    bytes[0] = 0x45;
    bytes[3] = 32;
    bytes[8] = 16;
    bytes[9] = 17;
    bytes[12..16].copy_from_slice(&[10, 1 + from as u8, 0, 200]);
    bytes[16..20].copy_from_slice(&[239, 5, 5, 5]);
    bytes[20..24].copy_from_slice(&[0x11, 0x5c, 0x13, 0x88]);
    bytes[25] = 12;
    bytes.extend_from_slice(&payload);
    bytes
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[28], bytes[29], bytes[30], bytes[31]])
}

impl World {
    pub fn figure_5(seed: u64) -> World {
        let mut world = World {
            now: Time::from_millis(60_000),
            random: seed | 1,
            hosts: BTreeMap::new(),
            list: Vec::new(),
            queue: BTreeMap::new(),
            next: 0,
            tunnels: BTreeMap::new(),
            sent: Vec::new(),
            heard: vec![BTreeMap::new(); 3],
            equal: vec![0; 3],
            injected: 0,
            longest_stop: Duration::ZERO,
        };
        for node in 1..=6 {
            world.add_host(node, 1);
        }
        for (serial, (node, network)) in (1..).zip(SEATS) {
            world.sit(node, network, serial);
        }
        // Until everybody has overheard for long enough to know all that may be asked.
        world.run(Duration::from_secs(12));
        world
    }

    fn add_host(&mut self, node: usize, incarnation: u64) {
        let key = Keypair::ed25519_from_bytes([node as u8; 32]).expect("a key");
        let peer = key.public().to_peer_id();
        let host = Host {
            machine: Multicast::new(peer, RULES.parse().expect("rules"), self.now),
            peer,
            hears: BTreeSet::new(),
            alive: true,
            stopped: None,
            listed: true,
            incarnation,
        };
        self.hosts.insert(node, host);
    }

    fn sit(&mut self, node: usize, on: usize, serial: u32) {
        self.list.push((node, on, serial));
        let seat = Some(self.seat(node, serial));
        let network = network(on);
        self.input(node, Input::Seat { network, seat });
        self.tell_all();
    }

    /// A killed node is there again, behind all others.
    pub fn join_again(&mut self, node: usize) {
        let incarnation = self.hosts[&node].incarnation + 1;
        self.add_host(node, incarnation);
        for (serial, (_, network)) in (1..).zip(SEATS.iter().filter(|(of, _)| *of == node)) {
            self.sit(node, *network, serial);
        }
    }

    fn seat(&self, node: usize, serial: u32) -> Seat {
        let host = &self.hosts[&node];
        let node = GroupNode {
            peer: host.peer,
            incarnation: host.incarnation,
        };
        Seat { node, serial }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.next += 1;
        self.queue.insert((self.now + delay, self.next), happening);
    }

    fn tell_all(&mut self) {
        for node in 1..=6 {
            let delay = Duration::from_micros(self.draw(8000));
            self.after(delay, Happening::Tell(node));
        }
    }

    /// An application on a network sends something that was never sent before.
    pub fn send(&mut self, on: usize) {
        let number = self.sent.len() as u32;
        self.sent.push((on, number));
        self.on_wire(on, None, &packet(on, number));
    }

    pub fn send_equal(&mut self, on: usize) {
        self.on_wire(on, None, &packet(on, EQUAL));
    }

    fn on_wire(&mut self, on: usize, injector: Option<usize>, bytes: &[u8]) {
        match number(bytes) {
            EQUAL => self.equal[on] += 1,
            number => *self.heard[on].entry(number).or_default() += 1,
        }
        let hearing: Vec<usize> = self
            .hosts
            .iter()
            .filter(|(_, host)| host.hears.contains(&on))
            .map(|(node, _)| *node)
            .collect();
        for node in hearing {
            // Whoever has put it there has marked it.
            if Some(node) != injector {
                let input = Input::Captured {
                    network: network(on),
                    bytes: bytes.to_vec(),
                };
                self.after(Duration::from_micros(50), Happening::Input(node, Box::new(input)));
            }
        }
    }

    pub fn kill(&mut self, node: usize, known_after: Duration) {
        let host = self.hosts.get_mut(&node).expect("a node");
        host.alive = false;
        host.hears.clear();
        host.stopped = None;
        for other in 1..=6 {
            self.break_tunnel(node, other);
        }
        self.after(known_after, Happening::Known(node));
    }

    /// The group goes on without a node that may be alive.
    pub fn expel(&mut self, node: usize) {
        self.list.retain(|(of, ..)| *of != node);
        self.hosts.get_mut(&node).expect("a node").listed = false;
        self.tell_all();
    }

    pub fn stop(&mut self, node: usize) {
        let now = self.now;
        let host = self.hosts.get_mut(&node).expect("a node");
        if host.alive && host.stopped.is_none() {
            host.stopped = Some((now, Vec::new()));
        }
    }

    pub fn resume(&mut self, node: usize) {
        let host = self.hosts.get_mut(&node).expect("a node");
        if let Some((since, inputs)) = host.stopped.take() {
            self.longest_stop = self.longest_stop.max(self.now.since(since));
            for input in inputs {
                self.input(node, input);
            }
        }
    }

    pub fn break_tunnel(&mut self, one: usize, other: usize) {
        if one == other {
            return;
        }
        for (from, to) in [(one, other), (other, one)] {
            self.tunnels.entry((from, to)).or_default().1 += 1;
            let peer = self.hosts[&from].peer;
            self.after(
                Duration::from_millis(1),
                Happening::Input(to, Box::new(Input::TunnelDown { peer })),
            );
        }
    }

    pub fn quorum(&mut self, quorate: bool) {
        for node in 1..=6 {
            self.input(node, Input::Quorum(quorate));
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        let host = self.hosts.get_mut(&node).expect("a node");
        if !host.alive {
            return;
        }
        if let Some((_, waiting)) = &mut host.stopped {
            return waiting.push(input);
        }
        let mut out = Vec::new();
        host.machine.handle(self.now, input, &mut out);
        for output in out {
            self.output(node, output);
        }
        if let Some(deadline) = self.hosts[&node].machine.deadline() {
            self.after(deadline.since(self.now), Happening::Wake(node));
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Inject { network, packet } => {
                self.injected += 1;
                self.on_wire(index_of(network), Some(node), packet.bytes());
            }
            Output::Send { peer, frame } => {
                let to = self
                    .hosts
                    .iter()
                    .find(|(_, host)| host.peer == peer)
                    .map(|(node, _)| *node)
                    .expect("a node");
                let delay = Duration::from_micros(200 + self.draw(3000));
                let now = self.now;
                let (last, opened) = self.tunnels.entry((node, to)).or_default();
                *last = (*last).max(now + delay);
                let (delay, opened) = (last.since(now), *opened);
                // As bytes: what is sent is what can be read.
                let bytes = frame.encode().expect("it fits");
                let (frame, rest) = Frame::decode(&bytes).expect("a word");
                assert!(rest.is_empty());
                self.after(delay, Happening::Arrive(node, to, opened, Box::new(frame)));
            }
            Output::Capture { network, on } => {
                let hears = &mut self.hosts.get_mut(&node).expect("a node").hears;
                if on {
                    hears.insert(index_of(network));
                } else {
                    hears.remove(&index_of(network));
                }
            }
            Output::Confirm { nonce } => {
                let delay = Duration::from_millis(2 + self.draw(20));
                self.after(delay, Happening::Answer(node, nonce));
            }
            Output::Event(_) => {}
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(happening);
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(node, input) => self.input(node, *input),
            Happening::Arrive(from, to, opened, frame) => {
                if self.tunnels.get(&(from, to)).is_some_and(|tunnel| tunnel.1 == opened) {
                    let (peer, frame) = (self.hosts[&from].peer, *frame);
                    self.input(to, Input::Frame { peer, frame });
                }
            }
            Happening::Tell(node) => self.tell(node),
            Happening::Answer(node, nonce) => {
                self.tell(node);
                if self.hosts[&node].listed {
                    self.input(node, Input::Confirmed { nonce });
                }
            }
            Happening::Known(node) => {
                if !self.hosts[&node].alive {
                    self.expel(node);
                    self.hosts.get_mut(&node).expect("a node").listed = true;
                }
            }
            Happening::Wake(node) => {
                if self.hosts[&node]
                    .machine
                    .deadline()
                    .is_some_and(|deadline| deadline <= self.now)
                {
                    self.input(node, Input::Wake);
                }
            }
        }
    }

    fn tell(&mut self, node: usize) {
        if !self.hosts[&node].listed {
            let on: Vec<usize> = SEATS.iter().filter(|(of, _)| *of == node).map(|(_, on)| *on).collect();
            self.input(node, Input::List(Vec::new()));
            for on in on {
                let (network, seat) = (network(on), None);
                self.input(node, Input::Seat { network, seat });
            }
            return;
        }
        let list = self
            .list
            .iter()
            .map(|&(of, on, serial)| (self.seat(of, serial), network(on)))
            .collect();
        self.input(node, Input::List(list));
    }

    /// Until all that was sent has arrived.
    pub fn settle(&mut self) {
        self.run(Duration::from_secs(3));
    }

    pub fn leaders(&self) -> [Option<usize>; 3] {
        [A, B, C].map(|on| self.list.iter().find(|(_, of, _)| *of == on).map(|(node, ..)| *node))
    }

    pub fn injected(&self) -> u64 {
        self.injected
    }

    pub fn longest_stop(&self) -> Duration {
        self.longest_stop
    }

    pub fn heard_equal(&self, on: usize) -> u32 {
        self.equal[on]
    }

    /// What was heard twice.
    pub fn duplicates(&self) -> Vec<String> {
        self.wrong(|count| count > 1)
    }

    /// What was not heard exactly once.
    pub fn problems(&self) -> Vec<String> {
        self.wrong(|count| count != 1)
    }

    fn wrong(&self, is_wrong: impl Fn(u32) -> bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for (on, heard) in self.heard.iter().enumerate() {
            for &(from, number) in &self.sent {
                let count = heard.get(&number).copied().unwrap_or(0);
                if is_wrong(count) {
                    wrong.push(format!("{number} of network {from}: {count} times on network {on}"));
                }
            }
        }
        // Enough to see what it is.
        wrong.truncate(8);
        wrong
    }
}
