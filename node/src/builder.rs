//! From settings to a running node.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fatebound_machine::overlay::{Keypair, Multiaddr};
use fatebound_machine::{Config, Machine, Profile};
use tokio::sync::{broadcast, mpsc, watch};

use crate::application::Application;
use crate::behaviour::{Behaviour, Keep};
use crate::carrier::Carrier;
use crate::error::StartError;
use crate::event::{CAPACITY, EventLog, Numbers};
use crate::failures::SharedFailures;
use crate::identity::DataDir;
use crate::node::{Node, Parts};
use crate::stack;

/// Orders that wait for the node at most; whoever gives one more waits.
const ORDERS: usize = 1024;

/// The settings of a node. Made by [`Node::builder`].
#[derive(Debug, Default)]
#[must_use = "settings do nothing until `start` or `into_behaviour`"]
pub struct Builder {
    data_dir: Option<PathBuf>,
    identity: Option<Keypair>,
    profile: Option<Profile>,
    config: Option<Config>,
    network: Option<String>,
    listen: Vec<Multiaddr>,
    announce: Vec<Multiaddr>,
    bootstrap: Vec<Multiaddr>,
}

impl Builder {
    /// Keep this peer's key in this directory, created when missing: the peer is the same one after a restart. Without it, and without
    /// [`Builder::identity`], each start is a new peer.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Builder {
        self.data_dir = Some(path.into());
        self
    }

    /// Be this peer. Takes precedence over the key in a data directory, which is then only locked.
    pub fn identity(mut self, keypair: Keypair) -> Builder {
        self.identity = Some(keypair);
        self
    }

    /// The timings: [`Profile::Lan`] unless said otherwise. All peers of an overlay should have the same.
    pub fn profile(mut self, profile: Profile) -> Builder {
        self.profile = Some(profile);
        self
    }

    /// All parameters, one by one, instead of a profile's.
    pub fn config(mut self, config: Config) -> Builder {
        self.config = Some(config);
        self
    }

    /// The overlay's name: peers of different names refuse each other.
    pub fn network(mut self, name: impl Into<String>) -> Builder {
        self.network = Some(name.into());
        self
    }

    /// Listen here, too; port 0 picks a free port. `/ip4/0.0.0.0/tcp/0` if nothing is said. Links want TCP; `/udp/…/quic-v1` works beside it.
    pub fn listen(mut self, address: Multiaddr) -> Builder {
        self.listen.push(address);
        self
    }

    /// Tell others to dial here, instead of where this node listens: for nodes behind a port mapping or a translation of addresses. May be given
    /// several times. Without it, as many addresses as a record holds are told of those listened on: public ones first, then private ones, then
    /// loopback; of equals the one of the default route first. Another host's dial to one that leads nowhere fails, and it tries the next.
    pub fn announce(mut self, address: Multiaddr) -> Builder {
        self.announce.push(address);
        self
    }

    /// Join through this peer, or another one given so. None: this peer is the first of its overlay.
    pub fn bootstrap(mut self, address: Multiaddr) -> Builder {
        self.bootstrap.push(address);
        self
    }

    /// Starts a stand-alone node: its own swarm on a task of its own. Returns when it listens; [`Node::joined`] waits for more. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(mut self) -> Result<Node, StartError> {
        let bootstrap = std::mem::take(&mut self.bootstrap);
        let mut listen = std::mem::take(&mut self.listen);
        if listen.is_empty() {
            listen.extend("/ip4/0.0.0.0/tcp/0".parse());
        }
        let peer = self.assemble()?;
        let mut swarm = stack::swarm(&peer.keypair, peer.dial_limit, peer.behaviour).map_err(StartError::Setup)?;
        stack::listen(&mut swarm, listen).await?;
        tokio::spawn(stack::drive(swarm, peer.alive));
        // A node that could not take its first order has stopped, which its user will hear at the next.
        let _ = peer.node.join(bootstrap).await;
        Ok(peer.node)
    }

    /// Makes a behaviour for a swarm of yours, and the node that steers it. The swarm has to run on tokio, has to be this peer (see
    /// [`Builder::identity`]), should listen on TCP, and should keep idle connections for some seconds
    /// (`with_idle_connection_timeout`). How many connections and streams it takes is for you to limit: put a `libp2p::connection_limits::Behaviour`
    /// *before* this one in your behaviour's fields, so that what it denies is never seen here. `listen` and `bootstrap` settings are ignored: once the swarm listens, call [`Node::join`].
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left then.
    pub fn into_behaviour(self) -> Result<(Behaviour, Node), StartError> {
        self.assemble().map(|peer| (peer.behaviour, peer.node))
    }

    fn assemble(self) -> Result<Assembled, StartError> {
        let directory = self.data_dir.as_deref().map(DataDir::open).transpose()?;
        let keypair = match (self.identity, &directory) {
            (Some(keypair), _) => keypair,
            (None, Some(directory)) => directory.keypair().clone(),
            (None, None) => Keypair::generate_ed25519(),
        };
        let mut config = self
            .config
            .unwrap_or_else(|| Config::preset(self.profile.unwrap_or(Profile::Lan)));
        if let Some(network) = self.network {
            config.overlay.network = network;
        }
        let machine = Machine::new(&config, &keypair, seed()?)?;
        let (alive, done) = watch::channel(());
        let limits = Limits::of(&config);
        let max_addresses = config.overlay.max_addresses;
        let carrier = Carrier::new(limits.answer, limits.slow, limits.open, &self.announce, max_addresses);
        let keep = Keep {
            _directory: directory,
            _alive: alive.clone(),
        };
        let (behaviour, node) = connect(machine, carrier, keep, done);
        Ok(Assembled {
            keypair,
            dial_limit: limits.dial,
            alive,
            behaviour,
            node,
        })
    }
}

/// A peer that is ready for a swarm.
struct Assembled {
    keypair: Keypair,
    dial_limit: Duration,
    /// Closes when the last of its clones is gone: then the node is.
    alive: watch::Sender<()>,
    behaviour: Behaviour,
    node: Node,
}

/// Time limits of the driver. Liveness is the machine's business; these only end what would hang.
struct Limits {
    /// Of a dial with its handshakes, on both sides of it: 5 to 10 s. Never less, since a busy host needs seconds for handshakes that come in
    /// crowds, and one that is thrown away half done is to be done again.
    dial: Duration,
    /// Of a dial until somebody who waits for it is told that it is slow: a ping's ceiling each way, and half a second for a busy peer.
    slow: Duration,
    /// Of opening a stream on a connection that is up: four round trips of the slowest kind, within 1 to 10 s.
    open: Duration,
    /// Of a one-shot exchange on an open connection: twice as long as its answer may prove that a far end lives, for what a busy peer answers late is
    /// an answer all the same. (Whoever asks repeats its question long before that.)
    answer: Duration,
}

impl Limits {
    fn of(config: &Config) -> Limits {
        let ping_timeout = config.overlay.ping_timeout;
        let timings = &config.groups.timings;
        Limits {
            dial: (4 * ping_timeout).clamp(Duration::from_secs(5), Duration::from_secs(10)),
            open: (4 * ping_timeout).clamp(Duration::from_secs(1), Duration::from_secs(10)),
            slow: 2 * ping_timeout + Duration::from_millis(500),
            answer: 2 * timings.probe_timeout.max(timings.member_timeout),
        }
    }
}

/// Makes both ends of the channels between a behaviour and its node.
fn connect(machine: Machine, carrier: Carrier, keep: Keep, done: watch::Receiver<()>) -> (Behaviour, Node) {
    let peer = machine.peer();
    let failures = SharedFailures::default();
    let bootstraps = carrier.bootstraps().clone();
    let (orders, orders_in) = mpsc::channel(ORDERS);
    let (listening, listening_out) = watch::channel(Vec::new());
    let (joined, joined_out) = watch::channel(false);
    let (events, _) = broadcast::channel(CAPACITY);
    let numbers = Numbers::default();
    let node = Node::new(Parts {
        peer,
        orders,
        failures: failures.clone(),
        listening: listening_out,
        joined: joined_out,
        bootstraps,
        events: events.downgrade(),
        numbers: numbers.clone(),
        done,
        services: crate::service::HubPlace::default(),
    });
    let application = Application::new(peer, failures, EventLog::new(events, numbers), joined);
    (
        Behaviour::new(machine, carrier, application, orders_in, listening, keep),
        node,
    )
}

/// Randomness for the machine's generator: the only one that it gets.
fn seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StartError::Setup(io::Error::other(error)))?;
    Ok(seed)
}
