//! The example, with its gate and without.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Examples lie beside the directory of the tests' own programs.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a target directory");
    profile.join("examples").join("two_holders")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(example())
        .args(arguments)
        .output()
        .expect("cargo builds examples before it runs tests")
}

#[test]
fn the_gate_keeps_what_is_destroyed_without_it() {
    let kept = run(&[]);
    let said = String::from_utf8_lossy(&kept.stdout).into_owned();
    assert!(kept.status.success(), "{said}");
    assert!(
        said.contains("is refused: epoch 1 is over: epoch 2 has been here"),
        "{said}"
    );
    let destroyed = run(&["--no-gate"]);
    assert_eq!(destroyed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&destroyed.stdout).ends_with("the count is 1\n"));
}
