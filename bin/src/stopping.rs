//! Stopping long work by hand: Ctrl-C once shows what has come of it so far, twice ends it.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::exit::{Exit, complain};
use crate::signals::Signals;

/// Whether somebody has asked the work to stop. Clones are the same question.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// Listens to the signals to stop from now on. The first is an order; if the work does not end by it, the next one ends the process.
    /// Needs a tokio runtime.
    pub fn by_signals() -> Stop {
        let stop = Stop::default();
        let asked = stop.clone();
        let mut signals = Signals::new();
        tokio::spawn(async move {
            loop {
                let exit = signals.next().await;
                if asked.0.swap(exit as u8, Ordering::Relaxed) != 0 {
                    process::exit(exit as i32);
                }
                complain("stopping: what has come of it so far follows; once more, and it is lost");
            }
        });
        stop
    }

    /// Whether the work is to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// How work ends that was stopped before its end.
    pub fn exit(&self) -> Option<Exit> {
        [Exit::Interrupted, Exit::Terminated]
            .into_iter()
            .find(|exit| *exit as u8 == self.0.load(Ordering::Relaxed))
    }

    /// Other work begins: an order to stop was for the work before it.
    pub fn renew(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_until_other_work_begins() {
        let stop = Stop::default();
        assert_eq!((stop.asked(), stop.exit()), (false, None));
        stop.clone().0.store(Exit::Terminated as u8, Ordering::Relaxed);
        assert_eq!((stop.asked(), stop.exit()), (true, Some(Exit::Terminated)));
        stop.renew();
        assert!(!stop.asked());
    }
}
