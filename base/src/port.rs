//! Ports: which layer words are for.

use serde::{Deserialize, Serialize};

/// Whom the words of a one-shot message are for at the peer that gets them. Whoever stands at a port decodes and bounds what comes there; everybody else carries
/// it unread, so that a peer need not know the layers of those for whom it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port(pub u8);

impl Port {
    /// Failure notification groups.
    pub const GROUPS: Port = Port(1);
}
