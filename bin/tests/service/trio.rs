//! Three nodes of one overlay, and providers of a service over them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::home::{Home, Running};

/// Nothing here takes longer: before a name can be founded, an overlay has to be older than twice its `maintenance_interval`, 4 s each.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Waits until this says something.
#[track_caller]
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub struct Trio {
    pub homes: [Home; 3],
    pub nodes: Vec<Running>,
    /// Where commands and hooks write what they do.
    pub dir: tempfile::TempDir,
}

impl Trio {
    pub fn start() -> Trio {
        let homes = [Home::new(), Home::new(), Home::new()];
        let mut first = homes[0].node("");
        first.ready();
        let mut nodes = vec![first];
        for home in &homes[1..] {
            let mut node = home.node(&format!("--bootstrap {}", nodes[0].address()));
            node.ready();
            nodes.push(node);
        }
        let dir = tempfile::tempdir().unwrap();
        Trio { homes, nodes, dir }
    }

    /// Kills a node, by SIGKILL.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].child.kill().unwrap();
        self.nodes[node].child.wait().unwrap();
    }

    /// A provider whose command writes to the log that it begins, and that it was asked to end.
    pub fn provider(&self, node: usize, name: &str, more: &str) -> Provider {
        let log = self.log();
        let script = format!(
            "#!/bin/sh\necho \"begin {name} $FATEBOUND_EPOCH $$\" >> {log}\ntrap 'echo \"end {name}\" >> {log}; exit 0' TERM\nsleep 1000 &\nwait\n",
            log = log.display()
        );
        let script = self.script(name, &script);
        let line = format!("service run web --instance {name} {more} -- {}", script.display());
        Provider(self.homes[node].command(&line).stderr(Stdio::null()).spawn().unwrap())
    }

    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub fn lines(&self) -> Vec<String> {
        lines(&self.log())
    }

    /// The first line from this one on that begins like this.
    #[track_caller]
    pub fn line(&self, from: usize, begins: &str) -> (usize, String) {
        wait(begins, || {
            let lines = self.lines().into_iter().enumerate().skip(from);
            lines.into_iter().find(|(_, line)| line.starts_with(begins))
        })
    }

    /// `service show --json` at this node.
    pub fn show(&self, node: usize) -> Option<Value> {
        let Output { stdout, .. } = self.homes[node].run("service show web --json");
        serde_json::from_slice(&stdout).ok()
    }

    /// Waits until this node knows that this one is the primary, with so many secondaries and spares.
    #[track_caller]
    pub fn settled(&self, node: usize, primary: &str, secondaries: usize, spares: usize) -> Value {
        wait(&format!("{primary} is the primary"), || {
            let count = |service: &Value, what: &str| service[what].as_array().map_or(0, Vec::len);
            self.show(node).filter(|service| {
                service["primary"]["instance"] == primary
                    && count(service, "secondaries") == secondaries
                    && count(service, "spares") == spares
            })
        })
    }
}

pub fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What stands in a line of the log after the name: the epoch, and the process.
pub fn begun(line: &str) -> (u64, u32) {
    let mut words = line.split(' ').skip(2);
    let epoch = words.next().unwrap().parse().unwrap();
    (epoch, words.next().unwrap().parse().unwrap())
}

pub fn lives(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A zombie does nothing any more.
    !stat.is_empty() && !stat.contains(") Z")
}

/// A running `fatebound service run`; killed when dropped, its command with it.
pub struct Provider(pub Child);

impl Provider {
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits until it has ended by itself; its exit code.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        wait("it ends", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
