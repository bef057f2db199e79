//! The API's paths.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::model::{NodeInfo, Peers, Routes};
use super::problem::{Kind, Problem};
use super::request::{MAX_BODY, Places};
use super::{directory, events, groups, holds, process_groups};
use crate::local::Local;

/// What every handler gets.
pub type Node = State<Arc<Local>>;

/// What is served, and how much of it at a time.
#[derive(Clone, Debug)]
pub struct Served {
    local: Arc<Local>,
    /// For requests that last.
    pub places: Places,
}

impl Served {
    /// The node.
    pub fn local(&self) -> &Arc<Local> {
        &self.local
    }
}

impl FromRef<Served> for Arc<Local> {
    fn from_ref(served: &Served) -> Arc<Local> {
        Arc::clone(&served.local)
    }
}

/// All paths.
pub fn router(local: Arc<Local>) -> Router {
    Router::new()
        .route("/v1/node", get(node))
        .route("/v1/peers", get(peers))
        .route("/v1/routes", get(routes))
        .route("/v1/groups", get(groups::list).post(groups::create))
        .route("/v1/groups/{group}", get(groups::show).delete(groups::leave))
        .route("/v1/groups/{group}/join", post(groups::join))
        .route("/v1/groups/{group}/observe", post(groups::observe))
        .route("/v1/groups/{group}/close", post(groups::close))
        .route("/v1/groups/{group}/admissions", post(groups::admit))
        .route("/v1/admissions", get(events::admissions))
        .route("/v1/invitations", get(holds::invitations))
        .route("/v1/holds/{hold}/leave", post(holds::leave))
        .route("/v1/holds/{hold}/signal", post(holds::signal))
        .route("/v1/holds/{hold}/renew", post(holds::renew))
        .route("/v1/groups/{group}/signal", post(groups::signal))
        .route("/v1/groups/{group}/check", post(groups::check))
        .route("/v1/groups/{group}/events", get(events::of_group))
        .route("/v1/events", get(events::all))
        .route("/v1/directory/{name}", get(directory::get).put(directory::publish))
        .route("/v1/multicast", get(multicast))
        .merge(process_groups::routes())
        .merge(crate::service::api::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Served {
            local,
            places: Places::default(),
        })
}

/// What a connection hears for which there is no room.
pub fn refusing(connections: usize) -> Router {
    let words = format!("{connections} connections are open already, as many as a node serves");
    let problem = Problem::new(Kind::Busy, &words);
    Router::new().fallback(move || std::future::ready(problem.clone()))
}

async fn node(State(local): Node) -> Result<Json<NodeInfo>, Problem> {
    local.info().await.map(Json)
}

async fn peers(State(local): Node) -> Result<Json<Peers>, Problem> {
    local.peers().await.map(|peers| Json(Peers { peers }))
}

async fn routes(State(local): Node) -> Result<Json<Routes>, Problem> {
    local.routes().await.map(Json)
}

async fn multicast(State(local): Node) -> Result<Json<fatebound_multicast::status::Status>, Problem> {
    local.multicast().await.map(Json)
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(Kind::NotFound, &format!("no such path: {}", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        &format!("{} does not take {method}", uri.path()),
    )
}

/// A 204: what an event stream's reader is told when there is nothing more to wait for, so that it does not connect again.
pub fn nothing_more() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
