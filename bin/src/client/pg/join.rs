//! `pg join`: a terminal, or a program, as a provider: events come out, orders go in.

use std::io::{BufRead, Read};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::attachment::{Attachment, over};
use super::lines::{WIDTHS, cells};
use super::orders::{Order, Orders};
use super::roster::Roster;
use super::{attributes, instance, path};
use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::{AttachRequest, DeactivationRequest, Verdict, VoteRequest};
use crate::api::process_groups::octets::Octets;
use crate::cli::PgJoinArgs;
use crate::client::{Api, CallError};
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::Output;
use crate::signals::Signals;

/// Bytes of a line on standard input at most: the longest message, escaped.
const MAX_LINE: u64 = 512 * 1024;
/// Proposals of this process whose outcome is awaited at most; further orders wait.
const MAX_PENDING: usize = 8;
/// A program that was expelled has so long to say how it ended what it does: longer than the group waits for it, unless a phase is very long.
const LAST_WORD: Duration = Duration::from_secs(60);
/// Whoever was put out and comes in again waits so long before.
const PAUSE: Duration = Duration::from_secs(1);

/// `fatebound pg join`
pub async fn join(args: &PgJoinArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let path = path(&args.name)?;
    let mut signals = Signals::new();
    let request = AttachRequest {
        instance: Some(instance(args.provider.instance.as_ref(), "join")),
        info: Octets(args.provider.info.clone().unwrap_or_default().into_bytes()),
        attributes: attributes(&args.provider.attributes),
    };
    let api = Api::of(&args.client)?;
    let (answers, mut told) = mpsc::channel(MAX_PENDING);
    // Nobody obeys before there is somebody to obey for.
    let mut obeying = Some((lines, answers));
    let (lives, life) = watch::channel(None);
    loop {
        let attachment = tokio::select! {
            attachment = Attachment::join(&api, &path, &request) => attachment?,
            exit = signals.next() => return Ok(exit),
        };
        let orders = attachment.orders();
        lives.send_replace(Some(orders.clone()));
        if let Some((lines, answers)) = obeying.take() {
            tokio::spawn(obey(lines(), life.clone(), output.is_json(), answers));
        }
        let mut terminal = Terminal {
            output,
            approve: args.approve,
            roster: Roster::default(),
            provider: attachment.provider.clone(),
            orders,
            deactivate: args.deactivate.clone(),
            ending: None,
            owes: false,
        };
        match terminal.run(attachment, &mut told, &mut signals).await? {
            Stay::Over(exit) => return Ok(exit),
            Stay::PutOut(last) if !args.rejoin => return ended(last.as_deref()),
            Stay::PutOut(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            exit = signals.next() => return Ok(exit),
        }
    }
}

/// How a life in the group has ended.
enum Stay {
    /// As it was wanted.
    Over(Exit),
    /// With this event, or with none: by no wish of its own or of the group.
    PutOut(Option<Box<PgEvent>>),
}

/// What is shown, and what is done by itself.
struct Terminal {
    output: Output,
    approve: bool,
    roster: Roster,
    provider: String,
    orders: Orders,
    /// The command that ends what this process stands for.
    deactivate: Option<String>,
    /// It runs, for this protocol.
    ending: Option<(u64, JoinHandle<Option<i32>>)>,
    /// The program at the other end of standard input has to say how it went.
    owes: bool,
}

impl Terminal {
    async fn run(
        &mut self,
        mut attachment: Attachment,
        answers: &mut mpsc::Receiver<Value>,
        signals: &mut Signals,
    ) -> Result<Stay, Failure> {
        self.show(&attachment.joined)?;
        let mut answering = true;
        let mut last = None;
        loop {
            tokio::select! {
                event = attachment.next() => match event {
                    Some(event) => {
                        self.take(&event).await?;
                        if is_end(&event) {
                            last = Some(event);
                        }
                    }
                    None if self.owes && answering => {
                        tokio::select! {
                            heard = self.hear_last_word(answers) => heard?,
                            exit = signals.next() => return Ok(Stay::Over(exit)),
                        }
                        return ended(last.as_ref()).map(Stay::Over);
                    }
                    None if is_put_out(last.as_ref()) => return Ok(Stay::PutOut(last.map(Box::new))),
                    None => {
                        tokio::select! {
                            told = self.tell_exit() => told?,
                            exit = signals.next() => return Ok(Stay::Over(exit)),
                        }
                        return ended(last.as_ref()).map(Stay::Over);
                    }
                },
                answer = answers.recv(), if answering => match answer {
                    Some(answer) => self.answer(&answer)?,
                    None => answering = false,
                },
                exit = signals.next() => {
                    tokio::select! {
                        () = self.orders.leave_soon() => {}
                        _ = signals.next() => {}
                    }
                    return Ok(Stay::Over(exit));
                }
            }
        }
    }

    async fn take(&mut self, event: &PgEvent) -> Result<(), Failure> {
        self.roster.follow(event);
        self.show(event)?;
        match event {
            PgEvent::Opened {
                protocol,
                phase,
                voters,
                ..
            } if self.approve && voters.contains(&self.provider) => self.vote(*protocol, *phase).await,
            PgEvent::Deactivate { protocol, argument } => match &self.deactivate {
                Some(command) => self.ending = Some((*protocol, tokio::spawn(run(command.clone(), argument.text())))),
                // A program says itself how it went; a terminal has no way to end anybody.
                None if self.output.is_json() => self.owes = true,
                None => self.said(self.deactivated(*protocol, None).await),
            },
            _ => {}
        }
        Ok(())
    }

    async fn deactivated(&self, protocol: u64, status: Option<i32>) -> Result<(), CallError> {
        let how = DeactivationRequest { protocol, status };
        self.orders.give(&Order::Deactivated(how)).await.map(drop)
    }

    /// Waits for the command that ends what this process stands for, and tells the group how it went.
    async fn tell_exit(&mut self) -> Result<(), Failure> {
        let Some((protocol, ending)) = self.ending.take() else {
            return Ok(());
        };
        let status = ending.await.ok().flatten();
        let told = self.deactivated(protocol, status).await;
        if self.output.is_json() && told.is_ok() {
            let order = json!({"event": "answer", "order": "deactivated", "status": status});
            self.output.object(&order)?;
        }
        self.said(told);
        Ok(())
    }

    /// The program that was expelled may still say how it went.
    async fn hear_last_word(&self, answers: &mut mpsc::Receiver<Value>) -> Result<(), Failure> {
        let word = async {
            while let Some(answer) = answers.recv().await {
                self.answer(&answer)?;
                if answer["order"] == "deactivated" {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(LAST_WORD, word).await.unwrap_or(Ok(()))
    }

    async fn vote(&self, protocol: u64, phase: u32) {
        let vote = VoteRequest {
            protocol,
            phase,
            verdict: Verdict::Approve,
            message: Octets::default(),
            state: None,
            default: None,
        };
        self.said(self.orders.vote(&vote).await);
    }

    /// What goes wrong with an order that nobody gave is no reason to end: the group's default is counted.
    fn said(&self, result: Result<(), CallError>) {
        if let Err(error) = result {
            complain(format_args!("fatebound: {error}"));
        }
    }

    fn show(&self, event: &PgEvent) -> Result<(), Failure> {
        match self.output.is_json() {
            true => self.output.object(event),
            false => self.output.row(&cells(event, &self.roster), &WIDTHS),
        }
    }

    fn answer(&self, answer: &Value) -> Result<(), Failure> {
        if self.output.is_json() {
            return self.output.object(answer);
        }
        // What is sent comes back as a message: only what is not is news.
        if let Some(error) = answer["error"].as_str() {
            complain(format_args!("fatebound: {error}"));
        }
        Ok(())
    }
}

/// Runs the command that ends what a process stands for; its exit status, if it was run and has one.
async fn run(command: String, argument: String) -> Option<i32> {
    let status = Command::new("sh")
        .args(["-c", &command])
        .env("FATEBOUND_ARGUMENT", argument)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .status()
        .await;
    match status {
        Ok(status) => status.code(),
        Err(error) => {
            complain(format_args!("fatebound: {command}: {error}"));
            None
        }
    }
}

/// Whether it says how the attachment has ended.
fn is_end(event: &PgEvent) -> bool {
    matches!(
        event,
        PgEvent::Ended { .. } | PgEvent::Removed { .. } | PgEvent::Dissolved { .. }
    )
}

/// Whether the group goes on without this node, or was given up: nobody has meant this process.
fn is_put_out(last: Option<&PgEvent>) -> bool {
    match last {
        Some(PgEvent::Removed { .. } | PgEvent::Dissolved { .. }) => true,
        Some(PgEvent::Ended { why, .. }) => why == "put_out",
        _ => false,
    }
}

fn ended(last: Option<&PgEvent>) -> Outcome {
    match last {
        Some(PgEvent::Ended { why, .. }) if why == "left" => Ok(Exit::Done),
        last => Err(over(last)),
    }
}

/// Lines of standard input, as they come; nothing more after its end, which is no order to leave. They are read where nobody else has to wait for them.
fn lines() -> mpsc::Receiver<Result<String, String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let whole = line.ends_with(b"\n") || (line.len() as u64) < MAX_LINE;
            let text = match String::from_utf8(line) {
                _ if !whole => Err(format!("a line has at most {MAX_LINE} bytes")),
                Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
                Err(_) => Err("a line is no text".to_owned()),
            };
            if sender.blocking_send(text).is_err() || !whole {
                return;
            }
        }
    });
    receiver
}

/// Gives the orders on these lines one after the other, but for those that others have a say in. Each is one of the life that there is then.
async fn obey(
    mut lines: mpsc::Receiver<Result<String, String>>,
    orders: watch::Receiver<Option<Orders>>,
    json: bool,
    answers: mpsc::Sender<Value>,
) {
    let mut pending = JoinSet::new();
    while let Some(line) = lines.recv().await {
        let order = line.and_then(|line| read(&line, json));
        let order = match order {
            Ok(Some(order)) => order,
            Ok(None) => continue,
            Err(words) => {
                let refused = json!({"event": "refused", "error": words});
                if answers.send(refused).await.is_err() {
                    return;
                }
                continue;
            }
        };
        while pending.try_join_next().is_some() {}
        if pending.len() >= MAX_PENDING {
            pending.join_next().await;
        }
        let Some(orders) = orders.borrow().clone() else { return };
        let giving = give(orders, order, answers.clone());
        match giving {
            (true, giving) => drop(pending.spawn(giving)),
            (false, giving) => giving.await,
        }
    }
    while pending.join_next().await.is_some() {}
}

/// Whether it is long, and the giving of it.
fn give(orders: Orders, order: Order, answers: mpsc::Sender<Value>) -> (bool, impl Future<Output = ()>) {
    (order.is_long(), async move {
        let mut answer = match orders.give(&order).await {
            Ok(result) => {
                let mut answer = json!({"event": "answer", "order": order.name()});
                if let (Some(answer), Value::Object(result)) = (answer.as_object_mut(), result) {
                    answer.extend(result);
                }
                answer
            }
            Err(error) => json!({"event": "refused", "order": order.name(), "error": error.to_string()}),
        };
        if let (Order::Propose(proposal), Some(answer)) = (&order, answer.as_object_mut()) {
            answer.insert("propose".to_owned(), json!(proposal));
        }
        let _ = answers.send(answer).await;
    })
}

/// The order on a line; `None` on an empty one.
fn read(line: &str, json: bool) -> Result<Option<Order>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    if !json {
        return Ok(Some(Order::Send(Octets::from(line.as_bytes()))));
    }
    serde_json::from_str(line).map(Some).map_err(|error| {
        format!("no order: {error} (as in {{\"send\": \"text\"}}; `fatebound pg join --help` has them all)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_or_an_order() {
        assert!(matches!(read("{\"leave\": {}}", false), Ok(Some(Order::Send(_)))));
        assert!(matches!(read("{\"leave\": {}}", true), Ok(Some(Order::Leave {}))));
        assert!(matches!(read("", true), Ok(None)));
        assert!(read("leave", true).unwrap_err().contains("--help"));
    }

    #[test]
    fn who_has_left_is_done_and_who_was_put_out_is_not() {
        let event = |why: &str| PgEvent::Ended {
            why: why.into(),
            message: "x".into(),
        };
        assert_eq!(ended(Some(&event("left"))), Ok(Exit::Done));
        for why in ["expelled", "failed", "put_out"] {
            assert_eq!(ended(Some(&event(why))).unwrap_err().exit, Exit::GroupFailed);
        }
        assert_eq!(ended(None).unwrap_err().exit, Exit::NodeUnreachable);
        let again = |why: &str| is_put_out(Some(&event(why)));
        assert!(again("put_out") && !again("expelled") && !again("left") && !is_put_out(None));
    }
}
