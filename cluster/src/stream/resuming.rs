//! S7: after a pipe broke or was full, and when nothing comes back. Nothing is replayed: each end says what it has.

use fatebound_base::Rule;

use super::message::Frame;
use super::{Role, Step, Stream, Timer};
use crate::log::Log;
use crate::numbers::{Node, Seq, ViewNumber};
use crate::view::MAX_VOTERS;

impl Stream {
    /// S7 ◆ "Whoever says what it has is sent everything behind it."
    pub(super) fn on_voter_resumes(&mut self, step: &mut Step<'_>, from: Node, have: Seq) {
        if let Role::Leading(leading) = &mut self.role
            && let Some(line) = leading.lines.get_mut(&from)
            && Rule::StreamResumes.holds()
        {
            line.back_to(have, step.shelf.log());
        }
    }

    /// The leader calls for submissions, and says how many entries there are.
    pub(super) fn on_leader_resumes(&mut self, have: Seq, taken: u64) {
        if let Role::Following(following) = &mut self.role {
            following.known = following.known.max(have);
            following.repeated = 0;
            self.timers.cancel(Timer::Ask);
            self.own.back_to(taken);
        }
    }

    /// A frame was not taken: it goes again once there is room.
    pub(super) fn on_full(&mut self, step: &mut Step<'_>, node: Node, frame: &Frame) {
        match &mut self.role {
            Role::Leading(leading) if frame.view() == leading.view => {
                let Some(line) = leading.lines.get_mut(&node) else {
                    return;
                };
                line.full = true;
                match frame {
                    Frame::Entry { seq, .. } => {
                        let before = Seq(seq.0.saturating_sub(1));
                        line.back_to(before, step.shelf.log());
                    }
                    Frame::Progress { .. } => line.asks = true,
                    Frame::Resume { .. } => line.call = true,
                    Frame::Submit { .. } | Frame::Have { .. } => {}
                }
            }
            Role::Following(following) if frame.view() == following.view && node == following.leader => {
                following.full = true;
                // What it said of entries has not been said.
                following.ack_now = true;
                match frame {
                    Frame::Submit { number, .. } => self.own.back_to(number.saturating_sub(1)),
                    Frame::Have { ask, .. } => following.ask |= ask,
                    Frame::Resume { .. } => following.missed = true,
                    Frame::Entry { .. } | Frame::Progress { .. } => {}
                }
            }
            _ => {}
        }
    }

    /// There is room for what was not taken.
    pub(super) fn on_room(&mut self, node: Node) {
        match &mut self.role {
            Role::Leading(leading) => {
                if let Some(line) = leading.lines.get_mut(&node) {
                    line.full = false;
                }
            }
            Role::Following(following) if following.leader == node => following.full = false,
            _ => {}
        }
    }

    /// Whatever was on its way may be lost: that is found out at once; if the pipe breaks again before anything is heard, after a pause.
    pub(super) fn on_line_down(&mut self, step: &mut Step<'_>, node: Node) {
        match &mut self.role {
            Role::Leading(leading) => {
                let Some(line) = leading.lines.get_mut(&node) else {
                    return;
                };
                line.full = false;
                if step.shelf.log().is_some_and(|log| line.have < log.have()) {
                    line.broken = line.repeated > 0;
                    if !line.broken {
                        self.timers.cancel(Timer::Repeat(node));
                        self.repeat_to(node);
                    }
                }
            }
            Role::Following(following) if following.leader == node => {
                following.full = false;
                let stable = step.shelf.log().is_none_or(Log::is_empty);
                let have = step.shelf.log().map(Log::have).unwrap_or_default();
                if self.own.unlogged() || have < following.known || !stable {
                    following.broken = following.repeated > 0;
                    if !following.broken {
                        self.timers.cancel(Timer::Ask);
                        self.ask_again(step);
                    }
                }
            }
            _ => {}
        }
    }

    /// At the leader: a node has not acknowledged what it was sent. It is asked what it has.
    pub(super) fn repeat_to(&mut self, node: Node) {
        let Role::Leading(leading) = &mut self.role else { return };
        if let Some(line) = leading.lines.get_mut(&node) {
            line.repeated = line.repeated.saturating_add(1);
            (line.full, line.broken) = (false, false);
            line.probe = line.sent > line.have;
        }
    }

    /// Elsewhere: the leader has not answered. The oldest submission without a place goes again, missing entries are asked for, or what is known
    /// of the others.
    pub(super) fn ask_again(&mut self, step: &Step<'_>) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        following.repeated = following.repeated.saturating_add(1);
        (following.full, following.broken) = (false, false);
        following.missed = step.shelf.log().is_some_and(|log| log.have() < following.known);
        following.ask = step.shelf.log().is_some_and(|log| !log.is_empty());
        self.own.back_to(0);
    }

    /// Somebody speaks of a view to which this node has not come.
    pub(super) fn note_early(&mut self, from: Node, view: ViewNumber) {
        if self.early.len() < MAX_VOTERS || self.early.contains_key(&from) {
            self.early.insert(from, view);
        }
    }

    /// A view has begun: those who spoke of it before are told to say it again.
    pub(super) fn answer_early(&mut self, step: &mut Step<'_>, view: ViewNumber) {
        let early = std::mem::take(&mut self.early);
        if !step.shelf.open() {
            return;
        }
        for (node, _) in early.into_iter().filter(|(_, of)| *of == view) {
            match &mut self.role {
                Role::None => {}
                Role::Leading(leading) => {
                    if let Some(line) = leading.lines.get_mut(&node) {
                        line.call = true;
                    }
                }
                Role::Following(following) if following.leader == node => {
                    following.missed = true;
                }
                Role::Following(_) => {}
            }
        }
    }
}
