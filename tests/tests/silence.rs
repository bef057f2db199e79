//! Silence is a message: a peer that says nothing any more about one group fails that group, and no other that shares its links
//! (mission row A7; claims 8, 9, 21).

use std::time::Duration;

use fatebound::{Failure, Group, Node, Profile, Reason};

async fn node(bootstrap: Option<&Node>) -> Node {
    let builder = Node::builder()
        .profile(Profile::Local)
        .listen("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddress"));
    let builder = bootstrap.iter().fold(builder, |builder, first| {
        builder.bootstrap(first.listen_addresses()[0].clone())
    });
    let node = builder.start().await.expect("the node starts");
    node.joined().await.expect("the node joins");
    node
}

async fn told(group: &Group) -> Failure {
    let bound = group
        .notification_bound()
        .await
        .expect("the node runs")
        .expect("the group lives");
    tokio::time::timeout(bound, group.failed())
        .await
        .expect("told within the bound")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_group_dies_in_silence_and_the_other_over_the_same_link_lives() {
    let alice = node(None).await;
    let bob = node(Some(&alice)).await;
    let carol = node(Some(&alice)).await;
    let everybody = [bob.peer_id(), carol.peer_id()];
    let doomed = alice.create_group(everybody).await.expect("everybody accepts");
    let spared = alice.create_group(everybody).await.expect("everybody accepts");
    let at_carol = carol.group(doomed.id()).expect("carol is a member");
    assert!(bob.group(spared.id()).is_some());

    // From here on bob answers everything, but nothing about this group.
    bob.fall_silent(doomed.id()).await.expect("bob is a member");

    let (root, member) = tokio::join!(told(&doomed), told(&at_carol));
    assert!(
        matches!(root.reason, Reason::MemberUnreachable { peer } if peer == bob.peer_id()),
        "nobody told alice, she noticed: {:?}",
        root.reason
    );
    assert!(
        !matches!(member.reason, Reason::Signalled { .. }),
        "{:?}",
        member.reason
    );

    let report = spared.check().await.expect("the node runs");
    assert_eq!(report.alive, Some(true), "{report:?}");
    assert!(report.members.iter().all(|(_, alive)| *alive), "{report:?}");
}

/// Two peers, one link, no third who could tell.
#[tokio::test(flavor = "multi_thread")]
async fn the_root_may_fall_silent_too() {
    let alice = node(None).await;
    let bob = node(Some(&alice)).await;
    let doomed = alice.create_group([bob.peer_id()]).await.expect("bob accepts");
    let spared = alice.create_group([bob.peer_id()]).await.expect("bob accepts");
    let at_bob = bob.group(doomed.id()).expect("bob is a member");
    alice.fall_silent(doomed.id()).await.expect("alice is its root");
    let failure = told(&at_bob).await;
    assert!(
        matches!(failure.reason, Reason::RootUnreachable { .. }),
        "{:?}",
        failure.reason
    );
    let report = tokio::time::timeout(Duration::from_secs(30), spared.check()).await;
    assert_eq!(report.expect("an answer").expect("the node runs").alive, Some(true));
}
