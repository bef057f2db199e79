//! The local API: HTTP/1.1 with JSON over a Unix socket, for every program on this machine.
//!
//! `model` and `problem` are the words that both sides speak; `server`, `groups` and `events` are the node's side of them.

pub mod events;
pub mod groups;
pub mod log;
pub mod model;
pub mod peer_arg;
pub mod problem;
pub mod server;
pub mod socket;
