//! What a group means: create, repair, notify, and the bound.
//!
//! A group is a promise among its members: whatever happens to one of them, or between two of them, every live one is told, exactly once
//! and in bounded time (protocol.md §1 and §6). Paths below it break and are repaired without anybody noticing; only what repair
//! cannot mend becomes a failure. The crate is sans-IO: [`Groups`] gets [`Input`]s and the time, and answers with [`Output`]s.

#![forbid(unsafe_code)]

mod admit;
mod answers;
mod bounds;
mod branch;
mod check;
mod come;
pub mod config;
mod create;
mod deaths;
mod fail;
mod fate;
mod forms;
mod group;
mod groups;
mod inquiry;
mod invariants;
mod inviting;
mod io;
mod join;
mod leave;
mod lists;
mod lives;
mod member;
pub mod message;
mod notice;
mod part;
mod pass_on;
mod patience;
mod peers;
mod prober;
#[cfg(test)]
mod properties;
mod reason;
mod repair;
mod same_timings;
mod shared;
mod table;
#[cfg(test)]
mod tests;
mod view;
mod window;
mod words;

pub use config::{Config, Timings};
pub use fatebound_tree::{GroupId, GroupPrefix, ParseGroupIdError};
pub use groups::Groups;
pub use io::*;
pub use reason::{Reason, Refusal};
pub use view::Counters;
