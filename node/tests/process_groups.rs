//! Process groups over real sockets: three nodes in one process.

use std::time::Duration;

use fatebound::process_group::{
    Attributes, Ended, JoinProcessGroupError, MAX_MESSAGE, NameError, Notice, Proposal, Provider, ProviderEvent,
    ProviderId, Resolved, SendMessageError, Verdict, Vote, Voting,
};
use fatebound::{Multiaddr, Node, Profile};
use tokio::time::timeout;

/// No test takes longer; what does not end by then hangs.
const LIMIT: Duration = Duration::from_secs(60);

async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    while nodes.len() < count {
        let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
        let mut builder = Node::builder().profile(Profile::Local).listen(listen);
        for address in nodes.iter().take(1).flat_map(Node::listen_addresses) {
            builder = builder.bootstrap(address.clone());
        }
        let node = builder.start().await.expect("a free port");
        timeout(LIMIT, node.joined()).await.expect("in time").expect("runs");
        nodes.push(node);
    }
    nodes
}

async fn join(node: &Node, instance: &str) -> Provider {
    let group = node.process_group("db").expect("a name").instance(instance);
    timeout(LIMIT, group.join()).await.expect("in time").expect("joins")
}

async fn joined(count: usize) -> (Vec<Node>, Vec<Provider>) {
    let nodes = nodes(count).await;
    let mut providers = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        providers.push(join(node, &format!("p{number}")).await);
    }
    (nodes, providers)
}

/// The next event of which `wanted` makes something.
async fn next<T>(provider: &mut Provider, wanted: impl Fn(ProviderEvent) -> Option<T>) -> T {
    let search = async {
        loop {
            let event = provider.next().await.expect("goes on");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(LIMIT, search).await.expect("in time")
}

/// Waits until the list has just these.
async fn list(provider: &mut Provider, ids: &[ProviderId]) {
    next(provider, |event| match event {
        ProviderEvent::Shown(Notice::Providers { providers, .. }) => {
            let listed: Vec<ProviderId> = providers.iter().map(|provider| provider.id).collect();
            (listed == ids).then_some(())
        }
        _ => None,
    })
    .await;
}

fn message(event: ProviderEvent) -> Option<(ProviderId, Vec<u8>)> {
    match event {
        ProviderEvent::Shown(Notice::Message { from, body }) => Some((from, body)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_see_the_same_messages_in_the_same_order() {
    let (_nodes, mut providers) = joined(3).await;
    let senders = providers.iter().map(|provider| {
        let handle = provider.handle();
        tokio::spawn(async move {
            for number in 0..200u32 {
                handle.send(number.to_be_bytes().to_vec()).await.expect("is sent");
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut seen = Vec::new();
    for provider in &mut providers {
        let mut messages = Vec::new();
        while messages.len() < 600 {
            messages.push(next(provider, message).await);
        }
        seen.push(messages);
    }
    assert!(seen[0] == seen[1] && seen[1] == seen[2], "one history");
    for provider in &providers {
        let own = seen[0].iter().filter(|(from, _)| *from == provider.id());
        let numbers: Vec<u32> = own
            .map(|(_, body)| u32::from_be_bytes(body[..].try_into().expect("four")))
            .collect();
        assert_eq!(numbers, (0..200).collect::<Vec<u32>>(), "each once, in order");
    }
    for sender in senders {
        sender.await.expect("has sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_voted_upon_and_everybody_has_it() {
    let (nodes, mut providers) = joined(3).await;
    let proposer = providers[2].handle();
    let proposal = Proposal::State {
        value: b"yes".to_vec(),
        expected: None,
    };
    let outcome = tokio::spawn(async move { proposer.propose(proposal, Voting::VOTED).await });
    for provider in &mut providers {
        let (protocol, phase) = next(provider, |event| match event {
            ProviderEvent::Shown(Notice::Opened { protocol, phase, .. }) => Some((protocol, phase)),
            _ => None,
        })
        .await;
        let handle = provider.handle();
        handle
            .vote(protocol, phase, Vote::new(Verdict::Approve))
            .await
            .expect("runs");
    }
    let outcome = timeout(LIMIT, outcome)
        .await
        .expect("in time")
        .expect("ends")
        .expect("runs");
    assert!(matches!(outcome, Resolved::Approved { .. }), "{outcome:?}");
    for provider in &mut providers {
        let value = next(provider, |event| match event {
            ProviderEvent::Shown(Notice::State { value, version }) => Some((value, version)),
            _ => None,
        })
        .await;
        assert_eq!(value, (b"yes".to_vec(), 1));
    }
    let name = providers[0].group().clone();
    let status = nodes[1]
        .process_group_status(&name)
        .await
        .expect("runs")
        .expect("is in it");
    assert_eq!(status.state.expect("is in it").value(), (&b"yes"[..], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_goes_and_one_that_dies_are_taken_out_of_the_list() {
    let (_nodes, mut providers) = joined(3).await;
    let ids: Vec<ProviderId> = providers.iter().map(Provider::id).collect();
    // The oldest one, which leads, goes of its own will.
    let mut first = providers.remove(0);
    let left = timeout(LIMIT, first.handle().leave())
        .await
        .expect("in time")
        .expect("runs");
    assert!(matches!(left, Resolved::Approved { .. }), "{left:?}");
    let ended = |event| match event {
        ProviderEvent::Ended(ended) => Some(ended),
        _ => None,
    };
    assert!(matches!(next(&mut first, ended).await, Ended::Left(_)));
    list(&mut providers[0], &ids[1..]).await;
    // The next one dies.
    drop(providers.remove(0));
    list(&mut providers[0], &ids[2..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_is_taken_out_by_the_others() {
    let (nodes, mut providers) = joined(3).await;
    let ids: Vec<ProviderId> = providers.iter().map(Provider::id).collect();
    nodes[0].shutdown().await;
    for provider in &mut providers[1..] {
        list(provider, &ids[1..]).await;
    }
    providers[2].handle().send(b"on we go".to_vec()).await.expect("is sent");
    assert_eq!(next(&mut providers[1], message).await.1, b"on we go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let (nodes, providers) = joined(2).await;
    assert_eq!(nodes[0].process_group("").err(), Some(NameError::Length(0)));
    let group = |name: &str| nodes[1].process_group(name).expect("a name");
    let none = group("db").instance("").join().await;
    assert_eq!(none.err(), Some(JoinProcessGroupError::Instance));
    let long = group("db").instance("x").info(vec![0; 129]).join().await;
    assert_eq!(long.err(), Some(JoinProcessGroupError::Info));
    let twice = group("db").instance("p1").join().await;
    assert!(matches!(twice, Err(JoinProcessGroupError::NotTaken(_))), "{twice:?}");
    let other = Attributes {
        version: 7,
        ..Attributes::default()
    };
    let different = group("db").instance("p9").attributes(other).join().await;
    assert!(different.expect_err("differs").to_string().contains("version"));
    let long = providers[0].handle().send(vec![0; MAX_MESSAGE + 1]).await;
    assert!(matches!(long, Err(SendMessageError::Refused(_))), "{long:?}");
    // A join that is given up leaves nothing behind; nor does one that was quicker than that, whose provider is dropped.
    drop(timeout(Duration::ZERO, group("another").join()).await);
    let gone = async {
        while nodes[1].process_groups().await.expect("runs").iter().any(|group| {
            let there = !group.own.is_empty() || group.doing != "nothing";
            group.name.as_str() == "another" && there
        }) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, gone).await.expect("in time");
}
