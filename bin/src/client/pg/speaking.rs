//! `pg leave | vote | propose | expel`: orders for a provider that another process of this node holds, as from a second terminal.

use std::time::Duration;

use serde_json::json;

use super::attachment::blocked;
use super::orders::Orders;
use super::path;
use super::roster;
use crate::api::process_groups::model::{
    LeaveRequest, PgInfo, ProposalRequest, ProviderInfo, Resolution, Verdict, VoteRequest,
};
use crate::api::process_groups::octets::Octets;
use crate::cli::{ClientArgs, PgExpelArgs, PgLeaveArgs, PgProposeArgs, PgVoteArgs, VoteWord};
use crate::client::{Api, CallError};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;

/// How often a group is looked at while it does what it was told.
const LOOK: Duration = Duration::from_secs(1);

/// A group, and whom of its providers this command speaks for.
struct Speaker {
    output: Output,
    api: Api,
    path: String,
    group: PgInfo,
    provider: String,
    orders: Orders,
}

impl Speaker {
    /// For the provider that is called so, or for the only one at this node.
    async fn of(name: &str, called: Option<&str>, client: &ClientArgs) -> Result<Speaker, Failure> {
        let api = Api::of(client)?;
        let path = path(name)?;
        let group: PgInfo = api.get(&path).await?;
        if let Some(what) = &group.blocked {
            return Err(blocked(what.have, what.need, &what.missing));
        }
        let here = group.providers.iter().filter(|one| group.own.contains(&one.provider));
        let here: Vec<&ProviderInfo> = here.collect();
        let provider = match called {
            Some(called) => pick(called, &here).map_err(|words| Failure::error(format!("at this node {words}")))?,
            None => only(&here)?,
        };
        let orders = Orders::new(api.clone(), format!("{path}/providers/{provider}"));
        Ok(Speaker {
            output: Output::new(client.json),
            api,
            path,
            group,
            provider,
            orders,
        })
    }

    /// Waits for what the group does, as long as it can do anything.
    async fn meanwhile<T>(&self, work: impl Future<Output = Result<T, CallError>>) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done?),
                () = tokio::time::sleep(LOOK) => {
                    let group: Result<PgInfo, CallError> = self.api.get(&self.path).await;
                    // A group that is gone is told by the answer that is waited for.
                    if let Ok(PgInfo { blocked: Some(what), .. }) = group {
                        return Err(blocked(what.have, what.need, &what.missing));
                    }
                }
            }
        }
    }

    /// What became of it; exit code 1 if it did not come true, 3 if that is not known here.
    fn resolved(&self, resolution: &Resolution, what: &str) -> Outcome {
        let exit = match resolution.outcome.as_str() {
            "approved" => Exit::Done,
            "unknown" => Exit::GroupFailed,
            _ => Exit::Error,
        };
        if self.output.is_json() {
            self.output.object(resolution)?;
            return Ok(exit);
        }
        match exit {
            Exit::Done => Ok(exit),
            Exit::GroupFailed => Err(Failure::new(
                exit,
                "this node was put out of the group meanwhile: it may or may not have come true",
            )),
            exit => Err(Failure::new(exit, format!("{what}: {}", resolution.outcome))),
        }
    }
}

/// The provider that people call so: by its instance, with its peer or without, or by its whole name.
fn pick(called_so: &str, among: &[&ProviderInfo]) -> Result<String, String> {
    let fits = |one: &&&ProviderInfo| {
        one.provider == called_so || one.instance.text() == called_so || roster::called(one) == called_so
    };
    let fitting: Vec<&&ProviderInfo> = among.iter().filter(fits).collect();
    match fitting[..] {
        [one] => Ok(one.provider.clone()),
        [] if among.is_empty() => Err("there is no provider".to_owned()),
        [] => Err(format!("nobody is called {called_so}; there are {}", names(among))),
        _ => {
            let fitting: Vec<&ProviderInfo> = fitting.into_iter().copied().collect();
            Err(format!("several are called {called_so}: {}", names(&fitting)))
        }
    }
}

fn only(here: &[&ProviderInfo]) -> Result<String, Failure> {
    match here {
        [one] => Ok(one.provider.clone()),
        [] => Err(Failure::error("no provider of this node is in the list of the group")),
        several => Err(Failure::usage(format!(
            "several providers are at this node, say for whom: {}",
            names(several)
        ))),
    }
}

fn names(providers: &[&ProviderInfo]) -> String {
    let names: Vec<String> = providers.iter().map(|provider| roster::called(provider)).collect();
    names.join(", ")
}

fn milliseconds(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
}

/// `fatebound pg leave`
pub async fn leave(args: &PgLeaveArgs) -> Outcome {
    let speaker = Speaker::of(&args.name, args.instance.as_deref(), &args.client).await?;
    let goodbye = args.goodbye.clone();
    let resolution = speaker
        .meanwhile(speaker.orders.leave(LeaveRequest { goodbye }))
        .await?;
    speaker.resolved(&resolution, "it has not left")
}

/// `fatebound pg vote`: in the phase that is open.
pub async fn vote(args: &PgVoteArgs) -> Outcome {
    let speaker = Speaker::of(&args.name, args.speaker.as_deref(), &args.client).await?;
    let running = speaker.group.protocol.as_ref();
    let open = running.and_then(|running| Some((running, running.phase?)));
    let Some((running, phase)) = open else {
        return Err(Failure::error(format!("nothing is voted upon in {}", args.name)));
    };
    if !running.voters.contains(&speaker.provider) {
        return Err(Failure::error("this provider is not asked in the vote that goes on"));
    }
    let verdict = match args.verdict {
        VoteWord::Approve => Verdict::Approve,
        VoteWord::Continue => Verdict::Continue,
        VoteWord::Reject => Verdict::Reject,
    };
    let vote = VoteRequest {
        protocol: running.protocol,
        phase,
        verdict,
        message: Octets(args.message.clone().unwrap_or_default().into_bytes()),
        state: None,
        default: None,
    };
    speaker.orders.vote(&vote).await?;
    if speaker.output.is_json() {
        let cast = json!({"protocol": vote.protocol, "phase": vote.phase, "verdict": vote.verdict});
        speaker.output.object(&cast)?;
    }
    Ok(Exit::Done)
}

/// `fatebound pg propose`: returns when it is decided.
pub async fn propose(args: &PgProposeArgs) -> Outcome {
    let speaker = Speaker::of(&args.name, args.speaker.as_deref(), &args.client).await?;
    let octets = |text: &String| Octets::from(text.as_bytes());
    let proposal = ProposalRequest {
        state: args.what.state.as_ref().map(octets),
        message: args.what.message.as_ref().map(octets),
        barrier: args.what.barrier.as_ref().map(octets),
        expected: args.expected,
        voted: args.voted || args.what.barrier.is_some(),
        limit_ms: args.limit.map(milliseconds),
        ..ProposalRequest::default()
    };
    let resolution = speaker.meanwhile(speaker.orders.propose(&proposal)).await?;
    speaker.resolved(&resolution, "it did not come true")
}

/// `fatebound pg expel`: returns when it is decided, and the processes are ended if that was wanted.
pub async fn expel(args: &PgExpelArgs) -> Outcome {
    let speaker = Speaker::of(&args.name, args.speaker.as_deref(), &args.client).await?;
    let all: Vec<&ProviderInfo> = speaker.group.providers.iter().collect();
    let expelled = args.instances.iter().map(|called| pick(called, &all));
    let expelled = expelled.collect::<Result<Vec<String>, String>>();
    let proposal = ProposalRequest {
        expel: Some(expelled.map_err(Failure::error)?),
        deactivate: args.deactivate.as_ref().map(|text| Octets::from(text.as_bytes())),
        voted: args.voted,
        limit_ms: args.limit.map(milliseconds),
        ..ProposalRequest::default()
    };
    let resolution = speaker.meanwhile(speaker.orders.propose(&proposal)).await?;
    speaker.resolved(&resolution, "nobody was expelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(name: &str, instance: &str) -> ProviderInfo {
        let json = json!({"provider": name, "peer": "12D3KooWx", "instance": instance, "standing": "present"});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_provider_is_picked_by_what_people_call_it() {
        let (a, b, twin) = (provider("p.1.1", "a"), provider("p.1.2", "b"), provider("q.1.1", "a"));
        assert_eq!(pick("a", &[&a, &b]), Ok("p.1.1".to_owned()));
        assert_eq!(pick("p.1.2", &[&a, &b]), Ok("p.1.2".to_owned()));
        assert_eq!(pick(&roster::called(&b), &[&a, &b]), Ok("p.1.2".to_owned()));
        assert!(pick("a", &[&a, &twin]).unwrap_err().starts_with("several"));
        assert!(pick("c", &[&a, &b]).unwrap_err().contains("nobody is called c"));
        assert!(pick("c", &[]).unwrap_err().contains("no provider"));
    }

    #[test]
    fn who_says_nothing_speaks_for_the_only_one() {
        let (a, b) = (provider("p.1.1", "a"), provider("p.1.2", "b"));
        assert_eq!(only(&[&a]), Ok("p.1.1".to_owned()));
        assert_eq!(only(&[]).unwrap_err().exit, Exit::Error);
        assert_eq!(only(&[&a, &b]).unwrap_err().exit, Exit::Usage);
    }
}
