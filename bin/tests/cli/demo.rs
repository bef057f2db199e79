//! The demo: its defaults, what it refuses before it starts anything, and that it leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::groups::text;
use crate::home::{Home, code, error};

/// A demo whose temporary directory is the only thing in this home.
fn demo(home: &Home, line: &str) -> Command {
    let mut command = home.command(&format!("demo {line}"));
    command.env("TMPDIR", home.path());
    command
}

/// How many temporary directories there are.
fn left(home: &Home) -> usize {
    fs::read_dir(home.path()).unwrap().count()
}

/// A demo that has said its first word, all of its nodes being up.
fn started(home: &Home) -> (Child, BufReader<ChildStdout>) {
    let mut command = demo(home, "--nodes 3 --groups 200 --json");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("\"started\""), "{line}");
    assert_eq!(left(home), 1);
    (child, out)
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[test]
fn a_small_demo_keeps_its_promise_and_cleans_up() {
    let home = Home::new();
    let demo = demo(&home, "--nodes 4 --groups 3 --size 3 --kill 1 --seed 7 --json")
        .output()
        .unwrap();
    assert_eq!(code(&demo), Some(0), "{}", error(&demo));
    let last: Value = serde_json::from_str(text(&demo).lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["ok"]), (&"summary".into(), &true.into()));
    assert_eq!(left(&home), 0, "nothing is left behind");
}

#[test]
fn defaults_shrink_with_the_demo() {
    let home = Home::new();
    let demo = demo(&home, "--nodes 2 --profile lan --seed 1").output().unwrap();
    assert_eq!(code(&demo), Some(0), "{}", error(&demo));
    assert_eq!(left(&home), 0);
}

#[test]
fn a_reader_that_has_had_enough_leaves_nothing_behind() {
    let home = Home::new();
    let (mut child, out) = started(&home);
    drop(out);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(left(&home), 0);
}

#[test]
fn a_terminal_that_goes_away_leaves_nothing_behind() {
    let home = Home::new();
    let (mut child, out) = started(&home);
    signal(&child, "-HUP");
    assert_eq!(child.wait().unwrap().code(), Some(129));
    assert_eq!(left(&home), 0);
    drop(out);
}

#[test]
fn what_a_killed_demo_leaves_is_removed_by_the_next_one_and_nothing_else() {
    let home = Home::new();
    let (mut killed, _out) = started(&home);
    signal(&killed, "-KILL");
    killed.wait().unwrap();
    assert_eq!(left(&home), 1);
    let (mut running, out) = started(&home);
    let small = demo(&home, "--nodes 2 --groups 1").output().unwrap();
    assert_eq!(code(&small), Some(0), "{}", error(&small));
    assert_eq!(left(&home), 1, "the directory of the demo that still runs");
    drop(out);
    running.wait().unwrap();
    assert_eq!(left(&home), 0);
}

#[test]
fn what_the_machine_cannot_bear_is_refused_before_anything_is_started() {
    let home = Home::new();
    let mut limited = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_fatebound");
    limited.args(["-c", "ulimit -n 700 && exec \"$0\" demo --nodes 100", program]);
    let refused = limited.env("TMPDIR", home.path()).output().unwrap();
    assert_eq!(code(&refused), Some(1), "{}", error(&refused));
    let words = error(&refused);
    assert!(
        words.contains("open files") && words.contains("ulimit -n") && words.contains("--nodes 31"),
        "{words}"
    );
    assert_eq!(left(&home), 0);
}
