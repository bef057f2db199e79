//! What has happened lately on this node: a bounded log that any number of readers follow at their own pace.
//!
//! Readers keep a cursor and pull; nothing is queued per reader. Whoever falls behind the log's end is told how many events it has
//! missed, and goes on from there: a gap is announced, never silent. Failures of groups, which a client must know of, do not fall out of the log
//! before every reader that is connected has them, and the latest are kept longer: whoever asks for a group that failed a moment ago must get
//! an answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use super::model::{Application, Event};

/// Events other than failures that are kept: a reader may be this far behind.
pub const MAX_EVENTS: usize = 4096;
/// Bytes of application state in these.
const MAX_STATES: usize = 16 * 1024 * 1024;
/// Failures that are kept.
const MAX_FAILURES: usize = 16_384;
/// Failures that are kept because a reader does not have them yet: some 80 MB.
const MAX_UNREAD: usize = 100_000;
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
    /// What the group's creator wants its members to know.
    pub application: Application,
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
/// The event of a group that was closed by its root.
pub const CLOSED: &str = "closed";
/// The event of a group that this node has left.
pub const LEFT: &str = "left";
/// Events after which nothing follows about their group.
const LAST_WORDS: [&str; 3] = [FAILED, CLOSED, LEFT];
/// The events of a group that this node has come into.
const BEGINNINGS: [&str; 3] = ["member", "observer", "created"];

/// Whether nothing follows about its group after this event.
pub fn is_last_word(event: &str) -> bool {
    LAST_WORDS.contains(&event)
}

/// The event that announces a gap.
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
    /// Events other than failures.
    ring: VecDeque<Arc<Event>>,
    /// Bytes of application state in the ring.
    states: usize,
    /// All such events before this one have left the ring.
    horizon: u64,
    failures: VecDeque<Arc<Event>>,
    /// The same, by their groups.
    failed: BTreeMap<String, Arc<Event>>,
    /// The number of the event that each reader reads next.
    readers: BTreeMap<u64, u64>,
    latest_reader: u64,
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
    /// The number of the event that the reader had asked for.
    pub from: u64,
    /// How many events were lost before these.
    pub missed: u64,
    /// The next events, in order.
    pub events: Vec<Arc<Event>>,
    /// Nothing more will come after these.
    pub closed: bool,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With the next event.
    Now,
    /// With the event of this number.
    At(u64),
    /// With everything that is kept.
    Oldest,
}

/// One reader's place in the log. While it lives, failures are kept for it.
#[derive(Debug)]
pub struct Cursor {
    log: Arc<EventLog>,
    /// Its name there.
    reader: u64,
    next: u64,
    /// Of what was lost before this, the reader has been told.
    told: u64,
}

impl Cursor {
    /// A place in this log.
    pub fn new(log: Arc<EventLog>, place: Place) -> Cursor {
        let mut inner = log.lock();
        let (next, told) = match place {
            Place::Now => (log.head(), 0),
            Place::At(next) => (next, 0),
            Place::Oldest => (inner.oldest().unwrap_or(log.head()), inner.horizon),
        };
        inner.latest_reader += 1;
        let reader = inner.latest_reader;
        inner.readers.insert(reader, next);
        drop(inner);
        Cursor {
            log,
            reader,
            next,
            told,
        }
    }

    /// The number of the event that comes next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The log.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// Until there is something to read, or never will be.
    pub async fn wait(&self) {
        self.log.wait(self.next).await;
    }

    /// The next events; the cursor moves past them.
    pub fn read(&mut self) -> Batch {
        let log = Arc::clone(&self.log);
        let mut inner = log.lock();
        let state = *log.state.borrow();
        let mut batch = Batch {
            from: self.next,
            missed: self.behind_the_horizon(&inner),
            ..Batch::default()
        };
        let mut events = inner.from(self.next);
        while batch.events.len() < BATCH {
            let event = events.next();
            let number = event.map_or(state.head, |event| event.seq);
            let expected = self.next.max(self.told).max(inner.beginning);
            if number > expected {
                // Told in front of what comes behind it.
                if !batch.events.is_empty() {
                    break;
                }
                batch.missed += number - expected;
                self.told = number;
            }
            let Some(event) = event else {
                self.next = self.next.max(number);
                break;
            };
            batch.events.push(Arc::clone(event));
            self.next = event.seq + 1;
        }
        drop(events);
        batch.closed = state.closed && self.next >= state.head;
        inner.readers.insert(self.reader, self.next);
        batch
    }

    /// What has left the ring before this reader came to it, is told at once: the failures that are kept lie among it.
    fn behind_the_horizon(&mut self, inner: &Inner) -> u64 {
        let from = self.next.max(self.told).max(inner.beginning);
        let lost = inner.horizon.saturating_sub(from);
        if lost == 0 {
            return 0;
        }
        self.told = inner.horizon;
        let place = |number: u64| inner.failures.partition_point(|event| event.seq < number);
        lost - (place(inner.horizon) - place(from)) as u64
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.log.lock().readers.remove(&self.reader);
    }
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
        if inner.beginning == 0 {
            inner.beginning = seq;
        }
        match &event.group {
            Some(group) if is_last_word(&event.event) => inner.remember(group.clone(), event),
            Some(group) if BEGINNINGS.contains(&event.event.as_str()) => {
                // A group that was left may be joined again.
                inner.failed.remove(group);
                inner.push(event);
            }
            _ => inner.push(event),
        }
        self.state.send_modify(|state| state.head = seq + 1);
    }

    /// Events were lost before they came here. How many, the number of the next one says: until it has come, with the failures that lie among
    /// them, nobody may read past these. Only of what was lost before the very first event this log would otherwise know nothing.
    pub fn lost(&self) {
        let mut inner = self.lock();
        if inner.beginning == 0 {
            inner.beginning = 1;
        }
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

    /// Until there is something at `cursor`, or never will be.
    pub async fn wait(&self, cursor: u64) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = state.wait_for(|state| state.head > cursor || state.closed).await;
    }

    /// The failure of this group, if it was lately.
    pub fn failure(&self, group: &str) -> Option<Arc<Event>> {
        self.lock().failed.get(group).cloned()
    }

    /// The remembered failures of groups whose ids begin like this, at most `limit`, in the order of their ids.
    pub fn failures(&self, prefix: &str, limit: usize) -> Vec<Arc<Event>> {
        let inner = self.lock();
        let from = inner.failed.range(prefix.to_owned()..);
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

    /// The announcement of a gap for a reader that would have read `next`. It has the number before: who resumes there is told again, and gets the
    /// failures that lie behind it.
    pub fn gap(&self, missed: Option<u64>, next: u64) -> Event {
        let message = match missed {
            Some(missed) => format!("{missed} events were lost here"),
            None => "the node has another life since: events were lost here".to_owned(),
        };
        Event {
            missed,
            ..stamped(
                News::named(GAP).message(message),
                next.saturating_sub(1),
                SystemTime::now(),
            )
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, event: Arc<Event>) {
        self.states += event.application.size();
        while (self.ring.len() >= MAX_EVENTS || self.states > MAX_STATES)
            && let Some(oldest) = self.ring.pop_front()
        {
            self.states -= oldest.application.size();
            self.horizon = oldest.seq + 1;
        }
        self.ring.push_back(event);
    }

    fn remember(&mut self, group: String, event: Arc<Event>) {
        self.failed.insert(group, Arc::clone(&event));
        self.failures.push_back(event);
        while self.has_too_many()
            && let Some(oldest) = self.failures.pop_front()
            && let Some(group) = &oldest.group
        {
            if self.failed.get(group).is_some_and(|newest| newest.seq == oldest.seq) {
                self.failed.remove(group);
            }
        }
    }

    /// Whether the oldest failure is to be forgotten.
    fn has_too_many(&self) -> bool {
        let Some(oldest) = self.failures.front().filter(|_| self.failures.len() > MAX_FAILURES) else {
            return false;
        };
        self.failures.len() > MAX_UNREAD || self.readers.values().all(|next| *next > oldest.seq)
    }

    fn oldest(&self) -> Option<u64> {
        let fronts = [self.ring.front(), self.failures.front()];
        fronts.into_iter().flatten().map(|event| event.seq).min()
    }

    /// All events from this number on, in order.
    fn from(&self, number: u64) -> impl Iterator<Item = &Arc<Event>> {
        let behind = |events: &VecDeque<Arc<Event>>| events.partition_point(|event| event.seq < number);
        let mut others = self.ring.range(behind(&self.ring)..).peekable();
        let mut failures = self.failures.range(behind(&self.failures)..).peekable();
        std::iter::from_fn(move || match (others.peek(), failures.peek()) {
            (Some(other), Some(failure)) if failure.seq < other.seq => failures.next(),
            (None, _) => failures.next(),
            _ => others.next(),
        })
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
        application: news.application,
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

    fn link(log: &EventLog) {
        log.append(News::named("link_up"), log.head(), SystemTime::UNIX_EPOCH);
    }

    fn log() -> (Arc<EventLog>, Cursor) {
        let log = Arc::new(EventLog::new("1".into()));
        (Arc::clone(&log), Cursor::new(log, Place::Now))
    }

    fn sequence(batch: &Batch) -> Vec<u64> {
        batch.events.iter().map(|event| event.seq).collect()
    }

    /// Everything up to the end, and how many events were said to be lost.
    fn rest(cursor: &mut Cursor) -> (Vec<u64>, u64) {
        let (mut all, mut missed) = (Vec::new(), 0);
        loop {
            let batch = cursor.read();
            if batch.missed == 0 && batch.events.is_empty() {
                return (all, missed);
            }
            missed += batch.missed;
            all.extend(sequence(&batch));
        }
    }

    #[test]
    fn a_reader_gets_everything_in_order_and_once() {
        let (log, mut cursor) = log();
        fail(&log, "a");
        link(&log);
        fail(&log, "b");
        let batch = cursor.read();
        assert_eq!((batch.missed, sequence(&batch)), (0, vec![1, 2, 3]));
        assert!(cursor.read().events.is_empty());
    }

    #[test]
    fn whoever_falls_behind_is_told_how_far() {
        let (log, mut cursor) = log();
        (0..MAX_EVENTS + 10).for_each(|_| link(&log));
        let batch = cursor.read();
        assert_eq!((batch.from, batch.missed), (1, 10));
        assert_eq!(sequence(&batch)[0], 11);
        assert_eq!(batch.events.len(), BATCH);
        assert_eq!(rest(&mut cursor).1, 0);
    }

    #[test]
    fn large_states_leave_the_log_sooner() {
        let (log, mut cursor) = log();
        let application = Application::of("x".repeat(16 * 1024).as_bytes());
        for _ in 0..2000 {
            let news = News {
                application: application.clone(),
                ..News::named("invited")
            };
            log.append(news, log.head(), SystemTime::UNIX_EPOCH);
        }
        assert_eq!(rest(&mut cursor), ((977..=2000).collect::<Vec<u64>>(), 976));
    }

    #[test]
    fn whoever_falls_behind_gets_every_failure_all_the_same() {
        let (log, mut cursor) = log();
        for at in 0..MAX_EVENTS + 10 {
            link(&log);
            fail(&log, &at.to_string());
        }
        // Ten of the others are lost, which is told once, although failures lie between them.
        let batch = cursor.read();
        assert_eq!(
            (batch.missed, &sequence(&batch)[..11]),
            (10, &[2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 21][..])
        );
        let (later, missed) = rest(&mut cursor);
        assert_eq!((batch.events.len() + later.len(), missed), (2 * MAX_EVENTS + 10, 0));
    }

    #[test]
    fn failures_wait_for_who_is_connected_within_bounds() {
        let (log, mut cursor) = log();
        let mut quick = Cursor::new(Arc::clone(&log), Place::Now);
        for at in 0..=MAX_UNREAD {
            fail(&log, &at.to_string());
            quick.read();
        }
        let (all, missed) = rest(&mut cursor);
        assert_eq!((all.len(), all[0], missed), (MAX_UNREAD, 2, 1));
        drop(quick);
        fail(&log, "later");
        assert_eq!(log.lock().failures.len(), MAX_FAILURES);
        assert_eq!(log.lock().failed.len(), MAX_FAILURES);
        // Whoever comes back later gets what is kept.
        assert_eq!(
            rest(&mut Cursor::new(Arc::clone(&log), Place::At(1))).0.len(),
            MAX_FAILURES
        );
        assert_eq!(rest(&mut Cursor::new(log, Place::Oldest)).0.len(), MAX_FAILURES);
    }

    #[test]
    fn who_is_gone_is_waited_for_no_more() {
        let (log, cursor) = log();
        (0..MAX_FAILURES + 10).for_each(|at| fail(&log, &at.to_string()));
        assert_eq!(log.lock().failures.len(), MAX_FAILURES + 10);
        drop(cursor);
        fail(&log, "later");
        assert_eq!(log.lock().failures.len(), MAX_FAILURES);
    }

    #[test]
    fn what_was_lost_before_the_log_is_a_gap_around_the_failures_among_it() {
        let (log, mut cursor) = log();
        fail(&log, "a");
        log.lost();
        // Whoever reads now must not pass by the failures that lie among what was lost, and are still to come.
        assert_eq!(sequence(&cursor.read()), [1]);
        log.append(News::named(FAILED).group("b"), 4, SystemTime::UNIX_EPOCH);
        log.append(News::named("link_up"), 7, SystemTime::UNIX_EPOCH);
        let batches: Vec<_> = (0..2)
            .map(|_| cursor.read())
            .map(|batch| (batch.missed, sequence(&batch)))
            .collect();
        assert_eq!(batches, [(2, vec![4]), (2, vec![7])]);
        assert_eq!(cursor.next(), log.head());
    }

    #[test]
    fn what_happened_before_the_first_event_is_no_gap() {
        let (log, mut cursor) = log();
        log.append(News::named("joined"), 3, SystemTime::UNIX_EPOCH);
        let batch = cursor.read();
        assert_eq!((batch.missed, sequence(&batch)), (0, vec![3]));

        let (log, mut cursor) = self::log();
        log.lost();
        log.append(News::named("joined"), 3, SystemTime::UNIX_EPOCH);
        assert_eq!(cursor.read().missed, 2);
    }

    #[test]
    fn a_closed_log_is_read_to_its_end() {
        let (log, mut cursor) = log();
        (0..BATCH + 1).for_each(|at| fail(&log, &at.to_string()));
        log.close();
        assert!(!cursor.read().closed);
        assert!(cursor.read().closed);
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
