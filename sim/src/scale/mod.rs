//! How things grow: one large world, from one peer to as many as wanted, and what each of them pays for it.
//!
//! A run has five stretches. *Joining*: newcomers come in waves, each through peers chosen at random, more and more at a time. *Creating*: groups
//! of random members are created at a steady rate. *Calm*: nothing happens, and what peers send is what they always send. *Churn*: lives end
//! at random, by a crash or by a host that vanishes, and others begin; some groups are signalled. *Echo*: nothing happens any more, until
//! everybody who has to be told has been told.
//!
//! A run may be stopped at any time: then what was seen so far is what comes of it, and nothing is said about notifications under way.
//!
//! Everybody's handlers are watched throughout (`ledger.rs`): a group fails at all of its living members or at none, once at each, and never
//! without a cause.

mod churn;
mod figures;
mod ledger;
mod slowest;
mod stage;

use std::time::Duration;

use fatebound_machine::Profile;

pub use figures::{Distribution, Report};
pub use ledger::{Cause, Latencies, Violation};
pub use slowest::Slow;
pub use stage::run;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many peers.
    pub peers: usize,
    /// How many groups.
    pub groups: usize,
    /// How long lives end and begin.
    pub churn: Duration,
    /// Timings and delays.
    pub profile: Profile,
    /// Fixes everything.
    pub seed: u64,
    /// Mean time that a process lives.
    pub lifetime: Duration,
    /// The share of groups that are signalled during the churn.
    pub signalled: f64,
}

impl Options {
    /// So many peers and groups, ten minutes of churn with lives of two hours on average, and wide-area timings and delays.
    pub fn new(peers: usize, groups: usize) -> Options {
        Options {
            peers,
            groups,
            churn: Duration::from_secs(600),
            profile: Profile::Wan,
            seed: 1,
            lifetime: Duration::from_secs(7200),
            signalled: 0.02,
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Which stretch.
    pub stretch: &'static str,
    /// Virtual time.
    pub now: Duration,
    /// Peers that have joined.
    pub joined: usize,
    /// Groups that were created.
    pub created: usize,
    /// Events of the simulator so far.
    pub events: u64,
}
