//! What must hold of the groups between any two inputs.

use std::collections::BTreeSet;

use crate::group::{Group, Key, Phase, Role, Stage};
use crate::groups::Groups;
use crate::shared::Timer;

impl Groups {
    /// Checks what must hold of the groups between any two inputs. For tests and checkers: it walks over all of them.
    ///
    /// 1. to 3.: see the table. Further:
    ///
    /// 4. Nothing that followed from an input is left: no consequence, and no fate.
    /// 5. A member or an observer has one far end, the root, which has accepted, and which counts.
    /// 6. A group is in the stage of its creation exactly while that is under way, which knows how many have not answered, and has a timer.
    /// 7. A group is being left exactly while its departure is under way, which has a timer.
    /// 8. A far end is asked exactly while it is being invited, by a creation or an admission; an invitation has a timer.
    /// 9. What is under way for a path is for a far end that counts and whose path is not up, and has a timer. A root has something under way for
    ///    every path that is broken, or that it has begun to build.
    /// 10. An inquiry is about a far end that counts, and has a timer for its verdict; it is asked, or will be. Every broken path has one.
    /// 11. A pair of peers asks about far ends that are inquired about, and has a timer.
    /// 12. No limit is exceeded.
    ///
    /// # Errors
    /// The first invariant that does not hold, by its number. That is a bug in this crate.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.shared.table.check_invariants()?;
        ensure(self.shared.is_settled(), 4, "a fate or a consequence is left")?;
        for slot in self.shared.table.slots() {
            if let Some(group) = self.shared.table.group(slot) {
                self.check_group(slot, group)?;
            }
        }
        self.check_creations()?;
        self.check_far_ends()?;
        self.check_questions()?;
        let bounds = self.bounds();
        let exceeded = bounds.iter().find(|bound| !bound.holds());
        ensure(exceeded.is_none(), 12, &format!("a limit is exceeded: {exceeded:?}"))
    }

    fn check_group(&self, slot: u32, group: &Group) -> Result<(), String> {
        if group.role != Role::Root {
            let root = self.shared.table.id(group).root;
            let far = self.shared.table.peer(Key { slot, index: 0 });
            ensure(
                group.far.len() == 1 && far == Some(root),
                5,
                "a member's far end is not its root",
            )?;
            ensure(group.far[0].phase.is_in(), 5, "a member's root does not count")?;
        }
        let creating = self.creations.is_under_way(slot);
        ensure(
            creating == (group.stage == Stage::Creating),
            6,
            "a creation is not where it should be",
        )?;
        let leaving = self.departures.is_under_way(slot);
        ensure(
            leaving == (group.stage == Stage::Leaving),
            7,
            "a departure is not where it should be",
        )?;
        ensure(leaving == self.waits(Timer::Leave(slot)), 7, "a departure has no timer")?;
        for (index, far) in (0..).zip(&group.far) {
            let key = Key { slot, index };
            let asked = creating && far.phase == Phase::Asked || self.admissions.is_under_way(key);
            ensure(asked == (far.phase == Phase::Asked), 8, "a far end waits for nothing")?;
            ensure(
                asked == self.inviting.is_under_way(key),
                8,
                "an invitation is not where it should be",
            )?;
            let broken = far.phase == Phase::Broken;
            ensure(
                !broken || self.inquiries.is_open(key),
                10,
                "a broken path is not inquired about",
            )?;
            ensure(
                !broken || !group.is_root() || self.repairs.is_under_way(key),
                9,
                "a broken path is not repaired",
            )?;
        }
        Ok(())
    }

    fn check_creations(&self) -> Result<(), String> {
        for (slot, unanswered) in self.creations.unanswered() {
            let group = self.shared.table.group(slot);
            let asked = |group: &Group| group.far.iter().filter(|far| far.phase == Phase::Asked).count();
            ensure(group.map(asked) == Some(unanswered), 6, "answers are miscounted")?;
            ensure(self.waits(Timer::Create(slot)), 6, "a creation has no timer")?;
        }
        Ok(())
    }

    fn check_far_ends(&self) -> Result<(), String> {
        let phase = |key| self.shared.table.far(key).map(|far| far.phase);
        for key in self.inviting.keys() {
            ensure(
                phase(key) == Some(Phase::Asked),
                8,
                "somebody is invited that is in, or out",
            )?;
            ensure(self.waits(Timer::Invite(key)), 8, "an invitation has no timer")?;
        }
        for key in self.repairs.keys() {
            let down = matches!(phase(key), Some(Phase::Accepted | Phase::Broken));
            ensure(down, 9, "a path is under way that is up, or nobody's")?;
            ensure(self.waits(Timer::Path(key)), 9, "a path has no timer")?;
        }
        Ok(())
    }

    fn check_questions(&self) -> Result<(), String> {
        let mut asked = BTreeSet::new();
        for (pair, keys) in self.inquiries.asked() {
            ensure(self.waits(Timer::Round(pair)), 11, "a pair has no timer")?;
            asked.extend(keys);
        }
        for key in self.inquiries.keys() {
            ensure(self.shared.table.is_in(key), 10, "an inquiry is about nobody")?;
            ensure(self.waits(Timer::Verdict(key)), 10, "an inquiry has no verdict")?;
            let will_be = self.waits(Timer::Probe(key));
            ensure(will_be != asked.remove(&key), 10, "an inquiry asks nothing, or twice")?;
        }
        ensure(asked.is_empty(), 11, "a far end is asked about, and nobody inquires")
    }

    fn waits(&self, timer: Timer) -> bool {
        self.shared.timers.get(timer).is_some()
    }
}

/// An invariant by its number.
pub(crate) fn ensure(holds: bool, invariant: u32, what: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("invariant {invariant}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use fatebound_overlay::{DeathProof, Identity, Keypair, PeerId, Time};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::Config;
    use crate::fate::Fate;
    use crate::io::{Admit, Command, Context, Input, Ticket};

    fn peer(n: u8) -> Identity {
        Identity::new(&Keypair::ed25519_from_bytes([n; 32]).unwrap())
    }

    /// A root that is creating a group with one other member.
    fn creating() -> Groups {
        let mut groups = Groups::new(&Config::lan(), &peer(1), 1, StdRng::seed_from_u64(1));
        let create = Command::Create {
            ticket: Ticket(1),
            members: vec![peer(2).peer()],
            tag: None,
            state: Vec::new(),
            timeout: None,
            admit: Admit::Ask,
        };
        groups.handle(Time::ZERO, Input::Command(create), Context::default(), &mut Vec::new());
        groups
    }

    /// Something that no input does.
    type Break<'a> = &'a dyn Fn(&mut Groups);

    #[test]
    fn whatever_is_broken_is_noticed_by_its_number() {
        const KEY: Key = Key { slot: 0, index: 0 };
        let member: PeerId = peer(2).peer();
        let breaks: [(u32, Break<'_>); 8] = [
            (2, &|groups| {
                groups.shared.table.peers.attach(0, KEY);
            }),
            (4, &|groups| groups.shared.fate(Fate::Suspected(KEY))),
            (4, &|groups| {
                let proof = DeathProof::Goodbye;
                groups.deaths.on_peer_dead(&mut groups.shared, member, proof);
            }),
            (6, &|groups| {
                groups.shared.timers.cancel(Timer::Create(0));
            }),
            (6, &|groups| {
                groups.shared.table.group_mut(0).unwrap().stage = Stage::Complete;
            }),
            (8, &|groups| {
                groups.shared.timers.cancel(Timer::Invite(KEY));
            }),
            (9, &|groups| groups.repairs.expect(&mut groups.shared, KEY)),
            (11, &|groups| groups.inquiries.ask(&mut groups.shared, KEY)),
        ];
        for (number, break_it) in breaks {
            let mut groups = creating();
            assert_eq!(groups.check_invariants(), Ok(()));
            break_it(&mut groups);
            let broken = groups.check_invariants().unwrap_err();
            assert!(
                broken.starts_with(&format!("invariant {number}:")),
                "{number}: {broken}"
            );
        }
    }
}
