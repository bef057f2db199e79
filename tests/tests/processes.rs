//! The main job on real processes: whatever happens to one member, every other one is told, exactly once.
//!
//! Outcomes are deterministic; the only time limit is the promised bound, and it is never waited for in vain when things work.

use fatebound_machine::overlay::directory::{Kind, Name};
use fatebound_machine::overlay::{Key, PeerId};
use fatebound_tests::{
    Cluster, Node, alive, all_told_once, create, delegates, nobody_was_told, repaired, still_works, watch,
};

#[test]
fn a_killed_member_is_known_to_every_other() {
    let mut cluster = Cluster::start(6);
    let group = create(&cluster, &[0, 1, 2, 3]);
    let mut watches = watch(&cluster, &[0, 1, 2]);
    cluster.nodes[3].kill();
    all_told_once(&cluster, &mut watches, &[0, 1, 2], &group);
}

#[test]
fn a_killed_root_is_known_to_every_member() {
    let mut cluster = Cluster::start(6);
    let group = create(&cluster, &[5, 1, 2, 3]);
    let mut watches = watch(&cluster, &[1, 2, 3]);
    cluster.nodes[5].kill();
    all_told_once(&cluster, &mut watches, &[1, 2, 3], &group);
}

#[test]
fn several_killed_at_once_are_known_to_all_who_live() {
    let mut cluster = Cluster::start(10);
    let group = create(&cluster, &[0, 1, 2, 3, 4, 5]);
    let untouched = create(&cluster, &[6, 7, 8]);
    let mut watches = watch(&cluster, &[1, 3, 5]);
    for index in [0, 2, 4] {
        cluster.nodes[index].kill();
    }
    all_told_once(&cluster, &mut watches, &[1, 3, 5], &group);
    alive(&cluster.nodes[6], &untouched);
}

/// P6: the old life's groups have failed; the new life is a peer like any other.
#[test]
fn a_member_that_restarts_within_a_second_has_failed_its_old_groups() {
    let mut cluster = Cluster::start(6);
    let group = create(&cluster, &[0, 1, 2, 3]);
    let mut watches = watch(&cluster, &[0, 1, 2]);
    let name = cluster.nodes[3].peer.clone();
    cluster.nodes[3].kill();
    cluster.nodes[3].restart();
    assert_eq!(name, cluster.nodes[3].peer, "the same identity");
    all_told_once(&cluster, &mut watches, &[0, 1, 2], &group);
    let again = create(&cluster, &[0, 3]);
    alive(&cluster.nodes[3], &again);
}

/// Scenario 16.
#[test]
fn a_stopped_member_is_told_once_when_it_goes_on() {
    let cluster = Cluster::start(6);
    let group = create(&cluster, &[0, 1, 2, 3]);
    let mut watches = watch(&cluster, &[0, 1, 2]);
    let mut sleeper = cluster.nodes[3].watch();
    let bound = cluster.nodes[0].bound();
    cluster.nodes[3].signal("STOP");
    for watch in &mut watches {
        watch.failed(bound, &group);
    }
    assert_eq!(sleeper.failures(&group), 0, "a stopped process cannot have spoken");
    cluster.nodes[3].signal("CONT");
    sleeper.failed(bound, &group);
    let mut all = watches;
    all.push(sleeper);
    all_told_once(&cluster, &mut all, &[0, 1, 2, 3], &group);
}

/// Five peers that this one has no link to: the paths to them need delegates. The first peer is no good root for that: everybody has joined
/// through it, and most are still linked to it.
fn strangers(cluster: &Cluster, peer: usize) -> Vec<usize> {
    let neighbours = cluster.nodes[peer].run(&["peers", "--json"]).stdout;
    let is_stranger = |&other: &usize| other != peer && !neighbours.contains(&cluster.nodes[other].peer);
    (0..cluster.nodes.len()).filter(is_stranger).take(5).collect()
}

/// P4.
#[test]
fn a_killed_delegate_is_known_to_nobody() {
    let mut cluster = Cluster::start(64);
    let root = 5;
    let members = [vec![root], strangers(&cluster, root)].concat();
    let group = create(&cluster, &members);
    let mut watches = watch(&cluster, &members);
    let delegates = delegates(&cluster, &group);
    assert!(
        !delegates.is_empty(),
        "no delegate carries the group: the test would show nothing"
    );
    for &delegate in &delegates {
        cluster.nodes[delegate].kill();
    }
    // Alive end to end: every member answers its root. And it stays so: paths are whole again, without anybody being told.
    alive(&cluster.nodes[root], &group);
    repaired(&cluster.nodes[root], &group);
    still_works(&cluster, &mut watches, &members, &group);
}

#[test]
fn a_failed_creation_names_each_member_and_tells_who_had_heard() {
    let mut cluster = Cluster::start(5);
    let mut heard = cluster.nodes[1].watch();
    let stranger = "12D3KooWJWEKvSFbben74C7H4YtKjhPMTDxd7gP7zxWSUEeF27st";
    cluster.nodes[3].kill();
    let dead = cluster.nodes[3].peer.clone();
    let (creator, accepting) = (&cluster.nodes[0], &cluster.nodes[1].peer);
    let created = creator.run(&["group", "create", accepting, stranger, &dead, "--json"]);
    assert_eq!(created.code, 4, "{created:?}");
    let answer = created.json();
    let refusals = answer["refusals"].as_array().expect("a list");
    let kind = |peer: &str| {
        let found = refusals.iter().find(|refusal| refusal["peer"] == peer);
        found.map(|refusal| refusal["kind"].as_str().unwrap_or_default().to_string())
    };
    assert_eq!(kind(stranger).as_deref(), Some("unknown"), "{answer}");
    assert_eq!(kind(&dead).as_deref(), Some("unreachable"), "{answer}");
    assert_eq!(kind(accepting), None, "{answer}");
    let group = answer["group"].as_str().expect("it got as far as an id").to_string();
    heard.failed(creator.bound(), &group);

    // A tag for which nobody waits is a refusal by the member itself.
    let refused = creator.run(&["group", "create", accepting, "--tag", "nobody-waits", "--json"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert_eq!(refused.json()["refusals"][0]["kind"], "nobody_waits");
}

/// How long a name may stay unfound after its nearest keeper was killed: what a user would wait for. Its neighbours notice at once.
const FOUND_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Asks this node for a name until it is found.
fn found(node: &Node, name: &str) -> String {
    let end = std::time::Instant::now() + FOUND_AGAIN;
    loop {
        let outcome = node.run(&["directory", "get", name, "--json"]);
        if outcome.code == 0 {
            return outcome.json()["text"].as_str().expect("a text").to_string();
        }
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(
            std::time::Instant::now() < end,
            "not found within {FOUND_AGAIN:?}: {outcome:?}"
        );
    }
}

/// Who stands nearest to a name's key, by the definition of protocol.md §3.1.
fn nearest(cluster: &Cluster, text: &str) -> usize {
    let key = Name::new(Kind::TEXT, text).key("fatebound");
    let peer = |index: &usize| cluster.nodes[*index].peer.parse::<PeerId>().expect("a PeerId");
    let distance = |index: &usize| Key::of(&peer(index)).ring_distance(&key);
    (0..cluster.nodes.len()).min_by_key(distance).expect("a node")
}

/// protocol.md §3.1: one publishes, all find it; the process that stands nearest to the name is killed, and they find it still.
#[test]
fn a_name_is_found_by_all_and_again_when_its_nearest_keeper_is_killed() {
    let mut cluster = Cluster::start(8);
    let publisher = 3;
    let mut texts = (0..).map(|number| format!("db {number}"));
    let name = texts
        .find(|text| nearest(&cluster, text) != publisher)
        .expect("one of them");
    let published = cluster.nodes[publisher].run(&["directory", "publish", &name, "10.0.0.7"]);
    assert_eq!(published.code, 0, "{published:?}");
    for node in &cluster.nodes {
        assert_eq!(found(node, &name), "10.0.0.7");
    }
    let killed = nearest(&cluster, &name);
    cluster.nodes[killed].kill();
    for node in cluster
        .nodes
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != killed)
        .map(|(_, node)| node)
    {
        assert_eq!(found(node, &name), "10.0.0.7");
    }
}

#[test]
fn an_orderly_stop_is_known_at_once() {
    let mut cluster = Cluster::start(5);
    let group = create(&cluster, &[0, 1, 2]);
    let mut watches = watch(&cluster, &[0, 1]);
    cluster.nodes[2].signal("TERM");
    assert_eq!(cluster.nodes[2].wait(), 0);
    all_told_once(&cluster, &mut watches, &[0, 1], &group);
}

#[test]
fn a_node_that_starts_before_its_bootstrap_peer_joins_when_that_comes_up() {
    let mut cluster = Cluster::start(2);
    let address = cluster.nodes[0].address.clone();
    // Dead and reborn at another port, as 127.0.0.1:0 has it, is another address: so listen where the first life did.
    let port = address.split('/').nth(4).expect("/ip4/…/tcp/<port>").to_string();
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    let directory = cluster.path("early");
    std::thread::scope(|scope| {
        let early = scope.spawn(|| Node::start(&directory, &[&address], &[]));
        let first = cluster.path("node-0");
        let listen = format!("/ip4/127.0.0.1/tcp/{port}");
        let late = Node::start(&first, &[], &["--listen", &listen]);
        let early = early.join().expect("the early node joins");
        let group = early.create(&[&late]);
        alive(&late, &group);
    });
}

/// Scenario 3: the root dies at any moment of a creation. Whoever had accepted is told; nobody keeps the group.
#[test]
fn a_root_that_dies_while_it_creates_leaves_no_group_behind() {
    let mut cluster = Cluster::start(5);
    let bound = cluster.nodes[0].bound();
    let names: Vec<String> = (1..5).map(|index| cluster.nodes[index].peer.clone()).collect();
    for moment in 0..12 {
        let api = cluster.nodes[0].api.clone();
        let mut create = std::process::Command::new(fatebound_tests::program())
            .args(["group", "create", "--api", &api])
            .args(&names)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the client starts");
        // Spread over the whole creation, from before the client has connected until after the last accept.
        std::thread::sleep(std::time::Duration::from_millis(3 * moment));
        cluster.nodes[0].kill();
        create.wait().expect("it has ended");
        let end = std::time::Instant::now() + bound;
        for node in &cluster.nodes[1..] {
            let mut list = node.run(&["group", "list", "--json"]);
            while !list.stdout.is_empty() {
                assert!(std::time::Instant::now() < end, "after {moment}: {list:?}");
                list = node.run(&["group", "list", "--json"]);
            }
        }
        cluster.nodes[0].restart();
    }
}

/// Scenario 19: every peer that carries a path restarts, one after the other. No group fails.
#[test]
fn a_rolling_restart_of_all_delegates_fails_no_group() {
    let mut cluster = Cluster::start(48);
    let root = 5;
    let members = [vec![root], strangers(&cluster, root)].concat();
    let group = create(&cluster, &members);
    let mut watches = watch(&cluster, &members);
    let mut restarted = 0;
    for _ in 0..3 {
        // Node 0 is everybody's way in, and would listen elsewhere in its next life: whoever restarts after it could not join.
        for delegate in delegates(&cluster, &group)
            .into_iter()
            .filter(|&delegate| delegate != 0)
        {
            cluster.nodes[delegate].kill();
            cluster.nodes[delegate].restart();
            repaired(&cluster.nodes[root], &group);
            restarted += 1;
        }
    }
    assert!(
        restarted > 0,
        "no delegate carries the group: the test would show nothing"
    );
    alive(&cluster.nodes[root], &group);
    still_works(&cluster, &mut watches, &members, &group);
}

/// Scenario 20: one process gets no processor for a second at a time, again and again (Lifeguard's slow node). Its own groups may fail,
/// nobody else's.
#[test]
fn a_starved_node_fails_nobody_elses_groups() {
    let cluster = Cluster::start(8);
    let own = create(&cluster, &[7, 1]);
    let others = [create(&cluster, &[0, 1, 2]), create(&cluster, &[3, 4, 5, 6])];
    let mut watches = watch(&cluster, &[0, 1, 2, 3, 4, 5, 6]);
    for _ in 0..8 {
        cluster.nodes[7].signal("STOP");
        std::thread::sleep(std::time::Duration::from_millis(1200));
        cluster.nodes[7].signal("CONT");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    for group in &others {
        nobody_was_told(&mut watches, group);
    }
    alive(&cluster.nodes[0], &others[0]);
    alive(&cluster.nodes[3], &others[1]);
    assert!(watches[1].failures(&own) <= 1);
}
