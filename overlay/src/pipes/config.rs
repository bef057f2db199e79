//! Parameters of pipes, and where they come from.

use std::time::Duration;

use super::message::{MAX_BODY, MAX_PART, OVERHEAD};

/// Everything that can be set about pipes. Counts are per peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A pipe without a frame for so long is closed: 60 s.
    pub idle: Duration,
    /// Ports in use at a time: 8.
    pub max_ports: usize,
    /// Peers that there may be a pipe with, or unread bodies of: 128. With ports and windows it bounds what arrives: 128 MiB.
    pub max_peers: usize,
    /// Bytes from one peer for one port that are not read yet: 128 KiB, two bodies. A tenth of a second at 10 Mbit/s.
    pub window: usize,
    /// Bytes for one peer from one port that wait or are not known to have arrived: 128 KiB, two bodies.
    pub queue: usize,
    /// The same for all peers and ports: 32 MiB.
    pub max_queued: usize,
    /// Streams of others that have not said their first word: 64.
    pub max_coming: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            idle: Duration::from_secs(60),
            max_ports: 8,
            max_peers: 128,
            window: 128 * 1024,
            queue: 128 * 1024,
            max_queued: 32 * 1024 * 1024,
            max_coming: 64,
        }
    }
}

impl Config {
    /// Whether bodies of any size get through, and windows can be written down.
    pub(crate) fn has_room(&self) -> bool {
        let body = MAX_BODY + OVERHEAD;
        let counts = [self.max_ports, self.max_peers, self.max_coming];
        counts.iter().all(|count| *count >= 1)
            && self.max_ports <= 256
            && self.window >= body.max(8 * MAX_PART)
            && self.window <= 64 * 1024 * 1024
            && self.queue >= 2 * body
            && self.max_queued >= self.queue
    }
}
