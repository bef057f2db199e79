//! The API's documents about services.

use serde::{Deserialize, Serialize};

/// All services that are provided at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    pub services: Vec<ServiceInfo>,
}

/// How a service stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Its name.
    pub service: String,
    /// Who serves, if anybody does.
    pub primary: Option<ProviderInfo>,
    /// Since this epoch, a decimal number; `None`: not known.
    pub epoch: Option<String>,
    /// Who is next.
    pub secondaries: Vec<ProviderInfo>,
    /// Who else is there.
    pub spares: Vec<ProviderInfo>,
    /// The last checkpoint that is known where this was asked.
    pub checkpoint: u64,
    /// Requests that wait there.
    pub held: usize,
    /// Whether the node that was asked is cut off from too many of the others.
    pub blocked: bool,
    /// What the provider at this node is, if there is one: primary, secondary or spare.
    pub role: Option<String>,
}

/// A provider of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// Its node.
    pub peer: String,
    /// Its name there.
    pub instance: String,
    /// Where clients reach it; may be empty.
    pub address: String,
}

/// What a provider is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvideRequest {
    /// Its name, unique at its node.
    pub instance: String,
    /// Where clients reach it.
    #[serde(default)]
    pub address: String,
    /// How many are to be next; one, if nothing is said.
    #[serde(default)]
    pub secondaries: Option<u16>,
    /// The larger, the earlier it becomes the primary.
    #[serde(default)]
    pub preference: u8,
}

/// To whom a primary is to hand over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchoverRequest {
    /// A provider's name; whoever is next, if nothing is said.
    #[serde(default)]
    pub to: Option<String>,
}

/// What happens to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RoleChange {
    /// It is in the service.
    Joined {
        /// Which.
        service: String,
    },
    /// It is the primary from now on.
    Primary {
        /// A number that grows with each primary.
        epoch: String,
    },
    /// It is not the primary any more, and has to end what it does; then `POST …/providers/released`.
    PrimaryOver {
        /// Since when it was.
        epoch: String,
    },
    /// It is next.
    Secondary,
    /// It is there.
    Spare,
    /// It is in the service no more.
    Ended {
        /// `left`, `expelled`, `failed`, `stopped`.
        why: String,
        /// For people.
        message: String,
    },
}

impl RoleChange {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            RoleChange::Joined { .. } => "joined",
            RoleChange::Primary { .. } => "primary",
            RoleChange::PrimaryOver { .. } => "primary_over",
            RoleChange::Secondary => "secondary",
            RoleChange::Spare => "spare",
            RoleChange::Ended { .. } => "ended",
        }
    }
}
