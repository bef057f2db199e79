//! The peer as one sans-IO machine over overlay, tree and groups; the wire format.
//!
//! Production and the simulator drive this same machine: a run is a seed, a configuration and a list of `(Time, Input)`.

#![forbid(unsafe_code)]

mod cluster;
pub mod config;
mod io;
mod machine;
mod pipes;
mod ports;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod view;
pub mod wire;

pub use config::{Config, Profile};
pub use fatebound_cluster as process_groups;
pub use fatebound_fng as fng;
pub use fatebound_overlay as overlay;
pub use fatebound_tree as tree;
pub use io::*;
pub use machine::Machine;
pub use view::{Counters, PeerView, RoutesView, Status};
