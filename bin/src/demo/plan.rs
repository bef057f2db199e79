//! Who is in which group, and who will die: drawn from a seed, before anything is started.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::seq::index::sample;

/// A plan over nodes that are called 0, 1, 2 …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Each group's members; the first is the root.
    pub groups: Vec<Vec<usize>>,
    /// Who is killed, in this order.
    pub victims: Vec<usize>,
}

impl Plan {
    /// Draws `groups` groups of `size` of `nodes` nodes, and `kill` of these nodes as victims. Every victim is in a group if there is room, and
    /// every group keeps a survivor, so that there is somebody to be told.
    pub fn draw(nodes: usize, groups: usize, size: usize, kill: usize, seed: u64) -> Plan {
        let mut rng = StdRng::seed_from_u64(seed);
        let victims = sample(&mut rng, nodes, kill).into_vec();
        let groups = (0..groups)
            .map(|at| {
                let dealt = victims.iter().skip(at).step_by(groups).take(size - 1).copied();
                group(nodes, size, &victims, dealt.collect(), &mut rng)
            })
            .collect();
        Plan { groups, victims }
    }

    /// The victims among the members of this group.
    pub fn dead(&self, group: usize) -> Vec<usize> {
        self.groups[group]
            .iter()
            .copied()
            .filter(|node| self.victims.contains(node))
            .collect()
    }

    /// The survivors of this group, if it has a victim: those who have to be told.
    pub fn to_tell(&self, group: usize) -> Vec<usize> {
        if self.dead(group).is_empty() {
            return Vec::new();
        }
        self.groups[group]
            .iter()
            .copied()
            .filter(|node| !self.victims.contains(node))
            .collect()
    }

    /// The groups that have a victim.
    pub fn affected(&self) -> Vec<usize> {
        (0..self.groups.len())
            .filter(|&group| !self.dead(group).is_empty())
            .collect()
    }
}

/// These victims, one survivor at least, and as many others as are missing, in random order: anyone may be the root.
fn group(nodes: usize, size: usize, victims: &[usize], dealt: Vec<usize>, rng: &mut StdRng) -> Vec<usize> {
    let mut order = sample(rng, nodes, nodes).into_vec();
    if let Some(survivor) = order.iter().position(|node| !victims.contains(node)) {
        order.swap(0, survivor);
    }
    let mut members = dealt;
    for node in order {
        if members.len() < size && !members.contains(&node) {
            members.push(node);
        }
    }
    members.shuffle(rng);
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_group_has_its_size_and_nobody_twice() {
        for seed in 0..200 {
            let plan = Plan::draw(16, 8, 4, 3, seed);
            assert_eq!(plan.groups.len(), 8);
            assert_eq!(plan.victims.iter().collect::<BTreeSet<_>>().len(), 3);
            for members in &plan.groups {
                assert_eq!(members.iter().collect::<BTreeSet<_>>().len(), 4, "{members:?}");
                assert!(members.iter().all(|&node| node < 16));
            }
        }
    }

    #[test]
    fn every_victim_is_in_a_group() {
        for seed in 0..200 {
            let plan = Plan::draw(64, 2, 4, 6, seed);
            let members: BTreeSet<usize> = plan.groups.iter().flatten().copied().collect();
            assert!(plan.victims.iter().all(|victim| members.contains(victim)), "{plan:?}");
            assert!(
                plan.affected().iter().all(|&group| !plan.to_tell(group).is_empty()),
                "{plan:?}"
            );
        }
    }

    #[test]
    fn without_victims_nobody_is_to_be_told() {
        let plan = Plan::draw(4, 3, 4, 0, 1);
        assert!(plan.affected().is_empty());
        assert!((0..3).all(|group| plan.to_tell(group).is_empty()));
    }

    #[test]
    fn a_seed_draws_the_same_again_and_another_does_not() {
        assert_eq!(Plan::draw(32, 8, 4, 2, 7), Plan::draw(32, 8, 4, 2, 7));
        assert_ne!(Plan::draw(32, 8, 4, 2, 7), Plan::draw(32, 8, 4, 2, 8));
    }

    #[test]
    fn the_smallest_demo_works() {
        let plan = Plan::draw(2, 1, 2, 1, 3);
        assert_eq!(plan.to_tell(0).len(), 1);
    }
}
