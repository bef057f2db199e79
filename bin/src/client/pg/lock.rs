//! `pg lock`: a command that runs at one place at a time.
//!
//! Whoever is the oldest in the list holds the lock: everybody sees the same list, and it says itself who is next. The epoch of the list in which a holder
//! came to its head grows with each one. A holder that is cut off from the group is told `blocked`, at about the time at which the others go on without it, and
//! ends its command; what it may still do until then, the epoch fences.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::attachment::{Attachment, blocked, over};
use super::holding::Holding;
use super::roster::Roster;
use super::{attributes, instance, path};
use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::AttachRequest;
use crate::api::process_groups::octets::Octets;
use crate::cli::PgLockArgs;
use crate::client::Api;
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::signals::Signals;

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
    let mut attachment = tokio::select! {
        attachment = Attachment::join(&api, &path, &request) => attachment?,
        exit = signals.next() => return Ok(exit),
    };
    let epoch = tokio::select! {
        epoch = turn(&mut attachment) => epoch?,
        exit = signals.next() => {
            attachment.orders().leave_soon().await;
            return Ok(exit);
        }
    };
    let holding = match Holding::begin(&args.command, &epoch).await {
        Ok(holding) => holding,
        Err(failure) => {
            attachment.orders().leave_soon().await;
            return Err(failure);
        }
    };
    let held = hold(holding, &mut attachment, &mut signals, args.grace).await;
    // Nothing of the command runs any more: the next one's turn. Whoever is out of the group, or cut off, cannot leave.
    let out = [Exit::GroupFailed, Exit::Blocked, Exit::NodeUnreachable];
    if !held.as_ref().is_err_and(|lost| out.contains(&lost.exit)) {
        attachment.orders().leave_soon().await;
    }
    std::process::exit(code(held?));
}

/// Waits until this process is the oldest; the epoch since when.
async fn turn(attachment: &mut Attachment) -> Result<String, Failure> {
    let mut roster = Roster::default();
    let mut said = String::new();
    let mut last = None;
    loop {
        let Some(event) = attachment.next().await else {
            return Err(over(last.as_ref()));
        };
        roster.follow(&event);
        match event {
            PgEvent::Providers { epoch, providers, .. } => {
                let place = providers
                    .iter()
                    .position(|provider| provider.provider == attachment.provider);
                match (place, providers.first()) {
                    (Some(0), _) => return Ok(epoch),
                    (Some(place), Some(holder)) => {
                        let words = format!(
                            "{} holds the lock; this process is number {place} to wait",
                            roster.name(&holder.provider)
                        );
                        if words != said {
                            complain(format_args!("waiting: {words}"));
                            said = words;
                        }
                    }
                    _ => {}
                }
            }
            PgEvent::Blocked(what) => complain(format_args!(
                "waiting: {}",
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
    signals: &mut Signals,
    grace: Duration,
) -> Result<ExitStatus, Failure> {
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
            exit = signals.next() => Failure::new(exit, ""),
        };
        holding.end(grace).await;
        return Err(lost);
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
