//! Guards as failure notification groups: what the invitation to one says.

use serde::{Deserialize, Serialize};

use crate::name::GroupRef;
use crate::numbers::{Ballot, Node, ViewNumber};

/// The tag of the failure notification groups that guard views. Applications create none with a tag that begins with [`RESERVED`].
pub const TAG: &str = "cluster/guard";

/// What the tags of the layers begin with.
pub const RESERVED: &str = "cluster/";

/// What the invitation to a guard says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardNote {
    /// Of which group.
    pub group: GroupRef,
    /// The view that is to be changed.
    pub view: ViewNumber,
    /// In which attempt.
    pub ballot: Ballot,
    /// The voters of the next view, its leader first.
    pub members: Vec<Node>,
}

impl GuardNote {
    /// As bytes of the invitation's state.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// From them; `None` if they are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<GuardNote> {
        postcard::from_bytes(bytes).ok()
    }
}
