//! `pg join`: a terminal, or a program, as a provider: events come out, orders go in.

use std::io::{BufRead, Read};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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
    let attachment = tokio::select! {
        attachment = Attachment::join(&api, &path, &request) => attachment?,
        exit = signals.next() => return Ok(exit),
    };
    let (answers, told) = mpsc::channel(MAX_PENDING);
    let orders = attachment.orders();
    tokio::spawn(obey(lines(), orders.clone(), output.is_json(), answers));
    let mut terminal = Terminal {
        output,
        approve: args.approve,
        roster: Roster::default(),
        provider: attachment.provider.clone(),
        orders,
    };
    terminal.run(attachment, told, &mut signals).await
}

/// What is shown, and what is done by itself.
struct Terminal {
    output: Output,
    approve: bool,
    roster: Roster,
    provider: String,
    orders: Orders,
}

impl Terminal {
    async fn run(
        &mut self,
        mut attachment: Attachment,
        mut answers: mpsc::Receiver<Value>,
        signals: &mut Signals,
    ) -> Outcome {
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
                    None => return ended(last.as_ref()),
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
                    return Ok(exit);
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
            // A terminal has no way to end anybody; a program says itself how it went.
            PgEvent::Deactivate { protocol, .. } if !self.output.is_json() => {
                let how = DeactivationRequest {
                    protocol: *protocol,
                    status: None,
                };
                self.said(self.orders.give(&Order::Deactivated(how)).await.map(drop));
            }
            _ => {}
        }
        Ok(())
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

/// Whether it says how the attachment has ended.
fn is_end(event: &PgEvent) -> bool {
    matches!(
        event,
        PgEvent::Ended { .. } | PgEvent::Removed { .. } | PgEvent::Dissolved { .. }
    )
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

/// Gives the orders on these lines one after the other, but for those that others have a say in.
async fn obey(
    mut lines: mpsc::Receiver<Result<String, String>>,
    orders: Orders,
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
        let giving = give(orders.clone(), order, answers.clone());
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
    }
}
