//! What a node tells everybody who listens: one numbered stream of events.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use fatebound_machine::fng::{GroupId, Reason};
use fatebound_machine::overlay::{DownReason, PeerId};
use fatebound_machine::tree::{Cause, PathId};
use futures::{Stream, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use crate::failures::{End, Failure, Outcome, SharedFailures};

/// Events that a slow reader may lag behind before it misses some.
pub(crate) const CAPACITY: usize = 4096;
/// So often a reader says how far it is.
const STEP: u64 = 256;

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
        /// The creator's bytes.
        state: Arc<[u8]>,
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

/// A reader was too slow: this many events are lost to it. Ends of groups are not among them: they come next, and then the oldest event that is
/// still kept. (Only of more than 100,000 ends that it has not been told yet, the oldest are lost to it like the rest.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were missed")]
pub struct Lagged {
    /// How many.
    pub missed: u64,
}

/// A stream of events, from the moment of its making on; it ends when the node has stopped. While it lives, failures are kept for it until it has
/// been told: read it, or drop it.
pub struct Events {
    stream: Option<BroadcastStream<Event>>,
    failures: SharedFailures,
    /// This reader's name there.
    reader: u64,
    /// The number of the next event.
    next: u64,
    /// What it has said of that.
    said: u64,
    /// Events that come before those of the stream.
    first: VecDeque<Event>,
}

impl Events {
    /// `receiver` hands out events from `next` on.
    pub(crate) fn new(receiver: Option<broadcast::Receiver<Event>>, failures: SharedFailures, next: u64) -> Events {
        let reader = failures.lock().begin(next);
        Events {
            stream: receiver.map(BroadcastStream::new),
            failures,
            reader,
            next,
            said: next,
            first: VecDeque::new(),
        }
    }

    /// The next event; `None` when the node has stopped.
    ///
    /// # Errors
    /// [`Lagged`] once for each stretch that this reader was too slow for. The stream goes on behind it.
    pub async fn next(&mut self) -> Option<Result<Event, Lagged>> {
        StreamExt::next(self).await
    }

    /// Takes an event of the stream: behind the failures that were lost to it in between, if it has jumped.
    fn arrived(&mut self, event: Event) -> Option<Lagged> {
        let lost = self.next..event.seq;
        self.next = self.next.max(event.seq + 1);
        if lost.is_empty() {
            self.first.push_back(event);
            return None;
        }
        let kept = self.failures.lock().among(lost.clone());
        let missed = lost.end - lost.start - kept.len() as u64;
        self.first.extend(kept.into_iter().map(Event::of));
        self.first.push_back(event);
        (missed > 0).then_some(Lagged { missed })
    }

    /// Hands an event out, and says from time to time that this reader has it.
    fn told(&mut self, event: Event) -> Event {
        if self.first.is_empty() && self.next - self.said >= STEP {
            self.said = self.next;
            self.failures.lock().has_read(self.reader, self.next);
        }
        event
    }
}

impl Event {
    fn of(outcome: Outcome) -> Event {
        let group = outcome.group;
        let kind = match outcome.end {
            End::Failed(Failure { reason, .. }) => EventKind::GroupFailed { group, reason },
            End::Closed => EventKind::GroupClosed { group, by: group.root },
            End::Left => EventKind::GroupLeft { group },
        };
        Event {
            seq: outcome.number,
            time: outcome.time,
            kind,
        }
    }
}

impl Stream for Events {
    type Item = Result<Event, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.first.pop_front() {
                return Poll::Ready(Some(Ok(self.told(event))));
            }
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(None);
            };
            match ready!(stream.poll_next_unpin(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(event)) => {
                    if let Some(lagged) = self.arrived(event) {
                        return Poll::Ready(Some(Err(lagged)));
                    }
                }
                // The numbers say it, and which failures there were.
                Some(Err(_)) => {}
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.failures.lock().reads_no_more(self.reader);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// The number of the next event, for who begins to read.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(Arc<AtomicU64>);

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers(Arc::new(AtomicU64::new(1)))
    }
}

impl Numbers {
    pub(crate) fn next(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Numbers events and hands them out.
#[derive(Debug)]
pub(crate) struct EventLog {
    numbers: Numbers,
    /// `None` once it is closed.
    sender: Option<broadcast::Sender<Event>>,
}

impl EventLog {
    pub(crate) fn new(sender: broadcast::Sender<Event>, numbers: Numbers) -> EventLog {
        EventLog {
            numbers,
            sender: Some(sender),
        }
    }

    /// The number of the next event.
    pub(crate) fn next(&self) -> u64 {
        self.numbers.next()
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
        let seq = self.next();
        let _ = sender.send(Event { seq, time, kind });
        self.numbers.0.store(seq + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    fn failure(sequence: u64) -> Failure {
        let root = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        Failure {
            group: GroupId {
                root,
                incarnation: 1,
                sequence,
            },
            reason: Reason::NotKnown,
            time: SystemTime::UNIX_EPOCH,
        }
    }

    fn outcome(sequence: u64, number: u64) -> Outcome {
        let failure = failure(sequence);
        Outcome {
            number,
            group: failure.group,
            time: failure.time,
            end: End::Failed(failure),
        }
    }

    /// A log in which every even event is a failure, its readers, and all of them read: numbers, and what was missed before them.
    async fn read(events: u64) -> Vec<Result<u64, u64>> {
        let (sender, receiver) = broadcast::channel(4);
        let (failures, numbers) = (SharedFailures::default(), Numbers::default());
        let mut reader = Events::new(Some(receiver), failures.clone(), numbers.next());
        let mut log = EventLog::new(sender, numbers);
        for seq in 1..=events {
            let kind = if seq % 2 == 0 {
                let Failure { group, reason, .. } = failure(seq);
                failures.lock().ends(outcome(seq, log.next()));
                EventKind::GroupFailed { group, reason }
            } else {
                EventKind::Joined
            };
            log.push(kind, SystemTime::UNIX_EPOCH);
        }
        drop(log);
        let mut all = Vec::new();
        while let Some(next) = reader.next().await {
            all.push(next.map(|event| event.seq).map_err(|lagged| lagged.missed));
        }
        all
    }

    #[tokio::test]
    async fn a_reader_that_keeps_up_misses_nothing() {
        assert_eq!(read(4).await, [Ok(1), Ok(2), Ok(3), Ok(4)]);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_much_it_missed_and_of_every_failure() {
        let rest = [Err(4), Ok(2), Ok(4), Ok(6), Ok(8), Ok(9), Ok(10), Ok(11)];
        // The channel keeps the last four.
        assert_eq!(read(11).await, rest);
    }

    #[tokio::test]
    async fn a_reader_that_goes_is_waited_for_no_more() {
        let failures = SharedFailures::default();
        let reader = Events::new(None, failures.clone(), 1);
        drop(reader);
        (1..20_000).for_each(|seq| failures.lock().ends(outcome(seq, seq)));
        assert!(failures.lock().among(0..20_000).len() <= 10_000);
    }
}
