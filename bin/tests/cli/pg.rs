//! `fatebound pg`, as users and scripts run it: three nodes, processes in groups over them, and what happens when either are killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::groups::text;
use crate::home::{Home, Running, code, error};
use crate::http::{ask, connect, request};

/// Nothing here takes longer: before a name can be founded, an overlay has to be older than twice its `maintenance_interval`, 4 s each.
const LIMIT: Duration = Duration::from_secs(90);

/// Three nodes of one overlay.
struct Trio {
    homes: [Home; 3],
    nodes: Vec<Running>,
}

impl Trio {
    fn start() -> Trio {
        let homes = [Home::new(), Home::new(), Home::new()];
        let mut first = homes[0].node("");
        first.ready();
        let mut nodes = vec![first];
        for home in &homes[1..] {
            let mut node = home.node(&format!("--bootstrap {}", nodes[0].address()));
            node.ready();
            nodes.push(node);
        }
        Trio { homes, nodes }
    }

    /// Kills a node, by SIGKILL.
    fn kill(&mut self, node: usize) {
        self.nodes[node].child.kill().unwrap();
        self.nodes[node].child.wait().unwrap();
    }

    fn signal(&self, node: usize, signal: &str) {
        self.signal_all(&[node], signal);
    }

    /// In one moment.
    fn signal_all(&self, nodes: &[usize], signal: &str) {
        let processes: Vec<u32> = nodes.iter().map(|node| self.nodes[*node].child.id()).collect();
        send_signal(&processes, signal);
    }
}

fn send_signal(processes: &[u32], signal: &str) {
    let processes = processes.iter().map(u32::to_string);
    let kill = Command::new("kill").arg(signal).args(processes).status();
    assert!(kill.unwrap().success());
}

/// A running `fatebound pg join --json`; killed when dropped.
struct Joined {
    child: Child,
    orders: ChildStdin,
    events: Receiver<Value>,
    /// All events so far.
    seen: Vec<Value>,
    /// So many of them were waited for already.
    taken: usize,
}

impl Joined {
    fn start(home: &Home, line: &str) -> Joined {
        Joined::spawn(home.command(&format!("pg join {line} --json")))
    }

    fn spawn(mut command: Command) -> Joined {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (orders, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Joined {
            child,
            orders,
            events,
            seen: Vec::new(),
            taken: 0,
        }
    }

    /// The next event, behind those that were waited for, that fits.
    #[track_caller]
    fn wait(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.seen[self.taken..].iter().position(&fits) {
                self.taken += at + 1;
                return self.seen[self.taken - 1].clone();
            }
            self.taken = self.seen.len();
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => self.seen.push(event),
                Err(error) => panic!("{error}: seen: {:#?}", self.seen),
            }
        }
    }

    #[track_caller]
    fn event(&mut self, name: &str) -> Value {
        self.wait(|event| event["event"] == name)
    }

    /// Waits until these, and nobody else, are in the list, in this order.
    #[track_caller]
    fn list(&mut self, instances: &[&str]) -> Value {
        self.wait(|event| event["event"] == "providers" && listed(event) == instances)
    }

    fn order(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// The bodies of all messages so far, in order.
    fn messages(&self) -> Vec<&str> {
        let messages = self.seen.iter().filter(|event| event["event"] == "message");
        messages.map(|event| event["body"].as_str().unwrap()).collect()
    }

    /// Waits until it has ended by itself; its exit code.
    fn ended(&mut self) -> Option<i32> {
        ended(&mut self.child)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listed(event: &Value) -> Vec<&str> {
    let providers = event["providers"].as_array().unwrap().iter();
    providers
        .map(|provider| provider["instance"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn ended(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < end, "it has not ended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn three_see_one_history_and_go_on_without_their_leader() {
    let mut trio = Trio::start();
    let mut a = Joined::start(&trio.homes[0], "db --instance a --info first");
    a.event("joined");
    let mut b = Joined::start(&trio.homes[1], "db --instance b --approve");
    b.event("joined");
    let mut c = Joined::start(&trio.homes[2], "db --instance c --approve");
    for joined in [&mut a, &mut b, &mut c] {
        joined.list(&["a", "b", "c"]);
    }

    // All are shown the same messages in the same order, also one from outside.
    for number in 0..20 {
        for (name, joined) in [("a", &mut a), ("b", &mut b), ("c", &mut c)] {
            joined.order(&json!({"send": format!("{name}{number}")}));
        }
    }
    let sent = trio.homes[1].run("pg send db last");
    assert_eq!(code(&sent), Some(0), "{}", error(&sent));
    for joined in [&mut a, &mut b, &mut c] {
        joined.wait(|event| event["body"] == "last");
        while joined.messages().len() < 61 {
            joined.event("message");
        }
    }
    assert_eq!(a.messages(), b.messages());
    assert_eq!(a.messages(), c.messages());
    let own: Vec<&str> = a.messages().into_iter().filter(|body| body.starts_with('a')).collect();
    let sent: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    assert_eq!(own, sent, "each one's messages keep their order");

    // A vote: two approve by themselves, one by hand; then one does not.
    a.order(&json!({"propose": {"state": "primary=a", "voted": true}}));
    let opened = a.event("opened");
    assert_eq!(
        (&opened["change"]["kind"], &opened["state"]),
        (&json!("state"), &json!("primary=a"))
    );
    let vote = |event: &Value, verdict: &str| json!({"vote": {"protocol": event["protocol"], "phase": event["phase"], "verdict": verdict}});
    a.order(&vote(&opened, "approve"));
    let answer = a.wait(|event| event["event"] == "answer" && event["order"] == "propose");
    assert_eq!(answer["outcome"], "approved", "{answer}");
    let state = c.event("state");
    assert_eq!((&state["version"], &state["value"]), (&json!(1), &json!("primary=a")));
    a.order(&json!({"propose": {"message": "stop", "voted": true}}));
    let opened = a.event("opened");
    a.order(&vote(&opened, "reject"));
    let outcome = c.wait(|event| event["event"] == "outcome" && event["outcome"] == "rejected");
    let rejected = outcome["votes"].as_array().unwrap().iter();
    let rejected: Vec<_> = rejected.filter(|vote| vote["verdict"] == "reject").collect();
    assert_eq!(rejected.len(), 1, "{outcome}");
    a.order(&vote(&opened, "approve"));
    a.event("vote_refused");
    a.order(&json!({"sing": "x"}));
    assert!(a.event("refused")["error"].as_str().unwrap().contains("no order"));

    // The state is read and changed from anywhere.
    let got = trio.homes[2].run("pg state get db");
    assert_eq!(got.stdout, b"primary=a\n");
    let stale = trio.homes[2].run("pg state cas db 0 primary=c");
    assert_eq!(code(&stale), Some(1));
    assert!(error(&stale).contains("version 1"), "{}", error(&stale));
    let set = trio.homes[2].run("pg state cas db 1 primary=c");
    assert_eq!(code(&set), Some(0), "{}", error(&set));
    b.wait(|event| event["event"] == "state" && event["value"] == "primary=c");

    let why = text(&trio.homes[0].run("pg why db"));
    assert!(why.contains("This node is in db, and leads it."), "{why}");
    assert!(why.contains("it bears the loss of any 1 at once"), "{why}");
    assert!(why.contains("a@"), "{why}");
    let shown = text(&trio.homes[1].run("pg show db"));
    assert!(shown.contains("first") && shown.contains("primary=c"), "{shown}");
    let group: Value = serde_json::from_slice(&trio.homes[1].run("pg list --json").stdout).unwrap();
    assert_eq!(
        (&group["name"], &group["status"], &group["leads"]),
        (&json!("db"), &json!("normal"), &json!(false))
    );

    // The leader's node is killed: the others go on, and its client knows that its node is gone.
    trio.kill(0);
    assert_eq!(a.ended(), Some(5));
    for joined in [&mut b, &mut c] {
        let view = joined.wait(|event| event["event"] == "view" && event["voters"].as_array().unwrap().len() == 2);
        assert!(
            trio.nodes[1]
                .address()
                .ends_with(view["voters"][0]["peer"].as_str().unwrap())
        );
        let list = joined.list(&["b", "c"]);
        assert_eq!(list["left"][0]["message"], "its node is gone", "{list}");
    }
    b.order(&json!({"send": "still here"}));
    for joined in [&mut b, &mut c] {
        joined.wait(|event| event["body"] == "still here");
    }

    // To leave is no failure.
    c.order(&json!({"leave": {}}));
    assert_eq!(c.ended(), Some(0));
    assert_eq!(b.list(&["b"])["left"][0]["why"], "left");
}

#[test]
fn a_client_that_is_killed_is_gone_and_its_node_is_not() {
    let trio = Trio::start();
    let mut a = Joined::start(&trio.homes[0], "db --instance a");
    a.event("joined");
    let mut b = Joined::start(&trio.homes[1], "db --instance b");
    b.event("joined");
    a.list(&["a", "b"]);
    b.child.kill().unwrap();
    let failed = a.event("failed");
    assert_eq!(failed["reason"], "process_gone", "{failed}");
    assert_eq!(a.list(&["a"])["left"][0]["message"], "its process is gone");
    assert_eq!(code(&trio.homes[1].run("status")), Some(0));

    // The same over HTTP, as a program without this one does it.
    let mut stream = connect(&trio.homes[2]);
    let attach = request(
        "POST",
        "/v1/process-groups/db/providers",
        r#"{"instance": "c", "info": "x"}"#,
    );
    stream.write_all(attach.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "HTTP/1.1 200 OK");
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let joined = lines
        .find_map(|line| line.strip_prefix("data: ").map(str::to_owned))
        .unwrap();
    let joined: Value = serde_json::from_str(&joined).unwrap();
    assert_eq!(joined["event"], "joined");
    let epoch = format!("x-fatebound-epoch: {}", joined["epoch"].as_str().unwrap());
    assert!(head.contains(&epoch), "{head:?}");
    a.list(&["a", "c"]);
    let at = |what: &str| {
        format!(
            "/v1/process-groups/db/providers/{}/{what}",
            joined["provider"].as_str().unwrap()
        )
    };
    let home = &trio.homes[2];
    assert_eq!(
        ask(home, "POST", &at("messages"), r#"{"body": {"base64": "AP8="}}"#).status,
        204
    );
    assert_eq!(a.event("message")["body"], json!({"base64": "AP8="}));
    let proposed = ask(home, "POST", &at("proposals"), r#"{"state": "x", "expected": 0}"#);
    assert_eq!(
        (proposed.status, &proposed.json()["outcome"]),
        (200, &json!("approved"))
    );
    assert!(proposed.head.contains("x-fatebound-epoch: "), "{proposed:?}");
    let stale = ask(home, "POST", &at("proposals"), r#"{"state": "y", "expected": 0}"#);
    assert_eq!((stale.status, stale.problem().as_str()), (412, "version-mismatch"));
    assert_eq!(stale.json()["refusal"], json!({"kind": "stale", "version": 1}));
    let both = ask(home, "POST", &at("proposals"), r#"{"state": "y", "message": "z"}"#);
    assert_eq!((both.status, both.problem().as_str()), (400, "invalid-request"));
    let matched = request("PUT", "/v1/process-groups/db/state", r#"{"value": "z"}"#);
    let matched = matched.replacen("\r\n", "\r\nIf-Match: \"1\"\r\n", 1);
    let mut put = connect(home);
    put.write_all(matched.as_bytes()).unwrap();
    let answer = crate::http::answer(&mut put);
    assert_eq!(answer.status, 200, "{answer:?}");
    let state = ask(home, "GET", "/v1/process-groups/db/state", "");
    assert_eq!(state.json(), json!({"version": 2, "value": "z"}));
    assert!(state.head.contains("etag: \"2\""), "{state:?}");
    let taken = ask(home, "POST", "/v1/process-groups/db/providers", r#"{"instance": "c"}"#);
    assert_eq!((taken.status, taken.problem().as_str()), (409, "not-joined"));
    assert_eq!(taken.json()["refusal"]["kind"], "instance_in_use");
    drop(lines);
    drop(stream);
    assert_eq!(a.list(&["a"])["left"][0]["message"], "its process is gone");
    let late = ask(home, "POST", &at("messages"), r#"{"body": "x"}"#);
    assert_eq!((late.status, late.problem().as_str()), (404, "provider-not-known"));
}

fn barrier(home: &Home, line: &str) -> Child {
    let mut command = home.command(&format!("pg barrier {line}"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_barrier_lets_three_go_together_as_often_as_they_meet() {
    let trio = Trio::start();
    for _ in 0..2 {
        let three: Vec<Child> = trio
            .homes
            .iter()
            .map(|home| barrier(home, "loaded --count 3"))
            .collect();
        for mut child in three {
            let code = ended(&mut child);
            let output = child.wait_with_output().unwrap();
            assert_eq!(code, Some(0), "{}", error(&output));
            let words = text(&output);
            assert!(words.starts_with("3 are here: barrier-"), "{words}");
        }
    }

    // Two of three: the error says who is there, who was, and how many are not.
    let mut first = barrier(&trio.homes[0], "other --count 3 --instance first");
    listed_at(&trio.homes[0], "other", "first");
    let late = barrier(&trio.homes[1], "other --count 3 --instance late --timeout 40s");
    listed_at(&trio.homes[0], "other", "late");
    first.kill().unwrap();
    first.wait().unwrap();
    let output = late.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(1), "{}", error(&output));
    let words = error(&output);
    assert!(words.contains("1 of 3 came to the barrier other: late@"), "{words}");
    assert!(words.contains("2 did not; gone meanwhile: first@"), "{words}");
}

/// A running `fatebound pg lock`, and what its command says.
struct Lock {
    child: Child,
    said: Receiver<String>,
}

impl Lock {
    fn start(home: &Home, name: &str, instance: &str, script: &str) -> Lock {
        let mut command = home.command(&format!("pg lock {name} --instance {instance} -- sh -c"));
        let command = command.arg(script).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Lock { child, said }
    }

    /// The epoch that its command has, once it runs.
    #[track_caller]
    fn epoch(&mut self) -> u64 {
        let line = self.said.recv_timeout(LIMIT).expect("the command runs");
        line.parse().unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Until nobody can write where its command writes: all of it has ended.
    #[track_caller]
    fn silent(&mut self) {
        let last = self.said.recv_timeout(LIMIT);
        assert_eq!(last, Err(RecvTimeoutError::Disconnected));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says its epoch, and then leaves a grandchild that would run on.
const HOLD: &str = "echo $FATEBOUND_EPOCH; sleep 600 & wait";

/// Waits until a process of this name is in the list of a group, as this node sees it.
#[track_caller]
fn listed_at(home: &Home, group: &str, instance: &str) {
    let end = Instant::now() + LIMIT;
    while !text(&home.run(&format!("pg show {group}"))).contains(&format!("{instance}@")) {
        assert!(Instant::now() < end, "{instance} is not there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_lock_is_passed_on_when_its_holder_its_node_or_its_host_is_gone() {
    let trio = Trio::start();
    let lock = |home: usize, instance: &str, script: &str| {
        let lock = Lock::start(&trio.homes[home], "nightly", instance, script);
        listed_at(&trio.homes[0], "nightly", instance);
        lock
    };
    let mut first = lock(0, "first", HOLD);
    let mut second = lock(1, "second", HOLD);
    let mut third = lock(2, "third", "echo $FATEBOUND_EPOCH; exit 7");
    // So that two of three nodes are left when one stops.
    let mut fourth = lock(0, "fourth", HOLD);
    let epoch = first.epoch();

    // Whoever holds it is killed, and its command with it.
    first.child.kill().unwrap();
    first.silent();
    let next = second.epoch();
    assert!(next > epoch, "{next} {epoch}");

    // The next one's node stops: the others go on without it, and it ends its command when its node does not answer.
    trio.signal(1, "-STOP");
    let last = third.epoch();
    assert!(last > next, "{last} {next}");
    assert_eq!(ended(&mut third.child), Some(7), "the command's own exit code");
    assert!(fourth.epoch() > last);
    assert_eq!(ended(&mut second.child), Some(5));
    second.silent();
    trio.signal(1, "-CONT");

    // Whoever is asked to end passes it on and says so.
    send_signal(&[fourth.child.id()], "-TERM");
    assert_eq!(ended(&mut fourth.child), Some(143));
    fourth.silent();
}

#[test]
fn who_is_left_without_a_quorum_is_blocked_and_runs_nothing() {
    let trio = Trio::start();
    let mut holder = Lock::start(&trio.homes[0], "nightly", "holder", HOLD);
    holder.epoch();
    let mut watcher = Joined::start(&trio.homes[0], "nightly --instance watcher");
    watcher.event("joined");
    let _waiting = [1, 2].map(|home| {
        let instance = format!("waiting-{home}");
        let lock = Lock::start(&trio.homes[home], "nightly", &instance, HOLD);
        listed_at(&trio.homes[0], "nightly", &instance);
        lock
    });
    // Silent in one moment: killed ones would be found out one after the other, and the oldest of two goes on.
    trio.signal_all(&[1, 2], "-STOP");
    let blocked = watcher.event("blocked");
    assert_eq!(
        (&blocked["have"], &blocked["need"]),
        (&json!(1), &json!(2)),
        "{blocked}"
    );
    assert_eq!(ended(&mut holder.child), Some(6));
    holder.silent();
    for command in ["pg why nightly", "pg show nightly", "pg state get nightly"] {
        assert_eq!(code(&trio.homes[0].run(command)), Some(6), "{command}");
    }
    let why = text(&trio.homes[0].run("pg why nightly"));
    assert!(why.contains("1 of the 2 that are needed answer"), "{why}");
}

#[test]
fn what_cannot_be_is_said_clearly() {
    let home = Home::new();
    let mut node = home.node("");
    node.ready();
    let long = "x".repeat(129);
    for command in ["show", "why", "join", "state get"] {
        let output = home.run(&format!("pg {command} {long}"));
        assert_eq!(code(&output), Some(2), "{command}");
        assert!(error(&output).contains("1 to 128 bytes, not 129"), "{}", error(&output));
    }
    let empty = home.command("pg join").arg("").output().unwrap();
    assert_eq!(code(&empty), Some(2));
    assert!(error(&empty).contains("not 0"), "{}", error(&empty));
    let bell = home.command("pg send").args(["a\u{7}", "x"]).output().unwrap();
    assert_eq!(code(&bell), Some(2));
    assert!(error(&bell).contains("control characters"), "{}", error(&bell));
    for wrong in [
        "pg",
        "pg sing db",
        "pg join db --vote-default perhaps",
        "pg join db --phase-limit 0s",
        "pg barrier db",
        "pg barrier db --count 0",
        "pg barrier db --count 3 --timeout never",
        "pg lock db",
        "pg state cas db x y",
    ] {
        assert_eq!(code(&home.run(wrong)), Some(2), "{wrong}");
    }
    // Nobody runs the guardian by hand.
    assert_eq!(code(&home.run("pg guardian")), Some(2));
    let long = home.run(&format!("pg join db --instance {}", "x".repeat(65)));
    assert_eq!(code(&long), Some(1));
    assert!(error(&long).contains("1 to 64 bytes"), "{}", error(&long));
    let unknown = home.run("pg show db");
    assert_eq!(code(&unknown), Some(1));
    assert!(error(&unknown).contains("no process in db"), "{}", error(&unknown));
    let none = home.run("pg list");
    assert_eq!((code(&none), error(&none).as_str()), (Some(0), "no process groups\n"));
    assert_eq!(code(&Home::new().run("pg list")), Some(5));
}

#[test]
fn every_path_answers_with_a_problem_of_its_kind() {
    let home = Home::new();
    let mut node = home.node("");
    node.ready();
    let long = "x".repeat(129);
    let get = |path: &str| ask(&home, "GET", &format!("/v1/process-groups{path}"), "");
    assert_eq!(get("").json(), json!({"process_groups": []}));
    for path in [
        "/",
        "//providers",
        "/a%07",
        &format!("/{long}"),
        &format!("/{long}/state"),
    ] {
        let answer = match path.ends_with("providers") {
            true => ask(&home, "POST", &format!("/v1/process-groups{path}"), ""),
            false => get(path),
        };
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "invalid-name"),
            "{path}"
        );
    }
    let attach = ask(&home, "POST", "/v1/process-groups/a%07/providers", "{}");
    assert_eq!((attach.status, attach.problem().as_str()), (400, "invalid-name"));
    for path in ["/db", "/db/state"] {
        let answer = get(path);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "process-group-not-known"),
            "{path}"
        );
    }
    let peer = node.address().rsplit('/').next().unwrap();
    for provider in ["nobody", &format!("{peer}.00000000000000ab.1")] {
        let votes = format!("/v1/process-groups/db/providers/{provider}/votes");
        let vote = ask(
            &home,
            "POST",
            &votes,
            r#"{"protocol": 1, "phase": 1, "verdict": "approve"}"#,
        );
        assert_eq!(
            (vote.status, vote.problem().as_str()),
            (404, "provider-not-known"),
            "{provider}"
        );
    }
    let put = |body: &str| ask(&home, "PUT", "/v1/process-groups/db/state", body);
    assert_eq!(put(r#"{"value": "x"}"#).problem(), "provider-not-known");
    assert_eq!(put(r#"{"value": 7}"#).problem(), "invalid-request");
    let providers = |body: &str| ask(&home, "POST", "/v1/process-groups/db/providers", body);
    for wrong in [
        r#"{"instance": ""}"#,
        r#"{"instance": 7}"#,
        r#"{"name": "x"}"#,
        r#"{"attributes": {"default_vote": "continue"}}"#,
    ] {
        let answer = providers(wrong);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "invalid-request"),
            "{wrong}"
        );
    }
    let range = providers(r#"{"attributes": {"phase_limit_ms": 0}}"#);
    assert_eq!(
        (range.status, range.problem().as_str()),
        (409, "not-joined"),
        "{range:?}"
    );
}

#[test]
fn a_second_terminal_speaks_for_a_provider() {
    let trio = Trio::start();
    let mut a = Joined::start(&trio.homes[0], "db --instance a --phase-limit 1m");
    a.event("joined");
    let mut b = Joined::start(&trio.homes[1], "db --instance b --phase-limit 1m");
    b.event("joined");
    a.list(&["a", "b"]);

    let idle = trio.homes[0].run("pg vote db approve");
    assert_eq!(code(&idle), Some(1));
    assert!(error(&idle).contains("nothing is voted upon"), "{}", error(&idle));
    let propose = |home: &Home, line: &str| {
        let mut command = home.command(&format!("pg propose db {line}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut proposing = propose(&trio.homes[0], "--state primary=a --voted");
    for (home, joined, vote) in [(0, &mut a, "approve"), (1, &mut b, "approve --as b --message fine")] {
        joined.event("opened");
        let voted = trio.homes[home].run(&format!("pg vote db {vote}"));
        assert_eq!(code(&voted), Some(0), "{}", error(&voted));
    }
    assert_eq!(ended(&mut proposing), Some(0));
    let outcome = b.event("outcome");
    assert_eq!(outcome["votes"][1]["message"], "fine", "{outcome}");
    assert_eq!(text(&trio.homes[1].run("pg state get db")), "primary=a");
    let stale = trio.homes[1].run("pg propose db --state primary=b --expected 0");
    assert_eq!(code(&stale), Some(1));
    assert!(error(&stale).contains("version 1"), "{}", error(&stale));

    let mut proposing = propose(&trio.homes[1], "--barrier loaded");
    for (home, joined, vote) in [(0, &mut a, "reject"), (1, &mut b, "approve")] {
        joined.event("opened");
        let voted = trio.homes[home].run(&format!("pg vote db {vote}"));
        assert_eq!(code(&voted), Some(0), "{}", error(&voted));
    }
    assert_eq!(ended(&mut proposing), Some(1));
    let words = error(&proposing.wait_with_output().unwrap());
    assert!(words.contains("rejected"), "{words}");

    // Of several at one node it has to be said which.
    let mut second = Joined::start(&trio.homes[1], "db --instance second --phase-limit 1m");
    second.event("joined");
    a.list(&["a", "b", "second"]);
    let which = trio.homes[1].run("pg leave db");
    assert_eq!(code(&which), Some(2));
    assert!(
        error(&which).contains("b@") && error(&which).contains("second@"),
        "{}",
        error(&which)
    );
    let gone = trio.homes[1].run("pg leave db second --goodbye bye");
    assert_eq!(code(&gone), Some(0), "{}", error(&gone));
    assert_eq!(a.event("failed")["text"], "bye");
    a.list(&["a", "b"]);
    let nobody = trio.homes[0].run("pg expel db nobody");
    assert_eq!(code(&nobody), Some(1));
    assert!(error(&nobody).contains("nobody is called nobody"), "{}", error(&nobody));
    let expelled = trio.homes[0].run("pg expel db b");
    assert_eq!(code(&expelled), Some(0), "{}", error(&expelled));
    assert_eq!(a.list(&["a"])["left"][0]["why"], "expelled");
    assert_eq!(b.ended(), Some(3));
    let left = trio.homes[0].run("pg leave db --json");
    assert_eq!(code(&left), Some(0), "{}", error(&left));
    assert_eq!(
        serde_json::from_slice::<Value>(&left.stdout).unwrap()["outcome"],
        "approved"
    );
    assert_eq!(a.ended(), Some(0));
    let late = trio.homes[2].run("pg leave db");
    assert_eq!(code(&late), Some(1));
    assert!(error(&late).contains("no process in db"), "{}", error(&late));
}

#[test]
fn who_was_put_out_comes_in_again_if_that_is_wanted() {
    let trio = Trio::start();
    let mut a = Joined::start(&trio.homes[0], "db --instance a --rejoin");
    let first = a.event("joined");
    let mut others = [(1, "b"), (2, "c")].map(|(home, name)| {
        let mut joined = Joined::start(&trio.homes[home], &format!("db --instance {name}"));
        joined.event("joined");
        joined
    });
    others[0].list(&["a", "b", "c"]);
    trio.signal(0, "-STOP");
    others[0].list(&["b", "c"]);
    trio.signal(0, "-CONT");
    a.event("removed");
    let again = a.event("joined");
    assert_ne!(first["provider"], again["provider"]);
    others[0].list(&["b", "c", "a"]);
    a.order(&json!({"send": "here again"}));
    for joined in &mut others {
        joined.wait(|event| event["body"] == "here again");
    }
    // To leave is no reason to come again.
    a.order(&json!({"leave": {}}));
    assert_eq!(a.ended(), Some(0));
}

#[test]
fn who_is_expelled_is_ended_and_the_group_learns_how_that_went() {
    let trio = Trio::start();
    let mut a = Joined::start(&trio.homes[0], "db --instance a --phase-limit 1m");
    a.event("joined");
    // One has a command for it, the other does it itself; each is the only one at its node.
    let file = trio.homes[1].path().join("ended");
    let mut command = trio.homes[1].command("pg join db --instance b --phase-limit 1m --json --deactivate");
    command.arg(format!("echo \"$FATEBOUND_ARGUMENT\" > {}; exit 7", file.display()));
    let mut b = Joined::spawn(command);
    b.event("joined");
    let mut c = Joined::start(&trio.homes[2], "db --instance c --phase-limit 1m");
    c.event("joined");
    a.list(&["a", "b", "c"]);

    let expelled = trio.homes[0].run("pg expel db b --deactivate enough --json");
    assert_eq!(code(&expelled), Some(0), "{}", error(&expelled));
    let expelled: Value = serde_json::from_slice(&expelled.stdout).unwrap();
    let exit = expelled["exits"][0].as_str().unwrap();
    assert!(exit.contains('7'), "{expelled}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "enough\n");
    assert_eq!(b.ended(), Some(3));

    let mut expelling = trio.homes[0].command("pg expel db c --deactivate enough --json");
    let expelling = expelling.stdout(Stdio::piped()).spawn().unwrap();
    let protocol = c.event("deactivate")["protocol"].clone();
    c.event("ended");
    c.order(&json!({"deactivated": {"protocol": protocol, "status": 3}}));
    c.wait(|event| event["event"] == "answer" && event["order"] == "deactivated");
    assert_eq!(c.ended(), Some(3));
    let expelled: Value = serde_json::from_slice(&expelling.wait_with_output().unwrap().stdout).unwrap();
    assert!(expelled["exits"][0].as_str().unwrap().contains('3'), "{expelled}");
    a.list(&["a"]);
}
