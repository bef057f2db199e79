//! The API's paths about the directory, and what their bodies look like.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::request::{Body, PathName, WaitingPlace};
use super::server::Node;

/// `GET /v1/directory/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameInfo {
    /// The name.
    pub name: String,
    /// Who publishes it.
    pub publisher: String,
    /// Which founding of the name this is: seconds since 2020.
    pub incarnation: u32,
    /// The publications since then.
    pub view: u64,
    /// What it says, if that is a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it says, if it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// `PUT /v1/directory/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// What it says.
    pub text: String,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The name.
    pub name: String,
    /// This node.
    pub publisher: String,
}

/// Looks a name up.
pub async fn get(
    State(local): Node,
    PathName(name): PathName,
    _place: WaitingPlace,
) -> Result<Json<NameInfo>, Problem> {
    local.look_name_up(&name).await.map(Json)
}

/// Publishes a text under a name, for as long as the node runs.
pub async fn publish(
    State(local): Node,
    PathName(name): PathName,
    _place: WaitingPlace,
    Body(request): Body<PublishRequest>,
) -> Result<Json<Published>, Problem> {
    local.publish_name(&name, request.text).await.map(Json)
}
