//! A peer asks to come into a group that it knows by its id alone: the asker's side. The root's is in `admit`.
//!
//! "`Join { group, observe, number }`, numbered by the asker and repeated like an invitation until it is answered or the asker's time is over."
//! (protocol.md §6) What answers it is the invitation that names its number; a word from the root that the group is over, or not open; or proof
//! that the root is dead. Bounds: [`MAX_JOINS`] groups are asked for at a time, by [`MAX_TICKETS`] callers each.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fatebound_overlay::{PeerId, Rule, Time, Ways};
use fatebound_tree::GroupId;
use indexmap::IndexMap;

use crate::branch::hash_map;
use crate::groups::Groups;
use crate::io::{Event, JoinError, Ticket};
use crate::message::{Answer, Asked, Invitation, Request};
use crate::notice::refusal_within_limits;
use crate::reason::{Reason, Refusal};
use crate::shared::{Shared, Timer};
use crate::table::Role;

/// Joins under way: 1024.
pub(crate) const MAX_JOINS: usize = 1024;
/// Callers that wait for one of them: 1024.
pub(crate) const MAX_TICKETS: usize = 1024;
/// Postings of one join whose answers still count: the newest 16.
const MAX_POSTS: usize = 16;

/// A wish to come into a group.
#[derive(Clone, Debug, Hash)]
struct Joining {
    asked: Asked,
    tickets: Vec<Ticket>,
    posts: Vec<u64>,
    sent: u32,
    deadline: Time,
}

/// The joins under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joins {
    groups: IndexMap<GroupId, Joining>,
    /// Postings whose answers count.
    posts: HashMap<u64, GroupId>,
    /// Newest number of a join: they begin at the life's own number, so that those of different lives differ.
    newest: u64,
    /// By which of them this peer came into the groups in these places.
    came: HashMap<u32, u64>,
}

/// For `branch`.
impl Hash for Joins {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Joins {
            groups,
            posts,
            newest,
            came,
        } = self;
        groups.as_slice().hash(hasher);
        hash_map(posts, hasher);
        hash_map(came, hasher);
        newest.hash(hasher);
    }
}

impl Joins {
    pub(crate) fn new(incarnation: u64) -> Joins {
        Joins {
            newest: incarnation,
            ..Joins::default()
        }
    }

    /// Groups that this peer came into by a join.
    pub(crate) fn joined(&self) -> usize {
        self.came.len()
    }

    /// The join by which this peer came into the group in this place; 0: it was invited when the group was created.
    pub(crate) fn came_by(&self, slot: u32) -> u64 {
        self.came.get(&slot).copied().unwrap_or_default()
    }

    pub(crate) fn came_in(&mut self, slot: u32, asked: Option<Asked>) {
        self.came.extend(asked.map(|asked| (slot, asked.number)));
    }

    /// The group is over.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.came.remove(&slot);
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Callers that wait for the join that most wait for.
    pub(crate) fn most_tickets(&self) -> usize {
        self.groups
            .values()
            .map(|joining| joining.tickets.len())
            .max()
            .unwrap_or_default()
    }

    /// Whether an invitation is the one that this peer has asked for. One that nobody asked for serves whoever wants to be a member as well.
    pub(crate) fn wants(&self, invitation: &Invitation) -> bool {
        let joining = self.groups.get(&invitation.group);
        joining.is_some_and(|joining| match invitation.asked {
            Some(asked) => asked == joining.asked,
            None => !joining.asked.observe,
        })
    }

    fn begin(&mut self, group: GroupId, observe: bool, ticket: Ticket, deadline: Time) {
        self.newest = self.newest.wrapping_add(1);
        let asked = Asked {
            number: self.newest,
            observe,
        };
        let joining = Joining {
            asked,
            tickets: vec![ticket],
            posts: Vec::new(),
            sent: 0,
            deadline,
        };
        self.groups.insert(group, joining);
    }

    fn posted(&mut self, group: GroupId, post: u64) {
        let Some(joining) = self.groups.get_mut(&group) else {
            return;
        };
        if joining.posts.len() >= MAX_POSTS {
            self.posts.remove(&joining.posts.remove(0));
        }
        joining.posts.push(post);
        self.posts.insert(post, group);
    }

    fn end(&mut self, group: &GroupId) -> Option<Joining> {
        let joining = self.groups.shift_remove(group)?;
        for post in &joining.posts {
            self.posts.remove(post);
        }
        Some(joining)
    }
}

impl Groups {
    /// The application wants to come in.
    pub(crate) fn on_join(&mut self, ticket: Ticket, group: GroupId, observe: bool, timeout: Option<Duration>) {
        if let Some(slot) = self.shared.table.find(&group) {
            return match self.is_already(slot, observe) {
                true => self.shared.event(Event::Admitted { ticket, group }),
                false => refuse(&mut self.shared, ticket, group, JoinError::OtherRole),
            };
        }
        if let Some(error) = self.hindrance(self.shared.now, &group, observe) {
            return refuse(&mut self.shared, ticket, group, error);
        }
        if let Some(joining) = self.joins.groups.get_mut(&group) {
            return joining.tickets.push(ticket);
        }
        let deadline = self.shared.now + timeout.unwrap_or(self.shared.config.create_timeout);
        self.joins.begin(group, observe, ticket, deadline);
        if !observe && self.waiting.contains_key(&group) {
            // "It accepts without asking anybody": an invitation that waits for the application has its word now.
            return self.on_decide(&group, None);
        }
        self.ask_to_join(group);
    }

    fn is_already(&self, slot: u32, observe: bool) -> bool {
        let role = self.shared.table.group(slot).map(|group| group.role);
        observe == (role == Some(Role::Observer)) && !self.is_leaving(slot)
    }

    /// Why it is of no use to ask, if it is of none.
    fn hindrance(&self, now: Time, group: &GroupId, observe: bool) -> Option<JoinError> {
        let under_way = self.joins.groups.get(group);
        let too_many = |what, max| Some(JoinError::TooMany { what, max });
        if self.shared.stopping {
            Some(JoinError::Stopping)
        } else if group.root == self.shared.us {
            let closed = self.closed.contains(now, group);
            let reason = if closed {
                Reason::Closed { by: self.shared.us }
            } else {
                Reason::NotKnown
            };
            Some(JoinError::Over(reason))
        } else if under_way.is_some_and(|joining| joining.asked.observe != observe) {
            Some(JoinError::OtherRole)
        } else if under_way.is_some_and(|joining| joining.tickets.len() >= MAX_TICKETS) {
            too_many("callers that join one group", MAX_TICKETS)
        } else if under_way.is_none() && self.joins.len() >= MAX_JOINS {
            too_many("joins under way", MAX_JOINS)
        } else if self.shared.table.len() >= self.shared.config.max_groups {
            too_many("groups", self.shared.config.max_groups)
        } else if self.shared.table.groups_of(&group.root) >= self.shared.config.max_groups_per_peer {
            too_many("groups of one root", self.shared.config.max_groups_per_peer)
        } else {
            None
        }
    }

    /// Asks the root, and again after a pause that doubles. A repetition takes every way, as other questions do.
    fn ask_to_join(&mut self, group: GroupId) {
        let Some(joining) = self.joins.groups.get_mut(&group) else {
            return;
        };
        if self.shared.now >= joining.deadline {
            return self.join_failed(&group, &JoinError::Refused(Refusal::Unreachable));
        }
        joining.sent += 1;
        let (asked, sent, deadline) = (joining.asked, joining.sent, joining.deadline);
        let ways = match sent {
            1 => Ways::Direct,
            _ => Ways::Every { round: sent },
        };
        let request = Request::Join {
            group,
            observe: asked.observe,
            number: asked.number,
        };
        let post = self.shared.post(group.root, request, ways);
        self.joins.posted(group, post);
        let timings = self.shared.config.timings;
        let pause = self
            .shared
            .pause(timings.patience_floor / 4, timings.path_timeout, sent);
        self.shared
            .timers
            .set(Timer::Join(asked.number), (self.shared.now + pause).min(deadline));
    }

    pub(crate) fn on_join_timer(&mut self, number: u64) {
        let found = self
            .joins
            .groups
            .iter()
            .find(|(_, joining)| joining.asked.number == number);
        if let Some(group) = found.map(|(group, _)| *group) {
            self.ask_to_join(group);
        }
    }

    /// The root's word on a join, if this posting was one. `Noted` says only that an invitation follows.
    pub(crate) fn on_join_answered(&mut self, post: u64, from: PeerId, answer: &Answer) {
        let Some(group) = self.joins.posts.get(&post).copied().filter(|group| group.root == from) else {
            return;
        };
        let error = match answer {
            Answer::Decline(refusal) if refusal_within_limits(refusal) => JoinError::Refused(refusal.clone()),
            Answer::Decline(_) => JoinError::Refused(Refusal::Declined { text: String::new() }),
            Answer::Status(status) if !status.closed.is_empty() => JoinError::Over(Reason::Closed { by: from }),
            Answer::Status(status) if !status.unknown.is_empty() => {
                JoinError::Over(Reason::FailedAtRoot { peer: from })
            }
            _ => return,
        };
        self.join_failed(&group, &error);
    }

    /// "Nobody has an address of the peer" ends a join; any other lost posting is repeated in its time.
    pub(crate) fn on_join_lost(&mut self, post: u64, unknown: bool) {
        if let Some(group) = self.joins.posts.get(&post).copied().filter(|_| unknown) {
            self.join_failed(&group, &JoinError::Refused(Refusal::Unknown));
        }
    }

    /// This root's life is over, and with it all its groups.
    pub(crate) fn end_joins_of(&mut self, root: PeerId) {
        let groups: Vec<GroupId> = self
            .joins
            .groups
            .keys()
            .filter(|group| group.root == root)
            .copied()
            .collect();
        for group in groups {
            self.join_failed(&group, &JoinError::Over(Reason::RootDied { peer: root }));
        }
    }

    /// This peer stops.
    pub(crate) fn end_all_joins(&mut self) {
        let groups: Vec<GroupId> = self.joins.groups.keys().copied().collect();
        for group in groups {
            self.join_failed(&group, &JoinError::Stopping);
        }
    }

    pub(crate) fn join_failed(&mut self, group: &GroupId, error: &JoinError) {
        for ticket in self.end_join(group) {
            refuse(&mut self.shared, ticket, *group, error.clone());
        }
    }

    /// This peer is in the group now: its join, if there was one, has succeeded.
    pub(crate) fn join_done(&mut self, group: GroupId) {
        for ticket in self.end_join(&group) {
            self.shared.event(Event::Admitted { ticket, group });
        }
    }

    fn end_join(&mut self, group: &GroupId) -> Vec<Ticket> {
        let Some(joining) = self.joins.end(group) else {
            return Vec::new();
        };
        self.shared.timers.cancel(Timer::Join(joining.asked.number));
        joining.tickets
    }

    /// "◆ Such an invitation may use an id again that its receiver has used, but only while that very `Join` waits: a late one revives nothing."
    pub(crate) fn is_asked_for(&self, invitation: &Invitation) -> bool {
        match invitation.asked {
            Some(_) if !Rule::AskedFor.holds() => true,
            Some(_) => self.joins.wants(invitation),
            None => false,
        }
    }
}

fn refuse(shared: &mut Shared, ticket: Ticket, group: GroupId, error: JoinError) {
    shared.event(Event::JoinFailed { ticket, group, error });
}
