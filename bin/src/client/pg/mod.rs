//! `fatebound pg …`: process groups from the command line.
//!
//! Whatever takes part in a group is attached to it (`attachment`) for as long as its command runs: `join`, `barrier` and `lock` for their own sake, `send`
//! and `state` for a moment (`visit`); `leave`, `vote`, `propose` and `expel` speak for one that is attached elsewhere (`speaking`). The node tells the others when an attached process is gone.

mod attachment;
mod barrier;
pub mod guardian;
pub mod holding;
mod join;
mod lines;
mod listing;
mod lock;
mod orders;
mod roster;
mod speaking;
mod state;
mod visit;
mod why;

use crate::api::process_groups::model::{AttributesInfo, Verdict};
use crate::cli::{AttributeArgs, PgCommand, PgStateCommand, VoteDefault};
use crate::client::directory::part_of_path;
use crate::exit::{Exit, Failure, Outcome};

/// Bytes of a name at most.
const MAX_NAME: usize = 128;

/// Runs one of them.
pub async fn run(command: PgCommand) -> Outcome {
    match command {
        PgCommand::List(args) => listing::list(&args).await,
        PgCommand::Show(args) => listing::show(&args).await,
        PgCommand::Why(args) => why::why(&args).await,
        PgCommand::Join(args) => join::join(&args).await,
        PgCommand::Send {
            name,
            text,
            attributes,
            client,
        } => state::send(&name, &text, &attributes, &client).await,
        PgCommand::State(PgStateCommand::Get { group, attributes }) => state::get(&group, &attributes).await,
        PgCommand::State(PgStateCommand::Set {
            name,
            value,
            attributes,
            client,
        }) => state::set(&name, &value, None, &attributes, &client).await,
        PgCommand::State(PgStateCommand::Cas {
            name,
            version,
            value,
            attributes,
            client,
        }) => state::set(&name, &value, Some(version), &attributes, &client).await,
        PgCommand::Leave(args) => speaking::leave(&args).await,
        PgCommand::Vote(args) => speaking::vote(&args).await,
        PgCommand::Propose(args) => speaking::propose(&args).await,
        PgCommand::Expel(args) => speaking::expel(&args).await,
        PgCommand::Barrier(args) => barrier::barrier(&args).await,
        PgCommand::Lock(args) => lock::lock(&args).await,
        // It needs no runtime.
        PgCommand::Guardian => Ok(Exit::Done),
    }
}

/// The API's path of a group.
fn path(name: &str) -> Result<String, Failure> {
    if name.is_empty() || name.len() > MAX_NAME {
        let length = name.len();
        return Err(Failure::usage(format!(
            "the name of a process group has 1 to {MAX_NAME} bytes, not {length}"
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Failure::usage("the name of a process group has no control characters"));
    }
    Ok(part_of_path("/v1/process-groups/", name))
}

/// What a process that has no name is called: unique at its node, also among containers that share one.
fn instance(given: Option<&String>, command: &str) -> String {
    let made = || format!("{command}-{}-{:04x}", std::process::id(), rand::random::<u16>());
    given.cloned().unwrap_or_else(made)
}

/// What the command line says of the group; `None` if it says nothing.
fn attributes(args: &AttributeArgs) -> Option<AttributesInfo> {
    if args.vote_default.is_none() && args.phase_limit.is_none() {
        return None;
    }
    let mut attributes = AttributesInfo::default();
    if let Some(default) = args.vote_default {
        attributes.default_vote = match default {
            VoteDefault::Approve => Verdict::Approve,
            VoteDefault::Reject => Verdict::Reject,
        };
    }
    if let Some(limit) = args.phase_limit {
        attributes.phase_limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    }
    Some(attributes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_that_is_none_is_bad_usage() {
        assert_eq!(path("barrier/1").unwrap(), "/v1/process-groups/barrier%2F1");
        for (name, words) in [("", "not 0"), (&"x".repeat(129), "not 129"), ("a\u{7}", "control")] {
            let failure = path(name).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(words), "{failure:?}");
        }
    }

    #[test]
    fn nothing_said_of_a_group_is_nothing() {
        assert_eq!(attributes(&AttributeArgs::default()), None);
        let args = AttributeArgs {
            vote_default: Some(VoteDefault::Approve),
            phase_limit: Some(Duration::from_secs(2)),
        };
        let said = attributes(&args).unwrap();
        assert_eq!((said.default_vote, said.phase_limit_ms), (Verdict::Approve, 2000));
    }
}
