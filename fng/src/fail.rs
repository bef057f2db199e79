//! Hard failure: the group leaves the table, its handlers run once, and everybody who can be told is told by the fastest ways.
//!
//! "`Fail` goes to all who can be told fastest: down and up the paths, hop by hop; directly to the root and to every other member that the
//! originator is connected to; and from the root directly to every connected member." (protocol.md §6) No `Fail` is repeated: "should every one of
//! these messages be lost, the paths are gone from the joint sets, each member starts its repair, and hears *failed*, or nothing."
//!
//! Who is believed: at the root, its members; at a member, the root and the members on its list. A member of a group that is too large for
//! a list believes the root alone. So the root passes a member's word on to large groups under its own name; where a delegate brings the
//! member's own word sooner, it counts as a `Release`, and the root's answer to `NeedRepair` settles it.

use std::collections::BTreeSet;

use fatebound_overlay::{PeerId, Rule, Time, Way, Ways};
use fatebound_tree::{Cause, GroupId, PathId};

use crate::group::{Group, Key, Phase};
use crate::groups::Groups;
use crate::io::Output;
use crate::message::{Answer, MAX_TEXT, Notice, Request};
use crate::notice::cut;
use crate::reason::Reason;

impl Groups {
    /// "Any member may `signal` at any time, for a reason of its own" (protocol.md §1, P3).
    pub(crate) fn on_signal(&mut self, group: &GroupId, text: String) {
        let (table, by) = (&self.shared.table, self.shared.us);
        if let Some(slot) = table.find(group).filter(|slot| table.has_word(*slot)) {
            let text = cut(text, MAX_TEXT);
            self.fail(slot, Reason::Signalled { by, text });
        }
    }

    /// "A peer that stops in an orderly way hard-fails the groups in which it is a member": nobody waits for a time limit.
    pub(crate) fn on_shutdown(&mut self) {
        self.shared.stopping = true;
        self.invitations.decline_all(&mut self.shared);
        self.joins.end_all(&mut self.shared);
        for slot in self.shared.table.slots() {
            self.fail(slot, Reason::Shutdown { by: self.shared.us });
        }
    }

    /// A group fails by this peer's own judgement.
    pub(crate) fn fail(&mut self, slot: u32, reason: Reason) {
        let Some(group) = self.shared.table.group(slot) else {
            return;
        };
        let id = self.shared.table.id(group);
        if !self.shared.table.has_word(slot) {
            self.repairs.drop_path(&mut self.shared, Key { slot, index: 0 });
            return self.bury(slot, reason);
        }
        let alone = group.parties().next().is_none();
        let listeners = self.listeners(group, &reason, self.shared.us);
        let until = self.shared.now + self.shared.floor(slot) / 2;
        self.bury(slot, reason.clone());
        if !alone {
            let notice = Notice::signed(id, reason, &self.shared.identity);
            self.spread(&notice, listeners, until);
        }
    }

    /// A group fails by the word of a member or the root. Members leave it to the originator and the root to tell the others.
    fn fail_by(&mut self, slot: u32, notice: &Notice) {
        let Some(group) = self.shared.table.group(slot) else {
            return;
        };
        let unsettled = self.lists.is_unsettled(slot) && Rule::ListsFollow.holds();
        let ours = group.is_root() && (group.large || unsettled);
        let listeners = match group.is_root() {
            true => self.listeners(group, &notice.reason, notice.originator),
            false => Vec::new(),
        };
        let until = self.shared.now + self.shared.floor(slot) / 2;
        let reason = notice.reason.clone();
        self.bury(slot, reason.clone());
        let notice = match ours {
            true => Notice::signed(notice.group, reason, &self.shared.identity),
            false => notice.clone(),
        };
        self.spread(&notice, listeners, until);
    }

    /// Along the paths, and to each listener, who hears no *unknown* until then.
    fn spread(&mut self, notice: &Notice, listeners: Vec<(PeerId, Ways)>, until: Time) {
        self.shared.push(Output::Fail {
            group: notice.group,
            notice: notice.encoded(),
        });
        for (to, ways) in listeners {
            self.words.tell(&mut self.shared, to, notice, ways, until);
        }
    }

    /// Who is told by post, and how: members whose path is up are reached along it as well, so they only get what is fast.
    fn listeners(&self, group: &Group, reason: &Reason, originator: PeerId) -> Vec<(PeerId, Ways)> {
        let connected = |live: bool| {
            if live {
                Ways::Connected
            } else {
                Ways::Every { round: 0 }
            }
        };
        let far = group.parties();
        let far = far.map(|far| {
            (
                self.shared.table.peers.get(far.peer),
                connected(far.phase.is_live() && group.is_root()),
            )
        });
        let listed = group
            .listed
            .iter()
            .map(|ix| (self.shared.table.peers.get(*ix), Ways::Connected));
        far.chain(listed)
            .filter(|(peer, _)| *peer != self.shared.us && *peer != originator && !knows(reason, peer))
            .collect()
    }

    /// The group leaves the table, and the application hears of it: once, for a group can leave only once.
    pub(crate) fn bury(&mut self, slot: u32, reason: Reason) {
        let Some(group) = self.shared.table.group(slot) else {
            return;
        };
        let (id, root, bound) = (self.shared.table.id(group), group.is_root(), self.shared.bound(group));
        self.checks.end(&mut self.shared, slot);
        self.creations.end(&mut self.shared, slot, &reason);
        self.departures.overtake(&mut self.shared, slot, id, &reason);
        self.forget(slot);
        if root && matches!(reason, Reason::Closed { .. }) {
            // "◆ The root remembers a closed group for its bound."
            self.words.remember_closed(self.shared.now, id, self.shared.now + bound);
        }
        self.shared.tell_end(id, reason);
    }

    /// The group leaves the table, with all that is under way for it.
    pub(crate) fn forget(&mut self, slot: u32) {
        let Some(group) = self.shared.table.group(slot) else {
            return;
        };
        let (id, ends) = (self.shared.table.id(group), group.far.len() as u32);
        self.checks.end(&mut self.shared, slot);
        self.lists.end(&mut self.shared, slot);
        self.joins.forget(slot);
        self.admissions.close(&mut self.shared, slot, &id);
        for index in 0..ends {
            self.end_work(Key { slot, index });
        }
        self.shared.table.remove(slot);
    }

    /// Fails a group here without a word to anybody else.
    pub(crate) fn on_fall_silent(&mut self, group: GroupId) {
        let Some(slot) = self.shared.table.find(&group) else {
            return;
        };
        let bound = self.shared.table.group(slot).map(|group| self.shared.bound(group));
        let (by, text) = (self.shared.us, "fell silent".to_owned());
        self.bury(slot, Reason::Signalled { by, text });
        let until = self.shared.now + bound.unwrap_or_default();
        self.words.fall_silent(&mut self.shared, group, until);
    }

    /// Somebody posted that a group has failed. About a silent group there is no word; a false notice gets none either.
    pub(crate) fn on_fail_posted(&mut self, way: Way, notice: &Notice) {
        let believed = match self.shared.table.find(&notice.group) {
            Some(slot) => self.believe(slot, notice),
            None => self.forestall(notice),
        };
        if believed {
            self.shared.reply(way, Answer::Noted);
        }
    }

    /// The word came along a path: "one that does not verify counts as a `Release`: a delegate can cause a repair, never a failure."
    pub(crate) fn on_fail_along_path(&mut self, path: &PathId, notice: &[u8]) {
        let Some(slot) = self.shared.table.find(&path.group) else {
            return;
        };
        let notice = Notice::decoded(notice).filter(|notice| notice.group == path.group);
        let believed = notice.is_some_and(|notice| self.believe(slot, &notice));
        if !believed && Rule::FalseFailBreaksPath.holds() {
            self.repairs.on_broken(&mut self.shared, path, Cause::Disagreed);
        }
    }

    /// "◆ Before a doubtful link a `Fail` also goes around it: whoever hands it over … posts it to the other ends of the paths." Who they are is
    /// all that this peer knows, not which of them lies behind the link. No word needs the originator, nor, from a member, the root: it has been
    /// told; nor the peer whom it is about: its root tries every way itself.
    pub(crate) fn on_fail_stuck(&mut self, paths: &[PathId], notice: &[u8]) {
        let Some(notice) = Notice::decoded(notice) else {
            return;
        };
        let ours = paths.iter().any(|path| path.member == self.shared.us);
        let root = paths.first().map(|path| path.group.root).filter(|_| !ours);
        let ends = paths.iter().map(|path| path.member).chain(root);
        let ends =
            ends.filter(|end| *end != self.shared.us && *end != notice.originator && !is_about(&notice.reason, end));
        for end in ends.collect::<BTreeSet<_>>() {
            let word = Request::Fail(Box::new(notice.clone()));
            self.shared.post(end, word, Ways::Every { round: 0 });
        }
    }

    fn believe(&mut self, slot: u32, notice: &Notice) -> bool {
        let genuine = !Rule::FalseFailIsRelease.holds() || notice.genuine(self.shared.identity.scheme());
        let believed = self.has_a_say(slot, &notice.originator) && may_say(notice) && genuine;
        if believed {
            self.fail_by(slot, notice);
        }
        believed
    }

    /// "A member can fail its own groups: that is the point. It cannot fail groups it is not in." (protocol.md §9)
    fn has_a_say(&self, slot: u32, peer: &PeerId) -> bool {
        let far = self
            .shared
            .table
            .end_of(slot, peer)
            .and_then(|key| self.shared.table.far(key));
        let listed = || {
            let ix = self.shared.table.peers.find(peer);
            self.shared
                .table
                .group(slot)
                .zip(ix)
                .is_some_and(|(group, ix)| group.listed.contains(&ix))
        };
        far.is_some_and(|far| far.phase != Phase::Out && !far.observer) || listed()
    }

    /// The word is about a group that is not here. If it is its root's, an invitation that is still on its way, or waits for the application,
    /// must not be accepted any more (protocol.md §6, "revive a dead group"). Of any other group this peer needs no word.
    fn forestall(&mut self, notice: &Notice) -> bool {
        let group = notice.group;
        if group.root == self.shared.us || notice.originator != group.root {
            return true;
        }
        let genuine = notice.genuine(self.shared.identity.scheme());
        if genuine && Rule::FailUsesIdUp.holds() {
            self.shared.table.use_up(&group);
            self.invitations
                .withdraw(&mut self.shared, &group, notice.reason.clone());
        }
        genuine
    }
}

/// "Nobody but the root can give it": the word that a group is closed.
fn may_say(notice: &Notice) -> bool {
    match notice.reason {
        Reason::Closed { by } => by == notice.group.root && by == notice.originator,
        _ => true,
    }
}

/// Whether this peer is the one for which the group fails.
fn is_about(reason: &Reason, peer: &PeerId) -> bool {
    match reason {
        Reason::MemberUnreachable { peer: subject }
        | Reason::RootUnreachable { peer: subject }
        | Reason::MemberForgot { peer: subject } => subject == peer,
        _ => knows(reason, peer),
    }
}

/// Whether this peer is past telling: it is dead, or it is the one that says the group has failed.
fn knows(reason: &Reason, peer: &PeerId) -> bool {
    match reason {
        Reason::MemberDied { peer: dead } | Reason::RootDied { peer: dead } => dead == peer,
        Reason::FailedAtRoot { peer: root } => root == peer,
        _ => false,
    }
}
