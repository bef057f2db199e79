//! What can be said to `fatebound pg`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{ClientArgs, parse_duration};

/// `fatebound pg …`.
#[derive(Debug, Subcommand)]
pub enum PgCommand {
    /// List the process groups in which this node is, or into which it is on its way
    List(ClientArgs),
    /// Show one: its view, providers, state and protocol. Exit code 6 when it is blocked
    #[command(after_help = "Example:\n  fatebound pg show db --json")]
    Show(PgArgs),
    /// Explain one in sentences: who leads, what would block it, what it waits for. Exit code 6 when it is blocked
    #[command(after_help = "Example:\n  fatebound pg why db")]
    Why(PgArgs),
    /// Come into a group as a provider, found it if there is none, and show what happens there; ends with the process
    #[command(
        long_about = "Come into a group as a provider, found it if there is none, and show what happens there. The process group takes this \
process for one of its own: when it ends, however it does, the others are told.\n\nEach line on standard input is sent to all as a message. With --json \
each line is an order: {\"send\": \"text\"}, {\"propose\": {\"state\": \"…\", \"expected\": 3, \"voted\": true}} (or message, barrier, expel, attributes), \
{\"vote\": {\"protocol\": 5, \"phase\": 1, \"verdict\": \"approve\"}}, {\"leave\": {}}, {\"goodbye\": \"why\"}, {\"deactivated\": {\"protocol\": 5, \"status\": 0}}; \
what becomes of it is a line with \"event\": \"answer\" or \"refused\". Bytes that are no text are {\"base64\": \"…\"}.\n\nExit codes: 0 it has left; 3 the group \
goes on without it, or is given up; 4 it was not let in; 5 the node has gone away.",
        after_help = "Examples:\n  fatebound pg join db --instance a --info 10.0.0.7:5432\n  echo '{\"send\": \"hello\"}' | fatebound pg join db --json"
    )]
    Join(PgJoinArgs),
    /// Send a message to all providers of a group, in the order of all messages; returns once it has its place there
    #[command(after_help = "Example:\n  fatebound pg send db 'vacuum now'")]
    Send {
        /// The group's name.
        #[arg(allow_hyphen_values = false)]
        name: String,
        /// The message, at most 60 KiB.
        #[arg(allow_hyphen_values = true)]
        text: String,
        #[command(flatten)]
        attributes: AttributeArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Read or change a group's state value, which is the same at all of them
    #[command(subcommand)]
    State(PgStateCommand),
    /// Let a provider of this node leave; returns when it is out. Exit code 1 when the group rejects it
    #[command(
        long_about = "Let a provider of this node leave, which another process holds. The group may vote on it and reject it (exit code 1); with --goodbye \
it goes whoever minds, and the others are told its last words.",
        after_help = "Examples:\n  fatebound pg leave db\n  fatebound pg leave db worker-1 --goodbye 'out of disk'"
    )]
    Leave(PgLeaveArgs),
    /// Vote, for a provider of this node, in the vote that goes on
    #[command(after_help = "Example:\n  fatebound pg vote db approve --as worker-1")]
    Vote(PgVoteArgs),
    /// Propose something, for a provider of this node; returns when it is decided. Exit code 1 when it did not come true
    #[command(
        after_help = "Examples:\n  fatebound pg propose db --state 'primary=b' --voted\n  fatebound pg propose db --barrier loaded"
    )]
    Propose(PgProposeArgs),
    /// Put providers out of the group, wherever they run; returns when it is decided. Exit code 1 when it did not come true
    #[command(after_help = "Example:\n  fatebound pg expel db worker-2 --voted")]
    Expel(PgExpelArgs),
    /// Wait until so many are here; exit code 0 then, else the error names who is there
    #[command(
        long_about = "Wait until so many processes have come to this barrier, each by this command. All of them return together, and the barrier may be \
used again at once. With --timeout the error names who is there, who was and has failed, and how many are missing.",
        after_help = "Example, on each of three machines:\n  fatebound pg barrier loaded --count 3 --timeout 5m && ./start"
    )]
    Barrier(PgBarrierArgs),
    /// Run a command while this process is the oldest in the group: one at a time, wherever they run
    #[command(
        long_about = "Run a command while this process is the oldest in the group: one at a time, wherever they run. The next one's turn comes when the \
command ends, or when its holder, its node or its host is gone.\n\nThe command has FATEBOUND_EPOCH, a number that grows with each holder: whatever it \
changes outside should refuse a smaller one than it has seen, because nobody can stop a process on a host that is cut off before the others go on. The \
command runs in a process group of its own; when this node is put out of the group or cut off from it, the whole of it is ended (SIGTERM, and SIGKILL after \
--grace). It is also ended when this program is killed.\n\nExit codes: that of the command (128 and the signal's number when it was killed); 3 when the \
group has gone on without this node; 6 when this node is cut off; 5 when the node has gone away.",
        after_help = "Example:\n  fatebound pg lock nightly -- ./backup --all"
    )]
    Lock(PgLockArgs),
    /// What `lock` keeps beside its command: ends the command when `lock` is killed
    #[command(hide = true)]
    Guardian,
}

/// `fatebound pg state …`.
#[derive(Debug, Subcommand)]
pub enum PgStateCommand {
    /// Print the state value, as it is
    #[command(after_help = "Example:\n  fatebound pg state get db")]
    Get {
        #[command(flatten)]
        group: PgArgs,
        #[command(flatten)]
        attributes: AttributeArgs,
    },
    /// Change it
    #[command(after_help = "Example:\n  fatebound pg state set db 'primary=a'")]
    Set {
        /// The group's name.
        name: String,
        /// The value, at most 16 KiB.
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        attributes: AttributeArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Change it if it still has this version; exit code 1 when it has another one
    #[command(after_help = "Example:\n  fatebound pg state cas db 7 'primary=b'")]
    Cas {
        /// The group's name.
        name: String,
        /// The version, as `pg state get --json` tells it.
        version: u64,
        /// The value, at most 16 KiB.
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        attributes: AttributeArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// A command about one process group.
#[derive(Clone, Debug, Args)]
pub struct PgArgs {
    /// The group's name.
    pub name: String,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// What a group is to be like: its founder says, and whoever joins has to say the same.
#[derive(Clone, Debug, Default, Args)]
pub struct AttributeArgs {
    /// What counts for those who do not vote: set by the group's founder, and the same for all who join [default: reject]
    #[arg(long, value_enum, value_name = "approve|reject")]
    pub vote_default: Option<VoteDefault>,
    /// How long each phase of a vote waits: set by the group's founder, and the same for all who join [default: 5s]
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub phase_limit: Option<Duration>,
}

/// What counts for those who do not vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VoteDefault {
    /// Silence is consent.
    Approve,
    /// Silence is dissent.
    Reject,
}

/// How a process is called, and what its group is to be like.
#[derive(Clone, Debug, Default, Args)]
pub struct ProviderArgs {
    /// What this process is called, unique at its node, 1 to 64 bytes [default: the command and its process number]
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// What the others are to know of it, at most 128 bytes
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub info: Option<String>,
    #[command(flatten)]
    pub attributes: AttributeArgs,
}

/// `fatebound pg join`.
#[derive(Clone, Debug, Args)]
pub struct PgJoinArgs {
    /// The group's name; whoever is the first founds it.
    pub name: String,
    #[command(flatten)]
    pub provider: ProviderArgs,
    /// Approve whatever is voted upon
    #[arg(long)]
    pub approve: bool,
    /// When this process is expelled and the group wants it ended, run this by `sh -c`, with what the proposer says in FATEBOUND_ARGUMENT, and tell the
    /// group its exit status
    #[arg(long, value_name = "COMMAND")]
    pub deactivate: Option<String>,
    /// Come in again, as a new provider, whenever the group has gone on without this node, or was given up for an older one
    #[arg(long)]
    pub rejoin: bool,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound pg leave`.
#[derive(Clone, Debug, Args)]
pub struct PgLeaveArgs {
    /// The group's name.
    pub name: String,
    /// Which one, by its instance or its whole name [default: the only one at this node]
    pub instance: Option<String>,
    /// Go whoever minds, with these last words, at most 128 bytes
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub goodbye: Option<String>,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound pg vote`.
#[derive(Clone, Debug, Args)]
pub struct PgVoteArgs {
    /// The group's name.
    pub name: String,
    /// The vote
    #[arg(value_enum)]
    pub verdict: VoteWord,
    /// For which provider of this node, by its instance or its whole name [default: the only one]
    #[arg(long = "as", value_name = "INSTANCE")]
    pub speaker: Option<String>,
    /// What the others are told with the phase's result
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub message: Option<String>,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VoteWord {
    /// Let it be so.
    Approve,
    /// Let there be another phase.
    Continue,
    /// Let it not be.
    Reject,
}

/// `fatebound pg propose`.
#[derive(Clone, Debug, Args)]
pub struct PgProposeArgs {
    /// The group's name.
    pub name: String,
    #[command(flatten)]
    pub what: ProposeWhat,
    /// Only if the state value still has this version
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["message", "barrier"])]
    pub expected: Option<u64>,
    /// Let all vote on it; else it is true with its announcement. A barrier is always voted upon
    #[arg(long)]
    pub voted: bool,
    /// How long each phase waits, where the group's limit is not right
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub limit: Option<Duration>,
    /// For which provider of this node, by its instance or its whole name [default: the only one]
    #[arg(long = "as", value_name = "INSTANCE")]
    pub speaker: Option<String>,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// What is proposed: one thing.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ProposeWhat {
    /// Another state value, at most 16 KiB
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub state: Option<String>,
    /// A message to all, at most 4 KiB if it is voted upon
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub message: Option<String>,
    /// That everybody comes to the point of this name
    #[arg(long, value_name = "POINT")]
    pub barrier: Option<String>,
}

/// `fatebound pg expel`.
#[derive(Clone, Debug, Args)]
pub struct PgExpelArgs {
    /// The group's name.
    pub name: String,
    /// Whom, by their instances or their whole names
    #[arg(required = true, value_name = "INSTANCE")]
    pub instances: Vec<String>,
    /// Have their processes ended, and tell these this
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub deactivate: Option<String>,
    /// Let all vote on it, but for those who are to go; else it is true with its announcement
    #[arg(long)]
    pub voted: bool,
    /// How long the vote waits, and then the group for the processes to end, where the group's limit is not right
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub limit: Option<Duration>,
    /// For which provider of this node, by its instance or its whole name [default: the only one]
    #[arg(long = "as", value_name = "INSTANCE")]
    pub speaker: Option<String>,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound pg barrier`.
#[derive(Clone, Debug, Args)]
pub struct PgBarrierArgs {
    /// The barrier's name: a group that nothing else uses.
    pub name: String,
    /// How many have to be here
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    pub count: u16,
    /// Give up after this long
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// What this process is called, unique at its node, 1 to 64 bytes [default: the command and its process number]
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound pg lock`.
#[derive(Clone, Debug, Args)]
pub struct PgLockArgs {
    /// The lock's name: a group of those who hold it and wait for it.
    pub name: String,
    #[command(flatten)]
    pub provider: ProviderArgs,
    /// How long the command may take to end when it is asked to
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "5s")]
    pub grace: Duration,
    #[command(flatten)]
    pub client: ClientArgs,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;
    use crate::cli::tests::parse;

    fn pg(line: &str) -> Result<PgCommand, clap::error::ErrorKind> {
        parse(&format!("pg {line}")).map(|command| match command {
            Command::Pg(command) => command,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_lock_takes_a_whole_command() {
        let Ok(PgCommand::Lock(args)) = pg("lock nightly --grace 2s -- ./backup --all") else {
            panic!("a lock")
        };
        assert_eq!(args.command, ["./backup", "--all"]);
        assert_eq!(args.grace, Duration::from_secs(2));
        assert!(pg("lock nightly").is_err());
        assert!(pg("lock nightly ./backup").is_err());
    }

    #[test]
    fn a_barrier_says_how_many() {
        assert!(matches!(pg("barrier b --count 3"), Ok(PgCommand::Barrier(args)) if args.count == 3));
        for wrong in [
            "barrier b",
            "barrier b --count 0",
            "barrier b --count 129",
            "barrier b --count 3 --timeout 0s",
        ] {
            assert!(pg(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_join_says_what_the_group_is_like() {
        let line = "join db --instance a --info x --approve --vote-default approve --phase-limit 2s --json";
        let Ok(PgCommand::Join(args)) = pg(line) else {
            panic!("a join")
        };
        assert!(args.approve && args.client.json);
        assert_eq!(args.provider.attributes.vote_default, Some(VoteDefault::Approve));
        assert!(pg("join db --vote-default continue").is_err());
        assert!(pg("state cas db x y").is_err());
        assert!(matches!(
            pg("state cas db 7 -y"),
            Ok(PgCommand::State(PgStateCommand::Cas { version: 7, .. }))
        ));
    }

    #[test]
    fn a_proposal_is_one_thing() {
        let Ok(PgCommand::Propose(args)) = pg("propose db --state -x --expected 3 --voted --as a") else {
            panic!("a proposal")
        };
        assert_eq!((args.what.state.as_deref(), args.expected), (Some("-x"), Some(3)));
        assert_eq!(args.speaker.as_deref(), Some("a"));
        for wrong in [
            "propose db",
            "propose db --state x --message y",
            "propose db --message y --expected 3",
            "vote db perhaps",
            "vote db",
            "expel db",
            "leave",
        ] {
            assert!(pg(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(pg("leave db a --goodbye -"), Ok(PgCommand::Leave(_))));
        assert!(matches!(pg("expel db a b --deactivate now"), Ok(PgCommand::Expel(args)) if args.instances.len() == 2));
    }
}
