//! `pg lock`: a command that runs at one place at a time.
//!
//! Whoever is the oldest in the list holds the lock: everybody sees the same list, and it says itself who is next. The epoch of the list in which a holder
//! came to its head grows with each one. A holder that is cut off from the group is told `blocked`, at about the time at which the others go on without it, and
//! ends its command, and so does one whose node does not answer; what it may still do until then, the epoch fences.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::attachment::{Attachment, blocked, is_put_out, over};
use super::holding::Holding;
use super::roster::Roster;
use super::{attributes, instance, path};
use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::{AttachRequest, PgInfo};
use crate::api::process_groups::octets::Octets;
use crate::cli::PgLockArgs;
use crate::client::{Api, CallError};
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::signals::Signals;

/// While a command runs, its node is asked this often whether it lives.
const ASKED: Duration = Duration::from_secs(1);
/// A node that does not answer for so long hangs, or is stopped: it would hardly notice if the others went on without it.
const SILENCE: Duration = Duration::from_secs(4);

/// `fatebound pg lock`
pub async fn lock(args: &PgLockArgs) -> Outcome {
    let path = path(&args.name)?;
    let mut signals = Signals::new();
    let request = AttachRequest {
        instance: Some(instance(args.provider.instance.as_ref(), "lock")),
        info: Octets(args.provider.info.clone().unwrap_or_default().into_bytes()),
        attributes: attributes(&args.provider.attributes),
    };
    let api = Api::of(&args.client)?;
    let (mut attachment, epoch) = loop {
        let mut attachment = tokio::select! {
            attachment = Attachment::join(&api, &path, &request) => attachment?,
            exit = signals.next() => return Ok(exit),
        };
        tokio::select! {
            turn = turn(&mut attachment) => if let Some(epoch) = turn? {
                break (attachment, epoch);
            },
            exit = signals.next() => {
                attachment.orders().leave_soon().await;
                return Ok(exit);
            }
        }
    };
    let holding = match Holding::begin(&args.command, &epoch).await {
        Ok(holding) => holding,
        Err(failure) => {
            attachment.orders().leave_soon().await;
            return Err(failure);
        }
    };
    let silent = node_is_silent(&api, &path);
    let held = hold(holding, &mut attachment, silent, &mut signals, args.grace).await;
    // Nothing of the command runs any more: the next one's turn. Whoever is out of the group, or cut off, cannot leave.
    let out = [Exit::GroupFailed, Exit::Blocked, Exit::NodeUnreachable];
    if !held.as_ref().is_err_and(|lost| out.contains(&lost.exit)) {
        attachment.orders().leave_soon().await;
    }
    std::process::exit(code(held?));
}

/// Waits until this process is the oldest; the epoch since when. `None`: its node was put out of the group, and the process has to wait anew.
async fn turn(attachment: &mut Attachment) -> Result<Option<String>, Failure> {
    let mut roster = Roster::default();
    let mut said = String::new();
    let mut last = None;
    loop {
        let Some(event) = attachment.next().await else {
            return match last {
                Some(last) if is_put_out(&last) => Ok(None),
                last => Err(over(last.as_ref())),
            };
        };
        roster.follow(&event);
        match event {
            PgEvent::Providers { epoch, providers, .. } => {
                let place = providers
                    .iter()
                    .position(|provider| provider.provider == attachment.provider);
                match (place, providers.first()) {
                    (Some(0), _) => return Ok(Some(epoch)),
                    (Some(place), Some(holder)) => {
                        let words = format!(
                            "{} holds the lock; this process is number {place} to wait",
                            roster.name(&holder.provider)
                        );
                        if words != said {
                            complain(format_args!("fatebound: {words}"));
                            said = words;
                        }
                    }
                    _ => {}
                }
            }
            PgEvent::Blocked(what) => complain(format_args!(
                "fatebound: {}",
                blocked(what.have, what.need, &what.missing).message
            )),
            PgEvent::Ended { .. } | PgEvent::Removed { .. } | PgEvent::Dissolved { .. } => last = Some(event),
            _ => {}
        }
    }
}

/// Until the command has ended, by itself or because it may not run any more.
async fn hold(
    mut holding: Holding,
    attachment: &mut Attachment,
    silent: impl Future<Output = Failure>,
    signals: &mut Signals,
    grace: Duration,
) -> Result<ExitStatus, Failure> {
    let mut silent = std::pin::pin!(silent);
    loop {
        let lost = tokio::select! {
            biased;
            ended = holding.ended() => {
                holding.finish().await;
                return ended;
            }
            event = attachment.next() => match event {
                Some(PgEvent::Blocked(what)) => blocked(what.have, what.need, &what.missing),
                Some(event @ (PgEvent::Ended { .. } | PgEvent::Removed { .. } | PgEvent::Dissolved { .. })) => over(Some(&event)),
                Some(_) => continue,
                None => over(None),
            },
            lost = &mut silent => lost,
            exit = signals.next() => Failure::new(exit, ""),
        };
        holding.end(grace).await;
        return Err(lost);
    }
}

/// Asks this node for the group again and again, until it does not answer: while it is stopped or hangs, it says nothing of a group that may have gone
/// on without it.
async fn node_is_silent(api: &Api, path: &str) -> Failure {
    loop {
        tokio::time::sleep(ASKED).await;
        match tokio::time::timeout(SILENCE, api.get::<PgInfo>(path)).await {
            Ok(Err(lost @ CallError::Unreachable(_))) => return lost.into(),
            // Whatever it says, it lives; what concerns this process comes as an event.
            Ok(_) => {}
            Err(_) => {
                return Failure::new(
                    Exit::NodeUnreachable,
                    "the node does not answer: the others may have gone on without it",
                );
            }
        }
    }
}

/// The command's own, or 128 and the number of the signal that killed it.
fn code(status: ExitStatus) -> i32 {
    let killed = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(killed).unwrap_or(Exit::Error as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_s_exit_code_is_the_lock_s() {
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
    }
}
