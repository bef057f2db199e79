//! What can be said to `fatebound sim`.

use std::path::PathBuf;

use clap::Args;
use fatebound_sim::setting::Setting;

/// `fatebound sim`.
#[derive(Clone, Debug, Args)]
pub struct SimArgs {
    /// How many random runs; without it, until interrupted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: Option<u64>,
    /// The seed of the first run; the others follow
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub first_seed: u64,
    /// Runs at a time [default: as many as there are cores]
    #[arg(long, value_name = "J", value_parser = parse_jobs)]
    pub jobs: Option<usize>,
    /// Peers of each run [default: drawn, 8 or a few more]. More than 64, and no --seeds and no --faults: one large world instead
    /// of many small ones, and how what it costs grows
    #[arg(long, value_name = "N", value_parser = parse_sim_peers)]
    pub peers: Option<usize>,
    /// Groups of each run [default: drawn, 3 to 6; one per peer of a large world]
    #[arg(long, value_name = "G", value_parser = parse_sim_groups)]
    pub groups: Option<usize>,
    /// How long lives end and begin in a large world [default: 10]
    #[arg(long, value_name = "M", conflicts_with_all = ["seeds", "faults", "replay"], value_parser = clap::value_parser!(u32).range(0..=LONGEST_MINUTES))]
    pub minutes: Option<u32>,
    /// Timings: brisk, sparse, tight or far (short bounds, for many runs), or a preset: local, lan, wan, fuse [default: drawn]
    #[arg(long, value_name = "P")]
    pub profile: Option<Setting>,
    /// Which faults: mixed, crash, restart, pause, partition, hunted, comings and others, or a file as --save writes it [default: drawn]
    #[arg(long, value_name = "NAME|FILE")]
    pub faults: Option<String>,
    /// Play one saved run again and show what happens
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "first_seed", "jobs", "peers", "groups", "profile", "faults", "save", "keep_going"])]
    pub replay: Option<PathBuf>,
    /// Where to write the smallest failing scenario; its trace goes beside it [default: fatebound-sim-SEED.txt]
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Do not stop at the first broken promise
    #[arg(long)]
    pub keep_going: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

impl SimArgs {
    /// Whether one large world is wanted instead of many small ones.
    pub fn large(&self) -> Option<usize> {
        let alone = self.seeds.is_none() && self.faults.is_none();
        self.peers.filter(|&peers| alone && peers > LARGE)
    }

    /// What no single flag can see: a flag that would be ignored is refused.
    ///
    /// # Errors
    /// The line to print, with exit code 2.
    pub fn validate(&self) -> Result<(), String> {
        let many = self.jobs.is_some() || self.save.is_some() || self.keep_going;
        match (self.large(), self.groups, self.minutes) {
            (Some(_), ..) if many => {
                Err("--jobs, --save and --keep-going are for many small runs, not for one large world".to_owned())
            }
            (None, _, Some(_)) => Err(format!(
                "--minutes is for one large world: give --peers of more than {LARGE}"
            )),
            (None, Some(groups), _) if !(1..=MOST_GROUPS).contains(&groups) => {
                Err(format!("--groups {groups}: a random run has 1 to {MOST_GROUPS} groups"))
            }
            _ => Ok(()),
        }
    }
}

/// A number of threads.
pub fn parse_jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=1024) => Ok(jobs),
        _ => Err("expected a number from 1 to 1024".to_owned()),
    }
}

/// From one more peer on, a world is large.
const LARGE: usize = 64;

/// Peers of a large world at most: more than any machine bears.
const LARGEST: usize = 1_000_000;

/// Minutes of virtual time at most: a hundred days.
const LONGEST_MINUTES: i64 = 144_000;

/// Groups of a random run at most: what it finds is small.
const MOST_GROUPS: usize = 1000;

/// A number of simulated groups; a random run wants fewer.
pub fn parse_sim_groups(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(groups) if groups <= 10 * LARGEST => Ok(groups),
        _ => Err(format!("expected a number up to {}", 10 * LARGEST)),
    }
}

/// A number of simulated peers.
pub fn parse_sim_peers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(peers) if (4..=LARGEST).contains(&peers) => Ok(peers),
        _ => Err(format!("expected a number from 4 to {LARGEST}")),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Command;
    use crate::cli::tests::parse;

    #[test]
    fn a_simulation_with_a_flag_that_would_be_ignored_is_refused() {
        let validate = |line: &str| match parse(line) {
            Ok(Command::Sim(args)) => args.validate(),
            _ => panic!("{line}"),
        };
        for line in [
            "sim",
            "sim --seeds 3 --groups 1",
            "sim --peers 65 --minutes 3 --groups 0",
            "sim --peers 65 --first-seed 7",
        ] {
            assert_eq!(validate(line), Ok(()), "{line}");
        }
        for line in [
            "sim --minutes 3",
            "sim --peers 64 --minutes 3",
            "sim --groups 0",
            "sim --seeds 3 --groups 1001",
            "sim --peers 65 --jobs 2",
            "sim --peers 65 --keep-going",
            "sim --peers 65 --save x",
        ] {
            assert!(validate(line).is_err(), "{line}");
        }
        assert!(parse("sim --seeds 3 --minutes 3").is_err());
        assert!(parse("sim --peers 65 --groups -1").is_err());
    }
}
