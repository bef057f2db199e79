//! `pg list | show`.

use super::path;
use super::roster::called;
use super::why::protocol;
use crate::api::process_groups::model::{PgInfo, ProcessGroups, ProviderInfo};
use crate::cli::{ClientArgs, PgArgs};
use crate::client::Api;
use crate::client::status::label;
use crate::exit::{Exit, Outcome, complain};
use crate::output::{Cell, Output, Style, Table, short_peer};

/// Characters of a state value that are shown; `state get` writes all of it.
const SHOWN: usize = 200;

/// `fatebound pg list`
pub async fn list(args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let groups: ProcessGroups = Api::of(args)?.get("/v1/process-groups").await?;
    let groups = groups.process_groups;
    if output.is_json() {
        return groups
            .iter()
            .try_for_each(|group| output.object(group))
            .map(|()| Exit::Done);
    }
    if groups.is_empty() {
        complain("no process groups");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["NAME", "STATUS", "VIEW", "NODES", "PROVIDERS", "LEADER"]);
    for group in &groups {
        let view = group.view.as_ref();
        table.row([
            group.name.clone().into(),
            status(group),
            Cell::number(view.map_or(String::new(), |view| view.number.to_string())),
            Cell::number(view.map_or(String::new(), |view| view.voters.len().to_string())),
            Cell::number(group.providers.len().to_string()),
            group.leader.clone().unwrap_or_default().into(),
        ]);
    }
    output.table(&table).map(|()| Exit::Done)
}

/// `fatebound pg show`
pub async fn show(args: &PgArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let group: PgInfo = Api::of(&args.client)?.get(&path(&args.name)?).await?;
    let exit = exit(&group);
    if output.is_json() {
        return output.object(&group).map(|()| exit);
    }
    output.table(&shown(&group)).map(|()| exit)
}

/// How a look at a group ends.
pub fn exit(group: &PgInfo) -> Exit {
    match group.status.as_str() {
        "blocked" => Exit::Blocked,
        "gone" => Exit::GroupFailed,
        _ => Exit::Done,
    }
}

fn status(group: &PgInfo) -> Cell {
    let style = match group.status.as_str() {
        "normal" => Style::Green,
        "blocked" | "gone" => Style::Red,
        _ => Style::Yellow,
    };
    Cell::styled(style, group.status.clone())
}

fn shown(group: &PgInfo) -> Table {
    let mut table = Table::new(&[]);
    table.row([label("name"), group.name.clone().into()]);
    table.row([label("status"), status(group)]);
    if let Some(doing) = &group.doing {
        table.row([label("doing"), doing.clone().into()]);
    }
    if let Some(view) = &group.view {
        table.row([label("view"), format!("{}, {}", view.number, view.policy).into()]);
        for (place, voter) in view.voters.iter().enumerate() {
            let name = if place == 0 { "leader" } else { "node" };
            table.row([label(name), voter.peer.clone().into()]);
        }
    }
    if let Some(quorum) = &group.quorum {
        let words = format!("{} of {}; any {} may be lost", quorum.need, quorum.of, quorum.may_lose);
        table.row([label("quorum"), words.into()]);
    }
    for missing in group.blocked.iter().flat_map(|blocked| &blocked.missing) {
        table.row([label("missing"), Cell::styled(Style::Red, missing.clone())]);
    }
    if let Some(epoch) = &group.epoch {
        table.row([label("epoch"), epoch.clone().into()]);
    }
    for provider in &group.providers {
        table.row([label("provider"), provider_cell(provider)]);
    }
    if let Some(state) = &group.state {
        let text: String = state.value.text().chars().take(SHOWN).collect();
        table.row([label("state"), format!("version {}: {text}", state.version).into()]);
    }
    if let Some(running) = &group.protocol {
        table.row([label("protocol"), protocol(running, group).join(" ").into()]);
    }
    table
}

fn provider_cell(provider: &ProviderInfo) -> Cell {
    let mut words = called(provider);
    if !provider.info.is_empty() {
        words.push_str("  ");
        words.push_str(&provider.info.text());
    }
    match (provider.standing.as_str(), &provider.reason) {
        ("present", _) => words.into(),
        (standing, Some(reason)) => Cell::styled(Style::Red, format!("{words}  {standing}: {reason}")),
        (standing, None) => Cell::styled(Style::Yellow, format!("{words}  {standing}")),
    }
}

/// The end of a peer's name, as in tables.
pub fn peer(peer: &str) -> String {
    short_peer(peer).to_owned()
}
