//! What can be said to `fatebound demo`.

use clap::Args;

use super::ProfileArg;

/// `fatebound demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// How many nodes to start
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=512))]
    pub nodes: u32,
    /// How many groups to create
    #[arg(long, value_name = "G", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub groups: u32,
    /// How many nodes to kill
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub kill: u32,
    /// Members of each group [default: 4, or all nodes if there are fewer]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(2..))]
    pub size: Option<u32>,
    /// Timings of the nodes [default: local, or lan for more nodes than this machine serves so often]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileArg>,
    /// Draw the same groups and the same victims again
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

impl DemoArgs {
    /// Members of each group.
    pub fn size(&self) -> u32 {
        self.size.unwrap_or(4.min(self.nodes))
    }

    /// What no single flag can see.
    ///
    /// # Errors
    /// The line to print, with exit code 2.
    pub fn validate(&self) -> Result<(), String> {
        if self.size() > self.nodes {
            return Err(format!(
                "--size {} needs at least as many nodes, and --nodes is {}",
                self.size(),
                self.nodes
            ));
        }
        if self.kill >= self.nodes {
            return Err(format!(
                "--kill {} leaves no survivor of --nodes {}",
                self.kill, self.nodes
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Command;
    use crate::cli::tests::parse;

    #[test]
    fn a_demo_that_leaves_nobody_is_refused() {
        let validate = |line: &str| match parse(line) {
            Ok(Command::Demo(args)) => args.validate(),
            _ => panic!("{line}"),
        };
        assert_eq!(validate("demo"), Ok(()));
        for line in ["demo --nodes 2", "demo --nodes 3", "demo --nodes 2 --size 2 --kill 1"] {
            assert_eq!(validate(line), Ok(()), "{line}");
        }
        assert!(validate("demo --nodes 4 --kill 4").is_err());
        assert!(validate("demo --nodes 4 --size 5").is_err());
    }
}
