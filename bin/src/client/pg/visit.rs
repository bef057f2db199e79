//! Being in a group for a moment, to say or to ask one thing.

use super::attachment::{Attachment, blocked, over};
use super::{attributes, instance, path};
use crate::api::problem::Kind;
use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::{AttachRequest, AttributesInfo, PgInfo};
use crate::cli::AttributeArgs;
use crate::client::{Api, CallError};
use crate::exit::Failure;

/// Comes into a group as one of its providers, with the group's own attributes where this node knows them and the user says nothing else.
///
/// # Errors
/// Nobody else is in it: whatever is said there is heard by nobody, and forgotten.
pub async fn visit(
    api: &Api,
    name: &str,
    command: &str,
    args: &AttributeArgs,
) -> Result<(Attachment, PgInfo), Failure> {
    let path = path(name)?;
    let said = attributes(args);
    let known = match said {
        None => group_attributes(api, &path).await?,
        Some(_) => None,
    };
    let attachment = match attach(api, &path, command, said.clone().or(known)).await {
        // The node has come into the group meanwhile, and so knows what it is like.
        Err(CallError::Problem(problem)) if said.is_none() && differs(&problem) => {
            match group_attributes(api, &path).await? {
                None => Err(CallError::Problem(problem)),
                Some(known) => attach(api, &path, command, Some(known)).await,
            }
        }
        attachment => attachment,
    }?;
    let group = attachment.group().await?;
    if group
        .providers
        .iter()
        .all(|provider| provider.provider == attachment.provider)
    {
        attachment.orders().leave_soon().await;
        return Err(Failure::error(format!("nobody is in {name}")));
    }
    Ok((attachment, group))
}

async fn attach(
    api: &Api,
    path: &str,
    command: &str,
    attributes: Option<AttributesInfo>,
) -> Result<Attachment, CallError> {
    let request = AttachRequest {
        instance: Some(instance(None, command)),
        attributes,
        ..AttachRequest::default()
    };
    Attachment::join(api, path, &request).await
}

async fn group_attributes(api: &Api, path: &str) -> Result<Option<AttributesInfo>, CallError> {
    match api.get::<PgInfo>(path).await {
        Ok(group) => Ok(group.attributes),
        Err(CallError::Problem(problem)) if problem.is(Kind::ProcessGroupNotKnown) => Ok(None),
        Err(error) => Err(error),
    }
}

fn differs(problem: &crate::api::problem::Problem) -> bool {
    let refusal = problem.more.refusal.as_ref();
    problem.is(Kind::NotJoined) && refusal.is_some_and(|refusal| refusal["kind"] == "difference")
}

/// Does this work, as long as the group can.
pub async fn meanwhile<T>(
    attachment: &mut Attachment,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done?),
            event = attachment.next() => hold(event)?,
        }
    }
}

/// Goes on unless the group cannot.
pub fn hold(event: Option<PgEvent>) -> Result<(), Failure> {
    match event {
        Some(PgEvent::Blocked(what)) => Err(blocked(what.have, what.need, &what.missing)),
        Some(event @ (PgEvent::Ended { .. } | PgEvent::Removed { .. } | PgEvent::Dissolved { .. })) => {
            Err(over(Some(&event)))
        }
        Some(_) => Ok(()),
        None => Err(over(None)),
    }
}
