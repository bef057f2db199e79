//! Providing a service: what it is to be like, and the handle of a provider.

use std::time::Duration;

use fatebound_machine::process_groups::NameError;
use fatebound_machine::process_groups::protocols::{MAX_INFO, MAX_INSTANCE};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::group_of;
use super::hub::Hub;
use super::message::{Refused, ServiceStatus};
use super::runner::{Runner, ServiceOrder, Work};
use super::scope::Scope;
use super::worker::{Replicated, Worker};
use crate::error::Stopped;
use crate::node::Node;
use crate::process_group::JoinProcessGroupError;

/// Changes of role that a program may be behind.
const ROLES: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct ServiceSettings {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) address: String,
    pub(crate) secondaries: usize,
    pub(crate) sync: usize,
    pub(crate) every: u64,
    pub(crate) interval: Duration,
    pub(crate) preference: u8,
    pub(crate) hold: Duration,
    pub(crate) serve_limit: Duration,
}

/// A service that is to be provided; see [`Node::service`]. All its providers should say the same.
#[derive(Clone, Debug)]
#[must_use = "nothing is provided without run() or follow()"]
pub struct ServiceBuilder {
    node: Node,
    settings: ServiceSettings,
}

/// Why a service is not provided. Nothing has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartServiceError {
    /// It is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is a provider of this service at this node.
    #[error("this node provides this service already")]
    Here,
    /// The instance's name is empty or too long.
    #[error("an instance is named by 1 to {MAX_INSTANCE} bytes")]
    Instance,
    /// The address is too long.
    #[error("an address has at most {MAX_INFO} bytes")]
    Address,
    /// This provider has not come into the service's group.
    #[error(transparent)]
    NotJoined(#[from] JoinProcessGroupError),
    /// The system gives no thread.
    #[error("no thread for the service: {0}")]
    Thread(std::io::Error),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a provider provides its service no more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServiceEnded {
    /// It was asked to leave, or its handle was dropped.
    #[error("it has left")]
    Left,
    /// The others wished it to go.
    #[error("it was expelled from the service's group")]
    Expelled,
    /// What it does has failed: it panicked, hung, or could not restore a checkpoint.
    #[error("{0}")]
    Failed(String),
    /// The group went on without this node, and did not take it back.
    #[error("it could not come back into the service's group: {0}")]
    NotJoined(JoinProcessGroupError),
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

impl ServiceBuilder {
    pub(crate) fn new(node: Node, service: &str) -> ServiceBuilder {
        let settings = ServiceSettings {
            service: service.to_owned(),
            instance: format!("process-{}", std::process::id()),
            address: String::new(),
            secondaries: 1,
            sync: 0,
            every: 64,
            interval: Duration::from_secs(1),
            preference: 0,
            hold: Duration::from_secs(30),
            serve_limit: Duration::from_secs(10),
        };
        ServiceBuilder { node, settings }
    }

    /// What this provider is called at its node: 1 to 64 bytes; else `process-` and its number.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.settings.instance = instance.into();
        self
    }

    /// Where this provider can be reached by who does not go through a node: at most 128 bytes.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.settings.address = address.into();
        self
    }

    /// How many providers are to get the primary's checkpoints: one, if nothing else is said.
    pub fn secondaries(mut self, count: usize) -> Self {
        self.settings.secondaries = count;
        self
    }

    /// An answer is given only once a checkpoint that contains its request is with so many secondaries, and while there are fewer, requests wait. With zero, which
    /// is what holds if nothing else is said, the answer does not wait: what was answered since the last checkpoint is lost with the primary.
    pub fn sync(mut self, secondaries: usize) -> Self {
        self.settings.sync = secondaries;
        self
    }

    /// Without [`sync`](Self::sync), a checkpoint is sent after so many requests (64), but at least as often as [`interval`](Self::interval) says.
    pub fn every(mut self, requests: u64) -> Self {
        self.settings.every = requests.max(1);
        self
    }

    /// … and after this time (1 s), if there was any request.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// Of providers that are equal otherwise, that with the largest preference becomes the primary (0). It does not move a primary that lives.
    pub fn preference(mut self, preference: u8) -> Self {
        self.settings.preference = preference;
        self
    }

    /// For how long requests are held while there is no primary, or too few secondaries (30 s); then they are refused.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.settings.hold = hold;
        self
    }

    /// For how long [`Replicated`] may be busy with a batch of at most 256 requests, or with a checkpoint (10 s): then it counts as hanging, and this provider goes.
    pub fn serve_limit(mut self, limit: Duration) -> Self {
        self.settings.serve_limit = limit;
        self
    }

    /// With this doing the work.
    pub fn provide<R: Replicated>(self, work: R) -> ProvideService<R> {
        ProvideService { builder: self, work }
    }

    /// Comes into the service as a provider whose work something else does: it is told its roles.
    ///
    /// # Errors
    /// See [`StartServiceError`].
    pub async fn follow(self) -> Result<Roles, StartServiceError> {
        let (events, events_out) = mpsc::channel(ROLES);
        let service = self.start(|_| Ok(Work::Program(events))).await?;
        Ok(Roles {
            service,
            events: events_out,
        })
    }

    async fn start(
        self,
        work: impl FnOnce(&str) -> Result<Work, StartServiceError>,
    ) -> Result<Service, StartServiceError> {
        let group = group_of(&self.settings.service)?;
        if !(1..=MAX_INSTANCE).contains(&self.settings.instance.len()) {
            return Err(StartServiceError::Instance);
        }
        if self.settings.address.len() > MAX_INFO {
            return Err(StartServiceError::Address);
        }
        let hub = Hub::of(&self.node).await?;
        let work = work(&self.settings.service)?;
        let (runner, parts) = Runner::new(self.settings, self.node, group, hub, work).ok_or(StartServiceError::Here)?;
        let provider = runner.join().await?;
        Ok(Service {
            orders: parts.orders,
            status: parts.status,
            running: tokio::spawn(runner.run(provider)),
            over: None,
        })
    }
}

/// A service with what does its work; see [`ServiceBuilder::provide`].
#[derive(Debug)]
#[must_use = "nothing is provided without run()"]
pub struct ProvideService<R> {
    builder: ServiceBuilder,
    work: R,
}

/// What [`ProvideService::run`] returns.
pub type RunService = Result<Service, StartServiceError>;

impl<R: Replicated> ProvideService<R> {
    /// Comes into the service's group as a provider, and serves whenever it is the primary. Returns once it is in the group, whatever its role; that may take as long
    /// as [`JoinProcessGroup::join`](crate::process_group::JoinProcessGroup::join).
    ///
    /// # Errors
    /// See [`StartServiceError`].
    pub async fn run(self) -> RunService {
        let ProvideService { builder, work } = self;
        let start = |name: &str| {
            Worker::start(name, work)
                .map(Work::Worker)
                .map_err(StartServiceError::Thread)
        };
        builder.start(start).await
    }
}

/// A provider of a service. Dropping it is its death: the others are told at once.
#[derive(Debug)]
pub struct Service {
    orders: mpsc::Sender<ServiceOrder>,
    status: watch::Receiver<ServiceStatus>,
    running: JoinHandle<ServiceEnded>,
    over: Option<ServiceEnded>,
}

impl Service {
    /// How the service stands, as this provider knows it.
    pub fn status(&self) -> ServiceStatus {
        self.status.borrow().clone()
    }

    /// Waits until it stands as wanted; `None`: this provider has ended before.
    pub async fn wait_for(&mut self, wanted: impl FnMut(&ServiceStatus) -> bool) -> Option<ServiceStatus> {
        self.status.wait_for(wanted).await.ok().map(|status| status.clone())
    }

    /// Asks the primary to hand over to the provider of this instance, or to whoever is next: it finishes what it serves, sends a last checkpoint, and the other one goes
    /// on. Requests wait meanwhile. Returns when it is asked; [`Service::status`] shows when it is done.
    ///
    /// # Errors
    /// It cannot be asked; nothing has changed.
    pub async fn switchover(&self, to: Option<&str>) -> Result<(), Refused> {
        let (reply, answer) = oneshot::channel();
        let order = ServiceOrder::HandOver(to.map(str::to_owned), reply);
        self.orders.send(order).await.map_err(|_| Refused::NotHere)?;
        answer.await.unwrap_or(Err(Refused::NotHere))
    }

    /// Goes; a primary hands over before, if there is anybody.
    pub async fn leave(mut self) -> ServiceEnded {
        let _ = self.orders.send(ServiceOrder::Leave).await;
        self.ended().await
    }

    /// Waits until it provides the service no more.
    pub async fn ended(&mut self) -> ServiceEnded {
        if let Some(ended) = &self.over {
            return ended.clone();
        }
        let ended = match (&mut self.running).await {
            Ok(ended) => ended,
            Err(error) => ServiceEnded::Failed(format!("its task has ended: {error}")),
        };
        self.over.insert(ended).clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// What a program is to its service from now on.
#[derive(Debug)]
#[non_exhaustive]
pub enum RoleEvent {
    /// It is the primary, until the scope ends. `running` is dropped when nothing of its work runs any more: a primary that hands over waits for that.
    Primary {
        /// The primacy.
        scope: Scope,
        /// Whether it works.
        running: Running,
    },
    /// It is next.
    Secondary,
    /// It is there.
    Spare,
}

/// Something runs in the name of a primacy, until this is dropped.
#[derive(Debug)]
pub struct Running {
    pub(crate) _over: oneshot::Sender<()>,
}

/// The roles of a provider whose work something else does; see [`ServiceBuilder::follow`]. Dropping it is the provider's death.
#[derive(Debug)]
pub struct Roles {
    service: Service,
    events: mpsc::Receiver<RoleEvent>,
}

impl Roles {
    /// Its next role; `None` when it provides the service no more, which [`Service::ended`] explains. At most 256 may wait.
    pub async fn next(&mut self) -> Option<RoleEvent> {
        self.events.recv().await
    }

    /// The provider.
    pub fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// The provider alone.
    pub fn into_service(self) -> Service {
        self.service
    }
}
