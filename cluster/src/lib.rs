//! Process groups: agreement on who is in a group, in one order for everybody (docs/cluster.md).
//!
//! [`Cluster`] is the machine of all process groups of one peer: it finds them by name, comes in, agrees on views ([`Views`]) under the guard of failure
//! notification groups, and leaves. It is sans-IO: time, messages and alarms are handed in, and what is to be done comes out.

#![forbid(unsafe_code)]

mod cluster;
mod config;
mod detours;
mod door;
mod floor;
mod graves;
mod group;
pub mod guards;
mod io;
mod lineage;
mod lines;
pub mod log;
mod mail;
pub mod message;
mod name;
mod numbers;
pub mod protocols;
mod publishing;
mod quorum;
mod step;
pub mod stream;
#[cfg(test)]
mod tests;
mod view;
pub mod views;
mod way_in;

pub use cluster::{Cluster, GroupStatus};
pub use config::Config;
pub use fatebound_base::{Rule, Time};
pub use fatebound_tree::GroupId;
pub use floor::Carried;
pub use io::*;
pub use log::{Entry, Log};
pub use name::{Founding, GroupName, GroupRef, MAX_NAME, NameError};
pub use numbers::{Ballot, Node, Seq, ViewNumber};
pub use protocols::{Attributes, Chair, Desk, Epoch, GroupState, ProviderId};
pub use quorum::{Policy, Tally};
pub use stream::Stream;
pub use view::{MAX_VOTERS, View, Voter};
pub use views::Views;
pub use way_in::Listing;
