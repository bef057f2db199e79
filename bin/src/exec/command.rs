//! The command as `exec` sees it: through its guardian.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Pair;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, getpid, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::cgroup;
use super::control::{Order, Plan, Report, hand_over};
use super::descendants::{children, end_all, inherit};
use super::guardian::{LIMIT, NAME};
use crate::cli::Containment;
use crate::exit::Failure;

/// Numbers the control groups of this process.
static GROUPS: AtomicU32 = AtomicU32::new(0);

/// What is to be run.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The command and its arguments.
    pub command: &'a [OsString],
    /// What it finds in its environment beyond that of this process.
    pub environment: &'a [(&'static str, OsString)],
    /// Its standard input.
    pub stdin: &'a OwnedFd,
    /// Whether it gets the keyboard of this process's terminal.
    pub foreground: bool,
    /// What keeps it together.
    pub containment: Containment,
    /// A file that goes with it.
    pub remove: Option<PathBuf>,
}

/// A command with its guardian.
#[derive(Debug)]
pub struct Running {
    reports: Lines<BufReader<OwnedReadHalf>>,
    orders: OwnedWriteHalf,
    containment: Containment,
    cgroup: Option<PathBuf>,
    leader: Option<Pid>,
    /// Children of this process that had nothing to do with it before there was any command.
    spared: BTreeSet<i32>,
}

/// Children that this process has inherited from the program that it was before: a shell's `exec` keeps them.
pub fn children_before() -> BTreeSet<i32> {
    children(getpid())
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect()
}

impl Running {
    /// Starts the guardian, which runs the command.
    pub async fn begin(wanted: Wanted<'_>, spared: &BTreeSet<i32>) -> Result<Running, Failure> {
        let failed = |error: std::io::Error| Failure::error(format!("no guardian for the command: {error}"));
        let (containment, cgroup) = contain(wanted.containment)?;
        if containment != Containment::Group {
            inherit().map_err(failed)?;
        }
        let (ours, theirs) = Pair::pair().map_err(failed)?;
        hand_over(&ours, wanted.stdin.as_fd()).map_err(failed)?;
        spawn(containment, wanted.environment, theirs).map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let (reports, orders) = UnixStream::from_std(ours).map_err(failed)?.into_split();
        let mut running = Running {
            reports: BufReader::new(reports).lines(),
            orders,
            containment,
            cgroup: cgroup.clone(),
            leader: None,
            spared: spared.clone(),
        };
        let plan = Plan {
            command: wanted.command.to_vec(),
            foreground: wanted.foreground,
            containment,
            cgroup,
            remove: wanted.remove,
        };
        running.order(&Order::Run(plan)).await;
        Ok(running)
    }

    /// What in fact keeps the command together.
    pub fn containment(&self) -> &'static str {
        self.containment.name()
    }

    /// The command's process group; none in a namespace, where it has another number.
    pub fn leader(&self) -> Option<Pid> {
        self.leader.filter(|_| self.containment != Containment::Namespace)
    }

    /// The next word of the guardian; `None` when it has gone.
    pub async fn next(&mut self) -> Option<Report> {
        let line = self.reports.next_line().await.ok().flatten()?;
        let report = serde_json::from_str(&line).ok()?;
        if let Report::Started { pid } = report {
            self.leader = Pid::from_raw(pid);
        }
        Some(report)
    }

    /// Says this to the guardian; that it has gone is found out by reading.
    pub async fn order(&mut self, order: &Order) {
        if let Ok(mut line) = serde_json::to_vec(order) {
            line.push(b'\n');
            let _ = self.orders.write_all(&line).await;
        }
    }

    /// The guardian has gone: ends what it has left behind, all of which is this process's now. Returns what could not be ended.
    pub async fn end_orphans(self) -> Vec<i32> {
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(group) = &self.cgroup {
                cgroup::kill(group);
            }
            let ended = match (self.containment, self.leader) {
                (Containment::Group, Some(leader)) => {
                    let _ = kill_process_group(leader, Signal::KILL);
                    Ok(())
                }
                (Containment::Group, None) => Ok(()),
                _ => end_all(&self.spared, LIMIT),
            };
            if let Some(group) = &self.cgroup {
                cgroup::remove(group);
            }
            ended.err().unwrap_or_default()
        });
        ended.await.unwrap_or_default()
    }
}

/// What can be had of what is wanted.
fn contain(wanted: Containment) -> Result<(Containment, Option<PathBuf>), Failure> {
    let make = || cgroup::make(GROUPS.fetch_add(1, Ordering::Relaxed));
    match wanted {
        Containment::Auto => Ok(match make() {
            Ok(group) => (Containment::Cgroup, Some(group)),
            Err(_) => (Containment::Tree, None),
        }),
        Containment::Cgroup => match make() {
            Ok(group) => Ok((Containment::Cgroup, Some(group))),
            Err(error) => Err(Failure::error(format!("no control group can be made here: {error}"))),
        },
        other => Ok((other, None)),
    }
}

/// The child is reaped with all others of this process: as the first process of a container it has more of them than it has started.
fn spawn(containment: Containment, environment: &[(&'static str, OsString)], control: Pair) -> std::io::Result<()> {
    let mut guardian = Command::new(Path::new("/proc/self/exe"));
    match containment {
        Containment::Namespace => {
            guardian
                .arg0("fate-launcher")
                .args(["exec-launcher", "--parent", &getpid().to_string()])
        }
        _ => guardian.arg0(NAME).arg("exec-guardian"),
    };
    guardian
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(control)))
        .process_group(0)
        .spawn()
        .map(drop)
}
