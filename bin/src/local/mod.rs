//! The node inside this process, as the API sees it: the library's types become the API's bodies here, and nowhere else.

mod directory;
mod groups;
mod holds;
mod joining;
mod news;
mod process_groups;
mod views;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use fatebound::{Config, Events, Multiaddr, Node, Profile, Stopped};
use fatebound_multicast::rules::Rules;
use fatebound_multicast::service::Service;
use fatebound_multicast::status::Status as MulticastStatus;

pub use groups::Found;
pub use holds::Holding;
pub use process_groups::Attachment;

use crate::api::log::EventLog;
use crate::api::model::{BootstrapProblem, NodeInfo, PeerInfo, Routes};
use crate::api::problem::{Kind, Problem};
use crate::exit::Failure;
use crate::service::local::ServiceDesk;

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct Start {
    /// Where its key lives.
    pub data_dir: PathBuf,
    /// Its timings.
    pub profile: Profile,
    /// Where it listens.
    pub listen: Vec<Multiaddr>,
    /// Whom it joins through.
    pub bootstrap: Vec<Multiaddr>,
    /// Where others are told to dial, if not where it listens.
    pub advertise: Vec<Multiaddr>,
    /// The overlay's name.
    pub network: Option<String>,
    /// By which rules it routes multicast, if it does.
    pub multicast: Option<Rules>,
}

/// The running node, and what has happened on it lately.
#[derive(Debug)]
pub struct Local {
    node: Node,
    log: Arc<EventLog>,
    started: Instant,
    profile: Profile,
    config: Config,
    wishes: joining::Wishes,
    /// Processes that are in process groups through the API.
    attached: process_groups::Attached,
    /// Clients' shares in the fate of groups.
    holds: holds::Holds,
    services: ServiceDesk,
    multicast: Option<Service>,
}

impl Local {
    /// Starts the node; it may not have joined yet.
    ///
    /// # Errors
    /// One line that says why nothing was started.
    pub async fn start(start: Start) -> Result<Local, Failure> {
        let mut builder = Node::builder().data_dir(&start.data_dir).profile(start.profile);
        for address in start.listen {
            builder = builder.listen(address);
        }
        for address in start.bootstrap {
            builder = builder.bootstrap(address);
        }
        for address in start.advertise {
            builder = builder.announce(address);
        }
        let mut config = Config::preset(start.profile);
        if let Some(network) = start.network {
            config.overlay.network.clone_from(&network);
            builder = builder.network(network);
        }
        let node = builder.start().await.map_err(Failure::error)?;
        let multicast = match start.multicast {
            Some(rules) => Some(Service::start(node.clone(), rules).await.map_err(Failure::error)?),
            None => None,
        };
        let events = node.events();
        let life = node.status().await.map_err(Failure::error)?.incarnation;
        let log = Arc::new(EventLog::new(views::hexadecimal(life)));
        tokio::spawn(pump(events, Arc::clone(&log)));
        let (holds, unclean) = holds::Holds::new();
        tokio::spawn(holds::signal_unclean(node.clone(), unclean));
        Ok(Local {
            node,
            log,
            started: Instant::now(),
            profile: start.profile,
            config,
            wishes: joining::Wishes::default(),
            attached: process_groups::Attached::default(),
            holds,
            services: ServiceDesk::default(),
            multicast,
        })
    }

    /// Who this is.
    pub fn peer(&self) -> String {
        self.node.peer_id().to_string()
    }

    /// Where it listens, each ending in `/p2p/<PeerId>`.
    pub fn listening(&self) -> Vec<String> {
        self.node.listen_addresses().iter().map(ToString::to_string).collect()
    }

    /// The node itself, for what of the API stands elsewhere.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// What the API keeps of services.
    pub(crate) fn service_desk(&self) -> &ServiceDesk {
        &self.services
    }

    /// Until the node has joined the overlay; false if it stopped instead.
    pub async fn joined(&self) -> bool {
        self.node.joined().await.is_ok()
    }

    /// Stops in an orderly way. Readers of the log get everything up to the end.
    pub async fn shutdown(&self) {
        self.node.shutdown().await;
        self.stopped().await;
    }

    /// Until the node has stopped, for whatever reason, and the log has everything that happened.
    pub async fn stopped(&self) {
        self.log.closed().await;
    }

    /// What has happened lately.
    pub fn log(&self) -> Arc<EventLog> {
        Arc::clone(&self.log)
    }

    /// The node at a glance.
    pub async fn info(&self) -> Result<NodeInfo, Problem> {
        let status = self.node.status().await.map_err(stopping)?;
        let mut info = views::node(&status);
        info.network = Some(self.config.overlay.network.clone());
        info.profile = self.profile.to_string();
        info.listen = self.listening();
        let problems = self.node.bootstrap_problems();
        let of = |(address, reason): (Multiaddr, String)| BootstrapProblem {
            address: address.to_string(),
            reason,
        };
        info.bootstrap_problems = problems.into_iter().map(of).collect();
        info.uptime_ms = crate::output::as_ms(self.started.elapsed());
        Ok(info)
    }

    /// How it routes multicast.
    pub async fn multicast(&self) -> Result<MulticastStatus, Problem> {
        let Some(service) = &self.multicast else {
            let words = "this node routes no multicast: it was not started with --multicast";
            return Err(Problem::new(Kind::NotFound, &words));
        };
        service.status().await.ok_or_else(|| stopping(Stopped))
    }

    /// Its neighbours.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, Problem> {
        let peers = self.node.peers().await.map_err(stopping)?;
        Ok(peers.iter().map(views::peer).collect())
    }

    /// Its routes.
    pub async fn routes(&self) -> Result<Routes, Problem> {
        self.node.routes().await.map(views::routes).map_err(stopping)
    }
}

fn stopping(stopped: Stopped) -> Problem {
    Problem::new(Kind::Stopping, &stopped)
}

/// Moves events from the node into the log, which ends with the node.
async fn pump(mut events: Events, log: Arc<EventLog>) {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let (news, seq, time) = news::of(event);
                log.append(news, seq, time);
            }
            Err(_) => log.lost(),
        }
    }
    log.close();
}
