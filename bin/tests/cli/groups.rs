//! Groups on the command line: created, shown, checked, watched and failed, between real nodes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::home::{Home, Running, code, error};
use crate::http::{ask, connect, events, request};

const STRANGER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

/// Two nodes that have joined each other. Each has a home of its own.
pub struct Pair {
    pub root: Home,
    pub member: Home,
    pub running: [Running; 2],
}

impl Pair {
    pub fn new() -> Pair {
        let (root, member) = (Home::new(), Home::new());
        let mut first = root.node("");
        first.ready();
        let mut second = member.node(&format!("--bootstrap {}", first.address()));
        second.ready();
        Pair {
            root,
            member,
            running: [first, second],
        }
    }

    pub fn member_id(&self) -> String {
        text(&self.member.run("id"))
    }

    /// The id of a new group of both.
    pub fn group(&self) -> String {
        let created = self.root.run(&format!("group create {}", self.member_id()));
        assert_eq!(code(&created), Some(0), "{}", error(&created));
        text(&created)
    }
}

pub fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

pub fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}{}", text(output), error(output)))
}

#[test]
fn a_signal_reaches_who_watches_and_ends_with_exit_3() {
    let pair = Pair::new();
    let group = pair.group();
    for home in [&pair.root, &pair.member] {
        assert_eq!(code(&home.run(&format!("group show {group}"))), Some(0));
        assert_eq!(code(&home.run(&format!("group check {}", &group[..8]))), Some(0));
    }
    let watch = format!("group watch {group} --until-failed --json");
    let watching = pair.member.command(&watch).stdout(Stdio::piped()).spawn().unwrap();
    let signalled = pair.root.run(&format!("group signal {} --reason enough", &group[..8]));
    assert_eq!(code(&signalled), Some(0), "{}", error(&signalled));
    let watched = watching.wait_with_output().unwrap();
    assert_eq!(code(&watched), Some(3));
    // The first line says from when on nothing is missed, the last one ends the watch.
    let lines = text(&watched);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (Some(first), Some(event)) = (lines.first(), lines.last()) else {
        panic!("{}", error(&watched));
    };
    assert_eq!(first["event"], "watching");
    assert_eq!(
        (&event["event"], &event["group"]),
        (&"failed".into(), &group.clone().into())
    );
    assert_eq!(
        (&event["reason"]["kind"], &event["reason"]["text"]),
        (&"signalled".into(), &"enough".into())
    );
    assert!(event["seq"].is_u64() && event["time"].is_string());
}

#[test]
fn a_group_that_has_failed_is_found_afterwards() {
    let pair = Pair::new();
    let group = pair.group();
    assert_eq!(code(&pair.root.run(&format!("group signal {group}"))), Some(0));
    for command in ["show", "check", "watch --until-failed"] {
        for name in [&group, &group[..8]] {
            let output = pair.root.run(&format!("group {command} {name}"));
            assert_eq!(code(&output), Some(3), "{command} {name}: {}", error(&output));
        }
    }
    let again = pair.root.run(&format!("group signal {group} --json"));
    assert_eq!(parsed(&again)["already_failed"], true);
    let listed = text(&pair.root.run("group list --all --json"));
    assert!(listed.contains(&group) && listed.contains("\"failed\""), "{listed}");
    assert_eq!(text(&pair.root.run("group list --json")), "");
}

#[test]
fn a_creation_that_failed_names_each_member_and_why() {
    let pair = Pair::new();
    let line = format!("group create {} {STRANGER} --tag nobody --timeout 2s", pair.member_id());
    let failed = pair.root.run(&line);
    assert_eq!(code(&failed), Some(4));
    assert!(failed.stdout.is_empty());
    for peer in [STRANGER, &pair.member_id()] {
        assert!(error(&failed).contains(peer), "{}", error(&failed));
    }
    let failed = pair.root.run(&format!("{line} --json"));
    assert_eq!(code(&failed), Some(4));
    let refusals = parsed(&failed)["refusals"].as_array().unwrap().clone();
    assert!(
        refusals.iter().any(|refusal| refusal["kind"] == "nobody_waits"),
        "{refusals:?}"
    );
    assert!(
        refusals.iter().any(|refusal| refusal["peer"] == STRANGER),
        "{refusals:?}"
    );
}

#[test]
fn a_creation_tells_its_id_its_root_and_its_members() {
    let pair = Pair::new();
    let created = parsed(
        &pair
            .root
            .run(&format!("group create {} --state hello --json", pair.member_id())),
    );
    let root = text(&pair.root.run("id"));
    assert_eq!(created["root"], root);
    assert_eq!(created["members"], serde_json::json!([root, pair.member_id()]));
    assert!(created["created_ms"].is_f64() && created["group"].is_string());
    let refused = pair
        .root
        .run(&format!("group create {STRANGER} --tag {}", "x".repeat(300)));
    assert_eq!(code(&refused), Some(4), "{}", error(&refused));
}

#[test]
fn what_the_creator_wants_members_to_know_is_known_to_all_of_them() {
    let pair = Pair::new();
    for (state, key, shown) in [
        (json!({"state": "shard 7 é"}), "application_state", "shard 7 é"),
        (json!({"state_base64": "AP8="}), "application_state_base64", "AP8="),
    ] {
        let mut invitations = events(&pair.member, "/v1/events", None);
        let mut body = state;
        body["members"] = json!([pair.member_id()]);
        let created = ask(&pair.root, "POST", "/v1/groups", &body.to_string());
        assert_eq!(created.status, 201, "{created:?}");
        let group = created.json()["group"].as_str().unwrap().to_owned();
        let invited = invitations.find(|event| event["event"] == "invited").unwrap();
        assert_eq!(
            (&invited["group"], &invited[key]),
            (&json!(group), &json!(shown)),
            "{invited}"
        );
        for home in [&pair.root, &pair.member] {
            let document = ask(home, "GET", &format!("/v1/groups/{group}"), "").json();
            assert_eq!(document[key], shown, "{document}");
            assert_eq!(document["state"], "alive");
            assert_eq!(parsed(&home.run(&format!("group show {group} --json")))[key], shown);
            // Listings are long enough without.
            assert!(!ask(home, "GET", "/v1/groups", "").body.contains("application_state"));
        }
    }
    let bare = pair.group();
    assert!(
        !ask(&pair.member, "GET", &format!("/v1/groups/{bare}"), "")
            .body
            .contains("application_state")
    );
}

/// A slip of the finger ends no group: what is to be ended is named by more of its id than what is to be looked at.
#[test]
fn a_short_name_ends_nothing() {
    let pair = Pair::new();
    let group = pair.group();
    for name in ["", &group[..1], &group[..7]] as [&str; 3] {
        let refused = ask(&pair.root, "POST", &format!("/v1/groups/{name}/signal"), "");
        assert_eq!(refused.problem(), "invalid-request", "{name}");
        assert_eq!(code(&pair.root.run(&format!("group signal {name}"))), Some(2), "{name}");
    }
    for name in ["", &group[..3]] as [&str; 2] {
        for path in ["/events", "/check"] {
            let method = if path == "/check" { "POST" } else { "GET" };
            let refused = ask(&pair.root, method, &format!("/v1/groups/{name}{path}"), "");
            assert_eq!(refused.problem(), "invalid-request", "{name}{path}");
        }
        assert_eq!(code(&pair.root.run(&format!("group show {name}"))), Some(2), "{name}");
    }
    assert_eq!(code(&pair.root.run(&format!("group check {}", &group[..4]))), Some(0));
    assert_eq!(code(&pair.root.run(&format!("group signal {}", &group[..8]))), Some(0));
}

/// A node that slept does not carry out on waking what nobody waits for any more.
#[test]
fn an_order_whose_client_has_gone_is_dropped() {
    let pair = Pair::new();
    let group = pair.group();
    let pid = pair.running[0].child.id().to_string();
    let kill = |signal: &str| assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    kill("-STOP");
    for path in [format!("/v1/groups/{group}/signal"), "/v1/groups".to_owned()] {
        let body = if path == "/v1/groups" {
            r#"{"members": []}"#
        } else {
            "{}"
        };
        let mut client = connect(&pair.root);
        client.write_all(request("POST", &path, body).as_bytes()).unwrap();
    }
    kill("-CONT");
    // Whoever comes later is answered after them: connections are taken in their order, and orders are carried out in theirs.
    for _ in 0..10 {
        assert_eq!(code(&pair.root.run(&format!("group check {group}"))), Some(0));
    }
    let listed = ask(&pair.root, "GET", "/v1/groups?all=true", "").json();
    assert_eq!(listed["groups"].as_array().unwrap().len(), 1, "{listed}");
}

#[test]
fn an_id_that_nobody_here_knows_names_a_failed_group() {
    let pair = Pair::new();
    let group = pair.group();
    let alone = Home::new();
    let _running = alone.node("");
    let shown = alone.run(&format!("group show {group} --json"));
    assert_eq!(code(&shown), Some(3));
    assert_eq!(parsed(&shown)["failure"]["reason"]["kind"], "not_known");
}

#[test]
fn a_watcher_whose_node_is_lost_says_so() {
    let mut pair = Pair::new();
    let watching = pair
        .member
        .command("group watch")
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The watcher has its answer once a later caller has.
    pair.member.run("status");
    pair.running[1].child.kill().unwrap();
    let watched = watching.wait_with_output().unwrap();
    assert_eq!(code(&watched), Some(5), "{}", error(&watched));
}
