//! What a process in a group is told.

use fatebound_machine::process_groups::protocols::{Ended, Notice, Refusal, VoteRefused};
use fatebound_machine::process_groups::views::Blocked;
use fatebound_machine::process_groups::{Founding, Node, Seq, View, ViewNumber};

/// What happens to a process in a group, or in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderEvent {
    /// A view begins: these nodes are in the group. Nodes are not processes: see [`Notice::Providers`].
    View(View),
    /// The view is over, somebody is missing; the next one follows as soon as a quorum has agreed on it. Nothing is shown until then.
    Wedged(ViewNumber),
    /// There is no quorum for a next view. Told again when who is missing changes.
    Blocked(Blocked),
    /// There is one again.
    Unblocked,
    /// Something that all members are shown, in the same order.
    Shown(Notice),
    /// A vote of this process does not count; nothing has changed.
    VoteRefused {
        /// In which protocol.
        protocol: Seq,
        /// In which phase.
        phase: u32,
        /// Why.
        why: VoteRefused,
    },
    /// A vote of this process came too late: the default was counted.
    TooLate {
        /// In which protocol.
        protocol: Seq,
        /// In which phase.
        phase: u32,
    },
    /// A message of this process was not sent after all.
    NotSent(Refusal),
    /// This process was expelled, and the group wants it ended, with this argument. [`ProviderHandle::deactivated`](super::ProviderHandle::deactivated)
    /// tells the others how that went.
    Deactivate {
        /// For which protocol.
        protocol: Seq,
        /// What the proposer has to say about it.
        argument: Vec<u8>,
    },
    /// The group goes on without this node: it was cut off, or asleep. [`ProviderEvent::Ended`] has come before.
    Removed {
        /// In this view or a later one.
        view: ViewNumber,
        /// Its leader.
        leader: Node,
    },
    /// The group is given up for an older one of the same name. [`ProviderEvent::Ended`] has come before.
    Dissolved(Founding),
    /// This process is in the group no more.
    Ended(Ended),
}
