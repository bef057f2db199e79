//! `pg send`, `pg state get | set | cas`.

use serde_json::json;

use super::path;
use super::visit::{hold, meanwhile, visit};
use crate::api::problem::Kind;
use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::{PgInfo, ProposalRequest, StateInfo};
use crate::api::process_groups::octets::Octets;
use crate::cli::{AttributeArgs, ClientArgs, PgArgs};
use crate::client::{Api, CallError};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;

/// `fatebound pg send`
pub async fn send(name: &str, text: &str, attributes: &AttributeArgs, args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let (mut attachment, _) = visit(&Api::of(args)?, name, "send", attributes).await?;
    let orders = attachment.orders();
    let body = Octets::from(text.as_bytes());
    meanwhile(&mut attachment, orders.send(body)).await?;
    // It has its place among all messages once it comes back.
    loop {
        match attachment.next().await {
            Some(PgEvent::Message { from, .. }) if from == attachment.provider => break,
            Some(PgEvent::NotSent { message }) => return Err(Failure::error(message)),
            event => hold(event)?,
        }
    }
    orders.leave_soon().await;
    match output.is_json() {
        true => output.object(&json!({"group": name, "sent": true})),
        false => Ok(()),
    }
    .map(|()| Exit::Done)
}

/// `fatebound pg state get`
pub async fn get(args: &PgArgs, attributes: &AttributeArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let api = Api::of(&args.client)?;
    let state = match here(&api, &args.name).await? {
        Some(state) => state,
        None => {
            let (attachment, group) = visit(&api, &args.name, "state", attributes).await?;
            attachment.orders().leave_soon().await;
            let none = || Failure::error(format!("{} has no state yet", args.name));
            group.state.ok_or_else(none)?
        }
    };
    if output.is_json() {
        return output.object(&state).map(|()| Exit::Done);
    }
    // Exactly, for whoever reads it; a terminal gets it as everything else.
    let raw = !std::io::IsTerminal::is_terminal(&std::io::stdout());
    let written = match raw {
        true => output.raw(&[&state.value.0, &b"\n"[..]].concat()),
        false => output.line(&state.value.text()),
    };
    written.map(|()| Exit::Done)
}

/// The state value, if this node is in the group and can speak for it.
async fn here(api: &Api, name: &str) -> Result<Option<StateInfo>, Failure> {
    match api.get::<PgInfo>(&path(name)?).await {
        Ok(group) if group.status == "normal" => Ok(group.state),
        Ok(group) => match group.blocked {
            Some(what) => Err(super::attachment::blocked(what.have, what.need, &what.missing)),
            None => Ok(None),
        },
        Err(CallError::Problem(problem)) if problem.is(Kind::ProcessGroupNotKnown) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `fatebound pg state set`, and `cas` with the version that is expected.
pub async fn set(
    name: &str,
    value: &str,
    expected: Option<u64>,
    attributes: &AttributeArgs,
    args: &ClientArgs,
) -> Outcome {
    let output = Output::new(args.json);
    let (mut attachment, _) = visit(&Api::of(args)?, name, "state", attributes).await?;
    let orders = attachment.orders();
    let proposal = ProposalRequest {
        state: Some(Octets::from(value.as_bytes())),
        expected,
        ..ProposalRequest::default()
    };
    let resolution = meanwhile(&mut attachment, orders.propose(&proposal)).await;
    orders.leave_soon().await;
    let resolution = resolution?;
    let done = resolution.outcome == "approved";
    if output.is_json() {
        output.object(&resolution)?;
    } else if !done {
        return Err(Failure::error(format!(
            "the state was not changed: {}",
            resolution.outcome
        )));
    }
    Ok(if done { Exit::Done } else { Exit::Error })
}
