//! The views of process groups (cluster.md §1): of each number there is one (G1), a node's follow one another without a gap (G2), it is in each of
//! them (G4), and whoever stays keeps its place among the others, so that the oldest leads (G7).

use std::collections::BTreeMap;

use fatebound_machine::overlay::Time;
use fatebound_machine::process_groups::{Event as Told, Founding, GroupName, View};

use super::{Book, Checker, Report};
use crate::PeerIndex;
use crate::observe::{Disturbance, Observation};

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Views {
    known: BTreeMap<(GroupName, Founding, u64), View>,
    /// The view in which a node is.
    last: BTreeMap<(PeerIndex, GroupName), (Founding, u64)>,
    /// What the lives of peers are called in views.
    lives: BTreeMap<(PeerIndex, u32), u64>,
}

impl Checker for Views {
    fn promise(&self) -> &'static str {
        "one history of views"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        if let Observation::Disturbed(Disturbance::Ended(ended)) = seen {
            self.last.retain(|(peer, _), _| peer != ended);
        }
        let Some((peer, told)) = seen.of_process_groups() else {
            return;
        };
        match told {
            Told::Installed { name, founding, view } => {
                report.views += 1;
                for what in self.installed(book, peer, name, *founding, view) {
                    report.broken(
                        self.promise(),
                        at,
                        peer,
                        format!("{name}, view {}: {what}", view.number),
                    );
                }
            }
            Told::Removed { name, .. } | Told::Dissolved { name, .. } | Told::Left { name } => {
                self.last.remove(&(peer, name.clone()));
            }
            _ => {}
        }
    }
}

impl Views {
    /// What is wrong with it.
    fn installed(
        &mut self,
        book: &Book,
        peer: PeerIndex,
        name: &GroupName,
        founding: Founding,
        view: &View,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let number = view.number.0;
        let known = self.known.entry((name.clone(), founding, number));
        if known.or_insert_with(|| view.clone()) != view {
            wrong.push("there is another one of this number".to_owned());
        }
        let own = view
            .voters
            .iter()
            .find(|voter| book.index(&voter.node.peer) == Some(peer));
        let life = book.peer(peer).life;
        match own.map(|voter| voter.node.incarnation) {
            Some(incarnation) if *self.lives.entry((peer, life)).or_insert(incarnation) == incarnation => {}
            Some(_) => wrong.push("it is in it with another life".to_owned()),
            None => wrong.push("it is not in it".to_owned()),
        }
        let before = self.last.insert((peer, name.clone()), (founding, number));
        if let Some((last, from)) = before
            && (last, from + 1) != (founding, number)
        {
            wrong.push(format!(
                "it came from view {from}, and was not told that it was out of it"
            ));
        }
        let before = number.checked_sub(1);
        let before = before.and_then(|before| self.known.get(&(name.clone(), founding, before)));
        wrong.extend(before.and_then(|before| out_of_order(before, view)));
        wrong
    }
}

/// Those who stay are first, in their order, and the entries go on.
fn out_of_order(before: &View, view: &View) -> Option<String> {
    let stay = |voter: &&_| before.voters.contains(voter);
    let stayed: Vec<_> = view.voters.iter().filter(stay).collect();
    let kept: Vec<_> = before
        .voters
        .iter()
        .filter(|voter| view.voters.contains(voter))
        .collect();
    let first: Vec<_> = view.voters.iter().take(stayed.len()).collect();
    if stayed != kept || stayed != first {
        return Some(format!("{:?} follow {:?}", view.voters, before.voters));
    }
    (view.cut < before.cut).then(|| "its cut lies before that of the last".to_owned())
}
