//! Who wants to know of a group's end, and what is remembered of groups that are over.
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

/// Groups that are over whose end is remembered for late handlers. Beyond it the oldest is forgotten, and the reason becomes
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

/// How a group is over for this node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It has failed.
    Failed(Failure),
    /// Its root has closed it, which is no failure.
    Closed,
    /// This node has left it; the group may live.
    Left,
}

/// What became of a group, as this node knows it: see [`Node::fate`](crate::Node::fate).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// This node is in it: as its root, a member, or an observer.
    Living,
    /// It is over for this node.
    Over(End),
    /// This node carries paths of it for others, and knows nothing else of it.
    Carried,
    /// Nothing is known of it here: it never was here, or has been over for so long that it is forgotten.
    Unknown,
}

/// What happens when a group fails, or ends in another way.
pub(crate) enum Handler {
    /// The application's code runs, if the group fails.
    Run(Box<dyn FnOnce(Failure) + Send>),
    /// Somebody who waits is told of any end.
    Tell(oneshot::Sender<End>),
}

impl Handler {
    pub(crate) fn new(run: impl FnOnce(Failure) + Send + 'static) -> Handler {
        Handler::Run(Box::new(run))
    }

    /// Whether nobody waits for it any more.
    fn is_closed(&self) -> bool {
        matches!(self, Handler::Tell(waiter) if waiter.is_closed())
    }

    /// "Exactly once" is for failures: a group that was closed or left fails no more, so code for its failure is dropped.
    fn due(self, end: &End) {
        match (self, end) {
            (Handler::Run(run), End::Failed(failure)) => spawn(run, failure.clone()),
            (Handler::Run(_), _) => {}
            // A waiter that has given up need not be told.
            (Handler::Tell(waiter), end) => drop(waiter.send(end.clone())),
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

/// Living groups with their handlers, and how the last ones ended. Handlers are bounded by what the application registers.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    alive: HashMap<GroupId, Vec<Handler>>,
    over: HashMap<GroupId, End>,
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
    /// A group lives here from now on, perhaps again: after it was left.
    pub(crate) fn watch(&mut self, group: GroupId) {
        self.alive.entry(group).or_default();
        if self.over.remove(&group).is_some() {
            self.order.retain(|other| *other != group);
        }
    }

    /// How the group ended here, if that is remembered.
    pub(crate) fn end(&self, group: &GroupId) -> Option<End> {
        self.over.get(group).cloned()
    }

    /// Whether the group lives here.
    pub(crate) fn lives(&self, group: &GroupId) -> bool {
        self.alive.contains_key(group)
    }

    /// Keeps a handler until its group fails. If it has failed, or does not live here, the handler is due now.
    pub(crate) fn register(&mut self, group: GroupId, handler: Handler, now: SystemTime) {
        if let Some(handlers) = self.alive.get_mut(&group) {
            make_room(handlers);
            handlers.push(handler);
        } else if let Some(end) = self.over.get(&group) {
            handler.due(end);
        } else {
            handler.due(&End::Failed(Failure {
                group,
                reason: Reason::NotKnown,
                time: now,
            }));
        }
    }

    /// A group has failed: runs its handlers and remembers why.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.ends(failure.group, End::Failed(failure));
    }

    /// A group is over for this node: whoever waits for that is told.
    pub(crate) fn ends(&mut self, group: GroupId, end: End) {
        for handler in self.alive.remove(&group).unwrap_or_default() {
            handler.due(&end);
        }
        if self.over.insert(group, end).is_none() {
            self.order.push_back(group);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.over.remove(&oldest);
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

    fn stopped(sequence: u64) -> Failure {
        let by = group(0).root;
        Failure {
            group: group(sequence),
            reason: Reason::Shutdown { by },
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
        failures.fail(stopped(1));
        failures.fail(stopped(1));
        failures.register(group(1), handler(), NOW);
        drop((failures, handler));
        assert_eq!(told.recv().await, Some(stopped(1).reason));
        assert_eq!(told.recv().await, Some(stopped(1).reason));
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
        failures.fail(stopped(1));
        assert_eq!(told.recv().await, Some(stopped(1).reason));
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
            blocking.due(&End::Failed(failure));
        });
        failures.register(group(1), wait, NOW);
        failures.register(group(1), handler(), NOW);
        failures.fail(stopped(1));
        assert_eq!(told.recv().await, Some(stopped(1).reason));
        release.send(()).unwrap();
        assert_eq!(told.recv().await, Some(stopped(1).reason));
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
        failures.fail(stopped(1));
        assert_eq!(failure.await.unwrap(), End::Failed(stopped(1)));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let mut failures = Failures::default();
        for sequence in 0..=REMEMBERED as u64 {
            failures.fail(stopped(sequence));
        }
        assert_eq!(failures.end(&group(0)), None);
        assert_eq!(failures.end(&group(1)), Some(End::Failed(stopped(1))));
        assert_eq!(failures.over.len(), REMEMBERED);
    }

    #[tokio::test]
    async fn a_closed_group_runs_no_handler_and_ends_whoever_waits() {
        let (handler, mut told) = reporter();
        let mut failures = Failures::default();
        failures.watch(group(1));
        failures.register(group(1), handler(), NOW);
        let (waiter, end) = oneshot::channel();
        failures.register(group(1), Handler::Tell(waiter), NOW);
        failures.ends(group(1), End::Closed);
        failures.register(group(1), handler(), NOW);
        drop(handler);
        assert_eq!(end.await.unwrap(), End::Closed);
        assert_eq!(told.recv().await, None);
    }

    #[tokio::test]
    async fn a_group_that_was_left_may_be_joined_again() {
        let (handler, mut told) = reporter();
        let mut failures = Failures::default();
        failures.watch(group(1));
        failures.ends(group(1), End::Left);
        failures.watch(group(1));
        assert_eq!(failures.end(&group(1)), None);
        failures.register(group(1), handler(), NOW);
        failures.fail(stopped(1));
        assert_eq!(told.recv().await, Some(stopped(1).reason));
        assert_eq!(failures.order.len(), 1);
    }
}
