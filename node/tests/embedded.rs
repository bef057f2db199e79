//! Fatebound as one behaviour of somebody else's swarm, beside others, on a transport that libp2p's own builder makes.

use std::time::Duration;

use fatebound::{Behaviour, Keypair, Multiaddr, Node, Notice, Profile};
use futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{SwarmBuilder, identify, noise, tcp, yamux};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);

#[derive(NetworkBehaviour)]
struct Application {
    identify: identify::Behaviour,
    fatebound: Behaviour,
}

#[tokio::test]
async fn a_swarm_of_somebody_elses_and_a_node_share_a_group() {
    let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
    let node = Node::builder()
        .profile(Profile::Local)
        .listen(listen.clone())
        .start()
        .await
        .unwrap();

    let keypair = Keypair::generate_ed25519();
    let builder = Node::builder().profile(Profile::Local).identity(keypair.clone());
    let (behaviour, embedded) = builder.into_behaviour().unwrap();
    let mut swarm = SwarmBuilder::with_existing_identity(keypair.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| Application {
            identify: identify::Behaviour::new(identify::Config::new("/application/1".into(), key.public())),
            fatebound: behaviour,
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(LIMIT))
        .build();
    swarm.listen_on(listen).unwrap();
    let (notices, mut noticed) = tokio::sync::mpsc::unbounded_channel();
    let driver = tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(ApplicationEvent::Fatebound(notice)) = swarm.select_next_some().await {
                notices.send(notice).expect("somebody listens");
            }
        }
    });

    embedded.join(node.listen_addresses()).await.unwrap();
    timeout(LIMIT, embedded.joined()).await.unwrap().unwrap();
    let group = embedded.create_group([node.peer_id()]).await.unwrap();
    node.signal(group.id(), "over").await.unwrap();
    timeout(LIMIT, group.failed()).await.unwrap();

    let mut events = embedded.events();
    let mut invitations = embedded.accept("nobody comes").await.unwrap();
    let left = embedded.create_group([node.peer_id()]).await.unwrap();
    timeout(LIMIT, embedded.shutdown()).await.unwrap();
    assert_eq!(noticed.recv().await, Some(Notice::Stopped));
    timeout(LIMIT, left.failed()).await.unwrap();
    timeout(LIMIT, async { while events.next().await.is_some() {} })
        .await
        .unwrap();
    assert!(timeout(LIMIT, invitations.next()).await.unwrap().is_none());
    assert!(timeout(LIMIT, embedded.events().next()).await.unwrap().is_none());
    assert!(timeout(LIMIT, embedded.locate(node.peer_id())).await.unwrap().is_err());
    // The swarm goes on without its peer, until its owner drops it.
    assert!(!driver.is_finished());
    driver.abort();
}

#[tokio::test]
async fn a_swarm_that_is_dropped_fails_the_groups_of_its_peer() {
    let builder = Node::builder().profile(Profile::Local);
    let (behaviour, embedded) = builder.into_behaviour().unwrap();
    let waiting = tokio::spawn({
        let embedded = embedded.clone();
        async move { embedded.joined().await }
    });
    drop(behaviour);
    assert!(timeout(LIMIT, waiting).await.unwrap().unwrap().is_err());
    assert!(embedded.status().await.is_err());
    timeout(LIMIT, embedded.shutdown()).await.unwrap();
}
