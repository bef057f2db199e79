//! Where a test's program runs: a home of its own, and nodes that end with their test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A home of its own: nothing of the user's is read or written.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fatebound"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_RUNTIME_DIR", self.path());
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// A node on a free port of this machine that listens, perhaps not joined yet.
    pub fn node(&self, line: &str) -> Running {
        let line = format!("node --profile local --listen /ip4/127.0.0.1/tcp/0 {line}");
        Running::of(&mut self.command(&line))
    }
}

/// A running node; killed when dropped.
pub struct Running {
    pub child: Child,
    pub out: BufReader<std::process::ChildStdout>,
    /// Its first line.
    pub first: String,
}

impl Running {
    /// Starts this node and waits until it listens.
    pub fn of(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        assert!(first.starts_with("listening /ip4/127.0.0.1/tcp/"), "{first:?}");
        Running { child, out, first }
    }

    /// Waits until it has joined.
    pub fn ready(&mut self) {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        self.first.trim().trim_start_matches("listening ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its exit code.
pub fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// What it said on standard error.
pub fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
