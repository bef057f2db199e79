//! The command of a lock, and the guardian that ends it with its lock.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::guardian::READY;
use crate::exit::Failure;

/// A running command. All of its process group ends with this.
pub struct Holding {
    command: Child,
    guardian: Child,
    /// When it is closed, the guardian ends the group.
    lifeline: Option<ChildStdin>,
    group: Pid,
}

impl Holding {
    /// Runs the command in the guardian's process group.
    pub async fn begin(command: &[OsString], epoch: &str) -> Result<Holding, Failure> {
        let failed = |error: std::io::Error| Failure::error(format!("no guardian for the command: {error}"));
        let mut guardian = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["pg", "guardian"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let lifeline = guardian.stdin.take();
        let group = guardian
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let group = group.ok_or_else(|| Failure::error("the guardian of the command has ended"))?;
        if let Some(out) = guardian.stdout.take() {
            let first = BufReader::new(out).lines().next_line().await.map_err(failed)?;
            if first.as_deref() != Some(READY) {
                return Err(Failure::error("the guardian of the command does not begin"));
            }
        }
        let command = spawn(command, epoch, group)?;
        Ok(Holding {
            command,
            guardian,
            lifeline,
            group,
        })
    }

    /// Until the command has ended.
    pub async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        let ended = self.command.wait().await;
        ended.map_err(|error| Failure::error(format!("the command cannot be waited for: {error}")))
    }

    /// Asks all of it to end.
    pub fn ask(&self) {
        let _ = kill_process_group(self.group, Signal::TERM);
    }

    /// Asks all of it to end, and ends what is left after a while.
    pub async fn end(mut self, grace: Duration) {
        self.ask();
        let _ = tokio::time::timeout(grace, self.command.wait()).await;
        self.finish().await;
    }

    /// Ends whatever the command has left behind.
    pub async fn finish(mut self) {
        self.lifeline.take();
        let _ = self.guardian.wait().await;
        let _ = self.command.wait().await;
    }
}

fn spawn(command: &[OsString], epoch: &str, group: Pid) -> Result<Child, Failure> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Failure::usage("there is no command"))?;
    // A group in the background may not read from its terminal.
    let stdin = match std::io::stdin().is_terminal() {
        true => Stdio::null(),
        false => Stdio::inherit(),
    };
    Command::new(program)
        .args(arguments)
        .env("FATEBOUND_EPOCH", epoch)
        .process_group(group.as_raw_nonzero().get())
        .stdin(stdin)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::error(format!("cannot run {}: {error}", program.to_string_lossy())))
}
