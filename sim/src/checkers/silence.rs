//! P7, groups that live are silent: "No message is sent for a group that is merely alive" (protocol.md §1). When nothing has disturbed the
//! world for a bound, every frame is a ping, an answer, or upkeep of the overlay;
//! or a question about a process group, for whoever is blocked, or wants in and finds nobody, goes on asking.

use fatebound_machine::overlay::message::{Message, OneShot, Routed, Signed};
use fatebound_machine::overlay::{Port, Time, Versions};
use fatebound_machine::wire;

use super::{Book, Checker, Report};
use crate::observe::{Observation, Words};

/// The checker. It sees messages only while the run lets it.
#[derive(Debug)]
pub(super) struct Silence;

/// What a message says about paths or groups, if anything.
fn about_groups(words: &Words) -> Option<&'static str> {
    match words {
        Words::Frame(frame) => match wire::decode_frame(frame).ok()? {
            Message::Operation { .. } => Some("an operation on paths"),
            Message::Tell(_) => Some("a word about paths"),
            Message::Routed(routed) => match *routed {
                Routed {
                    body:
                        Signed {
                            body: OneShot::Above { port, .. },
                            ..
                        },
                    ..
                } if port != Port::PROCESS_GROUPS => Some("a routed question about groups"),
                _ => None,
            },
            _ => None,
        },
        Words::Request(body) => match wire::decode_question(body, Versions::OURS).ok()?.body {
            OneShot::Above { port, .. } if port != Port::PROCESS_GROUPS => Some("a question about groups"),
            _ => None,
        },
        Words::Response(_) | Words::Pipe(_) | Words::Host(_) => None,
    }
}

impl Checker for Silence {
    fn promise(&self) -> &'static str {
        "P7 silence"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        let Observation::Sent { from, to, words } = seen else {
            return;
        };
        if at < book.disturbed.max(book.stirred) + book.bound {
            return;
        }
        if let Some(kind) = about_groups(words) {
            let what = format!("sent {kind} to {}, although all has been quiet for a bound", to.0);
            report.broken(self.promise(), at, *from, what);
        }
    }
}
