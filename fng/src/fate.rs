//! What the parts of this layer tell each other.
//!
//! No part calls another one. Whatever one of them finds out that is not its own business it says as a [`Fate`] of a far end, a group or a peer, and
//! [`Groups`](crate::Groups) passes it on to whom it concerns: first in, first out, as the machine does between layers. A fate may have been
//! overtaken by another one when its turn comes: whoever takes it looks at the table first.

use fatebound_overlay::PeerId;
use fatebound_tree::GroupId;

use crate::reason::Reason;
use crate::table::{Key, Role};

/// What has become of somebody.
#[derive(Debug)]
pub(crate) enum Fate {
    /// A far end may not live, or not know the group: it is to be asked at once.
    Suspected(Key),
    /// A far end is lost to its group.
    Lost(Key, Loss),
    /// This peer has left the group in this place, by its root's word or because it has waited long enough.
    Left {
        /// Which.
        slot: u32,
        /// Whether its root knows.
        acknowledged: bool,
    },
    /// The group in this place fails, and whoever can be told is told.
    Failed(u32, Reason),
    /// The group in this place is over, as everybody else in it knows.
    Over(u32, Reason),
    /// The application wants to be in this group: an invitation to it need not be shown to it.
    Wanted(GroupId),
    /// A peer's life is over, and so is every group of which it was the root.
    Died(PeerId),
}

/// How a far end was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Its life is over.
    Died,
    /// It does not know the group.
    Forgot,
    /// It has not proven that it lives.
    Unreachable,
}

impl Loss {
    /// Why the group fails, in which this peer has the role, and the other one is lost.
    pub(crate) fn reason(self, role: Role, peer: PeerId) -> Reason {
        match (self, role) {
            (Loss::Died, Role::Root) => Reason::MemberDied { peer },
            (Loss::Died, _) => Reason::RootDied { peer },
            (Loss::Forgot, Role::Root) => Reason::MemberForgot { peer },
            (Loss::Forgot, _) => Reason::FailedAtRoot { peer },
            (Loss::Unreachable, Role::Root) => Reason::MemberUnreachable { peer },
            (Loss::Unreachable, _) => Reason::RootUnreachable { peer },
        }
    }
}
