//! Questions about other views than this node's: whoever is late is told so, whoever is ahead is asked to tell.
//!
//! V9 ◆ "Every question about a view that is over is answered": with `Install` if its successor is known, with `Superseded` if more views have
//! come since; one about a view that has not come here yet with `Behind`, which brings `Install`.

use fatebound_base::Rule;

use super::message::Message;
use super::state::{Gone, Standing};
use super::{Step, Views};
use crate::numbers::{Node, Seq, ViewNumber};

impl Views {
    pub(super) fn on_other_view(&mut self, step: &mut Step<'_>, from: Node, message: &Message) {
        let Some(about) = message.about() else { return };
        if let Message::Have { seq, .. } = message {
            return self.fill_past(step, from, about, *seq);
        }
        if !message.is_question() || !Rule::ViewsOldIsAnswered.holds() {
            return;
        }
        let at = match &self.standing {
            Standing::Joining { .. } => None,
            Standing::Member(member) => Some(member.view.number),
            Standing::Gone(gone) => Some(gone.view),
        };
        match at {
            Some(at) if about < at => self.answer_late(step, from, Some(about)),
            _ => step.send(from, Message::Behind { view: at }),
        }
    }

    /// Somebody asks from an earlier view, or from none.
    fn answer_late(&mut self, step: &mut Step<'_>, from: Node, at: Option<ViewNumber>) {
        let (view, leader) = match &self.standing {
            Standing::Joining { .. } => return,
            Standing::Member(member) => (member.view.number, member.view.leader().unwrap_or(self.me)),
            Standing::Gone(gone) => (gone.view, gone.leader),
        };
        match self.successor_of(at, from) {
            Some(next) => step.send(from, Message::Install { next }),
            // Whoever is in the view just before may be in the next one: only whoever knows that one may say.
            None => {
                if let Some(over) = at.filter(|at| !view.follows(*at)) {
                    // Whoever is in this view anew was let go before it, and has yet to come into it.
                    let view = if self.view().is_some_and(|here| here.contains(from)) {
                        view.before()
                    } else {
                        view
                    };
                    step.send(from, Message::Superseded { over, view, leader });
                }
            }
        }
    }

    /// The view that follows where a node is; for one in no view, the view that it is in.
    fn successor_of(&self, at: Option<ViewNumber>, node: Node) -> Option<Box<crate::view::View>> {
        let next = match &self.standing {
            Standing::Joining { .. } => return None,
            Standing::Member(member) => &member.view,
            Standing::Gone(gone) => &gone.past.as_ref()?.next,
        };
        let wanted = at.map_or(next.contains(node), |at| next.number.follows(at));
        wanted.then(|| Box::new(next.clone()))
    }

    /// Entries before the cut, for somebody who is told of the successor.
    fn fill_past(&mut self, step: &mut Step<'_>, from: Node, about: ViewNumber, seq: Seq) {
        let bytes = self.config.run_bytes;
        let Some(past) = self.past_mut().filter(|past| past.number == about) else {
            return;
        };
        if !past.next.contains(from) {
            return;
        }
        let message = if seq < past.next.cut {
            let run = past.log.run(seq, bytes);
            if run.entries.is_empty() {
                // Whoever is put out may lack them too: an empty answer would be answered, and so on.
                return;
            }
            Message::Fill { view: about, run }
        } else {
            let next = Box::new(past.next.clone());
            Message::Install { next }
        };
        step.send(from, message);
    }

    pub(super) fn on_behind(&mut self, step: &mut Step<'_>, from: Node, view: Option<ViewNumber>) {
        let at = self.view().map(|view| view.number);
        if Rule::ViewsOldIsAnswered.holds() && view < at {
            self.answer_late(step, from, view);
        }
    }

    /// The group has gone on, and this node is not in it.
    pub(super) fn on_superseded(&mut self, step: &mut Step<'_>, from: Node, view: ViewNumber, leader: Node) {
        let Some(member) = self.member() else { return };
        let trusted = member.view.contains(from) || from == leader;
        if view > member.view.number && trusted {
            let past = None;
            self.leave(step, Gone { view, leader, past });
        }
    }
}
