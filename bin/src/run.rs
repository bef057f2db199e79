//! From the command line to the command: each gets the runtime that suits it.

use std::future::Future;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Command, DirectoryCommand, GroupCommand, PgCommand};
use crate::client::{directory, groups, joining, pg, status, watch};
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::shown::shown;
use crate::{demo, exec, id, logging, multicast, node, service, sim};

/// Runs what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Node(args) => {
            logging::for_node(args.log_format);
            wait(Builder::new_multi_thread(), node::node(&args))
        }
        Command::Demo(args) => {
            refuse_nonsense("demo", args.validate());
            logging::for_client();
            wait(Builder::new_multi_thread(), demo::demo(&args))
        }
        Command::Sim(args) => {
            refuse_nonsense("sim", args.validate());
            // What simulated peers log would be read as the logs of this one.
            wait(Builder::new_multi_thread(), sim::sim(&args))
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "fatebound", &mut std::io::stdout());
            Ok(Exit::Done)
        }
        Command::Id(args) => {
            logging::for_client();
            id::id(&args)
        }
        Command::Exec(args) => {
            logging::for_client();
            return exec::exec(&args);
        }
        Command::ExecGuardian => exec::guardian::guardian(),
        Command::ExecLauncher { parent } => exec::namespace::launcher(parent),
        Command::ExecStub(args) => exec::stub(&args),
        Command::Pg(PgCommand::Guardian) => pg::guardian::guardian(),
        command => {
            logging::for_client();
            wait(Builder::new_current_thread(), client(command))
        }
    };
    outcome.map_or_else(Failure::report, ExitCode::from)
}

/// Shows the help that was asked for, or what the command line gets wrong. Scripts put foreign words on a command line, and the parser repeats
/// them: then the message comes without colours, line by line as everything that people see.
pub fn misread(error: &clap::Error) -> ExitCode {
    let plain = error.render().to_string();
    if !error.use_stderr() || plain.lines().all(|line| shown(line) == line) {
        error.exit();
    }
    for line in plain.lines() {
        complain(line);
    }
    Exit::Usage.into()
}

async fn client(command: Command) -> Outcome {
    match command {
        Command::Status(args) => status::status(&args).await,
        Command::Peers(args) => status::peers(&args).await,
        Command::Routes(args) => status::routes(&args).await,
        Command::Info(args) => status::info(&args).await,
        Command::Group(command) => group(command).await,
        Command::Directory(command) => names(command).await,
        Command::Pg(command) => pg::run(command).await,
        Command::Service(command) => service::command(command).await,
        Command::Multicast(command) => multicast::run(command).await,
        Command::Node(_) | Command::Demo(_) | Command::Sim(_) | Command::Completions { .. } | Command::Id(_) => {
            Ok(Exit::Done)
        }
        Command::Exec(_) | Command::ExecGuardian | Command::ExecLauncher { .. } | Command::ExecStub(_) => {
            Ok(Exit::Done)
        }
    }
}

async fn names(command: DirectoryCommand) -> Outcome {
    match command {
        DirectoryCommand::Get { name, client } => directory::get(&name, &client).await,
        DirectoryCommand::Publish { name, text, client } => directory::publish(&name, &text, &client).await,
    }
}

async fn group(command: GroupCommand) -> Outcome {
    match command {
        GroupCommand::Create(args) => groups::create(&args).await,
        GroupCommand::Signal { group, reason, client } => groups::signal(&group, &reason, &client).await,
        GroupCommand::Check(args) => groups::check(&args).await,
        GroupCommand::List { all, limit, client } => groups::list(all, limit, &client).await,
        GroupCommand::Show(args) => groups::show(&args).await,
        GroupCommand::Watch(args) => watch::watch(&args).await,
        GroupCommand::Join(args) => joining::join(&args, false).await,
        GroupCommand::Observe(args) => joining::join(&args, true).await,
        GroupCommand::Leave(args) => joining::leave(&args).await,
        GroupCommand::Close(args) => joining::close(&args).await,
        GroupCommand::Admissions(args) => joining::admissions(&args).await,
        GroupCommand::Admit(args) => joining::word(&args, None).await,
        GroupCommand::Refuse { word, reason } => joining::word(&word, Some(&reason)).await,
    }
}

/// Runs the command to its end. What it left behind, a blocked read of standard input say, is not waited for.
fn wait(mut builder: Builder, command: impl Future<Output = Outcome>) -> Outcome {
    let runtime: Runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("no runtime: {error}")))?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}

/// What only several flags together show to be bad usage; ends the process as any other bad usage does.
fn refuse_nonsense(name: &str, valid: Result<(), String>) {
    if let Err(message) = valid {
        let mut command = Cli::command();
        command.build();
        let named = command.find_subcommand_mut(name);
        named
            .unwrap_or(&mut Cli::command())
            .error(ErrorKind::ValueValidation, message)
            .exit();
    }
}
