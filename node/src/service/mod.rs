//! Services at the API: several providers, one of which is the primary and serves, and clients that need not know which.
//!
//! [`Node::service`] provides a service, [`Node::client`] asks one. A service is the process group `service/NAME`; its state value says who the primary is, and who its
//! secondaries are. See `docs/services.md` for what is promised.
//!
//! # A ledger that survives
//!
//! ```
//! use fatebound::service::{Replicated, Scope};
//! use fatebound::{Multiaddr, Node, Profile};
//!
//! /// Adds up what it is told.
//! #[derive(Default)]
//! struct Ledger(u64);
//!
//! impl Replicated for Ledger {
//!     fn serve(&mut self, _scope: &Scope, request: &[u8]) -> Vec<u8> {
//!         self.0 += request.len() as u64;
//!         self.0.to_be_bytes().to_vec()
//!     }
//!
//!     fn checkpoint(&self) -> Vec<u8> {
//!         self.0.to_be_bytes().to_vec()
//!     }
//!
//!     fn restore(&mut self, checkpoint: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!         self.0 = u64::from_be_bytes(checkpoint.try_into()?);
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Three peers; in real life each is a process on a machine of its own.
//! let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse()?;
//! let peer = || Node::builder().profile(Profile::Local).listen(listen.clone());
//! let alice = peer().start().await?;
//! let there = alice.listen_addresses()[0].clone();
//! let (bob, carol) = (peer().bootstrap(there.clone()).start().await?, peer().bootstrap(there).start().await?);
//! bob.joined().await?;
//! carol.joined().await?;
//!
//! // Each answer is given only when a secondary has the state that contains it.
//! let service = |node: &Node| node.service("ledger").sync(1).provide(Ledger::default()).run();
//! let at_alice = service(&alice).await?;
//! let _at_bob = service(&bob).await?;
//! let _at_carol = service(&carol).await?;
//! let ledger = carol.client("ledger").await?;
//! ledger.call("forty ....................................").await?;
//!
//! // The primary dies. What was answered is there.
//! drop(at_alice);
//! let answer = ledger.call("12").await?;
//! assert_eq!(u64::from_be_bytes(answer[..].try_into()?), 44);
//! # Ok(())
//! # }
//! ```

mod builder;
mod checkpoint;
mod client;
mod done;
mod follow;
mod held;
mod hub;
mod message;
mod primacy;
mod record;
mod runner;
mod scope;
mod selection;
mod worker;

pub(crate) use builder::ServiceSettings;
pub use builder::{
    ProvideService, RoleEvent, Roles, RunService, Running, Service, ServiceBuilder, ServiceEnded, StartServiceError,
};
pub use checkpoint::MAX_CHECKPOINT;
pub use client::{ServiceCallError, ServiceClient};
pub(crate) use hub::HubPlace;
pub use message::{MAX_REQUEST, Refused, ServiceProvider, ServiceStatus};
pub use record::Role;
pub use scope::{PrimacyOver, Scope};
pub use worker::Replicated;

use fatebound_machine::process_groups::{GroupName, NameError};

use crate::error::Stopped;
use crate::node::Node;
use hub::Hub;

/// What is put before a service's name to name its group.
const PREFIX: &str = "service/";

fn group_of(service: &str) -> Result<GroupName, NameError> {
    GroupName::try_from(format!("{PREFIX}{service}").as_str())
}

/// Why a service cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceClientError {
    /// It is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The node has stopped, or as many ports are in use as may be.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Node {
    /// A service of this name, 1 to 120 bytes without control characters, to be provided.
    pub fn service(&self, name: &str) -> ServiceBuilder {
        ServiceBuilder::new(self.clone(), name)
    }

    /// Asks a service, wherever its providers are; this node need not be one of them. Nobody is asked yet.
    ///
    /// # Errors
    /// It is no name, or the node has stopped.
    pub async fn client(&self, service: &str) -> Result<ServiceClient, ServiceClientError> {
        let group = group_of(service)?;
        let hub = Hub::of(self).await?;
        let mut id = [0; 16];
        // Who cannot be told apart from others is no client: the system has always random bytes once it runs.
        getrandom::fill(&mut id).map_err(|_| Stopped)?;
        let id = u128::from_be_bytes(id);
        Ok(ServiceClient::new(self.clone(), hub, service, group, id))
    }

    /// How the services stand that have a provider at this node, by name.
    pub async fn services(&self) -> Vec<ServiceStatus> {
        Hub::there(self).await.map_or_else(Vec::new, |hub| hub.statuses())
    }

    /// How one of them stands; `None`: it has no provider at this node.
    pub async fn service_status(&self, service: &str) -> Option<ServiceStatus> {
        Hub::there(self).await?.status(service)
    }
}
