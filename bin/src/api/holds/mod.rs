//! The API's paths about holds and invitations.
//!
//! A hold is one client's share in a group's fate. It lasts as long as the stream on which it came; when the stream ends and the client has not left,
//! the group is signalled.

pub mod model;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;

use model::{HoldEvent, HoldLeft, Renewed};

use super::model::{SignalRequest, Signalled};
use super::problem::{Kind, Problem};
use super::request::{Asked, Body, Caller, PathName, StreamPlace};
use super::server::{Node, Served};
use crate::local::Holding;

/// Events between a stream and its client's socket.
const IN_FLIGHT: usize = 16;
/// Events that wait for their client to read: with more, it accepts no further invitation.
const MAX_UNTOLD: usize = 128;
/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// How often a hold has to be renewed, if it has to be: in milliseconds.
const TTL: std::ops::RangeInclusive<u64> = 100..=3_600_000;

/// `?hold=true&ttl_ms=N` of a creation and of a join.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldQuery {
    /// Whether the answer is a stream that holds the group.
    #[serde(default)]
    hold: bool,
    /// The hold has to be renewed within this time.
    ttl_ms: Option<u64>,
}

impl HoldQuery {
    /// What a hold has to keep to, if one is wanted.
    pub fn terms(&self) -> Result<Option<Terms>, Problem> {
        match (self.hold, self.ttl_ms) {
            (true, ttl_ms) => Terms::new(ttl_ms).map(Some),
            (false, None) => Ok(None),
            (false, Some(_)) => Err(Problem::new(Kind::InvalidRequest, "ttl_ms goes with hold=true")),
        }
    }
}

/// What a hold has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// It is renewed within this time, or has ended.
    pub ttl: Option<Duration>,
}

impl Terms {
    fn new(ttl_ms: Option<u64>) -> Result<Terms, Problem> {
        match ttl_ms {
            Some(ttl) if !TTL.contains(&ttl) => {
                let words = format!("ttl_ms: {ttl} is outside of {} to {}", TTL.start(), TTL.end());
                Err(Problem::new(Kind::InvalidRequest, &words))
            }
            ttl => Ok(Terms {
                ttl: ttl.map(Duration::from_millis),
            }),
        }
    }
}

/// `GET /v1/invitations?tag=T&count=N&ttl_ms=M`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvitationQuery {
    /// Invitations with this tag.
    tag: String,
    /// So many.
    count: Option<usize>,
    /// Each hold has to be renewed within this time.
    ttl_ms: Option<u64>,
}

/// Waits for invitations, and holds each from the moment of its acceptance.
pub async fn invitations(
    State(local): Node,
    Asked(query): Asked<InvitationQuery>,
    place: StreamPlace,
    caller: Caller,
) -> Result<Response, Problem> {
    if query.count == Some(0) {
        return Err(Problem::new(Kind::InvalidRequest, "count: at least 1"));
    }
    let terms = Terms::new(query.ttl_ms)?;
    caller.still_there()?;
    let holding = local.invitations(query.tag, query.count, terms).await?;
    Ok(stream(holding, place))
}

/// Ends a hold without failing anybody.
pub async fn leave(
    State(served): State<Served>,
    PathName(hold): PathName,
    caller: Caller,
) -> Result<Json<HoldLeft>, Problem> {
    let local = served.local();
    let _place = match local.is_held_at_root(&hold)? {
        true => served.places.leaving()?,
        false => served.places.waiting()?,
    };
    caller.still_there()?;
    local.leave_hold(&hold).await?;
    Ok(Json(HoldLeft { left: true }))
}

/// Fails the group of a hold.
pub async fn signal(
    State(local): Node,
    PathName(hold): PathName,
    caller: Caller,
    Body(request): Body<SignalRequest>,
) -> Result<Json<Signalled>, Problem> {
    let group = local.held(&hold)?;
    caller.still_there()?;
    local.signal(group, request.reason).await.map(Json)
}

/// Begins the time anew within which a hold has to be renewed.
pub async fn renew(State(local): Node, PathName(hold): PathName) -> Result<Json<Renewed>, Problem> {
    let ttl = local.renew_hold(&hold)?;
    let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    Ok(Json(Renewed { ttl_ms }))
}

/// The answer that is a stream of holds.
pub fn stream(holding: Holding, place: StreamPlace) -> Response {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let place = place.keep();
    tokio::spawn(async move {
        let _place = place;
        follow(holding, sender).await;
    });
    Sse::new(ReceiverStream::new(receiver)).into_response()
}

type Sender = mpsc::Sender<Result<sse::Event, Infallible>>;

/// Until the last hold has ended, or until the client has gone away: then those that are left have ended badly, because they are dropped here. A client
/// that reads slowly keeps nothing from being noticed.
async fn follow(mut holding: Holding, sender: Sender) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut untold = VecDeque::new();
    let mut more = true;
    while more || !untold.is_empty() {
        let room = untold.len() < MAX_UNTOLD;
        let quiet = untold.is_empty();
        tokio::select! {
            biased;
            () = sender.closed() => return,
            place = sender.reserve(), if !quiet => {
                if let (Ok(place), Some(event)) = (place, untold.pop_front()) {
                    place.send(Ok(event));
                }
            }
            event = holding.next(room), if more => match event {
                Some(event) => untold.extend(told(&event)),
                None => more = false,
            },
            _ = beat.tick(), if quiet => untold.extend(told(&HoldEvent::Keepalive)),
        }
    }
}

fn told(event: &HoldEvent) -> Option<sse::Event> {
    let data = serde_json::to_string(event).ok()?;
    Some(sse::Event::default().event(event.name()).data(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_has_a_range_and_goes_with_a_hold() {
        let terms = |hold, ttl_ms| HoldQuery { hold, ttl_ms }.terms();
        assert_eq!(terms(false, None).unwrap(), None);
        assert_eq!(terms(true, None).unwrap(), Some(Terms { ttl: None }));
        let ttl = Some(Duration::from_millis(100));
        assert_eq!(terms(true, Some(100)).unwrap(), Some(Terms { ttl }));
        for (hold, ttl) in [(true, 99), (true, 3_600_001), (false, 100)] {
            assert!(terms(hold, Some(ttl)).unwrap_err().is(Kind::InvalidRequest), "{ttl}");
        }
    }
}
