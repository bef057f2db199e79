//! Whoever is connected is told how every group ends, however many end at once and however slowly it reads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::groups::{Pair, text};
use crate::http::{Kept, ask, events};

/// More than the events that a node keeps in any case, and than what is on its way to a reader.
const GROUPS: usize = 6_000;
/// Creations at a time.
const AT_ONCE: usize = 4;

fn create(pair: &Pair) {
    let body = json!({"members": [pair.member_id()]}).to_string();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut connection = Kept::new(&pair.root);
                (0..GROUPS / AT_ONCE).for_each(|_| drop(connection.post("/v1/groups", &body)));
            });
        }
    });
}

/// The groups that have failed according to these events, up to the next creation. None is told twice, and each with its reason.
fn failed(events: impl Iterator<Item = Value>) -> BTreeSet<String> {
    let mut groups = BTreeSet::new();
    let events = events.take_while(|event| event["event"] != "created");
    for event in events.filter(|event| event["event"] == "failed") {
        assert_ne!(event["reason"]["kind"], "not_known", "{event}");
        assert!(groups.insert(event["group"].as_str().unwrap().to_owned()), "{event}");
    }
    groups
}

#[test]
fn every_end_of_six_thousand_groups_is_told_to_who_is_connected() {
    let mut pair = Pair::new();
    create(&pair);
    let watching = events(&pair.member, "/v1/events", None);
    pair.running[0].child.kill().unwrap();
    // Nothing is read before the last has failed.
    while ask(&pair.member, "GET", "/v1/node", "").json()["groups"]["member"] != 0 {}
    assert_eq!(
        ask(&pair.member, "POST", "/v1/groups", r#"{"members": []}"#).status,
        201
    );
    let told = failed(watching);
    assert_eq!(told.len(), GROUPS);
    // Whoever comes back, or has lost something, can ask for all of them.
    let status = ask(&pair.member, "GET", "/v1/node", "").json();
    let beginning = format!("{}.0", status["incarnation"].as_str().unwrap());
    assert_eq!(failed(events(&pair.member, "/v1/events", Some(&beginning))), told);
    let listed = ask(&pair.member, "GET", "/v1/groups?all=true&limit=10000", "").json();
    let listed = listed["groups"].as_array().unwrap();
    let with_reason = |group: &&Value| group["failure"]["reason"]["kind"] == "root_died";
    assert_eq!(listed.iter().filter(with_reason).count(), GROUPS);
    let one = pair.member.run(&format!("group show {} --json", told.first().unwrap()));
    assert!(text(&one).contains("root_died"), "{}", text(&one));
}
