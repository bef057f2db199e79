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
    /// Read a file of rules and say what it means; exit code 2 when it makes no sense
    Rules {
        /// The file.
        file: PathBuf,
    },
}
