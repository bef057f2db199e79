//! Who comes late reads first.
//!
//! A process that got no processor for a while, or was busy, finds answers in its sockets beside the time limits that are over. Timers would win: they
//! are looked at by the node itself, and what has come is brought by other tasks. So a wake that comes late waits until the runtime has looked at all
//! sockets and everybody else has had a turn, again and again while that brings something (protocol.md §4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// A wake that is not later than this does not wait.
const LATE: Duration = Duration::from_millis(10);
/// Rounds at most: who is flooded keeps its time all the same.
const ROUNDS: u32 = 64;

/// Rounds in a row that bring nothing, after which there is nothing: in the first one somebody who was woken may not have had a turn yet.
const QUIET: u32 = 2;

/// What is read before one late wake.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    rounds: u32,
    /// How many of the last ones have brought nothing.
    quiet: u32,
    /// What had been taken when the last of them began.
    taken: u64,
    round: Option<Arc<Round>>,
}

/// One round: over when the runtime has come back to this task.
#[derive(Debug)]
struct Round {
    over: AtomicBool,
    task: Waker,
}

impl Wake for Round {
    fn wake(self: Arc<Self>) {
        self.over.store(true, Ordering::SeqCst);
        self.task.wake_by_ref();
    }
}

impl Reading {
    /// Whether a wake that is so late has to wait; the task is woken when it is to ask again. `taken` counts what has been read.
    pub(crate) fn goes_on(&mut self, late: Duration, taken: u64, cx: &mut Context<'_>) -> bool {
        let here = |round: &&Arc<Round>| round.task.will_wake(cx.waker());
        if self
            .round
            .as_ref()
            .filter(here)
            .is_some_and(|round| !round.over.load(Ordering::SeqCst))
        {
            return true;
        }
        let brought = self.rounds == 0 || taken != self.taken;
        let quiet = if brought { 0 } else { self.quiet + 1 };
        if late <= LATE || quiet >= QUIET || self.rounds >= ROUNDS {
            return false;
        }
        let round = Arc::new(Round {
            over: AtomicBool::new(false),
            task: cx.waker().clone(),
        });
        // The runtime wakes whoever yields when it has looked for what has come, and after whoever waits for that.
        let pause = std::pin::pin!(tokio::task::yield_now());
        let _ = pause.poll(&mut Context::from_waker(&Waker::from(round.clone())));
        *self = Reading {
            rounds: self.rounds + 1,
            quiet,
            taken,
            round: Some(round),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicU64;
    use std::task::Poll;

    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;

    /// Rounds until a wake that is so late need not wait any more.
    async fn rounds(late: Duration, taken: impl Fn() -> u64) -> u32 {
        let mut reading = Reading::default();
        poll_fn(|cx| match reading.goes_on(late, taken(), cx) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
        reading.rounds
    }

    #[tokio::test]
    async fn who_comes_late_reads_first() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let read = Arc::new(AtomicU64::new(0));
        let counter = read.clone();
        tokio::spawn(async move {
            while theirs.read_u8().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        tokio::task::yield_now().await;
        ours.try_write(b"you").unwrap();
        let taken = || read.load(Ordering::SeqCst);
        assert_eq!((rounds(LATE, taken).await, taken()), (0, 0), "it is in time");
        let took = rounds(LATE * 2, taken).await;
        assert_eq!(taken(), 3);
        assert!(took <= 2 * QUIET, "{took}");
    }

    #[tokio::test]
    async fn who_is_flooded_keeps_its_time() {
        let flood = AtomicU64::new(0);
        let took = rounds(LATE * 2, || flood.fetch_add(1, Ordering::SeqCst)).await;
        assert_eq!(took, ROUNDS);
    }
}
