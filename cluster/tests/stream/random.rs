//! One random way through a world.

use std::collections::BTreeSet;

use fatebound_cluster::stream::{Class, Config};
use fatebound_cluster::views::{self, Status};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{Number, World, nodes};

/// What one run came to.
pub struct Run {
    pub broken: Vec<String>,
    pub views: u64,
    pub delivered: usize,
    pub windows_full: usize,
    /// Whether a quorum was left, and so an end.
    pub ended: bool,
    pub sent: usize,
}

/// What goes wrong, and how often.
struct Faults {
    /// Messages of agreement lost, and repeated.
    lost: f64,
    again: f64,
    /// Frames lost, repeated and overtaken, against the nature of pipes.
    chaos: f64,
    crashes: usize,
    alarms: usize,
    cuts: usize,
    changes: usize,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Mail,
    Frame,
    Submit,
    Wake,
    Create,
    Alarm,
    Break,
    Down,
    Crash,
    FalseAlarm,
    Part,
    Heal,
    Change,
    Rejoin,
}

/// How often each is picked, as far as it can happen.
const WEIGHTS: [(Action, u32); 14] = [
    (Action::Mail, 30),
    (Action::Frame, 60),
    (Action::Submit, 30),
    (Action::Wake, 6),
    (Action::Create, 20),
    (Action::Alarm, 8),
    (Action::Break, 1),
    (Action::Down, 10),
    (Action::Crash, 1),
    (Action::FalseAlarm, 1),
    (Action::Part, 1),
    (Action::Heal, 4),
    (Action::Change, 3),
    (Action::Rejoin, 2),
];

fn config(random: &mut StdRng) -> Config {
    Config {
        window_entries: random.random_range(4..=16),
        window_bytes: random.random_range(1_000..=4_000),
        queue_submissions: random.random_range(1..=8),
        queue_bytes: random.random_range(500..=2_000),
        flight: random.random_range(1..=1_000),
        ..Config::default()
    }
}

/// One run.
pub fn run(seed: u64, tell: bool) -> Run {
    let random = &mut StdRng::seed_from_u64(seed);
    let config = config(random);
    let members = random.random_range(2..=5);
    let joiners = random.random_range(0..=2);
    let mut world = World::new(members, joiners, &config);
    world.capacity = random.random_range(1..=8);
    let calm = random.random_bool(0.3);
    let mut faults = Faults {
        lost: if calm { 0.0 } else { random.random_range(0.0..0.3) },
        again: random.random_range(0.0..0.3),
        chaos: if random.random_bool(0.5) {
            0.0
        } else {
            random.random_range(0.0..0.3)
        },
        crashes: random.random_range(0..=2),
        alarms: random.random_range(0..=2),
        cuts: random.random_range(0..=1),
        changes: random.random_range(0..=4),
    };
    for _ in 0..random.random_range(50..600) {
        let action = pick(random, &world, &faults);
        if tell {
            println!("{action:?}");
        }
        act(random, &mut world, &mut faults, action, tell);
        if !world.observer.broken.is_empty() {
            break;
        }
    }
    let mut ended = false;
    if world.observer.broken.is_empty() {
        ended = settle(&mut world);
    }
    Run {
        broken: world.observer.broken.iter().cloned().collect(),
        views: world.observer.views,
        delivered: world.observer.delivered,
        windows_full: world.observer.windows_full,
        ended,
        sent: world.sent,
    }
}

/// To the end, where nothing more happens.
fn settle(world: &mut World) -> bool {
    match world.settle() {
        None => return false,
        Some(false) => {
            world.observer.broken.insert("it does not become quiet".into());
            return false;
        }
        Some(true) => {}
    }
    let Some(view) = world.view().cloned() else {
        return false;
    };
    world.observer.ended(&view);
    for number in world.living().collect::<Vec<_>>() {
        let peer = &world.peers[number];
        let kept = peer.views.log().map_or(0, fatebound_cluster::Log::len);
        if peer.stream.deadline().is_some() || kept > 0 || !world.busy().is_empty() {
            world
                .observer
                .broken
                .insert(format!("{number} is not quiet: keeps {kept}"));
        }
    }
    true
}

fn leader(world: &World) -> Option<Number> {
    world.living().find(|number| world.peers[*number].views.numbers())
}

/// The next node that wants to be woken, or now and then any that does.
fn sleeper(random: &mut StdRng, world: &World) -> Option<Number> {
    let sleepers: Vec<_> = world
        .living()
        .filter_map(|number| Some((world.deadline(number)?, number)))
        .collect();
    if random.random_bool(0.7) {
        sleepers.iter().min().map(|(_, number)| *number)
    } else {
        choose(random, &sleepers).map(|(_, number)| number)
    }
}

fn choose<T: Copy>(random: &mut StdRng, of: &[T]) -> Option<T> {
    if of.is_empty() {
        None
    } else {
        Some(of[random.random_range(0..of.len())])
    }
}

fn pick(random: &mut StdRng, world: &World, faults: &Faults) -> Action {
    let can = |action: Action| match action {
        Action::Mail => !world.mail.is_empty(),
        Action::Frame => !world.busy().is_empty(),
        Action::Submit | Action::Wake | Action::Break => true,
        Action::Create => world.orders() > 0,
        Action::Alarm => !world.alarms().is_empty(),
        Action::Down => !world.downs.is_empty(),
        Action::Crash => faults.crashes > 0,
        Action::FalseAlarm => faults.alarms > 0,
        Action::Part => faults.cuts > 0 && world.cut.is_empty(),
        Action::Heal => !world.cut.is_empty(),
        Action::Change => faults.changes > 0 && leader(world).is_some(),
        Action::Rejoin => world
            .living()
            .any(|number| world.peers[number].views.status() == Status::Gone),
    };
    let possible: Vec<_> = WEIGHTS.into_iter().filter(|(action, _)| can(*action)).collect();
    let total: u32 = possible.iter().map(|(_, weight)| weight).sum();
    let mut left = random.random_range(0..total);
    for (action, weight) in possible {
        if left < weight {
            return action;
        }
        left -= weight;
    }
    Action::Wake
}

fn act(random: &mut StdRng, world: &mut World, faults: &mut Faults, action: Action, tell: bool) {
    let living: Vec<Number> = world.living().collect();
    match action {
        Action::Mail => mail(random, world, faults, tell),
        Action::Frame => frame(random, world, faults, tell),
        Action::Submit => {
            let number = choose(random, &living).unwrap_or_default();
            let class = if random.random_bool(0.4) {
                Class::Safe
            } else {
                Class::Agreed
            };
            let padding = if random.random_bool(0.8) {
                0
            } else {
                random.random_range(0..300)
            };
            if world.peers.get(number).is_some_and(|peer| peer.alive) {
                world.submit(number, class, padding);
            }
        }
        Action::Wake => {
            if let Some(number) = sleeper(random, world) {
                let at = world.deadline(number).unwrap_or(world.now);
                world.now = world.now.max(at);
                world.wake(number);
            }
        }
        Action::Create => world.create(random.random_range(0..world.orders())),
        Action::Alarm => {
            if let Some((number, at)) = choose(random, &world.alarms()) {
                world.alarm(number, at);
            }
        }
        Action::Break => {
            let (a, b) = (
                random.random_range(0..world.peers.len()),
                random.random_range(0..world.peers.len()),
            );
            if a != b {
                world.break_line(a, b);
            }
        }
        Action::Down => world.tell_down(random.random_range(0..world.downs.len())),
        Action::Crash => {
            faults.crashes -= 1;
            if let Some(number) = choose(random, &living).filter(|_| living.len() > 1) {
                world.crash(number);
            }
        }
        Action::FalseAlarm => {
            faults.alarms -= 1;
            world.false_alarm();
        }
        Action::Part => {
            faults.cuts -= 1;
            let side: BTreeSet<Number> = (0..world.peers.len()).filter(|_| random.random_bool(0.5)).collect();
            world.part(side);
        }
        Action::Heal => world.cut.clear(),
        Action::Change => change(random, world, faults),
        Action::Rejoin => {
            let gone = |number: &Number| world.peers[*number].views.status() == Status::Gone;
            let gone: Vec<Number> = living.into_iter().filter(gone).collect();
            if let Some(number) = choose(random, &gone) {
                world.views(number, views::Input::Rejoin);
            }
        }
    }
}

fn mail(random: &mut StdRng, world: &mut World, faults: &Faults, tell: bool) {
    let at = random.random_range(0..world.mail.len());
    let (from, to, message) = world.mail[at].clone();
    if !random.random_bool(faults.again) {
        world.mail.swap_remove(at);
    }
    if world.reach(from, to) && !random.random_bool(faults.lost) {
        if tell {
            println!("{from} → {to}: {message:?}");
        }
        let from = nodes()[from];
        world.views(to, views::Input::Received { from, message });
    }
}

fn frame(random: &mut StdRng, world: &mut World, faults: &Faults, tell: bool) {
    let Some(pair) = choose(random, &world.busy()) else {
        return;
    };
    let length = world.lines.get(&pair).map_or(0, |line| line.frames.len());
    let place = if random.random_bool(faults.chaos) {
        random.random_range(0..length)
    } else {
        0
    };
    if tell {
        println!("{} → {}: {:?}", pair.0, pair.1, world.lines[&pair].frames[place]);
    }
    if random.random_bool(faults.chaos / 2.0) {
        if let Some(line) = world.lines.get_mut(&pair) {
            line.frames.remove(place);
        }
        return;
    }
    let twice = random.random_bool(faults.chaos);
    world.arrive(pair, place, twice);
}

fn change(random: &mut StdRng, world: &mut World, faults: &mut Faults) {
    let Some(leader) = leader(world) else { return };
    faults.changes -= 1;
    let any = random.random_range(0..world.peers.len());
    let waits = world
        .living()
        .find(|number| world.peers[*number].views.status() == Status::Joining);
    match waits.filter(|_| random.random_bool(0.7)) {
        Some(joiner) => world.change(leader, Some(joiner), None),
        None => world.change(leader, None, Some(any)),
    }
}
