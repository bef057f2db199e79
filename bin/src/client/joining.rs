//! `group join | observe | leave | close | admissions | admit | refuse`.

use fatebound::PeerId;

use super::creating::longest;
use super::groups::{path, path_for};
use super::peer_names::resolve;
use super::{Api, CallError};
use crate::api::model::{AdmissionRequest, AdmitRequest, Departed, GroupState, JoinRequest, Joined, Wish};
use crate::api::naming::Purpose;
use crate::api::peer_arg::PeerArg;
use crate::cli::{ClientArgs, JoinArgs, OneGroupArgs, WordArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Output, short, short_peer};

/// Peers in a file of those who may come in at most: more than any group takes.
const MAX_LISTED: usize = 10_000;

/// `fatebound group join` and `fatebound group observe`
pub async fn join(args: &JoinArgs, observe: bool) -> Outcome {
    let output = Output::new(args.client.json);
    let what = if observe { "observe" } else { "join" };
    let request = JoinRequest {
        timeout_ms: args
            .timeout
            .map(|timeout| timeout.as_millis().try_into().unwrap_or(u64::MAX)),
    };
    let api = Api::of(&args.client)?.busy_for(args.timeout.unwrap_or_else(longest));
    let joined: Joined = api.post(&format!("{}/{what}", path(&args.group)?), &request).await?;
    if output.is_json() {
        return output.object(&joined).map(|()| Exit::Done);
    }
    let role = &joined.role;
    output.line(&format!("{role} of {}", joined.group)).map(|()| Exit::Done)
}

/// `fatebound group leave`
pub async fn leave(args: &OneGroupArgs) -> Outcome {
    let api = Api::of(&args.client)?.busy_for(longest());
    let departed = api.delete(&path_for(&args.group, Purpose::End)?).await?;
    report(args, &departed)
}

/// `fatebound group close`
pub async fn close(args: &OneGroupArgs) -> Outcome {
    let path = format!("{}/close", path_for(&args.group, Purpose::End)?);
    let departed = Api::of(&args.client)?.post(&path, &serde_json::json!({})).await?;
    report(args, &departed)
}

fn report(args: &OneGroupArgs, departed: &Departed) -> Outcome {
    let output = Output::new(args.client.json);
    if output.is_json() {
        return output.object(departed).map(|()| Exit::Done);
    }
    let what = match departed.state {
        GroupState::Closed => "closed",
        _ => "left",
    };
    output
        .line(&format!("{what} {}", short(&departed.group)))
        .map(|()| Exit::Done)
}

/// `fatebound group admissions`
pub async fn admissions(args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let mut wishes = Api::of(args)?.events("/v1/admissions").await?;
    if output.is_json() {
        // From here on peers are asked about.
        output.object(&serde_json::json!({"event": "asking"}))?;
    }
    while let Some(wish) = wishes.next_of::<Wish>().await {
        if output.is_json() {
            output.object(&wish)?;
            continue;
        }
        let what = if wish.observe { "observe" } else { "join" };
        output.line(&format!("{} wants to {what} {}", wish.peer, short(&wish.group)))?;
    }
    Err(Failure::new(
        Exit::NodeUnreachable,
        "the node has gone away, or says nothing any more",
    ))
}

/// `fatebound group admit` and `fatebound group refuse`
pub async fn word(args: &WordArgs, refusal: Option<&str>) -> Outcome {
    let output = Output::new(args.client.json);
    let api = Api::of(&args.client)?;
    let peers = resolve(&api, std::slice::from_ref(&args.peer)).await?;
    let Some(peer) = peers.into_iter().next() else {
        return Err(Failure::usage("a peer is missing"));
    };
    let name = peer.peer.to_string();
    let request = AdmissionRequest {
        peer,
        admit: refusal.is_none(),
        reason: refusal.unwrap_or_default().to_owned(),
    };
    let done: Result<(), CallError> = api.tell(&format!("{}/admissions", path(&args.group)?), &request).await;
    done?;
    let what = if request.admit { "admitted" } else { "refused" };
    if output.is_json() {
        return output
            .object(&serde_json::json!({"peer": name, "admitted": request.admit}))
            .map(|()| Exit::Done);
    }
    output
        .line(&format!("{what} {}", short_peer(&name)))
        .map(|()| Exit::Done)
}

/// `--admit`: a policy's name, or a file with a PeerId a line.
pub fn policy(text: &str) -> Result<AdmitRequest, Failure> {
    match text {
        "ask" => Ok(AdmitRequest::Ask),
        "open" => Ok(AdmitRequest::Open),
        "members" => Ok(AdmitRequest::Members),
        file => {
            let words = std::fs::read_to_string(file).map_err(|error| {
                Failure::usage(format!(
                    "--admit {file}: neither ask, open, members, nor a file to read: {error}"
                ))
            })?;
            listed(&words)
                .map(AdmitRequest::Listed)
                .map_err(|error| Failure::usage(format!("--admit {file}: {error}")))
        }
    }
}

/// Empty lines and what follows a `#` say nothing.
fn listed(words: &str) -> Result<Vec<PeerArg>, String> {
    let mut peers = Vec::new();
    for (at, line) in (1..).zip(words.lines()) {
        let word = line.split('#').next().unwrap_or_default().trim();
        if word.is_empty() {
            continue;
        }
        let peer: PeerId = word.parse().map_err(|_| format!("line {at} is no PeerId: {word}"))?;
        peers.push(PeerArg { peer, address: None });
    }
    match peers.len() {
        0 => Err("no PeerId in it".to_owned()),
        count if count > MAX_LISTED => Err(format!("more than {MAX_LISTED} PeerIds in it")),
        _ => Ok(peers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    #[test]
    fn a_policy_is_a_word_or_a_file() {
        assert_eq!(policy("open").unwrap(), AdmitRequest::Open);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("# ours\n{PEER}  # the first\n\n")).unwrap();
        let AdmitRequest::Listed(peers) = policy(&file.path().to_string_lossy()).unwrap() else {
            panic!("a list")
        };
        assert_eq!(peers.len(), 1);
        let error = policy("/nowhere/at/all").unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(
            error.message.contains("neither ask, open, members, nor a file"),
            "{}",
            error.message
        );
    }

    #[test]
    fn a_list_says_which_line_is_wrong() {
        assert_eq!(
            listed(&format!("{PEER}\nnobody")).unwrap_err(),
            "line 2 is no PeerId: nobody"
        );
        assert_eq!(listed("\n# nobody").unwrap_err(), "no PeerId in it");
    }
}
