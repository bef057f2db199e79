//! Virtual time and networks around the same machine that production runs.
//!
//! A [`World`] is a handful of peers, each a `Machine`, and a network between them. Time jumps from event to event, so a minute costs what
//! its messages cost, and a seed fixes everything: the same seed gives the same run.
//!
//! Links are TCP connections (`pipe.rs`, `connections.rs`, `dials.rs`): what is sent arrives in order as long as they last; loss is felt as delay by
//! retransmission, a narrow wire as backlog; ends notice breaks each for itself. Hosts (`hosts.rs`, `processes.rs`, `clock.rs`) crash, vanish, stop, go on,
//! are slow, starve, drift, and move; if they are told to (`windows.rs`), what a process does not read waits at its senders. What differs from the driver in
//! `node/` is listed in `carriage.rs`. Not simulated yet: QUIC; what a connection's two directions do to each other.
//!
//! ```
//! use std::time::Duration;
//! use fatebound_sim::{World, Profile};
//!
//! let mut world = World::new(7, Profile::Local);
//! let peers = world.spawn_overlay(5);
//! let group = world.create(peers[0], &[peers[1], peers[2]]).expect("everybody accepts");
//! world.crash(peers[2]);
//! world.run_for(Duration::from_secs(1));
//! assert_eq!(world.notified(peers[0], &group).len(), 1);
//! assert_eq!(world.notified(peers[1], &group).len(), 1);
//! ```

#![forbid(unsafe_code)]

mod adversary;
mod applications;
mod cargo;
mod carriage;
pub mod checkers;
mod clock;
mod connections;
pub mod deed;
mod dials;
mod disturbances;
pub mod fault;
pub mod generate;
mod hosts;
mod latency;
mod observe;
mod pipe;
mod processes;
mod queue;
mod requests;
pub mod run;
pub mod scale;
pub mod schedule;
mod script;
mod sessions;
pub mod setting;
pub mod shrink;
mod stamps;
pub mod statistics;
mod storage;
mod streams;
mod tamper;
mod trace;
mod windows;
mod wire;
mod world;

pub use adversary::{Adversary, MessageKind, Reaction, kinds_of};
pub use fatebound_machine::fng::{Reason, Refusal};
pub use fatebound_machine::tree::GroupId;
pub use fatebound_machine::{Config, Profile};
pub use latency::Latency;
pub use observe::{Disturbance, Observation, Observe, Signal, Words};
pub use script::{Script, ScriptError};
pub use tamper::Tamper;
pub use trace::{Filter, Kind, Line, Tracer};
pub use world::{CreateError, PeerIndex, Traffic, World};
