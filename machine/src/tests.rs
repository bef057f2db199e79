//! A few whole machines on a network that works: that the layers are wired to each other, and to the world. What happens when the network
//! does not work is the simulator's matter.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fatebound_fng::{Reason, Ticket};
use fatebound_overlay::message::{Answer, Message, OneShot};
use fatebound_overlay::pipes::{self, PipeId};
use fatebound_overlay::{Foreign, Keypair, Multiaddr, Opener, PeerId, Port, RequestId, Session, Time, Versions};
use fatebound_tree::GroupId;

use crate::{
    Command, Config, DisconnectCause, Event, Input, Machine, Output, PipeInput, PipeOutput, Profile, fng, wire,
};

const LATENCY: Duration = Duration::from_millis(1);

fn keypair(at: usize) -> Keypair {
    Keypair::ed25519_from_bytes([at as u8 + 1; 32]).expect("32 bytes")
}

fn id(at: usize) -> PeerId {
    keypair(at).public().to_peer_id()
}

fn address(at: usize) -> Multiaddr {
    format!("/ip4/10.0.0.{}/tcp/4001", at + 1).parse().expect("an address")
}

/// What has left a machine on its sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    frames: u64,
    bytes: u64,
}

struct Net {
    now: Time,
    machines: Vec<Machine>,
    events: Vec<Vec<Event>>,
    left: Vec<Left>,
    queue: BTreeMap<(Time, u64), (usize, Input)>,
    /// Numbers what is queued, sessions and incoming requests.
    number: u64,
    /// The other end of each session.
    sessions: HashMap<Session, (usize, Session)>,
    /// Who has made each request, and how it is called there.
    requests: HashMap<RequestId, (usize, RequestId)>,
    /// The other end of each pipe's stream.
    pipes: HashMap<PipeId, (usize, PipeId)>,
}

impl Net {
    fn new(machines: usize) -> Net {
        let config = Config::preset(Profile::Lan);
        let machine = |at| Machine::new(&config, &keypair(at), [at as u8; 32]).expect("a valid configuration");
        let mut net = Net {
            now: Time::ZERO,
            machines: (0..machines).map(machine).collect(),
            events: vec![Vec::new(); machines],
            left: vec![Left::default(); machines],
            queue: BTreeMap::new(),
            number: 0,
            sessions: HashMap::new(),
            requests: HashMap::new(),
            pipes: HashMap::new(),
        };
        for at in 0..machines {
            net.input(at, Input::Listening(vec![address(at)]));
        }
        net
    }

    /// All have joined, and know each other.
    fn joined(machines: usize) -> Net {
        let mut net = Net::new(machines);
        for at in 0..machines {
            let bootstrap = if at == 0 { Vec::new() } else { vec![address(0)] };
            net.command(at, Command::Join { bootstrap });
        }
        net.run(Duration::from_secs(10));
        net
    }

    /// A group of the first machine with all others.
    fn group(&mut self) -> GroupId {
        let command = fng::Command::Create {
            ticket: Ticket(7),
            members: (1..self.machines.len()).map(id).collect(),
            tag: None,
            state: Vec::new(),
            timeout: None,
            admit: fng::Admit::default(),
        };
        self.command(0, Command::Group(command));
        self.run(Duration::from_secs(1));
        let created = self.events[0].iter().find_map(|event| match event {
            Event::Group(fng::Event::Created { group, .. }) => Some(*group),
            _ => None,
        });
        created.expect("created")
    }

    fn command(&mut self, at: usize, command: Command) {
        self.input(at, Input::Command(command));
    }

    fn input(&mut self, at: usize, input: Input) {
        for output in self.outputs(at, input) {
            self.carry_out(at, output);
        }
        self.machines[at].check_invariants().expect("all invariants hold");
    }

    fn outputs(&mut self, at: usize, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.machines[at].handle(self.now, input, &mut out);
        out
    }

    fn later(&mut self, at: usize, input: Input) {
        let number = self.next();
        self.queue.insert((self.now + LATENCY, number), (at, input));
    }

    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Send { session, frame, .. } => {
                self.left[at].frames += 1;
                self.left[at].bytes += frame.len() as u64;
                if let Some((to, session)) = self.sessions.get(&session).copied() {
                    self.later(to, Input::Received { session, frame });
                }
            }
            Output::Connect { addresses, .. } => self.connect(at, addresses),
            Output::Verify { peer, address } => self.later(at, Input::Verified { peer, address }),
            Output::Disconnect { session } => {
                if let Some((other, session)) = self.sessions.remove(&session) {
                    self.sessions.remove(&session);
                    let cause = DisconnectCause::Lost;
                    self.later(other, Input::Disconnected { session, cause });
                }
            }
            Output::Request {
                request, peer, body, ..
            } => {
                let incoming = RequestId(self.next());
                self.requests.insert(incoming, (at, request));
                let to = (0..self.machines.len()).find(|at| id(*at) == peer).expect("one of us");
                let (request, peer) = (incoming, id(at));
                self.later(to, Input::Request { request, peer, body });
            }
            Output::Respond { request, body } => {
                let (asker, request) = self.requests.remove(&request).expect("a request");
                self.later(asker, Input::Response { request, body });
            }
            Output::Pipe(output) => self.carry_pipe(at, output),
            Output::Event(event) => self.events[at].push(event),
        }
    }

    fn carry_pipe(&mut self, at: usize, output: PipeOutput) {
        match output {
            PipeOutput::Open { peer, .. } => {
                let to = (0..self.machines.len()).find(|at| id(*at) == peer).expect("one of us");
                let (ours, theirs) = (PipeId(self.next()), PipeId(self.next()));
                self.pipes.extend([(ours, (to, theirs)), (theirs, (at, ours))]);
                for (end, pipe, other, opener) in [(at, ours, to, Opener::Us), (to, theirs, at, Opener::Them)] {
                    let peer = id(other);
                    self.later(end, Input::Pipe(PipeInput::Opened { pipe, peer, opener }));
                }
            }
            PipeOutput::Send { pipe, frame } => {
                self.left[at].frames += 1;
                self.left[at].bytes += frame.len() as u64;
                self.later(at, Input::Pipe(PipeInput::Written { pipe }));
                if let Some((to, pipe)) = self.pipes.get(&pipe).copied() {
                    self.later(to, Input::Pipe(PipeInput::Received { pipe, frame }));
                }
            }
            PipeOutput::Close { pipe } => {
                if let Some((to, pipe)) = self.pipes.remove(&pipe) {
                    self.later(to, Input::Pipe(PipeInput::Closed { pipe }));
                }
            }
        }
    }

    fn connect(&mut self, at: usize, addresses: Vec<Multiaddr>) {
        let there = |dialled: &Multiaddr| {
            (0..self.machines.len()).find(|at| dialled.to_string().starts_with(&address(*at).to_string()))
        };
        let found = addresses
            .into_iter()
            .find_map(|dialled| Some((there(&dialled)?, dialled)));
        let (to, dialled) = found.expect("somebody lives there");
        let (ours, theirs) = (Session(self.next()), Session(self.next()));
        self.sessions.extend([(ours, (to, theirs)), (theirs, (at, ours))]);
        for (at, session, other, opener, address) in [
            (at, ours, to, Opener::Us, Some(dialled)),
            (to, theirs, at, Opener::Them, None),
        ] {
            let peer = id(other);
            self.later(
                at,
                Input::Connected {
                    session,
                    peer,
                    opener,
                    address,
                },
            );
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines = self.machines.iter().enumerate();
            let wake = deadlines
                .filter_map(|(at, machine)| Some((machine.deadline()?, at)))
                .min();
            let arrival = self.queue.first_key_value().map(|((time, _), _)| *time);
            match (arrival, wake) {
                (Some(time), wake) if time <= end && wake.is_none_or(|(wake, _)| time <= wake) => {
                    self.now = self.now.max(time);
                    let (_, (at, input)) = self.queue.pop_first().expect("just seen");
                    self.input(at, input);
                }
                (_, Some((time, at))) if time <= end => {
                    self.now = self.now.max(time);
                    self.input(at, Input::Wake);
                    let again = self.machines[at].deadline();
                    assert!(again.is_none_or(|again| again > self.now), "{at} has slept on");
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn reason(&self, at: usize, group: GroupId) -> Option<&Reason> {
        self.events[at].iter().find_map(|event| match event {
            Event::Group(fng::Event::Failed { group: failed, reason }) if *failed == group => Some(reason),
            _ => None,
        })
    }
}

#[test]
fn machines_join_and_know_each_other() {
    let mut net = Net::joined(3);
    for at in 0..3 {
        let machine = &net.machines[at];
        let status = machine.status();
        assert!(status.joined && net.events[at].contains(&Event::Joined));
        assert_eq!((status.peer, machine.peer()), (id(at), id(at)));
        assert_eq!((status.links_alive, status.links_doubtful), (2, 0));
        let others: Vec<PeerId> = (0..3).filter(|other| *other != at).map(id).collect();
        for other in &others {
            assert!(net.events[at].contains(&Event::LinkUp { peer: *other }));
        }
        let mut seen: Vec<PeerId> = machine.peers().into_iter().map(|view| view.peer).collect();
        seen.sort_by_key(|peer| others.iter().position(|other| other == peer));
        assert_eq!(seen, others);
        let routes = machine.routes();
        assert!(
            others
                .iter()
                .all(|peer| routes.above.contains(peer) && routes.below.contains(peer))
        );
        assert_eq!(routes.key, fatebound_overlay::Key::of(&id(at)).to_string());
        assert!(machine.deadline().is_some_and(|at| at > net.now), "the next ping");
    }
    net.command(1, Command::Locate { peer: id(2) });
    net.run(Duration::from_secs(1));
    let located = |event: &Event| matches!(event, Event::Located { peer, addresses } if *peer == id(2) && addresses.contains(&address(2)));
    assert!(net.events[1].iter().any(located));
}

#[test]
fn a_group_comes_up_lives_and_fails_everywhere() {
    let mut net = Net::joined(3);
    let group = net.group();
    for at in 0..3 {
        let (machine, root) = (&net.machines[at], usize::from(at == 0));
        let status = machine.status();
        assert_eq!((status.groups_as_root, status.groups_as_member), (root, 1 - root));
        assert_eq!(status.paths, if at == 0 { 2 } else { 1 });
        assert_eq!(status.paths_as_delegate, 0);
        let seen = |view: &fng::GroupView| (view.group, view.members.len());
        assert_eq!(machine.groups(10).iter().map(seen).collect::<Vec<_>>(), [(group, 3)]);
        assert_eq!(machine.group(&group).as_ref().map(seen), Some((group, 3)));
        let other = GroupId { sequence: 99, ..group };
        assert!(machine.carries(&group) && !machine.carries(&other));
        assert!(machine.group(&other).is_none());
    }
    net.run(Duration::from_secs(120));
    assert!((0..3).all(|at| net.reason(at, group).is_none()));
    let text = "enough".to_owned();
    let signal = fng::Command::Signal { group, text };
    net.command(1, Command::Group(signal));
    net.run(Duration::from_secs(1));
    for at in 0..3 {
        assert!(matches!(net.reason(at, group), Some(Reason::Signalled { by, .. }) if *by == id(1)));
        assert_eq!(net.machines[at].status().paths, 0);
    }
}

#[test]
fn what_has_left_is_counted() {
    let mut net = Net::joined(3);
    net.group();
    net.run(Duration::from_secs(60));
    for at in 0..3 {
        let counters = net.machines[at].status().counters;
        let left = Left {
            frames: counters.frames_sent,
            bytes: counters.bytes_sent,
        };
        assert_eq!(left, net.left[at]);
        assert!(counters.pings_sent > 60, "one a second");
        let trouble = [
            counters.pings_missed,
            counters.garbage,
            counters.digest_mismatches,
            counters.links_lost,
        ];
        assert_eq!(trouble, [0; 4]);
    }
}

/// Groups first, goodbye last.
#[test]
fn a_machine_that_stops_fails_its_groups_and_says_goodbye() {
    let mut net = Net::joined(3);
    let group = net.group();
    net.command(0, Command::Shutdown);
    net.run(Duration::from_secs(1));
    assert_eq!(net.events[0].last(), Some(&Event::Stopped));
    for at in 0..3 {
        assert_eq!(net.reason(at, group), Some(&Reason::Shutdown { by: id(0) }));
    }
    for at in [1, 2] {
        let status = net.machines[at].status();
        assert_eq!((status.links_alive, status.counters.links_lost), (1, 0));
    }
}

/// The session that the first machine has with the second.
fn session_with(net: &Net, other: usize) -> Session {
    let found = net.sessions.iter().find(|(_, (to, _))| *to == other);
    *found.expect("a session").0
}

/// "Whoever stands at a port decodes what comes there" (protocol.md §3); who asks at any other is told that nobody reads it.
#[test]
fn what_is_for_nobody_here_or_cannot_be_read_is_declined() {
    let mut net = Net::joined(2);
    for (port, garbage) in [(Port::GROUPS, 1), (Port(200), 1)] {
        let body = vec![0xff; 9];
        let question = wire::Question::new(Versions::OURS, net.machines[0].network(), OneShot::Above { port, body });
        let (request, peer, body) = (RequestId(1000), id(1), wire::encode(&question));
        let out = net.outputs(0, Input::Request { request, peer, body });
        let unread = wire::encode(&Answer::Unread);
        assert!(
            matches!(&out[..], [Output::Respond { body, .. }] if *body == unread),
            "{out:?}"
        );
        assert_eq!(net.machines[0].status().counters.garbage, garbage, "{port:?}");
    }
}

/// Both ends count operations; one that cannot be read ends the link, for they could no longer agree.
#[test]
fn an_operation_or_a_word_that_cannot_be_read_ends_the_link() {
    for message in [
        Message::Operation {
            number: 1,
            body: vec![0xff],
        },
        Message::Tell(vec![9, 9]),
    ] {
        let mut net = Net::joined(2);
        let (session, frame) = (session_with(&net, 1), wire::encode(&message));
        net.input(0, Input::Received { session, frame });
        let status = net.machines[0].status();
        assert_eq!((status.links_alive, status.counters.garbage), (0, 1), "{message:?}");
    }
}

#[test]
fn garbage_ends_its_session_is_not_answered_and_is_counted() {
    let mut net = Net::joined(2);
    let session = session_with(&net, 1);
    let frame = vec![0xff; 9];
    let out = net.outputs(0, Input::Received { session, frame });
    assert!(matches!(out[0], Output::Disconnect { session: closed } if closed == session));
    // Behind the head that says which version it is.
    let (request, body) = (RequestId(1000), [vec![1; 3], vec![0xff; 9]].concat());
    let peer = id(1);
    let out = net.outputs(0, Input::Request { request, peer, body });
    assert!(
        matches!(&out[..], [Output::Respond { body, .. }] if body.is_empty()),
        "{out:?}"
    );
    let (request, body) = (RequestId(1000), vec![0xff; 9]);
    net.outputs(0, Input::Response { request, body });
    assert_eq!(net.machines[0].status().counters.garbage, 3);
}

#[test]
fn an_introduced_peer_is_located() {
    let mut net = Net::new(2);
    net.command(0, Command::Join { bootstrap: Vec::new() });
    let (peer, addresses) = (id(1), vec![address(1)]);
    net.command(0, Command::Introduce { peer, addresses });
    net.command(0, Command::Locate { peer });
    net.run(Duration::from_secs(20));
    let located = |event: &Event| matches!(event, Event::Located { addresses, .. } if addresses[..] == [address(1)]);
    assert!(net.events[0].iter().any(located), "{:?}", net.events[0]);
}

/// The second machine of two speaks these versions of the wire format.
fn speaking(oldest: u8, newest: u8) -> Net {
    let mut net = Net::new(2);
    let mut other = Config::preset(Profile::Lan);
    other.overlay.versions = Versions { oldest, newest };
    net.machines[1] = Machine::new(&other, &keypair(1), [1; 32]).expect("a valid configuration");
    net.input(1, Input::Listening(vec![address(1)]));
    net.command(0, Command::Join { bootstrap: Vec::new() });
    net
}

fn foreigners(net: &Net, at: usize) -> Vec<Foreign> {
    let foreign = |event: &Event| match event {
        Event::Foreigner { theirs, .. } => Some(theirs.clone()),
        _ => None,
    };
    net.events[at].iter().filter_map(foreign).collect()
}

/// "Two peers speak the newest version that both know" (protocol.md §3).
#[test]
fn peers_of_different_versions_that_share_one_get_along() {
    let mut net = speaking(1, 3);
    let bootstrap = vec![address(0)];
    net.command(1, Command::Join { bootstrap });
    net.run(Duration::from_secs(10));
    assert!(net.machines.iter().all(|machine| machine.status().links_alive == 1));
    net.group();
    assert!(foreigners(&net, 0).is_empty() && foreigners(&net, 1).is_empty());
}

/// "Who shares none is refused, and both say which versions both speak" (protocol.md §3).
#[test]
fn peers_without_a_version_in_common_part_and_say_so() {
    let mut net = speaking(2, 3);
    let bootstrap = vec![address(0)];
    net.command(1, Command::Join { bootstrap });
    net.run(Duration::from_secs(10));
    assert!(net.machines.iter().all(|machine| machine.status().links_alive == 0));
    assert_eq!(
        foreigners(&net, 0)[0],
        Foreign::Versions(Versions { oldest: 2, newest: 3 })
    );
    assert_eq!(foreigners(&net, 1)[0], Foreign::Versions(Versions::OURS));
    assert!(
        net.machines
            .iter()
            .all(|machine| machine.status().counters.garbage == 0)
    );
}

/// Without a link, a question says in which version it is written, and its answer what is spoken there instead.
#[test]
fn a_question_in_a_version_that_is_not_spoken_is_refused_in_words_of_all_versions() {
    let mut net = speaking(2, 3);
    let (peer, addresses) = (id(1), vec![address(1)]);
    net.command(0, Command::Introduce { peer, addresses });
    let create = fng::Command::Create {
        ticket: Ticket(7),
        members: vec![peer],
        tag: None,
        state: Vec::new(),
        timeout: None,
        admit: fng::Admit::default(),
    };
    net.command(0, Command::Group(create));
    net.run(Duration::from_secs(20));
    let refused = |event: &Event| matches!(event, Event::Group(fng::Event::CreateFailed { .. }));
    assert!(net.events[0].iter().any(refused));
    assert_eq!(
        foreigners(&net, 0)[0],
        Foreign::Versions(Versions { oldest: 2, newest: 3 })
    );
    assert_eq!(foreigners(&net, 1)[0], Foreign::Versions(Versions::OURS));
}

/// "Who is asked from another network takes nothing of the question, and declines with the names of both" (protocol.md §3).
#[test]
fn a_question_of_another_network_is_declined() {
    let mut net = Net::new(2);
    let mut other = Config::preset(Profile::Lan);
    other.overlay.network = "theirs".into();
    net.machines[1] = Machine::new(&other, &keypair(1), [1; 32]).expect("a valid configuration");
    for at in 0..2 {
        net.command(at, Command::Join { bootstrap: Vec::new() });
    }
    let (peer, addresses) = (id(1), vec![address(1)]);
    net.command(0, Command::Introduce { peer, addresses });
    let create = fng::Command::Create {
        ticket: Ticket(7),
        members: vec![peer],
        tag: None,
        state: Vec::new(),
        timeout: None,
        admit: fng::Admit::default(),
    };
    net.command(0, Command::Group(create));
    net.run(Duration::from_secs(20));
    let refused = |event: &Event| match event {
        Event::Group(fng::Event::CreateFailed { refusals, .. }) => Some(refusals.clone()),
        _ => None,
    };
    let (network, asked) = ("theirs".to_owned(), "fatebound".to_owned());
    let refusal = fng::Refusal::OtherNetwork { network, asked };
    assert_eq!(net.events[0].iter().find_map(refused), Some(vec![(peer, refusal)]));
    let foreigner = Event::Foreigner {
        peer: id(0),
        theirs: Foreign::Network("fatebound".to_owned()),
        address: None,
    };
    assert_eq!(net.events[1], [Event::Joined, foreigner]);
}

#[test]
fn a_rule_that_any_layer_broke_is_refused() {
    let broken: [fn(&mut Config); 3] = [
        |config| config.overlay.max_links = 0,
        |config| config.tree.max_paths = 0,
        |config| config.groups.max_members = 1,
    ];
    for change in broken {
        let mut config = Config::preset(Profile::Lan);
        change(&mut config);
        assert!(config.validate().is_err());
        assert!(Machine::new(&config, &keypair(0), [0; 32]).is_err());
    }
}

impl Net {
    /// Two machines of five, far apart on the ring or not, with a body from the first to the second.
    fn with_a_body(port: Port) -> Net {
        let mut net = Net::joined(5);
        for at in 0..5 {
            net.command(at, Command::Pipe(pipes::Command::Listen { port }));
        }
        let (peer, body) = (id(4), vec![7; 60_000]);
        net.command(0, Command::Pipe(pipes::Command::Send { port, peer, body }));
        net.run(Duration::from_secs(5));
        net
    }

    fn pipe_events(&self, at: usize) -> Vec<&pipes::Event> {
        let events = self.events[at].iter().filter_map(|event| match event {
            Event::Pipe(event) => Some(event),
            _ => None,
        });
        events.collect()
    }
}

#[test]
fn a_body_goes_through_a_pipe_and_counts_as_sent() {
    let port = Port(9);
    let mut net = Net::with_a_body(port);
    let received =
        |event: &&&pipes::Event| matches!(event, pipes::Event::Received { body, .. } if body.len() == 60_000);
    assert_eq!(net.pipe_events(4).iter().filter(received).count(), 1);
    assert!(net.machines[0].pipes().is_up(&id(4)));
    for at in [0, 4] {
        let (counters, left) = (net.machines[at].status().counters, net.left[at]);
        assert_eq!((counters.frames_sent, counters.bytes_sent), (left.frames, left.bytes));
        assert_eq!((counters.pipes_opened, counters.pipes_broken), (1, 0));
    }
    net.run(Duration::from_secs(70));
    assert!(!net.machines[0].pipes().is_up(&id(4)));
}

#[test]
fn malformed_bytes_close_the_pipe_and_not_the_link() {
    let mut net = Net::with_a_body(Port(9));
    let links = net.machines[0].status().links_alive;
    let (pipe, frame) = (*net.pipes.keys().next().expect("a pipe"), vec![0xff; 3]);
    for at in [0, 4] {
        let frame = frame.clone();
        net.input(at, Input::Pipe(PipeInput::Received { pipe, frame }));
    }
    net.run(Duration::from_secs(5));
    for at in [0, 4] {
        let down = |event: &&pipes::Event| {
            let cause = pipes::Cause::Violation;
            matches!(event, pipes::Event::Down { cause: why, .. } if *why == cause)
        };
        assert!(net.pipe_events(at).into_iter().any(|event| down(&event)));
        assert_eq!(net.machines[at].status().links_alive, links);
    }
}

#[test]
fn who_stops_closes_its_pipes_first() {
    let mut net = Net::with_a_body(Port(9));
    let out = net.outputs(0, Input::Command(Command::Shutdown));
    assert!(matches!(out[0], Output::Pipe(PipeOutput::Send { .. })), "a farewell");
    assert!(matches!(out[1], Output::Pipe(PipeOutput::Close { .. })));
    assert!(matches!(out.last(), Some(Output::Event(Event::Stopped))));
}
