//! Why a group failed, and why a creation did not succeed: what happened, and to whom.

use fatebound_overlay::PeerId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a group has failed, as far as this peer knows. Not everybody is told the same reason (protocol.md §1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(remote = "Self", tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A member's application signalled.
    #[error("{by} signalled: {text}")]
    Signalled {
        /// The member.
        by: PeerId,
        /// Its words, at most [`crate::message::MAX_TEXT`] bytes.
        text: String,
    },
    /// A member is proven dead: a dial to it was refused, it restarted, or it said goodbye.
    #[error("member {peer} died")]
    MemberDied {
        /// Which.
        peer: PeerId,
    },
    /// The root got no proof of a member's life in time.
    #[error("member {peer} cannot be reached")]
    MemberUnreachable {
        /// Which.
        peer: PeerId,
    },
    /// A member lives but no longer knows the group.
    #[error("member {peer} does not know the group")]
    MemberForgot {
        /// Which.
        peer: PeerId,
    },
    /// The root is proven dead.
    #[error("the root {peer} died")]
    RootDied {
        /// The root.
        peer: PeerId,
    },
    /// A member got no answer from the root in time.
    #[error("the root {peer} cannot be reached")]
    RootUnreachable {
        /// The root.
        peer: PeerId,
    },
    /// The root lives but no longer knows the group: it has failed, and the word of why was lost.
    #[error("the group has failed at its root {peer}")]
    FailedAtRoot {
        /// The root.
        peer: PeerId,
    },
    /// Its creation did not succeed.
    #[error("creation failed: {peer} {refusal}")]
    CreationFailed {
        /// The first member that did not accept.
        peer: PeerId,
        /// Why.
        refusal: Refusal,
    },
    /// A member's peer stopped in an orderly manner.
    #[error("{by} stopped")]
    Shutdown {
        /// Which.
        by: PeerId,
    },
    /// The root closed the group: no failure, but travels like one.
    #[error("the root {by} closed the group")]
    Closed {
        /// The root.
        by: PeerId,
    },
    /// The root lives, and the group perhaps too, but this peer is not in it: its admission was given up before its acceptance arrived.
    #[error("the root {by} does not count this peer as a member")]
    NotMember {
        /// The root.
        by: PeerId,
    },
    /// This peer knows no such group: it failed so long ago that the reason is forgotten, or it never was one.
    #[error("the group is not known here: it failed, or never was")]
    NotKnown,
    /// A later version of Fatebound has a reason that this one does not know.
    #[error("for a reason that only a later version of Fatebound knows")]
    Newer {
        /// As it came.
        #[serde(skip)]
        words: Vec<u8>,
    },
}

/// Why one member did not accept an invitation, or a root did not let a peer in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[serde(remote = "Self", tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody in the overlay has an address of this peer.
    #[error("is unknown: nobody in the overlay has an address of it")]
    Unknown,
    /// It could not be reached, or did not answer, in time.
    #[error("could not be reached in time")]
    Unreachable,
    /// Its application or policy said no.
    #[error("declined: {text}")]
    Declined {
        /// Its words.
        text: String,
    },
    /// Nobody there waits for the invitation's tag.
    #[error("declined: nobody there waits for the tag {tag:?}")]
    NobodyWaits {
        /// The tag.
        tag: String,
    },
    /// It is at its limit of groups.
    #[error("declined: it is at its limit of groups")]
    Busy,
    /// It cannot live with the root's timings.
    #[error("declined: it cannot keep the root's timings")]
    IncompatibleTimings,
    /// It has seen this group id before: the group is over there.
    #[error("declined: the group is already over there")]
    AlreadyOver,
    /// It belongs to another network.
    #[error("belongs to another network: {network:?}, not {asked:?}")]
    OtherNetwork {
        /// What its own is called.
        network: String,
        /// What that of the question is called.
        asked: String,
    },
    /// It stops.
    #[error("declined: it is stopping")]
    Stopping,
    /// The group failed during its creation for another reason.
    #[error("was not asked any further: the group failed while it was being created")]
    Overtaken,
    /// Root to a peer that wants to join: the group is not open to it.
    #[error("declined: the group is not open to this peer")]
    NotAdmitted,
    /// Root to a peer that wants to join: the group has as many members as it may have.
    #[error("declined: the group is full")]
    Full,
    /// A later version of Fatebound has a refusal that this one does not know.
    #[error("declined for a reason that only a later version of Fatebound knows")]
    Newer {
        /// As it came.
        #[serde(skip)]
        words: Vec<u8>,
    },
}

impl Reason {
    /// The reason's kind, as in its serialised form: for counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Reason::Signalled { .. } => "signalled",
            Reason::MemberDied { .. } => "member_died",
            Reason::MemberUnreachable { .. } => "member_unreachable",
            Reason::MemberForgot { .. } => "member_forgot",
            Reason::RootDied { .. } => "root_died",
            Reason::RootUnreachable { .. } => "root_unreachable",
            Reason::FailedAtRoot { .. } => "failed_at_root",
            Reason::CreationFailed { .. } => "creation_failed",
            Reason::Shutdown { .. } => "shutdown",
            Reason::Closed { .. } => "closed",
            Reason::NotMember { .. } => "not_member",
            Reason::NotKnown => "not_known",
            Reason::Newer { .. } => "newer",
        }
    }
}
