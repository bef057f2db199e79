//! Creation at the root: everybody is asked at once, and the caller learns the truth.
//!
//! "`create` returns `Ok` only after every member has accepted. Otherwise it returns which did not and why, and every member that did hear of
//! the group is notified" (protocol.md §1, P5). So that one failed creation names all that stand in its way, the first refusal does not end it
//! at once: the others have until everybody has answered, one patience after that first refusal, or `create_timeout`, whichever is first.
//! Who has not answered then is named too, as `Unreachable`; when the group failed for another reason before that, as `Overtaken`.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_overlay::{Bounded, PeerId, Rule, Time};
use fatebound_tree::GroupId;
use indexmap::IndexSet;

use crate::fate::Fate;
use crate::group::{Key, NewGroup, Phase, Role, Stage};
use crate::io::{Admit, CreateError, Event, Ticket};
use crate::message::{Invitation, MAX_LISTED, MAX_STATE, MAX_TAG};
use crate::reason::{Reason, Refusal};
use crate::shared::{Shared, Timer};

/// A group as its creator wants it: the fields of `Command::Create`.
#[derive(Debug)]
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
struct Creation {
    ticket: Ticket,
    invitation: Box<Invitation>,
    /// Invited and not answered.
    unanswered: usize,
    refusals: Vec<(PeerId, Refusal)>,
    /// `create_timeout`, or one patience after the first refusal.
    deadline: Time,
}

/// The creations under way, by the group's place.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Creations {
    groups: BTreeMap<u32, Creation>,
    /// Newest sequence number of a group of our own.
    sequence: u64,
}

impl Creations {
    /// How many; each has a timer.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// "The root draws a nonce, `GroupId = (root PeerId, nonce)`, and sends one `Invite` to every member in parallel." (protocol.md §6)
    ///
    /// `kept`: bytes of state that are kept for those who come later. Returns the new group's place, if there is one.
    pub(crate) fn on_create(&mut self, shared: &mut Shared, order: &Order, kept: usize) -> Option<u32> {
        let ticket = order.ticket;
        let members: IndexSet<PeerId> = order
            .members
            .iter()
            .copied()
            .filter(|peer| *peer != shared.us)
            .collect();
        let members: Vec<PeerId> = members.into_iter().collect();
        if let Err(error) = may_create(shared, members.len(), order, kept) {
            shared.event(Event::CreateFailed {
                ticket,
                group: None,
                refusals: Vec::new(),
                error: Some(error),
            });
            return None;
        }
        let (slot, group) = self.root_group(shared, &members, order.tag.as_deref());
        shared.event(Event::Creating { ticket, group });
        let creation = Creation {
            ticket,
            invitation: Box::new(invitation(shared, group, &members, order)),
            unanswered: members.len(),
            refusals: Vec::new(),
            deadline: shared.now + order.timeout.unwrap_or(shared.config.create_timeout),
        };
        shared.timers.set(Timer::Create(slot), creation.deadline);
        self.groups.insert(slot, creation);
        for index in 0..members.len() as u32 {
            let after = turn(index) * shared.config.tick;
            shared.fate(Fate::Invited(Key { slot, index }, after));
        }
        self.settle(shared, slot);
        Some(slot)
    }

    fn root_group(&mut self, shared: &mut Shared, members: &[PeerId], tag: Option<&str>) -> (u32, GroupId) {
        self.sequence += 1;
        let id = GroupId {
            root: shared.us,
            incarnation: shared.incarnation,
            sequence: self.sequence,
        };
        let slot = shared.table.insert(&NewGroup {
            id,
            role: Role::Root,
            timings: shared.config.timings,
            tag,
            far: members,
            listed: &[],
            list: 0,
            phase: Phase::Asked,
        });
        (slot, id)
    }

    /// What the members of a group that is being created are invited with.
    pub(crate) fn invitation(&self, slot: u32) -> Option<Box<Invitation>> {
        self.groups.get(&slot).map(|creation| creation.invitation.clone())
    }

    /// Whether the group in this place is being created.
    pub(crate) fn is_under_way(&self, slot: u32) -> bool {
        self.groups.contains_key(&slot)
    }

    /// A member has accepted.
    pub(crate) fn accepted(&mut self, shared: &mut Shared, key: Key) {
        if let Some(creation) = self.groups.get_mut(&key.slot) {
            creation.unanswered -= 1;
            // Others may have left while it was being asked.
            shared.fate(Fate::Missed(key, 0));
        }
    }

    /// A member that was asked will not be one.
    pub(crate) fn refused(&mut self, shared: &mut Shared, slot: u32, peer: PeerId, refusal: Refusal) {
        let patience = match Rule::AllRefusalsAreNamed.holds() {
            false => Duration::ZERO,
            true => shared.patience(slot),
        };
        if let Some(creation) = self.groups.get_mut(&slot) {
            creation.unanswered -= 1;
            creation.refusals.push((peer, refusal));
            // Who was asked a whole patience ago and is still silent counts as unreachable, as it would in a repair.
            creation.deadline = creation.deadline.min(shared.now + patience);
            shared.timers.set(Timer::Create(slot), creation.deadline);
        }
        self.settle(shared, slot);
    }

    /// "`create` returns when all have accepted, or at `create_timeout`; it does not wait for paths."
    pub(crate) fn settle(&mut self, shared: &mut Shared, slot: u32) {
        let Some(creation) = self.groups.get(&slot) else {
            return;
        };
        if creation.unanswered > 0 {
            return;
        }
        if !creation.refusals.is_empty() {
            return self.fail(shared, slot);
        }
        let (ticket, group) = (creation.ticket, creation.invitation.group);
        self.groups.remove(&slot);
        shared.timers.cancel(Timer::Create(slot));
        shared.counters.created += 1;
        if let Some(group) = shared.table.group_mut(slot) {
            group.stage = Stage::Complete;
        }
        shared.event(Event::Created { ticket, group });
    }

    /// "On any refusal or timeout the root hard-fails the group." The timeout is `create_timeout`, or one patience after the first refusal.
    pub(crate) fn fail(&self, shared: &mut Shared, slot: u32) {
        let first = self.refusals(shared, slot).into_iter().next();
        if let Some((peer, refusal)) = first {
            shared.fate(Fate::Failed(slot, Reason::CreationFailed { peer, refusal }));
        }
    }

    /// Each member that has not accepted so far, and why.
    fn refusals(&self, shared: &Shared, slot: u32) -> Vec<(PeerId, Refusal)> {
        let (Some(creation), Some(group)) = (self.groups.get(&slot), shared.table.group(slot)) else {
            return Vec::new();
        };
        let late = shared.now >= creation.deadline;
        let missing = group.far.iter().filter(|far| far.phase == Phase::Asked);
        let missing = missing.map(|far| {
            let refusal = if late { Refusal::Unreachable } else { Refusal::Overtaken };
            (shared.table.peers.get(far.peer), refusal)
        });
        creation.refusals.iter().cloned().chain(missing).collect()
    }

    /// If the group in this place is being created: tells its creator that nothing comes of it. A member that accepted and was lost since is
    /// named as well.
    pub(crate) fn end(&mut self, shared: &mut Shared, slot: u32, reason: &Reason) {
        let mut refusals = self.refusals(shared, slot);
        let Some(creation) = self.groups.remove(&slot) else {
            return;
        };
        shared.timers.cancel(Timer::Create(slot));
        if let Reason::MemberDied { peer } | Reason::MemberUnreachable { peer } | Reason::MemberForgot { peer } = reason
        {
            refusals.push((*peer, Refusal::Unreachable));
        }
        shared.event(Event::CreateFailed {
            ticket: creation.ticket,
            group: Some(creation.invitation.group),
            refusals,
            error: None,
        });
    }

    pub(crate) fn bounds(&self, roots: usize) -> Bounded {
        Bounded::new("creations", self.groups.len(), roots)
    }

    /// Of each creation: the group's place, and how many of its members have not answered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        self.groups.iter().map(|(slot, creation)| (*slot, creation.unanswered))
    }
}

fn may_create(shared: &Shared, members: usize, order: &Order, kept: usize) -> Result<(), CreateError> {
    let Order { tag, state, admit, .. } = order;
    let (max_members, max_groups) = (shared.config.max_members, shared.config.max_groups);
    let listed = match admit {
        Admit::Listed(peers) => peers.len(),
        _ => 0,
    };
    let max_kept = shared.config.max_kept_state;
    let too_much = *admit != Admit::Members && kept + state.len() > max_kept;
    if shared.stopping {
        Err(CreateError::Stopping)
    } else if members + 1 > max_members {
        Err(CreateError::TooManyMembers { max: max_members })
    } else if state.len() > MAX_STATE {
        Err(CreateError::StateTooLarge { max: MAX_STATE })
    } else if tag.as_ref().is_some_and(|tag| tag.len() > MAX_TAG) {
        Err(CreateError::TagTooLong { max: MAX_TAG })
    } else if shared.table.len() >= max_groups {
        Err(CreateError::TooManyGroups { max: max_groups })
    } else if listed > max_members {
        Err(CreateError::TooManyListed { max: max_members })
    } else if too_much {
        Err(CreateError::TooMuchState { max: max_kept })
    } else {
        Ok(())
    }
}

/// "Only invitations to groups of up to 64 members [carry the member list]; larger groups know their members at the root." (protocol.md §8)
fn invitation(shared: &Shared, group: GroupId, others: &[PeerId], order: &Order) -> Invitation {
    let mut members = Vec::new();
    if others.len() < MAX_LISTED {
        members.push(shared.us);
        members.extend(others);
    }
    Invitation {
        group,
        members,
        tag: order.tag.clone(),
        state: order.state.clone(),
        timings: shared.config.timings,
        list: 0,
        asked: None,
    }
}

/// "◆ To 64 at once, to the next 64 one timer tick later, and so on."
fn turn(index: u32) -> u32 {
    match Rule::InvitedInTurns.holds() {
        true => index / AT_ONCE,
        false => 0,
    }
}
