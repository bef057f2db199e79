//! Where a node keeps its key and its socket, and that its clients look there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::home::{Home, Running, code, error};

/// A user who is nobody in particular.
const USER: u32 = 65_534;

#[test]
fn the_socket_may_live_in_a_data_directory_that_is_yet_to_be_made() {
    let home = Home::new();
    let directory = home.path().join("new/node");
    let directory = directory.display();
    let _running = home.node(&format!("--data-dir {directory} --api unix:{directory}/api.sock"));
    let status = home.run(&format!("status --api unix:{directory}/api.sock"));
    assert_eq!(code(&status), Some(0), "{}", error(&status));
}

#[test]
fn a_socket_that_cannot_be_made_is_named_and_no_other_file() {
    let home = Home::new();
    let output = home.run(&format!("node --api unix:{}/none/api.sock", home.path().display()));
    assert_eq!(code(&output), Some(1));
    let words = error(&output);
    assert!(
        words.contains("/none/api.sock: No such file or directory") && words.contains("--api"),
        "{words}"
    );
    assert!(!words.contains(".fb"), "{words}");
}

/// The built program, where any user can run it.
fn program(home: &Home) -> PathBuf {
    let program = home.path().join("fatebound");
    let built = Path::new(env!("CARGO_BIN_EXE_fatebound"));
    fs::hard_link(built, &program)
        .or_else(|_| fs::copy(built, &program).map(drop))
        .unwrap();
    program
}

/// A command of a user who is not root, in no session.
fn of_user(home: &Home, program: &Path, line: &str) -> Command {
    let mut command = Command::new(program);
    command.args(line.split_whitespace()).env_clear().stdin(Stdio::null());
    command.current_dir(home.path());
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(USER);
    }
    command
}

#[test]
fn without_a_session_a_user_has_a_place_of_their_own() {
    let home = Home::new();
    let program = program(&home);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        chown(home.path(), Some(USER), None).unwrap();
    }
    let state = home.path().join("state");
    let run = |line: &str| {
        of_user(&home, &program, line)
            .env("XDG_STATE_HOME", &state)
            .output()
            .unwrap()
    };
    let before = run("status");
    assert_eq!(code(&before), Some(5), "{}", error(&before));
    let mut node = of_user(&home, &program, "node --profile local --listen /ip4/127.0.0.1/tcp/0");
    let _running = Running::of(node.env("XDG_STATE_HOME", &state));
    let status = run("status");
    assert_eq!(code(&status), Some(0), "{}", error(&status));
    let socket = fs::metadata(state.join("fatebound/api.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn without_a_home_either_it_is_a_directory_that_nobody_else_enters() {
    let home = Home::new();
    let program = program(&home);
    let user = match fs::metadata("/proc/self").unwrap().uid() {
        0 => USER,
        user => user,
    };
    chown(home.path(), (user == USER).then_some(USER), None).unwrap();
    let place = PathBuf::from(format!("/tmp/fatebound-{user}"));
    if place.exists() {
        // Somebody's node is there, and no business of a test.
        return;
    }
    let line = format!(
        "node --profile local --listen /ip4/127.0.0.1/tcp/0 --data-dir {}/data",
        home.path().display()
    );
    let running = Running::of(&mut of_user(&home, &program, &line));
    let status = of_user(&home, &program, "status").output().unwrap();
    let mode = fs::metadata(&place).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
    let open = of_user(&home, &program, "status").output().unwrap();
    drop(running);
    fs::remove_dir_all(&place).unwrap();
    assert_eq!(code(&status), Some(0), "{}", error(&status));
    assert_eq!(mode, 0o700);
    assert_eq!(code(&open), Some(1), "{}", error(&open));
    assert!(error(&open).contains("--api"), "{}", error(&open));
}
