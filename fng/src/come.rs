//! Coming in at the root: whoever was invited has accepted, or will not be a member. It concerns the invitations themselves, the creation or the
//! admission that sent them, and the path that follows.

use fatebound_overlay::{PeerId, PostId, Rule};
use fatebound_tree::Via;

use crate::create::Order;
use crate::group::{Key, Phase};
use crate::groups::Groups;
use crate::io::Output;
use crate::notice::refusal_within_limits;
use crate::reason::Refusal;

impl Groups {
    /// The application wants a group.
    pub(crate) fn on_create(&mut self, order: Order) {
        let created = self
            .creations
            .on_create(&mut self.shared, &order, self.admissions.kept());
        if let Some(slot) = created {
            self.admissions.hang(slot, order.admit, &order.state);
        }
    }

    /// Invites somebody, until it has answered or what it is invited to has ended.
    pub(crate) fn invite(&mut self, key: Key) {
        let invitation = self.creations.invitation(key.slot);
        let invitation = invitation.or_else(|| self.admissions.invitation(&self.shared, key));
        match invitation {
            Some(invitation) => self.inviting.send(&mut self.shared, key, invitation),
            None => {
                self.end_admission(key);
            }
        }
    }

    /// "◆ On each `Accept` the root constructs that member's path (not earlier: a path that overtakes its invitation finds nobody)."
    pub(crate) fn on_accept(&mut self, post: u64, from: PeerId) {
        let Some(key) = self.inviting.answered(&self.shared, post, from) else {
            return;
        };
        self.accepted(key);
        self.shared.push(Output::ProveAddress { peer: from });
        if Rule::ConstructAfterAccept.holds() {
            self.repairs.construct(&mut self.shared, key, Via::Overlay);
        }
        self.creations.settle(&mut self.shared, key.slot);
    }

    /// Whoever was asked counts from now on.
    fn accepted(&mut self, key: Key) {
        self.inviting.end(&mut self.shared, key);
        if let Some(far) = self.shared.table.far_mut(key).filter(|far| far.phase == Phase::Asked) {
            far.phase = Phase::Accepted;
        }
        self.admissions.came_in(&mut self.shared, key);
        self.creations.accepted(&mut self.shared, key);
    }

    /// A member asks something that only a member asks, and its `Accept` is still on its way, or lost.
    pub(crate) fn take_for_accepted(&mut self, key: Key) {
        let asked = self.shared.table.far(key).is_some_and(|far| far.phase == Phase::Asked);
        if asked && self.creations.is_under_way(key.slot) {
            self.accepted(key);
            self.creations.settle(&mut self.shared, key.slot);
        }
    }

    /// A member said no.
    pub(crate) fn on_decline(&mut self, post: u64, from: PeerId, refusal: Refusal) {
        if let Some(key) = self.inviting.answered(&self.shared, post, from) {
            let fits = refusal_within_limits(&refusal);
            let wordless = || Refusal::Declined { text: String::new() };
            self.refused(key, if fits { refusal } else { wordless() });
        }
    }

    /// "Nobody has an address of the peer" refuses; any other lost posting is repeated in its time.
    pub(crate) fn on_invitation_lost(&mut self, post: PostId, unknown: bool) {
        if let Some(key) = self.inviting.lost(post.0).filter(|_| unknown) {
            self.refused(key, Refusal::Unknown);
        }
    }

    /// Somebody that was asked will not be a member.
    fn refused(&mut self, key: Key, refusal: Refusal) {
        let Some(peer) = self.shared.table.peer(key) else {
            return;
        };
        if self.end_admission(key) {
            return;
        }
        self.inviting.end(&mut self.shared, key);
        if let Some(far) = self.shared.table.far_mut(key) {
            far.phase = Phase::Out;
        }
        self.creations.refused(&mut self.shared, key.slot, peer, refusal);
    }

    /// "Its admission ends at `create_timeout`", or with its refusal: nobody has lost anything. Whether this far end was being let in.
    pub(crate) fn end_admission(&mut self, key: Key) -> bool {
        let ended = self.admissions.end(key);
        if ended {
            self.put_out(key);
        }
        ended
    }

    /// The place is a former member's from now on.
    pub(crate) fn put_out(&mut self, key: Key) {
        self.end_work(key);
        if let Some(far) = self.shared.table.far_mut(key) {
            far.phase = Phase::Out;
        }
    }

    /// Ends all that is under way for a far end.
    pub(crate) fn end_work(&mut self, key: Key) {
        self.inviting.end(&mut self.shared, key);
        self.admissions.forget(key);
        self.repairs.end(&mut self.shared, key);
        self.inquiries.end(&mut self.shared, key);
    }
}
