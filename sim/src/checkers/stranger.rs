//! P4, no false alarm through a stranger: "The failure of a peer that is not a member, or of a link between two peers that are not both
//! members, is repaired and never reaches the application, as long as root and member have a working direct connection, or a working path
//! through one neighbour common to both" (protocol.md §1).
//!
//! When a group that was created fails first, there has to be a reason within the last bound: a member (not an observer, nor somebody whom the
//! root has let go) ended, was stopped or gave the group up, or root and some member had, at some moment of this time, neither a working direct connection nor one common neighbour who
//! had a working connection to both. (Someone who is neighbour of both for the whole of that time counts; a relay of several is none.)
//!
//! Connections that go silent are no excuse, as long as new ones work; nor is a host that has moved.
//!
//! The same is asked when somebody hears that a group has failed which its root had closed: closing is no failure.
//!
//! A firewall that refuses dials between root and member is excused: a refusal at a proven address proves a death (protocol.md §4), and this is
//! a failure between two members, not one of a stranger.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_machine::fng;
use fatebound_machine::fng::Reason;
use fatebound_machine::overlay::Time;

use super::{Book, Checker, GroupRecord, Membership, Report, name, works};
use crate::observe::Observation;
use crate::wire::Dials;
use crate::world::pair;
use crate::{GroupId, PeerIndex, World};

type Pair = (PeerIndex, PeerIndex);

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Stranger {
    /// When each pair could last not talk directly.
    cut: BTreeMap<Pair, Time>,
    /// When dials of each pair were last refused by a firewall.
    refused: BTreeMap<Pair, Time>,
    /// When each pair were last no neighbours.
    unlinked: BTreeMap<Pair, Time>,
    /// What was bad at the last look stays bad until this one.
    bad: BTreeSet<Pair>,
}

impl Stranger {
    /// Whether this pair could talk directly during all of this time.
    fn worked(&self, a: PeerIndex, b: PeerIndex, since: Time) -> bool {
        !self.bad.contains(&pair(a, b)) && self.cut.get(&pair(a, b)).is_none_or(|last| *last < since)
    }

    fn neighbours(&self, a: PeerIndex, b: PeerIndex, since: Time) -> bool {
        self.unlinked.get(&pair(a, b)).is_none_or(|last| *last < since)
    }

    /// Whether P4 protects the path between these two.
    fn protected(&self, book: &Book, root: PeerIndex, member: PeerIndex, since: Time) -> bool {
        let carries =
            |other: PeerIndex, end: PeerIndex| self.worked(other, end, since) && self.neighbours(other, end, since);
        let mut others = (0..book.peers.len()).map(PeerIndex);
        if self.refused.get(&pair(root, member)).is_some_and(|last| *last >= since) {
            return false;
        }
        self.worked(root, member, since)
            || others.any(|other| other != root && other != member && carries(other, root) && carries(other, member))
    }

    fn judge(&self, at: Time, peer: PeerIndex, id: &GroupId, reason: &Reason, book: &Book, report: &mut Report) {
        let Some(group) = book.groups.get(id).filter(|group| is_first_alarm(group, peer)) else {
            return;
        };
        if matches!(reason, Reason::Signalled { .. } | Reason::Shutdown { .. }) {
            return;
        }
        let since = Time::ZERO + at.elapsed().saturating_sub(book.bound);
        let root_is_well = self.is_well(book, group.root, since);
        let protected =
            |member: &PeerIndex| self.is_well(book, *member, since) && self.protected(book, group.root, *member, since);
        if root_is_well && whose_trouble(group, since).iter().all(protected) {
            let closed = if group.closed.is_some() {
                ", which was closed,"
            } else {
                ""
            };
            let what = format!(
                "{}{closed} failed ({reason}), although root and members could always talk",
                name(book, id)
            );
            report.broken(self.promise(), at, peer, what);
        } else {
            report.unlucky += 1;
        }
    }

    /// Whether this peer ran all the time.
    fn is_well(&self, book: &Book, peer: PeerIndex, since: Time) -> bool {
        let record = book.peer(peer);
        record.doing == super::book::Doing::Runs && book.idle_within(peer, since, book.now).is_zero()
    }
}

/// Nobody has been told, nobody has ended, and all had accepted.
fn is_first_alarm(group: &GroupRecord, peer: PeerIndex) -> bool {
    let created = group.outcome.as_ref().is_some_and(|outcome| outcome.refusals.is_none());
    let alone = |member: &Membership| member.observer || member.told.is_some();
    created && group.fails().is_none() && group.members.get(&peer).is_some_and(|member| !alone(member))
}

/// Those, besides the root, with whom something may have been wrong since then: who counts, or was about to, or has just been told.
fn whose_trouble(group: &GroupRecord, since: Time) -> BTreeSet<PeerIndex> {
    let lately = |member: &Membership| !member.observer && member.told.is_none_or(|at| at >= since);
    let members = group
        .members
        .iter()
        .filter(|(_, member)| lately(member))
        .map(|(peer, _)| *peer);
    let all = members.chain(group.counted.iter().copied());
    all.filter(|peer| *peer != group.root).collect()
}

impl Checker for Stranger {
    fn promise(&self) -> &'static str {
        "P4 no false alarm"
    }

    fn see(&mut self, at: Time, seen: &Observation, book: &Book, report: &mut Report) {
        if let Some((peer, fng::Event::Failed { group, reason })) = seen.of_groups() {
            self.judge(at, peer, group, reason, book, report);
        }
    }

    fn look(&mut self, world: &World, book: &Book, _report: &mut Report) {
        let was_bad = std::mem::take(&mut self.bad);
        let linked = links(world, book);
        let meddled = !world.adversaries.is_empty();
        for b in (0..book.peers.len()).map(PeerIndex) {
            for a in (0..b.0).map(PeerIndex) {
                let bad = !works(world, a, b);
                if bad || meddled || was_bad.contains(&(a, b)) {
                    self.cut.insert((a, b), book.now);
                }
                if bad || meddled {
                    self.bad.insert((a, b));
                }
                if [(a, b), (b, a)]
                    .into_iter()
                    .any(|(from, to)| world.network.dials(from, to) == Dials::Refused)
                {
                    self.refused.insert((a, b), book.now);
                }
                if !linked.contains(&(a, b)) {
                    self.unlinked.insert((a, b), book.now);
                }
            }
        }
    }
}

/// Pairs of which either says that the other is its neighbour.
fn links(world: &World, book: &Book) -> BTreeSet<Pair> {
    let mut linked = BTreeSet::new();
    for peer in (0..book.peers.len()).map(PeerIndex) {
        let views = world.machine(peer).map(fatebound_machine::Machine::peers);
        for view in views.unwrap_or_default() {
            linked.extend(book.index(&view.peer).map(|other| pair(peer, other)));
        }
    }
    linked
}
