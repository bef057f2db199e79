//! One run of the command in one group: each has its own end, and that of the other with it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use rustix::process::{Signal, kill_current_process_group};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::command::{Running, Wanted};
use super::control::{End, Order, Report};
use super::descendants::reap;
use super::hold::{Hold, Over};
use super::report::{Ended, say};
use super::streams;
use super::taken::Taken;
use super::terminal::{Terminal, has_job_control, in_pipeline};
use crate::cli::Containment;
use crate::exit::{Failure, complain};

/// What all attempts have in common.
#[derive(Debug)]
pub struct Job<'a> {
    /// The command and its arguments.
    pub command: &'a [OsString],
    /// Its standard input.
    pub stdin: OwnedFd,
    /// Whether it may be begun again, and then needs its standard streams again.
    pub restarts: bool,
    /// How long it may take to end after SIGTERM.
    pub grace: Duration,
    /// What is to keep it together.
    pub containment: Containment,
    /// Whether what happens is said as JSON.
    pub json: bool,
    /// Children that this process had before.
    pub spared: BTreeSet<i32>,
    /// The terminal.
    pub terminal: Option<Terminal>,
}

/// What is left of an attempt.
#[derive(Debug)]
pub struct Result {
    /// How it has ended.
    pub ended: Ended,
    /// What kept the command together.
    pub containment: Option<&'static str>,
    /// Processes that the system did not let go of.
    pub left: Vec<i32>,
    /// Whether somebody asked this program to stop: then nothing is started again.
    pub asked: bool,
}

impl Result {
    /// Without a command.
    pub fn nothing(ended: Ended) -> Result {
        Result {
            ended,
            containment: None,
            left: Vec::new(),
            asked: false,
        }
    }
}

/// Runs the command until it, and all that has come of it, is gone.
pub async fn run(
    job: &mut Job<'_>,
    environment: &[(&'static str, OsString)],
    remove: Option<PathBuf>,
    hold: Option<&mut Hold>,
    taken: &mut Taken,
) -> Result {
    let keyboard = !in_pipeline();
    let foreground = keyboard && job.terminal.as_ref().is_some_and(Terminal::is_ours);
    let wanted = Wanted {
        command: job.command,
        environment,
        stdin: &job.stdin,
        foreground,
        containment: job.containment,
        remove,
    };
    let running = match Running::begin(wanted, &job.spared).await {
        Ok(running) => running,
        Err(failure) => return Result::nothing(Ended::Not(failure)),
    };
    if !job.restarts
        && let Ok(nothing) = streams::nothing()
    {
        job.stdin = nothing;
        streams::let_go();
    }
    let job = &*job;
    let mut attempt = Attempt {
        job,
        containment: running.containment(),
        running,
        keyboard,
        had_keyboard: foreground,
        ended: None,
        asked: false,
        told: false,
        kill_at: None,
    };
    let (ended, left) = attempt.stay(hold, taken).await;
    let (containment, asked) = (attempt.containment, attempt.asked);
    let had_keyboard = attempt.had_keyboard;
    let leader = attempt.running.leader();
    let left = match left {
        Some(left) => left,
        None => attempt.running.end_orphans().await,
    };
    // A job that was put into the background does not take it from the shell.
    if had_keyboard
        && let Some(terminal) = &job.terminal
        && (terminal.is_nobodys() || leader.is_some_and(|leader| terminal.belongs_to(leader)))
    {
        terminal.give(rustix::process::getpgrp());
    }
    Result {
        ended,
        containment: Some(containment),
        left,
        asked,
    }
}

struct Attempt<'a> {
    job: &'a Job<'a>,
    running: Running,
    containment: &'static str,
    /// Whether the command may have the keyboard whenever this program's job has it.
    keyboard: bool,
    /// Whether it has it, or had it when it was stopped.
    had_keyboard: bool,
    /// How it has ended, once it has.
    ended: Option<Ended>,
    /// Whether somebody asked this program to stop.
    asked: bool,
    /// Whether everything was asked to end: nobody is asked twice.
    told: bool,
    /// When what is left is killed.
    kill_at: Option<Instant>,
}

impl Attempt<'_> {
    /// Returns how it has ended, and what is left; `None`: the guardian has gone, and it is this process's turn.
    async fn stay(&mut self, mut hold: Option<&mut Hold>, taken: &mut Taken) -> (Ended, Option<Vec<i32>>) {
        loop {
            let kill_at = self.kill_at;
            tokio::select! {
                report = self.running.next() => match report {
                    None => {
                        let ended = self.ended.take().unwrap_or(Ended::Guardian);
                        if ended == Ended::Guardian && let Some(hold) = &hold {
                            hold.signal("the guardian of the command was killed").await;
                        }
                        return (ended, None);
                    }
                    Some(Report::Started { pid }) => say(
                        self.job.json,
                        &json!({ "event": "started", "pid": pid, "containment": self.containment }),
                        None,
                    ),
                    Some(Report::NotStarted(message)) => {
                        let message = format!("the command cannot be contained: {message}");
                        return (Ended::Not(Failure::error(message)), Some(Vec::new()));
                    }
                    Some(Report::Stopped(signal)) => self.stopped(signal).await,
                    Some(Report::Ended(end)) => {
                        let by_itself = self.ended.is_none();
                        self.ended.get_or_insert(Ended::Command(end));
                        self.end().await;
                        if let Some(hold) = &hold && by_itself && end != End::Code(0) {
                            hold.signal(&in_words(end)).await;
                        }
                    }
                    Some(Report::Clear) => return (self.how(), Some(Vec::new())),
                    Some(Report::Left(left)) => return (self.how(), Some(left)),
                },
                // After the command's own end the group's is of no interest here: whoever leaves it will see.
                over = over(&mut hold), if self.ended.is_none() => {
                    self.ended = Some(over.ended(true));
                    self.end().await;
                }
                signal = taken.next() => self.take(signal).await,
                () = at(kill_at) => {
                    self.kill_at = None;
                    self.running.order(&Order::Kill).await;
                }
            }
        }
    }

    fn how(&mut self) -> Ended {
        // What the guardian cannot get rid of was killed at least.
        let killed = Ended::Command(End::Signal(Signal::KILL.as_raw()));
        self.ended.take().unwrap_or(killed)
    }

    /// Asks everything to end, and has it killed if that takes too long.
    async fn end(&mut self) {
        if !self.told {
            self.told = true;
            self.running.order(&Order::Terminate).await;
        }
        self.limit();
    }

    fn limit(&mut self) {
        // Longer than the clock can count is for ever.
        let at = Instant::now().checked_add(self.job.grace);
        self.kill_at = self.kill_at.or(at);
    }

    async fn take(&mut self, signal: Signal) {
        match signal {
            Signal::CHILD => {
                reap();
            }
            Signal::CONT => self.go_on().await,
            Signal::TERM | Signal::HUP if self.asked => self.running.order(&Order::Kill).await,
            Signal::TERM => {
                self.asked = true;
                self.end().await;
            }
            Signal::HUP => {
                self.asked = true;
                self.running.order(&Order::Signal(signal.as_raw())).await;
                self.limit();
            }
            other => self.running.order(&Order::Signal(other.as_raw())).await,
        }
    }

    /// The command was stopped: from the keyboard, or because it wants the keyboard. Then the whole job stops, so that its shell hears of it.
    async fn stopped(&mut self, signal: i32) {
        if signal == Signal::STOP.as_raw() {
            // Somebody's wish about the command alone; it is no failure either.
            return;
        }
        if has_job_control() {
            let _ = kill_current_process_group(Signal::STOP);
            return;
        }
        // Without somebody who would continue it, a process that asks for the keyboard in the background waits for it, and Ctrl-Z does nothing.
        match signal == Signal::TSTP.as_raw() {
            true => self.go_on().await,
            false => complain("fatebound: the command waits for a terminal that it cannot have"),
        }
    }

    async fn go_on(&mut self) {
        let foreground = self.keyboard && self.job.terminal.as_ref().is_some_and(Terminal::is_ours);
        self.had_keyboard |= foreground;
        self.running.order(&Order::Continue { foreground }).await;
    }
}

/// Why the group is told to have failed.
fn in_words(end: End) -> String {
    match end {
        End::Code(code) => format!("the command ended with exit code {code}"),
        End::Signal(signal) => format!("the command was killed by signal {signal}"),
    }
}

async fn over(hold: &mut Option<&mut Hold>) -> Over {
    match hold {
        Some(hold) => hold.over().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => pin!(sleep_until(time)).await,
        None => std::future::pending().await,
    }
}
