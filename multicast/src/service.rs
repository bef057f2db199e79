//! Multicast routing on a running node: one task turns the machine; captures, seats and tunnels are tasks beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::time::Duration;

use fatebound::process_group::{Epoch, ListedProvider, Notice, ProviderEvent, ProviderHandle};
use fatebound::{Node, PeerId, PipePort, PortError, PortEvent};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::capture::Capture;
use crate::check::strict;
use crate::clock::Clock;
use crate::inject::{Injector, allowed};
use crate::interfaces::{Interface, scan};
use crate::io::{Event, Input, Output};
use crate::machine::{HubView, Multicast, NetworkView};
use crate::message::{Frame, Seat};
use crate::network::NetworkId;
use crate::roster::Role;
use crate::rules::Rules;
use crate::seats::sit;
use crate::spoke::Talk;
use crate::status::{NetworkStatus, RosterEntry, Status, TunnelStatus};
use crate::tunnels::Tunnels;

/// The port of multicast routing at every node's pipes.
const PORT: u8 = 70;
/// Words to the task that may wait; a capture beyond them lets the kernel hold what comes.
const WORDS: usize = 1024;
/// How often interfaces are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The longest sleep: timers of the runtime do not count suspensions.
const LONGEST: Duration = Duration::from_secs(1);
/// After an interface could not be read.
const PAUSE: Duration = Duration::from_millis(500);

/// Why nothing is routed. Nothing was started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// No raw sockets.
    #[error(
        "multicast cannot be captured: {0} (it needs CAP_NET_RAW, before Linux 5.17 CAP_NET_ADMIN as well: root, `setcap cap_net_raw+ep`, or AmbientCapabilities=CAP_NET_RAW)"
    )]
    Rights(io::Error),
    /// The port is not to be had.
    #[error("no port for tunnels: {0}")]
    Port(#[from] PortError),
}

/// What the task is told.
pub(crate) enum Word {
    /// These networks are there now.
    Interfaces(BTreeMap<NetworkId, Interface>),
    /// These were captured.
    Captured { network: NetworkId, batch: Vec<Vec<u8>> },
    /// A capture has ended.
    Deaf { network: NetworkId, error: io::Error },
    /// No seat can be taken; it is tried again.
    NoSeat { network: NetworkId, why: String },
    /// A seat was taken, or lost.
    Seat {
        network: NetworkId,
        seat: Option<ProviderHandle>,
    },
    /// A seat was told something.
    Group { event: ProviderEvent },
    /// Somebody wants to know how it stands.
    Status(oneshot::Sender<Status>),
}

/// Multicast routing on a node; it ends with this.
#[derive(Debug)]
pub struct Service {
    words: mpsc::Sender<Word>,
    tasks: Vec<JoinHandle<()>>,
}

impl Service {
    /// Begins to route by these rules.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(node: Node, rules: Rules) -> Result<Service, StartError> {
        allowed().map_err(StartError::Rights)?;
        let port = node.pipe_port(PORT).await?;
        let (words, words_out) = mpsc::channel(WORDS);
        let watching = tokio::spawn(watch(rules.interfaces.clone(), words.clone()));
        let router = Router::new(node, rules, &port, words.clone());
        let routing = tokio::spawn(router.run(port, words_out));
        Ok(Service {
            words,
            tasks: vec![watching, routing],
        })
    }

    /// How it stands; `None` if the node has stopped.
    pub async fn status(&self) -> Option<Status> {
        let (reply, status) = oneshot::channel();
        self.words.send(Word::Status(reply)).await.ok()?;
        status.await.ok()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Looks at the interfaces again and again, and tells what has changed.
async fn watch(only: Vec<String>, words: mpsc::Sender<Word>) {
    let mut last = None;
    loop {
        match scan(&only) {
            Ok(found) => {
                if last.as_ref() != Some(&found) {
                    last = Some(found.clone());
                    if words.send(Word::Interfaces(found)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the interfaces cannot be read"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A task that ends with its value.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The machine and all that it needs.
struct Router {
    node: Node,
    clock: Clock,
    machine: Multicast,
    words: mpsc::Sender<Word>,
    tunnels: Tunnels,
    given_up: mpsc::Receiver<(NetworkId, u64)>,
    interfaces: BTreeMap<NetworkId, Interface>,
    sitting: HashMap<NetworkId, Task>,
    seats: BTreeMap<NetworkId, ProviderHandle>,
    captures: HashMap<NetworkId, Task>,
    injectors: HashMap<NetworkId, Injector>,
    list: List,
    problems: BTreeMap<NetworkId, String>,
}

/// The group's list, as its seats are told it.
#[derive(Default)]
struct List {
    epoch: Option<Epoch>,
    providers: Vec<(Seat, NetworkId)>,
    failed: BTreeSet<Seat>,
}

impl List {
    fn is(&mut self, epoch: Epoch, providers: &[ListedProvider]) {
        if self.epoch.is_some_and(|known| epoch < known) {
            // Another seat was told a later one.
            return;
        }
        self.epoch = Some(epoch);
        let network = |provider: &ListedProvider| std::str::from_utf8(&provider.instance).ok()?.parse().ok();
        let present = providers.iter().filter(|provider| provider.is_present());
        self.providers = present
            .filter_map(|provider| Some((provider.id, network(provider)?)))
            .collect();
        self.failed
            .retain(|failed| providers.iter().any(|provider| provider.id == *failed));
    }

    fn without_failed(&self) -> Vec<(Seat, NetworkId)> {
        let lives = |(seat, _): &&(Seat, NetworkId)| !self.failed.contains(seat);
        self.providers.iter().filter(lives).copied().collect()
    }
}

impl Router {
    fn new(node: Node, rules: Rules, port: &PipePort, words: mpsc::Sender<Word>) -> Router {
        let clock = Clock::new();
        let (dropped, given_up) = mpsc::channel(WORDS);
        // A stop that is shorter than the lease raises no fence: what waits meanwhile must not be given up.
        let patience = rules.lease * 2;
        Router {
            machine: Multicast::new(node.peer_id(), rules, clock.now()),
            tunnels: Tunnels::new(port.sender(), clock, patience, dropped),
            node,
            clock,
            words,
            given_up,
            interfaces: BTreeMap::new(),
            sitting: HashMap::new(),
            seats: BTreeMap::new(),
            captures: HashMap::new(),
            injectors: HashMap::new(),
            list: List::default(),
            problems: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut port: PipePort, mut words: mpsc::Receiver<Word>) {
        loop {
            let now = self.clock.now();
            let due = self
                .machine
                .deadline()
                .map_or(LONGEST, |deadline| deadline.since(now).min(LONGEST));
            tokio::select! {
                word = words.recv() => match word {
                    Some(word) => self.word(word),
                    None => return,
                },
                event = port.recv() => match event {
                    Some(event) => self.port(event),
                    None => return tracing::info!("multicast ends: the node has stopped"),
                },
                Some((network, count)) = self.given_up.recv() => self.input(Input::Backlog { network, count }),
                () = tokio::time::sleep(due) => self.input(Input::Wake),
            }
        }
    }

    fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.handle(self.clock.now(), input, &mut out);
        for output in out {
            self.output(output);
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Inject { network, packet } => {
                let sent = self.injectors.get(&network).map(|injector| injector.inject(&packet));
                if !matches!(sent, Some(Ok(()))) {
                    tracing::debug!(%network, ?sent, "a datagram could not be put on the wire");
                    self.input(Input::NotSent { network });
                }
            }
            Output::Send { peer, frame } => self.tunnels.send(peer, &frame),
            Output::Capture { network, on } => self.capture(network, on),
            Output::Confirm { nonce } => self.confirm(nonce),
            Output::Event(event) => self.report(&event),
        }
    }

    fn report(&self, event: &Event) {
        match event {
            Event::Role { network, role } => tracing::info!(%network, ?role, "multicast: this node's place"),
            Event::Hub(true) => tracing::info!("multicast: this node is the system leader"),
            Event::Hub(false) => tracing::info!("multicast: this node is the system leader no more"),
            Event::Opened { network, missing } => {
                tracing::info!(%network, missing, "multicast: taken in by the system leader");
            }
            Event::Branch {
                network,
                leader,
                missing,
            } => {
                tracing::info!(%network, %leader, missing, "multicast: a leader is taken in");
            }
            Event::Fenced => tracing::warn!("multicast: not sure of this node's place; the group is asked"),
            Event::Unfenced => tracing::info!("multicast: the group has answered"),
        }
    }

    /// Asks the group, through a seat of this node: what is shown to one is shown to all.
    fn confirm(&self, nonce: u64) {
        let Some(seat) = self.seats.values().next().cloned() else {
            return;
        };
        tokio::spawn(async move {
            if let Err(error) = seat.send(nonce.to_be_bytes().to_vec()).await {
                tracing::debug!(%error, "the group of multicast cannot be asked");
            }
        });
    }

    fn capture(&mut self, network: NetworkId, on: bool) {
        self.captures.remove(&network);
        self.injectors.remove(&network);
        self.problems.remove(&network);
        let Some(interface) = self.interfaces.get(&network).filter(|_| on) else {
            return;
        };
        let opened = Injector::open(interface)
            .and_then(|injector| Ok((injector, Capture::open(interface, &self.machine.rules().groups())?)));
        match opened {
            Ok((injector, capture)) => {
                self.injectors.insert(network, injector);
                let task = tokio::spawn(hear(network, capture, self.words.clone()));
                self.captures.insert(network, Task(task));
            }
            Err(error) => {
                // Later, because the machine is in the middle of something. If there is no room now, it is said again with the next role.
                let _ = self.words.try_send(Word::Deaf { network, error });
            }
        }
    }

    fn word(&mut self, word: Word) {
        match word {
            Word::Interfaces(found) => self.interfaces(found),
            Word::Captured { network, batch } => {
                for bytes in batch {
                    self.input(Input::Captured { network, bytes });
                }
            }
            Word::NoSeat { network, why } => drop(self.problems.insert(network, why)),
            Word::Deaf { network, error } => self.deaf(network, &error),
            Word::Seat { network, seat } => self.seat(network, seat),
            Word::Group { event } => self.group(event),
            Word::Status(reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(self.status());
            }
        }
    }

    /// A node that cannot hear a network must not lead it: it gives up its seat, and takes one when it can hear.
    fn deaf(&mut self, network: NetworkId, error: &io::Error) {
        let Some(interface) = self.interfaces.get(&network) else {
            return;
        };
        let (name, interface) = (interface.name.clone(), interface.clone());
        tracing::warn!(%network, interface = name, %error, "multicast cannot be captured");
        self.sitting.remove(&network);
        self.seat(network, None);
        self.captures.remove(&network);
        self.injectors.remove(&network);
        self.problems.insert(network, format!("{name}: {error}"));
        self.sit(network, interface);
    }

    fn sit(&mut self, network: NetworkId, interface: Interface) {
        let wire = (interface, self.machine.rules().groups());
        let sitting = sit(self.node.clone(), network, wire, self.words.clone());
        self.sitting.insert(network, Task(tokio::spawn(sitting)));
    }

    /// M1 "A node has a seat on each network that it is on": it comes and goes with its interface.
    fn interfaces(&mut self, found: BTreeMap<NetworkId, Interface>) {
        let changed = |network: &NetworkId, interfaces: &BTreeMap<NetworkId, Interface>| {
            interfaces.get(network) != found.get(network)
        };
        let gone: Vec<NetworkId> = self
            .sitting
            .keys()
            .filter(|network| changed(network, &self.interfaces))
            .copied()
            .collect();
        for network in gone {
            self.sitting.remove(&network);
            self.seat(network, None);
        }
        self.interfaces = found;
        let new = self.interfaces.iter();
        let new = new.filter(|(network, _)| !self.sitting.contains_key(network));
        let new: Vec<(NetworkId, Interface)> = new.map(|(network, interface)| (*network, interface.clone())).collect();
        for (network, interface) in new {
            tracing::info!(%network, interface = interface.name, "multicast: a network");
            self.sit(network, interface);
        }
    }

    fn seat(&mut self, network: NetworkId, handle: Option<ProviderHandle>) {
        // What a task said before it was ended may still come.
        let seat = handle
            .as_ref()
            .map(ProviderHandle::id)
            .filter(|_| self.sitting.contains_key(&network));
        match handle.filter(|_| seat.is_some()) {
            Some(handle) => drop(self.seats.insert(network, handle)),
            None => drop(self.seats.remove(&network)),
        }
        if self.seats.is_empty() {
            // Nobody tells this node any more what the list is.
            self.list = List::default();
            self.tell_list();
        }
        if seat.is_some() {
            self.problems.remove(&network);
            // Joining was decided by a quorum; a seat that was put out while its group was blocked is not told so.
            self.input(Input::Quorum(true));
        }
        self.input(Input::Seat { network, seat });
    }

    fn tell_list(&mut self) {
        let list = self.list.without_failed();
        let peers: BTreeSet<PeerId> = list.iter().map(|(seat, _)| seat.node.peer).collect();
        self.tunnels.keep(|peer| peers.contains(peer));
        self.input(Input::List(list));
    }

    fn group(&mut self, event: ProviderEvent) {
        match event {
            ProviderEvent::Blocked(_) => self.input(Input::Quorum(false)),
            ProviderEvent::Unblocked | ProviderEvent::View(_) => self.input(Input::Quorum(true)),
            ProviderEvent::Shown(Notice::Providers { epoch, providers, .. }) => {
                self.list.is(epoch, &providers);
                self.tell_list();
            }
            ProviderEvent::Shown(Notice::Failed(failure)) => {
                self.list.failed.insert(failure.provider);
                self.tell_list();
            }
            ProviderEvent::Shown(Notice::Message { from, body }) => {
                let mine = self.seats.values().any(|seat| seat.id() == from);
                if let (true, Ok(nonce)) = (mine, <[u8; 8]>::try_from(body)) {
                    let nonce = u64::from_be_bytes(nonce);
                    self.input(Input::Confirmed { nonce });
                }
            }
            _ => {}
        }
    }

    fn port(&mut self, event: PortEvent) {
        match event {
            PortEvent::Received { peer, body } => self.body(peer, &body),
            PortEvent::Down { peer, .. } | PortEvent::Refused { peer, .. } => self.input(Input::TunnelDown { peer }),
            _ => {}
        }
    }

    fn body(&mut self, peer: PeerId, mut body: &[u8]) {
        while !body.is_empty() {
            let Ok((frame, rest)) = Frame::decode(body) else {
                return tracing::warn!(%peer, "bytes that are no word of multicast are thrown away");
            };
            self.input(Input::Frame { peer, frame });
            body = rest;
        }
    }

    fn status(&self) -> Status {
        let view = self.machine.view();
        let roster = self.machine.roster();
        let mut warnings: Vec<String> = self
            .problems
            .iter()
            .map(|(network, why)| format!("{network} is not served from here: {why}"))
            .collect();
        let wanted = self.machine.rules().interfaces.iter();
        let missing = wanted.filter(|name| !self.interfaces.values().any(|interface| interface.name == **name));
        warnings
            .extend(missing.map(|name| format!("no network through {name}: it has to be up, with an IPv4 address")));
        let entry = |(network, seats): (NetworkId, &[Seat])| RosterEntry {
            network: network.to_string(),
            leader: seats.first().map(|seat| seat.node.peer.to_string()).unwrap_or_default(),
            others: seats.iter().skip(1).map(|seat| seat.node.peer.to_string()).collect(),
        };
        let networks: Vec<NetworkStatus> = self
            .interfaces
            .keys()
            .map(|network| self.network_status(*network, &view.networks))
            .collect();
        let several = self.interfaces.len() > 1;
        warnings.extend(
            self.interfaces
                .values()
                .filter_map(|interface| strict(interface, several)),
        );
        for network in &networks {
            if let Some(count) = network.dropped.get("ttl").filter(|count| **count > 0) {
                let network = &network.network;
                warnings.push(format!(
                    "{count} datagrams of {network} had no hops left: a rule can set `ttl`"
                ));
            }
        }
        Status {
            routing: view.running,
            quorum: view.quorate,
            system_leader: roster.hub().map(|hub| hub.node.peer.to_string()),
            is_system_leader: view.hub.is_some(),
            fences: view.fences,
            networks,
            roster: roster.networks().map(entry).collect(),
            tunnels: view.hub.iter().flat_map(tunnels).collect(),
            relayed: view.hub.as_ref().map_or(0, |hub| hub.relayed),
            relay_dropped: view
                .hub
                .as_ref()
                .map(|hub| named(&hub.counts.dropped))
                .unwrap_or_default(),
            warnings,
        }
    }

    fn network_status(&self, network: NetworkId, views: &[NetworkView]) -> NetworkStatus {
        let interface = self.interfaces.get(&network);
        let mut status = NetworkStatus {
            network: network.to_string(),
            interface: interface.map(|interface| interface.name.clone()).unwrap_or_default(),
            address: interface
                .map(|interface| interface.address.to_string())
                .unwrap_or_default(),
            role: "joining".to_owned(),
            tunnel: "silent".to_owned(),
            ..NetworkStatus::default()
        };
        let Some(view) = views.iter().find(|view| view.network == network) else {
            return status;
        };
        status.role = match view.role {
            Role::Leader => "leader",
            Role::Standby(_) => "standby",
            Role::Member => "member",
            Role::Outside => "joining",
        }
        .to_owned();
        status.tunnel = match view.talk {
            Talk::Silent => "silent",
            Talk::Greeting { .. } => "greeting",
            Talk::Open { .. } => "open",
        }
        .to_owned();
        let counts = &view.counts;
        status.captured = counts.captured;
        (status.sent, status.sent_again) = (counts.sent, counts.sent_again);
        (status.injected, status.injected_again) = (counts.injected, counts.injected_again);
        (status.overheard, status.lost) = (counts.overheard, counts.lost);
        status.dropped = named(&counts.dropped);
        status
    }
}

fn named(dropped: &BTreeMap<crate::count::Drop, u64>) -> BTreeMap<String, u64> {
    dropped
        .iter()
        .map(|(why, count)| (why.name().to_owned(), *count))
        .collect()
}

fn tunnels(hub: &HubView) -> Vec<TunnelStatus> {
    let tunnel = |(network, seat, received, sent): &(NetworkId, Seat, u64, u64)| TunnelStatus {
        network: network.to_string(),
        peer: seat.node.peer.to_string(),
        received: *received,
        sent: *sent,
    };
    hub.branches.iter().map(tunnel).collect()
}

/// Hands on what is captured, until the socket fails or nobody takes it.
async fn hear(network: NetworkId, mut capture: Capture, words: mpsc::Sender<Word>) {
    loop {
        match capture.next().await {
            Ok(batch) => {
                if words.send(Word::Captured { network, batch }).await.is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                let _ = words.send(Word::Deaf { network, error }).await;
                return;
            }
        }
    }
}
