//! What handlers are given of a request. Whatever cannot be read is answered with a problem document, like every other error.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Client;
use super::problem::{Kind, Problem};
use super::server::Served;

/// Bytes of a request body at most: a creation with 10,000 members and their addresses fits.
pub const MAX_BODY: usize = 2 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Bodies that are longer are read where nobody else has to wait for it.
const SHORT_BODY: usize = 16 * 1024;

/// What the path names: a group, a process group, or an entry of the directory.
pub struct PathName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathName, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| PathName(name))
            .map_err(|rejection| Problem::new(Kind::InvalidRequest, &rejection))
    }
}

/// What the path names: a process group, and one of its providers.
pub struct PathNames(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathNames {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathNames, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        path.map(|Path((name, provider))| PathNames(name, provider))
            .map_err(|rejection| Problem::new(Kind::InvalidRequest, &rejection))
    }
}

/// What the path's query says.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(query)| Asked(query))
            .map_err(|rejection| Problem::new(Kind::InvalidRequest, &rejection))
    }
}

/// A JSON body. An empty one reads as `{}`, so that `curl -X POST` does where nothing needs to be said.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let arrival = Bytes::from_request(request, state);
        let Ok(bytes) = tokio::time::timeout(BODY_TIME, arrival).await else {
            let words = format!("the request's body did not arrive within {} s", BODY_TIME.as_secs());
            return Err(Problem::new(Kind::RequestTimeout, &words));
        };
        let bytes = bytes.map_err(|rejection| unreadable(&rejection))?;
        if bytes.len() <= SHORT_BODY {
            return parse(&bytes).map(Body);
        }
        let parsed = tokio::task::spawn_blocking(move || parse(&bytes)).await;
        parsed.map_err(|error| Problem::new(Kind::Stopping, &error))?.map(Body)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(text).map_err(|error| Problem::new(Kind::InvalidRequest, &error))
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Kind::BodyTooLarge, &format!("at most {MAX_BODY} bytes")),
        _ => Problem::new(Kind::InvalidRequest, &rejection),
    }
}

/// Whoever gives an order.
pub struct Caller(Option<Client>);

impl Caller {
    /// An order whose client has gone away before it began is dropped: a node that slept must not carry out what nobody wants any more.
    ///
    /// # Errors
    /// It has gone away.
    pub fn still_there(&self) -> Result<(), Problem> {
        match &self.0 {
            Some(client) if client.is_gone() => Err(Problem::new(Kind::InvalidRequest, "its client has gone away")),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        Ok(Caller(parts.extensions.get().cloned()))
    }
}

/// Requests of the kinds that last, at most.
#[derive(Clone, Debug)]
pub struct Places {
    streams: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    leaving: Arc<Semaphore>,
}

impl Places {
    /// A place for one event stream.
    pub fn stream(&self) -> Result<StreamPlace, Problem> {
        let words = || format!("{MAX_STREAMS} event streams are open already, as many as a node serves");
        place(&self.streams, words).map(StreamPlace)
    }

    /// A place for one request that waits for other nodes.
    pub fn waiting(&self) -> Result<WaitingPlace, Problem> {
        let words = || {
            format!("{MAX_WAITING} requests that wait for other nodes are under way already, as many as a node serves")
        };
        place(&self.waiting, words).map(|permit| WaitingPlace { _permit: permit })
    }

    /// A place for one root that waits until the others have left its group. They are apart from the others: the members that it waits for have to find
    /// a place at their node, whatever the roots there wait for.
    pub fn leaving(&self) -> Result<WaitingPlace, Problem> {
        let words = || format!("{MAX_LEAVING} holds wait for the others to leave already, as many as a node serves");
        place(&self.leaving, words).map(|permit| WaitingPlace { _permit: permit })
    }
}

/// Event streams that are open at most.
pub const MAX_STREAMS: usize = 256;
/// Creations, checks and orders in process groups under way at most: they last until other nodes have answered.
pub const MAX_WAITING: usize = 128;
/// Holds at roots that wait for the others to leave, at most: they last as long as the others' work.
pub const MAX_LEAVING: usize = 128;

impl Default for Places {
    fn default() -> Places {
        Places {
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            leaving: Arc::new(Semaphore::new(MAX_LEAVING)),
        }
    }
}

/// A place for one event stream, for as long as this lives.
pub struct StreamPlace(OwnedSemaphorePermit);

impl StreamPlace {
    /// What the stream keeps.
    pub fn keep(self) -> OwnedSemaphorePermit {
        self.0
    }
}

impl FromRequestParts<Served> for StreamPlace {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, served: &Served) -> Result<StreamPlace, Problem> {
        served.places.stream()
    }
}

/// A place for one request that waits for other nodes, for as long as this lives.
pub struct WaitingPlace {
    _permit: OwnedSemaphorePermit,
}

impl FromRequestParts<Served> for WaitingPlace {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, served: &Served) -> Result<WaitingPlace, Problem> {
        served.places.waiting()
    }
}

fn place(places: &Arc<Semaphore>, words: impl Fn() -> String) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| Problem::new(Kind::Busy, &words()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::{CreateRequest, SignalRequest};

    #[test]
    fn an_empty_body_is_an_empty_object() {
        let request: SignalRequest = parse(b"").unwrap();
        assert_eq!(request.reason, "");
        let problem = parse::<CreateRequest>(b"").unwrap_err();
        assert!(
            problem.is(Kind::InvalidRequest) && problem.detail.contains("members"),
            "{problem:?}"
        );
    }

    #[test]
    fn what_is_no_json_says_where() {
        let problem = parse::<SignalRequest>(b"{\"reason\": 7}").unwrap_err();
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains("line 1"), "{problem:?}");
    }

    #[test]
    fn places_are_given_back() {
        let places = Arc::new(Semaphore::new(1));
        let words = || "full".to_owned();
        let first = place(&places, words).unwrap();
        assert!(place(&places, words).unwrap_err().is(Kind::Busy));
        drop(first);
        assert!(place(&places, words).is_ok());
    }
}
