//! What stands beside a command that may not outlive its lock: it leads the command's process group, and ends all of it when its standard input ends,
//! which it does however `lock` ends, by SIGKILL too.

use std::io::{Read, Write};

use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group};

use crate::exit::{Exit, Failure, Outcome};
use crate::signals::Signals;

/// What it says once it cannot be asked to end any more.
pub const READY: &str = "ready";

/// `fatebound pg guardian`
pub fn guardian() -> Outcome {
    if getpgrp() != getpid() {
        return Err(Failure::usage(
            "the guardian is a part of `fatebound pg lock`, and no command of its own",
        ));
    }
    // The command is asked to end by a signal to the whole group; the guardian stays for those who do not.
    let _signals = Signals::of_node();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{READY}").and_then(|()| out.flush());
    let mut rest = [0; 64];
    while let Ok(1..) = std::io::stdin().lock().read(&mut rest) {}
    let _ = kill_current_process_group(Signal::KILL);
    Ok(Exit::Done)
}
