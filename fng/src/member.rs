//! The member's side: invitations, and the paths that follow them.
//!
//! An invitation with a tag is shown to the application, which decides; one without is accepted at once. While the application thinks, the
//! root repeats itself; the latest way is answered. Bounds: [`MAX_WAITING`] invitations wait (further ones are declined as `Busy`), each until
//! its root has not repeated it for four `path_timeout`s (a root repeats at least every one and a half).

use std::hash::{Hash, Hasher};

use fatebound_overlay::{PeerId, Rule, Way};
use fatebound_tree::{Cause, GroupId, PathId};

use crate::config::Timings;
use crate::groups::Groups;
use crate::io::{Event, Output};
use crate::message::{Answer, Asked, Invitation, MAX_LISTED, MAX_STATE, MAX_TAG};
use crate::notice::cut_refusal;
use crate::reason::{Reason, Refusal};
use crate::shared::Timer;
use crate::table::{Key, NewGroup, Role, Standing};

/// Invitations that wait for the application: 1024.
pub(crate) const MAX_WAITING: usize = 1024;
/// Declined invitations that are remembered, so that a repetition hears the same words: 1024, then the oldest is forgotten (and its
/// repetition hears `AlreadyOver`).
pub(crate) const MAX_DECLINED: usize = 1024;

/// An invitation that waits for the application's word.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    number: u64,
    /// How the latest repetition came.
    way: Way,
    members: Vec<PeerId>,
    tag: Option<String>,
    timings: Timings,
    role: Role,
    list: u32,
    asked: Option<Asked>,
}

/// For `branch`. Ways back are the overlay's own, and told apart by their words.
impl Hash for Waiting {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Waiting {
            number,
            way,
            members,
            tag,
            timings,
            role,
            list,
            asked,
        } = self;
        (number, members, tag, timings, role, list, asked).hash(hasher);
        format!("{way:?}").hash(hasher);
    }
}

impl Groups {
    /// A member accepts or declines.
    pub(crate) fn on_invite(&mut self, from: PeerId, way: Way, invitation: Invitation) {
        let group = invitation.group;
        if group.root != from
            || from == self.shared.us
            || self.words.is_silent(&group)
            || !self.well_formed(&invitation)
        {
            return;
        }
        if self.shared.table.find(&group).is_some() && Rule::AcceptedAgain.holds() {
            // "An accepted invitation is accepted again" (protocol.md §3).
            return self.shared.reply(way, Answer::Accept);
        }
        if invitation.asked.is_some() && !self.joins.asked_for(&invitation) {
            return self.shared.decline(way, Refusal::AlreadyOver);
        }
        if let Some(waiting) = self.waiting.get_mut(&group) {
            waiting.way = way;
            let until = self.shared.now + 4 * waiting.timings.path_timeout;
            return self.shared.timers.set(Timer::Waiting(waiting.number), until);
        }
        match self.objection(&invitation) {
            Some(refusal) => self.shared.decline(way, refusal),
            None => self.take_invitation(way, invitation),
        }
    }

    fn well_formed(&self, invitation: &Invitation) -> bool {
        let members = &invitation.members;
        let observe = invitation.asked.is_some_and(|asked| asked.observe);
        let listed = members.first() == Some(&invitation.group.root) && (observe || members.contains(&self.shared.us));
        members.len() <= MAX_LISTED
            && (members.is_empty() || listed)
            && invitation.state.len() <= MAX_STATE
            && invitation.tag.as_ref().is_none_or(|tag| tag.len() <= MAX_TAG)
    }

    /// Why this peer cannot become a member, if it cannot. The order is the user's: what is final comes first.
    fn objection(&self, invitation: &Invitation) -> Option<Refusal> {
        if let Some(refusal) = self
            .declined
            .get(&invitation.group)
            .filter(|_| invitation.asked.is_none())
        {
            return Some(refusal.clone());
        }
        let asked_for = self.joins.asked_for(invitation);
        let crowded = invitation.tag.is_some() && !self.joins.wants(invitation) && self.waiting.len() >= MAX_WAITING;
        if self.shared.table.used(&invitation.group) && !asked_for {
            Some(Refusal::AlreadyOver)
        } else if self.shared.stopping {
            Some(Refusal::Stopping)
        } else if !self.shared.config.can_keep(&invitation.timings) {
            // "A member adopts them for this group, or declines with `IncompatibleTimings`."
            Some(Refusal::IncompatibleTimings)
        } else if crowded || self.shared.is_full_for(&invitation.group, &invitation.timings) {
            Some(Refusal::Busy)
        } else {
            None
        }
    }

    fn take_invitation(&mut self, way: Way, invitation: Invitation) {
        let group = invitation.group;
        self.shared.table.use_up(&group);
        self.words.forget_left(&group);
        // "Accepts without asking anybody": this peer's own application wants it.
        let decide = invitation.tag.is_some() && !self.joins.wants(&invitation);
        let waiting = Waiting {
            role: match invitation.asked {
                Some(asked) if asked.observe => Role::Observer,
                _ => Role::Member,
            },
            list: invitation.list,
            number: self.invitations + 1,
            way,
            members: invitation.members.clone(),
            tag: invitation.tag.clone(),
            timings: invitation.timings,
            asked: invitation.asked,
        };
        self.shared.event(Event::Invited {
            group,
            members: invitation.members,
            tag: invitation.tag,
            state: invitation.state,
            decide,
        });
        if !decide {
            return self.enter(group, waiting);
        }
        self.invitations += 1;
        let until = self.shared.now + 4 * waiting.timings.path_timeout;
        self.shared.timers.set(Timer::Waiting(waiting.number), until);
        self.waiting.insert(group, waiting);
    }

    /// The application's word on an invitation that waits; on any other it is ignored.
    pub(crate) fn on_decide(&mut self, group: &GroupId, refusal: Option<Refusal>) {
        let Some(waiting) = self.end_waiting(group) else {
            return;
        };
        let full = self.shared.is_full_for(group, &waiting.timings);
        match refusal.or(full.then_some(Refusal::Busy)) {
            None => self.enter(*group, waiting),
            Some(refusal) => self.decline_for_good(group, waiting.way, cut_refusal(refusal)),
        }
    }

    fn decline_for_good(&mut self, group: &GroupId, way: Way, refusal: Refusal) {
        if self.declined.len() >= MAX_DECLINED {
            self.declined.shift_remove_index(0);
        }
        self.declined.insert(*group, refusal.clone());
        self.shared.decline(way, refusal);
    }

    /// "A member adopts [the root's timings] for this group." "A member whose path has not come up within `path_timeout` of accepting treats
    /// it as broken."
    fn enter(&mut self, group: GroupId, waiting: Waiting) {
        let listed = waiting.members.get(1..).unwrap_or_default();
        let slot = self.shared.table.insert(&NewGroup {
            id: group,
            role: waiting.role,
            timings: waiting.timings,
            tag: waiting.tag.as_deref(),
            far: &[group.root],
            listed,
            list: waiting.list,
            standing: Standing::Accepted,
        });
        let key = Key { slot, index: 0 };
        if let Some(work) = self.shared.table.work_mut(key) {
            work.building = true;
        }
        self.shared
            .timers
            .set(Timer::Path(key), self.shared.now + waiting.timings.path_timeout);
        self.shared.counters.joined += 1;
        self.shared.reply(waiting.way, Answer::Accept);
        self.shared.event(match waiting.role {
            Role::Observer => Event::Observing { group },
            _ => Event::Joined { group },
        });
        self.joins.came_in(&mut self.shared, slot, group, waiting.asked);
        self.shared.push(Output::ProveAddress { peer: group.root });
    }

    /// Takes an invitation off the list of those that wait.
    pub(crate) fn end_waiting(&mut self, group: &GroupId) -> Option<Waiting> {
        let waiting = self.waiting.shift_remove(group)?;
        self.shared.timers.cancel(Timer::Waiting(waiting.number));
        Some(waiting)
    }

    /// An invitation is void before the application has decided: whoever was shown it is told, as of a failed group (protocol.md §1, P5).
    pub(crate) fn withdraw(&mut self, group: &GroupId, reason: Reason) {
        if self.end_waiting(group).is_some() {
            self.shared.tell_end(*group, reason);
        }
    }

    /// The root has not repeated itself for long: it has given up.
    pub(crate) fn on_waiting_timer(&mut self, number: u64) {
        let found = self.waiting.iter().find(|(_, waiting)| waiting.number == number);
        if let Some(group) = found.map(|(group, _)| *group) {
            self.withdraw(&group, Reason::RootUnreachable { peer: group.root });
        }
    }

    /// This root is dead: so are its invitations.
    pub(crate) fn withdraw_all_of(&mut self, root: PeerId) {
        let groups: Vec<GroupId> = self
            .waiting
            .keys()
            .filter(|group| group.root == root)
            .copied()
            .collect();
        for group in groups {
            self.withdraw(&group, Reason::RootDied { peer: root });
        }
        self.joins.end_all_of(&mut self.shared, root);
    }

    /// This peer stops: every invitation that waits is declined.
    pub(crate) fn decline_waiting(&mut self) {
        let groups: Vec<GroupId> = self.waiting.keys().copied().collect();
        for group in groups {
            if let Some(waiting) = self.waiting.get(&group) {
                self.shared.decline(waiting.way.clone(), Refusal::Stopping);
            }
            self.withdraw(&group, Reason::Shutdown { by: self.shared.us });
        }
    }

    /// "If it is `m`: it answers `Confirm` on `u` when it knows the group and `e` is newer than what it has; ◆ otherwise `Release { Unknown }`
    /// or `Release { Old }`." (protocol.md §5) About a silent group there is no word.
    pub(crate) fn on_arrived(&mut self, path: PathId) {
        if self.words.is_silent(&path.group) {
            return;
        }
        let Some(slot) = self
            .shared
            .table
            .find(&path.group)
            .filter(|_| path.group.root != self.shared.us)
        else {
            return match Rule::UnknownIsAnswered.holds() {
                false => (),
                true => self.shared.release(path, Cause::Unknown),
            };
        };
        let key = Key { slot, index: 0 };
        let Some(far) = self.shared.table.far_mut(key) else {
            return;
        };
        if path.epoch < far.epoch || path.epoch == far.epoch && Rule::PathCrossesOnce.holds() {
            return match Rule::OldIsAnswered.holds() {
                false => (),
                true => self.shared.release(path, Cause::Old),
            };
        }
        let older = PathId {
            epoch: far.epoch,
            ..path
        };
        let had_older = far.live && older != path && Rule::ConfirmerReleasesOlder.holds();
        far.epoch = path.epoch;
        self.shared.push(Output::Confirm { path });
        if had_older {
            // "A member that confirms an epoch releases older ones."
            self.shared.release(older, Cause::Abandoned);
        }
        self.path_is_up(key, path);
    }
}
