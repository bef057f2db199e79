//! The local API as a program without any HTTP library uses it: bytes over a Unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::home::Home;

/// No answer takes longer: a node gives a request 10 s to arrive, and nothing here waits for other nodes longer than that.
const LIMIT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The last part of a problem document's type.
    #[track_caller]
    pub fn problem(&self) -> String {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        let kind = problem["type"].as_str().unwrap();
        kind.strip_prefix("urn:fatebound:error:").unwrap().to_owned()
    }
}

/// A connection to the node of this home.
pub fn connect(home: &Home) -> UnixStream {
    let stream = UnixStream::connect(home.path().join("fatebound.sock")).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// A request's bytes.
pub fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Asks, and reads the whole answer.
pub fn ask(home: &Home, method: &str, path: &str, body: &str) -> Answer {
    let mut stream = connect(home);
    // A node that has answered before everything was sent need not take the rest.
    let _ = stream.write_all(request(method, path, body).as_bytes());
    answer(&mut stream)
}

/// Reads an answer up to the end of its connection.
pub fn answer(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .expect("an answer, and the end of its connection");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

/// The status of an answer, of which nothing more is read.
pub fn status(stream: &mut impl Read) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).expect("a status line");
    let line = std::str::from_utf8(&line).unwrap();
    line.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

/// A connection that asks one thing after the other.
pub struct Kept(BufReader<UnixStream>);

impl Kept {
    pub fn new(home: &Home) -> Kept {
        Kept(BufReader::new(connect(home)))
    }

    /// The body of an answer that has to be a success.
    #[track_caller]
    pub fn post(&mut self, path: &str, body: &str) -> Value {
        let request = request("POST", path, body).replace("Connection: close", "Connection: keep-alive");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let head: Vec<String> = self
            .0
            .by_ref()
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        assert!(
            head[0].starts_with("HTTP/1.1 2"),
            "{head:?} {}",
            String::from_utf8_lossy(&body)
        );
        serde_json::from_slice(&body).unwrap()
    }
}

/// An event stream of the node of this home, open, of which nothing has been read yet.
pub fn events(home: &Home, path: &str, last: Option<&str>) -> impl Iterator<Item = Value> + use<> {
    let mut stream = connect(home);
    let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{last}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(status(&mut stream), 200);
    let lines = BufReader::new(stream)
        .lines()
        .map(|line| line.expect("an event in time"));
    lines.filter_map(|line| Some(serde_json::from_str(line.strip_prefix("data: ")?).unwrap()))
}
