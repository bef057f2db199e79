//! What a node says that does not get into its overlay, or has fallen out of it: why, where its user looks.

use std::net::TcpListener;

use fatebound_tests::{Cluster, Node, Outcome};
use tempfile::TempDir;

const STRANGER: &str = "12D3KooWJWEKvSFbben74C7H4YtKjhPMTDxd7gP7zxWSUEeF27st";

/// Where nobody listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().expect("bound").port())
}

/// The address without its `/p2p/…`.
fn place(node: &Node) -> &str {
    node.address.split("/p2p/").next().expect("something")
}

#[test]
fn each_bootstrap_address_that_is_of_no_use_is_named_with_its_reason() {
    let directory = TempDir::new().expect("a temporary directory");
    let start = |name: &str, bootstrap: &[&str], network: &str| {
        Node::start_unjoined(&directory.path().join(name), bootstrap, &["--network", network])
    };
    let good = start("good", &[], "ours");
    let foreign = start("foreign", &[], "theirs");
    let refusing = closed();
    let web = format!("{}/ws", closed());
    let nameless = "/dns4/nowhere.invalid/tcp/7101";
    let misspelt = format!("{}/p2p/{STRANGER}", place(&good));
    let all = [&refusing, &web, nameless, &misspelt, foreign.address.as_str()];
    let lost = start("lost", &all, "ours");
    lost.logs(&["WARN", &refusing, "refused"]);
    lost.logs(&["WARN", &web, "cannot be dialled"]);
    lost.logs(&["WARN", nameless, "reason="]);
    lost.logs(&["WARN", place(&good), "another peer lives there", &good.peer]);
    lost.logs(&["WARN", place(&foreign), "theirs", "ours"]);
    foreign.logs(&["WARN", &lost.peer, "ours", "theirs"]);
    // All have been tried by now, several times; each is named once.
    let log = lost.log();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!((lines(&format!("{refusing} ")), lines(&web)), (1, 1), "{log}");

    let status = lost.json(&["status"]);
    assert_eq!((&status["joined"], &status["isolated"]), (&false.into(), &false.into()));
    let problems = status["bootstrap_problems"].as_array().expect("a list");
    assert_eq!(problems.len(), all.len(), "{problems:?}");
    let shown = lost.run(&["status"]).stdout;
    assert!(shown.contains("joining") && shown.contains(&refusing), "{shown}");
    let created = lost.run(&["group", "create", &good.peer, "--timeout", "1s"]);
    assert_eq!(created.code, 4, "{created:?}");
    assert!(
        created.stderr.contains("this node is connected to nobody"),
        "{created:?}"
    );
}

#[test]
fn a_group_across_two_networks_is_refused_with_both_names() {
    let directory = TempDir::new().expect("a temporary directory");
    let start = |network: &str| Node::start(&directory.path().join(network), &[], &["--network", network]);
    let (ours, theirs) = (start("ours"), start("theirs"));
    let created = ours.run(&["group", "create", &theirs.address, "--json"]);
    assert_eq!(created.code, 4, "{created:?}");
    let refusals = created.json()["refusals"].clone();
    assert_eq!(refusals[0]["kind"], "other_network", "{refusals}");
    assert_eq!(
        (&refusals[0]["network"], &refusals[0]["asked"]),
        (&"theirs".into(), &"ours".into())
    );
    theirs.logs(&["WARN", &ours.peer, "ours", "theirs"]);
    assert_eq!(
        theirs.run(&["group", "list", "--all", "--json"]).stdout,
        "",
        "it has heard of no group"
    );
}

#[test]
fn a_node_that_has_lost_everybody_does_not_say_that_it_has_joined() {
    let mut cluster = Cluster::start(2);
    assert_eq!(cluster.nodes[1].json(&["status"])["joined"], true);
    let mut watch = cluster.nodes[1].watch();
    let group = cluster.nodes[1].create(&[&cluster.nodes[0]]);
    cluster.nodes[0].kill();
    let last = &cluster.nodes[1];
    watch.failed(last.bound(), &group);
    let status = last.json(&["status"]);
    assert_eq!(
        (&status["joined"], &status["isolated"]),
        (&false.into(), &true.into()),
        "{status}"
    );
    last.logs(&["WARN", place(&cluster.nodes[0]), "refused"]);
    let shown = last.run(&["status"]).stdout;
    assert!(shown.contains("isolated"), "{shown}");
    // Nobody else was ever there: that node is the first of its overlay.
    let alone = Cluster::start(1);
    assert_eq!(alone.nodes[0].json(&["status"])["joined"], true);
}

/// libp2p alone would let both listen, and split whoever dials that address between them.
#[test]
fn a_second_node_with_the_same_listen_address_is_refused() {
    let cluster = Cluster::start(1);
    let place = place(&cluster.nodes[0]);
    let (data, api) = (cluster.path("second"), cluster.path("second.sock"));
    let second = Outcome::of(&[
        "node",
        "--data-dir",
        &data.display().to_string(),
        "--api",
        &format!("unix:{}", api.display()),
        "--listen",
        place,
    ]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(
        second.stderr.contains(place) && second.stderr.contains("in use"),
        "{second:?}"
    );
    assert!(second.stdout.is_empty() && !api.exists(), "{second:?}");
}

/// Links first: with few descriptors a node still has neighbours, serves its clients, and says which limit it is at.
#[cfg(target_os = "linux")]
#[test]
fn with_few_file_descriptors_links_and_clients_come_first() {
    let mut cluster = Cluster::start(1);
    cluster.add_limited(40);
    for _ in 0..24 {
        cluster.add(&[]);
    }
    let poor = &cluster.nodes[1];
    // All connect to it at once: far more than it can bear.
    for node in &cluster.nodes[2..] {
        let created = node.run(&["group", "create", &poor.address, "--timeout", "1s"]);
        assert!([0, 4].contains(&created.code), "{created:?}");
    }
    poor.logs(&["WARN", "limit is reached", "40"]);
    let status = poor.json(&["status"]);
    assert_eq!(status["joined"], true, "{status}");
    assert!(status["links"]["alive"].as_u64() > Some(0), "{status}");
}
