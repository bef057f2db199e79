//! Clients that send too much, too little, or too many: the node goes on, and whoever asks something short is answered.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::json;

use crate::home::{Home, Running, code, error};
use crate::http::{answer, ask, connect, request, status};

fn signal(running: &Running, signal: &str) {
    let pid = running.child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// A connection on which this was asked, and the status of its answer.
fn open(home: &Home, path: &str) -> (UnixStream, u16) {
    let mut stream = connect(home);
    stream.write_all(request("GET", path, "").as_bytes()).unwrap();
    let status = status(&mut stream);
    (stream, status)
}

#[test]
fn names_of_a_megabyte_are_refused_and_keep_nobody_waiting() {
    let home = Home::new();
    let mut running = home.node("");
    let long = "z".repeat(1_000_000);
    let bodies = [
        json!({"members": [long]}),
        json!({"members": [format!("/p2p/{long}")]}),
        json!({"members": [format!("/ip4/127.0.0.1/tcp/1/certhash/z{long}")]}),
        json!({"members": [format!("/dns4/{long}")]}),
        json!({"members": [], long.as_str(): 1}),
    ];
    std::thread::scope(|scope| {
        for body in &bodies {
            let home = &home;
            scope.spawn(move || {
                let refused = ask(home, "POST", "/v1/groups", &body.to_string());
                assert_eq!(refused.problem(), "invalid-request");
                assert!(refused.body.len() < 2000, "{}", refused.body.len());
            });
        }
        assert_eq!(code(&home.run("status")), Some(0));
    });
    let name = "z".repeat(40_000);
    for path in [
        format!("/v1/groups/{name}"),
        format!("/v1/{name}"),
        format!("/v1/groups?{name}"),
    ] {
        let refused = ask(&home, "GET", &path, "");
        assert!(["invalid-request", "not-found"].contains(&refused.problem().as_str()));
        assert!(refused.body.len() < 2000, "{}", refused.body.len());
    }
    signal(&running, "-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn many_open_streams_leave_room_for_short_requests() {
    let home = Home::new();
    let mut running = home.node("");
    running.ready();
    let mut streams = Vec::new();
    for _ in 0..1100 {
        let (stream, status) = open(&home, "/v1/events");
        match status {
            200 => streams.push(stream),
            status => assert_eq!(status, 503),
        }
    }
    assert_eq!(streams.len(), 256);
    let refused = ask(&home, "GET", "/v1/events", "");
    assert_eq!(refused.problem(), "busy");
    assert!(refused.head.contains("retry-after"), "{refused:?}");
    let status = home.run("status");
    assert_eq!(code(&status), Some(0), "{}", error(&status));
    let created = ask(&home, "POST", "/v1/groups", r#"{"members": []}"#);
    assert_eq!(created.status, 201, "{created:?}");
    // A stream whose reader has gone makes room, once the node has noticed.
    streams.pop();
    while open(&home, "/v1/events").1 != 200 {}
}

#[test]
fn connections_without_a_request_are_refused_when_too_many_and_closed_when_too_old() {
    let home = Home::new();
    let _running = home.node("");
    let mut idle: Vec<UnixStream> = (0..640).map(|_| connect(&home)).collect();
    let refused = ask(&home, "GET", "/v1/node", "");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "busy"));
    for stream in &mut idle {
        assert_eq!(stream.read(&mut [0]).expect("it is closed"), 0);
    }
    assert_eq!(code(&home.run("status")), Some(0));
}

#[test]
fn half_a_request_is_given_up() {
    let home = Home::new();
    let _running = home.node("");
    let whole = request("POST", "/v1/groups", &json!({"members": []}).to_string());
    let mut halves: Vec<(usize, UnixStream)> = Vec::new();
    for length in [3, 20, whole.len() - 1] {
        let mut stream = connect(&home);
        stream.write_all(&whole.as_bytes()[..length]).unwrap();
        halves.push((length, stream));
    }
    // What a path does not want to read, it does not wait for.
    let mut unread = connect(&home);
    unread
        .write_all(b"GET /v1/node HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
        .unwrap();
    assert_eq!(answer(&mut unread).status, 200);
    let (_, mut without_end) = halves.pop().unwrap();
    let late = answer(&mut without_end);
    assert_eq!((late.status, late.problem().as_str()), (408, "request-timeout"));
    for (length, mut stream) in halves {
        assert_eq!(stream.read(&mut [0]).expect("it is closed"), 0, "{length}");
    }
}

#[test]
fn whatever_is_wrong_with_a_request_is_a_problem_document() {
    let home = Home::new();
    let _running = home.node("");
    for (method, path, status, kind) in [
        ("GET", "/v1/groups/%ff%fe", 400, "invalid-request"),
        ("GET", "/v1/groups/%ff%fe/events", 400, "invalid-request"),
        ("POST", "/v1/groups/%ff/signal", 400, "invalid-request"),
        ("POST", "/v1/groups/%ff/check", 400, "invalid-request"),
        ("GET", "/v1/groups?limit=many", 400, "invalid-request"),
        ("GET", "/v1/groups?limt=1", 400, "invalid-request"),
        ("GET", "/v1/groups?all=%ff", 400, "invalid-request"),
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1/%ff", 404, "not-found"),
        ("GET", "/v1/groups/abcd/x", 404, "not-found"),
        ("DELETE", "/v1/groups", 405, "method-not-allowed"),
        ("BREW", "/v1/node", 405, "method-not-allowed"),
        ("POST", "/v1/groups/%E2%98%83", 405, "method-not-allowed"),
        ("POST", "/v1/groups", 400, "invalid-request"),
    ] {
        let answer = ask(&home, method, path, "");
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, kind),
            "{method} {path}"
        );
    }
    for body in ["{", "[]", "\u{0}", r#"{"members": 1}"#, r#"{"members": [""]}"#] {
        let answer = ask(&home, "POST", "/v1/groups", body);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "invalid-request"),
            "{body}"
        );
    }
    let long = ask(&home, "POST", "/v1/groups", &" ".repeat(3_000_000));
    assert_eq!((long.status, long.problem().as_str()), (413, "body-too-large"));
}
