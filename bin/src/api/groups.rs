//! The API's paths about groups.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use serde::Deserialize;

use super::holds::{self, HoldQuery};
use super::model::{
    AdmissionRequest, Checked, CreateRequest, Created, Departed, GroupInfo, Groups, JoinRequest, Joined, SignalRequest,
    Signalled,
};
use super::naming::Purpose;
use super::problem::{Kind, More, Problem};
use super::request::{Asked, Body, Caller, PathName, WaitingPlace};
use super::server::{Node, Served};
use crate::local::Local;

/// Groups in one listing unless the asker says otherwise.
const DEFAULT_LIMIT: usize = 1000;
/// Groups in one listing at most.
const MAX_LIMIT: usize = 10_000;
/// Candidates named when a prefix is ambiguous.
pub const MAX_CANDIDATES: usize = 10;

/// `GET /v1/groups?all=true&limit=N`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Also those that failed lately.
    #[serde(default)]
    all: bool,
    limit: Option<usize>,
}

/// Lists groups, those that live first.
pub async fn list(State(local): Node, Asked(query): Asked<ListQuery>) -> Result<Json<Groups>, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    local.groups(limit, query.all).await.map(Json)
}

/// Creates a group; answers when every member has accepted, or not.
pub async fn create(
    State(served): State<Served>,
    Asked(query): Asked<HoldQuery>,
    _place: WaitingPlace,
    caller: Caller,
    Body(request): Body<CreateRequest>,
) -> Result<Response, Problem> {
    let terms = query.terms()?;
    let state = state(&request)?;
    caller.still_there()?;
    let Some(terms) = terms else {
        let created: Created = served.local().create(request, state).await?;
        return Ok((StatusCode::CREATED, Json(created)).into_response());
    };
    let place = served.places.stream()?;
    let holding = served.local().create_held(request, state, terms).await?;
    Ok(holds::stream(holding, place))
}

/// Shows a group, also one that has failed.
pub async fn show(State(local): Node, PathName(group): PathName) -> Result<Json<GroupInfo>, Problem> {
    local.show(&group).await.map(Json)
}

/// Fails a group.
pub async fn signal(
    State(local): Node,
    PathName(group): PathName,
    caller: Caller,
    Body(request): Body<SignalRequest>,
) -> Result<Json<Signalled>, Problem> {
    let group = local.identify(&group, Purpose::End).await?;
    caller.still_there()?;
    local.signal(group, request.reason).await.map(Json)
}

/// Comes into a group as a member.
pub async fn join(
    State(served): State<Served>,
    PathName(group): PathName,
    Asked(query): Asked<HoldQuery>,
    _place: WaitingPlace,
    caller: Caller,
    Body(request): Body<JoinRequest>,
) -> Result<Response, Problem> {
    let local = served.local();
    let Some(terms) = query.terms()? else {
        let joined = come_in(local, &group, &caller, &request, false).await?;
        return Ok(joined.into_response());
    };
    let place = served.places.stream()?;
    let group = local.identify(&group, Purpose::Look).await?;
    caller.still_there()?;
    let holding = local.join_held(group, request.timeout_ms, terms).await?;
    Ok(holds::stream(holding, place))
}

/// Comes into a group as an observer.
pub async fn observe(
    State(local): Node,
    PathName(group): PathName,
    _place: WaitingPlace,
    caller: Caller,
    Body(request): Body<JoinRequest>,
) -> Result<Json<Joined>, Problem> {
    come_in(&local, &group, &caller, &request, true).await
}

async fn come_in(
    local: &Local,
    group: &str,
    caller: &Caller,
    request: &JoinRequest,
    observe: bool,
) -> Result<Json<Joined>, Problem> {
    let group = local.identify(group, Purpose::Look).await?;
    caller.still_there()?;
    local.join(group, observe, request.timeout_ms).await.map(Json)
}

/// Leaves a group, or closes it if it is this node's own.
pub async fn leave(
    State(local): Node,
    PathName(group): PathName,
    _place: WaitingPlace,
    caller: Caller,
) -> Result<Json<Departed>, Problem> {
    let group = local.identify(&group, Purpose::End).await?;
    caller.still_there()?;
    local.leave(group).await.map(Json)
}

/// Closes a group of this node's own.
pub async fn close(State(local): Node, PathName(group): PathName, caller: Caller) -> Result<Json<Departed>, Problem> {
    let group = local.identify(&group, Purpose::End).await?;
    caller.still_there()?;
    local.close(group).await.map(Json)
}

/// The word on a peer that wants to come in.
pub async fn admit(
    State(local): Node,
    PathName(group): PathName,
    Body(request): Body<AdmissionRequest>,
) -> Result<StatusCode, Problem> {
    let group = local.identify(&group, Purpose::Look).await?;
    let refusal = (!request.admit).then_some(request.reason);
    local.admit(group, request.peer.peer, refusal).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks every member.
pub async fn check(
    State(local): Node,
    PathName(group): PathName,
    _place: WaitingPlace,
    caller: Caller,
) -> Result<Json<Checked>, Problem> {
    let group = local.identify(&group, Purpose::Look).await?;
    caller.still_there()?;
    local.check(group).await.map(Json)
}

/// The application state of a creation, in either form.
fn state(request: &CreateRequest) -> Result<Vec<u8>, Problem> {
    match (&request.state, &request.state_base64) {
        (None, None) => Ok(Vec::new()),
        (Some(text), None) => Ok(text.clone().into_bytes()),
        (None, Some(text)) => BASE64
            .decode(text.as_bytes())
            .map_err(|error| Problem::new(Kind::InvalidRequest, &format!("state_base64: {error}"))),
        (Some(_), Some(_)) => Err(Problem::new(
            Kind::InvalidRequest,
            "state and state_base64 exclude each other",
        )),
    }
}

/// The one group among `known` ids that begins with `prefix`.
///
/// # Errors
/// None does, or several do: these are listed.
pub fn resolve(prefix: &str, known: impl Iterator<Item = String>) -> Result<String, Problem> {
    let mut found: BTreeSet<String> = known.filter(|id| id.starts_with(prefix)).take(MAX_CANDIDATES).collect();
    match found.len() {
        0 => Err(Problem::new(
            Kind::GroupNotKnown,
            &format!("no group here begins with {prefix}"),
        )),
        1 => Ok(found.pop_first().unwrap_or_default()),
        _ => Err(ambiguous(prefix, found)),
    }
}

fn ambiguous(prefix: &str, found: BTreeSet<String>) -> Problem {
    let shortest = 1 + shared(&found);
    let shown: Vec<&str> = found
        .iter()
        .map(|id| id.get(..shortest.max(12)).unwrap_or(id))
        .collect();
    let detail = format!("several groups here begin with {prefix}: {}", shown.join(", "));
    Problem::new(Kind::GroupAmbiguous, &detail).with(More {
        candidates: found.into_iter().collect(),
        ..More::default()
    })
}

/// How many characters any two of these ids share at most; neighbours in their order share most.
fn shared(ids: &BTreeSet<String>) -> usize {
    let pairs = ids.iter().zip(ids.iter().skip(1));
    let shared = pairs.map(|(a, b)| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count());
    shared.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(prefix: &str, ids: &[&str]) -> Result<String, Problem> {
        resolve(prefix, ids.iter().map(ToString::to_string))
    }

    #[test]
    fn an_unambiguous_prefix_is_enough() {
        assert_eq!(resolved("ab", &["abc", "xyz"]).unwrap(), "abc");
        assert_eq!(resolved("abc", &["abc", "abd"]).unwrap(), "abc");
    }

    #[test]
    fn a_group_that_is_listed_twice_is_one() {
        assert_eq!(resolved("ab", &["abc", "abc"]).unwrap(), "abc");
    }

    #[test]
    fn an_unknown_one_is_said_so() {
        assert!(resolved("q", &["abc"]).unwrap_err().is(Kind::GroupNotKnown));
    }

    #[test]
    fn an_ambiguous_one_names_its_candidates_apart() {
        let problem = resolved("commonprefix", &["commonprefix-ab", "commonprefix-ac", "x"]).unwrap_err();
        assert!(problem.is(Kind::GroupAmbiguous));
        assert_eq!(problem.status, 409);
        assert_eq!(problem.more.candidates, ["commonprefix-ab", "commonprefix-ac"]);
        assert!(
            problem.detail.ends_with("commonprefix-ab, commonprefix-ac"),
            "{}",
            problem.detail
        );
    }

    #[test]
    fn the_candidates_are_bounded() {
        let ids: Vec<String> = (0..100).map(|at| format!("a{at}")).collect();
        assert_eq!(
            resolve("a", ids.into_iter()).unwrap_err().more.candidates.len(),
            MAX_CANDIDATES
        );
    }

    #[test]
    fn state_is_text_or_base64() {
        let request = |state: Option<&str>, state_base64: Option<&str>| CreateRequest {
            state: state.map(str::to_owned),
            state_base64: state_base64.map(str::to_owned),
            ..CreateRequest::default()
        };
        assert_eq!(state(&request(Some("é"), None)).unwrap(), "é".as_bytes());
        assert_eq!(state(&request(None, Some("AP8="))).unwrap(), [0, 255]);
        assert!(state(&request(None, Some("%"))).is_err());
        assert!(state(&request(Some(""), Some(""))).is_err());
    }
}
