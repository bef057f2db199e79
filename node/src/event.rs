//! What a node tells everybody who listens: one numbered stream of events.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use fatebound_machine::fng::{GroupId, Reason};
use fatebound_machine::overlay::{DownReason, PeerId};
use fatebound_machine::tree::{Cause, PathId};
use futures::{Stream, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// Events that a slow reader may lag behind before it is told that it has missed some.
pub(crate) const CAPACITY: usize = 4096;

/// Something that happened at this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// 1, 2, 3 … per node and life, without gaps.
    pub seq: u64,
    /// When, by this machine's clock.
    pub time: SystemTime,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// This node has joined the overlay.
    Joined,
    /// A neighbour's link is up.
    LinkUp {
        /// The neighbour.
        peer: PeerId,
    },
    /// A neighbour missed an answer, or its connection broke: it is asked again.
    LinkDoubtful {
        /// The neighbour.
        peer: PeerId,
    },
    /// A doubtful neighbour answered.
    LinkCleared {
        /// The neighbour.
        peer: PeerId,
    },
    /// A neighbour's link is down.
    LinkDown {
        /// The neighbour.
        peer: PeerId,
        /// Why.
        reason: DownReason,
    },
    /// An invitation came.
    Invited {
        /// The group.
        group: GroupId,
        /// Its members as the invitation lists them.
        members: Vec<PeerId>,
        /// Its tag.
        tag: Option<String>,
        /// Whether it was accepted.
        accepted: bool,
    },
    /// This node has become a member of somebody's group.
    GroupJoined {
        /// The group.
        group: GroupId,
    },
    /// This node has become an observer of somebody's group.
    GroupObserved {
        /// The group.
        group: GroupId,
    },
    /// A peer wants to come into a group of this node.
    AdmissionAsked {
        /// The group.
        group: GroupId,
        /// Who.
        peer: PeerId,
        /// Only as an observer.
        observe: bool,
    },
    /// A peer has come into a group of this node, after its creation.
    CameIn {
        /// The group.
        group: GroupId,
        /// Who.
        peer: PeerId,
        /// Only as an observer.
        observer: bool,
    },
    /// A peer is not in a group of this node any more: it has left, or was an observer and is lost.
    WentOut {
        /// The group.
        group: GroupId,
        /// Who.
        peer: PeerId,
        /// Whether it only observed.
        observer: bool,
    },
    /// The members of somebody's group have changed.
    MembersChanged {
        /// The group.
        group: GroupId,
        /// The root first; empty for a group that is, or was, too large for lists.
        members: Vec<PeerId>,
    },
    /// This node has left a group: nothing follows about it.
    GroupLeft {
        /// The group.
        group: GroupId,
    },
    /// The root of a group has closed it, which is no failure: the last word about it.
    GroupClosed {
        /// The group.
        group: GroupId,
        /// Its root.
        by: PeerId,
    },
    /// A group that this node creates has all its members.
    GroupCreated {
        /// The group.
        group: GroupId,
    },
    /// A group has failed: the last word about it.
    GroupFailed {
        /// The group.
        group: GroupId,
        /// Why.
        reason: Reason,
    },
    /// A path of a group broke and is being repaired; no handler runs for that.
    Repairing {
        /// The path.
        path: PathId,
        /// Why it broke.
        cause: Cause,
    },
    /// A repair ended well.
    Repaired {
        /// The path.
        path: PathId,
    },
    /// This node has stopped.
    Stopped,
}

/// A reader was too slow: this many events are lost to it. Nothing else changed; the next event is the oldest that is still kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were missed")]
pub struct Lagged {
    /// How many.
    pub missed: u64,
}

/// A stream of events, from the moment of its making on; it ends when the node has stopped.
pub struct Events(Option<BroadcastStream<Event>>);

impl Events {
    pub(crate) fn new(receiver: Option<broadcast::Receiver<Event>>) -> Events {
        Events(receiver.map(BroadcastStream::new))
    }

    /// The next event; `None` when the node has stopped.
    ///
    /// # Errors
    /// [`Lagged`] once for each stretch that this reader was too slow for. The stream goes on behind it.
    pub async fn next(&mut self) -> Option<Result<Event, Lagged>> {
        StreamExt::next(self).await
    }
}

impl Stream for Events {
    type Item = Result<Event, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let lagged = |BroadcastStreamRecvError::Lagged(missed)| Lagged { missed };
        stream
            .poll_next_unpin(cx)
            .map(|next| next.map(|event| event.map_err(lagged)))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// Numbers events and hands them out.
#[derive(Debug)]
pub(crate) struct EventLog {
    seq: u64,
    /// `None` once it is closed.
    sender: Option<broadcast::Sender<Event>>,
}

impl EventLog {
    pub(crate) fn new(sender: broadcast::Sender<Event>) -> EventLog {
        EventLog {
            seq: 0,
            sender: Some(sender),
        }
    }

    /// Nothing more will come: every reader's stream ends behind what it has not read yet.
    pub(crate) fn close(&mut self) {
        self.sender = None;
    }

    /// Tells everybody who listens; nobody is no error.
    pub(crate) fn push(&mut self, kind: EventKind, time: SystemTime) {
        let Some(sender) = &self.sender else {
            return;
        };
        self.seq += 1;
        let _ = sender.send(Event {
            seq: self.seq,
            time,
            kind,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_is_told_how_much_it_missed() {
        let (sender, receiver) = broadcast::channel(4);
        let mut log = EventLog::new(sender);
        let mut events = Events::new(Some(receiver));
        for _ in 0..6 {
            log.push(EventKind::Joined, SystemTime::UNIX_EPOCH);
        }
        drop(log);
        assert_eq!(events.next().await, Some(Err(Lagged { missed: 2 })));
        let mut seqs = Vec::new();
        while let Some(event) = events.next().await {
            seqs.push(event.unwrap().seq);
        }
        assert_eq!(seqs, [3, 4, 5, 6]);
    }
}
