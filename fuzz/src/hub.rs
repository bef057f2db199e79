//! Honest machines, the connections between them and to hostile peers, and everything that has to hold whatever is said to them.
//!
//! Between the honest ones everything arrives at once and in order. What goes to a hostile peer is read, remembered, and answered as its
//! manners say; the rest of what it does is the fuzzer's. Each input of each machine is followed by the same checks: [`Hub::give`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fatebound_machine::fng;
use fatebound_machine::overlay::message::{Answer, Message, OneShot};
use fatebound_machine::overlay::{
    DialFailure, DisconnectCause, JointSet, Multiaddr, Opener, PeerId, RequestId, Session, Time,
};
use fatebound_machine::tree::{GroupId, Operation};
use fatebound_machine::{Command, Config, Event, Input, Machine, Output, Status, wire};

use crate::cast::{self, HONEST};
use crate::words::{Count, Footing, Joint, Record, Reply, Seen, Words};

/// Outputs of one input at most: what one link can replay, and something for each neighbour and group of so small a world.
const MAX_OUTPUTS: usize = 20_000;
/// Inputs that may follow from each other without time going on: beyond it two machines keep each other busy for ever.
const MAX_CASCADE: usize = 50_000;
/// Wakes in a row that may leave a deadline that is due already.
const MAX_IDLE_WAKES: u32 = 8;

/// What hostile peers do by themselves, like everybody; otherwise only when the fuzzer makes them.
#[derive(Clone, Copy, Debug, arbitrary::Arbitrary)]
pub struct Manners {
    /// Greet on every session.
    pub greets: bool,
    /// Answer pings.
    pub pongs: bool,
    /// Take dials.
    pub listens: bool,
    /// Accept invitations, and say that all groups are alive.
    pub answers: bool,
    /// Confirm paths that arrive.
    pub confirms: bool,
}

impl Manners {
    /// Nothing at all.
    pub const NONE: Manners = Manners {
        greets: false,
        pongs: false,
        listens: false,
        answers: false,
        confirms: false,
    };
}

/// The other end of a machine's session.
#[derive(Clone, Debug)]
enum End {
    Honest(usize, Session),
    Hostile(Footing),
}

/// A machine and what has come out of it.
#[derive(Debug)]
pub struct Life {
    /// The machine.
    pub machine: Machine,
    sessions: BTreeMap<Session, End>,
    /// Requests that were given to it and not answered: who waits, an honest asker with its number.
    asked: BTreeMap<RequestId, Option<(usize, RequestId)>>,
    next_session: u64,
    next_request: u64,
    failed: BTreeSet<GroupId>,
    stopped: bool,
    /// Wakes since the second of this number began.
    wakes: (u64, u32),
    before: Option<Status>,
}

/// A request to a hostile peer that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    from: usize,
    to: usize,
    request: RequestId,
}

/// A dial to a hostile peer or to nobody that waits for its end.
#[derive(Clone, Debug)]
pub struct Dial {
    from: usize,
    peer: Option<PeerId>,
    addresses: Vec<Multiaddr>,
}

/// The world of a run.
#[derive(Debug)]
pub struct Hub {
    /// The time.
    pub now: Time,
    /// The honest machines.
    pub lives: Vec<Life>,
    /// What hostile peers have heard.
    pub seen: Seen,
    /// What they do by themselves.
    pub manners: Manners,
    /// Requests to hostile peers.
    pub waiting: VecDeque<Waiting>,
    /// Dials to hostile peers and strangers.
    pub dials: VecDeque<Dial>,
    /// Wakes per machine and virtual second at most.
    pub max_wakes: u32,
    /// Whether a machine is looked at after each of its inputs, not only when time has gone on.
    pub thorough: bool,
    queue: VecDeque<(usize, Input)>,
    numbers: u64,
}

impl Hub {
    /// So many honest machines with this configuration, not yet connected. `None`: the configuration is refused.
    pub fn new(config: &Config, machines: usize, seed: u8, manners: Manners) -> Option<Hub> {
        let life = |index: usize| {
            let seed = [seed.wrapping_add(index as u8); 32];
            let machine = Machine::new(config, cast::keypair(index), seed).ok()?;
            Some(Life {
                machine,
                sessions: BTreeMap::new(),
                asked: BTreeMap::new(),
                next_session: 0,
                next_request: 0,
                failed: BTreeSet::new(),
                stopped: false,
                wakes: (0, 0),
                before: None,
            })
        };
        Some(Hub {
            now: Time::ZERO,
            lives: (0..machines.min(HONEST)).map(life).collect::<Option<_>>()?,
            seen: Seen::default(),
            manners,
            waiting: VecDeque::new(),
            dials: VecDeque::new(),
            max_wakes: 5000,
            thorough: true,
            queue: VecDeque::new(),
            numbers: 1 << 32,
        })
    }

    /// An order of a machine's application.
    pub fn command(&mut self, at: usize, command: Command) {
        self.input(at, Input::Command(command));
    }

    /// An input for a machine, and whatever follows from it without time going on. Nothing for a machine that is not there.
    pub fn input(&mut self, at: usize, input: Input) {
        self.queue.push_back((at, input));
        let mut cascade = 0;
        while let Some((at, input)) = self.queue.pop_front() {
            cascade += 1;
            assert!(cascade < MAX_CASCADE, "the machines keep each other busy for ever");
            if at < self.lives.len() {
                self.give(at, input);
            }
        }
    }

    /// Time goes on, and who wants to be woken is.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, when)) = self.next_wake().filter(|(_, when)| *when <= end) {
            self.now = self.now.max(when);
            self.wake(at);
        }
        self.now = end;
        self.lives.iter_mut().for_each(Life::check);
    }

    /// Time goes on while nobody runs: then all that are due are woken, late.
    pub fn skip(&mut self, duration: Duration) {
        self.now += duration;
        self.pass(Duration::ZERO);
    }

    fn next_wake(&self) -> Option<(usize, Time)> {
        let due = |(at, life): (usize, &Life)| Some((at, life.machine.deadline()?));
        self.lives
            .iter()
            .enumerate()
            .filter_map(due)
            .min_by_key(|(_, when)| *when)
    }

    fn wake(&mut self, at: usize) {
        let second = self.now.as_nanos() / 1_000_000_000;
        let wakes = &mut self.lives[at].wakes;
        *wakes = if wakes.0 == second {
            (second, wakes.1 + 1)
        } else {
            (second, 1)
        };
        assert!(
            wakes.1 <= self.max_wakes,
            "more than {} wakes within a second",
            self.max_wakes
        );
        let due = |hub: &Hub| hub.lives[at].machine.deadline().is_some_and(|when| when <= hub.now);
        let mut idle = 0;
        while due(self) {
            assert!(
                idle < MAX_IDLE_WAKES,
                "woken, and its deadline is due again at once, for ever"
            );
            idle += 1;
            self.input(at, Input::Wake);
        }
    }

    /// One input, and the checks.
    fn give(&mut self, at: usize, input: Input) {
        let now = self.now;
        self.note(at, &input);
        let life = &mut self.lives[at];
        let ordered = matches!(input, Input::Command(_));
        let mut outputs = Vec::new();
        life.machine.handle(now, input, &mut outputs);
        assert!(outputs.len() <= MAX_OUTPUTS, "{} outputs of one input", outputs.len());
        // Its application still gets an answer to what it asks; nobody else hears anything.
        let answers = ordered && outputs.iter().all(|output| matches!(output, Output::Event(_)));
        assert!(
            !life.stopped || outputs.is_empty() || answers,
            "it has stopped, and says {outputs:?}"
        );
        if self.thorough {
            life.check();
        }
        for output in outputs {
            self.carry_out(at, output);
        }
    }

    /// What the driver remembers of an input.
    fn note(&mut self, at: usize, input: &Input) {
        if let Input::Disconnected { session, .. } = input {
            self.lives[at].sessions.remove(session);
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Send { session, frame, .. } => self.sent(at, session, frame),
            Output::Connect { peer, addresses, .. } => self.connect(at, peer, addresses),
            Output::Verify { peer, address } => self.verify(at, peer, address),
            Output::Disconnect { session } => self.disconnect(at, session),
            Output::Request {
                request, peer, body, ..
            } => self.request(at, request, &peer, body),
            Output::Respond { request, body } => self.respond(at, request, body),
            // Targets of pipes have words of their own.
            Output::Pipe(_) => {}
            Output::Event(event) => self.told(at, &event),
        }
    }

    fn sent(&mut self, at: usize, session: Session, frame: Vec<u8>) {
        assert!(frame.len() <= wire::MAX_FRAME, "a frame of {} bytes", frame.len());
        let message = wire::decode_frame(&frame);
        let message = message.unwrap_or_else(|error| panic!("an honest frame does not decode: {error}"));
        // What was sent before it heard that the session is gone.
        let Some(end) = self.lives[at].sessions.get_mut(&session) else {
            return;
        };
        match end {
            End::Honest(other, theirs) => {
                let received = (
                    *other,
                    Input::Received {
                        session: *theirs,
                        frame,
                    },
                );
                self.queue.push_back(received);
            }
            End::Hostile(_) => self.overheard(at, session, &message),
        }
    }

    /// A hostile peer hears a frame.
    fn overheard(&mut self, at: usize, session: Session, message: &Message) {
        let Some(End::Hostile(footing)) = self.lives[at].sessions.get_mut(&session) else {
            return;
        };
        let mut reply = None;
        match message {
            Message::Hello(hello) => {
                footing.their_number = hello.number;
                if hello.resume.is_none() {
                    (footing.sent, footing.received) = (0, 0);
                }
            }
            Message::Ping(ping) => {
                (footing.ping, footing.joint) = (ping.number, ping.joint);
                reply = self.manners.pongs.then_some(Words::Pong {
                    number: Count::Right,
                    acknowledged: Count::Right,
                    joint: Joint::Echo,
                });
            }
            Message::Pong(pong) => footing.joint = pong.joint,
            Message::Operation { number, body } => {
                footing.received = *number;
                let operation = wire::decode::<Operation>(body).expect("decoded at the door");
                reply = self.heard_of(&operation);
            }
            Message::Routed(routed) => self.seen.question(routed),
            _ => {}
        }
        if let Some(words) = reply {
            self.say(at, session, &words);
        }
    }

    fn heard_of(&mut self, operation: &Operation) -> Option<Words> {
        match operation {
            Operation::Construct { path, .. } => {
                self.seen.path(*path);
                let at = self.seen.paths.iter().position(|seen| seen == path)?;
                let path = crate::words::Path::Seen(at as u8);
                let confirm = crate::words::Deed::Confirm { path, hops: 0 };
                self.manners.confirms.then_some(Words::Operation(Count::Right, confirm))
            }
            Operation::Confirm { path, .. } => {
                self.seen.path(*path);
                None
            }
            Operation::Release { paths } => {
                paths.iter().for_each(|(path, _)| self.seen.path(*path));
                None
            }
            Operation::Fail { paths, .. } => {
                paths.iter().for_each(|path| self.seen.path(*path));
                None
            }
        }
    }

    /// A hostile peer says something on a session with this machine.
    pub fn say(&mut self, at: usize, session: Session, words: &Words) {
        let Some(End::Hostile(footing)) = self.lives[at].sessions.get_mut(&session) else {
            return;
        };
        let frame = words.bytes(footing, &self.seen);
        self.queue.push_back((at, Input::Received { session, frame }));
    }

    /// The sessions that hostile peers have with a machine.
    pub fn hostile_sessions(&self, at: usize) -> Vec<Session> {
        let Some(life) = self.lives.get(at) else {
            return Vec::new();
        };
        let hostile = life.sessions.iter().filter(|(_, end)| matches!(end, End::Hostile(_)));
        hostile.map(|(session, _)| *session).collect()
    }

    fn connect(&mut self, at: usize, peer: Option<PeerId>, addresses: Vec<Multiaddr>) {
        let named = peer.as_ref().and_then(cast::index_of);
        let lives_there = addresses
            .first()
            .and_then(|address| (0..8).find(|&who| is_at(address, who)));
        match named.or(lives_there) {
            Some(other) if other == at => {}
            Some(other) if other < self.lives.len() => self.join(at, other, addresses.first().cloned()),
            Some(other) if other >= HONEST && self.manners.listens && peer.is_some() => {
                let address = addresses.first().cloned();
                self.open(at, other, Opener::Us, address);
            }
            _ => self.dials.push_back(Dial {
                from: at,
                peer,
                addresses,
            }),
        }
    }

    /// Two honest machines have a new session.
    fn join(&mut self, at: usize, other: usize, address: Option<Multiaddr>) {
        let (ours, theirs) = (self.lives[at].new_session(), self.lives[other].new_session());
        self.lives[at].sessions.insert(ours, End::Honest(other, theirs));
        self.lives[other].sessions.insert(theirs, End::Honest(at, ours));
        let ends = [
            (at, ours, other, Opener::Us, address),
            (other, theirs, at, Opener::Them, None),
        ];
        for (at, session, with, opener, address) in ends {
            let connected = Input::Connected {
                session,
                peer: cast::peer(with),
                opener,
                address,
            };
            self.queue.push_back((at, connected));
        }
    }

    /// A machine and a hostile peer have a new session.
    pub fn open(&mut self, at: usize, hostile: usize, opener: Opener, address: Option<Multiaddr>) {
        if at >= self.lives.len() || self.lives[at].sessions.len() > 64 {
            return;
        }
        self.numbers += 1;
        let session = self.lives[at].new_session();
        let footing = Footing {
            speaker: hostile,
            number: self.numbers,
            joint: JointSet::default(),
            ..Footing::default()
        };
        self.lives[at].sessions.insert(session, End::Hostile(footing));
        let connected = Input::Connected {
            session,
            peer: cast::peer(hostile),
            opener,
            address,
        };
        self.queue.push_back((at, connected));
        if self.manners.greets {
            let hello = Words::Hello {
                stranger: false,
                incarnation: 7,
                number: Count::Right,
                open: Vec::new(),
                resume: None,
                received: Count::Any(0),
                wanted: true,
                joined: true,
                record: Record::Own,
                neighbours: Vec::new(),
            };
            self.say(at, session, &hello);
        }
    }

    /// One of the waiting dials ends: with a session, if it is to a hostile peer, or without.
    pub fn end_dial(&mut self, number: usize, failure: Option<DialFailure>) {
        let Some(dial) = self.dials.remove(number % self.dials.len().max(1)) else {
            return;
        };
        let hostile = dial
            .peer
            .as_ref()
            .and_then(cast::index_of)
            .filter(|&index| index >= HONEST);
        match (hostile, failure) {
            (Some(hostile), None) => self.open(dial.from, hostile, Opener::Us, dial.addresses.first().cloned()),
            (_, failure) => {
                let failure = failure.unwrap_or(DialFailure::Other);
                let failures = dial.addresses.into_iter().map(|address| (address, failure)).collect();
                let failed = Input::DialFailed {
                    peer: dial.peer,
                    failures,
                };
                self.queue.push_back((dial.from, failed));
            }
        }
    }

    fn verify(&mut self, at: usize, peer: PeerId, address: Multiaddr) {
        match cast::index_of(&peer) {
            Some(other) if other < self.lives.len() => {
                self.queue.push_back((at, Input::Verified { peer, address }));
            }
            _ => self.dials.push_back(Dial {
                from: at,
                peer: Some(peer),
                addresses: vec![address],
            }),
        }
    }

    fn disconnect(&mut self, at: usize, session: Session) {
        if let Some(End::Honest(other, theirs)) = self.lives[at].sessions.remove(&session) {
            self.lose(other, theirs);
        }
    }

    fn lose(&mut self, at: usize, session: Session) {
        let cause = DisconnectCause::Lost;
        self.queue.push_back((at, Input::Disconnected { session, cause }));
    }

    /// All sessions between the honest machines break, noticed by one end or by both.
    pub fn break_honest(&mut self, both: bool) {
        let Some(life) = self.lives.first() else { return };
        let honest = |(session, end): (&Session, &End)| match end {
            End::Honest(other, theirs) => Some((*session, *other, *theirs)),
            End::Hostile(_) => None,
        };
        let broken: Vec<_> = life.sessions.iter().filter_map(honest).collect();
        for (ours, other, theirs) in broken {
            self.lives[0].sessions.remove(&ours);
            self.lose(0, ours);
            if both {
                self.lose(other, theirs);
            } else if let Some(end) = self.lives[other].sessions.get_mut(&theirs) {
                // It goes on into nothing.
                *end = End::Honest(usize::MAX, theirs);
            }
        }
    }

    /// A hostile peer, or the network, ends a session.
    pub fn close(&mut self, at: usize, session: Session, cause: DisconnectCause) {
        self.queue.push_back((at, Input::Disconnected { session, cause }));
    }

    fn request(&mut self, at: usize, request: RequestId, peer: &PeerId, body: Vec<u8>) {
        assert!(body.len() <= wire::MAX_FRAME, "a question of {} bytes", body.len());
        let question = wire::decode_question(&body, fatebound_machine::overlay::Versions::OURS);
        let question = question.unwrap_or_else(|error| panic!("an honest question does not decode: {error}"));
        match cast::index_of(peer) {
            Some(other) if other < self.lives.len() => self.ask(other, at, Some(request), body),
            Some(to) => self.asked_hostile(at, to, request, &question.body),
            None => {
                let failures = Vec::new();
                self.queue.push_back((at, Input::RequestFailed { request, failures }));
            }
        }
    }

    fn asked_hostile(&mut self, from: usize, to: usize, request: RequestId, question: &OneShot) {
        let mut count = 0;
        let mut invited = false;
        if let OneShot::Above { body, .. } = question {
            let asked = wire::decode::<fng::message::Request>(body).expect("decoded at the door");
            match asked {
                fng::message::Request::Invite(invitation) => {
                    invited = true;
                    self.seen.group(invitation.group);
                }
                fng::message::Request::Probe { groups } => count = groups.len(),
                fng::message::Request::NeedRepair { groups } => count = groups.len(),
                fng::message::Request::Fail(notice) => self.seen.group(notice.group),
                fng::message::Request::Join { group, .. }
                | fng::message::Request::Leave { group, .. }
                | fng::message::Request::Members { group, .. } => self.seen.group(group),
            }
        }
        let waiting = Waiting { from, to, request };
        let reply = match question {
            OneShot::Above { .. } if invited => Reply::Accept,
            OneShot::Above { .. } => Reply::AllAlive(count.min(255) as u8),
            _ => Reply::Records(vec![Record::Own]),
        };
        if self.manners.answers {
            self.answer(waiting, &reply);
        } else {
            self.waiting.push_back(waiting);
        }
    }

    /// A hostile peer answers, whoever it was that was asked.
    pub fn answer(&mut self, waiting: Waiting, reply: &Reply) {
        let body = reply.bytes(waiting.to);
        let request = waiting.request;
        self.queue.push_back((waiting.from, Input::Response { request, body }));
    }

    /// A question gets no answer.
    pub fn fail_request(&mut self, waiting: Waiting, failure: Option<DialFailure>) {
        let address = cast::address(waiting.to);
        let failures = failure.into_iter().map(|failure| (address.clone(), failure)).collect();
        let request = waiting.request;
        self.queue
            .push_back((waiting.from, Input::RequestFailed { request, failures }));
    }

    /// A question for a machine, from an honest one if it has a number there.
    pub fn ask(&mut self, at: usize, from: usize, number: Option<RequestId>, body: Vec<u8>) {
        let Some(life) = self.lives.get_mut(at) else { return };
        life.next_request += 1;
        let request = RequestId(life.next_request);
        life.asked.insert(request, number.map(|number| (from, number)));
        let peer = cast::peer(from);
        self.queue.push_back((at, Input::Request { request, peer, body }));
    }

    fn respond(&mut self, at: usize, request: RequestId, body: Vec<u8>) {
        assert!(body.len() <= wire::MAX_FRAME, "an answer of {} bytes", body.len());
        let decoded: Result<Answer, _> = wire::decode_answer(&body);
        assert!(body.is_empty() || decoded.is_ok(), "an honest answer does not decode");
        let asker = self.lives[at].asked.remove(&request);
        let asker = asker.expect("each question is answered at most once");
        if let Some((other, request)) = asker {
            self.queue.push_back((other, Input::Response { request, body }));
        }
    }

    fn told(&mut self, at: usize, event: &Event) {
        let life = &mut self.lives[at];
        match event {
            Event::Stopped => life.stopped = true,
            Event::Group(fng::Event::Failed { group, .. }) => {
                assert!(life.failed.insert(*group), "told twice that {group} failed");
                assert!(
                    life.machine.group(group).is_none(),
                    "{group} has failed and is still there"
                );
                self.seen.group(*group);
            }
            Event::Group(fng::Event::Creating { group, .. } | fng::Event::Joined { group }) => {
                self.seen.group(*group);
            }
            _ => {}
        }
    }

    /// Everything that is under way to hostile peers ends in silence, and they do nothing any more.
    pub fn fall_silent(&mut self) {
        self.manners = Manners::NONE;
        while let Some(waiting) = self.waiting.pop_front() {
            self.fail_request(waiting, None);
            self.flush();
        }
        while !self.dials.is_empty() {
            self.end_dial(0, Some(DialFailure::Timeout));
            self.flush();
        }
    }

    /// Works off what is queued.
    pub fn flush(&mut self) {
        self.input(usize::MAX, Input::Wake);
    }
}

impl Life {
    fn new_session(&mut self) -> Session {
        self.next_session += 1;
        Session(self.next_session)
    }

    /// Whether this machine has told of this group's failure.
    pub fn was_told(&self, group: &GroupId) -> bool {
        self.failed.contains(group)
    }

    /// What holds at any moment.
    fn check(&mut self) {
        let machine = &self.machine;
        assert_eq!(machine.check_invariants(), Ok(()));
        let status = machine.status();
        let peers = machine.peers();
        let names: BTreeSet<PeerId> = peers.iter().map(|view| view.peer).collect();
        assert_eq!(names.len(), peers.len(), "one link per peer");
        assert!(!names.contains(&status.peer), "no link with ourselves");
        assert_eq!(status.links_alive + status.links_doubtful, peers.len());
        assert!(status.paths_as_delegate <= status.paths);
        assert_eq!(
            status.groups_as_root + status.groups_as_member,
            machine.groups(usize::MAX).len()
        );
        if let Some(before) = &self.before {
            assert_eq!((status.peer, status.incarnation), (before.peer, before.incarnation));
            let (now, then) = (status.counters, before.counters);
            assert!(
                now.pings_sent >= then.pings_sent
                    && now.pings_missed >= then.pings_missed
                    && now.doubts >= then.doubts
                    && now.questions >= then.questions
                    && now.frames_sent >= then.frames_sent
                    && now.bytes_sent >= then.bytes_sent
                    && now.garbage >= then.garbage
                    && now.links_lost >= then.links_lost
                    && now.repairs >= then.repairs
                    && now.dropped >= then.dropped,
                "a counter went back: {then:?}, {now:?}"
            );
        }
        self.before = Some(status);
    }
}

fn is_at(address: &Multiaddr, who: usize) -> bool {
    let (address, lives) = (address.to_string(), cast::address(who).to_string());
    address == lives || address.starts_with(&format!("{lives}/p2p/"))
}
