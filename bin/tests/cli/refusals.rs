//! Wrong usage, files that are in the way, and a node that is not there: each ends with the exit code of the contract and one clear
//! line, and damages nothing. And how a node starts and stops.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use crate::home::{Home, code, error};

const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

/// Exit code 1, nothing on standard output, one line on standard error.
fn assert_refused(output: &Output, words: &str) {
    let error = error(output);
    assert_eq!(code(output), Some(1), "{error}");
    assert!(output.stdout.is_empty());
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("fatebound: ") && error.contains(words), "{error}");
}

#[test]
fn wrong_command_lines_exit_2_and_show_the_usage() {
    let home = Home::new();
    for line in [
        "fly",
        "node --profile moon",
        "node --api localhost:80",
        "node --listen nowhere",
        "node --listen ,/ip4/127.0.0.1/tcp/0",
        "node --bootstrap ,,",
        "node --bootstrap=",
        "node --advertise=",
        "group create",
        "group create no-body",
        "group watch --until-failed a/b",
        "group show abc",
        "group check abc",
        "group signal abcdefg",
        "demo --nodes 1",
        "demo --nodes 4 --kill 4",
        "demo --nodes 4 --size 5",
    ] {
        let output = home.run(line);
        assert_eq!(code(&output), Some(2), "{line}: {}", error(&output));
        assert!(output.stdout.is_empty(), "{line}");
        assert!(!error(&output).is_empty(), "{line}");
    }
    assert!(error(&home.run("demo --nodes 4 --kill 4")).contains("Usage: fatebound demo"));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_node_that_is_not_there_is_exit_5_and_one_line() {
    let home = Home::new();
    let group = format!("group create {PEER}");
    for line in [
        "status",
        "peers",
        "members",
        "routes",
        "info",
        "group list",
        "group show abcd",
        "group watch",
        &group,
    ] {
        let output = home.run(line);
        assert_eq!(code(&output), Some(5), "{line}");
        assert_eq!(error(&output).lines().count(), 1, "{line}: {}", error(&output));
        assert!(error(&output).contains("fatebound.sock"), "{line}");
    }
    let named = home.run("status --api unix:/nowhere/api");
    assert!(error(&named).contains("/nowhere/api"));
}

#[test]
fn an_id_is_made_once_and_kept() {
    let home = Home::new();
    let first = home.run("id");
    assert_eq!(code(&first), Some(0), "{}", error(&first));
    assert!(first.stdout.starts_with(b"12D3KooW"));
    assert_eq!(home.run("id").stdout, first.stdout);
    let key = home.path().join(".local/state/fatebound/key");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_foreign_key_file_is_named_and_left_alone() {
    let home = Home::new();
    let key = home.path().join("key");
    fs::write(&key, "-----BEGIN OPENSSH PRIVATE KEY-----").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let dir = home.path().display();
    for line in [format!("id --data-dir {dir}"), format!("node --data-dir {dir}")] {
        assert_refused(&home.run(&line), key.to_str().unwrap());
    }
    assert_eq!(fs::read_to_string(&key).unwrap(), "-----BEGIN OPENSSH PRIVATE KEY-----");
}

#[test]
fn a_locked_data_directory_is_refused_but_its_id_can_be_read() {
    let home = Home::new();
    let running = home.node("");
    let second = format!(
        "node --listen /ip4/127.0.0.1/tcp/0 --api unix:{}/other",
        home.path().display()
    );
    assert_refused(&home.run(&second), "in use");
    let id = home.run("id");
    assert_eq!(code(&id), Some(0), "{}", error(&id));
    assert!(
        running
            .first
            .trim_end()
            .ends_with(String::from_utf8(id.stdout).unwrap().trim_end())
    );
}

#[test]
fn an_occupied_port_is_refused() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    assert_refused(&home.run(&format!("node --listen {address}")), &address);
    assert!(!home.path().join("fatebound.sock").exists());
}

#[test]
fn a_live_socket_is_refused_and_a_stale_one_replaced() {
    let home = Home::new();
    let first = home.node("");
    let other = format!(
        "node --listen /ip4/127.0.0.1/tcp/0 --data-dir {}/other",
        home.path().display()
    );
    assert_refused(&home.run(&other), "fatebound.sock is in use");
    assert_eq!(code(&home.run("status")), Some(0));
    drop(first);
    assert!(
        home.path().join("fatebound.sock").exists(),
        "a killed node leaves its socket behind"
    );
    assert_eq!(code(&home.run("status")), Some(5));
    let _again = home.node("");
    let socket = fs::metadata(home.path().join("fatebound.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert_eq!(code(&home.run("status")), Some(0));
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let home = Home::new();
    let file = home.path().join("fatebound.sock");
    fs::write(&file, "precious").unwrap();
    assert_refused(&home.run("node --listen /ip4/127.0.0.1/tcp/0"), "no socket");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_node_stops_in_order_when_asked() {
    let home = Home::new();
    let mut running = home.node("");
    let pid = running.child.id().to_string();
    // A terminal that goes away is no reason to stop.
    for signal in ["-HUP", "-TERM"] {
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(!home.path().join("fatebound.sock").exists());
}

#[test]
fn a_node_tied_to_its_starter_stops_with_its_standard_input() {
    let home = Home::new();
    let line = "node --profile local --listen /ip4/127.0.0.1/tcp/0 --stop-with-stdin";
    let mut child = home
        .command(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_first_node_is_ready_and_json_logs_say_so_too() {
    let home = Home::new();
    let line = "node --profile local --listen /ip4/127.0.0.1/tcp/0 --log-format json";
    let mut child = home
        .command(line)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(out.next().unwrap().unwrap().starts_with("listening "));
    assert_eq!(out.next().unwrap().unwrap(), "ready");
    child.kill().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    let objects: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        objects
            .iter()
            .any(|object| object["event"] == "listening" && object["address"].is_string()),
        "{log}"
    );
}

#[test]
fn completions_are_printed() {
    let output = Home::new().run("completions bash");
    assert_eq!(code(&output), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("complete"));
}

#[test]
fn a_running_node_tells_of_itself() {
    let home = Home::new();
    let mut running = home.node("");
    running.ready();
    let status = home.run("status --json");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["joined"], true);
    assert!(running.first.contains(status["peer"].as_str().unwrap()));
    for line in [
        "status",
        "info",
        "peers",
        "routes",
        "routes --json",
        "group list",
        "group list --json --all",
    ] {
        let output = home.run(line);
        assert_eq!(code(&output), Some(0), "{line}: {}", error(&output));
    }
    let unknown = home.run("group show abcd");
    assert_eq!(code(&unknown), Some(1));
    assert!(error(&unknown).contains("no group here begins with abcd"));
}
