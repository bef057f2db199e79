//! Time limits: of every client command when its node does not answer, and of creations.

use std::process::Command;
use std::sync::mpsc;

use serde_json::json;

use crate::fake::{answering, asleep, stuck};
use crate::groups::text;
use crate::home::{Home, code, error};

const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

/// Every command that talks to a node.
fn commands() -> Vec<String> {
    let mut lines: Vec<String> = [
        "status",
        "peers",
        "routes",
        "info",
        "group list",
        "group show abcd",
        "group signal abcd12345678",
        "group watch",
        "group watch abcd --until-failed",
    ]
    .map(str::to_owned)
    .into();
    lines.push(format!("group create {PEER} --timeout 10ms"));
    lines.push(format!("group create {PEER} --timeout 10ms --wait 20ms"));
    lines
}

fn assert_given_up(home: &Home, line: &str) {
    let output = home.run(&format!("{line} --api-timeout 200ms"));
    assert_eq!(code(&output), Some(5), "{line}: {}", error(&output));
    assert_eq!(error(&output).lines().count(), 1, "{line}: {}", error(&output));
    assert!(
        error(&output).contains("has not answered within"),
        "{line}: {}",
        error(&output)
    );
    assert!(error(&output).contains("--api-timeout"), "{line}: {}", error(&output));
    assert!(output.stdout.is_empty(), "{line}");
}

#[test]
fn a_node_that_never_answers_is_given_up() {
    let home = Home::new();
    let _asleep = asleep(&home);
    for line in commands() {
        assert_given_up(&home, &line);
    }
}

#[test]
fn half_an_answer_is_none() {
    for bytes in [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"peer\":",
    ] {
        let home = Home::new();
        stuck(&home, bytes);
        // A stream whose headers have come has begun.
        for line in commands()
            .iter()
            .filter(|line| !line.contains("watch") || !bytes.contains("content"))
        {
            assert_given_up(&home, line);
        }
    }
}

#[test]
fn the_limit_may_come_from_the_environment() {
    let home = Home::new();
    let _asleep = asleep(&home);
    let output = home
        .command("status")
        .env("FATEBOUND_API_TIMEOUT", "30ms")
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(5), "{}", error(&output));
    assert!(error(&output).contains("within 30ms"), "{}", error(&output));
}

#[test]
fn a_stopped_node_is_given_up_and_answers_when_it_goes_on() {
    let home = Home::new();
    let running = home.node("");
    let pid = running.child.id().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    signal("-STOP");
    for line in ["status", "group list", "group watch"] {
        assert_given_up(&home, line);
    }
    signal("-CONT");
    assert_eq!(code(&home.run("status")), Some(0));
}

/// Not everybody accepts: worth another attempt.
const FAILED: &str = "creation-failed";
/// The node will not even try.
const REFUSED: &str = "creation-refused";

/// The limits of the attempts that this creation makes when every one of them ends like this.
fn attempts(line: &str, profile: &'static str, kind: &'static str) -> Vec<Option<u64>> {
    let home = Home::new();
    let (sender, asked) = mpsc::channel();
    answering(&home, move |request, body| {
        if request.starts_with("GET") {
            return ("200 OK", node(profile));
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        sender.send(body["timeout_ms"].as_u64()).unwrap();
        let problem = json!({
            "type": format!("urn:fatebound:error:{kind}"), "title": "", "status": 409, "detail": "one member did not accept",
        });
        ("409 Conflict", problem.to_string())
    });
    let output = home.run(&format!("group create {PEER} {line}"));
    assert_eq!(code(&output), Some(4), "{}{}", text(&output), error(&output));
    asked.try_iter().collect()
}

fn node(profile: &str) -> String {
    let counters = [
        "pings_sent",
        "pings_missed",
        "doubts",
        "questions",
        "frames_sent",
        "bytes_sent",
        "garbage",
        "digest_mismatches",
        "links_lost",
        "repairs",
        "dropped",
    ];
    let counters: serde_json::Map<String, serde_json::Value> =
        counters.map(|name| (name.to_owned(), json!(0))).into_iter().collect();
    json!({
        "peer": PEER, "incarnation": "0", "version": "0", "network": "x", "profile": profile, "listen": [], "uptime_ms": 0.0, "joined": true,
        "links": {"alive": 0, "doubtful": 0}, "groups": {"root": 0, "member": 0}, "paths": {"total": 0, "delegate": 0},
        "notification_bound_ms": 0.0, "counters": counters,
    })
    .to_string()
}

#[test]
fn a_creation_without_limits_leaves_them_to_the_node() {
    assert_eq!(attempts("", "lan", FAILED), [None]);
    assert_eq!(attempts("--timeout 7s", "lan", FAILED), [Some(7000)]);
}

#[test]
fn no_attempt_takes_longer_than_what_is_left_of_the_wait() {
    for (line, profile) in [
        ("--wait 1s", "lan"),
        ("--wait 1s --timeout 3s", "local"),
        ("--wait 1s", "moon"),
    ] {
        let limits = attempts(line, profile, FAILED);
        assert!(limits.len() > 1, "{line}: {limits:?}");
        assert!(
            limits.iter().all(|limit| limit.is_some_and(|limit| limit <= 1000)),
            "{line}: {limits:?}"
        );
        assert!(
            limits.is_sorted_by(|earlier, later| earlier > later),
            "{line}: {limits:?}"
        );
    }
}

#[test]
fn an_attempt_of_a_long_wait_has_the_limit_of_the_profile_or_the_given_one() {
    let first = |line: &str, profile: &'static str| attempts(line, profile, REFUSED);
    assert_eq!(first("--wait 1s --timeout 300ms", "lan"), [Some(300)]);
    assert_eq!(first("--wait 1h", "local"), [Some(3000)]);
}
