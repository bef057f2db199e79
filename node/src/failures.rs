//! Who wants to know of a failure, and what is remembered of failures that have happened.
//!
//! A handler runs exactly once: at the failure, or at once when it is registered later (protocol.md §1, P2). It runs on a thread
//! for work that blocks, so a slow or panicking handler takes nothing else down.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fatebound_machine::fng::{GroupId, Reason};
use tokio::sync::oneshot;

/// Failed groups whose reason is remembered for late handlers. Beyond it the oldest is forgotten, and its reason becomes
/// [`Reason::NotKnown`].
const REMEMBERED: usize = 10_000;

/// The failure of a group: final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which group.
    pub group: GroupId,
    /// Why, as far as this peer knows; others may have been told another reason.
    pub reason: Reason,
    /// When this peer learnt of it, by this machine's clock.
    pub time: SystemTime,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {} has failed: {}", self.group, self.reason)
    }
}

/// What happens when a group fails.
pub(crate) enum Handler {
    /// The application's code runs.
    Run(Box<dyn FnOnce(Failure) + Send>),
    /// Somebody who waits is told.
    Tell(oneshot::Sender<Failure>),
}

impl Handler {
    pub(crate) fn new(run: impl FnOnce(Failure) + Send + 'static) -> Handler {
        Handler::Run(Box::new(run))
    }

    /// Whether nobody waits for it any more.
    fn is_closed(&self) -> bool {
        matches!(self, Handler::Tell(waiter) if waiter.is_closed())
    }

    fn due(self, failure: Failure) {
        match self {
            Handler::Run(run) => spawn(run, failure),
            // Who has stopped waiting need not be told.
            Handler::Tell(waiter) => drop(waiter.send(failure)),
        }
    }
}

/// Runs it where blocking is allowed: the runtime's workers turn the swarm. Where there is no runtime (any more), on a thread.
fn spawn(run: Box<dyn FnOnce(Failure) + Send>, failure: Failure) {
    let run = move || {
        let group = failure.group;
        if catch_unwind(AssertUnwindSafe(|| run(failure))).is_err() {
            tracing::error!(%group, "a failure handler panicked");
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(run)),
        Err(_) => drop(std::thread::spawn(run)),
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// Living groups with their handlers, and the last failures. Handlers are bounded by what the application registers.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    alive: HashMap<GroupId, Vec<Handler>>,
    failed: HashMap<GroupId, Failure>,
    order: VecDeque<GroupId>,
}

/// The register as node and behaviour share it: a handler is in place when its registration returns, not later.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedFailures(Arc<Mutex<Failures>>);

impl SharedFailures {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    /// A group lives here from now on.
    pub(crate) fn watch(&mut self, group: GroupId) {
        self.alive.entry(group).or_default();
    }

    /// Whether the group lives here.
    pub(crate) fn lives(&self, group: &GroupId) -> bool {
        self.alive.contains_key(group)
    }

    /// The groups that live here.
    pub(crate) fn living(&self) -> Vec<GroupId> {
        self.alive.keys().copied().collect()
    }

    /// Keeps a handler until its group fails. If it has failed, or does not live here, the handler is due now.
    pub(crate) fn register(&mut self, group: GroupId, handler: Handler, now: SystemTime) {
        if let Some(handlers) = self.alive.get_mut(&group) {
            make_room(handlers);
            handlers.push(handler);
        } else if let Some(failure) = self.failed.get(&group) {
            handler.due(failure.clone());
        } else {
            handler.due(Failure {
                group,
                reason: Reason::NotKnown,
                time: now,
            });
        }
    }

    /// A group has failed: runs its handlers and remembers why.
    pub(crate) fn fail(&mut self, failure: Failure) {
        for handler in self.alive.remove(&failure.group).unwrap_or_default() {
            handler.due(failure.clone());
        }
        let group = failure.group;
        if self.failed.insert(group, failure).is_none() {
            self.order.push_back(group);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.failed.remove(&oldest);
        }
    }

    /// The peer is gone: whoever still waits is told of every group, since nobody will watch over it any more.
    pub(crate) fn fail_all(&mut self, reason: &Reason, time: SystemTime) {
        let groups: Vec<GroupId> = self.alive.keys().copied().collect();
        for group in groups {
            self.fail(Failure {
                group,
                reason: reason.clone(),
                time,
            });
        }
    }
}

/// Before a list of handlers grows, those that nobody waits for any more leave it. It then has room for as many again as are left, so that this is
/// constant work per handler.
fn make_room(handlers: &mut Vec<Handler>) {
    if handlers.len() == handlers.capacity() {
        handlers.retain(|handler| !handler.is_closed());
        handlers.reserve(handlers.len() + 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn group(sequence: u64) -> GroupId {
        let keypair = libp2p::identity::Keypair::ed25519_from_bytes([1; 32]).unwrap();
        GroupId {
            root: keypair.public().to_peer_id(),
            incarnation: 1,
            sequence,
        }
    }

    fn closed(sequence: u64) -> Failure {
        let by = group(0).root;
        Failure {
            group: group(sequence),
            reason: Reason::Closed { by },
            time: NOW,
        }
    }

    fn reporter() -> (impl Fn() -> Handler, mpsc::UnboundedReceiver<Reason>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let handler = move || {
            let sender = sender.clone();
            Handler::new(move |failure: Failure| sender.send(failure.reason).unwrap())
        };
        (handler, receiver)
    }

    #[tokio::test]
    async fn each_handler_runs_once_before_or_after_the_failure() {
        let (handler, mut told) = reporter();
        let mut failures = Failures::default();
        failures.watch(group(1));
        failures.watch(group(2));
        failures.register(group(1), handler(), NOW);
        failures.register(group(2), handler(), NOW);
        failures.fail(closed(1));
        failures.fail(closed(1));
        failures.register(group(1), handler(), NOW);
        drop((failures, handler));
        assert_eq!(told.recv().await, Some(closed(1).reason));
        assert_eq!(told.recv().await, Some(closed(1).reason));
        assert_eq!(told.recv().await, None);
    }

    #[tokio::test]
    async fn a_group_that_is_not_known_has_failed() {
        let (handler, mut told) = reporter();
        Failures::default().register(group(1), handler(), NOW);
        assert_eq!(told.recv().await, Some(Reason::NotKnown));
    }

    #[tokio::test]
    async fn a_panicking_handler_does_not_keep_others_from_running() {
        let (handler, mut told) = reporter();
        let mut failures = Failures::default();
        failures.watch(group(1));
        failures.register(group(1), Handler::new(|_| panic!("on purpose")), NOW);
        failures.register(group(1), handler(), NOW);
        failures.fail(closed(1));
        assert_eq!(told.recv().await, Some(closed(1).reason));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_handler_that_blocks_does_not_stop_the_runtime() {
        let (handler, mut told) = reporter();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let blocking = handler();
        let mut failures = Failures::default();
        failures.watch(group(1));
        let wait = Handler::new(move |failure| {
            released.recv().unwrap();
            blocking.due(failure);
        });
        failures.register(group(1), wait, NOW);
        failures.register(group(1), handler(), NOW);
        failures.fail(closed(1));
        assert_eq!(told.recv().await, Some(closed(1).reason));
        release.send(()).unwrap();
        assert_eq!(told.recv().await, Some(closed(1).reason));
    }

    #[tokio::test]
    async fn waiters_that_are_gone_do_not_pile_up() {
        let mut failures = Failures::default();
        failures.watch(group(1));
        let (waiter, failure) = oneshot::channel();
        failures.register(group(1), Handler::Tell(waiter), NOW);
        for _ in 0..1000 {
            let (waiter, _) = oneshot::channel();
            failures.register(group(1), Handler::Tell(waiter), NOW);
        }
        assert!(failures.alive[&group(1)].len() <= 8);
        failures.fail(closed(1));
        assert_eq!(failure.await.unwrap(), closed(1));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let mut failures = Failures::default();
        for sequence in 0..=REMEMBERED as u64 {
            failures.fail(closed(sequence));
        }
        assert_eq!(failures.failed.get(&group(0)), None);
        assert_eq!(failures.failed.get(&group(1)), Some(&closed(1)));
        assert_eq!(failures.failed.len(), REMEMBERED);
    }
}
