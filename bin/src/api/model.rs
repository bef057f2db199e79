//! What the API's bodies look like: one type per body, used by the node that writes it and by the client that reads it.
//!
//! Ids are strings. Times in milliseconds end in `_ms`. 64-bit numbers that are names, not counts, are hexadecimal strings,
//! because JavaScript would round them. Readers must ignore fields that they do not know.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::peer_arg::PeerArg;

/// `GET /v1/node`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its `PeerId`.
    pub peer: String,
    /// Its life, hexadecimal.
    pub incarnation: String,
    /// The program's version.
    pub version: String,
    /// The overlay's name.
    pub network: Option<String>,
    /// Its preset of timings.
    pub profile: String,
    /// Where it listens, each ending in `/p2p/<PeerId>`.
    pub listen: Vec<String>,
    /// Since when it runs.
    pub uptime_ms: f64,
    /// Whether it is part of its overlay: it has joined, and has not lost everybody there since.
    pub joined: bool,
    /// Whether it has joined and is connected to nobody, although there were others or bootstrap addresses name some.
    #[serde(default)]
    pub isolated: bool,
    /// The bootstrap addresses that led to nobody when they were last dialled.
    #[serde(default)]
    pub bootstrap_problems: Vec<BootstrapProblem>,
    /// Its links.
    pub links: Links,
    /// Its groups.
    pub groups: GroupCounts,
    /// Its segments of paths.
    pub paths: PathCounts,
    /// The bound of its configuration, whatever a group's paths.
    pub notification_bound_ms: f64,
    /// Counts since its start.
    pub counters: Counters,
}

/// A bootstrap address that leads to nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapProblem {
    /// Which.
    pub address: String,
    /// Why.
    pub reason: String,
}

/// Links by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// Up and alive.
    pub alive: usize,
    /// Up and doubtful.
    pub doubtful: usize,
}

/// Groups by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCounts {
    /// This node is the root.
    pub root: usize,
    /// This node is another member.
    pub member: usize,
}

/// Paths by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathCounts {
    /// All.
    pub total: usize,
    /// Those that this node merely carries.
    pub delegate: usize,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Pings sent.
    pub pings_sent: u64,
    /// Pings not answered in time.
    pub pings_missed: u64,
    /// Links that became doubtful.
    pub doubts: u64,
    /// Questions of roots and members to each other, whether one is alive and for repair.
    pub questions: u64,
    /// Frames sent on links.
    pub frames_sent: u64,
    /// Bytes of these.
    pub bytes_sent: u64,
    /// Frames and requests that did not decode or broke a rule.
    pub garbage: u64,
    /// Joint sets whose digests differed.
    pub digest_mismatches: u64,
    /// Links that went down unwanted.
    pub links_lost: u64,
    /// Nodes that were found to run with another profile.
    #[serde(default)]
    pub unlike: u64,
    /// How often two living processes were found to use one identity, this node's own included.
    #[serde(default)]
    pub twins: u64,
    /// Paths that broke at a root and were repaired.
    pub repairs: u64,
    /// Messages and orders thrown away: too many, too long, without a way on, or for what is gone.
    pub dropped: u64,
    /// Pipes that came up.
    #[serde(default)]
    pub pipes_opened: u64,
    /// Of these, those that broke.
    #[serde(default)]
    pub pipes_broken: u64,
}

/// `GET /v1/peers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peers {
    /// The neighbours.
    pub peers: Vec<PeerInfo>,
}

/// One neighbour.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Who.
    pub peer: String,
    /// `alive` or `doubtful`.
    pub link: String,
    /// Whether the overlay wants the link; otherwise only paths keep it.
    pub wanted: bool,
    /// Paths over the link.
    pub paths: u32,
    /// Smoothed round trip, once measured.
    pub round_trip_ms: Option<f64>,
    /// The neighbour's life, hexadecimal.
    pub incarnation: String,
    /// Where it may be dialled, as far as the node knows.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// `GET /v1/routes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Routes {
    /// The node's key, hexadecimal.
    pub key: String,
    /// The leaf set's lower side, nearest first.
    pub below: Vec<String>,
    /// The leaf set's upper side, nearest first.
    pub above: Vec<String>,
    /// The routing table's rows.
    pub rows: Vec<Vec<RouteEntry>>,
}

/// One entry of a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RouteEntry {
    /// The digit that it stands for.
    pub digit: u8,
    /// Who.
    pub peer: String,
}

/// `POST /v1/groups`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// The other members: PeerIds, or multiaddresses that end in one.
    pub members: Vec<PeerArg>,
    /// What kind of group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Application state, when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Application state, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_base64: Option<String>,
    /// How long the creation may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Who may come in later; by default `ask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admit: Option<AdmitRequest>,
}

/// The answer to a creation that succeeded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Created {
    /// The group's id.
    pub group: String,
    /// Its root: this node.
    pub root: String,
    /// All members, the root first.
    pub members: Vec<String>,
    /// How long it took.
    pub created_ms: f64,
}

/// One member that did not accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalInfo {
    /// Who.
    pub peer: String,
    /// Why, for programs: `kind` and what belongs to it.
    #[serde(flatten)]
    pub refusal: Value,
    /// Why, for people.
    pub message: String,
}

/// `GET /v1/groups`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Groups {
    /// The groups.
    pub groups: Vec<GroupInfo>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
}

/// `GET /v1/groups/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupInfo {
    /// The group's id.
    pub group: String,
    /// `alive`, `creating`, `failed`, `closed` or `left`.
    pub state: GroupState,
    /// `root`, `member`, `observer`, or `delegate` (this node carries paths of the group for others); unknown for a group that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its root.
    pub root: String,
    /// Its members as far as known here, the root first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// At the root: its observers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observers: Vec<String>,
    /// Its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// At the root: hops of each member's live path, in the order of `members` without the root; null while a path is not up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Option<u8>>,
    /// At the root: paths under repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairing: Option<usize>,
    /// Within this time of the first failure every live member is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_bound_ms: Option<f64>,
    /// What its creator wanted its members to know; not in listings, and only while it lives.
    #[serde(flatten)]
    pub application: Application,
    /// When `state` is `failed`: why and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Event>,
    /// When `state` is `closed` or `left`: when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Event>,
}

/// Application state, in one of two forms: neither, where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// When it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_state: Option<String>,
    /// When it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_state_base64: Option<String>,
}

impl Application {
    /// These bytes.
    pub fn of(state: &[u8]) -> Application {
        match std::str::from_utf8(state) {
            Ok("") => Application::default(),
            Ok(text) => Application {
                application_state: Some(text.to_owned()),
                application_state_base64: None,
            },
            Err(_) => Application {
                application_state: None,
                application_state_base64: Some(BASE64.encode(state)),
            },
        }
    }

    /// Bytes of its text.
    pub fn size(&self) -> usize {
        let forms = [&self.application_state, &self.application_state_base64];
        forms.into_iter().flatten().map(String::len).sum()
    }
}

/// What is known of a group's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupState {
    /// Every member has accepted; at a delegate: paths of it run through this node.
    Alive,
    /// Not every member has accepted yet.
    Creating,
    /// It has failed.
    Failed,
    /// Its root has closed it, which is no failure.
    Closed,
    /// This node has left it.
    Left,
}

/// Who may come into a group later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmitRequest {
    /// Whoever follows `GET /v1/admissions` is asked; nobody may while nobody does.
    Ask,
    /// Anybody who has the id.
    Open,
    /// Nobody, but for former members who left.
    Members,
    /// These peers.
    Listed(Vec<PeerArg>),
}

/// `POST /v1/groups/{id}/join` and `POST /v1/groups/{id}/observe`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// How long the root has to let this node in; by default `create_timeout`.
    pub timeout_ms: Option<u64>,
}

/// A group that this node has come into.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// The group's id.
    pub group: String,
    /// Its root.
    pub root: String,
    /// `member` or `observer`; at the root itself `root`.
    pub role: String,
    /// Its members as far as known here, the root first.
    pub members: Vec<String>,
    /// How long it took.
    pub joined_ms: f64,
}

/// A group that this node is in no more: the answer to `DELETE /v1/groups/{id}` and to `POST /v1/groups/{id}/close`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Departed {
    /// The group's id.
    pub group: String,
    /// `left`, or `closed` at its root.
    pub state: GroupState,
}

/// A peer that wants to come into a group of this node: what `GET /v1/admissions` streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The group's id.
    pub group: String,
    /// Who.
    pub peer: String,
    /// Only as an observer.
    pub observe: bool,
}

/// `POST /v1/groups/{id}/admissions`: the word on a peer that wants to come in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionRequest {
    /// Who.
    pub peer: PeerArg,
    /// Whether it may.
    pub admit: bool,
    /// Why not.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/groups/{id}/signal`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// Why, for every member to read.
    #[serde(default)]
    pub reason: String,
}

/// The answer to a signal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signalled {
    /// The group's id.
    pub group: String,
    /// The group had failed before: this signal changed nothing.
    pub already_failed: bool,
}

/// The answer to `POST /v1/groups/{id}/check`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checked {
    /// The group's id.
    pub group: String,
    /// Whether it lives.
    pub alive: bool,
    /// The members that were asked, and what they answered.
    #[serde(default)]
    pub members: Vec<CheckedMember>,
    /// When it does not live, and as far as known: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Event>,
}

/// One member's answer to a check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckedMember {
    /// Who.
    pub peer: String,
    /// Whether it answered that it lives and knows the group.
    pub alive: bool,
}

/// One event of the node: the `data` of a server-sent event, whose name is `event` and whose id is `<incarnation>.<seq>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened: `failed`, `created`, `member` (of a group that somebody else created), `link_up`, … or `gap`.
    pub event: String,
    /// The group that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The peer that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Why, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Value>,
    /// What it means, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For `invited`: what the group's creator wants its members to know.
    #[serde(flatten)]
    pub application: Application,
    /// For `gap`: how many events were lost; absent when nobody can know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
    /// 1, 2, 3 … within the node's life; for `gap` that of the last event before it.
    pub seq: u64,
    /// When the node learnt of it, RFC 3339.
    pub time: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_event_is_the_contract() {
        let event = Event {
            event: "failed".into(),
            group: Some("g".into()),
            peer: None,
            reason: Some(json!({"kind": "member_unreachable", "peer": "p"})),
            message: None,
            application: Application::default(),
            missed: None,
            seq: 17,
            time: "2026-11-21T05:00:00.000Z".into(),
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"event":"failed","group":"g","reason":{"kind":"member_unreachable","peer":"p"},"seq":17,"time":"2026-11-21T05:00:00.000Z"}"#
        );
    }

    #[test]
    fn application_state_is_text_or_base64() {
        let json = |state: &[u8]| serde_json::to_value(Application::of(state)).unwrap();
        assert_eq!(json(b""), json!({}));
        assert_eq!(json("é".as_bytes()), json!({"application_state": "é"}));
        assert_eq!(json(&[0, 255]), json!({"application_state_base64": "AP8="}));
        assert_eq!(Application::of(&[0, 255]).size(), 4);
    }

    #[test]
    fn a_refusal_is_flat() {
        let refusal = RefusalInfo {
            peer: "p".into(),
            refusal: json!({"kind": "busy"}),
            message: "declined".into(),
        };
        assert_eq!(
            serde_json::to_value(refusal).unwrap(),
            json!({"peer": "p", "kind": "busy", "message": "declined"})
        );
    }

    #[test]
    fn requests_refuse_what_they_do_not_know() {
        assert!(serde_json::from_str::<CreateRequest>(r#"{"members":[],"timout_ms":3}"#).is_err());
        assert!(serde_json::from_str::<SignalRequest>("{}").is_ok());
    }
}
