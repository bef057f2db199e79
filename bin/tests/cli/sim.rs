//! The simulator from the command line: a hunt, a saved run played again, and files that are none.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::home::{Home, code, error};

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_hunt_without_a_find_ends_well_and_says_what_it_has_seen() {
    let home = Home::new();
    let output = home.run("sim --seeds 4 --profile brisk --jobs 2");
    assert_eq!(code(&output), Some(0), "{}", error(&output));
    let words = stdout(&output);
    assert!(
        words.starts_with("no promise was broken in 4 runs\n4 runs, "),
        "{words}"
    );
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
    let words = stdout(&home.run("sim --peers 66 --groups 12 --minutes 0 --profile local"));
    assert!(words.starts_with("no promise was broken\n"), "{words}");
    let output = home.run("sim --peers 66 --profile brisk");
    assert_eq!(code(&output), Some(2));
    assert!(
        error(&output).contains("a large one takes local, lan, wan or fuse"),
        "{}",
        error(&output)
    );
}

#[test]
fn a_flag_that_would_be_ignored_is_bad_usage() {
    let home = Home::new();
    fs::write(home.path().join("faults"), BROKEN).unwrap();
    for line in [
        "sim --minutes 3",
        "sim --seeds 3 --groups 0",
        "sim --groups 0",
        "sim --seeds 3 --faults faults --groups 2",
        "sim --seeds 3 --faults faults --profile lan",
        "sim --peers 66 --jobs 1",
    ] {
        let output = home.command(line).current_dir(home.path()).output().unwrap();
        assert_eq!(code(&output), Some(2), "{line}: {}", error(&output));
        assert!(output.stdout.is_empty(), "{line}");
    }
}

/// Waits until this process handles SIGINT itself, which it then gets.
fn interrupt(child: &Child) {
    let status = format!("/proc/{}/status", child.id());
    let handled = || {
        let status = fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & 2 != 0
    };
    while !handled() {
        thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
}

#[test]
fn a_hunt_that_is_interrupted_tells_what_it_has_seen() {
    let home = Home::new();
    for (line, exit) in [
        ("sim --profile brisk", 0),
        ("sim --profile brisk --seeds 10000000", 130),
    ] {
        let mut command = home.command(line);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), Some(exit), "{}", error(&output));
        assert!(
            stdout(&output).starts_with("no promise was broken in "),
            "{}",
            stdout(&output)
        );
        assert!(
            error(&output).contains("stopping: what has come of it"),
            "{}",
            error(&output)
        );
    }
}

#[test]
fn a_large_world_that_is_interrupted_tells_what_it_has_seen() {
    let home = Home::new();
    let mut command = home.command("sim --peers 66 --groups 12 --minutes 144000 --profile local");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.any(|line| line.contains("churn")), "it got that far");
    interrupt(&child);
    assert!(lines.any(|line| line.contains("stopping: what has come of it")));
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(130));
    let words = stdout(&output);
    assert!(
        words.starts_with("no promise was broken so far: stopped while churn, after "),
        "{words}"
    );
    assert!(words.contains("66 peers joined"), "{words}");
}

/// A root whose clock runs at half its speed, with a member that is gone: by that clock the creation ends in time, by everybody else's it
/// does not. No profile promises anything to clocks as wrong as this, so here is a promise that any build breaks.
const BROKEN: &str = "seed 0\npeers 8\nprofile brisk\nuntil 30s\n0s drift 0 0.5\n1s vanish 3\n\
    2s break 4 5\n3s crash 6\n3.500s create g0 0 1,3\n4s create g1 5 2,7\n";

#[test]
fn a_broken_promise_is_made_small_saved_and_broken_again_by_a_replay() {
    let home = Home::new();
    fs::write(home.path().join("faults"), BROKEN).unwrap();
    let run = |line: &str| home.command(line).current_dir(home.path()).output().unwrap();
    let hunt = run("sim --faults faults --seeds 3 --first-seed 7 --jobs 1 --save found.txt");
    assert_eq!(code(&hunt), Some(1), "{}", error(&hunt));
    let verdict = stdout(&hunt);
    // Another run may have been under way when the first one ended.
    let first = verdict.lines().next().unwrap();
    assert!(
        ["1 of 1 run broke a promise", "2 of 2 runs broke a promise"].contains(&first),
        "{verdict}"
    );
    let words = error(&hunt);
    let promise = "P5 creation at ";
    assert!(words.contains(&format!("seed 7 broke a promise: {promise}")), "{words}");
    assert!(
        words.contains("smallest scenario in found.txt, its trace in found.trace"),
        "{words}"
    );
    let saved = fs::read_to_string(home.path().join("found.txt")).unwrap();
    let (reason, rest) = saved.split_once('\n').unwrap();
    assert!(reason.starts_with(&format!("# {promise}")), "{saved}");
    assert!(
        rest.starts_with("seed 7\n") && rest.contains("drift 0") && rest.contains("create g0 0 "),
        "{saved}"
    );
    for needless in ["break 4 5", "crash 6", "g1"] {
        assert!(!rest.contains(needless), "{needless} is left in {saved}");
    }
    let replay = run("sim --replay found.txt");
    assert_eq!(code(&replay), Some(1));
    let violation = reason.trim_start_matches("# ");
    assert!(
        error(&replay).contains(&format!("first: {violation}")),
        "{violation}; {}",
        error(&replay)
    );
    let trace = fs::read_to_string(home.path().join("found.trace")).unwrap();
    assert_eq!(stdout(&replay), trace, "the replay shows what was written down");
    assert!(trace.contains(&format!("VIOLATION: {violation}")), "{trace}");
}

#[test]
fn programs_are_told_which_seed_broke_what_and_all_of_them_if_they_ask() {
    let home = Home::new();
    fs::write(home.path().join("faults"), BROKEN).unwrap();
    let hunt = |more: &str| {
        let line = format!("sim --faults faults --seeds 3 --first-seed 7 --jobs 1 --json --save found.txt {more}");
        let output = home.command(&line).current_dir(home.path()).output().unwrap();
        assert_eq!(code(&output), Some(1), "{}", error(&output));
        let line = output.stdout.split(|byte| *byte == b'\n').next().unwrap();
        serde_json::from_slice::<serde_json::Value>(line).unwrap()
    };
    let first = hunt("");
    assert_eq!(
        (first["failing_seed"].as_u64(), first["runs"].as_u64()),
        (Some(7), first["failing_runs"].as_u64())
    );
    let all = hunt("--keep-going");
    assert_eq!(
        (all["failing_seed"].as_u64(), all["failing_runs"].as_u64()),
        (Some(7), Some(3))
    );
    assert!(
        all["violations"][0].as_str().unwrap().starts_with("P5 creation at "),
        "{all}"
    );
}
