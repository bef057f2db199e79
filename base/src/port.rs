//! Ports: which layer words are for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whom the words of a one-shot message or of a pipe are for at the peer that gets them: a layer above, or an application. Both ends use the same number. Whoever
/// stands at a port decodes and bounds what comes there; everybody else carries it unread, so that a peer need not know the layers of those for whom
/// it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port(pub u8);

impl Port {
    /// Failure notification groups.
    pub const GROUPS: Port = Port(1);
    /// Process groups.
    pub const PROCESS_GROUPS: Port = Port(2);
    /// Services with one primary, and their clients (docs/services.md).
    pub const SERVICES: Port = Port(3);
    /// The first port for applications; those below are for the layers of a peer, of this version and of later ones.
    pub const FIRST_OF_APPLICATIONS: Port = Port(64);
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}", self.0)
    }
}
