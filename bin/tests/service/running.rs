//! `service run | list | show | switchover`, and what a load balancer sees.

use crate::home::Home;
use crate::http::ask;
use crate::trio::{Trio, begun, lines, lives, wait};

/// The status of `GET /v1/services/web/primary`.
fn health(home: &Home) -> u16 {
    ask(home, "GET", "/v1/services/web/primary", "").status
}

#[test]
fn a_command_runs_where_the_primary_is_and_nowhere_else() {
    let mut trio = Trio::start();
    let mut a = trio.provider(0, "a", "");
    let (at, line) = trio.line(0, "begin a");
    let (first, process) = begun(&line);
    let hooked = trio.dir.path().join("roles");
    let hook = format!(
        "#!/bin/sh\necho \"$FATEBOUND_SERVICE $FATEBOUND_ROLE ${{FATEBOUND_EPOCH:-none}}\" >> {}\n",
        hooked.display()
    );
    let hook = trio.script("hook", &hook);
    let mut b = trio.provider(1, "b", &format!("--role-hook {}", hook.display()));
    trio.settled(0, "a", 1, 0);
    let mut c = trio.provider(2, "c", "--preference 9");
    trio.settled(2, "a", 1, 1);
    assert_eq!([0, 1, 2].map(|node| health(&trio.homes[node])), [200, 503, 503]);

    // A switchover: the one has ended before the other begins.
    let done = trio.homes[2].run("service switchover web --to b");
    assert!(done.status.success(), "{done:?}");
    let (at, line) = trio.line(at + 1, "begin b");
    let (second, command) = begun(&line);
    assert!(second > first);
    assert_eq!(trio.lines()[at - 1], "end a");
    assert!(!lives(process));
    wait("the health of all", || {
        ([0, 1, 2].map(|node| health(&trio.homes[node])) == [503, 200, 503]).then_some(())
    });
    // Whether it was told that it is a spare before it was a secondary, depends on how soon it was made one.
    let last = format!("web primary {second}");
    let roles = wait("the hook", || {
        Some(lines(&hooked)).filter(|lines| lines.last() == Some(&last))
    });
    assert_eq!(roles[roles.len() - 2], "web secondary none");

    // The provider is killed: its command ends with it, and the secondary takes over, not the spare that is preferred.
    b.kill();
    let (at, line) = trio.line(at + 1, "begin a");
    let (third, process) = begun(&line);
    assert!(third > second);
    wait("the command of the killed one ends", || (!lives(command)).then_some(()));

    // Its whole node is killed: of those who are left the secondary serves, and the client of the node says so.
    trio.settled(2, "a", 1, 0);
    let _third = trio.provider(1, "b2", "");
    trio.settled(2, "a", 1, 1);
    trio.kill_node(0);
    assert_eq!(a.ended(), Some(5));
    let (at, line) = trio.line(at + 1, "begin c");
    assert!(begun(&line).0 > third);
    assert!(!lives(process));

    // Asked to stop, it ends its command first.
    c.signal("-TERM");
    assert_eq!(c.ended(), Some(143));
    trio.line(at + 1, "end c");
}

#[test]
fn a_command_that_ends_by_itself_ends_its_provider_with_its_exit_code() {
    let trio = Trio::start();
    let script = trio.script("short", "#!/bin/sh\nexit 7\n");
    let line = format!("service run web --instance s -- {}", script.display());
    let ended = trio.homes[0].run(&line);
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    let _b = trio.provider(1, "b", "");
    trio.line(0, "begin b");
    let listed = trio.homes[1].run("service list --json");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        (&listed["service"], &listed["role"]),
        (&"web".into(), &"primary".into())
    );
    let twice = trio.homes[1].run(&format!("service run web -- {}", script.display()));
    assert_eq!(twice.status.code(), Some(4), "{twice:?}");
    let nobody = trio.homes[1].run("service switchover web --to nobody");
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
}
