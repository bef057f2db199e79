//! `fatebound demo`: the promise, shown on this machine with real processes.
//!
//! Start nodes, create groups among them, kill some without warning, and hold a stop-watch until every survivor of every affected group
//! has been told. Then look whether anything was told twice, too late, or without need.

mod capacity;
mod place;
mod plan;
mod processes;
mod report;
mod verdict;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::log::{FAILED, GAP};
use crate::api::model::{Checked, CreateRequest, Created, Event, GroupInfo, NodeInfo};
use crate::cli::{DemoArgs, ProfileArg};
use crate::client::CallError;
use crate::client::sse::Events;
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::{as_ms, counted, millis, short_peer};
use crate::signals::Signals;
use capacity::Machine;
use plan::Plan;
use processes::Fleet;
use report::Report;
use verdict::{Record, median};

/// Creations and checks under way at once.
const PARALLEL: usize = 8;
/// A creation may take this long: many are under way at once, on a machine that is busy with all the nodes.
const CREATION_MS: u64 = 15_000;
/// Paths are given this long to come up before anybody is killed.
const SETTLE: Duration = Duration::from_secs(5);
/// After the last expected notification: is there another one, or a false alarm?
const LINGER: Duration = Duration::from_millis(500);
/// Events between the nodes' streams and the stop-watch.
const QUEUE: usize = 1024;

/// `fatebound demo`
pub async fn demo(args: &DemoArgs) -> Outcome {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut signals = Signals::of_demo();
    let machine = Machine::look();
    if let Some(warning) = machine.bears(args.nodes.into())? {
        complain(format_args!("fatebound: {warning}"));
    }
    let plan = Plan::draw(
        args.nodes as usize,
        args.groups as usize,
        args.size() as usize,
        args.kill as usize,
        seed,
    );
    let report = Report::new(args.json);
    let profile = args.profile.unwrap_or(match machine.brisk(args.nodes.into()) {
        true => ProfileArg::Local,
        false => ProfileArg::Lan,
    });
    let mut fleet = Fleet::new(profile, machine.at_a_time())?;
    let outcome = tokio::select! {
        outcome = run(&plan, seed, &mut fleet, &report, args.nodes as usize) => outcome,
        exit = signals.next() => Err(Failure::new(exit, "interrupted; every node is stopped")),
    };
    report.clear();
    fleet.stop().await;
    outcome
}

async fn run(plan: &Plan, seed: u64, fleet: &mut Fleet, report: &Report, nodes: usize) -> Outcome {
    start(nodes, seed, fleet, report).await?;
    let mut watch = Watch::open(fleet).await?;
    let groups = create(plan, fleet, report).await?;
    let mut record = Record {
        bounds: bounds(plan, &groups, fleet, report).await?,
        ..Record::default()
    };
    let killed = kill(plan, fleet, report)?;
    listen(plan, &groups, &mut watch, &mut record, killed, report).await?;
    record.alive = check(plan, &groups, fleet, &mut record.problems).await;
    // Whoever were told twice, or without need, would be told about now.
    watch
        .gather(
            killed,
            &groups,
            plan,
            &mut record,
            Instant::now() + LINGER,
            |_, _, _| Ok(false),
        )
        .await?;
    report.conclude(plan, &record, &groups)?;
    match record.broken(plan).as_slice() {
        [] => Ok(Exit::Done),
        [only] => Err(Failure::error(format!("a promise was broken: {only}"))),
        [first, others @ ..] => Err(Failure::error(format!(
            "promises were broken: {first}, and {} more",
            others.len()
        ))),
    }
}

async fn start(nodes: usize, seed: u64, fleet: &mut Fleet, report: &Report) -> Result<(), Failure> {
    let begun = Instant::now();
    report.progress(&format!("starting {nodes} nodes"));
    fleet
        .start(nodes, |ready| {
            report.progress(&format!("{ready} of {nodes} nodes joined"));
        })
        .await?;
    let took = as_ms(begun.elapsed());
    let text = format!("{nodes} nodes joined in {} (seed {seed})", millis(took));
    report.step(
        &text,
        &json!({"event": "started", "nodes": nodes, "ms": took, "seed": seed}),
    )
}

/// Creates every group at its root; gives their ids, in the plan's order.
async fn create(plan: &Plan, fleet: &Fleet, report: &Report) -> Result<Vec<String>, Failure> {
    let creations: Vec<_> = plan.groups.iter().map(|members| create_one(members, fleet)).collect();
    let mut creations = stream::iter(creations).buffered(PARALLEL);
    let mut created: Vec<Created> = Vec::new();
    while let Some(group) = creations.try_next().await? {
        created.push(group);
        report.progress(&format!("{} of {} groups created", created.len(), plan.groups.len()));
    }
    let mut times: Vec<Duration> = created
        .iter()
        .map(|group| Duration::from_secs_f64(group.created_ms / 1000.0))
        .collect();
    times.sort();
    let middle = median(&times).map(as_ms).unwrap_or_default();
    let text = format!(
        "{} created, each in {} (median)",
        counted(created.len(), "group"),
        millis(middle)
    );
    report.step(
        &text,
        &json!({"event": "created", "groups": created.len(), "median_ms": middle}),
    )?;
    Ok(created.into_iter().map(|group| group.group).collect())
}

async fn create_one(members: &[usize], fleet: &Fleet) -> Result<Created, Failure> {
    let peer = |&node: &usize| fleet.nodes()[node].peer.parse().map_err(Failure::error);
    let request = CreateRequest {
        members: members[1..].iter().map(peer).collect::<Result<_, _>>()?,
        timeout_ms: Some(CREATION_MS),
        ..CreateRequest::default()
    };
    let created = fleet.nodes()[members[0]].api.post("/v1/groups", &request).await;
    created.map_err(|error| Failure::error(format!("no group of nodes {members:?}: {}", why(&error))))
}

/// Why there is no group, and if there was one, because of whom.
fn why(error: &CallError) -> String {
    let refusals = match error {
        CallError::Problem(problem) => problem.more.refusals.as_slice(),
        CallError::Unreachable(_) | CallError::Foreign(_) => &[],
    };
    let named = refusals
        .iter()
        .map(|refusal| format!("; …{} {}", short_peer(&refusal.peer), refusal.message));
    format!("{error}{}", named.collect::<String>())
}

/// Waits until the groups' paths are up, and asks for each group's own bound, which follows from them.
async fn bounds(plan: &Plan, groups: &[String], fleet: &Fleet, report: &Report) -> Result<Vec<Duration>, Failure> {
    report.progress("waiting for the groups' paths");
    let until = Instant::now() + SETTLE;
    let asking: Vec<_> = groups
        .iter()
        .zip(&plan.groups)
        .map(|(id, members)| bound(id, members[0], fleet, until))
        .collect();
    stream::iter(asking).buffered(PARALLEL).try_collect().await
}

async fn bound(id: &str, root: usize, fleet: &Fleet, until: Instant) -> Result<Duration, Failure> {
    let api = &fleet.nodes()[root].api;
    loop {
        let group: GroupInfo = api.get(&format!("/v1/groups/{id}")).await?;
        let up = group.hops.iter().all(Option::is_some);
        if let (true, Some(bound)) = (up || Instant::now() > until, group.notification_bound_ms) {
            return Ok(Duration::from_secs_f64(bound / 1000.0));
        }
        if group.failure.is_some() {
            // Nobody was killed yet: the verdict will call it a false alarm. Until then the node's own bound does.
            let node: NodeInfo = api.get("/v1/node").await?;
            return Ok(Duration::from_secs_f64(node.notification_bound_ms / 1000.0));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills the victims; gives the moment just before the first kill.
fn kill(plan: &Plan, fleet: &mut Fleet, report: &Report) -> Result<Instant, Failure> {
    let killed = Instant::now();
    plan.victims.iter().try_for_each(|&victim| fleet.kill(victim))?;
    for &victim in &plan.victims {
        let peer = &fleet.nodes()[victim].peer;
        let text = format!("killed node {victim} (…{})", short_peer(peer));
        report.step(&text, &json!({"event": "killed", "node": victim, "peer": peer}))?;
    }
    Ok(killed)
}

/// Takes notifications until everybody who has to be told has been, or the bound is over.
async fn listen(
    plan: &Plan,
    groups: &[String],
    watch: &mut Watch,
    record: &mut Record,
    killed: Instant,
    report: &Report,
) -> Result<(), Failure> {
    if record.complete(plan) {
        return Ok(());
    }
    let longest = plan
        .affected()
        .into_iter()
        .filter_map(|group| record.bounds.get(group))
        .max();
    let until = killed + longest.copied().unwrap_or_default() + LINGER;
    watch
        .gather(killed, groups, plan, record, until, |record, (group, node), after| {
            report.told(node, (group, &groups[group]), after)?;
            Ok(record.complete(plan))
        })
        .await
}

/// Asks the groups without a dead member whether they live; gives those that do.
async fn check(plan: &Plan, groups: &[String], fleet: &Fleet, problems: &mut Vec<String>) -> Vec<usize> {
    let whole = (0..groups.len()).filter(|&group| plan.dead(group).is_empty());
    let checks: Vec<_> = whole
        .map(|group| check_one(group, &groups[group], plan.groups[group][0], fleet))
        .collect();
    let answers: Vec<(usize, Result<Checked, String>)> = stream::iter(checks).buffered(PARALLEL).collect().await;
    let mut alive = Vec::new();
    for (group, answer) in answers {
        match answer {
            Ok(checked) if checked.alive => alive.push(group),
            Ok(_) => {}
            Err(error) => problems.push(format!("group {group} could not be checked: {error}")),
        }
    }
    alive
}

async fn check_one(group: usize, id: &str, root: usize, fleet: &Fleet) -> (usize, Result<Checked, String>) {
    let answer = fleet.nodes()[root]
        .api
        .post(&format!("/v1/groups/{id}/check"), &json!({}))
        .await;
    (group, answer.map_err(|error| error.to_string()))
}

/// What a node's event stream says, and when.
struct Seen {
    node: usize,
    at: Instant,
    /// `None`: the stream has ended.
    event: Option<Event>,
}

/// The event streams of all nodes, merged.
struct Watch {
    seen: mpsc::Receiver<Seen>,
    _readers: JoinSet<()>,
}

impl Watch {
    /// Opens every node's stream: from now on no event is missed.
    async fn open(fleet: &Fleet) -> Result<Watch, Failure> {
        let (sender, seen) = mpsc::channel(QUEUE);
        let mut readers = JoinSet::new();
        for node in fleet.nodes() {
            let events = node.api.events("/v1/events").await?;
            readers.spawn(forward(node.number, events, sender.clone()));
        }
        Ok(Watch {
            seen,
            _readers: readers,
        })
    }

    /// Records what comes until `done` says so after a notification, or the time is over.
    async fn gather(
        &mut self,
        killed: Instant,
        groups: &[String],
        plan: &Plan,
        record: &mut Record,
        until: Instant,
        mut done: impl FnMut(&Record, (usize, usize), Duration) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let numbers: HashMap<&str, usize> = groups.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        while let Ok(Some(seen)) = tokio::time::timeout_at(until.into(), self.seen.recv()).await {
            if plan.victims.contains(&seen.node) {
                continue;
            }
            let Some(event) = seen.event else {
                record.problems.push(format!("node {} went away", seen.node));
                continue;
            };
            let group = event.group.as_deref().and_then(|id| numbers.get(id)).copied();
            match (event.event.as_str(), group) {
                (FAILED, Some(group)) => {
                    let after = seen.at.saturating_duration_since(killed);
                    record.told.entry((group, seen.node)).or_default().push(after);
                    let kind = event.reason.as_ref().and_then(|reason| reason.get("kind")?.as_str());
                    let why = record.why.entry((group, seen.node));
                    why.or_insert_with(|| kind.unwrap_or("no reason").to_owned());
                    if done(record, (group, seen.node), after)? {
                        return Ok(());
                    }
                }
                (GAP, _) => record.problems.push(format!("events of node {} were lost", seen.node)),
                _ => {}
            }
        }
        Ok(())
    }
}

async fn forward(node: usize, mut events: Events, sender: mpsc::Sender<Seen>) {
    loop {
        let event = events.next().await;
        let ended = event.is_none();
        let seen = Seen {
            node,
            at: Instant::now(),
            event,
        };
        if sender.send(seen).await.is_err() || ended {
            return;
        }
    }
}
