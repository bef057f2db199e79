//! Words of others on one's own terminal: whatever a peer, a client or a node writes is shown, never obeyed; in JSON it is exact.

use std::process::{Command, Output, Stdio};

use crate::fake::answering;
use crate::groups::{Pair, parsed, text};
use crate::home::{Home, code, error};

/// A new line, a cleared screen, a new window title, a bell, the C1 form of an escape sequence, and a text that turns its direction.
const FOREIGN: &str = "a\r\n\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}gnp.exe\u{2066}\u{200f}\u{7f}z";
/// The same as people see it.
const SHOWN: &str = r"a\r\n\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}gnp.exe\u{2066}\u{200f}\u{7f}z";

/// Only what may be printed: no control but the end of a line, no mark of direction.
fn assert_tame(output: &Output, line: &str) {
    for stream in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(stream).unwrap();
        let wild = |character: &char| {
            character.is_control() && *character != '\n'
                || ('\u{2000}'..'\u{2070}').contains(character) && *character != '…'
        };
        assert_eq!(text.chars().find(wild), None, "{line}: {text:?}");
    }
}

fn with(mut command: Command, foreign: &[&str]) -> Output {
    command.args(foreign).output().unwrap()
}

#[test]
fn a_reason_and_a_tag_are_shown_and_in_json_exact() {
    let pair = Pair::new();
    let created = pair.root.run(&format!("group create {}", pair.member_id()));
    let group = text(&created);
    let watching = |more: &str| {
        let line = format!("group watch {group} --until-failed {more}");
        pair.member
            .command(&line)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (shown, exact) = (watching(""), watching("--json"));
    let signalled = with(pair.root.command(&format!("group signal {group} --reason")), &[FOREIGN]);
    assert_eq!(code(&signalled), Some(0), "{}", error(&signalled));
    let shown = shown.wait_with_output().unwrap();
    assert!(text(&shown).contains(SHOWN), "{}", text(&shown));
    assert_tame(&shown, "watch");
    let exact = exact.wait_with_output().unwrap();
    assert_tame(&exact, "watch --json");
    let last: serde_json::Value = serde_json::from_str(text(&exact).lines().last().unwrap()).unwrap();
    assert_eq!(last["reason"]["text"], FOREIGN);
    for home in [&pair.root, &pair.member] {
        for line in [
            format!("group show {group}"),
            format!("group check {group}"),
            "group list --all".to_owned(),
        ] {
            let output = home.run(&line);
            assert_tame(&output, &line);
            assert!(
                !line.contains("show") || text(&output).contains(SHOWN),
                "{}",
                text(&output)
            );
            assert_tame(&home.run(&format!("{line} --json")), &line);
        }
        assert_eq!(
            parsed(&home.run(&format!("group show {group} --json")))["failure"]["reason"]["text"],
            FOREIGN
        );
    }
    // A creation under way is listed with its tag, and a refused one names its reasons.
    let tagged = with(
        pair.root.command(&format!("group create {} --tag", pair.member_id())),
        &[FOREIGN],
    );
    assert_eq!(code(&tagged), Some(4));
    assert_tame(&tagged, "create --tag");
}

#[test]
fn what_an_api_says_is_shown_whatever_it_says() {
    let word = serde_json::to_string(FOREIGN).unwrap();
    let peer = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
    let create = format!("group create {peer}");
    let problem = |kind: &str| {
        format!(
            r#"{{"type":"urn:fatebound:error:{kind}","title":{word},"status":409,"detail":{word},"group":{word},"candidates":[{word}],"refusals":[{{"peer":{word},"kind":"unknown","message":{word}}}]}}"#
        )
    };
    let event = format!(r#"{{"event":"failed","group":{word},"seq":1,"time":{word},"message":{word}}}"#);
    let group = format!(
        r#"{{"group":{word},"state":"failed","role":{word},"root":{word},"members":[{word},{word}],"tag":{word},"failure":{event}}}"#
    );
    let node = format!(
        r#"{{"peer":{word},"incarnation":{word},"version":{word},"network":{word},"profile":{word},"listen":[{word}],"uptime_ms":1,"joined":true,
        "links":{{"alive":0,"doubtful":0}},"groups":{{"root":0,"member":0}},"paths":{{"total":0,"delegate":0}},"notification_bound_ms":1,
        "counters":{{"pings_sent":0,"pings_missed":0,"doubts":0,"questions":0,"frames_sent":0,"bytes_sent":0,"garbage":0,"digest_mismatches":0,"links_lost":0,"repairs":0,"dropped":0}}}}"#
    );
    let neighbour =
        format!(r#"{{"peer":{word},"link":{word},"wanted":true,"paths":1,"round_trip_ms":1,"incarnation":{word}}}"#);
    let routes =
        format!(r#"{{"key":{word},"below":[{word}],"above":[{word}],"rows":[[{{"digit":1,"peer":{word}}}]]}}"#);
    let cases = [
        ("status", "409 Conflict", problem("other"), 1),
        ("group show abcd", "409 Conflict", problem("group-ambiguous"), 1),
        (create.as_str(), "409 Conflict", problem("creation-failed"), 4),
        ("status", "500 x", FOREIGN.to_owned(), 1),
        ("status", "200 OK", FOREIGN.to_owned(), 1),
        ("status", "200 OK", node.clone(), 0),
        ("info", "200 OK", node, 0),
        ("peers", "200 OK", format!(r#"{{"peers":[{neighbour}]}}"#), 0),
        ("routes", "200 OK", routes, 0),
        ("group show abcd", "200 OK", group.clone(), 3),
        (
            "group list --all",
            "200 OK",
            format!(r#"{{"groups":[{group}],"truncated":false}}"#),
            0,
        ),
        (
            "group signal abcdefgh",
            "200 OK",
            format!(r#"{{"group":{word},"already_failed":false}}"#),
            0,
        ),
        (
            "group signal abcdefgh",
            "200 OK",
            format!(r#"{{"group":{word},"already_failed":true}}"#),
            0,
        ),
        (
            "group check abcd",
            "200 OK",
            format!(
                r#"{{"group":{word},"alive":false,"members":[{{"peer":{word},"alive":false}}],"failure":{event}}}"#
            ),
            3,
        ),
        ("group watch --until-failed", "200 OK", format!("data: {event}\n\n"), 3),
    ];
    for (line, status, body, exit) in cases {
        let home = Home::new();
        answering(&home, move |_, _| (status, body.clone()));
        let output = home.run(line);
        assert_tame(&output, line);
        assert_eq!(code(&output), Some(exit), "{line}: {}{}", text(&output), error(&output));
    }
}

#[test]
fn what_the_command_line_repeats_is_shown() {
    let home = Home::new();
    for line in [
        "group show",
        "group create",
        "node --network x --listen",
        "sim --faults",
    ] {
        let output = with(home.command(line), &[FOREIGN]);
        assert_eq!(code(&output), Some(2), "{line}");
        assert_tame(&output, line);
        assert!(!error(&output).is_empty(), "{line}");
    }
}
