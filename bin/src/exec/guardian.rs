//! The guardian: the command's parent, a process of its own with one thread.
//!
//! It inherits whatever comes of the command, and ends all of it when `exec` says so or has gone. `exec` in turn inherits from the guardian, and does the same when
//! that has gone. So it takes both of them to be killed at once for anything to be left.
//!
//! All signals are blocked here: whoever ends a group of processes that it happens to be in does not end it, and the terminal does not stop it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, getpid, kill_process_group, waitid};

use super::cgroup;
use super::control::{Control, End, Order, Plan, Report, take_over};
use super::descendants::{Left, children, descendants, end_all, inherit, reap};
use super::{streams, terminal};
use crate::cli::Containment;
use crate::exit::{Exit, Failure, Outcome};

/// What the guardian is called in lists of processes: whoever ends all that is called `fatebound` does not end it at the same moment.
pub const NAME: &str = "fate-guardian";

/// So long after SIGKILL a process may take to go.
pub const LIMIT: Duration = Duration::from_secs(10);

/// `fatebound exec-guardian`
pub fn guardian() -> Outcome {
    let failed = |error: std::io::Error| {
        Failure::usage(format!(
            "the guardian is a part of `fatebound exec`, and no command of its own ({error})"
        ))
    };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    let socket = UnixStream::from(socket);
    let stdin = take_over(&socket).map_err(failed)?;
    rename(NAME);
    let mut control = Control::new(socket);
    let order = control.wait().map_err(failed)?;
    let Order::Run(plan) = order else {
        return Err(Failure::usage("the first order was not to run anything"));
    };
    let remove = plan.remove.clone();
    match Guardian::begin(plan, stdin, control) {
        Ok(mut guardian) => guardian.stay(),
        Err((mut control, message)) => control.report(&Report::NotStarted(message)),
    }
    if let Some(file) = remove {
        let _ = std::fs::remove_file(file);
    }
    Ok(Exit::Done)
}

/// The name of this process in lists of processes.
pub fn rename(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}

struct Guardian {
    control: Control,
    signals: SignalFd,
    /// The command, until it is reaped: so long nobody else can have its process group's number.
    leader: Option<Pid>,
    /// It was told how the command has ended.
    ended: bool,
    containment: Containment,
    cgroup: Option<std::path::PathBuf>,
}

impl Guardian {
    fn begin(plan: Plan, stdin: OwnedFd, control: Control) -> Result<Guardian, (Control, String)> {
        let prepared = prepare(&plan).and_then(|signals| Ok((signals, spawn(&plan, stdin)?)));
        let (signals, leader) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err((control, error.to_string())),
        };
        let mut guardian = Guardian {
            control,
            signals,
            leader: Some(leader),
            ended: false,
            containment: plan.containment,
            cgroup: plan.cgroup,
        };
        guardian.control.report(&Report::Started {
            pid: leader.as_raw_nonzero().get(),
        });
        Ok(guardian)
    }

    /// Until nothing is left of the command, or the guardian cannot get rid of it.
    fn stay(&mut self) {
        loop {
            if self.look() {
                return;
            }
            let (signals, control) = (self.signals.as_fd(), self.control.socket().as_fd());
            let mut both = [
                PollFd::from_borrowed_fd(signals, PollFlags::IN),
                PollFd::from_borrowed_fd(control, PollFlags::IN),
            ];
            if poll(&mut both, None).is_err() {
                continue;
            }
            let asked = !both[1].revents().is_empty();
            while let Ok(Some(_)) = self.signals.read_signal() {}
            if asked && self.obey() {
                return;
            }
        }
    }

    /// Does what `exec` says. Returns whether everything has ended.
    fn obey(&mut self) -> bool {
        if self.control.read().is_err() {
            // Nobody is there any more who could say anything.
            self.kill();
            return true;
        }
        loop {
            match self.control.next() {
                Ok(None) => return false,
                Ok(Some(Order::Run(_))) => {}
                Ok(Some(Order::Signal(number))) => self.tell_group(number),
                Ok(Some(Order::Terminate)) => self.terminate(),
                Ok(Some(Order::Continue { foreground })) => self.go_on(foreground),
                Ok(Some(Order::Kill)) | Err(_) => {
                    self.kill();
                    return true;
                }
            }
        }
    }

    fn tell_group(&self, number: i32) {
        if let (Some(leader), Some(signal)) = (self.leader, Signal::from_named_raw(number)) {
            let _ = kill_process_group(leader, signal);
        }
    }

    fn terminate(&self) {
        let mut both = vec![Signal::TERM];
        // Whoever is stopped cannot end.
        both.push(Signal::CONT);
        for signal in both {
            if let Some(leader) = self.leader {
                let _ = kill_process_group(leader, signal);
            }
            if self.containment == Containment::Group {
                continue;
            }
            for descendant in descendants(&BTreeSet::new()) {
                if self.leader.is_none() || getpgid(Some(descendant.pid)).ok() != self.leader {
                    descendant.tell(signal);
                }
            }
        }
    }

    fn go_on(&self, foreground: bool) {
        let Some(leader) = self.leader else { return };
        if foreground {
            terminal::give_to(leader);
        }
        let _ = kill_process_group(leader, Signal::CONT);
    }

    /// Looks who has stopped and who has ended. Returns whether nothing is left.
    fn look(&mut self) -> bool {
        for child in children(getpid()) {
            if Some(child) != self.leader {
                let _ = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            }
        }
        if let Some(leader) = self.leader
            && !self.ended
        {
            self.look_at(leader);
        }
        self.ended && self.clear()
    }

    fn look_at(&mut self, leader: Pid) {
        let leader = WaitId::Pid(leader);
        let stopped = waitid(leader.clone(), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
        if let Some(signal) = stopped.ok().flatten().and_then(|status| status.stopping_signal()) {
            self.control.report(&Report::Stopped(signal));
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Ok(Some(status)) = waitid(leader, options) else {
            return;
        };
        let end = match status.terminating_signal() {
            Some(signal) => End::Signal(signal),
            None => End::Code(status.exit_status().unwrap_or(Exit::Error as i32)),
        };
        self.ended = true;
        self.control.report(&Report::Ended(end));
    }

    /// After the command's end: whether nothing has come of it that is left.
    fn clear(&mut self) -> bool {
        if self.containment == Containment::Group {
            // Whoever is left in the group could be seen only by asking every process.
            self.kill();
            return true;
        }
        if children(getpid()).into_iter().any(|child| Some(child) != self.leader) {
            return false;
        }
        // Its number is not used any more after this.
        self.leader = None;
        if reap() == Left::Somebody {
            return false;
        }
        self.report_clear();
        true
    }

    fn report_clear(&mut self) {
        if let Some(group) = &self.cgroup {
            cgroup::remove(group);
        }
        self.control.report(&Report::Clear);
    }

    /// Ends everything, and says what is left.
    fn kill(&mut self) {
        if let Some(group) = &self.cgroup {
            cgroup::kill(group);
        }
        if let Some(leader) = self.leader {
            let _ = kill_process_group(leader, Signal::KILL);
            self.wait_for_the_end_of(leader);
        }
        let ended = match self.containment {
            Containment::Group => self.wait_for_leader(),
            _ => end_all(&BTreeSet::new(), LIMIT),
        };
        match ended {
            Ok(()) => self.report_clear(),
            Err(left) => self.control.report(&Report::Left(left)),
        }
    }

    /// `exec` is to hear how the command has ended before it is reaped with all others.
    fn wait_for_the_end_of(&mut self, leader: Pid) {
        let until = Instant::now() + LIMIT;
        while !self.ended && Instant::now() < until {
            self.look_at(leader);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Without inheritance only the command itself can be waited for.
    fn wait_for_leader(&self) -> Result<(), Vec<i32>> {
        let Some(leader) = self.leader else { return Ok(()) };
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            match waitid(WaitId::Pid(leader), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                _ => return Ok(()),
            }
        }
        Err(vec![leader.as_raw_nonzero().get()])
    }
}

/// Makes this process a guardian.
fn prepare(plan: &Plan) -> std::io::Result<SignalFd> {
    if getpid() == Pid::INIT && plan.containment == Containment::Namespace {
        super::namespace::mount_proc()?;
    }
    SigSet::all().thread_block()?;
    let mut ends = SigSet::empty();
    ends.add(NixSignal::SIGCHLD);
    let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    if plan.containment != Containment::Group {
        inherit()?;
    }
    Ok(signals)
}

/// Runs the command, by way of a stub that sets up what only the process itself can.
fn spawn(plan: &Plan, stdin: OwnedFd) -> std::io::Result<Pid> {
    let mut stub = Command::new(Path::new("/proc/self/exe"));
    stub.args(["exec-stub", "--parent", &getpid().to_string()]);
    if plan.foreground {
        stub.arg("--foreground");
    }
    if let Some(group) = &plan.cgroup {
        stub.arg("--cgroup").arg(group);
    }
    stub.arg("--").args(&plan.command);
    let child = stub.stdin(Stdio::from(stdin)).process_group(0).spawn()?;
    streams::let_go();
    Ok(Pid::from_child(&child))
}
