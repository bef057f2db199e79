//! What the fuzz targets share: honest machines, hostile peers, and a clock that the fuzzer moves.
//!
//! [`cast`] names everybody, [`words`] says what a hostile peer may say (structurally, so that it gets past the door, with good signatures
//! where it has the key), [`hub`] connects and watches the machines. One input of the fuzzer is a [`run::Run`], played from its first step to
//! its last; or [`settings::Settings`] that two machines live with; or [`texts::Texts`].

#![forbid(unsafe_code)]

pub mod cast;
pub mod hub;
/// How the program's users name a peer: its own source, for a program has no library.
#[path = "../../bin/src/api/peer_arg.rs"]
pub mod peer_arg;
pub mod run;
pub mod settings;
pub mod texts;
pub mod words;
