//! A running `fatebound exec`, and how to see that nothing of its command is left.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Whatever is waited for comes within this time, also where many other things run.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A command line of this program.
pub fn fatebound(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fatebound"));
    command.args(words).stdin(Stdio::null());
    command
}

/// Whether there is such a program; a test without it is skipped, or fails where every test has to run.
pub fn has(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|path| path.join(program).exists());
    skip_unless(found, program)
}

/// Says that a test is skipped, or fails where every test has to run.
pub fn skip_unless(there: bool, what: &str) -> bool {
    if !there {
        assert!(
            std::env::var_os("FATEBOUND_TESTS_REQUIRE_ALL").is_none(),
            "{what} is missing"
        );
        eprintln!("skipped: {what} is missing");
    }
    there
}

/// Polls until it holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "still waiting for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running `exec`; killed when dropped. Only its command, and what comes of that, has the other end of standard output: once that ends, nothing is left.
pub struct Started {
    pub child: Child,
    output: Receiver<Vec<u8>>,
    pub text: String,
}

impl Started {
    pub fn of(command: &mut Command) -> Started {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut bytes) {
                let _ = sender.send(bytes[..length].to_vec());
            }
        });
        Started {
            child,
            output,
            text: String::new(),
        }
    }

    /// Waits until this was written.
    #[track_caller]
    pub fn writes(&mut self, text: &str) {
        let end = Instant::now() + LIMIT;
        while !self.text.contains(text) {
            let more = self.output.recv_timeout(end.saturating_duration_since(Instant::now()));
            let more = more.unwrap_or_else(|error| panic!("{error} in {:?}, not {text:?}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// Waits until nothing is left that could write.
    #[track_caller]
    pub fn nothing_left(&mut self) {
        let end = Instant::now() + LIMIT;
        loop {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(more) => self.text.push_str(&String::from_utf8_lossy(&more)),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
                Err(error) => panic!("{error}: something is left of the command"),
            }
        }
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("exec's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        kill(signal, self.pid());
    }

    /// Its guardian; in a namespace that of the launcher.
    #[track_caller]
    pub fn child_named(&self, name: &str) -> u32 {
        child_named(self.pid(), name)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a process a signal.
pub fn kill(signal: &str, process: u32) {
    // That it has gone already is no failure.
    Command::new("kill")
        .args([signal, &process.to_string()])
        .stderr(Stdio::null())
        .status()
        .expect("there is no program `kill`");
}

/// The child of this process that has this name in lists of processes.
#[track_caller]
pub fn child_named(parent: u32, name: &str) -> u32 {
    let mut found = None;
    until(name, || {
        found = children(parent)
            .into_iter()
            .find(|child| std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|comm| comm.trim() == name));
        found.is_some()
    });
    found.unwrap()
}

pub fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = std::fs::read_dir(Path::new("/proc").join(parent.to_string()).join("task"));
    for task in tasks.into_iter().flatten().flatten() {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    found
}
