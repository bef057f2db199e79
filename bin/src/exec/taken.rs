//! Signals that `exec` takes: those for its command, which it passes on, and those about its children and its own stops.
//!
//! A signal that was ignored when `exec` began (`nohup`, a shell's job in the background) is not touched, and so the command ignores it as well.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;

/// Signals that wait for their reader at most; more of them say nothing new.
const WAITING: usize = 64;

/// The signals, from when this is made on.
#[derive(Debug)]
pub struct Taken(Receiver<Signal>);

impl Taken {
    /// Takes the signals over.
    pub fn new() -> Taken {
        let (sender, receiver) = channel(WAITING);
        let ignored = ignored();
        for kind in [
            Signal::HUP,
            Signal::INT,
            Signal::QUIT,
            Signal::TERM,
            Signal::USR1,
            Signal::USR2,
            Signal::TSTP,
            Signal::CONT,
            Signal::CHILD,
        ] {
            if ignored >> (kind.as_raw() - 1) & 1 == 1 && kind != Signal::CHILD {
                continue;
            }
            let Ok(mut signals) = signal(SignalKind::from_raw(kind.as_raw())) else {
                continue;
            };
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    let _ = sender.try_send(kind);
                }
            });
        }
        Taken(receiver)
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        match self.0.recv().await {
            Some(signal) => signal,
            // It cannot come (any more).
            None => std::future::pending().await,
        }
    }
}

/// The signals that this process ignores, a bit each: that of signal 1 is the lowest.
fn ignored() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored_in(&status))
}

fn ignored_in(status: &str) -> u64 {
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_system() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000440\n";
        assert_eq!(ignored_in(status), 0x1001);
        assert_eq!(ignored_in("Name:\tx\n"), 0);
        // This program ignores SIGPIPE from its first moment on.
        assert_eq!(ignored() >> (Signal::PIPE.as_raw() - 1) & 1, 1);
    }
}
