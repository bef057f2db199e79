//! The other side of an inquiry: what a peer says when it is asked whether it lives, and groups in it.
//!
//! Answers list groups as alive, unknown, closed or parted. A group in no list is not spoken about: one that this peer keeps silent about, or that
//! the asker has no business with, or of whose failure it is being told. When nothing can be said about any group, there is no answer.

use fatebound_overlay::{PeerId, Rule, Way};
use fatebound_tree::GroupId;

use crate::group::{Key, Phase};
use crate::groups::Groups;
use crate::message::{Answer, MAX_GROUPS, Status};
use crate::shared::Shared;

impl Groups {
    /// A root asks this member. "Unknown" is said of its groups only; nobody else may learn what is here.
    pub(crate) fn on_probe(&mut self, from: PeerId, way: Way, groups: &[GroupId]) {
        let mut status = Status::default();
        for (at, group) in (0..).zip(groups.iter().take(MAX_GROUPS)) {
            let undecided = self.words.is_silent(group) || self.invitations.waits(group);
            if group.root != from || undecided {
                continue;
            }
            match self.shared.table.find(group) {
                Some(_) => status.alive.push(at),
                None if self.words.has_left(self.shared.now, group) => status.parted.push(at),
                None if self.words.tells_soon(self.shared.now, group, &from) => {}
                None => status.unknown.push(at),
            }
        }
        answer(&mut self.shared, way, status);
    }

    /// A member asks this root, and may want a repair. "A root answers for any id of its own that it does not know: *failed*. So it needs no
    /// tombstones." Whoever is not in a living group hears *parted*.
    pub(crate) fn on_need_repair(&mut self, from: PeerId, way: Way, groups: &[(GroupId, Option<u32>)]) {
        let (mut status, mut needed) = (Status::default(), Vec::new());
        for (at, (group, epoch)) in (0..).zip(groups.iter().take(MAX_GROUPS)) {
            if group.root != self.shared.us || self.words.is_silent(group) {
                continue;
            }
            match self.member(group, &from) {
                Some(key) => {
                    status.alive.push(at);
                    needed.extend(epoch.map(|epoch| (key, epoch)));
                }
                None if self.shared.table.find(group).is_some() => status.parted.push(at),
                None if self.words.was_closed(self.shared.now, group) && Rule::ClosedIsRemembered.holds() => {
                    status.closed.push(at);
                }
                None if self.words.tells_soon(self.shared.now, group, &from) => {}
                None => status.unknown.push(at),
            }
        }
        answer(&mut self.shared, way, status);
        for (key, epoch) in needed {
            self.repairs.is_needed(&mut self.shared, key, epoch);
        }
    }

    /// This peer as a member, as far as the root knows: one whose `Accept` is still on its way counts.
    fn member(&self, group: &GroupId, peer: &PeerId) -> Option<Key> {
        let key = self.shared.table.end_of(self.shared.table.find(group)?, peer)?;
        let far = self.shared.table.far(key)?;
        (far.phase != Phase::Out).then_some(key)
    }
}

/// Nothing is said when there is nothing to say.
fn answer(shared: &mut Shared, way: Way, status: Status) {
    if status != Status::default() {
        shared.reply(way, Answer::Status(status));
    }
}
