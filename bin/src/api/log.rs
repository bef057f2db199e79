//! What has happened lately on this node: a bounded log that any number of readers follow at their own pace.
//!
//! Readers keep a cursor and pull; nothing is queued per reader, so a slow one costs nothing. Whoever falls behind the log's
//! end is told how many events it has missed, and goes on from there: a gap is announced, never silent. Beside the log the
//! last failures are kept longer, because whoever asks for a group that failed a moment ago must get an answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use super::model::Event;

/// Events that are kept: a reader may be this far behind.
pub const MAX_EVENTS: usize = 4096;
/// Failures that are kept.
const MAX_FAILURES: usize = 16_384;
/// Events that a reader takes at once.
const BATCH: usize = 64;

/// An event that has no number and no time yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// What happened.
    pub event: &'static str,
    /// The group that it is about.
    pub group: Option<String>,
    /// The peer that it is about.
    pub peer: Option<String>,
    /// Why, for programs.
    pub reason: Option<serde_json::Value>,
    /// What it means, for people.
    pub message: Option<String>,
}

impl News {
    /// An event of this name.
    pub fn named(event: &'static str) -> News {
        News {
            event,
            ..News::default()
        }
    }

    /// … about this group.
    pub fn group(mut self, group: &(impl ToString + ?Sized)) -> News {
        self.group = Some(group.to_string());
        self
    }

    /// … about this peer.
    pub fn peer(mut self, peer: &(impl ToString + ?Sized)) -> News {
        self.peer = Some(peer.to_string());
        self
    }

    /// … in these words.
    pub fn message(mut self, message: impl Into<String>) -> News {
        self.message = Some(message.into());
        self
    }
}

/// The name of the event after which nothing comes for a group.
pub const FAILED: &str = "failed";
/// The name of the event that stands for a lost stretch.
pub const GAP: &str = "gap";

/// The log.
#[derive(Debug)]
pub struct EventLog {
    life: String,
    inner: Mutex<Inner>,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The number of the first event that came here: what happened before, the log never had, and nobody misses it.
    beginning: u64,
    ring: VecDeque<Arc<Event>>,
    failures: BTreeMap<String, Arc<Event>>,
    oldest_failures: VecDeque<String>,
}

/// How far the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// The number of the next event.
    head: u64,
    /// Whether there will be one.
    closed: bool,
}

/// What a reader gets at once.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many events were lost before these.
    pub missed: u64,
    /// The next events, in order.
    pub events: Vec<Arc<Event>>,
    /// Nothing more will come after these.
    pub closed: bool,
}

impl EventLog {
    /// An empty log of the life with this name.
    pub fn new(life: String) -> EventLog {
        EventLog {
            life,
            inner: Mutex::default(),
            state: watch::Sender::new(State { head: 1, closed: false }),
        }
    }

    /// Appends an event. Numbers grow; those that are left out were lost.
    pub fn append(&self, news: News, seq: u64, time: SystemTime) {
        let mut inner = self.lock();
        let event = Arc::new(stamped(news, seq, time));
        if let (FAILED, Some(group)) = (event.event.as_str(), &event.group) {
            inner.remember(group.clone(), Arc::clone(&event));
        }
        if inner.beginning == 0 {
            // What was lost on the way here is missed all the same.
            inner.beginning = if self.head() == 1 { seq } else { 1 };
        }
        if inner.ring.len() == MAX_EVENTS {
            inner.ring.pop_front();
        }
        inner.ring.push_back(event);
        self.state.send_modify(|state| state.head = seq + 1);
    }

    /// So many events were lost before they came here.
    pub fn lost(&self, missed: u64) {
        self.state.send_modify(|state| state.head += missed);
    }

    /// Nothing more will come: readers take what is left and end.
    pub fn close(&self) {
        self.state.send_modify(|state| state.closed = true);
    }

    /// Until nothing more will come.
    pub async fn closed(&self) {
        // No event has the last number.
        self.wait(u64::MAX).await;
    }

    /// The number of the next event: where a reader starts that wants only news.
    pub fn head(&self) -> u64 {
        self.state.borrow().head
    }

    /// The number of the oldest event that is kept.
    pub fn oldest(&self) -> u64 {
        self.lock().ring.front().map_or(self.head(), |event| event.seq)
    }

    /// The next events for a reader, whose cursor moves past them.
    pub fn read(&self, cursor: &mut u64) -> Batch {
        let inner = self.lock();
        let state = *self.state.borrow();
        let at = inner.ring.partition_point(|event| event.seq < *cursor);
        let first = inner.ring.get(at).map_or(state.head, |event| event.seq);
        let missed = first.saturating_sub(inner.beginning.max(*cursor));
        *cursor = first.max(*cursor);
        let mut batch = Batch {
            missed,
            ..Batch::default()
        };
        for event in inner.ring.range(at..).take(BATCH) {
            if event.seq != *cursor {
                break;
            }
            batch.events.push(Arc::clone(event));
            *cursor += 1;
        }
        batch.closed = state.closed && *cursor >= state.head;
        batch
    }

    /// Until there is something at `cursor`, or never will be.
    pub async fn wait(&self, cursor: u64) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = state.wait_for(|state| state.head > cursor || state.closed).await;
    }

    /// The failure of this group, if it was lately.
    pub fn failure(&self, group: &str) -> Option<Arc<Event>> {
        self.lock().failures.get(group).cloned()
    }

    /// The remembered failures of groups whose ids begin like this, at most `limit`, in the order of their ids.
    pub fn failures(&self, prefix: &str, limit: usize) -> Vec<Arc<Event>> {
        let inner = self.lock();
        let from = inner.failures.range(prefix.to_owned()..);
        from.take_while(|(group, _)| group.starts_with(prefix))
            .take(limit)
            .map(|(_, event)| Arc::clone(event))
            .collect()
    }

    /// The id under which a reader can resume after this event.
    pub fn resume_id(&self, seq: u64) -> String {
        format!("{}.{seq}", self.life)
    }

    /// Where a reader goes on that has seen everything up to this id; `None` when the id is of another life.
    pub fn resume(&self, id: &str) -> Option<u64> {
        let (life, seq) = id.rsplit_once('.')?;
        let next = seq.parse::<u64>().ok()?.checked_add(1)?;
        (life == self.life && next <= self.head()).then_some(next)
    }

    /// The announcement of a gap that ends before `cursor`.
    pub fn gap(&self, missed: Option<u64>, cursor: u64) -> Event {
        let message = match missed {
            Some(missed) => format!("{missed} events were lost here"),
            None => "the node has another life since: events were lost here".to_owned(),
        };
        Event {
            missed,
            ..stamped(
                News::named(GAP).message(message),
                cursor.saturating_sub(1),
                SystemTime::now(),
            )
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, group: String, event: Arc<Event>) {
        if self.failures.insert(group.clone(), event).is_none() {
            self.oldest_failures.push_back(group);
        }
        if self.oldest_failures.len() > MAX_FAILURES
            && let Some(oldest) = self.oldest_failures.pop_front()
        {
            self.failures.remove(&oldest);
        }
    }
}

/// The event with its number and its time.
pub fn stamped(news: News, seq: u64, time: SystemTime) -> Event {
    Event {
        event: news.event.to_owned(),
        group: news.group,
        peer: news.peer,
        reason: news.reason,
        message: news.message,
        missed: None,
        seq,
        time: humantime::format_rfc3339_millis(time).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(log: &EventLog, group: &str) {
        log.append(News::named(FAILED).group(group), log.head(), SystemTime::UNIX_EPOCH);
    }

    fn sequence(batch: &Batch) -> Vec<u64> {
        batch.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn a_reader_gets_everything_in_order_and_once() {
        let log = EventLog::new("1".into());
        let mut cursor = log.head();
        (0..3).for_each(|_| fail(&log, "a"));
        let batch = log.read(&mut cursor);
        assert_eq!((batch.missed, sequence(&batch)), (0, vec![1, 2, 3]));
        assert!(log.read(&mut cursor).events.is_empty());
    }

    #[test]
    fn whoever_falls_behind_is_told_how_far() {
        let log = EventLog::new("1".into());
        let mut cursor = log.head();
        (0..MAX_EVENTS + 10).for_each(|_| fail(&log, "a"));
        let batch = log.read(&mut cursor);
        assert_eq!(batch.missed, 10);
        assert_eq!(sequence(&batch)[0], 11);
        assert_eq!(batch.events.len(), BATCH);
    }

    #[test]
    fn what_was_lost_before_the_log_is_a_gap_too_even_at_its_end() {
        let log = EventLog::new("1".into());
        let mut cursor = log.head();
        fail(&log, "a");
        log.lost(5);
        fail(&log, "b");
        log.lost(2);
        let batches: Vec<_> = (0..3)
            .map(|_| log.read(&mut cursor))
            .map(|batch| (batch.missed, sequence(&batch)))
            .collect();
        assert_eq!(batches, [(0, vec![1]), (5, vec![7]), (2, vec![])]);
        assert_eq!(cursor, log.head());
    }

    #[test]
    fn what_happened_before_the_first_event_is_no_gap() {
        let log = EventLog::new("1".into());
        let mut cursor = log.head();
        log.append(News::named("joined"), 3, SystemTime::UNIX_EPOCH);
        let batch = log.read(&mut cursor);
        assert_eq!((batch.missed, sequence(&batch)), (0, vec![3]));

        let log = EventLog::new("1".into());
        let mut cursor = log.head();
        log.lost(2);
        log.append(News::named("joined"), 3, SystemTime::UNIX_EPOCH);
        assert_eq!(log.read(&mut cursor).missed, 2);
    }

    #[test]
    fn a_closed_log_is_read_to_its_end() {
        let log = EventLog::new("1".into());
        let mut cursor = log.head();
        (0..BATCH + 1).for_each(|_| fail(&log, "a"));
        log.close();
        assert!(!log.read(&mut cursor).closed);
        assert!(log.read(&mut cursor).closed);
    }

    #[test]
    fn resuming_needs_an_id_of_this_life() {
        let log = EventLog::new("a1".into());
        fail(&log, "a");
        assert_eq!(log.resume(&log.resume_id(1)), Some(2));
        assert_eq!(log.resume("a1.0"), Some(1));
        assert_eq!(log.resume("a1.2"), None);
        assert_eq!(log.resume("b2.1"), None);
        assert_eq!(log.resume("1"), None);
        assert_eq!(log.resume("a1.18446744073709551615"), None);
    }

    #[test]
    fn failures_are_found_by_prefix_and_forgotten_in_order() {
        let log = EventLog::new("1".into());
        ["ab1", "ab2", "b"].into_iter().for_each(|group| fail(&log, group));
        assert_eq!(log.failures("ab", 10).len(), 2);
        assert_eq!(log.failures("ab", 1).len(), 1);
        assert!(log.failure("b").is_some() && log.failure("a").is_none());
        (0..MAX_FAILURES - 2).for_each(|at| fail(&log, &format!("x{at}")));
        assert!(log.failure("ab1").is_none() && log.failure("ab2").is_some());
    }

    #[tokio::test]
    async fn waiting_ends_with_news_and_with_the_end() {
        let log = EventLog::new("1".into());
        fail(&log, "a");
        log.wait(1).await;
        log.close();
        log.wait(2).await;
    }
}
