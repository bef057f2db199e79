//! The API's paths about services.
//!
//! A client becomes a provider by `POST …/providers`, whose answer is a stream of its roles. When the client goes away, however it does, the provider is gone.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::model::{ProvideRequest, RoleChange, ServiceInfo, Services, SwitchoverRequest};
use crate::api::problem::Problem;
use crate::api::request::{Body, Caller, PathName, StreamPlace, WaitingPlace};
use crate::api::server::{Node, Served};

/// The header that names the epoch of what is answered.
const EPOCH: &str = "x-fatebound-epoch";
/// Role changes between a provider and its client's socket.
const IN_FLIGHT: usize = 16;

/// All of them.
pub fn routes() -> Router<Served> {
    Router::new()
        .route("/v1/services", get(list))
        .route("/v1/services/{name}", get(show))
        .route("/v1/services/{name}/primary", get(primary))
        .route("/v1/services/{name}/providers", post(provide))
        .route("/v1/services/{name}/providers/released", post(released))
        .route("/v1/services/{name}/switchover", post(switchover))
}

async fn list(State(local): Node) -> Json<Services> {
    Json(Services {
        services: local.services().await,
    })
}

async fn show(State(local): Node, PathName(name): PathName, _place: WaitingPlace) -> Result<Response, Problem> {
    Ok(with_epoch(StatusCode::OK, &local.service(&name).await?))
}

/// For load balancers: 200 where the primary is, 503 everywhere else.
async fn primary(State(local): Node, PathName(name): PathName) -> Response {
    let services = local.services().await;
    let here = services.iter().find(|service| service.service == name);
    match here {
        Some(service) if service.role.as_deref() == Some("primary") && service.primary.is_some() => {
            with_epoch(StatusCode::OK, service)
        }
        Some(service) => with_epoch(StatusCode::SERVICE_UNAVAILABLE, service),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn provide(
    State(local): Node,
    PathName(name): PathName,
    place: StreamPlace,
    caller: Caller,
    Body(request): Body<ProvideRequest>,
) -> Result<Response, Problem> {
    caller.still_there()?;
    let roles = local.provide(&name, request).await?;
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let place = place.keep();
    tokio::spawn(async move {
        let _place = place;
        local.follow_roles(&name, roles, sender).await;
    });
    let events = ReceiverStream::new(receiver).map(|change: RoleChange| {
        let event = sse::Event::default().event(change.name());
        Ok::<_, Infallible>(event.data(serde_json::to_string(&change).unwrap_or_default()))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

async fn released(State(local): Node, PathName(name): PathName) -> StatusCode {
    local.released(&name);
    StatusCode::NO_CONTENT
}

async fn switchover(
    State(local): Node,
    PathName(name): PathName,
    _place: WaitingPlace,
    caller: Caller,
    Body(request): Body<SwitchoverRequest>,
) -> Result<StatusCode, Problem> {
    caller.still_there()?;
    local.switchover(&name, request.to.as_deref()).await?;
    Ok(StatusCode::ACCEPTED)
}

fn with_epoch(status: StatusCode, service: &ServiceInfo) -> Response {
    let mut response = (status, Json(service)).into_response();
    let epoch = service
        .epoch
        .as_deref()
        .and_then(|epoch| HeaderValue::from_str(epoch).ok());
    if let Some(epoch) = epoch {
        response.headers_mut().insert(EPOCH, epoch);
    }
    response
}
