//! The handle of a node: cheap to clone, usable from anywhere.

use std::sync::Arc;
use std::time::SystemTime;

use fatebound_machine::fng::{GroupId, GroupView};
use fatebound_machine::overlay::{Multiaddr, PeerId};
use fatebound_machine::{Machine, PeerView, RoutesView, Status};
use libp2p::multiaddr::Protocol;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use crate::admission::Admissions;
use crate::application::{CheckReport, Order, Waiter};
use crate::bootstraps::Bootstraps;
use crate::builder::Builder;
use crate::create::{CreateGroup, Member};
use crate::error::{LeaveGroupError, SignalError, Stopped};
use crate::event::{Event, Events, Numbers};
use crate::failures::{Failure, Fate, Handler, SharedFailures};
use crate::group::Group;
use crate::invitation::Invitations;
use crate::join::JoinGroup;
use crate::service::HubPlace;

/// Invitations that wait for one acceptor at most; a further one is declined.
const OFFERS: usize = 64;

/// Groups whose ids are read at once: some 400 KB are copied while the machine stands still.
const IDS: u32 = 4096;
/// Groups and members of groups that are read at once.
const VIEWS: usize = 2048;

/// Where the next groups are, for [`Node::group_ids`] and [`Node::groups_from`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupsFrom(u32);

/// Some groups, each with its number in the order in which they came; and where the next ones are, if there are more.
pub type GroupsPage = (Vec<(u64, GroupView)>, Option<GroupsFrom>);

/// A running node. Clones are the same node; when the last of them and of its [`Group`]s is dropped, it stops as by [`Node::shutdown`].
#[derive(Clone, Debug)]
pub struct Node(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) peer: PeerId,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) failures: SharedFailures,
    pub(crate) listening: watch::Receiver<Vec<Multiaddr>>,
    pub(crate) joined: watch::Receiver<bool>,
    pub(crate) bootstraps: Bootstraps,
    pub(crate) events: broadcast::WeakSender<Event>,
    pub(crate) numbers: Numbers,
    pub(crate) done: watch::Receiver<()>,
    /// What its services and their clients share, while there are any.
    pub(crate) services: HubPlace,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Node {
        Node(Arc::new(parts))
    }

    /// Settings for a new node.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Who this node is.
    pub fn peer_id(&self) -> PeerId {
        self.0.peer
    }

    /// Where this node listens now, each address with `/p2p/…` at its end: what others give to [`Builder::bootstrap`].
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        let listening = self.0.listening.borrow();
        listening
            .iter()
            .map(|address| address.clone().with(Protocol::P2p(self.0.peer)))
            .collect()
    }

    /// Joins the overlay through one of these addresses, trying until one answers; without any, this node is the first of its overlay. [`Builder::start`]
    /// has done so already.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn join(&self, bootstrap: Vec<Multiaddr>) -> Result<(), Stopped> {
        self.order(Order::Join { bootstrap }).await
    }

    /// The bootstrap addresses where the last dial led to nobody, and why. The same is logged, at once and then rarely.
    pub fn bootstrap_problems(&self) -> Vec<(Multiaddr, String)> {
        self.0.bootstraps.problems()
    }

    /// Waits until this node has joined its overlay. It tries for as long as it takes, so put a time limit around this where you need one.
    ///
    /// # Errors
    /// The node has stopped before.
    pub async fn joined(&self) -> Result<(), Stopped> {
        let mut joined = self.0.joined.clone();
        joined.wait_for(|joined| *joined).await.map(drop).map_err(|_| Stopped)
    }

    /// Creates a group of this node and these members: await what this returns. Members are given by [`PeerId`], or by an address that ends in
    /// `/p2p/…`.
    ///
    /// ```no_run
    /// # async fn example(node: fatebound::Node, peer: fatebound::PeerId) -> Result<(), fatebound::CreateGroupError> {
    /// let group = node
    ///     .create_group([peer])
    ///     .tag("replicas of shard 7")
    ///     .on_failure(|failure| println!("{failure}"))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_group<M: Into<Member>>(&self, members: impl IntoIterator<Item = M>) -> CreateGroup {
        CreateGroup::new(self.clone(), members.into_iter().map(Into::into).collect())
    }

    /// Runs `handler` when this group fails, exactly once: at once if it has failed already or does not live here (then with the reason,
    /// or `NotKnown` if that is forgotten). It may block: it runs on one of the runtime's threads for
    /// blocking work. A panic in it is caught and logged.
    pub fn on_failure(&self, group: GroupId, handler: impl FnOnce(Failure) + Send + 'static) {
        self.register(group, Handler::new(handler));
    }

    pub(crate) fn register(&self, group: GroupId, handler: Handler) {
        self.0.failures.lock().register(group, handler, SystemTime::now());
    }

    /// Fails a group that this node is a member of: every member is notified, this one included. Observers cannot, nor can a node that is about
    /// to leave. Giving up on it (dropping the future) takes it back only as long as the node has not begun with it.
    ///
    /// # Errors
    /// See [`SignalError`]; nothing has changed then.
    pub async fn signal(&self, group: GroupId, reason: impl Into<String>) -> Result<(), SignalError> {
        let text = reason.into();
        self.ask(|reply| Order::Signal { group, text, reply }).await?
    }

    /// Fails a group here and tells nobody: the others notice the silence, within the bound. Every other group goes on.
    ///
    /// # Errors
    /// See [`SignalError`]; nothing has changed then.
    pub async fn fall_silent(&self, group: GroupId) -> Result<(), SignalError> {
        self.ask(|reply| Order::FallSilent { group, reply }).await?
    }

    /// Comes into a group as a member: its root, whom the id names, is asked, and lets this node in or not. Await what this returns.
    ///
    /// ```no_run
    /// # async fn example(node: fatebound::Node, id: fatebound::GroupId) -> Result<(), fatebound::JoinGroupError> {
    /// let group = node.join_group(id).on_failure(|failure| println!("{failure}")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_group(&self, group: GroupId) -> JoinGroup {
        JoinGroup::new(self.clone(), group, false)
    }

    /// Comes into a group as an observer: this node is told of its end like a member, but if this node fails, the group goes on. An observer
    /// that loses the root hears of a failure, though the group may live.
    pub fn observe_group(&self, group: GroupId) -> JoinGroup {
        JoinGroup::new(self.clone(), group, true)
    }

    /// Leaves a group, which goes on without this node; a root that leaves closes its group. This node stays a member until its root has
    /// acknowledged, and hears of a failure that comes first; then no handler of the group runs any more.
    ///
    /// # Errors
    /// The group was over before: it failed, was closed, or is not known here.
    pub async fn leave_group(&self, group: GroupId) -> Result<(), LeaveGroupError> {
        Ok(self.ask(|reply| Order::Leave { group, reply }).await??)
    }

    /// Closes a group of this node's own: all its members are told, and it is no failure for anybody.
    ///
    /// # Errors
    /// This node is not its root; or the group was over before.
    pub async fn close_group(&self, group: GroupId) -> Result<(), LeaveGroupError> {
        if group.root != self.peer_id() {
            return Err(LeaveGroupError::NotRoot);
        }
        self.leave_group(group).await
    }

    /// Peers that want to come into groups of this node whose [`Admission`](crate::Admission) is to ask: from now on they come out of this
    /// stream, for as long as it lives. Among several readers the first with room is asked.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn admissions(&self) -> Result<Admissions, Stopped> {
        let (wishes, wishes_out) = mpsc::channel(OFFERS);
        self.ask(|reply| Order::Admissions { wishes, reply }).await?;
        Ok(Admissions::new(self.clone(), wishes_out))
    }

    /// What became of a group, as far as this node knows.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn fate(&self, group: GroupId) -> Result<Fate, Stopped> {
        {
            let failures = self.0.failures.lock();
            if failures.lives(&group) {
                return Ok(Fate::Living);
            }
            if let Some(end) = failures.end(&group) {
                return Ok(Fate::Over(end.clone()));
            }
        }
        let carried = self.carries(group).await?;
        Ok(if carried { Fate::Carried } else { Fate::Unknown })
    }

    /// Asks every other member, end to end, whether it lives and knows the group; at a member that is not the root, the root is asked. Who
    /// does not answer in time fails the group.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn check(&self, group: GroupId) -> Result<CheckReport, Stopped> {
        self.ask(|reply| Order::Check { group, reply }).await
    }

    /// A handle of a group that lives here.
    pub fn group(&self, group: GroupId) -> Option<Group> {
        let lives = self.0.failures.lock().lives(&group);
        lives.then(|| Group::new(self.clone(), group))
    }

    /// A handle of a group, whether it lives here or not: what does not live here has ended.
    pub fn handle(&self, group: GroupId) -> Group {
        Group::new(self.clone(), group)
    }

    /// The ids of groups that live here, in no order; then, if there are more, the place where to go on. However many there are, each call keeps
    /// the node from its work for less than a millisecond. Begin with `GroupsFrom::default()`. Whoever lives from the first call to the last
    /// comes up once.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn group_ids(&self, from: GroupsFrom) -> Result<(Vec<GroupId>, Option<GroupsFrom>), Stopped> {
        let (ids, next) = self.read(move |machine| machine.group_ids_from(from.0, IDS)).await?;
        Ok((ids, next.map(GroupsFrom)))
    }

    /// Groups that live here, as [`Node::group_ids`] has it: each with its number in the order in which they came.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn groups_from(&self, from: GroupsFrom) -> Result<GroupsPage, Stopped> {
        let (views, next) = self.read(move |machine| machine.groups_from(from.0, VIEWS)).await?;
        Ok((views, next.map(GroupsFrom)))
    }

    /// Groups that live here, at most `limit` (which, if there are more, is not said), in the order in which they came.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn groups(&self, limit: usize) -> Result<Vec<GroupView>, Stopped> {
        let mut found = Vec::new();
        let mut from = Some(GroupsFrom::default());
        while let Some(next) = from.filter(|_| found.len() < limit) {
            let views;
            (views, from) = self.groups_from(next).await?;
            found.extend(views);
        }
        found.truncate(limit);
        found.sort_unstable_by_key(|(born, _)| *born);
        Ok(found.into_iter().map(|(_, view)| view).collect())
    }

    /// What is known here about one group; `None`: it does not live here.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn group_view(&self, group: GroupId) -> Result<Option<GroupView>, Stopped> {
        self.read(move |machine| machine.group(&group)).await
    }

    /// The bytes that the creator of a group gave its members to know; `None`: it gave none, or the group does not live here. (Beyond 256 MiB of them,
    /// those of further groups are told with their invitations only.)
    pub fn group_state(&self, group: &GroupId) -> Option<Arc<[u8]>> {
        self.0.failures.lock().states.get(group)
    }

    /// Whether paths of this group end here or run through this node; as a mere delegate it knows nothing else of the group.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn carries(&self, group: GroupId) -> Result<bool, Stopped> {
        self.read(move |machine| machine.carries(&group)).await
    }

    /// The node at a glance.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn status(&self) -> Result<Status, Stopped> {
        self.read(Machine::status).await
    }

    /// Its neighbours.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn peers(&self) -> Result<Vec<PeerView>, Stopped> {
        self.read(Machine::peers).await
    }

    /// Its place in the overlay.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn routes(&self) -> Result<RoutesView, Stopped> {
        self.read(Machine::routes).await
    }

    /// The addresses of a peer, as the overlay knows them; empty if nobody does.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn locate(&self, peer: PeerId) -> Result<Vec<Multiaddr>, Stopped> {
        self.ask(|reply| Order::Locate { peer, reply }).await
    }

    /// Tells this node where a peer may be found, as hearsay: for peers that the overlay does not know.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn introduce(&self, peer: PeerId, addresses: Vec<Multiaddr>) -> Result<(), Stopped> {
        self.order(Order::Introduce { peer, addresses }).await
    }

    /// Waits for invitations with this tag: they are accepted from now on, for as long as the stream lives, and come out of it. (Invitations
    /// without a tag are always accepted and show up among the [`Node::events`]; those whose tag nobody waits for are declined.) Among several
    /// who wait for one tag and have room, it is each one's turn.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn accept(&self, tag: impl Into<String>) -> Result<Invitations, Stopped> {
        self.accept_within(tag, Vec::new()).await
    }

    /// The same, within bounds: each invitation that is accepted takes a place of every one of these rooms, and keeps it for as long as its
    /// [`Invitation::places`](crate::Invitation::places) live; while one of the rooms is full, invitations are declined as `Busy`.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn accept_within(
        &self,
        tag: impl Into<String>,
        rooms: Vec<Arc<Semaphore>>,
    ) -> Result<Invitations, Stopped> {
        let (offers, offers_out) = mpsc::channel(OFFERS);
        let tag = tag.into();
        let waiter = Waiter { offers, rooms };
        // Before the node is asked: what is accepted while the answer is on its way has somebody who stands behind it, or tells the group that it has not.
        let invitations = Invitations::new(self.clone(), offers_out);
        self.ask(|reply| Order::Accept { tag, waiter, reply }).await?;
        Ok(invitations)
    }

    /// Everything that happens here from now on. Bounded: a reader that is slow is told how many events it has missed, and misses no failure.
    pub fn events(&self) -> Events {
        let receiver = self.0.events.upgrade().map(|sender| sender.subscribe());
        Events::new(receiver, self.0.failures.clone(), self.0.numbers.next())
    }

    /// Stops in an orderly manner, and returns when all is done, its sockets and its data directory free: groups that this node is a member of
    /// fail for their members at once, paths that it merely carries are handed on. Stopping twice is no error.
    pub async fn shutdown(&self) {
        let mut done = self.0.done.clone();
        if self.order(Order::Shutdown).await.is_ok() {
            tracing::debug!("the node stops");
        }
        // Nothing is ever sent: the channel closes.
        let _ = done.changed().await;
    }

    /// Gives an order, waiting for room.
    pub(crate) async fn order(&self, order: Order) -> Result<(), Stopped> {
        self.0.orders.send(order).await.map_err(|_| Stopped)
    }

    /// Gives an order if there is room for it now.
    pub(crate) fn try_order(&self, order: Order) {
        let _ = self.0.orders.try_send(order);
    }

    /// What its services and their clients share, while there are any.
    pub(crate) fn service_hub(&self) -> &HubPlace {
        &self.0.services
    }

    pub(crate) async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.order(order(reply)).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// As [`Node::try_order`], but where there is no room it waits for it, if there is a runtime in which that can be done.
    pub(crate) fn order_in_drop(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(order)) = self.0.orders.try_send(order)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let node = self.clone();
            runtime.spawn(async move {
                let _ = node.order(order).await;
            });
        }
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Machine) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let order = |reply: oneshot::Sender<T>| {
            Order::Read(Box::new(move |machine: &Machine| {
                if !reply.is_closed() {
                    drop(reply.send(look(machine)));
                }
            }))
        };
        self.ask(order).await
    }
}
