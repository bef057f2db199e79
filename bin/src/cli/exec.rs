//! What can be said to `fatebound exec`.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{ClientArgs, parse_duration};
use crate::client::peer_names::PeerName;

/// `fatebound exec`.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("fate").required(true).args(["create", "join", "accept", "alone"])))]
pub struct ExecArgs {
    /// Create a group with these other members, and share its fate: PeerIds, multiaddresses that end in /p2p/<PeerId>, or what a PeerId begins or ends with that the node has heard of
    #[arg(long, num_args = 1.., value_name = "PEER")]
    pub create: Vec<PeerName>,
    /// Come into this group, and share its fate
    #[arg(long, value_name = "GROUP")]
    pub join: Option<String>,
    /// Wait for an invitation with this tag, and share that group's fate
    #[arg(long, value_name = "TAG")]
    pub accept: Option<String>,
    /// No group and no node: only see to it that nothing of the command outlives this program
    #[arg(long)]
    pub alone: bool,
    /// With --create: the invitation goes to those who wait for this tag [default: exec]
    #[arg(long, conflicts_with_all = ["join", "accept", "alone"])]
    pub tag: Option<String>,
    /// With --create: what every member's command finds in the file $FATEBOUND_STATE: a text, @FILE, or - for standard input
    #[arg(long, value_name = "TEXT|@FILE|-", allow_hyphen_values = true, conflicts_with_all = ["join", "accept", "alone"])]
    pub state: Option<String>,
    /// With --create: how long to try until all have accepted; with --accept: how long to wait for the invitation [default: one attempt; for ever; with --restart 5m each]
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub wait: Option<Duration>,
    /// How long the command may take to end after SIGTERM; then SIGKILL
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "5s")]
    pub grace: Duration,
    /// Start again, in a new group, when all are back
    #[arg(long, value_enum, value_name = "on-failure", conflicts_with_all = ["join", "alone"])]
    pub restart: Option<Restart>,
    /// So many times at most
    #[arg(long, value_name = "N", default_value_t = 3, requires = "restart", conflicts_with_all = ["join", "alone"])]
    pub max_restarts: u32,
    /// What keeps the command and all that comes of it together
    #[arg(long, value_enum, default_value_t = Containment::Auto)]
    pub containment: Containment,
    /// Write one JSON object on this descriptor when everything has ended: how, and with which code
    #[arg(long, value_name = "N", value_parser = parse_descriptor)]
    pub status_fd: Option<RawFd>,
    /// Exit with this code instead of 3 when the group, or the node, took the command down
    #[arg(long, value_name = "N")]
    pub failed_code: Option<u8>,
    #[command(flatten)]
    pub client: ClientArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// When a job starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    /// When the command, or the group, has failed.
    OnFailure,
}

/// What keeps a command and all that comes of it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Containment {
    /// As tree, and cgroup where this user may make one.
    Auto,
    /// A process-id namespace of its own: nothing survives even a SIGKILL to all of this program's processes at once. Needs root or user namespaces; process ids inside are others than outside.
    Namespace,
    /// As tree, and a control group of its own. Needs a delegated cgroup v2.
    Cgroup,
    /// All descendants, whatever sessions and process groups they make.
    Tree,
    /// Only the command's process group.
    Group,
}

impl Containment {
    /// As the user writes it.
    pub fn name(self) -> &'static str {
        match self {
            Containment::Auto => "auto",
            Containment::Namespace => "namespace",
            Containment::Cgroup => "cgroup",
            Containment::Tree => "tree",
            Containment::Group => "group",
        }
    }
}

/// What a hidden part of `exec` is started with: a process of this program that stands between `exec` and its command.
#[derive(Clone, Debug, Args)]
pub struct ExecStubArgs {
    /// The process that has to be the parent.
    #[arg(long)]
    pub parent: i32,
    /// Whether the command gets the terminal's keyboard.
    #[arg(long)]
    pub foreground: bool,
    /// The control group to enter.
    #[arg(long)]
    pub cgroup: Option<std::path::PathBuf>,
    /// The command.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// A number of a descriptor; the standard streams are the command's.
fn parse_descriptor(text: &str) -> Result<RawFd, String> {
    match text.parse() {
        Ok(number @ 3..) => Ok(number),
        Ok(_) => Err("the standard streams are the command's: 3 or more".to_owned()),
        Err(error) => Err(format!("no number of a descriptor: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, tests::parse};

    const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    fn args(line: &str) -> ExecArgs {
        let Ok(Command::Exec(args)) = parse(line) else {
            panic!("{line}")
        };
        args
    }

    #[test]
    fn there_is_one_way_into_a_group() {
        let created = args(&format!("exec --create {PEER} {PEER} --tag t -- run --flag -x"));
        assert_eq!(created.create.len(), 2);
        assert_eq!(created.command, ["run", "--flag", "-x"]);
        assert_eq!(created.grace, Duration::from_secs(5));
        assert_eq!(args("exec --accept t -- run").accept.as_deref(), Some("t"));
        assert_eq!(args("exec --join g -- run").join.as_deref(), Some("g"));
        assert!(args("exec --alone -- run").alone);
        for line in [
            "exec -- run",
            "exec --accept t --join g -- run",
            "exec --accept t",
            "exec --accept t run",
            "exec --accept t --tag u -- run",
            "exec --join g --state s -- run",
            "exec --alone --tag u -- run",
            "exec --join g --restart on-failure -- run",
            "exec --accept t --max-restarts 3 -- run",
            "exec --join g --max-restarts 3 -- run",
            "exec --alone --max-restarts 3 -- run",
            "exec --accept t --status-fd 1 -- run",
            "exec --accept t --failed-code 256 -- run",
            "exec --accept t --grace 0s -- run",
            "exec --accept t --containment jail -- run",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
