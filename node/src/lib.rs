//! Failure notification groups for peer-to-peer systems, on libp2p.
//!
//! Among many peers something always fails halfway: this one crashed, that one cannot be reached from there, a third has given up. Fatebound
//! turns "one of us has failed" into "every one of us knows it": create a group over some peers, and once anything is wrong with any of them, or
//! any of them says so, *every* live member is told, exactly once and within a time that can be computed, whatever the network does.
//! What a failure means, and what to do about it, stays with you: tear down, clean up, start again with a new group.
//!
//! Three calls are all of it: [`Node::create_group`], [`Group::on_failure`], [`Group::signal`].
//!
//! ```
//! use fatebound::{Multiaddr, Node, Profile};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Three peers; in real life each is a process on a machine of its own.
//! let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse()?;
//! let peer = || Node::builder().profile(Profile::Local).listen(listen.clone());
//! let alice = peer().start().await?;
//! let there = alice.listen_addresses()[0].clone();
//! let bob = peer().bootstrap(there.clone()).start().await?;
//! let carol = peer().bootstrap(there).start().await?;
//! bob.joined().await?;
//! carol.joined().await?;
//!
//! // Create: returns when all members have accepted.
//! let group = alice.create_group([bob.peer_id(), carol.peer_id()]).await?;
//!
//! // Register: every member may, at any time, even after the failure.
//! let (told, mut news) = tokio::sync::mpsc::unbounded_channel();
//! carol.on_failure(group.id(), move |failure| drop(told.send(failure.reason.to_string())));
//!
//! // Signal: any member may.
//! bob.signal(group.id(), "my disk is full").await?;
//! assert!(news.recv().await.unwrap().ends_with("signalled: my disk is full"));
//! # Ok(())
//! # }
//! ```
//!
//! A member that crashes, hangs, or loses its network signals just as well. Living groups cost nothing, however many there are: peers watch their few
//! overlay neighbours, and groups share what these see.
//!
//! # Beyond the three calls
//!
//! - [`Group::guard`] ties a group to an attempt of yours, [`Group::check`] asks every member now, [`Node::fall_silent`] lets a group
//!   die of silence.
//! - [`Node::join_group`] comes into a group by its id, [`Node::observe_group`] is only told of its end; [`CreateGroup::admit`] says who may.
//!   [`Group::leave`] goes, and [`Group::close`] ends a group, without failing anybody.
//! - [`Node::accept`] receives invitations by tag, with the creator's bytes.
//! - [`Node::events`] is everything that happens, [`Node::status`], [`Node::peers`] and [`Node::routes`] are how things stand.
//! - [`Node::process_group`] comes into a named group of processes whose members all see the same, in the same order: see [`process_group`].
//! - [`Node::service`] provides a service that always has one primary, and [`Node::client`] asks it: see [`service`].
//! - [`Node::job`] works together with others, and leaves none of them waiting when it fails: see [`job`].
//! - [`Node::directory_get`] and [`Node::directory_publish`] are a floor on which these stand: a name, and who publishes it.
//! - [`Node::pipe_port`] is another: ordered streams of bodies between two nodes, bounded, and with back-pressure.
//! - [`Builder::into_behaviour`] puts all this into a libp2p swarm of your own.
//!
//! # Inside
//!
//! The protocol is a machine without input or output (`fatebound_machine`); this crate gives it sockets, timers and an API. See `docs/protocol.md`
//! for what is promised and why it holds.

#![forbid(unsafe_code)]

// A peer without one of its rules is for tests of the rules, and for nobody else.
const _: () = assert!(
    fatebound_machine::overlay::UNDONE.is_none(),
    "FATEBOUND_UNDO is set: it takes a rule out of the protocol"
);

mod addresses;
mod admission;
mod application;
mod asks;
mod behaviour;
mod bootstraps;
mod builder;
mod carrier;
mod claim;
mod clock;
mod create;
mod descriptors;
mod dials;
mod directory;
mod error;
mod event;
mod failures;
mod frame;
mod group;
mod handler;
mod identity;
mod invitation;
pub mod job;
mod join;
mod muxing;
mod node;
mod pipe;
mod pipes;
pub mod process_group;
mod queue;
mod rarely;
mod reading;
pub mod service;
mod session;
mod stack;
mod states;
mod strangers;
mod transport;

pub use admission::{Admission, AdmissionRequest, Admissions};
pub use application::CheckReport;
pub use behaviour::{Behaviour, Notice};
pub use builder::Builder;
pub use create::{CreateGroup, Member};
pub use directory::{DirectoryError, DirectoryRecord};
pub use error::{CreateGroupError, JoinGroupError, LeaveGroupError, SignalError, StartError, Stopped};
pub use event::{Event, EventKind, Events, Lagged};
pub use failures::{End, Failure, Fate};
pub use fatebound_machine::fng::{
    CreateError, GroupId, GroupPrefix, GroupView, JoinError, LeaveError, ParseGroupIdError, Reason, Refusal, Timings,
};
pub use fatebound_machine::overlay::pipes::{Cause as PipeCause, MAX_BODY, NotTaken};
pub use fatebound_machine::overlay::{ConfigError, DownReason, Keypair, Multiaddr, PeerId};
pub use fatebound_machine::tree::{Cause, PathId};
pub use fatebound_machine::{Config, Counters, PeerView, Profile, RoutesView, Status};
pub use group::Group;
pub use identity::{DataDir, IdentityError};
pub use invitation::{Invitation, Invitations};
pub use join::JoinGroup;
pub use node::{GroupsFrom, GroupsPage, Node};
pub use pipes::{PipePort, PipeSender, PortError, PortEvent, SendError};

/// The README's example, run like any other.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
