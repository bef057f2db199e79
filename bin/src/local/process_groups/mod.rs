//! Process groups of the node in this process, for the API: which there are, and the processes that are attached through it.

mod attached;
mod names;
mod words;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fatebound::process_group::{
    Attributes, Exit, GroupName, JoinProcessGroupError, NameError, Proposal, ProposalRefusal, ProviderHandle, Resolved,
    SendMessageError, Seq, Vote, Voting,
};
use serde_json::{Value, json};

pub use attached::{Attached, Attachment};

use super::{Local, stopping};
use crate::api::problem::{Kind, More, Problem};
use crate::api::process_groups::model::{
    AttachRequest, AttributesInfo, DeactivationRequest, LeaveRequest, PgInfo, ProcessGroups, ProposalRequest,
    Resolution, StateInfo, VoteRequest,
};
use crate::api::process_groups::octets::Octets;

/// Attached processes that nobody has named.
static UNNAMED: AtomicU64 = AtomicU64::new(1);

impl Local {
    /// The groups in which this node is, or into which it is on its way.
    pub async fn process_groups(&self) -> Result<ProcessGroups, Problem> {
        let me = self.peer();
        let groups = self.node.process_groups().await.map_err(stopping)?;
        Ok(ProcessGroups {
            process_groups: groups.iter().map(|status| words::group(status, &me)).collect(),
        })
    }

    /// One of them.
    pub async fn process_group(&self, name: &str) -> Result<PgInfo, Problem> {
        let name = named(name)?;
        let status = self.node.process_group_status(&name).await.map_err(stopping)?;
        let status = status.ok_or_else(|| not_known(&name))?;
        Ok(words::group(&status, &self.peer()))
    }

    /// The state value of one of them.
    pub async fn process_group_state(&self, name: &str) -> Result<StateInfo, Problem> {
        let group = self.process_group(name).await?;
        let not_yet = || {
            let words = format!("this node is not in {name} yet");
            Problem::new(Kind::ProcessGroupNotKnown, &words)
        };
        group.state.ok_or_else(not_yet)
    }

    /// Makes a process a provider of a group; waits until it is one. Dropping the future gives it up.
    pub async fn attach(&self, name: &str, request: AttachRequest) -> Result<Attachment, Problem> {
        let join = self.node.process_group(name).map_err(|error| invalid(&error))?;
        let instance = request
            .instance
            .unwrap_or_else(|| format!("attached-{}", UNNAMED.fetch_add(1, Ordering::Relaxed)));
        let attributes = request
            .attributes
            .as_ref()
            .map_or(Ok(Attributes::default()), attributes)?;
        let join = join.instance(instance).info(request.info.0).attributes(attributes);
        let provider = join.join().await.map_err(|error| not_joined(&error))?;
        Ok(self.attached.admit(provider))
    }

    /// Sends a message to a group; returns when it is queued.
    pub async fn send_to_group(&self, name: &str, provider: &str, body: Octets) -> Result<(), Problem> {
        let sent = self.provider(name, provider)?.send(body.0).await;
        sent.map_err(|error| match error {
            SendMessageError::Refused(why) => refused(why),
            SendMessageError::Stopped(stopped) => stopping(stopped),
            error => Problem::new(Kind::OrderRefused, &error),
        })
    }

    /// Proposes something, and waits for what becomes of it.
    pub async fn propose(&self, name: &str, provider: &str, request: ProposalRequest) -> Result<Resolution, Problem> {
        let handle = self.provider(name, provider)?;
        let (proposal, voting) = proposal(request)?;
        resolution(handle.propose(proposal, voting).await.map_err(stopping)?)
    }

    /// Makes this the state value, by the word of a provider that is attached here: this one, or the one that is attached longest.
    pub async fn set_state(
        &self,
        name: &str,
        provider: Option<&str>,
        value: Octets,
        expected: Option<u64>,
    ) -> Result<Resolution, Problem> {
        let handle = match provider {
            Some(provider) => self.provider(name, provider)?,
            None => {
                let group = named(name)?;
                let words = format!("no process is attached to {name} here, by whose word the state could be changed");
                let longest = self.attached.longest(&group);
                longest.ok_or_else(|| Problem::new(Kind::ProviderNotKnown, &words))?
            }
        };
        let value = value.0;
        let resolved = handle
            .propose(Proposal::State { value, expected }, Voting::OnePhase)
            .await;
        resolution(resolved.map_err(stopping)?)
    }

    /// Votes.
    pub async fn vote(&self, name: &str, provider: &str, request: VoteRequest) -> Result<(), Problem> {
        let default = match request.default.map(words::default_of) {
            Some(None) => return Err(Problem::new(Kind::InvalidRequest, "default: approve or reject")),
            Some(default) => default,
            None => None,
        };
        let vote = Vote {
            verdict: words::verdict_of(request.verdict),
            message: request.message.0,
            state: request.state.map(|state| state.0),
            default,
        };
        let handle = self.provider(name, provider)?;
        let voted = handle.vote(Seq(request.protocol), request.phase, vote).await;
        voted.map_err(stopping)
    }

    /// Takes a provider out of its group.
    pub async fn leave_group(&self, name: &str, provider: &str, request: LeaveRequest) -> Result<Resolution, Problem> {
        let handle = self.provider(name, provider)?;
        match request.goodbye {
            None => resolution(handle.leave().await.map_err(stopping)?),
            Some(words) => {
                handle.goodbye(&words).await.map_err(stopping)?;
                // Nobody can reject it.
                Ok(Resolution {
                    outcome: "approved".to_owned(),
                    epoch: None,
                    votes: Vec::new(),
                    exits: Vec::new(),
                })
            }
        }
    }

    /// Tells the group how it went to end an expelled process.
    pub async fn deactivated(&self, name: &str, provider: &str, request: DeactivationRequest) -> Result<(), Problem> {
        let expelled = names::parse_provider(provider).and_then(|id| self.attached.expelled(&named(name).ok()?, id));
        let handle = match expelled {
            Some(handle) => handle,
            None => self.provider(name, provider)?,
        };
        let exit = request.status.map_or(Exit::NotRun, Exit::Status);
        handle.deactivated(Seq(request.protocol), exit).await.map_err(stopping)
    }

    fn provider(&self, name: &str, provider: &str) -> Result<ProviderHandle, Problem> {
        let group = named(name)?;
        let id = names::parse_provider(provider);
        let handle = id.and_then(|id| self.attached.handle(&group, id));
        let words = format!("no process that is attached to {name} here is called {provider}");
        handle.ok_or_else(|| Problem::new(Kind::ProviderNotKnown, &words))
    }
}

fn named(name: &str) -> Result<GroupName, Problem> {
    GroupName::try_from(name).map_err(|error| invalid(&error))
}

fn invalid(error: &NameError) -> Problem {
    Problem::new(Kind::InvalidName, error)
}

fn not_known(name: &GroupName) -> Problem {
    let words = format!("this node has no process in {name}; what others have there, only they can say");
    Problem::new(Kind::ProcessGroupNotKnown, &words)
}

fn attributes(info: &AttributesInfo) -> Result<Attributes, Problem> {
    let words = "attributes: default_vote: approve or reject";
    words::attributes_of(info).map_err(|_| Problem::new(Kind::InvalidRequest, words))
}

fn not_joined(error: &JoinProcessGroupError) -> Problem {
    let refusal = match error {
        JoinProcessGroupError::Stopped(stopped) => return stopping(*stopped),
        JoinProcessGroupError::Instance | JoinProcessGroupError::Info => {
            return Problem::new(Kind::InvalidRequest, error);
        }
        JoinProcessGroupError::NotTaken(why) => words::refusal(*why),
        JoinProcessGroupError::Rejected => json!({"kind": "rejected"}),
        JoinProcessGroupError::PutOut => json!({"kind": "put_out"}),
        _ => json!({"kind": "node"}),
    };
    Problem::new(Kind::NotJoined, error).with(why(refusal))
}

fn refused(refusal: ProposalRefusal) -> Problem {
    let kind = match refusal {
        ProposalRefusal::Stale { .. } => Kind::VersionMismatch,
        _ => Kind::OrderRefused,
    };
    Problem::new(kind, &refusal).with(why(words::refusal(refusal)))
}

fn why(refusal: Value) -> More {
    More {
        refusal: Some(refusal),
        ..More::default()
    }
}

fn resolution(resolved: Resolved) -> Result<Resolution, Problem> {
    words::resolved(resolved).map_err(refused)
}

fn proposal(request: ProposalRequest) -> Result<(Proposal, Voting), Problem> {
    let invalid = |words: &str| Problem::new(Kind::InvalidRequest, words);
    let limit = request.limit_ms.map(Duration::from_millis);
    let voting = match request.voted || request.barrier.is_some() {
        true => Voting::Voted { limit },
        false => Voting::OnePhase,
    };
    if request.expected.is_some() && request.state.is_none() {
        return Err(invalid("expected: only with state"));
    }
    if request.deactivate.is_some() && request.expel.is_none() {
        return Err(invalid("deactivate: only with expel"));
    }
    let mut proposals = Vec::new();
    if let Some(value) = request.state {
        let (value, expected) = (value.0, request.expected);
        proposals.push(Proposal::State { value, expected });
    }
    if let Some(body) = request.message {
        proposals.push(Proposal::Message { body: body.0 });
    }
    if let Some(providers) = request.expel {
        let parsed = providers.iter().map(|name| names::parse_provider(name));
        let providers = parsed.collect::<Option<Vec<_>>>();
        proposals.push(Proposal::Expel {
            providers: providers
                .ok_or_else(|| invalid("expel: a list of providers, as the group's document names them"))?,
            deactivate: request.deactivate.map(|argument| argument.0),
        });
    }
    if let Some(info) = request.attributes {
        let attributes = Box::new(attributes(&info)?);
        proposals.push(Proposal::Attributes { attributes });
    }
    if let Some(name) = request.barrier {
        proposals.push(Proposal::Barrier { name: name.0 });
    }
    match (proposals.pop(), proposals.is_empty()) {
        (Some(proposal), true) => Ok((proposal, voting)),
        _ => Err(invalid(
            "exactly one of state, message, expel, attributes and barrier is proposed",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<(Proposal, Voting), Problem> {
        proposal(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn exactly_one_thing_is_proposed() {
        let (state, voting) = parsed(r#"{"state": "x", "expected": 3}"#).unwrap();
        let (value, expected) = (b"x".to_vec(), Some(3));
        assert_eq!((state, voting), (Proposal::State { value, expected }, Voting::OnePhase));
        for wrong in [
            "{}",
            r#"{"state": "x", "message": "y"}"#,
            r#"{"message": "y", "expected": 3}"#,
            r#"{"message": "y", "deactivate": "z"}"#,
            r#"{"expel": ["somebody"]}"#,
            r#"{"attributes": {"default_vote": "continue"}}"#,
        ] {
            let problem = parsed(wrong).unwrap_err();
            assert!(problem.is(Kind::InvalidRequest), "{wrong}: {problem:?}");
        }
    }

    #[test]
    fn a_barrier_is_always_voted_upon() {
        let (_, voting) = parsed(r#"{"barrier": "loaded", "limit_ms": 5}"#).unwrap();
        let limit = Some(Duration::from_millis(5));
        assert_eq!(voting, Voting::Voted { limit });
        assert_eq!(parsed(r#"{"message": "y", "voted": true}"#).unwrap().1, Voting::VOTED);
    }

    #[test]
    fn a_name_that_is_none_says_why() {
        let long = "x".repeat(129);
        for (name, words) in [("", "not 0"), (long.as_str(), "not 129"), ("a\nb", "control")] {
            let problem = named(name).unwrap_err();
            assert!(
                problem.is(Kind::InvalidName) && problem.detail.contains(words),
                "{problem:?}"
            );
            assert_eq!(problem.status, 400);
        }
    }

    #[test]
    fn every_refusal_is_typed() {
        let stale = refused(ProposalRefusal::Stale { version: 3 });
        assert_eq!((stale.status, stale.is(Kind::VersionMismatch)), (412, true));
        assert_eq!(stale.more.refusal, Some(json!({"kind": "stale", "version": 3})));
        let joined = not_joined(&JoinProcessGroupError::NotTaken(ProposalRefusal::InstanceInUse));
        assert_eq!((joined.status, joined.is(Kind::NotJoined)), (409, true));
        assert_eq!(joined.more.refusal, Some(json!({"kind": "instance_in_use"})));
        assert!(not_joined(&JoinProcessGroupError::Info).is(Kind::InvalidRequest));
    }
}
