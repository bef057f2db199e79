//! What every layer stands on, and what knows of none of them.
//!
//! [`Time`] and [`Deadlines`] are how a machine without a clock keeps time; [`Bounded`] and [`slim`] how it keeps its memory within limits;
//! [`Interner`] turns long names into small numbers; [`Identity`] signs and verifies; [`Rule`] is the switch that takes a rule of the
//! protocol out to see which test misses it.

#![forbid(unsafe_code)]

mod bounded;
mod config_error;
mod deadlines;
mod index;
mod intern;
mod port;
mod rule;
mod running;
mod signatures;
pub mod slim;
mod time;
mod versions;

pub use bounded::Bounded;
pub use config_error::ConfigError;
pub use deadlines::Deadlines;
pub use index::{Index, NONE};
pub use intern::{Interner, grow_by_a_quarter};
pub use libp2p_identity::{Keypair, PeerId};
pub use multiaddr::{Multiaddr, Protocol};
pub use port::Port;
pub use rule::{Rule, UNDONE};
pub use running::Running;
pub use signatures::{Ed25519, Identity, Scheme, Signer};
pub use time::Time;
pub use versions::Versions;
