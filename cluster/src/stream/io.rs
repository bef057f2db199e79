//! What goes into the stream and what comes out of it.

use std::collections::BTreeMap;

use super::message::{Class, Frame, MAX_BODY};
use crate::numbers::{Node, Seq, ViewNumber};

/// What agreement says of the view, and what is reported from below. What agreement says is handed in before anything else happens to it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A view has begun here: the one on the shelf.
    Installed {
        /// The last submission of each node that was delivered before it, as [`Stream::lasts`](super::Stream::lasts) says it at a node of the
        /// view before. Of use to whoever comes in; whoever goes on knows it.
        lasts: BTreeMap<Node, u64>,
    },
    /// The view has stopped: nothing is numbered, acknowledged or delivered until it ends.
    Wedged,
    /// The view is over: what is left of it is delivered, up to its cut.
    Ended {
        /// The cut.
        up_to: Seq,
    },
    /// The group goes on without this node.
    Removed,
    /// A frame arrived.
    Received {
        /// From whom, authenticated.
        from: Node,
        /// What.
        frame: Frame,
    },
    /// A frame that was to be sent was not taken; `Room` follows, or not.
    Full {
        /// To whom.
        node: Node,
        /// What.
        frame: Frame,
    },
    /// There is room again in the pipe to this node.
    Room {
        /// Which.
        node: Node,
    },
    /// The pipe with this node is no more. Whatever was on its way may be lost.
    LineDown {
        /// Which.
        node: Node,
    },
    /// The deadline has come.
    Wake,
}

/// What is to be done, and what is to be told, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame in the pipe with this node.
    Send {
        /// To whom.
        to: Node,
        /// What.
        frame: Frame,
    },
    /// The next entry.
    Deliver {
        /// Its number: one more than that of the entry before.
        seq: Seq,
        /// Whose submission it is.
        origin: Node,
        /// The how manieth of that node: one more than that of its entry before.
        number: u64,
        /// Whether it was delivered before it was committed.
        class: Class,
        /// What it says.
        body: Vec<u8>,
    },
    /// A submission of this node has its place. It keeps it, unless this node is put out.
    Logged {
        /// Which.
        number: u64,
        /// The place.
        seq: Seq,
    },
    /// A submission of this node is committed: whoever goes on delivers it.
    Committed {
        /// Which.
        number: u64,
        /// Its place.
        seq: Seq,
    },
    /// This node was put out, and cannot know what has become of this submission of its own.
    Unknown {
        /// Which.
        number: u64,
    },
    /// A node has acknowledged nothing new for [`lag_limit`](super::Config::lag_limit) although there is something. Told once, until it has
    /// caught up.
    Lagging {
        /// Which.
        node: Node,
        /// The view in which it lags.
        view: ViewNumber,
    },
}

/// Why a submission was not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many wait as may. There is room again once some of them are delivered.
    #[error("as many submissions wait as may")]
    QueueFull,
    /// Longer than [`MAX_BODY`].
    #[error("a body has at most {MAX_BODY} bytes")]
    TooLong,
    /// This node is in no view.
    #[error("this node is in no view of the group")]
    NotIn,
}
