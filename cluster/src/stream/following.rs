//! At everybody but the leader: entries come in, acknowledgements and submissions go out.

use super::feeding::bytes;
use super::message::{Frame, Marks};
use super::{Role, Step, Stream, Timer, start};
use crate::log::{Entry, Log};
use crate::numbers::{Node, Seq, ViewNumber};

/// What a node knows of the view that another leads.
#[derive(Clone, Debug, Hash)]
pub(super) struct Following {
    pub view: ViewNumber,
    pub leader: Node,
    /// The leader knows that all up to this one are here.
    acked: Seq,
    /// The last entry that the leader has spoken of.
    pub known: Seq,
    /// What it has said last of the others.
    pub marks: Marks,
    /// An acknowledgement is due.
    pub ack_now: bool,
    /// The leader is asked how far the others are.
    pub ask: bool,
    /// The leader was told that entries are missing behind this one.
    resumed: Option<Seq>,
    /// Something that the leader has said was lost: entries may be missing, whatever was said of it before.
    pub missed: bool,
    /// Nothing is sent: the pipe is full.
    pub full: bool,
    /// Nothing is sent until a repetition is due: the pipe broke again before anything was heard.
    pub broken: bool,
    /// Repetitions since anything has changed.
    pub repeated: u32,
    /// Where everything stood when the last repetition was scheduled.
    stood: (Seq, Marks, bool),
}

impl Following {
    pub fn new(view: ViewNumber, leader: Node, cut: Seq) -> Following {
        let marks = Marks {
            stable: cut,
            committed: cut,
        };
        Following {
            view,
            leader,
            acked: cut,
            known: cut,
            marks,
            ack_now: false,
            ask: false,
            resumed: None,
            missed: false,
            full: false,
            broken: false,
            repeated: 0,
            stood: (cut, marks, false),
        }
    }

    fn hear(&mut self, marks: Marks, known: Seq) {
        self.marks.stable = self.marks.stable.max(marks.stable);
        self.marks.committed = self.marks.committed.max(marks.committed);
        self.known = self.known.max(known);
    }

    /// The leader learns how much is here.
    fn acknowledged(&mut self, have: Seq) {
        self.acked = have;
        self.ack_now = false;
    }
}

impl Stream {
    /// A frame from the leader of the view.
    pub(super) fn on_leaders_frame(&mut self, step: &mut Step<'_>, frame: Frame) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        (following.full, following.broken) = (false, false);
        match frame {
            Frame::Entry {
                seq, entry, marks, ack, ..
            } => self.on_entry(step, seq, entry, marks, ack),
            Frame::Progress { last, marks, ack, .. } => {
                following.hear(marks, last);
                self.asked(ack);
            }
            Frame::Resume { have, taken, .. } => self.on_leader_resumes(have, taken),
            Frame::Submit { .. } | Frame::Have { .. } => {}
        }
    }

    fn on_entry(&mut self, step: &mut Step<'_>, seq: Seq, entry: Entry, marks: Marks, ack: bool) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        following.hear(marks, seq);
        // What everybody has goes first, so that the window is kept here as well.
        self.advance(step);
        let next = step.shelf.log().is_some_and(|log| seq == log.have().next());
        if next && entry.0.len() <= super::MAX_ENTRY && self.config.room(step.shelf.log(), 0, 1) {
            step.shelf.append(entry);
            self.advance(step);
        }
        self.asked(ack);
    }

    /// The leader wants an acknowledgement; if entries are missing, it is told so again.
    fn asked(&mut self, ack: bool) {
        if let Role::Following(following) = &mut self.role
            && ack
        {
            following.ack_now = true;
            following.resumed = None;
        }
    }

    pub(super) fn acknowledge_now(&mut self) {
        if let Role::Following(following) = &mut self.role {
            following.ack_now = true;
        }
    }

    /// At everybody but the leader: whatever can be sent is, and whatever has to be waited for has its deadline.
    pub(super) fn follow(&mut self, step: &mut Step<'_>) {
        self.note_progress(step);
        self.send_submissions(step);
        self.send_have(step);
        let Role::Following(following) = &mut self.role else {
            return;
        };
        let open = !following.full && !following.broken;
        let (have, stable) = step
            .shelf
            .log()
            .map_or((following.known, true), |log| (log.have(), log.is_empty()));
        if have > following.acked && open {
            start(&mut self.timers, Timer::Acknowledge, step.now + self.config.idle);
        } else {
            self.timers.cancel(Timer::Acknowledge);
        }
        if self.own.unlogged() || have < following.known || !stable {
            start(
                &mut self.timers,
                Timer::Ask,
                step.now + self.config.pause(following.repeated),
            );
        } else {
            following.repeated = 0;
            self.timers.cancel(Timer::Ask);
        }
    }

    /// Whoever sees something change is patient again.
    fn note_progress(&mut self, step: &Step<'_>) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        let have = step.shelf.log().map(Log::have).unwrap_or_default();
        let stands = (have, following.marks, self.own.unlogged());
        if stands != following.stood {
            following.stood = stands;
            following.repeated = 0;
            self.timers.cancel(Timer::Ask);
        }
    }

    /// As many as may be on their way; after a repetition one alone, until it has its place.
    fn send_submissions(&mut self, step: &mut Step<'_>) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        let have = step.shelf.log().map(Log::have).unwrap_or_default();
        while !following.full
            && !following.broken
            && (following.repeated == 0 || self.own.none_under_way())
            && self.own.flight() < self.config.flight
            && let Some((number, waiting)) = self.own.next()
        {
            let frame = Frame::Submit {
                view: following.view,
                have,
                number,
                class: waiting.class,
                body: waiting.body.clone(),
            };
            step.send(following.leader, frame);
            self.own.went();
            following.acknowledged(have);
        }
    }

    /// S4: "acknowledged at a quarter of the window, at once when asked, else after an idle time"; S7: "what is missing is asked for".
    fn send_have(&mut self, step: &mut Step<'_>) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        if following.full || following.broken {
            return;
        }
        let log = step.shelf.log();
        let (have, view) = (log.map(Log::have).unwrap_or_default(), following.view);
        if following.missed || (have < following.known && following.resumed != Some(have)) {
            following.missed = false;
            following.resumed = Some(have);
            following.acknowledged(have);
            return step.send(following.leader, Frame::Resume { view, have, taken: 0 });
        }
        let entries = have.0.saturating_sub(following.acked.0);
        let quarter = entries >= (self.config.window_entries / 4) as u64
            || bytes(log, following.acked, have) >= self.config.window_bytes / 4;
        if following.ack_now || following.ask || quarter {
            let ask = std::mem::take(&mut following.ask);
            following.acknowledged(have);
            step.send(following.leader, Frame::Have { view, seq: have, ask });
        }
    }
}
