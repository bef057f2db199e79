//! What this machine can bear: looked at before anything is started, so that a demo is refused and not stuck halfway.

use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::Failure;

/// Bytes of memory that a node takes, code that all share not counted: 10 MiB while little happens, and some for the links of a large demo.
const MEMORY: u64 = 16 << 20;
/// Files that the demo holds open per node: two pipes, its events, and calls to its API.
const FILES_PER_NODE: u64 = 6;
/// Files that the demo needs besides, and that a node needs for its own links.
const FILES: u64 = 512;
/// Nodes that a core serves with the timings of one machine; more of them use those of a data centre, which ask each other less often.
const BRISK_PER_CORE: u64 = 32;
/// Nodes that a core bears with any timings; more may be so slow that they take each other for dead.
const MOST_PER_CORE: u64 = 100;

/// What there is.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    cores: u64,
    /// Bytes that can be used without swapping, where the system says.
    memory: Option<u64>,
    /// Files that this process may hold open.
    files: Option<u64>,
}

impl Machine {
    /// This machine. The limit on open files is raised as far as this process may.
    pub fn look() -> Machine {
        Machine {
            cores: thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            memory: available_memory(),
            files: open_files(),
        }
    }

    /// Refuses what cannot work; says what may not.
    ///
    /// # Errors
    /// The one line that says which limit is in the way, and what would be within it.
    pub fn bears(&self, nodes: u64) -> Result<Option<String>, Failure> {
        if let Some(memory) = self.memory.filter(|memory| nodes * MEMORY > *memory) {
            return Err(Failure::error(format!(
                "{nodes} nodes take about {} MiB of memory, and this machine has {} MiB left: it bears --nodes {}",
                (nodes * MEMORY) >> 20,
                memory >> 20,
                memory / MEMORY
            )));
        }
        if let Some(files) = self.files.filter(|files| nodes * FILES_PER_NODE + FILES > *files) {
            return Err(Failure::error(format!(
                "{nodes} nodes need {} open files, and the limit is {files}: raise it with ulimit -n, or use --nodes {}",
                nodes * FILES_PER_NODE + FILES,
                files.saturating_sub(FILES) / FILES_PER_NODE
            )));
        }
        let most = MOST_PER_CORE * self.cores;
        Ok((nodes > most).then(|| {
            format!("{nodes} nodes are many for the cores of this machine ({}): beyond {most} they may take each other for dead", self.cores)
        }))
    }

    /// Whether so many nodes can have the timings of one machine.
    pub fn brisk(&self, nodes: u64) -> bool {
        nodes <= BRISK_PER_CORE * self.cores
    }

    /// Nodes that are started at a time.
    pub fn at_a_time(&self) -> usize {
        4 * self.cores as usize
    }
}

fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The limit on open files, raised to what is allowed at most; the nodes get it too. `None`: there is no limit.
fn open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Machine = Machine {
        cores: 8,
        memory: Some(16 << 30),
        files: Some(20_000),
    };

    #[test]
    fn what_fits_is_borne() {
        assert!(LARGE.bears(512).unwrap().is_none());
        let unknown = Machine {
            memory: None,
            files: None,
            ..LARGE
        };
        assert!(unknown.bears(512).unwrap().is_none());
    }

    #[test]
    fn the_limit_in_the_way_is_named_and_what_is_within_it() {
        let refused = |machine: Machine, nodes| machine.bears(nodes).unwrap_err().message;
        let poor = Machine {
            memory: Some(1 << 30),
            ..LARGE
        };
        assert!(poor.bears(64).is_ok());
        let words = refused(poor, 65);
        assert!(words.contains("memory") && words.contains("--nodes 64"), "{words}");
        let narrow = Machine {
            files: Some(1024),
            ..LARGE
        };
        let words = refused(narrow, 512);
        assert!(words.contains("ulimit -n") && words.contains("--nodes 85"), "{words}");
    }

    #[test]
    fn too_many_for_the_cores_is_a_warning() {
        let slow = Machine { cores: 2, ..LARGE };
        assert!(slow.bears(200).unwrap().is_none());
        assert!(slow.bears(201).unwrap().is_some_and(|words| words.contains("200")));
        assert!(slow.brisk(64) && !slow.brisk(65));
    }
}
