//! The API over TCP: with a token, and only under the node's own names.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::groups::{parsed, text};
use crate::home::{Home, Running, code, error};
use crate::http::{Answer, answer, ask, status};

const TOKEN: &str = "correct-horse-battery-staple";
/// A generous limit for what happens at once.
const LIMIT: Duration = Duration::from_secs(60);

/// A node that serves its API at its socket and at a TCP port.
struct Served {
    home: Home,
    running: Running,
    /// `127.0.0.1:PORT`
    place: String,
}

fn token(home: &Home, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = home.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

impl Served {
    fn new(flags: &str) -> Served {
        let home = Home::new();
        let file = token(&home, "token", &format!("{TOKEN}\n"), 0o600);
        let socket = home.path().join("fatebound.sock");
        let line = format!(
            "--api unix:{} --api 127.0.0.1:0 --api-token-file {} {flags}",
            socket.display(),
            file.display()
        );
        let mut running = home.node(&line);
        let mut api = String::new();
        running.out.read_line(&mut api).unwrap();
        let place = api
            .trim()
            .strip_prefix("api http://")
            .unwrap_or_else(|| panic!("{api:?}"));
        let place = place.to_owned();
        running.ready();
        Served { home, running, place }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.place).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Asks with these headers.
    fn ask(&self, headers: &str) -> Answer {
        let mut stream = self.connect();
        let request = format!("GET /v1/node HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        answer(&mut stream)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}",
            self.place
        )
    }
}

#[test]
fn commands_reach_a_node_over_tcp_with_its_token() {
    let served = Served::new("");
    let here = parsed(&served.home.run("info --json"));
    let elsewhere = Home::new();
    let file = token(&elsewhere, "mine", TOKEN, 0o600);
    let place = format!("http://{}", served.place);
    let line = format!("info --json --api {place} --api-token-file {}", file.display());
    assert_eq!(parsed(&elsewhere.run(&line))["peer"], here["peer"]);
    let mut by_environment = elsewhere.command("status");
    by_environment
        .env("FATEBOUND_API", &place)
        .env("FATEBOUND_API_TOKEN_FILE", &file);
    let status = by_environment.output().unwrap();
    assert_eq!(code(&status), Some(0), "{}", error(&status));

    let without = elsewhere.run(&format!("status --api {place}"));
    assert_eq!(code(&without), Some(2), "{}", error(&without));
    let wrong = token(&elsewhere, "wrong", "0123456789abcdef", 0o600);
    let refused = elsewhere.run(&format!("status --api {place} --api-token-file {}", wrong.display()));
    assert_eq!(code(&refused), Some(1));
    assert!(error(&refused).contains("--api-token-file"), "{}", error(&refused));
    let open = token(&elsewhere, "open", TOKEN, 0o644);
    let refused = elsewhere.run(&format!("status --api {place} --api-token-file {}", open.display()));
    assert_eq!(code(&refused), Some(1));
    assert!(error(&refused).contains("open to others"), "{}", error(&refused));
}

#[test]
fn nobody_comes_in_without_the_token_or_by_another_name() {
    let served = Served::new("--api-host node.example");
    let good = format!("Authorization: Bearer {TOKEN}\r\n");
    for host in [served.place.as_str(), "localhost", "node.example:1234"] {
        assert_eq!(served.ask(&format!("Host: {host}\r\n{good}")).status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.2", "localhost.evil.example"] {
        let refused = served.ask(&format!("Host: {host}\r\n{good}"));
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, "forbidden-host"),
            "{host}"
        );
    }
    for wrong in [
        "",
        "Authorization: Bearer wrong-horse-battery-staple\r\n",
        "Authorization: Basic eDp5\r\n",
    ] {
        let refused = served.ask(&format!("Host: localhost\r\n{wrong}"));
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (401, "unauthorized"),
            "{wrong}"
        );
        assert!(refused.head.contains("www-authenticate: bearer"), "{refused:?}");
    }
    // The socket's mode is its gate: it takes any name, and wants no token.
    assert_eq!(ask(&served.home, "GET", "/v1/node", "").status, 200);
}

#[test]
fn a_node_without_a_good_token_does_not_serve_tcp() {
    let home = Home::new();
    let node = |flags: &str| {
        let line = format!("node --profile local --listen /ip4/127.0.0.1/tcp/0 {flags}");
        home.run(&line)
    };
    let without = node("--api 127.0.0.1:0");
    assert_eq!(code(&without), Some(2));
    assert!(error(&without).contains("--api-token-file"), "{}", error(&without));
    let open = token(&home, "open", TOKEN, 0o640);
    let short = token(&home, "short", "x", 0o600);
    for (file, words) in [
        (open, "chmod 600"),
        (short, "one line of 16"),
        (home.path().join("none"), "cannot read"),
    ] {
        let refused = node(&format!("--api 127.0.0.1:0 --api-token-file {}", file.display()));
        assert_eq!(code(&refused), Some(1));
        assert!(error(&refused).contains(words), "{}", error(&refused));
    }
    let served = Served::new("");
    let good = token(&home, "good", TOKEN, 0o600);
    let taken = node(&format!("--api {} --api-token-file {}", served.place, good.display()));
    assert_eq!(code(&taken), Some(1));
    assert!(error(&taken).contains(&served.place), "{}", error(&taken));
}

#[test]
fn whoever_sends_too_much_reads_the_answer_to_the_end() {
    let served = Served::new("");
    let mut stream = served.connect();
    let mut request = served.request("POST", "/v1/groups", &" ".repeat(3_000_000));
    request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    // A node that has answered before everything was sent need not take the rest.
    let _ = stream.write_all(request.as_bytes());
    let long = answer(&mut stream);
    assert_eq!((long.status, long.problem().as_str()), (413, "body-too-large"));
}

#[test]
fn a_client_that_goes_away_takes_the_group_that_it_holds_with_it() {
    let served = Served::new("");
    let member = Home::new();
    let mut other = member.node(&format!("--bootstrap {}", served.running.address()));
    other.ready();
    let body = format!(r#"{{"members": ["{}"]}}"#, text(&member.run("id")));
    let mut stream = served.connect();
    stream
        .write_all(served.request("POST", "/v1/groups?hold=true", &body).as_bytes())
        .unwrap();
    assert_eq!(status(&mut stream), 200);
    let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
    let held = lines
        .find_map(|line| Some(line.strip_prefix("data: ")?.to_owned()))
        .unwrap();
    let held: Value = serde_json::from_str(&held).unwrap();
    let group = held["group"].as_str().unwrap().to_owned();
    drop(lines);
    drop(stream);
    let begun = Instant::now();
    loop {
        let shown = ask(&member, "GET", &format!("/v1/groups/{group}"), "").json();
        if shown["state"] == "failed" {
            assert_eq!(
                shown["failure"]["reason"]["text"],
                "a process that held the group has gone"
            );
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{shown}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
