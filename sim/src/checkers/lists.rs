//! Who is in a group is known: "the root numbers the lists and sends the newest to every member and observer, repeated until it is acknowledged"
//! (protocol.md §6). When nothing has disturbed the world for a bound, whoever thinks that it is in a group is in it for the root as well, and
//! the other way round, and all of them know the same members.

use std::collections::BTreeSet;

use fatebound_machine::fng::GroupView;
use fatebound_machine::overlay::PeerId;

use super::book::Doing;
use super::{Book, Checker, Report, name};
use crate::{GroupId, PeerIndex, World};

/// The checker.
#[derive(Debug)]
pub(super) struct Lists;

fn view(world: &World, peer: PeerIndex, group: &GroupId) -> Option<GroupView> {
    world.machine(peer)?.group(group)
}

/// What is wrong with what this peer knows, by what the root knows.
fn wrong(peer: &PeerId, view: Option<&GroupView>, root: &GroupView) -> Option<&'static str> {
    let [member, observer] = [&root.members, &root.observers].map(|list| list.contains(peer));
    let names = |view: &GroupView| view.members.iter().copied().collect::<BTreeSet<PeerId>>();
    match view {
        None => (member || observer).then_some("is not in it, and counts at its root"),
        Some(view) if (member, observer) != (!view.observer, view.observer) => Some("is in it, and not so at its root"),
        Some(view) => (names(view) != names(root)).then_some("knows other members than its root"),
    }
}

impl Checker for Lists {
    fn promise(&self) -> &'static str {
        "lists follow"
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        if book.now <= book.disturbed + book.bound {
            return;
        }
        for (id, group) in &book.groups {
            let Some(root) = view(world, group.root, id) else {
                continue;
            };
            for peer in (0..book.peers.len()).map(PeerIndex) {
                if peer == group.root || book.peer(peer).doing != Doing::Runs {
                    continue;
                }
                let mine = view(world, peer, id);
                if let Some(wrong) = wrong(&world.id(peer), mine.as_ref(), &root) {
                    let what = format!("{}: {wrong}", name(book, id));
                    report.broken(self.promise(), book.now, peer, what);
                }
            }
        }
    }
}
