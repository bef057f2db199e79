//! What can go wrong at the API, and whether anything changed when it did.

use std::io;

use fatebound_machine::fng::{CreateError, GroupId, JoinError, LeaveError, Refusal};
use fatebound_machine::overlay::{ConfigError, Multiaddr, PeerId};
use thiserror::Error;

use crate::identity::IdentityError;

/// The node has stopped; nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the node has stopped")]
pub struct Stopped;

/// A node that did not start. Nothing is left running; a data directory may have been created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gave no randomness, or the transport could not be made.
    #[error("the node could not be set up: {0}")]
    Setup(#[source] io::Error),
    /// It cannot listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: Multiaddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A group that was not created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CreateGroupError {
    /// A member was given by an address that does not end in `/p2p/…`. Nothing has happened.
    #[error("{address} does not say which peer it is: it has to end in /p2p/<PeerId>; nothing was created")]
    NoPeer {
        /// The address.
        address: Multiaddr,
    },
    /// The request was refused. Nothing has happened, no handler runs.
    #[error(transparent)]
    Refused(#[from] CreateError),
    /// Not all members accepted in time. The group has failed: its handlers run, and everybody who had heard of it is notified.
    #[error("{}", incomplete(refusals, *alone))]
    Incomplete {
        /// The failed group.
        group: GroupId,
        /// Who did not accept, and why.
        refusals: Vec<(PeerId, Refusal)>,
        /// Whether this node has nobody to ask: it has not joined its overlay, or has lost everybody there. Then it is no fault of the others.
        alone: bool,
    },
    /// The node has stopped, before or during the creation; if the group was begun, it fails.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

fn incomplete(refusals: &[(PeerId, Refusal)], alone: bool) -> String {
    let each: Vec<_> = refusals
        .iter()
        .map(|(peer, refusal)| format!("{peer} {refusal}"))
        .collect();
    let alone = if alone {
        "this node is connected to nobody of its overlay; "
    } else {
        ""
    };
    format!("the group could not be created: {alone}{}", each.join("; "))
}

/// A group that was not joined. This node is not in it, or as it was before.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinGroupError {
    /// The group is over, its root does not let this node in, or could not be asked.
    #[error(transparent)]
    Failed(#[from] JoinError),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A group that was not left in peace.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LeaveGroupError {
    /// The group was over before this node had left it.
    #[error(transparent)]
    Failed(#[from] LeaveError),
    /// This node is not the group's root, and only the root can close it. Nothing has changed.
    #[error("only its root can close a group; nothing has changed")]
    NotRoot,
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A signal that was not given. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignalError {
    /// This node only observes the group, or is about to leave it: it has no word there.
    #[error("this node only observes the group, or is about to leave it: it cannot signal there")]
    NoWord,
    /// The group does not live here: it has failed, or never was.
    #[error("the group is not known here: it failed, or never was")]
    NotKnown,
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
