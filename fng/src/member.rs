//! The member's side: invitations that have come.
//!
//! An invitation with a tag is shown to the application, which decides; one without is accepted at once. While the application thinks, the
//! root repeats itself; the latest way is answered. Bounds: [`MAX_WAITING`] invitations wait (further ones are declined as `Busy`), each until
//! its root has not repeated it for four `path_timeout`s (a root repeats at least every one and a half).

use std::hash::{Hash, Hasher};

use fatebound_overlay::{Bounded, PeerId, Rule, Way};
use fatebound_tree::GroupId;
use indexmap::IndexMap;

use crate::config::Timings;
use crate::fate::Fate;
use crate::group::{Key, NewGroup, Phase, Role};
use crate::io::{Event, Output};
use crate::message::{Answer, Asked, Invitation, MAX_LISTED, MAX_STATE, MAX_TAG};
use crate::notice::cut_refusal;
use crate::reason::{Reason, Refusal};
use crate::shared::{Shared, Timer};

/// Invitations that wait for the application: 1024.
const MAX_WAITING: usize = 1024;
/// Declined invitations that are remembered, so that a repetition hears the same words: 1024, then the oldest is forgotten (and its
/// repetition hears `AlreadyOver`).
const MAX_DECLINED: usize = 1024;

/// An invitation that waits for the application's word.
#[derive(Clone, Debug)]
struct Waiting {
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

/// What this peer's own wishes say about an invitation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wished {
    /// This peer's own application wants to be in that group.
    pub(crate) wanted: bool,
    /// The invitation names the very `Join` that waits for it.
    pub(crate) asked_for: bool,
}

/// The invitations that have come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invitations {
    /// Those that wait for the application's word.
    waiting: IndexMap<GroupId, Waiting>,
    /// Those that the application has declined lately, for repetitions.
    declined: IndexMap<GroupId, Refusal>,
    /// Newest number for `Timer::Waiting`.
    newest: u64,
}

/// For `branch`.
impl Hash for Invitations {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Invitations {
            waiting,
            declined,
            newest,
        } = self;
        (waiting.as_slice(), declined.as_slice(), newest).hash(hasher);
    }
}

impl Invitations {
    /// How many wait for the application; each has a timer.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether an invitation to this group waits for the application.
    pub(crate) fn waits(&self, group: &GroupId) -> bool {
        self.waiting.contains_key(group)
    }

    /// A member accepts or declines.
    pub(crate) fn on_invite(
        &mut self,
        shared: &mut Shared,
        from: PeerId,
        way: Way,
        invitation: Invitation,
        wished: Wished,
    ) {
        let group = invitation.group;
        if group.root != from || from == shared.us || !well_formed(&invitation, shared.us) {
            return;
        }
        if shared.table.find(&group).is_some() && Rule::AcceptedAgain.holds() {
            // "An accepted invitation is accepted again" (protocol.md §3).
            return shared.reply(way, Answer::Accept);
        }
        if invitation.asked.is_some() && !wished.asked_for {
            return shared.decline(way, Refusal::AlreadyOver);
        }
        if let Some(waiting) = self.waiting.get_mut(&group) {
            waiting.way = way;
            let until = shared.now + 4 * waiting.timings.path_timeout;
            return shared.timers.set(Timer::Waiting(waiting.number), until);
        }
        match self.objection(shared, &invitation, wished) {
            Some(refusal) => shared.decline(way, refusal),
            None => self.take(shared, way, invitation, wished),
        }
    }

    /// Why this peer cannot become a member, if it cannot. The order is the user's: what is final comes first.
    fn objection(&self, shared: &Shared, invitation: &Invitation, wished: Wished) -> Option<Refusal> {
        let group = &invitation.group;
        if let Some(refusal) = self.declined.get(group).filter(|_| invitation.asked.is_none()) {
            return Some(refusal.clone());
        }
        let crowded = invitation.tag.is_some() && !wished.wanted && self.waiting.len() >= MAX_WAITING;
        if shared.table.used(group) && !wished.asked_for {
            Some(Refusal::AlreadyOver)
        } else if shared.stopping {
            Some(Refusal::Stopping)
        } else if !shared.config.can_keep(&invitation.timings) {
            // "A member adopts them for this group, or declines with `IncompatibleTimings`."
            Some(Refusal::IncompatibleTimings)
        } else if crowded || shared.is_full_for(group, &invitation.timings) {
            Some(Refusal::Busy)
        } else {
            None
        }
    }

    fn take(&mut self, shared: &mut Shared, way: Way, invitation: Invitation, wished: Wished) {
        let group = invitation.group;
        shared.table.use_up(&group);
        shared.fate(Fate::Begins(group));
        // "Accepts without asking anybody": this peer's own application wants it.
        let decide = invitation.tag.is_some() && !wished.wanted;
        let waiting = Waiting {
            role: match invitation.asked {
                Some(asked) if asked.observe => Role::Observer,
                _ => Role::Member,
            },
            list: invitation.list,
            number: self.newest + 1,
            way,
            members: invitation.members.clone(),
            tag: invitation.tag.clone(),
            timings: invitation.timings,
            asked: invitation.asked,
        };
        shared.event(Event::Invited {
            group,
            members: invitation.members,
            tag: invitation.tag,
            state: invitation.state,
            decide,
        });
        if !decide {
            return enter(shared, group, waiting);
        }
        self.newest += 1;
        let until = shared.now + 4 * waiting.timings.path_timeout;
        shared.timers.set(Timer::Waiting(waiting.number), until);
        self.waiting.insert(group, waiting);
    }

    /// The application's word on an invitation that waits; on any other it is ignored.
    pub(crate) fn on_decide(&mut self, shared: &mut Shared, group: &GroupId, refusal: Option<Refusal>) {
        let Some(waiting) = self.end(shared, group) else {
            return;
        };
        let full = shared.is_full_for(group, &waiting.timings);
        match refusal.or(full.then_some(Refusal::Busy)) {
            None => enter(shared, *group, waiting),
            Some(refusal) => self.decline_for_good(shared, group, waiting.way, cut_refusal(refusal)),
        }
    }

    fn decline_for_good(&mut self, shared: &mut Shared, group: &GroupId, way: Way, refusal: Refusal) {
        if self.declined.len() >= MAX_DECLINED {
            self.declined.shift_remove_index(0);
        }
        self.declined.insert(*group, refusal.clone());
        shared.decline(way, refusal);
    }

    /// Takes an invitation off the list of those that wait.
    fn end(&mut self, shared: &mut Shared, group: &GroupId) -> Option<Waiting> {
        let waiting = self.waiting.shift_remove(group)?;
        shared.timers.cancel(Timer::Waiting(waiting.number));
        Some(waiting)
    }

    /// An invitation is void before the application has decided: whoever was shown it is told, as of a failed group (protocol.md §1, P5).
    pub(crate) fn withdraw(&mut self, shared: &mut Shared, group: &GroupId, reason: Reason) {
        if self.end(shared, group).is_some() {
            shared.tell_end(*group, reason);
        }
    }

    /// The root has not repeated itself for long: it has given up.
    pub(crate) fn on_waiting_timer(&mut self, shared: &mut Shared, number: u64) {
        let found = self.waiting.iter().find(|(_, waiting)| waiting.number == number);
        if let Some(group) = found.map(|(group, _)| *group) {
            self.withdraw(shared, &group, Reason::RootUnreachable { peer: group.root });
        }
    }

    /// This root is dead: so are its invitations.
    pub(crate) fn withdraw_all_of(&mut self, shared: &mut Shared, root: PeerId) {
        let groups = self.waiting.keys().filter(|group| group.root == root);
        for group in groups.copied().collect::<Vec<_>>() {
            self.withdraw(shared, &group, Reason::RootDied { peer: root });
        }
    }

    /// This peer stops: every invitation that waits is declined.
    pub(crate) fn decline_all(&mut self, shared: &mut Shared) {
        for (group, waiting) in std::mem::take(&mut self.waiting) {
            shared.timers.cancel(Timer::Waiting(waiting.number));
            shared.decline(waiting.way, Refusal::Stopping);
            shared.tell_end(group, Reason::Shutdown { by: shared.us });
        }
    }

    pub(crate) fn bounds(&self) -> [Bounded; 2] {
        [
            Bounded::new("invitations that wait", self.waiting.len(), MAX_WAITING),
            Bounded::new("invitations declined", self.declined.len(), MAX_DECLINED),
        ]
    }
}

fn well_formed(invitation: &Invitation, us: PeerId) -> bool {
    let members = &invitation.members;
    let observe = invitation.asked.is_some_and(|asked| asked.observe);
    let listed = members.first() == Some(&invitation.group.root) && (observe || members.contains(&us));
    members.len() <= MAX_LISTED
        && (members.is_empty() || listed)
        && invitation.state.len() <= MAX_STATE
        && invitation.tag.as_ref().is_none_or(|tag| tag.len() <= MAX_TAG)
}

/// "A member adopts [the root's timings] for this group."
fn enter(shared: &mut Shared, group: GroupId, waiting: Waiting) {
    let listed = waiting.members.get(1..).unwrap_or_default();
    let slot = shared.table.insert(&NewGroup {
        id: group,
        role: waiting.role,
        timings: waiting.timings,
        tag: waiting.tag.as_deref(),
        far: &[group.root],
        listed,
        list: waiting.list,
        phase: Phase::Accepted,
    });
    shared.counters.joined += 1;
    shared.reply(waiting.way, Answer::Accept);
    shared.event(match waiting.role {
        Role::Observer => Event::Observing { group },
        _ => Event::Joined { group },
    });
    shared.push(Output::ProveAddress { peer: group.root });
    let key = Key { slot, index: 0 };
    shared.fate(Fate::Entered(key, group, waiting.asked));
}
