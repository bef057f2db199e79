//! Who is where: keys, routes, joining, and links with their liveness.
//!
//! Peers form a ring over keys. Each monitors a few neighbours; these neighbours are at once its routes and the only places where
//! liveness is ever checked, whatever the number of groups (protocol.md §3 and §4). The crate is sans-IO: it gets [`Input`]s and the
//! time, and answers with [`Output`]s.

#![forbid(unsafe_code)]

mod carry;
pub mod config;
pub mod directory;
mod gone;
mod io;
mod join;
mod key;
mod leaf_set;
mod links;
mod locate;
mod lookup;
mod mail;
pub mod message;
mod overlay;
pub mod pipes;
#[cfg(test)]
mod properties;
pub mod record;
mod records;
mod ring;
mod routed;
mod routes;
mod routing_table;
mod unanswered;
mod upkeep;
mod view;

pub use config::{Config, MAX_NETWORK};
pub use fatebound_base as base;
pub use fatebound_base::{
    Bounded, ConfigError, Deadlines, Ed25519, Identity, Keypair, Multiaddr, PeerId, Port, Protocol, Rule, Running,
    Scheme, Signer, Time, UNDONE, Versions,
};
pub use io::*;
pub use key::{Distance, Key, Tag};
pub use overlay::Overlay;
pub use view::{Counters, Neighbour};
