//! Invitations that this root has sent: repeated until they are answered, whoever they are for, a new group's members or somebody who comes in
//! later. What they say, and what an answer means, is the business of creations and admissions.

use std::collections::BTreeMap;

use fatebound_overlay::{Bounded, PeerId, Time, Ways};

use crate::group::Key;
use crate::message::{Invitation, Request};
use crate::shared::{Shared, Timer};

/// Invitations to one far end.
#[derive(Clone, Debug, Default, Hash)]
struct Invited {
    /// Those that may still be answered.
    posts: Vec<u64>,
    sent: u32,
}

/// The invitations under way.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Inviting {
    far: BTreeMap<Key, Invited>,
    posts: BTreeMap<u64, Key>,
}

impl Inviting {
    /// How many far ends are being invited; each has a timer.
    pub(crate) fn len(&self) -> usize {
        self.far.len()
    }

    /// This far end is to be invited then.
    pub(crate) fn schedule(&mut self, shared: &mut Shared, key: Key, at: Time) {
        self.far.entry(key).or_default();
        shared.timers.set(Timer::Invite(key), at);
    }

    /// Invites a far end, to be repeated after a pause that doubles.
    pub(crate) fn send(&mut self, shared: &mut Shared, key: Key, invitation: Box<Invitation>) {
        let Some(to) = shared.table.peer(key) else {
            return;
        };
        let post = shared.post(to, Request::Invite(invitation), Ways::Direct);
        let invited = self.far.entry(key).or_default();
        invited.posts.push(post);
        invited.sent += 1;
        self.posts.insert(post, key);
        let timings = shared.config.timings;
        let pause = shared.pause(timings.patience_floor / 4, timings.path_timeout, invited.sent);
        shared.timers.set(Timer::Invite(key), shared.now + pause);
    }

    /// The far end that answers this invitation, if its answer still counts.
    pub(crate) fn answered(&self, shared: &Shared, post: u64, from: PeerId) -> Option<Key> {
        let key = *self.posts.get(&post)?;
        (shared.table.peer(key) == Some(from)).then_some(key)
    }

    /// This posting can no longer be answered: whom it invited, if it was an invitation.
    pub(crate) fn lost(&mut self, post: u64) -> Option<Key> {
        let key = self.posts.remove(&post)?;
        if let Some(invited) = self.far.get_mut(&key) {
            invited.posts.retain(|other| *other != post);
        }
        Some(key)
    }

    /// Answers to what was sent so far do not count any more: the far end is to be invited to something else.
    pub(crate) fn retract(&mut self, key: Key) {
        for post in self
            .far
            .get_mut(&key)
            .into_iter()
            .flat_map(|invited| invited.posts.drain(..))
        {
            self.posts.remove(&post);
        }
    }

    /// The far end has answered, or is invited no more.
    pub(crate) fn end(&mut self, shared: &mut Shared, key: Key) {
        self.retract(key);
        if self.far.remove(&key).is_some() {
            shared.timers.cancel(Timer::Invite(key));
        }
    }

    pub(crate) fn bounds(&self) -> Bounded {
        let sent = self.far.values().map(|invited| invited.posts.len()).sum();
        Bounded::new("invitations under way", self.posts.len(), sent)
    }

    /// Whether this far end is being invited.
    pub(crate) fn is_under_way(&self, key: Key) -> bool {
        self.far.contains_key(&key)
    }

    /// The far ends that are.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.far.keys().copied()
    }
}
