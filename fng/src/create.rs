//! Creation at the root: everybody is asked at once, and the caller learns the truth.
//!
//! "`create` returns `Ok` only after every member has accepted. Otherwise it returns which did not and why, and every member that did hear of
//! the group is notified" (protocol.md §1, P5). So that one failed creation names all that stand in its way, the first refusal does not end it
//! at once: the others have until everybody has answered, one patience after that first refusal, or `create_timeout`, whichever is first.
//! Who has not answered then is named too, as `Unreachable`; when the group failed for another reason before that, as `Overtaken`.

use std::time::Duration;

use fatebound_overlay::{PeerId, Rule, Time, Ways};
use fatebound_tree::{GroupId, Via};
use indexmap::IndexSet;

use crate::groups::Groups;
use crate::io::{Admit, CreateError, Event, Output, Ticket};
use crate::message::{Invitation, MAX_LISTED, MAX_STATE, MAX_TAG, Request};
use crate::notice::refusal_within_limits;
use crate::reason::{Reason, Refusal};
use crate::shared::Timer;
use crate::table::{Key, NewGroup, Role, Stage, Standing};

/// A group as its creator wants it: the fields of `Command::Create`.
pub(crate) struct Order {
    pub(crate) ticket: Ticket,
    pub(crate) members: Vec<PeerId>,
    pub(crate) tag: Option<String>,
    pub(crate) state: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) admit: Admit,
}

/// Members that are invited at once: as many as have the list of all.
const AT_ONCE: u32 = MAX_LISTED as u32;

/// A creation under way.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Creation {
    ticket: Ticket,
    invitation: Box<Invitation>,
    /// Invited and not answered.
    unanswered: usize,
    refusals: Vec<(PeerId, Refusal)>,
    /// `create_timeout`, or one patience after the first refusal.
    deadline: Time,
}

impl Groups {
    /// "The root draws a nonce, `GroupId = (root PeerId, nonce)`, and sends one `Invite` to every member in parallel." (protocol.md §6)
    pub(crate) fn on_create(&mut self, order: Order) {
        let Order {
            ticket,
            members,
            tag,
            state,
            timeout,
            admit,
        } = order;
        let members: IndexSet<PeerId> = members.into_iter().filter(|peer| *peer != self.shared.us).collect();
        let members: Vec<PeerId> = members.into_iter().collect();
        if let Err(error) = self.may_create(members.len(), tag.as_deref(), &state, &admit) {
            return self.shared.event(Event::CreateFailed {
                ticket,
                group: None,
                refusals: Vec::new(),
                error: Some(error),
            });
        }
        let (slot, group) = self.root_group(&members, tag.as_deref());
        self.admissions.hang(slot, admit, &state);
        self.shared.event(Event::Creating { ticket, group });
        let deadline = self.shared.now + timeout.unwrap_or(self.shared.config.create_timeout);
        let creation = Creation {
            ticket,
            invitation: Box::new(self.invitation(group, &members, tag, state)),
            unanswered: members.len(),
            refusals: Vec::new(),
            deadline,
        };
        self.creations.insert(slot, creation);
        self.shared.timers.set(Timer::Create(slot), deadline);
        for index in 0..members.len() as u32 {
            self.invite_in_turn(Key { slot, index });
            if !Rule::ConstructAfterAccept.holds() {
                self.construct(Key { slot, index }, Via::Overlay);
            }
        }
        self.settle_creation(slot);
    }

    fn may_create(&self, members: usize, tag: Option<&str>, state: &[u8], admit: &Admit) -> Result<(), CreateError> {
        let (max_members, max_groups) = (self.shared.config.max_members, self.shared.config.max_groups);
        let listed = match admit {
            Admit::Listed(peers) => peers.len(),
            _ => 0,
        };
        let max_kept = self.shared.config.max_kept_state;
        let kept = *admit != Admit::Members && self.admissions.kept() + state.len() > max_kept;
        if self.shared.stopping {
            Err(CreateError::Stopping)
        } else if members + 1 > max_members {
            Err(CreateError::TooManyMembers { max: max_members })
        } else if state.len() > MAX_STATE {
            Err(CreateError::StateTooLarge { max: MAX_STATE })
        } else if tag.is_some_and(|tag| tag.len() > MAX_TAG) {
            Err(CreateError::TagTooLong { max: MAX_TAG })
        } else if self.shared.table.len() >= max_groups {
            Err(CreateError::TooManyGroups { max: max_groups })
        } else if listed > max_members {
            Err(CreateError::TooManyListed { max: max_members })
        } else if kept {
            Err(CreateError::TooMuchState { max: max_kept })
        } else {
            Ok(())
        }
    }

    fn root_group(&mut self, members: &[PeerId], tag: Option<&str>) -> (u32, GroupId) {
        self.sequence += 1;
        let id = GroupId {
            root: self.shared.us,
            incarnation: self.shared.incarnation,
            sequence: self.sequence,
        };
        let slot = self.shared.table.insert(&NewGroup {
            id,
            role: Role::Root,
            timings: self.shared.config.timings,
            tag,
            far: members,
            listed: &[],
            list: 0,
            standing: Standing::Asked,
        });
        (slot, id)
    }

    /// "Only invitations to groups of up to 64 members [carry the member list]; larger groups know their members at the root." (protocol.md §8)
    fn invitation(&self, group: GroupId, others: &[PeerId], tag: Option<String>, state: Vec<u8>) -> Invitation {
        let mut members = Vec::new();
        if others.len() < MAX_LISTED {
            members.push(self.shared.us);
            members.extend(others);
        }
        Invitation {
            group,
            members,
            tag,
            state,
            timings: self.shared.config.timings,
            list: 0,
            asked: None,
        }
    }

    /// "◆ To 64 at once, to the next 64 one timer tick later, and so on."
    fn invite_in_turn(&mut self, key: Key) {
        match key.index / AT_ONCE {
            0 => self.invite(key),
            _ if !Rule::InvitedInTurns.holds() => self.invite(key),
            turn => {
                self.shared.table.work_mut(key);
                self.shared
                    .timers
                    .set(Timer::Invite(key), self.shared.now + turn * self.shared.config.tick);
            }
        }
    }

    /// Invites a member, and again after a pause that doubles, until it has answered or the creation has ended.
    pub(crate) fn invite(&mut self, key: Key) {
        let Some(to) = self.shared.table.peer(key) else {
            return;
        };
        let Some(invitation) = self.invitation_to(self.shared.now, key) else {
            self.end_admission(key);
            return;
        };
        let request = Request::Invite(invitation);
        let post = self.shared.post(to, request, Ways::Direct);
        self.invites.insert(post, key);
        let timings = self.shared.config.timings;
        if let Some(work) = self.shared.table.work_mut(key) {
            work.invites.push(post);
            work.invited += 1;
            let sent = work.invited;
            let pause = self
                .shared
                .pause(timings.patience_floor / 4, timings.path_timeout, sent);
            self.shared.timers.set(Timer::Invite(key), self.shared.now + pause);
        }
    }

    fn invitation_to(&self, now: Time, key: Key) -> Option<Box<Invitation>> {
        let creation = self.creations.get(&key.slot);
        creation
            .map(|creation| creation.invitation.clone())
            .or_else(|| self.admission_invitation(now, key))
    }

    /// The member who answered this invitation, if its answer still counts.
    fn invited(&self, post: u64, from: PeerId) -> Option<Key> {
        let key = *self.invites.get(&post)?;
        (self.shared.table.peer(key) == Some(from)).then_some(key)
    }

    /// "◆ On each `Accept` the root constructs that member's path (not earlier: a path that overtakes its invitation finds nobody)."
    pub(crate) fn on_accept(&mut self, post: u64, from: PeerId) {
        let Some(key) = self.invited(post, from) else {
            return;
        };
        self.accepted(key);
        self.shared.push(Output::ProveAddress { peer: from });
        if Rule::ConstructAfterAccept.holds() {
            self.construct(key, Via::Overlay);
        }
        self.settle_creation(key.slot);
    }

    /// Whoever was asked counts from now on.
    fn accepted(&mut self, key: Key) {
        self.end_invites(key);
        if let Some(far) = self.shared.table.far_mut(key) {
            far.standing = Standing::Accepted;
        }
        self.came_in(key);
        if let Some(creation) = self.creations.get_mut(&key.slot) {
            creation.unanswered -= 1;
            // Others may have left while it was being asked.
            self.lists.missed(&mut self.shared, key, 0);
        }
    }

    /// A member asks something that only a member asks, and its `Accept` is still on its way, or lost.
    pub(crate) fn take_for_accepted(&mut self, key: Key) {
        if self
            .shared
            .table
            .far(key)
            .is_some_and(|far| far.standing == Standing::Asked)
            && self.creations.contains_key(&key.slot)
        {
            self.accepted(key);
            self.settle_creation(key.slot);
        }
    }

    /// A member said no.
    pub(crate) fn on_decline(&mut self, post: u64, from: PeerId, refusal: Refusal) {
        let Some(key) = self.invited(post, from) else {
            return;
        };
        let wordless = || Refusal::Declined { text: String::new() };
        let refusal = if refusal_within_limits(&refusal) {
            refusal
        } else {
            wordless()
        };
        self.refused(key, refusal);
    }

    /// "Nobody has an address of the peer" refuses; any other lost posting is repeated in its time.
    pub(crate) fn on_post_failed(&mut self, post: fatebound_overlay::PostId, unknown: bool) {
        let Some(key) = self.invites.remove(&post.0) else {
            return;
        };
        if let Some(work) = self.shared.table.work_mut(key) {
            work.invites.retain(|other| *other != post.0);
        }
        if unknown {
            self.refused(key, Refusal::Unknown);
        }
    }

    /// A member that was asked will not be one.
    pub(crate) fn refused(&mut self, key: Key, refusal: Refusal) {
        let Some(peer) = self.shared.table.peer(key) else {
            return;
        };
        if self.end_admission(key) {
            return;
        }
        self.end_invites(key);
        if let Some(far) = self.shared.table.far_mut(key) {
            far.standing = Standing::Out;
        }
        self.settle(key);
        let patience = match Rule::AllRefusalsAreNamed.holds() {
            false => Duration::ZERO,
            true => self.shared.patience(key.slot),
        };
        if let Some(creation) = self.creations.get_mut(&key.slot) {
            creation.unanswered -= 1;
            creation.refusals.push((peer, refusal));
            // Who was asked a whole patience ago and is still silent counts as unreachable, as it would in a repair.
            creation.deadline = creation.deadline.min(self.shared.now + patience);
            self.shared.timers.set(Timer::Create(key.slot), creation.deadline);
        }
        self.settle_creation(key.slot);
    }

    /// Ends the invitations to a member.
    pub(crate) fn end_invites(&mut self, key: Key) {
        self.shared.timers.cancel(Timer::Invite(key));
        let Some(work) = self.shared.table.far_mut(key).and_then(|far| far.work.as_mut()) else {
            return;
        };
        for post in work.invites.drain(..) {
            self.invites.remove(&post);
        }
    }

    /// "`create` returns when all have accepted, or at `create_timeout`; it does not wait for paths."
    fn settle_creation(&mut self, slot: u32) {
        let Some(creation) = self.creations.get(&slot) else {
            return;
        };
        if creation.unanswered > 0 {
            return;
        }
        if !creation.refusals.is_empty() {
            return self.fail_creation(slot);
        }
        let ticket = creation.ticket;
        self.creations.remove(&slot);
        self.shared.timers.cancel(Timer::Create(slot));
        self.shared.counters.created += 1;
        if let Some(group) = self.shared.table.group_mut(slot) {
            group.stage = Stage::Complete;
        }
        if let Some(group) = self.shared.table.group(slot).map(|group| self.shared.table.id(group)) {
            self.shared.event(Event::Created { ticket, group });
        }
    }

    /// `create_timeout`, or one patience after the first refusal.
    pub(crate) fn on_create_timer(&mut self, slot: u32) {
        self.fail_creation(slot);
    }

    /// "On any refusal or timeout the root hard-fails the group."
    fn fail_creation(&mut self, slot: u32) {
        let first = self.refusals(self.shared.now, slot).into_iter().next();
        if let Some((peer, refusal)) = first {
            self.fail(slot, Reason::CreationFailed { peer, refusal });
        }
    }

    /// Each member that has not accepted so far, and why.
    fn refusals(&self, now: Time, slot: u32) -> Vec<(PeerId, Refusal)> {
        let (Some(creation), Some(group)) = (self.creations.get(&slot), self.shared.table.group(slot)) else {
            return Vec::new();
        };
        let late = now >= creation.deadline;
        let missing = group.far.iter().filter(|far| far.standing == Standing::Asked);
        let missing = missing.map(|far| {
            let refusal = if late { Refusal::Unreachable } else { Refusal::Overtaken };
            (self.shared.table.peers.get(far.peer), refusal)
        });
        creation.refusals.iter().cloned().chain(missing).collect()
    }

    /// If the group in this place is being created: tells its creator that nothing comes of it. A member that accepted and was lost since is
    /// named as well.
    pub(crate) fn end_creation(&mut self, slot: u32, reason: &Reason) {
        let mut refusals = self.refusals(self.shared.now, slot);
        let Some(creation) = self.creations.remove(&slot) else {
            return;
        };
        self.shared.timers.cancel(Timer::Create(slot));
        if let Reason::MemberDied { peer } | Reason::MemberUnreachable { peer } | Reason::MemberForgot { peer } = reason
        {
            refusals.push((*peer, Refusal::Unreachable));
        }
        self.shared.event(Event::CreateFailed {
            ticket: creation.ticket,
            group: Some(creation.invitation.group),
            refusals,
            error: None,
        });
    }
}
