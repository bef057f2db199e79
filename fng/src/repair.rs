//! Broken paths: the root builds new ones, the member insists on it, and nobody else notices (protocol.md §6, "Repair").
//!
//! Attempts go round: over the overlay, through a neighbour shared with the member, over the direct connection as a path of its own. A repair
//! ends with a live path; or with the verdict of its inquiry, see `inquiry`. It never ends by a number of attempts: while proofs of life are
//! fresh it goes on, with pauses that double up to `path_timeout`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fatebound_overlay::{Bounded, PeerId, Rule};
use fatebound_tree::{Cause, PathId, Via};

use crate::fate::Fate;
use crate::group::{Key, Phase};
use crate::io::{Event, Output};
use crate::peers::PeerIx;
use crate::shared::{Shared, Timer};

/// Where an attempt goes.
enum Attempt {
    Construct(Via),
    Link,
}

/// What is under way for one path that is not up.
#[derive(Clone, Debug, Default, Hash)]
struct Attempts {
    /// Root: the path of the current epoch is under construction. Member: its first path has not arrived yet.
    building: bool,
    /// Attempts that count, for the next one's way.
    turn: u32,
    /// Failures in a row, for the back-off.
    failures: u32,
}

impl Attempts {
    /// "While proof is fresh, attempts go round: overlay, a common neighbour, the direct connection as a path of its own (no delegate)."
    fn next(&self) -> Attempt {
        match self.turn % 3 {
            _ if !Rule::AttemptsGoRound.holds() => Attempt::Construct(Via::Overlay),
            0 => Attempt::Construct(Via::Overlay),
            1 => Attempt::Construct(Via::CommonNeighbour(self.turn / 3)),
            _ => Attempt::Link,
        }
    }
}

/// The paths that are not up: first ones, and broken ones that this root builds anew. A member whose path is broken only waits.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Repairs {
    paths: BTreeMap<Key, Attempts>,
    /// Attempts that wait for a link to their member.
    links: BTreeMap<PeerIx, BTreeSet<Key>>,
}

impl Repairs {
    /// How many; each has a timer.
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// Root: starts a path of a new epoch.
    pub(crate) fn construct(&mut self, shared: &mut Shared, key: Key, via: Via) {
        let Some(far) = shared.table.far_mut(key) else {
            return;
        };
        far.epoch += u32::from(far.epoch == 0 || Rule::PathCrossesOnce.holds());
        let Some(path) = shared.path(key) else {
            return;
        };
        shared.push(Output::Construct { path, via });
        self.expect(shared, key);
    }

    /// The path is under construction. "A member whose path has not come up within `path_timeout` of accepting treats it as broken."
    pub(crate) fn expect(&mut self, shared: &mut Shared, key: Key) {
        self.paths.entry(key).or_default().building = true;
        wait_for_path(shared, key);
    }

    /// Root: "At the root the path is *live*" (protocol.md §5).
    pub(crate) fn on_live(&mut self, shared: &mut Shared, path: PathId, hops: u8) {
        let key = shared.end_of_path(&path);
        let current = |key: &Key| {
            let newest = shared.table.far(*key).is_some_and(|far| far.epoch == path.epoch);
            newest && self.is_building(*key)
        };
        match key.filter(current) {
            Some(key) => self.is_up(shared, key, path, hops),
            // "◆ The root releases every epoch that it abandons."
            None if !Rule::AbandonedIsReleased.holds() => {}
            None => shared.release(path, Cause::Abandoned),
        }
    }

    /// Member: "If it is `m`: it answers `Confirm` on `u` when it knows the group and `e` is newer than what it has; ◆ otherwise
    /// `Release { Unknown }` or `Release { Old }`." (protocol.md §5)
    pub(crate) fn on_arrived(&mut self, shared: &mut Shared, path: PathId) {
        let Some(slot) = shared.table.find(&path.group).filter(|_| path.group.root != shared.us) else {
            return match Rule::UnknownIsAnswered.holds() {
                false => (),
                true => shared.release(path, Cause::Unknown),
            };
        };
        let key = Key { slot, index: 0 };
        let Some(far) = shared.table.far_mut(key) else {
            return;
        };
        if path.epoch < far.epoch || path.epoch == far.epoch && Rule::PathCrossesOnce.holds() {
            return match Rule::OldIsAnswered.holds() {
                false => (),
                true => shared.release(path, Cause::Old),
            };
        }
        let older = PathId {
            epoch: far.epoch,
            ..path
        };
        let had_older = far.phase.is_live() && older != path && Rule::ConfirmerReleasesOlder.holds();
        far.epoch = path.epoch;
        shared.push(Output::Confirm { path });
        if had_older {
            // "A member that confirms an epoch releases older ones."
            shared.release(older, Cause::Abandoned);
        }
        self.is_up(shared, key, path, 0);
    }

    /// A fresh path is a proof of life, and the end of a repair.
    fn is_up(&mut self, shared: &mut Shared, key: Key, path: PathId, hops: u8) {
        self.end(shared, key);
        let since = shared.now;
        let Some(far) = shared.table.far_mut(key) else {
            return;
        };
        if std::mem::replace(&mut far.phase, Phase::Live { since, hops }) == Phase::Broken {
            shared.counters.repairs_ended += u64::from(path.group.root == shared.us);
            shared.event(Event::Repaired { path });
        }
        shared.fate(Fate::Live(key));
    }

    /// Root or member: a path broke. One of an older epoch does not matter any more.
    pub(crate) fn on_broken(&mut self, shared: &mut Shared, path: &PathId, cause: Cause) {
        let key = shared.end_of_path(path);
        let Some((key, far)) = key.and_then(|key| Some((key, shared.table.far(key)?))) else {
            return;
        };
        let current = far.epoch == path.epoch && far.epoch != 0;
        let phase = far.phase;
        if !current || !self.stops_building(key) && !phase.is_live() {
            return;
        }
        match phase {
            Phase::Broken => self.attempt_failed(shared, key, cause),
            _ => self.begin(shared, key, cause),
        }
        if matches!(cause, Cause::Gone | Cause::Unknown) {
            // "Or at once when the overlay or a `Release` says that `m` itself is gone or does not know the group."
            shared.fate(Fate::Broken(key, Duration::ZERO));
        }
    }

    /// "The root learns that path `(g, m, e)` is broken: from `Release`, its own link, `NeedRepair` for the current epoch, or `path_timeout`."
    fn begin(&mut self, shared: &mut Shared, key: Key, cause: Cause) {
        let (Some(path), Some(timings)) = (shared.path(key), shared.table.timings_at(key.slot)) else {
            return;
        };
        if let Some(far) = shared.table.far_mut(key) {
            far.phase = Phase::Broken;
        }
        shared.event(Event::Repairing { path, cause });
        if path.group.root != shared.us {
            self.end(shared, key);
            return shared.fate(Fate::Broken(key, Duration::ZERO));
        }
        shared.counters.repairs_begun += 1;
        shared.fate(Fate::Broken(key, timings.probe_delay));
        self.paths.entry(key).or_default();
        match cause {
            Cause::Busy => self.attempt_failed(shared, key, cause),
            // "◆ The root waits one timer tick": the goodbye of the peer that stops comes right behind.
            Cause::Shutdown if Rule::TickForTheGoodbye.holds() => {
                shared.timers.set(Timer::Path(key), shared.now + shared.config.tick);
            }
            _ => self.attempt(shared, key),
        }
    }

    /// Root: the next attempt, now.
    fn attempt(&mut self, shared: &mut Shared, key: Key) {
        self.abandon(shared, key);
        match self.paths.entry(key).or_default().next() {
            Attempt::Construct(via) => self.construct(shared, key, via),
            Attempt::Link => self.want_link(shared, key),
        }
    }

    /// "◆ The root releases every epoch that it abandons."
    fn abandon(&mut self, shared: &mut Shared, key: Key) {
        let Some(path) = shared.path(key) else {
            return;
        };
        if self.stops_building(key) && Rule::AbandonedIsReleased.holds() {
            shared.release(path, Cause::Abandoned);
        }
    }

    /// "Attempts repeat with jittered back-off." "`Release { Busy }` costs no attempt" (protocol.md §8), but does wait.
    fn attempt_failed(&mut self, shared: &mut Shared, key: Key, cause: Cause) {
        let Some(timings) = shared.table.timings_at(key.slot) else {
            return;
        };
        let attempts = self.paths.entry(key).or_default();
        attempts.building = false;
        attempts.turn = attempts.turn.wrapping_add(u32::from(cause != Cause::Busy));
        attempts.failures = attempts.failures.saturating_add(1);
        let (base, cap) = (timings.patience_floor / 16, timings.path_timeout);
        let pause = shared.pause(base, cap, attempts.failures);
        shared.timers.set(Timer::Path(key), shared.now + pause);
    }

    /// Root: the pause is over; or the attempt has taken too long, which is a failure like any other. Member: the first path has not come.
    pub(crate) fn on_path_timer(&mut self, shared: &mut Shared, key: Key) {
        let waited = self.end_link(shared, key);
        let Some(far) = shared.table.far(key) else {
            return;
        };
        if far.phase != Phase::Broken {
            self.begin(shared, key, Cause::Abandoned);
        } else if waited || self.is_building(key) {
            self.abandon(shared, key);
            self.attempt_failed(shared, key, Cause::Abandoned);
        } else {
            self.attempt(shared, key);
        }
    }

    /// Root: a direct path needs a link. It serves all groups with this member; each orders it anew, for the last order may have come to nothing
    /// while others still wait.
    fn want_link(&mut self, shared: &mut Shared, key: Key) {
        let Some(far) = shared.table.far(key) else {
            return;
        };
        let peer = shared.table.peers.get(far.peer);
        self.links.entry(far.peer).or_default().insert(key);
        shared.push(Output::Link { peer });
        wait_for_path(shared, key);
    }

    /// Whether this far end waited for a link; it does not any more.
    fn end_link(&mut self, shared: &Shared, key: Key) -> bool {
        let Some(ix) = shared.table.far(key).map(|far| far.peer) else {
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

    fn end_links(&mut self, shared: &Shared, peer: &PeerId) -> BTreeSet<Key> {
        let ix = shared.table.peers.find(peer);
        ix.and_then(|ix| self.links.remove(&ix)).unwrap_or_default()
    }

    /// A link is up: those that waited for it build their path over it.
    pub(crate) fn on_link_up(&mut self, shared: &mut Shared, peer: &PeerId) {
        for key in self.end_links(shared, peer) {
            self.construct(shared, key, Via::Direct);
        }
    }

    /// No link can be made: those that waited for it go on to their next attempt.
    pub(crate) fn on_link_failed(&mut self, shared: &mut Shared, peer: &PeerId) {
        for key in self.end_links(shared, peer) {
            self.attempt_failed(shared, key, Cause::NoRoute);
        }
    }

    /// Root: a member says that its path is broken; it has confirmed `epoch`. "`NeedRepair` for the current epoch" counts at once; an older
    /// one is only acknowledged, for the member's word and the new path have crossed each other.
    ///
    /// ◆ Unless the current path has been live for longer than `path_timeout`: then its `Confirm` was not the member's. "A delegate can
    /// cause a repair", but it shall not leave a member waiting for one, so the next attempt takes another way, in the end the direct one.
    pub(crate) fn is_needed(&mut self, shared: &mut Shared, key: Key, epoch: u32) {
        let (Some(far), Some(timings)) = (shared.table.far(key), shared.table.timings_at(key.slot)) else {
            return;
        };
        let current = epoch == far.epoch && (far.phase.is_live() || self.is_building(key));
        let overdue = match far.phase {
            Phase::Live { since, .. } => shared.now.since(since) > timings.path_timeout,
            _ => false,
        };
        let forged = epoch < far.epoch && overdue && Rule::OverdueConfirmIsForged.holds();
        if far.epoch == 0 || !far.phase.is_in() || !(current || forged) {
            return;
        }
        let Some(path) = shared.path(key) else {
            return;
        };
        if forged {
            self.paths.entry(key).or_default().turn = path.epoch;
        }
        shared.release(path, Cause::Abandoned);
        self.on_broken(shared, &path, Cause::Disagreed);
    }

    /// Releases the path that is up, or that this root is building: its other end need not find out.
    pub(crate) fn drop_path(&mut self, shared: &mut Shared, key: Key) {
        let Some(far) = shared.table.far(key) else {
            return;
        };
        let live = far.phase.is_live();
        if let Some(path) = shared.path(key)
            && (live || path.group.root == shared.us && self.is_building(key))
        {
            shared.release(path, Cause::Abandoned);
        }
    }

    /// Nothing is under way for this path any more.
    pub(crate) fn end(&mut self, shared: &mut Shared, key: Key) {
        self.end_link(shared, key);
        if self.paths.remove(&key).is_some() {
            shared.timers.cancel(Timer::Path(key));
        }
    }

    /// Whether the path of the current epoch is under construction.
    pub(crate) fn is_building(&self, key: Key) -> bool {
        self.paths.get(&key).is_some_and(|attempts| attempts.building)
    }

    /// Whether it was; it is not any more.
    fn stops_building(&mut self, key: Key) -> bool {
        let attempts = self.paths.get_mut(&key);
        attempts.is_some_and(|attempts| std::mem::take(&mut attempts.building))
    }

    /// There are so many far ends.
    pub(crate) fn bounds(&self, far: usize) -> Bounded {
        let waiting = self.links.values().map(BTreeSet::len).sum();
        Bounded::new("attempts that wait for a link", waiting, far)
    }

    /// Whether this far end's path is under way.
    pub(crate) fn is_under_way(&self, key: Key) -> bool {
        self.paths.contains_key(&key)
    }

    /// The far ends whose paths are.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.paths.keys().copied()
    }
}

/// A path, or a link for one, has `path_timeout` from now on.
fn wait_for_path(shared: &mut Shared, key: Key) {
    if let Some(timings) = shared.table.timings_at(key.slot) {
        shared.timers.set(Timer::Path(key), shared.now + timings.path_timeout);
    }
}
