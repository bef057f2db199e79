//! Broken paths: the root builds new ones, the member insists on it, and nobody else notices (protocol.md §6, "Repair").
//!
//! Attempts go round: over the overlay, through a neighbour shared with the member, over the direct connection as a path of its own. A repair
//! ends with a live path; or with the verdict of its inquiry, see `inquiry`. It never ends by a number of attempts: while proofs of life are
//! fresh it goes on, with pauses that double up to `path_timeout`.

use std::collections::BTreeSet;
use std::time::Duration;

use fatebound_overlay::{PeerId, Rule};
use fatebound_tree::{Cause, PathId, Via};

use crate::groups::Groups;
use crate::io::{Event, Output};
use crate::shared::Timer;
use crate::table::{Key, Standing, Work};

/// Where an attempt goes.
enum Attempt {
    Construct(Via),
    Link,
}

impl Work {
    /// "While proof is fresh, attempts go round: overlay, a common neighbour, the direct connection as a path of its own (no delegate)."
    fn attempt(&self) -> Attempt {
        match self.turn % 3 {
            _ if !Rule::AttemptsGoRound.holds() => Attempt::Construct(Via::Overlay),
            0 => Attempt::Construct(Via::Overlay),
            1 => Attempt::Construct(Via::CommonNeighbour(self.turn / 3)),
            _ => Attempt::Link,
        }
    }
}

impl Groups {
    /// Root: starts a path of a new epoch.
    pub(crate) fn construct(&mut self, key: Key, via: Via) {
        let Some(far) = self.shared.table.far_mut(key) else {
            return;
        };
        far.epoch += u32::from(far.epoch == 0 || Rule::PathCrossesOnce.holds());
        far.work.get_or_insert_default().building = true;
        let Some(path) = self.shared.path(key) else {
            return;
        };
        self.shared.push(Output::Construct { path, via });
        self.expect_path(key);
    }

    /// A path, or a link for one, has `path_timeout` from now on.
    fn expect_path(&mut self, key: Key) {
        if let Some(timings) = self.shared.table.timings_at(key.slot) {
            self.shared
                .timers
                .set(Timer::Path(key), self.shared.now + timings.path_timeout);
        }
    }

    /// Root: "At the root the path is *live*" (protocol.md §5).
    pub(crate) fn on_live(&mut self, path: PathId, hops: u8) {
        let key = self.shared.end_of_path(&path);
        let current = key.and_then(|key| Some((key, self.shared.table.far_mut(key)?)));
        match current {
            Some((key, far)) if far.epoch == path.epoch && far.work.as_ref().is_some_and(|work| work.building) => {
                far.hops = hops;
                self.path_is_up(key, path);
            }
            // "◆ The root releases every epoch that it abandons."
            _ if !Rule::AbandonedIsReleased.holds() => {}
            _ => self.shared.release(path, Cause::Abandoned),
        }
    }

    /// A fresh path is a proof of life, and the end of a repair.
    pub(crate) fn path_is_up(&mut self, key: Key, path: PathId) {
        self.shared.timers.cancel(Timer::Path(key));
        self.end_link(key);
        self.end_inquiry(key);
        let Some(far) = self.shared.table.far_mut(key) else {
            return;
        };
        (far.live, far.live_since) = (true, self.shared.now);
        let Some(work) = far.work.as_mut() else {
            return;
        };
        work.building = false;
        (work.turn, work.failures) = (0, 0);
        if std::mem::take(&mut work.repair) {
            self.shared.counters.repairs_ended += u64::from(path.group.root == self.shared.us);
            self.shared.event(Event::Repaired { path });
        }
        self.settle(key);
        self.checks.proven(&mut self.shared, key, None);
    }

    /// Root or member: a path broke. One of an older epoch does not matter any more.
    pub(crate) fn on_broken(&mut self, path: &PathId, cause: Cause) {
        let key = self.shared.end_of_path(path);
        let Some((key, far)) = key.and_then(|key| Some((key, self.shared.table.far_mut(key)?))) else {
            return;
        };
        let current = far.epoch == path.epoch && far.epoch != 0;
        let work = far.work.get_or_insert_default();
        let building = current && std::mem::take(&mut work.building);
        if !(building || current && far.live) {
            return self.settle(key);
        }
        if work.repair {
            self.attempt_failed(key, cause);
        } else {
            self.begin_repair(key, cause);
        }
        if matches!(cause, Cause::Gone | Cause::Unknown) {
            // "Or at once when the overlay or a `Release` says that `m` itself is gone or does not know the group."
            self.inquire(key, Duration::ZERO);
        }
    }

    /// "The root learns that path `(g, m, e)` is broken: from `Release`, its own link, `NeedRepair` for the current epoch, or `path_timeout`."
    pub(crate) fn begin_repair(&mut self, key: Key, cause: Cause) {
        let (Some(path), Some(timings)) = (self.shared.path(key), self.shared.table.timings_at(key.slot)) else {
            return;
        };
        let Some(far) = self.shared.table.far_mut(key) else {
            return;
        };
        far.live = false;
        let work = far.work.get_or_insert_default();
        if std::mem::replace(&mut work.repair, true) {
            return;
        }
        if path.group.root != self.shared.us {
            work.building = false;
        }
        self.shared.event(Event::Repairing { path, cause });
        if path.group.root == self.shared.us {
            self.shared.counters.repairs_begun += 1;
            self.inquire(key, timings.probe_delay);
            match cause {
                Cause::Busy => self.attempt_failed(key, cause),
                // "◆ The root waits one timer tick": the goodbye of the peer that stops comes right behind.
                Cause::Shutdown if Rule::TickForTheGoodbye.holds() => {
                    self.shared
                        .timers
                        .set(Timer::Path(key), self.shared.now + self.shared.config.tick);
                }
                _ => self.attempt(key),
            }
        } else {
            self.shared.timers.cancel(Timer::Path(key));
            self.inquire(key, Duration::ZERO);
        }
    }

    /// Root: the next attempt, now.
    fn attempt(&mut self, key: Key) {
        self.abandon(key);
        let Some(work) = self.shared.table.work_mut(key) else {
            return;
        };
        match work.attempt() {
            Attempt::Construct(via) => self.construct(key, via),
            Attempt::Link => self.want_link(key),
        }
    }

    /// "◆ The root releases every epoch that it abandons."
    fn abandon(&mut self, key: Key) {
        let Some(path) = self.shared.path(key) else {
            return;
        };
        if let Some(work) = self.shared.table.work_mut(key)
            && std::mem::take(&mut work.building)
            && Rule::AbandonedIsReleased.holds()
        {
            self.shared.release(path, Cause::Abandoned);
        }
    }

    /// "Attempts repeat with jittered back-off." "`Release { Busy }` costs no attempt" (protocol.md §8), but does wait.
    fn attempt_failed(&mut self, key: Key, cause: Cause) {
        let Some(timings) = self.shared.table.timings_at(key.slot) else {
            return;
        };
        let Some(work) = self.shared.table.work_mut(key) else {
            return;
        };
        work.building = false;
        work.turn = work.turn.wrapping_add(u32::from(cause != Cause::Busy));
        work.failures = work.failures.saturating_add(1);
        let failures = work.failures;
        let pause = self
            .shared
            .pause(timings.patience_floor / 16, timings.path_timeout, failures);
        self.shared.timers.set(Timer::Path(key), self.shared.now + pause);
    }

    /// Root: the pause is over; or the attempt has taken too long, which is a failure like any other. Member: the first path has not come.
    pub(crate) fn on_path_timer(&mut self, key: Key) {
        let waited = self.end_link(key);
        let Some(work) = self.shared.table.work_mut(key) else {
            return;
        };
        if !work.repair {
            return self.begin_repair(key, Cause::Abandoned);
        }
        if work.building || waited {
            self.abandon(key);
            return self.attempt_failed(key, Cause::Abandoned);
        }
        self.attempt(key);
    }

    /// Root: a direct path needs a link. It serves all groups with this member; each orders it anew, for the last order may have come to nothing
    /// while others still wait.
    fn want_link(&mut self, key: Key) {
        let Some(far) = self.shared.table.far(key) else {
            return;
        };
        let (ix, peer) = (far.peer, self.shared.table.peers.get(far.peer));
        self.links.entry(ix).or_default().insert(key);
        self.shared.push(Output::Link { peer });
        self.expect_path(key);
    }

    /// Whether this far end waited for a link; it does not any more.
    pub(crate) fn end_link(&mut self, key: Key) -> bool {
        let Some(ix) = self.shared.table.far(key).map(|far| far.peer) else {
            return false;
        };
        let Some(waiting) = self.links.get_mut(&ix) else {
            return false;
        };
        let waited = waiting.remove(&key);
        if waiting.is_empty() {
            self.links.remove(&ix);
        }
        waited
    }

    fn end_links(&mut self, peer: &PeerId) -> BTreeSet<Key> {
        let ix = self.shared.table.peers.find(peer);
        ix.and_then(|ix| self.links.remove(&ix)).unwrap_or_default()
    }

    /// A link is up: those that waited for it build their path over it.
    pub(crate) fn on_link_up(&mut self, peer: PeerId) {
        for key in self.end_links(&peer) {
            self.construct(key, Via::Direct);
        }
    }

    /// No link can be made: those that waited for it go on to their next attempt.
    pub(crate) fn on_link_failed(&mut self, peer: PeerId) {
        for key in self.end_links(&peer) {
            self.attempt_failed(key, Cause::NoRoute);
        }
    }

    /// Root: a member says that its path is broken; it has confirmed `epoch`. "`NeedRepair` for the current epoch" counts at once; an older
    /// one is only acknowledged, for the member's word and the new path have crossed each other.
    ///
    /// ◆ Unless the current path has been live for longer than `path_timeout`: then its `Confirm` was not the member's. "A delegate can
    /// cause a repair", but it shall not leave a member waiting for one, so the next attempt takes another way, in the end the direct one.
    pub(crate) fn repair_needed(&mut self, key: Key, epoch: u32) {
        let (Some(far), Some(timings)) = (self.shared.table.far(key), self.shared.table.timings_at(key.slot)) else {
            return;
        };
        let building = far.work.as_ref().is_some_and(|work| work.building);
        let known = far.epoch != 0 && far.standing == Standing::Accepted;
        let current = epoch == far.epoch && (far.live || building);
        let overdue = far.live && self.shared.now.since(far.live_since) > timings.path_timeout;
        let forged = epoch < far.epoch && overdue && Rule::OverdueConfirmIsForged.holds();
        if !known || !(current || forged) {
            return;
        }
        let Some(path) = self.shared.path(key) else {
            return;
        };
        if forged && let Some(work) = self.shared.table.work_mut(key) {
            work.turn = path.epoch;
        }
        self.shared.release(path, Cause::Abandoned);
        self.on_broken(&path, Cause::Disagreed);
    }

    /// Drops the record of what is under way when nothing is.
    pub(crate) fn settle(&mut self, key: Key) {
        let Some(far) = self.shared.table.far_mut(key) else {
            return;
        };
        let idle = |work: &Work| !work.repair && !work.building && work.inquiry.is_none() && work.invites.is_empty();
        if far.work.as_deref().is_some_and(idle) {
            far.work = None;
        }
    }

    /// Ends all that is under way for a far end: its group is over.
    pub(crate) fn end_work(&mut self, key: Key) {
        self.end_invites(key);
        self.forget_admission(key);
        self.end_link(key);
        self.end_inquiry(key);
        self.shared.timers.cancel(Timer::Path(key));
    }
}
