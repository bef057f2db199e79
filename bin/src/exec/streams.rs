//! Standard input and output are the command's alone: whoever reads what it writes, or writes what it reads, sees its end and not that of the processes
//! around it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::stdio::{dup2_stdin, dup2_stdout};

/// Nothing to read, and nobody who reads.
pub fn nothing() -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// Lets go of this process's standard input and output.
pub fn let_go() {
    if let Ok(nothing) = nothing() {
        let _ = dup2_stdin(&nothing);
        let _ = dup2_stdout(&nothing);
    }
}
