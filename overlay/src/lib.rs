//! Who is where: keys, routes, joining, and links with their liveness.
//!
//! Peers form a ring over keys. Each monitors a few neighbours; these neighbours are at once its routes and the only places where
//! liveness is ever checked, whatever the number of groups (protocol.md §3 and §4). The crate is sans-IO: it gets [`Input`]s and the
//! time, and answers with [`Output`]s.

#![forbid(unsafe_code)]

mod bounded;
mod carry;
pub mod config;
mod deadlines;
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
#[cfg(test)]
mod properties;
pub mod record;
mod records;
mod ring;
mod routed;
mod routes;
mod routing_table;
pub mod signatures;
mod slim;
mod time;
mod unanswered;
mod undone;
mod upkeep;
mod view;

pub use bounded::Bounded;
pub use config::{Config, ConfigError, MAX_NETWORK};
pub use deadlines::Deadlines;
pub use io::*;
pub use key::{Distance, Key, Tag};
pub use libp2p_identity::{Keypair, PeerId};
pub use multiaddr::{Multiaddr, Protocol};
pub use overlay::Overlay;
pub use time::Time;
pub use undone::{UNDONE, undone};
pub use view::{Counters, Neighbour};
