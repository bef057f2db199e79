//! Scenarios as text: commands, and below each the trace that it produced.
//!
//! A script says what it plays in lines that begin with `#`; then come blocks, separated by blank lines: one or more commands, a line
//! `----`, and the trace. To run a script is to produce its text anew. If the new text is the old one, nothing has changed; if not, the
//! difference is for somebody to read. The manner is that of etcd/raft's data-driven tests. `tests/scripts/README.md` lists the
//! commands.

mod conditions;
mod faults;
mod orders;
mod pipes;
mod places;
mod show;
mod stage;
mod words;

use std::fmt::Write as _;

use thiserror::Error;

use stage::Stage;

/// Between commands and trace.
const RULE: &str = "----";

/// What is wrong with a script, or which of its expectations does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    /// For a person.
    pub what: String,
}

/// A script, read.
#[derive(Clone, Debug)]
pub struct Script {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// Prose or a blank line.
    Text(String),
    /// Commands with their line numbers.
    Commands(Vec<(usize, String)>),
}

impl Script {
    /// Reads a script. Old traces are skipped; whether they were right is seen by comparing what [`Script::run`] returns.
    pub fn parse(text: &str) -> Script {
        let mut parts = Vec::new();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                parts.push(Part::Text(line.to_owned()));
                continue;
            }
            let mut commands = vec![(at + 1, line.to_owned())];
            let mut in_trace = false;
            while let Some((at, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
                in_trace |= line == RULE;
                if !in_trace {
                    commands.push((at + 1, line.to_owned()));
                }
            }
            parts.push(Part::Commands(commands));
        }
        Script { parts }
    }

    /// Plays the script and returns its text with the traces that came about.
    ///
    /// # Errors
    /// The first command that cannot be read, or whose expectation does not hold.
    pub fn run(&self) -> Result<String, ScriptError> {
        let mut stage = Stage::default();
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(line) => text.push_str(line),
                Part::Commands(commands) => play(commands, &mut stage, &mut text)?,
            }
            text.push('\n');
        }
        Ok(text)
    }
}

fn play(commands: &[(usize, String)], stage: &mut Stage, text: &mut String) -> Result<(), ScriptError> {
    stage.begin();
    for (line, command) in commands {
        let _ = writeln!(text, "{command}");
        stage.play(command).map_err(|what| {
            let so_far = stage.trace().join("\n");
            let what = format!("`{command}`: {what}\n{so_far}").trim_end().to_owned();
            ScriptError { line: *line, what }
        })?;
    }
    text.push_str(RULE);
    for line in stage.trace() {
        let _ = write!(text, "\n{line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
# Two peers form a group.

world seed 1 profile local latency 1ms
overlay 2
----

group g1 0 1
until g1 whole
expect g1 lives at 0 1
----
";

    #[test]
    fn a_script_gets_its_traces_and_keeps_everything_else() {
        let text = Script::parse(SCRIPT).run().expect("a good script");
        assert!(text.starts_with("# Two peers form a group.\n\nworld seed 1"), "{text}");
        assert!(text.contains("p0 ? p1  Invite g1 of p0 p1"), "{text}");
        assert!(text.contains("Confirm g1/p1#1 hops 0"), "{text}");
        assert!(!text.contains("Ping"), "{text}");
        let again = Script::parse(&text).run().expect("a good script");
        assert_eq!(again, text, "what was produced is produced again");
    }

    #[test]
    fn a_wrong_command_is_named_with_its_line_and_what_was_expected() {
        let errors = [
            ("overlay 2\n----\n", 1, "`world` comes first"),
            ("world\n\nfrobnicate 3\n----\n", 3, "unknown command `frobnicate`"),
            (
                "world\noverlay 2\n\nrun 2\n----\n",
                4,
                "expected a duration such as `300ms` or `2s`, found `2`",
            ),
            ("world\noverlay 2\n\ncrash 7\n----\n", 4, "there is no peer 7"),
            ("world\noverlay 2\n\nsignal 0 g1\n----\n", 4, "there is no group g1"),
            (
                "world\noverlay 2\n\nrun 1s now\n----\n",
                4,
                "expected nothing more, found `now`",
            ),
        ];
        for (text, line, what) in errors {
            let error = Script::parse(text).run().expect_err(text);
            assert_eq!(error.line, line, "{error}");
            assert!(error.what.contains(what), "{error}");
        }
    }

    #[test]
    fn an_expectation_that_does_not_hold_is_an_error() {
        let text = "world seed 1\noverlay 2\n\ngroup g1 0 1\ncrash 1\nrun 1s\nexpect g1 lives at 0\n----\n";
        let error = Script::parse(text).run().expect_err("p1 is dead");
        assert_eq!(error.line, 7);
        assert!(error.what.contains("p0 was told"), "{error}");
    }
}
