//! Being asked to stop: SIGTERM and SIGINT. SIGHUP, which would end a node without a goodbye, is taken there and does nothing yet; a demo, which
//! has to clean up, is asked to stop by it as well.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// The signals, from when this is made on.
#[derive(Debug)]
pub struct Signals {
    hangup: Option<Signal>,
    /// Whether SIGHUP is such a signal too.
    hangup_stops: bool,
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    /// Takes the signals over; where the system refuses, they keep their own effect. Needs a tokio runtime.
    pub fn new() -> Signals {
        Signals {
            hangup: None,
            hangup_stops: false,
            interrupt: take(SignalKind::interrupt()),
            terminate: take(SignalKind::terminate()),
        }
    }

    /// As [`Signals::new`], and SIGHUP does not end the process.
    pub fn of_node() -> Signals {
        Signals {
            hangup: take(SignalKind::hangup()),
            ..Signals::new()
        }
    }

    /// As [`Signals::new`], and SIGHUP asks to stop as well.
    pub fn of_demo() -> Signals {
        Signals {
            hangup_stops: true,
            ..Signals::of_node()
        }
    }

    /// The next signal to stop, as the exit code that it stands for.
    pub async fn next(&mut self) -> Exit {
        loop {
            tokio::select! {
                () = next_of(&mut self.interrupt) => return Exit::Interrupted,
                () = next_of(&mut self.terminate) => return Exit::Terminated,
                () = next_of(&mut self.hangup) => match self.hangup_stops {
                    true => return Exit::HungUp,
                    false => tracing::info!("SIGHUP: nothing is reloaded yet"),
                },
            }
        }
    }
}

fn take(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::warn!(%error, "a signal cannot be handled"))
        .ok()
}

async fn next_of(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    // It cannot come (any more).
    std::future::pending::<()>().await;
}
