//! What is left of a command when `exec`, its guardian, or both are killed by SIGKILL: nothing, or what `docs/exec.md` says.

use std::process::{Command, Stdio};

use crate::started::{Started, child_named, fatebound, has, kill, skip_unless};

const HYDRA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/exec/hydra.py");

/// So often each.
const ROUNDS: u32 = 3;

fn hydra(containment: &str) -> Started {
    let command = ["exec", "--alone", "--containment", containment, "--", "python3", HYDRA];
    let mut started = Started::of(fatebound(&command).stderr(Stdio::null()));
    // It has lived ten times.
    started.writes("..........");
    started
}

fn can(containment: &str) -> bool {
    let words = ["exec", "--alone", "--containment", containment, "--", "true"];
    let run = fatebound(&words).stderr(Stdio::null()).status().unwrap();
    has("python3") && skip_unless(run.success(), &format!("the right to use --containment {containment}"))
}

#[test]
fn nothing_survives_exec() {
    for containment in ["tree", "cgroup", "namespace"].into_iter().filter(|kind| can(kind)) {
        for _ in 0..ROUNDS {
            let mut started = hydra(containment);
            started.signal("-KILL");
            started.nothing_left();
        }
    }
}

#[test]
fn nothing_survives_the_guardian() {
    for containment in ["tree", "cgroup", "namespace"].into_iter().filter(|kind| can(kind)) {
        for _ in 0..ROUNDS {
            let mut started = hydra(containment);
            let guardian = match containment {
                "namespace" => child_named(started.child_named("fate-launcher"), "fate-guardian"),
                _ => started.child_named("fate-guardian"),
            };
            kill("-KILL", guardian);
            started.nothing_left();
            assert_eq!(started.ended().code(), Some(1));
        }
    }
}

#[test]
fn in_a_namespace_nothing_survives_all_of_them_together() {
    if !can("namespace") {
        return;
    }
    for _ in 0..ROUNDS {
        let mut started = hydra("namespace");
        let launcher = started.child_named("fate-launcher");
        let guardian = child_named(launcher, "fate-guardian");
        let all = [started.pid(), launcher, guardian].map(|pid| pid.to_string());
        // The first one's end may take the others down before it is their turn.
        let mut kill = Command::new("kill");
        kill.arg("-KILL").args(all).stderr(Stdio::null()).status().unwrap();
        started.nothing_left();
    }
}

#[test]
fn nothing_survives_the_command_s_own_end_or_a_wish_to_stop() {
    for containment in ["tree", "cgroup", "namespace"].into_iter().filter(|kind| can(kind)) {
        let line = [
            "exec",
            "--alone",
            "--grace",
            "100ms",
            "--containment",
            containment,
            "--",
            "sh",
            "-c",
        ];
        let script = "python3 \"$0\" & sleep 0.5; exit 4";
        let mut started = Started::of(fatebound(&line).args([script, HYDRA]).stderr(Stdio::null()));
        started.nothing_left();
        assert_eq!(started.ended().code(), Some(4));
        let mut started = hydra(containment);
        started.signal("-TERM");
        started.nothing_left();
        started.ended();
    }
}
