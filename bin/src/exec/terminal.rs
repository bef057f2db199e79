//! The terminal's keyboard, which one process group at a time has: the one in the foreground.

use std::fs::File;
use std::os::unix::fs::FileTypeExt;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::io::Errno;
use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid, test_kill_process_group};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use super::descendants::parent;

/// The terminal of this process, if it has one: also when its standard streams are something else.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// The terminal that controls this process.
    pub fn of_this_process() -> Option<Terminal> {
        File::options()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .ok()
            .map(Terminal)
    }

    /// Whether the process group of this process has the keyboard.
    pub fn is_ours(&self) -> bool {
        self.belongs_to(getpgrp())
    }

    /// Whether this process group has the keyboard.
    pub fn belongs_to(&self, group: Pid) -> bool {
        tcgetpgrp(&self.0).is_ok_and(|other| other == group)
    }

    /// Whether the process group that has the keyboard has gone.
    pub fn is_nobodys(&self) -> bool {
        tcgetpgrp(&self.0).is_ok_and(|group| test_kill_process_group(group) == Err(Errno::SRCH))
    }

    /// Gives the keyboard to a process group of this session.
    pub fn give(&self, group: Pid) {
        // Whoever is not in the foreground itself is stopped for this, unless it does not hear of it.
        let mut stop = SigSet::empty();
        stop.add(NixSignal::SIGTTOU);
        let before = SigSet::thread_get_mask();
        let _ = stop.thread_block();
        let _ = tcsetpgrp(&self.0, group);
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
    }
}

/// Gives the keyboard of this process's terminal, if there is one, to a process group of this session.
pub fn give_to(group: Pid) {
    if let Some(terminal) = Terminal::of_this_process() {
        terminal.give(group);
    }
}

/// Whether standard output goes to another process of a pipeline: then it is that one, a pager say, that people talk to.
pub fn in_pipeline() -> bool {
    let kind = std::fs::metadata("/dev/stdout").map(|stdout| stdout.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
}

/// Whether somebody continues this process once it is stopped: a shell that watches the process group from outside of it, in the same session. Where nobody
/// does, the system itself does not let the keyboard stop anything.
pub fn has_job_control() -> bool {
    let (group, Ok(session)) = (getpgrp(), getsid(None)) else {
        return false;
    };
    let mut ancestor = getppid();
    while let Some(process) = ancestor {
        match getpgid(Some(process)) {
            Ok(other) if other == group => ancestor = parent(process),
            Ok(_) => return getsid(Some(process)).is_ok_and(|other| other == session),
            Err(_) => return false,
        }
    }
    false
}
