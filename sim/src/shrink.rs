//! From a scenario that breaks a promise to a small one that breaks the same promise.
//!
//! Delta debugging: whatever can be left out without the violation going away, is. First faults, in ever smaller parts; then members of
//! groups and peers that nothing mentions; then time. A smaller scenario is another run, in which other random numbers are drawn, so not
//! every smaller one that should fail does; the budget of runs is therefore given, not found out.

use std::time::Duration;

use crate::PeerIndex;
use crate::fault::Fault;
use crate::run::run;
use crate::schedule::Scenario;

/// Peers that stay, even if nothing mentions them: a world of two or three has no delegates.
const FEWEST_PEERS: usize = 4;

/// What shrinking has come to.
#[derive(Debug)]
pub struct Shrunk {
    /// The smallest scenario found that breaks the promise.
    pub scenario: Scenario,
    /// Runs that it took.
    pub runs: usize,
}

/// Makes a scenario smaller as long as a run of it still breaks this promise, in at most so many runs, and no further once `stop` says so.
pub fn shrink(scenario: &Scenario, promise: &str, budget: usize, stop: impl Fn() -> bool) -> Shrunk {
    let fails = |scenario: &Scenario| {
        if stop() {
            return false;
        }
        let outcome = run(scenario);
        outcome.violations.iter().any(|violation| violation.promise == promise)
    };
    shrink_by(scenario, budget, fails)
}

/// The same with any idea of failing.
pub fn shrink_by(scenario: &Scenario, budget: usize, fails: impl FnMut(&Scenario) -> bool) -> Shrunk {
    let mut shrinking = Shrinking {
        best: scenario.clone(),
        left: budget,
        fails,
    };
    while shrinking.left > 0 && shrinking.round() {}
    Shrunk {
        scenario: shrinking.best,
        runs: budget - shrinking.left,
    }
}

struct Shrinking<F> {
    best: Scenario,
    left: usize,
    fails: F,
}

impl<F: FnMut(&Scenario) -> bool> Shrinking<F> {
    /// Tries everything once; says whether anything became smaller.
    fn round(&mut self) -> bool {
        let before = self.best.clone();
        self.drop_faults();
        self.drop_members();
        self.drop_peers();
        self.shorten();
        self.best != before
    }

    /// Takes this scenario if it fails as well.
    fn attempt(&mut self, smaller: Scenario) -> bool {
        if self.left == 0 || smaller == self.best {
            return false;
        }
        self.left -= 1;
        let fails = (self.fails)(&smaller);
        if fails {
            self.best = smaller;
        }
        fails
    }

    /// Leaves out stretches of the schedule, half of it first, single faults last.
    fn drop_faults(&mut self) {
        let mut stretch = self.best.schedule.len().div_ceil(2);
        while stretch > 0 {
            let mut at = 0;
            while at < self.best.schedule.len() && self.left > 0 {
                let mut smaller = self.best.clone();
                let end = (at + stretch).min(smaller.schedule.len());
                smaller.schedule.drain(at..end);
                if !self.attempt(smaller) {
                    at += stretch;
                }
            }
            stretch /= 2;
        }
    }

    fn drop_members(&mut self) {
        for at in 0..self.best.schedule.len() {
            let mut member = 0;
            while let Some(smaller) = without_member(&self.best, at, member) {
                if !self.attempt(smaller) {
                    member += 1;
                }
            }
        }
    }

    /// Leaves out the last peers, as far as nothing mentions them.
    fn drop_peers(&mut self) {
        let mentioned = self.best.schedule.iter().filter_map(|(_, fault)| fault.largest_peer());
        let least = mentioned.max().map_or(0, |peer| peer.0 + 1).max(FEWEST_PEERS);
        for peers in least..self.best.peers {
            let smaller = Scenario {
                peers,
                ..self.best.clone()
            };
            if self.attempt(smaller) {
                return;
            }
        }
    }

    /// Ends sooner; moves everything that comes after a gap nearer; rounds times.
    fn shorten(&mut self) {
        for share in [0.5, 0.75, 0.9] {
            let smaller = Scenario {
                until: millis(self.best.until.mul_f64(share)),
                ..self.best.clone()
            };
            self.attempt(smaller);
        }
        for at in 0..self.best.schedule.len() {
            let before = at.checked_sub(1).map_or(Duration::ZERO, |at| self.best.schedule[at].0);
            let gap = self.best.schedule[at].0 - before;
            for share in [1.0, 0.5] {
                let smaller = nearer(&self.best, at, millis(gap.mul_f64(share)));
                if self.attempt(smaller) {
                    break;
                }
            }
        }
        for unit in [1000, 100, 10] {
            let smaller = rounded(&self.best, unit);
            if self.attempt(smaller) {
                return;
            }
        }
    }
}

fn millis(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis() as u64)
}

/// Without one member of the group that this entry creates; `None` when there is no such member, or it is the only one.
fn without_member(scenario: &Scenario, at: usize, member: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let (_, fault) = smaller.schedule.get_mut(at)?;
    let Fault::Create { members, .. } = fault else {
        return None;
    };
    if members.len() < 2 || member >= members.len() {
        return None;
    }
    let _: PeerIndex = members.remove(member);
    Some(smaller)
}

/// With everything from this entry on so much earlier.
fn nearer(scenario: &Scenario, from: usize, by: Duration) -> Scenario {
    let mut smaller = scenario.clone();
    for (at, _) in &mut smaller.schedule[from..] {
        *at = at.saturating_sub(by);
    }
    smaller.until = smaller.until.saturating_sub(by);
    smaller
}

/// With times that are whole multiples of so many milliseconds.
fn rounded(scenario: &Scenario, unit: u64) -> Scenario {
    let mut smaller = scenario.clone();
    for (at, _) in &mut smaller.schedule {
        *at = Duration::from_millis(at.as_millis() as u64 / unit * unit);
    }
    smaller
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Wishes, scenario};

    /// Fails when peer 0 is crashed or vanishes after something was cut.
    fn fails(scenario: &Scenario) -> bool {
        let mut cut = false;
        scenario.schedule.iter().any(|(_, fault)| {
            cut |= matches!(fault, Fault::Cut(..));
            cut && matches!(fault, Fault::Crash(PeerIndex(0)) | Fault::Vanish(PeerIndex(0)))
        })
    }

    #[test]
    fn only_what_matters_is_left() {
        let failing = (0..).map(|seed| scenario(seed, &Wishes::default())).find(fails);
        let failing = failing.expect("some seed has both");
        let shrunk = shrink_by(&failing, 10_000, fails);
        assert_eq!(shrunk.scenario.schedule.len(), 2, "{}", shrunk.scenario);
        assert!(shrunk.scenario.peers < failing.peers);
        assert!(shrunk.scenario.until < Duration::from_secs(1));
        assert!(fails(&shrunk.scenario));
    }

    #[test]
    fn the_budget_is_kept() {
        let scenario = scenario(1, &Wishes::default());
        let mut runs = 0;
        let shrunk = shrink_by(&scenario, 7, |_| {
            runs += 1;
            false
        });
        assert_eq!((shrunk.runs, runs), (7, 7));
        assert_eq!(shrunk.scenario, scenario);
    }
}
