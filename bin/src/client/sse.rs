//! Reading server-sent events: lines that begin with a field's name, an empty line after each event.

use std::time::Duration;

use reqwest::Response;
use serde::de::DeserializeOwned;

use crate::api::model::Event;

/// Bytes of one event at most: a message of 60 KiB takes six times as many if each of its bytes is escaped. More is not of this API.
const MAX_EVENT: usize = 512 * 1024;

/// A node sends a comment every 15 s when it has no event. After three of these times without a byte it hangs, or is stopped.
const SILENCE: Duration = Duration::from_secs(45);

/// An open event stream.
#[derive(Debug)]
pub struct Events {
    response: Response,
    parser: Parser,
}

impl Events {
    /// The stream that this response carries.
    pub fn new(response: Response) -> Events {
        Events {
            response,
            parser: Parser::default(),
        }
    }

    /// The next event; `None` when the stream has ended, however it did, or the node has fallen silent.
    pub async fn next(&mut self) -> Option<Event> {
        self.next_of().await
    }

    /// The same on a stream of something else.
    pub async fn next_of<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(data) = self.parser.pop() {
                match serde_json::from_str(&data) {
                    Ok(event) => return Some(event),
                    Err(error) => tracing::warn!(%error, "an event that cannot be read"),
                }
                continue;
            }
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await.ok()?;
            let chunk = chunk.ok().flatten()?;
            self.parser.push(&chunk)?;
        }
    }
}

/// Finds whole events in a stream of bytes that is cut anywhere.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
    /// So many bytes hold no end of an event: they are not searched again.
    searched: usize,
}

impl Parser {
    /// Takes more bytes; `None` when an event is too long.
    fn push(&mut self, chunk: &[u8]) -> Option<()> {
        self.bytes.extend_from_slice(chunk);
        (self.bytes.len() <= MAX_EVENT + chunk.len()).then_some(())
    }

    /// The data of the next whole event. Comments (keep-alives) have none and are skipped.
    fn pop(&mut self) -> Option<String> {
        loop {
            let from = self.searched.saturating_sub(1);
            let Some(at) = self.bytes[from..].windows(2).position(|pair| pair == b"\n\n") else {
                self.searched = self.bytes.len();
                return None;
            };
            let event: Vec<u8> = self.bytes.drain(..from + at + 2).collect();
            self.searched = 0;
            if let Some(data) = data(&String::from_utf8_lossy(&event)) {
                return Some(data);
            }
        }
    }
}

fn data(event: &str) -> Option<String> {
    let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let text = b"id: a.1\nevent: failed\ndata: {1}\n\n:\n\ndata: {2}\ndata: more\n\n";
        for cut in 0..text.len() {
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                parser.push(part).unwrap();
                found.extend(std::iter::from_fn(|| parser.pop()));
            }
            assert_eq!(found, ["{1}", "{2}\nmore"], "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut parser = Parser::default();
        assert!(parser.push(&vec![b'x'; MAX_EVENT]).is_some());
        assert!(parser.push(b"xx").is_some());
        assert!(parser.push(b"x").is_none());
    }
}
