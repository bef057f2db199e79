//! What a path leaves behind: segments, joint sets, construct, confirm, release.
//!
//! A group's tree is the union of its paths, one per member, from the root over delegates. Every peer on a path stores one segment of
//! it, two links. Because all paths over a link are watched by that link's pings, a merely living group costs nothing
//! (protocol.md §4 "The joint set" and §5). The crate is sans-IO.

#![forbid(unsafe_code)]

mod around;
mod audit;
pub mod config;
mod construct;
mod fail;
mod fingerprint;
mod group_id;
mod group_prefix;
mod io;
mod joint_set;
pub mod message;
mod release;
mod silence;
mod store;
mod suspicion;
#[cfg(test)]
mod tests;
mod tree;

pub use around::LOOKED_THROUGH;
pub use config::Config;
pub use group_id::{GroupId, ParseGroupIdError};
pub use group_prefix::GroupPrefix;
pub use io::*;
pub use message::{Cause, Operation, PathId, Tell};
pub use tree::Tree;
