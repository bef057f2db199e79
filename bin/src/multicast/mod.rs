//! `fatebound multicast …`, and the file of rules.

use std::path::Path;

use fatebound_multicast::rules::{MAX_FILE, Rules};
use fatebound_multicast::status::{NetworkStatus, Status};

use crate::cli::{ClientArgs, MulticastCommand};
use crate::client::Api;
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::{Cell, Output, Style, Table, counted, short_peer};

/// `fatebound multicast …`
pub async fn run(command: MulticastCommand) -> Outcome {
    match command {
        MulticastCommand::Status(args) => status(&args).await,
        MulticastCommand::Networks(args) => networks(&args).await,
        MulticastCommand::Tunnels(args) => tunnels(&args).await,
        MulticastCommand::Check { rules } => check(rules.as_deref()),
        MulticastCommand::Rules { file } => rules(&file),
    }
}

/// Reads a file of rules.
pub fn read(file: &Path) -> Result<Rules, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", file.display()));
    // A file that is too long is refused when it is read; what is far too long is not read at all.
    let length = std::fs::metadata(file).map_err(|error| wrong(&error))?.len();
    if length > 2 * MAX_FILE as u64 {
        return Err(wrong(&format!("longer than {MAX_FILE} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    text.parse().map_err(|error| wrong(&error))
}

fn rules(file: &Path) -> Outcome {
    let rules = read(file)?;
    let output = Output::new(false);
    let groups = rules.groups().len();
    output.line(&format!(
        "{} for {}",
        counted(rules.rules().len(), "rule"),
        counted(groups, "group")
    ))?;
    Ok(Exit::Done)
}

#[cfg(target_os = "linux")]
fn check(file: Option<&Path>) -> Outcome {
    let rules = file.map(read).transpose()?;
    let checked = fatebound_multicast::check::check(rules.as_ref()).map_err(|error| {
        Failure::error(format!(
            "this host cannot capture and inject: {error} (it needs CAP_NET_RAW: root, `setcap cap_net_raw+ep`, or AmbientCapabilities=CAP_NET_RAW)"
        ))
    })?;
    let mut table = Table::new(&["NETWORK", "INTERFACE", "ADDRESS", "CAPTURE"]);
    for network in &checked {
        let state = match &network.obstacle {
            None => Cell::styled(Style::Green, "yes"),
            Some(why) => Cell::styled(Style::Red, format!("no: {why}")),
        };
        let [name, interface, address] = [&network.network, &network.interface, &network.address];
        table.row([
            name.clone().into(),
            interface.clone().into(),
            address.clone().into(),
            state,
        ]);
    }
    for warning in checked.iter().filter_map(|network| network.warning.as_ref()) {
        complain(format_args!("warning: {warning}"));
    }
    if table.is_empty() {
        return Err(Failure::error(
            "this host is on no network that could take part: no interface is up, with an IPv4 address",
        ));
    }
    Output::new(false).table(&table)?;
    let able = checked.iter().all(|network| network.obstacle.is_none());
    Ok(if able { Exit::Done } else { Exit::Error })
}

#[cfg(not(target_os = "linux"))]
fn check(_: Option<&Path>) -> Outcome {
    Err(Failure::error("multicast is routed on Linux alone"))
}

async fn get(args: &ClientArgs) -> Result<(Output, Status), Failure> {
    let status = Api::of(args)?.get("/v1/multicast").await?;
    Ok((Output::new(args.json), status))
}

async fn status(args: &ClientArgs) -> Outcome {
    let (output, status) = get(args).await?;
    if output.is_json() {
        return output.object(&status).map(|()| Exit::Done);
    }
    let state = match (status.routing, status.quorum) {
        (true, _) => Cell::styled(Style::Green, "routing"),
        (false, false) => Cell::styled(Style::Red, "no quorum of the group of multicast: nothing is routed"),
        (false, true) => Cell::styled(Style::Yellow, "not sure of its place: the group is asked"),
    };
    let leader = match (&status.system_leader, status.is_system_leader) {
        (_, true) => "this node".to_owned(),
        (Some(peer), false) => short_peer(peer).to_owned(),
        (None, false) => "not known yet".to_owned(),
    };
    let mut table = Table::new(&[]);
    table.row([Cell::styled(Style::Dim, "state"), state]);
    table.row([Cell::styled(Style::Dim, "system leader"), leader.into()]);
    if status.is_system_leader {
        table.row([Cell::styled(Style::Dim, "relayed"), status.relayed.to_string().into()]);
    }
    output.table(&table)?;
    for warning in &status.warnings {
        complain(format_args!("warning: {warning}"));
    }
    let mut table = Table::new(&[
        "NETWORK",
        "INTERFACE",
        "ROLE",
        "TUNNEL",
        "CAPTURED",
        "INJECTED",
        "OVERHEARD",
        "DROPPED",
    ]);
    for network in &status.networks {
        table.row(row(network));
    }
    if table.is_empty() {
        complain("no networks");
        return Ok(Exit::Done);
    }
    output.table(&table).map(|()| Exit::Done)
}

fn row(network: &NetworkStatus) -> [Cell; 8] {
    let role = match network.role.as_str() {
        "leader" => Style::Green,
        "joining" => Style::Yellow,
        _ => Style::Plain,
    };
    let dropped: Vec<String> = network
        .dropped
        .iter()
        .map(|(why, count)| format!("{count} {why}"))
        .collect();
    let leads = network.role == "leader";
    [
        network.network.clone().into(),
        network.interface.clone().into(),
        Cell::styled(role, network.role.clone()),
        (if leads { network.tunnel.as_str() } else { "-" }).into(),
        Cell::number(network.captured.to_string()),
        Cell::number(network.injected.to_string()),
        Cell::number(network.overheard.to_string()),
        dropped.join(", ").into(),
    ]
}

async fn networks(args: &ClientArgs) -> Outcome {
    let (output, status) = get(args).await?;
    if output.is_json() {
        return status
            .roster
            .iter()
            .try_for_each(|entry| output.object(entry))
            .map(|()| Exit::Done);
    }
    let mut table = Table::new(&["NETWORK", "LEADER", "BEHIND IT"]);
    for entry in &status.roster {
        let mark = if status.system_leader.as_ref() == Some(&entry.leader) {
            " (system)"
        } else {
            ""
        };
        let others: Vec<&str> = entry.others.iter().map(|peer| short_peer(peer)).collect();
        table.row([
            entry.network.clone().into(),
            format!("{}{mark}", short_peer(&entry.leader)).into(),
            others.join(" ").into(),
        ]);
    }
    if table.is_empty() {
        complain("no networks known yet");
        return Ok(Exit::Done);
    }
    output.table(&table).map(|()| Exit::Done)
}

async fn tunnels(args: &ClientArgs) -> Outcome {
    let (output, status) = get(args).await?;
    if output.is_json() {
        return status
            .tunnels
            .iter()
            .try_for_each(|tunnel| output.object(tunnel))
            .map(|()| Exit::Done);
    }
    if !status.is_system_leader {
        complain("this node is not the system leader: `multicast networks` names it");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["NETWORK", "LEADER", "RECEIVED", "SENT"]);
    for tunnel in &status.tunnels {
        table.row([
            tunnel.network.clone().into(),
            short_peer(&tunnel.peer).into(),
            Cell::number(tunnel.received.to_string()),
            Cell::number(tunnel.sent.to_string()),
        ]);
    }
    output.table(&table).map(|()| Exit::Done)
}
