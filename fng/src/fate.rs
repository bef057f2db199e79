//! What the parts of this layer tell each other.
//!
//! No part calls another one. Whatever one of them finds out that is not its own business it says as a [`Fate`] of a far end, a group or a peer, and
//! [`Groups`](crate::Groups) passes it on to whom it concerns: first in, first out, as the machine does between layers. A fate may have been
//! overtaken by another one when its turn comes: whoever takes it looks at the table first.

use std::time::Duration;

use fatebound_overlay::PeerId;
use fatebound_tree::GroupId;

use crate::group::{Key, Role};
use crate::message::Asked;
use crate::reason::Reason;

/// What has become of somebody.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Root: this far end is to be a member or an observer, and is invited, after so long.
    Invited(Key, Duration),
    /// Root: it is invited to something else than before.
    InvitedAnew(Key),
    /// Root: somebody that was let in after the creation has come in.
    CameIn(Key),
    /// Root: it was invited with the list of this number, others may have come or gone since.
    Missed(Key, u32),
    /// An invitation to this group has come, and this peer may be in it soon.
    Begins(GroupId),
    /// The application wants to be in this group: an invitation to it need not be shown to it.
    Wanted(GroupId),
    /// This peer is in a group of this root now; by its own wish, if that is named.
    Entered(Key, GroupId, Option<Asked>),
    /// The path is up, which proves that its far end lives.
    Live(Key),
    /// The path is broken, and its far end is to be asked too, after so long.
    Broken(Key, Duration),
    /// A far end may not live, or not know the group: it is to be asked at once.
    Suspected(Key),
    /// It has answered this posting, so it lives and knows the group.
    Proven(Key, u64),
    /// A far end is lost to its group.
    Lost(Key, Loss),
    /// It has left, or says that this peer is not in the group: no failure of the group.
    Parted(Key),
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
