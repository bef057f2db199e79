//! Events as server-sent events: every reader follows the log from its own place.
//!
//! `Last-Event-ID` resumes after that event. What cannot be had any more is announced by an event `gap`; failures of groups come all the
//! same. A group's stream ends with its failure, and begins with it when the group had failed before: nobody waits for what has happened already.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::log::{Batch, Cursor, EventLog, Place, is_last_word};
use super::model::Event;
use super::problem::Problem;
use super::request::{PathName, StreamPlace};
use super::server::{Node, nothing_more};
use crate::local::{Found, Local};

/// Events between the log and a reader's socket; the log itself is the queue.
const IN_FLIGHT: usize = 16;

/// The reader is gone.
struct Gone;

/// `GET /v1/events`
pub async fn all(State(local): Node, place: StreamPlace, headers: HeaderMap) -> Response {
    let (sender, response) = stream();
    let reader = Reader::new(local.log(), &headers, sender, Some(place.keep()));
    tokio::spawn(async move {
        let _ = follow_all(reader).await;
    });
    response
}

/// `GET /v1/groups/{group}/events`
pub async fn of_group(
    State(local): Node,
    PathName(group): PathName,
    place: StreamPlace,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (sender, response) = stream();
    // The reader takes its place before the group is looked up: a failure between the two is ahead of it.
    let reader = Reader::new(local.log(), &headers, sender, Some(place.keep()));
    let (group, failure) = match local.find(&group).await? {
        Found::Live(view) => (view.group.clone(), None),
        Found::Over(event) => (event.group.clone().unwrap_or_default(), Some(event)),
    };
    if let Some(failure) = &failure
        && reader.resumed
        && failure.seq < reader.cursor.next()
    {
        return Ok(nothing_more());
    }
    tokio::spawn(async move {
        let _ = follow_group(&local, reader, &group, failure).await;
    });
    Ok(response)
}

/// `GET /v1/admissions`: peers that want to come into groups of this node. While somebody follows this, they are asked about; there is no going
/// back to earlier ones, for a peer repeats its wish only for a while.
pub async fn admissions(State(local): Node, place: StreamPlace) -> Result<Response, Problem> {
    let (sender, response) = stream();
    let mut admissions = local.admissions().await?;
    let place = place.keep();
    tokio::spawn(async move {
        let _place = place;
        loop {
            let wish = tokio::select! {
                wish = local.next_wish(&mut admissions) => wish,
                () = sender.closed() => return,
            };
            let Some(data) = wish.and_then(|wish| serde_json::to_string(&wish).ok()) else {
                return;
            };
            let event = sse::Event::default().event("wish").data(data);
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

type Sender = mpsc::Sender<Result<sse::Event, Infallible>>;

fn stream() -> (Sender, Response) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let response = Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default());
    (sender, response.into_response())
}

async fn follow_all(mut reader: Reader) -> Result<(), Gone> {
    reader.begin().await?;
    loop {
        let batch = reader.next().await?;
        for event in &batch.events {
            reader.send(event).await?;
        }
        if batch.closed {
            return Ok(());
        }
    }
}

async fn follow_group(local: &Local, mut reader: Reader, group: &str, failure: Option<Arc<Event>>) -> Result<(), Gone> {
    reader.begin().await?;
    if let Some(failure) = failure {
        return reader.send(&failure).await;
    }
    loop {
        let batch = reader.next().await?;
        if batch.missed > 0
            && let Ok(Found::Over(failure)) = local.find(group).await
        {
            return reader.send(&failure).await;
        }
        for event in batch
            .events
            .iter()
            .filter(|event| event.group.as_deref() == Some(group))
        {
            reader.send(event).await?;
            if is_last_word(&event.event) {
                return Ok(());
            }
        }
        if batch.closed {
            return Ok(());
        }
    }
}

/// One reader of the log.
struct Reader {
    cursor: Cursor,
    /// It goes on where it was.
    resumed: bool,
    /// It asked for a place in another life: what it missed, nobody knows.
    lost: bool,
    sender: Sender,
    /// Its place among the streams.
    _place: Option<OwnedSemaphorePermit>,
}

impl Reader {
    fn new(log: Arc<EventLog>, headers: &HeaderMap, sender: Sender, place: Option<OwnedSemaphorePermit>) -> Reader {
        let asked = headers
            .get("last-event-id")
            .and_then(|id| id.to_str().ok())
            .filter(|id| !id.is_empty());
        let resumed = asked.and_then(|id| log.resume(id));
        let begin = match (asked, resumed) {
            (_, Some(next)) => Place::At(next),
            (Some(_), None) => Place::Oldest,
            (None, None) => Place::Now,
        };
        Reader {
            cursor: Cursor::new(log, begin),
            resumed: resumed.is_some(),
            lost: asked.is_some() && resumed.is_none(),
            sender,
            _place: place,
        }
    }

    /// Announces what is lost for good.
    async fn begin(&mut self) -> Result<(), Gone> {
        if !self.lost {
            return Ok(());
        }
        let gap = self.cursor.log().gap(None, self.cursor.next());
        self.send(&gap).await
    }

    /// The next events; a gap before them is announced already.
    async fn next(&mut self) -> Result<Batch, Gone> {
        tokio::select! {
            () = self.cursor.wait() => {}
            () = self.sender.closed() => return Err(Gone),
        }
        let batch = self.cursor.read();
        if batch.missed > 0 {
            let gap = self.cursor.log().gap(Some(batch.missed), batch.from);
            self.send(&gap).await?;
        }
        Ok(batch)
    }

    async fn send(&self, event: &Event) -> Result<(), Gone> {
        let data = serde_json::to_string(event).map_err(|_| Gone)?;
        let event = sse::Event::default()
            .id(self.cursor.log().resume_id(event.seq))
            .event(&event.event)
            .data(data);
        self.sender.send(Ok(event)).await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::log::News;
    use std::time::SystemTime;

    fn log() -> Arc<EventLog> {
        let log = EventLog::new("a".into());
        (1..=3).for_each(|seq| log.append(News::named("link_up"), seq, SystemTime::UNIX_EPOCH));
        Arc::new(log)
    }

    fn reader(log: &Arc<EventLog>, last: Option<&str>) -> Reader {
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert("last-event-id", last.parse().unwrap());
        }
        let (sender, _) = mpsc::channel(1);
        Reader::new(Arc::clone(log), &headers, sender, None)
    }

    #[test]
    fn a_reader_begins_now_or_where_it_was() {
        let log = log();
        assert_eq!(reader(&log, None).cursor.next(), 4);
        assert_eq!(reader(&log, Some("a.1")).cursor.next(), 2);
        assert!(!reader(&log, Some("a.1")).lost);
    }

    #[test]
    fn a_reader_from_another_life_begins_at_the_oldest_with_a_gap() {
        let log = log();
        let reader = reader(&log, Some("b.2"));
        assert_eq!((reader.cursor.next(), reader.lost, reader.resumed), (1, true, false));
    }
}
