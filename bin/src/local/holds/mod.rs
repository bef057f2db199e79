//! Holds of the node in this process: clients' shares in the fate of its groups.
//!
//! `table` knows which there are, `holding` is the stream that owns some of them, and here is how they come and go.

mod holding;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fatebound::{End, Group, GroupId, LeaveError, LeaveGroupError, Node};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use holding::Holding;
use holding::MAX_OF_STREAM;
pub use table::Holds;
use table::{Held, Joining, MAX_HOLDS, Places, Step, Unclean};

use super::groups::refused;
use super::joining::not_joined;
use super::{Local, stopping};
use crate::api::holds::Terms;
use crate::api::holds::model::{HeldInfo, HoldEvent};
use crate::api::log::{Cursor, Place};
use crate::api::model::CreateRequest;
use crate::api::problem::{Kind, More, Problem};
use crate::output::as_ms;

/// A leave that waits for others looks this often whether somebody else has come to hold the group.
const LOOK: Duration = Duration::from_secs(1);
/// A hold that was there a moment ago has ended with its group: so soon the node says how.
const END_SETTLES: Duration = Duration::from_secs(2);
/// Before a client that came while this node left the group tries again.
const AGAIN: Duration = Duration::from_millis(10);

/// Signals the groups whose holders are gone, until the node stops.
pub async fn signal_unclean(node: Node, mut unclean: mpsc::UnboundedReceiver<Unclean>) {
    while let Some((group, why)) = unclean.recv().await {
        // A group that is over already has failed enough.
        let _ = node.signal(group, why).await;
    }
}

impl Local {
    /// Creates a group that is held from the moment when it is there.
    pub async fn create_held(
        self: &Arc<Local>,
        request: CreateRequest,
        state: Vec<u8>,
        terms: Terms,
    ) -> Result<Holding, Problem> {
        let begun = Instant::now();
        let places = self.place()?;
        let group = self.creation(request, state).await.map_err(|error| refused(&error))?;
        let held = self.holds.admit(group.id(), terms.ttl, places);
        let held = held.map_err(|_| Problem::new(Kind::NotAllowed, "the group is about to be left"))?;
        let info = HeldInfo {
            created_ms: Some(as_ms(begun.elapsed())),
            ..self.info_of(&held).await?
        };
        Ok(self.stream(terms, held, group, info))
    }

    /// Comes into a group and holds it; where this node is in it already, that is another hold on it.
    pub async fn join_held(
        self: &Arc<Local>,
        group: GroupId,
        timeout_ms: Option<u64>,
        terms: Terms,
    ) -> Result<Holding, Problem> {
        let begun = Instant::now();
        let mut places = self.place()?;
        let held = loop {
            let joining = self.holds.joining(group);
            let view = self.node.group_view(group).await.map_err(stopping)?;
            let held = match view.is_some_and(|view| view.has_word) {
                true => self.holds.admit(group, terms.ttl, places),
                false => self.come_in(joining, timeout_ms, terms, places).await?,
            };
            match held {
                Ok(held) => break held,
                Err(back) => places = back,
            }
            // The node is leaving it for its last holder's sake: after that it can be joined anew.
            if let Some(group) = self.node.group(group) {
                group.ended().await;
            }
            tokio::time::sleep(AGAIN).await;
        };
        let info = HeldInfo {
            joined_ms: Some(as_ms(begun.elapsed())),
            ..self.info_of(&held).await?
        };
        let handle = self.node.handle(group);
        Ok(self.stream(terms, held, handle, info))
    }

    /// Joins the group and holds it. The client may go away meanwhile: then the node goes out again, unless others here care for the group.
    async fn come_in(
        &self,
        joining: Joining,
        timeout_ms: Option<u64>,
        terms: Terms,
        places: Places,
    ) -> Result<Result<Held, Places>, Problem> {
        let group = joining.group();
        let mut join = self.node.join_group(group);
        if let Some(timeout) = timeout_ms {
            join = join.timeout(Duration::from_millis(timeout));
        }
        let (answer, awaited) = oneshot::channel();
        let (node, holds) = (self.node.clone(), self.holds.clone());
        tokio::spawn(async move {
            let joined = join.await.map_err(|error| not_joined(&error));
            let held = joined.map(|_| holds.admit(group, terms.ttl, places));
            drop(joining);
            if let Err(Ok(Ok(held))) = answer.send(held)
                && holds.leave(held.id(), true) == Step::Depart
                && node.leave_group(group).await.is_ok()
            {
                holds.departed(held.id());
            }
        });
        let gone = |_| Problem::new(Kind::Stopping, "the node is stopping");
        awaited.await.map_err(gone)?
    }

    /// Accepts invitations with this tag, at most so many, and holds each.
    pub async fn invitations(
        self: &Arc<Local>,
        tag: String,
        count: Option<usize>,
        terms: Terms,
    ) -> Result<Holding, Problem> {
        let of_stream = count.map_or(MAX_OF_STREAM, |count| count.min(MAX_OF_STREAM));
        let rooms = vec![self.holds.room(), Arc::new(Semaphore::new(of_stream))];
        let invitations = self.node.accept_within(tag.clone(), rooms).await.map_err(stopping)?;
        Ok(Holding::accepting(Arc::clone(self), terms, tag, invitations, count))
    }

    /// The group of this hold.
    pub fn held(&self, hold: &str) -> Result<GroupId, Problem> {
        self.holds.group(hold).ok_or_else(|| unknown(hold))
    }

    /// Whether this is a hold on a group of this node's own.
    pub fn is_held_at_root(&self, hold: &str) -> Result<bool, Problem> {
        Ok(self.held(hold)?.root == self.node.peer_id())
    }

    /// Begins a hold's time anew. Returns how long it is.
    pub fn renew_hold(&self, hold: &str) -> Result<Option<Duration>, Problem> {
        self.holds.renew(hold).ok_or_else(|| unknown(hold))
    }

    /// Ends a hold without failing anybody; with the last one this node leaves the group. At the root that waits until it is the last member, because
    /// a root that leaves takes the others with it. Giving up on it while it waits changes nothing.
    pub async fn leave_hold(&self, hold: &str) -> Result<(), Problem> {
        let group = self.held(hold)?;
        let mut news = Cursor::new(self.log(), Place::Now);
        let handle = self.node.handle(group);
        let mut over = std::pin::pin!(handle.ended());
        loop {
            let ready = group.root != self.node.peer_id() || self.is_last_member(group).await?;
            match self.holds.leave(hold, ready) {
                Step::Done => return Ok(()),
                Step::Depart => {
                    if self.depart(hold.to_owned(), group).await? {
                        return Ok(());
                    }
                    return outcome(over.await);
                }
                Step::UnderWay => return outcome(over.await),
                Step::Unknown => {
                    let end = tokio::time::timeout(END_SETTLES, over).await;
                    return end.map_or_else(|_| Err(unknown(hold)), outcome);
                }
                Step::Wait => tokio::select! {
                    end = &mut over => return outcome(end),
                    () = news.wait() => drop(news.read()),
                    () = tokio::time::sleep(LOOK) => {}
                },
            }
        }
    }

    /// Takes this node out of the group for the sake of this hold, whether its client waits for that or not. False: the group was over before.
    async fn depart(&self, hold: String, group: GroupId) -> Result<bool, Problem> {
        let (node, holds) = (self.node.clone(), self.holds.clone());
        let departure = tokio::spawn(async move {
            let left = node.leave_group(group).await;
            if left.is_ok() {
                holds.departed(&hold);
            }
            left
        });
        match departure.await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(LeaveGroupError::Failed(LeaveError::Over(_) | LeaveError::TooMany { .. }))) => Ok(false),
            Ok(Err(LeaveGroupError::Stopped(stopped))) => Err(stopping(stopped)),
            Ok(Err(error)) => Err(Problem::new(Kind::NotAllowed, &error)),
            Err(error) => Err(Problem::new(Kind::Stopping, &error)),
        }
    }

    async fn is_last_member(&self, group: GroupId) -> Result<bool, Problem> {
        let view = self.node.group_view(group).await.map_err(stopping)?;
        Ok(view.is_some_and(|view| view.members.len() <= 1))
    }

    /// A place for one hold.
    fn place(&self) -> Result<Places, Problem> {
        let words = || format!("{MAX_HOLDS} holds are there already, as many as a node keeps");
        let place = self.holds.room().try_acquire_owned();
        let place = place.map_err(|_| Problem::new(Kind::Busy, &words()))?;
        Ok(Places::new(Some(place), None))
    }

    async fn info_of(&self, held: &Held) -> Result<HeldInfo, Problem> {
        let group = held.group();
        let view = self.node.group_view(group).await.map_err(stopping)?;
        let view = view.map(|view| super::views::group(&view));
        Ok(HeldInfo {
            hold: held.id().to_owned(),
            group: group.to_string(),
            root: group.root.to_string(),
            peer: self.peer(),
            role: view.as_ref().and_then(|view| view.role.clone()),
            members: view.map(|view| view.members).unwrap_or_default(),
            created_ms: None,
            joined_ms: None,
        })
    }

    fn stream(self: &Arc<Local>, terms: Terms, held: Held, group: Group, info: HeldInfo) -> Holding {
        let first = HoldEvent::Held(Box::new(info));
        Holding::of(Arc::clone(self), terms, held, group, first)
    }
}

fn unknown(hold: &str) -> Problem {
    let words = format!("no hold here is called {hold}: it has ended, or there never was one");
    Problem::new(Kind::HoldUnknown, &words)
}

/// What a leave comes to when its group is over.
fn outcome(end: End) -> Result<(), Problem> {
    let End::Failed(failure) = end else {
        return Ok(());
    };
    let words = format!("the group has failed before it was left: {}", failure.reason);
    Err(Problem::new(Kind::GroupFailed, &words).with(More {
        reason: serde_json::to_value(&failure.reason).ok(),
        ..More::default()
    }))
}
