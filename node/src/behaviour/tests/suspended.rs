//! A machine sleeps, with a node on it: what that means for its groups (scenario 24, with real sockets).

use std::time::Duration;

use fatebound_machine::Profile;
use fatebound_machine::overlay::{Keypair, Multiaddr};
use futures::StreamExt;
use libp2p::Swarm;
use libp2p::swarm;
use tokio::sync::{oneshot, watch};

use crate::behaviour::Behaviour;
use crate::clock::Hand;
use crate::{Failure, GroupId, Node, transport};

/// A node, and what puts its machine to sleep.
struct Sleeper {
    node: Node,
    asleep: watch::Sender<bool>,
    clock: Hand,
}

impl Sleeper {
    async fn start(bootstrap: Vec<Multiaddr>) -> Sleeper {
        let keypair = Keypair::generate_ed25519();
        let builder = Node::builder().identity(keypair.clone()).profile(Profile::Local);
        let (behaviour, node) = builder.into_behaviour().unwrap();
        let clock = behaviour.clock.hand();
        let transport = transport::build(&keypair, Duration::from_secs(5)).unwrap();
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(30));
        let mut swarm = Swarm::new(transport, behaviour, node.peer_id(), config);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        while node.listen_addresses().is_empty() {
            swarm.select_next_some().await;
        }
        let (asleep, sleeps) = watch::channel(false);
        tokio::spawn(drive(swarm, sleeps));
        node.join(bootstrap).await.unwrap();
        node.joined().await.unwrap();
        Sleeper { node, asleep, clock }
    }

    fn told(&self, group: GroupId) -> oneshot::Receiver<Failure> {
        let (tell, told) = oneshot::channel();
        self.node.on_failure(group, move |failure| drop(tell.send(failure)));
        told
    }
}

/// Nothing happens on a machine that sleeps.
async fn drive(mut swarm: Swarm<Behaviour>, mut sleeps: watch::Receiver<bool>) {
    loop {
        if sleeps.wait_for(|asleep| !asleep).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            changed = sleeps.changed() => if changed.is_err() { return },
            _ = swarm.select_next_some() => {}
        }
    }
}

#[tokio::test]
async fn who_slept_for_an_hour_is_told_and_accuses_nobody() {
    let first = Sleeper::start(Vec::new()).await;
    let bootstrap = first.node.listen_addresses();
    let second = Sleeper::start(bootstrap.clone()).await;
    let sleeper = Sleeper::start(bootstrap).await;
    let with_all = [second.node.peer_id(), sleeper.node.peer_id()];
    let with_all = first.node.create_group(with_all).await.unwrap();
    let without = first.node.create_group([second.node.peer_id()]).await.unwrap();
    let told = [&first, &second, &sleeper].map(|node| node.told(with_all.id()));
    let [at_first, at_second, at_sleeper] = told;
    sleeper.asleep.send_replace(true);
    at_first.await.unwrap();
    at_second.await.unwrap();
    sleeper.clock.advance(Duration::from_secs(3600));
    sleeper.asleep.send_replace(false);
    at_sleeper.await.unwrap();
    assert_eq!(first.node.check(without.id()).await.unwrap().alive, Some(true));
    sleeper.node.create_group([first.node.peer_id()]).await.unwrap();
}
