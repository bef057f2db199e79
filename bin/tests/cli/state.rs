//! Application state: every member can read what the creator gave, in words, exactly, and from events.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, iter, thread};

use serde_json::Value;

use crate::groups::{Pair, parsed, text};
use crate::home::{code, error};

/// A text that a terminal would obey.
const FOREIGN: &str = "shard 7\u{1b}[2J\n";

#[test]
fn a_text_is_shown_to_every_member_and_written_exactly() {
    let pair = Pair::new();
    let mut watching = pair
        .member
        .command("group watch")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let events = BufReader::new(watching.stdout.take().unwrap());
    let (told, seen) = mpsc::channel();
    thread::spawn(move || {
        events
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| told.send(line))
    });
    // Nobody knows when the watcher has begun to watch: of what was before, it sees nothing.
    let (group, invited) = (0..60)
        .find_map(|_| {
            let mut create = pair.root.command(&format!("group create {} --state", pair.member_id()));
            let group = text(&create.arg(FOREIGN).output().unwrap());
            let lines = iter::from_fn(|| seen.recv_timeout(Duration::from_secs(1)).ok());
            let invited = lines.into_iter().find(|line| line.contains("invited"))?;
            Some((group, invited))
        })
        .expect("the watcher sees an invitation");
    assert!(invited.contains(r"shard 7\u{1b}[2J\n"), "{invited}");
    watching.kill().unwrap();
    watching.wait().unwrap();
    for home in [&pair.root, &pair.member] {
        let shown = text(&home.run(&format!("group show {group}")));
        assert!(shown.contains(r"shard 7\u{1b}[2J\n"), "{shown}");
        let raw = home.run(&format!("group show {group} --raw"));
        assert_eq!(
            (code(&raw), raw.stdout.as_slice()),
            (Some(0), FOREIGN.as_bytes()),
            "{}",
            error(&raw)
        );
        let object: Value = parsed(&home.run(&format!("group show {group} --json")));
        assert_eq!(object["application_state"], FOREIGN);
    }
}

#[test]
fn bytes_that_are_no_text_are_counted_and_written_exactly() {
    let pair = Pair::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let file = pair.root.path().join("state");
    fs::write(&file, &bytes).unwrap();
    let created = pair.root.run(&format!(
        "group create {} --state @{}",
        pair.member_id(),
        file.display()
    ));
    let group = text(&created);
    let shown = text(&pair.member.run(&format!("group show {group}")));
    assert!(shown.contains("256 bytes that are no text"), "{shown}");
    let raw = pair.member.run(&format!("group show {group} --raw"));
    assert_eq!(raw.stdout, bytes);
    let both = pair.member.run(&format!("group show {group} --raw --json"));
    assert_eq!(code(&both), Some(2));
}

#[test]
fn without_a_state_nothing_is_written() {
    let pair = Pair::new();
    let group = pair.group();
    let raw = pair.member.run(&format!("group show {group} --raw"));
    assert_eq!((code(&raw), raw.stdout.len()), (Some(0), 0));
    pair.root.run(&format!("group signal {group}"));
    let watched = pair.member.run(&format!("group watch {group} --until-failed"));
    assert_eq!(code(&watched), Some(3));
    let failed = pair.member.run(&format!("group show {group} --raw"));
    assert_eq!((code(&failed), failed.stdout.len()), (Some(3), 0));
    assert!(error(&failed).contains("failed"), "{}", error(&failed));
}
