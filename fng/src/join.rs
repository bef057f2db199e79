//! A peer asks to come into a group that it knows by its id alone: the asker's side. The root's is in `admit`.
//!
//! "`Join { group, observe, number }`, numbered by the asker and repeated like an invitation until it is answered or the asker's time is over."
//! (protocol.md §6) What answers it is the invitation that names its number; a word from the root that the group is over, or not open; or proof
//! that the root is dead. Bounds: [`MAX_JOINS`] groups are asked for at a time, by [`MAX_TICKETS`] callers each.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fatebound_overlay::{Bounded, PeerId, Rule, Time, Ways};
use fatebound_tree::GroupId;
use indexmap::IndexMap;

use crate::fate::Fate;
use crate::group::Role;
use crate::io::{Event, JoinError, Ticket};
use crate::message::{Answer, Asked, Invitation, Request};
use crate::notice::refusal_within_limits;
use crate::reason::{Reason, Refusal};
use crate::shared::{Shared, Timer};

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

/// What the application wants: the fields of `Command::Join`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) ticket: Ticket,
    pub(crate) group: GroupId,
    pub(crate) observe: bool,
    pub(crate) timeout: Option<Duration>,
}

/// The joins under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joins {
    groups: IndexMap<GroupId, Joining>,
    /// Postings whose answers count.
    posts: BTreeMap<u64, GroupId>,
    /// Newest number of a join: they begin at the life's own number, so that those of different lives differ.
    newest: u64,
    /// By which of them this peer came into the groups in these places.
    came: BTreeMap<u32, u64>,
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
        (posts, newest, came).hash(hasher);
    }
}

impl Joins {
    pub(crate) fn new(incarnation: u64) -> Joins {
        Joins {
            newest: incarnation,
            ..Joins::default()
        }
    }

    /// How many; each has a timer.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The join by which this peer came into the group in this place; 0: it was invited when the group was created.
    pub(crate) fn came_by(&self, slot: u32) -> u64 {
        self.came.get(&slot).copied().unwrap_or_default()
    }

    /// Whether an invitation is the one that this peer has asked for. One that nobody asked for serves whoever wants to be a member as well.
    pub(crate) fn wants(&self, invitation: &Invitation) -> bool {
        let joining = self.groups.get(&invitation.group);
        joining.is_some_and(|joining| match invitation.asked {
            Some(asked) => asked == joining.asked,
            None => !joining.asked.observe,
        })
    }

    /// "◆ Such an invitation may use an id again that its receiver has used, but only while that very `Join` waits: a late one revives nothing."
    pub(crate) fn asked_for(&self, invitation: &Invitation) -> bool {
        match invitation.asked {
            Some(_) if !Rule::AskedFor.holds() => true,
            Some(_) => self.wants(invitation),
            None => false,
        }
    }

    /// The application wants to come in. `invited`: an invitation to this group waits for its word. `closed`: the group is one of our own that was
    /// closed lately.
    pub(crate) fn on_join(&mut self, shared: &mut Shared, wish: Wish, invited: bool, closed: bool) {
        let Wish {
            ticket, group, observe, ..
        } = wish;
        if let Some(slot) = shared.table.find(&group) {
            return match is_already(shared, slot, observe) {
                true => shared.event(Event::Admitted { ticket, group }),
                false => refuse(shared, ticket, group, JoinError::OtherRole),
            };
        }
        if let Some(error) = self.hindrance(shared, &group, observe, closed) {
            return refuse(shared, ticket, group, error);
        }
        if let Some(joining) = self.groups.get_mut(&group) {
            return joining.tickets.push(ticket);
        }
        self.begin(shared, wish);
        if !observe && invited {
            // "It accepts without asking anybody": an invitation that waits for the application has its word now.
            return shared.fate(Fate::Wanted(group));
        }
        self.ask(shared, group);
    }

    /// Why it is of no use to ask, if it is of none.
    fn hindrance(&self, shared: &Shared, group: &GroupId, observe: bool, closed: bool) -> Option<JoinError> {
        let under_way = self.groups.get(group);
        let too_many = |what, max| Some(JoinError::TooMany { what, max });
        let (max_groups, max_of_root) = (shared.config.max_groups, shared.config.max_groups_per_peer);
        if shared.stopping {
            Some(JoinError::Stopping)
        } else if group.root == shared.us {
            Some(JoinError::Over(match closed {
                true => Reason::Closed { by: shared.us },
                false => Reason::NotKnown,
            }))
        } else if under_way.is_some_and(|joining| joining.asked.observe != observe) {
            Some(JoinError::OtherRole)
        } else if under_way.is_some_and(|joining| joining.tickets.len() >= MAX_TICKETS) {
            too_many("callers that join one group", MAX_TICKETS)
        } else if under_way.is_none() && self.groups.len() >= MAX_JOINS {
            too_many("joins under way", MAX_JOINS)
        } else if shared.table.len() >= max_groups {
            too_many("groups", max_groups)
        } else if shared.table.groups_of(&group.root) >= max_of_root {
            too_many("groups of one root", max_of_root)
        } else {
            None
        }
    }

    fn begin(&mut self, shared: &Shared, wish: Wish) {
        self.newest = self.newest.wrapping_add(1);
        let joining = Joining {
            asked: Asked {
                number: self.newest,
                observe: wish.observe,
            },
            tickets: vec![wish.ticket],
            posts: Vec::new(),
            sent: 0,
            deadline: shared.now + wish.timeout.unwrap_or(shared.config.create_timeout),
        };
        self.groups.insert(wish.group, joining);
    }

    /// Asks the root, and again after a pause that doubles. A repetition takes every way, as other questions do.
    fn ask(&mut self, shared: &mut Shared, group: GroupId) {
        let Some(joining) = self.groups.get_mut(&group) else {
            return;
        };
        if shared.now >= joining.deadline {
            return self.failed(shared, &group, &JoinError::Refused(Refusal::Unreachable));
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
        let post = shared.post(group.root, request, ways);
        self.posted(group, post);
        let timings = shared.config.timings;
        let pause = shared.pause(timings.patience_floor / 4, timings.path_timeout, sent);
        let again = (shared.now + pause).min(deadline);
        shared.timers.set(Timer::Join(asked.number), again);
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

    pub(crate) fn on_timer(&mut self, shared: &mut Shared, number: u64) {
        let mut joins = self.groups.iter();
        let found = joins.find(|(_, joining)| joining.asked.number == number);
        if let Some(group) = found.map(|(group, _)| *group) {
            self.ask(shared, group);
        }
    }

    /// The root's word on a join, if this posting was one. `Noted` says only that an invitation follows.
    pub(crate) fn on_answered(&mut self, shared: &mut Shared, post: u64, from: PeerId, answer: &Answer) {
        let Some(group) = self.posts.get(&post).copied().filter(|group| group.root == from) else {
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
        self.failed(shared, &group, &error);
    }

    /// "Nobody has an address of the peer" ends a join; any other lost posting is repeated in its time.
    pub(crate) fn on_lost(&mut self, shared: &mut Shared, post: u64, unknown: bool) {
        if let Some(group) = self.posts.get(&post).copied().filter(|_| unknown) {
            self.failed(shared, &group, &JoinError::Refused(Refusal::Unknown));
        }
    }

    /// This root's life is over, and with it all its groups.
    pub(crate) fn end_all_of(&mut self, shared: &mut Shared, root: PeerId) {
        let groups = self.groups.keys().filter(|group| group.root == root);
        for group in groups.copied().collect::<Vec<_>>() {
            self.failed(shared, &group, &JoinError::Over(Reason::RootDied { peer: root }));
        }
    }

    /// This peer stops.
    pub(crate) fn end_all(&mut self, shared: &mut Shared) {
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            self.failed(shared, &group, &JoinError::Stopping);
        }
    }

    fn failed(&mut self, shared: &mut Shared, group: &GroupId, error: &JoinError) {
        for ticket in self.end(shared, group) {
            refuse(shared, ticket, *group, error.clone());
        }
    }

    /// This peer is in the group now, in this place: its join, if there was one, has succeeded.
    pub(crate) fn came_in(&mut self, shared: &mut Shared, slot: u32, group: GroupId, asked: Option<Asked>) {
        self.came.extend(asked.map(|asked| (slot, asked.number)));
        for ticket in self.end(shared, &group) {
            shared.event(Event::Admitted { ticket, group });
        }
    }

    /// The group in this place is over.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.came.remove(&slot);
    }

    fn end(&mut self, shared: &mut Shared, group: &GroupId) -> Vec<Ticket> {
        let Some(joining) = self.groups.shift_remove(group) else {
            return Vec::new();
        };
        for post in &joining.posts {
            self.posts.remove(post);
        }
        shared.timers.cancel(Timer::Join(joining.asked.number));
        joining.tickets
    }

    /// Who came by a join is in one of so many groups.
    pub(crate) fn bounds(&self, groups: usize) -> [Bounded; 3] {
        let tickets = self.groups.values().map(|joining| joining.tickets.len());
        [
            Bounded::new("joins", self.groups.len(), MAX_JOINS),
            Bounded::fullest("callers of a join", tickets, MAX_TICKETS),
            Bounded::new("groups come into later", self.came.len(), groups),
        ]
    }
}

fn is_already(shared: &Shared, slot: u32, observe: bool) -> bool {
    let role = shared.table.group(slot).map(|group| group.role);
    observe == (role == Some(Role::Observer)) && !shared.table.is_leaving(slot)
}

fn refuse(shared: &mut Shared, ticket: Ticket, group: GroupId, error: JoinError) {
    shared.event(Event::JoinFailed { ticket, group, error });
}
