//! Peers, their hosts, and the queue of what happens next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fatebound_machine::fng::{self, Reason, Refusal, Ticket};
use fatebound_machine::overlay::{Keypair, Multiaddr, PeerId, Time};
use fatebound_machine::tree::GroupId;
use fatebound_machine::{Command, Config, Event, Input, Machine, Output, PipeOutput, Profile};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::adversary::Adversary;
use crate::carriage::End;
use crate::connections::{Connections, Transit};
use crate::dials::{Knock, Pending};
use crate::hosts::Host;
use crate::latency::Latency;
use crate::observe::{Disturbance, Observation, Observe};
use crate::processes::Work;
use crate::queue::Queue;
use crate::requests::{Asked, Asking};
use crate::sessions::Half;
use crate::stamps;
use crate::storage::Ends;
use crate::streams::PipeHalf;
use crate::tamper::Tampered;
use crate::wire::Network;

/// A peer of a [`World`], by the order of spawning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(pub usize);

/// Why [`World::create`] has no group to return.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// These members did not accept.
    #[error("members did not accept: {refusals:?}")]
    Refused {
        /// The group's id, which everybody who heard of it is being notified about.
        group: Option<GroupId>,
        /// Who, and why.
        refusals: Vec<(PeerId, Refusal)>,
    },
    /// The root did not answer, it crashed or was paused.
    #[error("the root gave no answer")]
    NoAnswer,
}

/// What a host's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// Stopped by SIGSTOP: the kernel still acknowledges, the process takes nothing.
    Paused,
    /// The process is dead; the host says so to whoever asks.
    Crashed,
    /// The host is gone, silently.
    Vanished,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) keypair: Keypair,
    pub(crate) state: State,
    /// Counts the lives of the process: what was meant for an earlier one does not reach this one.
    pub(crate) life: u32,
    pub(crate) started: Time,
    pub(crate) host: Host,
    pub(crate) machine: Option<Box<Machine>>,
    /// What arrived while the process took nothing.
    pub(crate) inbox: VecDeque<Work>,
    pub(crate) wake: Option<Time>,
    pub(crate) events: Vec<(Time, Event)>,
    pub(crate) next_session: u64,
    pub(crate) next_request: u64,
    /// What its process has sent, in all its lives.
    pub(crate) sent: Traffic,
    pub(crate) bootstrap: Vec<Multiaddr>,
}

/// Messages that a peer has sent: frames on links, one-shot questions and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub messages: u64,
    /// Their bytes, without what carries them.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn count(&mut self, output: &Output) {
        let bytes = match output {
            Output::Send { frame, .. } | Output::Pipe(PipeOutput::Send { frame, .. }) => frame.len(),
            Output::Request { body, .. } | Output::Respond { body, .. } => body.len(),
            _ => return,
        };
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// What is scheduled.
#[derive(Debug)]
pub(crate) enum Happening {
    Transit(Transit),
    Knock(Knock),
    Wake {
        peer: PeerIndex,
        life: u32,
    },
    GoesOn {
        peer: PeerIndex,
        life: u32,
    },
    DialTimeout {
        from: End,
        round: u32,
    },
    RequestTimeout {
        from: End,
    },
    /// A driver tells its machine something, a moment later.
    Told {
        to: End,
        input: Box<Input>,
    },
    /// A cut ends.
    Mend {
        a: PeerIndex,
        b: PeerIndex,
    },
}

/// Peers and the network between them, in virtual time.
pub struct World {
    pub(crate) config: Config,
    pub(crate) now: Time,
    pub(crate) queue: Queue<Happening>,
    pub(crate) network: Network,
    pub(crate) peers: Vec<Peer>,
    pub(crate) by_id: BTreeMap<PeerId, PeerIndex>,
    /// Who lives on another host than its first.
    pub(crate) moved: BTreeMap<u32, PeerIndex>,
    pub(crate) hosts_used: u32,
    /// Whose host has the virtual address.
    pub(crate) floating: Option<PeerIndex>,
    pub(crate) connections: Connections,
    pub(crate) sessions: Ends<Half>,
    pub(crate) pipes: Ends<PipeHalf>,
    pub(crate) dials: Ends<Pending>,
    pub(crate) requests: Ends<Asking>,
    /// Requests that arrived and were not answered yet.
    pub(crate) asked: Ends<Asked>,
    pub(crate) adversaries: Vec<Adversary>,
    pub(crate) rng: StdRng,
    pub(crate) tickets: u64,
    pub(crate) dial_timeout: Duration,
    pub(crate) keeps_events: bool,
    /// How many things have happened.
    pub(crate) happened: u64,
    pub(crate) tampered: Tampered,
    pub(crate) observing: Option<Observe>,
    pub(crate) observations: Vec<(Time, Observation)>,
}

impl World {
    /// An empty world with this preset; wide-area delays for `wan` and `fuse`, a rack's otherwise.
    pub fn new(seed: u64, profile: Profile) -> World {
        let latency = match profile {
            Profile::Local | Profile::Lan => Latency::RACK,
            Profile::Wan | Profile::Fuse => Latency::INTERNET,
        };
        World::with_config(seed, Config::preset(profile), latency)
    }

    /// An empty world with any configuration and any delays.
    pub fn with_config(seed: u64, config: Config, latency: Latency) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        World {
            dial_timeout: 3 * config.overlay.ping_timeout,
            config,
            now: Time::ZERO,
            queue: Queue::default(),
            network: Network::new(rng.next_u64(), latency),
            peers: Vec::new(),
            by_id: BTreeMap::new(),
            moved: BTreeMap::new(),
            hosts_used: 0,
            floating: None,
            connections: Connections::default(),
            sessions: Ends::default(),
            pipes: Ends::default(),
            dials: Ends::default(),
            requests: Ends::default(),
            asked: Ends::default(),
            adversaries: Vec::new(),
            rng,
            tickets: 0,
            keeps_events: true,
            happened: 0,
            tampered: Tampered::default(),
            observing: None,
            observations: Vec::new(),
        }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        self.now
    }

    /// From now on peers' events are not kept: what [`World::events`] returns ends here. For long runs, together with [`World::observe`].
    pub fn forget_events(&mut self) {
        self.keeps_events = false;
    }

    /// How many things have happened: arrivals, deadlines, time limits.
    pub fn happened(&self) -> u64 {
        self.happened
    }

    /// How many things are going to happen, as far as is known: messages on their way, deadlines.
    pub fn scheduled(&self) -> usize {
        self.queue.len()
    }

    /// Adds a host and starts its peer, which joins through these peers.
    pub fn spawn(&mut self, bootstrap: &[PeerIndex]) -> PeerIndex {
        let keypair = self.new_keypair();
        self.spawn_as(keypair, bootstrap)
    }

    /// As [`World::spawn`], with a chosen identity: it decides where on the ring the peer stands.
    pub fn spawn_as(&mut self, keypair: Keypair, bootstrap: &[PeerIndex]) -> PeerIndex {
        let index = PeerIndex(self.peers.len());
        self.by_id.insert(keypair.public().to_peer_id(), index);
        self.peers.push(Peer {
            keypair,
            state: State::Crashed,
            life: 0,
            started: self.now,
            host: Host::new(index),
            machine: None,
            inbox: VecDeque::new(),
            wake: None,
            events: Vec::new(),
            next_session: 0,
            next_request: 0,
            sent: Traffic::default(),
            bootstrap: bootstrap.iter().map(|&peer| self.address(peer)).collect(),
        });
        self.start(index);
        index
    }

    /// The name of a peer that nobody has ever heard of.
    pub fn stranger(&mut self) -> PeerId {
        self.new_keypair().public().to_peer_id()
    }

    fn new_keypair(&mut self) -> Keypair {
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        Keypair::ed25519_from_bytes(secret).expect("32 bytes are an Ed25519 secret")
    }

    /// A new peer on a host of its own, with another one's key: a copied data directory.
    pub fn spawn_twin(&mut self, of: PeerIndex, bootstrap: &[PeerIndex]) -> PeerIndex {
        let keypair = self.peers[of.0].keypair.clone();
        self.spawn_as(keypair, bootstrap)
    }

    /// Spawns `count` peers that join through the first, and runs until all have joined and the overlay is quiet.
    ///
    /// # Panics
    /// When they have not joined within a virtual minute: the overlay is broken then.
    pub fn spawn_overlay(&mut self, count: usize) -> Vec<PeerIndex> {
        let mut peers = Vec::new();
        for _ in 0..count {
            let bootstrap: Vec<_> = peers.first().copied().into_iter().collect();
            peers.push(self.spawn(&bootstrap));
            self.run_for(Duration::from_millis(20));
        }
        let limit = Duration::from_secs(60);
        let joined = self.run_until(limit, |world| {
            peers
                .iter()
                .all(|&peer| world.machine(peer).is_some_and(|machine| machine.status().joined))
        });
        assert!(joined, "not every peer joined within {limit:?}");
        self.run_for(self.config.overlay.link_interval);
        peers
    }

    /// A peer's name.
    pub fn id(&self, peer: PeerIndex) -> PeerId {
        self.peers[peer.0].keypair.public().to_peer_id()
    }

    /// How many hosts there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Which life of its process this is, or was.
    pub(crate) fn life(&self, peer: PeerIndex) -> u32 {
        self.peers[peer.0].life
    }

    /// What all peers run with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the peer has sent so far, in all its lives.
    pub fn sent(&self, peer: PeerIndex) -> Traffic {
        self.peers[peer.0].sent
    }

    /// The peer's machine while its process lives.
    pub fn machine(&self, peer: PeerIndex) -> Option<&Machine> {
        self.peers[peer.0].machine.as_deref()
    }

    /// Everything the peer has told its application, in all its lives.
    pub fn events(&self, peer: PeerIndex) -> &[(Time, Event)] {
        &self.peers[peer.0].events
    }

    /// Whether the first of these peers has a link to the other.
    pub fn linked(&self, peer: PeerIndex, other: PeerIndex) -> bool {
        let other = self.id(other);
        let links = self.machine(peer).map(Machine::peers).unwrap_or_default();
        links.iter().any(|link| link.peer == other)
    }

    /// When, and why, the peer told its application that the group failed: P2 says that this is at most once per life.
    pub fn notified(&self, peer: PeerIndex, group: &GroupId) -> Vec<(Time, Reason)> {
        let failed = |(at, event): &(Time, Event)| match event {
            Event::Group(fng::Event::Failed { group: failed, reason }) if failed == group => {
                Some((*at, reason.clone()))
            }
            _ => None,
        };
        self.events(peer).iter().filter_map(failed).collect()
    }

    /// Gives a peer an order; ignored if it does not run.
    pub fn command(&mut self, peer: PeerIndex, command: Command) {
        if self.peers[peer.0].state == State::Running {
            self.saw(|| Observation::Ordered {
                peer,
                command: command.clone(),
            });
        }
        self.input(peer, Input::Command(command));
    }

    /// Creates a group with `root` and `members` and waits for the outcome.
    ///
    /// # Errors
    /// As the root says.
    pub fn create(&mut self, root: PeerIndex, members: &[PeerIndex]) -> Result<GroupId, Box<CreateError>> {
        let ids = members.iter().map(|&member| self.id(member)).collect();
        self.create_with_ids(root, ids)
    }

    /// As [`World::create`], with any ids.
    ///
    /// # Errors
    /// As the root says.
    pub fn create_with_ids(&mut self, root: PeerIndex, members: Vec<PeerId>) -> Result<GroupId, Box<CreateError>> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let seen = self.events(root).len();
        self.command(
            root,
            Command::Group(fng::Command::Create {
                ticket,
                members,
                tag: None,
                state: b"state".to_vec(),
                timeout: None,
                admit: fng::Admit::default(),
            }),
        );
        let limit = 2 * self.config.groups.create_timeout;
        self.run_until(limit, |world| world.outcome(root, seen, ticket).is_some());
        self.outcome(root, seen, ticket)
            .unwrap_or_else(|| Err(Box::new(CreateError::NoAnswer)))
    }

    fn outcome(&self, root: PeerIndex, seen: usize, wanted: Ticket) -> Option<Result<GroupId, Box<CreateError>>> {
        self.events(root)[seen..].iter().find_map(|(_, event)| match event {
            Event::Group(fng::Event::Created { ticket, group }) if *ticket == wanted => Some(Ok(*group)),
            Event::Group(fng::Event::CreateFailed {
                ticket,
                group,
                refusals,
                ..
            }) if *ticket == wanted => Some(Err(Box::new(CreateError::Refused {
                group: *group,
                refusals: refusals.clone(),
            }))),
            _ => None,
        })
    }

    /// A member signals.
    pub fn signal(&mut self, peer: PeerIndex, group: &GroupId) {
        self.command(
            peer,
            Command::Group(fng::Command::Signal {
                group: *group,
                text: "signal".into(),
            }),
        );
    }

    /// A member lets a group fail in silence.
    pub fn fall_silent(&mut self, peer: PeerIndex, group: &GroupId) {
        self.command(peer, Command::Group(fng::Command::FallSilent { group: *group }));
    }

    /// Kills the process: its host sends what it holds, ends its connections, and refuses dials.
    pub fn crash(&mut self, peer: PeerIndex) {
        self.end(peer, State::Crashed);
        self.close_all(peer, true);
    }

    /// The host loses power: nobody hears anything.
    pub fn vanish(&mut self, peer: PeerIndex) {
        self.end(peer, State::Vanished);
        self.close_all(peer, false);
    }

    fn end(&mut self, peer: PeerIndex, state: State) {
        self.saw(|| Observation::Disturbed(Disturbance::Ended(peer)));
        let life = &mut self.peers[peer.0];
        life.state = state;
        life.machine = None;
        life.inbox.clear();
        life.wake = None;
        life.host.end_process();
        self.sessions.take(peer);
        self.pipes.take(peer);
        self.dials.take(peer);
        self.requests.take(peer);
        self.asked.take(peer);
    }

    /// Starts a crashed or vanished peer again: same identity, same address, a new life.
    pub fn restart(&mut self, peer: PeerIndex) {
        self.start(peer);
    }

    /// Runs for so long.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until the condition holds, at most for so long; says whether it held. The condition is looked at after every event.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&World) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end;
                return condition(self);
            }
        }
    }

    /// The next thing happens, if it does so until `end`.
    fn step(&mut self, end: Time) -> bool {
        let Some((at, happening)) = self.queue.take(end) else {
            return false;
        };
        self.now = at.max(self.now);
        self.happened += 1;
        self.happen(happening);
        true
    }

    pub(crate) fn schedule(&mut self, at: Time, happening: Happening) {
        self.queue.put(at, happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Transit(transit) => self.on_transit(transit),
            Happening::Knock(knock) => self.on_knock(knock),
            Happening::Wake { peer, life } => self.wake(peer, life),
            Happening::GoesOn { peer, life } => self.on_goes_on(peer, life),
            Happening::DialTimeout { from, round } => self.dial_timed_out(from, round),
            Happening::RequestTimeout { from } => self.request_failed(from, Vec::new()),
            Happening::Told { to, input } => self.on_told(to, *input),
            Happening::Mend { a, b } => self.mend(a, b),
        }
    }

    fn start(&mut self, index: PeerIndex) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let peer = &mut self.peers[index.0];
        let machine = Machine::with_identity(&self.config, &stamps::identity(&peer.keypair), seed)
            .expect("the world's configuration is valid");
        peer.state = State::Running;
        peer.life += 1;
        peer.started = self.now;
        peer.host.clock.restart(self.now);
        peer.machine = Some(Box::new(machine));
        let bootstrap = peer.bootstrap.clone();
        self.saw(|| Observation::Disturbed(Disturbance::Started(index)));
        self.input(index, Input::Listening(self.listening(index)));
        self.command(index, Command::Join { bootstrap });
    }
}

/// An unordered pair: the smaller first.
pub(crate) fn pair(a: PeerIndex, b: PeerIndex) -> (PeerIndex, PeerIndex) {
    (a.min(b), a.max(b))
}
