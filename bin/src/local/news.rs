//! The node's events as the API tells them.

use std::time::SystemTime;

use fatebound::{Event, EventKind};

use crate::api::log::{CLOSED, FAILED, LEFT, News};
use crate::api::model::Application;

/// The event, its number and its time.
pub fn of(event: Event) -> (News, u64, SystemTime) {
    let (seq, time) = (event.seq, event.time);
    (news(event.kind), seq, time)
}

fn news(kind: EventKind) -> News {
    match kind {
        EventKind::Joined => News::named("joined"),
        EventKind::Stopped => News::named("stopped"),
        EventKind::LinkUp { peer } => News::named("link_up").peer(&peer),
        EventKind::LinkDoubtful { peer } => News::named("link_doubtful").peer(&peer),
        EventKind::LinkCleared { peer } => News::named("link_cleared").peer(&peer),
        EventKind::LinkDown { peer, reason } => News::named("link_down").peer(&peer).message(format!("{reason:?}")),
        EventKind::Invited {
            group, state, accepted, ..
        } => {
            let message = if accepted { "accepted" } else { "declined" };
            News {
                application: Application::of(&state),
                ..News::named("invited").group(&group).peer(&group.root).message(message)
            }
        }
        EventKind::GroupJoined { group } => News::named("member").group(&group),
        EventKind::GroupCreated { group } => News::named("created").group(&group),
        EventKind::GroupObserved { group } => News::named("observer").group(&group),
        EventKind::AdmissionAsked { group, peer, observe } => {
            let message = if observe { "wants to observe" } else { "wants to join" };
            News::named("admission_asked")
                .group(&group)
                .peer(&peer)
                .message(message)
        }
        EventKind::CameIn { group, peer, observer } => {
            let message = if observer { "as an observer" } else { "as a member" };
            News::named("came_in").group(&group).peer(&peer).message(message)
        }
        EventKind::WentOut { group, peer, observer } => {
            let message = if observer { "an observer" } else { "a member" };
            News::named("went_out").group(&group).peer(&peer).message(message)
        }
        EventKind::MembersChanged { group, members } => {
            let message = match members.len() {
                0 => "too many to list".to_owned(),
                count => format!("{count} members"),
            };
            News::named("members").group(&group).message(message)
        }
        EventKind::GroupLeft { group } => News::named(LEFT).group(&group),
        EventKind::GroupClosed { group, by } => News::named(CLOSED).group(&group).peer(&by),
        EventKind::GroupFailed { group, reason } => News {
            reason: serde_json::to_value(&reason).ok(),
            ..News::named(FAILED).group(&group).message(reason.to_string())
        },
        EventKind::Repairing { path, cause } => News::named("repairing")
            .group(&path.group)
            .peer(&path.member)
            .message(format!("{cause:?}")),
        EventKind::Repaired { path } => News::named("repaired").group(&path.group).peer(&path.member),
        _ => News::named("other"),
    }
}
