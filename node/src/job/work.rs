//! Work tasks: what a job does, each on a thread of its own with a bounded queue, and how each is watched.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use fatebound_machine::process_groups::protocols::ProviderId;
use tokio::sync::mpsc;

use super::Round;

/// How often a task that waits for a message looks whether its job is over.
const LOOK: Duration = Duration::from_millis(100);

/// What is wrong with a work task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It said so.
    #[error("work task {task} has failed: {why}")]
    Failed {
        /// Which.
        task: String,
        /// Why.
        why: String,
    },
    /// It panicked.
    #[error("work task {task} panicked: {why}")]
    Panicked {
        /// Which.
        task: String,
        /// In which words.
        why: String,
    },
    /// It has not said for too long that it lives.
    #[error("work task {task} has not ticked for {limit:?}")]
    Hangs {
        /// Which.
        task: String,
        /// Its limit.
        limit: Duration,
    },
    /// It does not take its messages.
    #[error("the queue of work task {task} is full")]
    Full {
        /// Which.
        task: String,
    },
    /// The main task panicked, or is so slow that what it is told does not fit.
    #[error("the main task {0}")]
    Main(String),
}

/// A message to a work task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who has sent it to the job; `None`: the main task of this process.
    pub from: Option<ProviderId>,
    /// What.
    pub body: Vec<u8>,
}

/// The job is over, here: the task should come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job is over here")]
pub struct Over;

/// What happens at a work task.
#[derive(Debug)]
pub(super) enum Ended {
    Done,
    Fault(Fault),
}

/// A work task's side of its job.
#[derive(Debug)]
pub struct Work {
    name: String,
    inbox: Receiver<Message>,
    pub(super) outbox: mpsc::Sender<Vec<u8>>,
    pub(super) over: Arc<AtomicBool>,
    ticked: Arc<AtomicU64>,
    started: Instant,
    pub(super) board: super::Board,
}

impl Work {
    /// What this task is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next message; waits for it.
    ///
    /// # Errors
    /// The job is over.
    pub fn recv(&self) -> Result<Message, Over> {
        loop {
            self.tick();
            self.check()?;
            match self.inbox.recv_timeout(LOOK) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Over),
            }
        }
    }

    /// Says that this task lives: it has to, more often than its limit, if it has one. Waiting for a message, or for a round, says so by itself.
    pub fn tick(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.ticked.store(now, Ordering::Release);
    }

    /// To be asked now and then by a task that works for long.
    ///
    /// # Errors
    /// The job is over.
    pub fn check(&self) -> Result<(), Over> {
        if self.over.load(Ordering::Acquire) {
            Err(Over)
        } else {
            Ok(())
        }
    }

    /// Sends a message to all members of the job, this one included; waits for room.
    ///
    /// # Errors
    /// The job is over.
    pub fn send(&self, body: &[u8]) -> Result<(), Over> {
        self.check()?;
        self.outbox.blocking_send(super::wire::message(body)).map_err(|_| Over)
    }

    /// An acknowledge round, which all members know by this number.
    pub fn round(&self, number: u64) -> Round<'_> {
        Round { work: self, number }
    }
}

/// A work task that runs.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) inbox: SyncSender<Message>,
    limit: Option<Duration>,
    ticked: Arc<AtomicU64>,
    started: Instant,
    pub(super) done: bool,
}

impl Watched {
    /// When it has to have ticked, at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let limit = self.limit.filter(|_| !self.done)?;
        Some(self.started + Duration::from_millis(self.ticked.load(Ordering::Acquire)) + limit)
    }

    /// Whether it hangs.
    pub(super) fn fault(&self, now: Instant) -> Option<Fault> {
        let limit = self.limit?;
        self.deadline()
            .is_some_and(|deadline| now > deadline)
            .then(|| Fault::Hangs {
                task: self.name.clone(),
                limit,
            })
    }
}

/// What a task is to be like.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) queue: usize,
    pub(super) limit: Option<Duration>,
    pub(super) run: Box<dyn FnOnce(Work) -> Result<(), String> + Send>,
}

/// Runs it on a thread of its own; how it ends is told, however it does.
///
/// # Errors
/// The system gives no thread.
pub(super) fn start(
    plan: Plan,
    outbox: mpsc::Sender<Vec<u8>>,
    over: Arc<AtomicBool>,
    board: super::Board,
    ended: mpsc::Sender<(String, Ended)>,
) -> std::io::Result<Watched> {
    let (inbox, inbox_out) = sync_channel(plan.queue);
    let (ticked, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let watched = Watched {
        name: plan.name.clone(),
        inbox,
        limit: plan.limit,
        ticked: ticked.clone(),
        started,
        done: false,
    };
    let work = Work {
        name: plan.name.clone(),
        inbox: inbox_out,
        outbox,
        over,
        ticked,
        started,
        board,
    };
    let (task, run) = (plan.name.clone(), plan.run);
    std::thread::Builder::new()
        .name(format!("work {}", plan.name))
        .spawn(move || {
            let outcome = match catch_unwind(AssertUnwindSafe(|| run(work))) {
                Ok(Ok(())) => Ended::Done,
                Ok(Err(why)) => Ended::Fault(Fault::Failed {
                    task: task.clone(),
                    why,
                }),
                Err(cause) => Ended::Fault(Fault::Panicked {
                    task: task.clone(),
                    why: panicked(&*cause),
                }),
            };
            let _ = ended.blocking_send((task, outcome));
        })?;
    Ok(watched)
}

pub(super) fn panicked(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without words".to_owned())
}
