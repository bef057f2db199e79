//! `status`, `info`, `peers`, `routes`: what the node sees.

use crate::api::model::{BootstrapProblem, NodeInfo, PeerInfo, Peers, RouteEntry, Routes};
use crate::cli::{ClientArgs, PeersArgs};
use crate::client::Api;
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::{Cell, Output, Style, Table, millis, short_peer};

/// `fatebound status`: is it well?
pub async fn status(args: &ClientArgs) -> Outcome {
    let (output, node) = node(args).await?;
    if output.is_json() {
        return output.object(&node).map(|()| Exit::Done);
    }
    let state = match (node.joined, node.isolated) {
        (true, _) => Cell::styled(Style::Green, "joined"),
        (false, true) => Cell::styled(Style::Red, "isolated: connected to nobody of its overlay"),
        (false, false) => Cell::styled(Style::Yellow, "joining: not part of its overlay yet"),
    };
    let problems = if node.joined {
        Vec::new()
    } else {
        node.bootstrap_problems
    };
    let mut table = Table::new(&[]);
    table.row([label("peer"), node.peer.into()]);
    table.row([label("state"), state]);
    for BootstrapProblem { address, reason } in problems {
        table.row([label("bootstrap"), format!("{address}: {reason}").into()]);
    }
    table.row([
        label("links"),
        format!("{} alive, {} doubtful", node.links.alive, node.links.doubtful).into(),
    ]);
    table.row([
        label("groups"),
        format!("{} as root, {} as member", node.groups.root, node.groups.member).into(),
    ]);
    table.row([
        label("paths"),
        format!(
            "{}, {} of them carried for others",
            node.paths.total, node.paths.delegate
        )
        .into(),
    ]);
    table.row([label("up for"), uptime(node.uptime_ms).into()]);
    output.table(&table).map(|()| Exit::Done)
}

/// `fatebound info`: what is it?
pub async fn info(args: &ClientArgs) -> Outcome {
    let (output, node) = node(args).await?;
    if output.is_json() {
        return output.object(&node).map(|()| Exit::Done);
    }
    let mut table = Table::new(&[]);
    table.row([label("peer"), node.peer.into()]);
    table.row([label("incarnation"), node.incarnation.into()]);
    table.row([label("version"), node.version.into()]);
    table.row([
        label("network"),
        node.network.unwrap_or_else(|| "(default)".to_owned()).into(),
    ]);
    table.row([label("profile"), node.profile.into()]);
    for address in node.listen {
        table.row([label("listening"), address.into()]);
    }
    table.row([label("bound"), millis(node.notification_bound_ms).into()]);
    let counters = node.counters;
    table.row([
        label("pings"),
        format!("{} sent, {} missed", counters.pings_sent, counters.pings_missed).into(),
    ]);
    table.row([
        label("sent"),
        format!("{} frames, {} bytes", counters.frames_sent, counters.bytes_sent).into(),
    ]);
    table.row([label("doubts"), counters.doubts.to_string().into()]);
    table.row([label("questions"), counters.questions.to_string().into()]);
    table.row([label("links lost"), counters.links_lost.to_string().into()]);
    table.row([label("other times"), counters.unlike.to_string().into()]);
    table.row([label("twins"), counters.twins.to_string().into()]);
    table.row([label("repairs"), counters.repairs.to_string().into()]);
    table.row([label("garbage"), counters.garbage.to_string().into()]);
    table.row([label("mismatches"), counters.digest_mismatches.to_string().into()]);
    table.row([label("dropped"), counters.dropped.to_string().into()]);
    if counters.pipes_opened > 0 {
        let pipes = format!("{} opened, {} broken", counters.pipes_opened, counters.pipes_broken);
        table.row([label("pipes"), pipes.into()]);
    }
    output.table(&table).map(|()| Exit::Done)
}

/// `fatebound peers`: within 80 columns, unless wanted otherwise.
pub async fn peers(args: &PeersArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let Peers { peers } = Api::of(&args.client)?.get("/v1/peers").await?;
    if output.is_json() {
        return peers
            .iter()
            .try_for_each(|peer| output.object(peer))
            .map(|()| Exit::Done);
    }
    let table = neighbours(peers, args.wide);
    if table.is_empty() {
        complain("no neighbours");
        return Ok(Exit::Done);
    }
    output.table(&table).map(|()| Exit::Done)
}

fn neighbours(peers: Vec<PeerInfo>, wide: bool) -> Table {
    let mut table = Table::new(match wide {
        false => &["PEER", "LINK", "RTT", "PATHS"],
        true => &["PEER", "LINK", "RTT", "PATHS", "KEPT FOR", "ADDRESSES"],
    });
    for peer in peers {
        let style = if peer.link == "alive" {
            Style::Green
        } else {
            Style::Yellow
        };
        let kept = if peer.wanted { "routes" } else { "paths" };
        let round_trip = peer.round_trip_ms.map_or_else(|| "-".to_owned(), millis);
        let [who, link, round_trip, paths] = [
            peer.peer.into(),
            Cell::styled(style, peer.link),
            Cell::number(round_trip),
            Cell::number(peer.paths.to_string()),
        ];
        if wide {
            let addresses = peer.addresses.join(" ");
            table.row([who, link, round_trip, paths, kept.into(), addresses.into()]);
        } else {
            table.row([who, link, round_trip, paths]);
        }
    }
    table
}

/// `fatebound routes`
pub async fn routes(args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let routes: Routes = Api::of(args)?.get("/v1/routes").await?;
    if output.is_json() {
        return output.object(&routes).map(|()| Exit::Done);
    }
    let mut table = Table::new(&[]);
    table.row([label("key"), routes.key.into()]);
    table.row([label("below"), list(&routes.below).into()]);
    table.row([label("above"), list(&routes.above).into()]);
    for (at, row) in routes.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
        table.row([label(&format!("row {at}")), entries(row).into()]);
    }
    output.table(&table).map(|()| Exit::Done)
}

async fn node(args: &ClientArgs) -> Result<(Output, NodeInfo), Failure> {
    let node = Api::of(args)?.get("/v1/node").await?;
    Ok((Output::new(args.json), node))
}

/// The left column of a listing.
pub fn label(text: &str) -> Cell {
    Cell::styled(Style::Dim, text)
}

fn list(peers: &[String]) -> String {
    let short: Vec<&str> = peers.iter().map(|peer| short_peer(peer)).collect();
    if short.is_empty() {
        "-".to_owned()
    } else {
        short.join(" ")
    }
}

fn entries(row: &[RouteEntry]) -> String {
    let entries: Vec<String> = row
        .iter()
        .map(|entry| format!("{}:{}", entry.digit, short_peer(&entry.peer)))
        .collect();
    entries.join(" ")
}

fn uptime(ms: f64) -> String {
    let seconds = std::time::Duration::from_secs((ms / 1000.0) as u64);
    humantime::format_duration(seconds).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_short_and_never_empty() {
        assert_eq!(list(&[]), "-");
        assert_eq!(list(&["12D3KooWabcdefgh".into(), "x".into()]), "abcdefgh x");
        let entry = RouteEntry {
            digit: 3,
            peer: "12D3KooWabcdefgh".into(),
        };
        assert_eq!(entries(&[entry]), "3:abcdefgh");
        assert_eq!(uptime(61_999.0), "1m 1s");
    }
}
