//! `fatebound multicast …`: what can be said.

use std::path::PathBuf;

use clap::Subcommand;

use super::ClientArgs;

/// `fatebound multicast …`.
#[derive(Clone, Debug, Subcommand)]
pub enum MulticastCommand {
    /// This node's networks, what it is there, and what it has carried
    Status(ClientArgs),
    /// All networks, who leads each, and who stands behind
    Networks(ClientArgs),
    /// At the system leader: its tunnels to the leaders of the networks
    Tunnels(ClientArgs),
    /// Can this host capture and inject? Asks no node; exit code 1 when it cannot
    Check {
        /// Also join the groups of these rules, for a moment.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
    },
    /// Read a file of rules and say what it means; exit code 2 when it makes no sense
    Rules {
        /// The file.
        file: PathBuf,
    },
}
