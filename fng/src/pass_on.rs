//! Fates, passed on from the part that found out to those that they concern.

use crate::fate::Fate;
use crate::groups::Groups;

impl Groups {
    /// Until the parts have nothing left to tell each other.
    pub(crate) fn pass_on(&mut self) {
        while let Some(fate) = self.shared.next_fate() {
            self.pass(fate);
        }
    }

    fn pass(&mut self, fate: Fate) {
        match fate {
            Fate::Suspected(key) => self.suspect(key),
            Fate::Lost(key, how) => self.lost(key, how),
            Fate::Left { slot, acknowledged } => self.has_left(slot, acknowledged),
            Fate::Failed(slot, reason) => self.fail(slot, reason),
            Fate::Over(slot, reason) => self.bury(slot, reason),
            Fate::Wanted(group) => self.on_decide(&group, None),
            Fate::Died(peer) => self.withdraw_all_of(peer),
        }
    }
}
