//! What the bodies of process groups look like, but for the events of an attachment.
//!
//! Nodes are a `PeerId` and an incarnation, providers `<PeerId>.<incarnation>.<serial>`. An epoch is a decimal number in a string: it does not fit the
//! numbers of JavaScript.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::octets::Octets;

/// `GET /v1/process-groups`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessGroups {
    /// Those in which this node is, or into which it is on its way, by name.
    pub process_groups: Vec<PgInfo>,
}

/// `GET /v1/process-groups/{name}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PgInfo {
    /// Its name.
    pub name: String,
    /// `joining`, `normal`, `wedged`, `coordinating`, `blocked` or `gone`: how this node stands to it.
    pub status: String,
    /// What this node does to come in, if it is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
    /// Who leads the view: its oldest node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Whether that is this node.
    #[serde(default)]
    pub leads: bool,
    /// Which founding of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founding: Option<FoundingInfo>,
    /// The view in which this node is, or was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewInfo>,
    /// What decides, and what may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<QuorumInfo>,
    /// When `status` is `blocked`: what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<BlockedInfo>,
    /// The number of the last decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// The providers, the oldest first.
    #[serde(default)]
    pub providers: Vec<ProviderInfo>,
    /// Providers of this node, also those that are on their way.
    #[serde(default)]
    pub own: Vec<String>,
    /// The state value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateInfo>,
    /// The protocol that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolInfo>,
    /// How the group handles its protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<AttributesInfo>,
}

/// One founding of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundingInfo {
    /// Seconds since 2020, and larger than those of every founding before.
    pub incarnation: u32,
    /// By whom.
    pub founder: String,
}

/// A view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewInfo {
    /// Its number.
    pub number: u64,
    /// Its nodes by age, the leader first.
    pub voters: Vec<VoterInfo>,
    /// What counts as a quorum.
    pub policy: String,
}

/// A node of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterInfo {
    /// Who.
    pub peer: String,
    /// In which life, hexadecimal.
    pub incarnation: String,
    /// For the policy `weights`.
    pub weight: u8,
    /// Whether it is here for its vote alone.
    #[serde(default)]
    pub witness: bool,
}

/// What it takes to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumInfo {
    /// Of so much, by heads or by weight,
    pub of: u32,
    /// so much decides.
    pub need: u32,
    /// So many nodes may be lost at once, whichever they are; with one more the group may be blocked.
    pub may_lose: usize,
}

/// What is missing of a quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedInfo {
    /// So much is there,
    pub have: u32,
    /// so much would do.
    pub need: u32,
    /// Who does not answer.
    pub missing: Vec<String>,
}

/// One provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// Its name.
    pub provider: String,
    /// Where it runs.
    pub peer: String,
    /// What its process is called.
    pub instance: Octets,
    /// What the others are to know of it.
    #[serde(default, skip_serializing_if = "Octets::is_empty")]
    pub info: Octets,
    /// `present`, `failed` or `absent`.
    pub standing: String,
    /// `failed`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The state value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateInfo {
    /// How often it was changed.
    pub version: u64,
    /// The value.
    pub value: Octets,
}

/// The protocol that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProtocolInfo {
    /// The number of its start: votes name it.
    pub protocol: u64,
    /// What it is about.
    pub change: Value,
    /// The phase that is open; without one, commands of deactivation run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<u32>,
    /// How long each phase waits.
    pub limit_ms: f64,
    /// What is counted for those who do not vote.
    pub default: Verdict,
    /// Who is asked.
    pub voters: Vec<String>,
    /// At the leader, which alone knows it: who has not voted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited: Option<Vec<String>>,
}

/// A vote's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Let it be so.
    Approve,
    /// Let there be another phase.
    Continue,
    /// Let it not be.
    Reject,
}

/// The attributes of a group. What is not said is as in a group whose founder said nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttributesInfo {
    /// Of the program that runs in the providers, in its own counting.
    pub version: u32,
    /// What is counted for those who do not vote: `approve` or `reject`.
    pub default_vote: Verdict,
    /// Whether joins are voted upon.
    pub voted_joins: bool,
    /// Whether leaves are.
    pub voted_leaves: bool,
    /// Whether the removal of who has failed goes along with a vote.
    pub voted_failures: bool,
    /// How long a phase waits for votes.
    pub phase_limit_ms: u64,
    /// With this phase a protocol ends.
    pub max_phases: u32,
    /// For how long joins are collected.
    pub join_window_ms: u64,
    /// For how long leaves are.
    pub leave_window_ms: u64,
    /// Whether proposals that meet wait: `queue` or `refuse`.
    pub collision: Collision,
    /// After this a leave becomes a goodbye.
    pub leave_limit_ms: u64,
    /// For how long a place may be held.
    pub max_hold_ms: u64,
}

/// What happens to proposals that meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collision {
    /// They wait.
    Queue,
    /// They are refused.
    Refuse,
}

/// `POST /v1/process-groups/{name}/providers`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// What the process is called; else the node finds a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What the others are to know of it.
    #[serde(default, skip_serializing_if = "Octets::is_empty")]
    pub info: Octets,
    /// What the group is to be like: its founder says, and whoever joins has to bring the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<AttributesInfo>,
}

/// `POST …/messages`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// What, at most 60 KiB.
    pub body: Octets,
}

/// `POST …/proposals`: exactly one of `state`, `message`, `expel`, `attributes` and `barrier`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalRequest {
    /// Another state value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Octets>,
    /// … only if the value that it replaces has this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// A message to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Octets>,
    /// That these providers leave the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expel: Option<Vec<String>>,
    /// … and are ended at their nodes, with this argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate: Option<Octets>,
    /// Other attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<AttributesInfo>,
    /// That everybody comes to the point of this name: always voted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<Octets>,
    /// Whether it is voted upon; else it is true with its announcement.
    #[serde(default)]
    pub voted: bool,
    /// How long each phase waits, where the group's limit is not right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ms: Option<u64>,
}

/// `POST …/votes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoteRequest {
    /// In which protocol.
    pub protocol: u64,
    /// In which phase.
    pub phase: u32,
    /// What.
    pub verdict: Verdict,
    /// For all others, with the phase's result.
    #[serde(default, skip_serializing_if = "Octets::is_empty")]
    pub message: Octets,
    /// What the state value is to be if it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Octets>,
    /// What is to be counted, from the next phase on, for those who do not vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Verdict>,
}

/// `POST …/leave`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaveRequest {
    /// To go whoever minds, with these last words; else the group may vote on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodbye: Option<String>,
}

/// `POST …/deactivations`: how it went to end a process that was expelled.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeactivationRequest {
    /// For which protocol.
    pub protocol: u64,
    /// The exit status of whatever ended it; none: it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
}

/// `PUT /v1/process-groups/{name}/state?provider=ID`, with or without `If-Match: VERSION`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateRequest {
    /// The value, at most 16 KiB.
    pub value: Octets,
}

/// What became of a proposal, or of a leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// `approved`, `rejected`, `too_many_phases`, or `unknown`: this node was put out of the group, where it may or may not have come true.
    pub outcome: String,
    /// `approved`: since this epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// The votes of the last phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<BallotInfo>,
    /// Of an expulsion: how the commands of deactivation ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<String>,
}

/// Whose vote was what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BallotInfo {
    /// Whose.
    pub provider: String,
    /// What was counted.
    pub verdict: Verdict,
    /// Why the default, where it did not vote: `gone`, `absent` or `silent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_default: Option<String>,
    /// What it had to say.
    #[serde(default, skip_serializing_if = "Octets::is_empty")]
    pub message: Octets,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_may_be_said_in_part() {
        let partial: AttributesInfo = serde_json::from_str(r#"{"default_vote": "approve"}"#).unwrap();
        assert_eq!(partial.default_vote, Verdict::Approve);
        assert_eq!(
            AttributesInfo {
                default_vote: Verdict::Reject,
                ..partial
            },
            AttributesInfo::default()
        );
        assert!(serde_json::from_str::<AttributesInfo>(r#"{"default": 1}"#).is_err());
    }

    #[test]
    fn a_vote_is_short_where_little_is_said() {
        let vote: VoteRequest = serde_json::from_str(r#"{"protocol": 5, "phase": 1, "verdict": "approve"}"#).unwrap();
        assert_eq!((vote.protocol, vote.phase, vote.verdict), (5, 1, Verdict::Approve));
        assert!(serde_json::from_str::<VoteRequest>(r#"{"protocol": 5, "phase": 1, "verdict": "yes"}"#).is_err());
    }
}
