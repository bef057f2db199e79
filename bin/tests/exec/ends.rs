//! How a contained command ends, and what `exec` says of it.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::started::{Started, children, fatebound, has, skip_unless, until};

fn alone(script: &str) -> Command {
    fatebound(&["exec", "--alone", "--", "sh", "-c", script])
}

fn code(words: &[&str]) -> Option<i32> {
    fatebound(words).stderr(Stdio::null()).status().unwrap().code()
}

#[test]
fn the_exit_code_is_the_command_s() {
    assert_eq!(alone("exit 0").status().unwrap().code(), Some(0));
    assert_eq!(alone("exit 3").status().unwrap().code(), Some(3));
    assert_eq!(alone("exit 255").status().unwrap().code(), Some(255));
    assert_eq!(alone("kill -KILL $$").status().unwrap().code(), Some(128 + 9));
    assert_eq!(alone("kill -TERM $$").status().unwrap().code(), Some(128 + 15));
    assert_eq!(code(&["exec", "--alone", "--", "no-such-command"]), Some(127));
    assert_eq!(code(&["exec", "--alone", "--", "/etc/passwd"]), Some(126));
    assert_eq!(code(&["exec", "--alone", "--", "/"]), Some(126));
    assert_eq!(code(&["exec", "--", "true"]), Some(2));
}

#[test]
fn standard_streams_and_arguments_are_the_command_s() {
    let mut command = fatebound(&[
        "exec",
        "--alone",
        "--",
        "sh",
        "-c",
        "cat; echo \"$1\"; echo no >&2",
        "sh",
        "a  b",
    ]);
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"one\ntwo").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "one\ntwoa  b\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "no\n");
}

#[test]
fn a_program_is_told_how_it_ended() {
    let told = |script: &str, more: &str| -> Value {
        let line = format!("exec 5>&1; \"$0\" exec --alone --status-fd 5 {more} -- sh -c '{script}' >/dev/null; true");
        let output = Command::new("sh")
            .args(["-c", &line, env!("CARGO_BIN_EXE_fatebound")])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let status = told("exit 7", "--containment tree");
    assert_eq!((&status["ended"], &status["code"]), (&"command".into(), &7.into()));
    assert_eq!(status["containment"], "tree");
    assert_eq!(status["left"], serde_json::json!([]));
    let status = told("kill -KILL $$", "--containment group");
    assert_eq!((&status["code"], &status["signal"]), (&137.into(), &9.into()));
    assert_eq!(status["containment"], "group");
    // The command does not have the descriptor.
    assert_eq!(told("test ! -e /proc/self/fd/5", "")["code"], 0);
}

#[test]
fn a_descriptor_that_is_none_is_bad_usage() {
    // Whoever runs the tests may have left some open.
    let line = "exec 3>&- 4>&- 9>&-; exec \"$0\" exec --alone --status-fd \"$1\" -- true";
    for number in ["3", "4", "9"] {
        let status = Command::new("sh")
            .args(["-c", line, env!("CARGO_BIN_EXE_fatebound"), number])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert_eq!(status.unwrap().code(), Some(2), "{number}");
    }
}

#[test]
fn what_the_command_leaves_behind_ends_with_it() {
    for containment in ["auto", "tree"] {
        let script = "(trap '' TERM; exec sleep 1000) & setsid sh -c 'sleep 1000 & sleep 1000' & echo begun; exit 5";
        let mut started = Started::of(&mut fatebound(&[
            "exec",
            "--alone",
            "--grace",
            "300ms",
            "--containment",
            containment,
            "--",
            "sh",
            "-c",
            script,
        ]));
        started.writes("begun");
        started.nothing_left();
        assert_eq!(started.ended().code(), Some(5));
    }
}

#[test]
fn a_wish_to_stop_reaches_all_and_grace_is_given() {
    // The first one ends by itself and says so; the second one does not hear.
    let polite = "trap 'echo asked; exit 9' TERM; echo begun; while :; do sleep 0.05; done";
    let mut started = Started::of(&mut alone(polite));
    started.writes("begun");
    started.signal("-TERM");
    assert_eq!(started.ended().code(), Some(9));
    started.nothing_left();
    assert!(started.text.contains("asked"), "{}", started.text);

    let deaf = "trap '' TERM; echo begun; while :; do sleep 0.05; done";
    let mut started = Started::of(&mut fatebound(&[
        "exec", "--alone", "--grace", "200ms", "--", "sh", "-c", deaf,
    ]));
    started.writes("begun");
    started.signal("-TERM");
    assert_eq!(started.ended().code(), Some(137));
    started.nothing_left();

    // A second wish is not to be waited for.
    let mut started = Started::of(&mut fatebound(&[
        "exec", "--alone", "--grace", "1h", "--", "sh", "-c", deaf,
    ]));
    started.writes("begun");
    started.signal("-TERM");
    started.signal("-TERM");
    until("the end", || {
        started.signal("-TERM");
        started.child.try_wait().unwrap().is_some()
    });
    started.nothing_left();
}

#[test]
fn other_signals_are_passed_on() {
    let script = "trap 'echo one' USR1; trap 'echo int' INT; trap 'echo hup; exit 4' HUP; echo begun; while :; do sleep 0.05; done";
    let mut started = Started::of(&mut alone(script));
    started.writes("begun");
    started.signal("-USR1");
    started.writes("one");
    started.signal("-INT");
    started.writes("int");
    started.signal("-HUP");
    started.writes("hup");
    assert_eq!(started.ended().code(), Some(4));
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let script =
        "trap '' HUP; exec \"$0\" exec --alone -- sh -c 'echo begun; kill -HUP $$; kill -HUP $PPID; echo alive'";
    let mut command = Command::new("sh");
    let mut started = Started::of(
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_fatebound")])
            .stdin(Stdio::null()),
    );
    started.writes("begun");
    started.signal("-HUP");
    started.writes("alive");
    assert_eq!(started.ended().code(), Some(0));
}

#[test]
fn a_stopped_command_is_no_failure_and_ends_all_the_same() {
    let mut started = Started::of(&mut alone("echo begun; kill -STOP $$; echo on; exit 6"));
    started.writes("begun");
    started.signal("-CONT");
    until("its going on", || {
        started.signal("-CONT");
        started.child.try_wait().unwrap().is_some()
    });
    started.nothing_left();
    assert!(started.text.contains("on"));
    assert_eq!(started.ended().code(), Some(6));
    let mut started = Started::of(&mut alone("echo begun; kill -STOP $$; exit 6"));
    started.writes("begun");
    started.signal("-TERM");
    // It has not gone on: the wish was there first.
    assert_eq!(started.ended().code(), Some(128 + 15));
    started.nothing_left();
}

#[test]
fn children_from_before_are_spared() {
    // A shell's exec keeps the shell's children.
    let script = "sleep 1000 >/dev/null & echo before:$!; exec \"$0\" exec --alone --containment tree -- sh -c 'echo begun; exec sleep 1000'";
    let mut command = Command::new("sh");
    let mut started = Started::of(
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_fatebound")])
            .stdin(Stdio::null()),
    );
    started.writes("begun");
    let before = started
        .text
        .split("before:")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let guardian = started.child_named("fate-guardian");
    crate::started::kill("-KILL", guardian);
    started.nothing_left();
    assert_eq!(started.ended().code(), Some(1));
    let stat = std::fs::read_to_string(format!("/proc/{before}/stat")).unwrap();
    crate::started::kill("-KILL", before.parse().unwrap());
    assert!(stat.contains("(sleep)") && !stat.contains(") Z "), "{stat}");
}

#[test]
fn the_first_process_of_a_container_reaps_strangers() {
    let allowed = Command::new("unshare")
        .args(["-pf", "--mount-proc", "true"])
        .stderr(Stdio::null())
        .status();
    if !skip_unless(
        allowed.is_ok_and(|status| status.success()),
        "the right to make namespaces",
    ) || !has("nsenter")
    {
        return;
    }
    let mut command = Command::new("unshare");
    command.args([
        "-pf",
        "--mount-proc",
        "--kill-child=KILL",
        env!("CARGO_BIN_EXE_fatebound"),
    ]);
    command.args(["exec", "--alone", "--", "sh", "-c", "echo begun; read x; exit 8"]);
    let mut started = Started::of(command.stdin(Stdio::piped()));
    started.writes("begun");
    let first = started.child_named("fatebound");
    let strangers = Command::new("nsenter")
        .args([
            "-t",
            &first.to_string(),
            "-p",
            "sh",
            "-c",
            "sleep 0 & sleep 0 & sleep 0 & exit 0",
        ])
        .status();
    assert!(strangers.unwrap().success());
    until("only its guardian to be left", || children(first).len() == 1);
    started.child.stdin.take();
    let status = started.ended();
    assert_eq!(status.code(), Some(8), "{:?}", status.signal());
}
