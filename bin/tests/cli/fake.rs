//! Something at a node's socket that is no node: it says what a test wants it to say, or nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use crate::home::Home;

/// An answer: the status line's end, and the body.
pub type Answer = (&'static str, String);

fn listen(home: &Home) -> UnixListener {
    UnixListener::bind(home.path().join("fatebound.sock")).unwrap()
}

/// Answers every request, which is given as its first line and its body.
pub fn answering(home: &Home, answer: impl Fn(&str, &str) -> Answer + Send + 'static) {
    let listener = listen(home);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (line, body) = request(&stream);
            let (status, body) = answer(&line, &body);
            let length = body.len();
            let _ = write!(
                &stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
}

/// Takes connections and answers with these bytes, after which nothing comes any more.
pub fn stuck(home: &Home, bytes: &'static str) {
    let listener = listen(home);
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            request(&stream);
            let _ = (&stream).write_all(bytes.as_bytes());
            open.push(stream);
        }
    });
}

/// A socket whose owner never looks at it.
pub fn asleep(home: &Home) -> UnixListener {
    listen(home)
}

fn request(stream: &UnixStream) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if first.is_empty() {
            first = line;
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body).unwrap();
    (first, body)
}
