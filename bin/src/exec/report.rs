//! How it has ended: for the exit code, for `--status-fd`, and for people.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{OwnedFd, RawFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use serde::Serialize;
use serde_json::Value;

use super::control::End;
use crate::exit::{Exit, Failure, complain};
use crate::shown;

/// How an `exec` has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The command has, by itself or as a signal to `exec` had it.
    Command(End),
    /// The group has failed, or is over for another reason, and took the command down if it ran.
    Group {
        /// Why, for programs.
        reason: Value,
        /// Why, for people.
        message: String,
        /// Whether the command had begun.
        began: bool,
    },
    /// The node has gone or hangs, and nobody could have told of a failure any more.
    Node(String),
    /// The guardian was killed.
    Guardian,
    /// `exec` was asked to stop before the command had begun, or after it had ended.
    Asked(i32),
    /// The command was not begun: there is no group, or the system did not let us.
    Not(Failure),
}

impl Ended {
    /// The exit code: the command's own, or one of this program. What the group or the node took down ends with `failed`.
    pub fn code(&self, failed: u8) -> i32 {
        match self {
            Ended::Command(End::Code(code)) => *code,
            Ended::Command(End::Signal(signal)) | Ended::Asked(signal) => 128 + signal,
            Ended::Group { .. } | Ended::Node(_) => i32::from(failed),
            Ended::Guardian => Exit::Error as i32,
            Ended::Not(failure) if failure.exit == Exit::GroupFailed => i32::from(failed),
            Ended::Not(failure) => failure.exit as i32,
        }
    }

    /// Whether all was well: what came to a good end is not started again.
    pub fn well(&self) -> bool {
        matches!(self, Ended::Command(End::Code(0)))
    }

    /// One line for people, unless the command's own end says it all.
    pub fn line(&self) -> Option<String> {
        match self {
            Ended::Command(_) | Ended::Asked(_) => None,
            Ended::Group { message, began, .. } => Some(match began {
                true => format!("the group has failed and took the command down: {message}"),
                false => format!("the group had failed before the command began: {message}"),
            }),
            Ended::Node(why) => Some(format!("the node is lost, and the command with it: {why}")),
            Ended::Guardian => Some("the guardian of the command was killed, and the command with it".to_owned()),
            Ended::Not(failure) => (!failure.message.is_empty()).then(|| failure.message.clone()),
        }
    }
}

/// What a program is told at the end.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    event: &'static str,
    /// `command`, `group`, `node`, `guardian`, `asked` or `nothing`.
    ended: &'static str,
    /// The exit code of `exec`.
    code: i32,
    /// The signal that ended the command, or asked `exec` to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// The last group.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Why the group has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Value>,
    /// The same for people, or whatever else went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// What kept the command together; none when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    containment: Option<&'static str>,
    /// How often the job was started again.
    restarts: u32,
    /// Processes that the system did not let go of.
    left: Vec<i32>,
}

/// What else belongs to a status.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// The last group.
    pub group: Option<String>,
    /// What kept the command together.
    pub containment: Option<&'static str>,
    /// How often the job was started again.
    pub restarts: u32,
    /// Processes that the system did not let go of.
    pub left: Vec<i32>,
}

impl Status {
    /// The status of this end.
    pub fn of(ended: &Ended, failed: u8, more: Circumstances) -> Status {
        let (name, signal, reason) = match ended {
            Ended::Command(End::Code(_)) => ("command", None, None),
            Ended::Command(End::Signal(signal)) => ("command", Some(*signal), None),
            Ended::Group { reason, .. } => ("group", None, Some(reason.clone())),
            Ended::Node(_) => ("node", None, None),
            Ended::Guardian => ("guardian", None, None),
            Ended::Asked(signal) => ("asked", Some(*signal), None),
            Ended::Not(failure) if failure.exit == Exit::GroupFailed => ("group", None, None),
            Ended::Not(_) => ("nothing", None, None),
        };
        Status {
            event: "ended",
            ended: name,
            code: ended.code(failed),
            signal,
            group: more.group,
            reason,
            message: ended.line(),
            containment: more.containment,
            restarts: more.restarts,
            left: more.left,
        }
    }
}

/// Where the status goes.
#[derive(Debug)]
pub struct StatusFile(File);

impl StatusFile {
    /// Takes a descriptor of this process over: the command does not have it.
    ///
    /// # Errors
    /// There is none with this number.
    pub fn take(number: RawFd) -> io::Result<StatusFile> {
        // A descriptor that is opened from now on may get that very number.
        std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).map_err(|_| rustix::io::Errno::BADF)?;
        let own = pidfd_open(getpid(), PidfdFlags::empty())?;
        let taken: OwnedFd = match pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) {
            Ok(taken) => taken,
            Err(rustix::io::Errno::BADF) => return Err(io::Error::from(rustix::io::Errno::BADF)),
            // Some containers forbid it; what is no socket can be opened again.
            Err(_) => File::options()
                .append(true)
                .open(format!("/proc/self/fd/{number}"))?
                .into(),
        };
        nix::unistd::close(number)?;
        Ok(StatusFile(File::from(taken)))
    }

    /// Writes it. Nobody may be reading, which changes nothing.
    pub fn write(mut self, status: &Status) {
        if let Ok(mut line) = serde_json::to_vec(status) {
            line.push(b'\n');
            let _ = self.0.write_all(&line);
        }
    }
}

/// Says this on standard error: standard output is the command's.
pub fn say(json: bool, object: &impl Serialize, line: Option<&str>) {
    match (json, line) {
        (true, _) => {
            if let Ok(text) = serde_json::to_string(object) {
                let _ = writeln!(io::stderr(), "{}", shown::json(&text));
            }
        }
        (false, Some(line)) => complain(format_args!("fatebound: {line}")),
        (false, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_code() {
        let failed = Ended::Group {
            reason: Value::Null,
            message: "x".to_owned(),
            began: true,
        };
        assert_eq!(Ended::Command(End::Code(7)).code(3), 7);
        assert_eq!(Ended::Command(End::Signal(9)).code(3), 137);
        assert_eq!(failed.code(3), 3);
        assert_eq!(failed.code(99), 99);
        assert_eq!(Ended::Node(String::new()).code(3), 3);
        assert_eq!(Ended::Asked(15).code(3), 143);
        assert_eq!(Ended::Guardian.code(3), 1);
        assert_eq!(Ended::Not(Failure::new(Exit::CreationFailed, "x")).code(9), 4);
        assert!(Ended::Command(End::Code(0)).well());
        assert!(!failed.well());
    }
}
