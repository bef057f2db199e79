//! A process-id namespace around guardian and command: the guardian is its first process, and when that goes, however it does, the system ends all others.
//!
//! A namespace is for the children of whoever makes it, so a launcher stands between `exec` and the guardian. It goes with `exec`, and the guardian with it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getegid, geteuid, getppid, set_parent_process_death_signal, waitid,
};

use super::control::{Control, Report};
use super::guardian::{NAME, rename};
use super::streams;
use crate::exit::{Exit, Failure, Outcome};

/// What the launcher is called in lists of processes.
const LAUNCHER: &str = "fate-launcher";

/// `fatebound exec-launcher`
pub fn launcher(parent: i32) -> Outcome {
    rename(LAUNCHER);
    let run = || -> io::Result<Pid> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid().map_or(0, |now| now.as_raw_nonzero().get()) != parent {
            return Err(io::Error::other("exec has gone"));
        }
        enter()?;
        let guardian = Command::new(Path::new("/proc/self/exe"))
            .arg0(NAME)
            .arg("exec-guardian")
            .spawn()?;
        Ok(Pid::from_child(&guardian))
    };
    let guardian = run().map_err(|error| {
        report(format!("no process-id namespace can be made here: {error}"));
        Failure::new(Exit::Error, "")
    })?;
    streams::let_go();
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(guardian), WaitIdOptions::EXITED) {}
    Ok(Exit::Done)
}

/// Says to `exec` what the guardian cannot: that there is none.
fn report(message: String) {
    if let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() {
        Control::new(UnixStream::from(socket)).report(&Report::NotStarted(message));
    }
}

/// The next child of this process is the first one of a new namespace. Whoever is not root needs a user namespace for it, in which the user is the same.
fn enter() -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    let pids = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    if user.is_root() {
        return Ok(unshare(pids)?);
    }
    unshare(pids | CloneFlags::CLONE_NEWUSER)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{user} {user} 1", user = user.as_raw()))?;
    std::fs::write(
        "/proc/self/gid_map",
        format!("{group} {group} 1", group = group.as_raw()),
    )
}

/// At the guardian: `/proc` shows the processes of its namespace, to it and to the command.
pub fn mount_proc() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("proc", "/proc", "proc", flags, None)?)
}
