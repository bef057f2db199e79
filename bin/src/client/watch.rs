//! `group watch`: the events of groups as they come.
//!
//! One stream per group, so that the node ends each with the group's failure and tells at once of one that has failed already.

use futures::StreamExt;
use futures::stream::{self, SelectAll, Stream};
use serde::Serialize;

use super::application;
use super::groups::path;
use super::sse::Events;
use super::{Api, CallError};
use crate::api::log::{FAILED, GAP, is_last_word};
use crate::api::model::Event;
use crate::cli::WatchArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Cell, Output, Style, short, short_peer};

/// Columns of time, event, group, and what it is about.
const WIDTHS: [usize; 4] = [24, 13, 12, 0];

/// `fatebound group watch`
pub async fn watch(args: &WatchArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let api = Api::of(&args.client)?;
    let mut events = open(&api, &args.groups).await?;
    if output.is_json() {
        // From here on nothing is missed: who waits for this line can act and be sure to see what follows.
        output.object(&Watching::of(&args.groups))?;
    }
    let mut left = args.groups.len();
    while let Some(event) = events.next().await {
        if event.group.is_none() && event.event != GAP {
            continue;
        }
        show(output, &event)?;
        if !is_last_word(&event.event) {
            continue;
        }
        if args.until_failed && event.event == FAILED {
            return Ok(Exit::GroupFailed);
        }
        left = left.saturating_sub(1);
    }
    if left == 0 && !args.groups.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(
        Exit::NodeUnreachable,
        "the node has gone away, or says nothing any more",
    ))
}

/// The first line of a watch.
#[derive(Serialize)]
struct Watching<'a> {
    event: &'static str,
    /// As named on the command line; empty: all.
    groups: &'a [String],
}

impl Watching<'_> {
    fn of(groups: &[String]) -> Watching<'_> {
        Watching {
            event: "watching",
            groups,
        }
    }
}

type Streams = SelectAll<stream::BoxStream<'static, Event>>;

async fn open(api: &Api, groups: &[String]) -> Result<Streams, Failure> {
    let mut streams = Streams::new();
    if groups.is_empty() {
        streams.push(as_stream(api.events("/v1/events").await?).boxed());
    }
    for group in groups {
        let events = api
            .events(&format!("{}/events", path(group)?))
            .await
            .map_err(|error| about(group, error))?;
        streams.push(as_stream(events).boxed());
    }
    Ok(streams)
}

fn as_stream(events: Events) -> impl Stream<Item = Event> {
    stream::unfold(events, |mut events| async move {
        events.next().await.map(|event| (event, events))
    })
}

/// With several groups on one line, the message must say which.
fn about(group: &str, error: CallError) -> Failure {
    let failure = Failure::from(error);
    match failure.exit {
        Exit::NodeUnreachable => failure,
        exit => Failure::new(exit, format!("{group}: {}", failure.message)),
    }
}

fn show(output: Output, event: &Event) -> Result<(), Failure> {
    if output.is_json() {
        return output.object(event);
    }
    output.row(&cells(event), &WIDTHS)
}

fn cells(event: &Event) -> [Cell; 4] {
    let style = match event.event.as_str() {
        FAILED => Style::Red,
        GAP => Style::Yellow,
        _ => Style::Green,
    };
    let group = event.group.as_deref().map_or("", short);
    let about = match (&event.message, &event.peer) {
        (Some(message), _) => message.as_str(),
        (None, Some(peer)) => short_peer(peer),
        (None, None) => "",
    };
    let about = match application::brief(&event.application) {
        None => about.to_owned(),
        Some(state) => format!("{about}: {state}"),
    };
    [
        Cell::styled(Style::Dim, event.time.as_str()),
        Cell::styled(style, event.event.as_str()),
        group.into(),
        about.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::log::{News, stamped};
    use std::time::SystemTime;

    #[test]
    fn a_line_says_what_to_whom_and_why() {
        let news = News::named(FAILED).group("7xKabcdefghijkl").message("member x died");
        let event = stamped(news, 1, SystemTime::UNIX_EPOCH);
        assert_eq!(
            cells(&event),
            [
                Cell::styled(Style::Dim, "1970-01-01T00:00:00.000Z"),
                Cell::styled(Style::Red, FAILED),
                "7xKabcdefghi".into(),
                "member x died".into()
            ]
        );
    }
}
