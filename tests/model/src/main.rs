//! Explores small worlds in every direction, with progress; `--list` shows them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use fatebound_model::explore::{Explored, explore};
use fatebound_model::world::World;
use fatebound_model::worlds;

/// Explores small worlds in every direction.
#[derive(Debug, Parser)]
struct Options {
    /// Only worlds whose name contains this.
    #[arg(default_value = "")]
    name: String,
    /// Show the worlds and explore nothing.
    #[arg(long)]
    list: bool,
    /// Faults at most, instead of each world's own number.
    #[arg(long)]
    faults: Option<u8>,
    /// Links in trouble may also be doubted before they are down.
    #[arg(long)]
    doubts: bool,
    /// Stop a world after so many steps; it counts as not explored to its end.
    #[arg(long)]
    steps: Option<usize>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut violated = false;
    for mut world in worlds::all() {
        if !world.name.contains(&options.name) {
            continue;
        }
        world.faults = options.faults.unwrap_or(world.faults);
        world.doubts |= options.doubts;
        println!("{}: {} faults of {:?}", world.name, world.faults, world.kinds);
        if !options.list {
            violated |= run(&world, options.steps);
        }
    }
    ExitCode::from(u8::from(violated))
}

/// Explores one world; whether a promise was broken there.
fn run(world: &World, steps: Option<usize>) -> bool {
    let begun = Instant::now();
    let mut shown = begun;
    let found = explore(world, steps, |states, steps| {
        if shown.elapsed() > Duration::from_secs(10) {
            shown = Instant::now();
            eprintln!("  … {states} states, {steps} steps");
        }
    });
    report(world, &found, begun.elapsed());
    !found.violations(world).is_empty()
}

fn report(world: &World, found: &Explored, took: Duration) {
    let end = if found.complete { "to its end" } else { "not to its end" };
    println!(
        "  explored {end}: {} states, {} steps, at most {} deep, in {took:.1?}",
        found.states, found.steps, found.depth
    );
    let share = found.latest.as_secs_f64() / world.bound().as_secs_f64();
    println!(
        "  last word after {:.2?} at most, {share:.2} of the bound",
        found.latest
    );
    for name in found.found.keys() {
        println!("  seen: {name}");
    }
    for (name, way) in found.violations(world) {
        println!("  VIOLATED {name}");
        for line in way {
            println!("      {line}");
        }
    }
}
