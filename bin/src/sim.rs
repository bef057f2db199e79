//! `fatebound sim`: random runs of the simulator until told to stop, or one run again, or one large world (in `large.rs`).
//!
//! A run costs milliseconds and nothing else, so runs go to as many threads as there are cores. Results come back to this thread, which adds
//! them up and shows progress. The first broken promise ends the hunt: its scenario is made as small as it gets and saved together with
//! the trace of its run, for `--replay`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use fatebound_sim::checkers::Violation;
use fatebound_sim::generate::{Wishes, scenario};
use fatebound_sim::run::{Outcome as Ran, run, run_traced};
use fatebound_sim::schedule::{MAX_PEERS, Scenario};
use fatebound_sim::shrink::shrink;
use fatebound_sim::statistics::Statistics;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::SimArgs;
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::{Output, counted};
use crate::stopping::Stop;

/// Runs that shrinking a scenario may take.
const SHRINK_RUNS: usize = 3000;

/// Runs the simulator.
pub async fn sim(args: &SimArgs) -> Outcome {
    if let Some(file) = &args.replay {
        // It shows everything as it happens: a signal has nothing left to show, and keeps its own effect.
        return replay(file, args.json);
    }
    let stop = Stop::by_signals();
    let args = args.clone();
    let work = move || match args.large() {
        Some(peers) => crate::large::large(&args, peers, &stop),
        None => hunt(&args, &stop),
    };
    tokio::task::spawn_blocking(work).await.map_err(Failure::error)?
}

fn read(file: &Path) -> Result<Scenario, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::error(format!("cannot read {}: {error}", file.display())))?;
    text.parse()
        .map_err(|error| Failure::error(format!("{}: {error}", file.display())))
}

/// Plays a saved scenario and shows what happens in it.
fn replay(file: &Path, json: bool) -> Outcome {
    let scenario = read(file)?;
    let output = Output::new(json);
    let mut problem = None;
    let outcome = run_traced(&scenario, |line| {
        if !json {
            problem = problem.take().or(output.line(line).err());
        }
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    if json {
        output.object(&summary(&outcome.statistics, &outcome.violations))?;
    }
    match outcome.violations.first() {
        None => {
            complain("no promise was broken");
            Ok(Exit::Done)
        }
        Some(violation) => Err(Failure::error(format!(
            "{} broken promises, first: {violation}",
            outcome.violations.len()
        ))),
    }
}

/// What is drawn, and what is given.
struct Hunt {
    wishes: Wishes,
    /// Faults from a file, for every seed.
    given: Option<Scenario>,
}

impl Hunt {
    fn new(args: &SimArgs) -> Result<Hunt, Failure> {
        if args.peers.is_some_and(|peers| peers > MAX_PEERS) {
            return Err(Failure::usage(format!("a random run has at most {MAX_PEERS} peers")));
        }
        let mut wishes = Wishes {
            peers: args.peers,
            groups: args.groups,
            setting: args.profile,
            ..Wishes::default()
        };
        let mut given = None;
        let drawn = args.peers.is_none() && args.groups.is_none() && args.profile.is_none();
        if let Some(faults) = &args.faults {
            match faults.parse() {
                Ok(family) => wishes.family = Some(family),
                Err(words) if !Path::new(faults).exists() => {
                    return Err(Failure::usage(format!("{words}, or a file")));
                }
                Err(_) if !drawn => {
                    return Err(Failure::usage(format!(
                        "{faults} says which peers, groups and profile: --peers, --groups and --profile would be ignored"
                    )));
                }
                Err(_) => given = Some(read(Path::new(faults))?),
            }
        }
        Ok(Hunt { wishes, given })
    }

    fn scenario(&self, seed: u64) -> Scenario {
        match &self.given {
            Some(given) => Scenario { seed, ..given.clone() },
            None => scenario(seed, &self.wishes),
        }
    }
}

fn hunt(args: &SimArgs, stop: &Stop) -> Outcome {
    let hunt = Hunt::new(args)?;
    let jobs = args
        .jobs
        .or_else(|| thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let end = args
        .seeds
        .map_or(u64::MAX, |seeds| args.first_seed.saturating_add(seeds));
    let next = AtomicU64::new(args.first_seed);
    let over = AtomicBool::new(false);
    let (results, received) = mpsc::sync_channel::<(u64, Ran)>(1024);
    thread::scope(|scope| {
        for _ in 0..jobs {
            let results = results.clone();
            let (hunt, next, over) = (&hunt, &next, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) && !stop.asked() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || results.send((seed, run(&hunt.scenario(seed)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        let mut tally = Tally::new(args);
        for (seed, ran) in received {
            tally.take(seed, ran);
            if tally.failing.is_some() && !args.keep_going {
                over.store(true, Ordering::Relaxed);
            }
        }
        tally.conclude(args, &hunt, stop)
    })
}

/// What has come back so far.
struct Tally {
    output: Output,
    bar: ProgressBar,
    since: Instant,
    shown: Instant,
    terminal: bool,
    statistics: Statistics,
    /// Runs that are over, those included that panicked and have no statistics.
    ran: u64,
    failures: u64,
    /// The smallest seed that failed, and how.
    failing: Option<(u64, Violation)>,
}

impl Tally {
    fn new(args: &SimArgs) -> Tally {
        let terminal = !args.json && std::io::stderr().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(args.seeds, target);
        let template = if args.seeds.is_some() {
            "{wide_bar} {pos}/{len} {msg}"
        } else {
            "{spinner} {pos} {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Tally {
            output: Output::new(args.json),
            bar,
            since: Instant::now(),
            shown: Instant::now(),
            terminal,
            statistics: Statistics::default(),
            ran: 0,
            failures: 0,
            failing: None,
        }
    }

    fn take(&mut self, seed: u64, ran: Ran) {
        self.statistics.add(&ran.statistics);
        self.ran += 1;
        if let Some(violation) = ran.violations.into_iter().next() {
            self.failures += 1;
            self.bar.suspend(|| complain(format_args!("seed {seed}: {violation}")));
            if self.failing.as_ref().is_none_or(|(smallest, _)| seed < *smallest) {
                self.failing = Some((seed, violation));
            }
        }
        self.bar.inc(1);
        self.progress();
    }

    /// A moving line on a terminal, a new line every half minute elsewhere.
    fn progress(&mut self) {
        let pause = Duration::from_secs(if self.terminal { 1 } else { 30 });
        if self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let text = format!(
            "{:.0} runs/s, worst {:.3} of the bound",
            self.rate(),
            self.statistics.worst
        );
        if self.terminal {
            self.bar.set_message(text);
        } else {
            complain(format_args!("{} runs, {text}", self.statistics.runs));
        }
    }

    fn rate(&self) -> f64 {
        self.statistics.runs as f64 / self.since.elapsed().as_secs_f64().max(1e-9)
    }

    /// What it comes to, in one line.
    fn verdict(&self) -> String {
        let runs = counted(self.ran as usize, "run");
        match self.failures {
            0 => format!("no promise was broken in {runs}"),
            failures => format!("{failures} of {runs} broke a promise"),
        }
    }

    fn conclude(self, args: &SimArgs, hunt: &Hunt, stop: &Stop) -> Outcome {
        self.bar.finish_and_clear();
        // Without a number of runs, a signal is how it ends.
        let interrupted = stop.exit().filter(|_| args.seeds.is_some_and(|seeds| self.ran < seeds));
        if self.output.is_json() {
            let violations: Vec<Violation> = self.failing.iter().map(|(_, violation)| violation.clone()).collect();
            let mut object = summary(&self.statistics, &violations);
            object["runs_per_second"] = json!(self.rate());
            object["failing_runs"] = json!(self.failures);
            object["failing_seed"] = json!(self.failing.as_ref().map(|(seed, _)| seed));
            object["interrupted"] = json!(interrupted.is_some());
            self.output.object(&object)?;
        } else {
            self.output.line(&self.verdict())?;
            self.output.lines(&self.statistics.to_string())?;
            self.output.line(&format!("{:.1} runs per second", self.rate()))?;
        }
        match self.failing {
            None => Ok(interrupted.unwrap_or(Exit::Done)),
            Some((seed, violation)) => save(args, &hunt.scenario(seed), &violation, stop),
        }
    }
}

/// Shrinks what failed and writes it down, with its trace. Whoever stops that gets the smallest scenario so far.
fn save(args: &SimArgs, failing: &Scenario, violation: &Violation, stop: &Stop) -> Outcome {
    stop.renew();
    complain(format_args!("making the scenario of seed {} smaller", failing.seed));
    let shrunk = shrink(failing, violation.promise, SHRINK_RUNS, || stop.asked());
    let named = || PathBuf::from(format!("fatebound-sim-{}.txt", failing.seed));
    let file = args.save.clone().unwrap_or_else(named);
    let mut trace = String::new();
    let outcome = run_traced(&shrunk.scenario, |line| {
        trace.push_str(line);
        trace.push('\n');
    });
    let what = outcome
        .violations
        .iter()
        .find(|found| found.promise == violation.promise);
    let text = format!("# {}\n{}", what.unwrap_or(violation), shrunk.scenario);
    let traced = file.with_extension("trace");
    write(&file, &text)?;
    write(&traced, &trace)?;
    Err(Failure::error(format!(
        "seed {} broke a promise: {violation}; smallest scenario in {}, its trace in {}",
        failing.seed,
        file.display(),
        traced.display()
    )))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| Failure::error(format!("cannot write {}: {error}", file.display())))
}

/// What a program is told.
fn summary(statistics: &Statistics, violations: &[Violation]) -> Value {
    json!({
        "runs": statistics.runs,
        "virtual_seconds": statistics.time.as_secs_f64(),
        "events": statistics.events,
        "peers": statistics.peers,
        "faults": statistics.faults,
        "configurations": statistics.settings,
        "runs_with": statistics.runs_with,
        "groups": statistics.groups,
        "created": statistics.created,
        "failed": statistics.failed,
        "failed_for_want_of_a_way": statistics.unlucky,
        "repairs": statistics.repairs,
        "links_lost": statistics.links_lost,
        "notifications_by_tenths_of_the_bound": statistics.shares,
        "worst_share_of_the_bound": statistics.worst,
        "worst_seed": statistics.worst_seed,
        "violations": violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
