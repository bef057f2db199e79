//! `pg barrier`: so many processes wait for each other.
//!
//! Everybody sees the same list of providers grow in the same order. When enough are in it that wait, the oldest of these says in the group's state value
//! who may go, and those go. Who comes later sees there whom not to count: so the same barrier serves again while the last ones are still leaving.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::attachment::{Attachment, blocked, is_put_out, over};
use super::roster::Roster;
use super::{instance, path};
use crate::api::problem::Kind;
use crate::api::process_groups::event::PgEvent;
use crate::api::process_groups::model::{AttachRequest, BlockedInfo, ProposalRequest, ProviderInfo, StateInfo};
use crate::api::process_groups::octets::Octets;
use crate::cli::PgBarrierArgs;
use crate::client::{Api, CallError};
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::Output;
use crate::signals::Signals;

/// The state value of a barrier.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Released {
    /// Who may go, or has gone.
    released: Vec<String>,
}

/// What is known of the barrier.
struct Meeting {
    me: String,
    count: usize,
    /// What all who wait for the same have as their info.
    sign: Octets,
    roster: Roster,
    released: Vec<String>,
    version: u64,
    /// Who may go together with this process, once the news has come in its place among all others.
    here: Option<Vec<String>>,
    /// Who was here and is gone, and why.
    gone: Vec<String>,
    blocked: Option<BlockedInfo>,
}

/// `fatebound pg barrier`
pub async fn barrier(args: &PgBarrierArgs) -> Outcome {
    let output = Output::new(args.client.json);
    let path = path(&args.name)?;
    let mut signals = Signals::new();
    let end = args.timeout.map(|timeout| Instant::now() + timeout);
    let api = Api::of(&args.client)?;
    let sign = Octets(format!("waits for {}", args.count).into_bytes());
    let request = AttachRequest {
        instance: Some(instance(args.instance.as_ref(), "barrier")),
        info: sign.clone(),
        attributes: None,
    };
    let (met, meeting, attachment) = loop {
        let mut attachment = tokio::select! {
            attachment = Attachment::join(&api, &path, &request) => attachment?,
            () = until(end) => {
                let words = format!("no place at the barrier {} in time: who is there is not known", args.name);
                return Err(Failure::error(words));
            }
            exit = signals.next() => return Ok(exit),
        };
        let mut meeting = Meeting::new(&attachment, usize::from(args.count), sign.clone());
        if let Some(state) = attachment.group().await?.state {
            meeting.state(&state).map_err(|words| used(&args.name, &words))?;
        }
        let met = tokio::select! {
            met = meet(&mut meeting, &mut attachment, &args.name) => met,
            () = until(end) => Err(Failure::new(Exit::Error, "")),
            exit = signals.next() => Err(Failure::new(exit, "")),
        };
        match met {
            Ok(None) => {}
            Ok(Some(here)) => break (Ok(here), meeting, attachment),
            Err(failure) => break (Err(failure), meeting, attachment),
        }
    };
    if meeting.blocked.is_none() {
        attachment.orders().leave_soon().await;
    }
    match met {
        Ok(here) if output.is_json() => output
            .object(&json!({"barrier": args.name, "here": here}))
            .map(|()| Exit::Done),
        Ok(here) => output
            .line(&format!("{} are here: {}", here.len(), here.join(", ")))
            .map(|()| Exit::Done),
        // The time is over.
        Err(failure) if failure.exit == Exit::Error && failure.message.is_empty() => {
            missed(output, &args.name, &meeting)
        }
        Err(failure) => Err(failure),
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn used(name: &str, words: &str) -> Failure {
    Failure::error(format!(
        "{name} is no barrier, something else uses this group: its state is {words:?}"
    ))
}

/// Follows the group until this process may go; who else may. `None`: its node was put out of the group, and the process has to come again.
async fn meet(meeting: &mut Meeting, attachment: &mut Attachment, name: &str) -> Result<Option<Vec<String>>, Failure> {
    let mut last = None;
    let orders = attachment.orders();
    loop {
        if let Some(here) = meeting.here.take() {
            return Ok(Some(here));
        }
        if let Some(proposal) = meeting.turn() {
            // The outcome comes as an event, to this process as to all.
            match orders.propose(&proposal).await {
                Ok(_) => {}
                Err(CallError::Problem(problem)) if problem.is(Kind::VersionMismatch) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(event) = attachment.next().await else {
            return match last {
                Some(last) if is_put_out(&last) => Ok(None),
                last => Err(over(last.as_ref())),
            };
        };
        meeting.follow(&event).map_err(|words| used(name, &words))?;
        if matches!(
            event,
            PgEvent::Ended { .. } | PgEvent::Removed { .. } | PgEvent::Dissolved { .. }
        ) {
            last = Some(event);
        }
    }
}

fn released(state: &StateInfo) -> Result<Vec<String>, String> {
    let released = serde_json::from_slice::<Released>(&state.value.0).map_err(|_| state.value.text())?;
    Ok(released.released)
}

impl Meeting {
    fn new(attachment: &Attachment, count: usize, sign: Octets) -> Meeting {
        Meeting {
            me: attachment.provider.clone(),
            count,
            sign,
            roster: Roster::default(),
            released: Vec::new(),
            version: 0,
            here: None,
            gone: Vec::new(),
            blocked: None,
        }
    }

    /// Takes a state value, unless a later one is known; `Err`: it is none of a barrier. As the node's present it may be ahead of the events.
    fn state(&mut self, state: &StateInfo) -> Result<(), String> {
        if state.version > self.version {
            self.released = released(state)?;
            self.version = state.version;
        }
        Ok(())
    }

    /// The same as an event: the list is as it was when this became the state.
    fn shown(&mut self, state: &StateInfo) -> Result<(), String> {
        let may_go = released(state)?;
        if may_go.contains(&self.me) {
            let listed = self.roster.providers().iter().map(|provider| &provider.provider);
            let here = listed.filter(|provider| may_go.contains(provider));
            self.here = Some(here.map(|provider| self.roster.name(provider)).collect());
        }
        self.state(state)
    }

    fn follow(&mut self, event: &PgEvent) -> Result<(), String> {
        let waited: Vec<String> = self.waiting().map(|provider| provider.provider.clone()).collect();
        self.roster.follow(event);
        match event {
            PgEvent::State(state) => self.shown(state)?,
            PgEvent::Providers { left, .. } => {
                for departure in left.iter().filter(|departure| waited.contains(&departure.provider)) {
                    let name = self.roster.name(&departure.provider);
                    self.gone.push(format!("{name}: {}", departure.message));
                }
            }
            PgEvent::Blocked(what) => self.blocked = Some(what.clone()),
            PgEvent::Unblocked | PgEvent::View(_) => self.blocked = None,
            _ => {}
        }
        Ok(())
    }

    /// Who waits for the same and may not go yet, the oldest first.
    fn waiting(&self) -> impl Iterator<Item = &ProviderInfo> {
        self.roster.providers().iter().filter(|provider| {
            provider.standing == "present" && provider.info == self.sign && !self.released.contains(&provider.provider)
        })
    }

    /// What this process has to say, if enough wait and it is the oldest of them.
    fn turn(&self) -> Option<ProposalRequest> {
        let waiting: Vec<&ProviderInfo> = self.waiting().collect();
        let first = waiting.first().is_some_and(|oldest| oldest.provider == self.me);
        if !first || waiting.len() < self.count {
            return None;
        }
        let listed = |name: &&String| {
            self.roster
                .providers()
                .iter()
                .any(|provider| provider.provider == **name)
        };
        let before = self.released.iter().filter(listed).cloned();
        let released = Released {
            released: before
                .chain(waiting.iter().map(|provider| provider.provider.clone()))
                .collect(),
        };
        Some(ProposalRequest {
            state: Some(Octets(serde_json::to_vec(&released).unwrap_or_default())),
            expected: Some(self.version),
            ..ProposalRequest::default()
        })
    }
}

/// The time is over: who is there, and who was.
fn missed(output: Output, name: &str, meeting: &Meeting) -> Outcome {
    let here: Vec<String> = meeting
        .waiting()
        .map(|provider| meeting.roster.name(&provider.provider))
        .collect();
    let missing = meeting.count.saturating_sub(here.len());
    let exit = match &meeting.blocked {
        Some(_) => Exit::Blocked,
        None => Exit::Error,
    };
    let mut words = format!("{} of {} came to the barrier {name}", here.len(), meeting.count);
    if !here.is_empty() {
        words.push_str(&format!(": {}", here.join(", ")));
    }
    words.push_str(&format!("; {missing} did not"));
    if !meeting.gone.is_empty() {
        words.push_str(&format!("; gone meanwhile: {}", meeting.gone.join(", ")));
    }
    if let Some(what) = &meeting.blocked {
        words.push_str(&format!("; {}", blocked(what.have, what.need, &what.missing).message));
    }
    if output.is_json() {
        output.object(&json!({"error": words, "here": here, "missing": missing, "gone": meeting.gone}))?;
    } else {
        complain(format_args!("fatebound: {words}"));
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::super::roster::tests::provider;
    use super::*;
    use crate::api::process_groups::event::Departure;

    fn waiting(instance: &str) -> ProviderInfo {
        ProviderInfo {
            info: Octets::from(&b"waits for 2"[..]),
            ..provider(instance)
        }
    }

    fn meeting(me: &str) -> Meeting {
        Meeting {
            me: waiting(me).provider,
            count: 2,
            sign: Octets::from(&b"waits for 2"[..]),
            roster: Roster::default(),
            released: Vec::new(),
            version: 0,
            here: None,
            gone: Vec::new(),
            blocked: None,
        }
    }

    fn list(providers: Vec<ProviderInfo>, left: &[&str]) -> PgEvent {
        let departure = |instance: &&str| Departure {
            provider: provider(instance).provider,
            why: "failed".into(),
            message: "its process is gone".into(),
        };
        PgEvent::Providers {
            epoch: "1".into(),
            providers,
            left: left.iter().map(departure).collect(),
            joined: Vec::new(),
        }
    }

    fn state(version: u64, value: Vec<u8>) -> PgEvent {
        PgEvent::State(StateInfo {
            version,
            value: Octets(value),
        })
    }

    #[test]
    fn the_oldest_lets_all_go_when_enough_are_there() {
        let (mut a, mut b) = (meeting("a"), meeting("b"));
        for meeting in [&mut a, &mut b] {
            meeting.follow(&list(vec![waiting("a"), provider("x")], &[])).unwrap();
            assert!(meeting.turn().is_none());
            meeting
                .follow(&list(vec![waiting("a"), provider("x"), waiting("b")], &[]))
                .unwrap();
        }
        assert!(b.turn().is_none());
        let proposal = a.turn().unwrap();
        assert_eq!(proposal.expected, Some(0));
        let value = proposal.state.unwrap().0;
        for meeting in [&mut a, &mut b] {
            meeting.follow(&state(1, value.clone())).unwrap();
            assert_eq!(meeting.here.take().unwrap(), ["a@peer-a", "b@peer-b"]);
        }
    }

    #[test]
    fn those_who_may_go_are_not_counted_again() {
        let mut c = meeting("c");
        let released = Released {
            released: vec![waiting("a").provider, waiting("b").provider],
        };
        c.follow(&state(1, serde_json::to_vec(&released).unwrap())).unwrap();
        c.follow(&list(vec![waiting("a"), waiting("b"), waiting("c")], &[]))
            .unwrap();
        assert!(c.here.is_none() && c.turn().is_none());
        c.follow(&list(vec![waiting("b"), waiting("c"), waiting("d")], &["a"]))
            .unwrap();
        assert!(c.gone.is_empty(), "who was let go is not missing");
        let next = c.turn().unwrap();
        let next: Released = serde_json::from_slice(&next.state.unwrap().0).unwrap();
        // The first one is not in the list any more.
        let names = ["b", "c", "d"].map(|instance| waiting(instance).provider);
        assert_eq!(next.released, names);
    }

    #[test]
    fn what_the_node_knows_before_its_events_lets_nobody_go() {
        let mut b = meeting("b");
        let value = serde_json::to_vec(&Released {
            released: vec![waiting("a").provider, waiting("b").provider],
        });
        let PgEvent::State(state) = state(1, value.unwrap()) else {
            panic!("a state")
        };
        b.state(&state).unwrap();
        b.follow(&list(vec![waiting("a"), waiting("b")], &[])).unwrap();
        assert!(b.here.is_none() && b.turn().is_none());
        b.follow(&PgEvent::State(state)).unwrap();
        assert_eq!(b.here.unwrap(), ["a@peer-a", "b@peer-b"]);
    }

    #[test]
    fn who_goes_too_early_is_named() {
        let mut a = meeting("a");
        a.follow(&list(vec![waiting("a"), waiting("b")], &[])).unwrap();
        a.follow(&list(vec![waiting("a")], &["b"])).unwrap();
        assert_eq!(a.gone, ["b@peer-b: its process is gone"]);
    }

    #[test]
    fn the_state_of_something_else_is_no_barrier() {
        assert_eq!(
            meeting("a").follow(&state(1, b"primary=a".to_vec())),
            Err("primary=a".to_owned())
        );
    }
}
