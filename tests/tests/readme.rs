//! Every command of the README is run: the blocks of "By hand" here, the two commands of the front by `.ci/run`, the Rust by the crate's
//! documentation tests.

use std::path::Path;
use std::process::Command;

use fatebound_tests::{Outcome, program};

const README: &str = include_str!("../../README.md");

/// The shell blocks between two headings, in order.
fn blocks(heading: &str) -> Vec<&'static str> {
    let (_, section) = README.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let starts = section.split("```sh\n").skip(1);
    starts
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

#[test]
fn by_hand_works_as_it_is_written() {
    let blocks = blocks("By hand");
    assert_eq!(blocks.len(), 6);
    let profile = program().parent().and_then(Path::to_str).expect("a path");
    let script = blocks.concat().replace("$PWD/target/release", profile);
    assert!(script.contains(profile), "the script has to run the program under test");
    let outcome = Outcome::of_command(Command::new("bash").args(["-c", &format!("set -euo pipefail\n{script}")]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stdout.matches("exit code 3").count(), 2, "{outcome:?}");
    assert!(outcome.stdout.contains("failed"), "{outcome:?}");
    assert_eq!(outcome.stdout.matches("3 are here").count(), 3, "{outcome:?}");
}
