//! Create, register, signal, over real sockets: what the front page promises.

use std::sync::Arc;
use std::time::Duration;

use fatebound::{
    CreateGroupError, EventKind, Events, Failure, GroupId, Multiaddr, Node, Profile, Reason, Refusal, SignalError,
};
use futures::FutureExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// No test takes longer; what does not end by then hangs.
const LIMIT: Duration = Duration::from_secs(10);

async fn node(bootstrap: Option<&Node>) -> Node {
    let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    let mut builder = Node::builder().profile(Profile::Local).listen(listen);
    if let Some(there) = bootstrap {
        builder = builder.bootstrap(there.listen_addresses()[0].clone());
    }
    let node = builder.start().await.expect("a free port");
    let joined = timeout(LIMIT, node.joined()).await.expect("joins in time");
    joined.expect("still runs");
    node
}

async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes = vec![node(None).await];
    while nodes.len() < count {
        nodes.push(node(nodes.first()).await);
    }
    nodes
}

/// What every node's handler reports.
fn watch(nodes: &[Node], group: GroupId) -> mpsc::UnboundedReceiver<Failure> {
    let (sender, failures) = mpsc::unbounded_channel();
    for node in nodes {
        let sender = sender.clone();
        node.on_failure(group, move |failure| drop(sender.send(failure)));
    }
    failures
}

/// All reports; ends when the last handler has run.
async fn all(mut failures: mpsc::UnboundedReceiver<Failure>) -> Vec<Failure> {
    let mut all = Vec::new();
    while let Some(failure) = timeout(LIMIT, failures.recv())
        .await
        .expect("everybody is told in time")
    {
        all.push(failure);
    }
    all
}

#[tokio::test]
async fn a_signal_reaches_every_member_once() {
    let nodes = nodes(3).await;
    let group = nodes[0]
        .create_group([nodes[1].peer_id(), nodes[2].peer_id()])
        .await
        .unwrap();
    let failures = watch(&nodes, group.id());
    nodes[1].signal(group.id(), "the disk is full").await.unwrap();
    let failures = all(failures).await;
    assert_eq!(failures.len(), 3);
    let reason = Reason::Signalled {
        by: nodes[1].peer_id(),
        text: "the disk is full".into(),
    };
    assert!(failures.iter().all(|failure| failure.group == group.id()));
    assert!(failures.iter().any(|failure| failure.reason == reason), "{failures:?}");
    assert_eq!(nodes[2].signal(group.id(), "again").await, Err(SignalError::NotKnown));
    assert_eq!(
        all(watch(&nodes, group.id())).await.len(),
        3,
        "late handlers run at once"
    );
}

#[tokio::test]
async fn a_member_that_stops_takes_its_groups_along_and_no_others() {
    let mut nodes = nodes(4).await;
    let leaving = nodes.pop().unwrap();
    let theirs = nodes[0]
        .create_group([nodes[1].peer_id(), leaving.peer_id()])
        .await
        .unwrap();
    let others = nodes[0]
        .create_group([nodes[1].peer_id(), nodes[2].peer_id()])
        .await
        .unwrap();
    let failures = watch(&nodes[..2], theirs.id());
    timeout(LIMIT, leaving.shutdown()).await.expect("stops in time");
    assert_eq!(all(failures).await.len(), 2);
    let report = others.check().await.unwrap();
    assert_eq!(report.alive, Some(true), "{report:?}");
    assert_eq!(others.members().await.unwrap().map(|members| members.len()), Some(3));
}

#[tokio::test]
async fn a_creation_says_who_refused_and_its_handler_runs() {
    let nodes = nodes(2).await;
    let (sender, failures) = mpsc::unbounded_channel();
    let creation = nodes[0]
        .create_group([nodes[1].peer_id()])
        .tag("nobody waits for this")
        .on_failure(move |failure| sender.send(failure).unwrap());
    match creation.await {
        Err(CreateGroupError::Incomplete { refusals, .. }) => {
            let tag = "nobody waits for this".to_owned();
            assert_eq!(refusals, [(nodes[1].peer_id(), Refusal::NobodyWaits { tag })]);
        }
        other => panic!("expected a refusal: {other:?}"),
    }
    assert_eq!(all(failures).await.len(), 1);
}

#[tokio::test]
async fn an_invitation_with_a_tag_reaches_who_waits_for_it() {
    let nodes = nodes(2).await;
    let mut invitations = nodes[1].accept("shards").await.unwrap();
    let group = nodes[0]
        .create_group([nodes[1].peer_id()])
        .tag("shards")
        .state("7")
        .await
        .unwrap();
    let invitation = timeout(LIMIT, invitations.next()).await.unwrap().unwrap();
    assert_eq!(invitation.group.id(), group.id());
    assert_eq!(
        (invitation.root, &invitation.state[..]),
        (nodes[0].peer_id(), &b"7"[..])
    );
    let result = invitation.group.guard(async { Err::<(), _>("a write failed") }).await;
    assert!(result.is_err());
    let failure = timeout(LIMIT, group.failed()).await.unwrap();
    assert_eq!(
        failure.reason,
        Reason::Signalled {
            by: nodes[1].peer_id(),
            text: "a write failed".into()
        }
    );
}

/// The next event of this node that is of this kind.
async fn event_of(events: &mut Events, wanted: impl Fn(&EventKind) -> bool) {
    loop {
        let event = timeout(LIMIT, events.next()).await.expect("an event in time");
        let event = event.expect("the node runs").expect("nothing is missed");
        if wanted(&event.kind) {
            return;
        }
    }
}

#[tokio::test]
async fn an_invitation_that_nobody_takes_any_more_fails_its_group() {
    let nodes = nodes(2).await;
    let mut events = nodes[1].events();
    let invitations = nodes[1].accept("shards").await.unwrap();
    let group = nodes[0].create_group([nodes[1].peer_id()]).tag("shards").await.unwrap();
    event_of(&mut events, |kind| matches!(kind, EventKind::GroupJoined { .. })).await;
    drop(invitations);
    let failure = timeout(LIMIT, group.failed()).await.unwrap();
    assert!(
        failure.reason.to_string().contains("waited for this invitation"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_creation_that_is_given_up_when_its_answer_is_there_fails_its_group() {
    let nodes = nodes(2).await;
    let (mut here, mut there) = (nodes[0].events(), nodes[1].events());
    let mut creation = nodes[0].create_group([nodes[1].peer_id()]).into_future();
    assert!((&mut creation).now_or_never().is_none());
    event_of(&mut here, |kind| matches!(kind, EventKind::GroupCreated { .. })).await;
    drop(creation);
    event_of(&mut there, |kind| matches!(kind, EventKind::GroupFailed { .. })).await;
}

#[tokio::test]
async fn whoever_waits_for_one_tag_is_served_in_turn_and_within_its_room() {
    let nodes = nodes(2).await;
    let room = Arc::new(Semaphore::new(1));
    let bounded = vec![Arc::clone(&room)];
    let mut first = nodes[1].accept_within("shards", bounded).await.unwrap();
    let mut second = nodes[1].accept("shards").await.unwrap();
    let create = || nodes[0].create_group([nodes[1].peer_id()]).tag("shards").into_future();
    let mut taken = Vec::new();
    for turn in 0..3 {
        create().await.unwrap();
        let waiter = if turn == 0 { &mut first } else { &mut second };
        taken.push(timeout(LIMIT, waiter.next()).await.unwrap().unwrap());
    }
    second.close();
    // Only the first one is left, and its room is full.
    match create().await {
        Err(CreateGroupError::Incomplete { refusals, .. }) => {
            assert_eq!(refusals, [(nodes[1].peer_id(), Refusal::Busy)]);
        }
        other => panic!("expected a refusal: {other:?}"),
    }
    taken.clear();
    create().await.unwrap();
    assert!(timeout(LIMIT, first.next()).await.unwrap().is_some());
}

#[tokio::test]
async fn events_tell_the_story_of_a_group() {
    let nodes = nodes(2).await;
    let mut events = nodes[1].events();
    let group = nodes[0].create_group(nodes[1].listen_addresses()).await.unwrap();
    group.signal("done").await.unwrap();
    let mut story = Vec::new();
    while story.len() < 3 {
        let event = timeout(LIMIT, events.next()).await.unwrap().unwrap().unwrap();
        match event.kind {
            EventKind::Invited {
                group, accepted: true, ..
            } => story.push(("invited", group)),
            EventKind::GroupJoined { group } => story.push(("joined", group)),
            EventKind::GroupFailed { group, .. } => story.push(("failed", group)),
            _ => {}
        }
    }
    assert_eq!(story, ["invited", "joined", "failed"].map(|what| (what, group.id())));
}

#[tokio::test]
async fn dropping_the_last_handle_stops_the_node() {
    let nodes = nodes(2).await;
    let mut nodes = nodes.into_iter();
    let (root, member) = (nodes.next().unwrap(), nodes.next().unwrap());
    let group = root.create_group([member.peer_id()]).await.unwrap();
    drop(member);
    let failure = timeout(LIMIT, group.failed()).await.unwrap();
    assert_eq!(failure.group, group.id());
}

#[tokio::test]
async fn a_member_that_crashes_is_noticed_without_a_word_of_it() {
    let survivors = nodes(3).await;
    // A runtime of its own, that ends with everything in it: no goodbye, its sockets just close.
    let world = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let there = survivors[0].listen_addresses();
    let doomed = world.spawn(async move {
        let node = Node::builder()
            .profile(Profile::Local)
            .bootstrap(there[0].clone())
            .start()
            .await;
        let node = node.expect("a free port");
        node.joined().await.map(|()| node)
    });
    let doomed = timeout(LIMIT, doomed).await.unwrap().unwrap().unwrap();
    let group = survivors[0]
        .create_group([survivors[1].peer_id(), doomed.peer_id()])
        .await
        .unwrap();
    let others = survivors[0]
        .create_group([survivors[1].peer_id(), survivors[2].peer_id()])
        .await
        .unwrap();
    let failures = watch(&survivors[..2], group.id());
    world.shutdown_background();
    assert_eq!(all(failures).await.len(), 2);
    assert_eq!(others.check().await.unwrap().alive, Some(true));
}

#[tokio::test]
async fn a_data_directory_is_free_again_after_the_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        Node::builder()
            .data_dir(dir.path())
            .listen("/ip4/127.0.0.1/tcp/0".parse().unwrap())
            .start()
    };
    let first = start().await.unwrap();
    assert!(
        start()
            .await
            .unwrap_err()
            .to_string()
            .contains("in use by another process")
    );
    timeout(LIMIT, first.shutdown()).await.unwrap();
    let second = start().await.unwrap();
    assert_eq!(second.peer_id(), first.peer_id());
    assert!(first.status().await.is_err());
}

#[tokio::test]
async fn quic_works_where_somebody_listens_with_it() {
    let quic = || {
        Node::builder()
            .profile(Profile::Local)
            .listen("/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap())
    };
    let root = quic().start().await.unwrap();
    let member = quic()
        .bootstrap(root.listen_addresses()[0].clone())
        .start()
        .await
        .unwrap();
    timeout(LIMIT, member.joined()).await.unwrap().unwrap();
    let group = root.create_group([member.peer_id()]).await.unwrap();
    member.signal(group.id(), "over").await.unwrap();
    timeout(LIMIT, group.failed()).await.unwrap();
}

/// A process may sleep between an order and the node's taking it.
#[tokio::test]
async fn an_order_that_is_given_up_before_the_node_began_with_it_is_dropped() {
    let nodes = nodes(2).await;
    let group = nodes[0].create_group([nodes[1].peer_id()]).await.unwrap();
    // The node runs on this thread, too, and not before the next `await`.
    assert!(group.signal("no longer meant").now_or_never().is_none());
    let members = [nodes[1].peer_id()];
    assert!(nodes[0].create_group(members).into_future().now_or_never().is_none());
    assert_eq!(group.check().await.unwrap().alive, Some(true));
    assert_eq!(nodes[0].groups(10).await.unwrap().len(), 1);
}
