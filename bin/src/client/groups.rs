//! `group create | signal | check | list | show`.

use std::io::Read;

use data_encoding::BASE64;
use fatebound::PeerId;
use serde::Serialize;

use super::application;
use super::creating::{attempts, longest};
use super::joining::policy;
use super::peer_names::resolve;
use super::status::label;
use super::{Api, CallError};
use crate::api::log::{CLOSED, FAILED, LEFT};
use crate::api::model::{Checked, CreateRequest, GroupInfo, GroupState, Groups, RefusalInfo, SignalRequest, Signalled};
use crate::api::naming::{Purpose, name};
use crate::api::peer_arg::PeerArg;
use crate::api::problem::{Kind, Problem};
use crate::cli::{ClientArgs, CreateArgs, OneGroupArgs, ShowArgs};
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::{Cell, Output, Style, Table, millis, short, short_peer};

/// Bytes of state that are read at most: a little more than any node takes, so that the node can say so.
const MAX_STATE: u64 = 64 * 1024;

/// `fatebound group create`
pub async fn create(args: &CreateArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let api = Api::of(&args.client)?;
    let request = request(args, resolve(&api, &args.peers).await?)?;
    match attempts(&api, request, args).await {
        Ok(created) if output.is_json() => output.object(&created).map(|()| Exit::Done),
        Ok(created) => output.line(&created.group).map(|()| Exit::Done),
        Err(CallError::Problem(problem)) if is_creation(&problem) => report_refused(output, &problem),
        Err(error) => Err(error.into()),
    }
}

fn request(args: &CreateArgs, members: Vec<PeerArg>) -> Result<CreateRequest, Failure> {
    let (state, state_base64) = state_of(args.state.as_deref())?;
    Ok(CreateRequest {
        members,
        tag: args.tag.clone(),
        state,
        state_base64,
        timeout_ms: None,
        admit: args.admit.as_deref().map(policy).transpose()?,
    })
}

/// The application state that a command line names, as text or else as Base64.
pub fn state_of(text: Option<&str>) -> Result<(Option<String>, Option<String>), Failure> {
    Ok(match text.map(read_state).transpose()? {
        None => (None, None),
        Some(bytes) => match String::from_utf8(bytes) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(BASE64.encode(error.as_bytes()))),
        },
    })
}

fn read_state(text: &str) -> Result<Vec<u8>, Failure> {
    let read = |source: &mut dyn Read| {
        let mut bytes = Vec::new();
        source.take(MAX_STATE).read_to_end(&mut bytes).map(|_| bytes)
    };
    match text.strip_prefix('@') {
        _ if text == "-" => {
            read(&mut std::io::stdin()).map_err(|error| Failure::error(format!("cannot read standard input: {error}")))
        }
        Some(file) => std::fs::File::open(file)
            .and_then(|mut file| read(&mut file))
            .map_err(|error| Failure::error(format!("cannot read the state from {file}: {error}"))),
        None => Ok(text.as_bytes().to_vec()),
    }
}

fn is_creation(problem: &Problem) -> bool {
    problem.is(Kind::CreationFailed) || problem.is(Kind::CreationRefused)
}

/// A failed creation, for programs.
#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    refusals: &'a [RefusalInfo],
}

fn report_refused(output: Output, problem: &Problem) -> Outcome {
    if output.is_json() {
        output.object(&Refused {
            error: &problem.detail,
            group: problem.more.group.as_deref(),
            refusals: &problem.more.refusals,
        })?;
        return Ok(Exit::CreationFailed);
    }
    complain(format_args!("fatebound: {}", problem.detail));
    for refusal in &problem.more.refusals {
        complain(format_args!("  {}  {}", refusal.peer, refusal.message));
    }
    Ok(Exit::CreationFailed)
}

/// `fatebound group signal`
pub async fn signal(group: &str, reason: &str, args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let request = SignalRequest {
        reason: reason.to_owned(),
    };
    let signalled: Signalled = Api::of(args)?
        .post(&format!("{}/signal", path_for(group, Purpose::End)?), &request)
        .await?;
    if output.is_json() {
        output.object(&signalled)?;
    } else if signalled.already_failed {
        complain(format_args!("the group {} had failed already", short(&signalled.group)));
    } else {
        output.line(&format!("signalled {}", short(&signalled.group)))?;
    }
    Ok(Exit::Done)
}

/// `fatebound group check`
pub async fn check(args: &OneGroupArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let path = format!("{}/check", path(&args.group)?);
    let api = Api::of(&args.client)?.busy_for(longest());
    let checked: Checked = api.post(&path, &serde_json::json!({})).await?;
    let failed = checked.failure.as_ref().is_none_or(|end| end.event == FAILED);
    let exit = match (checked.alive, failed) {
        (true, _) => Exit::Done,
        (false, true) => Exit::GroupFailed,
        // Closed, or left.
        (false, false) => Exit::Error,
    };
    let over = checked.failure.as_ref().map(|end| over(&end.event));
    if output.is_json() {
        return output.object(&checked).map(|()| exit);
    }
    let mut table = Table::new(&[]);
    table.row([
        short(&checked.group).into(),
        state(if checked.alive {
            GroupState::Alive
        } else {
            over.unwrap_or(GroupState::Failed)
        }),
    ]);
    for member in &checked.members {
        let answer = match member.alive {
            true => Cell::styled(Style::Green, "alive"),
            false => Cell::styled(Style::Red, "no answer"),
        };
        table.row([member.peer.clone().into(), answer]);
    }
    if let Some(reason) = checked.failure.and_then(|failure| failure.message) {
        table.row(["".into(), reason.into()]);
    }
    output.table(&table).map(|()| exit)
}

/// `fatebound group list`
pub async fn list(all: bool, limit: usize, args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let listing: Groups = Api::of(args)?
        .get(&format!("/v1/groups?limit={limit}&all={all}"))
        .await?;
    if listing.truncated {
        complain("fatebound: there are more groups than these; see --limit");
    }
    if output.is_json() {
        return listing
            .groups
            .iter()
            .try_for_each(|group| output.object(group))
            .map(|()| Exit::Done);
    }
    let table = listed(&listing.groups, all);
    if table.is_empty() {
        complain("no groups");
        return Ok(Exit::Done);
    }
    output.table(&table).map(|()| Exit::Done)
}

/// With those that have failed, and why.
fn listed(groups: &[GroupInfo], failed: bool) -> Table {
    let mut table = Table::new(match failed {
        false => &["GROUP", "STATE", "ROLE", "ROOT", "MEMBERS", "TAG"],
        true => &["GROUP", "STATE", "ROLE", "ROOT", "MEMBERS", "TAG", "REASON"],
    });
    for group in groups {
        let cells: [Cell; 6] = [
            short(&group.group).into(),
            state(group.state),
            group.role.clone().unwrap_or_default().into(),
            short_peer(&group.root).into(),
            Cell::number(if group.members.is_empty() {
                "-".to_owned()
            } else {
                group.members.len().to_string()
            }),
            group.tag.clone().unwrap_or_default().into(),
        ];
        if failed {
            let [id, state, role, root, members, tag] = cells;
            table.row([id, state, role, root, members, tag, reason(group).into()]);
        } else {
            table.row(cells);
        }
    }
    table
}

/// Why a group has failed, peers as the table shows them elsewhere.
fn reason(group: &GroupInfo) -> String {
    let failure = group.failure.as_ref();
    let message = failure
        .and_then(|failure| failure.message.as_deref())
        .unwrap_or_default();
    let word = |word: &str| match word.parse::<PeerId>() {
        Ok(_) => short_peer(word).to_owned(),
        Err(_) => word.to_owned(),
    };
    message.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// `fatebound group show`
pub async fn show(args: &ShowArgs) -> Outcome {
    let OneGroupArgs { group, client } = &args.group;
    let output = Output::new(client.json);
    let group: GroupInfo = Api::of(client)?.get(&path(group)?).await?;
    let exit = match group.state {
        GroupState::Failed => Exit::GroupFailed,
        GroupState::Alive | GroupState::Creating | GroupState::Closed | GroupState::Left => Exit::Done,
    };
    if args.raw {
        return raw(output, &group).map(|()| exit);
    }
    if output.is_json() {
        return output.object(&group).map(|()| exit);
    }
    output.table(&shown(&group)).map(|()| exit)
}

fn raw(output: Output, group: &GroupInfo) -> Result<(), Failure> {
    match application::bytes(&group.application)? {
        Some(bytes) => output.raw(&bytes),
        None => {
            let why = match group.state {
                GroupState::Failed => "the group has failed: its application state is not kept",
                GroupState::Closed | GroupState::Left => "the group is over here: its application state is not kept",
                GroupState::Alive | GroupState::Creating => {
                    "the group has no application state, as far as this node knows"
                }
            };
            complain(format_args!("fatebound: {why}"));
            Ok(())
        }
    }
}

fn shown(group: &GroupInfo) -> Table {
    let mut table = Table::new(&[]);
    table.row([label("group"), group.group.clone().into()]);
    table.row([label("state"), state(group.state)]);
    if let Some(failure) = &group.failure {
        table.row([label("reason"), failure.message.clone().unwrap_or_default().into()]);
        table.row([label("time"), failure.time.clone().into()]);
    }
    if let Some(end) = &group.end {
        table.row([label("time"), end.time.clone().into()]);
    }
    if let Some(role) = &group.role {
        table.row([label("role"), role.clone().into()]);
    }
    if let Some(tag) = &group.tag {
        table.row([label("tag"), tag.clone().into()]);
    }
    if let Some(state) = application::brief(&group.application) {
        table.row([label("app state"), state.into()]);
    }
    table.row([label("root"), group.root.clone().into()]);
    for (at, member) in group.members.iter().filter(|member| **member != group.root).enumerate() {
        table.row([label("member"), format!("{member}{}", hops(group.hops.get(at))).into()]);
    }
    for observer in &group.observers {
        table.row([label("observer"), observer.clone().into()]);
    }
    if let Some(bound) = group.notification_bound_ms {
        table.row([label("bound"), millis(bound).into()]);
    }
    table
}

fn hops(hops: Option<&Option<u8>>) -> String {
    match hops {
        None => String::new(),
        Some(None) => "  (path being made)".to_owned(),
        Some(Some(1)) => "  (1 hop)".to_owned(),
        Some(Some(hops)) => format!("  ({hops} hops)"),
    }
}

fn state(state: GroupState) -> Cell {
    match state {
        GroupState::Alive => Cell::styled(Style::Green, "alive"),
        GroupState::Creating => Cell::styled(Style::Yellow, "creating"),
        GroupState::Failed => Cell::styled(Style::Red, "failed"),
        GroupState::Closed => Cell::styled(Style::Dim, "closed"),
        GroupState::Left => Cell::styled(Style::Dim, "left"),
    }
}

/// What a group is after this event.
fn over(event: &str) -> GroupState {
    match event {
        CLOSED => GroupState::Closed,
        LEFT => GroupState::Left,
        _ => GroupState::Failed,
    }
}

/// The API's path of the group that the user wants to look at.
///
/// # Errors
/// What cannot be a group's name is bad usage.
pub fn path(group: &str) -> Result<String, Failure> {
    path_for(group, Purpose::Look)
}

/// … or to do something else with.
pub fn path_for(group: &str, purpose: Purpose) -> Result<String, Failure> {
    name(group, purpose).map_err(Failure::usage)?;
    Ok(format!("/v1/groups/{group}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_letters_and_digits() {
        assert_eq!(path("7xKa").unwrap(), "/v1/groups/7xKa");
        for text in ["", "7xK", "aaa/b", "../node", "äöüß", &"z".repeat(161)] {
            assert_eq!(path(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
        assert_eq!(path_for("7xKabcd", Purpose::End).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn state_comes_from_the_line_or_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state");
        std::fs::write(&file, [0, 255]).unwrap();
        assert_eq!(read_state("text").unwrap(), b"text");
        assert_eq!(read_state(&format!("@{}", file.display())).unwrap(), [0, 255]);
        let failure = read_state("@/nowhere").unwrap_err();
        assert!(
            failure.message.starts_with("cannot read the state from /nowhere"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_refused_creation_is_the_contract() {
        let refusals = [RefusalInfo {
            peer: "p".into(),
            refusal: serde_json::json!({"kind": "unreachable"}),
            message: "could not be reached in time".into(),
        }];
        let refused = Refused {
            error: "1 of 2 members did not accept",
            group: None,
            refusals: &refusals,
        };
        assert_eq!(
            serde_json::to_string(&refused).unwrap(),
            r#"{"error":"1 of 2 members did not accept","refusals":[{"peer":"p","kind":"unreachable","message":"could not be reached in time"}]}"#
        );
    }
}
