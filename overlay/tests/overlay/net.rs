//! A small network in virtual time: overlays, connections between them, and everything that goes wrong.
//!
//! It stands where a driver would: it carries out outputs and reports what came of them. Latency is the same everywhere, so a session keeps
//! its order.

mod liars;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use fatebound_overlay::message::{Answer, Message, OneShot, Routed, RoutedAnswer, Signed};
use fatebound_overlay::record::SignedRecord;
use fatebound_overlay::{
    Command, Config, DialFailure, DisconnectCause, Event, Input, Key, Keypair, Multiaddr, Opener, Output, Overlay,
    PeerId, Port, PostId, Posting, RequestId, Session, Time,
};
use fatebound_overlay::{Identity, Signer};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub const LATENCY: Duration = Duration::from_millis(5);
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What is signed is a question, or an answer.
const QUESTION: &[u8] = b"fatebound question 1";
const ANSWER: &[u8] = b"fatebound answer 1";

/// After how long a dial failed, and why at each address.
type Failed = (Duration, Vec<(Multiaddr, DialFailure)>);

pub struct Node {
    pub overlay: Overlay,
    pub peer: PeerId,
    pub alive: bool,
    /// Takes links, but swallows everything routed.
    pub mute: bool,
    pub events: Vec<(Time, Event)>,
    life: u64,
    /// Each life's clock starts at zero.
    born: Time,
}

enum Happening {
    Input(usize, u64, Box<Input>),
    Wake(usize, u64),
}

pub struct Net {
    pub now: Time,
    pub nodes: Vec<Node>,
    pub config: Config,
    /// Of all generators.
    pub seed: u64,
    /// Nodes of different sides cannot reach each other.
    pub side: Vec<u8>,
    /// Pairs that cannot reach each other.
    pub cuts: HashSet<(usize, usize)>,
    /// Answers to `Event::Asked`: on.
    pub answering: bool,
    /// Nodes that name these peers whenever they are asked for any, and answer every `Join` themselves.
    pub lies: HashMap<usize, Vec<SignedRecord>>,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    sessions: HashMap<Session, (usize, Session)>,
    owners: BTreeMap<Session, usize>,
    connected: BTreeSet<(usize, usize)>,
    requests: HashMap<RequestId, (usize, RequestId)>,
    /// Of one-shot messages, carried ones included.
    pub bytes: usize,
    /// Questions handed on through the overlay: when, from whom, to which neighbour.
    pub routed: Vec<(Time, usize, usize, Routed)>,
    /// Answers handed back: from whom, to which neighbour.
    pub answers: Vec<(usize, usize, RoutedAnswer)>,
    /// Dials for sessions: when, by whom, where.
    pub dials: Vec<(Time, usize, Vec<Multiaddr>)>,
    /// What this node shows whatever name it is asked for.
    pub directory_lie: Option<(usize, fatebound_overlay::directory::Entry)>,
    /// Direct questions of the directory: when, from whom.
    pub of_directory: Vec<(Time, usize)>,
    /// Addresses to be verified: by whom, which.
    pub verified: Vec<(usize, Multiaddr)>,
}

pub fn address(at: usize) -> Multiaddr {
    format!("/ip4/10.0.{}.{}/tcp/4001", at / 256, at % 256)
        .parse()
        .expect("a multiaddress")
}

/// A node's identity; numbers beyond the nodes are nobody's.
/// A posting of the layer above.
pub fn posting(number: u64) -> Posting {
    Posting {
        port: Port::GROUPS,
        post: PostId(number),
    }
}

pub fn keypair(at: usize) -> Keypair {
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&(at as u64).to_be_bytes());
    Keypair::ed25519_from_bytes(seed).expect("32 bytes")
}

/// What the peer of this key says to others, as carriers hand it on; `usage` tells questions from answers.
fn signed<T: serde::Serialize>(keypair: &Keypair, to: PeerId, number: u64, body: T, usage: &[u8]) -> Signed<T> {
    let from = keypair.public().to_peer_id();
    let covered = postcard::to_stdvec(&(from, to, number, &body)).expect("it encodes");
    Signed {
        from,
        to,
        number,
        body,
        signature: keypair.sign_for(usage, &covered),
    }
}

/// A routed question as its asker signs it.
pub fn signed_question(keypair: &Keypair, target: PeerId, number: u64, body: OneShot) -> Signed<OneShot> {
    signed(keypair, target, number, body, QUESTION)
}

/// The signed answer to somebody's routed question, as it comes over its last link.
pub fn signed_answer(keypair: &Keypair, to: PeerId, number: u64, body: Answer) -> RoutedAnswer {
    RoutedAnswer {
        trail: vec![Key::of(&to).tag()],
        body: signed(keypair, to, number, body, ANSWER),
    }
}

impl Net {
    pub fn new(config: Config) -> Net {
        config.validate().expect("a valid configuration");
        Net {
            now: Time::ZERO,
            nodes: Vec::new(),
            config,
            seed: 0,
            side: Vec::new(),
            cuts: HashSet::new(),
            answering: true,
            lies: HashMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            sessions: HashMap::new(),
            owners: BTreeMap::new(),
            connected: BTreeSet::new(),
            requests: HashMap::new(),
            bytes: 0,
            routed: Vec::new(),
            answers: Vec::new(),
            dials: Vec::new(),
            directory_lie: None,
            of_directory: Vec::new(),
            verified: Vec::new(),
        }
    }

    /// Adds a node that listens but has not been told to join.
    pub fn add(&mut self) -> usize {
        let config = self.config.clone();
        self.add_with(&config)
    }

    pub fn add_with(&mut self, config: &Config) -> usize {
        let at = self.nodes.len();
        let keypair = keypair(at);
        let overlay = Overlay::new(
            config,
            &Identity::new(&keypair),
            at as u64 + 1000,
            StdRng::seed_from_u64(self.seed + at as u64),
        );
        let peer = overlay.peer();
        let events = Vec::new();
        self.nodes.push(Node {
            overlay,
            peer,
            alive: true,
            mute: false,
            events,
            life: 1,
            born: self.now,
        });
        self.side.push(0);
        self.give(at, Input::Listening(vec![address(at)]));
        at
    }

    pub fn join(&mut self, at: usize, through: &[usize]) {
        let bootstrap = through.iter().map(|at| address(*at)).collect();
        self.command(at, Command::Join { bootstrap });
    }

    pub fn listen(&mut self, at: usize, addresses: &[Multiaddr]) {
        self.give(at, Input::Listening(addresses.to_vec()));
    }

    pub fn command(&mut self, at: usize, command: Command) {
        self.give(at, Input::Command(command));
    }

    /// The process is killed: its connections break at once.
    pub fn kill(&mut self, at: usize) {
        self.nodes[at].alive = false;
        self.nodes[at].life += 1;
        let dead: Vec<_> = self
            .owners
            .iter()
            .filter(|(_, owner)| **owner == at)
            .map(|(session, _)| *session)
            .collect();
        for session in dead {
            self.close(session);
        }
        self.connected.retain(|(a, b)| *a != at && *b != at);
    }

    /// A new life of a killed process, with the same identity.
    pub fn restart(&mut self, at: usize) {
        let incarnation = self.nodes[at].life * 7919 + at as u64;
        let overlay = Overlay::new(
            &self.config,
            &Identity::new(&keypair(at)),
            incarnation,
            StdRng::seed_from_u64(self.seed + incarnation),
        );
        self.nodes[at].overlay = overlay;
        self.nodes[at].alive = true;
        self.nodes[at].born = self.now;
        self.nodes[at].events.clear();
        self.give(at, Input::Listening(vec![address(at)]));
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((&(at, sequence), _)) = self.queue.first_key_value() {
            if at > end {
                break;
            }
            self.now = at;
            match self.queue.remove(&(at, sequence)) {
                Some(Happening::Input(to, life, input)) if self.lives(to, life) => self.give(to, *input),
                Some(Happening::Wake(to, life)) if self.lives(to, life) && self.is_due(to) => {
                    self.give(to, Input::Wake);
                }
                _ => {}
            }
        }
        self.now = end;
    }

    /// A frame arrives at `at` on a session of its with `from`, whatever `from` meant to send.
    pub fn inject(&mut self, at: usize, from: usize, message: Message) {
        let mut owned = self
            .owners
            .iter()
            .filter(|(_, owner)| **owner == at)
            .map(|(session, _)| *session);
        let session = owned.find(|session| self.sessions.get(session).is_some_and(|(other, _)| *other == from));
        let session = session.expect("a session between the two");
        self.give(at, Input::Received { session, message });
    }

    /// A signed question of `from`, as it leaves it.
    pub fn question(&self, from: usize, target: PeerId, body: OneShot) -> Routed {
        Routed {
            target,
            visited: vec![Key::of(&self.nodes[from].peer).tag()],
            detours: self.config.detours,
            body: signed_question(&keypair(from), target, 7, body),
        }
    }

    /// The signed answer of `from` to a routed question of `to`.
    pub fn signed_answer(&self, from: usize, to: usize, number: u64, body: Answer) -> RoutedAnswer {
        signed_answer(&keypair(from), self.nodes[to].peer, number, body)
    }

    /// Such an answer, over the link between the two.
    pub fn answer(&mut self, from: usize, to: usize, number: u64, body: Answer) {
        let answer = self.signed_answer(from, to, number, body);
        self.inject(to, from, Message::RoutedAnswer(Box::new(answer)));
    }

    /// Runs until it is so, for at most `limit`; says after how long it was.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Net) -> bool) -> Option<Duration> {
        let start = self.now;
        while self.now.since(start) < limit {
            if done(self) {
                return Some(self.now.since(start));
            }
            self.run(Duration::from_millis(20));
        }
        None
    }

    fn is_due(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let due = node.overlay.deadline();
        due.is_some_and(|due| node.born + due.elapsed() <= self.now)
    }

    fn lives(&self, at: usize, life: u64) -> bool {
        self.nodes[at].alive && self.nodes[at].life == life
    }

    /// A driver's word to `at`.
    pub fn input(&mut self, at: usize, input: Input) {
        self.give(at, input);
    }

    fn give(&mut self, at: usize, input: Input) {
        let routed = |message: &Message| matches!(message, Message::Routed(_) | Message::RoutedAnswer(_));
        if self.nodes[at].mute && matches!(&input, Input::Received { message, .. } if routed(message)) {
            return;
        }
        let Some(input) = self.answered_with_a_lie(at, input) else {
            return;
        };
        let mut out = Vec::new();
        let clock = Time::ZERO + self.now.since(self.nodes[at].born);
        self.nodes[at].overlay.handle(clock, input, &mut out);
        for output in out {
            let output = self.belied(at, output);
            self.carry_out(at, output);
        }
        if let Some(due) = self.nodes[at].overlay.deadline() {
            let due = self.nodes[at].born + due.elapsed();
            let life = self.nodes[at].life;
            self.push(due.max(self.now), Happening::Wake(at, life));
        }
    }

    fn push(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    fn later(&mut self, after: Duration, to: usize, input: Input) {
        let life = self.nodes[to].life;
        self.push(self.now + after, Happening::Input(to, life, Box::new(input)));
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Send { session, message } => {
                let bytes = encoded_len(&message);
                assert!(bytes <= 64 * 1024, "a frame of {bytes} bytes");
                if matches!(message, Message::Routed(_) | Message::RoutedAnswer(_)) {
                    self.bytes += bytes;
                }
                if let Some(&(other, _)) = self.sessions.get(&session) {
                    match &message {
                        Message::Routed(routed) => self.routed.push((self.now, at, other, (**routed).clone())),
                        Message::RoutedAnswer(answer) => self.answers.push((at, other, (**answer).clone())),
                        _ => {}
                    }
                }
                if let Some(&(other, session)) = self.sessions.get(&session)
                    && !self.cut(at, other)
                {
                    self.later(LATENCY, other, Input::Received { session, message });
                }
            }
            Output::Connect { peer, addresses, fresh } => {
                self.dials.push((self.now, at, addresses.clone()));
                self.connect(at, peer, &addresses, fresh);
            }
            Output::Verify { peer, address } => self.verify(at, peer, address),
            Output::Disconnect { session } => {
                self.owners.remove(&session);
                self.close(session);
            }
            Output::Request {
                request,
                peer,
                addresses,
                body,
                ..
            } => self.request(at, request, peer, &addresses, body),
            Output::Respond { request, body } => {
                self.bytes += encoded_len(&body);
                if let Some((asker, request)) = self.requests.remove(&request)
                    && !self.cut(at, asker)
                {
                    self.later(LATENCY, asker, Input::Response { request, body });
                }
            }
            Output::Event(event) => {
                let now = self.now;
                self.nodes[at].events.push((now, event.clone()));
                if let (Event::Asked { way, body, .. }, true) = (event, self.answering) {
                    self.command(at, Command::Reply { way, body: Some(body) });
                }
            }
        }
    }

    fn verify(&mut self, at: usize, peer: PeerId, address: Multiaddr) {
        self.verified.push((at, address.clone()));
        match self.dial(at, Some(peer), std::slice::from_ref(&address)) {
            Ok(_) => self.later(LATENCY * 2, at, Input::Verified { peer, address }),
            Err((after, failures)) => {
                let peer = Some(peer);
                self.later(after, at, Input::DialFailed { peer, failures });
            }
        }
    }

    fn connect(&mut self, at: usize, peer: Option<PeerId>, addresses: &[Multiaddr], fresh: bool) {
        let existing = self
            .nodes
            .iter()
            .position(|node| Some(node.peer) == peer)
            .filter(|other| !fresh && self.has_connection(at, *other));
        let dialled = match existing {
            Some(other) => Ok((other, None)),
            None => self
                .dial(at, peer, addresses)
                .map(|(other, address)| (other, Some(address))),
        };
        match dialled {
            Ok((other, address)) => self.open(at, other, address),
            Err((after, failures)) => self.later(after, at, Input::DialFailed { peer, failures }),
        }
    }

    fn open(&mut self, at: usize, other: usize, address: Option<Multiaddr>) {
        self.connected.insert((at.min(other), at.max(other)));
        self.sequence += 2;
        let (ours, theirs) = (Session(self.sequence), Session(self.sequence + 1));
        self.sequence += 1;
        self.sessions.insert(ours, (other, theirs));
        self.sessions.insert(theirs, (at, ours));
        self.owners.insert(ours, at);
        self.owners.insert(theirs, other);
        let (our_peer, their_peer) = (self.nodes[at].peer, self.nodes[other].peer);
        let here = Input::Connected {
            session: ours,
            peer: their_peer,
            opener: Opener::Us,
            address,
        };
        let there = Input::Connected {
            session: theirs,
            peer: our_peer,
            opener: Opener::Them,
            address: None,
        };
        self.later(LATENCY * 2, at, here);
        self.later(LATENCY * 2, other, there);
    }

    fn close(&mut self, session: Session) {
        self.owners.remove(&session);
        if let Some((other, theirs)) = self.sessions.remove(&session) {
            self.sessions.remove(&theirs);
            if self.owners.remove(&theirs).is_some() {
                let cause = DisconnectCause::Lost;
                self.later(LATENCY, other, Input::Disconnected { session: theirs, cause });
            }
        }
    }

    fn request(&mut self, at: usize, request: RequestId, peer: PeerId, addresses: &[Multiaddr], body: OneShot) {
        let existing = self
            .nodes
            .iter()
            .position(|node| node.peer == peer)
            .filter(|other| self.has_connection(at, *other));
        self.bytes += encoded_len(&body);
        if matches!(body, OneShot::Directory(_)) {
            self.of_directory.push((self.now, at));
        }
        let reached = match existing {
            Some(other) => Ok(other),
            None => self.dial(at, Some(peer), addresses).map(|(other, address)| {
                self.connected.insert((at.min(other), at.max(other)));
                self.later(LATENCY * 2, at, Input::Verified { peer, address });
                other
            }),
        };
        match reached {
            Ok(other) if self.cut(at, other) => {
                let failures = Vec::new();
                self.later(DIAL_TIMEOUT * 2, at, Input::RequestFailed { request, failures });
            }
            Ok(other) => {
                self.sequence += 1;
                let theirs = RequestId(self.sequence);
                self.requests.insert(theirs, (at, request));
                let peer = self.nodes[at].peer;
                self.later(
                    LATENCY,
                    other,
                    Input::Request {
                        request: theirs,
                        peer,
                        body,
                    },
                );
            }
            Err((after, failures)) => self.later(after, at, Input::RequestFailed { request, failures }),
        }
    }

    fn dial(&self, at: usize, peer: Option<PeerId>, addresses: &[Multiaddr]) -> Result<(usize, Multiaddr), Failed> {
        let (mut failures, mut after) = (Vec::new(), LATENCY);
        for wanted in addresses {
            let there = (0..self.nodes.len()).find(|other| address(*other) == *wanted);
            let failure = match there {
                None => DialFailure::Timeout,
                Some(other) if self.cut(at, other) => DialFailure::Timeout,
                Some(other) if !self.nodes[other].alive => DialFailure::Refused,
                Some(other) if other == at => DialFailure::Other,
                Some(other) if peer.is_some_and(|peer| peer != self.nodes[other].peer) => DialFailure::WrongPeer,
                Some(other) => return Ok((other, wanted.clone())),
            };
            if failure == DialFailure::Timeout {
                after = DIAL_TIMEOUT;
            }
            failures.push((wanted.clone(), failure));
        }
        Err((after, failures))
    }

    fn has_connection(&self, a: usize, b: usize) -> bool {
        self.connected.contains(&(a.min(b), a.max(b)))
    }

    fn cut(&self, a: usize, b: usize) -> bool {
        self.side[a] != self.side[b] || self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// All sessions of `at` break, at both ends.
    pub fn break_sessions(&mut self, at: usize) {
        let sessions = self.owners.iter().filter(|(_, owner)| **owner == at);
        for session in sessions.map(|(session, _)| *session).collect::<Vec<_>>() {
            let cause = DisconnectCause::Lost;
            self.close(session);
            self.give(at, Input::Disconnected { session, cause });
        }
        self.connected.retain(|(a, b)| *a != at && *b != at);
    }

    /// Connections across the cut break for good, as they do when their time limits pass.
    pub fn break_cut_connections(&mut self) {
        let broken: Vec<_> = self
            .connected
            .iter()
            .copied()
            .filter(|(a, b)| self.cut(*a, *b))
            .collect();
        for pair in broken {
            self.connected.remove(&pair);
        }
    }
}

fn encoded_len(message: &impl serde::Serialize) -> usize {
    postcard::to_stdvec(message).expect("it encodes").len()
}
