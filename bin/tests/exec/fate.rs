//! `exec` in groups: several nodes, a command at each, and what becomes of the others when one of them fails.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::home::{Home, Running, code};
use crate::started::{Started, has, kill};

/// Some nodes of one overlay.
struct Nodes {
    homes: Vec<Home>,
    nodes: Vec<Running>,
}

impl Nodes {
    fn start(count: usize) -> Nodes {
        let mut nodes = Nodes {
            homes: Vec::new(),
            nodes: Vec::new(),
        };
        for _ in 0..count {
            let home = Home::new();
            let bootstrap = nodes
                .nodes
                .first()
                .map(|node| format!("--bootstrap {}", node.address()));
            let mut node = home.node(&bootstrap.unwrap_or_default());
            node.ready();
            nodes.homes.push(home);
            nodes.nodes.push(node);
        }
        nodes
    }

    fn address(&self, node: usize) -> &str {
        self.nodes[node].address()
    }

    /// All but the first node.
    fn others(&self) -> String {
        let others = (1..self.nodes.len()).map(|node| self.address(node));
        others.collect::<Vec<_>>().join(" ")
    }

    fn exec(&self, node: usize, line: &str, command: &[&str]) -> Command {
        let mut exec = self.homes[node].command(&format!("exec {line} --"));
        exec.args(command).env("PATH", std::env::var_os("PATH").unwrap());
        exec
    }

    /// The same command at all nodes, in one group that the first one creates.
    fn all(&self, more: &str, command: &[&str]) -> Vec<Started> {
        let create = format!("--create {} --tag job --wait 60s {more}", self.others());
        let accept = format!("--accept job {}", more.split("--state").next().unwrap());
        let mut all: Vec<Started> = (1..self.nodes.len())
            .map(|node| Started::of(&mut self.exec(node, &accept, command)))
            .collect();
        all.insert(0, Started::of(&mut self.exec(0, &create, command)));
        all
    }

    fn signal(&self, node: usize, signal: &str) {
        kill(signal, self.nodes[node].child.id());
    }
}

/// Says its process id and place, lives until it is asked to end, and says when that was.
const WORKER: &[&str] = &[
    "sh",
    "-c",
    "trap 'echo asked:$(date +%s%N):; exit 0' TERM; echo begun:$$:$FATEBOUND_RANK; sleep 1000 & wait",
];

fn begun(all: &mut [Started]) {
    for started in all {
        started.writes("begun:");
        started.writes("\n");
    }
}

/// What stands between this and the next colon.
fn said<'a>(started: &'a Started, what: &str) -> &'a str {
    started.text.split(what).nth(1).unwrap().split(':').next().unwrap()
}

/// The place that a worker has said.
fn rank(started: &Started) -> &str {
    let line = started.text.lines().find(|line| line.starts_with("begun:")).unwrap();
    line.rsplit(':').next().unwrap()
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// All of these are stopped by the group, and nothing is left of them.
fn taken_down(started: &mut Started) -> Duration {
    started.nothing_left();
    assert_eq!(started.ended().code(), Some(3), "{}", started.text);
    Duration::from_nanos(said(started, "asked:").parse().unwrap())
}

#[test]
fn when_one_of_three_workers_is_killed_the_others_are_stopped() {
    let nodes = Nodes::start(3);
    let mut all = nodes.all("", WORKER);
    begun(&mut all);
    let mut ranks: Vec<&str> = all.iter().map(rank).collect();
    ranks.sort_unstable();
    assert_eq!(ranks, ["0", "1", "2"]);
    let victim: u32 = said(&all[1], "begun:").parse().unwrap();
    let killed = now();
    kill("-KILL", victim);
    assert_eq!(all[1].ended().code(), Some(137));
    for survivor in [0, 2] {
        let asked = taken_down(&mut all[survivor]);
        let after = asked.saturating_sub(killed).as_secs_f64() * 1000.0;
        eprintln!("worker {survivor} was asked to end {after:.1} ms after the other one's death");
    }
}

#[test]
fn an_exec_that_is_killed_and_a_command_that_fails_take_the_others_down() {
    let nodes = Nodes::start(2);
    let mut all = nodes.all("", WORKER);
    begun(&mut all);
    all[1].signal("-KILL");
    all[1].nothing_left();
    taken_down(&mut all[0]);

    // It ends by itself, but not well.
    let mut creator = Started::of(
        nodes
            .exec(
                0,
                &format!("--create {} --tag job --wait 60s", nodes.others()),
                &["sh", "-c", "read x; exit 9"],
            )
            .stdin(Stdio::piped()),
    );
    let mut other = Started::of(&mut nodes.exec(1, "--accept job --failed-code 44", WORKER));
    begun(std::slice::from_mut(&mut other));
    creator.child.stdin.take();
    assert_eq!(creator.ended().code(), Some(9));
    other.nothing_left();
    assert_eq!(other.ended().code(), Some(44));
}

#[test]
fn a_node_that_dies_or_hangs_takes_its_command_down_and_the_others() {
    for signal in ["-KILL", "-STOP"] {
        let nodes = Nodes::start(2);
        let mut all = nodes.all("", WORKER);
        begun(&mut all);
        nodes.signal(1, signal);
        for started in &mut all {
            taken_down(started);
        }
    }
}

#[test]
fn the_creator_may_finish_first() {
    let nodes = Nodes::start(2);
    let create = format!("--create {} --tag job --wait 60s", nodes.others());
    let mut creator = Started::of(&mut nodes.exec(0, &create, &["sh", "-c", "echo finished"]));
    let mut other = Started::of(
        nodes
            .exec(1, "--accept job", &["sh", "-c", "echo begun:; read x; exit 0"])
            .stdin(Stdio::piped()),
    );
    creator.writes("finished");
    creator.nothing_left();
    other.writes("begun:");
    // It has nothing left to run, and stays for the other one.
    assert!(creator.child.try_wait().unwrap().is_none());
    other.child.stdin.take();
    assert_eq!(other.ended().code(), Some(0));
    assert_eq!(creator.ended().code(), Some(0));

    // The other one fails after the creator's command has finished well.
    let mut creator = Started::of(&mut nodes.exec(0, &create, &["sh", "-c", "echo finished"]));
    let mut other = Started::of(
        nodes
            .exec(1, "--accept job", &["sh", "-c", "echo begun:; read x; exit 5"])
            .stdin(Stdio::piped()),
    );
    creator.writes("finished");
    other.writes("begun:");
    other.child.stdin.take();
    assert_eq!(other.ended().code(), Some(5));
    assert_eq!(creator.ended().code(), Some(3));
}

#[test]
fn a_command_knows_its_group_its_place_and_the_state() {
    let nodes = Nodes::start(2);
    let script = "echo \"$FATEBOUND_RANK of $FATEBOUND_SIZE $FATEBOUND_TAG $(cat $FATEBOUND_STATE) $FATEBOUND_GROUP\"; \
        set -- $FATEBOUND_MEMBERS; shift $FATEBOUND_RANK; test $1 = $FATEBOUND_PEER && echo mine; echo api $FATEBOUND_API";
    let mut all = nodes.all("--state seven", &["sh", "-c", script]);
    for (rank, started) in all.iter_mut().enumerate() {
        started.nothing_left();
        assert_eq!(started.ended().code(), Some(0));
        let text = &started.text;
        assert!(text.starts_with(&format!("{rank} of 2 job seven ")), "{text}");
        assert!(text.contains("mine\n") && text.contains("api unix:/"), "{text}");
    }
    assert_eq!(
        all[0].text.split(' ').nth(5).unwrap().lines().next(),
        all[1].text.split(' ').nth(5).unwrap().lines().next()
    );
}

#[test]
fn without_a_group_the_command_does_not_begin() {
    let home = Home::new();
    let nowhere = home.run("exec --accept job -- echo begun");
    assert_eq!((code(&nowhere), nowhere.stdout.len()), (Some(5), 0));
    let nodes = Nodes::start(2);
    // Nobody waits there.
    let create = format!("--create {} --tag job", nodes.others());
    let refused = nodes.exec(0, &create, &["echo", "begun"]).output().unwrap();
    assert_eq!((code(&refused), refused.stdout.len()), (Some(4), 0), "{refused:?}");
    let nobody = nodes
        .exec(1, "--accept job --wait 200ms", &["echo", "begun"])
        .output()
        .unwrap();
    assert_eq!((code(&nobody), nobody.stdout.len()), (Some(4), 0), "{nobody:?}");
    let unknown = nodes
        .exec(1, "--join not/a/group", &["echo", "begun"])
        .output()
        .unwrap();
    assert_eq!((code(&unknown), unknown.stdout.len()), (Some(2), 0), "{unknown:?}");
}

#[test]
fn a_member_that_is_late_is_waited_for() {
    let nodes = Nodes::start(3);
    let mut early = Started::of(&mut nodes.exec(1, "--accept job", WORKER));
    let create = format!("--create {} --tag job --wait 60s", nodes.others());
    let mut creator = Started::of(&mut nodes.exec(0, &create, WORKER));
    let mut late = Started::of(&mut nodes.exec(2, "--accept job", WORKER));
    begun(std::slice::from_mut(&mut creator));
    begun(std::slice::from_mut(&mut late));
    late.signal("-KILL");
    taken_down(&mut creator);
    early.nothing_left();
    assert_eq!(early.ended().code(), Some(3));
}

#[test]
fn a_command_comes_into_a_group_that_exists() {
    let nodes = Nodes::start(2);
    // The creator's node takes a second share; the other node comes in. Nobody is asked: the group is open to both.
    let create = format!("group create {} --state seven --admit open", nodes.others());
    let created = nodes.homes[0].run(&create);
    assert_eq!(code(&created), Some(0), "{created:?}");
    let group = String::from_utf8(created.stdout).unwrap();
    let script = "echo begun:$FATEBOUND_GROUP:; cat $FATEBOUND_STATE; read x; exit 6";
    let join = format!("--join {}", group.trim());
    let mut one = Started::of(nodes.exec(0, &join, &["sh", "-c", script]).stdin(Stdio::piped()));
    let mut other = Started::of(&mut nodes.exec(1, &join, WORKER));
    one.writes("seven");
    assert_eq!(said(&one, "begun:"), group.trim());
    begun(std::slice::from_mut(&mut other));
    one.child.stdin.take();
    assert_eq!(one.ended().code(), Some(6));
    taken_down(&mut other);
    // A group that has failed does not begin a command.
    let late = nodes.exec(1, &join, &["echo", "begun"]).output().unwrap();
    assert_eq!((code(&late), late.stdout.len()), (Some(3), 0), "{late:?}");
}

#[test]
fn a_job_starts_again_as_a_whole_in_a_new_group() {
    let nodes = Nodes::start(2);
    let marker: PathBuf = nodes.homes[0].path().join("failed-once");
    // The first time one fails while the other one waits for something that never comes; the second time both end well.
    let script = "echo group:$FATEBOUND_GROUP:; if test -e \"$0\"; then exit 0; fi; \
        if test $FATEBOUND_RANK = 1; then read x < \"$0.fifo\"; : > \"$0\"; exit 7; fi; echo > \"$0.fifo\"; sleep 1000";
    let fifo = Command::new("mkfifo").arg(marker.with_extension("fifo")).status();
    assert!(fifo.unwrap().success());
    let mut all = nodes.all(
        "--restart on-failure --max-restarts 2",
        &["sh", "-c", script, marker.to_str().unwrap()],
    );
    for started in &mut all {
        started.nothing_left();
        assert_eq!(started.ended().code(), Some(0), "{}", started.text);
    }
    let groups = |started: &Started| -> Vec<String> {
        let lines = started.text.lines().filter_map(|line| line.strip_prefix("group:"));
        lines.map(str::to_owned).collect()
    };
    let last = groups(&all[1]);
    assert_eq!(last.len(), 2, "{last:?}");
    assert_ne!(last[0], last[1]);
    assert_eq!(groups(&all[0]).last(), last.last());
}

#[test]
fn workers_that_would_wait_for_a_dead_one_are_stopped() {
    if !has("python3") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/allreduce.py");
    let nodes = Nodes::start(4);
    let state = format!("--state unix:{}", nodes.homes[0].path().join("sum").display());
    // `exec` replaces the shell, so that its process id is the worker's.
    let run = ["sh", "-c", "echo begun:$$:; STEPS=100000 exec python3 \"$0\"", script];
    let mut all = nodes.all(&state, &run);
    for started in &mut all {
        started.writes("step 10");
    }
    let victim: u32 = said(&all[2], "begun:").parse().unwrap();
    let killed = now();
    kill("-KILL", victim);
    assert_eq!(all[2].ended().code(), Some(137));
    for survivor in [0, 1, 3] {
        all[survivor].nothing_left();
        assert_eq!(all[survivor].ended().code(), Some(3));
    }
    eprintln!(
        "all workers were gone {:.0} ms after the death of one",
        now().saturating_sub(killed).as_secs_f64() * 1000.0
    );

    // Left alone, they come to their end.
    let run = ["sh", "-c", "STEPS=20 exec python3 \"$0\"", script];
    let mut all = nodes.all(&state, &run);
    for started in &mut all {
        assert_eq!(started.ended().code(), Some(0));
        started.nothing_left();
        assert!(started.text.contains("done"), "{}", started.text);
    }
}
