//! Pipes over real sockets: what a port sends and receives, and a wire that is slow.

mod wire;

use std::time::Duration;

use fatebound::{Multiaddr, Node, NotTaken, PeerId, PipeCause, PipePort, PortError, PortEvent, Profile, SendError};
use tokio::time::{Instant, timeout};

/// No test takes longer; what does not end by then hangs.
const LIMIT: Duration = Duration::from_secs(20);
const PORT: u8 = 71;

async fn node(bootstrap: &[Multiaddr]) -> Node {
    let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    let mut builder = Node::builder().profile(Profile::Lan).listen(listen);
    for address in bootstrap {
        builder = builder.bootstrap(address.clone());
    }
    let node = builder.start().await.expect("a free port");
    let joined = timeout(LIMIT, node.joined()).await.expect("joins in time");
    joined.expect("still runs");
    node
}

/// So many nodes, each listening at the port.
async fn nodes(count: usize) -> Vec<(Node, PipePort)> {
    let mut nodes: Vec<(Node, PipePort)> = Vec::new();
    while nodes.len() < count {
        let bootstrap: Vec<Multiaddr> = nodes
            .iter()
            .take(1)
            .flat_map(|(node, _)| node.listen_addresses())
            .collect();
        let node = node(&bootstrap).await;
        let port = node.pipe_port(PORT).await.expect("a free port");
        nodes.push((node, port));
    }
    nodes
}

async fn next(port: &mut PipePort) -> PortEvent {
    timeout(LIMIT, port.recv()).await.expect("in time").expect("runs")
}

/// The next body, and from whom; nothing else may come before it but the pipe itself.
async fn body(port: &mut PipePort) -> (PeerId, Vec<u8>) {
    loop {
        match next(port).await {
            PortEvent::Received { peer, body } => return (peer, body),
            PortEvent::Up { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn down(port: &mut PipePort) -> (PipeCause, usize) {
    loop {
        if let PortEvent::Down { cause, lost, .. } = next(port).await {
            return (cause, lost);
        }
    }
}

#[tokio::test]
async fn bodies_go_both_ways_in_order_and_to_several_peers() {
    let mut nodes = nodes(3).await;
    let ids: Vec<PeerId> = nodes.iter().map(|(node, _)| node.peer_id()).collect();
    for n in 0..40u8 {
        nodes[0].1.send(ids[1], vec![n; 1000]).await.expect("room");
        nodes[1].1.send(ids[0], vec![n; 10]).await.expect("room");
    }
    nodes[0].1.send(ids[2], b"you, too".to_vec()).await.expect("room");
    for n in 0..40u8 {
        assert_eq!(body(&mut nodes[1].1).await, (ids[0], vec![n; 1000]));
        assert_eq!(body(&mut nodes[0].1).await, (ids[1], vec![n; 10]));
    }
    assert_eq!(body(&mut nodes[2].1).await, (ids[0], b"you, too".to_vec()));
}

#[tokio::test]
async fn who_does_not_read_makes_its_senders_wait() {
    let mut nodes = nodes(2).await;
    let to = nodes[1].0.peer_id();
    let sender = nodes[0].1.sender();
    let all = tokio::spawn(async move {
        for n in 0..32u8 {
            sender.send(to, vec![n; 60_000]).await.expect("runs");
        }
    });
    let (_, first) = body(&mut nodes[1].1).await;
    assert_eq!(first[0], 0);
    // Four bodies are on their way or in windows; the others cannot have been taken before something is read.
    assert!(!all.is_finished());
    for n in 1..32u8 {
        assert_eq!(body(&mut nodes[1].1).await.1, vec![n; 60_000]);
    }
    timeout(LIMIT, all).await.expect("all is taken").expect("no panic");
}

#[tokio::test]
async fn ends_are_told_with_their_reason() {
    let mut nodes = nodes(2).await;
    let ids: Vec<PeerId> = nodes.iter().map(|(node, _)| node.peer_id()).collect();
    nodes[0].1.send(ids[1], b"one".to_vec()).await.expect("room");
    body(&mut nodes[1].1).await;
    // Nobody listens there any more …
    let (second, port) = nodes.pop().expect("two");
    drop(port);
    let sender = nodes[0].1.sender();
    let refused = async {
        loop {
            sender.send(ids[1], b"two".to_vec()).await.expect("room");
            if let PortEvent::Refused { lost, .. } = next(&mut nodes[0].1).await {
                return lost;
            }
        }
    };
    assert!(timeout(LIMIT, refused).await.expect("in time") > 0);
    // … and the node stops.
    second.shutdown().await;
    assert_eq!(down(&mut nodes[0].1).await, (PipeCause::Stopped, 0));
    nodes[0].1.send(ids[1], b"three".to_vec()).await.expect("room");
    assert_eq!(down(&mut nodes[0].1).await, (PipeCause::Unreachable, 1));
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_at_once() {
    let (node, port) = nodes(1).await.pop().expect("one");
    let itself = node.peer_id();
    assert_eq!(node.pipe_port(PORT).await.err(), Some(PortError::InUse));
    let nobody = SendError::NotTaken(NotTaken::Nobody);
    assert_eq!(port.send(itself, Vec::new()).await, Err(nobody));
    let too_long = SendError::NotTaken(NotTaken::TooLong);
    let long = vec![0; fatebound::MAX_BODY + 1];
    let other = fatebound::Keypair::generate_ed25519().public().to_peer_id();
    assert_eq!(port.send(other, long).await, Err(too_long));
    let mut more = Vec::new();
    assert_eq!(node.pipe_port(63).await.err(), Some(PortError::Reserved));
    for number in 64..71 {
        more.push(node.pipe_port(number).await.expect("there is room"));
    }
    assert_eq!(node.pipe_port(99).await.err(), Some(PortError::TooMany));
    drop(port);
    let mut again = node.pipe_port(PORT).await.err();
    while again == Some(PortError::InUse) {
        again = node.pipe_port(PORT).await.err();
    }
    assert_ne!(again, Some(PortError::TooMany));
    node.shutdown().await;
    assert!(matches!(node.pipe_port(PORT).await, Err(PortError::Stopped(_))));
}

/// "A pipe that is kept full delays no ping by more than the floor of its time limit, on whatever wire" (protocol.md §3.2, L6): 1 Mbit/s both ways, with a
/// router that would keep three seconds of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pipe_costs_no_link_on_a_slow_wire() {
    const TIME: Duration = Duration::from_secs(20);
    let wire = wire::Wire::new(125_000, 256);
    let (one, there) = wire.node().await;
    let (two, _) = wire.node_at(&there).await;
    timeout(LIMIT, two.joined()).await.expect("in time").expect("runs");
    let mut ports = [
        one.pipe_port(PORT).await.expect("free"),
        two.pipe_port(PORT).await.expect("free"),
    ];
    let ids = [one.peer_id(), two.peer_id()];
    let tasks: Vec<_> = [(0, 1), (1, 0)]
        .map(|(from, to): (usize, usize)| {
            let (sender, to) = (ports[from].sender(), ids[to]);
            tokio::spawn(async move { while sender.send(to, vec![1; 20_000]).await.is_ok() {} })
        })
        .into_iter()
        .collect();
    let end = Instant::now() + TIME;
    let mut bytes = [0, 0];
    let mut longest = Duration::ZERO;
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let [first, second] = &mut ports;
    while Instant::now() < end {
        tokio::select! {
            event = first.recv() => bytes[0] += size(event),
            event = second.recv() => bytes[1] += size(event),
            _ = look.tick() => {
                let peers = one.peers().await.expect("runs");
                longest = longest.max(peers.iter().filter_map(|peer| peer.round_trip).max().unwrap_or_default());
            }
        }
    }
    for node in [&one, &two] {
        let counters = node.status().await.expect("runs").counters;
        println!(
            "{} pings, {} missed, {} doubts; pipe: {} and {} bytes/s; longest smoothed round trip {longest:?}; longest queue {:?}",
            counters.pings_sent,
            counters.pings_missed,
            counters.doubts,
            bytes[0] / TIME.as_secs() as usize,
            bytes[1] / TIME.as_secs() as usize,
            wire.longest_queue(),
        );
        assert_eq!((counters.doubts, counters.links_lost), (0, 0));
        assert_eq!((counters.pipes_opened, counters.pipes_broken), (1, 0));
    }
    assert!(bytes.iter().all(|bytes| *bytes > 0));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

fn size(event: Option<PortEvent>) -> usize {
    match event.expect("runs") {
        PortEvent::Received { body, .. } => body.len(),
        PortEvent::Up { .. } => 0,
        other => panic!("{other:?}"),
    }
}
