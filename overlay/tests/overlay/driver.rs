//! One overlay and nobody else: the test is its driver, and says what its neighbours say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fatebound_overlay::message::{Answer, Farewell, Hello, Message, OneShot, PeerRecord, Ping, Pong, Routed};
use fatebound_overlay::record::SignedRecord;
use fatebound_overlay::{
    Bounded, Command, Config, DialFailure, DisconnectCause, Event, Identity, Input, JointSet, Key, Keypair, Multiaddr,
    Opener, Output, Overlay, PeerId, RequestId, Session, Time, Ways,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::net::{address, posting, signed_answer};

pub fn keypair(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).expect("32 bytes")
}

/// Peer 1 is the overlay itself.
pub fn peer(n: u8) -> PeerId {
    keypair(n).public().to_peer_id()
}

/// The number of a peer.
pub fn number(wanted: &PeerId) -> u8 {
    (0..=u8::MAX).find(|n| peer(*n) == *wanted).expect("one of ours")
}

pub fn key(n: u8) -> Key {
    Key::of(&peer(n))
}

/// Somebody to whom the overlay is nearer than any of these are: a question to it leaves by a detour.
pub fn nearest_to_us(others: &[u8]) -> u8 {
    let distance = |from: u8, to: u8| key(from).ring_distance(&key(to));
    let mut numbers = (100..=u8::MAX).filter(|n| !others.contains(n));
    let found = numbers.find(|n| others.iter().all(|other| distance(1, *n) < distance(*other, *n)));
    found.expect("one of many")
}

pub fn record(n: u8, sequence: u64, addresses: &[Multiaddr]) -> SignedRecord {
    let record = PeerRecord {
        peer: peer(n),
        addresses: addresses.to_vec(),
        sequence,
    };
    SignedRecord::sign(record, &keypair(n))
}

/// What a peer says first: it wants the link, and stands on the ring if it has `joined`.
pub fn hello(n: u8, joined: bool) -> Hello {
    Hello {
        versions: Config::local().versions,
        network: Config::local().network,
        incarnation: n.into(),
        number: 1,
        open: Vec::new(),
        resume: None,
        received: 0,
        share: [n; 16],
        wanted: true,
        joined,
        times: Default::default(),
        record: record(n, 1, &[address(n.into())]),
        neighbours: Vec::new(),
        more: Vec::new(),
    }
}

pub struct Alone {
    pub overlay: Overlay,
    pub now: Time,
    /// Neighbours that do not answer pings.
    pub silent: BTreeSet<u8>,
    sessions: BTreeMap<Session, u8>,
}

impl Alone {
    pub fn new(config: &Config) -> Alone {
        config.validate().expect("a valid configuration");
        let overlay = Overlay::new(config, &Identity::new(&keypair(1)), 1000, StdRng::seed_from_u64(1));
        Alone {
            overlay,
            now: Time::ZERO,
            silent: BTreeSet::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// The first of a ring, to which these neighbours with a place have come.
    pub fn among(config: &Config, neighbours: &[u8]) -> Alone {
        let mut alone = Alone::new(config);
        alone.join(&[]);
        for n in neighbours {
            alone.neighbour(hello(*n, true));
        }
        alone
    }

    pub fn give(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.overlay.handle(self.now, input, &mut out);
        let mut seen = 0;
        while let Some(output) = out.get(seen) {
            seen += 1;
            if let Some(answer) = self.pong(output) {
                self.overlay.handle(self.now, answer, &mut out);
            }
        }
        out
    }

    fn pong(&self, output: &Output) -> Option<Input> {
        let Output::Send {
            session,
            message: Message::Ping(ping),
        } = output
        else {
            return None;
        };
        let pong = Pong {
            number: ping.number,
            acknowledged: 0,
            joint: JointSet::default(),
        };
        let (session, message) = (*session, Message::Pong(pong));
        let answers = !self.silent.contains(&self.sessions[&session]);
        answers.then_some(Input::Received { session, message })
    }

    pub fn command(&mut self, command: Command) -> Vec<Output> {
        self.give(Input::Command(command))
    }

    pub fn join(&mut self, bootstrap: &[Multiaddr]) -> Vec<Output> {
        let bootstrap = bootstrap.to_vec();
        self.command(Command::Join { bootstrap })
    }

    pub fn introduce(&mut self, n: u8, addresses: &[Multiaddr]) -> Vec<Output> {
        let (peer, addresses) = (peer(n), addresses.to_vec());
        self.command(Command::Introduce { peer, addresses })
    }

    pub fn post(&mut self, post: u64, ways: Ways) -> Vec<Output> {
        self.post_to(2, post, ways)
    }

    pub fn post_to(&mut self, n: u8, post: u64, ways: Ways) -> Vec<Output> {
        let (to, body) = (peer(n), vec![post as u8]);
        let posting = posting(post);
        self.command(Command::Post {
            posting,
            to,
            body,
            ways,
        })
    }

    pub fn asked(&mut self, body: OneShot) -> Answer {
        let request = RequestId(77);
        let out = self.give(Input::Request {
            request,
            peer: peer(2),
            body,
        });
        let answer = out.into_iter().find_map(|output| match output {
            Output::Respond { body, .. } => Some(body),
            _ => None,
        });
        answer.expect("an answer")
    }

    /// A session with a peer is open: we dialled it there, or else it dialled us.
    pub fn connect(&mut self, n: u8, dialled: Option<Multiaddr>) -> Vec<Output> {
        let session = Session(self.sessions.len() as u64);
        self.sessions.insert(session, n);
        let opener = match &dialled {
            Some(_) => Opener::Us,
            None => Opener::Them,
        };
        self.give(Input::Connected {
            session,
            peer: peer(n),
            opener,
            address: dialled,
        })
    }

    /// A peer dials us and says this.
    pub fn neighbour(&mut self, hello: Hello) -> Vec<Output> {
        let n = number(&hello.record.record().peer);
        self.connect(n, None);
        self.say(n, Message::Hello(Box::new(hello)))
    }

    /// A frame on the last session with this peer.
    pub fn say(&mut self, n: u8, message: Message) -> Vec<Output> {
        let session = self.session(n);
        self.give(Input::Received { session, message })
    }

    /// It pings us, and says that it has a place.
    pub fn ping_with_a_place(&mut self, n: u8) -> Vec<Output> {
        let ping = Ping {
            number: 1,
            next: u32::MAX,
            wanted: true,
            joined: true,
            acknowledged: 0,
            joint: JointSet::default(),
        };
        self.say(n, Message::Ping(ping))
    }

    /// Its link ends for a while: it has too many.
    pub fn too_busy(&mut self, n: u8) -> Vec<Output> {
        self.say(n, Message::Goodbye(Farewell::Busy))
    }

    pub fn disconnect(&mut self, n: u8, cause: DisconnectCause) -> Vec<Output> {
        let session = self.session(n);
        self.give(Input::Disconnected { session, cause })
    }

    /// The answer of `signer` to a routed question of ours comes over the link to `carrier`.
    pub fn answer_routed(&mut self, (signer, carrier): (u8, u8), number: u64, body: Answer) -> Vec<Output> {
        let answer = signed_answer(&keypair(signer), peer(1), number, body);
        self.say(carrier, Message::RoutedAnswer(Box::new(answer)))
    }

    pub fn answer(&mut self, request: RequestId, records: Vec<SignedRecord>) -> Vec<Output> {
        let body = Answer::Records(records);
        self.give(Input::Response { request, body })
    }

    pub fn fail(&mut self, request: RequestId, failures: &[(Multiaddr, DialFailure)]) -> Vec<Output> {
        let failures = failures.to_vec();
        self.give(Input::RequestFailed { request, failures })
    }

    fn session(&self, n: u8) -> Session {
        let of_peer = |(session, other): (&Session, &u8)| (*other == n).then_some(*session);
        self.sessions.iter().rev().find_map(of_peer).expect("a session")
    }

    /// Time passes.
    pub fn run(&mut self, duration: Duration) -> Vec<Output> {
        let end = self.now + duration;
        let mut all = Vec::new();
        while let Some(due) = self.overlay.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            all.extend(self.give(Input::Wake));
        }
        self.now = end;
        all
    }

    /// Time passes until one of these comes out, which it has to within `limit`.
    pub fn wait_for<T>(&mut self, limit: Duration, wanted: impl Fn(&Alone, &Output) -> Option<T>) -> T {
        let end = self.now + limit;
        while let Some(due) = self.overlay.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let out = self.give(Input::Wake);
            if let Some(found) = out.iter().find_map(|output| wanted(self, output)) {
                return found;
            }
        }
        panic!("nothing of the kind within {limit:?}");
    }

    /// What is handed to neighbours to be carried, and to which.
    pub fn handed(&self, out: &[Output]) -> Vec<(u8, Routed)> {
        let handed = |output: &Output| match output {
            Output::Send {
                session,
                message: Message::Routed(routed),
            } => Some((self.sessions[session], (**routed).clone())),
            _ => None,
        };
        out.iter().filter_map(handed).collect()
    }

    /// Leaf set and table.
    pub fn chosen(&self) -> BTreeSet<PeerId> {
        let (below, above) = self.overlay.leaf_set();
        let rows = self.overlay.rows().concat();
        let entries = rows.iter().map(|(_, peer)| peer);
        below.iter().chain(above).chain(entries).copied().collect()
    }

    pub fn size(&self, what: &str) -> Bounded {
        let bounds = self.overlay.bounds();
        *bounds
            .iter()
            .find(|bounded| bounded.what == what)
            .expect("such a bound")
    }

    pub fn counted(&self) -> (u64, u64) {
        let counters = self.overlay.counters();
        (counters.garbage, counters.dropped)
    }
}

/// A question that goes directly to a peer.
#[derive(Clone, Debug)]
pub struct Question {
    pub request: RequestId,
    pub to: u8,
    pub addresses: Vec<Multiaddr>,
    pub body: OneShot,
}

pub fn question(output: &Output) -> Option<Question> {
    match output {
        Output::Request {
            request,
            peer,
            addresses,
            body,
            ..
        } => Some(Question {
            request: *request,
            to: number(peer),
            addresses: addresses.clone(),
            body: body.clone(),
        }),
        _ => None,
    }
}

/// The direct question for its leaves that this peer is sent.
pub fn asked_for_leaves(out: &[Output], n: u8) -> RequestId {
    let mut questions = out.iter().filter_map(question);
    let leaves = questions.find(|question| question.to == n && matches!(question.body, OneShot::Leaves(_)));
    leaves.expect("a question").request
}

pub fn requests(out: &[Output]) -> Vec<RequestId> {
    out.iter()
        .filter_map(question)
        .map(|question| question.request)
        .collect()
}

/// Dials for sessions: whom, if that is known, and where.
pub fn dials(out: &[Output]) -> Vec<(Option<u8>, Vec<Multiaddr>)> {
    let dial = |output: &Output| match output {
        Output::Connect { peer, addresses, .. } => Some((peer.as_ref().map(number), addresses.clone())),
        _ => None,
    };
    out.iter().filter_map(dial).collect()
}

pub fn has_event(out: &[Output], wanted: impl Fn(&Event) -> bool) -> bool {
    out.iter()
        .any(|output| matches!(output, Output::Event(event) if wanted(event)))
}
