//! Going without a failure: what becomes of a group, and of all that is under way for it, when somebody leaves it. The leaver's questions are in
//! `leave`.
//!
//! "A member or an observer asks its root to let it go, `Leave { group }`, and stays what it is until that is acknowledged, `Left`: a failure that
//! comes first reaches it, and nothing after." (protocol.md §6)

use fatebound_overlay::{PeerId, Rule, Way};
use fatebound_tree::GroupId;

use crate::fate::Loss;
use crate::group::Key;
use crate::groups::Groups;
use crate::io::{Event, LeaveError, Ticket};
use crate::message::Answer;
use crate::reason::Reason;

impl Groups {
    /// The application wants to leave a group.
    pub(crate) fn on_leave(&mut self, ticket: Ticket, group: GroupId) {
        let ended = |error| Event::LeaveEnded { ticket, group, error };
        let Some(slot) = self.shared.table.find(&group) else {
            return self.shared.event(ended(Some(LeaveError::Over(Reason::NotKnown))));
        };
        if group.root == self.shared.us {
            // "A root that leaves closes."
            self.fail(slot, Reason::Closed { by: self.shared.us });
            return self.shared.event(ended(None));
        }
        let came = self.joins.came_by(slot);
        self.departures.on_leave(&mut self.shared, ticket, slot, group, came);
    }

    /// This peer is out.
    pub(crate) fn has_left(&mut self, slot: u32, acknowledged: bool) {
        let Some(tickets) = self.departures.end(&mut self.shared, slot) else {
            return;
        };
        let Some(group) = self.shared.table.group(slot) else {
            return;
        };
        let (group, until) = (self.shared.table.id(group), self.shared.now + self.shared.bound(group));
        if !acknowledged {
            self.words.remember_left(self.shared.now, group, until);
        }
        self.repairs.drop_path(&mut self.shared, Key { slot, index: 0 });
        self.forget(slot);
        self.shared.counters.left += 1;
        self.shared.event(Event::Left { group });
        for ticket in tickets {
            let error = None;
            self.shared.event(Event::LeaveEnded { ticket, group, error });
        }
    }

    /// Root: "The root lets go whoever asks, member or not (a repetition must be acknowledged again), releases the path, and goes on without it."
    /// "◆ It names the `Join` by which the asker came in: one that came late does not put out somebody who has come back."
    pub(crate) fn on_asked_out(&mut self, from: PeerId, way: Way, group: GroupId, came: u64) {
        if group.root != self.shared.us {
            return;
        }
        let Some(slot) = self.shared.table.find(&group) else {
            return self.words.say_over(&mut self.shared, from, way, &group);
        };
        self.shared.reply(way, Answer::Left);
        let same = |key: &Key| self.admissions.came_by(*key) == came || !Rule::LeaveNamesItsJoin.holds();
        if let Some(key) = self.shared.table.end_of(slot, &from).filter(same) {
            self.take_for_accepted(key);
            self.pass_on();
            self.part_with(key);
        }
    }

    /// Root: goes on without this far end, which is no failure.
    pub(crate) fn part_with(&mut self, key: Key) {
        let (Some(path), Some(far)) = (self.shared.path(key), self.shared.table.far(key)) else {
            return;
        };
        let (counted, observer) = (far.phase.is_in(), far.observer);
        self.repairs.drop_path(&mut self.shared, key);
        if self.end_admission(key) || !counted {
            return;
        }
        self.put_out(key);
        self.checks.went_out(&mut self.shared, key);
        let (group, peer) = (path.group, path.member);
        self.shared.event(Event::WentOut { group, peer, observer });
        if !observer {
            self.lists.changed(&mut self.shared, key.slot);
        }
    }

    /// One of the two has left, or never came in: no failure of the group. A member that did not want to leave is told, for it is in no group.
    pub(crate) fn parted(&mut self, key: Key) {
        let Some(group) = self.shared.table.group(key.slot) else {
            return;
        };
        if group.is_root() {
            self.part_with(key);
        } else if self.shared.table.is_leaving(key.slot) {
            self.has_left(key.slot, true);
        } else if let Some(by) = self.shared.table.peer(key) {
            self.repairs.drop_path(&mut self.shared, key);
            self.bury(key.slot, Reason::NotMember { by });
        }
    }

    /// A far end is lost to its group, which is a failure, unless it is nobody's.
    pub(crate) fn lost(&mut self, key: Key, how: Loss) {
        let (Some(group), Some(peer)) = (self.shared.table.group(key.slot), self.shared.table.peer(key)) else {
            return;
        };
        let role = group.role;
        let observer = self.shared.table.far(key).is_some_and(|far| far.observer);
        if observer && Rule::ObserverIsNobody.holds() {
            // "◆ A root that would fail the group for an observer's sake drops the observer."
            self.part_with(key);
        } else {
            self.fail(key.slot, how.reason(role, peer));
        }
    }
}
