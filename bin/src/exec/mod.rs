//! `exec`: a command that shares the fate of a group.
//!
//! ```text
//! exec ──── a pair of sockets ──── guardian ── stub, which becomes the command ── whatever comes of it
//! ```
//!
//! `exec` holds the group at the node ([`hold`]). The guardian is the command's parent ([`guardian`]). Both inherit whatever comes of the command
//! ([`descendants`]), and each ends all of it when the other one has gone. The stub sets up what only the process itself can ([`stub`]). All of them
//! are this same program, run again, because a process can be prepared between `fork` and `exec` only by unsafe code.

mod attempt;
mod cgroup;
mod command;
mod control;
mod descendants;
mod environment;
pub mod guardian;
mod hold;
pub mod namespace;
mod report;
mod streams;
mod stub;
mod taken;
mod terminal;
mod ways_in;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use attempt::Job;
use environment::Environment;
use hold::Hold;
use report::{Circumstances, Ended, Status, StatusFile, say};
use taken::Taken;
use terminal::Terminal;
use ways_in::Way;

use crate::cli::ExecArgs;
use crate::exit::{Exit, Failure};

pub use stub::stub;

/// Between a failure and the next attempt.
const BREATH: Duration = Duration::from_secs(1);

/// An invitation of which nothing comes, because another member is not there yet, is over within this time as a rule: then the command is not begun, and
/// this member waits again before the creator tries again.
const SETTLING: Duration = Duration::from_millis(200);

/// `fatebound exec`
pub fn exec(args: &ExecArgs) -> ExitCode {
    // Before anything of this process can have that number.
    let status = match args.status_fd.map(StatusFile::take).transpose() {
        Ok(status) => status,
        Err(error) => return Failure::usage(format!("--status-fd: {error}")).report(),
    };
    let runtime: Runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::error(format!("no runtime: {error}")).report(),
    };
    let failed = args.failed_code.unwrap_or(Exit::GroupFailed as u8);
    let (ended, more) = runtime.block_on(all(args));
    let done = Status::of(&ended, failed, more);
    say(args.client.json, &done, ended.line().as_deref());
    if let Some(file) = status {
        file.write(&done);
    }
    runtime.shutdown_background();
    // A process ends with one byte.
    ExitCode::from(u8::try_from(ended.code(failed) & 0xff).unwrap_or(Exit::Error as u8))
}

/// All attempts.
async fn all(args: &ExecArgs) -> (Ended, Circumstances) {
    let mut more = Circumstances::default();
    // A signal meanwhile ends this program as any other: what is read here may be long in coming.
    let (mut job, way) = match prepare(args).await {
        Ok(prepared) => prepared,
        Err(failure) => return (Ended::Not(failure), more),
    };
    let mut taken = Taken::new();
    loop {
        let result = one(args, &mut job, &way, &mut taken, &mut more).await;
        more.containment = result.containment.or(more.containment);
        more.left.extend(&result.left);
        if way.waits() && never_was(&result.ended) && !result.asked {
            // Another member was not there yet; its creator tries again, or has given up.
            continue;
        }
        let again = args.restart.is_some() && can_be_mended(&result.ended) && !result.asked;
        if !again || more.restarts >= args.max_restarts {
            return (result.ended, more);
        }
        more.restarts += 1;
        say(
            args.client.json,
            &json!({ "event": "restarting", "restart": more.restarts, "why": result.ended.line() }),
            Some(&format!("starting again ({} of {})", more.restarts, args.max_restarts)),
        );
        tokio::select! {
            () = tokio::time::sleep(BREATH) => {}
            signal = stop(&mut taken) => return (Ended::Asked(signal.as_raw()), more),
        }
    }
}

/// Whether the next attempt may have a better end.
fn can_be_mended(ended: &Ended) -> bool {
    match ended {
        Ended::Command(_) => !ended.well(),
        Ended::Group { .. } => true,
        Ended::Node(_) | Ended::Guardian | Ended::Asked(_) | Ended::Not(_) => false,
    }
}

/// Whether the group has failed before all of its members had accepted. A member that has is in it already, and may have begun its command.
fn never_was(ended: &Ended) -> bool {
    matches!(ended, Ended::Group { reason, .. } if reason["kind"] == "creation_failed")
}

async fn prepare(args: &ExecArgs) -> Result<(Job<'_>, Way), Failure> {
    let failed = |error: io::Error| Failure::error(format!("no standard input for the command: {error}"));
    let spared = command::children_before();
    // Read before the command has it.
    let way = Way::of(args).await?;
    let stdin: OwnedFd = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    let job = Job {
        command: &args.command,
        stdin,
        // An invitation may come to nothing, and the next one is waited for.
        restarts: args.restart.is_some() || args.accept.is_some(),
        grace: args.grace,
        containment: args.containment,
        json: args.client.json,
        spared,
        terminal: Terminal::of_this_process(),
    };
    Ok((job, way))
}

/// One attempt: a group, the command in it, and an orderly leave.
async fn one(
    args: &ExecArgs,
    job: &mut Job<'_>,
    way: &Way,
    taken: &mut Taken,
    more: &mut Circumstances,
) -> attempt::Result {
    let hold = tokio::select! {
        hold = way.hold(args) => hold,
        signal = stop(taken) => return attempt::Result::nothing(Ended::Asked(signal.as_raw())),
    };
    let mut hold = match hold {
        Ok(hold) => hold,
        Err(failure) => return attempt::Result::nothing(Ended::Not(failure)),
    };
    more.group = hold.as_ref().map(|hold| hold.held.group.clone());
    let environment = match begin(&mut hold, way, args).await {
        Ok(environment) => environment,
        Err(ended) => return attempt::Result::nothing(ended),
    };
    let mut result = attempt::run(job, &environment.variables, environment.file(), hold.as_mut(), taken).await;
    if let Some(hold) = &mut hold
        && result.ended.well()
    {
        // The group is left once nothing of the command is left.
        tokio::select! {
            left = hold.leave() => if let Err(over) = left {
                result.ended = over.ended(true);
            },
            signal = stop(taken) => {
                result.ended = Ended::Asked(signal.as_raw());
                result.asked = true;
            }
        }
    }
    result
}

/// What the command is to find; a group that is over already does not begin it.
async fn begin(hold: &mut Option<Hold>, way: &Way, args: &ExecArgs) -> Result<Environment, Ended> {
    let (Some(hold), Some(api)) = (hold, way.api()) else {
        return Ok(Environment::alone());
    };
    say(
        args.client.json,
        &json!({ "event": "held", "group": hold.held.group, "root": hold.held.root, "members": hold.held.members }),
        None,
    );
    let environment = Environment::of(&hold.held, api, args.client.api_token_file.as_deref())
        .map_err(|error| Ended::Not(Failure::error(format!("no file for the group's state: {error}"))))?;
    let settling = if way.waits() { SETTLING } else { Duration::ZERO };
    tokio::select! {
        biased;
        over = hold.over() => Err(over.ended(false)),
        () = tokio::time::sleep(settling) => Ok(environment),
    }
}

/// Until somebody asks this program to stop while no command runs.
async fn stop(taken: &mut Taken) -> Signal {
    loop {
        match taken.next().await {
            signal @ (Signal::HUP | Signal::INT | Signal::QUIT | Signal::TERM) => return signal,
            Signal::CHILD => {
                descendants::reap();
            }
            _ => {}
        }
    }
}
