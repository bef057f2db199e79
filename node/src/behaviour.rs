//! The behaviour: one peer of Fatebound inside a libp2p swarm.
//!
//! It owns the machine and moves things between its three neighbours: what the [`Carrier`] reports goes in as inputs, what comes
//! out goes back to the carrier or, if it is an event, to the [`Application`]; orders of the application's handles become commands. All of
//! it goes through one first-in first-out worklist, so that nothing recurses.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fatebound_machine::overlay::{Foreign, MAX_NETWORK, Multiaddr, PeerId};
use fatebound_machine::{Command, Event as MachineEvent, Input, Machine, Output};
use futures::FutureExt;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::FromSwarm;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Sleep;

use crate::application::{Application, Order};
use crate::carrier::Carrier;
use crate::clock::Clock;
use crate::identity::DataDir;
use crate::rarely::Rarely;
use crate::reading::Reading;

/// Orders taken in one poll at most, so that a busy application does not keep the swarm from its connections.
const ORDERS_PER_POLL: usize = 32;
/// … and none is begun when those before it have taken so long.
const ORDERS_TIME: Duration = Duration::from_millis(1);
/// How long an orderly stop may take before it is one without order.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long the last frames may take to leave.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Orders that one poll may still take.
#[derive(Debug, Default)]
struct Allowance {
    taken: usize,
    begun: Option<Instant>,
}

impl Allowance {
    fn is_used_up(&self) -> bool {
        self.taken >= ORDERS_PER_POLL || self.begun.is_some_and(|begun| begun.elapsed() > ORDERS_TIME)
    }

    fn use_one(&mut self) {
        self.taken += 1;
        self.begun.get_or_insert_with(Instant::now);
    }
}

/// What the swarm is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The peer has stopped and said goodbye: the swarm may go.
    Stopped,
}

/// Fatebound as one more behaviour of your swarm; [`crate::Builder::into_behaviour`] makes it, together with the [`crate::Node`] that steers it.
pub struct Behaviour {
    machine: Machine,
    carrier: Carrier,
    application: Application,
    orders: mpsc::Receiver<Order>,
    listening: watch::Sender<Vec<Multiaddr>>,
    clock: Clock,
    reading: Reading,
    /// Inputs taken from the carrier since the start.
    taken: u64,
    stopping: Stopping,
    /// What others make us say.
    rarely: Rarely,
    output: Vec<Output>,
    /// Held until the peer has stopped.
    keep: Option<Keep>,
}

/// What is released, in this order, when the peer has stopped.
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) _directory: Option<DataDir>,
    pub(crate) _alive: watch::Sender<()>,
}

/// How far an orderly stop has come.
#[derive(Debug)]
enum Stopping {
    No,
    /// The machine says goodbye.
    Machine(Pin<Box<Sleep>>),
    /// What it said is on its way.
    Flushing(Pin<Box<Sleep>>),
    Stopped,
}

impl Behaviour {
    pub(crate) fn new(
        machine: Machine,
        carrier: Carrier,
        application: Application,
        orders: mpsc::Receiver<Order>,
        listening: watch::Sender<Vec<Multiaddr>>,
        keep: Keep,
    ) -> Behaviour {
        Behaviour {
            machine,
            carrier,
            application,
            orders,
            listening,
            clock: Clock::new(),
            reading: Reading::default(),
            taken: 0,
            stopping: Stopping::No,
            rarely: Rarely::default(),
            output: Vec::new(),
            keep: Some(keep),
        }
    }

    /// Gives the machine an input, and carries out what follows from it, until quiet.
    fn feed(&mut self, input: Input) {
        let mut work = VecDeque::from([input]);
        while let Some(input) = work.pop_front() {
            if matches!(self.stopping, Stopping::Stopped) {
                return;
            }
            let now = self.clock.now();
            tracing::trace!(%now, ?input);
            let mut output = std::mem::take(&mut self.output);
            self.machine.handle(now, input, &mut output);
            let mut commands = Vec::new();
            for output in output.drain(..) {
                self.carry_out(output, &mut commands);
            }
            self.output = output;
            work.extend(commands.into_iter().map(Input::Command));
        }
    }

    fn carry_out(&mut self, output: Output, commands: &mut Vec<Command>) {
        tracing::trace!(?output);
        match output {
            Output::Event(MachineEvent::Stopped) => {
                self.stopping = Stopping::Flushing(Box::pin(tokio::time::sleep(FLUSH_LIMIT)));
            }
            Output::Event(MachineEvent::Foreigner { peer, theirs, address }) => {
                self.met_foreigner(peer, &theirs, address.as_ref());
            }
            Output::Event(event) => self.application.event(event, &self.machine, commands),
            output => self.carrier.execute(output),
        }
    }

    /// Says it at once and then rarely; its name for its network may be anything.
    fn met_foreigner(&mut self, peer: PeerId, theirs: &Foreign, address: Option<&Multiaddr>) {
        let (what, theirs, ours) = match theirs {
            Foreign::Network(network) => {
                let network: String = network.chars().take(MAX_NETWORK).collect();
                let ours = format!("{:?}", self.machine.network());
                ("network", format!("{network:?}"), ours)
            }
            Foreign::Versions(theirs) => ("wire format", theirs.to_string(), self.machine.versions().to_string()),
        };
        match address {
            Some(address) => self
                .carrier
                .bootstraps()
                .failed(address, &format!("its {what} is {theirs}, not {ours}")),
            None if self.rarely.says(&format!("{peer} {what} {theirs}"), Instant::now()) => {
                tracing::warn!(%peer, %theirs, %ours, "a peer of another {what} is refused");
            }
            None => {}
        }
    }

    fn order(&mut self, order: Order) {
        if let Order::Join { bootstrap } = &order {
            self.carrier.bootstraps().add(bootstrap);
        }
        if matches!(order, Order::Shutdown) {
            self.shutdown();
            return;
        }
        let mut commands = Vec::new();
        self.application.order(order, &self.machine, &mut commands);
        for command in commands {
            self.feed(Input::Command(command));
        }
    }

    /// Begins to stop; says whether that is news.
    fn shutdown(&mut self) -> bool {
        let running = matches!(self.stopping, Stopping::No);
        if running {
            self.stopping = Stopping::Machine(Box::pin(tokio::time::sleep(STOP_LIMIT)));
            self.feed(Input::Command(Command::Shutdown));
        }
        running
    }

    /// Takes an order, if this poll may take one more and there is one; the last handle gone is an order to stop. Says whether anything has changed.
    fn poll_order(&mut self, cx: &mut Context<'_>, left: &mut Allowance) -> bool {
        if left.is_used_up() {
            cx.waker().wake_by_ref();
            return false;
        }
        match self.orders.poll_recv(cx) {
            Poll::Ready(Some(order)) => {
                left.use_one();
                self.order(order);
                true
            }
            Poll::Ready(None) => self.shutdown(),
            Poll::Pending => false,
        }
    }

    /// Wakes the machine if its deadline has come; says whether it had.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> bool {
        // Nothing moves a stopped machine's deadline any more.
        let running = !matches!(self.stopping, Stopping::Stopped);
        let Some(deadline) = self.machine.deadline().filter(|_| running) else {
            return false;
        };
        if !self.clock.has_come(deadline, cx) {
            return false;
        }
        let late = self.clock.now().since(deadline);
        if self.reading.goes_on(late, self.taken, cx) {
            self.carrier.was_late();
            return false;
        }
        self.reading = Reading::default();
        self.feed(Input::Wake);
        true
    }

    /// Whether the stop is complete just now.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        let done = match &mut self.stopping {
            Stopping::No | Stopping::Stopped => false,
            Stopping::Machine(limit) => limit.poll_unpin(cx).is_ready(),
            Stopping::Flushing(limit) => self.carrier.is_flushed() || limit.poll_unpin(cx).is_ready(),
        };
        if done {
            self.stopping = Stopping::Stopped;
            self.orders.close();
            while self.orders.try_recv().is_ok() {}
            self.application.stop();
            self.keep = None;
        }
        done
    }

    fn update_listening(&self, event: &FromSwarm<'_>) {
        match event {
            FromSwarm::NewListenAddr(event) => self.listening.send_modify(|all| all.push(event.addr.clone())),
            FromSwarm::ExpiredListenAddr(event) => {
                self.listening.send_modify(|all| all.retain(|one| one != event.addr));
            }
            _ => {}
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Carrier>;
    type ToSwarm = Notice;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.carrier
            .handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.carrier
            .handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.update_listening(&event);
        self.carrier.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.carrier.on_connection_handler_event(peer, connection, event);
    }

    /// Whatever has been fed may have left something anywhere below: an action here, a question in the exchanges, another deadline. None of these
    /// wakes anybody by itself. So after everything that was taken all are polled once more, and only a round that took nothing is the last.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Notice, THandlerInEvent<Self>>> {
        let mut orders = Allowance::default();
        loop {
            match self.carrier.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(input)) => {
                    self.taken += 1;
                    self.feed(input);
                    continue;
                }
                // Only the event that was taken above could need a mapping.
                Poll::Ready(action) => return Poll::Ready(action.map_out(|_| Notice::Stopped)),
                Poll::Pending => {}
            }
            if self.poll_wake(cx) || self.poll_order(cx, &mut orders) {
                continue;
            }
            if self.poll_stopped(cx) {
                return Poll::Ready(ToSwarm::GenerateEvent(Notice::Stopped));
            }
            return Poll::Pending;
        }
    }
}

/// A swarm that is dropped without a stop takes its peer along; whoever waits for a failure is told all the same.
impl Drop for Behaviour {
    fn drop(&mut self) {
        if !matches!(self.stopping, Stopping::Stopped) {
            self.application.stop();
        }
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("peer", &self.machine.peer())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
