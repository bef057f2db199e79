//! Handlers as an embedding application registers them: at creation, later, after the failure, two at once, and one that panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fatebound::{CreateGroupError, Failure, GroupId, Node, Profile, Reason};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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

async fn pair() -> (Node, Node) {
    let alice = node(None).await;
    let bob = node(Some(&alice)).await;
    (alice, bob)
}

fn teller(told: &UnboundedSender<Failure>) -> impl FnOnce(Failure) + Send + 'static {
    let told = told.clone();
    // Nobody listens any more at the end of a test.
    move |failure| drop(told.send(failure))
}

async fn next(news: &mut UnboundedReceiver<Failure>) -> Failure {
    tokio::time::timeout(Duration::from_secs(30), news.recv())
        .await
        .expect("told in time")
        .expect("a handler holds the sender")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_handler_runs_once_whenever_it_was_registered() {
    let (alice, bob) = pair().await;
    let (told, mut news) = unbounded_channel();
    let group = alice
        .create_group([bob.peer_id()])
        .on_failure(teller(&told))
        .await
        .expect("bob accepts");
    group.on_failure(teller(&told));
    bob.on_failure(group.id(), teller(&told));
    bob.signal(group.id(), "enough").await.expect("bob is a member");
    for _ in 0..3 {
        let failure = next(&mut news).await;
        assert_eq!(failure.group, group.id());
        assert_eq!(
            failure.reason,
            Reason::Signalled {
                by: bob.peer_id(),
                text: "enough".into()
            }
        );
    }
    // After the failure: at once, and with the true reason.
    alice.on_failure(group.id(), teller(&told));
    assert!(matches!(next(&mut news).await.reason, Reason::Signalled { .. }));
    // A group that never was: it failed, or never was.
    let stranger = GroupId {
        sequence: 999,
        ..group.id()
    };
    bob.on_failure(stranger, teller(&told));
    assert_eq!(next(&mut news).await.reason, Reason::NotKnown);
    assert!(
        bob.signal(group.id(), "again").await.is_err(),
        "what has failed cannot be signalled"
    );
    drop(told);
    assert!(news.recv().await.is_none(), "nobody was told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_handler_takes_nothing_else_down() {
    let (alice, bob) = pair().await;
    let (told, mut news) = unbounded_channel();
    let doomed = alice.create_group([bob.peer_id()]).await.expect("bob accepts");
    let spared = alice.create_group([bob.peer_id()]).await.expect("bob accepts");
    doomed.on_failure(|_| panic!("a handler's own bug"));
    doomed.on_failure(teller(&told));
    spared.on_failure(teller(&told));
    doomed.signal("enough").await.expect("alice is a member");
    assert_eq!(next(&mut news).await.group, doomed.id());
    assert_eq!(spared.check().await.expect("the node runs").alive, Some(true));
    spared.signal("enough").await.expect("alice is a member");
    assert_eq!(next(&mut news).await.group, spared.id());
}

/// Claim 4.
#[tokio::test(flavor = "multi_thread")]
async fn the_handler_of_a_creation_that_fails_runs() {
    let (alice, bob) = pair().await;
    let (told, mut news) = unbounded_channel();
    let stranger = fatebound::Keypair::generate_ed25519().public().to_peer_id();
    let error = alice
        .create_group([bob.peer_id(), stranger])
        .on_failure(teller(&told))
        .await
        .expect_err("nobody knows the stranger");
    let CreateGroupError::Incomplete { group, refusals, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(refusals.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [stranger]);
    assert!(matches!(next(&mut news).await.reason, Reason::CreationFailed { peer, .. } if peer == stranger));
    // Bob had accepted, so he is told; a handler registered now runs at once, one registered before would have.
    bob.on_failure(group, teller(&told));
    assert_eq!(next(&mut news).await.group, group);
}

#[tokio::test(flavor = "multi_thread")]
async fn guard_signals_when_the_guarded_work_fails_and_only_then() {
    let (alice, bob) = pair().await;
    let group = alice.create_group([bob.peer_id()]).await.expect("bob accepts");
    let fine: Result<u32, String> = group.guard(async { Ok(7) }).await;
    assert_eq!(fine, Ok(7));
    assert_eq!(group.check().await.expect("the node runs").alive, Some(true));
    let failed: Result<u32, String> = group.guard(async { Err("no space left".to_string()) }).await;
    assert!(failed.is_err());
    let at_bob = tokio::time::timeout(Duration::from_secs(30), async {
        match bob.group(group.id()) {
            Some(group) => group.failed().await.reason,
            None => group.failed().await.reason,
        }
    });
    let reason = at_bob.await.expect("told in time");
    assert!(
        matches!(&reason, Reason::Signalled { text, .. } if text.contains("no space left")),
        "{reason}"
    );
}

/// A handler that takes its time, or never returns, keeps no other from running and its node from answering.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handlers_keep_nobody_waiting() {
    let (alice, bob) = pair().await;
    let (told, mut news) = unbounded_channel();
    let doomed = alice.create_group([bob.peer_id()]).await.expect("bob accepts");
    let spared = alice.create_group([bob.peer_id()]).await.expect("bob accepts");
    let held = Arc::new(AtomicUsize::new(0));
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    for _ in 0..8 {
        let (held, gate) = (held.clone(), gate.clone());
        doomed.on_failure(move |_| {
            held.fetch_add(1, Ordering::SeqCst);
            // Until the test lets go of the other end.
            let _ = gate.lock().map(|gate| gate.recv());
        });
    }
    doomed.signal("enough").await.expect("alice is a member");
    assert_eq!(spared.check().await.expect("the node runs").alive, Some(true));
    spared.on_failure(teller(&told));
    spared.signal("enough").await.expect("alice is a member");
    assert_eq!(next(&mut news).await.group, spared.id());
    drop(release);
}
