//! This process's share in a group's fate: a stream from the node. When it ends without a `leave`, because this process has gone for instance, the node fails
//! the group.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use fatebound::{Config, Profile};
use serde::Deserialize;
use serde_json::{Value, json};

use super::report::Ended;
use crate::api::model::{CreateRequest, GroupInfo, NodeInfo};
use crate::api::problem::Kind;
use crate::client::sse::Events;
use crate::client::{Api, CallError};
use crate::exit::{Exit, Failure};

/// The node says something this often at least.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// Between two attempts to create a group.
const RETRY: Duration = Duration::from_millis(250);
/// Before a leave that the node had no place for, or that was lost on its way, is said again.
const BUSY: Duration = Duration::from_secs(1);

/// What a node says on the stream of a hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Word {
    Held(Held),
    Invited(Held),
    Failed {
        #[serde(default)]
        reason: Value,
        #[serde(default)]
        message: Option<String>,
    },
    Closed,
    Left,
    /// `waiting`, `keepalive`, and whatever comes to be.
    #[serde(other)]
    Other,
}

/// What this process holds.
#[derive(Clone, Debug, Deserialize)]
pub struct Held {
    /// The hold's id.
    pub hold: String,
    /// The group's id.
    pub group: String,
    /// Its root.
    pub root: String,
    /// This node.
    pub peer: String,
    /// All members as far as this node knows, the root first.
    #[serde(default)]
    pub members: Vec<String>,
    /// The invitation's tag.
    #[serde(default)]
    pub tag: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    state_base64: Option<String>,
}

impl Held {
    /// What the group's creator wanted its members to know.
    pub fn state(&self) -> Option<Vec<u8>> {
        match (&self.state, &self.state_base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(text)) => BASE64.decode(text.as_bytes()).ok(),
            (None, None) => None,
        }
    }

    /// This node's place among the members.
    pub fn rank(&self) -> Option<usize> {
        self.members.iter().position(|member| *member == self.peer)
    }
}

/// A node's silence that lasts so many of its keep-alives counts as its loss. They are counted while this process runs, so that one that was stopped
/// itself does not take its own time for the node's.
#[derive(Clone, Copy, Debug)]
pub struct Patience(u32);

impl Patience {
    /// As long as suits the node's profile, and never longer than it takes until the others notice that a node is lost.
    pub async fn of(api: &Api) -> Result<Patience, CallError> {
        let node: NodeInfo = api.get("/v1/node").await?;
        Ok(Patience(match node.profile.parse() {
            Ok(Profile::Local) => 3,
            Ok(Profile::Lan) => 10,
            _ => 30,
        }))
    }
}

/// A share in a group's fate.
#[derive(Debug)]
pub struct Hold {
    api: Api,
    stream: Stream,
    /// What is held.
    pub held: Held,
}

impl Hold {
    /// Creates a group, and tries again until all have accepted or this time is over.
    pub async fn create(
        api: &Api,
        mut request: CreateRequest,
        wait: Option<Duration>,
        patience: Patience,
    ) -> Result<Hold, Failure> {
        let attempt = Config::preset(Profile::Wan).groups.create_timeout;
        // Longer than the clock can count is for ever.
        let until = wait.map(|wait| Instant::now().checked_add(wait));
        let left = || {
            until
                .flatten()
                .map(|until| until.saturating_duration_since(Instant::now()))
        };
        loop {
            if let Some(left) = left() {
                request.timeout_ms = Some(whole_ms(left.min(attempt)));
            }
            let error = match open(api, "/v1/groups?hold=true", &request, patience, attempt).await {
                Ok(mut hold) => {
                    // The creator knows what it has said.
                    hold.held.tag = request.tag;
                    (hold.held.state, hold.held.state_base64) = (request.state, request.state_base64);
                    return Ok(hold);
                }
                Err(error) => error,
            };
            let again = matches!(&error, CallError::Problem(problem) if problem.is(Kind::CreationFailed));
            if !again || until.is_none() || left().is_some_and(|left| left < 2 * RETRY) {
                return Err(refused(error));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Comes into a group, or takes a further share in one that this node is in.
    pub async fn join(api: &Api, group: &str, patience: Patience) -> Result<Hold, Failure> {
        let path = format!("/v1/groups/{}/join?hold=true", word(group)?);
        let attempt = Config::preset(Profile::Wan).groups.create_timeout;
        let mut hold = open(api, &path, &json!({}), patience, attempt).await?;
        let shown = api.get::<GroupInfo>(&format!("/v1/groups/{}", hold.held.group)).await;
        // A group that is over by now is told on the stream.
        if let Ok(group) = shown {
            hold.held.tag = group.tag;
            hold.held.state = group.application.application_state;
            hold.held.state_base64 = group.application.application_state_base64;
        }
        Ok(hold)
    }

    /// Waits for an invitation.
    pub async fn accept(api: &Api, tag: &str, wait: Option<Duration>, patience: Patience) -> Result<Hold, Failure> {
        let path = format!("/v1/invitations?count=1&tag={}", encoded(tag));
        let events = api.events(&path).await?;
        let first = first(Stream::new(events, patience));
        let (held, stream) = match wait {
            None => first.await?,
            Some(wait) => tokio::time::timeout(wait, first).await.unwrap_or_else(|_| {
                Err(Failure::new(
                    Exit::CreationFailed,
                    format!(
                        "nobody has invited this node with the tag {tag:?} within {}",
                        humantime::format_duration(wait)
                    ),
                ))
            })?,
        };
        Ok(Hold {
            api: api.clone(),
            stream,
            held,
        })
    }

    /// Until the group is over, or the node is lost.
    pub async fn over(&mut self) -> Over {
        loop {
            match self.stream.next().await {
                Some(Word::Failed { reason, message }) => {
                    let message = message.unwrap_or_else(|| in_words(&reason));
                    return Over::Failed { reason, message };
                }
                Some(Word::Closed) => return Over::Closed,
                Some(Word::Left) => return Over::Left,
                Some(_) => {}
                None => return Over::Lost(self.stream.why()),
            }
        }
    }

    /// Leaves the group cleanly; at its root, once all others have.
    pub async fn leave(&mut self) -> Result<(), Over> {
        let path = format!("/v1/holds/{}/leave", self.held.hold);
        let api = self.api.busy_for(Duration::MAX);
        let left = async {
            loop {
                match api.post::<_, Value>(&path, &json!({})).await {
                    Ok(_) => return,
                    // The stream says what has become of it.
                    Err(CallError::Problem(problem))
                        if problem.is(Kind::HoldUnknown) || problem.is(Kind::GroupFailed) =>
                    {
                        std::future::pending::<()>().await;
                    }
                    // Nothing has become of it yet, or nobody knows; to say it again does no harm.
                    Err(_) => tokio::time::sleep(BUSY).await,
                }
            }
        };
        tokio::select! {
            biased;
            () = left => Ok(()),
            over = self.over() => match over {
                Over::Left | Over::Closed => Ok(()),
                over => Err(over),
            },
        }
    }

    /// Fails the group. What cannot be said, the end of this hold says.
    pub async fn signal(&self, reason: &str) {
        let path = format!("/v1/holds/{}/signal", self.held.hold);
        let _ = self.api.post::<_, Value>(&path, &json!({ "reason": reason })).await;
    }
}

/// How it has come that a hold is one no more.
#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    /// The group has failed.
    Failed {
        /// Why, for programs.
        reason: Value,
        /// Why, for people.
        message: String,
    },
    /// Its root has closed it.
    Closed,
    /// This node has left it.
    Left,
    /// The node has gone, or hangs.
    Lost(&'static str),
}

impl Over {
    /// As the end of a command.
    pub fn ended(self, began: bool) -> Ended {
        match self {
            Over::Failed { reason, message } => Ended::Group { reason, message, began },
            Over::Closed => Ended::Group {
                reason: json!({ "kind": "closed" }),
                message: "its root has closed it".to_owned(),
                began,
            },
            Over::Left => Ended::Group {
                reason: json!({ "kind": "left" }),
                message: "this node has left it".to_owned(),
                began,
            },
            Over::Lost(why) => Ended::Node(why.to_owned()),
        }
    }
}

/// The words of a node, and how long it may be silent.
#[derive(Debug)]
struct Stream {
    events: Events,
    patience: Patience,
    /// So many keep-alives in a row have not come.
    missed: u32,
    /// When the next one is missed. Whoever waits for a word may stop to wait, and wait again.
    due: Option<tokio::time::Instant>,
    silent: bool,
}

impl Stream {
    fn new(events: Events, patience: Patience) -> Stream {
        Stream {
            events,
            patience,
            missed: 0,
            due: None,
            silent: false,
        }
    }

    /// The next word; `None` when the stream has ended, or the node is silent for too long.
    async fn next(&mut self) -> Option<Word> {
        while self.missed < self.patience.0 {
            let due = *self.due.get_or_insert_with(|| tokio::time::Instant::now() + KEEPALIVE);
            let word = tokio::time::timeout_at(due, self.events.next_of()).await;
            self.due = None;
            if let Ok(word) = word {
                self.missed = 0;
                return word;
            }
            self.missed += 1;
        }
        self.silent = true;
        None
    }

    fn why(&self) -> &'static str {
        match self.silent {
            true => "it says nothing any more",
            false => "it has gone",
        }
    }
}

async fn open<B: serde::Serialize>(
    api: &Api,
    path: &str,
    body: &B,
    patience: Patience,
    limit: Duration,
) -> Result<Hold, CallError> {
    let events = api.busy_for(limit).attach_in_time(path, body).await?;
    let (held, stream) = first(Stream::new(events, patience))
        .await
        .map_err(|failure| CallError::Unreachable(failure.message))?;
    Ok(Hold {
        api: api.clone(),
        stream,
        held,
    })
}

/// Waits for the word that something is held.
async fn first(mut stream: Stream) -> Result<(Held, Stream), Failure> {
    loop {
        match stream.next().await {
            Some(Word::Held(held) | Word::Invited(held)) => return Ok((held, stream)),
            Some(_) => {}
            None => {
                let why = stream.why();
                return Err(Failure::new(Exit::NodeUnreachable, format!("the node is lost: {why}")));
            }
        }
    }
}

/// A creation that failed names each member that did not accept, and why.
fn refused(error: CallError) -> Failure {
    let more = match &error {
        CallError::Problem(problem) => problem
            .more
            .refusals
            .iter()
            .map(|refusal| format!("; {}: {}", refusal.peer, refusal.message))
            .collect(),
        _ => String::new(),
    };
    let failure = Failure::from(error);
    Failure::new(failure.exit, failure.message + &more)
}

fn in_words(reason: &Value) -> String {
    match (reason["reason"].as_str(), reason["kind"].as_str()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(kind)) => kind.replace('_', " "),
        (None, None) => "no reason is known".to_owned(),
    }
}

/// A group's id is one word of a path.
fn word(group: &str) -> Result<&str, Failure> {
    match !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(group),
        false => Err(Failure::usage(format!("{group:?} is no group's id"))),
    }
}

/// A value in a query: whatever is not plain stands there as a number.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// At least one millisecond: zero would mean the default.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_node_are_understood() {
        let read = |text: &str| serde_json::from_str::<Word>(text).unwrap();
        let held = r#"{"event":"invited","hold":"h","group":"g","root":"a","peer":"b","members":["a","b"],"tag":"t","state":"s","more":1}"#;
        let Word::Invited(held) = read(held) else {
            panic!("an invitation")
        };
        assert_eq!(held.rank(), Some(1));
        assert_eq!(held.state().unwrap(), b"s");
        assert!(matches!(read(r#"{"event":"keepalive"}"#), Word::Other));
        assert!(matches!(read(r#"{"event":"of a later version","x":1}"#), Word::Other));
        assert!(matches!(
            read(r#"{"event":"failed","hold":"h","group":"g","reason":{"kind":"x"}}"#),
            Word::Failed { .. }
        ));
    }

    #[test]
    fn a_tag_may_have_any_character() {
        assert_eq!(encoded("a b/ü&c=1"), "a%20b%2F%C3%BC%26c%3D1");
        assert_eq!(encoded("job-1._~"), "job-1._~");
    }
}
