//! Random ways through larger groups: with loss, repetition, cuts and deaths, until all is quiet.

use fatebound_cluster::views::Config;
use fatebound_cluster::{Policy, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::observer::ENDS_IN_ONE_VIEW;
use super::scene::{Change, Scene};
use super::world::{Action, World};

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// Promises that were broken.
    pub broken: Vec<&'static str>,
    /// Views that were installed, the first not counted.
    pub views: usize,
    /// What happened, line by line, if that was asked for.
    pub way: Vec<String>,
}

/// A scene drawn from a seed.
pub fn scene(random: &mut StdRng, policy: Policy) -> Scene {
    let members = random.random_range(2..=5);
    let joiners = random.random_range(0..=2);
    let nodes = members + joiners;
    let changes = (0..random.random_range(0..=3)).map(|_| match random.random_range(0..3) {
        0 => Change::Remove(random.random_range(0..nodes)),
        _ => Change::Insert(random.random_range(0..nodes)),
    });
    let changes = changes.collect();
    let cut = match random.random_bool(0.4) {
        true => (0..nodes).filter(|_| random.random_bool(0.5)).collect(),
        false => Vec::new(),
    };
    Scene {
        changes,
        policy,
        cut,
        entries: random.random_range(0..=6),
        crashes: random.random_range(0..=2),
        alarms: random.random_range(0..=2),
        rounds: u32::MAX,
        views: u64::MAX,
        config: Config::default(),
        ..Scene::new("random", members, joiners)
    }
}

/// One run; its end is looked at if `settle`.
pub fn run(seed: u64, policy: Policy, settle: bool, tell: bool) -> Run {
    let random = &mut StdRng::seed_from_u64(seed);
    let scene = scene(random, policy);
    let mut world = World::new(&scene);
    let mut way = Vec::new();
    let (loss, again) = (random.random_range(0.0..0.4), random.random_range(0.0..0.3));
    let steps = random.random_range(20..250);
    for _ in 0..steps {
        let Some(action) = pick(random, &world, &scene) else {
            break;
        };
        if tell {
            way.push(world.line(&action));
        }
        if let Action::Deliver(print) = action {
            if random.random_bool(loss) {
                world.mail.remove(&print);
                continue;
            }
            world.act(&scene, &action);
            if !random.random_bool(again) {
                world.mail.remove(&print);
            }
        } else {
            if let Action::Wake(number) = action {
                let due = world.peers[number].views.deadline().unwrap_or(Time::ZERO);
                world.now = world.now.max(due);
            }
            world.act(&scene, &action);
        }
        if !world.observer.broken.is_empty() {
            break;
        }
    }
    if settle && world.observer.broken.is_empty() && !world.settles(&scene) {
        world.observer.broken.insert(ENDS_IN_ONE_VIEW);
    }
    Run {
        broken: world.observer.broken.iter().copied().collect(),
        views: world.observer.installed.len() - 1,
        way,
    }
}

/// Letters and guards often, the rest more rarely: or nothing would ever be decided.
fn pick(random: &mut StdRng, world: &World, scene: &Scene) -> Option<Action> {
    let mut actions = Vec::new();
    world.actions(scene, &mut actions);
    let weight = |action: &Action| match action {
        Action::Deliver(_) | Action::Create(_) => 12,
        Action::Number(_) => 8,
        Action::Alarm(..) | Action::Change(_) => 4,
        Action::Wake(_) => 2,
        Action::Heal | Action::Cut | Action::Crash(_) | Action::Fail(_) => 1,
    };
    let total: u32 = actions.iter().map(weight).sum();
    let mut left = random.random_range(0..total.max(1));
    for action in actions {
        let weight = weight(&action);
        if left < weight {
            return Some(action);
        }
        left -= weight;
    }
    None
}
