//! The API's paths about process groups.
//!
//! A client becomes a provider by `POST …/providers`, whose answer is its attachment: a stream of events that begins with `joined`. When the client goes
//! away, however it does, its process is gone from the group.

pub mod event;
pub mod model;
pub mod octets;

use std::convert::Infallible;

use axum::extract::State;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use fatebound::process_group::NameError;
use model::{
    AttachRequest, DeactivationRequest, LeaveRequest, MessageRequest, ProcessGroups, ProposalRequest, Resolution,
    StateRequest, VoteRequest,
};

use super::problem::{Kind, Problem};
use super::request::{Asked, Body, Caller, PathName, PathNames, StreamPlace, WaitingPlace};
use super::server::{Node, Served};
use crate::local::Attachment;

/// The header that names the epoch of what is answered.
const EPOCH: &str = "x-fatebound-epoch";
/// Events between a provider and its client's socket; what does not fit waits at the node, within its bound.
const IN_FLIGHT: usize = 16;

/// All of them.
pub fn routes() -> Router<Served> {
    Router::new()
        .route("/v1/process-groups", get(list))
        .route("/v1/process-groups/", any(nameless))
        .route("/v1/process-groups//{*rest}", any(nameless))
        .route("/v1/process-groups/{name}", get(show))
        .route("/v1/process-groups/{name}/state", get(state).put(set_state))
        .route("/v1/process-groups/{name}/providers", post(attach))
        .route("/v1/process-groups/{name}/providers/{provider}/messages", post(send))
        .route(
            "/v1/process-groups/{name}/providers/{provider}/proposals",
            post(propose),
        )
        .route("/v1/process-groups/{name}/providers/{provider}/votes", post(vote))
        .route("/v1/process-groups/{name}/providers/{provider}/leave", post(leave))
        .route(
            "/v1/process-groups/{name}/providers/{provider}/deactivations",
            post(deactivated),
        )
}

async fn list(State(local): Node) -> Result<Json<ProcessGroups>, Problem> {
    local.process_groups().await.map(Json)
}

/// A path whose name has no bytes.
async fn nameless() -> Problem {
    Problem::new(Kind::InvalidName, &NameError::Length(0))
}

async fn show(State(local): Node, PathName(name): PathName) -> Result<Response, Problem> {
    let group = local.process_group(&name).await?;
    Ok(with_epoch(group.epoch.clone().as_deref(), &group))
}

async fn state(State(local): Node, PathName(name): PathName) -> Result<Response, Problem> {
    let state = local.process_group_state(&name).await?;
    let tag = format!("\"{}\"", state.version);
    Ok(([(ETAG, tag)], Json(state)).into_response())
}

/// `PUT …/state?provider=ID`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateQuery {
    provider: Option<String>,
}

async fn set_state(
    State(local): Node,
    PathName(name): PathName,
    Asked(query): Asked<StateQuery>,
    _place: WaitingPlace,
    headers: HeaderMap,
    Body(request): Body<StateRequest>,
) -> Result<Response, Problem> {
    let expected = expected(&headers)?;
    let resolution = local.set_state(&name, query.provider.as_deref(), request.value, expected);
    Ok(resolved(&resolution.await?))
}

/// The version that `If-Match` names, with quotation marks or without.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let version = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().trim_matches('"').parse().ok());
    let problem = || {
        Problem::new(
            Kind::InvalidRequest,
            "If-Match: the version of the state value, a number",
        )
    };
    version.map(Some).ok_or_else(problem)
}

async fn attach(
    State(local): Node,
    PathName(name): PathName,
    place: StreamPlace,
    caller: Caller,
    Body(request): Body<AttachRequest>,
) -> Result<Response, Problem> {
    caller.still_there()?;
    let attachment = local.attach(&name, request).await?;
    let epoch = attachment.epoch();
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let place = place.keep();
    tokio::spawn(async move {
        let _place = place;
        follow(attachment, sender).await;
    });
    let stream = Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default());
    let mut response = stream.into_response();
    add_epoch(&mut response, Some(&epoch));
    Ok(response)
}

type Sender = mpsc::Sender<Result<sse::Event, Infallible>>;

/// Until the last event, or until the client has gone away; then the process is gone.
async fn follow(mut attachment: Attachment, sender: Sender) {
    let mut next = Some(attachment.joined());
    while let Some(event) = next {
        let Ok(data) = serde_json::to_string(&event) else {
            return;
        };
        let event = sse::Event::default().event(event.name()).data(data);
        if sender.send(Ok(event)).await.is_err() {
            return;
        }
        next = tokio::select! {
            next = attachment.next() => next,
            () = sender.closed() => return,
        };
    }
}

async fn send(
    State(local): Node,
    PathNames(name, provider): PathNames,
    _place: WaitingPlace,
    caller: Caller,
    Body(request): Body<MessageRequest>,
) -> Result<StatusCode, Problem> {
    caller.still_there()?;
    local.send_to_group(&name, &provider, request.body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn propose(
    State(local): Node,
    PathNames(name, provider): PathNames,
    _place: WaitingPlace,
    caller: Caller,
    Body(request): Body<ProposalRequest>,
) -> Result<Response, Problem> {
    caller.still_there()?;
    Ok(resolved(&local.propose(&name, &provider, request).await?))
}

async fn vote(
    State(local): Node,
    PathNames(name, provider): PathNames,
    Body(request): Body<VoteRequest>,
) -> Result<StatusCode, Problem> {
    local.vote(&name, &provider, request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn leave(
    State(local): Node,
    PathNames(name, provider): PathNames,
    _place: WaitingPlace,
    Body(request): Body<LeaveRequest>,
) -> Result<Response, Problem> {
    Ok(resolved(&local.leave_group(&name, &provider, request).await?))
}

async fn deactivated(
    State(local): Node,
    PathNames(name, provider): PathNames,
    Body(request): Body<DeactivationRequest>,
) -> Result<StatusCode, Problem> {
    local.deactivated(&name, &provider, request).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn resolved(resolution: &Resolution) -> Response {
    with_epoch(resolution.epoch.as_deref(), resolution)
}

fn with_epoch<T: Serialize>(epoch: Option<&str>, body: &T) -> Response {
    let mut response = Json(body).into_response();
    add_epoch(&mut response, epoch);
    response
}

fn add_epoch(response: &mut Response, epoch: Option<&str>) {
    if let Some(epoch) = epoch.and_then(|epoch| HeaderValue::from_str(epoch).ok()) {
        response.headers_mut().insert(EPOCH, epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_with_or_without_quotation_marks() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(value));
            expected(&headers).map_err(|problem| problem.status)
        };
        assert_eq!(expected(&HeaderMap::new()).unwrap(), None);
        assert_eq!((of("7"), of("\"7\"")), (Ok(Some(7)), Ok(Some(7))));
        assert_eq!((of("*"), of("W/\"7\"")), (Err(400), Err(400)));
    }
}
