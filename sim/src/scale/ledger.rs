//! Who is a member of what, whose end is whose failure, and who has been told: exactly once, everybody who lives, and never without a cause.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use fatebound_machine::overlay::Time;

use super::figures::Distribution;
use super::slowest::{Slow, Slowest};
use crate::{GroupId, PeerIndex};

/// One life of one peer.
pub(super) type Life = (PeerIndex, u32);

/// Why a group has to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A process was killed.
    Crash,
    /// A host went silent.
    Vanish,
    /// A member signalled.
    Signal,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Crash => "crash",
            Cause::Vanish => "vanishing",
            Cause::Signal => "signal",
        })
    }
}

/// From the first cause of a group's failure to each notification, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// After a process was killed.
    pub crash: Distribution,
    /// After a host went silent.
    pub vanish: Distribution,
    /// After a member signalled.
    pub signal: Distribution,
    /// All of these, as shares of the group's own bound.
    pub share_of_bound: Distribution,
}

impl Latencies {
    /// Each cause with its latencies.
    pub fn all(&self) -> [(&'static str, &Distribution); 3] {
        [
            ("crash", &self.crash),
            ("vanish", &self.vanish),
            ("signal", &self.signal),
        ]
    }

    fn add(&mut self, cause: Cause, latency: Duration, bound: Duration) {
        match cause {
            Cause::Crash => self.crash.add_time(latency),
            Cause::Vanish => self.vanish.add_time(latency),
            Cause::Signal => self.signal.add_time(latency),
        }
        self.share_of_bound.add(latency.as_secs_f64() / bound.as_secs_f64());
    }
}

/// What must not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A group failed though every member lived and nobody signalled.
    FalseAlarm {
        /// The group.
        group: GroupId,
        /// Who was told first.
        peer: PeerIndex,
        /// What it was told.
        reason: String,
        /// When.
        at: Time,
    },
    /// A member was told twice.
    Twice {
        /// The group.
        group: GroupId,
        /// The member.
        peer: PeerIndex,
    },
    /// A living member was not told until the end of the run.
    NotTold {
        /// The group.
        group: GroupId,
        /// The member.
        peer: PeerIndex,
        /// Since when there was a cause.
        since: Time,
    },
    /// A creation did not succeed though every member lived.
    Refused {
        /// The root.
        root: PeerIndex,
        /// Why.
        reason: String,
        /// When.
        at: Time,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::FalseAlarm {
                group,
                peer,
                reason,
                at,
            } => {
                let at = at.elapsed();
                write!(
                    f,
                    "{group} failed at peer {} after {at:?} without a cause: {reason}",
                    peer.0
                )
            }
            Violation::Twice { group, peer } => write!(f, "peer {} was told twice of {group}", peer.0),
            Violation::NotTold { group, peer, since } => {
                let since = since.elapsed();
                write!(
                    f,
                    "peer {} was never told of {group}, which had to fail after {since:?}",
                    peer.0
                )
            }
            Violation::Refused { root, reason, at } => {
                let at = at.elapsed();
                write!(f, "a creation of peer {} failed after {at:?}: {reason}", root.0)
            }
        }
    }
}

/// A group, as it should be.
struct Entry {
    id: GroupId,
    /// The root first.
    members: Vec<Member>,
    cause: Option<(Cause, PeerIndex, Time)>,
    bound: Duration,
}

struct Member {
    life: Life,
    dead: bool,
    told: bool,
}

/// All groups.
#[derive(Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    by_id: HashMap<GroupId, u32>,
    by_life: HashMap<Life, Vec<u32>>,
    /// Members that live, have to be told, and have not been.
    pub(super) untold: usize,
    pub(super) failed: usize,
    pub(super) latencies: Latencies,
    pub(super) slowest: Slowest,
    pub(super) violations: Vec<Violation>,
}

impl Ledger {
    /// A group exists: all its members have accepted.
    pub(super) fn created(&mut self, id: GroupId, members: &[Life]) {
        let number = self.entries.len() as u32;
        let member = |life: &Life| Member {
            life: *life,
            dead: false,
            told: false,
        };
        self.entries.push(Entry {
            id,
            members: members.iter().map(member).collect(),
            cause: None,
            bound: Duration::from_secs(1),
        });
        self.by_id.insert(id, number);
        for life in members {
            self.by_life.entry(*life).or_default().push(number);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The groups and their roots.
    pub(super) fn roots(&self) -> impl Iterator<Item = (GroupId, PeerIndex)> {
        self.entries.iter().map(|entry| (entry.id, entry.members[0].life.0))
    }

    pub(super) fn set_bound(&mut self, id: &GroupId, bound: Duration) {
        if let Some(number) = self.by_id.get(id) {
            self.entries[*number as usize].bound = bound;
        }
    }

    /// A living member of this group, if nothing has happened to it.
    pub(super) fn healthy_member(&self, group: usize, which: usize) -> Option<(GroupId, PeerIndex)> {
        let entry = &self.entries[group];
        let member = &entry.members[which % entry.members.len()];
        entry.cause.is_none().then_some((entry.id, member.life.0))
    }

    /// A life is over, and with it all its groups.
    pub(super) fn ended(&mut self, now: Time, life: Life, cause: Cause) {
        for number in self.by_life.remove(&life).unwrap_or_default() {
            let entry = &mut self.entries[number as usize];
            let Some(member) = entry.members.iter_mut().find(|member| member.life == life) else {
                continue;
            };
            member.dead = true;
            self.untold -= usize::from(entry.cause.is_some() && !member.told);
            self.must_fail(number, now, cause, life.0);
        }
    }

    pub(super) fn signalled(&mut self, now: Time, id: &GroupId, by: PeerIndex) {
        if let Some(&number) = self.by_id.get(id) {
            self.must_fail(number, now, Cause::Signal, by);
        }
    }

    fn must_fail(&mut self, number: u32, now: Time, cause: Cause, culprit: PeerIndex) {
        let entry = &mut self.entries[number as usize];
        if entry.cause.is_none() {
            entry.cause = Some((cause, culprit, now));
            self.failed += 1;
            self.untold += entry
                .members
                .iter()
                .filter(|member| !member.dead && !member.told)
                .count();
        }
    }

    /// A member's handler ran.
    pub(super) fn told(&mut self, now: Time, id: &GroupId, life: Life, reason: &str) {
        let Some(&number) = self.by_id.get(id) else { return };
        if self.entries[number as usize].cause.is_none() {
            self.violations.push(Violation::FalseAlarm {
                group: *id,
                peer: life.0,
                reason: reason.to_owned(),
                at: now,
            });
            self.must_fail(number, now, Cause::Signal, life.0);
        }
        let entry = &mut self.entries[number as usize];
        let Some(member) = entry.members.iter_mut().find(|member| member.life == life) else {
            return;
        };
        if std::mem::replace(&mut member.told, true) {
            self.violations.push(Violation::Twice {
                group: *id,
                peer: life.0,
            });
        } else if let Some((cause, culprit, since)) = entry.cause {
            let after = now.since(since);
            self.untold -= 1;
            self.latencies.add(cause, after, entry.bound);
            self.slowest.add(Slow {
                cause,
                culprit,
                since,
                group: *id,
                root: entry.members[0].life == life,
                peer: life.0,
                after,
                reason: reason.to_owned(),
            });
        }
    }

    /// Whoever lives and should have been told and was not.
    pub(super) fn close(&mut self) {
        for entry in &self.entries {
            let Some((_, _, since)) = entry.cause else { continue };
            let forgotten = entry.members.iter().filter(|member| !member.dead && !member.told);
            let violation = |member: &Member| Violation::NotTold {
                group: entry.id,
                peer: member.life.0,
                since,
            };
            self.violations.extend(forgotten.map(violation));
        }
    }
}
