//! Events as lines for people.

use super::listing::peer;
use super::roster::Roster;
use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::BallotInfo;
use crate::output::{Cell, Style, counted};

/// Columns of an event's name, and of what it says.
pub const WIDTHS: [usize; 2] = [11, 0];

/// The line of an event; the roster has followed it already.
pub fn cells(event: &PgEvent, roster: &Roster) -> [Cell; 2] {
    let style = match event {
        PgEvent::Failed { .. } | PgEvent::Blocked(_) | PgEvent::Removed { .. } | PgEvent::Dissolved { .. } => {
            Style::Red
        }
        PgEvent::Ended { why, .. } if why != "left" => Style::Red,
        PgEvent::Wedged { .. }
        | PgEvent::Announced { .. }
        | PgEvent::VoteRefused { .. }
        | PgEvent::TooLate { .. }
        | PgEvent::NotSent { .. } => Style::Yellow,
        _ => Style::Green,
    };
    [Cell::styled(style, event.name()), words(event, roster).into()]
}

fn words(event: &PgEvent, roster: &Roster) -> String {
    match event {
        PgEvent::Joined { provider, group, epoch } => format!("{group} as {provider}, epoch {epoch}"),
        PgEvent::View(view) => {
            let nodes: Vec<String> = view.voters.iter().map(|voter| peer(&voter.peer)).collect();
            format!("{}: {}, led by the first", view.number, nodes.join(", "))
        }
        PgEvent::Wedged { view } => format!("view {view} is over; the next one is being agreed on"),
        PgEvent::Blocked(what) => {
            let missing: Vec<String> = what.missing.iter().map(|name| peer(name)).collect();
            format!(
                "{} of {} that are needed; missing: {}",
                what.have,
                what.need,
                missing.join(", ")
            )
        }
        PgEvent::Unblocked => "there is a quorum again".to_owned(),
        PgEvent::Opened {
            protocol,
            phase,
            change,
            default,
            limit_ms,
            ..
        } => {
            let kind = change["kind"].as_str().unwrap_or("change");
            let default = serde_json::to_value(default).unwrap_or_default();
            let default = default.as_str().unwrap_or_default();
            format!("vote {protocol}, phase {phase}, on a {kind}: {limit_ms} ms, then {default}")
        }
        PgEvent::Outcome {
            change, outcome, votes, ..
        } => {
            let kind = change["kind"].as_str().unwrap_or("change");
            format!("{kind} {outcome}{}", ballots(votes, roster))
        }
        PgEvent::Providers { left, joined, .. } => {
            let mut words = format!("{}: {}", counted(roster.providers().len(), "provider"), roster.all());
            for departure in left {
                words.push_str(&format!(
                    "; {}: {}",
                    roster.name(&departure.provider),
                    departure.message
                ));
            }
            if !joined.is_empty() {
                words.push_str(&format!("; new: {}", roster.names(joined)));
            }
            words
        }
        PgEvent::State(state) => format!("version {}: {}", state.version, state.value.text()),
        PgEvent::Attributes(new) => serde_json::to_string(new).unwrap_or_default(),
        PgEvent::Message { from, body } => format!("{}: {}", roster.name(from), body.text()),
        PgEvent::Failed { provider, reason, text } => {
            let last = if text.is_empty() {
                String::new()
            } else {
                format!(": {}", text.text())
            };
            format!("{} ({reason}){last}", roster.name(provider))
        }
        PgEvent::JoinerGone { provider } => roster.name(provider),
        PgEvent::Announced { provider, remark } => format!("{}: {remark}", roster.name(provider)),
        PgEvent::Raised { epoch } => format!("epoch {epoch}"),
        PgEvent::VoteRefused {
            protocol,
            phase,
            message,
        } => format!("vote {protocol}, phase {phase}: {message}"),
        PgEvent::TooLate { protocol, phase } => format!("vote {protocol}, phase {phase}: the default was counted"),
        PgEvent::NotSent { message } => message.clone(),
        PgEvent::Deactivate { argument, .. } => format!("the group wants this process ended: {}", argument.text()),
        PgEvent::Removed { leader, .. } => format!("the group goes on without this node; {} leads it", peer(leader)),
        PgEvent::Dissolved { founder } => {
            format!("given up for an older group of this name, founded by {}", peer(founder))
        }
        PgEvent::Ended { message, .. } => message.clone(),
        PgEvent::Unknown => "an event of a later version".to_owned(),
    }
}

/// Who did not approve, and who did not vote.
fn ballots(votes: &[BallotInfo], roster: &Roster) -> String {
    let said: Vec<String> = votes
        .iter()
        .filter(|ballot| {
            ballot.by_default.is_some() || ballot.verdict != crate::api::process_groups::model::Verdict::Approve
        })
        .map(|ballot| {
            let verdict = serde_json::to_value(ballot.verdict).unwrap_or_default();
            let verdict = verdict.as_str().unwrap_or_default().to_owned();
            let why = ballot
                .by_default
                .as_ref()
                .map_or(String::new(), |why| format!(" by default, {why}"));
            format!("{}: {verdict}{why}", roster.name(&ballot.provider))
        })
        .collect();
    match said.is_empty() {
        true => String::new(),
        false => format!(" ({})", said.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::roster::tests::provider;
    use super::*;
    use crate::api::process_groups::octets::Octets;

    #[test]
    fn a_line_says_who_and_what_by_the_names_that_people_gave() {
        let mut roster = Roster::default();
        roster.take(vec![provider("a"), provider("b")]);
        let message = PgEvent::Message {
            from: provider("a").provider,
            body: Octets::from(&b"hello"[..]),
        };
        assert_eq!(
            cells(&message, &roster),
            [Cell::styled(Style::Green, "message"), "a@peer-a: hello".into()]
        );
        let failed = PgEvent::Failed {
            provider: provider("b").provider,
            reason: "process_gone".into(),
            text: Octets::default(),
        };
        assert_eq!(words(&failed, &roster), "b@peer-b (process_gone)");
        let list = PgEvent::Providers {
            epoch: "1".into(),
            providers: vec![provider("a"), provider("b")],
            left: Vec::new(),
            joined: vec![provider("b").provider],
        };
        assert_eq!(words(&list, &roster), "2 providers: a@peer-a, b@peer-b; new: b@peer-b");
    }
}
