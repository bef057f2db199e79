//! Groups that this node comes into and goes out of, and peers that want to come into its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fatebound::{
    Admission, AdmissionRequest, GroupId, JoinError, JoinGroupError, LeaveError, LeaveGroupError, PeerId, Reason,
};

use super::{Local, stopping, views};
use crate::api::model::{AdmitRequest, Departed, GroupState, Joined, Wish};
use crate::api::problem::{Kind, More, Problem};
use crate::output::as_ms;

/// Peers that wait for the word of whoever follows the admissions: further ones are kept out.
const MAX_WISHES: usize = 1024;

impl Local {
    /// Comes into a group, as a member or as an observer.
    pub async fn join(&self, group: GroupId, observe: bool, timeout_ms: Option<u64>) -> Result<Joined, Problem> {
        let begun = Instant::now();
        let mut join = match observe {
            true => self.node.observe_group(group),
            false => self.node.join_group(group),
        };
        if let Some(timeout) = timeout_ms {
            join = join.timeout(Duration::from_millis(timeout));
        }
        join.await.map_err(|error| not_joined(&error))?;
        let joined_ms = as_ms(begun.elapsed());
        let view = self.node.group_view(group).await.map_err(stopping)?;
        let view = view.map(|view| views::group(&view));
        Ok(Joined {
            group: group.to_string(),
            root: group.root.to_string(),
            role: view.as_ref().and_then(|view| view.role.clone()).unwrap_or_default(),
            members: view.map(|view| view.members).unwrap_or_default(),
            joined_ms,
        })
    }

    /// Leaves a group; closes it, if it is this node's own.
    pub async fn leave(&self, group: GroupId) -> Result<Departed, Problem> {
        self.node.leave_group(group).await.map_err(|error| not_left(&error))?;
        Ok(departed(group, self.node.peer_id()))
    }

    /// Closes a group of this node's own.
    pub async fn close(&self, group: GroupId) -> Result<Departed, Problem> {
        self.node.close_group(group).await.map_err(|error| not_left(&error))?;
        Ok(departed(group, self.node.peer_id()))
    }

    /// The next peer that wants to come in; `None` when the node has stopped. It waits for the word on it from here on.
    pub async fn next_wish(&self, admissions: &mut fatebound::Admissions) -> Option<Wish> {
        let request = admissions.next().await?;
        let wish = Wish {
            group: request.group.to_string(),
            peer: request.peer.to_string(),
            observe: request.observe,
        };
        let mut wishes = self.wishes.lock().await;
        if wishes.len() >= MAX_WISHES {
            // Dropped, the oldest hears no.
            wishes.shift_remove_index(0);
        }
        if let Some(former) = wishes.insert((request.group, request.peer), request) {
            // Its no would be taken for the word on the new one.
            former.ignore();
        }
        Some(wish)
    }

    /// Peers that want to come in, from now on.
    pub async fn admissions(&self) -> Result<fatebound::Admissions, Problem> {
        self.node.admissions().await.map_err(stopping)
    }

    /// The word on a peer that waits for it.
    pub async fn admit(&self, group: GroupId, peer: PeerId, refusal: Option<String>) -> Result<(), Problem> {
        let request: Option<AdmissionRequest> = self.wishes.lock().await.shift_remove(&(group, peer));
        let Some(request) = request else {
            let words = format!("{peer} does not wait to be let into this group");
            return Err(Problem::new(Kind::NotAllowed, &words));
        };
        match refusal {
            None => request.admit().await,
            Some(text) => request.refuse(text).await,
        }
        .map_err(stopping)
    }
}

/// Wishes that wait for a word, the oldest first.
pub type Wishes = Arc<tokio::sync::Mutex<indexmap::IndexMap<(GroupId, PeerId), AdmissionRequest>>>;

/// The policy of a creation.
pub fn admission(admit: AdmitRequest) -> Admission {
    match admit {
        AdmitRequest::Ask => Admission::Ask,
        AdmitRequest::Open => Admission::Open,
        AdmitRequest::Members => Admission::Members,
        AdmitRequest::Listed(peers) => Admission::Listed(peers.into_iter().map(|peer| peer.peer).collect()),
    }
}

fn departed(group: GroupId, us: PeerId) -> Departed {
    let state = match group.root == us {
        true => GroupState::Closed,
        false => GroupState::Left,
    };
    Departed {
        group: group.to_string(),
        state,
    }
}

pub(super) fn not_joined(error: &JoinGroupError) -> Problem {
    match error {
        JoinGroupError::Stopped(stopped) => stopping(*stopped),
        JoinGroupError::Failed(JoinError::Over(reason)) => group_over(reason, error),
        JoinGroupError::Failed(JoinError::OtherRole) => Problem::new(Kind::NotAllowed, error),
        _ => Problem::new(Kind::NotAdmitted, error),
    }
}

fn not_left(error: &LeaveGroupError) -> Problem {
    match error {
        LeaveGroupError::Stopped(stopped) => stopping(*stopped),
        LeaveGroupError::Failed(LeaveError::Over(reason)) => group_over(reason, error),
        _ => Problem::new(Kind::NotAllowed, error),
    }
}

/// A group that is over: closed, or else failed.
fn group_over(reason: &Reason, error: &dyn std::fmt::Display) -> Problem {
    let kind = match reason {
        Reason::Closed { .. } => Kind::GroupClosed,
        _ => Kind::GroupOver,
    };
    Problem::new(kind, &error).with(More {
        reason: serde_json::to_value(reason).ok(),
        ..More::default()
    })
}
