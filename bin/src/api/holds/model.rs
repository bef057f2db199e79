//! What the bodies and events about holds look like.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event of a stream of holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum HoldEvent {
    /// The first one of `GET /v1/invitations`: from now on invitations with this tag are accepted.
    Waiting {
        /// Which.
        tag: String,
    },
    /// An invitation was accepted, and is held.
    Invited(Box<Invited>),
    /// The first one of a creation and of a join: the group is held.
    Held(Box<HeldInfo>),
    /// Every second: the node lives.
    Keepalive,
    /// The group has failed. The hold has ended.
    Failed {
        /// Which hold.
        hold: String,
        /// Of which group.
        group: String,
        /// Why, for programs: `kind` and what belongs to it.
        reason: Value,
        /// Why, for people.
        message: String,
    },
    /// The group was closed by its root, which is no failure. The hold has ended.
    Closed {
        /// Which hold.
        hold: String,
        /// Of which group.
        group: String,
    },
    /// The hold has ended by its holder's `leave`; or this node has left the group for another reason.
    Left {
        /// Which hold.
        hold: String,
        /// Of which group.
        group: String,
    },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// An invitation that was accepted, and is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// The hold's id.
    pub hold: String,
    /// The group's id.
    pub group: String,
    /// Its root, who invites.
    pub root: String,
    /// This node.
    pub peer: String,
    /// All members, the root first; empty in groups of more than 64.
    pub members: Vec<String>,
    /// The tag.
    pub tag: String,
    /// What its creator wants its members to know.
    #[serde(flatten)]
    pub state: HeldState,
}

/// Application state in one of two forms: neither, where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldState {
    /// When it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_base64: Option<String>,
}

impl HeldState {
    /// These bytes.
    pub fn of(bytes: &[u8]) -> HeldState {
        match std::str::from_utf8(bytes) {
            Ok("") => HeldState::default(),
            Ok(text) => HeldState {
                state: Some(text.to_owned()),
                state_base64: None,
            },
            Err(_) => HeldState {
                state: None,
                state_base64: Some(BASE64.encode(bytes)),
            },
        }
    }
}

/// A group that is held since its creation, or since a join.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldInfo {
    /// The hold's id.
    pub hold: String,
    /// The group's id.
    pub group: String,
    /// Its root.
    pub root: String,
    /// This node.
    pub peer: String,
    /// After a join: `root` or `member`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its members as far as known here, the root first.
    pub members: Vec<String>,
    /// How long the creation took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ms: Option<f64>,
    /// How long the join took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_ms: Option<f64>,
}

/// The answer to `POST /v1/holds/{hold}/leave`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldLeft {
    /// Always: the hold has ended, and nobody has failed.
    pub left: bool,
}

/// The answer to `POST /v1/holds/{hold}/renew`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Within this time it has to be renewed again; null when it need not.
    pub ttl_ms: Option<u64>,
}

impl HoldEvent {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            HoldEvent::Waiting { .. } => "waiting",
            HoldEvent::Invited(_) => "invited",
            HoldEvent::Held(_) => "held",
            HoldEvent::Keepalive => "keepalive",
            HoldEvent::Failed { .. } => "failed",
            HoldEvent::Closed { .. } => "closed",
            HoldEvent::Left { .. } => "left",
            HoldEvent::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_a_flat_object_with_its_name() {
        let invited = HoldEvent::Invited(Box::new(Invited {
            hold: "h".into(),
            group: "g".into(),
            root: "r".into(),
            peer: "p".into(),
            members: vec!["r".into(), "p".into()],
            tag: "t".into(),
            state: HeldState::of(b"7"),
        }));
        let value = json!({"event": "invited", "hold": "h", "group": "g", "root": "r", "peer": "p", "members": ["r", "p"], "tag": "t", "state": "7"});
        assert_eq!(serde_json::to_value(&invited).unwrap(), value);
        assert_eq!(serde_json::from_value::<HoldEvent>(value).unwrap(), invited);
        assert_eq!(
            serde_json::to_value(HoldEvent::Keepalive).unwrap(),
            json!({"event": "keepalive"})
        );
    }

    #[test]
    fn every_event_says_its_name_twice_alike() {
        let (hold, group) = (String::new(), String::new());
        let events = [
            HoldEvent::Waiting { tag: String::new() },
            HoldEvent::Held(Box::default()),
            HoldEvent::Keepalive,
            HoldEvent::Closed {
                hold: hold.clone(),
                group: group.clone(),
            },
            HoldEvent::Left { hold, group },
        ];
        for event in events {
            assert_eq!(serde_json::to_value(&event).unwrap()["event"], event.name());
        }
    }

    #[test]
    fn state_is_text_or_base64() {
        let json = |state: &[u8]| serde_json::to_value(HeldState::of(state)).unwrap();
        assert_eq!(json(b""), json!({}));
        assert_eq!(json("é".as_bytes()), json!({"state": "é"}));
        assert_eq!(json(&[0, 255]), json!({"state_base64": "AP8="}));
    }
}
