//! All that has come of a process, and how to end it.
//!
//! A process that is a *subreaper* inherits the children of those of its descendants that end. So nothing that comes of it gets away, whatever sessions and
//! process groups it makes, and the system's answer that it has no child left (`ECHILD`) says exactly that it has no descendant left.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, pidfd_send_signal, set_child_subreaper,
    wait,
};

/// Descendants that are looked at in one round at most; those beyond have their turn in the next one.
const ROUND: usize = 100_000;
/// A process that is killed takes a moment to go. So often it is looked for without a pause, because a process that forks all the time must be met
/// while it lives …
const AT_ONCE: u32 = 200;
/// … and then this often.
const PAUSE: Duration = Duration::from_micros(200);

/// Makes this process the one that inherits the children of its descendants.
pub fn inherit() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// The children of a process now; none of a process that has gone.
pub fn children(of: Pid) -> Vec<Pid> {
    let tasks = Path::new("/proc").join(of.to_string()).join("task");
    let Ok(entries) = fs::read_dir(&tasks) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for task in entries.flatten() {
        match fs::read_to_string(task.path().join("children")) {
            Ok(list) => found.extend(list.split_whitespace().filter_map(pid)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && task.path().join("stat").exists() => {
                // A kernel without CONFIG_PROC_CHILDREN.
                return children_by_search(of);
            }
            Err(_) => {}
        }
    }
    found
}

/// The same, by asking every process for its parent.
fn children_by_search(of: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let all = processes.flatten().filter_map(|entry| pid(entry.file_name().to_str()?));
    all.filter(|process| parent(*process) == Some(of)).collect()
}

/// The parent of a process.
pub fn parent(of: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
    // The name stands in parentheses, and may have any character in it: state and parent follow the last one.
    pid(stat.rsplit_once(')')?.1.split_whitespace().nth(1)?)
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

/// One descendant, and whose child it was when it was found.
#[derive(Clone, Copy, Debug)]
pub struct Descendant {
    /// Its id.
    pub pid: Pid,
    parent: Pid,
}

impl Descendant {
    /// Sends it a signal. The id of a child of ours cannot be another's before we have reaped it; that of anybody else is made sure of first.
    pub fn tell(self, signal: Signal) {
        if self.parent == getpid() {
            let _ = kill_process(self.pid, signal);
            return;
        }
        let Ok(handle) = pidfd_open(self.pid, PidfdFlags::empty()) else {
            return;
        };
        // Its parent may have ended since: then it is ours.
        if parent(self.pid).is_some_and(|now| now == self.parent || now == getpid()) {
            let _ = pidfd_send_signal(&handle, signal);
        }
    }
}

/// All descendants of this process now, but those that are `spared` and what came of them.
pub fn descendants(spared: &BTreeSet<i32>) -> Vec<Descendant> {
    let mut found: Vec<Descendant> = Vec::new();
    let mut seen = spared.clone();
    let mut look = |parent: Pid, found: &mut Vec<Descendant>| {
        for pid in children(parent) {
            if seen.insert(pid.as_raw_nonzero().get()) {
                found.push(Descendant { pid, parent });
            }
        }
    };
    look(getpid(), &mut found);
    let mut at = 0;
    while at < found.len() && found.len() < ROUND {
        look(found[at].pid, &mut found);
        at += 1;
    }
    found
}

/// Kills all descendants, and reaps them, until there is none.
///
/// # Errors
/// Those that are left after this long: the system does not let go of a process that waits for a device.
pub fn end_all(spared: &BTreeSet<i32>, limit: Duration) -> Result<(), Vec<i32>> {
    let until = Instant::now().checked_add(limit);
    let mut round = 0;
    let mut alone = 0;
    loop {
        let all = descendants(spared);
        for descendant in &all {
            descendant.tell(Signal::KILL);
        }
        match reap() {
            Left::Nobody => return Ok(()),
            // Who is spared is a child as well; then only the list can tell, which may miss a process that just changes its parent.
            Left::Somebody if !spared.is_empty() && all.is_empty() => alone += 1,
            Left::Somebody => alone = 0,
        }
        if alone > 10 {
            return Ok(());
        }
        if until.is_some_and(|until| Instant::now() > until) {
            return Err(all.iter().map(|left| left.pid.as_raw_nonzero().get()).collect());
        }
        round += 1;
        match round < AT_ONCE {
            true => std::thread::yield_now(),
            false => std::thread::sleep(PAUSE),
        }
    }
}

/// Whether a process has children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It has no child, and so no descendant.
    Nobody,
    /// It has some that live.
    Somebody,
}

/// Reaps all children that have ended.
pub fn reap() -> Left {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Left::Somebody,
            Err(_) => return Left::Nobody,
        }
    }
}
