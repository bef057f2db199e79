//! One stream of holds: what it holds, and what happens to that.

use std::sync::Arc;

use fatebound::{End, Group, Invitation, Invitations};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::table::{Held, Places};
use crate::api::holds::Terms;
use crate::api::holds::model::{HeldState, HoldEvent, Invited};
use crate::local::Local;

/// Holds of one stream at most, at a time.
pub const MAX_OF_STREAM: usize = 64;

/// How a hold has ended.
#[expect(clippy::large_enum_variant, reason = "it is looked at at once, and not kept")]
enum Ended {
    /// By its holder's wish.
    Left,
    /// With its group.
    Over(End),
}

/// One stream of holds. When this is dropped, those that have not ended have ended badly.
pub struct Holding {
    local: Arc<Local>,
    terms: Terms,
    /// The event that comes next, whatever happens.
    first: Option<HoldEvent>,
    ends: FuturesUnordered<BoxFuture<'static, (Held, Ended)>>,
    accepting: Option<Accepting>,
    /// So many invitations it may accept beyond the places that it had in the beginning; places that are over are used up when this is.
    budget: Option<usize>,
}

/// A stream that waits for invitations.
struct Accepting {
    invitations: Invitations,
    /// So many it may still accept.
    left: Option<usize>,
}

impl Holding {
    /// A stream for this hold alone, whose first event is this.
    pub fn of(local: Arc<Local>, terms: Terms, held: Held, group: Group, first: HoldEvent) -> Holding {
        let mut holding = Holding {
            local,
            terms,
            first: Some(first),
            ends: FuturesUnordered::new(),
            accepting: None,
            budget: None,
        };
        holding.hold(held, group);
        holding
    }

    /// A stream that accepts invitations, so many of them.
    pub fn accepting(
        local: Arc<Local>,
        terms: Terms,
        tag: String,
        invitations: Invitations,
        count: Option<usize>,
    ) -> Holding {
        Holding {
            local,
            terms,
            first: Some(HoldEvent::Waiting { tag }),
            ends: FuturesUnordered::new(),
            accepting: Some(Accepting {
                invitations,
                left: count,
            }),
            budget: count.map(|count| count.saturating_sub(MAX_OF_STREAM)),
        }
    }

    /// The next event; `None` when nothing is held or waited for any more. Takes an invitation only if there is `room` to tell of it.
    pub async fn next(&mut self, room: bool) -> Option<HoldEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            tokio::select! {
                Some((held, ended)) = self.ends.next() => return Some(self.ended(held, ended)),
                invitation = invitation(&mut self.accepting, room), if self.accepting.is_some() => {
                    match invitation {
                        Some(invitation) => return Some(self.invited(invitation)),
                        None => self.accepting = None,
                    }
                }
                else => return None,
            }
        }
    }

    fn invited(&mut self, invitation: Invitation) -> HoldEvent {
        let mut places = invitation.places.into_iter();
        let places = Places::new(places.next(), places.next());
        let group = invitation.group;
        if let Some(accepting) = &mut self.accepting {
            accepting.left = accepting.left.map(|left| left.saturating_sub(1));
        }
        if self
            .accepting
            .as_ref()
            .is_some_and(|accepting| accepting.left == Some(0))
        {
            self.accepting = None;
        }
        let event = |hold: String| Invited {
            hold,
            group: group.id().to_string(),
            root: invitation.root.to_string(),
            peer: self.local.peer(),
            members: invitation.members.iter().map(ToString::to_string).collect(),
            tag: invitation.tag,
            state: HeldState::of(&invitation.state),
        };
        // A group into which this node has just been invited is none that it is about to leave.
        match self.local.holds.admit(group.id(), self.terms.ttl, places) {
            Ok(held) => {
                let event = event(held.id().to_owned());
                self.hold(held, group);
                HoldEvent::Invited(Box::new(event))
            }
            Err(_) => HoldEvent::Unknown,
        }
    }

    fn hold(&mut self, mut held: Held, group: Group) {
        self.ends.push(Box::pin(async move {
            let watch = held.watch();
            let ended = tokio::select! {
                biased;
                () = held.left() => Ended::Left,
                end = group.ended() => Ended::Over(end),
                never = watch => match never {},
            };
            (held, ended)
        }));
    }

    fn ended(&mut self, mut held: Held, ended: Ended) -> HoldEvent {
        match &mut self.budget {
            None => {}
            Some(0) => held.use_up(),
            Some(budget) => *budget -= 1,
        }
        let hold = held.id().to_owned();
        let group = held.group().to_string();
        let leaving = self.local.holds.over(&hold);
        match ended {
            Ended::Over(End::Failed(failure)) => HoldEvent::Failed {
                hold,
                group,
                message: failure.reason.to_string(),
                reason: serde_json::to_value(&failure.reason).unwrap_or_default(),
            },
            // A root that leaves closes its group.
            Ended::Over(End::Closed) if !leaving => HoldEvent::Closed { hold, group },
            _ => HoldEvent::Left { hold, group },
        }
    }
}

/// The next invitation; `None` when none will come.
async fn invitation(accepting: &mut Option<Accepting>, room: bool) -> Option<Invitation> {
    match accepting {
        Some(accepting) if room => accepting.invitations.next().await,
        Some(_) => std::future::pending().await,
        None => None,
    }
}
