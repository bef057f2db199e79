//! Jobs that never leave anybody waiting: a process that works together with others, and is out at once when anything in it goes wrong.
//!
//! A job is a process group. Its **main task** runs on a thread of its own; its handler cannot wait, so it always takes what the group says, and routes messages into
//! the bounded queues of **work tasks**, each on a thread of its own. A fault of any of them (an error, a panic, a tick that does not come, a queue that is full)
//! takes this process out of the group *first*, with a goodbye that nobody can refuse; then it is cleaned up. The others are told within a round trip, and a
//! [`Round`] that waits for it counts it as gone. See `docs/services.md`.

mod rounds;
mod wire;
mod work;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fatebound_machine::process_groups::NameError;
use fatebound_machine::process_groups::protocols::{Notice, Provider as Listed, ProviderId};
use thiserror::Error;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

pub use rounds::Complete;
pub use work::{Fault, Message, Over, Work};

use crate::node::Node;
use crate::process_group::{JoinProcessGroupError, Provider, ProviderEvent};
use rounds::Rounds;
use work::{Ended, Plan, Watched, panicked, start};

/// A turn of the main task that takes longer is counted and logged.
const LONG_TURN: Duration = Duration::from_millis(10);
/// Events that may wait for the main task.
const EVENTS: usize = 4096;
/// Messages to the group that may wait: work tasks wait for room.
const OUTBOX: usize = 64;
/// Work tasks in one job at most.
const MAX_TASKS: usize = 64;

/// What happens in a job, for its main task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobEvent {
    /// These are in the job now, the oldest first.
    Members(Vec<Listed>),
    /// This one has failed, or said goodbye: nobody need wait for it.
    Gone(ProviderId),
    /// Somebody has sent this to all, perhaps this process itself.
    Message {
        /// Who.
        from: ProviderId,
        /// What.
        body: Vec<u8>,
    },
    /// A work task has ended well.
    Done(String),
    /// There is no quorum: nothing is shown until there is.
    Blocked,
}

/// What the main task wants done with what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into the queue of a work task.
    To {
        /// Which.
        task: String,
        /// What.
        message: Message,
    },
    /// The job is done, here: this process leaves it.
    Finish,
}

/// The main task of a job: local work only. It is no future, and has nothing to wait for.
pub trait MainTask: Send + 'static {
    /// Takes an event.
    fn on_event(&mut self, event: JobEvent) -> Vec<Route>;
}

impl<F: FnMut(JobEvent) -> Vec<Route> + Send + 'static> MainTask for F {
    fn on_event(&mut self, event: JobEvent) -> Vec<Route> {
        self(event)
    }
}

/// Why a job has not begun here. Nothing has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartJobError {
    /// It is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two work tasks have one name, or there are too many.
    #[error("work tasks have names of their own, and are {MAX_TASKS} at most")]
    Tasks,
    /// This process has not come into the job's group.
    #[error(transparent)]
    NotJoined(#[from] JoinProcessGroupError),
    /// The system gives no thread.
    #[error("no thread for the job: {0}")]
    Thread(std::io::Error),
}

/// How a job has ended, here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JobEnded {
    /// The main task said so.
    #[error("it is done")]
    Finished,
    /// Something went wrong in this process; the others were told first.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The group goes on without this process.
    #[error("the job goes on without this process")]
    PutOut,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// A job that is to begin here; see [`Node::job`].
#[must_use = "nothing begins without run()"]
pub struct JobBuilder {
    node: Node,
    name: String,
    instance: Option<String>,
    plans: Vec<Plan>,
}

impl std::fmt::Debug for JobBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// A job of this name, which is that of a process group.
    pub fn job(&self, name: &str) -> JobBuilder {
        JobBuilder {
            node: self.clone(),
            name: name.to_owned(),
            instance: None,
            plans: Vec::new(),
        }
    }
}

impl JobBuilder {
    /// What this process is called in the job, unique at its node.
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// A work task with a queue of so many messages; with a limit, it has to tick more often than that.
    pub fn work(
        mut self,
        name: impl Into<String>,
        queue: usize,
        limit: Option<Duration>,
        run: impl FnOnce(Work) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.plans.push(Plan {
            name: name.into(),
            queue,
            limit,
            run: Box::new(run),
        });
        self
    }

    /// Comes into the job's group, and begins to work once it is in.
    ///
    /// # Errors
    /// See [`StartJobError`].
    pub async fn run(self, main: impl MainTask) -> Result<Job, StartJobError> {
        let names: BTreeSet<&str> = self.plans.iter().map(|plan| plan.name.as_str()).collect();
        if names.len() < self.plans.len() || names.len() > MAX_TASKS {
            return Err(StartJobError::Tasks);
        }
        let mut group = self.node.process_group(&self.name)?;
        if let Some(instance) = self.instance {
            group = group.instance(instance);
        }
        let provider = group.join().await?;
        let (outbox, outbox_out) = mpsc::channel(OUTBOX);
        let (ended, ended_out) = mpsc::channel(MAX_TASKS);
        let (over, board) = (Arc::new(AtomicBool::new(false)), Board::default());
        let guard = OverGuard {
            over: over.clone(),
            board: board.clone(),
        };
        let mut tasks = Vec::new();
        for plan in self.plans {
            let begun = start(plan, outbox.clone(), over.clone(), board.clone(), ended.clone());
            tasks.push(begun.map_err(StartJobError::Thread)?);
        }
        let main = Main::start(main).map_err(StartJobError::Thread)?;
        let long_turns = main.long_turns.clone();
        let id = provider.id();
        let supervisor = Supervisor {
            provider,
            main,
            tasks,
            ended: ended_out,
            board,
            outbox,
            _over: guard,
        };
        let sender = supervisor.send(outbox_out);
        let running = tokio::spawn(async move {
            let outcome = supervisor.run().await;
            sender.abort();
            outcome
        });
        Ok(Job {
            id,
            long_turns,
            running,
            over: None,
        })
    }
}

/// A job, here. Dropping it is this process' death in it.
#[derive(Debug)]
pub struct Job {
    id: ProviderId,
    long_turns: Arc<AtomicU64>,
    running: JoinHandle<JobEnded>,
    over: Option<JobEnded>,
}

impl Job {
    /// How this process is called in the job.
    pub fn id(&self) -> ProviderId {
        self.id
    }

    /// Turns of the main task that took longer than 10 ms: it should do nothing that takes its time.
    pub fn long_turns(&self) -> u64 {
        self.long_turns.load(Ordering::Relaxed)
    }

    /// Waits until it is over, here.
    pub async fn ended(&mut self) -> JobEnded {
        if let Some(ended) = &self.over {
            return ended.clone();
        }
        let ended = match (&mut self.running).await {
            Ok(ended) => ended,
            Err(error) => JobEnded::Fault(Fault::Main(format!("has ended: {error}"))),
        };
        self.over.insert(ended).clone()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Rounds, and who waits for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<(Mutex<Rounds>, Condvar, Notify)>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, Rounds> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Rounds)) {
        change(&mut self.lock());
        self.wake();
    }

    fn wake(&self) {
        self.0.1.notify_all();
        self.0.2.notify_waiters();
    }
}

/// Tells work tasks that the job is over here, whatever ends it.
#[derive(Debug)]
struct OverGuard {
    over: Arc<AtomicBool>,
    board: Board,
}

impl Drop for OverGuard {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.board.wake();
    }
}

/// A barrier that does not wait for whoever is gone. Between two rounds a task does local work only: what it waits for else may never come.
#[derive(Debug)]
pub struct Round<'a> {
    work: &'a Work,
    number: u64,
}

impl Round<'_> {
    /// Acknowledges it, to all. The first acknowledgement of anybody begins it, for all who are in the job then.
    ///
    /// # Errors
    /// The job is over here.
    pub fn ack(&self) -> Result<(), Over> {
        self.work.check()?;
        self.work.outbox.blocking_send(wire::ack(self.number)).map_err(|_| Over)
    }

    /// Waits until everybody has acknowledged or is gone. All who wait for it get the same answer.
    ///
    /// # Errors
    /// The job is over here; or 1024 later rounds have been begun meanwhile.
    pub fn wait(&self) -> Result<Complete, Over> {
        let board = self.work.board.clone();
        let mut rounds = board.lock();
        loop {
            self.work.tick();
            if let Some(complete) = self.look(&rounds)? {
                return Ok(complete);
            }
            let waited = board.0.1.wait_timeout(rounds, Duration::from_millis(100));
            rounds = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same for who is in a runtime; it does not tick.
    ///
    /// # Errors
    /// As of [`Round::wait`].
    pub async fn complete(&self) -> Result<Complete, Over> {
        loop {
            // Before the look: what happens between the two must not be missed.
            let news = self.work.board.0.2.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(complete) = self.look(&self.work.board.lock())? {
                return Ok(complete);
            }
            news.await;
        }
    }

    fn look(&self, rounds: &Rounds) -> Result<Option<Complete>, Over> {
        self.work.check()?;
        match rounds.complete(self.number) {
            None if rounds.is_forgotten(self.number) => Err(Over),
            complete => Ok(complete),
        }
    }
}

/// The main task's thread, from outside.
#[derive(Debug)]
struct Main {
    events: SyncSender<JobEvent>,
    routes: mpsc::Receiver<Result<Vec<Route>, Fault>>,
    long_turns: Arc<AtomicU64>,
}

impl Main {
    fn start(main: impl MainTask) -> std::io::Result<Main> {
        let (events, events_out) = sync_channel(EVENTS);
        let (routes, routes_out) = mpsc::channel(EVENTS);
        let long_turns = Arc::new(AtomicU64::new(0));
        let counted = long_turns.clone();
        let thread = std::thread::Builder::new().name("job main".to_owned());
        thread.spawn(move || turns(main, &events_out, &routes, &counted))?;
        Ok(Main {
            events,
            routes: routes_out,
            long_turns,
        })
    }
}

fn turns(
    mut main: impl MainTask,
    events: &Receiver<JobEvent>,
    routes: &mpsc::Sender<Result<Vec<Route>, Fault>>,
    long_turns: &AtomicU64,
) {
    while let Ok(event) = events.recv() {
        let begun = Instant::now();
        let turn = catch_unwind(AssertUnwindSafe(|| main.on_event(event)));
        let took = begun.elapsed();
        if took > LONG_TURN {
            long_turns.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(?took, "a turn of a job's main task has taken long");
        }
        let (panicked, turn) = match turn {
            Ok(routes) => (false, Ok(routes)),
            Err(cause) => (true, Err(Fault::Main(format!("panicked: {}", panicked(&*cause))))),
        };
        if routes.blocking_send(turn).is_err() || panicked {
            return;
        }
    }
}

/// Between the group, the main task and the work tasks; it waits for none of them.
struct Supervisor {
    provider: Provider,
    main: Main,
    tasks: Vec<Watched>,
    ended: mpsc::Receiver<(String, Ended)>,
    board: Board,
    outbox: mpsc::Sender<Vec<u8>>,
    _over: OverGuard,
}

impl Supervisor {
    /// A newcomer waits for all who are here, and was not shown what they said before it came: they say it again.
    fn acked(&self, round: u64, from: ProviderId) {
        let me = self.provider.id();
        let mut again = false;
        self.board
            .change(|rounds| again = rounds.acked(round, from) && rounds.has_acked(round, me));
        if again {
            let outbox = self.outbox.clone();
            tokio::spawn(async move { drop(outbox.send(wire::ack(round)).await) });
        }
    }

    fn send(&self, mut outbox: mpsc::Receiver<Vec<u8>>) -> JoinHandle<()> {
        let handle = self.provider.handle();
        tokio::spawn(async move {
            while let Some(word) = outbox.recv().await {
                if handle.send(word).await.is_err() {
                    return;
                }
            }
        })
    }

    async fn run(mut self) -> JobEnded {
        let ended = self.follow().await;
        match &ended {
            // Before anything is cleaned up.
            JobEnded::Fault(fault) => {
                tracing::error!(job = self.provider.group().as_str(), %fault, "this process goes out of its job");
                let _ = self.provider.handle().goodbye(&fault.to_string()).await;
            }
            JobEnded::Finished => drop(self.provider.handle().leave().await),
            JobEnded::PutOut | JobEnded::Stopped => {}
        }
        ended
    }

    async fn follow(&mut self) -> JobEnded {
        loop {
            let deadline = self.tasks.iter().filter_map(Watched::deadline).min();
            let next = tokio::select! {
                event = self.provider.next() => match event {
                    Some(event) => self.on_event(event),
                    None => Err(JobEnded::Stopped),
                },
                turn = self.main.routes.recv() => match turn {
                    Some(Ok(routes)) => routes.into_iter().try_for_each(|route| self.route(route)),
                    Some(Err(fault)) => Err(fault.into()),
                    None => Err(Fault::Main("has ended".to_owned()).into()),
                },
                Some((task, ended)) = self.ended.recv() => self.task_ended(task, ended),
                () = until(deadline) => match self.tasks.iter().find_map(|task| task.fault(Instant::now())) {
                    Some(fault) => Err(fault.into()),
                    None => Ok(()),
                },
            };
            if let Err(ended) = next {
                return ended;
            }
        }
    }

    fn on_event(&mut self, event: ProviderEvent) -> Result<(), JobEnded> {
        let event = match event {
            ProviderEvent::Shown(Notice::Providers { providers, .. }) => {
                let here = providers.iter().filter(|provider| provider.is_present());
                let here = here.map(|provider| provider.id).collect();
                self.board.change(|rounds| rounds.listed(here));
                JobEvent::Members(providers)
            }
            ProviderEvent::Shown(Notice::Failed(failure)) => {
                self.board.change(|rounds| rounds.failed(failure.provider));
                JobEvent::Gone(failure.provider)
            }
            ProviderEvent::Shown(Notice::Message { from, body }) => match wire::read(&body) {
                Some(wire::Word::Message(body)) => JobEvent::Message {
                    from,
                    body: body.to_vec(),
                },
                Some(wire::Word::Ack(round)) => {
                    self.acked(round, from);
                    return Ok(());
                }
                None => return Ok(()),
            },
            ProviderEvent::Blocked(_) => JobEvent::Blocked,
            ProviderEvent::Ended(_) | ProviderEvent::Removed { .. } | ProviderEvent::Dissolved(_) => {
                return Err(JobEnded::PutOut);
            }
            _ => return Ok(()),
        };
        self.tell(event)
    }

    fn tell(&self, event: JobEvent) -> Result<(), JobEnded> {
        let told = self.main.events.try_send(event);
        told.map_err(|_| Fault::Main(format!("is {EVENTS} events behind")).into())
    }

    fn route(&self, route: Route) -> Result<(), JobEnded> {
        match route {
            Route::Finish => Err(JobEnded::Finished),
            Route::To { task, message } => match self.tasks.iter().find(|known| known.name == task) {
                // What comes for one that has done its work is dropped.
                Some(known) if known.done => Ok(()),
                Some(known) => match known.inbox.try_send(message) {
                    Ok(()) | Err(std::sync::mpsc::TrySendError::Disconnected(_)) => Ok(()),
                    Err(std::sync::mpsc::TrySendError::Full(_)) => Err(Fault::Full { task }.into()),
                },
                None => Err(Fault::Main(format!("routes to {task}, which is no work task")).into()),
            },
        }
    }

    fn task_ended(&mut self, task: String, ended: Ended) -> Result<(), JobEnded> {
        match ended {
            Ended::Fault(fault) => Err(fault.into()),
            Ended::Done => {
                if let Some(known) = self.tasks.iter_mut().find(|known| known.name == task) {
                    known.done = true;
                }
                self.tell(JobEvent::Done(task))
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        // A moment later, so that it is past.
        Some(deadline) => tokio::time::sleep_until((deadline + Duration::from_millis(1)).into()).await,
        None => std::future::pending().await,
    }
}
