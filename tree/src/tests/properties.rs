//! What holds of joint sets and group ids whatever is done to them.

use std::collections::{BTreeSet, VecDeque};

use fatebound_overlay::JointSet;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

use crate::joint_set::{Joint, Verdict};
use crate::tests::{path, peer};
use crate::{GroupId, PathId};

/// Few cases, always the same, so that tests stay quick and repeatable; `PROPTEST_CASES` asks for more, drawn anew each time.
fn cases(few: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return ProptestConfig::default();
    }
    ProptestConfig {
        cases: few,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

/// What one end of a link does next, or what arrives at it.
#[derive(Clone, Debug)]
enum Step {
    Construct,
    Release(Index),
    /// Operations of the other end arrive, so many.
    Arrive(usize),
    Ping,
    /// The oldest ping arrives, ahead of whatever operations are under way.
    PingArrives,
    /// The session breaks: pings are lost, operations are replayed.
    Break,
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let step = prop_oneof![
        4 => Just(Step::Construct),
        3 => any::<Index>().prop_map(Step::Release),
        4 => (1_usize..4).prop_map(Step::Arrive),
        3 => Just(Step::Ping),
        3 => Just(Step::PingArrives),
        1 => Just(Step::Break),
    ];
    (any::<bool>(), step)
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Construct(PathId),
    Release(PathId),
}

#[derive(Debug)]
struct End {
    joint: Joint,
    paths: BTreeSet<PathId>,
    /// Operations for this end, under way.
    operations: VecDeque<Operation>,
    pings: VecDeque<JointSet>,
}

const KEY: [u8; 32] = [3; 32];

#[derive(Debug)]
struct Link {
    ends: [End; 2],
    epochs: u32,
}

impl Link {
    fn new(history: usize) -> Link {
        let end = || End {
            joint: Joint::new(KEY, history),
            paths: BTreeSet::new(),
            operations: VecDeque::new(),
            pings: VecDeque::new(),
        };
        Link {
            ends: [end(), end()],
            epochs: 0,
        }
    }

    /// What is compared on the way.
    fn step(&mut self, at: usize, step: &Step) -> Vec<Verdict> {
        let other = 1 - at;
        match step {
            Step::Construct => {
                self.epochs += 1;
                let path = path(at as u8 + 1, 9, self.epochs);
                let end = &mut self.ends[at];
                end.joint.send();
                end.joint.add_by_us(end.joint.hash(&path));
                end.paths.insert(path);
                self.ends[other].operations.push_back(Operation::Construct(path));
                Vec::new()
            }
            Step::Release(which) => {
                let end = &mut self.ends[at];
                if end.paths.is_empty() {
                    return Vec::new();
                }
                let path = *which.get(&end.paths.iter().copied().collect::<Vec<_>>());
                end.joint.send();
                end.joint.remove_by_us(end.joint.hash(&path));
                end.paths.remove(&path);
                self.ends[other].operations.push_back(Operation::Release(path));
                Vec::new()
            }
            Step::Arrive(count) => (0..*count).filter_map(|_| self.ends[at].take()).collect(),
            Step::Ping => {
                let end = &self.ends[at];
                let view = end.joint.now(end.paths.len());
                self.ends[other].pings.push_back(view);
                Vec::new()
            }
            Step::PingArrives => {
                let end = &mut self.ends[at];
                let view = end.pings.pop_front();
                view.into_iter().map(|view| end.joint.seen(view)).collect()
            }
            Step::Break => {
                self.ends.iter_mut().for_each(|end| end.pings.clear());
                Vec::new()
            }
        }
    }

    /// Everything arrives; then each end pings.
    fn quiet(&mut self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for at in [0, 1] {
            verdicts.extend(self.step(at, &Step::Arrive(usize::from(u16::MAX))));
            self.ends[at].pings.clear();
        }
        for at in [0, 1, 0, 1] {
            self.step(1 - at, &Step::Ping);
            verdicts.extend(self.step(at, &Step::PingArrives));
        }
        verdicts
    }

    fn is_consistent(&self) -> bool {
        self.ends
            .iter()
            .all(|end| end.joint.is_consistent(end.paths.iter().copied()))
    }
}

impl End {
    /// The next operation arrives, if there is one.
    fn take(&mut self) -> Option<Verdict> {
        let operation = self.operations.pop_front()?;
        self.joint.receive();
        match operation {
            Operation::Construct(path) => {
                self.joint.add_by_them(self.joint.hash(&path));
                self.paths.insert(path);
            }
            Operation::Release(path) if self.paths.remove(&path) => {
                self.joint.remove_by_them(self.joint.hash(&path));
            }
            Operation::Release(path) => self.joint.cancel(self.joint.hash(&path)),
        }
        Some(self.joint.caught_up())
    }
}

/// Nothing that honest ends do looks like a difference or a lie, at any moment; and at rest the two agree.
fn agree(history: usize, steps: &[(bool, Step)]) -> Result<(), TestCaseError> {
    let mut link = Link::new(history);
    for (at, step) in steps {
        for verdict in link.step(usize::from(*at), step) {
            prop_assert!(matches!(verdict, Verdict::Unknown | Verdict::Equal), "{verdict:?}");
        }
        prop_assert!(link.is_consistent());
    }
    let last = link.quiet();
    prop_assert!(
        !last.contains(&Verdict::Different) && !last.contains(&Verdict::Lie),
        "{last:?}"
    );
    prop_assert_eq!(last.last(), Some(&Verdict::Equal));
    let [a, b] = &link.ends;
    prop_assert_eq!(&a.paths, &b.paths);
    prop_assert_eq!(a.joint.now(0).digest, b.joint.now(0).digest);
    Ok(())
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn two_ends_of_a_link_agree_however_their_words_cross(steps in prop::collection::vec(step(), 0..120)) {
        agree(1000, &steps)?;
    }

    /// A history that is given up makes comparisons rest, never err.
    #[test]
    fn they_agree_with_a_short_history_too(steps in prop::collection::vec(step(), 0..120), history in 0_usize..6) {
        agree(history, &steps)?;
    }

    /// Same digest iff same set: one path that is at one end only is seen as soon as everything has arrived.
    #[test]
    fn a_path_that_one_end_lacks_is_noticed(
        steps in prop::collection::vec(step(), 1..120),
        when in any::<Index>(),
        which in any::<Index>(),
        at in 0_usize..2,
    ) {
        let mut link = Link::new(1000);
        let when = when.index(steps.len());
        for (at, step) in &steps[..when] {
            link.step(usize::from(*at), step);
        }
        // Everything has arrived at both ends, so nothing that is under way removes the path for both.
        link.quiet();
        let end = &mut link.ends[at];
        prop_assume!(!end.paths.is_empty());
        let path = *which.get(&end.paths.iter().copied().collect::<Vec<_>>());
        end.paths.remove(&path);
        end.joint.leave_silently(end.joint.hash(&path));
        let verdicts = link.quiet();
        prop_assert!(verdicts.contains(&Verdict::Different), "{verdicts:?}");
        prop_assert!(!verdicts.contains(&Verdict::Equal), "{verdicts:?}");
    }

    /// The digest is a function of the set, whatever the order in which its paths came and others went.
    #[test]
    fn the_digest_does_not_know_the_order(numbers in prop::collection::vec(1_u32..20, 0..40), seed in any::<u64>()) {
        let digest = |numbers: &[u32]| {
            let mut joint = Joint::new(KEY, 1000);
            let mut inside = BTreeSet::new();
            for &number in numbers {
                let hash = joint.hash(&path(1, 2, number));
                if inside.insert(number) {
                    joint.add_by_us(hash);
                } else {
                    inside.remove(&number);
                    joint.remove_by_us(hash);
                }
            }
            joint.now(0).digest
        };
        let mut other = numbers.clone();
        // Any permutation will do: sorted by a number that is mixed with the seed.
        other.sort_by_key(|&number| u64::from(number).wrapping_mul(seed | 1));
        prop_assert_eq!(digest(&numbers), digest(&other));
    }

    #[test]
    fn a_group_id_survives_its_text(root in 1_u8..=255, incarnation: u64, sequence: u64) {
        let group = GroupId { root: peer(root), incarnation, sequence };
        prop_assert_eq!(group.to_string().parse(), Ok(group));
    }

    /// One wrong character, one too few, or two neighbours that changed places.
    #[test]
    fn a_slip_of_the_pen_is_noticed(root in 1_u8..=255, incarnation: u64, at in any::<Index>(), other in "[1-9A-HJ-NP-Za-km-z]") {
        let text = GroupId { root: peer(root), incarnation, sequence: 7 }.to_string();
        let at = at.index(text.len() - 1);
        let mut swapped = text.clone().into_bytes();
        swapped.swap(at, at + 1);
        let swapped = String::from_utf8(swapped).expect("ASCII");
        let wrong = [&text[..at], &other, &text[at + 1..]].concat();
        let short = [&text[..at], &text[at + 1..]].concat();
        for slip in [wrong, short, swapped] {
            prop_assert!(slip == text || slip.parse::<GroupId>().is_err(), "{slip}");
        }
    }
}
