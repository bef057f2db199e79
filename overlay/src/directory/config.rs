//! Parameters of the directory, and where they come from.

use std::time::Duration;

/// Everything that can be set about the directory. Counts are per peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Peers that keep a record: 5, as many as a leaf set of four on either side lets see each other. With smaller leaf sets fewer.
    pub keepers: usize,
    /// How often a publisher publishes again: ten minutes, for what is idle has to be cheap. A record lasts three times as long.
    pub refresh: Duration,
    /// How long a tombstone is kept: an hour.
    pub tombstone: Duration,
    /// How long a claim lasts: ten `ping_timeout`s, twice what a creation may take.
    pub claim: Duration,
    /// Records kept of others: 16,384.
    pub max_records: usize,
    /// Their bytes in all: 16 MiB.
    pub max_bytes: usize,
    /// Of these, records of one publisher: 4,096, as many as there may be process groups that it leads.
    pub max_per_publisher: usize,
    /// Claims granted at a time: 4,096.
    pub max_claims: usize,
    /// Of these, to one peer: 1,024, so that one that founds many groups at once need not wait for long.
    pub max_claims_per_peer: usize,
    /// Names that this peer publishes itself: 4,096, as many as a keeper takes.
    pub max_published: usize,
    /// Searches and claims of this peer under way: 1,024.
    pub max_searches: usize,
}

/// Refreshes after which a record that was not refreshed expires (protocol.md §3.1, D5).
const REFRESHES: u32 = 3;

impl Config {
    /// The defaults, for an overlay with this `ping_timeout`.
    pub fn for_timeout(ping_timeout: Duration) -> Config {
        Config {
            keepers: 5,
            refresh: Duration::from_secs(600),
            tombstone: Duration::from_secs(3600),
            claim: ping_timeout * 10,
            max_records: 16_384,
            max_bytes: 16 * 1024 * 1024,
            max_per_publisher: 4096,
            max_claims: 4096,
            max_claims_per_peer: 1024,
            max_published: 4096,
            max_searches: 1024,
        }
    }

    /// How long a record lasts that nobody refreshes.
    pub fn lifetime(&self) -> Duration {
        self.refresh.saturating_mul(REFRESHES)
    }

    /// The times among these.
    pub(crate) fn times(&self) -> [Duration; 3] {
        [self.refresh, self.tombstone, self.claim]
    }

    /// Whether there is room for anything at all.
    pub(crate) fn has_room(&self) -> bool {
        let counts = [
            self.keepers,
            self.max_records,
            self.max_per_publisher,
            self.max_claims,
            self.max_claims_per_peer,
            self.max_published,
            self.max_searches,
        ];
        counts.iter().all(|count| *count >= 1) && self.max_bytes >= super::record::MAX_WEIGHT
    }
}
