//! Process groups: agreement on who is in a group, in one order for everybody (docs/cluster.md).
//!
//! What is here: [`Views`], the machine of one group at one node that agrees on the next view; [`Policy`], which says when there are enough
//! to decide. The crate is sans-IO: time, messages and alarms are handed in, and what is to be done comes out.

#![forbid(unsafe_code)]

pub mod log;
mod numbers;
mod quorum;
mod view;
pub mod views;

pub use fatebound_base::{Rule, Time};
pub use fatebound_tree::GroupId;
pub use log::{Entry, Log};
pub use numbers::{Ballot, Node, Seq, ViewNumber};
pub use quorum::{Policy, Tally};
pub use view::{MAX_VOTERS, View, Voter};
pub use views::Views;
