//! Asking a service, wherever its primary is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fatebound_machine::overlay::PeerId;
use fatebound_machine::overlay::directory::{Command, Event, Found, Kind, Name};
use fatebound_machine::process_groups::GroupName;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::done::{MAX_OPEN, RequestId};
use super::hub::Hub;
use super::message::{Answer, Call, MAX_REQUEST, Question, Refused, ServiceStatus};
use crate::error::Stopped;
use crate::node::Node;

/// How long one provider is waited for, before another one is asked how things stand.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Before somebody is asked again who did not know.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the directory is waited for.
const LOOKUP: Duration = Duration::from_secs(5);

/// Why a service does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServiceCallError {
    /// No provider has answered in time. With `sent`, the request may have been done, or may still be; else nothing has changed.
    #[error("service {service} has not answered in time{}", if *.sent { ": the request may have been done" } else { "" })]
    TimedOut {
        /// Which.
        service: String,
        /// Whether the request went out to a provider.
        sent: bool,
    },
    /// Nobody provides it, as far as can be known. Nothing has changed.
    #[error("nobody provides service {service}")]
    Nobody {
        /// Which.
        service: String,
    },
    /// It was not taken. Nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It was sent more than once, and may have been done: what became of it is not remembered any more.
    #[error("the request may have been done; its answer is not remembered any more")]
    Forgotten,
    /// The node has stopped. The request may have been done.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Asks one service; see [`Node::client`]. Clones are the same client.
#[derive(Clone, Debug)]
pub struct ServiceClient {
    inner: Arc<Inner>,
    limit: Duration,
}

#[derive(Debug)]
struct Inner {
    node: Node,
    hub: Arc<Hub>,
    service: String,
    group: GroupName,
    id: u128,
    places: Semaphore,
    numbers: Mutex<Numbers>,
    target: Mutex<Target>,
}

/// Requests by number.
#[derive(Debug)]
struct Numbers {
    next: u64,
    open: BTreeSet<u64>,
}

/// Where the service is, as far as is known.
#[derive(Debug, Default)]
struct Target {
    epoch: u64,
    /// Whom to ask, the likeliest first.
    peers: Vec<PeerId>,
}

impl ServiceClient {
    pub(crate) fn new(node: Node, hub: Arc<Hub>, service: &str, group: GroupName, id: u128) -> ServiceClient {
        let inner = Inner {
            node,
            hub,
            service: service.to_owned(),
            group,
            id,
            places: Semaphore::new(usize::try_from(MAX_OPEN).unwrap_or(1)),
            numbers: Mutex::new(Numbers {
                next: 1,
                open: BTreeSet::new(),
            }),
            target: Mutex::default(),
        };
        ServiceClient {
            inner: Arc::new(inner),
            limit: Duration::from_secs(30),
        }
    }

    /// How long a call waits at most, and with it for a primary; else 30 s.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends a request of at most 60 KiB to the primary, and waits for its answer. While there is no primary it waits for one; when the primary fails, it goes to
    /// the next one, and is not done twice. At most 16 are under way, more wait for their turn. Giving it up leaves open whether it is done.
    ///
    /// # Errors
    /// See [`ServiceCallError`], which says whether anything may have changed.
    pub async fn call(&self, request: impl Into<Vec<u8>>) -> Result<Vec<u8>, ServiceCallError> {
        let body = request.into();
        if body.len() > MAX_REQUEST {
            return Err(Refused::TooLong.into());
        }
        let end = Instant::now() + self.limit;
        let Ok(Ok(_place)) = timeout_at(end, self.inner.places.acquire()).await else {
            return Err(self.timed_out(false));
        };
        let number = Number::of(&self.inner);
        let id = RequestId {
            client: self.inner.id,
            number: number.number,
        };
        let mut again = false;
        let answer = self.ask(end, &mut again, |again| {
            let low = self.inner.numbers().open.first().copied().unwrap_or(id.number);
            Question::Call(Call {
                id,
                low,
                again,
                body: body.clone(),
            })
        });
        match answer.await? {
            Answer::Done(answer) => Ok(answer),
            Answer::Forgotten => Err(ServiceCallError::Forgotten),
            Answer::Refused(why) => Err(why.into()),
            _ => Err(self.timed_out(true)),
        }
    }

    /// How the service stands, as one of its providers says.
    ///
    /// # Errors
    /// See [`ServiceCallError`]; nothing has changed.
    pub async fn status(&self) -> Result<ServiceStatus, ServiceCallError> {
        self.standing(Question::Status).await
    }

    /// The same, once there is a primary: where it is.
    ///
    /// # Errors
    /// See [`ServiceCallError`]; nothing has changed.
    pub async fn primary(&self) -> Result<ServiceStatus, ServiceCallError> {
        self.standing(Question::Primary).await
    }

    /// Asks the primary to hand over to the provider of this instance, or to whoever is next; returns when it was asked. No request is lost on the way.
    ///
    /// # Errors
    /// See [`ServiceCallError`].
    pub async fn hand_over(&self, to: Option<&str>) -> Result<(), ServiceCallError> {
        let to = to.map(str::to_owned);
        let end = Instant::now() + self.limit;
        match self.ask(end, &mut false, |_| Question::HandOver(to.clone())).await? {
            Answer::HandingOver => Ok(()),
            Answer::Refused(why) => Err(why.into()),
            _ => Err(self.timed_out(true)),
        }
    }

    async fn standing(&self, question: Question) -> Result<ServiceStatus, ServiceCallError> {
        let end = Instant::now() + self.limit;
        match self.ask(end, &mut false, |_| question.clone()).await? {
            Answer::Status(status) => {
                self.inner.learn(&status);
                Ok(*status)
            }
            Answer::Refused(why) => Err(why.into()),
            _ => Err(self.timed_out(false)),
        }
    }

    /// Asks one provider after the other until one has an answer that is not only where to go.
    async fn ask(
        &self,
        end: Instant,
        again: &mut bool,
        question: impl Fn(bool) -> Question,
    ) -> Result<Answer, ServiceCallError> {
        let inner = &self.inner;
        let mut nobody = false;
        while Instant::now() < end {
            let Some(peer) = inner.next_peer() else {
                nobody = !inner.look_up(end).await?;
                if nobody {
                    sleep(PAUSE).await;
                }
                continue;
            };
            let asked = inner.hub.ask(peer, &inner.service, question(*again));
            let attempt = end.min(Instant::now() + ATTEMPT);
            let answer = timeout_at(attempt, asked).await;
            match answer {
                Ok(Some(Answer::Moved(status))) => {
                    if !inner.learn(&status) || status.primary.as_ref().is_none_or(|primary| primary.peer == peer) {
                        inner.put_last(peer);
                        sleep(PAUSE).await;
                    }
                }
                Ok(Some(Answer::Refused(Refused::NotHere))) => {
                    inner.forget(peer);
                    sleep(PAUSE).await;
                }
                Ok(Some(Answer::Refused(Refused::Full))) if inner.has_others() => {
                    inner.put_last(peer);
                    sleep(PAUSE).await;
                }
                Ok(Some(answer)) => return Ok(answer),
                // It is gone.
                Ok(None) => {
                    *again = true;
                    inner.forget(peer);
                    // Where nothing else happens, this keeps from asking without end.
                    sleep(PAUSE).await;
                }
                // It is slow, or gone: somebody else may know. If nobody does, its turn comes again.
                Err(_) => {
                    *again = true;
                    inner.put_last(peer);
                }
            }
        }
        if nobody {
            return Err(ServiceCallError::Nobody {
                service: inner.service.clone(),
            });
        }
        Err(self.timed_out(*again))
    }

    fn timed_out(&self, sent: bool) -> ServiceCallError {
        ServiceCallError::TimedOut {
            service: self.inner.service.clone(),
            sent,
        }
    }
}

impl Inner {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_peer(&self) -> Option<PeerId> {
        self.target().peers.first().copied()
    }

    fn has_others(&self) -> bool {
        self.target().peers.len() > 1
    }

    fn forget(&self, peer: PeerId) {
        self.target().peers.retain(|known| *known != peer);
    }

    fn put_last(&self, peer: PeerId) {
        let mut target = self.target();
        if target.peers.len() > 1 && target.peers.first() == Some(&peer) {
            target.peers.rotate_left(1);
        }
    }

    /// Takes it for true, unless something later is known. Says whether it does.
    fn learn(&self, status: &ServiceStatus) -> bool {
        let mut target = self.target();
        // A provider that came after the decision may not know its epoch.
        if status.blocked || (status.epoch != 0 && status.epoch < target.epoch) {
            return false;
        }
        target.epoch = target.epoch.max(status.epoch);
        let mut seen = BTreeSet::new();
        target.peers = status.peers();
        target.peers.retain(|peer| seen.insert(*peer));
        status.primary.is_some()
    }

    /// Finds somebody to ask: here, or by the group's name. Says whether it has.
    async fn look_up(&self, end: Instant) -> Result<bool, Stopped> {
        if self.hub.status(&self.service).is_some_and(|status| !status.blocked) {
            self.target().peers = vec![self.node.peer_id()];
            return Ok(true);
        }
        let name = Name::new(Kind::PROCESS_GROUP, self.group.as_str());
        let found = self.node.directory(move |ticket| Command::Find { ticket, name });
        let left = end.saturating_duration_since(Instant::now());
        let Ok(found) = timeout(LOOKUP.min(left), found).await else {
            return Ok(false);
        };
        let Event::Found {
            outcome: Found::Record(entry),
            ..
        } = found?
        else {
            return Ok(false);
        };
        let record = entry.into_record();
        if record.tombstone {
            return Ok(false);
        }
        let mut seen = BTreeSet::new();
        let mut peers = vec![record.publisher];
        peers.extend(record.signers);
        peers.retain(|peer| seen.insert(*peer));
        self.target().peers = peers;
        Ok(true)
    }
}

/// A request's number, open until this is dropped.
struct Number<'a> {
    inner: &'a Inner,
    number: u64,
}

impl Number<'_> {
    fn of(inner: &Inner) -> Number<'_> {
        let mut numbers = inner.numbers();
        let number = numbers.next;
        numbers.next += 1;
        numbers.open.insert(number);
        Number { inner, number }
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.inner.numbers().open.remove(&self.number);
    }
}
