//! What a provider may order, and how it is written on standard input.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::process_groups::model::{
    DeactivationRequest, LeaveRequest, MessageRequest, ProposalRequest, Resolution, VoteRequest,
};
use crate::api::process_groups::octets::Octets;
use crate::client::{Api, CallError};

/// Longer than anything in a group takes that is not blocked: sixty-four phases of an hour.
const ANY_TIME: Duration = Duration::from_secs(64 * 3600);

/// A provider's orders.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The node has to answer at once.
    api: Api,
    /// The node answers when the group has.
    patient: Api,
    path: String,
}

/// One order, as it is written on a line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// A message to all.
    Send(Octets),
    /// A proposal.
    Propose(Box<ProposalRequest>),
    /// A vote.
    Vote(VoteRequest),
    /// To go, if nobody minds.
    Leave {},
    /// To go, whoever minds.
    Goodbye(String),
    /// How it went to end this process after it was expelled.
    Deactivated(DeactivationRequest),
}

impl Order {
    /// As its line begins.
    pub fn name(&self) -> &'static str {
        match self {
            Order::Send(_) => "send",
            Order::Propose(_) => "propose",
            Order::Vote(_) => "vote",
            Order::Leave {} => "leave",
            Order::Goodbye(_) => "goodbye",
            Order::Deactivated(_) => "deactivated",
        }
    }

    /// Whether later orders need not wait for what becomes of it: others have a say in that, maybe by those very orders.
    pub fn is_long(&self) -> bool {
        matches!(self, Order::Propose(_) | Order::Leave {})
    }
}

impl Orders {
    pub(super) fn new(api: Api, path: String) -> Orders {
        Orders {
            patient: api.busy_for(ANY_TIME),
            api,
            path,
        }
    }

    /// Gives one, and waits for its answer.
    pub async fn give(&self, order: &Order) -> Result<Value, CallError> {
        match order {
            Order::Send(body) => self.send(body.clone()).await.map(|()| json!({})),
            Order::Propose(proposal) => self.propose(proposal).await.map(|resolution| json!(resolution)),
            Order::Vote(vote) => self.vote(vote).await.map(|()| json!({})),
            Order::Leave {} => self
                .leave(LeaveRequest::default())
                .await
                .map(|resolution| json!(resolution)),
            Order::Goodbye(words) => {
                let goodbye = Some(words.clone());
                self.leave(LeaveRequest { goodbye })
                    .await
                    .map(|resolution| json!(resolution))
            }
            Order::Deactivated(how) => self.api.tell(&self.at("deactivations"), how).await.map(|()| json!({})),
        }
    }

    /// Sends a message; returns when it is queued.
    pub async fn send(&self, body: Octets) -> Result<(), CallError> {
        self.patient.tell(&self.at("messages"), &MessageRequest { body }).await
    }

    /// Proposes something; returns when it is decided.
    pub async fn propose(&self, proposal: &ProposalRequest) -> Result<Resolution, CallError> {
        self.patient.post(&self.at("proposals"), proposal).await
    }

    /// Votes.
    pub async fn vote(&self, vote: &VoteRequest) -> Result<(), CallError> {
        self.api.tell(&self.at("votes"), vote).await
    }

    /// Leaves; returns when it is out, or who rejected it.
    pub async fn leave(&self, how: LeaveRequest) -> Result<Resolution, CallError> {
        self.patient.post(&self.at("leave"), &how).await
    }

    /// Leaves, if that does not take long; whoever goes away without is gone all the same.
    pub async fn leave_soon(&self) {
        let _ = self
            .api
            .post::<_, Resolution>(&self.at("leave"), &LeaveRequest::default())
            .await;
    }

    fn at(&self, what: &str) -> String {
        format!("{}/{what}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_objects_with_one_name() {
        let order = |line: &str| serde_json::from_str::<Order>(line);
        assert!(matches!(order(r#"{"send": "text"}"#), Ok(Order::Send(body)) if body.0 == b"text"));
        assert!(matches!(order(r#"{"send": {"base64": "AP8="}}"#), Ok(Order::Send(body)) if body.0 == [0, 255]));
        let propose = order(r#"{"propose": {"state": "x", "voted": true}}"#).unwrap();
        assert!(propose.is_long() && propose.name() == "propose");
        let vote = order(r#"{"vote": {"protocol": 5, "phase": 1, "verdict": "approve"}}"#).unwrap();
        assert!(!vote.is_long() && vote.name() == "vote");
        assert!(matches!(order(r#"{"leave": {}}"#), Ok(Order::Leave {})));
        assert!(matches!(order(r#"{"goodbye": "why"}"#), Ok(Order::Goodbye(_))));
        for wrong in [
            "{}",
            "text",
            r#"{"send": 7}"#,
            r#"{"sing": "x"}"#,
            r#"{"send": "a", "leave": {}}"#,
        ] {
            assert!(order(wrong).is_err(), "{wrong}");
        }
    }
}
