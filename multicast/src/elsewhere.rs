//! Where there are no sockets that capture and inject as this crate needs them.

use fatebound::Node;
use thiserror::Error;

use crate::rules::Rules;
use crate::status::Status;

/// Why nothing is routed. Nothing was started.
#[derive(Debug, Error)]
#[error("multicast is routed on Linux alone")]
pub struct StartError;

/// Multicast routing on a node, which there is none of here.
#[derive(Debug)]
pub struct Service(std::convert::Infallible);

impl Service {
    /// Begins to route by these rules, on another system.
    ///
    /// # Errors
    /// Always.
    #[allow(clippy::unused_async, reason = "as on Linux")]
    pub async fn start(_: Node, _: Rules) -> Result<Service, StartError> {
        Err(StartError)
    }

    /// How it stands.
    #[allow(clippy::unused_async, reason = "as on Linux")]
    pub async fn status(&self) -> Option<Status> {
        None
    }
}
