//! Ten thousand groups of random members over sixty-four peers, on real sockets: all alive, and nothing more on the wire than without them.

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound::{Counters, EventKind, Events, GroupId, Node, Profile};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

const PEERS: usize = 64;
const GROUPS: usize = 10_000;
/// Creations, or checks, under way at a time: enough to keep a small machine busy, so few that sixty-four nodes do not wait for each other.
const AT_ONCE: usize = 8;

async fn overlay() -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..PEERS {
        let builder = Node::builder()
            .profile(Profile::Local)
            .listen("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddress"));
        let builder = nodes.iter().take(2).fold(builder, |builder, first| {
            builder.bootstrap(first.listen_addresses()[0].clone())
        });
        let node = builder.start().await.expect("the node starts");
        node.joined().await.expect("the node joins");
        nodes.push(node);
    }
    nodes
}

async fn counters(nodes: &[Node]) -> Vec<Counters> {
    let all = stream::iter(nodes).then(|node| async { node.status().await.expect("the node runs").counters });
    all.collect().await
}

/// Sums over all nodes of (pings, frames) within a stretch of time.
async fn sent_within(nodes: &[Node], stretch: Duration) -> (u64, u64) {
    let before = counters(nodes).await;
    tokio::time::sleep(stretch).await;
    let after = counters(nodes).await;
    let pairs = || before.iter().zip(&after);
    let pings = pairs()
        .map(|(before, after)| after.pings_sent - before.pings_sent)
        .sum();
    let frames = pairs()
        .map(|(before, after)| after.frames_sent - before.frames_sent)
        .sum();
    (pings, frames)
}

/// The overlay finishes its own settling (tables, first exchanges), so that the two measurements compare like with like.
async fn settled(nodes: &[Node]) {
    let mut links = 0;
    loop {
        sent_within(nodes, Duration::from_secs(4)).await;
        let mut now = 0;
        for node in nodes {
            now += node.status().await.expect("the node runs").links_alive;
        }
        if now == links {
            return;
        }
        links = now;
    }
}

/// How often groups have failed, by reason.
fn reasons(logs: &mut [Events]) -> BTreeMap<&'static str, usize> {
    let mut reasons = BTreeMap::new();
    for log in logs {
        while let Some(Some(Ok(event))) = log.next().now_or_never() {
            if let EventKind::GroupFailed { reason, .. } = event.kind {
                *reasons.entry(reason.kind()).or_default() += 1;
            }
        }
    }
    reasons
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_groups_live_and_cost_nothing() {
    let nodes = overlay().await;
    let mut logs: Vec<_> = nodes.iter().map(Node::events).collect();
    settled(&nodes).await;
    let stretch = Duration::from_secs(10);
    let (pings_without, frames_without) = sent_within(&nodes, stretch).await;

    let mut rng = StdRng::seed_from_u64(7);
    let plans: Vec<Vec<usize>> = (0..GROUPS)
        .map(|_| {
            let mut members: Vec<usize> = (0..PEERS).collect();
            let size = rng.random_range(2..6);
            members.partial_shuffle(&mut rng, size).0.to_vec()
        })
        .collect();
    let groups: Vec<(usize, GroupId)> = stream::iter(&plans)
        .map(|members| {
            let others: Vec<_> = members[1..].iter().map(|&member| nodes[member].peer_id()).collect();
            let root = members[0];
            // Sixty-four nodes on a small machine that creates as fast as it can: a member may take its time.
            let creation = nodes[root].create_group(others).timeout(Duration::from_secs(30));
            async move { creation.await.map(|group| (root, group.id())) }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
        .expect("every creation succeeds");
    assert_eq!(groups.len(), GROUPS);

    settled(&nodes).await;
    let (pings_with, frames_with) = sent_within(&nodes, stretch).await;

    let alive = stream::iter(&groups)
        .map(|(root, group)| nodes[*root].check(*group))
        .buffer_unordered(AT_ONCE)
        .map(|report| report.expect("the node runs"))
        .filter(|report| std::future::ready(report.alive == Some(true)))
        .count()
        .await;
    assert_eq!(alive, GROUPS, "the others failed: {:?}", reasons(&mut logs));

    let share = |with: u64, without: u64| with as f64 / without as f64;
    let (pings, frames) = (share(pings_with, pings_without), share(frames_with, frames_without));
    println!("pings: {pings_without} without, {pings_with} with; frames: {frames_without} without, {frames_with} with");
    // Pinned links may add a neighbour here and there, and a busy machine may miss a tick.
    assert!((0.9..1.1).contains(&pings), "pings with ÷ without: {pings}");
    assert!((0.9..1.1).contains(&frames), "frames with ÷ without: {frames}");
}
