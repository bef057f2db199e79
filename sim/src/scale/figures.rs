//! What a run has shown, in numbers.

use std::fmt;
use std::time::Duration;

use super::ledger::{Latencies, Violation};
use super::slowest::Slow;

/// Many numbers, and where they lie.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    values: Vec<f32>,
}

impl Distribution {
    /// Takes a number in.
    pub fn add(&mut self, value: f64) {
        self.values.push(value as f32);
    }

    /// Takes a time in, as milliseconds.
    pub fn add_time(&mut self, time: Duration) {
        self.add(time.as_secs_f64() * 1000.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// The sum divided by the count; zero if there are none.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.values.iter().map(|value| f64::from(*value)).sum();
        // A sum of nothing is -0.
        sum.max(0.0) / self.values.len().max(1) as f64
    }

    /// The number that this share of all does not exceed; zero if there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
        sorted.get(at.min(last)).copied().map_or(0.0, f64::from)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }
}

impl FromIterator<f64> for Distribution {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.add(value));
        distribution
    }
}

/// Everything that a run has shown.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Peers alive when the groups had been created.
    pub peers: usize,
    /// Groups that all members accepted.
    pub groups: usize,
    /// Creations that did not succeed.
    pub refused: usize,
    /// From a process's start to its place on the ring, in milliseconds, while the overlay grew.
    pub joining: Distribution,
    /// The same during the churn.
    pub rejoining: Distribution,
    /// Virtual time until everybody had joined.
    pub joined_after: Duration,
    /// Links per peer.
    pub degree: Distribution,
    /// Hops of paths from root to member.
    pub hops: Distribution,
    /// Paths that each peer merely carries.
    pub carried: Distribution,
    /// From question to answer, in milliseconds, of searches for a random peer that the asker does not know.
    pub locating: Distribution,
    /// Searches that found nothing.
    pub not_located: usize,
    /// From the order to the last acceptance, in milliseconds.
    pub creating: Distribution,
    /// Messages that each peer sent per second while nothing happened.
    pub messages: Distribution,
    /// Bytes of these.
    pub bytes: Distribution,
    /// Messages per peer and second during the churn.
    pub churn_messages: f64,
    /// Bytes of these.
    pub churn_bytes: f64,
    /// How long lives ended and began.
    pub churn: Duration,
    /// Lives that ended.
    pub deaths: u64,
    /// Paths that broke and were repaired.
    pub repairs: u64,
    /// Groups that failed.
    pub failed: usize,
    /// From a member's end, or the signal, to each notification.
    pub latencies: Latencies,
    /// The slowest of them, of each cause.
    pub slowest: Vec<Slow>,
    /// What must not happen and did.
    pub violations: Vec<Violation>,
    /// The stretch in which the run was stopped before its end.
    pub stopped: Option<&'static str>,
    /// Virtual time in all.
    pub time: Duration,
    /// Events of the simulator.
    pub events: u64,
}

impl Report {
    /// Messages that a death costs all others together, beyond what they send anyway.
    pub fn messages_per_death(&self) -> f64 {
        let extra = (self.churn_messages - self.messages.mean()).max(0.0);
        let per_second = extra * self.peers as f64;
        per_second * self.churn.as_secs_f64() / self.deaths.max(1) as f64
    }

    /// Paths repaired for each death.
    pub fn repairs_per_death(&self) -> f64 {
        self.repairs as f64 / self.deaths.max(1) as f64
    }
}

/// A figure for each line, each with its distribution.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} peers joined within {:.0} s; {} groups created, {} refused",
            self.peers,
            self.joined_after.as_secs_f64(),
            self.groups,
            self.refused
        )?;
        line(f, "join, ms", &self.joining)?;
        line(f, "join during churn, ms", &self.rejoining)?;
        line(f, "links per peer", &self.degree)?;
        line(f, "hops of a path", &self.hops)?;
        line(f, "paths carried per peer", &self.carried)?;
        line(f, "locate, ms", &self.locating)?;
        line(f, "create, ms", &self.creating)?;
        line(f, "calm: messages/s per peer", &self.messages)?;
        line(f, "calm: bytes/s per peer", &self.bytes)?;
        writeln!(
            f,
            "churn: {:.2} messages/s and {:.0} bytes/s per peer; {} deaths, {:.1} repairs and {:.0} messages per death",
            self.churn_messages,
            self.churn_bytes,
            self.deaths,
            self.repairs_per_death(),
            self.messages_per_death()
        )?;
        for (cause, latency) in self.latencies.all() {
            line(f, &format!("told after a {cause}, ms"), latency)?;
        }
        line(f, "share of the bound", &self.latencies.share_of_bound)?;
        self.slowest.iter().try_for_each(|slow| writeln!(f, "slow: {slow}"))?;
        write!(
            f,
            "{} of {} groups failed; {} searches in vain; {} violations",
            self.failed,
            self.groups,
            self.not_located,
            self.violations.len()
        )?;
        self.violations
            .iter()
            .try_for_each(|violation| write!(f, "\nviolation: {violation}"))
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, values: &Distribution) -> fmt::Result {
    if values.count() == 0 {
        return writeln!(f, "{name:<28} none");
    }
    writeln!(
        f,
        "{name:<28} mean {:>9.2}  p50 {:>9.2}  p99 {:>9.2}  max {:>9.2}  ({})",
        values.mean(),
        values.quantile(0.5),
        values.quantile(0.99),
        values.max(),
        values.count()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_knows_its_middle_and_its_ends() {
        let values: Distribution = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (values.quantile(0.5), values.quantile(0.99), values.max()),
            (50.0, 99.0, 100.0)
        );
        assert_eq!((values.mean(), values.count()), (50.5, 100));
        let none = Distribution::default();
        assert_eq!((none.mean(), none.quantile(0.5), none.max()), (0.0, 0.0, 0.0));
    }
}
