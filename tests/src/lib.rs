//! Real `fatebound` processes under test: started, killed, stopped and watched as a user would.
//!
//! Nothing here sleeps. Whatever has to happen is waited for as an event, and the only time limit is the bound that the product
//! promises, asked from the node itself.

mod hosts;
mod node;
mod program;
mod promises;
mod watch;

pub use hosts::{Host, Hosts};
pub use node::{Cluster, Node, Outcome};
pub use program::program;
pub use promises::{alive, all_told_once, create, delegates, nobody_was_told, repaired, still_works, watch};
pub use watch::Watch;
