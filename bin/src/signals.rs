//! Being asked to stop: SIGTERM and SIGINT. SIGHUP, which would end a node without a goodbye, is taken there and does nothing yet; a demo, which
//! has to clean up, is asked to stop by it as well.
//!
//! They are waited for on a thread of their own: however busy the program's other threads are, whoever asks it to stop is heard.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::exit::Exit;

/// Signals that wait for their reader at most; it stops with the first, or with the second.
const WAITING: usize = 8;

/// The signals, from when this is made on.
#[derive(Debug)]
pub struct Signals(Receiver<Exit>);

/// What SIGHUP does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hangup {
    /// Ends the process, as the system would have it.
    Default,
    /// Nothing yet.
    Nothing,
    /// Asks to stop.
    Stops,
}

impl Signals {
    /// Takes the signals over; where the system refuses, they keep their own effect.
    pub fn new() -> Signals {
        Signals::taken(Hangup::Default)
    }

    /// As [`Signals::new`], and SIGHUP does not end the process.
    pub fn of_node() -> Signals {
        Signals::taken(Hangup::Nothing)
    }

    fn taken(hangup: Hangup) -> Signals {
        let (sender, receiver) = channel(WAITING);
        if let Err(error) = wait(hangup, sender) {
            tracing::warn!(%error, "signals cannot be handled");
        }
        Signals(receiver)
    }

    /// As [`Signals::new`], and SIGHUP asks to stop as well.
    pub fn of_demo() -> Signals {
        Signals::taken(Hangup::Stops)
    }

    /// The next signal to stop, as the exit code that it stands for.
    pub async fn next(&mut self) -> Exit {
        match self.0.recv().await {
            Some(exit) => exit,
            // It cannot come (any more).
            None => std::future::pending().await,
        }
    }
}

/// Takes the signals over, and begins to wait for them.
fn wait(on_hangup: Hangup, sender: Sender<Exit>) -> io::Result<()> {
    let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let interrupt = take(SignalKind::interrupt());
    let terminate = take(SignalKind::terminate());
    let hangup = match on_hangup {
        Hangup::Default => None,
        Hangup::Nothing | Hangup::Stops => take(SignalKind::hangup()),
    };
    drop(inside);
    let run = move || runtime.block_on(hand_over(interrupt, terminate, (hangup, on_hangup), sender));
    std::thread::Builder::new().name("signals".to_owned()).spawn(run)?;
    Ok(())
}

async fn hand_over(
    mut interrupt: Option<Signal>,
    mut terminate: Option<Signal>,
    (mut hangup, on_hangup): (Option<Signal>, Hangup),
    sender: Sender<Exit>,
) {
    loop {
        let exit = tokio::select! {
            () = next_of(&mut interrupt) => Exit::Interrupted,
            () = next_of(&mut terminate) => Exit::Terminated,
            () = next_of(&mut hangup) => match on_hangup {
                Hangup::Stops => Exit::HungUp,
                Hangup::Default | Hangup::Nothing => {
                    tracing::info!("SIGHUP: nothing is reloaded yet");
                    continue;
                }
            },
            () = sender.closed() => return,
        };
        // More than fit say nothing new.
        let _ = sender.try_send(exit);
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
