//! Real `fatebound` processes under test: started, killed, stopped and watched as a user would.
//!
//! Nothing here sleeps. Whatever has to happen is waited for as an event, and the only time limit is the bound that the product
//! promises, asked from the node itself.

mod node;
mod program;
mod watch;

pub use node::{Cluster, Node, Outcome};
pub use program::program;
pub use watch::Watch;
