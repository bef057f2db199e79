//! The simulator from the command line: a hunt, a saved run played again, and files that are none.

use std::fs;

use crate::home::{Home, code, error};

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_hunt_without_a_find_ends_well_and_says_what_it_has_seen() {
    let home = Home::new();
    let output = home.run("sim --seeds 4 --profile brisk --jobs 2");
    assert_eq!(code(&output), Some(0), "{}", error(&output));
    assert!(stdout(&output).contains("4 runs, "), "{}", stdout(&output));
    assert!(stdout(&output).contains("brisk 100.0 %"));
    let output = home.run("sim --seeds 2 --profile sparse --faults crash --json");
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (object["runs"].as_u64(), object["failing_runs"].as_u64()),
        (Some(2), Some(0))
    );
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_saved_run_is_played_again_with_its_trace() {
    let home = Home::new();
    let text = "seed 1\npeers 4\nprofile brisk\nuntil 10s\n0s create g0 0 1,2\n3s crash 2\n";
    fs::write(home.path().join("saved"), text).unwrap();
    let replay = || {
        let mut command = home.command("sim --replay saved");
        command.current_dir(home.path()).output().unwrap()
    };
    let output = replay();
    assert_eq!(code(&output), Some(0), "{}", error(&output));
    let trace = stdout(&output);
    assert!(
        trace.contains("--- create g0 0 1,2") && trace.contains("--- crash 2"),
        "{trace}"
    );
    assert_eq!(stdout(&replay()), trace, "the same again");
}

#[test]
fn files_that_are_no_scenarios_are_refused_with_the_line() {
    let home = Home::new();
    let path = home.path().join("saved");
    let refused = |line: &str| {
        let output = home.command(line).current_dir(home.path()).output().unwrap();
        assert_eq!(code(&output), Some(1), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        error(&output)
    };
    assert!(refused("sim --replay saved").contains("cannot read saved"));
    fs::write(&path, "seed 1\npeers 4\nprofile brisk\nuntil 10s\n3s crash 4\n").unwrap();
    assert!(refused("sim --replay saved").contains("saved: line 5: there is no peer 4"));
    fs::write(&path, "seed 1\npeers 4\nprofile brisk\nuntil 10s\n3s explode 3\n").unwrap();
    assert!(refused("sim --seeds 1 --faults saved").contains("line 5: there is no fault"));
}

#[test]
fn faults_of_no_name_are_bad_usage() {
    let home = Home::new();
    let output = home.run("sim --seeds 1 --faults earthquake");
    assert_eq!(code(&output), Some(2));
    assert!(
        error(&output).contains("expected one of mixed, crash"),
        "{}",
        error(&output)
    );
}

#[test]
fn a_large_world_says_what_each_of_its_peers_pays() {
    let home = Home::new();
    let output = home.run("sim --peers 66 --groups 12 --minutes 1 --profile local --json");
    assert_eq!(code(&output), Some(0), "{}", error(&output));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (object["peers"].as_u64(), object["violations"].as_u64()),
        (Some(66), Some(0))
    );
    assert!(
        object["links"]["mean"].as_f64().is_some_and(|mean| mean > 4.0),
        "{object}"
    );
    let output = home.run("sim --peers 66 --profile brisk");
    assert_eq!(code(&output), Some(2));
    assert!(
        error(&output).contains("a large one takes local, lan, wan or fuse"),
        "{}",
        error(&output)
    );
}
