//! How much memory a process has in use, as its kernel counts.

/// Which number.
#[derive(Clone, Copy, Debug)]
pub enum Resident {
    /// What it is at this moment.
    Now,
    /// The most that it ever was.
    AtMost,
}

/// The resident set of a running process, in KiB.
///
/// # Panics
/// When no such process runs.
pub fn resident_kib(pid: u32, which: Resident) -> u64 {
    let field = match which {
        Resident::Now => "VmRSS:",
        Resident::AtMost => "VmHWM:",
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse().ok()).expect("a number")
}
