//! The demo's nodes: real processes of this same program, in a temporary directory that disappears with them.
//!
//! Nothing is left behind, however the demo ends: processes are killed when their handle is dropped, they stop by themselves when
//! their standard input ends (should the demo be killed), and they are in process groups of their own, so that Ctrl-C reaches the
//! demo alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::place::Place;
use crate::cli::ProfileArg;
use crate::client::Api;
use crate::exit::Failure;

/// If no node becomes ready for this long, none will: many are started at once, on a busy machine, and each takes its time.
const READY: Duration = Duration::from_secs(60);
/// A node has this long for an answer: far longer than it needs, for a busy machine.
const ANSWER: Duration = Duration::from_secs(60);
/// Nodes that the others join through.
const BOOTSTRAP: usize = 3;

/// All nodes of a demo.
#[derive(Debug)]
pub struct Fleet {
    place: Place,
    program: PathBuf,
    profile: ProfileArg,
    /// So many are started at a time.
    at_a_time: usize,
    network: String,
    nodes: Vec<Process>,
}

/// One node.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub number: usize,
    /// Its `PeerId`.
    pub peer: String,
    /// Its local API.
    pub api: Api,
    address: String,
    child: Child,
    /// Held open: the node may still have something to say.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Fleet {
    /// No node yet, but a place for them.
    pub fn new(profile: ProfileArg, at_a_time: usize) -> Result<Fleet, Failure> {
        let program = std::env::current_exe();
        Ok(Fleet {
            program: program.map_err(|error| Failure::error(format!("cannot find this program's file: {error}")))?,
            network: format!("demo-{}", std::process::id()),
            place: Place::new()?,
            profile,
            at_a_time,
            nodes: Vec::new(),
        })
    }

    /// Starts this many nodes and waits until all have joined; `progress` hears how many have.
    pub async fn start(&mut self, nodes: usize, progress: impl Fn(usize)) -> Result<(), Failure> {
        // The first alone, then those that the others join through, then all others.
        for upto in [1, BOOTSTRAP.min(nodes), nodes] {
            let bootstrap: Vec<String> = self
                .nodes
                .iter()
                .take(BOOTSTRAP)
                .map(|node| node.address.clone())
                .collect();
            let from = self.nodes.len();
            let starting: Vec<_> = (from..upto)
                .map(|number| self.start_one(number, bootstrap.clone()))
                .collect();
            let mut started = stream::iter(starting).buffer_unordered(self.at_a_time);
            let mut new = Vec::new();
            loop {
                let next = tokio::time::timeout(READY, started.try_next()).await;
                let Some(node) = next.map_err(|_| self.stuck(from + new.len(), nodes))?? else {
                    break;
                };
                new.push(node);
                progress(from + new.len());
            }
            drop(started);
            self.nodes.append(&mut new);
        }
        self.nodes.sort_by_key(|node| node.number);
        Ok(())
    }

    /// The nodes, by number.
    pub fn nodes(&self) -> &[Process] {
        &self.nodes
    }

    /// SIGKILL, at once: the node has no chance to say anything.
    pub fn kill(&mut self, number: usize) -> Result<(), Failure> {
        let killed = self.nodes[number].child.start_kill();
        killed.map_err(|error| Failure::error(format!("cannot kill node {number}: {error}")))
    }

    /// Ends all processes and removes the directory.
    pub async fn stop(mut self) {
        for node in &mut self.nodes {
            let _ = node.child.start_kill();
        }
        for node in &mut self.nodes {
            let _ = node.child.wait().await;
        }
        self.place.remove().await;
    }

    /// Nobody becomes ready any more; what the first of those that do not has said last may be why.
    fn stuck(&self, ready: usize, nodes: usize) -> Failure {
        let directories = (0..nodes).map(|number| self.place.path().join(number.to_string()));
        let words = directories
            .map(|directory| last_words(&directory))
            .find(|words| !words.is_empty());
        Failure::error(format!(
            "{ready} of {nodes} nodes have joined, and for {} s no other has: this machine is too busy for so many ({})",
            READY.as_secs(),
            words.as_deref().unwrap_or("they say nothing")
        ))
    }

    async fn start_one(&self, number: usize, bootstrap: Vec<String>) -> Result<Process, Failure> {
        let directory = self.place.path().join(number.to_string());
        let failed = |what: String| Failure::error(format!("node {number} {what}"));
        std::fs::create_dir(&directory).map_err(|error| failed(format!("has no directory: {error}")))?;
        let socket = directory.join("api");
        let mut child = self
            .command(&directory, &socket, &bootstrap)
            .and_then(|mut command| command.spawn())
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed("has no standard output".to_owned()))?;
        let mut lines = BufReader::new(stdout).lines();
        let Some(address) = until_ready(&mut lines).await else {
            let words = Some(last_words(&directory)).filter(|words| !words.is_empty());
            let words = words.as_deref().unwrap_or("it said nothing");
            return Err(failed(format!("ended while it started: {words}")));
        };
        let peer = address.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Process {
            number,
            peer,
            api: Api::at(&socket, ANSWER)?,
            address,
            child,
            _stdout: lines,
        })
    }

    fn command(&self, directory: &Path, socket: &Path, bootstrap: &[String]) -> std::io::Result<Command> {
        let log = File::create(directory.join("log"))?;
        let mut command = Command::new(&self.program);
        // The user's own settings are not for these nodes.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FATEBOUND_")) {
            command.env_remove(name);
        }
        // Many nodes share this machine, and one worker serves one node well: fewer wake-ups.
        command.env("TOKIO_WORKER_THREADS", "1");
        command.args([
            "node",
            "--profile",
            self.profile.name(),
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--stop-with-stdin",
        ]);
        command
            .args(["--network", &self.network])
            .arg("--data-dir")
            .arg(directory.join("state"));
        command.arg("--api").arg(format!("unix:{}", socket.display()));
        bootstrap.iter().for_each(|address| {
            command.args(["--bootstrap", address]);
        });
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

/// The node's address, once it is ready; `None` when it ended before.
async fn until_ready(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    let mut address = None;
    while let Ok(Some(line)) = lines.next_line().await {
        match line.strip_prefix("listening ") {
            Some(listening) => address = address.or_else(|| Some(listening.to_owned())),
            None if line == "ready" => return address,
            None => {}
        }
    }
    None
}

/// The last line of a node's log; empty if there is none.
fn last_words(directory: &Path) -> String {
    let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    let last = log.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or_default().to_owned()
}
