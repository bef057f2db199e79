//! What peers say to each other about groups, one-shot: the glossary of protocol.md §6.
//!
//! All of these are questions with answers, numbered by the overlay's postings, repeated by their asker, idempotent at their receiver.

use fatebound_overlay::PeerId;
use fatebound_tree::GroupId;
use serde::{Deserialize, Serialize};

use crate::config::Timings;
use crate::reason::{Reason, Refusal};

/// Application state in an invitation at most: 16 KiB.
pub const MAX_STATE: usize = 16 * 1024;
/// Bytes of a reason's or a refusal's text at most.
pub const MAX_TEXT: usize = 1024;
/// Bytes of a tag at most.
pub const MAX_TAG: usize = 256;
/// Members up to which invitations list them.
pub const MAX_LISTED: usize = 64;
/// Groups in one `Probe` or `NeedRepair` at most: 256, some 20 KiB.
pub const MAX_GROUPS: usize = 256;

/// A question about groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Root to peer: "Be a member of this group", or the observer that you asked to be.
    Invite(Box<Invitation>),
    /// Root to member: "Do you live, and these groups in you?" One per pair of peers, for all groups that need it.
    Probe {
        /// The groups, all of the asking root.
        groups: Vec<GroupId>,
    },
    /// Member to root: "Do you live, and these groups in you?" And perhaps: "My path is broken."
    NeedRepair {
        /// The groups, all of the asked root. `Some`: the path is broken, and this is the newest epoch that the member has confirmed (0: none
        /// yet). `None`: the path is well, the member only asks.
        groups: Vec<(GroupId, Option<u32>)>,
    },
    /// "This group has failed", or was closed. Answered by `Noted`.
    Fail(Box<Notice>),
    /// Peer to root: "Let me into this group." Answered by `Noted` (an invitation follows), `Decline`, or `Status`: it is over.
    Join {
        /// The group, of the asked root.
        group: GroupId,
        /// As an observer, whose failure is nobody's.
        observe: bool,
        /// The asker's own number for this wish; the invitation names it.
        number: u64,
    },
    /// Member or observer to root: "Let me go." Answered by `Left`, or `Status`: it is over.
    Leave {
        /// The group, of the asked root.
        group: GroupId,
        /// The `Join` by which the asker came in; 0: it was invited when the group was created.
        came: u64,
    },
    /// Root to member or observer: "These are the members now." Answered by `Noted`.
    Members {
        /// The group, of the asking root.
        group: GroupId,
        /// Lists are numbered; the newest counts.
        list: u32,
        /// The root first; empty when there are more than [`MAX_LISTED`], or have ever been.
        members: Vec<PeerId>,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To `Invite`: the peer is a member now.
    Accept,
    /// To `Invite`: it is not.
    Decline(Refusal),
    /// To `Probe` and `NeedRepair`, and to `Join` and `Leave` about a group that is over: groups in no list are not spoken about (silence for
    /// one group only).
    Status(Status),
    /// To `Fail`, `Members`, and `Join`.
    Noted,
    /// To `Leave`: the asker is not in the group any more.
    Left,
}

/// How groups stand at the peer that answers, as indices into the question's list (0 where it names one).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Alive.
    pub alive: Vec<u16>,
    /// Not known here, that is failed.
    pub unknown: Vec<u16>,
    /// Closed by its root, who answers.
    pub closed: Vec<u16>,
    /// The two are not in it together any more, which is no failure: one of them has left, or never came in.
    pub parted: Vec<u16>,
}

/// An invitation into a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Invitation {
    /// The group; its root is the one who asks.
    pub group: GroupId,
    /// All members, the root first; empty when there are more than [`MAX_LISTED`].
    pub members: Vec<PeerId>,
    /// What kind of group this is, for whoever waits for it.
    pub tag: Option<String>,
    /// The application's own bytes.
    #[serde(with = "serde_bytes")]
    pub state: Vec<u8>,
    /// The root's timings; the member adopts them for this group.
    pub timings: Timings,
    /// Number of the list of members.
    pub list: u32,
    /// The `Join` that this answers: its number, and whether the peer is to be an observer.
    pub asked: Option<Asked>,
}

/// Which `Join` an invitation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// The asker's number, of no other of its lives either.
    pub number: u64,
    /// As an observer.
    pub observe: bool,
}

/// The word that a group has failed, signed by the root or member that says so first: delegates carry it, nobody has to trust them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The group.
    pub group: GroupId,
    /// Who says so.
    pub originator: PeerId,
    /// Why.
    pub reason: Reason,
    /// The originator's, over all of the above.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
}
