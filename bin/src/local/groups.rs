//! Groups of the node inside this process: found by any unambiguous beginning of their id, also when they failed a moment ago.
//!
//! However many there are, the node is asked for a few at a time: it has other things to do.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fatebound::{CreateGroup, CreateGroupError, GroupId, GroupsFrom, Member, PeerId, Reason, Refusal, SignalError};

use super::joining::admission;
use super::{Local, stopping, views};
use crate::api::groups::{MAX_CANDIDATES, resolve};
use crate::api::log::{CLOSED, FAILED, LEFT, News, stamped};
use crate::api::model::{
    Application, Checked, CheckedMember, CreateRequest, Created, Event, GroupInfo, GroupState, Groups, RefusalInfo,
    Signalled,
};
use crate::api::naming::{Name, Purpose, name};
use crate::api::problem::{Kind, More, Problem};
use crate::output::as_ms;

/// Members of groups that are named in one listing at most.
const MAX_NAMED: usize = 100_000;
/// A failure that the node knows is in the log this much later at the latest; beyond it, its reason is unknown.
const FAILURE_SETTLES: Duration = Duration::from_millis(100);

/// A group that was asked for.
#[derive(Debug)]
pub enum Found {
    /// It lives here, or is being created.
    Live(Box<GroupInfo>),
    /// It has failed, was closed, or was left.
    Over(Arc<Event>),
}

impl Local {
    /// The group that begins like this. A whole id that nobody here knows names a failed group: it failed too long ago, or before this
    /// node's last start.
    pub async fn find(&self, text: &str) -> Result<Found, Problem> {
        let group = self.identify(text, Purpose::Look).await?;
        self.look_up(&group).await
    }

    /// Groups that live here, and with `all` also those that failed lately.
    pub async fn groups(&self, limit: usize, all: bool) -> Result<Groups, Problem> {
        let (mut groups, mut truncated) = self.living(limit).await?;
        if all && !truncated {
            let room = limit - groups.len();
            let failures = self.log.failures("", room + 1);
            truncated = failures.len() > room;
            groups.extend(failures.iter().take(room).map(over));
        }
        Ok(Groups { groups, truncated })
    }

    /// Groups that live here, in the order in which they came, as many as belong into one listing; and whether there are more.
    async fn living(&self, limit: usize) -> Result<(Vec<GroupInfo>, bool), Problem> {
        let mut groups: Vec<(u64, GroupInfo)> = Vec::new();
        let mut named = 0;
        let mut from = Some(GroupsFrom::default());
        let mut truncated = false;
        while let Some(next) = from.filter(|_| !truncated) {
            let views;
            (views, from) = self.node.groups_from(next).await.map_err(stopping)?;
            for (born, view) in views {
                named += view.members.len();
                truncated |= groups.len() >= limit || named > MAX_NAMED && !groups.is_empty();
                if truncated {
                    break;
                }
                groups.push((born, views::group(&view)));
            }
        }
        groups.sort_unstable_by_key(|(born, _)| *born);
        Ok((groups.into_iter().map(|(_, group)| group).collect(), truncated))
    }

    /// One group: alive, failed, or one of which this node carries paths for others.
    pub async fn show(&self, text: &str) -> Result<GroupInfo, Problem> {
        let group = self.identify(text, Purpose::Look).await?;
        match self.look_up(&group).await? {
            Found::Live(view) => Ok(GroupInfo {
                application: self
                    .node
                    .group_state(&group)
                    .map(|state| Application::of(&state))
                    .unwrap_or_default(),
                ..*view
            }),
            Found::Over(_) if self.node.carries(group).await.map_err(stopping)? => Ok(carried(&group)),
            Found::Over(event) => Ok(over(&event)),
        }
    }

    /// A creation that was asked for, to be awaited.
    pub(super) fn creation(&self, request: CreateRequest, state: Vec<u8>) -> CreateGroup {
        let members = request
            .members
            .into_iter()
            .map(|member| member.address.map_or(Member::Peer(member.peer), Member::Address));
        let mut creation = self.node.create_group(members).state(state);
        if let Some(tag) = request.tag {
            creation = creation.tag(tag);
        }
        if let Some(admit) = request.admit {
            creation = creation.admit(admission(admit));
        }
        if let Some(timeout) = request.timeout_ms {
            creation = creation.timeout(Duration::from_millis(timeout));
        }
        creation
    }

    /// Creates a group with this node as its root.
    pub async fn create(&self, request: CreateRequest, state: Vec<u8>) -> Result<Created, Problem> {
        let begun = Instant::now();
        let group = self.creation(request, state).await.map_err(|error| refused(&error))?;
        let created_ms = as_ms(begun.elapsed());
        let members = self
            .node
            .group_view(group.id())
            .await
            .map_err(stopping)?
            .map(|view| views::group(&view).members);
        Ok(Created {
            group: group.id().to_string(),
            root: self.peer(),
            members: members.unwrap_or_default(),
            created_ms,
        })
    }

    /// Fails a group.
    pub async fn signal(&self, group: GroupId, reason: String) -> Result<Signalled, Problem> {
        let already_failed = match self.node.signal(group, reason).await {
            Ok(()) => false,
            Err(SignalError::NotKnown) => true,
            Err(SignalError::Stopped(stopped)) => return Err(stopping(stopped)),
            Err(error) => return Err(Problem::new(Kind::NotAllowed, &error)),
        };
        Ok(Signalled {
            group: group.to_string(),
            already_failed,
        })
    }

    /// Asks every member of a group whether it lives and knows the group.
    pub async fn check(&self, group: GroupId) -> Result<Checked, Problem> {
        let report = self.node.check(group).await.map_err(stopping)?;
        let alive = report.alive.unwrap_or(false);
        let member = |(peer, alive): (PeerId, bool)| CheckedMember {
            peer: peer.to_string(),
            alive,
        };
        let failure = match alive {
            true => None,
            false => match self.look_up(&group).await? {
                Found::Over(event) => Some(Event::clone(&event)),
                Found::Live(_) => None,
            },
        };
        Ok(Checked {
            group: group.to_string(),
            alive,
            members: report.members.into_iter().map(member).collect(),
            failure,
        })
    }

    /// The group that somebody calls so.
    ///
    /// # Errors
    /// The name is none, or too short for its purpose; no group has it, or several have.
    pub async fn identify(&self, text: &str, purpose: Purpose) -> Result<GroupId, Problem> {
        let prefix = match name(text, purpose).map_err(|words| Problem::new(Kind::InvalidRequest, &words))? {
            Name::Whole(group) => return Ok(group),
            Name::Beginning(prefix) => prefix,
        };
        let failures = self.log.failures(text, MAX_CANDIDATES);
        let mut found: Vec<String> = failures.iter().filter_map(|event| event.group.clone()).collect();
        let mut from = Some(GroupsFrom::default());
        while let Some(next) = from.filter(|_| found.len() < 2 * MAX_CANDIDATES) {
            let groups;
            (groups, from) = self.node.group_ids(next).await.map_err(stopping)?;
            let groups = groups.iter().filter(|group| prefix.begins(group));
            found.extend(groups.take(MAX_CANDIDATES).map(ToString::to_string));
        }
        let id = resolve(text, found.into_iter())?;
        id.parse().map_err(|error| Problem::new(Kind::GroupNotKnown, &error))
    }

    async fn look_up(&self, group: &GroupId) -> Result<Found, Problem> {
        if let Some(view) = self.node.group_view(*group).await.map_err(stopping)? {
            return Ok(Found::Live(Box::new(views::group(&view))));
        }
        let id = group.to_string();
        let until = Instant::now() + FAILURE_SETTLES;
        // The node knows of a failure a moment before the log does.
        loop {
            let head = self.log.head();
            if let Some(event) = self.log.failure(&id) {
                return Ok(Found::Over(event));
            }
            if tokio::time::timeout_at(until.into(), self.log.wait(head))
                .await
                .is_err()
            {
                return Ok(Found::Over(Arc::new(self.forgotten(group))));
            }
        }
    }

    /// The failure of a group whose reason nobody here knows. Its number is that of the last event: a reader that comes back goes on behind it.
    fn forgotten(&self, group: &GroupId) -> Event {
        let news = News {
            reason: serde_json::to_value(Reason::NotKnown).ok(),
            ..News::named(FAILED).group(group).message(Reason::NotKnown.to_string())
        };
        stamped(news, self.log.head() - 1, SystemTime::now())
    }
}

fn over(event: &Arc<Event>) -> GroupInfo {
    let group = event.group.clone().unwrap_or_default();
    let root = group.parse::<GroupId>().map(|group| group.root.to_string());
    let state = match event.event.as_str() {
        CLOSED => GroupState::Closed,
        LEFT => GroupState::Left,
        _ => GroupState::Failed,
    };
    let failed = state == GroupState::Failed;
    GroupInfo {
        failure: failed.then(|| Event::clone(event)),
        end: (!failed).then(|| Event::clone(event)),
        ..bare(group, root.unwrap_or_default(), state)
    }
}

/// What a delegate knows: that the group has paths.
fn carried(group: &GroupId) -> GroupInfo {
    GroupInfo {
        role: Some("delegate".to_owned()),
        ..bare(group.to_string(), group.root.to_string(), GroupState::Alive)
    }
}

fn bare(group: String, root: String, state: GroupState) -> GroupInfo {
    GroupInfo {
        group,
        state,
        role: None,
        root,
        members: Vec::new(),
        observers: Vec::new(),
        tag: None,
        hops: Vec::new(),
        repairing: None,
        notification_bound_ms: None,
        application: Application::default(),
        failure: None,
        end: None,
    }
}

pub(super) fn refused(error: &CreateGroupError) -> Problem {
    match error {
        CreateGroupError::Incomplete { group, refusals, alone } => {
            Problem::new(Kind::CreationFailed, &incomplete(refusals.len(), *alone)).with(More {
                group: Some(group.to_string()),
                refusals: refusals.iter().map(refusal).collect(),
                ..More::default()
            })
        }
        CreateGroupError::Stopped(stopped) => stopping(*stopped),
        CreateGroupError::NoPeer { .. } => Problem::new(Kind::InvalidRequest, &error),
        CreateGroupError::Refused(why) => Problem::new(Kind::CreationRefused, &why),
        // For a reason that is yet to come.
        _ => Problem::new(Kind::CreationRefused, &error),
    }
}

fn incomplete(refusals: usize, alone: bool) -> String {
    match refusals {
        _ if alone => "the group was not created: this node is connected to nobody of its overlay".to_owned(),
        1 => "the group was not created: one member did not accept".to_owned(),
        more => format!("the group was not created: {more} members did not accept"),
    }
}

fn refusal((peer, refusal): &(PeerId, Refusal)) -> RefusalInfo {
    RefusalInfo {
        peer: peer.to_string(),
        refusal: serde_json::to_value(refusal).unwrap_or_default(),
        message: refusal.to_string(),
    }
}
