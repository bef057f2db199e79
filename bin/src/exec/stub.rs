//! The stub: what the command's process does before it becomes the command. It says what it cannot do as a shell would: exit code 127 when there is no such
//! command, 126 when it cannot be run.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::SigSet;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::terminal;
use crate::cli::ExecStubArgs;
use crate::exit::{Failure, Outcome, complain};

/// `fatebound exec-stub`
pub fn stub(args: &ExecStubArgs) -> Outcome {
    let failed = |error: io::Error| Failure::error(format!("the command cannot be contained: {error}"));
    // The guardian has one thread: only its own end counts as that of the parent.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| failed(error.into()))?;
    if getppid().map_or(0, |parent| parent.as_raw_nonzero().get()) != args.parent {
        return Err(Failure::error("the guardian has gone"));
    }
    if let Some(group) = &args.cgroup {
        let enter = OpenOptions::new().write(true).open(group.join("cgroup.procs"));
        enter.and_then(|mut file| file.write_all(b"0")).map_err(failed)?;
    }
    if args.foreground {
        terminal::give_to(own_group());
    }
    SigSet::empty()
        .thread_set_mask()
        .map_err(|error| failed(error.into()))?;
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::usage("there is no command"));
    };
    let error = Command::new(program).args(arguments).exec();
    complain(format_args!(
        "fatebound: cannot run {}: {error}",
        program.to_string_lossy()
    ));
    std::process::exit(code(error.kind()));
}

/// The guardian made one for this process.
fn own_group() -> Pid {
    getpid()
}

fn code(kind: ErrorKind) -> i32 {
    match kind {
        ErrorKind::NotFound => 127,
        _ => 126,
    }
}
