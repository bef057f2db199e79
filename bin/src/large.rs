//! `fatebound sim --peers 10000`: one large world, and what each of its peers pays for it.
//!
//! Progress goes to standard error, the table to standard output; with `--json` one line, from which `docs/scale-plot.py` draws.

use std::time::Duration;

use fatebound_sim::scale::{Distribution, Options, Progress, Report, run};
use fatebound_sim::setting::Setting;
use serde_json::{Value, json};

use crate::cli::SimArgs;
use crate::exit::{Exit, Failure, Outcome, complain};
use crate::output::Output;
use crate::stopping::Stop;

/// How long lives end and begin unless somebody says otherwise.
const MINUTES: u32 = 10;

/// Broken promises that are told one by one, at most.
const MAX_SHOWN: usize = 100;

/// Runs it; ends in an error when a promise was broken.
pub fn large(args: &SimArgs, peers: usize, stop: &Stop) -> Outcome {
    let options = options(args, peers)?;
    let mut watch = |progress| complain(format_args!("{}", line(&progress)));
    let report = run(&options, &mut watch, &|| stop.asked());
    let output = Output::new(args.json);
    if args.json {
        output.object(&object(&report))?;
    } else {
        output.line(&verdict(&report))?;
        output.lines(&report.to_string())?;
        let kib = peak_memory() / 1024 / peers as u64;
        output.line(&format!("{kib} KiB of memory per peer at the peak"))?;
    }
    if report.violations.is_empty() {
        return Ok(report.stopped.and_then(|_| stop.exit()).unwrap_or(Exit::Done));
    }
    // A table lists them; who reads JSON gets the first ones here.
    if args.json {
        let shown = report.violations.iter().take(MAX_SHOWN);
        shown.for_each(|violation| complain(format_args!("violation: {violation}")));
    }
    Err(Failure::error(format!("{} broken promises", report.violations.len())))
}

/// What it comes to, in one line.
fn verdict(report: &Report) -> String {
    let broken = match report.violations.len() {
        0 => "no promise was broken".to_owned(),
        1 => "a promise was broken".to_owned(),
        broken => format!("{broken} promises were broken"),
    };
    let stopped = report.stopped.map_or_else(String::new, |stretch| {
        format!(
            " so far: stopped while {stretch}, after {:.0} virtual seconds",
            report.time.as_secs_f64()
        )
    });
    format!("{broken}{stopped}")
}

fn options(args: &SimArgs, peers: usize) -> Result<Options, Failure> {
    let mut options = Options::new(peers, args.groups.unwrap_or(peers));
    options.churn = Duration::from_secs(60 * u64::from(args.minutes.unwrap_or(MINUTES)));
    options.seed = args.first_seed;
    match args.profile {
        None => {}
        Some(Setting::Preset(profile)) => options.profile = profile,
        Some(other) => {
            let words = format!("--profile {other} is for small worlds: a large one takes local, lan, wan or fuse");
            return Err(Failure::usage(words));
        }
    }
    Ok(options)
}

fn line(progress: &Progress) -> String {
    format!(
        "{:>6.0} s  {:<10}{:>8} joined {:>8} created {:>12} events {:>8} MiB",
        progress.now.as_secs_f64(),
        progress.stretch,
        progress.joined,
        progress.created,
        progress.events,
        peak_memory() >> 20
    )
}

/// The most memory that this process has had, in bytes; zero where the system does not say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn object(report: &Report) -> Value {
    json!({
        "peers": report.peers,
        "groups": report.groups,
        "refused": report.refused,
        "deaths": report.deaths,
        "failed": report.failed,
        "violations": report.violations.len(),
        "stopped": report.stopped,
        "churn_messages": report.churn_messages,
        "churn_bytes": report.churn_bytes,
        "repairs_per_death": report.repairs_per_death(),
        "messages_per_death": report.messages_per_death(),
        "memory": peak_memory(),
        "events": report.events,
        "join_ms": figure(&report.joining),
        "links": figure(&report.degree),
        "hops": figure(&report.hops),
        "carried": figure(&report.carried),
        "locate_ms": figure(&report.locating),
        "create_ms": figure(&report.creating),
        "messages": figure(&report.messages),
        "bytes": figure(&report.bytes),
        "crash_ms": figure(&report.latencies.crash),
        "vanish_ms": figure(&report.latencies.vanish),
        "signal_ms": figure(&report.latencies.signal),
        "share_of_bound": figure(&report.latencies.share_of_bound),
        "slowest": report.slowest.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn figure(values: &Distribution) -> Value {
    json!({
        "mean": values.mean(),
        "p50": values.quantile(0.5),
        "p99": values.quantile(0.99),
        "max": values.max(),
        "count": values.count(),
    })
}
