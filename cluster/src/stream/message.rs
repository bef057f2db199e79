//! What the nodes of a view say to each other about its entries, and what is in an entry.
//!
//! All of it is about one view, between its leader and another voter, and travels in a pipe: in order, and lost only when the pipe breaks or
//! does not take it. Nothing relies on that: what comes twice, late or never costs time.

use serde::{Deserialize, Serialize};

use crate::log::Entry;
use crate::numbers::{Node, Seq, ViewNumber};

/// Bytes of an entry at most: with the longest view beside it, it fits a one-shot message of 64 KiB.
pub const MAX_ENTRY: usize = 60 * 1024;
/// Bytes of a body at most: the rest of its entry says whose it is.
pub const MAX_BODY: usize = MAX_ENTRY - 128;

/// When an entry is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// As soon as everything before it is there. It may be lost with all who had it.
    Agreed,
    /// When it is committed: whoever goes on delivers it too.
    Safe,
}

/// What is in an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// Who has submitted it.
    pub origin: Node,
    /// The how manieth submission of this node it is: 1, 2, 3 … over all views in which it stays.
    pub number: u64,
    /// When it is delivered.
    pub class: Class,
    /// What it says.
    #[serde(borrow, with = "serde_bytes")]
    pub body: &'a [u8],
}

impl<'a> Item<'a> {
    /// As an entry.
    pub fn entry(&self) -> Entry {
        Entry(postcard::to_stdvec(self).unwrap_or_default())
    }

    /// What an entry says; `None` if no stream has written it.
    pub fn of(entry: &'a Entry) -> Option<Item<'a>> {
        postcard::from_bytes(&entry.0).ok()
    }
}

/// How far the entries of a view have come, as its leader knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Marks {
    /// All up to this one are with every voter: they may be forgotten.
    pub stable: Seq,
    /// All up to this one are committed. A view that commits by all, as they do, commits what is stable.
    pub committed: Seq,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Frame {
    /// Voter → leader: "number this".
    Submit {
        /// The view.
        view: ViewNumber,
        /// The sender has all entries up to this one.
        have: Seq,
        /// The how manieth of the sender it is.
        number: u64,
        /// When it is to be delivered.
        class: Class,
        /// What it says.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// Leader → voter: an entry.
    Entry {
        /// The view.
        view: ViewNumber,
        /// Its number.
        seq: Seq,
        /// What it says.
        entry: Entry,
        /// How far the others have come.
        marks: Marks,
        /// An acknowledgement is wanted at once.
        ack: bool,
    },
    /// Voter → leader: "I have all up to this one".
    Have {
        /// The view.
        view: ViewNumber,
        /// The last one.
        seq: Seq,
        /// The sender wants to know how far the others have come: it has heard nothing of it for some time.
        ask: bool,
    },
    /// Leader → voter: what an entry says beside itself. With `ack` it asks, as a SYNC does.
    Progress {
        /// The view.
        view: ViewNumber,
        /// The last entry that was sent to the receiver: it should have all up to it.
        last: Seq,
        /// How far the others have come.
        marks: Marks,
        /// An acknowledgement is wanted at once.
        ack: bool,
    },
    /// Both ways: "I have so much of what you send; send the rest again".
    Resume {
        /// The view.
        view: ViewNumber,
        /// The last entry of the sender, all before it included.
        have: Seq,
        /// From the leader: the receiver's submissions up to this one are numbered. From another voter: 0, it numbers nobody's.
        taken: u64,
    },
}

impl Frame {
    /// The view that it is about.
    pub fn view(&self) -> ViewNumber {
        match self {
            Frame::Submit { view, .. }
            | Frame::Entry { view, .. }
            | Frame::Have { view, .. }
            | Frame::Progress { view, .. }
            | Frame::Resume { view, .. } => *view,
        }
    }
}
