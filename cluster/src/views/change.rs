//! What the leader plans while all is well: who comes in, who goes. The stream goes on until the guard is there; then the next view is the
//! last entry of this one, in the leader's own ballot.

use std::collections::{BTreeMap, BTreeSet};

use fatebound_base::Rule;

use super::state::{Attempt, Member, Phase, Stage, Standing};
use super::{ChangeRefused, Step, Views};
use crate::numbers::{Ballot, Node};
use crate::quorum::Policy;
use crate::view::{MAX_VOTERS, View, Voter};

impl Member {
    /// V7 ◆ "The leader that has put the next view into the stream puts nothing behind it."
    pub(super) fn sealed(&self) -> bool {
        let accepting = |attempt: &Attempt| matches!(attempt.phase, Phase::Accepting { .. });
        self.attempt_ref().is_some_and(accepting) && Rule::ViewsNothingBehind.holds()
    }
}

impl Views {
    /// Whether a change may be planned now: at the leader of an open view to which everybody has come, while no other change is under way.
    pub fn may_plan(&self) -> bool {
        self.planner().is_ok()
    }

    pub(super) fn on_change(&mut self, step: &mut Step<'_>, insert: Vec<Voter>, remove: &[Node]) {
        match self.plan(insert, remove) {
            Err(why) => step.tell(super::Event::ChangeRefused(why)),
            Ok(voters) => {
                let Standing::Member(member) = &mut self.standing else {
                    return;
                };
                member.stage = Stage::Normal(Some(Attempt {
                    ballot: Ballot::PLANNED,
                    promises: BTreeMap::new(),
                    patient: false,
                    guard: 0,
                    repetitions: 0,
                    phase: Phase::Promises,
                }));
                self.order_guard(step, voters, None);
            }
        }
    }

    /// The voters of the planned view.
    fn plan(&self, insert: Vec<Voter>, remove: &[Node]) -> Result<Vec<Voter>, ChangeRefused> {
        let member = self.planner()?;
        let voters = successors(&member.view, insert, remove);
        check(&member.view, &voters).map(|()| voters)
    }

    /// The node as the one that plans.
    fn planner(&self) -> Result<&Member, ChangeRefused> {
        let leading = |member: &&Member| member.is_normal() && member.place == 0;
        let member = self.member().filter(leading).ok_or(ChangeRefused::NotLeading)?;
        if member.attempt_ref().is_some() || member.promised != Ballot::PLANNED || member.accepted.is_some() {
            return Err(ChangeRefused::Busy);
        }
        // V15 ◆ "The leader plans nothing before everybody has come to the view": so nobody is ever two views behind.
        let all_here = member.past.as_ref().is_none_or(super::state::Past::all_here);
        if !all_here && Rule::ViewsAllHaveCome.holds() {
            return Err(ChangeRefused::NotAllHere);
        }
        Ok(member)
    }
}

/// Those of the view who stay, in its order, then the newcomers. A newcomer whose peer is there in an earlier life takes that one's place at
/// the end of the list: its earlier life is over (V10).
fn successors(view: &View, insert: Vec<Voter>, remove: &[Node]) -> Vec<Voter> {
    let mut new: Vec<Voter> = Vec::new();
    for voter in insert {
        let listed = new.iter().any(|other| other.node.peer == voter.node.peer);
        if !view.contains(voter.node) && !listed {
            new.push(voter);
        }
    }
    let replaced: BTreeSet<_> = new.iter().map(|voter| voter.node.peer).collect();
    let stays = |voter: &&Voter| !remove.contains(&voter.node) && !replaced.contains(&voter.node.peer);
    let stay = view.voters.iter().filter(stays).cloned();
    stay.chain(new).collect()
}

fn check(view: &View, voters: &[Voter]) -> Result<(), ChangeRefused> {
    let limit = |within: bool, what, max| {
        if within {
            Ok(())
        } else {
            Err(ChangeRefused::TooMany { what, max })
        }
    };
    let newcomers = voters.iter().filter(|voter| !view.contains(voter.node)).count();
    if *voters == *view.voters || newcomers == voters.len() {
        return Err(ChangeRefused::NoChange);
    }
    limit(voters.len() <= MAX_VOTERS, "voters", MAX_VOTERS)?;
    // V8 ◆ "No view has more newcomers than its predecessor had voters": newcomers that die at once must not outnumber those who know it.
    let few = newcomers <= view.voters.len() || !Rule::ViewsFewNewcomers.holds();
    limit(few, "newcomers", view.voters.len())?;
    let witnesses = voters.iter().filter(|voter| voter.witness).count();
    let max = match view.policy {
        Policy::Witness(max) => usize::from(max),
        _ => 0,
    };
    limit(witnesses <= max, "witnesses", max)
}
