//! One large world: `cargo run --release -p fatebound-sim --example scale -- 10000 10000`.
//!
//! Arguments: peers, groups, minutes of churn (10), profile (wan), seed (1). Progress goes to standard error; to standard output what was
//! found and, as the last line, the same as JSON, from which `docs/scale-plot.py` draws.

use std::str::FromStr;
use std::time::Duration;

use fatebound_sim::scale::{Distribution, Options, Report, run};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut options = Options::new(argument(&arguments, 0, 1000), argument(&arguments, 1, 1000));
    options.churn = Duration::from_secs_f64(60.0 * argument(&arguments, 2, 10.0));
    options.profile = argument(&arguments, 3, options.profile);
    options.seed = argument(&arguments, 4, options.seed);
    let report = run(&options, &mut |progress| {
        eprintln!(
            "{:>6.0} s  {:<10}{:>8} joined {:>8} created {:>12} events {:>8} MiB",
            progress.now.as_secs_f64(),
            progress.stretch,
            progress.joined,
            progress.created,
            progress.events,
            peak_memory() >> 20
        );
    });
    println!(
        "{report}\n{} KiB per peer at most\n{}",
        peak_memory() / 1024 / options.peers.max(1) as u64,
        json(&report)
    );
}

/// The argument at this place, or a default; what cannot be understood ends the program.
fn argument<T: FromStr>(arguments: &[String], at: usize, default: T) -> T {
    let Some(text) = arguments.get(at) else { return default };
    text.parse().unwrap_or_else(|_| {
        eprintln!("not understood: {text}");
        std::process::exit(2)
    })
}

/// The most memory that this process has had, in bytes, where the system says so.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn json(report: &Report) -> String {
    let figures = [
        ("join_ms", &report.joining),
        ("links", &report.degree),
        ("hops", &report.hops),
        ("carried", &report.carried),
        ("locate_ms", &report.locating),
        ("create_ms", &report.creating),
        ("messages", &report.messages),
        ("bytes", &report.bytes),
        ("crash_ms", &report.latencies.crash),
        ("vanish_ms", &report.latencies.vanish),
        ("signal_ms", &report.latencies.signal),
        ("share_of_bound", &report.latencies.share_of_bound),
    ];
    let figures: Vec<String> = figures.iter().map(|(name, values)| figure(name, values)).collect();
    format!(
        "{{\"peers\":{},\"groups\":{},\"refused\":{},\"deaths\":{},\"failed\":{},\"violations\":{},\"churn_messages\":{:.3},\"churn_bytes\":{:.1},\
         \"repairs_per_death\":{:.2},\"messages_per_death\":{:.0},\"memory\":{},\"events\":{},{}}}",
        report.peers,
        report.groups,
        report.refused,
        report.deaths,
        report.failed,
        report.violations.len(),
        report.churn_messages,
        report.churn_bytes,
        report.repairs_per_death(),
        report.messages_per_death(),
        peak_memory(),
        report.events,
        figures.join(",")
    )
}

fn figure(name: &str, values: &Distribution) -> String {
    format!(
        "\"{name}\":{{\"mean\":{:.3},\"p50\":{:.3},\"p99\":{:.3},\"max\":{:.3},\"count\":{}}}",
        values.mean(),
        values.quantile(0.5),
        values.quantile(0.99),
        values.max(),
        values.count()
    )
}
