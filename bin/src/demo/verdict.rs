//! What happened, held against what was promised: agreement, exactly once, no false alarm, within the bound.

use std::collections::BTreeMap;
use std::time::Duration;

use super::plan::Plan;

/// What was seen, node by node.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// For each group and node: how long after the kill each notification came. More than one is a broken promise.
    pub told: BTreeMap<(usize, usize), Vec<Duration>>,
    /// The reason that came first of each of them, as programs know it.
    pub why: BTreeMap<(usize, usize), String>,
    /// Each group's own bound.
    pub bounds: Vec<Duration>,
    /// The groups whose check said that they live.
    pub alive: Vec<usize>,
    /// What else went wrong.
    pub problems: Vec<String>,
}

impl Record {
    /// How long each of this group's notifications took, in order.
    pub fn times(&self, group: usize) -> Vec<Duration> {
        let of_group = self.told.range((group, 0)..=(group, usize::MAX));
        let mut times: Vec<Duration> = of_group.flat_map(|(_, times)| times.iter().copied()).collect();
        times.sort();
        times
    }

    /// How long all notifications took, in order.
    pub fn all_times(&self) -> Vec<Duration> {
        let mut times: Vec<Duration> = self.told.values().flatten().copied().collect();
        times.sort();
        times
    }

    /// Whether everybody who has to be told has been.
    pub fn complete(&self, plan: &Plan) -> bool {
        let told = |group| {
            plan.to_tell(group)
                .into_iter()
                .all(|node| self.told.contains_key(&(group, node)))
        };
        plan.affected().into_iter().all(told)
    }

    /// Every broken promise, in words; none: all is well.
    pub fn broken(&self, plan: &Plan) -> Vec<String> {
        let mut broken = self.problems.clone();
        for group in 0..plan.groups.len() {
            let to_tell = plan.to_tell(group);
            broken.extend(to_tell.iter().filter_map(|&node| self.wrong(group, node)));
            if plan.dead(group).is_empty() && !self.alive.contains(&group) {
                broken.push(format!("group {group} has no dead member and is not alive"));
            }
        }
        for (&(group, node), times) in &self.told {
            if !plan.to_tell(group).contains(&node) && !times.is_empty() {
                let why = self.why.get(&(group, node)).map_or("for no reason", String::as_str);
                broken.push(format!("node {node} was told of group {group} ({why}): a false alarm"));
            }
        }
        broken
    }

    /// How often each reason was given to somebody whom no reason should have reached.
    pub fn false_reasons(&self, plan: &Plan) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        let false_alarms = self.why.iter().filter(|((group, _), _)| plan.dead(*group).is_empty());
        for (_, why) in false_alarms {
            *reasons.entry(why.as_str()).or_default() += 1;
        }
        reasons
    }

    fn wrong(&self, group: usize, node: usize) -> Option<String> {
        let bound = self.bounds.get(group).copied().unwrap_or(Duration::MAX);
        match self.told.get(&(group, node)).map(Vec::as_slice) {
            None | Some([]) => Some(format!("node {node} was never told of group {group}")),
            Some([time]) if *time > bound => Some(format!("node {node} was told of group {group} after the bound")),
            Some([_]) => None,
            Some(times) => Some(format!("node {node} was told of group {group} {} times", times.len())),
        }
    }
}

/// The middle of what is in order.
pub fn median(times: &[Duration]) -> Option<Duration> {
    let (upper, lower) = (times.get(times.len() / 2)?, times.get((times.len() - 1) / 2)?);
    Some((*upper + *lower) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn plan() -> Plan {
        Plan {
            groups: vec![vec![0, 1, 2], vec![1, 2]],
            victims: vec![0],
        }
    }

    fn well() -> Record {
        Record {
            told: BTreeMap::from([((0, 1), vec![3 * MS]), ((0, 2), vec![5 * MS])]),
            bounds: vec![100 * MS; 2],
            alive: vec![1],
            ..Record::default()
        }
    }

    #[test]
    fn a_run_that_kept_every_promise_is_well() {
        assert_eq!(well().broken(&plan()), [""; 0]);
        assert!(well().complete(&plan()));
        assert_eq!(well().times(0), [3 * MS, 5 * MS]);
    }

    #[test]
    fn whoever_was_not_told_is_named() {
        let mut record = well();
        record.told.remove(&(0, 2));
        assert!(!record.complete(&plan()));
        assert_eq!(record.broken(&plan()), ["node 2 was never told of group 0"]);
    }

    #[test]
    fn twice_is_once_too_often() {
        let mut record = well();
        record.told.insert((0, 1), vec![MS, MS]);
        assert_eq!(record.broken(&plan()), ["node 1 was told of group 0 2 times"]);
    }

    #[test]
    fn a_false_alarm_is_named() {
        let mut record = well();
        record.told.insert((1, 1), vec![MS]);
        record.why.insert((1, 1), "root_unreachable".to_owned());
        assert_eq!(
            record.broken(&plan()),
            ["node 1 was told of group 1 (root_unreachable): a false alarm"]
        );
        assert_eq!(record.false_reasons(&plan()), BTreeMap::from([("root_unreachable", 1)]));
    }

    #[test]
    fn the_bound_and_the_checks_count() {
        let mut record = well();
        record.told.insert((0, 1), vec![101 * MS]);
        record.alive.clear();
        assert_eq!(
            record.broken(&plan()),
            [
                "node 1 was told of group 0 after the bound",
                "group 1 has no dead member and is not alive"
            ]
        );
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[MS, 3 * MS]), Some(2 * MS));
        assert_eq!(median(&[MS, 2 * MS, 30 * MS]), Some(2 * MS));
    }
}
