//! Being a provider of a group, for as long as this process holds the stream that the node answers with.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::orders::Orders;
use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::{AttachRequest, PgInfo};
use crate::client::sse::Events;
use crate::client::{Api, CallError};
use crate::exit::{Exit, Failure, complain};

/// Whoever waits to come in looks this often what for.
const LOOK: Duration = Duration::from_secs(1);

/// A provider's events.
pub struct Attachment {
    api: Api,
    path: String,
    /// Its name.
    pub provider: String,
    /// Its first event.
    pub joined: PgEvent,
    events: Events,
}

impl Attachment {
    /// Comes into the group at this path. While that takes its time, says what it waits for on standard error.
    pub async fn join(api: &Api, path: &str, request: &AttachRequest) -> Result<Attachment, CallError> {
        let providers = format!("{path}/providers");
        let mut attaching = std::pin::pin!(api.attach(&providers, request).fuse());
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = String::new();
        let mut events = loop {
            tokio::select! {
                events = &mut attaching => break events?,
                _ = looks.tick() => look(api, path, &mut said).await?,
            }
        };
        match events.next_of().await {
            Some(joined @ PgEvent::Joined { .. }) => {
                let provider = match &joined {
                    PgEvent::Joined { provider, .. } => provider.clone(),
                    _ => String::new(),
                };
                Ok(Attachment {
                    api: api.clone(),
                    path: path.to_owned(),
                    provider,
                    joined,
                    events,
                })
            }
            Some(other) => Err(CallError::Foreign(format!(
                "an attachment that begins with {}",
                other.name()
            ))),
            None => Err(CallError::Unreachable("the node has gone away".to_owned())),
        }
    }

    /// The next event; `None` when the node has gone away, or has nothing more to say.
    pub async fn next(&mut self) -> Option<PgEvent> {
        self.events.next_of().await
    }

    /// Its orders.
    pub fn orders(&self) -> Orders {
        let path = format!("{}/providers/{}", self.path, self.provider);
        Orders::new(self.api.clone(), path)
    }

    /// The group's document, as this node sees it now.
    pub async fn group(&self) -> Result<PgInfo, CallError> {
        self.api.get(&self.path).await
    }
}

/// Says what this process waits for, if that is news. A node that does not answer is no longer waited for.
async fn look(api: &Api, path: &str, said: &mut String) -> Result<(), CallError> {
    let words = match api.get::<PgInfo>(path).await {
        Ok(group) => waits_for(&group),
        Err(CallError::Unreachable(words)) => return Err(CallError::Unreachable(words)),
        // It is not on its way yet, or not any more: the answer says so.
        Err(_) => return Ok(()),
    };
    if words != *said {
        complain(format_args!("fatebound: not in the group yet: {words}"));
        *said = words;
    }
    Ok(())
}

fn waits_for(group: &PgInfo) -> String {
    match (&group.doing, &group.blocked) {
        (_, Some(blocked)) => format!(
            "the group is blocked: {} of {} that are needed are there",
            blocked.have, blocked.need
        ),
        (Some(doing), _) if doing.contains("looked up again") => format!(
            "{doing} (whether there is a group of this name is known once the nodes have stood in their places for twice their maintenance interval)"
        ),
        (Some(doing), _) => doing.clone(),
        (None, None) => "the group has to take this process in".to_owned(),
    }
}

/// Whether this is the word that the group goes on without this node, or gave way to another one of its name. A process that only waits for its
/// turn is as well off in the group as it is now, and comes in again.
pub fn is_put_out(event: &PgEvent) -> bool {
    matches!(event, PgEvent::Removed { .. } | PgEvent::Dissolved { .. })
}

/// How a command ends whose attachment has ended with this event, or without any.
pub fn over(last: Option<&PgEvent>) -> Failure {
    match last {
        Some(PgEvent::Ended { message, .. }) => Failure::new(Exit::GroupFailed, format!("out of the group: {message}")),
        Some(PgEvent::Removed { leader, .. }) => Failure::new(
            Exit::GroupFailed,
            format!("the group goes on without this node; {leader} leads it"),
        ),
        Some(PgEvent::Dissolved { founder }) => Failure::new(
            Exit::GroupFailed,
            format!("the group was given up for an older one of its name, founded by {founder}"),
        ),
        _ => Failure::new(
            Exit::NodeUnreachable,
            "the node has gone away, or says nothing any more",
        ),
    }
}

/// How a command ends that cannot wait until there is a quorum again.
pub fn blocked(have: u32, need: u32, missing: &[String]) -> Failure {
    let words = format!(
        "the group is blocked: {have} of {need} that are needed answer; missing: {}",
        missing.join(", ")
    );
    Failure::new(Exit::Blocked, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(json: serde_json::Value) -> PgInfo {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn it_is_said_what_is_waited_for() {
        let doing = "waiting until the name can be looked up again";
        let words = waits_for(&group(
            serde_json::json!({"name": "db", "status": "joining", "doing": doing}),
        ));
        assert!(
            words.starts_with(doing) && words.contains("maintenance interval"),
            "{words}"
        );
        let blocked = serde_json::json!({
            "name": "db", "status": "blocked", "blocked": {"have": 1, "need": 2, "missing": ["x"]},
        });
        assert!(waits_for(&group(blocked)).contains("1 of 2"));
    }

    #[test]
    fn how_it_ended_is_the_exit_code() {
        let ended = PgEvent::Ended {
            why: "put_out".into(),
            message: "the group goes on without this node".into(),
        };
        assert_eq!(over(Some(&ended)).exit, Exit::GroupFailed);
        assert_eq!(over(None).exit, Exit::NodeUnreachable);
        assert_eq!(blocked(1, 2, &["x".into()]).exit, Exit::Blocked);
    }
}
