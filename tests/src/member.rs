//! A program in a process group, as an operator would run it: `fatebound pg join --json`, started again whenever it ends, and everything that it was
//! shown written down.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::history::Shown;
use crate::{Node, program};

/// Messages of one program that it has sent and not been shown at most.
const WINDOW: usize = 8;
/// Between two messages of one program, so that a machine with other work can follow.
const PACE: Duration = Duration::from_millis(10);
/// Between two tries to come in.
const AGAIN: Duration = Duration::from_millis(200);
/// Whatever is waited for comes much sooner.
const LIMIT: Duration = Duration::from_secs(120);

/// A program that is a provider as long as its value lives: in one life after the other, when its node is killed, or put out of the group.
pub struct Member {
    name: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// One life of a provider: from its coming in, or its trying to, to its end.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// All that it was shown.
    pub events: Vec<Value>,
    /// How its process has ended.
    pub code: Option<i32>,
    sent: Vec<String>,
    /// So many of them were the load's own.
    loads: u64,
    answered: usize,
    /// What was refused, by its place among what it sent.
    refused: Vec<usize>,
    own: usize,
    over: bool,
}

#[derive(Debug, Default)]
struct State {
    lives: Vec<Life>,
    /// Sends as fast as it may.
    loaded: bool,
    /// Is to be said once, in the current life.
    order: Option<Value>,
    kill: bool,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.news.notify_all();
    }
}

impl Life {
    /// Its process is a provider, or was when it ended.
    pub fn has_joined(&self) -> bool {
        self.count("joined") > 0
    }

    /// So many events of this name.
    pub fn count(&self, name: &str) -> usize {
        self.events.iter().filter(|event| event["event"] == name).count()
    }

    /// What everybody was shown in one order.
    pub fn shown(&self) -> Shown {
        Shown::of(&self.events)
    }

    /// What the providers of the last list that it was shown are called, the oldest first.
    pub fn list(&self) -> Vec<&str> {
        let last = self.events.iter().rfind(|event| event["event"] == "providers");
        let listed = last.and_then(|list| list["providers"].as_array());
        let present = listed
            .into_iter()
            .flatten()
            .filter(|provider| provider["standing"] == "present");
        present.filter_map(|provider| provider["instance"].as_str()).collect()
    }

    /// What its node has taken from it.
    fn accepted(&self) -> impl Iterator<Item = &String> {
        let answered = self.sent.iter().take(self.answered).enumerate();
        answered.filter_map(|(place, body)| (!self.refused.contains(&place)).then_some(body))
    }

    /// The first message that its node has taken, and that it was not shown; `None` when there is none, and nothing is on its way to its node.
    pub fn missing(&self) -> Option<String> {
        if self.answered < self.sent.len() {
            return self.sent.last().cloned();
        }
        let shown = self.shown();
        self.accepted().find(|body| !shown.has(body)).cloned()
    }

    fn take(&mut self, event: Value) {
        match event["event"].as_str() {
            Some("answer") if event["order"] == "send" => self.answered += 1,
            Some("refused") if event["order"] == "send" => {
                self.refused.push(self.answered);
                self.answered += 1;
            }
            Some("message")
                if self.sent[self.own.min(self.sent.len())..]
                    .iter()
                    .any(|body| event["body"] == **body) =>
            {
                self.own += 1;
            }
            _ => {}
        }
        self.events.push(event);
    }
}

impl Member {
    /// Starts one that comes into this group at this node.
    pub fn start(node: &Node, group: &str, name: &str) -> Member {
        Member::start_at(&node.api, group, name)
    }

    /// The same, at the node behind this API address: none has to be there yet.
    pub fn start_at(api: &str, group: &str, name: &str) -> Member {
        let shared = Arc::new(Shared::default());
        let command = ["pg", "join", group, "--instance", name, "--json", "--api", api].map(String::from);
        let (name, own) = (name.to_string(), shared.clone());
        let thread = std::thread::spawn({
            let name = name.clone();
            move || run(&command, &name, &own)
        });
        Member {
            name,
            shared,
            thread: Some(thread),
        }
    }

    /// Sends one message after the other from now on, in every life.
    pub fn load(&self) {
        self.shared.change(|state| state.loaded = true);
    }

    /// Sends no more of them.
    pub fn rest(&self) {
        self.shared.change(|state| state.loaded = false);
    }

    /// Sends this message in its current life.
    pub fn say(&self, body: &str) {
        self.shared.change(|state| state.order = Some(json!({"send": body})));
    }

    /// `kill -9` of its process; it is started again.
    pub fn kill(&self) {
        self.shared.change(|state| state.kill = true);
    }

    /// All its lives so far.
    pub fn lives(&self) -> Vec<Life> {
        self.shared.lock().lives.clone()
    }

    /// Waits until its lives fit.
    ///
    /// # Panics
    /// When that takes longer than anything does.
    #[track_caller]
    pub fn wait(&self, what: &str, fits: impl Fn(&[Life]) -> bool) {
        let end = Instant::now() + LIMIT;
        let mut state = self.shared.lock();
        while !fits(&state.lives) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} never came so far: {what}; {:#?}",
                self.name,
                tail(&state.lives)
            );
            (state, _) = self
                .shared
                .news
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until its current life fits.
    #[track_caller]
    pub fn wait_now(&self, what: &str, fits: impl Fn(&Life) -> bool) {
        self.wait(what, |lives| lives.last().is_some_and(|life| !life.over && fits(life)));
    }

    /// Waits until it is in the group, and so many are.
    #[track_caller]
    pub fn sees(&self, providers: usize) {
        self.wait_now(&format!("a list of {providers}"), |life| {
            life.has_joined() && life.list().len() == providers
        });
    }

    /// Waits until so many more messages were shown to it.
    #[track_caller]
    pub fn goes_on(&self, messages: usize) {
        let shown = |lives: &[Life]| lives.iter().map(|life| life.count("message")).sum::<usize>();
        let before = shown(&self.shared.lock().lives);
        self.wait("more messages", |lives| shown(lives) >= before + messages);
    }
}

/// The ends of the last lives: all of them would be too much to read.
fn tail(lives: &[Life]) -> Vec<String> {
    let from = lives.len().saturating_sub(3);
    let last = |life: &Life| {
        let list = life.list().join(" ");
        let events = life.events.iter().rev().take(12).rev();
        let words = events.map(|event| match event["event"].as_str() {
            Some("message") => event["body"].to_string(),
            Some(name) => format!("{name} {}", event["message"].as_str().unwrap_or_default()),
            None => event.to_string(),
        });
        let words: Vec<String> = words.collect();
        let missing = life.missing();
        let (events, code) = (life.events.len(), life.code);
        format!(
            "{events} events, exit {code:?}, missing {missing:?}, list {list}: … {}",
            words.join(", ")
        )
    };
    lives[from..].iter().map(last).collect()
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "-- the last lives of {}: {:#?}",
                self.name,
                tail(&self.shared.lock().lives)
            );
        }
        self.shared.change(|state| state.stop = true);
        if let Some(thread) = self.thread.take() {
            // Whatever it panicked of was said.
            let _ = thread.join();
        }
    }
}

fn run(command: &[String], name: &str, shared: &Arc<Shared>) {
    while !shared.lock().stop {
        let life = {
            let mut state = shared.lock();
            state.lives.push(Life::default());
            state.lives.len() - 1
        };
        let mut child = spawn(command);
        let orders = child.stdin.take().expect("piped");
        let stdout = child.stdout.take().expect("piped");
        let reader = std::thread::spawn({
            let shared = shared.clone();
            move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                    shared.change(|state| state.lives[life].take(event));
                }
                shared.change(|state| state.lives[life].over = true);
            }
        });
        work(shared, life, name, &mut child, orders);
        // It has ended, or is to.
        let _ = child.kill();
        let status = child.wait().expect("a child");
        let _ = reader.join();
        shared.change(|state| {
            state.kill = false;
            state.lives[life].over = true;
            state.lives[life].code = status.code();
        });
        let state = shared.lock();
        if !state.stop {
            drop(shared.news.wait_timeout(state, AGAIN));
        }
    }
}

fn spawn(command: &[String]) -> Child {
    Command::new(program())
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Gives orders until the process has ended, or is to.
fn work(shared: &Shared, life: usize, name: &str, child: &mut Child, mut orders: ChildStdin) {
    loop {
        let state = shared.lock();
        let (mut state, _) = shared
            .news
            .wait_timeout(state, PACE)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stop || state.kill || state.lives[life].over {
            return;
        }
        let loaded = state.loaded;
        let order = state.order.take();
        let now = &mut state.lives[life];
        let order = match order {
            Some(order) if now.has_joined() => Some(order),
            // There is nobody yet who could say it.
            Some(order) => {
                state.order = Some(order);
                None
            }
            None if loaded && now.has_joined() && now.sent.len() < now.own + WINDOW => {
                now.loads += 1;
                Some(json!({"send": format!("{name}-{life}/{}", now.loads - 1)}))
            }
            None => None,
        };
        let Some(order) = order else { continue };
        if let Some(body) = order["send"].as_str() {
            state.lives[life].sent.push(body.to_string());
        }
        drop(state);
        if writeln!(orders, "{order}").is_err() && child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // The next one has its own moment, whatever has come meanwhile.
        std::thread::sleep(PACE);
    }
}
