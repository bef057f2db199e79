//! At the leader: entries go to everybody, acknowledgements come back, and what all have is told.

use std::collections::BTreeMap;

use super::message::{Class, Frame, Item, Marks};
use super::{Config, Output, Role, Step, Stream, Timer, start};
use crate::log::Log;
use crate::numbers::{Node, Seq, ViewNumber};
use crate::view::View;

/// What a leader knows of the view.
#[derive(Clone, Debug, Hash)]
pub(super) struct Leading {
    pub view: ViewNumber,
    /// Everybody else.
    pub lines: BTreeMap<Node, Line>,
    /// Of each node the last submission that has a number.
    pub numbered: BTreeMap<Node, u64>,
    marks: Marks,
    /// The last committed entry that was not delivered before it was committed: somebody waits for the word.
    urgent: Seq,
}

/// What a leader knows of another node.
#[derive(Clone, Debug, Hash)]
pub(super) struct Line {
    /// It has all up to this one.
    pub have: Seq,
    /// All up to this one were sent; at least `have`.
    pub sent: Seq,
    /// Bytes that were sent and are not acknowledged.
    flight: usize,
    /// Bytes that were sent since an acknowledgement was asked for.
    unasked: usize,
    /// It was told that all up to this one are stable.
    pub told: Seq,
    /// It waits for a word on how far the others have come.
    pub asks: bool,
    /// An acknowledgement is asked for without an entry.
    pub probe: bool,
    /// Nothing is sent: the pipe is full.
    pub full: bool,
    /// Nothing is sent until a repetition is due: the pipe broke again before anything was heard.
    pub broken: bool,
    /// Repetitions since it has acknowledged anything.
    pub repeated: u32,
    lagging: bool,
    /// A submission of it was turned away and has not come again.
    pub waits: bool,
    /// It is called for its submissions as soon as there is room for the one that was turned away.
    pub call: bool,
    /// The bytes of that one.
    pub wants: usize,
}

impl Line {
    fn new(cut: Seq) -> Line {
        Line {
            have: cut,
            sent: cut,
            flight: 0,
            unasked: 0,
            told: cut,
            asks: false,
            probe: false,
            full: false,
            broken: false,
            repeated: 0,
            lagging: false,
            waits: false,
            call: false,
            wants: 0,
        }
    }

    fn is_open(&self) -> bool {
        !self.full && !self.broken
    }

    /// What is behind this one has to be sent again.
    pub fn back_to(&mut self, seq: Seq, log: Option<&Log>) {
        self.sent = self.sent.min(seq).max(self.have);
        self.flight = bytes(log, self.have, self.sent);
    }

    /// It has all up to this one; says whether that is news.
    fn acknowledge(&mut self, seq: Seq, log: Option<&Log>) -> bool {
        let news = seq > self.have && log.is_some_and(|log| seq <= log.have());
        if news {
            self.have = seq;
            self.sent = self.sent.max(seq);
            self.flight = bytes(log, self.have, self.sent);
            self.repeated = 0;
            self.lagging = false;
        }
        news
    }

    fn progress(&mut self, view: ViewNumber, marks: Marks) -> Frame {
        let ack = std::mem::take(&mut self.probe);
        self.asks = false;
        self.told = marks.stable;
        Frame::Progress {
            view,
            last: self.sent,
            marks,
            ack,
        }
    }
}

/// Bytes of the entries behind the first up to the second.
pub(super) fn bytes(log: Option<&Log>, after: Seq, last: Seq) -> usize {
    let Some(log) = log else { return 0 };
    let numbers = after.0.saturating_add(1)..=last.0;
    numbers
        .filter_map(|seq| log.get(Seq(seq)))
        .map(|entry| entry.0.len())
        .sum()
}

impl Leading {
    pub fn new(me: Node, view: &View, numbered: BTreeMap<Node, u64>) -> Leading {
        let others = view.voters.iter().map(|voter| voter.node).filter(|node| *node != me);
        Leading {
            view: view.number,
            lines: others.map(|node| (node, Line::new(view.cut))).collect(),
            numbered,
            marks: Marks {
                stable: view.cut,
                committed: view.cut,
            },
            urgent: view.cut,
        }
    }

    /// How far all have come.
    ///
    /// "Committed: every voter of the view has it", the leader included.
    pub fn count(&mut self, log: Option<&Log>) -> Marks {
        let own = log.map(Log::have).unwrap_or_default();
        let least = self.lines.values().map(|line| line.have).min();
        let held = least.map_or(own, |least| least.min(own));
        let before = self.marks.committed;
        self.marks = Marks {
            stable: held,
            committed: held,
        };
        let news = before.0.saturating_add(1)..=held.0;
        let safe = |seq: &u64| {
            let item = log.and_then(|log| log.get(Seq(*seq))).and_then(Item::of);
            item.is_some_and(|item| item.class == Class::Safe)
        };
        if let Some(seq) = news.rev().find(safe) {
            self.urgent = Seq(seq);
        }
        self.marks
    }
}

impl Stream {
    /// A frame from another voter of the view that this node leads.
    pub(super) fn on_voters_frame(&mut self, step: &mut Step<'_>, from: Node, frame: Frame) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(line) = leading.lines.get_mut(&from) else {
            return;
        };
        (line.full, line.broken) = (false, false);
        match frame {
            Frame::Submit {
                have,
                number,
                class,
                body,
                ..
            } => {
                self.on_have(step, from, have, false);
                self.on_submit(step, from, number, class, &body);
            }
            Frame::Have { seq, ask, .. } => self.on_have(step, from, seq, ask),
            Frame::Resume { have, .. } => {
                self.on_have(step, from, have, false);
                self.on_voter_resumes(step, from, have);
            }
            Frame::Entry { .. } | Frame::Progress { .. } => {}
        }
    }

    fn on_have(&mut self, step: &mut Step<'_>, from: Node, seq: Seq, ask: bool) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(line) = leading.lines.get_mut(&from) else {
            return;
        };
        line.asks |= ask;
        if line.acknowledge(seq, step.shelf.log()) {
            self.timers.cancel(Timer::Repeat(from));
            self.timers.cancel(Timer::Lag(from));
        }
    }

    /// At the leader: whatever can be sent is, and whatever has to be waited for has its deadline.
    pub(super) fn feed(&mut self, step: &mut Step<'_>) {
        let Role::Leading(leading) = &mut self.role else { return };
        let last = step.shelf.log().map(Log::have).unwrap_or_default();
        let numbers = step.shelf.numbers();
        let mut untold = false;
        for (node, line) in &mut leading.lines {
            if line.is_open() {
                send_entries(step, &self.config, leading.view, leading.marks, *node, line);
                if line.probe || line.asks || line.told < leading.urgent {
                    step.send(*node, line.progress(leading.view, leading.marks));
                }
                if line.call && numbers && self.config.room(step.shelf.log(), line.wants, 1) {
                    line.call = false;
                    let taken = leading.numbered.get(node).copied().unwrap_or_default();
                    let (view, have) = (leading.view, line.sent);
                    step.send(*node, Frame::Resume { view, have, taken });
                }
                untold |= line.told < leading.marks.stable;
            }
            if line.have < last {
                let pause = self.config.pause(line.repeated);
                start(&mut self.timers, Timer::Repeat(*node), step.now + pause);
                if !line.lagging {
                    start(&mut self.timers, Timer::Lag(*node), step.now + self.config.lag_limit);
                }
            } else {
                line.repeated = 0;
                self.timers.cancel(Timer::Repeat(*node));
                self.timers.cancel(Timer::Lag(*node));
            }
        }
        if untold {
            start(&mut self.timers, Timer::Tell, step.now + self.config.idle);
        } else {
            self.timers.cancel(Timer::Tell);
        }
    }

    /// The group has been idle for a while: everybody is told what is stable.
    pub(super) fn tell_all(&mut self) {
        let Role::Leading(leading) = &mut self.role else { return };
        for line in leading.lines.values_mut() {
            line.asks |= line.told < leading.marks.stable;
        }
    }

    /// S5 "Whoever acknowledges nothing for `lag_limit` although there is something lags."
    pub(super) fn lags(&mut self, step: &mut Step<'_>, node: Node) {
        let Role::Leading(leading) = &mut self.role else { return };
        if let Some(line) = leading.lines.get_mut(&node) {
            line.lagging = true;
            let view = leading.view;
            step.out.push(Output::Lagging { node, view });
        }
    }
}

/// The entries that a node has not been sent, as many as may be on their way.
fn send_entries(step: &mut Step<'_>, config: &Config, view: ViewNumber, marks: Marks, to: Node, line: &mut Line) {
    while line.flight < config.flight {
        let seq = line.sent.next();
        let Some(entry) = step.shelf.log().and_then(|log| log.get(seq)).cloned() else {
            return;
        };
        let bytes = entry.0.len();
        line.sent = seq;
        line.flight = line.flight.saturating_add(bytes);
        line.unasked = line.unasked.saturating_add(bytes);
        line.told = line.told.max(marks.stable);
        // "Safe entries ask for their acknowledgement", and so does every second part of what may be on its way.
        let safe = Item::of(&entry).is_some_and(|item| item.class == Class::Safe);
        let ack = safe || line.unasked >= config.flight / 2;
        if ack {
            line.unasked = 0;
        }
        let frame = Frame::Entry {
            view,
            seq,
            entry,
            marks,
            ack,
        };
        step.send(to, frame);
    }
}
