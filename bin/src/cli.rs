//! The command line: what can be said, and what its defaults are.
//!
//! Flags read `FATEBOUND_…` from the environment where scripts and services want to set them once; a flag wins.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use fatebound::{Multiaddr, Profile};
use fatebound_sim::setting::Setting;

use crate::client::peer_names::PeerName;

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
    Show(OneGroupArgs),
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
    /// The node's API socket [default: unix:$XDG_RUNTIME_DIR/fatebound.sock; without that variable unix:/run/fatebound.sock for root, else api.sock in the data directory's default]
    #[arg(long, env = "FATEBOUND_API", value_name = "unix:PATH", value_parser = parse_api)]
    pub api: Option<PathBuf>,
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
    /// Serve the local API here [default: unix:$XDG_RUNTIME_DIR/fatebound.sock; without that variable unix:/run/fatebound.sock for root, else api.sock in the data directory's default]
    #[arg(long, env = "FATEBOUND_API", value_name = "unix:PATH", value_parser = parse_api)]
    pub api: Option<PathBuf>,
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
    /// Which faults: mixed, crash, restart, pause, partition, hunted and others, or a file as --save writes it [default: drawn]
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

/// `unix:PATH`.
pub fn parse_api(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err("the path is missing after unix:".to_owned()),
        Some(path) => Ok(PathBuf::from(path)),
        None => Err("expected unix:PATH".to_owned()),
    }
}

/// A multiaddress; an empty one, as between two commas, is a slip.
pub fn parse_address(text: &str) -> Result<Multiaddr, String> {
    if text.trim().is_empty() {
        return Err("an address is missing".to_owned());
    }
    text.parse()
        .map_err(|error: multiaddr::Error| format!("{error} (as in /ip4/192.0.2.1/tcp/7101)"))
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

    fn parse(line: &str) -> Result<Command, ErrorKind> {
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
        assert_eq!(args.api, Some(PathBuf::from("/tmp/x.sock")));
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
            "node --api 127.0.0.1:80",
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
