//! One direction of one TCP connection.
//!
//! While nothing is wrong with the wire, a message arrives after its delay and nothing overtakes it: that is all, and it costs one event.
//! Otherwise a [`Sender`] takes over, until everything has been acknowledged. It has the parts that decide *when* bytes arrive:
//!
//! - the **process's queue**, in which urgent messages overtake the others (`node/src/queue.rs`), and which overflows;
//! - the **kernel's buffer** of [`KERNEL_BUFFER`] bytes, in which nothing overtakes; it holds what is not acknowledged yet;
//! - **segments** of [`SEGMENT`] bytes that are lost one by one, kept at the receiver until what is before them has come, and acknowledged
//!   cumulatively and selectively (RFC 2018); acknowledgements are lost too;
//! - the **retransmission timer**: one round trip and 200 ms after the last progress (RFC 6298 with Linux's smallest variance, `TCP_RTO_MIN`;
//!   the estimate of the round trip is taken to be right). After a timeout the window is one segment (RFC 5681). Our streams set
//!   `TCP_THIN_LINEAR_TIMEOUTS`: with fewer than four segments in flight the first six timeouts are equally long
//!   (Linux, `tcp_retransmit_timer`, `TCP_THIN_LINEAR_RETRIES`); after these, and with more, each is twice the one before, up to 120 s;
//! - **fast retransmission**: a segment is lost when three that were sent after it have been acknowledged (RFC 5681, RFC 6675);
//! - the **end**: after [`GIVE_UP`] without progress the connection is given up (Linux, `tcp_retries2` = 15).
//!
//! Each segment is acknowledged at once, and again by whatever travels the other way. (A kernel puts an acknowledgement that an answer follows within
//! 40 ms into that answer alone.) Left out: tail loss probes, which would make things faster; congestion avoidance. The receiver's window: `windows.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use fatebound_machine::overlay::Time;

use crate::PeerIndex;
use crate::wire::Network;

/// Bytes of one segment: an Ethernet frame's, without headers and time stamps.
const SEGMENT: usize = 1448;
/// Bytes in the kernel's buffer: 64 KiB, between Linux's first size (16 KiB) and what it grows to on fast long paths (4 MiB, `tcp_wmem`).
const KERNEL_BUFFER: usize = 64 * 1024;
/// Bytes and messages that wait in a process's queue at most, as in `node/src/queue.rs`.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
const QUEUE_MESSAGES: usize = 65_536;
/// Around a message: its length, Yamux' header, Noise's tag, TCP and IP.
const HEADERS: usize = 80;
/// Segments on their way at first (RFC 6928).
const FIRST_WINDOW: usize = 10;
/// The retransmission timer's share beyond the round trip, and its longest time.
const TIMER_LEAST: Duration = Duration::from_millis(200);
const TIMER_MOST: Duration = Duration::from_secs(120);
/// With fewer segments in flight a stream is thin; so many timeouts of it are equally long.
const THIN: usize = 4;
const LINEAR_TIMEOUTS: u32 = 6;
/// Segments sent later that have arrived, by which an earlier one is known to be lost.
const DUPLICATES: u8 = 3;
/// How long a connection lives without progress: 15 doubled timeouts from 200 ms on, some 15 minutes (Linux, `ip-sysctl`).
const GIVE_UP: Duration = Duration::from_millis(924_600);

/// No segment has this number.
pub(crate) const NONE: u64 = u64::MAX;

/// The queue is at its limit; the message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// What is to happen later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// A segment reaches the other host; it says that of the other direction all segments before `below` have arrived.
    Segment { number: u64, below: u64 },
    /// An acknowledgement reaches this one: of all segments before `below`, and of this one.
    Acknowledgement { below: u64, number: u64 },
    /// The timer.
    Timer,
    /// The other host has room again.
    Window,
}

/// What follows from a step of a pipe.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) later: Vec<(Time, Later)>,
    /// No progress for too long.
    pub(crate) given_up: bool,
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe<T> {
    /// When the last thing on it arrives: nothing overtakes it.
    last: Time,
    /// The number of the next segment, while there is no sender: what is still on its way from an earlier one means nothing to the next.
    next: u64,
    sender: Option<Box<Sender<T>>>,
}

impl<T> Default for Pipe<T> {
    fn default() -> Self {
        Pipe {
            last: Time::ZERO,
            next: 0,
            sender: None,
        }
    }
}

/// The surroundings of a pipe at one moment.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) from: PeerIndex,
    pub(crate) to: PeerIndex,
    pub(crate) network: &'a mut Network,
    /// Nothing gets through any more, for a reason that is the connection's own.
    pub(crate) dead: bool,
    /// Bytes that the other host takes before its process has to read; `None`: any number.
    pub(crate) room: Option<usize>,
    /// What this end has of the other direction: all segments before this one.
    pub(crate) received: u64,
    pub(crate) effects: &'a mut Effects,
}

impl<T> Pipe<T> {
    /// When a message put on the pipe now arrives, if nothing is wrong; it cannot be lost then.
    pub(crate) fn fast(&mut self, cx: &mut Context<'_>) -> Option<Time> {
        if self.sender.is_some() || cx.dead || cx.room.is_some() || !cx.network.is_well(cx.from, cx.to) {
            return None;
        }
        let arrival = cx.network.arrival(cx.now, cx.from, cx.to, 0);
        self.last = self.last.max(arrival);
        Some(self.last)
    }

    /// Puts a message on the pipe, the slow way.
    pub(crate) fn push(
        &mut self,
        cx: &mut Context<'_>,
        message: T,
        bytes: usize,
        urgent: bool,
    ) -> Result<(), Overflow> {
        let next = self.next;
        let sender = self.sender.get_or_insert_with(|| Box::new(Sender::new(next)));
        sender.queue.push(message, bytes, urgent)?;
        sender.go_on(cx, &mut self.last);
        Ok(())
    }

    /// Nothing arrives before this time.
    pub(crate) fn delay(&mut self, until: Time) {
        self.last = self.last.max(until);
    }

    /// The process is gone: what it had not handed to the kernel is lost.
    pub(crate) fn forget_queue(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.queue = Queue::default();
        }
    }

    /// Forgets what waits in the process's queue and is not to be kept.
    pub(crate) fn retain_queue(&mut self, keep: impl Fn(&T) -> bool) {
        if let Some(sender) = &mut self.sender {
            sender.queue.retain(keep);
        }
    }

    /// A segment has arrived at the other host; returns the messages that are whole and in order now.
    pub(crate) fn on_segment(&mut self, cx: &mut Context<'_>, number: u64) -> Vec<T> {
        let Some(sender) = &mut self.sender else {
            return Vec::new();
        };
        let whole = sender.arrived(number);
        if !cx.dead && !cx.network.loses(cx.to, cx.from) {
            let at = cx.network.arrival(cx.now, cx.to, cx.from, 0);
            let below = sender.expected;
            cx.effects.later.push((at, Later::Acknowledgement { below, number }));
        }
        whole
    }

    /// An acknowledgement has come back.
    pub(crate) fn on_acknowledgement(&mut self, cx: &mut Context<'_>, below: u64, number: u64) {
        let Some(sender) = self
            .sender
            .as_mut()
            .filter(|sender| below > sender.first || number != NONE)
        else {
            return;
        };
        sender.acknowledged(cx, below, number);
        sender.go_on(cx, &mut self.last);
        if sender.is_idle() {
            self.next = sender.first;
            self.sender = None;
        }
    }

    /// All segments before this one have reached the other host.
    pub(crate) fn received(&self) -> u64 {
        self.sender.as_ref().map_or(self.next, |sender| sender.expected)
    }

    /// Bytes that wait at the sender, or have not been acknowledged.
    pub(crate) fn waiting(&self) -> usize {
        let sender = self.sender.as_ref();
        sender.map_or(0, |sender| sender.queue.bytes + sender.bytes)
    }

    /// The other host has room again.
    pub(crate) fn on_window(&mut self, cx: &mut Context<'_>) {
        if let Some(sender) = &mut self.sender {
            sender.go_on(cx, &mut self.last);
        }
    }

    /// The timer has come, perhaps one that counts no more.
    pub(crate) fn on_timer(&mut self, cx: &mut Context<'_>) {
        if let Some(sender) = &mut self.sender {
            sender.on_timer(cx, &mut self.last);
        }
    }
}

/// The process's own queue.
#[derive(Debug)]
struct Queue<T> {
    urgent: VecDeque<(T, usize)>,
    normal: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            urgent: VecDeque::new(),
            normal: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> Queue<T> {
    fn push(&mut self, message: T, bytes: usize, urgent: bool) -> Result<(), Overflow> {
        if self.len() >= QUEUE_MESSAGES || self.bytes + bytes > QUEUE_BYTES {
            return Err(Overflow);
        }
        self.bytes += bytes;
        let lane = if urgent { &mut self.urgent } else { &mut self.normal };
        lane.push_back((message, bytes));
        Ok(())
    }

    fn pop(&mut self) -> Option<(T, usize)> {
        let next = self.urgent.pop_front().or_else(|| self.normal.pop_front())?;
        self.bytes -= next.1;
        Some(next)
    }

    fn len(&self) -> usize {
        self.urgent.len() + self.normal.len()
    }

    fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.urgent.retain(|(message, _)| keep(message));
        self.normal.retain(|(message, _)| keep(message));
        self.bytes = self.urgent.iter().chain(&self.normal).map(|(_, bytes)| bytes).sum();
    }
}

/// What the sender knows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unsent,
    /// Sent as the so-manieth transmission; this many later ones have arrived.
    Sent {
        order: u64,
        overtaken: u8,
    },
    Lost,
    Received {
        order: u64,
    },
}

#[derive(Debug)]
struct Segment<T> {
    /// The message that ends here, until it is handed over.
    message: Option<T>,
    bytes: usize,
    fate: Fate,
    /// When its last transmission left the sender's side of the network, whatever became of it.
    departed: Time,
    /// Whether the receiver has it.
    arrived: bool,
}

/// The sending kernel, and what the receiving one keeps for the same connection.
#[derive(Debug)]
struct Sender<T> {
    queue: Queue<T>,
    segments: VecDeque<Segment<T>>,
    /// The number of the first of them.
    first: u64,
    /// The number of the first that the receiver does not have.
    expected: u64,
    bytes: usize,
    window: usize,
    transmissions: u64,
    /// Since the last progress.
    timeouts: u32,
    interval: Duration,
    trouble_since: Option<Time>,
    /// When the timer counts, and when it has been ordered.
    due: Time,
    ordered: Option<Time>,
}

impl<T> Sender<T> {
    fn new(next: u64) -> Sender<T> {
        Sender {
            queue: Queue::default(),
            segments: VecDeque::new(),
            first: next,
            expected: next,
            bytes: 0,
            window: FIRST_WINDOW,
            transmissions: 0,
            timeouts: 0,
            interval: Duration::ZERO,
            trouble_since: None,
            due: Time::ZERO,
            ordered: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.segments.is_empty() && self.queue.len() == 0
    }

    /// Fills the kernel's buffer and the window.
    fn go_on(&mut self, cx: &mut Context<'_>, last: &mut Time) {
        while self.bytes < KERNEL_BUFFER {
            let Some((message, bytes)) = self.queue.pop() else {
                break;
            };
            self.cut_up(message, bytes + HEADERS);
        }
        let mut under_way = self.under_way();
        let mut room = cx.room.map(|room| room.saturating_sub(self.bytes_under_way()));
        for index in 0..self.segments.len() {
            if under_way >= self.window || room == Some(0) {
                break;
            }
            if matches!(self.segments[index].fate, Fate::Unsent | Fate::Lost) {
                room = room.map(|room| room.saturating_sub(self.segments[index].bytes));
                self.transmit(cx, index, last);
                under_way += 1;
            }
        }
        if self.ordered.is_none() && !self.segments.is_empty() {
            self.arm(cx);
        }
    }

    fn cut_up(&mut self, message: T, bytes: usize) {
        let whole = (bytes.max(1) - 1) / SEGMENT;
        let segment = |message, bytes| Segment {
            message,
            bytes,
            fate: Fate::Unsent,
            departed: Time::ZERO,
            arrived: false,
        };
        self.segments.extend((0..whole).map(|_| segment(None, SEGMENT)));
        self.segments.push_back(segment(Some(message), bytes - whole * SEGMENT));
        self.bytes += bytes;
    }

    fn under_way(&self) -> usize {
        let sent = |segment: &&Segment<T>| matches!(segment.fate, Fate::Sent { .. });
        self.segments.iter().filter(sent).count()
    }

    fn bytes_under_way(&self) -> usize {
        let sent = |segment: &&Segment<T>| matches!(segment.fate, Fate::Sent { .. });
        self.segments.iter().filter(sent).map(|segment| segment.bytes).sum()
    }

    fn transmit(&mut self, cx: &mut Context<'_>, index: usize, last: &mut Time) {
        self.transmissions += 1;
        let segment = &mut self.segments[index];
        segment.fate = Fate::Sent {
            order: self.transmissions,
            overtaken: 0,
        };
        let arrival = cx.network.arrival(cx.now, cx.from, cx.to, segment.bytes);
        segment.departed = cx.now + arrival.since(cx.now).saturating_sub(cx.network.delay(cx.from, cx.to));
        if !cx.dead && !cx.network.loses(cx.from, cx.to) {
            *last = arrival.max(*last);
            let number = self.first + index as u64;
            let below = cx.received;
            cx.effects.later.push((*last, Later::Segment { number, below }));
        }
    }

    fn least_interval(&self, cx: &Context<'_>) -> Duration {
        TIMER_LEAST + cx.network.round_trip(cx.from, cx.to)
    }

    /// Sets the timer for the oldest segment under way. What queues for a narrow place is not late: an estimate of the round trip would have
    /// grown with the queue.
    fn arm(&mut self, cx: &mut Context<'_>) {
        if self.interval.is_zero() {
            self.interval = self.least_interval(cx);
        }
        let mut sent = self
            .segments
            .iter()
            .filter(|segment| matches!(segment.fate, Fate::Sent { .. }));
        let departed = sent.next().map_or(cx.now, |segment| segment.departed.max(cx.now));
        self.order_timer(cx, departed + self.interval);
    }

    fn order_timer(&mut self, cx: &mut Context<'_>, at: Time) {
        self.due = at;
        if self.ordered.is_none_or(|ordered| at < ordered) {
            self.ordered = Some(at);
            cx.effects.later.push((at, Later::Timer));
        }
    }

    /// At the receiver: takes a segment, returns what is complete.
    fn arrived(&mut self, number: u64) -> Vec<T> {
        let known = number.checked_sub(self.first).map(|index| index as usize);
        if let Some(segment) = known.and_then(|index| self.segments.get_mut(index)) {
            segment.arrived = true;
        }
        let mut whole = Vec::new();
        while let Some(segment) = self.segments.get_mut((self.expected - self.first) as usize) {
            if !segment.arrived {
                break;
            }
            whole.extend(segment.message.take());
            self.expected += 1;
        }
        whole
    }

    fn acknowledged(&mut self, cx: &mut Context<'_>, below: u64, number: u64) {
        let first = self.first;
        let mut newest = self.selected(number);
        while self.first < below {
            let Some(segment) = self.segments.pop_front() else {
                break;
            };
            self.first += 1;
            self.bytes -= segment.bytes;
            if let Fate::Sent { order, .. } | Fate::Received { order } = segment.fate {
                newest = newest.max(order);
                self.window += 1;
            }
        }
        if newest > 0 {
            self.notice_losses(newest);
        }
        // Only what is acknowledged without a gap is progress (RFC 6298, §5.3).
        if self.first > first {
            self.timeouts = 0;
            self.trouble_since = None;
            self.interval = self.least_interval(cx);
            self.arm(cx);
        }
    }

    /// Notes a segment that has arrived, perhaps beyond a gap; returns the order of its transmission if that is news.
    fn selected(&mut self, number: u64) -> u64 {
        let index = number.checked_sub(self.first).map(|index| index as usize);
        let segment = index.and_then(|index| self.segments.get_mut(index));
        let Some(segment) = segment else { return 0 };
        let Fate::Sent { order, .. } = segment.fate else {
            return 0;
        };
        segment.fate = Fate::Received { order };
        order
    }

    /// What was sent before the newest that has arrived has been overtaken once more.
    fn notice_losses(&mut self, newest: u64) {
        for segment in &mut self.segments {
            let Fate::Sent { order, overtaken } = &mut segment.fate else {
                continue;
            };
            if *order < newest {
                *overtaken += 1;
                if *overtaken >= DUPLICATES {
                    segment.fate = Fate::Lost;
                }
            }
        }
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, last: &mut Time) {
        if self.ordered != Some(cx.now) {
            return;
        }
        self.ordered = None;
        if self.segments.is_empty() {
            return;
        }
        if cx.now < self.due {
            return self.order_timer(cx, self.due);
        }
        // Nothing is missing: it is the other host that takes no more.
        if cx.room == Some(0) && self.under_way() == 0 {
            return self.order_timer(cx, cx.now + self.interval);
        }
        let since = *self.trouble_since.get_or_insert(cx.now);
        if cx.now.since(since) >= GIVE_UP {
            cx.effects.given_up = true;
            return;
        }
        self.time_out();
        self.go_on(cx, last);
    }

    /// Nothing was acknowledged for too long: all that is on its way counts as lost.
    fn time_out(&mut self) {
        let outstanding = self.segments.iter().filter(|segment| segment.fate != Fate::Unsent);
        let thin = outstanding.count() < THIN;
        self.timeouts += 1;
        if !(thin && self.timeouts <= LINEAR_TIMEOUTS) {
            self.interval = (2 * self.interval).min(TIMER_MOST);
        }
        self.window = 1;
        for segment in &mut self.segments {
            if matches!(segment.fate, Fate::Sent { .. }) {
                segment.fate = Fate::Lost;
            }
        }
    }
}

#[cfg(test)]
mod tests;
