//! Real `fatebound` processes under test: started, killed, stopped and watched as a user would.
//!
//! Nothing here sleeps. Whatever has to happen is waited for as an event, and the only time limit is the bound that the product
//! promises, asked from the node itself.

// Network namespaces are Linux's.
#[cfg(target_os = "linux")]
mod delay_line;
mod history;
#[cfg(target_os = "linux")]
mod hosts;
mod member;
mod memory;
mod node;
mod program;
mod promises;
mod watch;

pub use history::{Shown, one_history, senders_in_order};
#[cfg(target_os = "linux")]
pub use hosts::{Host, Hosts};
pub use member::{Life, Member};
pub use memory::{Resident, resident_kib};
pub use node::{Cluster, Node, Outcome};
pub use program::program;
pub use promises::{alive, all_told_once, create, delegates, nobody_was_told, repaired, still_works, watch};
pub use watch::Watch;
