//! The commands that talk to a running node.
//!
//! A node that is stopped, hangs or is far too busy takes connections all the same, because the system does that for it. So every call
//! has a time limit, from connecting to the last byte of the answer; a stream has one until it begins.

mod application;
mod creating;
pub mod directory;
pub mod groups;
pub mod joining;
pub mod peer_names;
pub mod pg;
pub mod sse;
pub mod status;
pub mod watch;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::address::ApiAddress;
use crate::api::problem::{Kind, Problem};
use crate::api::token::Token;
use crate::cli::ClientArgs;
use crate::exit::{Exit, Failure};
use crate::paths;

/// A node's local API, over its Unix socket or over TCP.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    address: ApiAddress,
    /// How long the node may be silent.
    patience: Duration,
}

/// Why a call has no result.
#[derive(Debug)]
pub enum CallError {
    /// No node answers there, or not in time, or it went away before it had answered.
    Unreachable(String),
    /// The node said no.
    Problem(Problem),
    /// The answer is not of this API.
    Foreign(String),
}

impl Api {
    /// The node that these arguments mean. Nothing is sent yet.
    pub fn of(args: &ClientArgs) -> Result<Api, Failure> {
        let default = || paths::default_socket().map(ApiAddress::Unix);
        let address = args.api.clone().map_or_else(default, Ok)?;
        let builder = reqwest::Client::builder().no_proxy();
        let builder = match &address {
            ApiAddress::Unix(path) => builder.unix_socket(path.as_path()),
            ApiAddress::Tcp { .. } => builder.default_headers(authorization(args)?),
        };
        Api::of_client(builder, address, args.api_timeout)
    }

    /// The node that serves at this socket, and may be silent for this long. Nothing is sent yet.
    pub fn at(socket: &Path, patience: Duration) -> Result<Api, Failure> {
        let builder = reqwest::Client::builder().unix_socket(socket).no_proxy();
        Api::of_client(builder, ApiAddress::Unix(socket.to_owned()), patience)
    }

    fn of_client(builder: reqwest::ClientBuilder, address: ApiAddress, patience: Duration) -> Result<Api, Failure> {
        let client = builder.build();
        Ok(Api {
            http: client.map_err(|error| Failure::error(format!("no HTTP client: {error}")))?,
            address,
            patience,
        })
    }

    /// Where it serves.
    pub fn address(&self) -> &ApiAddress {
        &self.address
    }

    /// The same node, which needs this long for what it is asked and may be silent only then.
    pub fn busy_for(&self, work: Duration) -> Api {
        Api {
            patience: self.patience.saturating_add(work),
            ..self.clone()
        }
    }

    /// `GET`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(self.http.get(self.url(path))).await
    }

    /// `POST`.
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CallError> {
        self.call(self.http.post(self.url(path)).json(body)).await
    }

    /// `POST` of what is answered by nothing.
    pub async fn tell<B: Serialize>(&self, path: &str, body: &B) -> Result<(), CallError> {
        let answer = self.send(self.http.post(self.url(path)).json(body));
        self.in_time(answer).await.map(drop)
    }

    /// `DELETE`.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(self.http.delete(self.url(path))).await
    }

    /// `PUT`.
    pub async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CallError> {
        self.call(self.http.put(self.url(path)).json(body)).await
    }

    /// Opens an event stream; once this returns, no later event is missed.
    pub async fn events(&self, path: &str) -> Result<sse::Events, CallError> {
        let response = self.in_time(self.send(self.http.get(self.url(path)))).await?;
        Ok(sse::Events::new(response))
    }

    /// `POST` whose answer is an event stream, which may take its time: what else is asked meanwhile shows whether the node lives.
    pub async fn attach<B: Serialize>(&self, path: &str, body: &B) -> Result<sse::Events, CallError> {
        let response = self.send(self.http.post(self.url(path)).json(body)).await?;
        Ok(sse::Events::new(response))
    }

    /// The same, with an answer that has to begin in time.
    pub async fn attach_in_time<B: Serialize>(&self, path: &str, body: &B) -> Result<sse::Events, CallError> {
        self.in_time(self.attach(path, body)).await
    }

    async fn call<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, CallError> {
        let answer = async {
            let body = self.send(request).await?.bytes().await;
            body.map_err(|error| self.unreachable(&error))
        };
        serde_json::from_slice(&self.in_time(answer).await?).map_err(|error| CallError::Foreign(error.to_string()))
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let answer = tokio::time::timeout(self.patience, answer).await;
        answer.unwrap_or_else(|_| Err(self.silent()))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, CallError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.problem(response).await)
    }

    async fn problem(&self, response: Response) -> CallError {
        let status = response.status();
        let Ok(body) = response.bytes().await else {
            return CallError::Foreign(status.to_string());
        };
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => CallError::Problem(problem),
            Err(_) => CallError::Foreign(status.to_string()),
        }
    }

    /// The host means nothing on a Unix socket.
    fn url(&self, path: &str) -> String {
        match &self.address {
            ApiAddress::Unix(_) => format!("http://localhost{path}"),
            address => format!("{address}{path}"),
        }
    }

    fn silent(&self) -> CallError {
        CallError::Unreachable(format!(
            "the node at {} has not answered within {}: it is stopped, hangs or is very busy, and may still do what it was asked (see --api-timeout)",
            self.address,
            humantime::format_duration(self.patience)
        ))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        CallError::Unreachable(format!(
            "no node can be reached at {} ({}); is `fatebound node` running there? (--api names another place)",
            self.address,
            innermost(error)
        ))
    }
}

/// The headers with which a request over TCP comes in.
fn authorization(args: &ClientArgs) -> Result<HeaderMap, Failure> {
    let Some(path) = &args.api_token_file else {
        let words = "an API over TCP wants a token: name its file with --api-token-file";
        return Err(Failure::new(Exit::Usage, words));
    };
    let token = Token::read(path).map_err(Failure::error)?;
    let mut value = HeaderValue::from_str(&token.bearer()).map_err(Failure::error)?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

/// The last cause says what happened; those above it only say who noticed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Unreachable(text) => f.write_str(text),
            CallError::Problem(problem) => f.write_str(&problem.detail),
            CallError::Foreign(text) => write!(f, "the answer is not one of a fatebound node: {text}"),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        let exit = match &error {
            CallError::Unreachable(_) => Exit::NodeUnreachable,
            CallError::Problem(problem) => exit_of(problem),
            CallError::Foreign(_) => Exit::Error,
        };
        Failure::new(exit, error)
    }
}

fn exit_of(problem: &Problem) -> Exit {
    if problem.is(Kind::CreationFailed) || problem.is(Kind::CreationRefused) {
        return Exit::CreationFailed;
    }
    if problem.is(Kind::NotJoined) {
        return match &problem.more.refusal {
            Some(refusal) if refusal["kind"] == "put_out" => Exit::GroupFailed,
            _ => Exit::CreationFailed,
        };
    }
    if problem.is(Kind::InvalidName) {
        return Exit::Usage;
    }
    if problem.is(Kind::NotAdmitted) || problem.is(Kind::GroupClosed) {
        return Exit::CreationFailed;
    }
    if problem.is(Kind::GroupOver) {
        return Exit::GroupFailed;
    }
    match StatusCode::from_u16(problem.status) {
        Ok(StatusCode::SERVICE_UNAVAILABLE) => Exit::NodeUnreachable,
        _ => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(error: CallError) -> Exit {
        Failure::from(error).exit
    }

    #[test]
    fn every_error_has_its_exit_code() {
        let problem = |kind| CallError::Problem(Problem::new(kind, "x"));
        assert_eq!(exit(CallError::Unreachable("x".into())), Exit::NodeUnreachable);
        assert_eq!(exit(CallError::Foreign("x".into())), Exit::Error);
        assert_eq!(exit(problem(Kind::CreationFailed)), Exit::CreationFailed);
        assert_eq!(exit(problem(Kind::CreationRefused)), Exit::CreationFailed);
        assert_eq!(exit(problem(Kind::NotAdmitted)), Exit::CreationFailed);
        assert_eq!(exit(problem(Kind::GroupOver)), Exit::GroupFailed);
        assert_eq!(exit(problem(Kind::GroupNotKnown)), Exit::Error);
        assert_eq!(exit(problem(Kind::NotJoined)), Exit::CreationFailed);
        assert_eq!(exit(problem(Kind::InvalidName)), Exit::Usage);
        assert_eq!(exit(problem(Kind::VersionMismatch)), Exit::Error);
        assert_eq!(exit(problem(Kind::Stopping)), Exit::NodeUnreachable);
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_unreachable() {
        let dir = tempfile::tempdir().unwrap();
        let api = Api::at(&dir.path().join("api"), Duration::from_secs(10)).unwrap();
        let failure = Failure::from(api.get::<serde_json::Value>("/v1/node").await.unwrap_err());
        assert_eq!(failure.exit, Exit::NodeUnreachable);
        assert!(failure.message.contains("No such file"), "{}", failure.message);
    }
}
