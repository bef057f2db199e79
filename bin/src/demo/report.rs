//! What the demo shows: progress while it runs, one table of groups, one summary.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::plan::Plan;
use super::verdict::{Record, median};
use crate::exit::{Failure, complain};
use crate::output::{self, Output, Style, Table, as_ms, counted, millis, short};
use crate::shown::shown;

/// Rows of the table at most: more say nothing more.
const MAX_ROWS: usize = 40;

/// Between two lines of progress where no line can move.
const PAUSE: Duration = Duration::from_secs(5);

/// Where the demo's words go: results to standard output, progress to standard error.
#[derive(Debug)]
pub struct Report {
    output: Output,
    bar: ProgressBar,
    terminal: bool,
    /// When progress was last told where no line can move.
    told: Cell<Instant>,
}

impl Report {
    /// For people, or for programs.
    pub fn new(json: bool) -> Report {
        let terminal = !json && io::stderr().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Report {
            output: Output::new(json),
            bar,
            terminal,
            told: Cell::new(Instant::now()),
        }
    }

    /// What is going on at the moment: a moving line on a terminal, a new line every few seconds elsewhere.
    pub fn progress(&self, text: &str) {
        if !self.terminal && self.told.get().elapsed() >= PAUSE {
            self.told.set(Instant::now());
            complain(text);
        }
        self.bar.set_message(shown(text).into_owned());
        self.bar.tick();
    }

    /// A step is done: a line for people, an object for programs.
    pub fn step(&self, text: &str, object: &Value) -> Result<(), Failure> {
        if self.output.is_json() {
            return self.output.object(object);
        }
        self.bar.suspend(|| complain(text));
        Ok(())
    }

    /// Somebody was told.
    pub fn told(&self, node: usize, group: (usize, &str), after: Duration) -> Result<(), Failure> {
        let text = format!("node {node} told of {} after {}", short(group.1), millis(as_ms(after)));
        if self.terminal {
            self.progress(&text);
            return Ok(());
        }
        let object = json!({"event": "told", "node": node, "group": group.1, "after_ms": as_ms(after)});
        self.step(&text, &object)
    }

    /// The progress line disappears.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// The table of groups and the summary.
    pub fn conclude(&self, plan: &Plan, record: &Record, ids: &[String]) -> Result<(), Failure> {
        self.clear();
        if self.output.is_json() {
            return self.conclude_json(plan, record, ids);
        }
        self.output.line("")?;
        self.output.table(&table(plan, record, ids))?;
        let hidden = plan.groups.len().saturating_sub(MAX_ROWS);
        if hidden > 0 {
            self.output.line(&format!("… and {hidden} more"))?;
        }
        self.output.line("")?;
        summary(plan, record).iter().try_for_each(|line| self.output.line(line))
    }

    fn conclude_json(&self, plan: &Plan, record: &Record, ids: &[String]) -> Result<(), Failure> {
        for (group, members) in plan.groups.iter().enumerate() {
            let times = record.times(group);
            self.output.object(&json!({
                "event": "group",
                "group": ids[group],
                "members": members,
                "dead": plan.dead(group),
                "told": times.len(),
                "first_ms": times.first().copied().map(as_ms),
                "last_ms": times.last().copied().map(as_ms),
                "bound_ms": record.bounds.get(group).copied().map(as_ms),
                "alive": record.alive.contains(&group),
            }))?;
        }
        let times = record.all_times();
        let broken = record.broken(plan);
        self.output.object(&json!({
            "event": "summary",
            "ok": broken.is_empty(),
            "broken": broken,
            "killed": plan.victims,
            "groups": plan.groups.len(),
            "affected": plan.affected().len(),
            "alive": record.alive.len(),
            "false_reasons": record.false_reasons(plan),
            "told": times.len(),
            "median_ms": median(&times).map(as_ms),
            "max_ms": times.last().copied().map(as_ms),
            "bound_ms": bound(plan, record).map(as_ms),
        }))
    }
}

/// Groups with a dead member first: they are what the demo is about.
fn table(plan: &Plan, record: &Record, ids: &[String]) -> Table {
    let mut table = Table::new(&["GROUP", "MEMBERS", "DEAD", "FIRST", "LAST", "OUTCOME"]);
    let mut order: Vec<usize> = (0..plan.groups.len()).collect();
    order.sort_by_key(|&group| plan.dead(group).is_empty());
    for group in order.into_iter().take(MAX_ROWS) {
        let times = record.times(group);
        let time = |time: Option<&Duration>| {
            output::Cell::number(time.map_or_else(|| "-".to_owned(), |time| millis(as_ms(*time))))
        };
        let dead = plan.dead(group);
        table.row([
            short(&ids[group]).into(),
            numbers(&plan.groups[group]).into(),
            if dead.is_empty() {
                "-".into()
            } else {
                output::Cell::styled(Style::Red, numbers(&dead))
            },
            time(times.first()),
            time(times.last()),
            outcome(plan, record, group),
        ]);
    }
    table
}

fn outcome(plan: &Plan, record: &Record, group: usize) -> output::Cell {
    if plan.dead(group).is_empty() {
        return match record.alive.contains(&group) {
            true => output::Cell::styled(Style::Green, "alive"),
            false => output::Cell::styled(Style::Red, "failed without a dead member"),
        };
    }
    let (told, all) = (record.times(group).len(), plan.to_tell(group).len());
    let style = if told == all { Style::Green } else { Style::Red };
    output::Cell::styled(style, format!("told {told} of {all}"))
}

fn summary(plan: &Plan, record: &Record) -> Vec<String> {
    let times = record.all_times();
    let mut lines = Vec::new();
    if let (Some(median), Some(slowest)) = (median(&times), times.last()) {
        let bound = bound(plan, record).map_or_else(String::new, |bound| {
            format!("; promised within {}", millis(as_ms(bound)))
        });
        let to_tell: usize = plan.affected().into_iter().map(|group| plan.to_tell(group).len()).sum();
        let told = counted(times.len(), "notification");
        let (median, slowest) = (millis(as_ms(median)), millis(as_ms(*slowest)));
        lines.push(format!(
            "{told}, {to_tell} expected: median {median}, slowest {slowest}{bound}"
        ));
    }
    let unaffected = plan.groups.len() - plan.affected().len();
    if unaffected > 0 {
        let whole = counted(unaffected, "group");
        lines.push(format!("{whole} without a dead member, {} alive", record.alive.len()));
    }
    let reasons = record.false_reasons(plan);
    if !reasons.is_empty() {
        let reasons: Vec<String> = reasons.iter().map(|(why, count)| format!("{count} × {why}")).collect();
        lines.push(format!("false alarms: {}", reasons.join(", ")));
    }
    lines
}

/// The longest bound of the groups that it was about.
fn bound(plan: &Plan, record: &Record) -> Option<Duration> {
    plan.affected()
        .into_iter()
        .filter_map(|group| record.bounds.get(group).copied())
        .max()
}

fn numbers(nodes: &[usize]) -> String {
    let numbers: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    numbers.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_summary_has_median_slowest_and_bound() {
        let plan = Plan {
            groups: vec![vec![0, 1, 2], vec![1, 2]],
            victims: vec![0],
        };
        let ms = Duration::from_millis;
        let record = Record {
            told: BTreeMap::from([((0, 1), vec![ms(3)]), ((0, 2), vec![ms(5)])]),
            bounds: vec![ms(7600), ms(9000)],
            alive: vec![1],
            ..Record::default()
        };
        assert_eq!(
            summary(&plan, &record),
            [
                "2 notifications, 2 expected: median 4.00 ms, slowest 5.00 ms; promised within 7.60 s",
                "1 group without a dead member, 1 alive"
            ]
        );
    }
}
