//! The command line: what can be said, and what its defaults are.
//!
//! Flags read `FATEBOUND_…` from the environment where scripts and services want to set them once; a flag wins.

mod demo;
mod exec;
mod multicast;
mod pg;
mod service;
mod sim;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use fatebound::{Multiaddr, Profile};

use crate::api::address::ApiAddress;
use crate::client::peer_names::PeerName;

pub use demo::DemoArgs;
pub use exec::{Containment, ExecArgs, ExecStubArgs};
pub use multicast::MulticastCommand;
pub use pg::{
    AttributeArgs, PgArgs, PgBarrierArgs, PgCommand, PgExpelArgs, PgJoinArgs, PgLeaveArgs, PgLockArgs, PgProposeArgs,
    PgStateCommand, PgVoteArgs, VoteDefault, VoteWord,
};
pub use service::{ProxyArgs, ServiceArgs, ServiceCommand, ServiceRunArgs, SwitchoverArgs};
pub use sim::SimArgs;

/// Failure notification groups for peer-to-peer systems: when one of you fails, every one of you knows.
#[derive(Debug, Parser)]
#[command(
    name = "fatebound",
    version,
    arg_required_else_help = true,
    infer_subcommands = false,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node: the long-running part; everything else talks to it
    #[command(visible_alias = "agent")]
    Node(NodeArgs),
    /// Print the PeerId of a data directory (created when missing)
    Id(IdArgs),
    /// The node at a glance
    Status(ClientArgs),
    /// The node's neighbours and its links to them
    #[command(visible_alias = "members")]
    Peers(PeersArgs),
    /// Where the node stands on the ring, and whom it routes through
    Routes(ClientArgs),
    /// What the node is: identity, addresses, profile, bound, counters
    Info(ClientArgs),
    /// Create, watch, check and fail groups
    #[command(subcommand)]
    Group(GroupCommand),
    /// Process groups: named groups of processes that see the same history, vote, keep a state, meet at barriers and take turns
    #[command(subcommand)]
    Pg(PgCommand),
    /// Run a command that shares a group's fate: when it fails the group does, and when the group fails it is stopped
    #[command(
        long_about = "Run a command that shares a group's fate. When it ends with anything but zero, or is killed, the group is failed. When the group has \
failed, or this node is lost, the command and all that has come of it is ended: SIGTERM, and SIGKILL after --grace. When it ends with zero, it leaves the group; \
at the group's creator it does so once all others have.\n\nThe command finds FATEBOUND_GROUP, _PEER, _API, _TAG, _RANK, _SIZE, _MEMBERS and _STATE (a file) in \
its environment. Nothing of it outlives this program, which may be killed by SIGKILL.\n\nExit codes: that of the command (128 and the signal's number when it was \
killed; 127: there is no such command; 126: it cannot be run); 3 when the group or the node took it down; 4 when there is no group because not all have \
accepted; 5 when the node cannot be reached.",
        after_help = "Example, on three machines:\n  fatebound exec --accept train -- python3 worker.py        # on two of them\n  fatebound exec --create PEER-B PEER-C --tag train --wait 1m -- python3 worker.py"
    )]
    Exec(ExecArgs),
    /// What `exec` keeps beside its command
    #[command(hide = true)]
    ExecGuardian,
    /// What makes the guardian a namespace
    #[command(hide = true)]
    ExecLauncher {
        /// The process that has to be the parent.
        #[arg(long)]
        parent: i32,
    },
    /// What becomes the command
    #[command(hide = true)]
    ExecStub(ExecStubArgs),
    /// Services: several providers, one of which is the primary; programs that run only there, and a proxy that finds it
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Multicast that crosses networks: who routes it, and how much (`fatebound node --multicast FILE` takes part)
    #[command(subcommand)]
    Multicast(MulticastCommand),
    /// Names that any node can look up: who publishes them, and what
    #[command(subcommand)]
    Directory(DirectoryCommand),
    /// Show it: a whole overlay on this machine, as real processes, some of which are killed
    Demo(DemoArgs),
    /// Simulate: random worlds and faults, and every promise checked; a run is a seed
    Sim(SimArgs),
    /// Print a completion script for a shell
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// `fatebound group …`.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Create a group with this node as its root; returns once every member has accepted
    Create(CreateArgs),
    /// Come into a group as a member, by its id alone; its root decides. Exit code 4: not let in; 3: it has failed
    Join(JoinArgs),
    /// Be told of a group's end without being a member: this node's own failure is nobody's
    Observe(JoinArgs),
    /// Leave a group without failing it; at its root: close it
    Leave(OneGroupArgs),
    /// Close a group of this node's own, which is no failure for anybody
    Close(OneGroupArgs),
    /// Stream the peers that want to come into groups of this node: while this runs, they are asked about
    Admissions(ClientArgs),
    /// Let a peer in that wants to come in
    Admit(WordArgs),
    /// Keep a peer out that wants to come in
    Refuse {
        #[command(flatten)]
        word: WordArgs,
        /// Why; the peer may read it.
        #[arg(long, value_name = "TEXT", default_value = "no reason given")]
        reason: String,
    },
    /// Fail a group, for a reason of your own
    Signal {
        /// The group's id, or an unambiguous prefix of it.
        group: String,
        /// Why; every member may read it.
        #[arg(long, value_name = "TEXT", default_value = "no reason given")]
        reason: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Ask every member, end to end, whether it lives and knows the group; exit code 3 when the group has failed
    Check(OneGroupArgs),
    /// List the groups that this node is in
    List {
        /// Also those that failed lately.
        #[arg(long)]
        all: bool,
        /// So many at most, up to 10000
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: usize,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show one group; exit code 3 when it has failed
    Show(ShowArgs),
    /// Stream the events of groups
    Watch(WatchArgs),
}

/// `fatebound directory …`.
#[derive(Debug, Subcommand)]
pub enum DirectoryCommand {
    /// Look a name up; exit code 1 when nobody knows it
    Get {
        /// The name.
        name: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Publish a text under a name, for as long as the node runs; a hint for others, not a lock
    Publish {
        /// The name.
        name: String,
        /// The text, at most 2 KiB.
        #[arg(allow_hyphen_values = true)]
        text: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// Whom a client talks to, and how it speaks.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// Where the node serves its API [default: unix:$XDG_RUNTIME_DIR/fatebound.sock; without that variable unix:/run/fatebound.sock for root, else api.sock in the data directory's default]
    #[arg(long, env = "FATEBOUND_API", value_name = "unix:PATH|http://HOST:PORT")]
    pub api: Option<ApiAddress>,
    /// The token for an API over TCP: a file that only its owner can read
    #[arg(long, env = "FATEBOUND_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
    /// Give up, with exit code 5, when the node has not answered for this long (beyond what the command itself may take)
    #[arg(long, env = "FATEBOUND_API_TIMEOUT", value_name = "DUR", value_parser = parse_duration, default_value = "10s")]
    pub api_timeout: Duration,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

/// `fatebound node`.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// Where the node keeps its key [default: $XDG_STATE_HOME/fatebound, else ~/.local/state/fatebound]
    #[arg(long, env = "FATEBOUND_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Timings: for one machine, for a data centre, or for the open Internet
    #[arg(long, env = "FATEBOUND_PROFILE", value_enum, default_value_t = ProfileArg::Lan)]
    pub profile: ProfileArg,
    /// Listen here; port 0 picks a free one; may be given several times
    #[arg(
        long,
        env = "FATEBOUND_LISTEN",
        value_name = "MULTIADDR",
        value_delimiter = ',',
        value_parser = parse_address,
        default_value = "/ip4/0.0.0.0/tcp/0"
    )]
    pub listen: Vec<Multiaddr>,
    /// Join the overlay through this peer; may be given several times; without any, be the first
    #[arg(long, env = "FATEBOUND_BOOTSTRAP", value_name = "MULTIADDR", value_delimiter = ',', value_parser = parse_address)]
    pub bootstrap: Vec<Multiaddr>,
    /// Tell others to dial here instead of where the node listens; may be given several times
    #[arg(long, env = "FATEBOUND_ADVERTISE", value_name = "MULTIADDR", value_delimiter = ',', value_parser = parse_address)]
    pub advertise: Vec<Multiaddr>,
    /// The overlay's name: peers of other networks are refused
    #[arg(long, env = "FATEBOUND_NETWORK", value_name = "NAME")]
    pub network: Option<String>,
    /// Serve the local API here; may be given several times [default: unix:$XDG_RUNTIME_DIR/fatebound.sock; without that variable unix:/run/fatebound.sock for root, else api.sock in the data directory's default]
    #[arg(
        long,
        env = "FATEBOUND_API",
        value_name = "unix:PATH|HOST:PORT",
        value_delimiter = ','
    )]
    pub api: Vec<ApiAddress>,
    /// The token that clients of the API over TCP have to have: a file that only its owner can read
    #[arg(long, env = "FATEBOUND_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
    /// A name by which clients may call this node over TCP, besides localhost and the address that they reach; may be given several times
    #[arg(long, env = "FATEBOUND_API_HOST", value_name = "NAME", value_delimiter = ',')]
    pub api_host: Vec<String>,
    /// Route multicast between networks by the rules of this file; needs CAP_NET_RAW
    #[arg(long, env = "FATEBOUND_MULTICAST", value_name = "FILE")]
    pub multicast: Option<PathBuf>,
    /// How to log, on standard error
    #[arg(long, env = "FATEBOUND_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Stop when standard input ends: ties the node to the program that started it
    #[arg(long)]
    pub stop_with_stdin: bool,
}

/// `fatebound id`.
#[derive(Clone, Debug, Args)]
pub struct IdArgs {
    /// The data directory [default: $XDG_STATE_HOME/fatebound, else ~/.local/state/fatebound]
    #[arg(long, env = "FATEBOUND_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `fatebound peers`.
#[derive(Clone, Debug, Args)]
pub struct PeersArgs {
    /// Also why each link is kept, and where each neighbour may be dialled: more than 80 columns
    #[arg(long)]
    pub wide: bool,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound group create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    /// The other members: a PeerId, a multiaddress that ends in /p2p/<PeerId>, or what a PeerId begins or ends with that the node has heard of.
    #[arg(required = true, value_name = "PEER")]
    pub peers: Vec<PeerName>,
    /// What kind of group: the invitation goes to whoever waits for this tag
    #[arg(long)]
    pub tag: Option<String>,
    /// Application state for every member: a text, @FILE, or - for standard input
    #[arg(long, value_name = "TEXT|@FILE|-", allow_hyphen_values = true)]
    pub state: Option<String>,
    /// Who may come in later: ask (`group admissions` shows who wants to), open (anybody with the id), members (nobody new), or a file with a PeerId a line [default: ask]
    #[arg(long, value_name = "ask|open|members|FILE")]
    pub admit: Option<String>,
    /// How long one attempt may take [default: by the profile]
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Try again until all accept, for at most this long
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub wait: Option<Duration>,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound group join`, `fatebound group observe`.
#[derive(Clone, Debug, Args)]
pub struct JoinArgs {
    /// The group's id.
    pub group: String,
    /// How long the root may take to let this node in [default: by the profile]
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// A word on a peer that wants to come into a group.
#[derive(Clone, Debug, Args)]
pub struct WordArgs {
    /// The group's id, or an unambiguous prefix of it.
    pub group: String,
    /// The peer.
    #[arg(value_name = "PEER")]
    pub peer: PeerName,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// A command about one group.
#[derive(Clone, Debug, Args)]
pub struct OneGroupArgs {
    /// The group's id, or an unambiguous prefix of it.
    pub group: String,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound group show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub group: OneGroupArgs,
    /// Write the application state that its creator gave, and nothing else, as it is
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

/// `fatebound group watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Which groups; without any, all of this node.
    #[arg(value_name = "GROUP")]
    pub groups: Vec<String>,
    /// End with exit code 3 as soon as one of them fails, or at once if one has failed already; with 0 when all of them were closed or left
    #[arg(long)]
    pub until_failed: bool,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// The presets on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileArg {
    /// A data centre.
    Lan,
    /// The open Internet.
    Wan,
    /// One machine or one rack.
    Local,
}

impl ProfileArg {
    /// As the user writes it.
    pub fn name(self) -> &'static str {
        match self {
            ProfileArg::Lan => "lan",
            ProfileArg::Wan => "wan",
            ProfileArg::Local => "local",
        }
    }
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Profile {
        match profile {
            ProfileArg::Lan => Profile::Lan,
            ProfileArg::Wan => Profile::Wan,
            ProfileArg::Local => Profile::Local,
        }
    }
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A multiaddress; an empty one, as between two commas, is a slip.
pub fn parse_address(text: &str) -> Result<Multiaddr, String> {
    if text.trim().is_empty() {
        return Err("an address is missing".to_owned());
    }
    text.parse()
        .map_err(|error: multiaddr::Error| format!("{error} (as in /ip4/192.0.2.1/tcp/7101)"))
}

/// A duration with its unit, as in `1.5s` or `2m 30s`; zero is none.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error} (as in 500ms, 3s, 2m)"))?;
    if duration.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    pub(super) fn parse(line: &str) -> Result<Command, ErrorKind> {
        let words = std::iter::once("fatebound").chain(line.split_whitespace());
        Cli::try_parse_from(words)
            .map(|cli| cli.command)
            .map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn names_that_users_know() {
        assert!(matches!(parse("agent"), Ok(Command::Node(_))));
        assert!(matches!(parse("members"), Ok(Command::Peers(_))));
    }

    #[test]
    fn a_node_has_defaults() {
        let Ok(Command::Node(args)) = parse("node") else {
            panic!("a node")
        };
        assert_eq!(args.profile, ProfileArg::Lan);
        assert_eq!(args.listen, ["/ip4/0.0.0.0/tcp/0".parse().unwrap()]);
        assert!(args.bootstrap.is_empty());
    }

    #[test]
    fn listen_replaces_its_default_and_repeats() {
        let line = "node --listen /ip4/127.0.0.1/tcp/0 --listen /ip4/127.0.0.1/tcp/4001 --api unix:/tmp/x.sock";
        let Ok(Command::Node(args)) = parse(line) else {
            panic!("a node")
        };
        assert_eq!(args.listen.len(), 2);
        assert_eq!(args.api, [ApiAddress::Unix(PathBuf::from("/tmp/x.sock"))]);
    }

    #[test]
    fn every_client_has_a_time_limit() {
        for line in [
            "status",
            "peers",
            "routes",
            "info",
            "group list",
            "group watch",
            "group show abcd",
        ] {
            let line = format!("fatebound {line} --api-timeout 2s");
            assert!(Cli::try_parse_from(line.split_whitespace()).is_ok(), "{line}");
        }
        assert!(parse("status --api-timeout 0s").is_err());
        assert!(matches!(parse("status"), Ok(Command::Status(args)) if args.api_timeout == Duration::from_secs(10)));
    }

    #[test]
    fn a_creation_takes_peers_with_and_without_addresses() {
        let line = format!("group create {PEER} /ip4/127.0.0.1/tcp/4001/p2p/{PEER} --timeout 1.5s --state - --wait 1m");
        let Ok(Command::Group(GroupCommand::Create(args))) = parse(&line) else {
            panic!("a creation")
        };
        assert_eq!(args.peers.len(), 2);
        assert_eq!(args.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(args.state.as_deref(), Some("-"));
        assert_eq!(args.wait, Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_makes_no_sense_is_bad_usage() {
        for line in [
            "group create",
            "group create no-body",
            "group create mQ5",
            "group create /ip4/127.0.0.1/tcp/4001",
            "node --profile moon",
            "node --api 127.0.0.1",
            "status --api https://127.0.0.1:80",
            "node --api unix:",
            "node --listen nowhere",
            "demo --nodes 1",
            "demo --nodes 513",
            "demo --size 1",
            "sim --seeds 0",
            "sim --peers 3",
            "sim --profile moon",
            "sim --replay x --seeds 3",
            "group create --timeout 0s x",
            "group watch --until-failed=maybe",
            "fly",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(
            parse("").unwrap_err(),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
    }
}
