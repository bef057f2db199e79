//! Tunnels to other leaders: a queue and a task for each peer, over its pipe.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fatebound::{PeerId, PipeSender};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::backlog::Backlog;
use crate::clock::Clock;
use crate::message::Frame;
use crate::network::NetworkId;

/// After a body that was not taken.
const PAUSE: Duration = Duration::from_millis(100);

/// All of them.
pub(crate) struct Tunnels {
    sender: PipeSender,
    clock: Clock,
    patience: Duration,
    /// What was given up.
    dropped: mpsc::Sender<(NetworkId, u64)>,
    tunnels: HashMap<PeerId, Tunnel>,
}

struct Tunnel {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

struct Queue {
    backlog: Mutex<Backlog>,
    more: Notify,
}

impl Queue {
    fn with<T>(&self, action: impl FnOnce(&mut Backlog) -> T) -> T {
        action(&mut self.backlog.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tunnels {
    pub(crate) fn new(
        sender: PipeSender,
        clock: Clock,
        patience: Duration,
        dropped: mpsc::Sender<(NetworkId, u64)>,
    ) -> Tunnels {
        Tunnels {
            sender,
            clock,
            patience,
            dropped,
            tunnels: HashMap::new(),
        }
    }

    /// Queues a word.
    pub(crate) fn send(&mut self, peer: PeerId, frame: &Frame) {
        let now = self.clock.now();
        let tunnel = self.tunnels.entry(peer).or_insert_with(|| {
            let queue = Arc::new(Queue {
                backlog: Mutex::new(Backlog::new(self.patience)),
                more: Notify::new(),
            });
            let pump = pump(
                peer,
                queue.clone(),
                self.sender.clone(),
                self.clock,
                self.dropped.clone(),
            );
            let task = tokio::spawn(pump);
            Tunnel { queue, task }
        });
        tunnel.queue.with(|backlog| backlog.push(now, frame));
        tunnel.queue.more.notify_one();
    }

    /// Whoever is in no list any more gets nothing more.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&PeerId) -> bool) {
        self.tunnels.retain(|peer, _| wanted(peer));
    }
}

async fn pump(
    peer: PeerId,
    queue: Arc<Queue>,
    sender: PipeSender,
    clock: Clock,
    dropped: mpsc::Sender<(NetworkId, u64)>,
) {
    let mut counts: BTreeMap<NetworkId, u64> = BTreeMap::new();
    loop {
        let (body, given_up) = queue.with(|backlog| (backlog.next_body(clock.now()), backlog.take_dropped()));
        for network in given_up {
            *counts.entry(network).or_default() += 1;
        }
        // What there is no room for now is counted with the next.
        counts.retain(|network, count| dropped.try_send((*network, *count)).is_err());
        let Some(body) = body else {
            queue.more.notified().await;
            continue;
        };
        if let Err(error) = sender.send(peer, body).await {
            tracing::debug!(%peer, %error, "a body of multicast is not sent");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
