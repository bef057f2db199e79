//! At the leader: which submission becomes the next entry.
//!
//! S4: when the window is full, submissions wait at their nodes. The leader keeps none of others: it remembers whom it has turned away, and
//! calls them once there is room. Its own are at hand at once; while others wait they fill half of the window and no more.

use fatebound_base::Rule;

use super::feeding::Line;
use super::message::{Class, Item, MAX_BODY, MAX_ENTRY};
use super::{Config, Role, Step, Stream};
use crate::log::Log;
use crate::numbers::Node;

impl Config {
    /// Whether the window bears one more entry; a share of it is `1 / share`.
    ///
    /// S4 ◆ "At most a window of entries is kept": or a node that does not acknowledge fills the memory of all.
    pub(super) fn room(&self, log: Option<&Log>, body: usize, share: usize) -> bool {
        let Some(log) = log else { return false };
        let bytes = log.bytes().saturating_add(body).saturating_add(MAX_ENTRY - MAX_BODY);
        let fits = log.len() < self.window_entries / share && bytes <= self.window_bytes / share;
        fits || !Rule::StreamWindow.holds()
    }
}

impl Stream {
    /// Somebody submits something.
    ///
    /// S6 ◆ "Submissions of a node are numbered in its order, each once": the next one of this node, or none.
    pub(super) fn on_submit(&mut self, step: &mut Step<'_>, from: Node, number: u64, class: Class, body: &[u8]) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(line) = leading.lines.get_mut(&from) else {
            return;
        };
        let last = leading.numbered.get(&from).copied().unwrap_or_default();
        if body.len() > MAX_BODY || (number <= last && Rule::StreamNumberedOnce.holds()) {
            return;
        }
        if number > last.saturating_add(1) {
            // One before it was lost, or turned away: then it is called for already.
            return line.turn_away(!line.waits);
        }
        let room = self.config.room(step.shelf.log(), body.len(), 1);
        if !step.shelf.numbers() || !room {
            line.wants = body.len();
            return line.turn_away(true);
        }
        let item = Item {
            origin: from,
            number,
            class,
            body,
        };
        if step.shelf.append(item.entry()).is_some() {
            line.waits = false;
            leading.numbered.insert(from, number);
        }
    }

    /// Numbers the next submission of the leader's own node; says whether there was one, and room.
    pub(super) fn number_own(&mut self, step: &mut Step<'_>) -> bool {
        let Role::Leading(leading) = &mut self.role else {
            return false;
        };
        let Some((number, waiting)) = self.own.next().filter(|_| step.shelf.numbers()) else {
            return false;
        };
        let share = if leading.lines.values().any(|line| line.waits) {
            2
        } else {
            1
        };
        if !self.config.room(step.shelf.log(), waiting.body.len(), share) {
            return false;
        }
        let item = Item {
            origin: self.me,
            number,
            class: waiting.class,
            body: &waiting.body,
        };
        if step.shelf.append(item.entry()).is_none() {
            return false;
        }
        self.own.went();
        leading.numbered.insert(self.me, number);
        true
    }
}

impl Line {
    /// A submission from there has to come again; with `call` it is called for once there is room.
    fn turn_away(&mut self, call: bool) {
        self.waits = true;
        self.call |= call;
    }
}
