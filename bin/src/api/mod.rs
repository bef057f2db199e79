//! The local API: HTTP/1.1 with JSON over a Unix socket, for every program on this machine, and over TCP for whoever has the token.
//!
//! `model`, `problem` and `naming` are the words that both sides speak; `serving` takes the node's connections, `server` says what is at which
//! path, and `groups`, `holds`, `events`, `directory` and `process_groups` are what is there.

pub mod address;
pub mod connection;
pub mod directory;
pub mod events;
pub mod gate;
pub mod groups;
pub mod holds;
pub mod log;
pub mod model;
pub mod naming;
pub mod peer_arg;
pub mod problem;
pub mod process_groups;
pub mod request;
pub mod server;
pub mod serving;
pub mod socket;
pub mod token;
