//! What peers tell their applications, what these order, and what is done to peers.

use fatebound_machine::overlay::Foreign;
use fatebound_machine::{Command, Event, fng};

use super::names::{self, Names};
use super::{Kind, clusters, directory, pipes};
use crate::PeerIndex;
use crate::observe::Disturbance;

/// A word to the application; `None` where another line says the same.
pub(super) fn event(names: &mut Names, event: &Event) -> Option<(Kind, String)> {
    let link = |names: &Names, peer, what: &str| Some((Kind::Links, format!("link to {} {what}", names.peer(peer))));
    match event {
        Event::Joined => Some((Kind::Links, "joined the overlay".to_owned())),
        Event::LinkUp { peer } => link(names, peer, "up"),
        Event::LinkDoubtful { peer } => link(names, peer, "doubtful"),
        Event::LinkCleared { peer } => link(names, peer, "cleared"),
        Event::LinkDown { peer, reason } => link(names, peer, &format!("down: {reason:?}")),
        Event::Located { peer, addresses } => {
            let found = if addresses.is_empty() { "nowhere" } else { "located" };
            Some((Kind::Upkeep, format!("{} {found}", names.peer(peer))))
        }
        Event::Foreigner { peer, theirs, .. } => match theirs {
            Foreign::Network(_) => link(names, peer, "refused: another network"),
            Foreign::Versions(theirs) => link(names, peer, &format!("refused: it speaks {theirs}")),
        },
        Event::Group(event) => group_event(names, event),
        Event::Directory(event) => Some((Kind::Names, directory::event(names, event))),
        Event::Pipe(event) => Some((Kind::Pipes, pipes::event(names, event))),
        Event::Cluster(event) => Some((Kind::Told, clusters::event(names, event))),
        Event::Stopped => Some((Kind::Links, "stopped".to_owned())),
    }
}

fn group_event(names: &mut Names, event: &fng::Event) -> Option<(Kind, String)> {
    let (kind, text) = match event {
        fng::Event::Creating { group, .. } => (Kind::Told, format!("{} is being created", names.group(group))),
        fng::Event::Created { group, .. } => (Kind::Told, format!("{} created", names.group(group))),
        fng::Event::CreateFailed {
            group, refusals, error, ..
        } => (
            Kind::Told,
            create_failed(names, group.as_ref(), refusals, error.as_ref()),
        ),
        // What needs no decision is followed by `Joined`.
        fng::Event::Invited { decide: false, .. } => return None,
        fng::Event::Invited { group, .. } => (Kind::Told, format!("invited to {}, has to decide", names.group(group))),
        fng::Event::Joined { group } => (Kind::Told, format!("member of {}", names.group(group))),
        fng::Event::Observing { group } => (Kind::Told, format!("observer of {}", names.group(group))),
        // What succeeds is told by `Joined`, `Observing`, `Left` or `Closed`.
        fng::Event::Admitted { .. } | fng::Event::LeaveEnded { error: None, .. } => return None,
        fng::Event::JoinFailed { group, error, .. } => {
            let group = names.group(group);
            (
                Kind::Told,
                format!("{group} not joined: {}", names.rename(&error.to_string())),
            )
        }
        fng::Event::LeaveEnded {
            group,
            error: Some(error),
            ..
        } => {
            let group = names.group(group);
            (
                Kind::Told,
                format!("{group} not left: {}", names.rename(&error.to_string())),
            )
        }
        fng::Event::Asked { group, peer, observe } => {
            let (what, group) = (if *observe { "observe" } else { "join" }, names.group(group));
            (
                Kind::Told,
                format!("{} wants to {what} {group}, has to decide", names.peer(peer)),
            )
        }
        fng::Event::CameIn { group, peer, observer } => {
            let what = if *observer { "observes" } else { "has joined" };
            (
                Kind::Told,
                format!("{} {what} {}", names.peer(peer), names.group(group)),
            )
        }
        fng::Event::WentOut { group, peer, .. } => (
            Kind::Told,
            format!("{} is out of {}", names.peer(peer), names.group(group)),
        ),
        fng::Event::Members { group, members } => {
            let group = names.group(group);
            let members = if members.is_empty() {
                "many".to_owned()
            } else {
                names.peers(members)
            };
            (Kind::Told, format!("{group} is now of {members}"))
        }
        fng::Event::Left { group } => (Kind::Told, format!("has left {}", names.group(group))),
        fng::Event::Closed { group, .. } => (Kind::Told, format!("{} closed", names.group(group))),
        fng::Event::Failed { group, reason } => {
            let group = names.group(group);
            (
                Kind::Told,
                format!("{group} FAILED: {}", names.rename(&reason.to_string())),
            )
        }
        fng::Event::Repairing { path, cause } => (Kind::Paths, format!("repairing {}: {cause:?}", names.path(path))),
        fng::Event::Repaired { path } => (Kind::Paths, format!("repaired {}", names.path(path))),
        fng::Event::Checked { alive, members, .. } => (Kind::Told, checked(names, *alive, members)),
    };
    Some((kind, text))
}

fn create_failed(
    names: &mut Names,
    group: Option<&fatebound_machine::tree::GroupId>,
    refusals: &[(fatebound_machine::overlay::PeerId, fng::Refusal)],
    error: Option<&fng::CreateError>,
) -> String {
    let each = refusals
        .iter()
        .map(|(peer, refusal)| format!("{} {}", names.peer(peer), names.rename(&refusal.to_string())));
    let why = each
        .chain(error.map(ToString::to_string))
        .collect::<Vec<_>>()
        .join("; ");
    match group {
        Some(group) => format!("{} not created: {why}", names.group(group)),
        None => format!("not created: {why}"),
    }
}

fn checked(names: &Names, alive: Option<bool>, members: &[(fatebound_machine::overlay::PeerId, bool)]) -> String {
    let outcome = match alive {
        Some(true) => "the group lives",
        Some(false) => "the group has failed",
        None => "no such group",
    };
    let each = members.iter().map(|(peer, answered)| {
        let word = if *answered { "lives" } else { "did not answer" };
        format!(", {} {word}", names.peer(peer))
    });
    format!("checked: {outcome}{}", each.collect::<String>())
}

/// An order of the application.
pub(super) fn command(names: &mut Names, command: &Command) -> String {
    match command {
        Command::Join { .. } => "joins".to_owned(),
        Command::Introduce { peer, .. } => format!("is introduced to {}", names.peer(peer)),
        Command::Locate { peer } => format!("locates {}", names.peer(peer)),
        Command::Shutdown => "shuts down".to_owned(),
        Command::Directory(command) => directory::command(command),
        Command::Pipe(command) => pipes::command(names, command),
        Command::Cluster(command) => clusters::command(names, command),
        Command::Group(command) => match command {
            fng::Command::Create { members, .. } => format!("creates a group with {}", names.peers(members)),
            fng::Command::Signal { group, .. } => format!("signals {}", names.group(group)),
            fng::Command::FallSilent { group } => format!("falls silent about {}", names.group(group)),
            fng::Command::Check { group, .. } => format!("checks {}", names.group(group)),
            fng::Command::Decide { group, refusal } => {
                let word = if refusal.is_none() { "accepts" } else { "declines" };
                format!("{word} {}", names.group(group))
            }
            fng::Command::Join {
                group, observe: false, ..
            } => format!("joins {}", names.group(group)),
            fng::Command::Join { group, .. } => format!("observes {}", names.group(group)),
            fng::Command::Admit { group, peer, refusal } => {
                let word = if refusal.is_none() { "lets in" } else { "keeps out" };
                format!("{word} {} {}", names.peer(peer), names.group(group))
            }
            fng::Command::Leave { group, .. } => format!("leaves {}", names.group(group)),
            fng::Command::Shutdown => "gives up all groups".to_owned(),
        },
    }
}

/// What was done to a peer; what was done to the network is told as of the first.
pub(super) fn disturbance(disturbance: Disturbance) -> (PeerIndex, String) {
    let (peer, what) = match disturbance {
        Disturbance::Started(peer) => (peer, "starts"),
        Disturbance::Ended(peer) => (peer, "ends"),
        Disturbance::Paused(peer) => (peer, "is stopped"),
        Disturbance::Resumed(peer) => (peer, "goes on"),
        Disturbance::Network => return (PeerIndex(0), "the network changes".to_owned()),
    };
    (peer, names::join([format!("p{} * ", peer.0), what.to_owned()]))
}
