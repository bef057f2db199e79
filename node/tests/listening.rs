//! Where a node listens, no other one does.

use std::collections::HashSet;
use std::io::ErrorKind;

use fatebound::{Builder, Multiaddr, Node, Profile, StartError};
use futures::future::join_all;

async fn start(listen: &[Multiaddr]) -> Result<Node, StartError> {
    let builder = Node::builder().profile(Profile::Local);
    let builder = listen.iter().cloned().fold(builder, Builder::listen);
    builder.start().await
}

/// Where it listens, as others would say it in their `listen`.
fn places(node: &Node) -> Vec<Multiaddr> {
    let mut places = node.listen_addresses();
    for place in &mut places {
        place.pop();
    }
    places
}

fn refused(started: Result<Node, StartError>, at: &Multiaddr) {
    match started {
        Err(StartError::Listen { address, source }) => {
            assert_eq!((&address, source.kind()), (at, ErrorKind::AddrInUse));
        }
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("a second node listens at {at}"),
    }
}

/// Where nobody listens now.
fn free_place() -> Multiaddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("an address")
}

/// Every kind of address that can be listened on here.
fn kinds() -> Vec<Multiaddr> {
    let ip6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let all = [
        ("/ip4/127.0.0.1/tcp/0", true),
        ("/ip4/0.0.0.0/tcp/0", true),
        ("/ip4/127.0.0.1/udp/0/quic-v1", true),
        ("/ip6/::1/tcp/0", ip6),
        ("/ip6/::1/udp/0/quic-v1", ip6),
    ];
    let here = all.into_iter().filter(|(_, here)| *here);
    here.map(|(address, _)| address.parse().expect("an address")).collect()
}

#[tokio::test]
async fn a_second_node_is_refused_where_another_one_listens() {
    for kind in kinds() {
        let first = start(&[kind]).await.unwrap();
        let place = places(&first).remove(0);
        refused(start(std::slice::from_ref(&place)).await, &place);
        // One of several is enough, and nothing is left of the others.
        let free = free_place();
        refused(start(&[free.clone(), place.clone()]).await, &place);
        start(&[free]).await.unwrap().shutdown().await;
        first.shutdown().await;
        // The place is free again at once, whatever its connections have come to.
        start(&[place]).await.unwrap().shutdown().await;
    }
}

#[tokio::test]
async fn all_interfaces_are_taken_with_one_socket() {
    let first = start(&["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).await.unwrap();
    let port = places(&first)[0].to_string().rsplit('/').next().unwrap().to_owned();
    let all: Multiaddr = format!("/ip4/0.0.0.0/tcp/{port}").parse().unwrap();
    refused(start(std::slice::from_ref(&all)).await, &all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_start_at_once_one_listens() {
    for _ in 0..20 {
        let place = free_place();
        let starts = (0..8).map(|_| {
            let place = place.clone();
            tokio::spawn(async move { start(&[place]).await })
        });
        let started: Vec<_> = join_all(starts).await.into_iter().map(Result::unwrap).collect();
        let (up, refusals): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
        assert_eq!((up.len(), refusals.len()), (1, 7), "{refusals:?}");
        for refusal in refusals {
            refused(refusal, &place);
        }
        up.into_iter().next().unwrap().unwrap().shutdown().await;
    }
}

/// Port 0 is each node's own, and an address that is given twice is listened on once.
#[tokio::test]
async fn free_ports_are_not_shared_and_one_address_counts_once() {
    let any: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
    let nodes: Vec<_> = join_all((0..16).map(|_| start(std::slice::from_ref(&any)))).await;
    let nodes: Vec<Node> = nodes.into_iter().map(Result::unwrap).collect();
    let all: HashSet<_> = nodes.iter().flat_map(places).collect();
    assert_eq!(all.len(), nodes.len());
    let free = places(&nodes[0]).remove(0);
    nodes[0].shutdown().await;
    let again = start(&[free.clone(), free.clone()]).await.unwrap();
    assert_eq!(places(&again), [free]);
}

/// A node behind a translation of addresses cannot know where others have to dial it.
#[tokio::test]
async fn others_are_told_what_is_announced_instead() {
    let told: [Multiaddr; 2] =
        ["/ip4/198.51.100.7/tcp/7101", "/dns4/node.example/tcp/7101"].map(|text| text.parse().unwrap());
    let builder = Node::builder()
        .profile(Profile::Local)
        .listen("/ip4/127.0.0.1/tcp/0".parse().unwrap());
    let hidden = told
        .iter()
        .cloned()
        .fold(builder, Builder::announce)
        .start()
        .await
        .unwrap();
    let builder = Node::builder()
        .profile(Profile::Local)
        .listen("/ip4/127.0.0.1/tcp/0".parse().unwrap());
    let other = builder
        .bootstrap(hidden.listen_addresses().remove(0))
        .start()
        .await
        .unwrap();
    other.joined().await.unwrap();
    assert_eq!(other.locate(hidden.peer_id()).await.unwrap(), told);
}
