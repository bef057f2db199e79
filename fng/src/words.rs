//! Words about groups that are not here any more: what this peer is telling whom, and what it says, or does not say, when it is asked.
//!
//! A group that is not known is *unknown*, which means failed. There are exceptions, each with its own file: the word that it failed is still on its
//! way; it was closed, or this peer left it, which was no failure; or this peer keeps silent about it.

mod remembered;
mod silence;
mod telling;

use fatebound_overlay::{Bounded, PeerId, PostId, Rule, Time, Way, Ways};
use fatebound_tree::GroupId;

use crate::io::Output;
use crate::message::{Answer, Notice, Request, Status};
use crate::shared::{Shared, Timer};

use remembered::{MAX_REMEMBERED, Remembered};
use silence::{MAX_SILENT, Silent};
use telling::{MAX_TELLING, Telling};

/// What this peer says about groups that are over here.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Words {
    silent: Silent,
    telling: Telling,
    /// Groups of our own that were closed.
    closed: Remembered,
    /// Groups that this peer left without an acknowledgement.
    left: Remembered,
}

impl Words {
    /// Whether this peer keeps silent about a group, whatever anybody says.
    pub(crate) fn is_silent(&self, group: &GroupId) -> bool {
        self.silent.contains(group)
    }

    /// No word about this group from now on, until `until`.
    pub(crate) fn fall_silent(&mut self, shared: &mut Shared, group: GroupId, until: Time) {
        shared.push(Output::Silence { group });
        let (number, beyond) = self.silent.add(group);
        shared.timers.set(Timer::Silent(number), until);
        if let Some((group, number)) = beyond {
            shared.timers.cancel(Timer::Silent(number));
            shared.push(Output::Unsilence { group });
        }
    }

    /// The time of this silence is over.
    pub(crate) fn on_silent_timer(&mut self, shared: &mut Shared, number: u64) {
        if let Some(group) = self.silent.remove(number) {
            shared.push(Output::Unsilence { group });
        }
    }

    /// Posts that a group has failed. Until then, or until it is acknowledged, the listener hears no *unknown*.
    pub(crate) fn tell(&mut self, shared: &mut Shared, to: PeerId, notice: &Notice, ways: Ways, until: Time) {
        let post = shared.post(to, Request::Fail(Box::new(notice.clone())), ways);
        self.telling.begin(PostId(post), notice.group, to, until);
    }

    /// A posting was answered, or nothing of it is under way any more.
    pub(crate) fn told(&mut self, post: PostId) {
        self.telling.end(post);
    }

    /// "◆ The root remembers a closed group for its bound."
    pub(crate) fn remember_closed(&mut self, now: Time, group: GroupId, until: Time) {
        self.closed.add(now, group, until);
    }

    /// "◆ Whoever has left unacknowledged remembers the group for its bound, and answers the root's questions about it *parted*, which is no
    /// failure."
    pub(crate) fn remember_left(&mut self, now: Time, group: GroupId, until: Time) {
        if Rule::LeftIsNoFailure.holds() {
            self.left.add(now, group, until);
        }
    }

    /// This peer is, or may soon be, in a group again that it has left.
    pub(crate) fn forget_left(&mut self, group: &GroupId) {
        self.left.remove(group);
    }

    pub(crate) fn has_left(&self, now: Time, group: &GroupId) -> bool {
        self.left.contains(now, group)
    }

    /// Whether this group of ours was closed lately.
    pub(crate) fn was_closed(&self, now: Time, group: &GroupId) -> bool {
        self.closed.contains(now, group)
    }

    /// "◆ Who has posted a `Fail` holds its *unknown* back, or that would overtake the reason." (protocol.md §6)
    pub(crate) fn tells_soon(&self, now: Time, group: &GroupId, asker: &PeerId) -> bool {
        self.telling.tells(now, group, asker) && Rule::WordBeforeUnknown.holds()
    }

    /// "To a group that has failed the answer is *unknown*, to a closed one *closed*."
    pub(crate) fn say_over(&self, shared: &mut Shared, from: PeerId, way: Way, group: &GroupId) {
        let mut status = Status::default();
        if self.was_closed(shared.now, group) && Rule::ClosedIsRemembered.holds() {
            status.closed.push(0);
        } else if !self.tells_soon(shared.now, group, &from) {
            status.unknown.push(0);
        } else {
            return;
        }
        shared.reply(way, Answer::Status(status));
    }

    /// How many groups this peer keeps silent about; each has a timer.
    pub(crate) fn silences(&self) -> usize {
        self.silent.len()
    }

    #[cfg(test)]
    pub(crate) fn on_their_way(&self) -> usize {
        self.telling.len()
    }

    pub(crate) fn bounds(&self) -> [Bounded; 4] {
        [
            Bounded::new("silent groups", self.silent.len(), MAX_SILENT),
            Bounded::new("words on their way", self.telling.len(), MAX_TELLING),
            Bounded::new("closed groups", self.closed.len(), MAX_REMEMBERED),
            Bounded::new("groups left without a word", self.left.len(), MAX_REMEMBERED),
        ]
    }
}
