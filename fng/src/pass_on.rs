//! Fates, passed on from the part that found out to those that they concern.

use fatebound_overlay::Rule;
use fatebound_tree::Via;

use crate::fate::Fate;
use crate::group::Key;
use crate::groups::Groups;

impl Groups {
    /// Until the parts have nothing left to tell each other.
    pub(crate) fn pass_on(&mut self) {
        while let Some(fate) = self.shared.next_fate() {
            self.pass(fate);
        }
    }

    fn pass(&mut self, fate: Fate) {
        let shared = &mut self.shared;
        match fate {
            Fate::Invited(key, after) if !after.is_zero() => {
                let at = shared.now + after;
                self.inviting.schedule(shared, key, at);
            }
            Fate::Invited(key, _) => self.first_invitation(key),
            Fate::InvitedAnew(key) => {
                self.inviting.retract(key);
                self.invite(key);
            }
            Fate::CameIn(key) => self.came_in(key),
            Fate::Missed(key, list) => self.lists.missed(shared, key, list),
            Fate::Begins(group) => self.words.forget_left(&group),
            Fate::Wanted(group) => self.invitations.on_decide(shared, &group, None),
            Fate::Entered(key, group, asked) => {
                self.repairs.expect(shared, key);
                self.joins.came_in(shared, key.slot, group, asked);
            }
            Fate::Live(key) => {
                self.inquiries.end(shared, key);
                self.checks.proven(shared, key, None);
            }
            Fate::Broken(key, after) => self.inquiries.begin(shared, key, after),
            Fate::Suspected(key) => self.inquiries.suspect(shared, key),
            Fate::Proven(key, post) => self.checks.proven(shared, key, Some(post)),
            Fate::Lost(key, how) => self.lost(key, how),
            Fate::Parted(key) => self.parted(key),
            Fate::Left { slot, acknowledged } => self.has_left(slot, acknowledged),
            Fate::Failed(slot, reason) => self.fail(slot, reason),
            Fate::Over(slot, reason) => self.bury(slot, reason),
            Fate::Died(peer) => {
                self.invitations.withdraw_all_of(shared, peer);
                self.joins.end_all_of(shared, peer);
            }
        }
    }

    fn first_invitation(&mut self, key: Key) {
        self.invite(key);
        if !Rule::ConstructAfterAccept.holds() {
            self.repairs.construct(&mut self.shared, key, Via::Overlay);
        }
    }

    fn came_in(&mut self, key: Key) {
        // Of a death that is still being worked off it is no part: it has accepted since.
        self.deaths.spare(key);
        if self.shared.table.far(key).is_some_and(|far| !far.observer) {
            self.lists.changed(&mut self.shared, key.slot);
        }
    }
}
