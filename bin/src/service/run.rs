//! `service run`: a command that runs only where the primary is.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::hook::Hook;
use super::model::{ProvideRequest, RoleChange};
use super::path;
use crate::api::model::NodeInfo;
use crate::cli::ServiceRunArgs;
use crate::client::pg::holding::Holding;
use crate::client::sse::Events;
use crate::client::{Api, CallError};
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::signals::Signals;

/// While a command runs, its node is asked this often whether it lives.
const ASKED: Duration = Duration::from_secs(1);
/// A node that does not answer for so long hangs, or is stopped: it would hardly notice if the others went on without it.
const SILENCE: Duration = Duration::from_secs(4);

/// `fatebound service run`
pub async fn run(args: &ServiceRunArgs) -> Outcome {
    let path = path(&args.name)?;
    let mut signals = Signals::new();
    let made = || format!("service-{}-{:04x}", std::process::id(), rand::random::<u16>());
    let request = ProvideRequest {
        instance: args.instance.clone().unwrap_or_else(made),
        address: args.address.clone(),
        secondaries: Some(args.secondaries),
        preference: args.preference,
    };
    let api = Api::of(&args.client)?;
    let providers = format!("{path}/providers");
    let events = tokio::select! {
        events = api.attach(&providers, &request) => events?,
        exit = signals.next() => return Ok(exit),
    };
    let mut provider = Provider {
        args,
        released: format!("{providers}/released"),
        hook: Hook::new(args.role_hook.as_ref(), &args.name),
        api,
        holding: None,
    };
    let ended = provider.follow(events, &mut signals).await;
    // Nothing of the command may outlive this, however it ended.
    provider.end().await;
    provider.hook.finish().await;
    match ended? {
        Ended::Command(status) => std::process::exit(code(status)),
        Ended::Asked(exit) => Ok(exit),
    }
}

enum Ended {
    Command(ExitStatus),
    Asked(Exit),
}

struct Provider<'a> {
    args: &'a ServiceRunArgs,
    api: Api,
    released: String,
    hook: Hook,
    holding: Option<Holding>,
}

impl Provider<'_> {
    async fn follow(&mut self, mut events: Events, signals: &mut Signals) -> Result<Ended, Failure> {
        let silent = node_is_silent(self.api.clone());
        let mut silent = std::pin::pin!(silent);
        loop {
            let event = tokio::select! {
                status = ended(self.holding.as_mut()) => {
                    let status = status?;
                    complain(format_args!("fatebound: the command has ended ({status}): this provider goes"));
                    return Ok(Ended::Command(status));
                }
                event = events.next_of() => event,
                lost = &mut silent => return Err(lost),
                exit = signals.next() => return Ok(Ended::Asked(exit)),
            };
            match event {
                Some(event) => self.change(event).await?,
                None => {
                    let words = "the node has gone away, or says nothing any more";
                    return Err(Failure::new(Exit::NodeUnreachable, words));
                }
            }
        }
    }

    async fn change(&mut self, change: RoleChange) -> Result<(), Failure> {
        match change {
            RoleChange::Joined { service } => complain(format_args!("fatebound: provides {service}")),
            RoleChange::Primary { epoch } => {
                complain(format_args!("fatebound: primary, epoch {epoch}"));
                self.end().await;
                self.hook.tell("primary", Some(&epoch));
                self.holding = Some(Holding::begin(&self.args.command, &epoch).await?);
            }
            RoleChange::PrimaryOver { epoch } => {
                complain(format_args!("fatebound: not the primary any more (epoch {epoch})"));
                self.end().await;
                self.api.tell(&self.released, &serde_json::json!({})).await?;
            }
            RoleChange::Secondary => self.role("secondary"),
            RoleChange::Spare => self.role("spare"),
            RoleChange::Ended { why, message } => {
                let exit = match why.as_str() {
                    "stopped" => Exit::NodeUnreachable,
                    _ => Exit::GroupFailed,
                };
                return Err(Failure::new(exit, format!("out of the service: {message}")));
            }
        }
        Ok(())
    }

    fn role(&self, role: &str) {
        complain(format_args!("fatebound: {role}"));
        self.hook.tell(role, None);
    }

    /// Ends the command with everything that it has begun.
    async fn end(&mut self) {
        if let Some(holding) = self.holding.take() {
            holding.end(self.args.grace).await;
        }
    }
}

async fn ended(holding: Option<&mut Holding>) -> Result<ExitStatus, Failure> {
    match holding {
        Some(holding) => holding.ended().await,
        None => std::future::pending().await,
    }
}

/// Asks the node again and again, until it does not answer: while it is stopped or hangs, it says nothing of a service that may have gone on without it.
async fn node_is_silent(api: Api) -> Failure {
    loop {
        tokio::time::sleep(ASKED).await;
        match tokio::time::timeout(SILENCE, api.get::<NodeInfo>("/v1/node")).await {
            Ok(Err(lost @ CallError::Unreachable(_))) => return lost.into(),
            Ok(_) => {}
            Err(_) => {
                let words = "the node does not answer: the others may have gone on without it";
                return Failure::new(Exit::NodeUnreachable, words);
            }
        }
    }
}

/// The command's own, or 128 and the number of the signal that killed it.
fn code(status: ExitStatus) -> i32 {
    let killed = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(killed).unwrap_or(Exit::Error as i32)
}
