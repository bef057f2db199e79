//! The application's part of a service: on a thread of its own, where it may take its time, and one order at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::checkpoint::MAX_CHECKPOINT;
use super::done::{Done, Known};
use super::held::{Asker, Waiting};
use super::message::{Answer, MAX_REQUEST};
use super::scope::Scope;
use fatebound_machine::overlay::PeerId;

/// Tasks that may wait: what is left of some primacies that were over before they had begun.
const TASKS: usize = 16;

/// What a service does, and how its state goes from one place to another.
///
/// The methods run on a thread of their own and may block; while one runs, no other does.
pub trait Replicated: Send + 'static {
    /// Answers a request, of at most 60 KiB. Runs only at the primary. What it changes outside should be told `scope.epoch()`; what it changes inside is known to
    /// the others with the next [`checkpoint`](Replicated::checkpoint). The answer, of at most 60 KiB too, is kept for a client that asks again.
    fn serve(&mut self, scope: &Scope, request: &[u8]) -> Vec<u8>;

    /// The whole state, at most 4 MiB less what is kept for clients.
    fn checkpoint(&self) -> Vec<u8>;

    /// Takes this state in place of its own: the last checkpoint of an earlier primary, before the first request is served.
    ///
    /// # Errors
    /// What is wrong with it. This provider goes then, and another one becomes the primary.
    fn restore(&mut self, checkpoint: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// What the worker has to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// To be the primary from this checkpoint on; without one, from the beginning.
    Begin(Scope, Option<Vec<u8>>),
    /// To be the primary still, or again, with the state that it has.
    Resume(Scope),
    /// To serve these, and to say what the state is then.
    Serve {
        batch: Vec<Waiting<PeerId>>,
        checkpoint: bool,
    },
    /// To say what the state is.
    Checkpoint,
}

/// What it has done.
#[derive(Debug)]
pub(crate) enum Report {
    Begun,
    Served {
        answers: Vec<(Asker<PeerId>, Answer)>,
        checkpoint: Option<Vec<u8>>,
    },
    Checkpoint(Vec<u8>),
    /// It can do nothing any more.
    Failed(String),
}

/// What a checkpoint is made of.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    done: Done,
    #[serde(with = "serde_bytes")]
    application: Vec<u8>,
}

/// A running worker, which ends with this.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) tasks: mpsc::Sender<Task>,
    pub(crate) reports: mpsc::Receiver<Report>,
}

impl Worker {
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(name: &str, application: impl Replicated) -> std::io::Result<Worker> {
        let (tasks, tasks_out) = mpsc::channel(TASKS);
        let (reports, reports_out) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name(format!("service {name}"));
        thread.spawn(move || work(application, tasks_out, &reports))?;
        Ok(Worker {
            tasks,
            reports: reports_out,
        })
    }
}

struct Desk<A> {
    application: A,
    /// The state with which it came.
    origin: Vec<u8>,
    /// Whether it may have another state by now.
    touched: bool,
    done: Done,
    scope: Option<Scope>,
}

fn work<A: Replicated>(application: A, mut tasks: mpsc::Receiver<Task>, reports: &mpsc::Sender<Report>) {
    let mut desk = Desk {
        application,
        origin: Vec::new(),
        touched: false,
        done: Done::default(),
        scope: None,
    };
    // It is the application's code: whatever it does ends this provider, and nothing else.
    let mut ready = catch_unwind(AssertUnwindSafe(|| desk.origin = desk.application.checkpoint())).is_ok();
    while let Some(task) = tasks.blocking_recv() {
        let report = match ready {
            true => catch_unwind(AssertUnwindSafe(|| desk.turn(task)))
                .unwrap_or_else(|cause| Report::Failed(panicked(&*cause))),
            false => Report::Failed("it panicked".to_owned()),
        };
        ready &= !matches!(report, Report::Failed(_));
        if reports.blocking_send(report).is_err() {
            return;
        }
    }
}

fn panicked(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    text.map_or_else(|| "it panicked".to_owned(), |text| format!("it panicked: {text}"))
}

impl<A: Replicated> Desk<A> {
    fn turn(&mut self, task: Task) -> Report {
        match task {
            Task::Begin(scope, checkpoint) => self.begin(scope, checkpoint.as_deref()),
            Task::Resume(scope) => {
                self.scope = Some(scope);
                Report::Begun
            }
            Task::Serve { batch, checkpoint } => self.serve(batch, checkpoint),
            Task::Checkpoint => self.checkpoint().map_or_else(Report::Failed, Report::Checkpoint),
        }
    }

    fn begin(&mut self, scope: Scope, checkpoint: Option<&[u8]>) -> Report {
        self.scope = Some(scope);
        let content = match checkpoint.map(postcard::from_bytes::<Content>) {
            Some(Ok(content)) => Some(content),
            Some(Err(error)) => return Report::Failed(format!("the checkpoint cannot be read: {error}")),
            None if self.touched => Some(Content {
                done: Done::default(),
                application: self.origin.clone(),
            }),
            None => None,
        };
        self.touched = true;
        let Some(content) = content else { return Report::Begun };
        self.done = content.done.recount();
        match self.application.restore(&content.application) {
            Ok(()) => Report::Begun,
            Err(error) => Report::Failed(format!("the checkpoint cannot be restored: {error}")),
        }
    }

    fn serve(&mut self, batch: Vec<Waiting<PeerId>>, checkpoint: bool) -> Report {
        let Some(scope) = self.scope.clone() else {
            return Report::Failed("it was asked to serve without a primacy".to_owned());
        };
        let mut answers = Vec::new();
        for waiting in batch {
            let call = waiting.call;
            let answer = match self.done.ask(call.id, call.low, call.again) {
                Known::Answer(answer) => Answer::Done(answer),
                Known::Forgotten => Answer::Forgotten,
                Known::New => {
                    // A primacy that has ended meanwhile: the client asks the next one.
                    if scope.check().is_err() {
                        continue;
                    }
                    let answer = self.application.serve(&scope, &call.body);
                    if answer.len() > MAX_REQUEST {
                        return Report::Failed(format!(
                            "an answer of {} bytes: {MAX_REQUEST} are allowed",
                            answer.len()
                        ));
                    }
                    self.done.done(call.id, call.low, &answer);
                    Answer::Done(answer)
                }
            };
            answers.push((waiting.asker, answer));
        }
        match checkpoint.then(|| self.checkpoint()).transpose() {
            Ok(checkpoint) => Report::Served { answers, checkpoint },
            Err(why) => Report::Failed(why),
        }
    }

    fn checkpoint(&self) -> Result<Vec<u8>, String> {
        let content = Content {
            done: self.done.clone(),
            application: self.application.checkpoint(),
        };
        let bytes = postcard::to_stdvec(&content).map_err(|error| error.to_string())?;
        match bytes.len() {
            ..=MAX_CHECKPOINT => Ok(bytes),
            length => Err(format!("a checkpoint of {length} bytes: {MAX_CHECKPOINT} are allowed")),
        }
    }
}
