//! `fatebound group watch --json` of one node, read line by line.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running watch. Ends with its value.
pub struct Watch {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Watch {
    /// Starts watching every group of the node behind this API address; returns once the watch is known to be running.
    pub(crate) fn start(api: &str) -> Watch {
        let mut child = Command::new(crate::program())
            .args(["group", "watch", "--json", "--api", api])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the watch starts");
        let stdout = child.stdout.take().expect("piped");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is not JSON: {error}"));
                if send.send(event).is_err() {
                    break;
                }
            }
        });
        let mut watch = Watch {
            child,
            lines,
            seen: Vec::new(),
        };
        watch.wait(Duration::from_secs(30), |event| event["event"] == "watching");
        watch
    }

    /// Waits until an event fits; returns it, and the moment when it was read.
    ///
    /// # Panics
    /// When none came within the limit.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration, fits: impl Fn(&Value) -> bool) -> (Value, Instant) {
        if let Some(event) = self.seen.iter().find(|event| fits(event)) {
            return (event.clone(), Instant::now());
        }
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if fits(&event) {
                        return (event, Instant::now());
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("not within {limit:?}; seen: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("the watch ended; seen: {:#?}", self.seen),
            }
        }
    }

    /// Waits until this group has failed here.
    #[track_caller]
    pub fn failed(&mut self, limit: Duration, group: &str) -> (Value, Instant) {
        self.wait(limit, |event| event["event"] == "failed" && event["group"] == group)
    }

    /// How often this group has failed here, among everything that has arrived by now.
    pub fn failures(&mut self, group: &str) -> usize {
        self.seen.extend(self.lines.try_iter());
        let failed = |event: &&Value| event["event"] == "failed" && event["group"] == group;
        self.seen.iter().filter(failed).count()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
