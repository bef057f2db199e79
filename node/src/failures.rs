//! Who wants to know of a group's end, and what is remembered of groups that are over.
//!
//! Ends are kept until every reader of the node's events has them (a burst of them is longer than what waits in a reader's channel), and the
//! latest for a while after that.
//!
//! A handler runs exactly once: at the failure, or at once when it is registered later (protocol.md §1, P2). It runs on a thread
//! for work that blocks, so a slow or panicking handler takes nothing else down.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fatebound_machine::fng::{GroupId, Reason};
use tokio::sync::oneshot;

use crate::states::States;

/// Groups that are over whose end is remembered for late handlers. Beyond it the oldest is forgotten, and the reason becomes
/// [`Reason::NotKnown`].
const REMEMBERED: usize = 10_000;
/// … and of those that a reader of events has not been told yet: some 30 MB. It misses the oldest then, and hears so.
const UNREAD: usize = 100_000;

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
#[expect(clippy::large_enum_variant, reason = "nearly all ends that are kept are failures")]
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
#[expect(clippy::large_enum_variant, reason = "it is asked for one group at a time")]
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

/// The end of a group as one of the node's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The event's number.
    pub(crate) number: u64,
    pub(crate) group: GroupId,
    pub(crate) end: End,
    pub(crate) time: SystemTime,
}

/// Living groups with their handlers, and how the last ones ended. Handlers are bounded by what the application registers.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    alive: HashMap<GroupId, Vec<Handler>>,
    /// The numbers under which groups that are over are in `outcomes`.
    over: HashMap<GroupId, u64>,
    /// In the order of their numbers.
    outcomes: VecDeque<Outcome>,
    /// The number of the event that each reader of events reads next, or an earlier one.
    readers: HashMap<u64, u64>,
    latest_reader: u64,
    /// What the creators of living groups wanted their members to know.
    pub(crate) states: States,
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
        self.over.remove(&group);
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
        } else if let Some(end) = self.end(&group) {
            handler.due(end);
        } else {
            handler.due(&End::Failed(Failure {
                group,
                reason: Reason::NotKnown,
                time: now,
            }));
        }
    }

    /// How this group ended here, as far as that is remembered.
    pub(crate) fn end(&self, group: &GroupId) -> Option<&End> {
        let number = self.over.get(group)?;
        self.outcomes.get(self.place(*number)).map(|outcome| &outcome.end)
    }

    /// Where the ends with this number and later ones are.
    fn place(&self, number: u64) -> usize {
        self.outcomes.partition_point(|outcome| outcome.number < number)
    }

    /// A group is over: tells whoever waits for that, and remembers it.
    pub(crate) fn ends(&mut self, outcome: Outcome) {
        for handler in self.alive.remove(&outcome.group).unwrap_or_default() {
            handler.due(&outcome.end);
        }
        self.states.forget(&outcome.group);
        if let Entry::Vacant(place) = self.over.entry(outcome.group) {
            place.insert(outcome.number);
            self.outcomes.push_back(outcome);
        }
        while self.has_too_many()
            && let Some(oldest) = self.outcomes.pop_front()
        {
            // A group that was left and joined again may have a newer end.
            if self.over.get(&oldest.group) == Some(&oldest.number) {
                self.over.remove(&oldest.group);
            }
        }
    }

    /// Whether the oldest end is to be forgotten.
    fn has_too_many(&self) -> bool {
        let Some(oldest) = self.outcomes.front().filter(|_| self.outcomes.len() > REMEMBERED) else {
            return false;
        };
        self.outcomes.len() > UNREAD || self.readers.values().all(|next| *next > oldest.number)
    }

    /// The groups that live here.
    pub(crate) fn living(&self) -> Vec<GroupId> {
        self.alive.keys().copied().collect()
    }

    /// A reader of events begins with the event of this number. Returns its name.
    pub(crate) fn begin(&mut self, next: u64) -> u64 {
        self.latest_reader += 1;
        self.readers.insert(self.latest_reader, next);
        self.latest_reader
    }

    /// A reader has all events before this one.
    pub(crate) fn has_read(&mut self, reader: u64, next: u64) {
        self.readers.insert(reader, next);
    }

    /// A reader reads no more.
    pub(crate) fn reads_no_more(&mut self, reader: u64) {
        self.readers.remove(&reader);
    }

    /// The ends of groups among the events with these numbers, as far as they are kept.
    pub(crate) fn among(&self, numbers: Range<u64>) -> Vec<Outcome> {
        let (from, until) = (self.place(numbers.start), self.place(numbers.end));
        self.outcomes.range(from..until).cloned().collect()
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

    fn failed(sequence: u64, number: u64) -> Outcome {
        outcome(sequence, number, End::Failed(stopped(sequence)))
    }

    fn outcome(sequence: u64, number: u64, end: End) -> Outcome {
        Outcome {
            number,
            group: group(sequence),
            end,
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
        failures.ends(failed(1, 1));
        failures.ends(failed(1, 1));
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
        failures.ends(failed(1, 1));
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
        failures.ends(failed(1, 1));
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
        failures.ends(failed(1, 1));
        assert_eq!(failure.await.unwrap(), End::Failed(stopped(1)));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let mut failures = Failures::default();
        for sequence in 0..=REMEMBERED as u64 {
            failures.ends(failed(sequence, sequence));
        }
        assert_eq!(failures.end(&group(0)), None);
        assert_eq!(failures.end(&group(1)), Some(&End::Failed(stopped(1))));
        assert_eq!(failures.over.len(), REMEMBERED);
    }

    #[tokio::test]
    async fn what_a_reader_has_not_been_told_is_kept_for_it_within_bounds() {
        let mut failures = Failures::default();
        let reader = failures.begin(0);
        for sequence in 0..=UNREAD as u64 {
            failures.ends(failed(sequence, sequence));
        }
        assert_eq!((failures.outcomes.len(), failures.over.len()), (UNREAD, UNREAD));
        assert_eq!(failures.among(0..3).len(), 2, "the oldest is lost");
        failures.has_read(reader, 50_000);
        failures.ends(failed(UNREAD as u64 + 1, UNREAD as u64 + 1));
        assert_eq!(failures.among(0..50_001), [failed(50_000, 50_000)]);
        failures.reads_no_more(reader);
        failures.ends(failed(UNREAD as u64 + 2, UNREAD as u64 + 2));
        assert_eq!((failures.outcomes.len(), failures.over.len()), (REMEMBERED, REMEMBERED));
    }

    #[tokio::test]
    async fn a_closed_group_runs_no_handler_and_ends_whoever_waits() {
        let (handler, mut told) = reporter();
        let mut failures = Failures::default();
        failures.watch(group(1));
        failures.register(group(1), handler(), NOW);
        let (waiter, end) = oneshot::channel();
        failures.register(group(1), Handler::Tell(waiter), NOW);
        failures.ends(outcome(1, 1, End::Closed));
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
        failures.ends(outcome(1, 1, End::Left));
        failures.watch(group(1));
        assert_eq!(failures.end(&group(1)), None);
        failures.register(group(1), handler(), NOW);
        failures.ends(failed(1, 2));
        assert_eq!(told.recv().await, Some(stopped(1).reason));
        // The older end goes first, and takes nothing of the newer one with it.
        for number in 3..=REMEMBERED as u64 + 1 {
            failures.ends(failed(number, number));
        }
        assert_eq!(failures.outcomes.front().map(|outcome| outcome.number), Some(2));
        assert_eq!(failures.end(&group(1)), Some(&End::Failed(stopped(1))));
    }
}
