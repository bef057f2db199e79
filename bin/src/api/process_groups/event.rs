//! The events of an attachment.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{AttributesInfo, BallotInfo, BlockedInfo, ProviderInfo, StateInfo, Verdict, ViewInfo};
use super::octets::Octets;

/// One event. Those from `opened` to `raised` come to all providers in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PgEvent {
    /// The first one: this process is a provider.
    Joined {
        /// Its name.
        provider: String,
        /// The group.
        group: String,
        /// With this epoch.
        epoch: String,
    },
    /// A view begins.
    View(ViewInfo),
    /// The view is over, and the next is not agreed on yet: nothing is shown until then.
    Wedged {
        /// Which view.
        view: u64,
    },
    /// There is no quorum for a next view. Comes again when who is missing changes.
    Blocked(BlockedInfo),
    /// There is one again.
    Unblocked,
    /// A phase is open.
    Opened {
        /// The number of the protocol's start.
        protocol: u64,
        /// Which phase.
        phase: u32,
        /// What it is about.
        change: Value,
        /// The state value that was proposed last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Octets>,
        /// What is counted for those who do not vote.
        default: Verdict,
        /// How long it is waited.
        limit_ms: f64,
        /// Who is asked.
        voters: Vec<String>,
        /// The votes of the phase before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        before: Vec<BallotInfo>,
    },
    /// A protocol has ended.
    Outcome {
        /// The number of its start.
        protocol: u64,
        /// What it was about.
        change: Value,
        /// `approved`, `rejected`, `joiners_gone` or `too_many_phases`.
        outcome: String,
        /// The votes of its last phase.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        votes: Vec<BallotInfo>,
        /// Of an expulsion: how the commands of deactivation ended.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exits: Vec<String>,
        /// The epoch since.
        epoch: String,
    },
    /// The list is another one.
    Providers {
        /// Since this epoch.
        epoch: String,
        /// All, the oldest first.
        providers: Vec<ProviderInfo>,
        /// Who has gone, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<Departure>,
        /// Who has come.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joined: Vec<String>,
    },
    /// The state value is another one.
    State(StateInfo),
    /// The attributes are other ones.
    Attributes(AttributesInfo),
    /// A message to all.
    Message {
        /// Whose.
        from: String,
        /// What.
        body: Octets,
    },
    /// Somebody has failed, and is in the list until its removal.
    Failed {
        /// Who.
        provider: String,
        /// Why.
        reason: String,
        /// Its last words.
        #[serde(default, skip_serializing_if = "Octets::is_empty")]
        text: Octets,
    },
    /// Somebody who wanted to come in is gone.
    JoinerGone {
        /// Who.
        provider: String,
    },
    /// Somebody is slow.
    Announced {
        /// Who.
        provider: String,
        /// `unresponsive`, `did_not_vote` or `lagging`.
        remark: String,
    },
    /// The group's incarnation is a larger one.
    Raised {
        /// Its epoch by now.
        epoch: String,
    },
    /// A vote of this process does not count.
    VoteRefused {
        /// In which protocol.
        protocol: u64,
        /// In which phase.
        phase: u32,
        /// Why.
        message: String,
    },
    /// A vote of this process came too late: the default was counted.
    TooLate {
        /// In which protocol.
        protocol: u64,
        /// In which phase.
        phase: u32,
    },
    /// A message of this process was not sent after all.
    NotSent {
        /// Why.
        message: String,
    },
    /// This process was expelled, and the group wants it ended; `POST …/deactivations` tells how that went.
    Deactivate {
        /// For which protocol.
        protocol: u64,
        /// What the proposer has to say about it.
        argument: Octets,
    },
    /// The group goes on without this node.
    Removed {
        /// In this view or a later one.
        view: u64,
        /// Its leader.
        leader: String,
    },
    /// The group is given up for an older one of the same name.
    Dissolved {
        /// Whose founding.
        founder: String,
    },
    /// This process is in the group no more.
    Ended {
        /// `left`, `expelled`, `failed`, `not_joined` or `put_out`.
        why: String,
        /// In words.
        message: String,
    },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// Who has gone, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// Who.
    pub provider: String,
    /// `left`, `expelled` or `failed`.
    pub why: String,
    /// In words.
    pub message: String,
}

impl PgEvent {
    /// Its name.
    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value["event"].as_str().unwrap_or("unknown").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_an_object_with_its_name_and_comes_back_as_it_was() {
        let event = PgEvent::Message {
            from: "a.1.1".into(),
            body: Octets::from(&b"hello"[..]),
        };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(json, r#"{"event":"message","from":"a.1.1","body":"hello"}"#);
        assert_eq!(serde_json::from_str::<PgEvent>(&json).unwrap(), event);
        let state = PgEvent::State(StateInfo {
            version: 3,
            value: Octets::from(&b"x"[..]),
        });
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(json, r#"{"event":"state","version":3,"value":"x"}"#);
        assert_eq!(serde_json::from_str::<PgEvent>(&json).unwrap(), state);
        assert_eq!(state.name(), "state");
    }

    #[test]
    fn an_event_of_a_later_version_is_known_as_such() {
        let later = r#"{"event":"ping","n":7}"#;
        assert_eq!(serde_json::from_str::<PgEvent>(later).unwrap(), PgEvent::Unknown);
    }
}
