//! What waits to be written on one session.
//!
//! The behaviour pushes, the connection's task pops; nothing of the swarm lies between them, so a connection that does not drain can fill its
//! own queue and nobody else's (the swarm's own channel to its handlers stops the whole behaviour when one of them is full). Urgent
//! frames, that is pings and their answers, overtake the others, but never a session's first frame, which introduces its sender.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// Bytes that wait on one session at most: 8 MiB, a storm of 100,000 operations. Beyond it the session is closed.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Frames that wait on one session at most; they cost memory beyond their bytes.
const MAX_FRAMES: usize = 65_536;

/// A bounded queue of frames with two ends in different tasks.
#[derive(Clone, Debug, Default)]
pub struct SendQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    urgent: VecDeque<Vec<u8>>,
    normal: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the first frame was pushed.
    begun: bool,
    /// Frames that the writer has taken.
    taken: u64,
    end: End,
}

/// Whether more will come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Write what waits, then close the stream.
    Finished,
    /// Drop the stream now.
    Aborted,
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write this.
    Frame(Vec<u8>),
    /// Nothing waits: flush, then wait.
    Idle,
    /// All is written: flush and close.
    Finished,
    /// Drop the stream as it is.
    Aborted,
}

/// The queue is at its limit; the frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl SendQueue {
    /// Appends a frame, behind its like.
    pub(crate) fn push(&self, frame: Vec<u8>, urgent: bool) -> Result<(), Overflow> {
        let mut queue = self.lock();
        let waiting = queue.urgent.len() + queue.normal.len();
        if waiting >= MAX_FRAMES || queue.bytes + frame.len() > MAX_BYTES {
            return Err(Overflow);
        }
        queue.bytes += frame.len();
        let first = !std::mem::replace(&mut queue.begun, true);
        if urgent || first {
            queue.urgent.push_back(frame);
        } else {
            queue.normal.push_back(frame);
        }
        drop(queue);
        self.0.reader.wake();
        Ok(())
    }

    /// Nothing more will be pushed: the stream closes once all is written.
    pub(crate) fn finish(&self) {
        self.end(End::Finished);
    }

    /// The stream closes now, whatever waits.
    pub(crate) fn abort(&self) {
        self.end(End::Aborted);
    }

    fn end(&self, end: End) {
        let mut queue = self.lock();
        if queue.end != End::Aborted {
            queue.end = end;
        }
        drop(queue);
        self.0.reader.wake();
    }

    /// What is to be done now.
    pub(crate) fn next(&self) -> Next {
        let mut queue = self.lock();
        if queue.end == End::Aborted {
            return Next::Aborted;
        }
        if let Some(frame) = queue.urgent.pop_front().or_else(|| queue.normal.pop_front()) {
            queue.bytes -= frame.len();
            queue.taken += 1;
            return Next::Frame(frame);
        }
        if queue.end == End::Finished {
            Next::Finished
        } else {
            Next::Idle
        }
    }

    /// Frames that the writer has taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// Ready when [`SendQueue::next`] is anything but idle.
    pub(crate) fn poll_work(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.reader.register(cx.waker());
        let queue = self.lock();
        let idle = queue.urgent.is_empty() && queue.normal.is_empty() && queue.end == End::Open;
        if idle { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Whether the stream is to be dropped now; if not, the task is woken when it is.
    pub(crate) fn poll_aborted(&self, cx: &Context<'_>) -> bool {
        self.0.reader.register(cx.waker());
        self.lock().end == End::Aborted
    }

    /// Whether nothing more will be pushed. Asked together with [`SendQueue::poll_aborted`], which sees to the waking.
    pub(crate) fn is_finished(&self) -> bool {
        self.lock().end != End::Open
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker;

    use super::*;

    #[test]
    fn urgent_frames_overtake_all_but_the_first_in_their_own_order() {
        let queue = SendQueue::default();
        for (frame, urgent) in [(0, false), (1, false), (2, true), (3, false), (4, true)] {
            queue.push(vec![frame], urgent).unwrap();
        }
        queue.finish();
        let order: Vec<_> = (0..6).map(|_| queue.next()).collect();
        let expected = [0, 2, 4, 1, 3].map(|frame| Next::Frame(vec![frame]));
        assert_eq!(order[..5], expected);
        assert_eq!(order[5], Next::Finished);
    }

    #[test]
    fn it_holds_so_many_bytes_and_so_many_frames() {
        let bytes = SendQueue::default();
        for _ in 0..MAX_BYTES / 65_536 {
            bytes.push(vec![0; 65_536], false).unwrap();
        }
        assert_eq!(bytes.push(vec![0], true), Err(Overflow));
        assert!(matches!(bytes.next(), Next::Frame(_)));
        assert_eq!(bytes.push(vec![0], true), Ok(()));

        let frames = SendQueue::default();
        for _ in 0..MAX_FRAMES {
            frames.push(Vec::new(), false).unwrap();
        }
        assert_eq!(frames.push(Vec::new(), false), Err(Overflow));
    }

    #[test]
    fn aborting_forgets_what_waits() {
        let queue = SendQueue::default();
        queue.push(vec![1], false).unwrap();
        queue.abort();
        queue.finish();
        assert_eq!(queue.next(), Next::Aborted);
    }

    #[test]
    fn the_writer_sleeps_only_when_there_is_nothing_to_do() {
        let queue = SendQueue::default();
        let waker = noop_waker();
        let cx = Context::from_waker(&waker);
        assert!(queue.poll_work(&cx).is_pending());
        queue.push(vec![1], false).unwrap();
        assert!(queue.poll_work(&cx).is_ready());
        assert_eq!(queue.next(), Next::Frame(vec![1]));
        assert!(queue.poll_work(&cx).is_pending());
        queue.finish();
        assert!(queue.poll_work(&cx).is_ready());
    }
}
