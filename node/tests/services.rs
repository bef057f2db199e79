//! Services over real sockets: three nodes in one process, with a primary that dies, hands over, panics and hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fatebound::service::{
    Refused, Replicated, Role, RoleEvent, Scope, Service, ServiceCallError, ServiceClient, ServiceEnded, ServiceStatus,
    StartServiceError,
};
use fatebound::{Multiaddr, Node, Profile};
use tokio::time::timeout;

/// No step takes longer; what does not end by then hangs.
const LIMIT: Duration = Duration::from_secs(60);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("in time")
}

async fn nodes(count: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    while nodes.len() < count {
        let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
        let mut builder = Node::builder().profile(Profile::Local).listen(listen);
        for address in nodes.iter().take(1).flat_map(Node::listen_addresses) {
            builder = builder.bootstrap(address.clone());
        }
        let node = builder.start().await.expect("a free port");
        within(node.joined()).await.expect("runs");
        nodes.push(node);
    }
    nodes
}

/// A map from numbers to how often they were written: what is done twice shows.
#[derive(Default)]
struct Store {
    written: BTreeMap<u64, u64>,
    /// Panics with the next request.
    broken: Arc<AtomicBool>,
    /// Every request that was served anywhere, with its epoch.
    epochs: Arc<AtomicU64>,
}

impl Replicated for Store {
    fn serve(&mut self, scope: &Scope, request: &[u8]) -> Vec<u8> {
        assert!(!self.broken.load(Ordering::Relaxed), "broken on purpose");
        let before = self.epochs.fetch_max(scope.epoch(), Ordering::Relaxed);
        assert!(scope.check().is_err() || scope.epoch() >= before, "epochs grow");
        let key = u64::from_be_bytes(request[1..9].try_into().expect("a key"));
        if request[0] == b'w' {
            *self.written.entry(key).or_default() += 1;
        }
        self.written.get(&key).copied().unwrap_or(0).to_be_bytes().to_vec()
    }

    fn checkpoint(&self) -> Vec<u8> {
        self.written
            .iter()
            .flat_map(|(key, count)| [key.to_be_bytes(), count.to_be_bytes()].concat())
            .collect()
    }

    fn restore(&mut self, checkpoint: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes);
        self.written.clear();
        for pair in checkpoint.chunks(16) {
            self.written.insert(number(&pair[..8])?, number(&pair[8..])?);
        }
        Ok(())
    }
}

fn write(key: u64) -> Vec<u8> {
    [&b"w"[..], &key.to_be_bytes()].concat()
}

fn read(key: u64) -> Vec<u8> {
    [&b"r"[..], &key.to_be_bytes()].concat()
}

async fn count(client: &ServiceClient, key: u64) -> u64 {
    let answer = within(client.call(read(key))).await.expect("is answered");
    u64::from_be_bytes(answer.try_into().expect("a number"))
}

async fn provide(node: &Node, instance: &str, sync: usize) -> Service {
    let service = node
        .service("store")
        .instance(instance)
        .sync(sync)
        .interval(Duration::from_millis(50));
    within(service.provide(Store::default()).run()).await.expect("joins")
}

async fn provided(nodes: &[Node], sync: usize) -> Vec<Service> {
    let mut services = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        services.push(provide(node, &format!("p{number}"), sync).await);
    }
    services
}

async fn client(node: &Node) -> ServiceClient {
    node.client("store").await.expect("a name").limit(LIMIT)
}

fn primary(status: &ServiceStatus) -> Option<&str> {
    status.primary.as_ref().map(|primary| primary.instance.as_str())
}

/// Waits until this provider knows of so many secondaries and a primary.
async fn settled(service: &mut Service, secondaries: usize) -> ServiceStatus {
    let settled = service.wait_for(|status| status.primary.is_some() && status.secondaries.len() == secondaries);
    within(settled).await.expect("goes on")
}

/// Clients at these nodes write numbers from `from` on, each once, until they are told to stop; which were acknowledged.
fn load(nodes: &[Node], stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<Vec<u64>>> {
    let spawn = |(number, node): (usize, &Node)| {
        let (node, stop) = (node.clone(), stop.clone());
        tokio::spawn(async move {
            let client = client(&node).await;
            let mut acknowledged = Vec::new();
            let mut key = number as u64 * 1_000_000;
            while !stop.load(Ordering::Relaxed) {
                key += 1;
                client.call(write(key)).await.expect("is answered in the end");
                acknowledged.push(key);
            }
            acknowledged
        })
    };
    nodes.iter().enumerate().map(spawn).collect()
}

/// Waits until so many more requests have been served, as the counter of a client shows that asks for them.
async fn progress(client: &ServiceClient) {
    for key in 0..20u64 {
        within(client.call(write(u64::MAX - key))).await.expect("is answered");
    }
}

async fn all_written_once(client: &ServiceClient, loads: Vec<tokio::task::JoinHandle<Vec<u64>>>) -> usize {
    let mut total = 0;
    for load in loads {
        for key in within(load).await.expect("has ended") {
            assert_eq!(count(client, key).await, 1, "{key} was acknowledged");
            total += 1;
        }
    }
    total
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_the_death_of_the_primary_under_load_and_none_is_done_twice() {
    let nodes = nodes(4).await;
    let mut services = provided(&nodes[..3], 1).await;
    let before = settled(&mut services[1], 1).await;
    assert_eq!(primary(&before), Some("p0"), "the first one stays");
    let stop = Arc::new(AtomicBool::new(false));
    // Clients at a secondary, at a spare, and where there is no provider at all.
    let loads = load(&nodes[1..], &stop);
    let client = client(&nodes[3]).await;
    progress(&client).await;
    // Its whole node dies with it.
    drop(services.remove(0));
    nodes[0].shutdown().await;
    let moved = services[1].wait_for(|status| primary(status).is_some_and(|primary| primary != "p0"));
    let after = within(moved).await.expect("goes on");
    assert_eq!(primary(&after), Some("p1"), "the secondary, not the spare");
    assert!(after.epoch > before.epoch, "{after:?}");
    progress(&client).await;
    stop.store(true, Ordering::Relaxed);
    assert!(all_written_once(&client, loads).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_under_load_loses_no_request() {
    let nodes = nodes(3).await;
    // Answers do not wait for secondaries here: what keeps them is the last checkpoint alone.
    let mut services = provided(&nodes, 0).await;
    settled(&mut services[2], 1).await;
    let stop = Arc::new(AtomicBool::new(false));
    let loads = load(&nodes, &stop);
    let client = client(&nodes[1]).await;
    let mut epoch = 0;
    // To a secondary, to a spare, and to whoever is next.
    for to in [Some("p1"), Some("p2"), Some("p0"), None] {
        progress(&client).await;
        let from = services[0].status();
        services[2].switchover(to).await.expect("is asked");
        let moved = services[0].wait_for(|status| {
            let now = primary(status);
            now.is_some() && now != primary(&from) && (to.is_none() || now == to)
        });
        let status = within(moved).await.expect("goes on");
        assert!(status.epoch > epoch);
        epoch = status.epoch;
    }
    progress(&client).await;
    stop.store(true, Ordering::Relaxed);
    assert!(all_written_once(&client, loads).await > 0);
    let wrong = services[0].switchover(Some("nobody")).await;
    assert_eq!(wrong, Err(Refused::NoSuchProvider));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_enough_secondaries_nothing_is_acknowledged_and_requests_are_refused_in_the_end() {
    let nodes = nodes(2).await;
    let service = nodes[0]
        .service("store")
        .instance("p0")
        .sync(1)
        .hold(Duration::from_secs(3));
    let mut first = within(service.provide(Store::default()).run()).await.expect("joins");
    within(first.wait_for(|status| status.primary.is_some()))
        .await
        .expect("goes on");
    let client = client(&nodes[0]).await;
    let refused = within(client.call(write(1))).await;
    assert_eq!(refused, Err(ServiceCallError::Refused(Refused::TooFewSecondaries)));
    let _second = provide(&nodes[1], "p1", 1).await;
    settled(&mut first, 1).await;
    assert_eq!(count(&client, 1).await, 0, "it was refused before it was done");
    within(client.call(write(2))).await.expect("is answered");
    assert_eq!(count(&client, 2).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_panics_goes_and_the_next_one_serves() {
    let nodes = nodes(3).await;
    let broken = Arc::new(AtomicBool::new(false));
    let store = Store {
        broken: broken.clone(),
        ..Store::default()
    };
    let service = nodes[0].service("store").instance("p0").sync(1);
    let mut first = within(service.provide(store).run()).await.expect("joins");
    let mut second = provide(&nodes[1], "p1", 1).await;
    let _third = provide(&nodes[2], "p2", 1).await;
    settled(&mut second, 1).await;
    let client = client(&nodes[1]).await;
    within(client.call(write(1))).await.expect("is answered");
    broken.store(true, Ordering::Relaxed);
    within(client.call(write(2)))
        .await
        .expect("is answered by the next one");
    assert_eq!((count(&client, 1).await, count(&client, 2).await), (1, 1));
    match within(first.ended()).await {
        ServiceEnded::Failed(why) => assert!(why.contains("broken on purpose"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// Never comes back.
struct Stuck;

impl Replicated for Stuck {
    fn serve(&mut self, _scope: &Scope, _request: &[u8]) -> Vec<u8> {
        loop {
            std::thread::park();
        }
    }

    fn checkpoint(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _checkpoint: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_goes_and_its_scope_is_over() {
    let nodes = nodes(2).await;
    let service = nodes[0]
        .service("store")
        .instance("p0")
        .serve_limit(Duration::from_secs(3));
    let mut first = within(service.provide(Stuck).run()).await.expect("joins");
    let mut second = provide(&nodes[1], "p1", 0).await;
    settled(&mut second, 1).await;
    let client = client(&nodes[1]).await;
    within(client.call(write(1)))
        .await
        .expect("is answered by the next one");
    assert!(matches!(within(first.ended()).await, ServiceEnded::Failed(why) if why.contains("hangs")));
    assert_eq!(primary(&second.status()), Some("p1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_told_its_roles_and_hands_over_only_when_it_has_ended() {
    let nodes = nodes(2).await;
    let follow = |node: &Node, name: &str| {
        node.service("web")
            .instance(name)
            .address(format!("{name}:80"))
            .follow()
    };
    let mut first = within(follow(&nodes[0], "a")).await.expect("joins");
    assert!(matches!(within(first.next()).await, Some(RoleEvent::Spare)));
    let Some(RoleEvent::Primary { scope, running }) = within(first.next()).await else {
        panic!("the primary")
    };
    let mut second = within(follow(&nodes[1], "b")).await.expect("joins");
    // It may be made a secondary before it has heard that it is a spare.
    let mut role = within(second.next()).await;
    if matches!(role, Some(RoleEvent::Spare)) {
        role = within(second.next()).await;
    }
    assert!(matches!(role, Some(RoleEvent::Secondary)), "{role:?}");
    let client = nodes[1].client("web").await.expect("a name");
    let there = within(client.primary()).await.expect("is known");
    assert_eq!(
        (there.primary.expect("one").address, there.epoch),
        ("a:80".to_owned(), scope.epoch())
    );
    let refused = within(client.call("x")).await;
    assert_eq!(refused, Err(ServiceCallError::Refused(Refused::Program)));
    within(client.hand_over(Some("b"))).await.expect("is asked");
    within(scope.ended()).await;
    // As long as it runs, nobody else does.
    assert_eq!(primary(&second.service().status()), Some("a"));
    drop(running);
    let Some(RoleEvent::Primary { scope: next, .. }) = within(second.next()).await else {
        panic!("the primary")
    };
    assert!(next.epoch() > scope.epoch());
    assert_eq!(second.service().status().own.map(|(_, role)| role), Some(Role::Primary));
    // The next one dies.
    drop(second);
    let again = async {
        loop {
            if let Some(RoleEvent::Primary { scope, .. }) = first.next().await {
                return scope;
            }
        }
    };
    assert!(within(again).await.epoch() > next.epoch());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused() {
    let nodes = nodes(2).await;
    let _service = provide(&nodes[0], "p0", 0).await;
    let twice = nodes[0].service("store").provide(Store::default()).run().await;
    assert!(matches!(twice, Err(StartServiceError::Here)), "{twice:?}");
    let unnamed = nodes[0].service("x").instance("").provide(Store::default()).run().await;
    assert!(matches!(unnamed, Err(StartServiceError::Instance)), "{unnamed:?}");
    let long = nodes[0]
        .service("x")
        .address("y".repeat(129))
        .provide(Store::default())
        .run()
        .await;
    assert!(matches!(long, Err(StartServiceError::Address)), "{long:?}");
    let client = client(&nodes[1]).await;
    let long = client.call(vec![0; 60 * 1024 + 1]).await;
    assert_eq!(long, Err(ServiceCallError::Refused(Refused::TooLong)));
    let nobody = nodes[1]
        .client("nothing")
        .await
        .expect("a name")
        .limit(Duration::from_millis(100));
    let error = nobody.call("x").await.expect_err("nobody");
    assert!(
        matches!(
            error,
            ServiceCallError::Nobody { .. } | ServiceCallError::TimedOut { sent: false, .. }
        ),
        "{error:?}"
    );
    assert_eq!(nodes[0].services().await.len(), 1);
    assert!(nodes[1].services().await.is_empty());
}
