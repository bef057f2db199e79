//! What can be said to `fatebound service`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{ClientArgs, parse_duration};

/// `fatebound service …`.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// List the services that are provided at this node
    List(ClientArgs),
    /// Show a service, wherever it is provided: its primary, secondaries and spares. Exit code 6 when it has no primary
    #[command(after_help = "Example:\n  fatebound service show web --json")]
    Show(ServiceArgs),
    /// Run a command wherever the service's primary is: here, while this is the primary, and nowhere else
    #[command(
        long_about = "Provide a service: wait until this provider is the primary, run the command then, and end it when it is not the primary any more (SIGTERM \
to its whole process group; SIGKILL to what is left when the command itself has ended, after --grace at the latest). A primary that lives stays the primary; when it dies, hangs with its node or is cut off, a secondary \
becomes the primary, and its command begins.\n\nThe command has FATEBOUND_EPOCH, a number that grows with each primary: whatever it changes outside should \
refuse a smaller one than it has seen, because nobody can stop a process on a host that is cut off before the others go on.\n\nThe role hook is run through the \
shell at each change, one at a time and in order, with FATEBOUND_SERVICE, FATEBOUND_ROLE (primary, secondary, spare) and, for a primary, FATEBOUND_EPOCH. It may \
take 30 s.\n\nWhen the command ends by itself this provider goes, and the next one takes over.\n\nExit codes: that of the command (128 and the signal's number \
when it was killed); 3 when this provider was put out; 4 when it was not let in; 5 when the node has gone away.",
        after_help = "Example, on each of three machines:\n  fatebound service run web --address 10.0.0.7:80 -- ./server --port 80"
    )]
    Run(ServiceRunArgs),
    /// Ask the primary to hand over, to a certain provider or to whoever is next; returns when somebody else is the primary
    #[command(after_help = "Example:\n  fatebound service switchover web --to b")]
    Switchover(SwitchoverArgs),
    /// Listen here for clients of the service, and connect each to the primary's address
    #[command(
        long_about = "A TCP proxy for clients that know nothing of the service: it connects each to the address that the primary's provider has announced (`service run \
--address`). While there is no primary, connections wait, --hold at most, and are closed then. When the primary is another one, connections to the one before \
are closed: what was under way there cannot be carried over.",
        after_help = "Example:\n  fatebound service proxy web --listen 127.0.0.1:8080"
    )]
    Proxy(ProxyArgs),
}

/// A command about one service.
#[derive(Clone, Debug, Args)]
pub struct ServiceArgs {
    /// The service's name.
    pub name: String,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound service run`.
#[derive(Clone, Debug, Args)]
pub struct ServiceRunArgs {
    /// The service's name; whoever is the first begins it.
    pub name: String,
    /// What this provider is called, unique at its node, 1 to 64 bytes [default: the command and its process number]
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Where the command is reached by clients, at most 128 bytes: `service proxy` and `service show` tell it
    #[arg(long, value_name = "ADDR", default_value = "")]
    pub address: String,
    /// How many providers are to be next, in a fixed order
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub secondaries: u16,
    /// Of providers that are equal otherwise, the one with the largest preference becomes the primary
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preference: u8,
    /// Run this through the shell whenever the role changes
    #[arg(long, value_name = "CMD")]
    pub role_hook: Option<String>,
    /// How long the command may take to end when it is asked to
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "5s")]
    pub grace: Duration,
    #[command(flatten)]
    pub client: ClientArgs,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

/// `fatebound service switchover`.
#[derive(Clone, Debug, Args)]
pub struct SwitchoverArgs {
    /// The service's name.
    pub name: String,
    /// To the provider of this name
    #[arg(long, value_name = "INSTANCE")]
    pub to: Option<String>,
    /// Give up waiting after this long, with exit code 1; it may still happen
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "60s")]
    pub timeout: Duration,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `fatebound service proxy`.
#[derive(Clone, Debug, Args)]
pub struct ProxyArgs {
    /// The service's name.
    pub name: String,
    /// Where to listen; port 0 takes a free one, which the first line tells
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// For how long a connection waits for a primary
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "30s")]
    pub hold: Duration,
    /// Connections at most; further ones are closed at once
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub max: u32,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;
    use crate::cli::tests::parse;

    fn service(line: &str) -> Result<ServiceCommand, clap::error::ErrorKind> {
        parse(&format!("service {line}")).map(|command| match command {
            Command::Service(command) => command,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_provider_takes_a_whole_command() {
        let Ok(ServiceCommand::Run(args)) = service("run web --address 10.0.0.7:80 --grace 2s -- ./server --port 80")
        else {
            panic!("a provider")
        };
        assert_eq!(args.command, ["./server", "--port", "80"]);
        assert_eq!(
            (args.grace, args.address.as_str()),
            (Duration::from_secs(2), "10.0.0.7:80")
        );
        assert!(service("run web").is_err());
    }

    #[test]
    fn a_proxy_says_where_it_listens() {
        assert!(
            matches!(service("proxy web --listen 127.0.0.1:0"), Ok(ServiceCommand::Proxy(args)) if args.max == 1024)
        );
        for wrong in [
            "proxy web",
            "proxy web --listen 80",
            "proxy web --listen 127.0.0.1:0 --max 0",
        ] {
            assert!(service(wrong).is_err(), "{wrong}");
        }
    }
}
