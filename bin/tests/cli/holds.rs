//! Holds and invitations over HTTP: clients that share the fate of groups, are killed, leave, and hang.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::groups::{Pair, text as output};
use crate::home::{Home, code};
use crate::http::{Answer, ask, connect, request, status};

/// A generous limit for what happens at once.
const LIMIT: Duration = Duration::from_secs(60);

/// A stream of holds as its client has it.
struct Stream(BufReader<UnixStream>);

impl Stream {
    /// Asks for one, which has to be given.
    fn open(home: &Home, method: &str, path: &str, body: &str) -> Stream {
        let mut stream = connect(home);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(request(method, path, body).as_bytes()).unwrap();
        assert_eq!(status(&mut stream), 200, "{path}");
        Stream(BufReader::new(stream))
    }

    /// A group of both that the root's client holds; its first event.
    fn created(pair: &Pair, query: &str, tag: &str) -> (Stream, Value) {
        let body = format!(
            r#"{{"members": ["{}"], "tag": {}, "state": "seven", "admit": "open"}}"#,
            pair.member_id(),
            if tag.is_empty() {
                "null".to_owned()
            } else {
                format!("{tag:?}")
            }
        );
        let mut stream = Stream::open(&pair.root, "POST", &format!("/v1/groups?hold=true{query}"), &body);
        let held = stream.next("held");
        (stream, held)
    }

    /// Waits at the member for invitations; it does when this returns.
    fn waiting(home: &Home, query: &str) -> Stream {
        let mut stream = Stream::open(home, "GET", &format!("/v1/invitations?tag=job{query}"), "");
        assert_eq!(stream.next("waiting")["tag"], "job");
        stream
    }

    /// The next event but for keep-alives, which has to be of this kind; `None` at the end.
    fn event(&mut self) -> Option<Value> {
        let begun = Instant::now();
        loop {
            // Keep-alives come all the time: without this, waiting for what never comes would not end.
            assert!(begun.elapsed() < LIMIT, "no event in time");
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("an event in time") == 0 {
                return None;
            }
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            let event: Value = serde_json::from_str(data).unwrap();
            if event["event"] != "keepalive" {
                return Some(event);
            }
        }
    }

    #[track_caller]
    fn next(&mut self, kind: &str) -> Value {
        let event = self.event().expect("the stream goes on");
        assert_eq!(event["event"], kind, "{event}");
        event
    }

    /// What ends it must be this, and then it ends.
    #[track_caller]
    fn ends_with(mut self, kind: &str) -> Value {
        let event = self.next(kind);
        assert_eq!(self.event(), None);
        event
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {value}"))
        .to_owned()
}

fn of_hold(home: &Home, hold: &str, what: &str, body: &str) -> Answer {
    ask(home, "POST", &format!("/v1/holds/{hold}/{what}"), body)
}

fn join(home: &Home, group: &str) -> (Stream, String) {
    let mut stream = Stream::open(home, "POST", &format!("/v1/groups/{group}/join?hold=true"), "");
    let held = stream.next("held");
    assert_eq!(held["group"], group, "{held}");
    (stream, text(&held, "hold"))
}

fn state(home: &Home, group: &str) -> Value {
    ask(home, "GET", &format!("/v1/groups/{group}"), "").json()
}

/// Waits until the group is so at this node.
#[track_caller]
fn becomes(home: &Home, group: &str, wanted: &str) -> Value {
    let begun = Instant::now();
    loop {
        let shown = state(home, group);
        if shown["state"] == wanted {
            return shown;
        }
        assert!(begun.elapsed() < LIMIT, "{wanted}: {shown}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn fails_because(home: &Home, group: &str, words: &str) {
    let failed = becomes(home, group, "failed");
    let reason = &failed["failure"]["reason"];
    assert_eq!(
        (&reason["kind"], &reason["text"]),
        (&"signalled".into(), &words.into()),
        "{failed}"
    );
}

const GONE: &str = "a process that held the group has gone";

/// A client that is another process, so that it can be killed: it copies what it reads to its standard output.
struct Client(Child);

impl Client {
    /// `None`, with a message, where there is no curl.
    fn start(home: &Home, arguments: &[&str]) -> Option<Client> {
        let socket = home.path().join("fatebound.sock");
        let mut command = Command::new("curl");
        command.args(["--silent", "--no-buffer", "--unix-socket"]).arg(socket);
        command.args(arguments).stdout(Stdio::piped()).stdin(Stdio::null());
        match command.spawn() {
            Ok(child) => Some(Client(child)),
            Err(error) => {
                let required = std::env::var("FATEBOUND_TESTS_REQUIRE_ALL").is_ok_and(|all| all == "1");
                assert!(!required, "curl: {error}");
                eprintln!("skipped: no curl here: {error}");
                None
            }
        }
    }

    /// The next event but for keep-alives.
    fn event(&mut self) -> Value {
        let out = BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap());
        let events = out.lines().map_while(Result::ok).filter_map(|line| {
            let data = line.strip_prefix("data: ")?;
            Some(serde_json::from_str::<Value>(data).unwrap())
        });
        let begun = Instant::now();
        let mut events = events.filter(|event| {
            assert!(begun.elapsed() < LIMIT, "no event in time");
            event["event"] != "keepalive"
        });
        events.next().expect("an event")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_client_takes_its_group_with_it() {
    let pair = Pair::new();
    let body = format!(r#"{{"members": ["{}"]}}"#, pair.member_id());
    let arguments = ["--json", &body, "http://localhost/v1/groups?hold=true"];
    let Some(mut client) = Client::start(&pair.root, &arguments) else {
        return;
    };
    let group = text(&client.event(), "group");
    let (stream, _) = join(&pair.member, &group);
    // SIGKILL.
    drop(client);
    let failed = stream.ends_with("failed");
    assert_eq!(failed["reason"]["text"], GONE, "{failed}");
    fails_because(&pair.root, &group, GONE);
}

#[test]
fn an_invitation_is_held_from_its_acceptance_and_dies_with_its_client() {
    let pair = Pair::new();
    let arguments = ["http://localhost/v1/invitations?tag=job"];
    let Some(mut client) = Client::start(&pair.member, &arguments) else {
        return;
    };
    assert_eq!(client.event()["event"], "waiting");
    let (stream, held) = Stream::created(&pair, "", "job");
    let invited = client.event();
    assert_eq!(
        (
            &invited["event"],
            &invited["group"],
            &invited["state"],
            &invited["peer"]
        ),
        (
            &"invited".into(),
            &held["group"],
            &"seven".into(),
            &pair.member_id().into()
        )
    );
    assert_eq!(invited["members"], held["members"]);
    drop(client);
    assert_eq!(stream.ends_with("failed")["reason"]["text"], GONE);
}

/// It has been accepted, and nothing was read of it: the client is gone before it could know.
#[test]
fn a_client_that_dies_before_it_has_read_its_invitation_fails_the_group() {
    let pair = Pair::new();
    let waiting = Stream::waiting(&pair.member, "");
    let (stream, _) = Stream::created(&pair, "", "job");
    drop(waiting);
    stream.ends_with("failed");
}

#[test]
fn nobody_fails_when_the_holders_leave_and_the_root_goes_last() {
    let pair = Pair::new();
    let mut member = Stream::waiting(&pair.member, "&count=1");
    let (root, held) = Stream::created(&pair, "", "job");
    let invited = member.next("invited");
    let (group, hold) = (text(&held, "group"), text(&held, "hold"));
    let leave = request("POST", &format!("/v1/holds/{hold}/leave"), "");
    // Two leaves at a time, one of which is given up: that changes nothing.
    let mut given_up = connect(&pair.root);
    given_up.write_all(leave.as_bytes()).unwrap();
    let mut leaving = connect(&pair.root);
    leaving.set_read_timeout(Some(LIMIT)).unwrap();
    leaving.write_all(leave.as_bytes()).unwrap();
    // Both have been taken when a later request is answered.
    ask(&pair.root, "GET", "/v1/node", "");
    drop(given_up);
    assert_eq!(state(&pair.root, &group)["state"], "alive");
    let left = of_hold(&pair.member, &text(&invited, "hold"), "leave", "");
    assert_eq!((left.status, left.json()["left"].clone()), (200, true.into()));
    assert_eq!(member.ends_with("left")["hold"], invited["hold"]);
    assert_eq!(status(&mut leaving), 200);
    assert_eq!(root.ends_with("left")["hold"], hold.as_str());
    becomes(&pair.member, &group, "left");
    becomes(&pair.root, &group, "closed");
    let again = of_hold(&pair.root, &hold, "leave", "");
    assert_eq!((again.status, again.problem().as_str()), (404, "hold-unknown"));
}

/// Fails the group while the root's last hold waits, which it does not yet, perhaps, when its request took more than `head_start`: then it hears that
/// the hold is no more, and the result is false.
fn fails_while_the_root_waits(pair: &Pair, head_start: Duration) -> bool {
    let mut member = Stream::waiting(&pair.member, "");
    let (root, held) = Stream::created(pair, "", "job");
    let hold = text(&member.next("invited"), "hold");
    let answer = std::thread::scope(|scope| {
        let leave = scope.spawn(|| of_hold(&pair.root, &text(&held, "hold"), "leave", ""));
        std::thread::sleep(head_start);
        let signalled = of_hold(&pair.member, &hold, "signal", r#"{"reason": "the disk is full"}"#);
        assert_eq!(signalled.status, 200, "{signalled:?}");
        leave.join().unwrap()
    });
    assert_eq!(root.ends_with("failed")["reason"]["text"], "the disk is full");
    // This stream waits for further invitations.
    assert_eq!(member.next("failed")["hold"], hold.as_str());
    if answer.status == 404 {
        assert_eq!(answer.problem(), "hold-unknown");
        return false;
    }
    assert_eq!((answer.status, answer.problem().as_str()), (409, "group-failed"));
    assert_eq!(answer.json()["reason"]["text"], "the disk is full");
    true
}

#[test]
fn a_root_that_waits_for_the_others_hears_of_their_failure() {
    let pair = Pair::new();
    let mut head_starts = (1..10).map(|times| times * Duration::from_millis(200));
    assert!(head_starts.any(|head_start| fails_while_the_root_waits(&pair, head_start)));
}

#[test]
fn several_processes_of_one_node_hold_one_group() {
    let pair = Pair::new();
    let created = pair
        .root
        .run(&format!("group create {} --admit open", pair.member_id()));
    let group = output(&created);
    let (first, one) = join(&pair.member, &group);
    let (second, two) = join(&pair.member, &group);
    let (third, three) = join(&pair.member, &group);
    assert!(one != two && two != three && one.len() == 32, "{one} {two} {three}");
    assert_eq!(of_hold(&pair.member, &one, "leave", "").status, 200);
    first.ends_with("left");
    // Two still hold it, so the node is still in it.
    assert_eq!(state(&pair.member, &group)["state"], "alive");
    assert_eq!(of_hold(&pair.member, &two, "leave", "").status, 200);
    second.ends_with("left");
    assert_eq!(of_hold(&pair.member, &three, "leave", "").status, 200);
    third.ends_with("left");
    becomes(&pair.member, &group, "left");
    assert_eq!(state(&pair.root, &group)["members"].as_array().unwrap().len(), 1);
    // It may come back, and now its death counts.
    let (fourth, _) = join(&pair.member, &group);
    let (fifth, _) = join(&pair.member, &group);
    drop(fifth);
    assert_eq!(fourth.ends_with("failed")["reason"]["text"], GONE);
    fails_because(&pair.root, &group, GONE);
}

#[test]
fn a_hold_that_has_to_be_renewed_ends_when_it_is_not() {
    let pair = Pair::new();
    let (stream, held) = Stream::created(&pair, "&ttl_ms=5000", "");
    let (group, hold) = (text(&held, "group"), text(&held, "hold"));
    let renewed = of_hold(&pair.root, &hold, "renew", "");
    assert_eq!((renewed.status, renewed.json()["ttl_ms"].clone()), (200, 5000.into()));
    let failed = stream.ends_with("failed");
    let words = "a process that held the group has not renewed its hold in time";
    assert_eq!(failed["reason"]["text"], words, "{failed}");
    fails_because(&pair.member, &group, words);
    assert_eq!(of_hold(&pair.root, &hold, "renew", "").problem(), "hold-unknown");
}

#[test]
fn a_stream_holds_as_many_as_it_may_and_no_more() {
    let pair = Pair::new();
    let mut one = Stream::waiting(&pair.member, "&count=1");
    let body = format!(r#"{{"members": ["{}"], "tag": "job"}}"#, pair.member_id());
    let create = || ask(&pair.root, "POST", "/v1/groups", &body);
    assert_eq!(create().status, 201);
    let invited = one.next("invited");
    let refused = create();
    assert_eq!(refused.problem(), "creation-failed");
    assert_eq!(refused.json()["refusals"][0]["kind"], "nobody_waits", "{refused:?}");
    of_hold(&pair.member, &text(&invited, "hold"), "signal", "");
    one.ends_with("failed");

    let mut many = Stream::waiting(&pair.member, "");
    let mut holds = Vec::new();
    for _ in 0..64 {
        let created = create();
        assert_eq!(created.status, 201, "{created:?}");
        holds.push(text(&many.next("invited"), "hold"));
    }
    let refused = create();
    assert_eq!(refused.json()["refusals"][0]["kind"], "busy", "{refused:?}");
    // One that has ended makes room for another one.
    assert_eq!(of_hold(&pair.member, &holds[0], "leave", "").status, 200);
    many.next("left");
    assert_eq!(create().status, 201);
    let last = many.next("invited");
    // All of them end with their stream.
    drop(many);
    fails_because(&pair.root, &text(&last, "group"), GONE);
}

/// Whoever asks for a stream and goes away at once, at any moment, leaves nothing behind.
#[test]
fn clients_that_go_away_in_the_middle_leave_nothing_behind() {
    let pair = Pair::new();
    let group = pair.group();
    let create = format!(r#"{{"members": ["{}"]}}"#, pair.member_id());
    let calls = [
        ("POST", "/v1/groups?hold=true".to_owned(), create.as_str()),
        ("POST", format!("/v1/groups/{group}/join?hold=true"), ""),
        ("GET", "/v1/invitations?tag=job".to_owned(), ""),
    ];
    for (method, path, body) in &calls {
        for wait in 0..10 {
            let mut client = connect(&pair.root);
            client.write_all(request(method, path, body).as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(wait));
        }
    }
    let begun = Instant::now();
    loop {
        // Whatever was created has failed; nobody waits for invitations any more.
        let listed = ask(&pair.root, "GET", "/v1/groups", "").json();
        let groups = listed["groups"].as_array().unwrap();
        let others = groups.iter().filter(|other| other["group"] != group.as_str()).count();
        let tag = format!(
            r#"{{"members": ["{}"], "tag": "job"}}"#,
            text(&ask(&pair.root, "GET", "/v1/node", "").json(), "peer")
        );
        let refused = ask(&pair.member, "POST", "/v1/groups", &tag);
        if others == 0 && refused.json()["refusals"][0]["kind"] == "nobody_waits" {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{listed} {refused:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let home = Home::new();
    let mut running = home.node("");
    running.ready();
    for (method, path) in [
        ("POST", "/v1/groups?hold=maybe"),
        ("POST", "/v1/groups?hold=true&ttl_ms=99"),
        ("POST", "/v1/groups?ttl_ms=1000"),
        ("POST", "/v1/groups?hld=true"),
        ("GET", "/v1/invitations"),
        ("GET", "/v1/invitations?tag=x&count=0"),
        ("GET", "/v1/invitations?tag=x&ttl_ms=3600001"),
    ] {
        let refused = ask(&home, method, path, r#"{"members": []}"#);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "invalid-request"),
            "{path}"
        );
    }
    for what in ["leave", "signal", "renew"] {
        let refused = of_hold(&home, "00", what, "");
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (404, "hold-unknown"),
            "{what}"
        );
    }
    let refused = ask(
        &home,
        "POST",
        "/v1/groups?hold=true",
        r#"{"members": ["12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"], "timeout_ms": 200}"#,
    );
    assert_eq!((refused.status, refused.problem().as_str()), (409, "creation-failed"));
}

#[test]
fn a_node_that_stops_ends_the_holds() {
    let mut pair = Pair::new();
    let (root, _) = Stream::created(&pair, "", "");
    let pid = pair.running[0].child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let failed = root.ends_with("failed");
    assert_eq!(failed["reason"]["kind"], "shutdown", "{failed}");
    assert_eq!(pair.running[0].child.wait().unwrap().code(), Some(0));
    assert_eq!(code(&pair.member.run("status")), Some(0));
}
