//! One node process, and several.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Watch, program};

/// How long a node may take to join an overlay on one machine: what a user would wait for.
const JOIN_LIMIT: Duration = Duration::from_secs(60);

/// The file in a node's directory that takes its standard error.
const LOG: &str = "stderr.log";

/// What a finished client command left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Runs the program with these arguments to its end.
    pub fn of(args: &[&str]) -> Outcome {
        Outcome::of_command(Command::new(program()).args(args))
    }

    /// Runs any command to its end.
    pub fn of_command(command: &mut Command) -> Outcome {
        let output = command.stdin(Stdio::null()).output().expect("the program starts");
        Outcome {
            code: code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The only line of standard output, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.stdout.trim()).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

/// A running `fatebound node`.
pub struct Node {
    child: Child,
    /// The whole command line that started it.
    command: Vec<String>,
    directory: PathBuf,
    /// Its `--api`.
    pub api: String,
    /// Its name.
    pub peer: String,
    /// A multiaddress of it, with `/p2p/…`.
    pub address: String,
}

impl Node {
    /// Starts a node in this directory and waits until it has joined.
    #[track_caller]
    pub fn start(directory: &Path, bootstrap: &[&str], more: &[&str]) -> Node {
        let command = vec![program().display().to_string()];
        Node::start_as(command, "/ip4/127.0.0.1/tcp/0", directory, bootstrap, more)
    }

    /// Starts a node in this directory and waits only until it listens: it may never join.
    #[track_caller]
    pub fn start_unjoined(directory: &Path, bootstrap: &[&str], more: &[&str]) -> Node {
        let program = vec![program().display().to_string()];
        let command = Node::command(program, "/ip4/127.0.0.1/tcp/0", directory, bootstrap, more);
        Node::launched(command, directory, Until::Listening)
    }

    #[track_caller]
    pub(crate) fn start_as(
        command: Vec<String>,
        listen: &str,
        directory: &Path,
        bootstrap: &[&str],
        more: &[&str],
    ) -> Node {
        let command = Node::command(command, listen, directory, bootstrap, more);
        Node::launched(command, directory, Until::Ready)
    }

    /// The whole command line of a node that lives in this directory.
    fn command(program: Vec<String>, listen: &str, directory: &Path, bootstrap: &[&str], more: &[&str]) -> Vec<String> {
        std::fs::create_dir_all(directory).expect("a directory for the node");
        let api = format!("unix:{}", directory.join("api.sock").display());
        let data = directory.display().to_string();
        let mut command = program;
        command.extend(["node", "--data-dir", &data, "--api", &api].map(String::from));
        // What a test says for itself comes instead.
        for (flag, value) in [("--profile", "local"), ("--listen", listen)] {
            if !more.contains(&flag) {
                command.extend([flag.into(), value.into()]);
            }
        }
        for address in bootstrap {
            command.extend(["--bootstrap".into(), (*address).into()]);
        }
        command.extend(more.iter().map(|&arg| arg.into()));
        command
    }

    #[track_caller]
    fn launched(command: Vec<String>, directory: &Path, until: Until) -> Node {
        let (child, address) = launch(&command, directory, until);
        let api = format!("unix:{}", directory.join("api.sock").display());
        let peer = address.rsplit('/').next().expect("…/p2p/<PeerId>").to_string();
        Node {
            child,
            command,
            directory: directory.to_path_buf(),
            api,
            peer,
            address,
        }
    }

    /// Runs a client command against this node.
    pub fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of_command(Command::new(program()).args(args).args(["--api", &self.api]))
    }

    /// Runs a client command with `--json` that has to succeed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let outcome = self.run(&[args, &["--json"]].concat());
        assert_eq!(outcome.code, 0, "{args:?}: {outcome:?}");
        outcome.json()
    }

    /// Creates a group with these other members, which all have to accept.
    #[track_caller]
    pub fn create(&self, members: &[&Node]) -> String {
        let peers: Vec<&str> = members.iter().map(|node| node.peer.as_str()).collect();
        let created = self.json(&[&["group", "create"], &peers[..]].concat());
        created["group"].as_str().expect("a group id").to_string()
    }

    /// Watches all groups here.
    pub fn watch(&self) -> Watch {
        Watch::start(&self.api)
    }

    /// The bound that this node promises.
    pub fn bound(&self) -> Duration {
        let milliseconds = self.json(&["status"])["notification_bound_ms"]
            .as_f64()
            .expect("a number");
        Duration::from_secs_f64(milliseconds / 1000.0)
    }

    /// Sends a signal by name.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status()
            .expect("kill can be run");
        assert!(status.success(), "kill -{signal}");
    }

    /// `kill -9`, and the process is gone when this returns.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it has ended");
    }

    /// Waits until the process has ended by itself; returns its exit code.
    pub fn wait(&mut self) -> i32 {
        code(self.child.wait().expect("it has ended"))
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Starts a killed node again: the same data directory, so the same identity.
    pub fn restart(&mut self) {
        let (child, address) = launch(&self.command, &self.directory, Until::Ready);
        self.child = child;
        self.address = address;
    }

    /// What it has logged so far, in all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join(LOG)).unwrap_or_default()
    }

    /// Waits until it has logged all of these words, in one line.
    #[track_caller]
    pub fn logs(&self, words: &[&str]) -> String {
        let until = Instant::now() + JOIN_LIMIT;
        loop {
            let log = self.log();
            let said = |line: &&str| words.iter().all(|word| line.contains(word));
            if let Some(line) = log.lines().find(said) {
                return line.to_string();
            }
            assert!(Instant::now() < until, "nothing about {words:?} in:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("-- the log of {}:\n{}", self.peer, self.log());
        }
    }
}

/// What a start is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Listening,
    Ready,
}

/// Starts a node and reads its first lines: returns its first address when it has come so far.
#[track_caller]
fn launch(command: &[String], directory: &Path, until: Until) -> (Child, String) {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join(LOG))
        .expect("a log file");
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the node starts");
    let stdout = child.stdout.take().expect("piped");
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more once the node is ready.
            let _ = send.send(line);
        }
    });
    let mut address = String::new();
    loop {
        let line = lines
            .recv_timeout(JOIN_LIMIT)
            .unwrap_or_else(|error| panic!("no `ready` from {command:?}: {error}"));
        match line.strip_prefix("listening ") {
            Some(listening) if until == Until::Listening => return (child, listening.to_string()),
            Some(listening) if address.is_empty() => address = listening.to_string(),
            _ if line == "ready" => return (child, address),
            _ => {}
        }
    }
}

/// Several nodes of one overlay, in one temporary directory.
pub struct Cluster {
    directory: TempDir,
    /// The nodes, in the order of their start. All but the first joined through the first two.
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// Starts so many nodes.
    #[track_caller]
    pub fn start(count: usize) -> Cluster {
        Cluster::start_with(count, &[])
    }

    /// Starts so many nodes, each with these further arguments.
    #[track_caller]
    pub fn start_with(count: usize, more: &[&str]) -> Cluster {
        let mut cluster = Cluster {
            directory: TempDir::new().expect("a temporary directory"),
            nodes: Vec::new(),
        };
        for _ in 0..count {
            cluster.add(more);
        }
        cluster
    }

    /// Starts one more node.
    #[track_caller]
    pub fn add(&mut self, more: &[&str]) {
        let (directory, bootstrap) = self.next();
        let bootstrap: Vec<&str> = bootstrap.iter().map(String::as_str).collect();
        self.nodes.push(Node::start(&directory, &bootstrap, more));
    }

    /// Starts one more node that may have so many files open.
    #[track_caller]
    pub fn add_limited(&mut self, descriptors: usize) {
        let (directory, bootstrap) = self.next();
        let bootstrap: Vec<&str> = bootstrap.iter().map(String::as_str).collect();
        let limited = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        let command = ["sh".into(), "-c".into(), limited, program().display().to_string()];
        self.nodes.push(Node::start_as(
            command.into(),
            "/ip4/127.0.0.1/tcp/0",
            &directory,
            &bootstrap,
            &[],
        ));
    }

    /// Where the next node lives, and whom it joins through.
    pub(crate) fn next(&self) -> (PathBuf, Vec<String>) {
        let bootstrap = self.nodes.iter().take(2).map(|node| node.address.clone());
        (self.path(&format!("node-{}", self.nodes.len())), bootstrap.collect())
    }

    /// A path inside the cluster's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
