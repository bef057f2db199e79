//! `pg why`: one group in sentences.

use std::time::Duration;

use serde::Serialize;

use super::listing::{exit, peer};
use super::path;
use super::roster::Roster;
use crate::api::process_groups::model::{PgInfo, ProtocolInfo, QuorumInfo, Verdict, ViewInfo};
use crate::cli::PgArgs;
use crate::client::Api;
use crate::exit::Outcome;
use crate::output::{Output, counted};

/// `fatebound pg why`
pub async fn why(args: &PgArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let group: PgInfo = Api::of(&args.client)?.get(&path(&args.name)?).await?;
    let sentences = sentences(&group);
    let exit = exit(&group);
    if output.is_json() {
        let explained = Explained {
            group: &group,
            sentences: &sentences,
        };
        return output.object(&explained).map(|()| exit);
    }
    sentences
        .iter()
        .try_for_each(|sentence| output.line(sentence))
        .map(|()| exit)
}

/// For programs: the group's document, and the sentences.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    group: &'a PgInfo,
    sentences: &'a [String],
}

fn sentences(group: &PgInfo) -> Vec<String> {
    let mut said = vec![standing(group)];
    if let Some(view) = &group.view {
        said.push(nodes(view));
        said.extend(group.quorum.as_ref().map(|quorum| what_decides(quorum, view)));
    }
    if let Some(blocked) = &group.blocked {
        said.push(format!(
            "There is no quorum: {} of the {} that are needed answer. Missing: {}. It goes on when enough of them are back; nothing is decided until then.",
            blocked.have,
            blocked.need,
            list(&blocked.missing)
        ));
    }
    let Some(epoch) = &group.epoch else {
        return said;
    };
    said.push(providers(group));
    if let Some(state) = &group.state {
        said.push(format!(
            "The state value has version {} and {}; the epoch is {epoch}.",
            state.version,
            counted(state.value.0.len(), "byte")
        ));
    }
    match &group.protocol {
        Some(running) => said.extend(protocol(running, group)),
        None => said.push("No protocol runs.".to_owned()),
    }
    said
}

fn standing(group: &PgInfo) -> String {
    let name = &group.name;
    match (group.status.as_str(), &group.doing) {
        ("normal", _) if group.leads => format!("This node is in {name}, and leads it."),
        ("normal", _) => format!("This node is in {name}."),
        ("joining", Some(doing)) => format!("This node is on its way into {name}: it is {doing}."),
        ("joining", None) => format!("This node is on its way into {name}."),
        ("blocked", _) => format!("This node is in {name}, which is blocked."),
        ("gone", Some(doing)) => format!("{name} has gone on without this node, which is {doing}."),
        ("gone", None) => format!("This node is in {name} no more."),
        ("coordinating", _) => {
            format!("Somebody of {name} is missing; this node coordinates the agreement on the next view.")
        }
        _ => format!("Somebody of {name} is missing; another node coordinates the agreement on the next view."),
    }
}

fn nodes(view: &ViewInfo) -> String {
    let mut names = view.voters.iter().map(|voter| peer(&voter.peer));
    let leader = names.next().unwrap_or_default();
    let others: Vec<String> = names.collect();
    let led = format!(
        "View {} has {}: {leader} leads it, because it is the oldest",
        view.number,
        counted(view.voters.len(), "node")
    );
    match others.is_empty() {
        true => format!("{led}."),
        false => format!("{led}, then by age {}.", others.join(", ")),
    }
}

fn what_decides(quorum: &QuorumInfo, view: &ViewInfo) -> String {
    let decides = format!("{} of {} decide (policy {})", quorum.need, quorum.of, view.policy);
    match (quorum.may_lose, view.voters.len()) {
        (_, 1) => format!("{decides}: when this node is lost, so is the group."),
        (0, 2) => format!(
            "{decides}, half with the oldest: the loss of the younger is borne, that of the oldest blocks the group."
        ),
        (0, _) => format!("{decides}: the loss of a single node may block the group."),
        (lose, _) => format!(
            "{decides}: it bears the loss of any {lose} at once; {} at once may block it.",
            lose + 1
        ),
    }
}

fn roster(group: &PgInfo) -> Roster {
    let mut roster = Roster::default();
    roster.take(group.providers.clone());
    roster
}

fn providers(group: &PgInfo) -> String {
    let roster = roster(group);
    let here = group
        .providers
        .iter()
        .filter(|provider| group.own.contains(&provider.provider));
    let here = here.count();
    let mut words = match group.providers.len() {
        0 => "It has no providers.".to_owned(),
        count => format!(
            "It has {}, {here} of them at this node: {}.",
            counted(count, "provider"),
            roster.all()
        ),
    };
    for failed in group.providers.iter().filter(|provider| provider.standing != "present") {
        let why = failed.reason.as_deref().unwrap_or("its place is held");
        words.push_str(&format!(
            " {} is {} ({why}).",
            roster.name(&failed.provider),
            failed.standing
        ));
    }
    let listed = |own: &&String| !group.providers.iter().any(|provider| provider.provider == **own);
    match group.own.iter().filter(listed).count() {
        0 => words,
        waiting => format!(
            "{words} {} of this node {} to come in.",
            counted(waiting, "process"),
            wants(waiting)
        ),
    }
}

fn wants(count: usize) -> &'static str {
    if count == 1 { "waits" } else { "wait" }
}

/// The protocol that runs, in sentences.
pub fn protocol(running: &ProtocolInfo, group: &PgInfo) -> Vec<String> {
    let roster = roster(group);
    let kind = running.change["kind"].as_str().unwrap_or("change");
    let by = match running.change["by"].as_str() {
        Some(by) => format!(" of {}", roster.name(by)),
        None => String::new(),
    };
    let Some(phase) = running.phase else {
        return vec![format!(
            "Protocol {} runs: the {kind}{by} is approved, and the processes that it expels are being ended.",
            running.protocol
        )];
    };
    let limit = humantime::format_duration(Duration::from_millis(running.limit_ms as u64));
    let silence = match running.default {
        Verdict::Approve => "approval",
        _ => "rejection",
    };
    let mut said = vec![format!(
        "Protocol {} runs: a {kind}{by}, in phase {phase}, which waits {limit} for votes; silence counts as {silence}.",
        running.protocol
    )];
    said.push(match &running.awaited {
        Some(awaited) if awaited.is_empty() => "All have voted.".to_owned(),
        Some(awaited) => format!("Not voted yet: {}.", roster.names(awaited)),
        None => format!(
            "Asked: {}. Who has not voted, the leader alone knows: ask there.",
            roster.names(&running.voters)
        ),
    });
    said
}

fn list(peers: &[String]) -> String {
    let peers: Vec<String> = peers.iter().map(|name| peer(name)).collect();
    peers.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(json: serde_json::Value) -> String {
        sentences(&serde_json::from_value(json).unwrap()).join("\n")
    }

    fn voter(peer: &str) -> serde_json::Value {
        json!({"peer": peer, "incarnation": "1", "weight": 1})
    }

    #[test]
    fn a_group_is_explained() {
        let text = said(json!({
            "name": "db", "status": "normal", "leads": true, "leader": "peer-a", "epoch": "17",
            "view": {"number": 3, "policy": "majority", "voters": [voter("peer-a"), voter("peer-b"), voter("peer-c")]},
            "quorum": {"of": 3, "need": 2, "may_lose": 1},
            "own": ["peer-a.1.1"],
            "providers": [
                {"provider": "peer-a.1.1", "peer": "peer-a", "instance": "a", "standing": "present"},
                {"provider": "peer-b.1.1", "peer": "peer-b", "instance": "b", "standing": "failed", "reason": "node_gone"},
            ],
            "state": {"version": 2, "value": "x"},
            "protocol": {
                "protocol": 9, "change": {"kind": "state", "by": "peer-a.1.1"}, "phase": 1, "limit_ms": 5000.0,
                "default": "reject", "voters": ["peer-a.1.1", "peer-b.1.1"], "awaited": ["peer-b.1.1"],
            },
        }));
        for words in [
            "This node is in db, and leads it.",
            "View 3 has 3 nodes: peer-a leads it, because it is the oldest, then by age peer-b, peer-c.",
            "2 of 3 decide (policy majority): it bears the loss of any 1 at once; 2 at once may block it.",
            "It has 2 providers, 1 of them at this node: a@peer-a, b@peer-b. b@peer-b is failed (node_gone).",
            "The state value has version 2 and 1 byte; the epoch is 17.",
            "a state of a@peer-a, in phase 1, which waits 5s for votes; silence counts as rejection.",
            "Not voted yet: b@peer-b.",
        ] {
            assert!(text.contains(words), "{words:?} in\n{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = said(json!({
            "name": "db", "status": "blocked",
            "view": {"number": 3, "policy": "majority", "voters": [voter("peer-a"), voter("peer-b")]},
            "quorum": {"of": 2, "need": 1, "may_lose": 0},
            "blocked": {"have": 1, "need": 2, "missing": ["peer-a"]},
        }));
        assert!(
            text.contains("1 of the 2 that are needed answer. Missing: peer-a."),
            "{text}"
        );
        assert!(text.contains("that of the oldest blocks the group"), "{text}");
    }

    #[test]
    fn whoever_is_on_its_way_says_so() {
        let text = said(json!({"name": "db", "status": "joining", "doing": "claiming the name"}));
        assert_eq!(text, "This node is on its way into db: it is claiming the name.");
    }
}
