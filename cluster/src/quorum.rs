//! When are there enough of a view to decide what comes after it?
//!
//! Pure arithmetic over places in a view. Under every policy but the two with a price, any two quorums of one view have a voter in common:
//! that is all that agreement needs.

use std::collections::BTreeSet;

use fatebound_base::Rule;
use serde::{Deserialize, Serialize};

use crate::view::Voter;

/// What a group takes for a quorum (cluster.md §5). The group's founder chooses; it is part of every view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// More than half of the voters, or half of them with the oldest.
    #[default]
    Majority,
    /// The same by weight; a voter of weight 0 does not count.
    Weights,
    /// As `Majority`; so many voters at most may be witnesses, who are there for their vote alone.
    Witness(u8),
    /// As `Majority` among those in the role.
    Roles,
    /// So many voters, and never fewer than more than half.
    Fixed(u8),
    /// As `Majority` among those not proven dead. **Has a price**: what the dead decided without the others, before they died, is lost.
    Proofs,
    /// Whoever is left. **Has a price**: after a partition there are two histories.
    Any,
}

impl Policy {
    /// Whether any two quorums of a view meet, so that there is one history.
    pub fn is_safe(self) -> bool {
        !matches!(self, Policy::Proofs | Policy::Any)
    }

    /// How much a voter counts.
    pub fn counts(self, voter: &Voter) -> u32 {
        match self {
            Policy::Weights => u32::from(voter.weight),
            Policy::Roles => u32::from(voter.in_role),
            _ => 1,
        }
    }

    /// Whether the voters at these places of a view are a quorum of it. `dead` is looked at by `Proofs` alone.
    pub fn is_quorum(self, voters: &[Voter], present: &BTreeSet<usize>, dead: &BTreeSet<usize>) -> bool {
        let tally = self.tally(voters, present, dead);
        tally.have >= tally.need
    }

    /// What is there of a quorum, and what would do.
    pub fn tally(self, voters: &[Voter], present: &BTreeSet<usize>, dead: &BTreeSet<usize>) -> Tally {
        let counted = |place: usize| self != Policy::Proofs || !dead.contains(&place);
        let weights: Vec<u32> = (0..voters.len())
            .map(|place| if counted(place) { self.counts(&voters[place]) } else { 0 })
            .collect();
        let sum = |places: &mut dyn Iterator<Item = usize>| places.filter_map(|place| weights.get(place)).sum::<u32>();
        let (all, have) = (sum(&mut (0..voters.len())), sum(&mut present.iter().copied()));
        let oldest = weights.iter().position(|weight| *weight > 0);
        let with_oldest = oldest.is_some_and(|place| present.contains(&place));
        let need = match self {
            Policy::Any => 1,
            Policy::Fixed(fixed) => u32::from(fixed).max(all / 2 + 1),
            _ => half(all, with_oldest),
        };
        Tally { have, need }
    }
}

/// V14 ◆ "Half of the view with its oldest is a quorum": of two halves only one has the oldest.
fn half(all: u32, with_oldest: bool) -> u32 {
    if all.is_multiple_of(2) && (with_oldest || !Rule::ViewsTie.holds()) && all > 0 {
        all / 2
    } else {
        all / 2 + 1
    }
}

/// How much of a quorum is there; by heads, or by weight under `Weights`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Of those present.
    pub have: u32,
    /// Enough.
    pub need: u32,
}

#[cfg(test)]
mod tests {
    use fatebound_base::Keypair;
    use proptest::prelude::*;

    use super::*;
    use crate::numbers::Node;

    fn voters(weights: &[u8]) -> Vec<Voter> {
        let voter = |(number, weight): (usize, &u8)| {
            let keypair = Keypair::ed25519_from_bytes([number as u8 + 1; 32]).expect("32 bytes");
            let node = Node {
                peer: keypair.public().to_peer_id(),
                incarnation: 1,
            };
            Voter {
                weight: *weight,
                in_role: weight % 2 == 1,
                ..Voter::new(node)
            }
        };
        weights.iter().enumerate().map(voter).collect()
    }

    fn places(mask: u32) -> BTreeSet<usize> {
        (0..32).filter(|place| mask >> place & 1 == 1).collect()
    }

    fn quorum(policy: Policy, voters: &[Voter], mask: u32) -> bool {
        policy.is_quorum(voters, &places(mask), &BTreeSet::new())
    }

    proptest! {
        #[test]
        fn any_two_quorums_of_a_view_meet(weights in prop::collection::vec(0u8..6, 1..=7), fixed in 0u8..9) {
            let voters = voters(&weights);
            for policy in [Policy::Majority, Policy::Weights, Policy::Witness(1), Policy::Roles, Policy::Fixed(fixed)] {
                // Two disjoint quorums are in a set and its complement: whatever contains a quorum is one.
                let all = (1u32 << voters.len()) - 1;
                for mask in 0..=all {
                    let both = quorum(policy, &voters, mask) && quorum(policy, &voters, all & !mask);
                    prop_assert!(!both, "{policy:?} {weights:?} {mask:b}");
                }
            }
        }

        #[test]
        fn whatever_contains_a_quorum_is_one(weights in prop::collection::vec(0u8..6, 1..=7), fixed in 0u8..9) {
            let voters = voters(&weights);
            let policies = [Policy::Majority, Policy::Weights, Policy::Roles, Policy::Fixed(fixed), Policy::Any];
            for policy in policies {
                for mask in 0..1u32 << voters.len() {
                    for place in 0..voters.len() {
                        let more = quorum(policy, &voters, mask | 1 << place);
                        prop_assert!(more || !quorum(policy, &voters, mask), "{policy:?} {weights:?} {mask:b}");
                    }
                }
            }
        }

        #[test]
        fn of_two_equal_halves_the_one_with_the_oldest_is_a_quorum(half in 1usize..=3) {
            let voters = voters(&vec![1; 2 * half]);
            for mask in (0..1u32 << voters.len()).filter(|mask| mask.count_ones() as usize == half) {
                prop_assert_eq!(quorum(Policy::Majority, &voters, mask), mask & 1 == 1);
            }
        }
    }

    #[test]
    fn whoever_does_not_count_does_not_break_the_tie_either() {
        let weighted = voters(&[0, 2, 2]);
        assert!(quorum(Policy::Weights, &weighted, 0b010));
        assert!(!quorum(Policy::Weights, &weighted, 0b101));
        assert!(!quorum(Policy::Weights, &voters(&[0, 0]), 0b11));
        assert!(quorum(Policy::Roles, &weighted[..0], 0) == quorum(Policy::Majority, &[], 0));
    }

    #[test]
    fn a_fixed_quorum_is_never_less_than_more_than_half() {
        let five = voters(&[1; 5]);
        assert!(!quorum(Policy::Fixed(2), &five, 0b00011));
        assert!(quorum(Policy::Fixed(2), &five, 0b00111));
        assert!(!quorum(Policy::Fixed(4), &five, 0b00111));
    }

    #[test]
    fn policies_with_a_price_let_two_parts_go_on() {
        let three = voters(&[1; 3]);
        assert!(quorum(Policy::Any, &three, 0b100) && quorum(Policy::Any, &three, 0b011));
        let dead = places(0b011);
        assert!(Policy::Proofs.is_quorum(&three, &places(0b100), &dead));
        assert!(!Policy::Majority.is_quorum(&three, &places(0b100), &dead));
        assert!(!Policy::Any.is_quorum(&three, &BTreeSet::new(), &dead));
    }

    #[test]
    fn a_tally_says_what_is_missing() {
        let five = voters(&[1; 5]);
        let tally = Policy::Majority.tally(&five, &places(0b00011), &BTreeSet::new());
        assert_eq!(tally, Tally { have: 2, need: 3 });
    }
}
