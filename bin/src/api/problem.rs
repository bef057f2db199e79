//! Errors of the API: RFC 9457 problem documents with a stable `type`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::model::RefusalInfo;

/// What went wrong. The names are the last part of the document's `type`, and final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body is not what this path takes.
    InvalidRequest,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The body is longer than this path takes.
    BodyTooLarge,
    /// No group of this name is known here.
    GroupNotKnown,
    /// Several groups begin like this.
    GroupAmbiguous,
    /// Not every member accepted.
    CreationFailed,
    /// The creation itself was refused: nothing has happened.
    CreationRefused,
    /// This node may not do that with this group.
    NotAllowed,
    /// The root did not let this node in, or could not be asked.
    NotAdmitted,
    /// The group has failed, or is not known.
    GroupOver,
    /// The group was closed by its root.
    GroupClosed,
    /// The group failed before it could be left.
    GroupFailed,
    /// No hold is called so, or no more.
    HoldUnknown,
    /// The node serves as many requests of this kind as it can.
    Busy,
    /// Nobody knows this name.
    NameNotKnown,
    /// It is not known yet whether anybody has this name.
    NameNotYetKnown,
    /// Somebody else publishes this name.
    NameTaken,
    /// The peers that would keep this name have not taken it.
    NameNotPublished,
    /// It cannot name a process group.
    InvalidName,
    /// This node is in no process group of this name.
    ProcessGroupNotKnown,
    /// No process that is attached here is called so.
    ProviderNotKnown,
    /// The process did not come into the process group.
    NotJoined,
    /// An order of a provider was refused, and nothing has changed.
    OrderRefused,
    /// The state value has another version by now, and nothing has changed.
    VersionMismatch,
    /// The request over TCP does not have the token.
    Unauthorized,
    /// The request over TCP means another host.
    ForbiddenHost,
    /// The node is stopping.
    Stopping,
}

impl Kind {
    /// The name in the document's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::NotFound => "not-found",
            Kind::MethodNotAllowed => "method-not-allowed",
            Kind::InvalidRequest => "invalid-request",
            Kind::RequestTimeout => "request-timeout",
            Kind::BodyTooLarge => "body-too-large",
            Kind::GroupNotKnown => "group-not-known",
            Kind::GroupAmbiguous => "group-ambiguous",
            Kind::CreationFailed => "creation-failed",
            Kind::CreationRefused => "creation-refused",
            Kind::NotAllowed => "not-allowed",
            Kind::NotAdmitted => "not-admitted",
            Kind::GroupOver => "group-over",
            Kind::GroupClosed => "group-closed",
            Kind::GroupFailed => "group-failed",
            Kind::HoldUnknown => "hold-unknown",
            Kind::Busy => "busy",
            Kind::NameNotKnown => "name-not-known",
            Kind::NameNotYetKnown => "name-not-yet-known",
            Kind::NameTaken => "name-taken",
            Kind::NameNotPublished => "name-not-published",
            Kind::InvalidName => "invalid-name",
            Kind::ProcessGroupNotKnown => "process-group-not-known",
            Kind::ProviderNotKnown => "provider-not-known",
            Kind::NotJoined => "not-joined",
            Kind::OrderRefused => "order-refused",
            Kind::VersionMismatch => "version-mismatch",
            Kind::Unauthorized => "unauthorized",
            Kind::ForbiddenHost => "forbidden-host",
            Kind::Stopping => "stopping",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Kind::NotFound
            | Kind::GroupNotKnown
            | Kind::NameNotKnown
            | Kind::NameNotYetKnown
            | Kind::ProcessGroupNotKnown
            | Kind::ProviderNotKnown
            | Kind::HoldUnknown => StatusCode::NOT_FOUND,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::InvalidRequest | Kind::InvalidName => StatusCode::BAD_REQUEST,
            Kind::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Kind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::NotAllowed | Kind::NotAdmitted | Kind::ForbiddenHost => StatusCode::FORBIDDEN,
            Kind::GroupOver | Kind::GroupClosed => StatusCode::GONE,
            Kind::GroupAmbiguous
            | Kind::CreationFailed
            | Kind::GroupFailed
            | Kind::NameTaken
            | Kind::NameNotPublished
            | Kind::NotJoined
            | Kind::OrderRefused => StatusCode::CONFLICT,
            Kind::VersionMismatch => StatusCode::PRECONDITION_FAILED,
            Kind::CreationRefused => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Busy | Kind::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::NotFound => "There is nothing at this path",
            Kind::MethodNotAllowed => "This path does not take this method",
            Kind::InvalidRequest => "The request makes no sense",
            Kind::RequestTimeout => "The request took too long to arrive",
            Kind::BodyTooLarge => "The request body is too large",
            Kind::GroupNotKnown => "The group is not known here",
            Kind::GroupAmbiguous => "Several groups begin like this",
            Kind::CreationFailed => "Not every member accepted",
            Kind::CreationRefused => "The creation was refused, nothing has happened",
            Kind::NotAllowed => "This node may not do that with this group",
            Kind::NotAdmitted => "This node was not let into the group",
            Kind::GroupOver => "The group is over",
            Kind::GroupClosed => "The group was closed by its root",
            Kind::GroupFailed => "The group failed before it was left",
            Kind::HoldUnknown => "No hold here is called so",
            Kind::Busy => "The node serves as many as it can",
            Kind::NameNotKnown => "Nobody knows this name",
            Kind::NameNotYetKnown => "It is not known yet whether anybody has this name",
            Kind::NameTaken => "Somebody else publishes this name",
            Kind::NameNotPublished => "The name was not published",
            Kind::InvalidName => "That cannot name a process group",
            Kind::ProcessGroupNotKnown => "The process group is not known here",
            Kind::ProviderNotKnown => "No process that is attached here is called so",
            Kind::NotJoined => "The process did not come into the process group",
            Kind::OrderRefused => "The order was refused, nothing has changed",
            Kind::VersionMismatch => "The state value has another version by now",
            Kind::Unauthorized => "The token is missing or wrong",
            Kind::ForbiddenHost => "The request means another host",
            Kind::Stopping => "The node is stopping",
        }
    }
}

/// Characters of a detail at most.
const MAX_DETAIL: usize = 1000;
/// Seconds after which it makes sense to ask a busy node again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What every `type` begins with.
pub const TYPE_PREFIX: &str = "urn:fatebound:error:";

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable; programs compare this.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This very problem, for people.
    pub detail: String,
    /// What belongs to some kinds only.
    #[serde(flatten)]
    pub more: Box<More>,
}

/// What belongs to some kinds of problem only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct More {
    /// `creation-failed`: the group, which has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `creation-failed`: each member that did not accept, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusalInfo>,
    /// `group-over`, `group-closed`, `group-failed`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<serde_json::Value>,
    /// `group-ambiguous`: some of the groups that begin like this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// `not-joined`, `order-refused`, `version-mismatch`: why, for programs; `kind` and what belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<serde_json::Value>,
}

impl Problem {
    /// A problem of this kind, in these words.
    pub fn new(kind: Kind, detail: &(impl ToString + ?Sized)) -> Problem {
        Problem {
            kind: format!("{TYPE_PREFIX}{}", kind.name()),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: cut(detail.to_string()),
            more: Box::default(),
        }
    }

    /// … with what belongs to its kind.
    pub fn with(self, more: More) -> Problem {
        Problem {
            more: Box::new(more),
            ..self
        }
    }

    /// Whether it is of this kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind.strip_prefix(TYPE_PREFIX) == Some(kind.name())
    }
}

/// What is wrong with a request may repeat all of it: that much is enough to recognise it.
fn cut(mut detail: String) -> String {
    if let Some((at, _)) = detail.char_indices().nth(MAX_DETAIL) {
        detail.truncate(at);
        detail.push('…');
    }
    detail
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (busy, unauthorized) = (self.is(Kind::Busy), self.is(Kind::Unauthorized));
        let stranger = unauthorized || self.is(Kind::ForbiddenHost);
        let mut response = (status, axum::Json(self)).into_response();
        if busy {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if busy || stranger {
            // Nor does its connection take up room.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        let media_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_its_type_and_nothing_empty() {
        let problem = Problem::new(Kind::GroupNotKnown, "no group here begins with abc");
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({
                "type": "urn:fatebound:error:group-not-known",
                "title": "The group is not known here",
                "status": 404,
                "detail": "no group here begins with abc",
            })
        );
        assert!(problem.is(Kind::GroupNotKnown));
        assert!(!problem.is(Kind::NotFound));
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        assert_eq!(Problem::new(Kind::NotFound, "short").detail, "short");
        let long = Problem::new(Kind::NotFound, &"é".repeat(100_000)).detail;
        assert_eq!(long.chars().count(), MAX_DETAIL + 1);
    }

    #[test]
    fn the_response_says_what_it_is() {
        let response = Problem::new(Kind::GroupAmbiguous, "").into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
