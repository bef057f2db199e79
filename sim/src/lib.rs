//! Virtual time and networks around the same machine that production runs.
//!
//! A [`World`] is a handful of peers, each a `Machine`, and a network that behaves as TCP does as long as it works: what is sent
//! on a session arrives in order, late or not at all. Time jumps from event to event, so a minute costs what its messages cost, and a
//! seed fixes everything: the same seed gives the same run. Not simulated yet: loss (delay by retransmission), and that urgent frames
//! overtake others in a full send queue.
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

mod carriage;
pub mod checkers;
pub mod fault;
pub mod generate;
mod network;
mod observe;
mod queue;
pub mod run;
pub mod schedule;
mod script;
pub mod setting;
pub mod statistics;
mod storage;
mod trace;
mod world;

pub use fatebound_machine::fng::{Reason, Refusal};
pub use fatebound_machine::tree::GroupId;
pub use fatebound_machine::{Config, Profile};
pub use network::{Latency, Network};
pub use observe::{Disturbance, Observation, Observe, Signal, Words};
pub use script::{Script, ScriptError};
pub use trace::{Filter, Kind, Line, Tracer};
pub use world::{CreateError, PeerIndex, World};
