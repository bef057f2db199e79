//! Multicast that crosses networks, with one routing point in each, whatever dies (`docs/multicast.md`).
//!
//! Every node that takes part has a seat on each network that it is on: a provider in one process group, named by the network. The oldest seat of a
//! network leads it: its node captures what is sent there to the groups that the rules name, and puts on its wire what comes from the
//! others. The oldest of all is the system leader, which relays between the leaders. The next seats of each network overhear both, and go on where a leader
//! stopped.
//!
//! | file | idea |
//! | --- | --- |
//! | `network`, `packet`, `rules`, `rate` | what a network is called, what is carried, which, and how much |
//! | `roster` | who routes what, read off the group's list |
//! | `message`, `io` | words between nodes; ins and outs of the machine |
//! | `ring` | what was seen lately |
//! | `spoke`, `hub` | a leader's side of a tunnel, and the system leader's |
//! | `machine` | both of them, the fence, and no clock or socket |
//! | `backlog` | the queue of a tunnel |
//! | `capture`, `inject`, `interfaces` | sockets, Linux |
//! | `seats`, `tunnels`, `service` | the machine on a node |
//! | `check`, `status` | whether this host can route; how it stands |

#![forbid(unsafe_code)]

pub mod backlog;
#[cfg(target_os = "linux")]
mod buffers;
mod capture;
#[cfg(target_os = "linux")]
pub mod check;
mod clock;
pub mod count;
mod hub;
#[cfg(target_os = "linux")]
mod inject;
mod interfaces;
pub mod io;
pub mod machine;
pub mod message;
pub mod network;
pub mod packet;
mod rate;
pub mod ring;
pub mod roster;
pub mod rules;
#[cfg(target_os = "linux")]
mod seats;
#[cfg(target_os = "linux")]
pub mod service;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
pub mod service;
mod spoke;
pub mod status;
mod step;
#[cfg(target_os = "linux")]
mod tunnels;
