//! Nobody sleeps on work: behaviours and handlers that are asked twice whenever they say that there is nothing to do.
//!
//! What the second question finds lay there with nobody woken for it, and in an idle swarm would lie there until something else comes. All runs on
//! one thread, where neither sockets nor timers nor orders move between the two questions: so no clock takes part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use fatebound_machine::overlay::Keypair;
use futures::StreamExt;
use libp2p::Swarm;
use libp2p::swarm::handler::{ConnectionEvent, ConnectionHandlerEvent};
use libp2p::swarm::{self, ConnectionHandler, SubstreamProtocol, SwarmEvent};

use super::*;
use crate::{Node, transport};

mod suspended;

/// Wakes whom it should, and remembers that it did.
struct Bell {
    rung: AtomicBool,
    waker: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.waker.wake_by_ref();
    }
}

/// How often somebody slept although there was work.
#[derive(Clone, Debug, Default)]
struct Asleep(Arc<AtomicUsize>);

impl Asleep {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn ask<T>(&self, cx: &Context<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let bell = Arc::new(Bell {
            rung: AtomicBool::new(false),
            waker: cx.waker().clone(),
        });
        let waker = Waker::from(bell.clone());
        let mut cx = Context::from_waker(&waker);
        let first = poll(&mut cx);
        if first.is_ready() || bell.rung.load(Ordering::SeqCst) {
            return first;
        }
        let second = poll(&mut cx);
        if second.is_ready() && !bell.rung.load(Ordering::SeqCst) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        second
    }

    /// A node in a swarm on this thread, listening and joined through this one.
    async fn node(&self, bootstrap: Option<Multiaddr>) -> Node {
        let keypair = Keypair::generate_ed25519();
        let builder = Node::builder().identity(keypair.clone());
        let (behaviour, node) = builder.into_behaviour().unwrap();
        let transport = transport::build(&keypair, Duration::from_secs(5)).unwrap();
        let behaviour = Twice {
            inner: behaviour,
            asleep: self.clone(),
        };
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(30));
        let mut swarm = Swarm::new(transport, behaviour, node.peer_id(), config);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        while node.listen_addresses().is_empty() {
            swarm.select_next_some().await;
        }
        tokio::spawn(drive(swarm));
        node.join(bootstrap.into_iter().collect()).await.unwrap();
        node.joined().await.unwrap();
        node
    }
}

async fn drive(mut swarm: Swarm<Twice<Behaviour>>) {
    while !matches!(swarm.select_next_some().await, SwarmEvent::Behaviour(Notice::Stopped)) {}
}

/// Asks what is in it a second time whenever that says that there is nothing to do.
struct Twice<T> {
    inner: T,
    asleep: Asleep,
}

impl<T: NetworkBehaviour> NetworkBehaviour for Twice<T> {
    type ConnectionHandler = Twice<THandler<T>>;
    type ToSwarm = T::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let asleep = self.asleep.clone();
        self.inner
            .handle_established_inbound_connection(connection, peer, local, remote)
            .map(|inner| Twice { inner, asleep })
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let asleep = self.asleep.clone();
        self.inner
            .handle_established_outbound_connection(connection, peer, address, role, port)
            .map(|inner| Twice { inner, asleep })
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<T::ToSwarm, THandlerInEvent<Self>>> {
        self.asleep.ask(cx, |cx| self.inner.poll(cx))
    }
}

impl<T: ConnectionHandler> ConnectionHandler for Twice<T> {
    type FromBehaviour = T::FromBehaviour;
    type ToBehaviour = T::ToBehaviour;
    type InboundProtocol = T::InboundProtocol;
    type OutboundProtocol = T::OutboundProtocol;
    type InboundOpenInfo = T::InboundOpenInfo;
    type OutboundOpenInfo = T::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.inner.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.asleep.ask(cx, |cx| self.inner.poll(cx))
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        self.inner.on_connection_event(event);
    }
}

#[tokio::test]
async fn whatever_a_node_is_asked_it_does_at_once() {
    let asleep = Asleep::default();
    let first = asleep.node(None).await;
    let address = first.listen_addresses().remove(0);
    let others = [
        asleep.node(Some(address.clone())).await,
        asleep.node(Some(address.clone())).await,
        asleep.node(Some(address)).await,
    ];
    assert_eq!(asleep.count(), 0, "while they joined");
    let members = others.each_ref().map(Node::peer_id);
    for _ in 0..20 {
        let group = first.create_group(members).await.unwrap();
        assert_eq!(asleep.count(), 0, "while a group was created");
        assert_eq!(first.check(group.id()).await.unwrap().alive, Some(true));
        assert_eq!(asleep.count(), 0, "while it was checked");
        let told = others.each_ref().map(|node| {
            let (tell, told) = tokio::sync::oneshot::channel();
            node.on_failure(group.id(), move |failure| drop(tell.send(failure)));
            told
        });
        group.signal("enough").await.unwrap();
        for told in told {
            told.await.unwrap();
        }
        assert_eq!(asleep.count(), 0, "while it failed");
    }
    assert!(!first.locate(members[0]).await.unwrap().is_empty());
    others[0].shutdown().await;
    drop(others);
    first.shutdown().await;
    assert_eq!(asleep.count(), 0, "while they stopped");
}

/// More orders at once than are taken in one poll, and a peer without a connection: its address is dialled for the question.
#[tokio::test]
async fn a_crowd_of_orders_and_a_dial_for_a_question_leave_nothing_lying() {
    let asleep = Asleep::default();
    let root = asleep.node(None).await;
    let stranger = asleep.node(None).await;
    let member = stranger.listen_addresses().remove(0);
    let creations = (0..3 * ORDERS_PER_POLL).map(|_| {
        let creation = root.create_group([member.clone()]);
        async move { creation.await }
    });
    for group in futures::future::join_all(creations).await {
        group.unwrap();
    }
    assert_eq!(asleep.count(), 0);
}
