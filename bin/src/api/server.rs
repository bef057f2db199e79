//! The API's paths, and serving them until the node stops.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, serve};
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;

use super::model::{NodeInfo, Peers, Routes};
use super::problem::{Kind, Problem};
use super::{events, groups};
use crate::local::Local;

/// What every handler gets.
pub type Node = State<Arc<Local>>;

/// Bytes of a request body at most: a creation with 10,000 members and their addresses fits.
const MAX_BODY: usize = 2 * 1024 * 1024;

/// All paths.
pub fn router(local: Arc<Local>) -> Router {
    Router::new()
        .route("/v1/node", get(node))
        .route("/v1/peers", get(peers))
        .route("/v1/routes", get(routes))
        .route("/v1/groups", get(groups::list).post(groups::create))
        .route("/v1/groups/{group}", get(groups::show))
        .route("/v1/groups/{group}/signal", post(groups::signal))
        .route("/v1/groups/{group}/check", post(groups::check))
        .route("/v1/groups/{group}/events", get(events::of_group))
        .route("/v1/events", get(events::all))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(local)
}

/// Serves until `stop` ends; then answers what was asked already.
pub async fn run(listener: UnixListener, local: Arc<Local>, stop: impl Future<Output = ()> + Send + 'static) {
    // Accepting on a Unix socket retries by itself: serving ends only with `stop`.
    let _ = serve(listener, router(local)).with_graceful_shutdown(stop).await;
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

async fn not_found(uri: Uri) -> Problem {
    Problem::new(Kind::NotFound, &format!("no such path: {}", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        &format!("{} does not take {method}", uri.path()),
    )
}

/// A JSON body. An empty one reads as `{}`, so that `curl -X POST` does where nothing needs to be said.
pub fn body<T: DeserializeOwned>(bytes: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let bytes = bytes.map_err(|rejection| unreadable(&rejection))?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| Problem::new(Kind::InvalidRequest, &error))
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Kind::BodyTooLarge, &format!("at most {MAX_BODY} bytes")),
        _ => Problem::new(Kind::InvalidRequest, &rejection),
    }
}

/// A 204: what an event stream's reader is told when there is nothing more to wait for, so that it does not connect again.
pub fn nothing_more() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::{CreateRequest, SignalRequest};

    #[test]
    fn an_empty_body_is_an_empty_object() {
        let request: SignalRequest = body(Ok(Bytes::new())).unwrap();
        assert_eq!(request.reason, "");
        let problem = body::<CreateRequest>(Ok(Bytes::new())).unwrap_err();
        assert!(
            problem.is(Kind::InvalidRequest) && problem.detail.contains("members"),
            "{problem:?}"
        );
    }

    #[test]
    fn what_is_no_json_says_where() {
        let problem = body::<SignalRequest>(Ok(Bytes::from_static(b"{\"reason\": 7}"))).unwrap_err();
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains("line 1"), "{problem:?}");
    }
}
