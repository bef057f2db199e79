//! What goes into the pipes and what comes out of them.

pub use fatebound_base::Port;
use libp2p_identity::PeerId;

use super::message::Frame;
use crate::Opener;

/// One stream under a pipe; numbered by the driver, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipeId(pub u64);

/// Something happened, or somebody wants something.
#[derive(Clone, Debug)]
pub enum Input {
    /// An order from above.
    Command(Command),
    /// A stream is open.
    Opened {
        /// Its number.
        pipe: PipeId,
        /// The other end, authenticated.
        peer: PeerId,
        /// Who opened it.
        opener: Opener,
        /// The other end's life, where a link says it.
        life: Option<u64>,
    },
    /// The stream of an [`Output::Open`] could not be opened.
    Failed {
        /// With whom.
        peer: PeerId,
    },
    /// A frame arrived.
    Received {
        /// On which stream.
        pipe: PipeId,
        /// What.
        frame: Frame,
    },
    /// Bytes arrived that are no frame.
    Garbage {
        /// On which stream.
        pipe: PipeId,
    },
    /// The oldest frame that the driver held has been written.
    Written {
        /// On which stream.
        pipe: PipeId,
    },
    /// A stream is gone; not told of those that were closed here.
    Closed {
        /// Which.
        pipe: PipeId,
    },
    /// The deadline has come.
    Wake,
    /// Close everything and open nothing any more.
    Shutdown,
}

/// Orders from above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Somebody is at this port from now on. Answered by [`Event::NotListening`] if there are too many.
    Listen {
        /// Which.
        port: Port,
    },
    /// Nobody is any more: what was queued or not read there is forgotten.
    Leave {
        /// Which.
        port: Port,
    },
    /// Send a body; a pipe is opened for it if there is none. Answered by [`Event::NotTaken`] if it is not queued.
    Send {
        /// From this port to the same one there.
        port: Port,
        /// To whom.
        peer: PeerId,
        /// At most [`MAX_BODY`](super::message::MAX_BODY) bytes.
        body: Vec<u8>,
    },
    /// The oldest body that was told and not read has been read: there is room for more.
    Read {
        /// At which port.
        port: Port,
        /// From whom.
        peer: PeerId,
    },
    /// Nothing more for this peer: what waits unsent is forgotten, and all that was told counts as read.
    Close {
        /// From which port.
        port: Port,
        /// For whom.
        peer: PeerId,
    },
}

/// What the layers above are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is a pipe. It ends in one [`Event::Down`].
    Up {
        /// With whom.
        peer: PeerId,
        /// The other end's life.
        incarnation: u64,
    },
    /// A body has arrived whole, the next one from this peer at this port.
    Received {
        /// Where.
        port: Port,
        /// From whom.
        peer: PeerId,
        /// What.
        body: Vec<u8>,
    },
    /// A body was not queued; nothing has changed.
    NotTaken {
        /// From which port.
        port: Port,
        /// To whom.
        peer: PeerId,
        /// What.
        body: Vec<u8>,
        /// Why.
        why: NotTaken,
    },
    /// A queue that was more than half full is not any more: there is room for a body of any size.
    Room {
        /// At which port.
        port: Port,
        /// To whom.
        peer: PeerId,
    },
    /// Nobody is at this port there.
    Refused {
        /// Which.
        port: Port,
        /// Where.
        peer: PeerId,
        /// So many of the bodies last taken for it may be lost: all those that were not known to have arrived.
        lost: usize,
    },
    /// A pipe has ended, or could not be opened.
    Down {
        /// With whom.
        peer: PeerId,
        /// Why.
        cause: Cause,
        /// Of each port so many of the bodies last taken may be lost: all those that were not known to have arrived. They are not sent again.
        lost: Vec<(Port, usize)>,
    },
    /// There are as many ports in use as there may be; nothing has changed.
    NotListening {
        /// Which.
        port: Port,
    },
}

/// Why a body was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// As much waits for this peer as may; [`Event::Room`] follows.
    #[error("the queue to this peer is full")]
    Full,
    /// As much waits for all peers as may; try later.
    #[error("the queues to all peers are full")]
    AllFull,
    /// There are as many peers with pipes as there may be.
    #[error("there are pipes with as many peers as there may be")]
    TooMany,
    /// Longer than [`MAX_BODY`](super::message::MAX_BODY).
    #[error("a body has at most {} bytes", super::message::MAX_BODY)]
    TooLong,
    /// Nobody has said to be at this port, here.
    #[error("nobody is at this port here")]
    NotListening,
    /// This peer stops, or the other end is this peer itself.
    #[error("there is no pipe to this peer")]
    Nobody,
}

/// Why a pipe is no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// Neither end had anything to send. The next body opens another one.
    #[error("neither end had anything to send")]
    Idle,
    /// The connection broke, or nothing was heard of what had been sent.
    #[error("the connection is lost")]
    Lost,
    /// It could not be opened.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// The other end belongs to another network.
    #[error("the peer belongs to another network")]
    OtherNetwork,
    /// The other end speaks no version of ours of the wire format.
    #[error("the peer speaks no version of ours of the wire format")]
    NoSharedVersion,
    /// The other end is another life than was meant.
    #[error("the peer has started anew")]
    OldLife,
    /// The other end has opened another one, for it had lost this one.
    #[error("the peer has opened another pipe")]
    Replaced,
    /// The other end bears no more pipes.
    #[error("the peer bears no more pipes")]
    Busy,
    /// One end stops.
    #[error("one end stops")]
    Stopped,
    /// An end broke a rule.
    #[error("a rule was broken")]
    Violation,
}

/// What the driver has to do, or the layers above be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a stream; ends in [`Input::Opened`] or [`Input::Failed`].
    Open {
        /// With whom.
        peer: PeerId,
    },
    /// Write a frame.
    Send {
        /// On which stream.
        pipe: PipeId,
        /// What.
        frame: Frame,
    },
    /// Close a stream after what was sent on it.
    Close {
        /// Which.
        pipe: PipeId,
    },
    /// For the layers above.
    Event(Event),
}
