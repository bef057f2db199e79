//! The other side of an inquiry: what a peer says when it is asked whether it lives, and groups in it.
//!
//! Answers list groups as alive or as unknown. A group in neither list is not spoken about: one that this peer keeps silent about, or that
//! the asker has no business with, or of whose failure it is being told. When nothing can be said about any group, there is no answer.

use fatebound_overlay::{PeerId, Time, Way, undone};
use fatebound_tree::GroupId;

use crate::groups::{Groups, Step};
use crate::io::Output;
use crate::message::{Answer, MAX_GROUPS};
use crate::table::{Key, Standing};

impl Groups {
    /// A root asks this member. "Unknown" is said of its groups only; nobody else may learn what is here.
    pub(crate) fn on_probe(&mut self, step: &mut Step<'_>, from: PeerId, way: Way, groups: &[GroupId]) {
        let (mut alive, mut unknown) = (Vec::new(), Vec::new());
        for (at, group) in (0..).zip(groups.iter().take(MAX_GROUPS)) {
            let undecided = self.silent.contains(group) || self.waiting.contains_key(group);
            if group.root != from || undecided {
                continue;
            }
            match self.table.find(group) {
                Some(_) => alive.push(at),
                None if self.told_soon(step.now, group, &from) => {}
                None => unknown.push(at),
            }
        }
        status(step, way, alive, unknown);
    }

    /// A member asks this root, and may want a repair. "A root answers for any id of its own that it does not know: *failed*. So it needs no
    /// tombstones." It says so, too, to whoever is no member of a group.
    pub(crate) fn on_need_repair(
        &mut self,
        step: &mut Step<'_>,
        from: PeerId,
        way: Way,
        groups: &[(GroupId, Option<u32>)],
    ) {
        let (mut alive, mut unknown, mut needed) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (group, epoch)) in (0..).zip(groups.iter().take(MAX_GROUPS)) {
            if group.root != self.us || self.silent.contains(group) {
                continue;
            }
            match self.member(group, &from) {
                Some(key) => {
                    alive.push(at);
                    needed.extend(epoch.map(|epoch| (key, epoch)));
                }
                None if self.told_soon(step.now, group, &from) => {}
                None => unknown.push(at),
            }
        }
        status(step, way, alive, unknown);
        for (key, epoch) in needed {
            self.repair_needed(step, key, epoch);
        }
    }

    /// "◆ Who has posted a `Fail` holds its *unknown* back, or that would overtake the reason." (protocol.md §6)
    fn told_soon(&self, now: Time, group: &GroupId, asker: &PeerId) -> bool {
        self.telling.tells(now, group, asker) && !undone("word-before-unknown")
    }

    /// This peer as a member, as far as the root knows: one whose `Accept` is still on its way counts.
    fn member(&self, group: &GroupId, peer: &PeerId) -> Option<Key> {
        let key = self.table.end_of(self.table.find(group)?, peer)?;
        let far = self.table.far(key)?;
        (far.standing != Standing::Refused).then_some(key)
    }
}

fn status(step: &mut Step<'_>, way: Way, alive: Vec<u16>, unknown: Vec<u16>) {
    if !(alive.is_empty() && unknown.is_empty()) {
        let answer = Answer::Status { alive, unknown };
        step.push(Output::Reply { way, answer });
    }
}
