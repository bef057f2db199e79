//! Which holds there are, and how many a group has: what a hold's stream and the orders about it share.
//!
//! A hold is owned by its stream as a [`Held`]. While it stands here it is good; whoever takes it away says how it has ended. When a `Held` is dropped
//! and its hold still stands here, nobody has ended it: its holder is gone, and the group is signalled.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fatebound::GroupId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// Holds at most.
pub const MAX_HOLDS: usize = 1024;

/// Why a group fails whose holder has gone.
pub const GONE: &str = "a process that held the group has gone";
/// Why a group fails whose holder has hung.
pub const NOT_RENEWED: &str = "a process that held the group has not renewed its hold in time";

/// So much later than it should this process may look at a hold's time and still take it for the holder's fault.
const PUNCTUAL: Duration = Duration::from_millis(100);

/// A group to be signalled, and why.
pub type Unclean = (GroupId, &'static str);

/// All holds.
#[derive(Clone)]
pub struct Holds(Arc<Parts>);

struct Parts {
    room: Arc<Semaphore>,
    table: Mutex<Table>,
    /// Each hold says at most one word here.
    unclean: mpsc::UnboundedSender<Unclean>,
}

#[derive(Default)]
struct Table {
    holds: HashMap<String, Hold>,
    shares: HashMap<GroupId, Shares>,
}

struct Hold {
    group: GroupId,
    ttl: Option<Ttl>,
    /// It is the last one, and this node is about to leave the group for it.
    leaving: bool,
    /// Tells its stream that it was left.
    left: oneshot::Sender<()>,
}

struct Ttl {
    length: Duration,
    deadline: Instant,
}

/// What depends on this node's membership in one group.
#[derive(Debug, Default)]
struct Shares {
    holds: usize,
    /// Clients that come into the group and will hold it.
    joining: usize,
    leaving: bool,
}

/// What a `leave` is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: others hold the group too, and go on.
    Done,
    /// It is the last hold: wait until the others have left.
    Wait,
    /// It is the last hold: take this node out of the group. Nobody can hold it any more.
    Depart,
    /// Somebody else does that already.
    UnderWay,
    /// There is no such hold, or no more.
    Unknown,
}

impl Holds {
    /// None; and where groups come out that are to be signalled.
    pub fn new() -> (Holds, mpsc::UnboundedReceiver<Unclean>) {
        let (unclean, signals) = mpsc::unbounded_channel();
        let parts = Parts {
            room: Arc::new(Semaphore::new(MAX_HOLDS)),
            table: Mutex::default(),
            unclean,
        };
        (Holds(Arc::new(parts)), signals)
    }

    /// The places of all holds.
    pub fn room(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.room)
    }

    /// Makes a hold on this group. It keeps these places.
    ///
    /// # Errors
    /// This node is about to leave the group: the places come back.
    pub fn admit(&self, group: GroupId, ttl: Option<Duration>, places: Places) -> Result<Held, Places> {
        let mut table = self.lock();
        let shares = table.shares.entry(group).or_default();
        if shares.leaving {
            return Err(places);
        }
        shares.holds += 1;
        let (left, hears) = oneshot::channel();
        let id = format!("{:032x}", rand::random::<u128>());
        let ttl = ttl.map(|length| Ttl {
            length,
            deadline: Instant::now() + length,
        });
        let hold = Hold {
            group,
            ttl,
            leaving: false,
            left,
        };
        table.holds.insert(id.clone(), hold);
        Ok(Held {
            holds: self.clone(),
            id,
            group,
            left: hears,
            places,
        })
    }

    /// A client is about to come into this group and to hold it.
    pub fn joining(&self, group: GroupId) -> Joining {
        self.lock().shares.entry(group).or_default().joining += 1;
        Joining {
            holds: self.clone(),
            group,
        }
    }

    /// The group of this hold.
    pub fn group(&self, id: &str) -> Option<GroupId> {
        self.lock().holds.get(id).map(|hold| hold.group)
    }

    /// Begins a hold's time anew; the outer `None`: there is no such hold.
    pub fn renew(&self, id: &str) -> Option<Option<Duration>> {
        let mut table = self.lock();
        let ttl = table.holds.get_mut(id)?.ttl.as_mut();
        Some(ttl.map(|ttl| {
            ttl.deadline = Instant::now() + ttl.length;
            ttl.length
        }))
    }

    /// When this hold ends unless it is renewed.
    pub fn deadline(&self, id: &str) -> Option<Instant> {
        let table = self.lock();
        let hold = table.holds.get(id).filter(|hold| !hold.leaving)?;
        hold.ttl.as_ref().map(|ttl| ttl.deadline)
    }

    /// Looks whether a hold's time is over. If so, it has ended badly; but a process that did not run itself has not seen the renewals that wait for
    /// it, and gives as much time again.
    pub fn look(&self, id: &str, now: Instant) {
        let mut table = self.lock();
        let Some(hold) = table.holds.get_mut(id).filter(|hold| !hold.leaving) else {
            return;
        };
        let Some(ttl) = &mut hold.ttl else {
            return;
        };
        let Some(late) = now.checked_duration_since(ttl.deadline) else {
            return;
        };
        if late > PUNCTUAL {
            ttl.deadline = now + late.min(ttl.length);
            return;
        }
        if let Some(hold) = table.take(id) {
            self.signal(hold.group, NOT_RENEWED);
        }
    }

    /// What a `leave` of this hold is to do; `ready`: nobody has to be waited for.
    pub fn leave(&self, id: &str, ready: bool) -> Step {
        let mut table = self.lock();
        let Table { holds, shares } = &mut *table;
        let Some(hold) = holds.get_mut(id) else {
            return Step::Unknown;
        };
        let Some(shares) = shares.get_mut(&hold.group) else {
            return Step::Unknown;
        };
        if hold.leaving {
            return Step::UnderWay;
        }
        if shares.holds + shares.joining > 1 {
            if let Some(hold) = table.take(id) {
                let _ = hold.left.send(());
            }
            return Step::Done;
        }
        if !ready {
            return Step::Wait;
        }
        hold.leaving = true;
        shares.leaving = true;
        Step::Depart
    }

    /// This node has left the group for the sake of this hold.
    pub fn departed(&self, id: &str) {
        if let Some(hold) = self.lock().take(id) {
            let _ = hold.left.send(());
        }
    }

    /// The group of this hold is over; whether this node was about to leave it for the hold's sake.
    pub fn over(&self, id: &str) -> bool {
        self.lock().take(id).is_some_and(|hold| hold.leaving)
    }

    /// Its stream has ended.
    fn gone(&self, id: &str) {
        // What a departing node leaves, nobody fails any more.
        if let Some(hold) = self.lock().take(id).filter(|hold| !hold.leaving) {
            self.signal(hold.group, GONE);
        }
    }

    fn signal(&self, group: GroupId, why: &'static str) {
        // When nobody reads there, the node has stopped, and its groups have failed.
        let _ = self.0.unclean.send((group, why));
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Holds")
    }
}

impl Table {
    fn take(&mut self, id: &str) -> Option<Hold> {
        let hold = self.holds.remove(id)?;
        self.change(hold.group, |shares| {
            shares.holds -= 1;
            shares.leaving &= shares.holds > 0;
        });
        Some(hold)
    }

    fn change(&mut self, group: GroupId, change: impl FnOnce(&mut Shares)) {
        if let Entry::Occupied(mut shares) = self.shares.entry(group) {
            change(shares.get_mut());
            if shares.get().holds + shares.get().joining == 0 {
                shares.remove();
            }
        }
    }
}

/// Places of one hold, given back with it.
#[derive(Debug, Default)]
pub struct Places {
    _of_all: Option<OwnedSemaphorePermit>,
    of_stream: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// One among all holds, and perhaps one among those of its stream.
    pub fn new(of_all: Option<OwnedSemaphorePermit>, of_stream: Option<OwnedSemaphorePermit>) -> Places {
        Places {
            _of_all: of_all,
            of_stream,
        }
    }
}

/// A hold, in the hands of its stream.
#[derive(Debug)]
pub struct Held {
    holds: Holds,
    id: String,
    group: GroupId,
    left: oneshot::Receiver<()>,
    places: Places,
}

impl Held {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its group.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Until it was left; for ever, if it ends in another way.
    pub async fn left(&mut self) {
        if (&mut self.left).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Sees to it that it ends when its time is over. Ends never itself.
    pub fn watch(&self) -> impl Future<Output = Infallible> + use<> {
        let (holds, id) = (self.holds.clone(), self.id.clone());
        async move {
            while let Some(deadline) = holds.deadline(&id) {
                tokio::time::sleep_until(deadline).await;
                holds.look(&id, Instant::now());
            }
            std::future::pending().await
        }
    }

    /// Its place among those of its stream is used up.
    pub fn use_up(&mut self) {
        if let Some(place) = self.places.of_stream.take() {
            place.forget();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.holds.gone(&self.id);
    }
}

/// A client that is about to come into a group and to hold it.
#[derive(Debug)]
pub struct Joining {
    holds: Holds,
    group: GroupId,
}

impl Joining {
    /// The group.
    pub fn group(&self) -> GroupId {
        self.group
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.holds.lock().change(self.group, |shares| shares.joining -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupId {
        let golden = include_str!("../../../../tree/src/group_id.golden");
        golden.trim().parse().unwrap()
    }

    fn hold(holds: &Holds) -> Held {
        holds.admit(group(), None, Places::default()).unwrap()
    }

    #[tokio::test]
    async fn what_is_dropped_without_a_word_is_signalled_once() {
        let (holds, mut unclean) = Holds::new();
        drop(hold(&holds));
        assert_eq!(unclean.recv().await, Some((group(), GONE)));
        assert!(unclean.try_recv().is_err());
        assert!(holds.lock().shares.is_empty());
    }

    #[tokio::test]
    async fn the_last_one_takes_the_node_out_and_nobody_comes_in_meanwhile() {
        let (holds, mut unclean) = Holds::new();
        let (first, mut second) = (hold(&holds), hold(&holds));
        assert_ne!(first.id(), second.id());
        assert_eq!(holds.leave(first.id(), false), Step::Done);
        assert_eq!(holds.leave(first.id(), true), Step::Unknown);
        assert_eq!(holds.leave(second.id(), false), Step::Wait);
        assert_eq!(holds.leave(second.id(), true), Step::Depart);
        assert_eq!(holds.leave(second.id(), true), Step::UnderWay);
        assert!(holds.admit(group(), None, Places::default()).is_err());
        holds.departed(second.id());
        second.left().await;
        drop((first, second));
        assert!(unclean.try_recv().is_err());
        drop(hold(&holds));
        assert_eq!(unclean.recv().await, Some((group(), GONE)));
    }

    #[tokio::test]
    async fn a_node_is_not_taken_out_while_somebody_comes_in() {
        let (holds, _unclean) = Holds::new();
        let held = hold(&holds);
        let joining = holds.joining(group());
        assert_eq!(holds.leave(held.id(), true), Step::Done);
        drop(joining);
        assert!(holds.lock().shares.is_empty());
    }

    #[tokio::test]
    async fn places_come_back_with_their_hold_unless_they_are_used_up() {
        let (holds, _unclean) = Holds::new();
        let of_stream = Arc::new(Semaphore::new(2));
        let mut all: Vec<Held> = Vec::new();
        for _ in 0..2 {
            let place = |room: Arc<Semaphore>| room.try_acquire_owned().ok();
            let places = Places::new(place(holds.room()), place(Arc::clone(&of_stream)));
            all.push(holds.admit(group(), None, places).unwrap());
        }
        assert_eq!(
            (holds.room().available_permits(), of_stream.available_permits()),
            (MAX_HOLDS - 2, 0)
        );
        all[0].use_up();
        drop(all);
        assert_eq!(
            (holds.room().available_permits(), of_stream.available_permits()),
            (MAX_HOLDS, 1)
        );
    }

    #[tokio::test]
    async fn a_hold_that_is_not_renewed_ends() {
        let (holds, mut unclean) = Holds::new();
        let ttl = Duration::from_secs(3600);
        let held = holds.admit(group(), Some(ttl), Places::default()).unwrap();
        let id = held.id();
        let first = holds.deadline(id).unwrap();
        assert_eq!(holds.renew(id), Some(Some(ttl)));
        assert!(holds.deadline(id).unwrap() >= first);
        holds.look(id, first - Duration::from_secs(1));
        assert!(unclean.try_recv().is_err());
        holds.look(id, holds.deadline(id).unwrap());
        assert_eq!(unclean.recv().await, Some((group(), NOT_RENEWED)));
        assert_eq!((holds.renew(id), holds.group(id)), (None, None));
        drop(held);
        assert!(unclean.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_process_that_did_not_run_itself_gives_time_again() {
        let (holds, mut unclean) = Holds::new();
        let ttl = Duration::from_secs(3600);
        let held = holds.admit(group(), Some(ttl), Places::default()).unwrap();
        let late = holds.deadline(held.id()).unwrap() + 5 * ttl;
        holds.look(held.id(), late);
        assert!(unclean.try_recv().is_err());
        assert_eq!(holds.deadline(held.id()), Some(late + ttl));
        holds.look(held.id(), late + ttl);
        assert_eq!(unclean.recv().await, Some((group(), NOT_RENEWED)));
    }
}
