//! Explores a world and says what it has found.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread::available_parallelism;
use std::time::Duration;

use fatebound_fng::message::{Answer, Request};
use fatebound_tree::Operation;
use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::check::Small;
use crate::state::{Letter, State};
use crate::step::Action;
use crate::wire::Item;
use crate::world::World;

/// What was explored of one world.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps taken between them.
    pub steps: usize,
    /// The longest way.
    pub depth: usize,
    /// The longest time between a failure and the last word of it.
    pub latest: Duration,
    /// Whether every state was reached.
    pub complete: bool,
    /// Properties that were violated, or examples of what sometimes happens, each with its way there.
    pub found: BTreeMap<&'static str, Vec<String>>,
}

/// Follows every way through a world, or until a promise is broken or so many `steps` have been taken. `progress` is told states and
/// steps, ten times per second.
pub fn explore(world: &World, steps: Option<usize>, mut progress: impl FnMut(usize, usize)) -> Explored {
    let model = Small::new(world.clone());
    let builder = model.clone().checker().finish_when(HasDiscoveries::AnyFailures);
    let builder = builder.threads(available_parallelism().map_or(1, usize::from));
    let checker = match steps {
        Some(steps) => builder.target_state_count(steps),
        None => builder,
    }
    .spawn_dfs();
    while !checker.is_done() {
        progress(checker.unique_state_count(), checker.state_count());
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let found = checker.discoveries().into_iter();
    let found: BTreeMap<_, _> = found.map(|(name, path)| (name, tell(path))).collect();
    let explored = Explored {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        latest: model.latest(),
        complete: steps.is_none_or(|steps| checker.state_count() < steps),
        found,
    };
    Explored {
        complete: explored.complete && explored.violations(world).is_empty(),
        ..explored
    }
}

impl Explored {
    /// The promises that were broken, with the way there.
    pub fn violations(&self, world: &World) -> Vec<(&'static str, &[String])> {
        let model = Small::new(world.clone());
        let broken = |(name, _): &(&'static str, &[String])| model.property(name).expectation.discovery_is_failure();
        let found = self.found.iter().map(|(name, way)| (*name, way.as_slice()));
        found.filter(broken).collect()
    }

    /// Whether this was reached.
    pub fn reached(&self, name: &str) -> bool {
        self.found.contains_key(name)
    }
}

/// A way through a world, line by line.
fn tell(path: Path<State, Action>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut told = 0;
    for (state, action) in path.into_vec() {
        let now_told: u8 = state.peers.iter().map(|peer| peer.told).sum();
        if now_told > told {
            let who: Vec<u8> = state
                .peers
                .iter()
                .filter(|peer| peer.told > 0)
                .map(|peer| peer.number)
                .collect();
            lines.push(format!("        told: {who:?}"));
        }
        told = now_told;
        if let Some(action) = action {
            lines.push(format!("{} {}", state.now, line(&state, &action)));
        }
    }
    lines
}

fn line(state: &State, action: &Action) -> String {
    let ends = |wire: u32, end: usize| match state.wire(wire) {
        Some(wire) => format!("{} → {}", wire.ends[end], wire.ends[1 - end]),
        None => format!("link {wire}"),
    };
    match action {
        Action::Deliver { wire, end } => {
            let item = state.head(*wire, *end).map(item).unwrap_or_default();
            format!("{}: {item}", ends(*wire, *end))
        }
        Action::HandOver(post) => format!("{} ⇢ {}: {}", post.from, post.to, letter(post)),
        Action::Lose(post) => format!("{} ⇢ {}: {} is lost", post.from, post.to, letter(post)),
        Action::LoseRest { wire, end } => format!("{}: the rest is lost", ends(*wire, *end)),
        Action::Doubt { wire, end } => format!("{}: doubted", ends(*wire, *end)),
        Action::Notice { wire, end } => format!("{}: down", ends(*wire, *end)),
        Action::Resume { wire } => format!("{}: resumed", ends(*wire, 0)),
        Action::Ping { wire, end } => format!("{}: ping", ends(*wire, *end)),
        Action::Wake(peer) => format!("{peer}: timer"),
        Action::Advance => "time goes on".to_owned(),
        Action::Fault(crate::fault::Fault::Break(wire)) => format!("FAULT break {}", ends(*wire, 0)),
        Action::Fault(crate::fault::Fault::Stall(wire)) => format!("FAULT stall {}", ends(*wire, 0)),
        Action::Fault(crate::fault::Fault::Late(post)) => {
            format!("FAULT {} ⇢ {}: {} is late", post.from, post.to, letter(post))
        }
        Action::Fault(fault) => format!("FAULT {fault:?}"),
    }
}

fn item(item: &Item) -> String {
    match item {
        Item::Up => "up".to_owned(),
        Item::Operation(body) => {
            postcard::from_bytes::<Operation>(body).map_or_else(|error| error.to_string(), |o| operation(&o))
        }
        Item::Tell(_) => "told".to_owned(),
    }
}

fn operation(operation: &Operation) -> String {
    let mut text = String::new();
    let _ = match operation {
        Operation::Construct { path, .. } => write!(text, "Construct epoch {}", path.epoch),
        Operation::Confirm { path, hops } => write!(text, "Confirm epoch {}, {hops} hops", path.epoch),
        Operation::Release { paths } => {
            let paths: Vec<_> = paths.iter().map(|(path, cause)| (path.epoch, cause)).collect();
            write!(text, "Release epoch, cause {paths:?}")
        }
        Operation::Fail { paths, .. } => {
            let epochs: Vec<_> = paths.iter().map(|path| path.epoch).collect();
            write!(text, "Fail epochs {epochs:?}")
        }
    };
    text
}

fn letter(letter: &Letter) -> String {
    let via = letter.via.map_or_else(String::new, |via| format!(" by way of {via}"));
    let text = if letter.answer {
        postcard::from_bytes::<Answer>(&letter.body).map(|answer| match answer {
            Answer::Accept => "Accept".to_owned(),
            Answer::Decline(refusal) => format!("Decline: {refusal}"),
            Answer::Status(status) => format!("{status:?}"),
            Answer::Left => "Left".to_owned(),
            Answer::Noted => "Noted".to_owned(),
        })
    } else {
        postcard::from_bytes::<Request>(&letter.body).map(|request| match request {
            Request::Invite(_) => "Invite".to_owned(),
            Request::Probe { .. } => "Probe".to_owned(),
            Request::Join { .. } => "Join".to_owned(),
            Request::Leave { .. } => "Leave".to_owned(),
            Request::Members { list, .. } => format!("Members {list}"),
            Request::NeedRepair { groups } => {
                let epochs: Vec<_> = groups.iter().map(|(_, epoch)| epoch).collect();
                format!("NeedRepair {epochs:?}")
            }
            Request::Fail(notice) => format!("Fail: {}", notice.reason.kind()),
        })
    };
    text.unwrap_or_else(|error| error.to_string()) + &via
}
