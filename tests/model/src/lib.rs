//! Small worlds explored to the end: the real trees and the real groups, under every order of events.
//!
//! A simulator runs one schedule after another; here every schedule of a world that is small enough is followed. What production runs
//! stays what it is, `fatebound_tree::Tree` and `fatebound_fng::Groups`; the overlay below them is replaced by as little as keeps its
//! word (protocol.md §3 and §4): links that keep the order, routes, one-shot messages. What is abstracted, how time goes and what has been
//! explored: docs/model.md.

#![forbid(unsafe_code)]

pub mod check;
pub mod explore;
pub mod fault;
pub mod peer;
pub mod state;
pub mod step;
pub mod views;
pub mod wire;
pub mod world;
pub mod worlds;
