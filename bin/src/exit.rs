//! How a command ends: one exit code that scripts rely on, and one line for people.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::shown::shown;

/// The exit codes of the program. Scripts rely on them; they are never reused for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It did not work.
    Error = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The group has failed; the process group goes on without this one, or is given up.
    GroupFailed = 3,
    /// A creation was refused or is incomplete.
    CreationFailed = 4,
    /// The node cannot be reached, or went away.
    NodeUnreachable = 5,
    /// The process group is blocked: there is no quorum of it.
    Blocked = 6,
    /// Ended by SIGHUP: the terminal is gone.
    HungUp = 129,
    /// Ended by SIGINT, or by a second one while stopping.
    Interrupted = 130,
    /// Ended by SIGTERM, or by a second one while stopping.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A command that did not do what it was asked for: the code, and one line on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One line; empty when everything was said already.
    pub message: String,
}

impl Failure {
    /// A failure with this code and these words.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure {
            exit,
            message: one_line(&message.to_string()),
        }
    }

    /// An ordinary error: exit code 1.
    pub fn error(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Error, message)
    }

    /// Bad usage that the parser alone could not see: exit code 2.
    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// Whoever reads has had enough: no error, and nothing to say to anybody.
    pub fn unread() -> Failure {
        Failure::new(Exit::Done, "")
    }

    /// Says it on standard error and gives the code.
    pub fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            complain(format_args!("fatebound: {}", self.message));
        }
        self.exit.into()
    }
}

/// Says one line on standard error, foreign words in it made visible. Nobody may be listening, which is no reason to panic as `eprintln!`
/// does.
pub fn complain(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{}", shown(&line.to_string()));
}

/// Messages from below may have several lines; a log or a script wants one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How a command of this program ends.
pub type Outcome = Result<Exit, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_contract() {
        let codes = [
            Exit::Done,
            Exit::Error,
            Exit::Usage,
            Exit::GroupFailed,
            Exit::CreationFailed,
            Exit::NodeUnreachable,
            Exit::Blocked,
        ];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(Exit::HungUp as u8, 128 + 1);
        assert_eq!(Exit::Interrupted as u8, 128 + 2);
        assert_eq!(Exit::Terminated as u8, 128 + 15);
    }

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::error("first\n  second\n");
        assert_eq!(failure.message, "first second");
        assert_eq!(failure.exit, Exit::Error);
    }
}
