//! Coming into a group by its id, observing, leaving and closing, between real nodes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::groups::{parsed, text};
use crate::home::{Home, Running, code, error};

/// Nodes that have joined each other, the first one's home first.
struct Overlay {
    homes: Vec<Home>,
    nodes: Vec<Running>,
}

impl Overlay {
    fn new(nodes: usize) -> Overlay {
        let mut overlay = Overlay {
            homes: Vec::new(),
            nodes: Vec::new(),
        };
        for _ in 0..nodes {
            let home = Home::new();
            let bootstrap = overlay.nodes.first();
            let line = bootstrap.map_or(String::new(), |node| format!("--bootstrap {}", node.address()));
            let mut node = home.node(&line);
            node.ready();
            overlay.homes.push(home);
            overlay.nodes.push(node);
        }
        overlay
    }

    fn id(&self, node: usize) -> String {
        text(&self.homes[node].run("id"))
    }

    /// A group of the first two.
    fn group(&self, flags: &str) -> String {
        let created = self.homes[0].run(&format!("group create {} {flags}", self.id(1)));
        assert_eq!(code(&created), Some(0), "{}", error(&created));
        text(&created)
    }

    /// Runs a command that has to end so, and returns what it printed.
    fn expect(&self, node: usize, line: &str, exit: i32) -> String {
        let output = self.homes[node].run(line);
        assert_eq!(code(&output), Some(exit), "{line}: {}{}", text(&output), error(&output));
        text(&output) + &error(&output)
    }

    /// A watch of the group that ends with it; it has begun.
    fn watch(&self, node: usize, group: &str) -> Child {
        let mut command = self.homes[node].command(&format!("group watch {group} --until-failed --json"));
        let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(1, watch.stdout.as_mut().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert!(first.contains("watching"), "{first}");
        watch
    }

    /// Kills a node's process.
    fn kill(&mut self, node: usize) {
        self.nodes[node].child.kill().unwrap();
        self.nodes[node].child.wait().unwrap();
    }
}

fn ends(watch: Child) -> (Option<i32>, String) {
    let output = watch.wait_with_output().unwrap();
    (code(&output), text(&output))
}

#[test]
fn whoever_has_the_id_of_an_open_group_comes_in_and_counts() {
    let mut overlay = Overlay::new(3);
    let group = overlay.group("--admit open --state hello");
    let joined = overlay.expect(2, &format!("group join {group}"), 0);
    assert_eq!(joined, format!("member of {group}"));
    let shown = parsed(&overlay.homes[0].run(&format!("group show {group} --json")));
    assert_eq!(shown["members"].as_array().unwrap().len(), 3, "{shown}");
    // Joining again changes nothing.
    let again = parsed(&overlay.homes[2].run(&format!("group join {group} --json")));
    assert_eq!(
        (&again["role"], &again["root"]),
        (&"member".into(), &overlay.id(0).into())
    );
    let watches = [overlay.watch(0, &group), overlay.watch(1, &group)];
    overlay.kill(2);
    for watch in watches {
        let (exit, lines) = ends(watch);
        assert_eq!(exit, Some(3), "{lines}");
    }
    let late = overlay.expect(1, &format!("group join {group}"), 3);
    assert!(late.contains("the group is over"), "{late}");
}

#[test]
fn an_observer_is_told_and_its_death_is_nobodys() {
    let mut overlay = Overlay::new(4);
    let group = overlay.group("--admit open");
    for node in [2, 3] {
        overlay.expect(node, &format!("group observe {group}"), 0);
    }
    let shown = parsed(&overlay.homes[0].run(&format!("group show {group} --json")));
    assert_eq!(shown["observers"].as_array().unwrap().len(), 2, "{shown}");
    let refused = overlay.expect(2, &format!("group signal {group}"), 1);
    assert!(refused.contains("only observes"), "{refused}");
    let refused = overlay.expect(2, &format!("group join {group}"), 1);
    assert!(refused.contains("in the other role"), "{refused}");
    let mut events = overlay.homes[0]
        .command("group watch --json")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.next().unwrap().contains("watching"));
    overlay.kill(3);
    let event = lines.find(|line| line.contains("went_out") || line.contains("\"failed\""));
    assert!(
        event.unwrap().contains("went_out"),
        "the root has noticed, and nothing failed"
    );
    events.kill().unwrap();
    events.wait().unwrap();
    overlay.expect(1, &format!("group check {group}"), 0);
    let watch = overlay.watch(2, &group);
    overlay.expect(1, &format!("group signal {group} --reason enough"), 0);
    let (exit, lines) = ends(watch);
    assert!(exit == Some(3) && lines.contains("enough"), "{lines}");
}

#[test]
fn whoever_leaves_is_out_and_nobody_fails() {
    let mut overlay = Overlay::new(3);
    let group = overlay.group("--admit open");
    overlay.expect(2, &format!("group join {group}"), 0);
    let watch = overlay.watch(2, &group);
    overlay.expect(2, &format!("group leave {}", &group[..10]), 0);
    let (exit, lines) = ends(watch);
    assert!(exit == Some(0) && lines.contains("\"left\""), "{lines}");
    let shown = parsed(&overlay.homes[2].run(&format!("group show {group} --json")));
    assert_eq!(shown["state"], "left");
    let left = overlay.expect(2, &format!("group leave {group}"), 3);
    assert!(left.contains("over before"), "{left}");
    overlay.expect(2, &format!("group join {group}"), 0);
    overlay.expect(2, &format!("group leave {group}"), 0);
    overlay.kill(2);
    overlay.expect(1, &format!("group check {group}"), 0);
    assert_eq!(
        parsed(&overlay.homes[0].run(&format!("group show {group} --json")))["members"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_closed_group_is_over_and_nobody_fails() {
    let overlay = Overlay::new(3);
    let group = overlay.group("--admit open");
    overlay.expect(2, &format!("group observe {group}"), 0);
    let refused = overlay.expect(1, &format!("group close {group}"), 1);
    assert!(refused.contains("only its root"), "{refused}");
    let watches = [0, 1, 2].map(|node| overlay.watch(node, &group));
    overlay.expect(0, &format!("group close {group}"), 0);
    for watch in watches {
        let (exit, lines) = ends(watch);
        assert!(
            exit == Some(0) && lines.contains("\"closed\"") && !lines.contains("\"failed\""),
            "{lines}"
        );
    }
    for node in 0..3 {
        let shown = parsed(&overlay.homes[node].run(&format!("group show {group} --json")));
        assert_eq!(shown["state"], "closed");
        // A watch of what is over already ends the same way.
        overlay.expect(node, &format!("group watch {group} --until-failed"), 0);
    }
    let late = overlay.expect(2, &format!("group join {group}"), 4);
    assert!(late.contains("closed"), "{late}");
}

#[test]
fn the_policy_decides_who_comes_in() {
    let overlay = Overlay::new(3);
    let list = overlay.homes[0].path().join("friends");
    std::fs::write(&list, format!("# friends\n{}\n", overlay.id(2))).unwrap();
    for (admit, exit) in [
        (String::new(), 4),
        ("--admit members".to_owned(), 4),
        (format!("--admit {}", list.display()), 0),
    ] {
        let group = overlay.group(&admit);
        let said = overlay.expect(2, &format!("group join {group}"), exit);
        assert!(exit == 0 || said.contains("not open to this peer"), "{said}");
    }
    let nonsense = overlay.expect(0, &format!("group create {} --admit nowhere", overlay.id(1)), 2);
    assert!(
        nonsense.contains("neither ask, open, members, nor a file"),
        "{nonsense}"
    );
}

#[test]
fn whoever_follows_the_admissions_is_asked() {
    let overlay = Overlay::new(3);
    let group = overlay.group("");
    let mut follow = overlay.homes[0]
        .command("group admissions --json")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut wishes = BufReader::new(follow.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(wishes.next().unwrap().contains("asking"));
    for (word, exit) in [("refuse", 4), ("admit", 0)] {
        let join = overlay.homes[2]
            .command(&format!("group join {group} --timeout 20s"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let wish = wishes.next().unwrap();
        assert!(wish.contains(&group) && wish.contains(&overlay.id(2)), "{wish}");
        overlay.expect(0, &format!("group {word} {} {}", &group[..8], overlay.id(2)), 0);
        let joined = join.wait_with_output().unwrap();
        assert_eq!(code(&joined), Some(exit), "{word}: {}", error(&joined));
    }
    let nobody = overlay.expect(0, &format!("group admit {group} {}", overlay.id(1)), 1);
    assert!(nobody.contains("does not wait"), "{nobody}");
    follow.kill().unwrap();
    follow.wait().unwrap();
}
