//! Scenario 28 on real sockets: a member's process is stopped and reads nothing, while an application goes on sending to it what it has.

use std::time::Duration;

use fatebound::{EventKind, Events, Group, GroupId, Node, PeerId, Profile};
use fatebound_tests::{Cluster, Resident, all_told_once, create, nobody_was_told, resident_kib, watch};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{mpsc, oneshot};

/// The node that reads nothing.
const DEAF: usize = 3;
/// Groups of the talker with it from before.
const GROUPS: usize = 50;
/// Creations that it does not answer, at a time. Each carries as much state as an invitation may.
const AT_ONCE: usize = 500;
const STATE: usize = 16 * 1024;
/// So many questions to it fill every buffer on the way. Twice as many more find no other place to wait: what kept them all would need three times
/// the memory.
const FILLING: usize = 4000;

/// An application with a node in it, in the overlay of the cluster.
async fn talker(cluster: &Cluster) -> Node {
    let builder = Node::builder()
        .profile(Profile::Local)
        .listen("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddress"));
    let first = cluster.nodes[0].address.parse().expect("a multiaddress");
    let node = builder.bootstrap(first).start().await.expect("the node starts");
    node.joined().await.expect("the node joins");
    node
}

/// Wants to create so many groups with a member that does not answer.
async fn flood(talker: &Node, deaf: PeerId, count: usize) {
    let creation = |_| {
        let creation = talker.create_group([deaf]).state(vec![7; STATE]);
        creation.timeout(Duration::from_millis(500)).into_future()
    };
    let refused = stream::iter(0..count)
        .map(creation)
        .buffer_unordered(AT_ONCE)
        .filter(|created| std::future::ready(created.is_err()));
    assert_eq!(refused.count().await, count);
}

/// The most memory that each of these processes has ever had.
fn most_memory(processes: &[u32]) -> Vec<u64> {
    let most = |pid: &u32| resident_kib(*pid, Resident::AtMost);
    processes.iter().map(most).collect()
}

/// What the talker is told, read all the time: who does not read misses events.
struct Listener {
    link_down: oneshot::Receiver<()>,
    failed: mpsc::UnboundedReceiver<GroupId>,
}

impl Listener {
    fn new(mut events: Events, deaf: PeerId) -> Listener {
        let (down, link_down) = oneshot::channel();
        let (failures, failed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut down = Some(down);
            while let Some(event) = events.next().await {
                match event.expect("none is missed").kind {
                    EventKind::LinkDown { peer, .. } if peer == deaf => {
                        down.take().map(|down| down.send(()));
                    }
                    EventKind::GroupFailed { group, .. } => {
                        let _ = failures.send(group);
                    }
                    _ => {}
                }
            }
        });
        Listener { link_down, failed }
    }

    /// How often each of these groups has failed, of all that was said up to the failure of `last`.
    async fn failures(&mut self, groups: &[Group], last: &Group) -> Vec<usize> {
        let mut counts = vec![0; groups.len()];
        loop {
            let failed = self.failed.recv().await.expect("the node runs");
            if failed == last.id() {
                return counts;
            }
            if let Some(at) = groups.iter().position(|own| own.id() == failed) {
                counts[at] += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_reads_nothing_costs_bounded_memory_its_links_and_its_groups() {
    let cluster = Cluster::start(5);
    let talker = talker(&cluster).await;
    let deaf: PeerId = cluster.nodes[DEAF].peer.parse().expect("a PeerId");
    let hearing: PeerId = cluster.nodes[1].peer.parse().expect("a PeerId");
    let bound = cluster.nodes[0].bound();

    let (group, untouched) = (create(&cluster, &[0, 1, DEAF]), create(&cluster, &[0, 1, 2]));
    let mut watches = watch(&cluster, &[0, 1]);
    let mut sleeper = cluster.nodes[DEAF].watch();
    let mut listener = Listener::new(talker.events(), deaf);
    let creations = stream::iter(0..GROUPS).map(|_| talker.create_group([deaf, hearing]).into_future());
    let own: Vec<Group> = creations.buffered(8).try_collect().await.expect("all accept");

    let processes: Vec<u32> = cluster
        .nodes
        .iter()
        .map(fatebound_tests::Node::pid)
        .chain([std::process::id()])
        .collect();
    cluster.nodes[DEAF].signal("STOP");
    flood(&talker, deaf, FILLING).await;
    let full = most_memory(&processes);
    flood(&talker, deaf, 2 * FILLING).await;
    let most = most_memory(&processes);
    println!("{full:?} KiB at the most, then {most:?}");
    let bounded = |(most, full): (&u64, &u64)| 2 * most < 3 * full;
    assert!(most.iter().zip(&full).all(bounded), "{full:?}, then {most:?}");

    let down = tokio::time::timeout(bound, &mut listener.link_down).await;
    down.expect("its link goes down").expect("no event is missed");
    for watch in &mut watches {
        watch.failed(bound, &group);
    }
    assert_eq!(sleeper.failures(&group), 0, "a stopped process cannot have spoken");
    cluster.nodes[DEAF].signal("CONT");
    sleeper.failed(bound, &group);
    nobody_was_told(&mut watches, &untouched);
    watches.push(sleeper);
    all_told_once(&cluster, &mut watches, &[0, 1, DEAF], &group);

    let fence = talker.create_group([hearing, deaf]).await.expect("all accept");
    talker.signal(fence.id(), "fence").await.expect("it lives");
    let counts = tokio::time::timeout(bound, listener.failures(&own, &fence)).await;
    assert_eq!(counts.expect("it is told"), vec![1; GROUPS]);
}
