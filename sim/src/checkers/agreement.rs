//! P1 and P3, agreement: "Once any member has been notified that a group failed, or a member has crashed, or root and a member can no
//! longer reach each other, then **every** live member is notified within a bounded time, whatever the network does" (protocol.md §1).
//!
//! For each group there is at most one moment at which its clock starts: the first of these three. Who becomes a member later, or is
//! stopped and goes on later, is owed the bound from then; and since a root that is stopped can neither ask nor answer, the time during
//! which it was stopped is added. That root and member cannot reach each other counts as long as it lasts: when the network mends, the
//! clock is wound back. A signal (P3) is told to its own member first, so it starts the clock like every other notification.
//!
//! Who comes in later is a member from then on, and who goes is one until the root has let it go. An observer is owed the same word, but its end
//! starts no clock; that it cannot reach the root is told to nobody but itself, so it has a clock of its own, as has everybody who is about
//! to come or go. A group that its root closes is over like one that has failed.
//!
//! The bound is the group's own, as its root knew it when the clock started: "a repair may lengthen a path" (protocol.md §7), so for a
//! member whose path the root repairs after that it is the configuration's, and so it is where the root's word was not known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fatebound_machine::fng;
use fatebound_machine::overlay::Time;
use fatebound_machine::tree::PathId;

use super::reach::reachable;
use super::{Book, Checker, GroupRecord, Membership, Report, name};
use crate::observe::Observation;
use crate::{GroupId, PeerIndex, World};

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// Groups whose root and some member cannot reach each other, and since when.
    apart: BTreeMap<GroupId, Time>,
    /// Members and observers that cannot reach their root, and since when.
    alone: BTreeMap<(GroupId, PeerIndex), Time>,
    /// The bound of each group's own, as its root knew it at the last look before the clock started, and when that was.
    own: BTreeMap<GroupId, (Time, Duration)>,
    /// Members whose paths have broken at their roots since then.
    rebuilt: BTreeSet<(GroupId, PeerIndex)>,
}

impl Agreement {
    /// When the group's clock started.
    fn trigger(&self, id: &GroupId, group: &GroupRecord) -> Option<Time> {
        let apart = self.apart.get(id).copied();
        group.over().into_iter().chain(apart).min()
    }

    /// From when the bound counts for this member, and until when at the latest it is told.
    fn due(
        &self,
        book: &Book,
        id: &GroupId,
        group: &GroupRecord,
        peer: PeerIndex,
        member: &Membership,
    ) -> Option<(Time, Time)> {
        let alone = self.alone.get(&(*id, peer)).copied();
        let trigger = self.trigger(id, group).into_iter().chain(alone).min()?;
        let resumed = book.last_idle(peer);
        let from = trigger.max(member.since).max(resumed);
        let idle = book.idle_within(group.root, trigger, book.now);
        Some((from, from + self.bound(book, id, peer, member) + idle))
    }

    /// Whoever came later than the root was asked is not in the bound that it knew.
    fn bound(&self, book: &Book, id: &GroupId, peer: PeerIndex, member: &Membership) -> Duration {
        let own = self.own.get(id).filter(|(at, _)| member.since <= *at);
        let own = own.filter(|_| !self.rebuilt.contains(&(*id, peer)));
        own.map_or(book.bound, |(_, own)| own.mul_f64(book.slowness()))
    }

    fn ask_roots(&mut self, world: &World, book: &Book) {
        for (id, group) in &book.groups {
            if self.trigger(id, group).is_some() {
                continue;
            }
            self.rebuilt.retain(|(other, _)| other != id);
            let view = world.machine(group.root).and_then(|machine| machine.group(id));
            match view {
                Some(view) => self.own.insert(*id, (book.now, view.notification_bound)),
                None => self.own.remove(id),
            };
        }
    }

    /// A path broke at its root. Before the clock has started it can be anybody's: what the root says next counts.
    fn breaks(&mut self, book: &Book, path: &PathId) {
        let Some(group) = book.groups.get(&path.group) else {
            return;
        };
        if self.trigger(&path.group, group).is_none() {
            self.own.remove(&path.group);
        } else if let Some(member) = book.index(&path.member) {
            self.rebuilt.insert((path.group, member));
        }
    }

    fn watch(&mut self, world: &World, book: &Book) {
        for (id, group) in &book.groups {
            let reaches = |peer: &PeerIndex| *peer == group.root || reachable(world, group.root, *peer);
            let open = group.members.values().any(|member| member.told.is_none());
            if !open || group.counted.iter().all(reaches) {
                self.apart.remove(id);
            } else {
                self.apart.entry(*id).or_insert(book.now);
            }
            for (peer, member) in &group.members {
                if member.told.is_some() || reaches(peer) {
                    self.alone.remove(&(*id, *peer));
                } else {
                    self.alone.entry((*id, *peer)).or_insert(book.now);
                }
            }
        }
    }
}

impl Checker for Agreement {
    fn promise(&self) -> &'static str {
        "P1 agreement"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        let (peer, id) = match seen.of_groups() {
            Some((peer, fng::Event::Repairing { path, .. })) if book.index(&path.group.root) == Some(peer) => {
                return self.breaks(book, path);
            }
            Some((peer, fng::Event::Failed { group, .. } | fng::Event::Closed { group, .. })) => (peer, group),
            _ => return,
        };
        let Some(group) = book.groups.get(id) else { return };
        let Some(member) = group.members.get(&peer).filter(|member| member.told.is_none()) else {
            return;
        };
        let Some((from, due)) = self.due(book, id, group, peer, member) else {
            return;
        };
        report
            .shares
            .push(at.since(from).as_secs_f64() / due.since(from).as_secs_f64());
        if at > due {
            let what = format!(
                "told of the end of {} {:?} after it was settled",
                name(book, id),
                at.since(from)
            );
            report.broken(self.promise(), at, peer, what);
        }
    }

    fn look(&mut self, world: &World, book: &Book, report: &mut Report) {
        self.watch(world, book);
        self.ask_roots(world, book);
        for (id, group) in &book.groups {
            for (peer, member) in &group.members {
                if member.told.is_some() || !book.runs_as(*peer, member) {
                    continue;
                }
                let late = self.due(book, id, group, *peer, member);
                if let Some((from, _)) = late.filter(|(_, due)| book.now > *due) {
                    let what = format!(
                        "not told of the end of {}, settled {:?} ago",
                        name(book, id),
                        book.now.since(from)
                    );
                    report.broken(self.promise(), book.now, *peer, what);
                }
            }
        }
    }
}
